"""What the functions return."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NAMED_INDICES = 5  # how many bad matrices an error names


class SVDResult(NamedTuple):
    """The factors of ``a = U @ diag(S) @ Vh``, as `numpy.linalg.svd` returns them."""

    U: Array
    S: Array
    Vh: Array


class Info(NamedTuple):
    """What happened to each matrix; every array has the shape of the batch.

    Attributes
    ----------
    converged : ndarray of bool
        False where the matrix has a NaN or Inf or the iteration did not end.
    sweeps : ndarray of int32
        Jacobi sweeps done; 0 with ``driver="vendor"``, which has none.
    off : ndarray, dtype of S
        Largest cosine of an angle between two columns that was left in the last sweep. NaN where it is not
        known: for a matrix with NaN or Inf, and with ``driver="vendor"``.
    """

    converged: NDArray[np.bool_]
    sweeps: NDArray[np.int32]
    off: Array


class SVDExResult(NamedTuple):
    """The factors of ``a = U @ diag(S) @ Vh``, and what happened to each matrix."""

    U: Array
    S: Array
    Vh: Array
    info: Info


def failures(
    fine: NDArray[np.bool_],
    one: str = "has a NaN or Inf, or its SVD did not converge",
    many: str = "have a NaN or Inf, or their SVD did not converge",
) -> str:
    """Say which matrices of a batch are not fine, and what is wrong with one or many of them."""
    if fine.ndim == 0:
        return f"The matrix {one}"
    bad = np.argwhere(~fine)
    first = ", ".join(
        str(tuple(index.tolist()) if len(index) > 1 else index.item()) for index in bad[:_NAMED_INDICES]
    )
    return (
        f"{len(bad)} of {fine.size} matrices {many}; "
        f"batch indices: {first}{', ...' if len(bad) > _NAMED_INDICES else ''}"
    )
