"""The cost of the functions of the array layer, relative to the decomposition that they make or start from.

100 000 random 8 x 8 matrices; medians of interleaved calls in one process. A call that starts from a matrix
is charged for its time beyond that of `svd`; one that starts from factors, for all of its time.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, Row, command, compare, random_batch, recorded

ALLOWED = 0.3  # of the decomposition
GOALS = ("truncate to rank 4, reconstruct", "pinv", "polar")
SHAPE = (8, 8)

Calls = dict[str, Callable[[], Any]]


def main() -> None:
    arguments = command("layer", __doc__, quick="a small batch, few rounds", dtypes=DTYPES).parse_args()
    count, rounds = (1000, 3) if arguments.quick else (100_000, 15)
    with recorded("layer", saved=not arguments.quick) as (_, rows):
        for dtype in arguments.dtype:
            rows += measured(dtype, count, rounds)


def measured(dtype: str, count: int, rounds: int) -> Iterator[Row]:
    a = random_batch(count, *SHAPE, dtype)
    from_factors, from_matrix = calls(a)
    for name, call in (from_factors | from_matrix).items():
        svd = {"svd": lambda: gpusvd.svd(a, full_matrices=False)}
        seconds = compare({**svd, name: call}, rounds=rounds)  # interleaved with svd alone
        base, mine = seconds["svd"]["p50"], seconds[name]["p50"]
        share = (mine - (base if name in from_matrix else 0)) / base
        missed = f", more than {ALLOWED:.0%}" if name in GOALS and share > ALLOWED else ""
        print(f"{dtype:12}{name:45}{mine * 1e3:8.1f} ms, {share:6.0%} of svd{missed}")
        yield {"call": name, "dtype": dtype, "count": count, "share": share, "seconds": seconds}


def calls(a: np.ndarray) -> tuple[Calls, Calls]:
    """The calls that start from factors, and those that start from the matrices."""
    U, S, Vh = gpusvd.svd(a, full_matrices=False)
    b = a[..., :1]
    return {
        "truncate to rank 4, reconstruct": lambda: gpusvd.reconstruct(*gpusvd.truncate(U, S, Vh, rank=4)),
        "truncate to energy 0.9, reconstruct": lambda: gpusvd.reconstruct(
            *gpusvd.truncate(U, S, Vh, energy=0.9)
        ),
        "truncate to energy 0.9": lambda: gpusvd.truncate(U, S, Vh, energy=0.9),
        "reconstruct": lambda: gpusvd.reconstruct(U, S, Vh),
        "sign_flip": lambda: gpusvd.sign_flip(U, Vh),
        "effective_rank": lambda: gpusvd.effective_rank(S),
    }, {
        "pinv": lambda: gpusvd.pinv(a),
        "polar": lambda: gpusvd.polar(a),
        "inv": lambda: gpusvd.inv(a),
        "lstsq, one right-hand side": lambda: gpusvd.lstsq(a, b),
        "orth": lambda: gpusvd.orth(a),
        "projector": lambda: gpusvd.projector(a),
    }


if __name__ == "__main__":
    main()
