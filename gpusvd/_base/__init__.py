"""What every other wing builds on: results, checks, arrays of any library, threads."""
