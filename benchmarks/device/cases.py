"""The cases of the benchmark on a GPU, the most telling ones first, and the goals for them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

SQUARES = (2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 32, 33, 48, 64, 96, 128, 192, 256, 384, 512)
RECTANGLES = ((64, 8), (256, 16), (1000, 3), (8, 64))
REPRESENTATIVES = (3, 8, 32, 64, 128, 256)  # of the kernels' size classes
SINGLE, DOUBLE = ("float32", "complex64"), ("float64", "complex128")
REAL, COMPLEX = ("float32", "float64"), ("complex64", "complex128")
SMALL_BATCHES = (1, 10, 100)
MIDDLE_BATCHES = (1000, 10_000, 100_000)
FILLING = 1e9  # bytes of the largest batch
LEAST_CHECK = 0.5  # seconds of the large check for a shape and dtype
ONE_CALL = 32  # up to so many rows and columns CuPy hands cuSOLVER a batch in one call; beyond, it loops

OTHERS = ("torch gesvdj", "torch gesvda", "jax", "cuSOLVER gesvda", "cuSOLVER gesvdj")

Task = dict[str, Any]
Row = dict[str, Any]


class Case(NamedTuple):
    """A batch of m x n matrices: `batch` of them, or (None) as many as fill `FILLING` bytes."""

    m: int
    n: int
    dtype: str
    work: str
    batch: int | None = None

    def matrix_bytes(self) -> int:
        return self.m * self.n * np.dtype(self.dtype).itemsize

    def count(self, filling: float = FILLING) -> int:
        return self.batch or max(1, int(filling / self.matrix_bytes()))


def squares(dtypes: tuple[str, ...], work: str, sizes: tuple[int, ...] = SQUARES) -> list[Case]:
    return [Case(n, n, dtype, work) for n in sizes for dtype in dtypes]


def rectangles(work: str) -> list[Case]:
    return [Case(m, n, dtype, work) for m, n in RECTANGLES for dtype in REAL + COMPLEX]


def filling_cases() -> list[Case]:
    """Batches that fill the card."""
    return [
        *squares(REAL, "thin"),
        *squares(COMPLEX, "thin"),
        *squares(REAL, "values"),
        *rectangles("thin"),
        *squares(COMPLEX, "values"),
        *rectangles("values"),
    ]


def batches(sizes: tuple[int, ...], dtypes: tuple[str, ...], counts: tuple[int, ...]) -> list[Case]:
    """Batches of given counts, as long as they are smaller than what fills the card."""
    cases = [Case(n, n, dtype, "thin", count) for dtype in dtypes for n in sizes for count in counts]
    return [case for case in cases if case.count() < case._replace(batch=None).count()]


def speed_tasks(*, quick: bool = False) -> list[Task]:
    """Everything of the benchmark, in the order of importance: when the time is short, the end is left
    out."""
    against_cupy = ["gpusvd", "cupy"]
    filling = filling_cases()
    thin_real, rest = filling[: 2 * len(SQUARES)], filling[2 * len(SQUARES) :]
    thin_complex, rest = rest[: 2 * len(SQUARES)], rest[2 * len(SQUARES) :]
    order: list[tuple[list[Case], list[str]]] = [
        (thin_real, against_cupy),
        (batches(SQUARES, ("float32",), SMALL_BATCHES), against_cupy),
        (thin_complex, against_cupy),
        (rest, against_cupy),
        (squares(("float32",), "thin", (3, 8, 16, 32, 33, 48, 64, 128)), list(OTHERS)),
        ([Case(m, n, "float32", "thin") for m, n in RECTANGLES], list(OTHERS)),
        (squares(("float64",), "thin", (3, 8, 32, 64, 128)), list(OTHERS)),
        (batches(SQUARES, ("float64",), SMALL_BATCHES), against_cupy),
        (batches((3, 8, 32, 64, 128), ("float32",), MIDDLE_BATCHES), against_cupy),
        (batches((8, 32, 64), COMPLEX, SMALL_BATCHES), against_cupy),
    ]
    if quick:
        order = [
            (squares(("float32", "complex128"), "thin", (3, 8, 33)), against_cupy),
            (batches((8,), ("float32",), (1, 100)), against_cupy),
            (squares(("float32",), "thin", (8, 33)), list(OTHERS)),
        ]
    scale = 1e-2 if quick else 1.0
    return [
        {**case._asdict(), "contenders": contenders, "filling": FILLING * scale}
        for cases, contenders in order
        for case in cases
    ]


def compile_tasks(*, quick: bool = False) -> list[Task]:
    """First calls that compile: the CPU's kernels, which results are compared with, and the GPU's."""
    dtypes = REAL[:1] + COMPLEX[1:] if quick else REAL + COMPLEX
    tasks: list[Task] = [
        {"device": "cpu", "m": 8, "n": 8, "dtype": dtype, "work": "thin"} for dtype in dtypes
    ]
    shapes: Iterator[tuple[int, int, str, str]] = (
        (case.m, case.n, case.dtype, case.work) for case in filling_cases()
    )
    if quick:
        shapes = ((n, n, dtype, "thin") for n in (3, 8, 33) for dtype in dtypes)
    tasks += [
        {"device": "cuda", "m": m, "n": n, "dtype": dtype, "work": work} for m, n, dtype, work in shapes
    ]
    return tasks


def load_tasks(*, quick: bool = False) -> list[Task]:
    """First calls that find their machine code on disk, a size of each class."""
    wanted = REPRESENTATIVES[:2] if quick else REPRESENTATIVES
    return [
        task
        for task in compile_tasks(quick=quick)
        if task["device"] == "cuda" and task["work"] == "thin" and task["m"] == task["n"] in wanted
    ]


def check_tasks(seconds: float, *, quick: bool = False) -> list[Task]:
    """Sizes at both edges of each class and inside, then rectangles; in so many seconds all together."""
    shapes = [(n, n) for n in (3, 8, 32, 64, 128, 256, 2, 4, 5, 6, 16, 33, 48, 96, 192, 512)]
    shapes += RECTANGLES
    if quick:
        shapes = [(3, 3), (8, 8), (33, 33)]
    matrices = 1000 if quick else 1_000_000
    each = max(LEAST_CHECK, seconds / (len(shapes) * len(REAL + COMPLEX)))
    return [
        {"m": m, "n": n, "dtype": dtype, "matrices": matrices, "seconds": each}
        for m, n in shapes
        for dtype in REAL + COMPLEX
    ]


# Goals, of random square matrices


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


def filling_squares(low: int, high: int, dtypes: Sequence[str] = ()) -> Callable[[Row], bool]:
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
        Goal("times CuPy, n <= 32", 10, filling_squares(1, 32), times_cupy),
        Goal("times CuPy, n = 33..128", 50, filling_squares(33, 128), times_cupy),
        Goal("times CuPy, n = 129..512", 5, filling_squares(129, 512), times_cupy),
        Goal("of the bound, n = 2, 3 float32", 0.6, filling_squares(2, 3, ("float32",)), of_bound),
        Goal("of the bound, n = 4..32", 0.35, filling_squares(4, 32), of_bound),
        Goal("of the bound, n = 33..128", 0.25, filling_squares(33, 128), of_bound),
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
