"""The functions of `cupy`, `cupy.linalg` and `cupy.random`."""

import types

import numpy as np

from .arrays import (
    WAITING,
    arrays_in,
    check_devices,
    compute,
    from_host,
    ndarray,
    on_device,
    view_of,
)
from .machine import MACHINE
from .memory import memory_at
from .streams import get_current_stream

OWN = (  # of `cupy`, in this module
    "array",
    "asarray",
    "ascontiguousarray",
    "asnumpy",
    "copyto",
    "empty",
    "empty_like",
    "from_dlpack",
    "may_share_memory",
)


class Namespace(types.ModuleType):
    """A module whose functions are NumPy's, as far as CuPy has them, unless it has its own."""

    def __init__(self, name, numpy, **own):
        super().__init__(name)
        self._numpy = numpy
        vars(self).update(own)

    def __getattr__(self, name):
        api = MACHINE.api
        owner = vars(self)["__name__"]
        if name.startswith("__") or not api.has(owner, name) or not hasattr(self._numpy, name):
            raise AttributeError(f"{owner} has no attribute {name!r} in CuPy {api.versions}")
        theirs = getattr(self._numpy, name)
        is_function = callable(theirs) and not isinstance(theirs, type)
        return function(owner, name, theirs) if is_function else theirs


def function(owner, name, theirs):
    """A function of NumPy for arrays on a device."""

    def call(*args, **kwargs):
        MACHINE.api.check_call(owner, name, kwargs)
        check_arguments(name, theirs, args)
        if name in WAITING or (name == "where" and len(args) + len(kwargs) == 1):
            get_current_stream()._queue.synchronize()
        return compute(counted if name == "count_nonzero" else theirs, *args, **kwargs)

    return call


def counted(*args, **kwargs):
    """CuPy returns an array of a number of elements."""
    return np.asarray(np.count_nonzero(*args, **kwargs))


def check_arguments(name, theirs, args):
    """Raise TypeError for what CuPy does not bring to a device by itself."""
    for x in flat(args):
        if isinstance(x, np.ndarray):
            raise TypeError(f"cupy.{name} of a NumPy array: Unsupported type {type(x)}")
    if isinstance(theirs, np.ufunc) and any(isinstance(x, list | tuple) for x in args):
        raise TypeError(f"cupy.{name}: Unsupported type of an argument")


def flat(x):
    return [y for part in x for y in flat(part)] if isinstance(x, list | tuple) else [x]


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    check_devices([prototype])
    return on_device(np.empty_like(prototype._host, dtype, order, shape=shape))


def asarray(a, dtype=None, order=None, *, blocking=False):
    return array(a, dtype, copy=False, order=order or "K", blocking=blocking)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(obj, ndarray):
        return obj if not copy and dtype in (None, obj.dtype) else compute(np.array, obj, dtype, order=order)
    if hasattr(obj, "__cuda_array_interface__"):
        return in_memory_of(obj)
    if isinstance(obj, list | tuple) and list(arrays_in(obj)):
        return compute(np.array, obj, dtype)
    return from_host(np.array(obj, dtype, order=order, ndmin=ndmin))


def in_memory_of(other):
    """The array that another library describes."""
    described = other.__cuda_array_interface__
    address, _ = described["data"]
    memory = memory_at(address)
    host = np.ndarray(
        described["shape"],
        described["typestr"],
        memory.bytes,
        address - memory.ptr,
        described.get("strides"),
    )
    if described.get("stream") is not None:
        MACHINE.queue(0 if described["stream"] == 1 else described["stream"]).synchronize()
    return view_of(memory, host)


def ascontiguousarray(a, dtype=None):
    return compute(np.ascontiguousarray, a, dtype)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream=stream, order=order, out=out, blocking=blocking)
    return np.array(a)


def from_dlpack(array, *, device=None, copy=None):
    kind, index = array.__dlpack_device__()
    if kind != 2:
        raise TypeError("an array of a CUDA device is expected")
    return array.__dlpack__(stream=get_current_stream(index).ptr or 1)


def copyto(dst, src, casting="same_kind", where=None):
    if not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError("copyto cannot cast")
    dst[...] = src


def may_share_memory(a, b, max_work=None):
    return a._memory is b._memory and np.may_share_memory(a._host, b._host)


class LinearAlgebra:
    """NumPy's, but for what CuPy does otherwise."""

    def __getattr__(self, name):
        return getattr(np.linalg, name)

    @staticmethod
    def svd(a, full_matrices=True, compute_uv=True):
        """NaN for what NumPy refuses to decompose."""
        try:
            return np.linalg.svd(a, full_matrices, compute_uv)
        except np.linalg.LinAlgError:
            factors = np.linalg.svd(np.zeros_like(a), full_matrices, compute_uv)
            return tuple(x * np.nan for x in factors) if compute_uv else factors * np.nan


class RandomState:
    """Numbers of NumPy's, which are others than CuPy's."""

    def __init__(self, seed=None, method=None):
        self._rng = np.random.default_rng(seed)

    def standard_normal(self, size=None, dtype=float):
        return from_host(np.asarray(self._rng.standard_normal(size, np.dtype(dtype))))
