"""Matrices of several sizes: `svd_ragged` against a loop of numpy.linalg.svd, beside the same in batches."""

import argparse
import statistics
from typing import Any

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, by_turns, print_provenance, provenance, save

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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ragged", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few matrices, nothing saved")
    parser.add_argument("--dtype", choices=DTYPES, nargs="+", default=DTYPES[:2])
    arguments = parser.parse_args()
    ran_on = provenance()
    print_provenance(ran_on)
    print(
        "\nTimes as fast as NumPy, thin SVD: numpy.linalg.svd of a batch of each size over gpusvd.svd,\n"
        "and a loop of numpy.linalg.svd over svd_ragged, without and with all its items made. Goal: 75% of\n"
        "the first.\n\n"
        f"{'dtype':9}{'sizes':>14}{'matrices':>10}{'batches':>9}{'ragged':>8}{'items':>8}{'of it':>8}"
    )
    rows = []
    for dtype in arguments.dtype:
        for sizes, count in MIXTURES:
            row = measure(
                dtype, sizes, count // 10 if arguments.quick else count, 3 if arguments.quick else 9
            )
            rows.append(row)
            batches, ragged, items = (row[f"{name}_ratio"] for name in ("batches", "ragged", "items"))
            name = ", ".join(map(str, sizes)) if len(sizes) < 4 else f"{sizes[0]} to {sizes[-1]}"
            print(
                f"{dtype:9}{name:>14}{row['count']:10}{batches:9.1f}{ragged:8.1f}{items:8.1f}"
                f"{ragged / batches:8.0%}",
                flush=True,
            )
    if not arguments.quick:
        save("ragged", ran_on, rows)


def measure(dtype: str, sizes: tuple[int, ...], count: int, rounds: int) -> dict[str, Any]:
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
