"""Measure from which batch on Jacobi is faster than LAPACK here, and rewrite the table of driver="auto".

With --merge LAPACK also stays wherever it was the faster one on the machines that the table was measured on.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, WORK, Row, command, compare, count_filling, random_batch, recorded
from gpusvd._svd import driver_table as _driver_table
from gpusvd._svd.driver_table import ASPECTS, JACOBI_FROM, SIZES

BATCHES = tuple(2**k for k in range(1, 11))  # one matrix alone is not worth compiling for
MARGIN = 0.97  # Jacobi has to win by more than noise
MEASURED = "# Measured on "  # opens a line of the table's file for each machine
LEAST = 32  # matrices that the largest batch has: groups of SIMD lanes for two threads
LONGEST = 2048  # rows beyond which nothing is measured, and LAPACK is taken

Column = tuple[tuple[int | None, ...], ...]
Table = dict[tuple[str, str], Column]


class Effort(NamedTuple):
    """How long to look."""

    sizes: tuple[int, ...]
    rounds: int
    megabytes: float  # of the largest batch


FULL = Effort(SIZES, rounds=5, megabytes=4)
QUICK = Effort(SIZES[:4], rounds=1, megabytes=0.02)


def main() -> None:
    parser = command("calibrate", __doc__, quick="few sizes and rounds, the table left alone")
    parser.add_argument(
        "--dtype", nargs="+", choices=DTYPES, default=DTYPES, help="leave the others as they are"
    )
    parser.add_argument("--work", nargs="+", choices=WORK, default=[*WORK], help="likewise")
    parser.add_argument("--merge", action="store_true", help="keep what the table has of other machines")
    arguments = parser.parse_args()
    effort, table = QUICK if arguments.quick else FULL, dict(JACOBI_FROM)
    with recorded("calibrate", saved=not arguments.quick) as (ran_on, rows):
        for dtype, work in product(arguments.dtype, arguments.work):
            print(f"\n{dtype}, {work}: smallest batch from which Jacobi is faster\n{'min(m, n)':12}", end="")
            print(*(f"{size:6}" for size in effort.sizes))
            column = calibrate(dtype, work, effort, rows)
            table[dtype, work] = later(table[dtype, work], column) if arguments.merge else column
        if not arguments.quick:
            here = f"{ran_on['cpu']}, {ran_on['cores']} cores, {ran_on['date'][:10]}"
            rewrite(Path(_driver_table.__file__), table, here, keep=arguments.merge)


def calibrate(dtype: str, work: str, effort: Effort, rows: list[Row]) -> Column:
    """The table's entry for one kind of work; every measurement is added to `rows`."""
    column = []
    for aspect in (1,) if work.startswith("hermitian") else ASPECTS:
        print(f"{f'aspect {aspect}':12}", end="")
        batches: list[int | None] = []
        for size in effort.sizes:
            batches.append(smallest_batch(dtype, work, aspect * size, size, effort, rows))
            print(f" {batches[-1] or 'never':>6}", end="", flush=True)
        print()
        column.append(tuple(batches))
    return tuple(column)


def smallest_batch(dtype: str, work: str, m: int, n: int, effort: Effort, rows: list[Row]) -> int | None:
    """Return the smallest batch at which Jacobi is faster, by bisection: one crossover is assumed."""
    if m > LONGEST:
        return None
    largest = max(LEAST, count_filling(effort.megabytes, m, n, dtype, work))
    batches = [batch for batch in BATCHES if batch <= largest]
    a = random_batch(batches[-1], m, n, dtype, hermitian=work.startswith("hermitian"))

    def jacobi_is_faster(batch: int) -> bool:
        seconds = compare(
            {driver: call(a[:batch], driver, WORK[work]) for driver in ("jacobi", "vendor")},
            rounds=effort.rounds,
        )
        rows.append({"dtype": dtype, "work": work, "m": m, "n": n, "batch": batch, "seconds": seconds})
        return seconds["jacobi"]["p50"] < MARGIN * seconds["vendor"]["p50"]

    if not any(jacobi_is_faster(batches[-1]) for _ in range(3)):  # asked again: "never" is a strong word
        return None
    return batches[bisect_left(batches, True, hi=len(batches) - 1, key=jacobi_is_faster)]


def call(a: np.ndarray, driver: str, options: dict[str, bool]) -> Callable[[], object]:
    return lambda: gpusvd.svd(a, driver=driver, **options)


def later(one: Column, other: Column) -> Column:
    """The larger batches of two entries; None, that is never, is the largest."""
    return tuple(
        tuple(None if None in pair else max(pair) for pair in zip(*rows, strict=True))
        for rows in zip(one, other, strict=True)
    )


def rewrite(path: Path, table: Table, measured_on: str, *, keep: bool) -> None:
    """Put `table` where the old one stands, below the sizes and aspects; `keep` who measured that one."""
    sizes = f"ASPECTS = {ASPECTS}\n"
    head, found, old = path.read_text().partition(sizes)
    if not found:
        raise ValueError(f"{path} has no line {sizes!r}")
    machines = [line for line in old.splitlines() if keep and line.startswith(MEASURED)]
    lines = [
        *dict.fromkeys([*machines, f"{MEASURED}{measured_on}."]),
        "JACOBI_FROM: dict[tuple[str, str], tuple[tuple[int | None, ...], ...]] = {",
    ]
    for (dtype, work), column in table.items():
        if len(column) == 1:
            lines.append(f'    ("{dtype}", "{work}"): {column},')
        else:
            rows = [f"        {row}," for row in column]
            lines += [f'    ("{dtype}", "{work}"): (', *rows, "    ),"]
    path.write_text("\n".join([head + sizes, *lines, "}\n"]))


if __name__ == "__main__":
    main()
