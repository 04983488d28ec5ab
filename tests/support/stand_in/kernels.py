"""Launches: of the library's kernels as `gpusvd._cuda.launch.launch` is asked for them, and of machine code.

Machine code only tells which kernel it is, see `tests.support.stand_in.compiler`. Both are executed by
`tests.support.cuda_emulated`.
"""

import numpy as np

from . import compiler
from .arrays import check_devices, ndarray
from .machine import MACHINE, CUDADriverError
from .memory import memory_at
from .streams import get_current_stream

MOST_THREADS = 1024


def emulated(kernel, kind, blocks, arguments):
    """Run a kernel on NumPy arrays; with greenlet, which a machine with a GPU may lack."""
    from tests.support import cuda_emulated

    cuda_emulated.launch(kernel, kind, blocks, arguments)


def launch(kernel, kind, blocks, arguments, execute=emulated):
    """As `gpusvd._cuda.launch.launch`, which compiles and packs, on arrays of the stand-in."""
    arrays = [x for x in arguments if isinstance(x, ndarray)]
    check_devices(arrays)
    hosts = [x._host if isinstance(x, ndarray) else x for x in arguments]
    enqueue(kernel, kind, blocks, hosts, [x._memory for x in arrays], execute)


def enqueue(kernel, kind, blocks, arguments, memories, execute):
    """Add a launch to the current stream: it reads all of the memory, and writes what it changes."""
    arrays = [x for x in arguments if isinstance(x, np.ndarray)]
    check_layouts(kernel, arrays)
    queue = get_current_stream()._queue

    def run():
        execute(kernel, kind, blocks, arguments)

    if queue.capture is not None:
        queue.add(run, writes=memories)
        return
    before = [memory.bytes.copy() for memory in memories]
    queue.add(run, reads=memories)
    changed = [
        memory for memory, old in zip(memories, before, strict=True) if not np.array_equal(memory.bytes, old)
    ]
    queue.add(lambda: None, writes=changed)


def check_layouts(kernel, arrays):
    """Raise unless arrays that are compiled as contiguous are."""
    for x, layout in zip(arrays, kernel.layouts, strict=True):
        assert layout == "A" or x.flags.c_contiguous, f"{kernel.function.__name__}: strides {x.strides}"


class RawModule:
    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc"):
        assert (code is None) != (path is None)
        self._path = path

    def get_function(self, name):
        return RawKernel._loaded(self._path, name)


class RawKernel:
    """A kernel of a module, or of CUDA source: that of the benchmarks, which computes nothing."""

    def __init__(self, code, name, options=(), backend="nvrtc"):
        assert name in code
        self._image = None

    @classmethod
    def _loaded(cls, path, name):
        kernel = cls.__new__(cls)
        kernel._image = compiler.loaded(path)
        if kernel._image is None:
            raise CUDADriverError("CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid")
        if kernel._image.kernel.function.__name__ != name:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        kernel._dynamic = compiler.SHARED - kernel.shared_size_bytes
        kernel._device = MACHINE.current.device
        return kernel

    @property
    def shared_size_bytes(self):
        return self._image.static

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value):
        if value + self.shared_size_bytes > MACHINE.attributes["MaxSharedMemoryPerBlockOptin"]:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        self._dynamic = value

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert all(isinstance(x, tuple) for x in (grid, block, args))
        if self._image is None:
            written = [x._memory for x in args if isinstance(x, ndarray)]
            get_current_stream()._queue.add(lambda: None, writes=written)
            return
        (blocks,), (threads,) = grid, block
        if self._device != MACHINE.current.device:
            raise CUDADriverError("CUDA_ERROR_INVALID_HANDLE: a module of another device")
        if not (0 < blocks < 2**31 and 0 < threads <= MOST_THREADS) or shared_mem > self._dynamic:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        kernel = self._image.kernel._replace(threads=threads, shared=shared_mem)
        arrays, arguments = compiler.unpacked(self._image, args)
        memories = [memory_at(x.ctypes.data) for x in arrays]
        enqueue(kernel, self._image.kind, blocks, arguments, memories, emulated)
