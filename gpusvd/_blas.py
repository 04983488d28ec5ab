"""BLAS, of which LAPACK is made, and its threads: the cores go to the matrices of a batch, not into each."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from threading import Lock
from typing import NamedTuple

import numpy as np

# Up to both OpenBLAS leaves a matrix to one thread by itself. Above either, threads of ours that call it at
# once get in each other's way: on 2 cores 32 x 32 gains 1.9x from a second one, 64 x 64 loses half.
_ONE_THREAD_COLUMNS = 40
_ONE_THREAD_BYTES = 32 * 1024

# Beyond this each thread's workspace takes tens of MiB, and BLAS has work for several.
_LARGEST_BYTES = 4 * 1024 * 1024

# In OpenBLAS as NumPy's wheels have it, as systems have it, and in MKL.
_FUNCTIONS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


def pool_size(batch: tuple[int, ...], m: int, n: int, itemsize: int, threads: int) -> int:
    """Return how many threads share a batch: one where BLAS itself puts several on a matrix."""
    return threads if _is_left_alone(m, n, itemsize) or _is_limited(batch, m, n, itemsize) else 1


@contextmanager
def shared(batch: tuple[int, ...], m: int, n: int, itemsize: int, threads: int) -> Iterator[int]:
    """
    Yield how many threads share a batch, and keep BLAS to one on each matrix meanwhile.

    A matrix alone, without a dimension of the batch, keeps the threads of BLAS. A batch of one does not, so
    that what becomes of a matrix does not depend on how many are with it.
    """
    with one_thread() if _is_limited(batch, m, n, itemsize) else nullcontext():
        yield pool_size(batch, m, n, itemsize, threads)


def _is_left_alone(m: int, n: int, itemsize: int) -> bool:
    return min(m, n) <= _ONE_THREAD_COLUMNS and m * n * itemsize <= _ONE_THREAD_BYTES


def _is_limited(batch: tuple[int, ...], m: int, n: int, itemsize: int) -> bool:
    large = not _is_left_alone(m, n, itemsize) and m * n * itemsize <= _LARGEST_BYTES
    return large and bool(batch) and _threads() is not None


class _Threads(NamedTuple):
    """The functions of a BLAS that say and set how many threads it uses."""

    get: Callable[[], int]
    set: Callable[[int], None]


@cache
def _threads() -> _Threads | None:
    """Return those of NumPy's BLAS, None if it has none that are known: Accelerate, or any on Windows."""
    try:
        blas = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # finds what it is linked with, too
        names = next(names for names in _FUNCTIONS if hasattr(blas, names[0]))
        get, set_to = (getattr(blas, name) for name in names)
    except (AttributeError, OSError, StopIteration):
        return None
    get.argtypes, get.restype, set_to.argtypes, set_to.restype = [], ctypes.c_int, [ctypes.c_int], None
    return _Threads(get, set_to)


class _Limit:
    """One thread for BLAS while any thread of this process is within: its setting is the process's."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.within = 0  # how many threads
        self.before = 0  # what BLAS had

    def enter(self, blas: _Threads) -> None:
        with self.lock:
            if self.within == 0:
                self.before = blas.get()
                blas.set(1)
            self.within += 1

    def leave(self, blas: _Threads) -> None:
        with self.lock:
            self.within -= 1
            if self.within == 0:
                blas.set(self.before)


_limit = _Limit()


def _forget() -> None:
    """Begin anew in the child of a fork: nobody is within there. One forked from within keeps BLAS at 1."""
    global _limit
    _limit = _Limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread, if it can be told."""
    blas = _threads()
    if blas is None:
        yield
        return
    _limit.enter(blas)
    try:
        yield
    finally:
        _limit.leave(blas)
