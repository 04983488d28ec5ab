"""A stand-in for CuPy on NumPy, for tests of what is done with CuPy's arrays where there is no GPU: arrays
of a type of their own, which refuse to become NumPy's by themselves."""

import types
from contextlib import nullcontext

import numpy as np


class Device(nullcontext):
    """One of the devices."""

    attributes = {"MaxSharedMemoryPerBlockOptin": 227 * 1024}  # noqa: RUF012  CuPy's is a property

    def __init__(self, index=0):
        super().__init__()
        self.id = index


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801  the name that CuPy gives it
    """An array "on the device": NumPy's own in all that it can do, which NumPy cannot see."""

    device = Device()

    def __init__(self, host):
        self.host = host

    @property
    def data(self):
        """Where it lies."""
        return types.SimpleNamespace(ptr=self.host.ctypes.data)

    def __array__(self, *args, **kwargs):
        raise TypeError("an array on the device becomes NumPy's by cupy.asnumpy alone")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return _to_device(getattr(ufunc, method)(*map(to_host, inputs), **kwargs))

    def __dlpack_device__(self):
        return (2, 0)

    def __getattr__(self, name):
        value = getattr(self.host, name)
        return on_device(value) if callable(value) else _to_device(value)

    def __getitem__(self, index):
        return _to_device(self.host[index])

    def __setitem__(self, index, value):
        self.host[index] = to_host(value)

    def set(self, host, stream):
        assert stream.current, "a copy on a stream that is not the current one"
        self.host[...] = host

    def get(self, stream, out, blocking):
        assert stream.current
        assert not blocking
        stream.queue.append(lambda: np.copyto(out, self.host))

    def __bool__(self):
        return bool(self.host)


def _to_device(x):
    if isinstance(x, tuple | list) and any(isinstance(y, np.ndarray) for y in x):
        return list(map(_to_device, x))
    return ndarray(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x


def to_host(x):
    """NumPy's array of an array on the device; anything else as it is."""
    return x.host if isinstance(x, ndarray) else x


def on_device(function):
    """A function of NumPy, for arrays on the device."""

    def call(*args, **kwargs):
        return _to_device(function(*map(to_host, args), **kwargs))

    return call


class Stream:
    """A stream whose copies to the host are late: they come when one waits for them."""

    def __init__(self, non_blocking):
        self.queue, self.current, self.capturing = [], False, False

    def __enter__(self):
        self.current = True

    def __exit__(self, *_):
        self.current = False

    def synchronize(self):
        for copy in self.queue:
            copy()
        self.queue.clear()

    def is_capturing(self):
        return self.capturing


def module(devices=1):
    """A module to put in the place of `cupy`, that finds so many devices."""
    cupy = types.ModuleType("cupy")
    for name in ("empty", "eye", "isfinite", "tril", "where", "asarray", "zeros", "ones"):
        setattr(cupy, name, on_device(getattr(np, name)))
    cupy.ndarray = ndarray
    cupy.may_share_memory = lambda x, y: np.may_share_memory(to_host(x), to_host(y))
    cupy.asnumpy = lambda x: np.array(to_host(x))
    cupy.from_dlpack = lambda x: x.data
    cupy.linalg = types.SimpleNamespace(svd=on_device(np.linalg.svd))

    class CUDARuntimeError(RuntimeError):
        pass

    def device_count():
        if devices < 0:
            raise CUDARuntimeError("no driver")
        return devices

    stream = Stream(non_blocking=False)
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(getDeviceCount=device_count, CUDARuntimeError=CUDARuntimeError),
        Device=Device,
        Stream=Stream,
        alloc_pinned_memory=bytearray,
        get_current_stream=lambda: stream,
        malloc_async=None,
        using_allocator=nullcontext,
    )
    return cupy


def launch(kernel, kind, blocks, arguments):
    """Launch a kernel on arrays of the stand-in, in the emulator."""
    from tests.support import cuda_emulated  # needs greenlet, which a machine with a GPU may lack

    cuda_emulated.launch(kernel, kind, blocks, [to_host(x) for x in arguments])
