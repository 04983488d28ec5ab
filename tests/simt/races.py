"""Which accesses to memory are ordered, and a report of two that are not.

A barrier begins an era of its block and orders all accesses before it. Within an era, `syncwarp` orders
those of the threads of its mask: each thread counts its own (its clock), and knows up to which count it has
seen each other thread of its warp: vector clocks (Fidge 1988; Mattern 1989), kept for single elements as
in FastTrack (Flanagan and Freund 2009). Shuffles and votes order nothing, as on the device. Blocks are not
ordered, but by a fence of the one and an atomic operation of the other that follows it.
"""

from typing import NamedTuple

from .faults import RaceError, UnwrittenError, entry, place, where, who


class Access(NamedTuple):
    thread: object
    era: int
    clock: int
    code: object
    lasti: int

    def is_ordered_before(self, thread):
        other = self.thread
        if other is thread:
            return True
        if other.block is thread.block:
            if self.era != thread.block.era:
                return True
            return other.warp is thread.warp and thread.seen[other.lane] >= self.clock
        fenced = self.clock <= other.fenced or self.era < other.block.fenced
        return fenced and thread.block.has_acquired

    def __str__(self):
        return f"by {who(self.thread)} at {place(self.code, self.lasti)}"


class Cell:
    """Who has read and written one element of shared or global memory."""

    __slots__ = ("atomics", "reads", "write")

    def __init__(self):
        self.write, self.reads, self.atomics = None, {}, {}


def access(thread, frame, new=tuple.__new__):
    # Past the constructor of a named tuple, which takes most of the time of an access.
    return new(Access, (thread, thread.block.era, thread.clock, frame.f_code, frame.f_lasti))


def order_threads(members):
    """What the threads of a warp did so far comes before what they do from now on."""
    seen = [max(clocks) for clocks in zip(*{id(t.seen): t.seen for t in members}.values(), strict=True)]
    for thread in members:
        seen[thread.lane] = thread.clock
    for thread in members:
        thread.seen = seen
        thread.clock += 1


def note_read(cell, thread, frame, what):
    write = cell.write
    if write is not None and write.thread is not thread and not write.is_ordered_before(thread):
        raise race(what, "read", thread, frame, "write", write)
    if cell.atomics:
        compare(cell.atomics, "read", thread, frame, what, "atomic operation")
    cell.reads[thread] = access(thread, frame)


def note_write(cell, thread, frame, what):
    write = cell.write
    if write is not None and write.thread is not thread and not write.is_ordered_before(thread):
        raise race(what, "write", thread, frame, "write", write)
    if cell.reads:
        compare(cell.reads, "write", thread, frame, what, "read")
        cell.reads = {}
    if cell.atomics:
        compare(cell.atomics, "write", thread, frame, what, "atomic operation")
        cell.atomics = {}
    cell.write = access(thread, frame)


def note_atomic(cell, thread, frame, what):
    write = cell.write
    if write is not None and not write.is_ordered_before(thread):
        raise race(what, "atomic operation", thread, frame, "write", write)
    compare(cell.reads, "atomic operation", thread, frame, what, "read")
    cell.atomics[thread] = access(thread, frame)


def compare(earlier, kind, thread, frame, what, earlier_kind):
    for other in earlier.values():
        if not other.is_ordered_before(thread):
            raise race(what, kind, thread, frame, earlier_kind, other)


def race(what, kind, thread, frame, earlier_kind, earlier):
    return RaceError(
        f"race on {entry(*what)}: {kind} by {who(thread)} at {where(frame)}, and {earlier_kind} {earlier}, "
        "with nothing that orders them"
    )


def unwritten(what, thread, frame):
    return UnwrittenError(
        f"read of {entry(*what)} that was never written, by {who(thread)} at {where(frame)}"
    )
