"""Quantities of the singular values: energy, ranks, condition numbers, norms, a threshold for noise."""

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    array_namespace,
    astype,
    cumulative_sum,
    floating,
    in_c_order,
    limits,
    matrices,
    numbers,
    quiet,
    real_dtype,
    widened,
    without_gradient,
)
from gpusvd._base.checks import Driver, check_driver, is_one_of
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array
from gpusvd._layer.decompositions import singular_values
from gpusvd._layer.products import column_sums, in_pieces, written
from gpusvd._layer.solve import inv
from gpusvd._layer.values import (
    all_values,
    checked_values,
    leading,
    median,
    not_zero,
    relative_squares,
    root,
    safe_divisor,
)

_RUN = 4096  # numbers of a matrix whose squares BLAS adds up at a time: rounding errors grow with it


@for_libraries
def energy(S: ArrayLike) -> Array:
    """
    Return the cumulative fraction of the energy that the leading singular values hold.

    E_k = (σ₁² + ... + σₖ²) / (σ₁² + ... + σ_K²), the fraction of the squared Frobenius norm that the best
    rank-k approximation keeps.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as `svdvals` returns them: an array of NumPy, CuPy or another
        library that follows the array API standard. Squares do not over- or underflow.

    Returns
    -------
    (..., K) array
        E_1 to E_K = 1, in the dtype of S. All are 1 for a zero matrix, which loses nothing at any rank, and
        NaN where S is NaN.

    Examples
    --------
    >>> import gpusvd
    >>> S = gpusvd.svdvals([[3, 0], [4, 5]])  # 3 sqrt 5 and sqrt 5
    >>> gpusvd.energy(S).round(12)
    array([0.9, 1. ])
    """
    xp = array_namespace(S)
    values = checked_values(xp, S)
    sums = cumulative_sum(xp, relative_squares(xp, values))
    total = leading(xp.flip(sums, axis=-1))
    return astype(xp, xp.where(total == 0, 1, sums / safe_divisor(xp, total)), values.dtype)


@for_libraries
def spectral_entropy(S: ArrayLike) -> Array:
    """
    Return the Shannon entropy of the distribution of energy over the singular values.

    H = -Σ pᵢ log pᵢ with pᵢ = σᵢ² / Σ σⱼ², in nats: 0 for a matrix of rank 1, log K for K equal values.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as in `energy`.

    Returns
    -------
    (...) array
        The entropy, in the dtype of S; 0 for a zero matrix, NaN where S is NaN.

    References
    ----------
    O. Alter, P. O. Brown and D. Botstein, "Singular value decomposition for genome-wide expression data
    processing and modeling", PNAS 97(18), 2000, pp. 10101-10106. They divide by log K; this function does
    not.

    Examples
    --------
    >>> import gpusvd
    >>> float(gpusvd.spectral_entropy([1.0, 1.0, 0.0]))  # log 2
    0.693147...
    """
    xp = array_namespace(S)
    values = checked_values(xp, S)
    return astype(xp, _entropy(xp, relative_squares(xp, values)), values.dtype)


@for_libraries
def effective_rank(S: ArrayLike) -> Array:
    """
    Return the effective rank: the number of equal singular values that have the same spectral entropy.

    It lies between 1 and the rank and, unlike the rank, depends continuously on the matrix.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as in `energy`.

    Returns
    -------
    (...) array
        exp(H), with H the `spectral_entropy`, in the dtype of S; 0 for a zero matrix, NaN where S is NaN.

    References
    ----------
    O. Roy and M. Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007, pp.
    606-610. They take pᵢ = σᵢ / Σ σⱼ; here it is the squares that count, as in every energy of gpusvd.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.effective_rank([[2.0, 2.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    array([3., 1., 0.])
    """
    xp = array_namespace(S)
    values = checked_values(xp, S)
    squares = relative_squares(xp, values)
    rank = xp.where(xp.sum(squares, axis=-1) == 0, 0, xp.exp(_entropy(xp, squares)))
    return astype(xp, rank, values.dtype)


