"""`cupy.ndarray`, on NumPy, which it refuses to mix with."""

import operator

import numpy as np

from .devices import Device
from .machine import MACHINE, CUDARuntimeError, RaceError
from .memory import NEVER_WRITTEN, Memory, MemoryPointer, allocate, is_pinned
from .streams import get_current_stream

WAITING = {"nonzero", "argwhere", "flatnonzero", "unique", "extract", "compress"}  # for their result's shape
DEVICE_CUDA = 2  # of DLPack


class ndarray:  # noqa: N801  the name that CuPy gives it
    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape, dtype = np.empty(shape, np.uint8).shape, np.dtype(dtype)
        if memptr is None:
            memptr = MemoryPointer(allocate(int(np.prod(shape)) * dtype.itemsize), 0)
        self._memory = memptr.mem
        self._host = np.ndarray(shape, dtype, memptr.mem.bytes, memptr._offset, strides, order)

    # What is known without a look at its elements

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    device = property(lambda self: Device(self._memory.device))

    @property
    def data(self):
        return MemoryPointer(self._memory, self._host.ctypes.data - self._memory.ptr)

    @property
    def __cuda_array_interface__(self):
        described = {"shape": self.shape, "typestr": self.dtype.str, "strides": self.strides, "version": 3}
        return described | {"data": (self.data.ptr, False), "stream": get_current_stream().ptr or 1}

    def __len__(self):
        return len(self._host)

    # What NumPy must not do by itself

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or kwargs or not all(isinstance(x, ndarray | np.generic) for x in inputs):
            raise TypeError(f"numpy.{ufunc.__name__} of a CuPy array")
        if len(inputs) < 2:
            raise TypeError(f"numpy.{ufunc.__name__} of a CuPy array: CuPy has a function of that name")
        return compute(ufunc, *inputs)

    def __array_function__(self, function, *_):
        raise TypeError(f"numpy.{function.__name__} of a CuPy array")

    # Other libraries

    def __dlpack_device__(self):
        return DEVICE_CUDA, self._memory.device

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """Itself stands for the capsule; work of that stream waits for what the current one has to do."""
        consumer = MACHINE.queue(0 if stream in (None, 0, 1) else stream, self._memory.device)
        consumer.merge(MACHINE.queue(get_current_stream(self._memory.device).ptr, self._memory.device).clock)
        return self

    # To the host and back

    def get(self, stream=None, order="C", out=None, blocking=True):
        stream = get_current_stream() if stream is None else stream
        if not self._host.flags.c_contiguous and stream.device_id not in (-1, self._memory.device):
            raise RuntimeError("The device that the stream is created on does not match the array's")
        queue = MACHINE.queue(stream.ptr, self._memory.device)
        if queue.capture is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a copy to the host in a graph")
        if out is None:
            out = np.empty(self.shape, self.dtype, order)
        elif not (isinstance(out, np.ndarray) and out.shape == self.shape and out.dtype == self.dtype):
            raise TypeError("out does not fit")
        elif not blocking and not is_pinned(out):
            raise RaceError("a copy that nobody waits for, to memory that is not page-locked")
        with Device(queue.device):
            queue.add(lambda: self._start_copy(queue, out), reads=[self._memory])
        if blocking:
            queue.synchronize()
        return out

    def _start_copy(self, queue, out):
        """Copy to the host when it has waited for that; no one knows what is there before."""
        source = self._host.copy()
        out[...] = np.frombuffer(bytes([NEVER_WRITTEN]) * out.itemsize, out.dtype)
        queue.copy_later(lambda: np.copyto(out, source))

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("Only a numpy.ndarray of the same shape and dtype can be set to a cupy.ndarray")
        if not self._host.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        stream = get_current_stream() if stream is None else stream
        queue = MACHINE.queue(stream.ptr, self._memory.device)
        if queue.capture is not None:
            raise CUDARuntimeError("a copy from the host in a graph, which would read that memory again")
        with Device(queue.device):
            queue.add(lambda: np.copyto(self._host, arr), writes=[self._memory])
        if is_pinned(arr):
            copied = arr.copy()
            queue.copy_later(lambda: check_unchanged(arr, copied))

    def item(self, *args):
        return self.get().item(*args)

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __complex__(self):
        return complex(self.get())

    def __index__(self):
        return operator.index(self.get()[()])

    def __repr__(self):
        return repr(self.get())

    # Elements

    def __getitem__(self, index):
        if any(isinstance(i, ndarray) and i.dtype == bool for i in as_tuple(index)):
            get_current_stream()._queue.synchronize()
        return compute(operator.getitem, self, index)

    def __setitem__(self, index, value):
        if isinstance(value, np.ndarray | list | tuple):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        reads = [self, value, *as_tuple(index)]
        check_devices(reads)
        place, number = (to_host(x) for x in (index, value))

        def run(target=self._host):
            with np.errstate(all="ignore"):
                target[place] = number

        memories = [x._memory for x in reads[1:] if isinstance(x, ndarray)]
        get_current_stream()._queue.add(run, memories, [self._memory])

    def fill(self, value):
        self[...] = value

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # Everything else is NumPy's

    def __getattr__(self, name):
        api = MACHINE.api
        if name.startswith("_") or not api.has("cupy.ndarray", name):
            raise AttributeError(f"cupy.ndarray has no attribute {name!r} in CuPy {api.versions}")
        if not callable(getattr(self._host, name)):
            return compute(operator.attrgetter(name), self)

        def method(*args, **kwargs):
            api.check_call("cupy.ndarray", name, kwargs)
            return compute(method_named(name), self, *args, **kwargs)

        return method


