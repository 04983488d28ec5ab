"""Arrays as a kernel sees them: every index checked, every access to shared and global memory noted."""

import math
from functools import cache
from itertools import product
from sys import _getframe

import numba
import numpy as np

from .faults import BoundsError, KernelError, where, who
from .races import Cell, note_read, note_write, unwritten


def as_dtype(dtype):
    """The NumPy dtype of what a kernel names as one: numba's types too."""
    if isinstance(dtype, numba.types.Type):
        return np.dtype(numba.np.numpy_support.as_dtype(dtype))
    return np.dtype(dtype)


def as_shape(shape):
    return tuple(int(extent) for extent in shape) if isinstance(shape, tuple | list) else (int(shape),)


def check_bounds(name, shape, index, thread, frame):
    """Whether an index is one of an element, rather than of a part of the array."""
    index = index if isinstance(index, tuple) else (index,)
    for axis, i in enumerate(index):
        if axis >= len(shape):
            raise BoundsError(f"{len(index)} indices for {name} of {len(shape)} dimensions at {where(frame)}")
        if hasattr(i, "__index__") and not 0 <= i < shape[axis]:
            raise BoundsError(
                f"index {i} is out of bounds for axis {axis} of {name}, of shape {shape}, in "
                f"{who(thread)} at {where(frame)}"
            )
    return len(index) == len(shape) and all(hasattr(i, "__index__") for i in index)


@cache
def empty_entries(shape):
    """None for each index of an array: an int in one dimension, a tuple in more."""
    return dict.fromkeys(range(*shape) if len(shape) == 1 else product(*map(range, shape)))


class LocalArray:
    """An array of one thread, which no one else sees: a dictionary of its entries, None before a write."""

    __slots__ = ("dtype", "entries", "kind", "machine", "shape")

    def __init__(self, machine, shape, dtype):
        self.machine, self.shape, self.dtype, self.kind = machine, shape, dtype, dtype.type
        self.entries = empty_entries(shape).copy()

    def __getitem__(self, index):
        try:
            value = self.entries[index]
        except (KeyError, TypeError):
            return self.part(index)
        if value is None:
            raise unwritten(("local array", index), self.machine.thread, _getframe())
        return value

    def __setitem__(self, index, value):
        try:
            known = index in self.entries
        except TypeError:
            known = False
        if not known:
            self.part(index)
            raise KernelError(f"assignment to a part of a local array at {where(_getframe())}")
        self.entries[index] = value if value.__class__ is self.kind else self.kind(value)

    def part(self, index):
        check_bounds("local array", self.shape, index, self.machine.thread, _getframe())
        return LocalPart(self, index)

    def __len__(self):
        return self.shape[0]

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def ndim(self):
        return len(self.shape)


class LocalPart:
    """A slice or a row of a local array."""

    def __init__(self, whole, index):
        places = np.empty(whole.shape, object)
        places.reshape(-1)[:] = list(whole.entries)
        self.whole, self.places = whole, places[index]
        self.shape, self.dtype, self.size = self.places.shape, whole.dtype, self.places.size

    def place(self, index):
        if not check_bounds(
            "part of a local array", self.shape, index, self.whole.machine.thread, _getframe()
        ):
            raise KernelError(f"a part of a part of a local array at {where(_getframe())}")
        return self.places[index]

    def __getitem__(self, index):
        return self.whole[self.place(index)]

    def __setitem__(self, index, value):
        self.whole[self.place(index)] = value

    def __len__(self):
        return self.shape[0]


class Space:
    """The memory that arrays lie in: the grid's global one, or the shared one of a block.

    Accesses are noted for every `grain` bytes, or for whole elements where it is None.
    """

    def __init__(self, machine, name, grain=None):
        self.machine, self.name, self.grain = machine, name, grain
        self.cells = {}
        self.starts_unwritten = name == "shared"

    def cells_at(self, address, size):
        grains = (address,) if self.grain is None else range(address, address + size, self.grain)
        return tuple(self.cells.setdefault(grain, Cell()) for grain in grains)


class Array:
    """An array, or a part of one, in global or shared memory."""

    __slots__ = ("address", "cells", "machine", "name", "space", "values")

    def __init__(self, values, space, name):
        self.values, self.space, self.name, self.machine = values, space, name, space.machine
        self.address = values.__array_interface__["data"][0]
        self.cells = {}  # by index, as far as used

    def __getitem__(self, index):
        cells = self.cells_of(index)
        if cells is None:
            return Array(self.values[index], self.space, self.name)
        thread, frame = self.machine.thread, _getframe(1)
        for cell in cells:
            if cell.write is None and self.space.starts_unwritten and not cell.atomics:
                raise unwritten((self.name, index), thread, frame)
            note_read(cell, thread, frame, (self.name, index))
        return self.values[index]

    def __setitem__(self, index, value):
        cells = self.cells_of(index)
        thread, frame = self.machine.thread, _getframe(1)
        if cells is None:
            raise KernelError(f"assignment to a part of {self.name} at {where(frame)}")
        if not self.values.flags.writeable:
            raise KernelError(f"write to {self.name}, which is read-only, at {where(frame)}")
        for cell in cells:
            note_write(cell, thread, frame, (self.name, index))
        self.values[index] = value

    def cells_of(self, index):
        """The cells of an element, None for a part of the array."""
        try:
            cells = self.cells.get(index)
        except TypeError:  # a slice
            cells = None
        if cells is None and check_bounds(
            self.name, self.values.shape, index, self.machine.thread, _getframe()
        ):
            steps = index if isinstance(index, tuple) else (index,)
            offset = sum(int(i) * stride for i, stride in zip(steps, self.values.strides, strict=True))
            cells = self.space.cells_at(self.address + offset, self.values.itemsize)
            self.cells[index] = cells
        return cells

    def __len__(self):
        return len(self.values)

    def reshape(self, *shape):
        shape = shape[0] if len(shape) == 1 else shape
        return Array(self.values.reshape(shape, copy=False), self.space, self.name)

    @property
    def shape(self):
        return self.values.shape

    @property
    def ndim(self):
        return self.values.ndim

    @property
    def size(self):
        return self.values.size

    @property
    def dtype(self):
        return self.values.dtype

    @property
    def strides(self):
        return self.values.strides

    @property
    def T(self):
        return Array(self.values.T, self.space, self.name)
