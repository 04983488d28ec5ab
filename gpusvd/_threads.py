"""Run pieces of a batch on the cores of this process."""

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def for_each(task: Callable[[Piece], object], pieces: Sequence[Piece], threads: int) -> None:
    """Call ``task(piece)`` for every piece, on up to `threads` threads, the caller's among them.

    The pool lives as long as the call: nothing to share between callers, nothing to survive a fork. The
    caller works too, so Ctrl-C reaches it between two pieces on every platform; the rest is then dropped, as
    at any error.
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

    helpers = min(threads, len(pieces)) - 1
    if helpers < 1:
        work()
        return
    with ThreadPoolExecutor(helpers) as pool:
        futures = [pool.submit(work) for _ in range(helpers)]
        work()
        for future in futures:
            future.result()
