"""
Overlapping patches of images, series and volumes: extract them as views, and average them to an image.

The first axes of an image are those of its patches: two of a picture, three of a volume, one of a signal. All
further ones (colours, time, channels, directions) belong to every patch as a whole. Images are NumPy or CuPy
arrays.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    arange,
    array_namespace,
    astype,
    floating,
    is_numpy_or_cupy,
    library_name,
    quiet,
    real_dtype,
    to_host,
    widened,
)
from gpusvd._base.checks import Driver, check_driver, checked_int, is_int, is_one_of
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array
from gpusvd._layer import products
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.noise import mppca_rank, optimal_shrinkage
from gpusvd._layer.spectrum import optimal_threshold
from gpusvd._stream.progress import Progress, check_progress, reporting

__all__ = ["apply", "average", "denoise", "extract"]

_PIECE_BYTES = 1024 * 1024  # of patches at a time, or this share of the image if that is more:
_SHARE = 16

Rule = Literal["svt", "hard", "shrinkage", "mppca"]
Place = tuple[range, ...]  # where the patches of a piece begin, along each axis


@for_libraries
def extract(image: ArrayLike, size: Sequence[int], step: int | Sequence[int] = 1) -> Array:
    """
    Return all patches of an image as a view: nothing is copied.

    Parameters
    ----------
    image : (n₁, ..., n_d, ...) array_like
        A picture (d = 2), volume (d = 3) or signal (d = 1), with any further axes.
    size : tuple of d ints
        The size of a patch along the first d axes.
    step : int or tuple of d ints, optional
        How far apart patches begin. Patches overlap if it is less than their size.

    Returns
    -------
    (g₁, ..., g_d, p₁, ..., p_d, ...) array
        The patches that lie within the image, gᵢ = (nᵢ - pᵢ) // stepᵢ + 1 along each axis. With NumPy the
        view is read-only, since patches share their numbers.

    Raises
    ------
    ValueError
        For sizes that are not positive or larger than the image, and steps that are not positive.
    TypeError
        For arrays of other libraries than NumPy and CuPy.

    See Also
    --------
    average : The inverse.
    apply : Both, with a function in between, in little memory.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> image = np.arange(20.0).reshape(4, 5)
    >>> patches = gpusvd.patches.extract(image, (2, 3))
    >>> patches.shape, np.shares_memory(patches, image)
    ((3, 3, 2, 3), True)
    >>> patches[1, 2]
    array([[ 7.,  8.,  9.],
           [12., 13., 14.]])
    >>> gpusvd.svdvals(patches).shape
    (3, 3, 2)
    """
    xp, image = _image(image)
    sizes, steps = _sizes(image.shape, size, step)
    place = tuple(range(0, n - p + 1, s) for n, p, s in zip(image.shape, sizes, steps, strict=False))
    return _view(xp, image, place, sizes)


@for_libraries
def average(
    patches: ArrayLike,
    shape: Sequence[int],
    step: int | Sequence[int] = 1,
    *,
    weights: ArrayLike | None = None,
) -> Array:
    """
    Return the image in which every pixel is the mean over the patches that contain it.

    Parameters
    ----------
    patches : (g₁, ..., g_d, p₁, ..., p_d, ...) array_like
        Patches, as `extract` returns them.
    shape : tuple of d ints
        The size n₁, ..., n_d of the image.
    step : int or tuple of d ints, optional
        How far apart patches begin.
    weights : (p₁, ..., p_d) array_like, optional
        Positive weights of the pixels of a patch in the mean, such as a window that decreases towards the
        edges. Default: equal weights.

    Returns
    -------
    (n₁, ..., n_d, ...) array
        The image, in the floating-point dtype of the patches; NaN where there is no patch.

    Raises
    ------
    ValueError
        If the patches are not those of an image of this shape, and for weights of another shape or that are
        not positive.
    TypeError
        For arrays of other libraries than NumPy and CuPy, and dtypes that `svd` does not take.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> image = np.arange(20.0).reshape(4, 5)
    >>> patches = gpusvd.patches.extract(image, (2, 3), (2, 1))
    >>> bool((gpusvd.patches.average(patches, (4, 5), (2, 1)) == image).all())
    True
    """
    xp, patches = _image(patches)
    d = len(shape)
    if patches.ndim < 2 * d:
        raise ValueError(f"patches has {patches.ndim} axes, expected at least {2 * d} for {d} of the image")
    sizes, steps = _sizes(tuple(shape), patches.shape[d : 2 * d], step)
    place = tuple(range(0, n - p + 1, s) for n, p, s in zip(shape, sizes, steps, strict=True))
    grid = tuple(map(len, place))
    if patches.shape[:d] != grid:
        raise ValueError(f"patches has a grid of {patches.shape[:d]}, expected {grid} for {tuple(shape)}")
    return _mean(xp, tuple(shape), sizes, _weights(xp, weights, sizes), [(place, patches)])


@for_libraries
def apply(
    function: Callable[[Array], Array],
    image: ArrayLike,
    size: Sequence[int],
    step: int | Sequence[int] = 1,
    *,
    weights: ArrayLike | None = None,
    progress: Progress | None = None,
) -> Array:
    """
    Return an image after applying a function to its patches: every pixel is the mean over its patches.

    Patches are processed a few at a time, so that little memory is needed beyond the result, whatever the
    overlap: a sixteenth of the image or 1 MiB of patches, and what the function needs for them.

    Parameters
    ----------
    function : callable
        Takes patches (B, p₁, ..., p_d, ...), without writing to them, and returns as many of that shape, of a
        dtype that `svd` takes.
    image : (n₁, ..., n_d, ...) array_like
        A picture (d = 2), volume (d = 3) or signal (d = 1), with any further axes.
    size : tuple of d ints
        The size of a patch along the first d axes.
    step : int or tuple of d ints, optional
        How far apart patches begin. The last ones end at the edge of the image, even if they overlap their
        neighbours more than others do, so that every pixel has a patch.
    weights : (p₁, ..., p_d) array_like, optional
        Positive weights of the pixels of a patch in the mean. Default: equal weights.
    progress : bool or callable, optional
        True shows a bar (with the extra `progress`); a callable gets the number of patches done and of all.

    Returns
    -------
    (n₁, ..., n_d, ...) array
        The image, in the floating-point dtype of what the function returns.

    Raises
    ------
    ValueError
        As `extract` and `average`, and if the function returns another shape.
    TypeError
        For arrays of other libraries than NumPy and CuPy, and dtypes that `svd` does not take.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> image = np.add.outer(np.arange(6.0), np.arange(7.0))
    >>> def of_rank_2(patches):
    ...     return gpusvd.reconstruct(*gpusvd.low_rank(patches, rank=2))
    ...
    >>> bool(np.allclose(gpusvd.patches.apply(of_rank_2, image, (4, 4), 3), image))
    True
    """
    if not callable(function):
        raise TypeError(f"function must be a callable of patches, not a {type(function).__name__}")
    check_progress(progress)
    xp, image = _image(image)
    sizes, steps = _sizes(image.shape, size, step)
    if any(s > p for s, p in zip(steps, sizes, strict=True)):
        raise ValueError(f"step {steps} is larger than the patches of {sizes}: some pixels would have none")
    d = len(sizes)
    starts = [_starts(n, p, s) for n, p, s in zip(image.shape, sizes, steps, strict=False)]
    patch_bytes = math.prod((*sizes, *image.shape[d:])) * image.itemsize
    most = max(_PIECE_BYTES, image.nbytes // _SHARE) // max(1, patch_bytes)

    def results() -> Iterator[tuple[Place, Array]]:
        done = 0
        for place in _pieces(starts, max(1, most)):
            patches = _view(xp, image, place, sizes)
            batch = patches.reshape(math.prod(patches.shape[:d]), *patches.shape[d:])
            values = function(batch)
            if getattr(values, "shape", None) != batch.shape:
                made = getattr(values, "shape", f"a {type(values).__name__}")
                raise ValueError(f"function made {made} of patches {batch.shape}, expected their shape")
            yield place, values.reshape(patches.shape)
            done += len(batch)
            report(done)

    total = math.prod(sum(map(len, runs)) for runs in starts)
    with reporting(progress, 0, total) as report:
        return _mean(xp, image.shape[:d], sizes, _weights(xp, weights, sizes), results())


@for_libraries
def denoise(
    image: ArrayLike,
    size: Sequence[int],
    step: int | Sequence[int] | None = None,
    *,
    rule: Rule = "mppca",
    noise: float | None = None,
    tau: float | None = None,
    weights: ArrayLike | None = None,
    progress: Progress | None = None,
    driver: Driver = "auto",
) -> Array:
    """
    Return an image with white noise removed from its patches, by a rule for their singular values.

    A patch of a series is a matrix with a row for each of its pixels and a column for each entry of the
    further axes, such as time (its Casorati matrix). Signals that neighbouring pixels have in common are of
    low rank; noise is not. Without further axes the patch itself is the matrix, (p₁ ... p_{d-1}, p_d). Every
    pixel becomes the mean over all patches that contain it.

    Parameters
    ----------
    image : (n₁, ..., n_d, ...) array_like
        A picture (d = 2) or volume (d = 3), with any further axes, real or complex.
    size : tuple of d ints
        The size of a patch along the first d axes.
    step : int or tuple of d ints, optional
        How far apart patches begin. Default: half their size. 1 averages over the most patches.
    rule : {"mppca", "shrinkage", "hard", "svt"}, optional
        What becomes of the singular values of a patch:

        - "mppca": those above the noise, by `mppca_rank`, are kept; the noise level need not be known, nor be
          the same everywhere. It needs matrices of more than 16 numbers: in smaller ones all is noise to it.
        - "shrinkage": `optimal_shrinkage` for the Frobenius norm.
        - "hard": those above `optimal_threshold` are kept.
        - "svt": σ becomes max(σ - tau, 0), as in `gpusvd.svt`.
    noise : float, optional
        Standard deviation of the noise in a pixel, for complex pixels of its absolute value, for "shrinkage"
        and "hard". By default it is estimated from the median singular value of each patch.
    tau : float
        The threshold of "svt", which needs it.
    weights : (p₁, ..., p_d) array_like, optional
        Positive weights of the pixels of a patch in the mean. Default: equal weights.
    progress : bool or callable, optional
        True shows a bar (with the extra `progress`); a callable gets the number of patches done and of all.
    driver : optional
        As in `svd`.

    Returns
    -------
    (n₁, ..., n_d, ...) array
        The image, in the dtype that `svd` gives U; float16 is computed in float32. NaN and Inf spread to the
        pixels that share a patch with them, and no further. Beyond the result, the memory for a sixteenth
        of the image in patches and their factors is needed.

    Raises
    ------
    ValueError
        For another rule, `noise` or `tau` with a rule that does not take it, no `tau` with "svt", patches too
        small to estimate the noise from, and as `apply`.
    TypeError
        For arrays of other libraries than NumPy and CuPy, and dtypes that `svd` does not take.

    References
    ----------
    The rules: J. Veraart et al., NeuroImage 142, 2016 (MP-PCA); M. Gavish and D. L. Donoho, 2017 and 2014;
    J.-F. Cai, E. J. Candès and Z. Shen, 2010; in full with the functions that are named. Locally low rank:
    J. D. Trzasko, "Exploiting local low-rank structure in higher-dimensional MRI applications", Proc. SPIE
    8858, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rng = np.random.default_rng(0)
    >>> place, time = rng.standard_normal((32, 32, 2)), rng.standard_normal((2, 40))
    >>> clean = place @ time  # two courses over time, mixed differently in every pixel
    >>> noisy = clean + rng.standard_normal(clean.shape)
    >>> denoised = gpusvd.patches.denoise(noisy, (8, 8))
    >>> bool(np.std(denoised - clean) < 0.3 * np.std(noisy - clean))
    True
    """
    if not is_one_of(rule, tuple(_RULES)):
        raise ValueError(f"rule must be 'mppca', 'shrinkage', 'hard' or 'svt', not {rule!r}")
    if (tau is None) == (rule == "svt"):
        raise ValueError(f"rule 'svt' needs tau, and no other rule takes it; rule is {rule!r}, tau {tau!r}")
    if noise is not None and rule not in ("shrinkage", "hard"):
        raise ValueError(f"noise is for the rules 'shrinkage' and 'hard', not {rule!r}")
    for name, level in (("noise", noise), ("tau", tau)):
        if level is not None and not (_is_real(level) and level >= 0):
            raise ValueError(f"{name} must be a number of at least 0, not {level!r}")
    check_driver(driver)
    xp, image = _image(image)
    sizes, _ = _sizes(image.shape, size, 1)
    steps = tuple(max(1, p // 2) for p in sizes) if step is None else step
    rows = math.prod(sizes if image.ndim > len(sizes) else sizes[:-1])
    columns = math.prod((*sizes, *image.shape[len(sizes) :])) // rows
    if columns:
        _check_estimable(rule, noise, rows, columns)

    def freed(patches: Array) -> Array:
        x = floating(xp, patches)
        a = widened(xp, x).reshape(len(x), rows, x[0].size // rows)
        u, s, vh = decompose(xp, a, driver)
        with quiet():
            values = _RULES[rule](xp, s, *a.shape[-2:], tau if rule == "svt" else noise)
            return astype(xp, products.product(u, values, vh).reshape(x.shape), x.dtype)

    return apply(freed, image, sizes, steps, weights=weights, progress=progress)


def _check_estimable(rule: Rule, noise: float | None, m: int, n: int) -> None:
    """Raise ValueError for a rule that takes every m x n matrix for noise, whatever its numbers are."""
    estimates = rule == "mppca" or (rule in ("shrinkage", "hard") and noise is None)
    # The noise by the range of the values is at most σ₁² / (4 (m / n)^½), by their mean at least σ₁² / m.
    if estimates and (min(m, n) == 1 or (rule == "mppca" and m * n <= 16)):
        raise ValueError(
            f"rule {rule!r} finds only noise in patches that are {m} x {n} matrices: take a larger size, or "
            "another rule, with the noise or tau that it needs"
        )


# The rules: each takes singular values of m x n matrices and a level, and returns new ones.


def _soft(xp: Namespace, S: Array, m: int, n: int, tau: float) -> Any:
    return xp.where(tau < S, S - tau, 0)


def _hard(xp: Namespace, S: Array, m: int, n: int, noise: float | None) -> Any:
    return xp.where(optimal_threshold(S, m, n, noise)[..., None] < S, S, 0)


def _shrunk(xp: Namespace, S: Array, m: int, n: int, noise: float | None) -> Array:
    return optimal_shrinkage(S, m, n, noise)


def _above_noise(xp: Namespace, S: Array, m: int, n: int, noise: None) -> Any:
    rank = mppca_rank(S, m, n).rank
    return xp.where(arange(xp, S.shape[-1], S) < rank[..., None], S, 0)


_RULES: dict[str, Callable[..., Any]] = {
    "mppca": _above_noise,
    "shrinkage": _shrunk,
    "hard": _hard,
    "svt": _soft,
}


# Into pieces and back


def _image(image: Any) -> tuple[Namespace, Array]:
    xp = array_namespace(image)
    if not is_numpy_or_cupy(xp):
        raise TypeError(f"patches of {library_name(xp)} are not supported: pass a NumPy or CuPy array")
    return xp, xp.asarray(image)


def _sizes(
    shape: tuple[int, ...], size: Sequence[int], step: int | Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sizes and steps of patches along each of their axes; raise unless they fit an image."""
    sizes = _as_tuple(size, "size must be a tuple of ints, one for each axis of a patch")
    several = len(sizes) * (step,) if is_int(step) else step
    steps = _as_tuple(several, "step must be an int or a tuple of ints")
    if not sizes or len(sizes) > len(shape):
        raise ValueError(f"size {sizes} has {len(sizes)} axes, expected 1 to {len(shape)} of {shape}")
    if len(steps) != len(sizes):
        raise ValueError(f"step {steps} has {len(steps)} axes, expected {len(sizes)}, as size")
    for n, p, s in zip(shape, sizes, steps, strict=False):
        checked_int(p, f"size must be from 1 to {shape[: len(sizes)]}, not {sizes}", least=1, most=n)
        checked_int(s, f"step must be positive ints, not {steps}", least=1)
    return sizes, steps


