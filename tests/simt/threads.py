"""The threads of a block and their meetings at warp primitives and barriers.

Every thread is a greenlet. At a primitive it leaves its value and hands over to the next thread that can
run, one switch; the last one to come takes all on. A warp primitive is a meeting of the threads of its mask,
and of no others.
"""

from collections import deque
from contextvars import copy_context
from functools import partial
from itertools import product
from sys import _getframe, getrecursionlimit, setrecursionlimit
from typing import NamedTuple

import numpy as np
from greenlet import GreenletExit, greenlet

from .faults import DivergenceError, KernelError, LaneError, ranges, threads, where
from .races import order_threads

WARP = 32
EVERYONE = 0xFFFFFFFF
DEPTH = 16  # calls of a kernel before its first primitive: each thread is begun from within the one before


class Dim3(NamedTuple):
    x: int
    y: int
    z: int

    @classmethod
    def of(cls, extent):
        """From a number or up to three."""
        extents = tuple(extent) if isinstance(extent, tuple | list) else (extent,)
        if not 1 <= len(extents) <= 3 or any(int(n) != n or n < 1 for n in extents):
            raise ValueError(f"a grid or a block has one to three extents of at least 1, not {extent!r}")
        return cls(*map(int, extents), *[1] * (3 - len(extents)))

    def indices(self):
        """All indices, x first."""
        return [Dim3(x, y, z) for z, y, x in product(*map(range, reversed(self)))]

    def __str__(self):
        return str(self.x) if self.y == self.z == 0 else f"({self.x}, {self.y}, {self.z})"