@for_libraries
def participation_ratio(S: ArrayLike) -> Array:
    """
    Return the participation ratio (Σ σᵢ²)² / Σ σᵢ⁴, an effective number of singular values.

    It lies between 1 and the rank, and gives small values less weight than `effective_rank` does.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as in `energy`.

    Returns
    -------
    (...) array
        The ratio, in the dtype of S; 0 for a zero matrix, NaN where S is NaN.

    References
    ----------
    R. J. Bell and P. Dean, "Atomic vibrations in vitreous silica", Discussions of the Faraday Society 50,
    1970, pp. 55-61, who define it for vibrations.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.participation_ratio([[2.0, 2.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    array([3., 1., 0.])
    """
    xp = array_namespace(S)
    values = checked_values(xp, S)
    squares = relative_squares(xp, values)
    total = xp.sum(squares, axis=-1)
    return astype(xp, total**2 / safe_divisor(xp, xp.sum(squares**2, axis=-1)), values.dtype)


@for_libraries
def matrix_rank(
    a: ArrayLike,
    tol: ArrayLike | None = None,
    hermitian: bool = False,
    *,
    rtol: ArrayLike | None = None,
    driver: Driver = "auto",
) -> Array:
    """
    Return the numerical rank of every matrix: the number of singular values above a tolerance.

    Signature and rules are those of `numpy.linalg.matrix_rank`.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them. An array of fewer than two dimensions is a vector, whose rank is 1
        unless it is zero.
    tol : float or (...) array_like, optional
        Count σ > tol: a number for all matrices, or one for each.
    hermitian : bool, optional
        Whether to take the matrices to be Hermitian, as in `svd`.
    rtol : float or (...) array_like, optional
        Count σ > rtol σ₁. Default, without `tol`: max(M, N) eps of the dtype of S.
    driver : optional
        As in `svd`.

    Returns
    -------
    (...) array of integers
        The ranks; 0 for empty matrices and for matrices with NaN or Inf.

    Raises
    ------
    ValueError
        If both `tol` and `rtol` are given, if one does not broadcast, or if one in host memory is NaN.
    LinAlgError, TypeError
        As `svd`.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> gpusvd.matrix_rank([np.eye(2), np.ones((2, 2)), np.zeros((2, 2))])
    array([2, 1, 0])
    """
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set. matrix_rank takes tol or rtol, not both")
    xp = array_namespace(a, tol, rtol)
    x = floating(xp, a)
    if x.ndim < 2:
        return astype(xp, xp.any(x != 0), xp.int64)
    a = matrices(xp, x, hermitian)
    S = singular_values(xp, a, driver, hermitian=hermitian)
    if tol is None:
        above = not_zero(xp, a, S, rtol)
    else:
        above = limits(xp, "tol", tol, S.shape[:-1], S, signed=True)[..., None] < S
    return xp.count_nonzero(above, axis=-1)


