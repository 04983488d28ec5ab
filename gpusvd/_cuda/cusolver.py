"""cuSOLVER's SVD of a batch, through CuPy."""

from typing import Any

import numpy as np

from gpusvd._base.arrays import from_lower_triangles
from gpusvd._base.checks import factor_dtype, working_dtype
from gpusvd._base.results import Info


def decompose(cupy: Any, a: Any, u: Any, s: Any, vh: Any, info: Info | None, *, hermitian: bool) -> None:
    """Write cuSOLVER's factors, NaN for a matrix that is not finite, and what happened into `info`, if given.

    As `gpusvd._cpu.lapack.decompose`, for CuPy arrays.
    """
    block = a.astype(working_dtype(factor_dtype(a.dtype)), copy=False)
    if hermitian:
        block = from_lower_triangles(cupy, block)
    finite = cupy.isfinite(block).all(axis=(-2, -1))
    block = cupy.where(finite[..., np.newaxis, np.newaxis], block, 0)
    if u is None:
        factors, targets = [cupy.linalg.svd(block, compute_uv=False)], [s]
    else:
        full = u.shape[-1] == a.shape[-2] and vh.shape[-2] == a.shape[-1]
        factors, targets = cupy.linalg.svd(block, full_matrices=full), [u, s, vh]
    for target, factor in zip(targets, factors, strict=True):
        whole = finite[(..., *[np.newaxis] * (target.ndim - finite.ndim))]
        target[...] = cupy.where(whole, factor, np.nan)
    if info is not None:
        info.converged[...] = finite & cupy.isfinite(s[..., 0])
        info.sweeps[...] = 0
        info.off[...] = np.nan
