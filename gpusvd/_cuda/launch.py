"""Compile a CUDA kernel for a size, a dtype and a GPU, keep its machine code on disk, and launch it.

numba-cuda is the compiler alone. CuPy loads the machine code and launches it on its current stream, with the
addresses and shapes of CuPy's arrays as numba-cuda expects them: nothing looks at `__cuda_array_interface__`,
nothing synchronises, and a launch can be captured in a CUDA graph.

The machine code lies in a folder for these sources, in a file whose name tells the kernel, its dtype and the
compute capability and holds a hash of its constants and parameters.
"""

import hashlib
import inspect
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from gpusvd._base import specialise
from gpusvd._base.cache import cache_folder, hash_of_sources, write_whole
from gpusvd._base.specialise import Function, Specialiser
from gpusvd._cuda.arrays import INSTALL
from gpusvd.kernels.cuda_warp import SHARED_BYTES

_HERE = Path(__file__)
_SOURCES = hash_of_sources(
    *(_HERE.with_name(f"{name}.py") for name in ("launch", "instructions", "operations")),
    Path(specialise.__file__),
    cuda=True,
)

STATIC_SHARED = 48 * 1024  # bytes of shared memory that a block gets without asking
_RESERVED = 1024  # of a block's shared memory, for the arrays of fixed size in our kernels

_lock = Lock()

if hasattr(os, "register_at_fork"):
    # A child made while another thread compiles would wait for the lock for ever.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Kernel(NamedTuple):
    """A kernel's source for known sizes, and how it is launched.

    Attributes
    ----------
    function : the source, in `gpusvd.kernels`
    constants : values of those of its parameters that are known when it is compiled
    layouts : for each array among its parameters "C" where it is contiguous, else "A"
    threads : of a block
    shared : bytes of dynamic shared memory of a block
    registers : of a thread, at most
    """

    function: Function
    constants: tuple[tuple[str, int], ...]
    layouts: str
    threads: int
    shared: int
    registers: int

    @property
    def compiled(self) -> "Kernel":
        """What one machine code serves: any number of threads and bytes of shared memory."""
        return self._replace(threads=0, shared=0)


def launch(kernel: Kernel, kind: str, blocks: int, arguments: Sequence[Any]) -> None:
    """Run a kernel on CuPy's current device and stream: for matrices of the dtype `kind`, with CuPy arrays
    and numbers for its parameters that are not constants."""
    import cupy

    device = cupy.cuda.Device()
    signature = _signature(kernel, kind, arguments)
    loaded, shared = _load(kernel.compiled, kind, signature, device.id, device.compute_capability)
    if kernel.shared > shared:
        raise RuntimeError(
            f"{kernel.function.__name__} takes {kernel.shared} bytes of shared memory a block, of which "
            f"{device} has {shared}: use driver='vendor'"
        )
    loaded((blocks,), (kernel.threads,), _flattened(kernel, arguments), shared_mem=kernel.shared)


@cache
def shared_bytes(device: int) -> int:
    """Return the dynamic shared memory that a block of our kernels may have on a device."""
    largest: int = min(SHARED_BYTES, _largest_shared(device) - _RESERVED)
    return largest


@cache
def _largest_shared(device: int) -> int:
    """Return the shared memory that a block may have on a device if it asks for it."""
    import cupy

    largest: int = cupy.cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"]
    return largest


def _in_order(kernel: Kernel, arguments: Sequence[Any]) -> list[Any]:
    """Return the values of all parameters, the constants among them."""
    constants, rest = dict(kernel.constants), iter(arguments)
    return [
        constants[name] if name in constants else next(rest)
        for name in inspect.signature(kernel.function).parameters
    ]


