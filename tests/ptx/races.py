"""Which granules of a memory are written, and whether accesses of several threads to one are ordered.

A barrier begins an era of its block, `bar.warp.sync` advances the clock of its warp, and what was before
comes first. Shuffles and votes order nothing, and nothing orders blocks. The last write of a granule is
known, and of its reads since then whose they are: a thread's, or those of SEVERAL of a warp, of a block or of
the launch."""

import numba
import numpy as np

NOBODY, SEVERAL = -1, -2
THREAD, WARP, BLOCK, ERA, CLOCK, FIELDS = 0, 1, 2, 3, 4, 5
UNWRITTEN, WRITE, READ = (
    1,
    2,
    4,
)  # what is wrong with an access: its memory, or an earlier one that is unordered


class History:
    """Who has read and written each granule in a launch."""

    def __init__(self, granules):
        self.writes = np.full((granules, FIELDS), NOBODY, np.int32)
        self.reads = self.writes.copy()


class Progress:
    """The eras of blocks and the clocks of warps."""

    def __init__(self, blocks, warps):
        self.eras, self.clocks = np.zeros(blocks, np.int32), np.zeros(blocks * warps, np.int32)


@numba.njit
def is_unordered(entry, thread, block, era, clock):
    """Whether accesses of an entry may come after one of a thread now."""
    if entry[THREAD] == NOBODY or entry[THREAD] == thread:
        return False
    if entry[BLOCK] != block:
        return True
    in_time = entry[WARP] == thread // 32 and entry[CLOCK] < clock
    return entry[ERA] == era and not in_time


@numba.njit
def note_accesses(is_write, first, count, threads, written, writes, reads, eras, clocks):
    """Note accesses of threads to `count` granules each, and return what is wrong with them."""
    wrong, warps = 0, clocks.size // eras.size
    for i in range(threads.size):
        thread = threads[i]
        warp = thread // 32
        block = warp // warps
        era, clock = eras[block], clocks[warp]
        for at in range(first[i], first[i] + count):
            if is_unordered(writes[at], thread, block, era, clock):
                wrong |= WRITE
            if is_write:
                if is_unordered(reads[at], thread, block, era, clock):
                    wrong |= READ
                reads[at, THREAD] = NOBODY
                written[at] = True
            elif not written[at]:
                wrong |= UNWRITTEN
            entry = writes[at] if is_write else reads[at]
            alone = is_write or entry[THREAD] == NOBODY or (entry[BLOCK] == block and entry[ERA] < era)
            entry[THREAD] = thread if alone or entry[THREAD] == thread else SEVERAL
            entry[WARP] = warp if alone or entry[WARP] == warp else SEVERAL
            entry[BLOCK] = block if alone or entry[BLOCK] == block else SEVERAL
            entry[ERA], entry[CLOCK] = era, clock
    return wrong
