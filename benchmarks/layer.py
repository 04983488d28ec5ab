"""What the calls of the layer over arrays cost beside the decomposition that they make or start from.

100 000 random 8 x 8 matrices; medians of calls made by turns in one process. A call that starts from a matrix
is charged for what it takes longer than `svd`; one that starts from factors, for all of its time.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, compare, print_provenance, provenance, random_batch, save

ALLOWED = 0.3  # of the decomposition
GOALS = ("truncate to rank 4, reconstruct", "pinv", "polar")
SHAPE = (8, 8)

Calls = dict[str, Callable[[], Any]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small batch, few rounds, nothing saved")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES)
    arguments = parser.parse_args()
    count, rounds = (1000, 3) if arguments.quick else (100_000, 15)
    ran_on = provenance()
    print_provenance(ran_on)

    rows: list[dict[str, Any]] = []
    for dtype in arguments.dtype:
        a = random_batch(count, *SHAPE, dtype)
        from_factors, from_matrix = calls(a)
        svd = {"svd": lambda a=a: gpusvd.svd(a, full_matrices=False)}
        for call in (*from_factors, *from_matrix):
            one = {call: {**from_factors, **from_matrix}[call]}
            seconds = compare({**svd, **one}, rounds=rounds)  # by turns with svd alone: nothing else between
            base, mine = seconds["svd"]["p50"], seconds[call]["p50"]
            share = (mine - (base if call in from_matrix else 0)) / base
            rows.append({"call": call, "dtype": dtype, "count": count, "share": share, "seconds": seconds})
            missed = f", more than {ALLOWED:.0%}" if call in GOALS and share > ALLOWED else ""
            print(f"{dtype:12}{call:45}{mine * 1e3:8.1f} ms, {share:6.0%} of svd{missed}")
    if not arguments.quick:
        save("layer", ran_on, rows)


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
