"""Principal components of data, and the lines, planes and other flat spaces that fit points best."""

import math
from typing import NamedTuple

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    eps,
    floating,
    quiet,
    real_dtype,
    widened,
)
from gpusvd._base.checks import check_batch, checked_int, is_int
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.points import centred, check_points, power_of_two
from gpusvd._layer.subspaces import sign_flip
from gpusvd._layer.truncate import truncate, truncation_error
from gpusvd._layer.values import relative_squares, safe_divisor, significant


class PCAResult(NamedTuple):
    """The principal components of each set of data, and the maps to their coordinates and back.

    Where the sets keep different numbers of components, all arrays are as wide as the most need, and zero
    beyond.

    Attributes
    ----------
    components : (..., C, N) array
        The directions, orthonormal, as rows: those of most variance first. The largest entry of each in
        absolute value is positive.
    singular_values : (..., C) array
        Singular values of the centred data.
    explained_variance : (..., C) array
        The variance along each component, σ² / (P - 1).
    explained_variance_ratio : (..., C) array
        Their fractions of the whole variance.
    mean : (..., N) array
        The mean of the samples.
    scores : (..., P, C) array
        The samples in the coordinates of the components, as `transform` gives them.
    n_components : (...) array of integers
        How many of the C components each set keeps.
    whiten : bool
        Whether the scores are scaled to variance one.
    """

    components: Array
    singular_values: Array
    explained_variance: Array
    explained_variance_ratio: Array
    mean: Array
    scores: Array
    n_components: Array
    whiten: bool

    def transform(self, x: ArrayLike) -> Array:
        """
        Return the scores (..., Q, C) of samples (..., Q, N): their coordinates along the components.

        Raises ValueError for samples of another shape.
        """
        xp = array_namespace(x, self.components)
        samples, components, middle = common_floating(xp, x=x, components=self.components, mean=self.mean)
        _check_columns("x", samples, components.shape[-1], "N", "Q samples of N features")
        check_batch("the batch of x", samples.shape[:-2], components.shape[:-2])
        with quiet():
            differences = widened(xp, samples) - widened(xp, middle)[..., None, :]
            scores = differences @ adjoint(xp, widened(xp, components))
            if self.whiten:
                deviation = self._deviation(xp)
                scores = scores / xp.where(deviation == 0, math.inf, deviation)
            return astype(xp, scores, samples.dtype)

    def inverse_transform(self, scores: ArrayLike) -> Array:
        """
        Return the samples (..., Q, N) that have these scores (..., Q, C): the nearest to those transformed.

        Raises ValueError for scores of another shape.
        """
        xp = array_namespace(scores, self.components)
        coordinates, components, middle = common_floating(
            xp, scores=scores, components=self.components, mean=self.mean
        )
        _check_columns("scores", coordinates, components.shape[-2], "C", "Q samples along C components")
        check_batch("the batch of scores", coordinates.shape[:-2], components.shape[:-2])
        with quiet():
            wide = widened(xp, coordinates)
            if self.whiten:
                wide = wide * self._deviation(xp)
            samples = wide @ widened(xp, components) + widened(xp, middle)[..., None, :]
            return astype(xp, samples, coordinates.dtype)

    def _deviation(self, xp: Namespace) -> Array:
        """Return the standard deviations (..., 1, C) along the components; 0 where they are but rounding."""
        points, features = self.scores.shape[-2], self.components.shape[-1]
        return _deviation(xp, widened(xp, self.singular_values), points, features)[..., None, :]


class AffineSubspace(NamedTuple):
    """The point, line, plane or higher flat space that fits each set of points best.

    Attributes
    ----------
    point : (..., N) array
        A point of it: the centroid.
    directions : (..., k, N) array
        Orthonormal directions that span it, as rows.
    residual : (...) array
        The root mean square distance of the points from it.
    """

    point: Array
    directions: Array
    residual: Array


