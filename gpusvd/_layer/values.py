"""Singular values: check them, compare them with the largest one, count them."""

from typing import Any

from gpusvd._base.arrays import (
    Namespace,
    astype,
    eps,
    floating,
    in_c_order,
    is_complex,
    limits,
    quiet,
    widened,
)
from gpusvd._base.checks import checked_size
from gpusvd._base.results import Array


def checked_values(xp: Namespace, S: Any) -> Array:
    """Return S as an array of floating-point numbers; raise if it cannot hold singular values."""
    values = in_c_order(xp, floating(xp, S, name="S"))
    if is_complex(xp, values):
        raise TypeError(f"S has dtype {values.dtype}, expected real singular values")
    if values.ndim < 1:
        raise ValueError("S is a number, expected an array (..., K) of singular values")
    return values


def all_values(xp: Namespace, S: Any, m: int, n: int) -> tuple[Array, int, int]:
    """Return S, all singular values of m x n matrices, and the smaller and larger of the sizes."""
    values = checked_values(xp, S)
    small, large = sorted((checked_size("m", m), checked_size("n", n)))
    if values.shape[-1] != small:
        raise ValueError(f"S has {values.shape[-1]} values, expected all {small} of {m} x {n} matrices")
    return values, small, large


def median(S: Array) -> Array:
    """Return the median (...) of at least one singular value in descending order."""
    k = S.shape[-1]
    return S[..., (k - 1) // 2] / 2 + S[..., k // 2] / 2


def relative_squares(xp: Namespace, S: Array) -> Array:
    """Return (σᵢ / σ₁)², which neither over- nor underflows for tiny or huge σ₁; in float32 for float16.

    The result is zero for a zero matrix. An infinite value counts as the largest finite number.
    """
    S = _representable(xp, widened(xp, S))
    ratio = S / safe_divisor(xp, leading(S))
    return ratio * ratio


def significant(xp: Namespace, S: Array, rtol: Any) -> Array:
    """Return the mask σ > rtol σ₁; an infinite σ₁ counts as the largest finite number."""
    S = widened(xp, S)
    with quiet():  # a float64 rtol may overflow in the dtype of S
        share = astype(xp, floating(xp, rtol, S), S.dtype)[..., None]
        return share * _representable(xp, leading(S)) < S


def apart(xp: Namespace, S: Array, rtol: Array) -> Array:
    """Return the mask (..., K - 1) of neighbours that differ by more than rtol times the larger."""
    S = _representable(xp, widened(xp, S))
    with quiet():  # a float64 rtol may overflow in the dtype of S
        return S[..., :-1] - S[..., 1:] > astype(xp, rtol, S.dtype) * S[..., :-1]


def not_zero(xp: Namespace, a: Array, S: Array, rtol: Any, name: str = "rtol") -> Array:
    """Return the mask σ > rtol σ₁ for matrices `a`, with a default of max(M, N) eps for `rtol`."""
    if rtol is None:
        return significant(xp, S, int(max(a.shape[-2:])) * eps(xp, a))
    return significant(xp, S, limits(xp, name, rtol, S.shape[:-1], S, signed=True))


def failed(xp: Namespace, s: Array) -> Array:
    """Return a mask (...) of the matrices whose singular values are NaN."""
    return xp.any(xp.isnan(leading(s)), axis=-1)


def count(xp: Namespace, mask: Array) -> Array:
    """Return the number of True along the last axis, as an array even for a single matrix."""
    return xp.asarray(xp.count_nonzero(mask, axis=-1))


def leading(x: Array) -> Array:
    """Return the first element along the last axis as (..., 1), or (..., 0) if that is empty."""
    return x[..., : min(1, x.shape[-1])]


def safe_divisor(xp: Namespace, x: Array) -> Array:
    """Return x with 1 in place of 0."""
    return xp.where(x == 0, 1, x)


def root(xp: Namespace, x: Array) -> Array:
    """Return the square roots of numbers that are not negative; that of 0 has the gradient 0."""
    positive = x > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, x, 1)), x)


def _representable(xp: Namespace, S: Array) -> Array:
    return xp.minimum(S, float(xp.finfo(S.dtype).max))
