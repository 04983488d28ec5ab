"""Singular values: check them, compare them with the largest, count them."""

from typing import Any

from gpusvd._base.arrays import (
    Namespace,
    astype,
    eps,
    floating,
    is_complex,
    limits,
    quiet,
    widened,
)
from gpusvd._base.results import Array


def checked_values(xp: Namespace, S: Any) -> Array:
    """Return S as floating-point numbers; raise unless it can be singular values."""
    values = floating(xp, S, name="S")
    if is_complex(xp, values):
        raise TypeError(f"S has dtype {values.dtype}, expected real singular values")
    if values.ndim < 1:
        raise ValueError("S is a number, expected an array (..., K) of singular values")
    return values


def relative_squares(xp: Namespace, S: Array) -> Array:
    """Return (σᵢ / σ₁)², in float32 for float16, so that neither tiny nor huge values lose their squares.

    Zeros for a zero matrix. A value that overflowed counts as the largest number.
    """
    S = _representable(xp, widened(xp, S))
    ratio = S / safe_divisor(xp, leading(S))
    return ratio * ratio


def significant(xp: Namespace, S: Array, rtol: Any) -> Array:
    """Return where σ > rtol σ₁; a σ₁ that overflowed counts as the largest number."""
    S = widened(xp, S)
    with quiet():  # a float64 rtol may overflow in the dtype of S
        share = astype(xp, floating(xp, rtol, S), S.dtype)[..., None]
        return share * _representable(xp, leading(S)) < S


def not_zero(xp: Namespace, a: Array, S: Array, rtol: Any, name: str = "rtol") -> Array:
    """Return where a singular value of the matrices does not count as zero; by default as `default_rtol`."""
    if rtol is None:
        return significant(xp, S, default_rtol(xp, a))
    return significant(xp, S, limits(xp, name, rtol, S.shape[:-1], S, signed=True))


def default_rtol(xp: Namespace, a: Array) -> float:
    """Return max(M, N) eps, up to which a singular value may be rounding of the matrix."""
    return int(max(a.shape[-2:])) * eps(xp, a)


def failed(xp: Namespace, s: Array) -> Array:
    """Return which matrices (...) have no factors: all of their singular values are NaN."""
    return xp.any(xp.isnan(leading(s)), axis=-1)


def count(xp: Namespace, mask: Array) -> Array:
    """Return how many along the last axis are True, as an array also for a single matrix."""
    return xp.asarray(xp.count_nonzero(mask, axis=-1))


def leading(x: Array) -> Array:
    """Return the first along the last axis, (..., 1), or (..., 0) of none."""
    return x[..., : min(1, x.shape[-1])]


def safe_divisor(xp: Namespace, x: Array) -> Array:
    """Return x to divide by, 1 instead of 0."""
    return xp.where(x == 0, 1, x)


def _representable(xp: Namespace, S: Array) -> Array:
    return xp.minimum(S, float(xp.finfo(S.dtype).max))
