"""Subnormal numbers, in threads of libraries that set the processor to flush them to zero."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_BYTES = 256  # room for the `fenv_t` of any C library


@contextmanager
def kept() -> Iterator[None]:
    """Compute as in the thread that imported this module: subnormal numbers are not flushed to zero.

    The mode of the caller's thread is restored afterwards. Threads that are started meanwhile inherit the
    mode. Where the C library has no `fesetenv`, nothing is changed.
    """
    library = _library()
    if library is None or _NORMAL is None:
        yield
        return
    before = ctypes.create_string_buffer(_BYTES)
    library.fegetenv(before)
    library.fesetenv(_NORMAL)
    try:
        yield
    finally:
        library.fesetenv(before)


@cache
def _library() -> ctypes.PyDLL | None:
    """Return the C library, None if it does not have the functions."""
    try:
        library = ctypes.PyDLL(None)
        return library if library.fegetenv and library.fesetenv else None
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return None


def _environment() -> "ctypes.Array[ctypes.c_char] | None":
    """Return the floating-point environment of this thread."""
    library, environment = _library(), ctypes.create_string_buffer(_BYTES)
    if library is None:
        return None
    library.fegetenv(environment)
    return environment


_NORMAL = _environment()
