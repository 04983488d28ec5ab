"""Result types, and the message for matrices that failed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NAMED_INDICES = 5  # bad matrices that an error names at most


class SVDResult(NamedTuple):
    """The factors of ``a = U @ diag(S) @ Vh``, as `numpy.linalg.svd` returns them."""

    U: Array
    S: Array
    Vh: Array


class Info(NamedTuple):
    """The outcome for each matrix; every array has the shape of the batch.

    Attributes
    ----------
    converged : ndarray of bool
        False if the matrix has a NaN or Inf or the iteration did not converge.
    sweeps : ndarray of int32
        Number of Jacobi sweeps; 0 with ``driver="vendor"``.
    off : ndarray, dtype of S
        Largest cosine of an angle between two columns that remained in the last sweep. NaN if unknown: for a
        matrix with NaN or Inf, and with ``driver="vendor"``.
    """

    converged: NDArray[np.bool_]
    sweeps: NDArray[np.int32]
    off: Array


class SVDExResult(NamedTuple):
    """The factors of ``a = U @ diag(S) @ Vh``, and the outcome for each matrix."""

    U: Array
    S: Array
    Vh: Array
    info: Info


def failures(
    good: NDArray[np.bool_],
    one: str = "has a NaN or Inf, or its SVD did not converge",
    many: str = "have a NaN or Inf, or their SVD did not converge",
    first: Sequence[int] = (0,),
) -> str:
    """Return a message that names the matrices of a batch that are not `good`.

    `one` and `many` state the fault of a single matrix and of several. `first` are the indices of the first
    matrix.
    """
    if good.ndim == 0:
        return f"The matrix {one}"
    bad = np.argwhere(~good) + np.asarray(first)
    fault = one if len(bad) == 1 else many
    named = ", ".join(
        str(tuple(index.tolist()) if len(index) > 1 else index.item()) for index in bad[:_NAMED_INDICES]
    )
    return (
        f"{len(bad)} of {good.size} matrices {fault}; "
        f"batch indices: {named}{', ...' if len(bad) > _NAMED_INDICES else ''}"
    )
