"""What is wrong with a kernel, and where."""

import os
from pathlib import Path

HERE = str(Path(__file__).parent) + os.sep


class KernelError(Exception):
    """A kernel does what CUDA leaves undefined, or what the emulator does not know."""


class DivergenceError(KernelError):
    """Threads that a primitive waits for come elsewhere or never."""


class LaneError(KernelError):
    """A warp primitive is given lanes or values that it does not take."""


class BoundsError(KernelError, IndexError):
    """An index outside an array."""


class UnwrittenError(KernelError):
    """A read of memory that was never written."""


class RaceError(KernelError):
    """Unordered accesses to one element, one of them a write."""


def is_emulator(frame):
    return frame.f_code.co_filename.startswith(HERE)


def kernel_frame(frame):
    """The innermost frame of the kernel's own code."""
    while is_emulator(frame):
        frame = frame.f_back
    return frame


def line(code, lasti):
    """The source line of an instruction."""
    return next(number for start, stop, number in code.co_lines() if start <= lasti < stop)


def place(code, lasti):
    return f"{Path(code.co_filename).name}:{line(code, lasti)} in {code.co_name}"


def where(frame):
    """The line of the kernel that a frame is at, and the lines that it was called from."""
    frame, places = kernel_frame(frame), []
    while frame is not None and not is_emulator(frame):
        places.append(place(frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return ", called from ".join(places)


def ranges(numbers):
    """Numbers in words: "0..7, 12"."""
    numbers, spans = sorted(numbers), []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in spans)


def who(thread):
    return f"thread {thread.number} of block {thread.block.name}"


def threads(several):
    """Threads of one block in words."""
    several = list(several)
    noun = "thread" if len(several) == 1 else "threads"
    return f"{noun} {ranges(thread.number for thread in several)}"


def entry(name, index):
    """An element in words."""
    return f"{name}[{', '.join(map(str, index)) if isinstance(index, tuple) else index}]"