def as_tuple(index):
    return index if isinstance(index, tuple) else (index,)


def check_unchanged(now, copied):
    if not np.array_equal(now.view(np.uint8), copied.view(np.uint8)):
        raise RaceError("host memory was written to while it was copied from")


def arrays_in(x):
    """All arrays among arguments."""
    if isinstance(x, ndarray):
        yield x
    elif isinstance(x, tuple | list):
        for part in x:
            yield from arrays_in(part)


def to_host(x):
    """The NumPy array behind an array, and in tuples and lists; anything else as it is."""
    if isinstance(x, ndarray):
        return x._host
    if type(x) in (tuple, list):
        return type(x)(map(to_host, x))
    if isinstance(x, slice):
        return slice(*map(to_host, (x.start, x.stop, x.step)))
    return x


def check_devices(arrays):
    for x in arrays:
        if isinstance(x, ndarray) and x._memory.device != MACHINE.current.device:
            raise ValueError(
                f"The device where the array resides ({x._memory.device}) is different from the current "
                f"device ({MACHINE.current.device}). Peer access is unavailable between these devices."
            )


def compute(function, *args, **kwargs):
    """What a function of NumPy returns for arrays of a device, on that device: a view where it is one."""
    arrays = list(arrays_in([*args, *kwargs.values()]))
    hosts, named = [to_host(x) for x in args], {name: to_host(x) for name, x in kwargs.items()}
    result = applied(function, hosts, named)
    return received(result, lambda: applied(function, hosts, named), arrays)


def applied(function, args, kwargs):
    if isinstance(function, np.ufunc) or function is np.where:
        args = [weak(x, args) for x in args]
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)


def weak(x, args):
    """A number of NumPy's as Python's, beside an array: CuPy 13 takes it so, CuPy 14 by its dtype."""
    arrays = [y for y in args if isinstance(y, np.ndarray)]
    if not isinstance(x, np.generic) or not arrays:
        return x
    alike = all(np.result_type(x, y) == np.result_type(x.item(), y) for y in arrays)
    if not alike and len(MACHINE.api.versions) > 1:
        raise TypeError(f"{x!r} beside {arrays[0].dtype}: CuPy 13 and 14 have different dtypes for it")
    return x.item() if "13.6" in MACHINE.api.versions else x


def received(result, again, arrays):
    """A result of NumPy's on the device; `again` computes it anew, in a graph."""
    if isinstance(result, tuple | list):
        parts = [received(part, lambda i=i: again()[i], arrays) for i, part in enumerate(result)]
        return type(result)(parts) if type(result) in (tuple, list) else tuple(parts)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    for x in arrays:
        if result is x._host:
            return x
        if isinstance(result, np.ndarray) and np.may_share_memory(result, x._memory.bytes):
            return view_of(x._memory, result)
    check_devices(arrays)
    made = on_device(np.asarray(result))
    target, first = made._host, [result]

    def run():
        np.copyto(target, first.pop() if first else again())

    queue = get_current_stream()._queue
    if queue.capture is not None:
        first.clear()
    queue.add(run, [x._memory for x in arrays], [made._memory])
    return made


def on_device(like):
    """An array, not yet written, with the dtype, shape and order of axes of a NumPy array."""
    shaped = np.empty_like(like)
    return ndarray(like.shape, like.dtype, strides=shaped.strides if like.size else None)


def view_of(memory: Memory, host):
    view = ndarray.__new__(ndarray)
    view._memory, view._host = memory, host
    return view


def from_host(host):
    """A copy of a NumPy array on the current device."""
    if host.dtype.kind not in "biufc" or not host.dtype.isnative:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    made = on_device(host)
    queue = get_current_stream()._queue
    if queue.capture is not None:
        raise CUDARuntimeError("a copy from the host in a graph, which would read that memory again")
    queue.add(lambda: np.copyto(made._host, host), writes=[made._memory])
    return made


def method_named(name):
    def call(x, *args, **kwargs):
        return getattr(x, name)(*args, **kwargs)

    return call


# Operators


def binary(function):
    def forward(self, other):
        return operate(function, self, other)

    def reflected(self, other):
        return operate(function, other, self)

    def in_place(self, other):
        check_operands(self, other)
        check_devices([self, other])
        hosts = to_host([self, other])
        reads = [other._memory] if isinstance(other, ndarray) else []

        def run():
            np.copyto(hosts[0], applied(function, hosts, {}), casting="same_kind")

        get_current_stream()._queue.add(run, reads, [self._memory])
        return self

    return forward, reflected, in_place


def operate(function, *operands):
    check_operands(*operands)
    return compute(function, *operands)


def check_operands(*operands):
    for x in operands:
        if not isinstance(x, ndarray | bool | int | float | complex | np.generic):
            raise TypeError(f"Unsupported type {type(x)}")


def unary(function):
    return lambda self: compute(function, self)


for name, function in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}.items():
    for prefix, operation in zip(("", "r", "i"), binary(function), strict=True):
        setattr(ndarray, f"__{prefix}{name}__", operation)
for name in ("lt", "le", "eq", "ne", "gt", "ge"):
    setattr(ndarray, f"__{name}__", binary(getattr(operator, name))[0])
ndarray.__hash__ = None
for name, function in {"neg": np.negative, "abs": np.absolute, "invert": np.invert}.items():
    setattr(ndarray, f"__{name}__", unary(function))


def as_strided(x, shape=None, strides=None):
    """`cupy.lib.stride_tricks.as_strided`."""
    return ndarray(shape, x.dtype, x.data, strides)
