"""Principal components, and the lines, planes and other flats that fit points best."""

import math
from typing import Any, Generic, NamedTuple, cast

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    array_namespace,
    astype,
    common_floating,
    concatenated,
    device_of,
    eps,
    floating,
    in_c_order,
    quiet,
    real_dtype,
    widened,
)
from gpusvd._base.checks import Driver, check_batch, checked_int, is_int
from gpusvd._base.dispatch import for_libraries, refuse_dask
from gpusvd._base.results import A, Array
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.points import (
    centred,
    check_points,
    checked_weights,
    power_of_two,
    scaled_weights,
    with_roots,
    zero_where_weightless,
)
from gpusvd._layer.subspaces import sign_flip
from gpusvd._layer.truncate import TruncatedSVD, truncate, truncation_error
from gpusvd._layer.values import leading, relative_squares, safe_divisor, significant


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
        The variance along each component, σ² / (n_samples - 1).
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
    n_samples : int, or (...) array
        The number P of samples, or the sum of the weights of each set.
    """

    components: A
    singular_values: A
    explained_variance: A
    explained_variance_ratio: A
    mean: A
    scores: A
    n_components: A
    whiten: bool
    n_samples: int | A

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
            differences = in_c_order(xp, widened(xp, samples)) - widened(xp, middle)[..., None, :]
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
            wide = in_c_order(xp, widened(xp, coordinates))
            if self.whiten:
                wide = wide * self._deviation(xp)
            samples = wide @ widened(xp, components) + widened(xp, middle)[..., None, :]
            return cast(A, astype(xp, samples, coordinates.dtype))

    def merge(
        self, other: "PCAResult[A]", n_components: int | None = None, *, driver: Driver = "auto"
    ) -> "PCAResult[A]":
        """
        Return the principal components of the samples of both together.

        They come from one SVD of the stacked factors diag(σ) Vᴴ of both and the difference of their means. If
        both keep all components, they are those that `pca` finds in all samples; otherwise the discarded
        components count only in the total variance. The scores of `other` follow those of `self`; for data
        too large to keep, ``p._replace(scores=p.scores[..., :0, :])`` has none.

        Parameters
        ----------
        other : PCAResult
            Components of as many sets with as many features, whitened if these are.
        n_components : int, optional
            Number of components to keep, at most min(C + C', N), which is the default.
        driver : optional
            As in `svd`.

        Raises
        ------
        ValueError
            For results that do not fit together.

        References
        ----------
        D. A. Ross, J. Lim, R.-S. Lin and M.-H. Yang, "Incremental learning for robust visual tracking",
        International Journal of Computer Vision 77, 2008, pp. 125-141.
        """
        p, q = cast(tuple[PCAResult, PCAResult], (self, other))
        _check_alike(p, q)
        xp = array_namespace(p.components, q.components)
        most = min(p.components.shape[-2] + q.components.shape[-2], p.components.shape[-1])
        width = most if n_components is None else checked_count("n_components", n_components, most)
        with device_of(p.components), quiet():
            merged = _merged(xp, p, q, width, driver)
            scores = [merged.transform(part.inverse_transform(part.scores)) for part in (p, q)]
            return cast("PCAResult[A]", merged._replace(scores=concatenated(xp, scores, -2)))

    def _deviation(self, xp: Namespace) -> Array:
        """Return the standard deviations (..., 1, C) along the components, 0 if they are only rounding."""
        p = cast(PCAResult, self)
        values, features = widened(xp, p.singular_values), p.components.shape[-1]
        return _deviation(xp, values, p.n_samples, features)[..., None, :]


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
    weights: ArrayLike | None = None,
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
    weights : (..., P) array_like, optional
        Non-negative weights of the samples. Default: 1. A sample of weight 2 counts as two: the mean is the
        weighted mean, the singular values are those of the centred samples times wᵢ^½, and Σ wᵢ stands for
        P in the variance. A weight of 0 leaves a sample out, whatever its numbers are.
    driver : optional
        As in `svd`.

    Returns
    -------
    PCAResult
        A named tuple of components (..., C, N), singular_values, explained_variance and
        explained_variance_ratio (..., C), mean (..., N), scores (..., P, C), n_components (...), whiten and
        n_samples, with the methods transform, inverse_transform and merge. The arrays have the dtype that
        `svd` gives U, or S. With `energy` each set has its own number of components: C is the largest one, or
        n_components if that is given, and the arrays are zero beyond.

        A set with NaN or Inf has NaN everywhere, with a number of components of 0, and does not affect the
        others. If the data do not vary, the ratios are 0; with a single sample, or weights that sum to at
        most 1, the variance is NaN.

    Raises
    ------
    ValueError
        For data of fewer than two dimensions or without samples, and `n_components` or `energy` out of range;
        for weights as in `kabsch`.
    TypeError
        For an `n_components` that is not an int, complex weights, dtypes that `svd` does not take, and arrays
        of different libraries.

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

    Of data in parts:

    >>> p = gpusvd.pca(x[:2]).merge(gpusvd.pca(x[2:]), n_components=1)
    >>> p.explained_variance.round(6), p.mean
    (array([8.333333]), array([3. , 1.5, 1. ]))
    """
    xp = array_namespace(x, energy, weights)
    data = floating(xp, x)
    check_points("x", data)
    points, features = data.shape[-2:]
    most = min(points, features)
    width = most if n_components is None else checked_count("n_components", n_components, most)
    wide, n_samples, w = in_c_order(xp, widened(xp, data)), points, None
    if weights is not None:
        w = checked_weights(xp, weights, data.shape[:-2], points, data)
        n_samples = xp.sum(astype(xp, w, real_dtype(xp, wide)), axis=-1)
    principal = _principal(xp, wide, driver, w)
    if energy is None:
        u, s, vh, count = truncate(principal.u, principal.s, principal.vh, rank=width)
    else:
        cap = None if n_components is None else width
        u, s, vh, count = truncate(principal.u, principal.s, principal.vh, energy=energy, max_rank=cap)
    with quiet():
        if w is not None:
            differences = wide / principal.scale - principal.mean[..., None, :] / principal.scale
            u = differences @ adjoint(xp, vh) / safe_divisor(xp, s)[..., None, :]
        if whiten:
            varies = _deviation(xp, s, n_samples, features) != 0
            lengths = xp.where(varies, xp.ones_like(s) * _root_of_freedom(xp, n_samples), 0)
            scores = u * lengths[..., None, :]
        else:
            scores = u * s[..., None, :] * principal.scale
        total = xp.sum(relative_squares(xp, principal.s), axis=-1, keepdims=True)
        kept = TruncatedSVD(u, s, vh, count)
        return _result(xp, data.dtype, principal, kept, total, n_samples, whiten, scores)


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
    principal = _principal(xp, in_c_order(xp, widened(xp, data)), driver)
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


def _principal(xp: Namespace, x: Array, driver: Driver, weights: Array | None = None) -> _Principal:
    """Return the factors of the centred data, with weights those of its rows times their roots."""
    with quiet():
        x = zero_where_weightless(xp, x, weights)
        scale = power_of_two(xp, x)
        if weights is None:
            differences, middle = centred(xp, x / scale)
        else:
            differences, middle = centred(xp, x / scale, scaled_weights(xp, weights, x))
            differences = with_roots(xp, differences, weights)
        return _factored(xp, differences, (middle * scale)[..., 0, :], scale, driver)


def _factored(xp: Namespace, x: Array, mean: Array, scale: Array, driver: Driver) -> _Principal:
    """Return the factors of x, components with their largest entry positive."""
    u, s, vh = decompose(xp, x, driver)
    u, vh = sign_flip(u, vh, u_based_decision=False)
    return _Principal(u, s, vh, mean, scale)


def _merged(xp: Namespace, p: PCAResult, q: PCAResult, width: int, driver: Driver) -> PCAResult:
    """Return the components of the samples of both, with the scores of none."""
    vh, other_vh, mean, other_mean = common_floating(
        xp, components=p.components, other=q.components, mean=p.mean, other_mean=q.mean
    )
    dtype = vh.dtype
    n = p.n_samples + q.n_samples
    shift = widened(xp, other_mean) - widened(xp, mean)
    between = _column((p.n_samples * (q.n_samples / n)) ** 0.5) * shift
    parts = [
        p.singular_values[..., None] * widened(xp, vh),
        q.singular_values[..., None] * widened(xp, other_vh),
        between[..., None, :],
    ]
    stacked = concatenated(xp, parts, -2)
    scale = power_of_two(xp, stacked)
    middle = widened(xp, mean) + _column(q.n_samples / n) * shift
    principal = _factored(xp, stacked / scale, middle, scale, driver)
    kept = truncate(principal.u, principal.s, principal.vh, rank=width)
    total = sum(_variation(xp, part, scale[..., 0]) for part in (p, q))
    total = total + xp.sum(xp.abs(between / scale[..., 0]) ** 2, axis=-1, keepdims=True)
    total = total / safe_divisor(xp, leading(principal.s)) ** 2
    return _result(xp, dtype, principal, kept, total, n, p.whiten, kept.Vh[..., :0, :width])


def _variation(xp: Namespace, p: PCAResult, scale: Array) -> Array:
    """Return Σ σ² / scale² (..., 1) over all components, those that were left out too."""
    explained = xp.sum(p.explained_variance_ratio, axis=-1, keepdims=True)
    return xp.sum((p.singular_values / scale) ** 2, axis=-1, keepdims=True) / safe_divisor(xp, explained)


def _result(
    xp: Namespace,
    dtype: Any,
    principal: _Principal,
    kept: TruncatedSVD,
    total: Array,
    n_samples: int | Array,
    whiten: bool,
    scores: Array,
) -> PCAResult:
    """Return the components kept of all; `total` (..., 1) is Σ σ² / σ₁² over all."""
    _, s, vh, count = kept
    scale = principal.scale[..., 0]
    real = real_dtype(xp, widened(xp, principal.s))  # float16 may not hold variances
    ratio = relative_squares(xp, principal.s)[..., : s.shape[-1]] / safe_divisor(xp, total)
    # The factors are those of the scaled data, so that squares do not over- or underflow needlessly.
    deviation = s / _root_of_freedom(xp, n_samples) * scale
    return PCAResult(
        components=astype(xp, vh, dtype),
        singular_values=astype(xp, s * scale, real),
        explained_variance=astype(xp, deviation**2, real),
        explained_variance_ratio=astype(xp, xp.where(s == 0, 0, ratio), real),
        mean=astype(xp, principal.mean, dtype),
        scores=astype(xp, scores, dtype),
        n_components=count,
        whiten=bool(whiten),
        n_samples=n_samples,
    )


def _root_of_freedom(xp: Namespace, n_samples: int | Array) -> Any:
    """Return the square root (..., 1) of the number of samples less one; NaN if that is not positive."""
    if isinstance(n_samples, int):
        return math.sqrt(n_samples - 1) if n_samples > 1 else math.nan
    return xp.sqrt(xp.where(n_samples > 1, n_samples - 1, math.nan))[..., None]


def _column(x: Any) -> Any:
    """Return an array (...) as (..., 1), and a number as it is."""
    return x if isinstance(x, int | float) else x[..., None]


def _deviation(xp: Namespace, s: Array, n_samples: int | Array, features: int) -> Array:
    """Return the standard deviations, 0 if the data vary only by rounding."""
    most = max(n_samples, features) if isinstance(n_samples, int) else xp.maximum(n_samples, features)
    varies = significant(xp, s, most * eps(xp, s)) | xp.isnan(s)
    return xp.where(varies, s / _root_of_freedom(xp, n_samples), 0)


def checked_count(name: str, count: object, most: int) -> int:
    """Return a number of components; raise unless it is an int from 0 to `most` = min(P, N)."""
    if not is_int(count):
        hint = "; a fraction of the variance is energy=" if name == "n_components" else ""
        raise TypeError(f"{name} must be an int, not {count!r}{hint}")
    return checked_int(count, f"{name} must be from 0 to min(P, N) = {most}, not {count}", most=most)


def _check_alike(p: PCAResult, q: PCAResult) -> None:
    """Raise unless the principal components of two sets of samples can be merged."""
    if not isinstance(q, PCAResult):
        raise TypeError(f"other is a {type(q).__name__}, expected a PCAResult")
    refuse_dask("PCAResult.merge", p.components, q.components)
    if p.mean.shape != q.mean.shape:
        raise ValueError(f"the means have shapes {p.mean.shape} and {q.mean.shape}, expected the same")
    if p.whiten != q.whiten:
        raise ValueError("one has whitened scores and the other has not, expected the same")


def _check_columns(name: str, x: Array, columns: int, letter: str, meaning: str) -> None:
    if x.ndim < 2 or x.shape[-1] != columns:
        raise ValueError(
            f"{name} has shape {x.shape}, expected (..., Q, {letter}) with {letter} = {columns}: {meaning}"
        )
