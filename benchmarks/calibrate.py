"""Measure up to how many columns Jacobi is no slower than LAPACK, and rewrite the table of driver="auto".

A size is Jacobi's if a batch of eight and one of some megabytes are no slower than with LAPACK. How one
matrix and four compare is printed and recorded, and decides nothing. With --merge the smaller size counts of
those measured here and on the machines that the table comes from.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, WORK, Row, command, compare, count_filling, random_batch, recorded
from gpusvd._svd import driver_table as _driver_table
from gpusvd._svd.driver_table import ASPECTS, JACOBI_UP_TO, LEAST, SIZES

DECIDING = 8  # matrices from which on Jacobi must not be the slower one
MARGIN = 1.03  # what counts as noise
MEASURED = "# Measured on "  # opens a line of the table's file for each machine
LONGEST = 4096  # rows beyond which nothing is measured

Column = tuple[int, ...]
Table = dict[tuple[str, str], Column]


class Effort(NamedTuple):
    """How long to look."""

    sizes: tuple[int, ...]
    rounds: int
    megabytes: float  # of the largest batch


FULL = Effort(SIZES, rounds=5, megabytes=4)
QUICK = Effort(SIZES[:1], rounds=1, megabytes=0.02)


def main() -> None:
    parser = command("calibrate", __doc__, quick="few sizes and rounds, the table left alone")
    parser.add_argument(
        "--dtype", nargs="+", choices=DTYPES, default=DTYPES, help="leave the others as they are"
    )
    parser.add_argument("--work", nargs="+", choices=WORK, default=[*WORK], help="likewise")
    parser.add_argument("--merge", action="store_true", help="keep what the table has of other machines")
    arguments = parser.parse_args()
    effort, table = QUICK if arguments.quick else FULL, dict(JACOBI_UP_TO)
    with recorded("calibrate", saved=not arguments.quick) as (ran_on, rows):
        for dtype, work in product(arguments.dtype, arguments.work):
            print(f"\n{dtype}, {work}: Jacobi's time over LAPACK's for 1, 4, 8 and many matrices")
            column = calibrate(dtype, work, effort, rows)
            table[dtype, work] = smaller(table[dtype, work], column) if arguments.merge else column
        if not arguments.quick:
            here = f"{ran_on['cpu']}, {ran_on['cores']} cores, {ran_on['date'][:10]}"
            rewrite(Path(_driver_table.__file__), table, here, keep=arguments.merge)


def calibrate(dtype: str, work: str, effort: Effort, rows: list[Row]) -> Column:
    """The table's entry for one kind of work; every measurement is added to `rows`."""
    return tuple(
        largest_size(dtype, work, aspect, effort, rows)
        for aspect in ((1,) if work.startswith("hermitian") else ASPECTS)
    )


def largest_size(dtype: str, work: str, aspect: int, effort: Effort, rows: list[Row]) -> int:
    """Return the size up to which Jacobi is no slower."""
    largest = LEAST
    for size in effort.sizes:
        if aspect * size > LONGEST:
            break
        ratios = measure(dtype, work, aspect * size, size, effort, rows)
        print(f"{aspect * size:6} x {size:<4}", *(f"{ratio:6.2f}" for ratio in ratios.values()), flush=True)
        if any(ratio > MARGIN for batch, ratio in ratios.items() if batch >= DECIDING):
            break
        largest = size
    return largest


def measure(dtype: str, work: str, m: int, n: int, effort: Effort, rows: list[Row]) -> dict[int, float]:
    """Return Jacobi's time over LAPACK's by the number of matrices."""
    many = max(4 * DECIDING, count_filling(effort.megabytes, m, n, dtype, work))
    a = random_batch(many, m, n, dtype, hermitian=work.startswith("hermitian"))
    ratios = {}
    for batch in (1, 4, DECIDING, many):
        seconds = compare(
            {driver: call(a[:batch], driver, WORK[work]) for driver in ("jacobi", "vendor")},
            rounds=effort.rounds,
        )
        rows.append({"dtype": dtype, "work": work, "m": m, "n": n, "batch": batch, "seconds": seconds})
        ratios[batch] = seconds["jacobi"]["p50"] / seconds["vendor"]["p50"]
    return ratios


def call(a: np.ndarray, driver: str, options: dict[str, bool]) -> Callable[[], object]:
    return lambda: gpusvd.svd(a, driver=driver, **options)


def smaller(one: Column, other: Column) -> Column:
    """The smaller sizes of two entries."""
    return tuple(map(min, one, other))


def rewrite(path: Path, table: Table, measured_on: str, *, keep: bool) -> None:
    """Put `table` where the old one stands, below the sizes and aspects; `keep` who measured that one."""
    sizes = f"ASPECTS = {ASPECTS}\n"
    head, found, old = path.read_text().partition(sizes)
    if not found:
        raise ValueError(f"{path} has no line {sizes!r}")
    machines = [line for line in old.splitlines() if keep and line.startswith(MEASURED)]
    lines = [
        *dict.fromkeys([*machines, f"{MEASURED}{measured_on}."]),
        "JACOBI_UP_TO: dict[tuple[str, str], tuple[int, ...]] = {",
        *(f'    ("{dtype}", "{work}"): {column},' for (dtype, work), column in table.items()),
    ]
    path.write_text("\n".join([head + sizes, *lines, "}\n"]))


if __name__ == "__main__":
    main()
