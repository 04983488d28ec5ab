"""
The SVD-based functions of the array API standard's extension `linalg`.

Names, arguments and results are those of ``x.__array_namespace__().linalg``, for arrays of NumPy, CuPy or any
library that follows the standard. The extension's other functions (cholesky, qr, eigh, ...) are left to the
library.
"""

from typing import Any, Literal

from gpusvd._base.arrays import array_namespace, matrices, numbers
from gpusvd._base.arrays import transpose as _transpose
from gpusvd._base.dispatch import on_the_device_of_arrays
from gpusvd._base.results import Array, SVDResult
from gpusvd._layer import solve as _solve
from gpusvd._layer import spectrum as _spectrum
from gpusvd._layer.decompositions import decompose, singular_values

__all__ = ["inv", "matrix_norm", "matrix_rank", "matrix_transpose", "pinv", "svd", "svdvals"]


def inv(x: Array, /) -> Array:
    """
    Return the inverse of every matrix (..., N, N), as `gpusvd.inv`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.linalg.inv([[2, 0], [0, 4]])
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return _solve.inv(x)


@on_the_device_of_arrays
def matrix_norm(
    x: Array,
    /,
    *,
    keepdims: bool = False,
    ord: Literal["fro", "nuc", 1, 2, -1, -2] | float | None = "fro",  # noqa: A002
) -> Array:
    """
    Return a norm of every matrix (..., M, N).

    `ord` selects the norm: "fro" or None, (Σ |aᵢⱼ|²)^½; "nuc", Σ σᵢ; 2 and -2, the largest and smallest σᵢ; 1
    and -1, the largest and smallest sum of absolute values in a column; inf and -inf, in a row. With
    `keepdims` the result is (..., 1, 1).

    Raises
    ------
    ValueError
        For another `ord`, and for -2, -1 and -inf of matrices without entries, which have no minimum.

    Examples
    --------
    >>> import gpusvd
    >>> [float(gpusvd.linalg.matrix_norm([[3, 0], [0, -4]], ord=ord)) for ord in ("fro", "nuc", 2, -2, 1)]
    [5.0, 7.0, 4.0, 3.0, 4.0]
    """
    xp = array_namespace(x)
    result = numbers(xp, _spectrum.norm(matrices(xp, x), ord))
    return xp.reshape(result, (*result.shape, 1, 1)) if keepdims else result


@on_the_device_of_arrays
def matrix_rank(x: Array, /, *, rtol: Any = None) -> Array:
    """
    Return the number of singular values of every matrix (..., M, N) above rtol σ₁, as `gpusvd.matrix_rank`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.linalg.matrix_rank([[[1, 1], [1, 1]], [[1, 0], [0, 1]]])
    array([1, 2])
    """
    xp = array_namespace(x, rtol)
    return xp.asarray(_spectrum.matrix_rank(matrices(xp, x), rtol=rtol))  # type: ignore[no-any-return]


def matrix_transpose(x: Array, /) -> Array:
    """
    Return the transpose (..., N, M) of every matrix (..., M, N).

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.linalg.matrix_transpose([[1, 2], [3, 4]])
    array([[1, 3],
           [2, 4]])
    """
    xp = array_namespace(x)
    return _transpose(numbers(xp, x))


def pinv(x: Array, /, *, rtol: Any = None) -> Array:
    """
    Return the pseudo-inverse (..., N, M) of every matrix (..., M, N), as `gpusvd.pinv`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.linalg.pinv([[2, 0], [0, 0]])
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    return _solve.pinv(x, rtol=rtol)


@on_the_device_of_arrays
def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """
    Return U, S and Vh of every matrix (..., M, N), as `gpusvd.svd`, as arrays of the library of `x`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.linalg.svd([[3, 0], [0, 4]]).S
    array([4., 3.])
    """
    xp = array_namespace(x)
    return SVDResult(*decompose(xp, matrices(xp, x), "auto", full_matrices=full_matrices))


@on_the_device_of_arrays
def svdvals(x: Array, /) -> Array:
    """
    Return the singular values (..., K) of every matrix, as `gpusvd.svdvals`, as an array of the library of
    `x`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.linalg.svdvals([[3, 0], [0, 4]])
    array([4., 3.])
    """
    xp = array_namespace(x)
    return singular_values(xp, matrices(xp, x), "auto")
