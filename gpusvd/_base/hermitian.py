"""Hermitian matrices, of which one triangle counts."""

from typing import Any

import numpy as np

from gpusvd._base.results import Array


def from_lower_triangles(xp: Any, block: Array) -> Array:
    """Return the Hermitian matrices with the lower triangles of `block`; `xp` is NumPy or CuPy."""
    lower = xp.tril(block, -1)
    diagonal = xp.where(xp.eye(block.shape[-1], dtype=bool), block, 0)
    with np.errstate(invalid="ignore"):  # NaN or Inf in an imaginary part counts, a number there does not
        whole: Array = lower + lower.conj().swapaxes(-1, -2) + (diagonal.real + 0 * diagonal.imag)
    return whole
