"""Run the pieces of a batch on several threads."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from gpusvd._base.results import Array

_limit: ContextVar[int | None] = ContextVar("limit", default=None)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Cap the default number of threads within this context."""
    token = _limit.set(threads)
    try:
        yield
    finally:
        _limit.reset(token)


def usable_cores() -> int:
    """Return how many cores the current context of this process may use."""
    return min(_cores(), _limit.get() or sys.maxsize)


def _cores() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def piece_index(piece: range, batch: tuple[int, ...]) -> Any:
    """Return the index that selects a piece of the batch, numbered in C order, from an array."""
    if len(batch) == 1:
        return slice(piece.start, piece.stop)
    return np.unravel_index(np.arange(piece.start, piece.stop), batch) if batch else ()


def for_each(
    task: Callable[[range], object], pieces: Sequence[range], threads: int, stop: Array | None = None
) -> None:
    """Call ``task(piece)`` for every piece, on up to `threads` threads, the caller's among them.

    The pool lives only as long as the call, so callers share no state and a fork loses none. The caller's
    thread works too, so Ctrl-C reaches it between two pieces on every platform; the remaining pieces are then
    dropped, as after any error. If long pieces can be stopped by a flag, `stop`, the caller's thread only
    waits, and sets the flag after Ctrl-C or an error.
    """
    pending = deque(pieces)

    def work() -> None:
        try:
            while pending:
                try:
                    piece = pending.popleft()
                except IndexError:  # another thread was quicker
                    return
                task(piece)
        finally:
            pending.clear()

    helpers = min(threads, len(pieces)) - (stop is None)
    if helpers < 1:
        work()
        return
    with ThreadPoolExecutor(helpers) as pool:
        futures = [pool.submit(work) for _ in range(helpers)]
        try:
            if stop is None:
                work()
            for future in futures:
                future.result()
        finally:
            pending.clear()
            if stop is not None:
                stop[...] = 1
