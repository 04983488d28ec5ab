"""The memory of a launch: arrays in global memory, each at an address of its own, and shared memory.

Accesses are checked for what CUDA leaves undefined: misaligned ones, those outside, reads of what was never
written, races. Memory is watched in granules of at most four bytes."""

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .faults import AlignmentError, BoundsError, KernelError, RaceError, UnwrittenError
from .races import READ, UNWRITTEN, WRITE, History, note_accesses

SHARED_BEGIN = 1024  # what is below belongs to the system
ARRAY_BITS = 40  # of an address: its place in an array; above them is the array's number
ARRAY_BEGIN = 512


class Space:
    """Memory that threads may access between two addresses, `low` and `high`."""

    def __init__(self, name, data, written, history, granule, low, high):
        self.name, self.data, self.written, self.history = name, data, written, history
        self.granule, self.low, self.high = granule, low, high

    def check(self, address, width, where):
        """Raise unless accesses of some bytes each are aligned and inside."""
        bad = address % width != 0
        if bad.any():
            raise AlignmentError(f"{self.name} address {address[bad][0]:#x} for {width} bytes, {where}")
        bad = (address < self.low) | (address + width > self.high)
        if bad.any():
            span = f"{self.low:#x}..{self.high:#x}"
            raise BoundsError(f"{self.name} address {address[bad][0]:#x} outside of {span}, {where}")

    def load(self, place, dtype, vector, used, threads, progress, where):
        """Numbers, `vector` of them from each place on, of which the first `used` bytes are of use."""
        size = np.dtype(dtype).itemsize
        self._note(False, place, used or size * vector, threads, progress, where)
        return [self._typed(dtype)[place // size + i] for i in range(vector)]

    def store(self, place, values, threads, progress, where):
        """Put numbers to places, several to each from it on."""
        size = values[0].itemsize
        self._note(True, place, size * len(values), threads, progress, where)
        for i, value in enumerate(values):
            self._typed(value.dtype)[place // size + i] = value

    def _note(self, is_write, place, width, threads, progress, where):
        count = -(-width // self.granule)
        memory = self.written, self.history.writes, self.history.reads
        wrong = note_accesses(
            is_write, place // self.granule, count, threads, *memory, progress.eras, progress.clocks
        )
        access = "write" if is_write else "read"
        if wrong & UNWRITTEN:
            raise UnwrittenError(f"read of {self.name} memory that was never written, {where}")
        if wrong & (WRITE | READ):
            earlier = "write" if wrong & WRITE else "read"
            raise RaceError(f"{access} of {self.name} memory and an earlier {earlier}, {where}")

    def _typed(self, dtype):
        size = np.dtype(dtype).itemsize
        return self.data[: self.data.size // size * size].view(dtype)


class Shared(Space):
    """The shared memory of all blocks of a launch, each its own."""

    def __init__(self, variables, dynamic, blocks):
        self.addresses, end = _layout(variables)
        high = end + dynamic
        self.stride = -(-high // 16) * 16
        data = np.full(blocks * self.stride, 0xA5, np.uint8)
        granules = data.size // 4
        low = min(self.addresses.values(), default=high)
        super().__init__("shared", data, np.zeros(granules, bool), History(granules), 4, low, high)

    def places(self, address, blocks, width, where):
        """The one part that threads of some blocks address: which of them, the memory, places in it."""
        self.check(address, width, where)
        return [(slice(None), self, address + blocks * self.stride)]


def _layout(variables):
    """The address of each variable in shared memory and the end of the static ones, after which dynamic
    memory begins, as badly aligned as its declarations allow."""
    addresses, end = {}, SHARED_BEGIN
    for name, alignment, size in variables:
        if size is not None:
            addresses[name] = -(-end // alignment) * alignment
            end = addresses[name] + size
    dynamic = [variable for variable in variables if variable.size is None]
    if dynamic:
        alignment = max(variable.alignment for variable in dynamic)
        end = (-(-end // alignment) | 1) * alignment
        addresses |= {variable.name: end for variable in dynamic}
    return addresses, end


class Array(Space):
    """An array that a launch is given."""

    def __init__(self, x, root, number, written, history):
        base, (low, high) = byte_bounds(root)[0], byte_bounds(x)
        self.begin = (number << ARRAY_BITS) + ARRAY_BEGIN  # the address of its allocation
        self.address = self.begin + x.ctypes.data - base
        self.writeable, self._root = x.flags.writeable, root
        interface = {"data": (base, False), "shape": (max(1, high - base),), "typestr": "|u1", "version": 3}
        data = np.asarray(type("Memory", (), {"__array_interface__": interface})())
        bounds = self.begin + low - base, self.begin + high - base
        super().__init__("global", data, written, history, granule_of(root), *bounds)

    def store(self, place, values, threads, progress, where):
        if not self.writeable:
            raise KernelError(f"write to an array that is only read, {where}")
        super().store(place, values, threads, progress, where)


class Global:
    """The arrays of a launch. `written` says of allocations, by identity, which granules are written; all are
    of those that it lacks."""

    def __init__(self, written=None):
        self.arrays, self._written, self._histories = [], written or {}, {}

    def place(self, x):
        """The address of an array."""
        root = x
        while isinstance(root.base, np.ndarray):
            root = root.base
        granules = -(-(byte_bounds(root)[1] - byte_bounds(root)[0]) // granule_of(root))
        written = self._written[id(root)] if id(root) in self._written else np.ones(granules, bool)
        history = self._histories.setdefault(id(root), History(granules))
        self.arrays.append(Array(x, root, len(self.arrays) + 1, written, history))
        return self.arrays[-1].address

    def places(self, address, blocks, width, where):
        """For each array that threads address: which of them, the array, places in it."""
        numbers = address >> ARRAY_BITS
        parts = []
        for number in np.unique(numbers):
            if not 0 < number <= len(self.arrays):
                wild = address[numbers == number][0]
                raise BoundsError(f"global address {wild:#x} is of no array, {where}")
            array, chosen = self.arrays[number - 1], np.flatnonzero(numbers == number)
            array.check(address[chosen], width, where)
            parts.append((chosen, array, address[chosen] - array.begin))
        return parts


def granule_of(x):
    """The bytes in which accesses to an array are watched."""
    return min(4, x.real.itemsize)