def _as_tuple(value: Any, expected: str) -> tuple[int, ...]:
    """Return a value as a tuple; raise TypeError, with what is expected, if it cannot be one."""
    try:
        return tuple(value)
    except TypeError:
        raise TypeError(f"{expected}, not {value!r}") from None


def _is_real(value: Any) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf"


def _weights(xp: Namespace, weights: Any, sizes: tuple[int, ...]) -> Any:
    """Return the weights of a patch on the host, or None; raise unless they are positive."""
    if weights is None:
        return None
    window = np.asarray(to_host(xp, weights), np.float64)
    if window.shape != sizes:
        raise ValueError(f"weights has shape {window.shape}, expected {sizes}: one for each pixel of a patch")
    if not ((window > 0) & (window < np.inf)).all():
        raise ValueError("weights must be positive and finite")
    return window


def _starts(n: int, p: int, step: int) -> list[range]:
    """Return where patches begin along an axis: evenly, and one at the end unless one ends there already."""
    even = range(0, n - p + 1, step)
    return [even] if even[-1] == n - p else [even, range(n - p, n - p + 1)]


def _pieces(starts: list[list[range]], most: int) -> Iterator[Place]:
    """Yield runs of up to so many patches, from the first rows of the image to the last."""
    first, *others = starts
    of_a_row = math.prod(sum(map(len, runs)) for runs in others)
    rows = max(1, most // of_a_row)
    for run in first:
        for part in (run[i : i + rows] for i in range(0, len(run), rows)):
            whole = of_a_row <= most
            rest = product(*others) if whole else _pieces(others, most)
            yield from ((part, *place) for place in rest)


def _view(xp: Namespace, image: Array, place: Place, sizes: tuple[int, ...]) -> Array:
    """Return the patches that begin at a place."""
    base = image[tuple(slice(run.start, None) for run in place)]
    grid_strides = tuple(run.step * stride for run, stride in zip(place, image.strides, strict=False))
    shape = (*map(len, place), *sizes, *image.shape[len(sizes) :])
    options = {"writeable": False} if xp is np else {}
    view: Array = xp.lib.stride_tricks.as_strided(base, shape, grid_strides + image.strides, **options)
    return view


def _mean(
    xp: Namespace,
    shape: tuple[int, ...],
    sizes: tuple[int, ...],
    weights: Any,
    pieces: Iterable[tuple[Place, Array]],
) -> Array:
    """
    Return the weighted mean of patches over every pixel.

    Pieces come from the first rows of the image to the last. Rows that no further one reaches are divided by
    the sums of their weights, which are kept for the others alone.
    """
    d, top = len(sizes), 0
    result: Any = None
    for place, values in pieces:
        patches = widened(xp, floating(xp, values))
        if result is None:
            result = xp.zeros((*shape, *patches.shape[2 * d :]), patches.dtype)
            sums = xp.zeros((0, *shape[1:]), real_dtype(xp, patches))
        rows, *columns = place
        if rows.start > top:
            _divide(result[top : rows.start], sums[: rows.start - top])
            top, sums = rows.start, sums[rows.start - top :]
        sums = _lengthened(xp, sums, rows[-1] + sizes[0] - top)
        here = (range(rows.start - top, rows[-1] - top + 1, rows.step), *columns)
        _add(result[top:], sums, patches, weights, here, sizes)
    _divide(result[top:], _lengthened(xp, sums, shape[0] - top))
    return astype(xp, result, floating(xp, values).dtype)


def _add(
    total: Array, sums: Array, patches: Array, weights: Any, place: Place, sizes: tuple[int, ...]
) -> None:
    """Add patches to the pixels that they hold, and their weights to the sums."""
    for pixel in np.ndindex(sizes):
        here = tuple(
            slice(run.start + i, run[-1] + i + 1, run.step) for run, i in zip(place, pixel, strict=True)
        )
        values = patches[(*len(sizes) * (slice(None),), *pixel)]
        weight = 1.0 if weights is None else float(weights[pixel])
        total[here] += values if weights is None else weight * values
        sums[here] += weight


def _divide(total: Array, sums: Array) -> None:
    with quiet():  # 0 / 0 where there is no patch
        total /= sums.reshape(sums.shape + (total.ndim - sums.ndim) * (1,))


def _lengthened(xp: Namespace, x: Array, rows: int) -> Array:
    """Return an array with zeros appended until it has at least so many rows."""
    missing = max(0, rows - x.shape[0])
    return xp.concatenate([x, xp.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
