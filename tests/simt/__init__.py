"""A lock-step emulator for CUDA kernels written in Python: every thread a greenlet, on no GPU and no driver.

`launch(kernel, grid, block, *arguments, shared_bytes=0)` runs an unchanged kernel. What CUDA leaves
undefined is an error that names the line of the kernel, the block and the threads:

    DivergenceError   threads that a warp primitive or a barrier waits for come elsewhere or never
    LaneError         a shuffle from a lane that takes no part, or values that a shuffle does not take
    BoundsError       an index outside an array, a negative one too
    UnwrittenError    a read of shared or local memory that was never written
    RaceError         accesses of two threads to one element, one a write, with nothing that orders them

Arithmetic is that of the arguments' dtypes, rounded operation by operation: a device fuses multiply and
add. A float literal takes the precision of its partner, where numba computes in double precision: what
`cuda_compile` counts as `double` in a kernel for single precision tells.
"""

from .faults import BoundsError, DivergenceError, KernelError, LaneError, RaceError, UnwrittenError
from .launch import launch

__all__ = [
    "BoundsError",
    "DivergenceError",
    "KernelError",
    "LaneError",
    "RaceError",
    "UnwrittenError",
    "launch",
]
