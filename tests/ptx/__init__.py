"""Execute the PTX of the CUDA kernels over NumPy arrays, with no GPU.

    device = Device()
    gpusvd._cuda.jacobi.decompose(device, device.launch, ...)   or   svd_ex(a, device=device)

runs what a GPU is given: the PTX that numba-cuda makes, launched by the library's own launch, to which the
device is CuPy. A register is an array over all threads. What CUDA leaves undefined, or refuses, is an error
that names the kernel and the line of its PTX:

    AlignmentError    an address that is no multiple of the size of an access
    BoundsError       an address outside of the argument or of the launch's shared memory
    DivergenceError   threads that a `.sync` instruction or a barrier waits for come elsewhere or never
    LaneError         a shuffle from a lane that takes no part, or a mask without the thread itself
    LaunchError       parameters that do not fit what CuPy passes; too many registers, threads or bytes
    RaceError         unordered accesses of two threads to a few bytes, one a write
    UnwrittenError    a read of a register or of memory that may not have been written
    NotImplementedError   an instruction, a modifier or a memory that is not modelled

What each launch has executed is counted, instructions of warps by class and bytes of global memory:

    for launch in device.launches:  # of `Counted`
        print(launch.name, launch.warps, launch.instructions["fma.f32"], launch.bytes_loaded)

Not modelled: ptxas (its registers, its order; what it may fuse is `Device(contraction="all")`), payloads of
NaN, local and constant memory, atomic operations, calls, weak memory between blocks, bank conflicts, time.
Threads that have parted go in one order only: that no other order matters is left to the check of races.
"""

from .counting import Counted
from .device import Device, Idle
from .svd import svd_ex

__all__ = ["Counted", "Device", "Idle", "svd_ex"]
