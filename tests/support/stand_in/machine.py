"""The GPUs of the stand-in, the current one, and the order of work on their streams.

Work is done at once, but its order is watched as a GPU would take it: each stream, and the host, has a clock
that says how much of every stream's work came before. An access to memory that another stream is not known to
have finished with raises RaceError.
"""

import threading
from contextlib import contextmanager
from itertools import count

from .api import Api


class CUDARuntimeError(RuntimeError):
    """As CuPy's, without its status."""


class CUDADriverError(RuntimeError):
    """As CuPy's, without its status."""


class RaceError(AssertionError):
    """Memory is used while a stream may still be at work on it."""


class SynchronizationError(AssertionError):
    """The host waits for a GPU where a test forbids it."""


ATTRIBUTES = {"MaxSharedMemoryPerBlockOptin": 227 * 1024, "MultiProcessorCount": 2}


class Current(threading.local):
    """What CuPy keeps for each thread."""

    def __init__(self):
        self.device, self.devices = 0, []  # the current one, and those to go back to
        self.streams, self.of_devices = {}, []  # by device a stack, and the devices they were pushed for
        self.allocators = []


class Machine:
    """The state that all parts share."""

    def __init__(self):
        self.reset()

    def reset(self, version="both", devices=1, attributes=None, capability="90"):
        self.api, self.devices, self.capability = Api(version), devices, capability
        self.attributes = ATTRIBUTES | (attributes or {})
        self.current = Current()
        self.pointers = count(4096, 64)
        self.queues = {}  # by pointer; of default streams, by 0 and the device
        self.known = {}  # the host's clock
        self.synchronizations = 0
        self.forbidden = False
        self.memory = []  # weak references to what is allocated
        self.pinned = []

    def device_count(self):
        if self.devices < 0:
            raise CUDARuntimeError("cudaErrorInsufficientDriver")
        return self.devices

    def check_device(self, index):
        if not 0 <= index < self.device_count():
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def queue(self, pointer, device=None):
        """The stream of a pointer; of 0, the default stream of the current device."""
        if pointer == 0:
            index = self.current.device if device is None else device
            return self.queues.setdefault((0, index), Queue(0, index, non_blocking=False))
        return self.queues[pointer]

    def new_queue(self, non_blocking=False):
        """A new stream of the current device, as CUDA makes it for any library."""
        pointer = next(self.pointers)
        self.queues[pointer] = Queue(pointer, self.current.device, non_blocking)
        return self.queues[pointer]

    def learn(self, clock):
        """The host has waited for what a clock says: copies to it are done."""
        self.synchronizations += 1
        if self.forbidden:
            raise SynchronizationError("the host waits for a GPU")
        for queue in list(self.queues.values()):
            queue.finish_copies(clock.get(queue, 0))
        merge(self.known, clock)

    def has_copies(self):
        """Whether copies are under way between a device and page-locked memory."""
        return any(queue.copies for queue in self.queues.values())

    @contextmanager
    def forbidding_synchronization(self):
        """A context in which the host may not wait."""
        self.forbidden = True
        try:
            yield
        finally:
            self.forbidden = False


class Queue:
    """The work of a stream. All streams of one pointer share it."""

    def __init__(self, pointer, device, non_blocking):
        self.pointer, self.device, self.non_blocking = pointer, device, non_blocking
        self.ticks = 0
        self.clock = {}
        self.copies = []  # to the host, or from page-locked memory: when, and what ends them
        self.capture = None

    def add(self, run, reads=(), writes=()):
        """Do some work after all that was given to the stream before, or record it in the graph."""
        if self.device != MACHINE.current.device:
            raise CUDARuntimeError(
                f"cudaErrorInvalidResourceHandle: a stream of device {self.device} while device "
                f"{MACHINE.current.device} is current"
            )
        if self.capture is not None:
            self.capture._record(run, reads, writes)
            return
        self.begin()
        for memory in reads:
            memory.check(self.clock, after_reads=False)
        for memory in writes:
            memory.check(self.clock, after_reads=True)
        run()
        for memory in reads:
            memory.reads[self] = self.ticks
        for memory in writes:
            memory.write, memory.reads = (self, self.ticks), {}

    def begin(self):
        """Put the next work after what it waits for."""
        self.merge(MACHINE.known)
        for other in MACHINE.queues.values():
            waits = other.device == self.device and not (other.non_blocking or self.non_blocking)
            if waits and other is not self and 0 in (self.pointer, other.pointer):
                if other.capture is not None:
                    raise CUDARuntimeError("cudaErrorStreamCaptureImplicit")
                self.merge(other.clock)
        self.ticks += 1
        self.clock[self] = self.ticks

    def merge(self, clock):
        merge(self.clock, clock)

    def copy_later(self, finish):
        """Leave the end of a copy for when the host has waited for it."""
        self.copies.append((self.ticks, finish))

    def finish_copies(self, ticks):
        done = [finish for at, finish in self.copies if at <= ticks]
        self.copies = [(at, finish) for at, finish in self.copies if at > ticks]
        for finish in done:
            finish()

    def synchronize(self):
        if self.capture is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a stream that is captured")
        self.begin()
        MACHINE.learn(self.clock)

    def is_done(self):
        return MACHINE.known.get(self, 0) >= self.ticks


def merge(clock, other):
    """Let a clock know what another one does."""
    for queue, ticks in other.items():
        clock[queue] = max(clock.get(queue, 0), ticks)


MACHINE = Machine()
