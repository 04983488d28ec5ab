"""The SVD of arrays of any library, returned as arrays of that library."""

import math
from collections.abc import Callable

from gpusvd._base.arrays import Namespace, from_host, is_jax, is_numpy_or_cupy, is_torch, quiet, to_host
from gpusvd._base.checks import Driver
from gpusvd._base.dispatch import svd_of_jax
from gpusvd._base.results import Array, SVDResult
from gpusvd._layer.products import in_pieces, written
from gpusvd._svd.svd import svd, svdvals

# Entries of matrices up to which factors that stay in the cache gain more than shorter batches cost.
_SMALL = 256


def decompose(
    xp: Namespace, a: Array, driver: Driver, *, full_matrices: bool = False, hermitian: bool = False
) -> tuple[Array, Array, Array]:
    """
    Return U, S and Vh of floating-point matrices as arrays of their library.

    NumPy and CuPy arrays and tensors go to `gpusvd.svd` as they are, and JAX's to `gpusvd.jax.svd`. Arrays of
    any other library are copied to the host, and their factors back to the device of `a`.
    """
    if is_jax(xp):
        return svd_of_jax(a, full_matrices, hermitian=hermitian, driver=driver)
    if is_numpy_or_cupy(xp) or is_torch(xp):
        return svd(a, full_matrices, hermitian=hermitian, driver=driver)
    factors = svd(to_host(xp, a), full_matrices, hermitian=hermitian, driver=driver)
    return SVDResult(*(from_host(xp, factor, a) for factor in factors))


def rebuilt(
    xp: Namespace, a: Array, driver: Driver, operation: Callable[..., tuple[Array, ...]], *others: Array
) -> Array:
    """
    Return what an operation for `in_pieces` makes of U, S as (..., K, 1) and Vh of every matrix.

    `others` are further arguments of the operation, (..., any, any). The matrices are decomposed piece by
    piece, too, so that their factors are never all in memory; those of small ones stay in the cache.
    """
    count = len(others)

    def rebuild(a: Array, *others: Array) -> tuple[Array, ...]:
        u, s, vh = decompose(xp, a, driver)
        return operation(u, s[..., None], vh, *others)

    def rebuild_on_all_cores(a: Array, *more: Array) -> tuple[Array, ...]:
        u, s, vh = decompose(xp, a, driver)
        return written(in_pieces(operation, u, s[..., None], vh, *more[:count]), more[count:])

    with quiet():
        if math.prod(a.shape[-2:]) <= _SMALL:
            return in_pieces(rebuild, a, *others)[0]
        return in_pieces(rebuild_on_all_cores, a, *others, one_by_one=True)[0]


def singular_values(xp: Namespace, a: Array, driver: Driver, *, hermitian: bool = False) -> Array:
    """Return only the singular values, as `decompose` does."""
    if is_jax(xp):
        return svd_of_jax(a, compute_uv=False, hermitian=hermitian, driver=driver)
    if is_numpy_or_cupy(xp) or is_torch(xp):
        return svdvals(a, hermitian=hermitian, driver=driver)
    return from_host(xp, svdvals(to_host(xp, a), hermitian=hermitian, driver=driver), a)