class Thread:
    def __init__(self, block, number, index):
        self.block, self.number, self.index = block, number, index
        self.warp, self.lane = block.warps[number // WARP], number % WARP
        self.meeting, self.has_exited = None, False
        self.clock, self.seen, self.fenced = 1, block.unseen, 0
        self.warp.members.append(self)


class Warp:
    def __init__(self):
        self.members, self.meetings = [], {}

    def named_by(self, mask, thread, frame):
        """The threads of a mask, all of which have to come to a primitive."""
        if not mask >> thread.lane & 1:
            raise LaneError(
                f"lane {thread.lane} is not in its own mask {mask:#010x}: {threads([thread])} of block "
                f"{thread.block.name} at {where(frame)}"
            )
        if mask >> len(self.members):
            lanes = [lane for lane in range(len(self.members), WARP) if mask >> lane & 1]
            raise LaneError(
                f"mask {mask:#010x} names lanes {ranges(lanes)}, which the last warp of a block of "
                f"{len(thread.block.threads)} threads does not have, at {where(frame)}"
            )
        return [member for member in self.members if mask >> member.lane & 1]


class Meeting:
    """Threads that wait for each other, with the value that each brought, None until it comes."""

    __slots__ = ("frame", "kind", "mask", "members", "missing", "result", "values")

    def __init__(self, kind, mask, members, size, frame):
        self.kind, self.mask, self.members, self.frame = kind, mask, members, frame
        self.values, self.missing, self.result = [None] * size, len(members), None

    def end(self):
        """All have come: what they all get, or check what they brought."""
        self.result = AT_END[self.kind](self)


class Block:
    def __init__(self, machine, index, extent):
        self.index, self.name, self.machine = index, str(index), machine
        self.unseen = [0] * WARP
        self.warps = [Warp() for _ in range(-(-extent.x * extent.y * extent.z // WARP))]
        self.threads = [Thread(self, number, at) for number, at in enumerate(extent.indices())]
        self.barrier = None
        self.shared, self.dynamic = {}, None  # arrays in shared memory
        self.era, self.fenced, self.has_acquired = machine.next_era(), 0, False


class Machine:
    """Runs the threads of one block at a time; `thread` is the one that runs now."""

    def __init__(self):
        self.thread, self.ready, self.eras = None, deque(), 0

    def next_era(self):
        self.eras += 1
        return self.eras

    def run(self, kernel, arguments, block):
        """Run a kernel on all threads of a block to its end."""
        context = copy_context()
        for thread in block.threads:
            thread.fiber = greenlet(partial(self.live, kernel, arguments, thread))
            thread.fiber.gr_context = context
        self.ready = deque(block.threads)
        depth = getrecursionlimit()
        setrecursionlimit(depth + DEPTH * len(block.threads))
        try:
            while self.ready:
                self.ready.popleft().fiber.switch()
            if not all(thread.has_exited for thread in block.threads):
                raise DivergenceError(self.deadlock(block))
        except KernelError:
            raise
        except Exception as error:
            error.add_note(f"in thread {self.thread.number} of block {block.name}")
            raise
        finally:
            setrecursionlimit(depth)
            for thread in block.threads:
                if thread.fiber:
                    thread.fiber.throw(GreenletExit)
                thread.fiber = None

    def live(self, kernel, arguments, thread):
        """A thread, from its first instruction to its last."""
        self.thread = thread
        kernel(*arguments)
        thread.has_exited = True
        for meeting in (thread.block.barrier, *thread.warp.meetings.values()):
            if meeting is not None and thread in meeting.members:
                raise self.missed(meeting, [thread])

    def meet_warp(self, kind, mask, value):
        """Wait at a primitive for the threads of a mask; return the meeting with the values of all."""
        thread, frame = self.thread, _getframe(2)
        meetings = thread.warp.meetings
        meeting = meetings.get(mask)
        if meeting is None:
            members = thread.warp.named_by(mask, thread, frame)
            meeting = meetings[mask] = self.begin(Meeting(kind, mask, members, WARP, frame))
        elif meeting.kind != kind or not same_place(meeting.frame, frame):
            raise self.elsewhere(meeting, kind, frame)
        meeting.values[thread.lane] = value
        meeting.missing -= 1
        if meeting.missing:
            self.pause(thread, meeting)
        else:
            del meetings[mask]
            meeting.end()
            self.ready += [member for member in meeting.members if member is not thread]
        return meeting

    def meet_block(self, kind, value):
        """Wait at a barrier for all threads of the block; return the meeting with the values of all."""
        thread, frame = self.thread, _getframe(2)
        block, meeting = thread.block, thread.block.barrier
        if meeting is None:
            members = block.threads
            meeting = block.barrier = self.begin(Meeting(kind, None, members, len(members), frame))
        elif meeting.kind != kind or not same_place(meeting.frame, frame):
            raise self.elsewhere(meeting, kind, frame)
        meeting.values[thread.number] = value
        meeting.missing -= 1
        if meeting.missing:
            self.pause(thread, meeting)
        else:
            block.barrier, block.era = None, self.next_era()
            meeting.end()
            self.ready += [member for member in meeting.members if member is not thread]
        return meeting

    def begin(self, meeting):
        gone = [thread for thread in meeting.members if thread.has_exited]
        if gone:
            raise self.missed(meeting, gone)
        return meeting

    def pause(self, thread, meeting):
        """Let others run until the meeting is complete."""
        thread.meeting = meeting
        if not self.ready:
            raise DivergenceError(self.deadlock(thread.block))
        self.ready.popleft().fiber.switch()
        self.thread, thread.meeting = thread, None

    def give_way(self):
        """Let all others run that can: a thread may wait for what another one writes."""
        thread = self.thread
        if self.ready:
            self.ready.append(thread)
            self.ready.popleft().fiber.switch()
            self.thread = thread

    def missed(self, meeting, gone):
        block = gone[0].block
        return DivergenceError(
            f"{threads(gone)} of block {block.name} returned, but {described(meeting)} at "
            f"{where(meeting.frame)} waits for {threads(meeting.members)}"
        )

    def elsewhere(self, meeting, kind, frame):
        thread = self.thread
        there = [member for member in meeting.members if member.meeting is meeting]
        return DivergenceError(
            f"in block {thread.block.name}, {threads(there)} wait at {described(meeting)} at "
            f"{where(meeting.frame)}, but {threads([thread])} comes to {kind} at {where(frame)}"
        )

    def deadlock(self, block):
        """Who waits where, when no one can run."""
        waiting = {}
        for thread in block.threads:
            if not thread.has_exited:
                waiting.setdefault(thread.meeting, []).append(thread)
        places = [
            f"{threads(members)} at {described(meeting)} at {where(meeting.frame)} for "
            f"{threads(t for t in meeting.members if t.meeting is not meeting)}"
            for meeting, members in waiting.items()
        ]
        return f"in block {block.name} threads wait for each other: {'; '.join(places)}"


def described(meeting):
    return (
        meeting.kind if meeting.mask in (None, EVERYONE) else f"{meeting.kind} of mask {meeting.mask:#010x}"
    )


def same_place(a, b):
    """Whether two threads are at the same lines, in the kernel and in the functions it called."""
    while a.f_code is not LIVE:
        if a.f_code is not b.f_code or (a.f_lasti != b.f_lasti and a.f_lineno != b.f_lineno):
            return False
        a, b = a.f_back, b.f_back
    return b.f_code is LIVE


def brought(meeting):
    """The values that the threads of a mask brought."""
    return [value for value in meeting.values if value is not None]


def lanes_with(values, wanted):
    """The mask of the lanes with a value, as numba returns it: a signed number of 32 bits."""
    mask = sum(1 << lane for lane, value in enumerate(values) if value == wanted)
    return np.int32(mask - (1 << WARP) if mask >> (WARP - 1) else mask)


def check_shuffled(meeting):
    """Refuse what shuffles do not take, and floats of different precision."""
    types = set(map(type, brought(meeting)))
    for kind in types - SHUFFLED:
        raise LaneError(f"{meeting.kind} does not take {kind.__name__} at {where(meeting.frame)}")
    if len(types) > 1 and not types.isdisjoint(FLOATS):
        names = " and ".join(sorted(kind.__name__ for kind in types))
        raise LaneError(f"{meeting.kind} is given {names} by different lanes at {where(meeting.frame)}")


FLOATS = {float, np.float32, np.float64}
SHUFFLED = FLOATS | {int, np.int32, np.int64, np.uint32, np.uint64, np.ndarray}  # a whole column
AT_END = {
    "all_sync": lambda meeting: all(brought(meeting)),
    "any_sync": lambda meeting: any(brought(meeting)),
    "ballot_sync": lambda meeting: lanes_with(meeting.values, True),
    "eq_sync": lambda meeting: len(set(brought(meeting))) == 1,
    "match_all_sync": lambda meeting: len(set(brought(meeting))) == 1,
    "match_any_sync": lambda meeting: None,
    "shfl_down_sync": check_shuffled,
    "shfl_sync": check_shuffled,
    "shfl_up_sync": check_shuffled,
    "shfl_xor_sync": check_shuffled,
    "syncthreads": lambda meeting: None,
    "syncthreads_and": lambda meeting: int(all(meeting.values)),
    "syncthreads_count": lambda meeting: sum(meeting.values),
    "syncthreads_or": lambda meeting: int(any(meeting.values)),
    "syncwarp": lambda meeting: order_threads(meeting.members),
}
LIVE = Machine.live.__code__
