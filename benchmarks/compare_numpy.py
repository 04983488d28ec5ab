"""gpusvd beside numpy.linalg.svd.

Every ratio is NumPy's time over gpusvd's, each the median of interleaved calls in one process on the same
random batch, with all cores: at 2 gpusvd is twice as fast as NumPy, below 1 it is slower.
"""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, WORK, Row, command, compare, count_filling, random_batch, recorded

SIZES = (2, 3, 4, 8, 16, 32, 64, 128, 256)
GOALS = {
    "float32": (25, 20, 20, 18, 14, 8, 5, 2, 1),
    "float64": (20, 18, 15, 10, 7, 4.5, 3, 1.5, 1),
}
RECTANGLES = ((64, 8), (8, 64), (1000, 3))
SWEEP_SIZES = (2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 100, 128, 256, 512)
SWEEP_RECTANGLES = ((20, 5), (5, 20), (64, 8), (100, 33), (512, 2), (2, 512), (512, 64), (200, 100))
SWEEP_BATCHES = (16, 100, 1000, 10_000, 100_000, 1_000_000)
NOISE = 0.95  # a ratio above this is not called slower
SINGLE_ALLOWED = 15e-6  # seconds more than NumPy's, for a single matrix


class Effort(NamedTuple):
    """How long to look."""

    rounds: int
    megabytes: float  # of a batch
    sweep_megabytes: float  # of the largest batch in the sweep
    numpy_seconds: float  # of a huge batch NumPy gets as many matrices as take it this long

    def briefer(self) -> "Effort":
        return self._replace(rounds=max(3, self.rounds - 2), numpy_seconds=self.numpy_seconds / 5)


FULL = Effort(rounds=7, megabytes=10, sweep_megabytes=16, numpy_seconds=0.25)
QUICK = Effort(rounds=3, megabytes=0.5, sweep_megabytes=0.1, numpy_seconds=0.02)


def main() -> None:
    parser = command("compare_numpy", __doc__, quick="small batches, few rounds", dtypes=DTYPES)
    parser.add_argument(
        "--sizes", nargs="+", type=int, metavar="N", help="only square matrices, of these sizes"
    )
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else FULL
    saved = not (arguments.quick or arguments.sizes)  # a part of the sizes would stand for all of them
    with recorded("compare_numpy", saved=saved) as (_, rows):
        for dtype in arguments.dtype:
            rows += squares(dtype, arguments.sizes or SIZES, effort)
            if not arguments.sizes:
                rows += rectangles(dtype, effort)
            rectangular = () if arguments.sizes else SWEEP_RECTANGLES
            rows += sweep(dtype, arguments.sizes or SWEEP_SIZES, rectangular, effort.briefer())
            rows += singles(dtype, arguments.sizes or SIZES, effort)
        print_table(rows)
        print_misses(rows)


# What is measured


def squares(dtype: str, sizes: Sequence[int], effort: Effort) -> list[Row]:
    rows = []
    for work in ("thin", "values"):
        print_heading(f"square, {work}", dtype)
        for n in sizes:
            count = count_filling(effort.megabytes, n, n, dtype, work)
            rows.append(against_numpy("square", dtype, n, n, work, count, goal(dtype, n), effort))
    return rows


def rectangles(dtype: str, effort: Effort) -> list[Row]:
    rows = []
    for work in ("thin", "full", "values"):
        print_heading(f"rectangular, {work}", dtype)
        for m, n in RECTANGLES:
            count = count_filling(effort.megabytes, m, n, dtype, work)
            rows.append(against_numpy("rectangular", dtype, m, n, work, count, 1.0, effort))
    return rows


def sweep(
    dtype: str, sizes: Sequence[int], rectangles: Sequence[tuple[int, int]], effort: Effort
) -> list[Row]:
    """Batches from small to huge: driver="auto" is to be nowhere slower than NumPy."""
    rows = []
    shapes = [(work, n, n) for work in ("thin", "values") for n in sizes]
    shapes += [(work, m, n) for work in ("thin", "full", "values") for m, n in rectangles]
    print_heading("sweep of batches", dtype)
    for work, m, n in shapes:
        largest = max(SWEEP_BATCHES[0], count_filling(effort.sweep_megabytes, m, n, dtype, work))
        for count in SWEEP_BATCHES:
            if count <= largest:
                rows.append(against_numpy("sweep", dtype, m, n, work, count, 1.0, effort))
    return rows


