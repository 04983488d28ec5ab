"""The orthogonal matrix nearest to another: polar decomposition, Procrustes rotations, superposition."""

from typing import Literal, NamedTuple

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    is_complex,
    matrices,
    quiet,
    real_dtype,
    transpose,
    widened,
)
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.points import (
    centred,
    check_pairs,
    check_points,
    mean,
    power_of_two,
    relative_weights,
    zero_where_weightless,
)
from gpusvd._layer.products import in_pieces, matmul


class PolarResult(NamedTuple):
    """The factors of ``a = U @ P`` or ``a = P @ U``.

    Attributes
    ----------
    U : (..., M, N) array
        The matrices with orthonormal columns (rows if M < N) nearest to `a`.
    P : (..., N, N) or (..., M, M) array
        Hermitian matrices without negative eigenvalues.
    """

    U: Array
    P: Array


class ProcrustesResult(NamedTuple):
    """The best orthogonal map from one matrix to another, with the names that SciPy gives it.

    Attributes
    ----------
    R : (..., N, N) array
        The orthogonal, or unitary, matrices.
    scale : (...) array
        The sums of the singular values of xᴴ y.
    """

    R: Array
    scale: Array


class KabschResult(NamedTuple):
    """The best rigid motion from one set of points to another.

    Attributes
    ----------
    rotation : (..., N, N) array
        Rotation matrices R: orthogonal, of determinant 1.
    translation : (..., N) array
        Translations t: the point x goes to R x + t.
    rmsd : (...) array
        The root mean square distance that is left.
    """

    rotation: Array
    translation: Array
    rmsd: Array


@for_libraries
def polar(a: ArrayLike, side: Literal["right", "left"] = "right") -> PolarResult:
    """
    Factor every matrix into one with orthonormal columns and a Hermitian positive semidefinite one.

    With the singular value decomposition A = W Σ Vᴴ it is A = U P, U = W Vᴴ and P = V Σ Vᴴ = Uᴴ A; or, from
    the left, A = P U and P = W Σ Wᴴ = A Uᴴ. U is the nearest to A of all such matrices in any unitarily
    invariant norm. Of the deformation gradient of a body U is the rotation, if its determinant is positive,
    and P the stretch.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices of any shape, as `svd` takes them.
    side : {"right", "left"}, optional
        On which side of U the factor P is.

    Returns
    -------
    PolarResult
        A named tuple of U (..., M, N), whose columns are orthonormal, or its rows if M < N, and P, which is
        (..., N, N), from the left (..., M, M); in the dtype that `svd` gives U. float16 is computed in
        float32. P is Hermitian to rounding and unique, and so is U where the rank is min(M, N). A matrix with
        NaN or Inf has NaN factors, for itself alone.

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
    w, _, vh = decompose(xp, wide)

    def multiply(
        w: Array, vh: Array, a: Array, u: Array | None = None, p: Array | None = None
    ) -> tuple[Array, Array]:
        u = matmul(w, vh, u)
        return u, matmul(adjoint(xp, u), a, p) if side == "right" else matmul(a, adjoint(xp, u), p)

    with quiet():
        u, p = in_pieces(multiply, w, vh, wide)
    return PolarResult(astype(xp, u, a.dtype), astype(xp, p, a.dtype))


@for_libraries
def procrustes(x: ArrayLike, y: ArrayLike) -> ProcrustesResult:
    """
    Find the orthogonal matrix that brings every x nearest to y.

    R minimises ‖x R - y‖ in the Frobenius norm: with the singular value decomposition xᴴ y = U Σ Vᴴ it is
    R = U Vᴴ. Reflections count as well as rotations, and nothing is centred; `kabsch` finds the best rotation
    and translation.

    Parameters
    ----------
    x, y : (..., P, N) array_like
        Pairs of matrices, a point a row, as `svd` takes them; leading dimensions broadcast.

    Returns
    -------
    ProcrustesResult
        A named tuple of

        R : (..., N, N) array
            Orthogonal matrices, unitary for complex ones, in the common dtype of `x` and `y`; float16 is
            computed in float32. NaN for a pair with NaN or Inf, for itself alone. Where xᴴ y is singular, as
            with fewer points than coordinates, it is one of many.
        scale : (...) array
            Σ σᵢ, in the real dtype of the same precision. The smallest distance ‖x R - y‖² is ‖x‖² + ‖y‖² -
            2 scale; and if `x` may be scaled too, the best factor is scale / ‖x‖².

    Raises
    ------
    ValueError
        If `x` and `y` do not have the same P and N, or leading dimensions that do not broadcast.
    TypeError
        For dtypes that `svd` does not take, and arrays of two libraries.

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
    xp = array_namespace(x, y)
    x, y = common_floating(xp, x=x, y=y)
    check_pairs(x, y)
    dtype, real = x.dtype, real_dtype(xp, x)
    with quiet():
        x_scale, y_scale = power_of_two(xp, widened(xp, x)), power_of_two(xp, widened(xp, y))
        u, s, vh = decompose(xp, adjoint(xp, widened(xp, x) / x_scale) @ (widened(xp, y) / y_scale))
        scale = xp.sum(s, axis=-1) * (x_scale * y_scale)[..., 0, 0]
        return ProcrustesResult(astype(xp, u @ vh, dtype), astype(xp, scale, real))


