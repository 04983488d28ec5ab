"""Run every class of CUDA kernels on small batches, for compute-sanitizer to watch:

    compute-sanitizer --tool memcheck python -m benchmarks.device.sanitize
    compute-sanitizer --tool racecheck python -m benchmarks.device.sanitize

Every array is an allocation of its own, so that an access beyond its end is seen. Prints a line for each
shape, and how many of them were wrong; the exit status is 1 if any was.
"""

import sys
from typing import Any

import numpy as np

import gpusvd
from benchmarks.device.accuracy import factor_errors
from gpusvd._cuda.arrays import cupy_with_device

SHAPES = ((5, 3, 3), (3, 8, 8), (3, 33, 33), (2, 64, 64), (1, 192, 192), (3, 64, 8), (3, 8, 64), (2, 32, 32))
DTYPES = ("float32", "complex128", "float64", "complex64")


def main() -> int:
    try:
        cupy = cupy_with_device()
    except (ImportError, RuntimeError) as error:
        print(f"sanitize: {error}", file=sys.stderr)
        return 2
    with cupy.cuda.using_allocator(None):
        wrong = run(cupy)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def run(cupy: Any) -> int:
    """Return how many shapes were wrong."""
    wrong = 0
    for dtype in DTYPES:
        for shape in SHAPES:
            host = np.random.default_rng(0).standard_normal(shape).astype(dtype)
            host[0, 0, 0] = np.nan
            host[-1, :, -1] = host[-1, :, 0]
            good = cupy.asarray(np.isfinite(host).all(axis=(1, 2)))
            a = cupy.asarray(host)
            U, S, Vh, info = gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")
            gpusvd.svdvals(a, driver="jacobi")
            gpusvd.svd(a, driver="jacobi")
            errors = factor_errors(cupy, a, U, S, Vh, wanted=good)
            right = bool((info.converged == good).all()) and max(errors.values()) <= 10 * max(shape)
            wrong += not right
            print(f"{dtype} {shape}: {'right' if right else f'wrong, {errors}'}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
