"""Tasks of first calls: with an empty cache they compile, with a filled one they load.

Sizes share kernels, so with an empty cache a call compiles what no size before it has needed.
"""

import time
from typing import Any

import numpy as np

import gpusvd
from gpusvd._cuda.arrays import cupy_with_device


def run(task: dict[str, Any]) -> dict[str, Any]:
    m, n, dtype, work = task["m"], task["n"], task["dtype"], task["work"]
    if task["device"] == "cpu":
        start = time.perf_counter()
        gpusvd.warmup([(m, n), (64, 64)], [dtype], full_matrices=False)
        return {"first": time.perf_counter() - start}
    cupy = cupy_with_device()
    a = cupy.asarray(np.random.default_rng(0).standard_normal((2, m, n)).astype(dtype))
    cupy.cuda.runtime.deviceSynchronize()
    first, second = (call_seconds(cupy, a, work) for _ in range(2))
    return {"first": first, "second": second}


def call_seconds(cupy: Any, a: Any, work: str) -> float:
    start = time.perf_counter()
    gpusvd.svd(a, full_matrices=False, compute_uv=work == "thin", driver="jacobi")
    cupy.cuda.runtime.deviceSynchronize()
    return time.perf_counter() - start
