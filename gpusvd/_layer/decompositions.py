"""The SVD of arrays of any library, returned as arrays of that library."""

import numpy as np

from gpusvd._base.arrays import Namespace, is_numpy_or_cupy, is_torch, real_dtype, to_host
from gpusvd._base.checks import Driver
from gpusvd._base.results import Array, SVDResult
from gpusvd._layer.products import TINY, is_tiny
from gpusvd._svd.svd import svd, svdvals


def decompose(
    xp: Namespace, a: Array, driver: Driver, *, full_matrices: bool = False, hermitian: bool = False
) -> tuple[Array, Array, Array]:
    """
    Return U, S and Vh of floating-point matrices as arrays of their library.

    NumPy and CuPy arrays and tensors go to `gpusvd.svd` as they are. Arrays of any other library are copied
    to the host, and their factors back to the device of `a`.
    """
    if is_numpy_or_cupy(xp) or is_torch(xp):
        return svd(a, full_matrices, hermitian=hermitian, driver=driver)
    factors = svd(to_host(xp, a), full_matrices, hermitian=hermitian, driver=driver)
    return SVDResult(*(from_host(xp, factor, a) for factor in factors))


def decompose_along(xp: Namespace, a: Array, driver: Driver) -> tuple[Array, Array, Array]:
    """Return U, S and Vh, of tiny matrices with the batch innermost in memory, which costs nothing."""
    if not is_tiny(a) or a.shape[-2] > TINY:
        return decompose(xp, a, driver)
    count, m, n = a.shape
    k = min(m, n)
    u, vh = (np.empty((*shape, count), a.dtype).transpose(2, 0, 1) for shape in ((m, k), (k, n)))
    return svd(a, False, driver=driver, out=(u, np.empty((count, k), real_dtype(xp, a)), vh))


def singular_values(xp: Namespace, a: Array, driver: Driver, *, hermitian: bool = False) -> Array:
    """Return only the singular values, as `decompose` does."""
    if is_numpy_or_cupy(xp) or is_torch(xp):
        return svdvals(a, hermitian=hermitian, driver=driver)
    return from_host(xp, svdvals(to_host(xp, a), hermitian=hermitian, driver=driver), a)


def from_host(xp: Namespace, x: Array, beside: Array) -> Array:
    """Return a NumPy array as an array of a library, on the device of the array `beside`."""
    return xp.asarray(x) if is_numpy_or_cupy(xp) else xp.asarray(x, device=beside.device)
