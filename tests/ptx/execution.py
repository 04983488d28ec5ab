"""Run a program: all blocks of a launch at once, as arrays with an entry for each thread.

Threads that have parted run under masks, those at the lowest address first, and meet where they come to the
same segment. Threads wait until all whom they name, at a barrier all of their block, have come to the same
instruction; if nobody can go on, that is divergence."""

import numba
import numpy as np

from .faults import DivergenceError, LaneError
from .memory import Shared
from .operations import DTYPES
from .races import Progress

WARP = 32
MODES = {"idx": 0, "bfly": 1, "up": 2, "down": 3}  # of a shuffle


class Run:
    """A launch of a program.

    Attributes
    ----------
    executed : times that a warp has executed each segment
    bytes_loaded, bytes_stored : of global memory
    """

    def __init__(self, program, blocks, threads, parameters, memory, dynamic):
        self.program, self.blocks, self._parameters = program, blocks, parameters
        warps = -(-threads // WARP)
        self.count = blocks * warps * WARP
        thread = np.tile(np.arange(warps * WARP), blocks)
        self._block = np.repeat(np.arange(blocks), warps * WARP)
        self._lane = (np.arange(self.count) % WARP).astype(np.uint32)
        self._exists = thread < threads
        self._all_exist = threads % WARP == 0
        self.special = {
            "%tid.x": thread,
            "%ctaid.x": self._block,
            "%laneid": self._lane,
            "%ntid.x": np.full(self.count, threads),
            "%nctaid.x": np.full(self.count, blocks),
            "%dynamic_smem_size": np.full(self.count, dynamic),
        }
        self._spaces = {"global": memory, "shared": Shared(program.module.shared, dynamic, blocks)}
        self._progress = Progress(blocks, warps)
        self.executed = np.zeros(len(program.segments), np.int64)
        self.bytes_loaded = self.bytes_stored = 0

    # What the functions of segments call

    def parameter(self, name, dtype):
        return np.full(self.count, np.frombuffer(self._parameters[name], dtype)[0])

    def load(self, space, address, offset, dtype, vector, used, mask, line):
        threads, width, where = self._active(mask), np.dtype(dtype).itemsize * vector, self._where(line)
        if space == "global":
            self.bytes_loaded += width * threads.size
        values = [np.empty(self.count, dtype) for _ in range(vector)]
        parts = self._spaces[space].places(address[threads] + offset, self._block[threads], width, where)
        for chosen, memory, place in parts:
            here = threads[chosen]
            got = memory.load(place, dtype, vector, used, here, self._progress, where)
            for value, part in zip(values, got, strict=True):
                value[here] = part
        return values

    def store(self, space, address, offset, values, mask, line):
        threads, width, where = self._active(mask), values[0].itemsize * len(values), self._where(line)
        if space == "global":
            self.bytes_stored += width * threads.size
        parts = self._spaces[space].places(address[threads] + offset, self._block[threads], width, where)
        for chosen, memory, place in parts:
            here = threads[chosen]
            memory.store(place, [value[here] for value in values], here, self._progress, where)

    def shuffle(self, mode, value, source, segments, mask, line):
        result, is_inside, is_wrong = shuffled(MODES[mode], value, source, segments, self._as_mask(mask))
        if is_wrong:
            raise LaneError(f"shuffle from a lane that takes no part, {self._where(line)}")
        return result, is_inside

    def vote(self, mode, predicate, mask):
        return self._reduced(mode == "all", predicate, mask, WARP)

    def ballot(self, predicate, mask):
        """For each thread, a bit for each of its warp for which a predicate holds."""
        bits = (predicate & self._as_mask(mask)).reshape(-1, WARP).astype("u4") << np.arange(WARP, dtype="u4")
        return np.repeat(bits.sum(1, dtype="u4"), WARP)

    def reduction(self, mode, predicate, mask):
        return self._reduced(mode == "and", predicate, mask, self.count // self.blocks)

    def _reduced(self, over_all, predicate, mask, threads):
        """Whether a predicate holds for all, or any, of so many threads."""
        active = self._as_mask(mask)
        if over_all:
            return np.repeat((predicate | ~active).reshape(-1, threads).all(1), threads)
        return np.repeat((predicate & active).reshape(-1, threads).any(1), threads)

    def barrier(self, mask):
        self._progress.eras[self._as_mask(mask).reshape(self.blocks, -1).any(1)] += 1

    def warp_barrier(self, mask):
        self._progress.clocks[self._as_mask(mask).reshape(-1, WARP).any(1)] += 1

    def _as_mask(self, mask):
        return self._exists if mask is None else mask

    def _active(self, mask):
        return np.flatnonzero(self._as_mask(mask))

    def _where(self, line):
        return f"line {line} of {self.program.name}"

    # Where threads are

    def run(self):
        """Run all threads to their end."""
        program, kinds = self.program, self.program.module.registers
        self._constants = [
            np.full(self.count, np.frombuffer(raw, kind)[0]) for raw, kind in program.constants
        ]
        self._registers = [np.zeros(self.count, DTYPES[kinds[register]]) for register in program.slots]
        self._groups, self._waiting = {0: self._exists}, {}  # threads by the segment that they have come to
        with np.errstate(all="ignore"):
            while self._groups:
                number = min(self._groups)
                mask = self._that_go_on(number, self._groups.pop(number))
                if mask.any():
                    self._execute(number, mask)
        if self._waiting:
            raise DivergenceError(self._deadlock())

    def _arrive(self, number, mask):
        """Let threads come to a segment."""
        if number in self._groups:
            mask = mask | self._groups[number]
            mask = self._exists if np.array_equal(mask, self._exists) else mask
        self._groups[number] = mask

    def _that_go_on(self, number, mask):
        """Those threads, of the ones that have come to a segment, that need not wait for others."""
        segment = self.program.segments[number]
        if not segment.is_wait:
            return mask
        members = self.program.members[number]
        is_everyone = members is None or (members.is_everyone and self._all_exist)
        if mask is self._exists and is_everyone:
            return mask
        here = mask | self._waiting.pop(number) if number in self._waiting else mask
        if members is None:
            there = (here == self._exists).reshape(self.blocks, -1).all(1)
            ready = here & np.repeat(there, self.count // self.blocks)
        else:
            named = members.named(self._registers, self._constants)
            ready = here & self._has_its_lanes(here, named, segment.last.line)
        left = here & ~ready
        if left.any():
            self._waiting[number] = left
        return self._exists if np.array_equal(ready, self._exists) else ready

    def _has_its_lanes(self, here, named, line):
        """Whether all lanes that a thread names have come."""
        if not (named >> self._lane & 1)[here].all():
            raise LaneError(f"a thread that its own mask does not name, {self._where(line)}")
        bits = np.where(here, np.uint32(1) << self._lane, np.uint32(0)).reshape(-1, WARP)
        return named & ~np.repeat(np.bitwise_or.reduce(bits, axis=1), WARP) == 0

    def _execute(self, number, mask):
        """Run a segment, and let its threads come to the next ones."""
        segment = self.program.segments[number]
        is_everyone = mask is self._exists and self._all_exist
        warps = self.count // WARP if is_everyone else np.count_nonzero(mask.reshape(-1, WARP).any(1))
        self.executed[number] += warps
        function = self.program.functions[number]
        taken = function(self._registers, self._constants, self, None if is_everyone else mask)
        if not segment.is_branch:
            self._arrive(number + 1, mask)
            return
        rest = None if segment.last.guard is None else mask & ~taken
        if rest is None or not rest.any():
            taken = mask
        else:
            taken = mask & taken
            self._arrive(number + 1, rest if taken.any() else mask)
        if segment.target is not None and taken.any():
            self._arrive(segment.target, taken)

    def _deadlock(self):
        lines = {self.program.segments[number].last.line: mask for number, mask in self._waiting.items()}
        where = ", ".join(f"{np.flatnonzero(mask)[:4]} in line {line}" for line, mask in lines.items())
        return f"threads {where} of {self.program.name} wait for others that never come"


@numba.njit
def shuffled(mode, value, operand, segments, active):
    """What `shfl.sync` gives each thread, whether that comes from inside of its segment of the warp, and
    whether a thread gets the value of one that takes no part."""
    result, is_inside, is_wrong = np.empty_like(value), np.empty(value.size, np.bool_), False
    for t in range(value.size):
        lane, clamp, segment = t & 31, segments[t] & 31, segments[t] >> 8 & 31
        lowest = lane & segment
        highest = lowest | (clamp & ~segment)
        by = operand[t] & 31
        source = (lowest | (by & ~segment), lane ^ by, lane - by, lane + by)[mode]
        is_inside[t] = source >= highest if mode == 2 else source <= highest
        source = (t & ~31) + source if is_inside[t] else t
        result[t] = value[source]
        is_wrong |= active[t] and not active[source]
    return result, is_inside, is_wrong