@for_libraries
def pca(
    x: ArrayLike, n_components: int | None = None, energy: ArrayLike | None = None, whiten: bool = False
) -> PCAResult:
    """
    Find the principal components of every set of data.

    The samples, less their mean, have the singular value decomposition U Σ Vᴴ. The rows of Vᴴ are the
    components, uncorrelated directions of most variance, and U Σ the scores, the samples' coordinates along
    them. No covariance matrix is formed, whose condition would be the square of the data's.

    Parameters
    ----------
    x : (..., P, N) array_like
        Sets of P samples of N features, a sample a row, as `svd` takes them; complex ones too. Features are
        centred but not scaled.
    n_components : int, optional
        How many components to keep: at most min(P, N), and as many by default. With `energy`, the most to
        keep.
    energy : float or (...) array_like, from 0 to 1, optional
        Keep the fewest components that explain this fraction of the variance; one number, or one for each
        set.
    whiten : bool, optional
        Scale the scores to variance one along every component. Components along which the data do not vary
        beyond rounding, up to max(P, N) eps σ₁, have scores of zero.

    Returns
    -------
    PCAResult
        A named tuple of components (..., C, N), singular_values, explained_variance and
        explained_variance_ratio (..., C), mean (..., N), scores (..., P, C), n_components (...) and whiten,
        in the dtype that `svd` gives U or its real counterpart, with the methods transform and
        inverse_transform.
        float16 is computed in float32. With `energy` each set has its own number of components: C is the
        largest one, or n_components if that is given, and the arrays are zero beyond.

        A set with NaN or Inf has NaN everywhere, for itself alone, and no components if counted. Where the
        data do not vary, the ratios are 0; with a single sample the variance is NaN.

    Raises
    ------
    ValueError
        For data of less than two dimensions or without samples, and `n_components` or `energy` out of range.
    TypeError
        For an `n_components` that is not an int, dtypes that `svd` does not take, and arrays of two
        libraries.

    See Also
    --------
    best_fit_subspace : The space that the first components span through the mean.

    Notes
    -----
    The components, variances, mean and scores are those of `sklearn.decomposition.PCA` with
    ``svd_solver="full"``, signs included; there a fraction is given as `n_components` too, and must be
    exceeded. With `energy` and without `n_components` one number is read back from the device.

    References
    ----------
    I. T. Jolliffe, "Principal component analysis", 2nd edition, Springer, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> x = np.array([[0.0, 0, 1], [2, 1, 1], [4, 2, 1], [6, 3, 1]])  # on a line
    >>> p = gpusvd.pca(x, energy=0.99)
    >>> p.components.round(6)
    array([[0.894427, 0.447214, 0.      ]])
    >>> p.explained_variance.round(6), p.explained_variance_ratio
    (array([8.333333]), array([1.]))
    >>> p.inverse_transform(p.transform([[5, 0, 2]])).round(12)  # the nearest point of the line
    array([[4., 2., 1.]])
    """
    xp = array_namespace(x, energy)
    data = floating(xp, x)
    check_points("x", data)
    most = min(data.shape[-2:])
    width = most if n_components is None else checked_count("n_components", n_components, most)
    principal = _principal(xp, widened(xp, data))
    if energy is None:
        u, s, vh, count = truncate(principal.u, principal.s, principal.vh, rank=width)
    else:
        cap = None if n_components is None else width
        u, s, vh, count = truncate(principal.u, principal.s, principal.vh, energy=energy, max_rank=cap)
    points, features = data.shape[-2:]
    with quiet():
        share = relative_squares(xp, principal.s)
        ratio = share[..., : s.shape[-1]] / safe_divisor(xp, xp.sum(share, axis=-1, keepdims=True))
        # The factors are those of the data over a scale: no square under- or overflows before its time.
        deviation = _per_sample(s, points) * principal.scale[..., 0]
        if whiten:
            varies = _deviation(xp, s, points, features) != 0
            scores = xp.where(varies[..., None, :], u * math.sqrt(points - 1), 0)
        else:
            scores = u * s[..., None, :] * principal.scale
        real = real_dtype(xp, data)
        return PCAResult(
            components=astype(xp, vh, data.dtype),
            singular_values=astype(xp, s * principal.scale[..., 0], real),
            explained_variance=astype(xp, deviation**2, real),
            explained_variance_ratio=astype(xp, xp.where(s == 0, 0, ratio), real),
            mean=astype(xp, principal.mean, data.dtype),
            scores=astype(xp, scores, data.dtype),
            n_components=count,
            whiten=bool(whiten),
        )


