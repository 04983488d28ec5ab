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

from gpusvd._base.cache import cache_folder, hash_of_sources
from gpusvd._cuda.specialise import Function, Specialiser

_HERE = Path(__file__)
_SOURCES = hash_of_sources(_HERE, _HERE.with_name("specialise.py"))

_STATIC_SHARED = 48 * 1024  # more than this a kernel must ask for

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
    loaded = _load(kernel.compiled, kind, signature, device.id, device.compute_capability)
    if kernel.shared > _STATIC_SHARED and kernel.shared > loaded.max_dynamic_shared_size_bytes:
        loaded.max_dynamic_shared_size_bytes = kernel.shared
    loaded((blocks,), (kernel.threads,), _flattened(kernel, arguments), shared_mem=kernel.shared)


def _in_order(kernel: Kernel, arguments: Sequence[Any]) -> list[Any]:
    """Return the values of all parameters, the constants among them."""
    constants, rest = dict(kernel.constants), iter(arguments)
    return [
        constants[name] if name in constants else next(rest)
        for name in inspect.signature(kernel.function).parameters
    ]


def _flattened(kernel: Kernel, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments as the machine code takes them: an array is two unused pointers, the numbers of
    its elements and of the bytes of one, its address, shape and strides."""
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
def _load(kernel: Kernel, kind: str, signature: tuple[Any, ...], device: int, capability: str) -> Any:
    """Return the machine code of `Kernel.compiled` on the current device, of which the number is given."""
    import cupy

    with _lock:
        path = cubin(kernel, kind, signature, capability)
    return cupy.RawModule(path=str(path)).get_function(kernel.function.__name__)


def cubin(kernel: Kernel, kind: str, signature: tuple[Any, ...], capability: str) -> Path:
    """Return the file with the machine code of a kernel for a compute capability, "90" say: compiled now
    unless it is there."""
    name = f"{kernel.function.__name__}-{kind}-sm_{capability}-{_hash(kernel, signature)}.cubin"
    folder = cache_folder(_SOURCES) or Path(tempfile.mkdtemp(prefix="gpusvd-"))
    path = folder / name
    if not path.exists():
        code = _link(ptx(kernel, kind, signature, capability), capability)
        try:
            _write(path, code)
        except OSError:  # a full disk, or the folder is gone: keep it for this process
            path = Path(tempfile.mkdtemp(prefix="gpusvd-")) / name
            _write(path, code)
    return path


def _write(path: Path, code: bytes) -> None:
    """Write a file at once: another process finds all of it or nothing."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(code)
            file.flush()
        except OSError:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def _hash(kernel: Kernel, signature: tuple[Any, ...]) -> str:
    import numba_cuda

    text = f"{numba_cuda.__version__} {kernel.compiled[1:]} {signature}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ptx(kernel: Kernel, kind: str, signature: tuple[Any, ...], capability: str) -> str:
    """Return PTX of a kernel, whose entry has the name of its source and says how it is launched."""
    from numba import cuda

    source = specialiser(kind).plain(kernel.function, **dict(kernel.constants))
    code, _ = cuda.compile_ptx(source, signature, cc=(int(capability[:-1]), int(capability[-1])))
    entry = re.search(r"\.entry\s+(\w+)\(.*?\)\s*", code, re.DOTALL)
    assert entry is not None
    code = code[: entry.end()] + f".maxnreg {kernel.registers}\n" + code[entry.end() :]
    return str(code.replace(entry[1], kernel.function.__name__))


@cache
def specialiser(kind: str) -> Specialiser:
    from numba import cuda

    from gpusvd.kernels.scalars import scalar_operations

    operations = scalar_operations(kind)
    compiled: Callable[[Function], Function] = cuda.jit(device=True, forceinline=True)
    return Specialiser(operations, operations["real"], compiled)


def _link(code: str, capability: str) -> bytes:
    from cuda.core import Linker, LinkerOptions, ObjectCode

    linker = Linker(ObjectCode.from_ptx(code.encode()), options=LinkerOptions(arch=f"sm_{capability}"))
    linked: bytes = linker.link("cubin").code
    return linked
