"""Low-rank matrices in white noise: the optimal shrinkage of singular values, and how many are signal."""

import math
from typing import Any, Generic, Literal, NamedTuple

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    arange,
    array_namespace,
    astype,
    cumulative_sum,
    limits,
    numbers,
    quiet,
    widened,
)
from gpusvd._base.checks import is_one_of
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array
from gpusvd._layer.spectrum import marchenko_pastur_median
from gpusvd._layer.values import all_values, failed, median, relative_squares, root


class MPPCAResult(NamedTuple, Generic[A]):
    """What the Marchenko-Pastur distribution says of each matrix.

    Attributes
    ----------
    rank : (...) array of integers
        The number of singular values above the noise.
    noise : (...) array
        The standard deviation of the noise in an entry.
    """

    rank: A
    noise: A


@for_libraries
def optimal_shrinkage(
    S: ArrayLike,
    m: int,
    n: int,
    noise: ArrayLike | None = None,
    loss: Literal["frobenius", "spectral", "nuclear"] = "frobenius",
) -> Array:
    """
    Return the singular values of low-rank matrices in white noise, shrunk so that the expected loss is least.

    Among all functions of the singular values this one has the least asymptotic loss, whatever the low rank:
    noise increases singular values and rotates their vectors, and shrinkage compensates for both. With
    β = min(m, n) / max(m, n), y = σ / (sqrt(max(m, n)) noise) and

        x² = (y² - β - 1 + sqrt((y² - β - 1)² - 4 β)) / 2,

    a value becomes sqrt(max(m, n)) noise times

        sqrt((y² - β - 1)² - 4 β) / y               for the Frobenius norm of the error,
        x                                           for the spectral norm,
        max(0, (x⁴ - β - sqrt(β) x y) / (x² y))     for the nuclear norm,

    and 0 if y <= 1 + sqrt(β), the edge of the noise.

    Parameters
    ----------
    S : (..., K) array_like
        All K = min(m, n) singular values in descending order, as `svdvals` returns them.
    m, n : int
        Rows and columns of the matrices.
    noise : (...) array_like, optional
        Standard deviation of the noise in an entry, for complex entries of its absolute value: a number for
        all matrices, or one for each. By default it is the median of each S over sqrt(max(m, n) μ(β)), where
        μ(β) is the median of the Marchenko-Pastur distribution, as in `optimal_threshold`.
    loss : {"frobenius", "spectral", "nuclear"}, optional
        The norm of the matrix's error to minimise.

    Returns
    -------
    (..., K) array
        The shrunk singular values in the dtype of S, for ``reconstruct(U, shrunk, Vh)``; float16 is computed
        in float32. NaN where S is NaN. Nothing is read back from the device.

    Raises
    ------
    ValueError
        For another `loss`, if S does not have min(m, n) values, if `m` or `n` is not a non-negative int, if
        `noise` does not broadcast, or if it is negative or NaN, which is checked in host memory only.
    TypeError
        For complex `noise`, dtypes that `svd` does not take, and arrays of different libraries.

    See Also
    --------
    optimal_threshold : The best rule that keeps a value as it is or drops it.
    svt : The soft threshold, which subtracts the same amount from every value.

    Notes
    -----
    For the spectral norm this is Gavish and Donoho's formula, which other programs use too. It is optimal for
    square matrices; for others Leeb finds a somewhat smaller loss.

    References
    ----------
    M. Gavish and D. L. Donoho, "Optimal shrinkage of singular values", IEEE Transactions on Information
    Theory 63(4), 2017, pp. 2137-2152. W. Leeb, "Optimal singular value shrinkage for operator norm loss:
    extending to non-square matrices", Statistics & Probability Letters 186, 2022, 109472.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rng = np.random.default_rng(0)
    >>> signal = np.outer(rng.standard_normal(100), rng.standard_normal(50))
    >>> U, S, Vh = gpusvd.svd(signal + 0.8 * rng.standard_normal((100, 50)), full_matrices=False)
    >>> shrunk = gpusvd.optimal_shrinkage(S, 100, 50)
    >>> int(np.count_nonzero(shrunk))
    1
    >>> errors = [gpusvd.norm(gpusvd.reconstruct(U, s, Vh, rank=1) - signal) for s in (shrunk, S)]
    >>> bool(errors[0] < errors[1])
    True
    """
    if not is_one_of(loss, ("frobenius", "spectral", "nuclear")):
        raise ValueError(f"loss must be 'frobenius', 'spectral' or 'nuclear', not {loss!r}")
    xp = array_namespace(S, noise)
    values, small, large = all_values(xp, S, m, n)
    if small == 0:
        return values
    beta = small / large
    wide = widened(xp, values)
    with quiet():  # a float64 level may overflow in the dtype of S
        level = _noise_scale(xp, wide, beta, large, noise)[..., None]
        signal = ~(wide <= (1 + math.sqrt(beta)) * level)
        # All formulas in q = 1 / y², which neither over- nor underflows needlessly.
        q = (level / xp.where(signal, wide, 1)) ** 2
        product = root(xp, _positive(xp, 1 - (1 + math.sqrt(beta)) ** 2 * q))
        product = product * root(xp, _positive(xp, 1 - (1 - math.sqrt(beta)) ** 2 * q))
        share = product if loss == "frobenius" else _shrink_by(xp, q, product, beta, loss)
        return astype(xp, xp.where(signal, wide * share, 0), values.dtype)


