"""BLAS, of which LAPACK is made, and its threads: the cores go to the matrices of a batch, not into each."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from threading import RLock
from typing import ClassVar, NamedTuple
from weakref import WeakSet

import numpy as np

# Up to both OpenBLAS leaves a matrix to one thread by itself. Above either, threads of ours that call it at
# once get in each other's way: on 2 cores 32 x 32 gains 1.9x from a second one, 64 x 64 loses half.
_ONE_THREAD_COLUMNS = 40
_ONE_THREAD_BYTES = 32 * 1024

# Of a matrix with its results; each thread holds as much, and as much again for LAPACK.
_LARGEST_BYTES = 16 * 1024 * 1024

# In OpenBLAS as NumPy's wheels have it, as systems have it, and in MKL.
_FUNCTIONS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


class Sizes(NamedTuple):
    """Of a batch in BLAS's hands: how many matrices, of what size, and the bytes of one with its results."""

    number: int
    m: int
    n: int
    itemsize: int
    held: int


def pool_size(batch: Sizes, threads: int) -> int:
    """Return how many threads share a batch: one where BLAS itself puts several on a matrix."""
    return threads if _is_left_alone(batch) or _is_limited(batch) else 1


@contextmanager
def shared(batch: Sizes, threads: int) -> Iterator[int]:
    """
    Yield how many threads share a batch, and keep BLAS to one on each matrix meanwhile.

    A matrix alone keeps the threads of BLAS, and so do matrices with results of more than 16 MiB: each thread
    of ours would hold as much.
    """
    with one_thread() if _is_limited(batch) else nullcontext():
        yield pool_size(batch, threads)


def _is_left_alone(batch: Sizes) -> bool:
    columns, size = min(batch.m, batch.n), batch.m * batch.n * batch.itemsize
    return columns <= _ONE_THREAD_COLUMNS and size <= _ONE_THREAD_BYTES


def _is_limited(batch: Sizes) -> bool:
    large = not _is_left_alone(batch) and batch.held <= _LARGEST_BYTES
    return large and batch.number > 1 and _threads() is not None


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


class _Call:
    """One that keeps BLAS to one thread while it lives, at the latest until Python has forgotten it.

    The setting is the process's: the last call to end restores it. Ctrl-C may strike between any two steps of
    `begin` and `end`; what it leaves undone is done by `__del__`.
    """

    lock = RLock()  # that of the same thread may be held when `__del__` runs
    alive: ClassVar[WeakSet["_Call"]] = WeakSet()
    before = 0  # what BLAS had
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


def _begin_anew() -> None:
    """In the child of a fork, where no call of another thread goes on."""
    _Call.lock = RLock()
    blas = _threads() if _Call.alive else None
    _Call.alive.clear()
    if blas is not None:
        blas.set(_Call.before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread, if it can be told."""
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