@for_libraries
def cond(
    a: ArrayLike, p: Literal["fro", "nuc", 1, -1, 2, -2] | float | None = None, *, driver: Driver = "auto"
) -> Array:
    """
    Return the condition number of every matrix.

    σ₁ / σ_K, the factor by which solving with A can magnify a relative error; or ‖A‖ ‖A⁻¹‖ in another norm.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    p : {None, "fro", "nuc", 1, -1, 2, -2, inf, -inf}, optional
        2 and None (default): σ₁ / σ_K; -2: its reciprocal; another of the norms of `norm`: ‖A‖ ‖A⁻¹‖, for
        square matrices. As in `numpy.linalg.cond`.
    driver : optional
        As in `svd`.

    Returns
    -------
    (...) array
        The condition numbers, in the real dtype of the matrices: inf for a singular matrix (0 for p=-2 unless
        the matrix is zero), NaN for a matrix with NaN or Inf.

    Raises
    ------
    ValueError
        For another `p`.
    LinAlgError
        For empty matrices; but for p=2 and -2, for matrices that are not square.
    TypeError
        As `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.cond([[[4, 0], [0, 2]], [[1, 1], [0, 0]]])
    array([ 2., inf])
    """
    _check_order("p", p)
    xp = array_namespace(a)
    a = matrices(xp, a, square=p not in (None, 2, -2))
    if 0 in a.shape[-2:]:
        raise LinAlgError("cond is not defined on empty arrays")
    wide = widened(xp, a)
    if p in (1, -1, math.inf, -math.inf):
        with quiet():  # the numbers may overflow
            number = norm(wide, p, driver=driver) * norm(inv(wide, driver=driver), p, driver=driver)
            finite = xp.all(xp.isfinite(wide), axis=(-2, -1))
            return astype(xp, xp.where(finite & xp.isnan(number), math.inf, number), real_dtype(xp, a))
    S = singular_values(xp, wide, driver)
    smallest = S[..., -1]
    singular = smallest == 0
    with quiet():  # the number may overflow
        ratio = S[..., 0] / xp.where(singular, 1, smallest)
        if p == -2:
            ratio = xp.where(singular, xp.where(S[..., 0] == 0, math.inf, smallest), 1 / ratio)
        else:
            ratio = xp.where(singular, math.inf, ratio * _spread(xp, S, p))
        return astype(xp, ratio, real_dtype(xp, a))


@for_libraries
def norm(
    a: ArrayLike,
    ord: Literal["fro", "nuc", 1, -1, 2, -2] | float | None = "fro",  # noqa: A002
    *,
    driver: Driver = "auto",
) -> Array:
    """
    Return a norm of every matrix.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}, optional
        "fro" (default, also None): the Frobenius norm (Σ |aᵢⱼ|²)^½; "nuc", the nuclear norm: Σ σᵢ; 2, the
        spectral norm, and -2: the largest and smallest σᵢ; 1 and -1: the largest and smallest sum of absolute
        values in a column; inf and -inf: in a row. As in `numpy.linalg.matrix_norm`.
    driver : optional
        As in `svd`.

    Returns
    -------
    (...) array
        The norms, in the real dtype of the matrices; 0 for empty matrices. Squares do not over- or
        underflow. A matrix with NaN or Inf has a norm of NaN or inf; norms computed from singular values
        are NaN.

    Raises
    ------
    ValueError
        For another `ord`, and for -2, -1 and -inf of matrices without entries, which have no minimum.
    LinAlgError, TypeError
        As `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> a = [[3, 0], [0, 4]]
    >>> [float(gpusvd.norm(a, ord)) for ord in ("fro", "nuc", 2)]
    [5.0, 7.0, 4.0]
    """
    _check_order("ord", ord)
    check_driver(driver)
    xp = array_namespace(a)
    a = matrices(xp, a)
    with quiet():  # the norm may overflow
        if ord in (None, "fro"):
            result = _frobenius(xp, a)
        elif ord == "nuc":
            result = xp.sum(singular_values(xp, widened(xp, a), driver), axis=-1)
        else:
            result = _extreme(xp, a, float(ord), driver)
        return astype(xp, result, real_dtype(xp, a))


