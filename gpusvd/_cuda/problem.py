"""The problem that the CUDA kernels are chosen for, and the run of a batch that they take."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gpusvd._base.results import Array
from gpusvd._cuda.launch import Kernel
from gpusvd.kernels.cuda_warp import SHARED_BYTES

Launch = Callable[[Kernel, str, int, Sequence[Any]], None]  # kernel, dtype, blocks, arguments


class Problem(NamedTuple):
    """Matrices of one shape, m >= n after transposing wide ones, and which factors to compute."""

    m: int
    n: int
    kind: str  # the dtype's name
    columns: int  # of the left factor: n, or m with full_matrices
    vectors: bool
    shared: int = SHARED_BYTES  # bytes of shared memory that a block may have


class Chunk(NamedTuple):
    """A run of a flat batch as the kernels take it, see `cuda_tiny.svd_tiny`."""

    a: Array
    left: Array
    s: Array
    right: Array
    converged: Array
    sweeps: Array
    off: Array
    adjoint: bool
