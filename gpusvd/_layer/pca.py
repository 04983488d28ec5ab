"""Principal components, and the lines, planes and other flats that fit points best."""

import math
from typing import Generic, NamedTuple, cast

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    device_of,
    eps,
    floating,
    quiet,
    real_dtype,
    widened,
)
from gpusvd._base.checks import Driver, check_batch, checked_int, is_int
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.points import centred, check_points, power_of_two
from gpusvd._layer.subspaces import sign_flip
from gpusvd._layer.truncate import truncate, truncation_error
from gpusvd._layer.values import relative_squares, safe_divisor, significant


class PCAResult(NamedTuple, Generic[A]):
    """The principal components of each set of data, with the maps to scores and back.

    If the sets keep different numbers of components, the arrays are as wide as the largest number, and zero
    beyond the number of each set.

    Attributes
    ----------
    components : (..., C, N) array
        Orthonormal directions as rows, in descending order of variance. The largest entry of each in absolute
        value is positive.
    singular_values : (..., C) array
        Singular values of the centred data.
    explained_variance : (..., C) array
        The variance along each component, σ² / (P - 1).
    explained_variance_ratio : (..., C) array
        Its fraction of the total variance.
    mean : (..., N) array
        The mean of the samples.
    scores : (..., P, C) array
        The samples in the coordinates of the components, as `transform` gives them.
    n_components : (...) array of integers
        The number of components that each set keeps, at most C.
    whiten : bool
        Whether the scores are scaled to unit variance.
    """

    components: A
    singular_values: A
    explained_variance: A
    explained_variance_ratio: A
    mean: A
    scores: A
    n_components: A
    whiten: bool

    def transform(self, x: ArrayLike) -> A:
        """
        Return the scores (..., Q, C) of samples (..., Q, N), their coordinates along the components.

        Raises ValueError for samples of another shape.
        """
        xp = array_namespace(x, self.components)
        with device_of(self.components), quiet():
            samples, components, middle = common_floating(xp, x=x, components=self.components, mean=self.mean)
            _check_columns("x", samples, components.shape[-1], "N", "Q samples of N features")
            check_batch("the batch of x", samples.shape[:-2], components.shape[:-2])
            differences = widened(xp, samples) - widened(xp, middle)[..., None, :]
            scores = differences @ adjoint(xp, widened(xp, components))
            if self.whiten:
                deviation = self._deviation(xp)
                scores = scores / xp.where(deviation == 0, math.inf, deviation)
            return cast(A, astype(xp, scores, samples.dtype))

    def inverse_transform(self, scores: ArrayLike) -> A:
        """
        Return the samples (..., Q, N) with these scores (..., Q, C), the projections of those transformed.

        Raises ValueError for scores of another shape.
        """
        xp = array_namespace(scores, self.components)
        with device_of(self.components), quiet():
            coordinates, components, middle = common_floating(
                xp, scores=scores, components=self.components, mean=self.mean
            )
            _check_columns("scores", coordinates, components.shape[-2], "C", "Q samples along C components")
            check_batch("the batch of scores", coordinates.shape[:-2], components.shape[:-2])
            wide = widened(xp, coordinates)
            if self.whiten:
                wide = wide * self._deviation(xp)
            samples = wide @ widened(xp, components) + widened(xp, middle)[..., None, :]
            return cast(A, astype(xp, samples, coordinates.dtype))

    def _deviation(self, xp: Namespace) -> Array:
        """Return the standard deviations (..., 1, C) along the components, 0 if they are only rounding."""
        scores, values, components = cast(
            tuple[Array, ...], (self.scores, self.singular_values, self.components)
        )
        points, features = scores.shape[-2], components.shape[-1]
        return _deviation(xp, widened(xp, values), points, features)[..., None, :]


class AffineSubspace(NamedTuple, Generic[A]):
    """The point, line, plane or higher-dimensional flat that fits each set of points best.

    Attributes
    ----------
    point : (..., N) array
        A point of the flat: the centroid.
    directions : (..., k, N) array
        Orthonormal directions that span the flat, as rows.
    residual : (...) array
        The root mean square distance of the points from the flat.
    """

    point: A
    directions: A
    residual: A


