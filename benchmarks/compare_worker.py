"""A process of `benchmarks.compare`: imports gpusvd from the folder it is given and times it on demand.

It reads a question a line from its input: {"case": ..., "options": ...} for what to call from now on,
answered by 0 when it is compiled, or {"repeat": times}, answered by the seconds of one of so many calls. It
uses nothing of either commit but `gpusvd.svd`, and is not itself taken from them.
"""

import json
import sys
import time

import numpy as np


def main() -> None:
    sys.path[0] = sys.argv[1]  # instead of the folder of this file
    import gpusvd

    if not gpusvd.__file__.startswith(sys.argv[1]):
        raise RuntimeError(f"gpusvd comes from {gpusvd.__file__}, not from {sys.argv[1]}")

    a, options = np.empty((0, 1, 1)), {}

    def seconds(repeat: int) -> float:
        start = time.perf_counter()
        for _ in range(repeat):
            gpusvd.svd(a, **options)
        return (time.perf_counter() - start) / repeat

    for question in map(json.loads, sys.stdin):
        if "case" in question:
            case, options = question["case"], question["options"]
            shape = case["batch"], case["m"], case["n"]
            rng = np.random.default_rng(shape)
            a = rng.standard_normal(shape)
            if np.dtype(case["dtype"]).kind == "c":
                a = a + 1j * rng.standard_normal(shape)
            a = a.astype(case["dtype"])
            seconds(2)  # compiles, and touches memory
            answer = 0.0
        else:
            answer = seconds(question["repeat"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