@for_libraries
def mppca_rank(S: ArrayLike, m: int, n: int) -> MPPCAResult:
    """
    Return the number of singular values above white noise of unknown level, and that level (MP-PCA).

    The eigenvalues of noise, λᵢ = σᵢ² / max(m, n), spread over 4 sqrt(min(m, n) / max(m, n)) times
    their mean (Marchenko and Pastur). The rank is the least p for which those that remain spread no further:

        λ_{p+1} - λ_K <= 4 sqrt((K - p) / max(m, n)) noise²,
        noise² = (λ_{p+1} + ... + λ_K) / (K - p),

    with K = min(m, n). It needs no assumption on the rank but that some values are noise, where the median,
    which `optimal_threshold` and `optimal_shrinkage` take, needs half of them.

    Parameters
    ----------
    S : (..., K) array_like
        All K = min(m, n) singular values in descending order, as `svdvals` returns them.
    m, n : int
        Rows and columns of the matrices.

    Returns
    -------
    MPPCAResult
        A named tuple of

        rank : (...) array of integers
            The rank p, at most K - 1; 0 for empty matrices and where S is NaN. Use it as
            ``truncate(..., rank=rank)``.
        noise : (...) array
            The standard deviation of the noise in an entry, for complex entries of its absolute value, in the
            dtype of S; 0 for empty matrices, NaN where S is NaN.

        Nothing is read back from the device.

    Raises
    ------
    ValueError
        If S does not have min(m, n) values, and if `m` or `n` is not a non-negative int.
    TypeError
        For dtypes that `svd` does not take.

    References
    ----------
    J. Veraart, D. S. Novikov, D. Christiaens, B. Ades-Aron, J. Sijbers and E. Fieremans, "Denoising of
    diffusion MRI using random matrix theory", NeuroImage 142, 2016, pp. 394-406.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 60))
    >>> S = gpusvd.svdvals(signal + 0.1 * rng.standard_normal((200, 60)))
    >>> rank, noise = gpusvd.mppca_rank(S, 200, 60)
    >>> int(rank), float(noise.round(2))
    (3, 0.1)
    """
    xp = array_namespace(S)
    values, small, large = all_values(xp, S, m, n)
    if small == 0:
        zero = xp.sum(values, axis=-1)
        return MPPCAResult(astype(xp, zero, xp.int64), astype(xp, zero, values.dtype))
    squares = relative_squares(xp, values)
    count = astype(xp, small - arange(xp, small, values), squares.dtype)  # of the values from here on
    mean = xp.flip(cumulative_sum(xp, xp.flip(squares, axis=-1)), axis=-1) / count
    with quiet():
        noise_only = squares - squares[..., -1:] <= 4 * xp.sqrt(count / large) * mean
        rank = xp.argmax(astype(xp, noise_only, xp.int64), axis=-1)  # the first
        here = arange(xp, small, values) == rank[..., None]
        level = root(xp, xp.sum(xp.where(here, mean, 0), axis=-1) / large) * widened(xp, values)[..., 0]
        bad = failed(xp, values)
        return MPPCAResult(
            xp.asarray(xp.where(bad, 0, rank)),
            astype(xp, xp.where(bad, math.nan, level), values.dtype),
        )


def _noise_scale(xp: Namespace, S: Array, beta: float, large: int, noise: Any) -> Array:
    """Return sqrt(max(m, n)) noise (...), from the median of S if the noise is unknown."""
    if noise is None:
        return numbers(xp, median(S) / math.sqrt(marchenko_pastur_median(beta)))
    level = limits(xp, "noise", noise, S.shape[:-1], S)
    return astype(xp, level, S.dtype) * math.sqrt(large)


def _shrink_by(xp: Namespace, q: Array, product: Array, beta: float, loss: str) -> Array:
    """Return the shrunk value over σ, for the spectral and the nuclear norm; `product` is that of
    Frobenius."""
    squared = (1 - (beta + 1) * q + product) / 2  # (x / y)²
    squared = xp.where(squared > 0, squared, 1)  # below the edge, where the result is not used
    x = xp.sqrt(squared)
    if loss == "spectral":
        return x
    return _positive(xp, squared - beta * q**2 / squared - math.sqrt(beta) * q / x)


def _positive(xp: Namespace, x: Array) -> Array:
    """Return max(x, 0), NaN where x is NaN."""
    return xp.where(x < 0, 0, x)
