"""Subnormal numbers are kept where a thread flushes them to zero, and the thread is left as it was."""

import ctypes
import platform
import sys
import threading

import numpy as np

from gpusvd._base import subnormals

# Where `fenv_t` of glibc has the control word, and its bits that flush results and operands.
FLUSH = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}


def flush():
    """Let this thread flush subnormal numbers, if this test knows how to on this platform."""
    where = FLUSH.get(platform.machine()) if sys.platform == "linux" else None
    library = subnormals._library()
    if where is None or library is None:
        return
    environment = ctypes.create_string_buffer(subnormals._BYTES)
    library.fegetenv(environment)
    offset, bits = where
    word = ctypes.c_uint32.from_buffer(environment, offset)
    word.value |= bits
    library.fesetenv(environment)


def doubled():
    return np.full(5, 1e-40, np.float32) * np.float32(2)


def test_kept():
    seen = []

    def work():
        flush()
        seen.append(doubled())
        with subnormals.kept():
            seen.append(doubled())
        seen.append(doubled())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    before, inside, after = seen
    np.testing.assert_array_equal(inside, doubled())
    assert (inside > 0).all()
    np.testing.assert_array_equal(after, before)
    if sys.platform == "linux" and platform.machine() in FLUSH:
        assert not before.any()
