"""Memory of the devices and page-locked memory, and what allocates them."""

import weakref
from contextlib import contextmanager

import numpy as np

from .devices import Device
from .machine import MACHINE, RaceError
from .streams import get_current_stream

ALIGNMENT = 512
NEVER_WRITTEN = 0xFF  # NaN, in any floating-point numbers


class Memory:
    """An allocation on a device, and who used it last. It is given back when nothing refers to it."""

    def __init__(self, size, device):
        room = np.full(size + ALIGNMENT, NEVER_WRITTEN, np.uint8)
        first = -room.ctypes.data % ALIGNMENT
        self.bytes, self.device = room[first : first + size], device
        self.ptr = self.bytes.ctypes.data
        self.write, self.reads = None, {}  # the stream and its clock
        MACHINE.memory.append(weakref.ref(self))

    def check(self, clock, after_reads):
        """Raise unless a clock knows the last write, and the reads if wanted."""
        before = [self.write] if self.write else []
        before += self.reads.items() if after_reads else []
        if any(clock.get(queue, 0) < ticks for queue, ticks in before):
            raise RaceError("memory that another stream may still be at work on")


class MemoryPointer:
    """What an array's `data` is: a place in memory."""

    def __init__(self, mem, offset):
        self.mem, self._offset = mem, offset

    @property
    def ptr(self):
        return self.mem.ptr + self._offset

    @property
    def device(self):
        return Device(self.mem.device)

    @property
    def device_id(self):
        return self.mem.device


class MemoryPool:
    """The pool that arrays come from if nothing else is asked for."""

    def malloc(self, size):
        return MemoryPointer(Memory(size, MACHINE.current.device), 0)

    def free_all_blocks(self, stream=None):
        """All that is given back is free already."""


POOL = MemoryPool()


def malloc_async(size):
    """Memory of the current stream; of its graph, if it is captured."""
    pointer = POOL.malloc(size)
    capture = get_current_stream()._queue.capture
    if capture is not None:
        capture._allocated.append(weakref.ref(pointer.mem))
    return pointer


@contextmanager
def using_allocator(allocator=None):
    """`None` stands for cudaMalloc itself."""
    MACHINE.current.allocators.append(allocator or POOL.malloc)
    try:
        yield
    finally:
        MACHINE.current.allocators.pop()


def allocate(size):
    """Memory from the current allocator."""
    allocators = MACHINE.current.allocators
    return (allocators[-1] if allocators else POOL.malloc)(size).mem


def memory_at(address):
    """The allocation that an address lies in."""
    for reference in MACHINE.memory:
        memory = reference()
        if memory is not None and memory.ptr <= address < memory.ptr + max(1, memory.bytes.size):
            return memory
    raise AssertionError(f"{address:#x} is no address of a device")


class PinnedMemoryPointer(bytearray):
    """Page-locked memory, more than was asked for."""

    def __init__(self, size):
        super().__init__(NEVER_WRITTEN for _ in range(max(512, 2 * size)))
        MACHINE.pinned.append(np.frombuffer(self, np.uint8))


def alloc_pinned_memory(size):
    return PinnedMemoryPointer(size)


def is_pinned(host):
    return any(np.may_share_memory(host, room) for room in MACHINE.pinned)
