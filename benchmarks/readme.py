"""What README.md and the first page of the site say of the runs: how fast gpusvd is, and where it loses."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.measure import DTYPES, Document, Row, paragraph, two_digits
from benchmarks.peers import filling

MACHINE = ("cpu", "cores", "gpusvd", "numpy", "blas", "numba", "python")
SMALL, LARGE = 8, 128
SINGLE = ("float32", "complex64")
NOTHING = "Nothing has been measured."
OTHER_WORK = {"thin": "", "full": ", full U and Vh", "values": ", singular values only"}
CHART = """\
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="docs/benchmarks/speed-dark.svg">
  <img alt="Speed-up over numpy.linalg.svd by n and dtype" src="docs/benchmarks/speed-light.svg">
</picture>"""

Ratios = dict[str, dict[int, float]]


# How fast


def speed(found: Sequence[Document]) -> str:
    """The speed-up in a sentence, the chart of it, and how it was measured."""
    runs = list(newest_of_each_dtype(found).values())
    return "\n\n".join([headline(found), CHART, footnote(runs)]) if runs else NOTHING


def headline(found: Sequence[Document]) -> str:
    ratios = square_ratios(found)
    sizes = sorted({n for by_n in ratios.values() for n in by_n})
    small = speed_ups(ratios, [n for n in sizes if n <= SMALL])
    large = speed_ups(ratios, [n for n in sizes if n > SMALL])
    return (
        f"**{small[0]} as fast as `numpy.linalg.svd` for n × n matrices with {small[1]}, "
        f"{large[0]} with {large[1]}.**"
    )


def speed_ups(ratios: Ratios, sizes: Sequence[int]) -> tuple[str, str]:
    """How many times as fast, and for which n."""
    found = [by_n[n] for by_n in ratios.values() for n in sizes if n in by_n]
    least, most = two_digits(min(found)), two_digits(max(found))
    return f"{least} to {most} times", f"n = {sizes[0]} to {sizes[-1]}"


def square_ratios(found: Sequence[Document]) -> Ratios:
    """NumPy's time over that of driver="auto", by dtype and n: thin, in batches of 10 MB."""
    ratios: Ratios = {}
    for row in newest_rows(found):
        if (row["section"], row["work"]) == ("square", "thin"):
            ratios.setdefault(row["dtype"], {})[row["n"]] = row["ratio"]["auto"]
    return {dtype: ratios[dtype] for dtype in DTYPES if dtype in ratios}


def footnote(runs: Sequence[Document]) -> str:
    ran_on = max((run["provenance"] for run in runs), key=lambda ran_on: str(ran_on["date"]))
    days = sorted({str(run["provenance"]["date"])[:10] for run in runs})
    commits = sorted({str(run["provenance"]["commit"]) for run in runs})
    blas = str(ran_on["blas"]).removeprefix("scipy-").replace("openblas", "OpenBLAS")
    parts = [
        "Higher is better; the scale is logarithmic. Measured with `full_matrices=False` on random matrices",
        "in batches of 10 MB, as medians of interleaved calls,",
        f"on {ran_on['cores']} cores of an {ran_on['cpu']} on {' and '.join(days)}:",
        f"gpusvd {ran_on['gpusvd']} ({', '.join(commits)}), NumPy {ran_on['numpy']} with {blas},",
        f"numba {ran_on['numba']}, Python {ran_on['python']}.",
    ]
    return paragraph(" ".join(parts))


def newest_of_each_dtype(found: Iterable[Document]) -> dict[str, Document]:
    """Return the newest run that has square matrices of each dtype, of the machine measured last.

    Runs on another machine, or of other versions, are left out: a chart has one machine.
    """
    runs = sorted((run for run in found if dtypes(run)), key=lambda run: str(run["provenance"]["date"]))
    alike = [run for run in runs if machine(run) == machine(runs[-1])]
    return {dtype: run for run in alike for dtype in dtypes(run)}


def newest_rows(found: Iterable[Document]) -> list[Row]:
    newest = newest_of_each_dtype(found)
    return [row for dtype, run in newest.items() for row in run["rows"] if row["dtype"] == dtype]


def dtypes(run: Document) -> set[str]:
    return {row["dtype"] for row in run["rows"] if row["section"] == "square"}


def machine(run: Document) -> tuple[Any, ...]:
    return tuple(run["provenance"][name] for name in MACHINE)


# Where it loses


def losses(found: Sequence[Document], beside: Sequence[Document]) -> str:
    """Where gpusvd is slower than something else, as a list."""
    rows = newest_rows(found)
    if not rows:
        return NOTHING
    points = (small_batches(rows), one_core(found), large_with_torch(beside), large_with_jacobi(rows))
    return "\n".join(paragraph(f"- {point}", hanging=2) for point in points)


def small_batches(rows: Sequence[Row]) -> str:
    single = [row["seconds"] for row in rows if row["section"] == "single" and row["n"] <= SMALL]
    more = statistics.median(seconds["auto"]["p50"] - seconds["numpy"]["p50"] for seconds in single)
    batches = (row for row in rows if row["section"] in ("sweep", "rectangular"))
    worst = min(batches, key=lambda row: row["ratio"]["auto"])
    kind = f"{worst['dtype']}{OTHER_WORK[worst['work']]}"
    return (
        f"**A few small matrices.** A call takes about {1e6 * more:.0f} µs longer than NumPy's. "
        f"The worst batch measured, {worst['batch']} matrices of {worst['m']} × {worst['n']} ({kind}), "
        f"takes {two_digits(1 / worst['ratio']['auto'])} times NumPy's time."
    )


def one_core(found: Sequence[Document]) -> str:
    cores = next(iter(newest_of_each_dtype(found).values()))["provenance"]["cores"]
    return (
        f"**One core.** Up to about 40 columns NumPy uses one core only, while gpusvd used all {cores}. "
        f"If you have one core, divide the speed-up by about {cores}."
    )


def large_with_torch(beside: Sequence[Document]) -> str:
    slower: dict[bool, list[float]] = {True: [], False: []}
    for (_, dtype, _, n), row in filling(beside).items():
        if n >= LARGE and "torch" in row["seconds"]:
            times = row["seconds"]
            slower[dtype in SINGLE].append(times["auto"]["p50"] / times["torch"]["p50"])
    single, double = (two_digits(max(slower[which])) for which in (True, False))
    return (
        f"**Large matrices.** From {LARGE} columns on, torch with MKL is up to {single} times as fast in "
        f"single precision and up to {double} times in double."
    )


def large_with_jacobi(rows: Sequence[Row]) -> str:
    """From the square matrices of the sweep that are so large that the default is LAPACK."""
    slower = {
        row["n"]: row["ratio"]["auto"] / row["ratio"]["jacobi"]
        for row in rows
        if (row["section"], row["dtype"], row["work"]) == ("sweep", "float64", "thin")
        and row["m"] == row["n"] > LARGE
    }
    times = " and ".join(
        f"{two_digits(ratio)} times as long at {n} × {n}" for n, ratio in sorted(slower.items())
    )
    return (
        "**Small singular values of large matrices.** LAPACK, the default there, does not compute them "
        f'accurately. `driver="jacobi"` does, but takes {times} (float64).'
    )
