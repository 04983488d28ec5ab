"""What stands for the module `numba.cuda` in an emulated kernel."""

from sys import _getframe
from types import SimpleNamespace

import numpy as np

from .arrays import Array, LocalArray, Space, as_dtype, as_shape
from .atomics import Atomics
from .faults import KernelError, LaneError, line, where, who
from .mathematics import fma
from .threads import EVERYONE, WARP, lanes_with

MAX_STATIC_BYTES = 48 * 1024


class Cuda:
    """Indices, primitives and arrays of the thread that runs."""

    warpsize = WARP

    def __init__(self, machine, grid, extent, shared_bytes):
        self._machine, self.gridDim, self.blockDim = machine, grid, extent
        self._shared_bytes = shared_bytes
        self.shared = SimpleNamespace(array=self._shared_array)
        self.local = SimpleNamespace(array=self._local_array)
        self.const = SimpleNamespace(array_like=self._constant_array)
        self.atomic = Atomics(machine)
        self._constants = Space(machine, "constant")

    def __getattr__(self, name):
        raise AttributeError(f"the emulator does not know cuda.{name}")

    # Indices

    @property
    def threadIdx(self):
        return self._machine.thread.index

    @property
    def blockIdx(self):
        return self._machine.thread.block.index

    @property
    def laneid(self):
        return self._machine.thread.lane

    def grid(self, dimensions):
        thread = self._machine.thread
        places = [b * n + t for b, n, t in zip(thread.block.index, self.blockDim, thread.index, strict=True)]
        return places[0] if dimensions == 1 else tuple(places[:dimensions])

    def gridsize(self, dimensions):
        extents = [blocks * n for blocks, n in zip(self.gridDim, self.blockDim, strict=True)]
        return extents[0] if dimensions == 1 else tuple(extents[:dimensions])

    # Memory

    def _local_array(self, shape, dtype):
        return LocalArray(self._machine, as_shape(shape), as_dtype(dtype))

    def _shared_array(self, shape, dtype, alignment=None):
        """One array for each place in the source; all of shape 0 are the block's dynamic memory."""
        shape, dtype, frame = as_shape(shape), as_dtype(dtype), _getframe(1)
        block = self._machine.thread.block
        if shape == (0,):
            return self._dynamic_array(block, dtype, frame)
        key = frame.f_code, frame.f_lasti, shape, dtype
        if key not in block.shared:
            name = f"shared array of line {line(frame.f_code, frame.f_lasti)}"
            block.shared[key] = Array(np.zeros(shape, dtype), Space(self._machine, "shared"), name)
            size = sum(array.size * array.dtype.itemsize for array in block.shared.values())
            if size > MAX_STATIC_BYTES:
                raise KernelError(f"{size} bytes of static shared memory at {where(frame)}: at most 48 KiB")
        return block.shared[key]

    def _dynamic_array(self, block, dtype, frame):
        if dtype.itemsize % 4:
            raise KernelError(f"a dynamic shared array of {dtype}, not of whole words, at {where(frame)}")
        if self._shared_bytes == 0:
            raise KernelError(f"launched with shared_bytes=0, but a dynamic shared array at {where(frame)}")
        if block.dynamic is None:
            memory = np.zeros(-(-self._shared_bytes // 16), np.complex128)  # aligned for every dtype
            block.dynamic = memory.view(np.uint8)[: self._shared_bytes], Space(self._machine, "shared", 4)
        memory, space = block.dynamic
        whole = memory.size // dtype.itemsize * dtype.itemsize
        return Array(memory[:whole].view(dtype), space, "dynamic shared array")

    def _constant_array(self, values):
        values = (values.values if isinstance(values, Array) else np.asarray(values)).view()
        values.flags.writeable = False
        return Array(values, self._constants, "constant array")

    def threadfence(self):
        thread = self._machine.thread
        thread.fenced, thread.block.fenced = thread.clock, thread.block.era
        thread.clock += 1

    threadfence_block = threadfence_system = threadfence

    # Barriers

    def syncthreads(self):
        self._machine.meet_block("syncthreads", None)

    def syncthreads_or(self, predicate):
        return self._machine.meet_block("syncthreads_or", bool(predicate)).result

    def syncthreads_and(self, predicate):
        return self._machine.meet_block("syncthreads_and", bool(predicate)).result

    def syncthreads_count(self, predicate):
        return self._machine.meet_block("syncthreads_count", bool(predicate)).result

    def syncwarp(self, mask=EVERYONE):
        self._machine.meet_warp("syncwarp", mask & EVERYONE, True)

    def nanosleep(self, _nanoseconds):
        self._machine.give_way()

    # Votes

    def all_sync(self, mask, predicate):
        return self._machine.meet_warp("all_sync", mask & EVERYONE, bool(predicate)).result

    def any_sync(self, mask, predicate):
        return self._machine.meet_warp("any_sync", mask & EVERYONE, bool(predicate)).result

    def eq_sync(self, mask, predicate):
        return self._machine.meet_warp("eq_sync", mask & EVERYONE, bool(predicate)).result

    def ballot_sync(self, mask, predicate):
        return self._machine.meet_warp("ballot_sync", mask & EVERYONE, bool(predicate)).result

    def match_any_sync(self, mask, value):
        return lanes_with(self._machine.meet_warp("match_any_sync", mask & EVERYONE, value).values, value)

    def match_all_sync(self, mask, value):
        same = self._machine.meet_warp("match_all_sync", mask & EVERYONE, value).result
        return (mask & EVERYONE, True) if same else (0, False)

    # Shuffles

    def shfl_sync(self, mask, value, src_lane):
        meeting = self._machine.meet_warp("shfl_sync", mask & EVERYONE, value)
        return self._taken(meeting, src_lane, src_lane)

    def shfl_xor_sync(self, mask, value, lane_mask):
        meeting = self._machine.meet_warp("shfl_xor_sync", mask & EVERYONE, value)
        return self._taken(meeting, lane_mask, self._machine.thread.lane ^ lane_mask)

    def shfl_up_sync(self, mask, value, delta):
        meeting = self._machine.meet_warp("shfl_up_sync", mask & EVERYONE, value)
        lane = self._machine.thread.lane
        return self._taken(meeting, delta, lane if lane < delta else lane - delta)

    def shfl_down_sync(self, mask, value, delta):
        meeting = self._machine.meet_warp("shfl_down_sync", mask & EVERYONE, value)
        lane = self._machine.thread.lane
        return self._taken(meeting, delta, lane if lane + delta >= WARP else lane + delta)

    def _taken(self, meeting, given, source):
        """What lane `source` brought; `given` is what the shuffle has it from."""
        if 0 <= given < WARP:
            value = meeting.values[source]
            if value is not None:
                return value
            reason = f"reads from lane {source}, which is not in the mask,"
        else:
            reason = f"is given {given}, beyond the lanes of a warp,"
        raise LaneError(
            f"{meeting.kind} of mask {meeting.mask:#010x} {reason} in {who(self._machine.thread)} "
            f"at {where(_getframe())}"
        )

    # Arithmetic

    def selp(self, predicate, a, b):
        return a if predicate else b

    fma = staticmethod(fma)

    def popc(self, x):
        return bits(x)[0].bit_count()

    def clz(self, x):
        pattern, width = bits(x)
        return width - pattern.bit_length()

    def ffs(self, x):
        pattern = bits(x)[0]
        return (pattern & -pattern).bit_length()

    def brev(self, x):
        pattern, width = bits(x)
        return int(f"{pattern:0{width}b}"[::-1], 2)


def bits(x):
    """The bit pattern of an integer and its width; 64 for an integer of Python, as in numba."""
    width = 8 * x.dtype.itemsize if isinstance(x, np.integer) else 64
    return int(x) & ((1 << width) - 1), width
