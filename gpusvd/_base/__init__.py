"""Results, argument checks, arrays of any library, threads: what every other part builds on."""
