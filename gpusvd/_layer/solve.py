"""Linear systems by the SVD: pseudo-inverse, least squares, ridge regression, inverse."""

from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    eps,
    limits,
    matrices,
    quiet,
    real_dtype,
    to_host,
    widened,
)
from gpusvd._base.checks import Errors, check_batch, check_errors
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array, failures
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.products import in_pieces, matmul, with_values
from gpusvd._layer.values import count, not_zero, safe_divisor


class LstsqResult(NamedTuple):
    """Solutions of least-squares problems, under NumPy's names.

    Attributes
    ----------
    x : (..., N) or (..., N, R) array
        The minimum-norm solutions.
    residuals : (..., 1) or (..., R) array
        ‖b - A x‖² for each right-hand side.
    rank : (...) array of integers
        The rank of each matrix.
    s : (..., K) array
        The singular values of each matrix.
    """

    x: Array
    residuals: Array
    rank: Array
    s: Array


@for_libraries
def pinv(
    a: ArrayLike, rcond: ArrayLike | None = None, hermitian: bool = False, *, rtol: ArrayLike | None = None
) -> Array:
    """
    Return the Moore-Penrose pseudo-inverse of every matrix.

    A⁺ = V diag(1/σᵢ) Uᴴ, with 0 for the inverse of a σᵢ of at most rtol σ₁. It is the only matrix with
    A A⁺ A = A and A⁺ A A⁺ = A⁺ for which A A⁺ and A⁺ A are Hermitian. The signature is that of
    `numpy.linalg.pinv`.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    rcond : float or (...) array_like, optional
        NumPy's older name of `rtol`.
    hermitian : bool, optional
        Whether to take the matrices to be Hermitian, as in `svd`.
    rtol : float or (...) array_like, optional
        Singular values up to rtol σ₁ count as zero: a number for all matrices, or one for each. Default:
        max(M, N) eps of the dtype of `a`, as in the array API standard. (NumPy's default is 1e-15 for every
        dtype, which in single precision treats rounding errors as singular values.)

    Returns
    -------
    (..., N, M) array
        The pseudo-inverses, in the dtype of U: zero for a zero matrix, NaN for a matrix with NaN or Inf,
        which does not affect the others.

    Raises
    ------
    ValueError
        If both `rcond` and `rtol` are given, if one does not broadcast, or if one in host memory is NaN.
    LinAlgError, TypeError
        As `svd`.

    References
    ----------
    R. Penrose, "A generalized inverse for matrices", Mathematical Proceedings of the Cambridge Philosophical
    Society 51(3), 1955, pp. 406-413.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.pinv([[[2, 0], [0, 4]], [[1, 0], [0, 0]]])
    array([[[0.5 , 0.  ],
            [0.  , 0.25]],
           [[1.  , 0.  ],
            [0.  , 0.  ]]])
    """
    if rcond is not None and rtol is not None:
        raise ValueError("pinv takes rcond or rtol, not both: they are the same")
    xp = array_namespace(a, rcond, rtol)
    a = matrices(xp, a, hermitian)
    u, s, vh = decompose(xp, widened(xp, a), hermitian=hermitian)
    limit, name = (rcond, "rcond") if rtol is None else (rtol, "rtol")
    return astype(xp, _inverse_product(xp, u, s, vh, not_zero(xp, a, s, limit, name)), a.dtype)


