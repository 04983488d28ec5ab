"""What the singular values tell: energy, effective rank, rank, condition, norms, and how many are noise."""

import math
from functools import lru_cache
from typing import Any, Literal

from numpy.linalg import LinAlgError
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    array_namespace,
    astype,
    cumulative_sum,
    floating,
    limits,
    matrices,
    quiet,
    real_dtype,
    widened,
)
from gpusvd._base.checks import checked_size, is_one_of
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array
from gpusvd._layer.decompositions import singular_values
from gpusvd._layer.values import checked_values, leading, not_zero, relative_squares, safe_divisor


@for_libraries
def energy(S: ArrayLike) -> Array:
    """
    Return the fraction of the energy that the first singular values hold.

    E_k = (σ₁² + ... + σₖ²) / (σ₁² + ... + σ_K²): what the best approximation of rank k keeps of the squared
    Frobenius norm.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as `svdvals` returns them; of NumPy, CuPy or another library of
        the array API standard. Squares do not over- or underflow.

    Returns
    -------
    (..., K) array
        E_1 to E_K = 1 in the dtype of S. All 1 for a zero matrix, of which nothing is lost at any rank; NaN
        where S is NaN.

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
    Return the Shannon entropy of how the energy is spread over the singular values.

    H = -Σ pᵢ log pᵢ with pᵢ = σᵢ² / Σ σⱼ², in nats: 0 for a matrix of rank 1, log K for K equal values.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as in `energy`.

    Returns
    -------
    (...) array
        The entropy in the dtype of S. 0 for a zero matrix, NaN where S is NaN.

    References
    ----------
    O. Alter, P. O. Brown and D. Botstein, "Singular value decomposition for genome-wide expression data
    processing and modeling", PNAS 97(18), 2000, pp. 10101-10106; without its division by log K.

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
    Return the exponential of the spectral entropy: how many equal singular values would spread as much.

    Between 1 and the rank, and continuous in the matrix where the rank jumps.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as in `energy`.

    Returns
    -------
    (...) array
        exp(H) in the dtype of S, with H the `spectral_entropy`. 0 for a zero matrix, NaN where S is NaN.

    References
    ----------
    O. Roy and M. Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007, pp.
    606-610; there of σᵢ / Σ σⱼ, here of the squares, as energy is counted everywhere in gpusvd.

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
    Return how many singular values take part in the energy: (Σ σᵢ²)² / Σ σᵢ⁴.

    Between 1 and the rank. It gives small values less weight than `effective_rank` does.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as in `energy`.

    Returns
    -------
    (...) array
        The ratio in the dtype of S. 0 for a zero matrix, NaN where S is NaN.

    References
    ----------
    R. J. Bell and P. Dean, "Atomic vibrations in vitreous silica", Discussions of the Faraday Society 50,
    1970, pp. 55-61, for vibrations.

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
    a: ArrayLike, tol: ArrayLike | None = None, hermitian: bool = False, *, rtol: ArrayLike | None = None
) -> Array:
    """
    Return the numerical rank of every matrix: how many singular values are above a tolerance.

    The signature and the rules of `numpy.linalg.matrix_rank`.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them. Fewer than two dimensions are one vector, of rank 1 unless it is zero.
    tol : (...) array_like, optional
        Count σ > tol; for each matrix one, or one for all.
    hermitian : bool, optional
        Take the matrices to be Hermitian, as in `svd`.
    rtol : (...) array_like, optional
        Count σ > rtol σ₁. Default, without `tol`: max(M, N) eps of the dtype of S.

    Returns
    -------
    (...) array of integers
        The ranks. 0 for matrices without entries, and for those with NaN or Inf.

    Raises
    ------
    ValueError
        If `tol` and `rtol` are both given; for one that does not broadcast, and NaN in the host's memory.
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
        raise ValueError("matrix_rank takes tol or rtol, not both")
    xp = array_namespace(a, tol, rtol)
    x = floating(xp, a)
    if x.ndim < 2:
        return astype(xp, xp.any(x != 0), xp.int64)
    a = matrices(xp, x, hermitian)
    S = singular_values(xp, a, hermitian)
    if tol is None:
        above = not_zero(xp, a, S, rtol)
    else:
        above = limits(xp, "tol", tol, S.shape[:-1], S, signed=True)[..., None] < S
    return xp.count_nonzero(above, axis=-1)


