"""The SVD of arrays of any library, returned as arrays of that library."""

import math
from collections.abc import Callable

from gpusvd._base.arrays import Namespace, is_numpy_or_cupy, quiet, to_host
from gpusvd._base.checks import Driver
from gpusvd._base.results import Array, SVDResult
from gpusvd._layer.products import in_pieces
from gpusvd._svd.svd import svd, svdvals

# Entries of matrices up to which factors that stay in the cache gain more than shorter batches cost.
_SMALL = 256


def decompose(
    xp: Namespace, a: Array, driver: Driver, *, full_matrices: bool = False, hermitian: bool = False
) -> tuple[Array, Array, Array]:
    """
    Return U, S and Vh of floating-point matrices as arrays of their library.

    NumPy and CuPy arrays go to `gpusvd.svd` as they are. Arrays of any other library are copied to the host,
    and their factors back to the device of `a`.
    """
    if is_numpy_or_cupy(xp):
        return svd(a, full_matrices, hermitian=hermitian, driver=driver)
    factors = svd(to_host(xp, a), full_matrices, hermitian=hermitian, driver=driver)
    return SVDResult(*(from_host(xp, factor, a) for factor in factors))


def rebuilt(
    xp: Namespace, a: Array, driver: Driver, operation: Callable[..., tuple[Array, ...]], *others: Array
) -> Array:
    """
    Return what an operation for `in_pieces` makes of U, S as (..., K, 1) and Vh of every matrix.

    `others` are further arguments of the operation, (..., any, any). Small matrices are decomposed piece by
    piece, too: their factors then stay in the cache, and are never all in memory.
    """

    def rebuild(a: Array, *others: Array) -> tuple[Array, ...]:
        u, s, vh = decompose(xp, a, driver)
        return operation(u, s[..., None], vh, *others)

    with quiet():
        if math.prod(a.shape[-2:]) <= _SMALL:
            return in_pieces(rebuild, a, *others)[0]
        u, s, vh = decompose(xp, a, driver)
        return in_pieces(operation, u, s[..., None], vh, *others)[0]


def singular_values(xp: Namespace, a: Array, driver: Driver, *, hermitian: bool = False) -> Array:
    """Return only the singular values, as `decompose` does."""
    if is_numpy_or_cupy(xp):
        return svdvals(a, hermitian=hermitian, driver=driver)
    return from_host(xp, svdvals(to_host(xp, a), hermitian=hermitian, driver=driver), a)


def from_host(xp: Namespace, x: Array, beside: Array) -> Array:
    """Return a NumPy array as an array of a library, on the device of the array `beside`."""
    return xp.asarray(x) if is_numpy_or_cupy(xp) else xp.asarray(x, device=beside.device)