@for_libraries
def best_fit_subspace(x: ArrayLike, k: int) -> AffineSubspace:
    """
    Fit a line, a plane or a flat space of k dimensions to every set of points.

    Of all spaces of k dimensions the one that the sum of the squared distances to, measured at right angles,
    is smallest to (total least squares): through the centroid, along the first k principal components.

    Parameters
    ----------
    x : (..., P, N) array_like
        Sets of P points with N coordinates, a point a row, as `svd` takes them.
    k : int
        The dimension, from 0 to min(P, N): 1 for a line, 2 for a plane.

    Returns
    -------
    AffineSubspace
        A named tuple of

        point : (..., N) array
            The centroid.
        directions : (..., k, N) array
            Orthonormal directions, as rows; the largest entry of each in absolute value is positive. What is
            normal to them is ``null_space(directions).basis``, as columns.
        residual : (...) array
            The root mean square distance sqrt(Σ σᵢ² / P) over i > k, 0 to rounding if the points lie in the
            space.

        Where the points leave a choice of directions, these are one. A set with NaN or Inf gets NaN, for
        itself alone.

    Raises
    ------
    ValueError
        For points of less than two dimensions, sets without points, and `k` out of range.
    TypeError
        For a `k` that is not an int, and dtypes that `svd` does not take.

    References
    ----------
    K. Pearson, "On lines and planes of closest fit to systems of points in space", Philosophical Magazine
    2(11), 1901, pp. 559-572.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> x = np.array([[0, 0, 5], [1, 0, 5], [0, 1, 5], [1, 1, 5]])
    >>> point, directions, residual = gpusvd.best_fit_subspace(x, 2)
    >>> point, float(residual)
    (array([0.5, 0.5, 5. ]), 0.0)
    >>> abs(gpusvd.null_space(directions).basis[:, 0])  # the normal of the plane
    array([0., 0., 1.])
    """
    xp = array_namespace(x)
    data = floating(xp, x)
    check_points("x", data)
    k = checked_count("k", k, min(data.shape[-2:]))
    principal = _principal(xp, widened(xp, data))
    with quiet():
        residual = truncation_error(principal.s, k) / math.sqrt(data.shape[-2]) * principal.scale[..., 0, 0]
        return AffineSubspace(
            astype(xp, principal.mean, data.dtype),
            astype(xp, principal.vh[..., :k, :], data.dtype),
            astype(xp, residual, real_dtype(xp, data)),
        )


class _Principal(NamedTuple):
    """Mean (..., N) of the data, and the thin factors of the centred data over a scale (..., 1, 1)."""

    u: Array
    s: Array
    vh: Array
    mean: Array
    scale: Array


def _principal(xp: Namespace, x: Array) -> _Principal:
    with quiet():
        scale = power_of_two(xp, x)
        differences, middle = centred(xp, x / scale)
        u, s, vh = decompose(xp, differences)
        u, vh = sign_flip(u, vh, u_based_decision=False)
        return _Principal(u, s, vh, (middle * scale)[..., 0, :], scale)


def _per_sample(s: Array, points: int) -> Array:
    """Return σ / sqrt(P - 1), NaN for a single sample."""
    return s / math.sqrt(points - 1) if points > 1 else s * math.nan


def _deviation(xp: Namespace, s: Array, points: int, features: int) -> Array:
    """Return the standard deviations, 0 where the data do not vary beyond rounding."""
    varies = significant(xp, s, max(points, features) * eps(xp, s)) | xp.isnan(s)
    return xp.where(varies, _per_sample(s, points), 0)


def checked_count(name: str, count: object, most: int) -> int:
    """Return a number of components; raise unless it is an int from 0 to `most`."""
    if not is_int(count):
        hint = "; a fraction of the variance is energy=" if name == "n_components" else ""
        raise TypeError(f"{name} must be an int, not {count!r}{hint}")
    return checked_int(count, f"{name} must be from 0 to min(P, N) = {most}, not {count}", most=most)


def _check_columns(name: str, x: Array, columns: int, letter: str, meaning: str) -> None:
    if x.ndim < 2 or x.shape[-1] != columns:
        raise ValueError(
            f"{name} has shape {x.shape}, expected (..., Q, {letter}) with {letter} = {columns}: {meaning}"
        )
