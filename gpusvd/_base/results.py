"""Result types, and the message for matrices that failed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# The arrays of a result: tensors in the results of `gpusvd.torch`.
if TYPE_CHECKING:
    from typing_extensions import TypeVar  # type checkers have it, and Python 3.11 lacks defaults

    A = TypeVar("A", bound=Any, default=Array)  # without a bound, pyright refuses reconstruct(*factors)
else:
    from typing import TypeVar

    A = TypeVar("A")

_NAMED_INDICES = 5  # bad matrices that an error names at most


class SVDResult(NamedTuple, Generic[A]):
    """The factors of ``a = U @ diag(S) @ Vh``, as `numpy.linalg.svd` returns them."""

    U: A
    S: A
    Vh: A


class Info(NamedTuple, Generic[A]):
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

    converged: A
    sweeps: A
    off: A


class SVDExResult(NamedTuple, Generic[A]):
    """The factors of ``a = U @ diag(S) @ Vh``, and the outcome for each matrix."""

    U: A
    S: A
    Vh: A
    info: Info[A]


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
