"""Nearest orthogonal matrices: polar decomposition, Procrustes problems, superposition of points."""

from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    floating,
    in_c_order,
    is_complex,
    matrices,
    quiet,
    real_dtype,
    transpose,
    widened,
    without_gradient,
)
from gpusvd._base.checks import Driver
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array
from gpusvd._layer.decompositions import decompose, rebuilt
from gpusvd._layer.points import (
    centred,
    check_pairs,
    check_points,
    mean,
    power_of_two,
    relative_weights,
    zero_where_weightless,
)
from gpusvd._layer.products import (
    TINY,
    along_batch,
    column_sums,
    in_company,
    in_pieces,
    inner,
    is_long,
    is_tiny,
    matmul,
    times,
    to_one_batch,
    written,
)
from gpusvd._layer.values import root, safe_divisor


class PolarResult(NamedTuple, Generic[A]):
    """The factors of ``a = U @ P`` or ``a = P @ U``.

    Attributes
    ----------
    U : (..., M, N) array
        The matrices with orthonormal columns (rows if M < N) nearest to `a`.
    P : (..., N, N) or (..., M, M) array
        Hermitian positive semidefinite matrices.
    """

    U: A
    P: A


class ProcrustesResult(NamedTuple, Generic[A]):
    """The best orthogonal map from one matrix to another, under SciPy's names.

    Attributes
    ----------
    R : (..., N, N) array
        The orthogonal, or unitary, matrices.
    scale : (...) array
        The sums of the singular values of xᴴ y.
    """

    R: A
    scale: A


class KabschResult(NamedTuple, Generic[A]):
    """The best rigid motion from one set of points to another.

    Attributes
    ----------
    rotation : (..., N, N) array
        Rotation matrices R: orthogonal, of determinant 1.
    translation : (..., N) array
        Translations t: the point x goes to R x + t.
    rmsd : (...) array
        The root mean square distance that remains.
    """

    rotation: A
    translation: A
    rmsd: A


class SimilarityResult(NamedTuple, Generic[A]):
    """The best similarity from one set of points to another: a rigid motion, and a scale.

    Attributes
    ----------
    rotation : (..., N, N) array
        Rotation matrices R: orthogonal, of determinant 1.
    translation : (..., N) array
        Translations t: the point x goes to c R x + t.
    rmsd : (...) array
        The root mean square distance that remains.
    scale : (...) array
        The scales c >= 0.
    """

    rotation: A
    translation: A
    rmsd: A
    scale: A


@for_libraries
def polar(a: ArrayLike, side: Literal["right", "left"] = "right", *, driver: Driver = "auto") -> PolarResult:
    """
    Return the polar decomposition of every matrix: A = U P, or A = P U.

    U has orthonormal columns and P is Hermitian positive semidefinite. With the singular value decomposition
    A = W Σ Vᴴ they are U = W Vᴴ and P = V Σ Vᴴ = Uᴴ A; for A = P U, P = W Σ Wᴴ = A Uᴴ. In every unitarily
    invariant norm, U is the matrix with orthonormal columns nearest to A. If A is the deformation gradient of
    a body and its determinant is positive, U is the rotation and P the stretch.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices of any shape, as `svd` takes them.
    side : {"right", "left"}, optional
        The side of U on which P stands.
    driver : optional
        As in `svd`.

    Returns
    -------
    PolarResult
        A named tuple of U (..., M, N), with orthonormal columns, or rows if M < N, and P, (..., N, N) on the
        right and (..., M, M) on the left, in the dtype that `svd` gives U. float16 is computed in float32. P
        is Hermitian to rounding, and unique; U is unique if the rank is min(M, N). A matrix with NaN or Inf
        has NaN factors; the others are not affected.

    Raises
    ------
    ValueError
        For another `side`.
    LinAlgError, TypeError
        As `svd`.

    References
    ----------
    K. Fan and A. J. Hoffman, "Some metric inequalities in the space of matrices", Proceedings of the American
    Mathematical Society 6(1), 1955, pp. 111-116. N. J. Higham, "Functions of matrices", SIAM, 2008,
    chapter 8. For one matrix `scipy.linalg.polar`.

    Examples
    --------
    >>> import gpusvd
    >>> U, P = gpusvd.polar([[0, -3], [2, 0]])  # stretched 2 and 3 times, then turned by 90 degrees
    >>> U.round(12) + 0
    array([[ 0., -1.],
           [ 1.,  0.]])
    >>> P.round(12) + 0
    array([[2., 0.],
           [0., 3.]])
    """
    if side not in ("right", "left"):
        raise ValueError(f"side must be 'right' or 'left', not {side!r}")
    xp = array_namespace(a)
    a = matrices(xp, a)
    wide = widened(xp, a)
    w, _, vh = decompose(xp, wide, driver)

    def multiply(
        w: Array, vh: Array, a: Array, u: Array | None = None, p: Array | None = None
    ) -> tuple[Array, Array]:
        u, a = matmul(w, vh, u), in_c_order(xp, a)
        factors = (u, a) if side == "right" else (adjoint(xp, a), adjoint(xp, u))
        (p,) = written((inner(xp, *factors),), () if p is None else (p,))
        return u, p

    with quiet():
        u, p = in_pieces(multiply, w, vh, wide)
        return PolarResult(astype(xp, u, a.dtype), astype(xp, p, a.dtype))