@for_libraries
def lstsq(a: ArrayLike, b: ArrayLike, rcond: ArrayLike | None = None) -> LstsqResult:
    """
    Return the minimum-norm least-squares solution of A x = b, for every matrix and right-hand side.

    x = A⁺ b minimises ‖A x - b‖, and has the smallest norm among all minimisers. For one matrix this is
    `numpy.linalg.lstsq`, except for the residuals.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    b : (M,) or (..., M, R) array_like
        One vector for all matrices, or matrices of R right-hand sides whose leading dimensions broadcast
        against those of `a`. For a vector per matrix pass R = 1: ``b[..., np.newaxis]``.
    rcond : float or (...) array_like, optional
        Singular values up to rcond σ₁ count as zero: a number for all matrices, or one for each. Default:
        max(M, N) eps of the common dtype (NumPy uses the eps of double precision in single precision too). A
        negative number stands for eps, as in LAPACK.

    Returns
    -------
    LstsqResult
        A named tuple of

        x : (..., N) or (..., N, R) array
            The solutions, in the common dtype of `a` and `b`; float16 is computed in float32.
        residuals : (..., 1) or (..., R) array
            ‖b - A x‖², for every matrix. NumPy's residuals are empty if the rank is below N or if M <= N; in
            a batch the shape cannot depend on the values.
        rank : (...) array of integers
            The ranks; 0 for a matrix with NaN or Inf, for which all other results are NaN.
        s : (..., K) array
            The singular values.

    Raises
    ------
    LinAlgError
        If `a` has fewer than two dimensions, or if `b` does not have M rows.
    ValueError
        If the leading dimensions of `b` or `rcond` do not broadcast, or if `rcond` is NaN.
    TypeError
        For dtypes that `svd` does not take, and arrays of different libraries.

    Examples
    --------
    A line through three points, and the sum of its squared errors:

    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.column_stack([np.arange(3), np.ones(3)])
    >>> x, residuals, rank, s = gpusvd.lstsq(a, [1.0, 3.0, 4.0])
    >>> x.round(12), residuals.round(12), rank
    (array([1.5       , 1.16666667]), array([0.16666667]), array(2))
    """
    xp = array_namespace(a, b, rcond)
    a, b, vector = _system(xp, a, b)
    wide, right = widened(xp, a), widened(xp, b)
    u, s, vh = decompose(xp, wide)
    above = not_zero(xp, a, s, _lapack_rcond(xp, a, rcond), "rcond")
    with quiet():
        x = _apply(xp, u, _inverse(xp, s, above), vh, right)
        distances = xp.abs(right - wide @ x)
        residuals = xp.sum(distances * distances, axis=-2)
    return LstsqResult(
        astype(xp, x[..., 0] if vector else x, a.dtype),
        astype(xp, residuals, real_dtype(xp, a)),
        count(xp, above),
        astype(xp, s, real_dtype(xp, a)),
    )


@for_libraries
def ridge(a: ArrayLike, b: ArrayLike, alpha: ArrayLike) -> Array:
    """
    Return the solution of ridge regression (Tikhonov regularisation), for any number of penalties at once.

    x = V diag(σᵢ / (σᵢ² + α)) Uᴴ b minimises ‖A x - b‖² + α ‖x‖². The matrices are decomposed once, and each
    penalty costs a product.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    b : (M,) or (..., M, R) array_like
        Right-hand sides, as in `lstsq`.
    alpha : float or (...) array_like
        The penalties α >= 0, which broadcast against the leading dimensions of `a` and `b`: a number for all
        matrices, any number of penalties for one matrix, or for a batch (B,) one for each matrix; in shape
        (A, 1), A penalties for all.

    Returns
    -------
    (..., N) or (..., N, R) array
        The solutions, in the common dtype of `a` and `b`; float16 is computed in float32. For α = 0 they are
        those of `lstsq`. NaN for a matrix with NaN or Inf, which does not affect the others.

    Raises
    ------
    ValueError
        If `alpha` does not broadcast, or if it is negative or NaN, which is checked in host memory only.
    LinAlgError, TypeError
        As `lstsq`; TypeError also for a complex `alpha`.

    References
    ----------
    A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems",
    Technometrics 12(1), 1970, pp. 55-67.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> gpusvd.ridge(np.diag([1.0, 2.0]), [1.0, 2.0], alpha=[0.0, 1.0, 4.0])
    array([[1. , 1. ],
           [0.5, 0.8],
           [0.2, 0.5]])
    """
    xp = array_namespace(a, b, alpha)
    a, b, vector = _system(xp, a, b)
    penalty = limits(xp, "alpha", alpha, np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a)
    wide = widened(xp, a)
    u, s, vh = decompose(xp, wide)
    with quiet():
        inverse = _inverse(xp, s, not_zero(xp, a, s, None))
        penalty = astype(xp, penalty, s.dtype)[..., None]
        # σ / (σ² + α), without a square that could over- or underflow
        damped = xp.where(s == 0, 0, 1 / (s + penalty / safe_divisor(xp, s)))
        x = _apply(xp, u, xp.where(penalty == 0, inverse, damped), vh, widened(xp, b))
    return astype(xp, x[..., 0] if vector else x, a.dtype)