@for_libraries
def cond(a: ArrayLike, p: Literal["fro", "nuc", 2, -2] | None = None) -> Array:
    """
    Return the condition number of every matrix, from its singular values.

    σ₁ / σ_K, by how much solving with the matrix can magnify a relative error; or ‖A‖ ‖A⁻¹‖ in another norm.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    p : {None, 2, -2, "fro", "nuc"}, optional
        2 and None (default): σ₁ / σ_K; -2: its reciprocal; "fro" and "nuc": ‖A‖ ‖A⁻¹‖ in the Frobenius or
        nuclear norm, for square matrices. The norms of `numpy.linalg.cond` that are not of singular values
        are not here.

    Returns
    -------
    (...) array
        The condition numbers in the real dtype of the matrix: inf if it is singular (0 for p=-2), NaN for a
        matrix with NaN or Inf.

    Raises
    ------
    ValueError
        For another `p`.
    LinAlgError
        For matrices without entries, and those that are not square with "fro" or "nuc".
    TypeError
        As `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.cond([[[4, 0], [0, 2]], [[1, 1], [0, 0]]])
    array([ 2., inf])
    """
    if not is_one_of(p, (None, 2, -2, "fro", "nuc")):
        raise ValueError(f"p must be None, 2, -2, 'fro' or 'nuc', not {p!r}")
    xp = array_namespace(a)
    a = matrices(xp, a, square=p in ("fro", "nuc"))
    if 0 in a.shape[-2:]:
        raise LinAlgError("cond is not defined on empty arrays")
    S = widened(xp, singular_values(xp, a))
    smallest = S[..., -1]
    singular = smallest == 0
    with quiet():  # the number may overflow
        ratio = S[..., 0] / xp.where(singular, 1, smallest)
        if p == -2:
            ratio = xp.where(singular, 0, 1 / ratio)
        else:
            ratio = xp.where(singular, math.inf, ratio * _spread(xp, S, p))
        return astype(xp, ratio, real_dtype(xp, a))


@for_libraries
def norm(a: ArrayLike, ord: Literal["fro", "nuc", 2] | None = "fro") -> Array:  # noqa: A002
    """
    Return a norm of every matrix that its singular values determine.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    ord : {"fro", "nuc", 2}, optional
        "fro" (default, also None): (Σ σᵢ²)^½, for which no singular value is computed; "nuc": Σ σᵢ; 2: σ₁,
        the spectral norm. As in `numpy.linalg.matrix_norm`.

    Returns
    -------
    (...) array
        The norms in the real dtype of the matrix. Squares do not over- or underflow. 0 for a matrix without
        entries. For one with NaN or Inf the Frobenius norm is NaN or inf, and the others are NaN.

    Raises
    ------
    ValueError
        For another `ord`.
    LinAlgError, TypeError
        As `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> a = [[3, 0], [0, 4]]
    >>> [float(gpusvd.norm(a, ord)) for ord in ("fro", "nuc", 2)]
    [5.0, 7.0, 4.0]
    """
    if not is_one_of(ord, (None, "fro", "nuc", 2)):
        raise ValueError(f"ord must be 'fro', 'nuc' or 2, not {ord!r}")
    xp = array_namespace(a)
    a = matrices(xp, a)
    with quiet():  # the norm may overflow
        if ord in (None, "fro"):
            result = _frobenius(xp, xp.abs(widened(xp, a)))
        else:
            S = widened(xp, singular_values(xp, a))
            result = xp.sum(S if ord == "nuc" else leading(S), axis=-1)
        return astype(xp, result, real_dtype(xp, a))


