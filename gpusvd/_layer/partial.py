"""The SVD without all of a matrix: of a product from its factors, and of the few largest values alone."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    from_host,
    in_c_order,
    is_complex,
    matrices,
    may_be_differentiated,
    quiet,
    widened,
)
from gpusvd._base.checks import Driver, check_batch, checked_int
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array, SVDResult
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.points import power_of_two
from gpusvd._layer.products import in_pieces, matmul, written
from gpusvd._layer.values import root


class TopSVDResult(NamedTuple, Generic[A]):
    """The few largest singular values of each matrix, their vectors, and how far to trust them.

    Attributes
    ----------
    U : (..., M, k) array
        Left singular vectors.
    S : (..., k) array
        Singular values in descending order.
    Vh : (..., k, N) array
        Conjugate transposes of the right singular vectors.
    error : (..., k) array
        The residuals ‖A vᵢ - σᵢ uᵢ‖: the matrix has a singular value within that of each σᵢ.
    exact : bool
        Whether they come from the full decomposition, which was cheaper.
    """

    U: A
    S: A
    Vh: A
    error: A
    exact: bool


@for_libraries
def svd_top(
    a: ArrayLike,
    k: int,
    *,
    n_oversamples: int = 10,
    n_iter: int = 4,
    rng: "int | np.random.Generator" = 0,  # importing numpy.random takes a tenth of our own import
    driver: Driver = "auto",
) -> TopSVDResult:
    """
    Return the k largest singular values of every matrix and their vectors, by randomised range finding.

    A product with a Gaussian matrix of k + n_oversamples columns nearly spans the leading left singular
    vectors; n_iter products with A Aᴴ, orthonormalised before and after each factor, improve the span, and
    with Q its basis the SVD of the small matrix Qᴴ A gives the values. This takes about 2 n_iter + 4 products
    with k + n_oversamples vectors instead of a full decomposition.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    k : int
        Number of values, from 0 to min(M, N).
    n_oversamples : int, optional
        Number of additional vectors, which are dropped at the end.
    n_iter : int, optional
        Number of power iterations. Each multiplies the errors by about (σⱼ / σᵢ)², j = k + n_oversamples + 1:
        take more if singular values decay slowly, 0 or 1 if they decay fast.
    rng : int or numpy.random.Generator, optional
        The source of the Gaussian matrix, which is the same for all matrices of the batch. By default it is
        also the same in every call, and so is the result.
    driver : optional
        As in `svd`.

    Returns
    -------
    TopSVDResult
        A named tuple of U (..., M, k), S (..., k), Vh (..., k, N), error (..., k) and exact, in the dtypes of
        `svd`; of float16 S and error are float32. U and Vh are orthonormal. σᵢ never exceeds the true one
        except by rounding, and U diag(S) Vh is the projection U Uᴴ A, whose error in the Frobenius norm is
        sqrt(‖A‖² - Σ σᵢ²). `error` holds the residuals ‖A vᵢ - σᵢ uᵢ‖: A has a singular value within that of
        each σᵢ. They fall as n_iter grows.

        If k + n_oversamples is a quarter of min(M, N) or more, if min(M, N) is below 100, or if a tensor
        requires a gradient, the full decomposition is computed and truncated, and exact is True. A matrix
        with NaN or Inf gets NaN and does not affect the others.

    Raises
    ------
    ValueError
        If `k`, `n_oversamples` or `n_iter` is out of range.
    LinAlgError, TypeError
        As `svd`.

    See Also
    --------
    low_rank : The same from the full decomposition, by other rules than a number of values.
    truncate : Fewer of these values, by ``truncate(*top[:3], ...)``.

    References
    ----------
    N. Halko, P. G. Martinsson and J. A. Tropp, "Finding structure with randomness: probabilistic algorithms
    for constructing approximate matrix decompositions", SIAM Review 53(2), 2011, pp. 217-288, algorithms 4.4
    and 5.1. For one matrix `sklearn.utils.extmath.randomized_svd` and `torch.svd_lowrank`.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((5, 300, 20)) * 0.5 ** np.arange(20) @ rng.standard_normal((5, 20, 200))
    >>> U, S, Vh, error, exact = gpusvd.svd_top(a, 3)
    >>> U.shape, S.shape, Vh.shape, exact
    ((5, 300, 3), (5, 3), (5, 3, 200), False)
    >>> bool(np.allclose(S, gpusvd.svdvals(a)[:, :3])), bool((error < 1e-10 * S[:, :1]).all())
    (True, True)
    """
    xp = array_namespace(a)
    a = matrices(xp, a)
    most = min(a.shape[-2:])
    k = checked_int(k, f"k must be an int from 0 to {most}, not {k!r}", most=most)
    extra = checked_int(n_oversamples, f"n_oversamples must be a non-negative int, not {n_oversamples!r}")
    steps = checked_int(n_iter, f"n_iter must be a non-negative int, not {n_iter!r}")
    generator = _generator(rng)
    exact = most < _WHOLE or 4 * (k + extra) >= most or may_be_differentiated(a)
    wide = widened(xp, a)
    with quiet():
        if exact:
            u, s, vh = decompose(xp, wide, driver)
            u, s, vh = u[..., :k], s[..., :k], vh[..., :k, :]
        else:
            u, s, vh = _randomised(xp, wide, k, k + extra, steps, generator, driver)
        (error,) = in_pieces(_residuals(xp), wide, u, s[..., None], vh)
        return TopSVDResult(astype(xp, u, a.dtype), s, astype(xp, vh, a.dtype), error[..., 0], exact)


@for_libraries
def svd_product(x: ArrayLike, y: ArrayLike, *, driver: Driver = "auto") -> SVDResult:
    """
    Return the SVD of every product x y from its factors, without forming it.

    With the QR decompositions x = Q R and yᴴ = P T, x y = Q (R Tᴴ) Pᴴ: with the decomposition of the small
    matrix R Tᴴ = u Σ vᴴ the factors are Q u, Σ and (P v)ᴴ. For thin x and wide y, such as the factors B and A
    of a low-rank adapter, this takes a fraction of the time and memory of the product.

    Parameters
    ----------
    x, y : (..., M, R) and (..., R, N) array_like
        The factors, as `svd` takes them; leading dimensions broadcast.
    driver : optional
        As in `svd`.

    Returns
    -------
    SVDResult
        U (..., M, K), S (..., K) and Vh (..., K, N) with K = min(M, R, N), in the common dtype of `x` and `y`
        and its real counterpart; of float16 S is float32. The errors are of the order of
        eps ‖x‖ ‖y‖. A pair with NaN or Inf gets NaN and does not affect the others.

    Raises
    ------
    ValueError
        If the shapes do not allow a product, or if leading dimensions do not broadcast.
    TypeError
        For dtypes that `svd` does not take, and arrays of different libraries.

    Notes
    -----
    A sum of products is one product, ``Σ xᵢ yᵢ = [x₁ x₂ ...] [y₁; y₂; ...]``:
    ``svd_product(np.concatenate(xs, axis=-1), np.concatenate(ys, axis=-2))``. `truncate` then merges the
    terms into fewer.

    References
    ----------
    G. H. Golub and C. F. Van Loan, "Matrix computations", 4th edition, Johns Hopkins University Press, 2013,
    sections 5.2 and 8.6.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rng = np.random.default_rng(0)
    >>> B, A = rng.standard_normal((12, 500, 4)), rng.standard_normal((12, 4, 300))
    >>> U, S, Vh = gpusvd.svd_product(B, A)
    >>> U.shape, S.shape, Vh.shape
    ((12, 500, 4), (12, 4), (12, 4, 300))
    >>> bool(np.allclose(gpusvd.reconstruct(U, S, Vh), B @ A))
    True
    """
    xp = array_namespace(x, y)
    x, y = common_floating(xp, x=x, y=y)
    if min(x.ndim, y.ndim) < 2 or x.shape[-1] != y.shape[-2]:
        raise ValueError(f"x {x.shape} and y {y.shape} have no product: expected (..., M, R) and (..., R, N)")
    check_batch("the batch of y", y.shape[:-2], x.shape[:-2])
    dtype = x.dtype
    x, y = widened(xp, x), widened(xp, y)
    with quiet():
        x_scale, y_scale = power_of_two(xp, x), power_of_two(xp, y)
        q, r = in_pieces(_qr(xp), x / x_scale)
        p, t = in_pieces(_qr(xp), adjoint(xp, y / y_scale))
        u, s, vh = decompose(xp, r @ adjoint(xp, t), driver)
        u, vh = in_pieces(_lifted(xp), q, u, vh, p)
        s = s * (x_scale * y_scale)[..., 0]
        return SVDResult(astype(xp, u, dtype), s, astype(xp, vh, dtype))


Operation = Callable[..., tuple[Array, ...]]

_WHOLE = 100  # rows or columns below which the whole decomposition is the faster one


def _generator(rng: Any) -> "np.random.Generator":
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        message = f"rng must be a non-negative int or a numpy.random.Generator, not {rng!r}"
        raise TypeError(message) from None


def _randomised(
    xp: Namespace, a: Array, k: int, columns: int, steps: int, rng: "np.random.Generator", driver: Driver
) -> tuple[Array, Array, Array]:
    """Return the k leading factors from a basis of so many columns after so many power iterations."""
    shape = (a.shape[-1], columns)
    gaussian = rng.standard_normal(shape)
    if is_complex(xp, a):
        gaussian = gaussian + 1j * rng.standard_normal(shape)
    start = astype(xp, from_host(xp, gaussian, a), a.dtype)
    scale = power_of_two(xp, a)

    def basis(a: Array, scale: Array, *out: Array) -> tuple[Array, ...]:
        a = in_c_order(xp, a) / scale
        q, _ = xp.linalg.qr(a @ start)
        for _ in range(steps):
            z, _ = xp.linalg.qr(adjoint(xp, a) @ q)
            q, _ = xp.linalg.qr(a @ z)
        return written((q, *xp.linalg.qr(adjoint(xp, a) @ q)), out)

    q, p, t = in_pieces(basis, a, scale)  # Qᴴ A = Tᴴ Pᴴ
    u, s, vh = decompose(xp, adjoint(xp, t), driver)
    u, vh = in_pieces(_lifted(xp), q, u[..., :k], vh[..., :k, :], p)
    return u, s[..., :k] * scale[..., 0], vh


# What is done to a piece of a batch


def _qr(xp: Namespace) -> Operation:
    def factor(a: Array, *out: Array) -> tuple[Array, ...]:
        return written(tuple(xp.linalg.qr(a)), out)

    return factor


def _lifted(xp: Namespace) -> Operation:
    """Return Q u and vᴴ Pᴴ."""

    def multiply(
        q: Array, u: Array, vh: Array, p: Array, left: Array | None = None, right: Array | None = None
    ) -> tuple[Array, Array]:
        return matmul(q, u, left), matmul(vh, adjoint(xp, p), right)

    return multiply


def _residuals(xp: Namespace) -> Operation:
    """Return ‖A vᵢ - σᵢ uᵢ‖ (..., k, 1)."""

    def norms(a: Array, u: Array, s: Array, vh: Array, *out: Array) -> tuple[Array, ...]:
        scale = power_of_two(xp, a)
        rest = xp.abs((in_c_order(xp, a) / scale) @ adjoint(xp, vh) - u * (adjoint(xp, s) / scale))
        return written((root(xp, xp.sum(rest**2, axis=-2))[..., None] * scale,), out)

    return norms
