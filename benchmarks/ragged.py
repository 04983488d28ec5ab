"""Matrices of several sizes: `svd_ragged` against a loop of numpy.linalg.svd, beside the same in batches."""

import statistics
from itertools import product

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, Row, by_turns, command, recorded

# Sizes of which each matrix has one by chance, and how many matrices.
MIXTURES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((2, 3, 4), 20_000),
    ((8,), 10_000),
    ((6, 8, 10), 10_000),
    ((12, 16, 20), 4000),
    ((24, 32, 40), 1000),
    ((48, 64), 300),
    (tuple(range(2, 66)), 2000),
    (tuple(range(2, 66)), 64),
)
HEADING = f"""
Speed-up over NumPy, thin SVD: numpy.linalg.svd of a batch of each size over gpusvd.svd,
and a loop of numpy.linalg.svd over svd_ragged, without and with all its items made. Goal: 75% of
the first.

{"dtype":9}{"sizes":>14}{"matrices":>10}{"batches":>9}{"ragged":>8}{"items":>8}{"of it":>8}"""


def main() -> None:
    parser = command("ragged", __doc__, quick="few matrices", dtypes=DTYPES)
    parser.set_defaults(dtype=DTYPES[:2])
    arguments = parser.parse_args()
    part, rounds = (10, 3) if arguments.quick else (1, 9)
    with recorded("ragged", saved=not arguments.quick) as (_, rows):
        print(HEADING)
        for dtype, (sizes, count) in product(arguments.dtype, MIXTURES):
            rows.append(measured(dtype, sizes, count // part, rounds))
            print_row(rows[-1])


def print_row(row: Row) -> None:
    sizes = row["sizes"]
    name = ", ".join(map(str, sizes)) if len(sizes) < 4 else f"{sizes[0]} to {sizes[-1]}"
    batches, ragged, items = (row[f"{calls}_ratio"] for calls in ("batches", "ragged", "items"))
    print(
        f"{row['dtype']:9}{name:>14}{row['count']:10}{batches:9.1f}{ragged:8.1f}{items:8.1f}"
        f"{ragged / batches:8.0%}",
        flush=True,
    )


def measured(dtype: str, sizes: tuple[int, ...], count: int, rounds: int) -> Row:
    """Seconds and ratios of a list of random square matrices."""
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((n, n)).astype(dtype) for n in rng.choice(sizes, count)]
    batches = [np.stack([a for a in matrices if len(a) == n]) for n in {len(a) for a in matrices}]
    calls = {
        "numpy_batches": lambda: [np.linalg.svd(a, full_matrices=False) for a in batches],
        "gpusvd_batches": lambda: [gpusvd.svd(a, full_matrices=False) for a in batches],
        "loop": lambda: [np.linalg.svd(a, full_matrices=False) for a in matrices],
        "ragged": lambda: gpusvd.svd_ragged(matrices, full_matrices=False),
        "items": lambda: list(gpusvd.svd_ragged(matrices, full_matrices=False)),
    }
    for call in calls.values():
        call()  # compiles
    seconds = {name: statistics.median(times) for name, times in by_turns(calls, rounds=rounds).items()}
    return {
        "dtype": dtype,
        "sizes": sizes,
        "count": count,
        "seconds": seconds,
        "batches_ratio": seconds["numpy_batches"] / seconds["gpusvd_batches"],
        "ragged_ratio": seconds["loop"] / seconds["ragged"],
        "items_ratio": seconds["loop"] / seconds["items"],
    }


if __name__ == "__main__":
    main()
