"""What is wrong with a kernel or a launch: the words of `tests.simt`, and what only machine code has."""

from tests.simt import BoundsError, DivergenceError, KernelError, LaneError, RaceError, UnwrittenError


class AlignmentError(KernelError):
    """An address that is no multiple of the size of the access."""


class LaunchError(KernelError):
    """A launch that a driver would refuse, or arguments that are not what the machine code takes."""


__all__ = [
    "AlignmentError",
    "BoundsError",
    "DivergenceError",
    "KernelError",
    "LaneError",
    "LaunchError",
    "RaceError",
    "UnwrittenError",
]
