"""Choose between Jacobi and the vendor's SVD."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from gpusvd._base.checks import Driver, working_dtype
from gpusvd._svd.driver_table import ASPECTS, JACOBI_FROM, SIZES
from gpusvd._svd.options import Options

JACOBI_COLUMNS = 512  # the most that the CUDA kernels take; beyond, `driver="auto"` is cuSOLVER


def choose(
    shape: tuple[int, ...], dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool, hermitian: bool
) -> tuple[Literal["jacobi", "vendor"], int | None]:
    """Return the faster driver for a batch, and from which batch on that is Jacobi, None if it never is."""
    *batch, m, n = shape
    first = jacobi_from(m, n, dtype, bool(full_matrices), bool(compute_uv), bool(hermitian))
    return ("vendor" if first is None or math.prod(batch) < first else "jacobi"), first


def choose_driver(options: Options, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Driver:
    """Return the driver that the options ask for, or that "auto" stands for on the CPU."""
    if options.driver != "auto":
        return options.driver
    driver, _ = choose(shape, dtype, options.full_matrices, options.compute_uv, options.hermitian)
    return driver


@lru_cache(maxsize=1024)
def jacobi_from(
    m: int, n: int, dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool, hermitian: bool
) -> int | None:
    """Return the smallest batch for which Jacobi is the faster driver, None if there is none.

    Between the sizes and aspects of the table its neighbours decide, the one most in favour of LAPACK.
    """
    if hermitian:
        work = "hermitian" if compute_uv else "hermitian values"
    elif compute_uv:
        work = "full" if full_matrices else "thin"
    else:
        work = "values"
    rows = JACOBI_FROM[working_dtype(dtype).name, work]
    small, large = min(m, n), max(m, n)
    if not 0 < small <= SIZES[-1]:
        return None
    first = 1
    for i in _neighbours(ASPECTS, large / small):
        for j in _neighbours(SIZES, small):
            batch = rows[min(i, len(rows) - 1)][j]
            if batch is None:
                return None
            first = max(first, batch)
    return first


def _neighbours(points: Sequence[int], x: float) -> tuple[int, ...]:
    """Return the places of the points next to `x`: two, or one where `x` is a point or lies beyond them."""
    right = bisect_left(points, x)
    if right == len(points):
        return (right - 1,)
    return (right,) if right == 0 or points[right] == x else (right - 1, right)


def choose_on_gpu(shape: Sequence[int], driver: Driver) -> Driver:
    """Return the driver that decomposes matrices of a shape on a GPU.

    "auto" is Jacobi for the sizes that its kernels are made for. Raise ValueError for "jacobi" beyond them.
    """
    smaller = min(shape[-2:])
    if driver == "jacobi" and smaller > JACOBI_COLUMNS:
        raise ValueError(
            f"driver='jacobi' takes matrices of up to {JACOBI_COLUMNS} rows or columns on a GPU, not "
            f"{smaller}: driver='vendor' and 'auto' take any"
        )
    if driver != "auto":
        return driver
    return "jacobi" if smaller <= JACOBI_COLUMNS else "vendor"
