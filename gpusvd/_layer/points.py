"""Sets of points, each a matrix with one point per row: check, scale and centre them."""

import math
from typing import Any

import numpy as np

from gpusvd._base.arrays import (
    Namespace,
    arange,
    astype,
    floating,
    in_c_order,
    is_complex,
    on_host,
    quiet,
    real_dtype,
    without_gradient,
)
from gpusvd._base.checks import check_batch
from gpusvd._base.results import Array
from gpusvd._layer.products import column_sums, inner, is_along_batch
from gpusvd._layer.values import root

_SHORT = 64  # numbers, along which NumPy takes longer for a maximum than for as many comparisons of arrays


def check_points(name: str, x: Array) -> None:
    """Raise ValueError unless `x` holds sets (..., P, N) of at least one point."""
    if x.ndim < 2:
        raise ValueError(f"{name} has shape {x.shape}, expected (..., P, N): P points of N coordinates")
    if x.shape[-2] == 0:
        raise ValueError(f"{name} has shape {x.shape}: sets without points, expected at least one point")


def check_pairs(x: Array, y: Array) -> None:
    """Raise ValueError unless the points of `x` and `y` pair."""
    if min(x.ndim, y.ndim) < 2 or x.shape[-2:] != y.shape[-2:]:
        raise ValueError(
            f"x {x.shape} and y {y.shape} do not pair: expected (..., P, N) for both, with the same P and N"
        )
    check_batch("the batch of y", y.shape[:-2], x.shape[:-2])


def checked_weights(xp: Namespace, weights: Any, batch: tuple[int, ...], points: int, beside: Array) -> Array:
    """Return weights (..., P) of points as floating-point numbers; raise unless they can be such."""
    w = in_c_order(xp, floating(xp, weights, beside, "weights"))
    if is_complex(xp, w):
        raise TypeError(f"weights has dtype {w.dtype}, expected real numbers")
    if w.ndim < 1 or w.shape[-1] != points:
        raise ValueError(f"weights has shape {w.shape}, expected (..., {points}): one for each row")
    check_batch("the batch of weights", w.shape[:-1], batch)
    if on_host(weights):
        _check_weights(np.asarray(weights))
    return w


def relative_weights(xp: Namespace, weights: Any, x: Array, y: Array) -> Array | None:
    """Return weights (..., P) scaled to a sum of one, in the dtype of `x`; None for None."""
    if weights is None:
        return None
    w = checked_weights(xp, weights, np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], x)
    return scaled_weights(xp, w, x)


def scaled_weights(xp: Namespace, weights: Array, x: Array) -> Array:
    """Return weights scaled to a sum of one, in the dtype of `x`."""
    with quiet():
        w = _in_wider(xp, weights, x)
        w = astype(xp, w / xp.max(w, axis=-1, keepdims=True), x.dtype)
        return w / xp.sum(w, axis=-1, keepdims=True)


def _check_weights(weights: Array) -> None:
    bad = weights[~((weights >= 0) & (weights < np.inf))]
    if bad.size:
        raise ValueError(f"weights must be finite and not negative, but one is {bad[0]}")
    without = np.argwhere(~weights.any(axis=-1))
    if len(without):
        where = f" of the set {tuple(without[0].tolist())}" if weights.ndim > 1 else ""
        raise ValueError(f"weights{where} are all zero, expected a positive sum")


def zero_where_weightless(xp: Namespace, x: Array, weights: Array | None) -> Array:
    """Return the points, those of weight 0 moved to the origin: there they set no scale and spread no NaN."""
    if weights is None:
        return x
    return xp.where(weights[..., None] == 0, 0, x)


def with_roots(xp: Namespace, x: Array, weights: Array) -> Array:
    """Return the rows of x times the square roots of their weights."""
    with quiet():
        return astype(xp, root(xp, _in_wider(xp, weights, x)), x.dtype)[..., None] * x


def _in_wider(xp: Namespace, weights: Array, x: Array) -> Array:
    """Return weights in the wider one of their dtype and that of `x`: either may lack range or digits."""
    return astype(xp, weights, xp.result_type(weights.dtype, real_dtype(xp, x)))


def power_of_two(xp: Namespace, x: Array, axis: int | tuple[int, int] = (-2, -1)) -> Array:
    """
    Return a power of two by which to divide each matrix (each column for axis -2, each row for axis -1) to
    bring its entries to the scale of one.

    It is the largest one up to the largest magnitude of a real or imaginary part. The division is exact
    except for underflow, and sums and products of entries then stay in range. 1 for zeros, NaN where there is
    a NaN or Inf. The reduced axes have length one.
    """
    if 0 in x.shape[-2:]:
        return xp.sum(xp.abs(x), axis=axis, keepdims=True) + 1
    x = without_gradient(x)
    parts = [xp.real(x), xp.imag(x)] if is_complex(xp, x) else [x]
    top = _largest_magnitude(xp, parts[0], axis)
    for part in parts[1:]:
        top = xp.maximum(top, _largest_magnitude(xp, part, axis))
    # The logarithm of the largest finite number rounds up to that of infinity.
    within = xp.minimum(top, float(xp.finfo(x.dtype).max) / 2)
    power = xp.floor(xp.log2(xp.where(top == 0, 1, within)))
    return xp.where(top < math.inf, 2.0**power, math.nan)


def _largest_magnitude(xp: Namespace, x: Array, axis: int | tuple[int, int]) -> Array:
    if is_along_batch(x):  # without a copy
        return xp.maximum(xp.max(x, axis=axis, keepdims=True), -xp.min(x, axis=axis, keepdims=True))
    sizes = xp.abs(x)
    if isinstance(axis, int) and isinstance(sizes, np.ndarray) and sizes.shape[axis] <= _SHORT:
        return _largest_along(sizes, axis)
    return xp.max(sizes, axis=axis, keepdims=True)


def _largest_along(x: Array, axis: int) -> Array:
    """Return the maximum along a short axis, of one half and the other again and again: NumPy takes three
    times as long."""
    while (length := x.shape[axis]) > 1:
        first, last = [slice(None)] * x.ndim, [slice(None)] * x.ndim
        first[axis], last[axis] = slice(0, -(-length // 2)), slice(length // 2, length)
        x = np.maximum(x[tuple(first)], x[tuple(last)])
    return x


def mean(xp: Namespace, x: Array, weights: Array | None) -> Array:
    """Return the means (..., 1, N) of sets of points; weights, if given, must sum to one."""
    points = x.shape[-2]
    if is_along_batch(x):
        total = column_sums(xp, x if weights is None else weights[..., None] * x)
    else:  # a product is ten times as fast as NumPy's mean along an axis other than the last
        factors = astype(xp, xp.ones_like(arange(xp, points, x)), x.dtype) if weights is None else weights
        total = inner(xp, factors[..., None], x)
    return total / points if weights is None else total


def centred(
    xp: Namespace, x: Array, weights: Array | None = None, overwrite: bool = False
) -> tuple[Array, Array]:
    """
    Return the points minus their mean, and the mean (..., 1, N); with `overwrite` x may be written to.

    Rounding in a long sum leaves an error in the mean, which shows as a nonzero mean of the differences. A
    second pass subtracts it.
    """
    middle = mean(xp, x, weights)
    if overwrite and middle.shape[:-2] == x.shape[:-2]:
        x -= middle
        differences = x
    else:
        differences = x - middle
    correction = mean(xp, differences, weights)
    differences -= correction
    return differences, middle + correction