@for_libraries
def nearest_orthogonal(a: ArrayLike, *, driver: Driver = "auto") -> Array:
    """
    Return the matrix with orthonormal columns, or rows if M < N, nearest to every matrix.

    With the singular value decomposition A = W Σ Vᴴ it is W Vᴴ, the factor U of `polar` without P, nearest in
    every unitarily invariant norm.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices of any shape, as `svd` takes them.
    driver : optional
        As in `svd`.

    Returns
    -------
    (..., M, N) array
        The matrices, in the dtype that `svd` gives U; float16 is computed in float32. Unique if the rank is
        min(M, N). NaN for a matrix with NaN or Inf; the others are not affected.

    Raises
    ------
    LinAlgError, TypeError
        As `svd`.

    See Also
    --------
    nearest_rotation : The nearest one of determinant 1.

    References
    ----------
    K. Fan and A. J. Hoffman, as in `polar`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.nearest_orthogonal([[0, -3], [2, 0]]).round(12) + 0
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    xp = array_namespace(a)
    a = matrices(xp, a)

    def product(u: Array, s: Array, vh: Array, *out: Array) -> tuple[Array, ...]:
        return (matmul(u, vh, *out),)

    def tiny_product(u: Array, s: Array, vh: Array) -> tuple[Array, ...]:
        return (times(along_batch(u), along_batch(vh)),)

    factor = in_company(tiny_product, 3) if max(a.shape[-2:]) <= TINY else product
    return astype(xp, rebuilt(xp, widened(xp, a), driver, factor), a.dtype)


@for_libraries
def nearest_rotation(a: ArrayLike, *, driver: Driver = "auto") -> Array:
    """
    Return the rotation, orthogonal and of determinant 1, nearest to every matrix.

    With the singular value decomposition A = U Σ Vᵀ it is U diag(1, ..., 1, d) Vᵀ, d = det(U Vᵀ) = ±1: the
    nearest in the Frobenius norm. It repairs rotations that rounding or averaging has spoiled.

    Parameters
    ----------
    a : (..., N, N) array_like
        Square matrices, real, as `svd` takes them.
    driver : optional
        As in `svd`.

    Returns
    -------
    (..., N, N) array
        The rotations, in the dtype that `svd` gives U; float16 is computed in float32. Unique unless the
        smallest singular value is zero, or double with d = -1. NaN for a matrix with NaN or Inf; the others
        are not affected.

    Raises
    ------
    LinAlgError
        For matrices that are not square.
    TypeError
        For complex matrices, and as `svd`.

    References
    ----------
    S. Umeyama, as in `kabsch`, lemma; F. L. Markley, "Attitude determination using vector observations and
    the singular value decomposition", Journal of the Astronautical Sciences 36(3), 1988, pp. 245-258.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.nearest_rotation([[0, 1.1, 0], [1, 0, 0], [0, 0, 0.9]]).round(12) + 0  # a mirror is near
    array([[ 0.,  1.,  0.],
           [ 1.,  0.,  0.],
           [ 0.,  0., -1.]])
    """
    xp = array_namespace(a)
    a = matrices(xp, a, square=True)
    if is_complex(xp, a):
        raise TypeError(
            f"a has dtype {a.dtype}, expected real numbers; nearest_orthogonal takes complex ones"
        )
    rotation = in_company(lambda u, s, vh: _proper_rotation(xp, u, vh)[:1], 3)
    return astype(xp, rebuilt(xp, widened(xp, a), driver, rotation), a.dtype)


@for_libraries
def procrustes(
    x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None, *, driver: Driver = "auto"
) -> ProcrustesResult:
    """
    Return the orthogonal matrix R that minimises ‖x R - y‖ in the Frobenius norm, for every pair of matrices.

    With the singular value decomposition xᴴ y = U Σ Vᴴ the solution is R = U Vᴴ; with weights, which minimise
    Σ wᵢ |xᵢ R - yᵢ|² over the rows, that of xᴴ diag(w) y. It may be a rotation or a
    reflection, and the points are not centred; `kabsch` finds the best rotation and translation.

    Parameters
    ----------
    x, y : (..., P, N) array_like
        Pairs of matrices with one point per row, as `svd` takes them; leading dimensions broadcast.
    weights : (..., P) array_like, optional
        Non-negative weights of the points. Default: 1. A weight of 0 leaves out a pair of points, whatever
        its numbers are.
    driver : optional
        As in `svd`.

    Returns
    -------
    ProcrustesResult
        A named tuple of

        R : (..., N, N) array
            Orthogonal, for complex input unitary matrices, in the common dtype of `x` and `y`; float16 is
            computed in float32. NaN for a pair with NaN or Inf. If xᴴ y is singular, as with fewer points
            than coordinates, R is one of many solutions.
        scale : (...) array
            Σ σᵢ, in the real dtype of the same precision. The minimum of ‖x R - y‖² is ‖x‖² + ‖y‖² -
            2 scale; if `x` may be scaled too, the best factor is scale / ‖x‖². With weights, ‖·‖² are
            weighted sums over the rows.

    Raises
    ------
    ValueError
        If `x` and `y` differ in P or N, or if their leading dimensions do not broadcast; for weights as in
        `kabsch`.
    TypeError
        For complex weights, dtypes that `svd` does not take, and arrays of different libraries.

    References
    ----------
    P. H. Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31(1),
    1966, pp. 1-10. For one pair `scipy.linalg.orthogonal_procrustes`.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> R, scale = gpusvd.procrustes(x, x[:, ::-1])  # the coordinates exchanged: a reflection
    >>> R.round(12) + 0
    array([[0., 1.],
           [1., 0.]])
    """
    xp = array_namespace(x, y, weights)
    x, y = common_floating(xp, x=x, y=y)
    check_pairs(x, y)
    dtype, real = x.dtype, real_dtype(xp, x)
    x, y = (in_c_order(xp, widened(xp, z)) for z in (x, y))
    w = relative_weights(xp, weights, x, y)
    x, y = zero_where_weightless(xp, x, w), zero_where_weightless(xp, y, w)
    with quiet():
        x_scale, y_scale = power_of_two(xp, x), power_of_two(xp, y)
        weighted = x / x_scale if w is None else w[..., None] * (x / x_scale)
        u, s, vh = decompose(xp, inner(xp, weighted, y / y_scale), driver)
        scale = xp.sum(s, axis=-1) * (x_scale * y_scale)[..., 0, 0]
        if w is not None:
            scale = scale * xp.sum(astype(xp, floating(xp, weights, x), s.dtype), axis=-1)
        return ProcrustesResult(astype(xp, u @ vh, dtype), astype(xp, scale, real))


@overload
def kabsch(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    scale: Literal[False] = False,
    driver: Driver = "auto",
) -> KabschResult: ...


@overload
def kabsch(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    scale: Literal[True],
    driver: Driver = "auto",
) -> SimilarityResult: ...


@overload
def kabsch(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    scale: bool = False,
    driver: Driver = "auto",
) -> KabschResult | SimilarityResult: ...


@for_libraries
def kabsch(
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    scale: bool = False,
    driver: Driver = "auto",
) -> KabschResult | SimilarityResult:
    """
    Return the rotation and translation that superpose every set of points on another, and the scale if asked.

    The rotation R and the translation t minimise Σ wᵢ |R xᵢ + t - yᵢ|². With the centroids x̄ and ȳ and the
    singular value decomposition Σ wᵢ (xᵢ - x̄)(yᵢ - ȳ)ᵀ = U Σ Vᵀ they are R = V diag(1, ..., 1, d) Uᵀ, where
    d = det(V Uᵀ) = ±1, and t = ȳ - R x̄. Without d, the best match of mirror images, or of points in a plane,
    could be a reflection. With ``scale=True`` they minimise Σ wᵢ |c R xᵢ + t - yᵢ|² together with a scale c:
    R is the same, c = (σ₁ + ... + σ_{N-1} + d σ_N) / Σ wᵢ |xᵢ - x̄|², and t = ȳ - c R x̄.

    Parameters
    ----------
    x, y : (..., P, N) array_like
        Pairs of sets of P points with N coordinates, usually 2 or 3: one point per row, real, as `svd` takes
        them; leading dimensions broadcast.
    weights : (..., P) array_like, optional
        Non-negative weights of the points, of which only the ratios count. Default: equal weights. A weight
        of 0 leaves out a pair of points, so that sets of different sizes can be padded with any numbers.
    scale : bool, optional
        Whether to fit a scale, too.
    driver : optional
        As in `svd`.

    Returns
    -------
    KabschResult, or SimilarityResult with ``scale=True``
        A named tuple of arrays in the common dtype of `x` and `y`; float16 is computed in float32.

        rotation : (..., N, N) array
            Rotation matrices for column vectors, as `scipy.spatial.transform.Rotation.from_matrix` takes
            them: orthogonal, of determinant 1. If the points do not determine the rotation (fewer than N - 1
            directions, as on a line in space, or an axis of symmetry), it is one of the best.
        translation : (..., N) array
            The fitted points are ``x @ R.mT + t[..., np.newaxis, :]``.
        rmsd : (...) array
            sqrt(Σ wᵢ |R xᵢ + t - yᵢ|² / Σ wᵢ), computed from the differences themselves, so that it is 0 to
            rounding for a perfect match.
        scale : (...) array
            With ``scale=True`` the scales c; the fitted points are then
            ``c[..., np.newaxis, np.newaxis] * x @ R.mT + t[..., np.newaxis, :]``. 0 if all points of `x`
            coincide.

        All are NaN for a pair with NaN or Inf in points of nonzero weight; the other pairs are not
        affected.

    Raises
    ------
    ValueError
        If `x` and `y` do not pair or have no points; for weights of another shape, and for weights that are
        negative, NaN, Inf, or all zero in a set. Weights in device memory are not checked for such values; if
        they sum to zero, all results are NaN.
    TypeError
        For complex points or weights, dtypes that `svd` does not take, and arrays of different libraries.

    References
    ----------
    W. Kabsch, "A solution for the best rotation to relate two sets of vectors", Acta Crystallographica A 32,
    1976, pp. 922-923. S. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", IEEE Transactions on Pattern Analysis and Machine Intelligence 13(4), 1991, pp. 376-380, for
    the sign in degenerate cases.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> x = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    >>> y = x @ [[0, 1, 0], [-1, 0, 0], [0, 0, 1]] + [5, 6, 7]  # turned by 90 degrees, moved
    >>> R, t, rmsd = gpusvd.kabsch(x, y)
    >>> R.round(12) + 0
    array([[ 0., -1.,  0.],
           [ 1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    >>> t.round(12), float(rmsd.round(12))
    (array([5., 6., 7.]), 0.0)
    >>> float(gpusvd.kabsch(x, 2.5 * y, scale=True).scale.round(12))
    2.5
    """
    xp = array_namespace(x, y, weights)
    x, y = common_floating(xp, x=x, y=y)
    check_pairs(x, y)
    check_points("x", x)
    if is_complex(xp, x):
        raise TypeError(f"points have dtype {x.dtype}, expected real numbers; procrustes takes complex ones")
    dtype = x.dtype
    x, y = widened(xp, x), widened(xp, y)
    w = relative_weights(xp, weights, x, y)
    sets = [x, y] if w is None else [x, y, w[..., None]]
    fit = _superposition(xp, driver, bool(scale))
    with quiet():
        if x.shape[-1] <= TINY:
            parts = in_pieces(in_company(fit, len(sets)), *to_one_batch(*sets))
        else:
            parts = fit(*sets)
        rotation, *others = (astype(xp, part, dtype) for part in parts)
    translation, rmsd, *c = (part[..., 0, :] for part in others)
    numbers = [part[..., 0] for part in (rmsd, *c)]
    return (SimilarityResult if scale else KabschResult)(rotation, translation, *numbers)


# What is done to a piece of a batch


def _superposition(xp: Namespace, driver: Driver, scaled: bool) -> Callable[..., tuple[Array, ...]]:
    """Return the function of x, y and weights (..., P, 1) for the rotations and all that goes with them."""

    def at_origin(x: Array, *weights: Array) -> tuple[Array, ...]:
        """Return points, scaled and centred, the same times their weights, their mean, scale, and spread."""
        w = _weights_beside(x, *weights)
        x, scale = _scaled(xp, zero_where_weightless(xp, x, w))
        x, middle = centred(xp, x, w, overwrite=True)
        weighted = x if w is None else w[..., None] * x
        if not scaled:
            return x, weighted, middle, scale
        squares = column_sums(xp, weighted * x) if is_long(x) else weighted * x
        return x, weighted, middle, scale, xp.sum(squares, axis=(-2, -1), keepdims=True)

    def fit(x: Array, y: Array, *weights: Array) -> tuple[Array, ...]:
        place = in_company(at_origin, 1 + len(weights))  # one set may be fitted to many
        x, weighted, x_mean, x_scale, *spreads = place(x, *weights)
        y, _, y_mean, y_scale, *_ = place(y, *weights)
        w = _weights_beside(x, *weights)
        u, s, vh = decompose(xp, inner(xp, weighted, y), driver)
        rotation, sign = _proper_rotation(xp, u, vh)  # acts on rows
        results = []
        if scaled:
            spread = spreads[0][..., 0, 0]
            last = max(0, s.shape[-1] - 1)
            together = xp.sum(s[..., :last], axis=-1) + sign * xp.sum(s[..., last:], axis=-1)
            # Negative only on a line, where there is no rotation to turn round.
            factor = xp.maximum(together, 0.0 * spread) / safe_divisor(xp, spread)
            results = [factor[..., None, None] * (y_scale / x_scale)]
            x_scale = factor[..., None, None] * y_scale
        translation = y_scale * y_mean - x_scale * times(x_mean, rotation)
        largest = xp.maximum(x_scale, y_scale)
        residual = times(x, x_scale / largest * rotation)
        residual -= y_scale / largest * y
        rmsd = largest * root(xp, xp.sum(mean(xp, residual * residual, w), axis=(-2, -1), keepdims=True))
        return transpose(rotation), translation, rmsd, *results

    return fit


def _weights_beside(x: Array, weights: Array | None = None) -> Array | None:
    """Return weights (..., P, 1) as (..., P), with the batch innermost if the points x will have it."""
    if weights is None:
        return None
    return (along_batch(weights) if is_tiny(x) else weights)[..., 0]


def _scaled(xp: Namespace, x: Array) -> tuple[Array, Array]:
    """Return points divided by a power of two, many of them with the batch innermost, and that power."""
    copy = along_batch(x)
    scale = power_of_two(xp, copy)
    return np.divide(copy, scale, out=copy) if copy is not x else in_c_order(xp, x) / scale, scale


def _proper_rotation(xp: Namespace, u: Array, vh: Array) -> tuple[Array, Array]:
    """Return U Vh, with the last direction reversed if the determinant would be -1, and that sign."""
    u, vh = along_batch(u), along_batch(vh)
    product = times(u, vh)
    determinant = without_gradient(_determinant(xp, product))
    sign = determinant / xp.abs(determinant)
    last = max(0, product.shape[-1] - 1)
    return product + (sign - 1)[..., None, None] * u[..., last:] * vh[..., last:, :], sign


def _determinant(xp: Namespace, a: Array) -> Array:
    """Return the determinants of orthogonal matrices, in closed form if that is faster."""
    n = a.shape[-1]
    if n == 2:
        return a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
    if n == 3:
        # the third row times the cross product of the others
        (a00, a01, a02), (a10, a11, a12), (a20, a21, a22) = (
            [a[..., i, j] for j in range(3)] for i in range(3)
        )
        return a20 * (a01 * a12 - a02 * a11) + a21 * (a02 * a10 - a00 * a12) + a22 * (a00 * a11 - a01 * a10)
    return xp.linalg.det(a)