def _flattened(kernel: Kernel, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments as the machine code takes them: an array is two unused pointers, its element
    count, item size, address, shape and strides."""
    flat: list[Any] = []
    for value in _in_order(kernel, arguments):
        if hasattr(value, "strides"):
            flat += [0, 0, value.size, value.itemsize, value.data.ptr, *value.shape, *value.strides]
        else:
            flat.append(value)
    return tuple(flat)


def _signature(kernel: Kernel, kind: str, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Return numba's types of all parameters."""
    import numba
    from numba import types

    layouts = iter(kernel.layouts)
    return tuple(
        types.Array(numba.from_dtype(value.dtype), value.ndim, next(layouts))
        if hasattr(value, "strides")
        else types.boolean
        if isinstance(value, bool)
        else types.int64
        for value in _in_order(kernel, arguments)
    )


@cache
def _load(
    kernel: Kernel, kind: str, signature: tuple[Any, ...], device: int, capability: str
) -> tuple[Any, int]:
    """Return the machine code of `Kernel.compiled` on the current device, whose number is given, and the
    bytes of dynamic shared memory that a block of it may have."""
    import cupy

    name = kernel.function.__name__
    with _lock:
        path = cubin(kernel, kind, signature, capability)
        try:
            loaded = cupy.RawModule(path=str(path)).get_function(name)
        except cupy.cuda.driver.CUDADriverError:  # the file is damaged: compile anew
            path.unlink(missing_ok=True)
            path = cubin(kernel, kind, signature, capability)
            loaded = cupy.RawModule(path=str(path)).get_function(name)
    return opted_in(loaded, device)


def opted_in(loaded: Any, device: int) -> tuple[Any, int]:
    """Return machine code that may use all the shared memory of a block, and how much it has for itself.

    Beyond 48 KiB of static and dynamic shared memory together a kernel has to ask.
    """
    shared = _largest_shared(device) - loaded.shared_size_bytes
    loaded.max_dynamic_shared_size_bytes = shared
    return loaded, shared


def cubin(kernel: Kernel, kind: str, signature: tuple[Any, ...], capability: str) -> Path:
    """Return the file with the machine code of a kernel for a compute capability, "90" say: compiled now
    unless it is there."""
    name = f"{kernel.function.__name__}-{kind}-sm_{capability}-{_hash(kernel, signature)}.cubin"
    folder = cache_folder(_SOURCES) or Path(tempfile.mkdtemp(prefix="gpusvd-"))
    path = folder / name
    if not path.exists():
        code = _link(ptx(kernel, kind, signature, capability), capability)
        try:
            write_whole(path, code)
        except OSError:  # a full disk, or the folder is gone: keep it for this process
            path = Path(tempfile.mkdtemp(prefix="gpusvd-")) / name
            write_whole(path, code)
    return path


def _hash(kernel: Kernel, signature: tuple[Any, ...]) -> str:
    text = f"{_toolchain()} {kernel.compiled[1:]} {signature}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _toolchain() -> str:
    """Return the versions of what makes machine code of a kernel: numba, numba-cuda, NVVM and the linker."""
    try:
        import numba
        import numba_cuda
        from cuda.bindings import driver, nvjitlink
        from numba.cuda.cudadrv.nvvm import NVVM
    except ImportError as error:
        raise ImportError(
            f"kernels are compiled by numba-cuda, which cannot be imported: {INSTALL}"
        ) from error
    try:
        linker = nvjitlink.version()
    except RuntimeError:  # it is not installed: the driver links
        linker = driver.cuDriverGetVersion()
    nvvm = NVVM()
    made_by = numba.__version__, numba_cuda.__version__, nvvm.get_version(), nvvm.get_ir_version(), linker
    return " ".join(map(str, made_by))


def ptx(kernel: Kernel, kind: str, signature: tuple[Any, ...], capability: str) -> str:
    """Return PTX of a kernel, whose entry has the name of its source and says how it is launched."""
    from numba import cuda

    source = specialiser(kind).plain(kernel.function, **dict(kernel.constants))
    try:
        code, _ = cuda.compile_ptx(source, signature, cc=(int(capability[:-1]), int(capability[-1])))
    except AttributeError as error:
        if "row_stack" not in str(error):
            raise
        raise ImportError(
            f"this numba-cuda does not work with NumPy {np.__version__}: pip install 'numpy<2.5'"
        ) from error
    entry = re.search(r"\.entry\s+(\w+)\(.*?\)\s*", code, re.DOTALL)
    assert entry is not None
    code = code[: entry.end()] + f".maxnreg {kernel.registers}\n" + code[entry.end() :]
    return str(code.replace(entry[1], kernel.function.__name__))


@cache
def specialiser(kind: str) -> Specialiser:
    from numba import cuda

    from gpusvd._cuda.instructions import instructions
    from gpusvd._cuda.operations import cuda_operations
    from gpusvd.kernels.scalars import scalar_operations
    from gpusvd.kernels.tiny import limits

    operations = scalar_operations(kind)
    names = operations | instructions(kind) | cuda_operations()
    names |= limits(kind in ("float32", "complex64"))
    compiled: Callable[[Function], Function] = cuda.jit(device=True, forceinline=True)
    return Specialiser(names, operations["real"], compiled)


def _link(code: str, capability: str) -> bytes:
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(arch=f"sm_{capability}")
    try:
        linked: bytes = Linker(ObjectCode.from_ptx(code.encode()), options=options).link("cubin").code
    except Exception as error:  # the linker's own kinds
        if "Unsupported .version" not in str(error):
            raise
        written = re.search(r"^\.version\s+(\S+)", code, re.MULTILINE)
        raise RuntimeError(
            f"the linker does not know PTX {written and written[1]}, which NVVM writes: both must come from "
            f"one CUDA toolkit: {INSTALL}"
        ) from error
    return linked
