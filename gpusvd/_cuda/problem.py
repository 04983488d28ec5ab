"""What the parts of the CUDA path say to each other."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gpusvd._base.results import Array
from gpusvd._cuda.launch import Kernel

Launch = Callable[[Kernel, str, int, Sequence[Any]], None]  # kernel, dtype, blocks, arguments


class Problem(NamedTuple):
    """Matrices of one shape, m >= n after transposing wide ones, and what is wanted of them."""

    m: int
    n: int
    kind: str  # the dtype's name
    columns: int  # of the left factor: n, or m with full_matrices
    vectors: bool


class Chunk(NamedTuple):
    """A run of a flat batch as the kernels take it, see `cuda_thread.svd_threads`."""

    a: Array
    left: Array
    s: Array
    right: Array
    converged: Array
    sweeps: Array
    off: Array
    adjoint: bool