@for_libraries
def kabsch(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> KabschResult:
    """
    Find the rotation and translation that bring every set of points nearest to another.

    R and t minimise Σ wᵢ |R xᵢ + t - yᵢ|² over the rotations: with the centroids x̄ and ȳ and the singular
    value decomposition Σ wᵢ (xᵢ - x̄)(yᵢ - ȳ)ᵀ = U Σ Vᵀ it is R = V diag(1, ..., 1, d) Uᵀ, with d = det(V Uᵀ)
    = ±1, and t = ȳ - R x̄. Without d the best match of mirror images, or of points in a plane, may be a
    reflection.

    Parameters
    ----------
    x, y : (..., P, N) array_like
        Pairs of sets of P points with N coordinates, usually 2 or 3, a point a row: real, as `svd` takes
        them; leading dimensions broadcast.
    weights : (..., P) array_like, optional
        Weights of the points, not negative; only their ratios count. Default: all the same. A weight of 0
        leaves a pair of points out, so that sets of different sizes can be padded with any numbers.

    Returns
    -------
    KabschResult
        A named tuple of arrays in the common dtype of `x` and `y`; float16 is computed in float32.

        rotation : (..., N, N) array
            Rotation matrices for column vectors, as `scipy.spatial.transform.Rotation.from_matrix` takes
            them: orthogonal, of determinant 1. Where the points leave a choice (less than N - 1 directions,
            as on a line in space, or an axis of symmetry) it is one of the best.
        translation : (..., N) array
            The fitted points are ``x @ R.mT + t[..., np.newaxis, :]``.
        rmsd : (...) array
            sqrt(Σ wᵢ |R xᵢ + t - yᵢ|² / Σ wᵢ), from the differences themselves: 0 to rounding for a perfect
            match.

        All are NaN for a pair with NaN or Inf in points that count, for itself alone.

    Raises
    ------
    ValueError
        If `x` and `y` do not pair or have no points; for weights of another shape, and for weights that are
        negative, NaN, Inf, or all zero for a set. Weights outside the host's memory are not searched for such
        values: where they sum to zero everything is NaN.
    TypeError
        For complex points or weights, dtypes that `svd` does not take, and arrays of two libraries.

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
    x, y = zero_where_weightless(xp, x, w), zero_where_weightless(xp, y, w)
    with quiet():
        x_scale, y_scale = power_of_two(xp, x), power_of_two(xp, y)
        x, x_mean = centred(xp, x / x_scale, w)
        y, y_mean = centred(xp, y / y_scale, w)
        u, _, vh = decompose(xp, transpose(x if w is None else w[..., None] * x) @ y)
        rotation = _proper_rotation(xp, u, vh)  # acts on rows
        translation = y_scale * y_mean - x_scale * (x_mean @ rotation)
        scale = xp.maximum(x_scale, y_scale)
        residual = x @ (x_scale / scale * rotation) - y_scale / scale * y
        rmsd = scale[..., 0, 0] * xp.sqrt(xp.sum(mean(xp, residual**2, w), axis=(-2, -1)))
        return KabschResult(
            astype(xp, transpose(rotation), dtype),
            astype(xp, translation[..., 0, :], dtype),
            astype(xp, rmsd, dtype),
        )


def _proper_rotation(xp: Namespace, u: Array, vh: Array) -> Array:
    """Return U Vh with the last singular direction turned round where the determinant would be -1."""
    product = u @ vh
    sign = xp.sign(_determinant(xp, product))
    return product + ((sign - 1)[..., None, None] * u[..., -1:]) @ vh[..., -1:, :]


def _determinant(xp: Namespace, a: Array) -> Array:
    """Return the determinants of matrices of the scale of one: in closed form where that is faster."""
    n = a.shape[-1]
    if n == 2:
        return a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
    if n == 3:
        # Rows of a rotation or reflection: the third along the cross product of the others, or against it.
        (a00, a01, a02), (a10, a11, a12), (a20, a21, a22) = (
            [a[..., i, j] for j in range(3)] for i in range(3)
        )
        return a20 * (a01 * a12 - a02 * a11) + a21 * (a02 * a10 - a00 * a12) + a22 * (a00 * a11 - a01 * a10)
    return xp.linalg.det(a)