@for_libraries
def optimal_threshold(S: ArrayLike, m: int, n: int, noise: ArrayLike | None = None) -> Array:
    """
    Return the optimal hard threshold for the singular values of low-rank matrices in white noise.

    Among all hard thresholds it has the least asymptotic mean squared error, whatever the low rank. Use it as
    ``truncate(..., atol=threshold)``. With β = min(m, n) / max(m, n) it is

        λ(β) sqrt(max(m, n)) noise,    λ(β)² = 2 (β + 1) + 8 β / (β + 1 + sqrt(β² + 14 β + 1)),

    or, for an unknown level of noise, λ(β) / sqrt(μ(β)) times the median singular value, where μ(β) is the
    median of the Marchenko-Pastur distribution. For square matrices these are 4 / sqrt(3) sqrt(n) noise and
    2.858 times the median.

    Parameters
    ----------
    S : (..., K) array_like
        All K = min(m, n) singular values in descending order, as `svdvals` returns them.
    m, n : int
        Rows and columns of the matrices.
    noise : (...) array_like, optional
        Standard deviation of the noise in an entry, for complex entries of its absolute value: a number for
        all matrices, or one for each. By default it is estimated from the median of each S, which assumes
        that fewer than half of the values are signal.

    Returns
    -------
    (...) array
        The threshold for each matrix, in the dtype of S; 0 for empty matrices, NaN where S is NaN.

    Raises
    ------
    ValueError
        If S does not have min(m, n) values, if `m` or `n` is not a non-negative int, if `noise` does not
        broadcast, or if it is negative or NaN, which is checked in host memory only.
    TypeError
        For complex `noise`, dtypes that `svd` does not take, and arrays of different libraries.

    References
    ----------
    M. Gavish and D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE
    Transactions on Information Theory 60(8), 2014, pp. 5040-5053. Here μ(β) is computed to full precision,
    not by their cubic approximation.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rng = np.random.default_rng(0)
    >>> signal = np.outer(rng.standard_normal(100), rng.standard_normal(50))
    >>> U, S, Vh = gpusvd.svd(signal + 0.1 * rng.standard_normal((100, 50)), full_matrices=False)
    >>> gpusvd.truncate(U, S, Vh, atol=gpusvd.optimal_threshold(S, 100, 50)).rank
    array(1)
    """
    xp = array_namespace(S, noise)
    values, small, large = all_values(xp, S, m, n)
    if small == 0:
        return astype(xp, xp.sum(values, axis=-1), values.dtype)
    factor, middle = _hard_threshold(small / large)
    wide = widened(xp, values)
    with quiet():  # the threshold, or a float64 level, may overflow in the dtype of S
        if noise is None:
            threshold = median(wide) * (factor / math.sqrt(middle))
        else:
            # zeros in the shape of the batch, NaN where S is NaN
            batch = xp.where(xp.isnan(wide[..., 0]), wide[..., 0], 0)
            level = limits(xp, "noise", noise, batch.shape, wide)
            threshold = batch + astype(xp, level, wide.dtype) * (factor * math.sqrt(large))
        return astype(xp, numbers(xp, threshold), values.dtype)


# Steps that the functions share


def _entropy(xp: Namespace, squares: Array) -> Array:
    p = squares / safe_divisor(xp, xp.sum(squares, axis=-1, keepdims=True))
    return 0.0 - xp.sum(p * xp.log(safe_divisor(xp, p)), axis=-1)


def _spread(xp: Namespace, S: Array, p: str | float | None) -> Any:
    """Return the ratio of ‖A‖ ‖A⁻¹‖ in the norm p to σ₁ / σ_K."""
    if p not in ("fro", "nuc"):
        return 1.0
    up, down = S / safe_divisor(xp, leading(S)), S[..., -1:] / safe_divisor(xp, S)
    if p == "nuc":
        return xp.sum(up, axis=-1) * xp.sum(down, axis=-1)
    return xp.sqrt(xp.sum(up**2, axis=-1) * xp.sum(down**2, axis=-1))