@for_libraries
def optimal_threshold(S: ArrayLike, m: int, n: int, noise: ArrayLike | None = None) -> Array:
    """
    Return the best threshold between singular values of signal and those of noise.

    A matrix of low rank was observed in white noise. Of all hard thresholds this one has asymptotically the
    least mean squared error, for matrices of any low rank: use it as `truncate(..., atol=threshold)`. With
    β = min(m, n) / max(m, n) it is

        λ(β) sqrt(max(m, n)) noise,    λ(β)² = 2 (β + 1) + 8 β / (β + 1 + sqrt(β² + 14 β + 1)),

    and where the noise is not known, λ(β) / sqrt(μ(β)) times the median singular value, with μ(β) the median
    of the Marchenko-Pastur distribution: for square matrices 4 / sqrt(3) sqrt(n) noise and 2.858 times the
    median.

    Parameters
    ----------
    S : (..., K) array_like
        All K = min(m, n) singular values in descending order, as `svdvals` returns them.
    m, n : int
        Rows and columns of the matrices.
    noise : (...) array_like, optional
        Standard deviation of the noise in an entry, for complex ones of its absolute value: one for all
        matrices or one for each. By default it is taken from the median of each S, which supposes that less
        than half of the values are signal.

    Returns
    -------
    (...) array
        The threshold for each matrix, in the dtype of S. 0 for matrices without entries, NaN where S is NaN.

    Raises
    ------
    ValueError
        If S does not have min(m, n) values; for sizes that are no sizes, a noise that does not broadcast, and
        a negative or NaN one in the host's memory.
    TypeError
        For a complex noise, dtypes that `svd` does not take, and arrays of two libraries.

    References
    ----------
    M. Gavish and D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE
    Transactions on Information Theory 60(8), 2014, pp. 5040-5053. The median is solved for here; the cubic
    approximation given there is not used.

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
    values = checked_values(xp, S)
    small, large = sorted((checked_size("m", m), checked_size("n", n)))
    k = values.shape[-1]
    if k != small:
        raise ValueError(f"S has {k} values, expected all {small} of {m} x {n} matrices")
    if k == 0:
        return astype(xp, xp.sum(values, axis=-1), values.dtype)
    factor, median = _hard_threshold(small / large)
    wide = widened(xp, values)
    if noise is None:
        threshold = (wide[..., (k - 1) // 2] / 2 + wide[..., k // 2] / 2) * (factor / math.sqrt(median))
    else:
        # Zeros of the shape of the batch, and NaN where S is.
        batch = xp.where(xp.isnan(wide[..., 0]), wide[..., 0], 0)
        level = limits(xp, "noise", noise, batch.shape, wide)
        with quiet():  # a float64 level may overflow in the dtype of S
            threshold = batch + astype(xp, level, wide.dtype) * (factor * math.sqrt(large))
    return astype(xp, xp.asarray(threshold), values.dtype)


# Steps that the functions share


def _entropy(xp: Namespace, squares: Array) -> Array:
    p = squares / safe_divisor(xp, xp.sum(squares, axis=-1, keepdims=True))
    return 0.0 - xp.sum(p * xp.log(safe_divisor(xp, p)), axis=-1)


def _spread(xp: Namespace, S: Array, p: str | int | None) -> Any:
    """Return by what factor ‖A‖ ‖A⁻¹‖ exceeds σ₁ / σ_K in the norm p."""
    if p not in ("fro", "nuc"):
        return 1.0
    up, down = S / safe_divisor(xp, leading(S)), S[..., -1:] / safe_divisor(xp, S)
    if p == "nuc":
        return xp.sum(up, axis=-1) * xp.sum(down, axis=-1)
    return xp.sqrt(xp.sum(up**2, axis=-1) * xp.sum(down**2, axis=-1))


def _frobenius(xp: Namespace, magnitudes: Array) -> Array:
    if 0 in magnitudes.shape[-2:]:
        return xp.sum(magnitudes, axis=(-2, -1))
    top = xp.max(magnitudes, axis=(-2, -1), keepdims=True)
    scale = xp.where((top > 0) & (top < math.inf), top, 1)
    return xp.sqrt(xp.sum((magnitudes / scale) ** 2, axis=(-2, -1))) * scale[..., 0, 0]


@lru_cache
def _hard_threshold(beta: float) -> tuple[float, float]:
    """Return λ(β) of Gavish and Donoho, and the median of the Marchenko-Pastur distribution."""
    root = math.sqrt(beta * beta + 14 * beta + 1)
    return math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root)), _marchenko_pastur_median(beta)


def _marchenko_pastur_median(beta: float) -> float:
    """
    Return the median eigenvalue of XXᴴ / n for m x n white noise X, as m / n = β and n grows.

    With r = sqrt(β), the eigenvalue 1 + β + 2 r cos t has the density (2/π) sin² t / (1 + β + 2 r cos t) in t
    from 0 to π. Its integral follows from sin t / (1 + β + 2 r cos t) = Σ (-r)ᵏ⁻¹ sin k t over k = 1, 2, ...
    """
    r = math.sqrt(beta)

    def above(t: float) -> float:
        """Return π/2 times the probability of an eigenvalue above that of t."""
        angle = math.atan2(r * math.sin(t), 1 + r * math.cos(t))
        return (t - r * math.sin(t) - (1 - beta) / beta * (r * math.sin(t) - angle)) / 2

    low, high = 0.0, math.pi
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if above(middle) < math.pi / 4 else (low, middle)
    return 1 + beta + 2 * r * math.cos(low)
