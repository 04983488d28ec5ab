"""Arrays in GPU memory: how to recognise them, and what CuPy must be told."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations
from typing import Any

import numpy as np

from gpusvd._base.checks import Expected, check_fit, factor_dtype, outputs_of
from gpusvd._base.install import install

INSTALL = f"{install('cuda13')} (for a driver of CUDA 12, cuda12)"

_HOST = np.ndarray, list, tuple  # no union, which is made anew in every call
_DLPACK_CUDA = (2, 13)  # memory of a device, and managed memory


def is_on_gpu(a: object) -> bool:
    """Return whether an array lies in the memory of a CUDA device."""
    if isinstance(a, _HOST):
        return False
    if hasattr(a, "__dlpack_device__"):
        return a.__dlpack_device__()[0] in _DLPACK_CUDA
    return hasattr(a, "__cuda_array_interface__")


def cupy_with_device(index: int | None = None) -> Any:
    """Return CuPy; raise ImportError or RuntimeError that says what is missing, be it one device."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(f"the GPU is used through CuPy, which cannot be imported: {INSTALL}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"CuPy finds no usable CUDA device ({error}); NumPy arrays need none") from error
    if count == 0:
        raise RuntimeError("there is no CUDA device; NumPy arrays need none")
    if index is not None and index >= count:
        raise RuntimeError(f"there is no CUDA device {index}, only 0 to {count - 1}")
    return cupy


def on_device(cupy: Any, a: Any) -> Any:
    """Return a CuPy array: the same memory if it is a GPU's, else a copy there."""
    if isinstance(a, cupy.ndarray):
        return a
    if is_on_gpu(a):
        return cupy.from_dlpack(a) if hasattr(a, "__dlpack_device__") else cupy.asarray(a)
    host = np.asarray(a)
    factor_dtype(host.dtype)  # what CuPy cannot hold is refused in the words for any array
    return cupy.asarray(host.astype(host.dtype.newbyteorder("="), copy=False))


def memory_of_the_call(cupy: Any) -> AbstractContextManager[object]:
    """Return a context for temporary memory, freed before the call ends.

    While a stream is captured, memory freed into CuPy's pool could be given to others although the graph
    still uses it in every replay. Then it is allocated by the graph itself, which owns it.
    """
    if cupy.cuda.get_current_stream().is_capturing():
        context: AbstractContextManager[object] = cupy.cuda.using_allocator(cupy.cuda.malloc_async)
        return context
    return nullcontext()


def check_device_out(cupy: Any, out: Any, expected: Sequence[Expected], device: Any) -> list[Any]:
    """Return the arrays of `out`; raise unless they are CuPy's on this device, fit, and share no memory."""
    outputs = outputs_of(out, expected)
    for array, result in zip(outputs, expected, strict=True):
        name, _, _ = result
        if not isinstance(array, cupy.ndarray):
            raise TypeError(f"{name} in out is a {type(array).__name__}, expected a CuPy array")
        if array.device != device:
            raise ValueError(f"{name} in out is on {array.device}, expected on {device} as the input")
        check_fit(array, result)
    for (array, result), (other, other_result) in combinations(zip(outputs, expected, strict=True), 2):
        if cupy.may_share_memory(array, other):
            raise ValueError(
                f"{result[0]} and {other_result[0]} in out may share memory, expected separate arrays"
            )
    return list(outputs)
