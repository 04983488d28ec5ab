"""Run a kernel on a grid."""

from inspect import signature

import numpy as np

from .arrays import Array, Space
from .module import Cuda
from .substitute import Substitution
from .threads import Block, Dim3, Machine

MAX_THREADS = 1024
MAX_SHARED_BYTES = 227 * 1024  # of a block, on sm_90


def launch(kernel, grid, block, *arguments, shared_bytes=0):
    """Run a kernel on all blocks of a grid, one after the other.

    Parameters
    ----------
    kernel : function or numba.cuda dispatcher
        As a compiler would take it. In it, and in the functions that it calls, what is `numba.cuda`,
        `math`, a numba number type or a device function in a global or a captured variable is replaced.
    grid, block : int or tuple of up to three
        Numbers of blocks, and of threads a block.
    *arguments : array, numba or NumPy scalar, number or tuple of such
        Arrays are changed in place.
    shared_bytes : int
        Of dynamic shared memory.

    Raises
    ------
    KernelError
        The kernel does what CUDA leaves undefined; the classes that derive from it say what.
    """
    grid, extent = Dim3.of(grid), Dim3.of(block)
    if extent.x * extent.y * extent.z > MAX_THREADS:
        raise ValueError(f"a block has at most {MAX_THREADS} threads, not {block!r}")
    if not 0 <= shared_bytes <= MAX_SHARED_BYTES:
        raise ValueError(f"shared_bytes is 0 to {MAX_SHARED_BYTES}, not {shared_bytes!r}")
    machine = Machine()
    function = Substitution(Cuda(machine, grid, extent, shared_bytes))(kernel)
    space = Space(machine, "global")
    named = signature(function).bind(*arguments).arguments
    arguments = [seen(value, space, name) for name, value in named.items()]
    with np.errstate(all="ignore"):  # as on a device
        for index in grid.indices():
            machine.run(function, arguments, Block(machine, index, extent))


def seen(value, space, name):
    """An argument as the kernel sees it."""
    if isinstance(value, np.ndarray):
        return Array(value, space, name)
    if isinstance(value, tuple):
        return tuple(seen(item, space, f"{name}[{i}]") for i, item in enumerate(value))
    return np.float64(value) if type(value) is float else value