_ORDERS = (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def _check_order(name: str, value: object) -> None:
    if not is_one_of(value, _ORDERS):
        raise ValueError(f"{name} must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {value!r}")


def _extreme(xp: Namespace, a: Array, ord: float, driver: Driver) -> Array:  # noqa: A002
    """Return the norm for `ord` 1, 2 or inf, or their negatives: the largest or, if negative, smallest
    singular value or sum of absolute values."""
    if abs(ord) == 2:
        sums = singular_values(xp, widened(xp, a), driver)
    else:
        sums = _sums_of_magnitudes(xp, a, abs(ord) == 1)
    if sums.shape[-1] == 0 and ord < 0:
        raise ValueError(f"a norm of ord {ord:g} is not defined for matrices without entries")
    if sums.shape[-1] == 0:
        return xp.sum(sums, axis=-1)
    return (xp.max if ord > 0 else xp.min)(sums, axis=-1)


def _sums_of_magnitudes(xp: Namespace, a: Array, of_columns: bool) -> Array:
    """Return the sums of the absolute values in each column or row; windows are copied a few at a time."""

    def sums(a: Array, *out: Array) -> tuple[Array, ...]:
        sizes = xp.abs(in_c_order(xp, widened(xp, a)))
        each = column_sums(xp, sizes) if of_columns else xp.sum(sizes, axis=-1, keepdims=True)
        return written((each,), out)

    in_order = not isinstance(a, np.ndarray) or a.flags.c_contiguous
    (each,) = sums(a) if in_order else in_pieces(sums, a)
    return each[..., 0, :] if of_columns else each[..., 0]


def _frobenius(xp: Namespace, a: Array) -> Array:
    if xp is not np:
        return _scaled_root_of_squares(xp, xp.abs(widened(xp, a)))

    def roots(a: Array, *out: Array) -> tuple[Array, ...]:
        norms = _root_of_squares(_real_numbers(widened(np, a)))[:, np.newaxis, np.newaxis]
        return written((norms,), out)

    if a.flags.c_contiguous and a.dtype.char != "e":  # nothing is copied
        (norms,) = roots(a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:]))
        return norms.reshape(a.shape[:-2])
    return in_pieces(roots, a)[0][..., 0, 0]


def _scaled_root_of_squares(xp: Namespace, magnitudes: Array) -> Array:
    """Return (Σ x²)^½ of every matrix, without squares that over- or underflow."""
    if 0 in magnitudes.shape[-2:]:
        return xp.sum(magnitudes, axis=(-2, -1))
    top = xp.max(without_gradient(magnitudes), axis=(-2, -1), keepdims=True)
    scale = xp.where((top > 0) & (top < math.inf), top, 1)
    return root(xp, xp.sum((magnitudes / scale) ** 2, axis=(-2, -1))) * scale[..., 0, 0]


def _real_numbers(a: Array) -> Array:
    """Return each matrix as a row of real numbers, real and imaginary parts."""
    rows = np.ascontiguousarray(a).reshape(len(a), math.prod(a.shape[-2:]))
    return rows.view(rows.real.dtype)


def _root_of_squares(numbers: Array) -> Array:
    """Return (Σ x²)^½ of every row; squares that over- or underflow are formed again, scaled."""
    runs = [numbers[:, first : first + _RUN] for first in range(0, max(1, numbers.shape[1]), _RUN)]
    squares = np.sum(np.stack([np.vecdot(run, run) for run in runs], axis=-1), axis=-1)
    limits = np.finfo(numbers.dtype)
    norms = np.sqrt(squares)
    (again,) = np.nonzero(~((squares > limits.tiny / limits.eps**2) & (squares < math.inf)))
    if len(again):
        norms[again] = _scaled_root_of_squares(np, np.abs(numbers[again, np.newaxis]))
    return norms


@lru_cache
def _hard_threshold(beta: float) -> tuple[float, float]:
    """Return λ(β) of Gavish and Donoho and the median of the Marchenko-Pastur distribution."""
    root = math.sqrt(beta * beta + 14 * beta + 1)
    return math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root)), marchenko_pastur_median(beta)


def marchenko_pastur_median(beta: float) -> float:
    """
    Return the median eigenvalue of XXᴴ / n for m x n white noise X with m / n = β, in the limit of large n.

    With r = sqrt(β), the eigenvalue 1 + β + 2 r cos t has the density (2/π) sin² t / (1 + β + 2 r cos t) in t
    from 0 to π. Its integral follows from sin t / (1 + β + 2 r cos t) = Σ (-r)ᵏ⁻¹ sin k t over k = 1, 2, ...
    """
    r = math.sqrt(beta)

    def above(t: float) -> float:
        """Return π/2 times the probability of an eigenvalue larger than the one at t."""
        angle = math.atan2(r * math.sin(t), 1 + r * math.cos(t))
        return (t - r * math.sin(t) - (1 - beta) / beta * (r * math.sin(t) - angle)) / 2

    low, high = 0.0, math.pi
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if above(middle) < math.pi / 4 else (low, middle)
    return 1 + beta + 2 * r * math.cos(low)
