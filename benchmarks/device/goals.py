"""What the benchmark on a GPU is to reach, and where it does not: random square matrices, with vectors."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]


class Goal(NamedTuple):
    """A number that every row it is for is to reach, if the row has it."""

    what: str
    least: float
    concerns: Callable[[Row], bool]
    reached: Callable[[Row], float | None]


class Verdict(NamedTuple):
    """How many rows reach a goal, and the one that is farthest from it."""

    goal: Goal
    met: int
    rows: int
    worst: Row
    value: float


def filling(low: int, high: int, dtypes: Sequence[str] = ()) -> Callable[[Row], bool]:
    def concerns(row: Row) -> bool:
        square = row["m"] == row["n"] and low <= row["n"] <= high
        return (
            square and row["work"] == "thin" and not row["batch"] and (not dtypes or row["dtype"] in dtypes)
        )

    return concerns


def is_small_batch(row: Row) -> bool:
    return row["work"] == "thin" and 0 < (row["batch"] or 0) <= 100


def times_cupy(row: Row) -> float | None:
    """How many times CuPy's matrices a second; None where one was not measured."""
    rate = row["rate"]
    return rate["gpusvd"] / rate["cupy"] if "gpusvd" in rate and "cupy" in rate else None


def of_bound(row: Row) -> float | None:
    return row.get("of_bound")


def times_vectors(rows: Sequence[Row]) -> Callable[[Row], float | None]:
    """How many times the matrices a second of the same with vectors."""
    thin = {
        (row["m"], row["n"], row["dtype"]): row["rate"]["gpusvd"]
        for row in rows
        if row["work"] == "thin" and not row["batch"]
    }

    def reached(row: Row) -> float | None:
        vectors = thin.get((row["m"], row["n"], row["dtype"]))
        return None if vectors is None else row["rate"]["gpusvd"] / vectors

    return reached


def goals(rows: Sequence[Row]) -> list[Goal]:
    return [
        Goal("times CuPy, n <= 32", 10, filling(1, 32), times_cupy),
        Goal("times CuPy, n = 33..128", 50, filling(33, 128), times_cupy),
        Goal("times CuPy, n = 129..512", 5, filling(129, 512), times_cupy),
        Goal("of the bound, n = 2, 3 float32", 0.6, filling(2, 3, ("float32",)), of_bound),
        Goal("of the bound, n = 4..32", 0.35, filling(4, 32), of_bound),
        Goal("of the bound, n = 33..128", 0.25, filling(33, 128), of_bound),
        Goal("times CuPy, batch 1..100", 1, is_small_batch, times_cupy),
        Goal(
            "values only, times with vectors", 1.5, lambda row: row["work"] == "values", times_vectors(rows)
        ),
    ]


def verdicts(speed: Iterable[Row]) -> list[Verdict]:
    """Judge the rows of the benchmark; goals without any row are left out."""
    rows = [row for row in speed if "gpusvd" in row.get("rate", {})]
    found = []
    for goal in goals(rows):
        values = [(goal.reached(row), row) for row in rows if goal.concerns(row)]
        known = [(value, row) for value, row in values if value is not None]
        if known:
            value, worst = min(known, key=lambda pair: pair[0])
            found.append(Verdict(goal, sum(x >= goal.least for x, _ in known), len(known), worst, value))
    return found
