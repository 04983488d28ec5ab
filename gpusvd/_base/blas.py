"""BLAS threads: the cores are shared among the matrices of a batch, with one BLAS thread on each."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from threading import RLock
from typing import ClassVar, NamedTuple
from weakref import WeakSet

import numpy as np

# Up to both of these OpenBLAS uses one thread by itself. Above either, calls from several threads get in each
# other's way: on 2 cores a second thread speeds up 32 x 32 by 1.9x and halves the speed of 64 x 64.
_ONE_THREAD_COLUMNS = 40
_ONE_THREAD_BYTES = 32 * 1024

# A matrix with its results; each thread holds that much, and as much again for LAPACK.
_LARGEST_BYTES = 16 * 1024 * 1024

# OpenBLAS as in NumPy's wheels, OpenBLAS as installed by systems, and MKL.
_FUNCTIONS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


class Sizes(NamedTuple):
    """The sizes of a batch for BLAS: number of matrices, shape of one or of its largest factor, and bytes of
    one with its results."""

    number: int
    m: int
    n: int
    itemsize: int
    held: int


def pool_size(batch: Sizes, threads: int) -> int:
    """Return how many threads share a batch: one if BLAS itself uses several for each matrix."""
    return threads if _is_single_threaded(batch) or _is_limited(batch) else 1


@contextmanager
def shared(batch: Sizes, threads: int) -> Iterator[int]:
    """
    Yield how many threads share a batch, and keep BLAS single-threaded meanwhile.

    BLAS keeps its threads for a single matrix, and for matrices of more than 16 MiB with their results, since
    each thread of ours would hold that much.
    """
    with one_thread() if _is_limited(batch) else nullcontext():
        yield pool_size(batch, threads)


def _is_single_threaded(batch: Sizes) -> bool:
    columns, size = min(batch.m, batch.n), batch.m * batch.n * batch.itemsize
    return columns <= _ONE_THREAD_COLUMNS and size <= _ONE_THREAD_BYTES


def _is_limited(batch: Sizes) -> bool:
    large = not _is_single_threaded(batch) and batch.held <= _LARGEST_BYTES
    return large and batch.number > 1 and _threads() is not None


class _Threads(NamedTuple):
    """The functions of a BLAS that get and set its number of threads."""

    get: Callable[[], int]
    set: Callable[[int], None]


@cache
def _threads() -> _Threads | None:
    """Return the functions of NumPy's BLAS; None if it has none of them (Accelerate, any BLAS on Windows)."""
    try:
        blas = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # finds the BLAS it is linked with, too
        names = next(names for names in _FUNCTIONS if hasattr(blas, names[0]))
        get, set_to = (getattr(blas, name) for name in names)
    except (AttributeError, OSError, StopIteration):
        return None
    get.argtypes, get.restype, set_to.argtypes, set_to.restype = [], ctypes.c_int, [ctypes.c_int], None
    return _Threads(get, set_to)


class _Call:
    """Keeps BLAS single-threaded from begin() to end(), or until it is garbage-collected.

    The setting belongs to the process, so the last call to end restores it. Ctrl-C may interrupt `begin` and
    `end` between any two steps; `__del__` then completes them.
    """

    lock = RLock()  # `__del__` may run in a thread that already holds it
    alive: ClassVar[WeakSet["_Call"]] = WeakSet()
    before = 0  # BLAS's number of threads before the first call
    ended = True

    def __init__(self, blas: _Threads) -> None:
        self.blas = blas

    def begin(self) -> None:
        with _Call.lock:
            if not _Call.alive:
                _Call.before = self.blas.get()
            self.ended = False
            _Call.alive.add(self)
            self.blas.set(1)

    def end(self) -> None:
        with _Call.lock:
            _Call.alive.discard(self)
            if not self.ended and not _Call.alive:
                self.blas.set(_Call.before)
            self.ended = True

    def __del__(self) -> None:
        if not self.ended:
            self.end()


def _restore_in_child() -> None:
    """Restore BLAS's threads in the child of a fork, in which no call is running."""
    _Call.lock = RLock()
    blas = _threads() if _Call.alive else None
    _Call.alive.clear()
    if blas is not None:
        blas.set(_Call.before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_in_child)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS single-threaded, if its number of threads can be set."""
    blas = _threads()
    if blas is None:
        yield
        return
    call = _Call(blas)
    try:
        call.begin()
        yield
    finally:
        call.end()
