"""The factors U, S and Vh: check that their shapes match, and find a width for a batch."""

import math
from typing import Any

import numpy as np

from gpusvd._base.arrays import Namespace, floating
from gpusvd._base.checks import checked_int
from gpusvd._base.results import Array
from gpusvd._layer.values import checked_values


def checked_factors(xp: Namespace, U: Any, S: Any, Vh: Any) -> tuple[Array, Array, Array]:
    """Return thin U, S and Vh as floating-point arrays; raise unless their shapes match."""
    u, s, vh = floating(xp, U, name="U"), checked_values(xp, S), floating(xp, Vh, name="Vh")
    k = s.shape[-1]
    try:
        fit = u.shape[-1] >= k and vh.shape[-2] >= k
        batch_of(u, s, vh)
    except (IndexError, ValueError):
        fit = False
    if not fit or u.ndim < 2:
        raise ValueError(
            f"U {u.shape}, S {s.shape} and Vh {vh.shape} do not belong together: expected (..., M, K), "
            "(..., K) and (..., K, N)"
        )
    return u[..., :k], s, vh[..., :k, :]


def batch_of(u: Array, s: Array, vh: Array) -> tuple[int, ...]:
    """Return the batch shape that U, S and Vh broadcast to."""
    return np.broadcast_shapes(u.shape[:-2], s.shape[:-1], vh.shape[:-2])


def common_width(
    xp: Namespace, counts: Array, bad: Array, most: int, limit: int | None, name: str = "max_rank"
) -> int:
    """
    Return the number of columns that a result for the whole batch needs, at most `most`.

    That is `limit`, if given; otherwise the largest of `counts`, which is read back from the device. A matrix
    in the mask `bad` needs one column, to hold NaN.
    """
    if limit is not None:
        return checked_width(name, limit, most)
    widths = xp.where(bad, min(1, most), counts)
    return int(xp.max(widths)) if math.prod(widths.shape) else 0


def checked_width(name: str, value: object, most: int) -> int:
    """Return min(value, most); raise ValueError unless the value is a non-negative int."""
    width = checked_int(value, f"{name} must be None or a non-negative int, not {value!r}")
    return min(width, most)
