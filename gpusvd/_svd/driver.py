"""Choose between Jacobi and the vendor's SVD."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gpusvd._base.checks import Driver, Taken, working_dtype
from gpusvd._svd.driver_table import ASPECTS, JACOBI_UP_TO, LEAST, RELATIVE
from gpusvd._svd.options import Options

JACOBI_COLUMNS = 512  # the most that the CUDA kernels take; beyond, `driver="auto"` is cuSOLVER


@lru_cache(maxsize=1024)
def choose(
    m: int, n: int, dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool, hermitian: bool
) -> Taken:
    """Return what "auto" stands for on the CPU.

    It depends on M, N, the dtype and what is wanted, never on the batch or its values: a matrix has one
    answer.
    """
    most = jacobi_up_to(m, n, dtype, full_matrices, compute_uv, hermitian)
    if min(m, n) > most:
        return "vendor"
    return "jacobi" if compute_uv or min(m, n) <= RELATIVE else "bidiagonal"


def choose_driver(options: Options, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Taken:
    """Return the driver that the options ask for, or that "auto" stands for on the CPU."""
    if options.driver != "auto":
        return options.driver
    m, n = shape[-2:]
    return choose(m, n, dtype, options.full_matrices, options.compute_uv, options.hermitian)


def jacobi_up_to(
    m: int, n: int, dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool, hermitian: bool
) -> int:
    """Return the largest min(m, n) for which "auto" is not LAPACK, for matrices of this aspect.

    Between the aspects of the table its neighbours decide, the one most in favour of LAPACK.
    """
    if hermitian:
        work = "hermitian" if compute_uv else "hermitian values"
    elif compute_uv:
        work = "full" if full_matrices else "thin"
    else:
        work = "values"
    row = JACOBI_UP_TO[working_dtype(dtype).name, work]
    small, large = min(m, n), max(m, n)
    places = _neighbours(ASPECTS, large / max(1, small))
    return max(LEAST, min(row[min(i, len(row) - 1)] for i in places))


def _neighbours(points: Sequence[int], x: float) -> tuple[int, ...]:
    """Return the places of the points next to `x`: two, or one where `x` is a point or lies beyond them."""
    right = bisect_left(points, x)
    if right == len(points):
        return (right - 1,)
    return (right,) if right == 0 or points[right] == x else (right - 1, right)


def choose_on_gpu(shape: Sequence[int], driver: Driver | Taken) -> Taken:
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