def singles(dtype: str, sizes: Sequence[int], effort: Effort) -> list[Row]:
    rows = []
    print_heading("a single matrix, thin", dtype)
    for n in sizes:
        rows.append(against_numpy("single", dtype, n, n, "thin", 1, None, effort))
        seconds = rows[-1]["seconds"]
        more = seconds["auto"]["p50"] - seconds["numpy"]["p50"]
        rows[-1]["more_seconds"] = more
        print(f"{'':27}auto takes {1e6 * more:+.1f} us (goal: at most {1e6 * SINGLE_ALLOWED:+.0f} us)")
    return rows


def goal(dtype: str, n: int) -> float:
    """The ratio to reach with square matrices of size n; 1 where none is set."""
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    reach = dict(zip(SIZES, GOALS[real], strict=True)).get(n, 1.0)
    return reach if real == dtype else reach * 2 / 3


def against_numpy(
    section: str, dtype: str, m: int, n: int, work: str, count: int, reach: float | None, effort: Effort
) -> Row:
    """Time one batch three ways and print a line; NumPy gets a part of a huge batch, scaled to the whole."""
    a = random_batch(count, m, n, dtype)
    options = WORK[work]
    part = a[: numpy_share(a, options, effort.numpy_seconds)]
    seconds = compare(
        {
            "numpy": lambda: np.linalg.svd(part, **options),
            "jacobi": lambda: gpusvd.svd(a, driver="jacobi", **options),
            "auto": lambda: gpusvd.svd(a, **options),
        },
        rounds=effort.rounds,
    )
    seconds["numpy"] = {p: time * count / len(part) for p, time in seconds["numpy"].items()}
    ratio = {driver: seconds["numpy"]["p50"] / seconds[driver]["p50"] for driver in ("jacobi", "auto")}
    row = {"section": section, "dtype": dtype, "m": m, "n": n, "work": work, "batch": count}
    row |= {"numpy_batch": len(part), "seconds": seconds, "ratio": ratio, "goal": reach}
    each = " ".join(f"{1e6 * seconds[name]['p50'] / count:11.3f}" for name in seconds)
    wanted = "" if reach is None else f"{reach:8.3g}x"
    print(
        f"{m:5} x {n:<5}{work:6}{count:8} {each}{ratio['jacobi']:9.3g}x{ratio['auto']:9.3g}x {wanted}",
        flush=True,
    )
    return row


def numpy_share(a: np.ndarray, options: dict[str, bool], seconds: float) -> int:
    """How many of the matrices NumPy decomposes in so many seconds, 16 at least."""
    sample = a[:16]
    start = time.perf_counter()
    np.linalg.svd(sample, **options)
    each = (time.perf_counter() - start) / len(sample)
    return min(len(a), max(16, math.ceil(seconds / each)))


# What is printed


def print_heading(title: str, dtype: str) -> None:
    columns = "".join(f"{name + ' us':>12}" for name in ("numpy", "jacobi", "auto"))
    print(f"\n{dtype}, {title}: microseconds a matrix, and times as fast as NumPy")
    print(f"{'m x n':>10}{'batch':>17}{columns}{'jacobi':>10}{'auto':>10}{'goal':>10}")


def print_table(rows: list[Row]) -> None:
    """The ratios of square matrices, sizes across."""
    for dtype in DTYPES:
        for work in ("thin", "values"):
            chosen = [r for r in rows if (r["section"], r["dtype"], r["work"]) == ("square", dtype, work)]
            if not chosen:
                continue
            what = "with vectors" if work == "thin" else "values only"
            print(f"\n{dtype}, square, {what}: times as fast as NumPy")
            print(f"{'n':8}", *(f"{r['n']:7}" for r in chosen))
            print(f"{'goal':8}", *(f"{r['goal']:6.3g}x" for r in chosen))
            for driver in ("jacobi", "auto"):
                print(f"{driver:8}", *(f"{r['ratio'][driver]:6.3g}x" for r in chosen))


def print_misses(rows: list[Row]) -> None:
    """Where driver="auto" does not reach its goal."""
    misses = []
    for r in rows:
        where = f"{r['section']}, {r['dtype']}, {r['m']} x {r['n']}, {r['work']}, batch {r['batch']}"
        if r["section"] == "single":
            if r["more_seconds"] > SINGLE_ALLOWED and r["ratio"]["auto"] < NOISE:
                misses.append(f"{where}: {1e6 * r['more_seconds']:+.1f} us")
        elif r["ratio"]["auto"] < r["goal"] * (NOISE if r["goal"] == 1 else 1):
            misses.append(f"{where}: {r['ratio']['auto']:.3g}x of {r['goal']:.3g}x")
    print(f"\nauto misses {len(misses)} of {len(rows)} goals")
    for miss in misses:
        print(f"  {miss}")


if __name__ == "__main__":
    main()