_SINGULAR = "is singular, or has a NaN or Inf", "are singular, or have a NaN or Inf"


@for_libraries
def inv(a: ArrayLike, *, errors: Errors = "nan") -> Array:
    """
    Return the inverse of every matrix.

    A⁻¹ = V diag(1/σᵢ) Uᴴ. A matrix is singular if its smallest singular value is exactly zero. Nearly
    singular matrices are inverted; `cond` tells how accurate their inverses are.

    Parameters
    ----------
    a : (..., N, N) array_like
        Square matrices, as `svd` takes them.
    errors : {"nan", "raise"}, optional
        "nan" (default) gives NaN for the inverse of a singular matrix or a matrix with NaN or Inf, and leaves
        the others alone. "raise" raises LinAlgError, as `numpy.linalg.inv` does for singular matrices, and
        names them; for that, a flag for each matrix is read back from the device.

    Returns
    -------
    (..., N, N) array
        The inverses, in the dtype of U.

    Raises
    ------
    LinAlgError
        If the matrices are not square, or, with ``errors="raise"``, if one has no inverse.
    ValueError
        For an unknown `errors`.
    TypeError
        As `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.inv([[[2, 0], [0, 4]], [[1, 0], [0, 0]]])
    array([[[0.5 , 0.  ],
            [0.  , 0.25]],
           [[ nan,  nan],
            [ nan,  nan]]])
    """
    check_errors(errors)
    xp = array_namespace(a)
    a = matrices(xp, a, square=True)
    u, s, vh = decompose(xp, widened(xp, a))
    regular = s > 0
    invertible = xp.all(regular, axis=-1, keepdims=True)
    if errors == "raise" and not bool(xp.all(invertible)):
        raise LinAlgError(failures(to_host(xp, invertible[..., 0]), *_SINGULAR))
    values = xp.where(invertible, s, xp.nan)
    return astype(xp, _inverse_product(xp, u, values, vh, xp.ones_like(regular)), a.dtype)


# Steps that the functions share


def _inverse(xp: Namespace, s: Array, above: Array) -> Array:
    """Return 1/σ, and 0 outside the mask `above`; the inverse of a subnormal number may overflow."""
    return xp.where(above, 1 / xp.where(above, s, 1), 0)


def _inverse_product(xp: Namespace, u: Array, s: Array, vh: Array, above: Array) -> Array:
    """Return V diag(1/σ) Uᴴ, with 0 for 1/σ outside the mask `above`."""

    def multiply(u: Array, s: Array, vh: Array, above: Array, out: Array | None = None) -> tuple[Array]:
        inverse = _inverse(xp, s[..., 0], above[..., 0])
        return (matmul(*with_values(adjoint(xp, vh), inverse, adjoint(xp, u)), out),)

    with quiet():
        return in_pieces(multiply, u, s[..., None], vh, above[..., None])[0]


def _lapack_rcond(xp: Namespace, a: Array, rcond: Any) -> Any:
    """Return `rcond` with eps in place of negative numbers."""
    if rcond is None:
        return None
    limit = limits(xp, "rcond", rcond, a.shape[:-2], a, signed=True)
    return xp.where(limit < 0, eps(xp, a), limit)


def _system(xp: Namespace, a: Any, b: Any) -> tuple[Array, Array, bool]:
    """Return matrices and right-hand sides (..., M, R) in one dtype, and whether `b` was a vector."""
    a, b = common_floating(xp, a=a, b=b)
    a = matrices(xp, a)
    vector = b.ndim == 1
    if vector:
        b = b[:, None]
    m = a.shape[-2]
    if b.ndim < 2 or b.shape[-2] != m:
        raise LinAlgError(
            f"b has shape {b.shape[:-1] if vector else b.shape}, expected ({m},) or (..., {m}, R) for "
            f"matrices {a.shape}; a vector for each matrix is b[..., np.newaxis]"
        )
    check_batch("the batch of b", b.shape[:-2], a.shape[:-2])
    return a, b, vector


def _apply(xp: Namespace, u: Array, inverse: Array, vh: Array, b: Array) -> Array:
    """Return V diag(inverse) Uᴴ b, multiplied from the right, where the products are narrow."""
    return adjoint(xp, vh) @ (inverse[..., None] * (adjoint(xp, u) @ b))
