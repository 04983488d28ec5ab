"""Linear systems by the SVD: pseudo-inverse, least squares, ridge regression, inverse."""

from typing import Any, Generic, NamedTuple

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
    in_c_order,
    limits,
    matrices,
    quiet,
    real_dtype,
    to_host,
    transpose,
    widened,
)
from gpusvd._base.checks import Driver, Errors, check_batch, check_errors
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array, failures
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.points import checked_weights, power_of_two, with_roots, zero_where_weightless
from gpusvd._layer.products import column_sums, in_pieces, inner, matmul, with_values
from gpusvd._layer.values import count, leading, not_zero


class LstsqResult(NamedTuple, Generic[A]):
    """Solutions of least-squares problems, under NumPy's names.

    Attributes
    ----------
    x : (..., N) or (..., N, R) array
        The minimum-norm solutions.
    residuals : (..., 1) or (..., R) array
        ‖b - A x‖² for each right-hand side.
    rank : int, or (...) array of integers
        The rank of each matrix.
    s : (..., K) array
        The singular values of each matrix.
    """

    x: A
    residuals: A
    rank: A | int
    s: A


@for_libraries
def pinv(
    a: ArrayLike,
    rcond: ArrayLike | None = None,
    hermitian: bool = False,
    *,
    rtol: ArrayLike | None = None,
    driver: Driver = "auto",
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
    driver : optional
        As in `svd`.

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

    Notes
    -----
    The tolerance is compared with the singular values of the matrix as it is, and decides its rank. A matrix
    of full rank whose columns (rows if M <= N) are in different units is decomposed again with all at one
    scale, by powers of two, so that its pseudo-inverse loses no digits, unless its rank is in doubt there or
    it is `hermitian`. Whether there is one is read back from the device.

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
        raise ValueError(
            "`rtol` and `rcond` can't be both set. pinv takes rcond or rtol, not both: they are the same"
        )
    xp = array_namespace(a, rcond, rtol)
    a = matrices(xp, a, hermitian)
    wide = widened(xp, a)
    u, s, vh = decompose(xp, wide, driver, hermitian=hermitian)
    limit, name = (rcond, "rcond") if rtol is None else (rtol, "rtol")
    above = not_zero(xp, a, s, limit, name)
    inverse = _Inverse(u, _inverse(xp, s, above), vh, None, None)
    if not hermitian:
        inverse = _in_one_unit(xp, wide, inverse, above, driver)
    with quiet():  # float16 may not hold it
        return astype(xp, _product(xp, inverse), a.dtype)


@for_libraries
def lstsq(
    a: ArrayLike, b: ArrayLike, rcond: ArrayLike | None = None, *, driver: Driver = "auto"
) -> LstsqResult:
    """
    Return the minimum-norm least-squares solution of A x = b, for every matrix and right-hand side.

    x = A⁺ b minimises ‖A x - b‖, and has the smallest norm among all minimisers. For one matrix this is
    `numpy.linalg.lstsq`.

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
    driver : optional
        As in `svd`.

    Returns
    -------
    LstsqResult
        A named tuple of

        x : (..., N) or (..., N, R) array
            The solutions, in the common dtype of `a` and `b`; float16 is computed in float32.
        residuals : (..., 1) or (..., R) array
            ‖b - A x‖², for every matrix. For one matrix they are empty, as NumPy's, if the rank is below N or
            if M <= N; in a batch the shape cannot depend on the values.
        rank : int, or (...) array of integers
            The rank of one matrix, read back from the device, or those of a batch; 0 for a matrix with NaN or
            Inf, for which all other results are NaN.
        s : (..., K) array
            The singular values, as `svdvals` returns them.

    Raises
    ------
    LinAlgError
        If `a` has fewer than two dimensions, or if `b` does not have M rows.
    ValueError
        If the leading dimensions of `b` or `rcond` do not broadcast, or if `rcond` is NaN.
    TypeError
        For dtypes that `svd` does not take, and arrays of different libraries.

    Notes
    -----
    `rcond` and the units of columns: as in `pinv`.

    Examples
    --------
    A line through three points, and the sum of its squared errors:

    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.column_stack([np.arange(3), np.ones(3)])
    >>> x, residuals, rank, s = gpusvd.lstsq(a, [1.0, 3.0, 4.0])
    >>> x.round(12), residuals.round(12), rank
    (array([1.5       , 1.16666667]), array([0.16666667]), 2)
    """
    xp = array_namespace(a, b, rcond)
    a, b, vector = _system(xp, a, b)
    wide, right = widened(xp, a), widened(xp, b)
    u, s, vh = decompose(xp, wide, driver)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    above = not_zero(xp, a, s, _lapack_rcond(xp, a, rcond, batch), "rcond")
    inverse = _in_one_unit(xp, wide, _Inverse(u, _inverse(xp, s, above), vh, None, None), above, driver)
    with quiet():
        x = _apply(xp, inverse, right)
        distances = xp.abs(right - wide @ x)
        residuals = astype(xp, column_sums(xp, distances * distances)[..., 0, :], real_dtype(xp, a))
        x = astype(xp, x[..., 0] if vector else x, a.dtype)
    rank: Array | int = count(xp, above)
    if above.ndim == 1 and b.ndim == 2:
        m, n = a.shape
        rank = int(rank)
        residuals = residuals if n == rank and n < m else residuals[:0]
    return LstsqResult(x, residuals, rank, s)


@for_libraries
def ridge(
    a: ArrayLike,
    b: ArrayLike,
    alpha: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    per_rhs: bool = False,
    driver: Driver = "auto",
) -> Array:
    """
    Return the solution of ridge regression (Tikhonov regularisation), for any number of penalties at once.

    x = V diag(σᵢ / (σᵢ² + α)) Uᴴ b minimises ‖A x - b‖² + α ‖x‖². With weights, Σ wᵢ |(A x - b)ᵢ|² + α ‖x‖²
    is minimised: the rows of A and b are multiplied by wᵢ^½. The matrices are decomposed once, and each
    penalty costs a product. Singular values up to max(M, N) eps σ₁ count as zero for every penalty: where
    columns depend on each other they are rounding errors, which a small penalty would magnify.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    b : (M,) or (..., M, R) array_like
        Right-hand sides, as in `lstsq`.
    alpha : float or (...) array_like
        The penalties α >= 0, which broadcast against the leading dimensions of `a` and `b`: a number for all
        matrices, any number of penalties for one matrix, or for a batch (B,) one for each matrix; in shape
        (A, 1), A penalties for all. With ``per_rhs=True`` in shape (..., R), a penalty for each right-hand
        side.
    weights : (..., M) array_like, optional
        Non-negative weights of the equations, the rows of `a` and `b`. Default: 1. A weight of 0 leaves out
        a row, whatever its numbers are.
    per_rhs : bool, optional
        Whether the last axis of `alpha` goes along the right-hand sides, as scikit-learn's does.
    driver : optional
        As in `svd`.

    Returns
    -------
    (..., N) or (..., N, R) array
        The solutions, in the common dtype of `a` and `b`; float16 is computed in float32. For α = 0 they are
        those of `lstsq`. NaN for a matrix with NaN or Inf, which does not affect the others.

    Raises
    ------
    ValueError
        If `alpha` does not broadcast, or if it is negative or NaN, which is checked in host memory only; for
        weights as in `kabsch`.
    LinAlgError, TypeError
        As `lstsq`; TypeError also for a complex `alpha` or complex weights.

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

    Each right-hand side with a penalty of its own:

    >>> gpusvd.ridge(np.diag([1.0, 2.0]), [[1.0, 1.0], [2.0, 2.0]], alpha=[1.0, 4.0], per_rhs=True)
    array([[0.5, 0.2],
           [0.8, 0.5]])
    """
    xp = array_namespace(a, b, alpha, weights)
    a, b, vector = _system(xp, a, b)
    wide, right = widened(xp, a), widened(xp, b)
    if weights is not None:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        w = checked_weights(xp, weights, batch, a.shape[-2], a)
        wide, right = (with_roots(xp, zero_where_weightless(xp, x, w), w) for x in (wide, right))
    penalty = _penalty(
        xp, alpha, np.broadcast_shapes(wide.shape[:-2], right.shape[:-2]), b.shape[-1], per_rhs, a
    )
    u, s, vh = decompose(xp, wide, driver)
    with quiet():
        # σ / (σ² + α), without a square that could over- or underflow
        above, s = not_zero(xp, a, s, None)[..., None], s[..., None]
        damped = _inverse(xp, s + astype(xp, penalty, s.dtype) / xp.where(above, s, 1), above)
        x = adjoint(xp, vh) @ (damped * inner(xp, u, right))
        return astype(xp, x[..., 0] if vector else x, a.dtype)


def _penalty(
    xp: Namespace, alpha: Any, batch: tuple[int, ...], columns: int, per_rhs: bool, beside: Array
) -> Array:
    """Return the penalties as (..., 1, R), or (..., 1, 1) if they are the same for all right-hand sides."""
    if not per_rhs:
        return limits(xp, "alpha", alpha, batch, beside)[..., None, None]
    shape = tuple(np.shape(alpha))
    if shape[-1:] != (columns,):
        raise ValueError(
            f"alpha has shape {shape}, expected (..., {columns}) with per_rhs=True: one for each "
            "right-hand side"
        )
    return limits(xp, "alpha", alpha, (*batch, columns), beside)[..., None, :]


_SINGULAR = (
    "is singular, or has a NaN or Inf, or an inverse beyond the range of its dtype",
    "are singular, or have a NaN or Inf, or an inverse beyond the range of their dtype",
)


@for_libraries
def inv(a: ArrayLike, *, errors: Errors = "nan", driver: Driver = "auto") -> Array:
    """
    Return the inverse of every matrix.

    A⁻¹ = V diag(1/σᵢ) Uᴴ, of the matrix with its rows and columns at one scale, by powers of two: columns in
    different units lose no digits. A matrix is singular if its smallest singular value is exactly zero, or
    if Gaussian elimination meets an exact zero, as `numpy.linalg.inv` asks. Nearly singular matrices are
    inverted; `cond` tells how accurate their inverses are.

    Parameters
    ----------
    a : (..., N, N) array_like
        Square matrices, as `svd` takes them.
    errors : {"nan", "raise"}, optional
        "nan" (default) gives NaN for the inverse of a singular matrix or a matrix with NaN or Inf, and leaves
        the others alone. "raise" raises LinAlgError, as `numpy.linalg.inv` does for singular matrices, and
        names them; for that, a flag for each matrix is read back from the device.
    driver : optional
        As in `svd`.

    Returns
    -------
    (..., N, N) array
        The inverses, in the dtype of U. An entry beyond its range is inf, and "raise" refuses it.

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
    if a.shape[-1] == 0:
        return a
    wide = widened(xp, a)
    with quiet():
        rows, columns = _units(xp, wide)
        u, s, vh = decompose(xp, wide / columns / rows, driver)
        invertible = xp.all(s > 0, axis=-1, keepdims=True) & ~_has_zero_pivot(xp, wide, s)[..., None]
        values = xp.where(invertible, 1 / xp.where(invertible, s, 1), xp.nan)
        x = astype(xp, _product(xp, _Inverse(u, values, vh, rows, columns)), a.dtype)
    if errors == "raise":
        good = xp.all(xp.isfinite(x), axis=(-2, -1))
        if not bool(xp.all(good)):
            raise LinAlgError(failures(to_host(xp, good), *_SINGULAR))
    return x


# Steps that the functions share


def _has_zero_pivot(xp: Namespace, a: Array, s: Array) -> Array:
    """Return where the LU factorisation of square matrices meets an exact zero, as it mostly does for small
    singular matrices of integers; their smallest singular value is rounding. It is asked where it may be."""
    doubtful = xp.any(s <= a.shape[-1] * eps(xp, s) * leading(s), axis=-1)
    if not bool(xp.any(doubtful)):
        return doubtful
    return doubtful & (xp.linalg.slogdet(xp.where(doubtful[..., None, None], a, 0))[0] == 0)


def _inverse(xp: Namespace, s: Array, above: Array) -> Array:
    """Return 1/σ, and 0 outside the mask `above`; the inverse of a subnormal number may overflow."""
    with quiet():
        return xp.where(above, 1 / xp.where(above, s, 1), 0)


class _Inverse(NamedTuple):
    """The factors of pseudo-inverses, diag(columns)⁻¹ V diag(values) Uᴴ diag(rows)⁻¹.

    `rows` (..., M, 1) and `columns` (..., 1, N) are powers of two, None for ones.
    """

    u: Array
    values: Array
    vh: Array
    rows: Array | None
    columns: Array | None


def _units(xp: Namespace, a: Array) -> tuple[Array, Array]:
    """Return powers of two (..., M, 1) and (..., 1, N) to divide rows and columns by, to bring all to the
    scale of one: of tall matrices columns, of wide ones rows, of square ones both."""
    m, n = a.shape[-2:]
    rows = columns = xp.ones_like(xp.abs(a[..., :1, :1]))
    if m >= n:
        columns = _unit(xp, a, -2)
    if m <= n:
        rows = _unit(xp, a / columns, -1)
    return rows, columns


def _unit(xp: Namespace, a: Array, axis: int) -> Array:
    """Return the power of two of each row or column, limited to those with an inverse in range."""
    power = power_of_two(xp, a, axis)
    return xp.maximum(power, xp.full_like(power, float(xp.finfo(power.dtype).smallest_normal)))


def _in_one_unit(xp: Namespace, a: Array, inverse: _Inverse, above: Array, driver: Driver) -> _Inverse:
    """
    Return the factors of the pseudo-inverses, for some matrices from another decomposition.

    These are the matrices of full rank, by the mask `above`, whose rows or columns differ in scale: they
    are decomposed with all at one scale, unless their rank is in doubt there. Errors are then relative to
    each row and column of the inverse, instead of to its largest entry.
    """
    if 0 in a.shape[-2:]:
        return inverse
    with quiet():
        rows, columns = _units(xp, a)
        apart = xp.all(above, axis=-1) & ~(_alike(xp, rows) & _alike(xp, columns))
        if not bool(xp.any(apart)):
            return inverse
        u, s, vh = decompose(xp, a / columns / rows, driver)
        better = apart & xp.all(not_zero(xp, a, s, None), axis=-1)
        return _Inverse(
            xp.where(better[..., None, None], u, inverse.u),
            xp.where(better[..., None], 1 / s, inverse.values),
            xp.where(better[..., None, None], vh, inverse.vh),
            xp.where(better[..., None, None], rows, 1),
            xp.where(better[..., None, None], columns, 1),
        )


def _alike(xp: Namespace, units: Array) -> Array:
    """Return where units are within a factor of 16 of each other and far from underflow."""
    least, most = xp.min(units, axis=(-2, -1)), xp.max(units, axis=(-2, -1))
    return (least * 16 >= most) & (least >= 4 * float(xp.finfo(units.dtype).smallest_normal))


def _product(xp: Namespace, inverse: _Inverse) -> Array:
    """Return the pseudo-inverses (..., N, M)."""

    def multiply(u: Array, values: Array, vh: Array, *others: Array) -> tuple[Array]:
        units, out = others[: len(scales)], others[len(scales) :]
        x = matmul(*with_values(adjoint(xp, vh), values[..., 0], adjoint(xp, u)), *out)
        for unit in units:  # one after the other: their product may be out of range
            x /= unit
        return (x,)

    scales = []
    if inverse.rows is not None and inverse.columns is not None:
        scales = [transpose(inverse.columns), transpose(inverse.rows)]
    with quiet():
        return in_pieces(multiply, inverse.u, inverse.values[..., None], inverse.vh, *scales)[0]


def _lapack_rcond(xp: Namespace, a: Array, rcond: Any, batch: tuple[int, ...]) -> Any:
    """Return `rcond` with eps in place of negative numbers; raise unless it broadcasts against the batch."""
    if rcond is None:
        return None
    limit = limits(xp, "rcond", rcond, batch, a, signed=True)
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
        given = b.shape[:-1] if vector else b.shape
        raise LinAlgError(
            f"Incompatible dimensions: b has shape {given}, expected ({m},) or (..., {m}, R) for matrices "
            f"{a.shape}; a vector for each matrix is b[..., np.newaxis]"
        )
    check_batch("the batch of b", b.shape[:-2], a.shape[:-2])
    return in_c_order(xp, a), in_c_order(xp, b), vector


def _apply(xp: Namespace, inverse: _Inverse, b: Array) -> Array:
    """Return the pseudo-inverses times b, multiplied from the right, where the products are narrow."""
    if inverse.rows is not None:
        b = b / inverse.rows
    x = adjoint(xp, inverse.vh) @ (inverse.values[..., None] * inner(xp, inverse.u, b))
    return x if inverse.columns is None else x / transpose(inverse.columns)
