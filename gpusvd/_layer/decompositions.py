"""The SVD of arrays of any library, returned as arrays of that library."""

from gpusvd._base.arrays import Namespace, is_numpy_or_cupy, to_host
from gpusvd._base.checks import Driver
from gpusvd._base.results import Array, SVDResult
from gpusvd._svd.svd import svd, svdvals


def decompose(
    xp: Namespace,
    a: Array,
    full_matrices: bool = False,
    hermitian: bool = False,
    driver: Driver = "auto",
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


def singular_values(xp: Namespace, a: Array, hermitian: bool = False) -> Array:
    """Return only the singular values, as `decompose` does."""
    if is_numpy_or_cupy(xp):
        return svdvals(a, hermitian=hermitian)
    return from_host(xp, svdvals(to_host(xp, a), hermitian=hermitian), a)


def from_host(xp: Namespace, x: Array, beside: Array) -> Array:
    """Return a NumPy array as an array of a library, on the device of the array `beside`."""
    return xp.asarray(x) if is_numpy_or_cupy(xp) else xp.asarray(x, device=beside.device)
