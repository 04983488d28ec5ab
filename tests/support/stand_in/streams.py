"""`cupy.cuda.Stream`, `Event` and `Graph`."""

import time
import warnings
import weakref

from .machine import MACHINE, CUDARuntimeError


class BaseStream:
    """What CuPy's streams, its own and others', have in common."""

    def __init__(self, ptr, device_id):
        self.ptr, self.device_id = ptr, device_id

    @property
    def _queue(self):
        return MACHINE.queue(self.ptr)

    def __eq__(self, other):
        return isinstance(other, BaseStream) and self.ptr == other.ptr

    def __hash__(self):
        return self.ptr

    def __enter__(self):
        device = self._check_device()
        stack_of(device).append(self)
        MACHINE.current.of_devices.append(device)
        return self

    def __exit__(self, *error):
        stack_of(MACHINE.current.of_devices.pop()).pop()

    def _check_device(self):
        """The device that the stream belongs to; raise unless it is the current one."""
        current = MACHINE.current.device
        if self.device_id not in (-1, current):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with the "
                f"current device ({current})"
            )
        return current

    @property
    def done(self):
        return self._queue.is_done()

    def synchronize(self):
        self._queue.synchronize()

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        self._queue.merge(event._clock)

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._queue.capture is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is captured already")
        self._queue.capture = Graph._of(self._queue)

    def end_capture(self):
        graph, self._queue.capture = self._queue.capture, None
        if graph is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not captured")
        graph._end()
        return graph

    def is_capturing(self):
        return self._queue.capture is not None


class Stream(BaseStream):
    def __init__(self, null=False, non_blocking=False, ptds=False):
        if ptds:
            raise NotImplementedError("default streams for each thread are not modelled")
        queue = MACHINE.queue(0) if null else MACHINE.new_queue(non_blocking)
        super().__init__(queue.pointer, -1 if null else queue.device)


class StreamOf14(Stream):
    """With what CuPy 14 has more."""

    @classmethod
    def from_external(cls, obj):
        version, pointer = obj.__cuda_stream__()
        if version != 0 or not isinstance(pointer, int):
            raise TypeError("__cuda_stream__() must return (0, int)")
        stream = cls.__new__(cls)
        BaseStream.__init__(stream, pointer, -1)
        return stream


class ExternalStream(BaseStream):
    def __init__(self, ptr, device_id=-1):
        if MACHINE.api.versions == ("14.2",):
            warnings.warn("ExternalStream is deprecated", DeprecationWarning, stacklevel=2)
        super().__init__(ptr, device_id)


def stack_of(device):
    """The streams that are, and were before, the current one of a device."""
    if device not in MACHINE.current.streams:
        null = Stream.__new__(Stream)
        BaseStream.__init__(null, 0, -1)
        MACHINE.current.streams[device] = [null]
    return MACHINE.current.streams[device]


def get_current_stream(device_id=-1):
    return stack_of(MACHINE.current.device if device_id == -1 else device_id)[-1]


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._timed, self._at, self._clock = not disable_timing, None, {}

    def record(self, stream=None):
        queue = (get_current_stream() if stream is None else stream)._queue
        if queue.capture is not None:
            raise NotImplementedError("events in a graph are not modelled")
        queue.begin()
        self._at, self._clock = time.perf_counter(), dict(queue.clock)

    def synchronize(self):
        MACHINE.learn(self._clock)

    @property
    def done(self):
        return all(MACHINE.known.get(queue, 0) >= ticks for queue, ticks in self._clock.items())


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events that are over."""
    if not (start_event._timed and end_event._timed) or start_event._at is None or end_event._at is None:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: an event that was not recorded or not timed")
    if not (start_event.done and end_event.done):
        raise CUDARuntimeError("cudaErrorNotReady: an event that is not over")
    return 1000 * (end_event._at - start_event._at)


class GraphError(AssertionError):
    """A graph would use memory that is not its own any more."""


class Graph:
    """The work of a captured stream, done again at each launch."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("a graph comes from Stream.end_capture alone")

    @classmethod
    def _of(cls, queue):
        graph = cls.__new__(cls)
        graph._queue, graph._work, graph._allocated, graph._launches = queue, [], [], 0
        return graph

    def _record(self, run, reads, writes):
        """Keep some work for later, and not the memory that it uses alive."""
        self._work.append((run, list(map(weakref.ref, reads)), list(map(weakref.ref, writes))))

    def _end(self):
        """Keep apart which of the memory was the graph's own and was freed in it."""
        self._left = [memory for memory in self._allocated if memory() is not None]

    def launch(self, stream=None):
        if self._launches and any(memory() is not None for memory in self._left):
            raise GraphError("memory that the graph allocates must be freed before it is launched again")
        queue = (get_current_stream() if stream is None else stream)._queue
        for run, reads, writes in self._work:
            if any(memory() is None and memory not in self._allocated for memory in (*reads, *writes)):
                raise GraphError("the graph uses memory that was given back to the pool")
            queue.add(run, alive(reads), alive(writes))
        self._launches += 1


def alive(references):
    return [memory for reference in references if (memory := reference()) is not None]