@for_libraries
def pca(
    x: ArrayLike,
    n_components: int | None = None,
    energy: ArrayLike | None = None,
    whiten: bool = False,
    *,
    driver: Driver = "auto",
) -> PCAResult:
    """
    Return the principal components of every set of data.

    The samples minus their mean have the singular value decomposition U Σ Vᴴ. The rows of Vᴴ are the
    components, uncorrelated directions of greatest variance, and U Σ holds the scores, the coordinates of the
    samples along them. No covariance matrix is formed, which would square the condition number of the data.

    Parameters
    ----------
    x : (..., P, N) array_like
        Sets of P samples of N features, one sample per row, as `svd` takes them, real or complex. Features
        are centred but not scaled.
    n_components : int, optional
        Number of components to keep, at most min(P, N), which is the default. With `energy`, an upper limit.
    energy : float or (...) array_like, from 0 to 1, optional
        Keep the fewest components that explain this fraction of the variance: a number for all sets, or one
        for each.
    whiten : bool, optional
        Whether to scale the scores to unit variance along every component. The scores are zero along a
        component whose singular value is at most max(P, N) eps σ₁, that is, only rounding.
    driver : optional
        As in `svd`.

    Returns
    -------
    PCAResult
        A named tuple of components (..., C, N), singular_values, explained_variance and
        explained_variance_ratio (..., C), mean (..., N), scores (..., P, C), n_components (...) and whiten,
        with the methods transform and inverse_transform. The arrays have the dtype that `svd` gives U, or S.
        With `energy` each set has its own number of components: C is the largest one, or n_components if that
        is given, and the arrays are zero beyond.

        A set with NaN or Inf has NaN everywhere, with a number of components of 0, and does not affect the
        others. If the data do not vary, the ratios are 0; with a single sample the variance is NaN.

    Raises
    ------
    ValueError
        For data of fewer than two dimensions or without samples, and `n_components` or `energy` out of range.
    TypeError
        For an `n_components` that is not an int, dtypes that `svd` does not take, and arrays of different
        libraries.

    See Also
    --------
    best_fit_subspace : The flat through the mean that the first components span.

    Notes
    -----
    Components, variances, mean and scores are those of `sklearn.decomposition.PCA` with
    ``svd_solver="full"``, signs included. Scikit-learn takes the fraction as `n_components`, and keeps the
    fewest components that exceed it. With `energy` and without `n_components`, one number is read back from
    the device.

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
    principal = _principal(xp, widened(xp, data), driver)
    if energy is None:
        u, s, vh, count = truncate(principal.u, principal.s, principal.vh, rank=width)
    else:
        cap = None if n_components is None else width
        u, s, vh, count = truncate(principal.u, principal.s, principal.vh, energy=energy, max_rank=cap)
    points, features = data.shape[-2:]
    with quiet():
        share = relative_squares(xp, principal.s)
        ratio = share[..., : s.shape[-1]] / safe_divisor(xp, xp.sum(share, axis=-1, keepdims=True))
        # The factors are those of the scaled data, so that squares do not over- or underflow needlessly.
        deviation = _per_sample(s, points) * principal.scale[..., 0]
        if whiten:
            varies = _deviation(xp, s, points, features) != 0
            scores = xp.where(varies[..., None, :], u * math.sqrt(points - 1), 0)
        else:
            scores = u * s[..., None, :] * principal.scale
        real = real_dtype(xp, widened(xp, data))  # float16 may not hold variances
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
def best_fit_subspace(x: ArrayLike, k: int, *, driver: Driver = "auto") -> AffineSubspace:
    """
    Return the line, plane or k-dimensional flat that fits every set of points best.

    The k-dimensional flat that minimises the sum of squared orthogonal distances (total least squares) passes
    through the centroid, along the first k principal components.

    Parameters
    ----------
    x : (..., P, N) array_like
        Sets of P points with N coordinates, one point per row, as `svd` takes them.
    k : int
        The dimension, from 0 to min(P, N): 1 for a line, 2 for a plane.
    driver : optional
        As in `svd`.

    Returns
    -------
    AffineSubspace
        A named tuple of

        point : (..., N) array
            The centroid.
        directions : (..., k, N) array
            Orthonormal directions as rows; the largest entry of each in absolute value is positive. The
            normals are the columns of ``null_space(directions).basis``.
        residual : (...) array
            The root mean square distance sqrt(Σ σᵢ² / P), summed over i > k: 0 to rounding if the points lie
            in the flat.

        If several flats fit equally well, one of them is returned. A set with NaN or Inf gets NaN and does
        not affect the others.

    Raises
    ------
    ValueError
        For an array of fewer than two dimensions, sets without points, and `k` out of range.
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
    principal = _principal(xp, widened(xp, data), driver)
    with quiet():
        residual = truncation_error(principal.s, k) / math.sqrt(data.shape[-2]) * principal.scale[..., 0, 0]
        return AffineSubspace(
            astype(xp, principal.mean, data.dtype),
            astype(xp, principal.vh[..., :k, :], data.dtype),
            astype(xp, residual, real_dtype(xp, data)),
        )


class _Principal(NamedTuple):
    """The mean (..., N) of the data, and the thin factors of the centred data over a scale (..., 1, 1)."""

    u: Array
    s: Array
    vh: Array
    mean: Array
    scale: Array


def _principal(xp: Namespace, x: Array, driver: Driver) -> _Principal:
    with quiet():
        scale = power_of_two(xp, x)
        differences, middle = centred(xp, x / scale)
        u, s, vh = decompose(xp, differences, driver)
        u, vh = sign_flip(u, vh, u_based_decision=False)
        return _Principal(u, s, vh, (middle * scale)[..., 0, :], scale)


def _per_sample(s: Array, points: int) -> Array:
    """Return the standard deviations σ / sqrt(P - 1), NaN for a single sample."""
    return s / math.sqrt(points - 1) if points > 1 else s * math.nan


def _deviation(xp: Namespace, s: Array, points: int, features: int) -> Array:
    """Return the standard deviations, 0 if the data vary only by rounding."""
    varies = significant(xp, s, max(points, features) * eps(xp, s)) | xp.isnan(s)
    return xp.where(varies, _per_sample(s, points), 0)


def checked_count(name: str, count: object, most: int) -> int:
    """Return a number of components; raise unless it is an int from 0 to `most` = min(P, N)."""
    if not is_int(count):
        hint = "; a fraction of the variance is energy=" if name == "n_components" else ""
        raise TypeError(f"{name} must be an int, not {count!r}{hint}")
    return checked_int(count, f"{name} must be from 0 to min(P, N) = {most}, not {count}", most=most)


def _check_columns(name: str, x: Array, columns: int, letter: str, meaning: str) -> None:
    if x.ndim < 2 or x.shape[-1] != columns:
        raise ValueError(
            f"{name} has shape {x.shape}, expected (..., Q, {letter}) with {letter} = {columns}: {meaning}"
        )
