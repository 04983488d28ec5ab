"""The kernels that the table of costs is about."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from numba import float32, float64

from . import examples


class Kernel(NamedTuple):
    """A kernel for one size and type, and what is promised of it.

    ptx : makes its PTX for a compute capability, "90" say
    rotations : a thread's share in the rotations of one way around the main loop; 0 where there are none
    stays_in_registers : whether it spills nothing and has no local memory
    is_single : whether it computes nothing in double precision
    is_representative : whether it is checked every time, rather than on demand
    max_registers : what it is held to when it is linked; None for no limit
    """

    name: str
    ptx: Callable[[str], str]
    rotations: float = 0.0
    stays_in_registers: bool = True
    is_single: bool = False
    is_representative: bool = False
    max_registers: int | None = None


def cuda_kernels() -> list[Kernel]:
    """All kernels, by class, size and type."""
    return [
        Kernel(
            f"rounds {rows} {real}",
            partial(examples.ptx, examples.make_rounds(rows, real), real),
            rotations=1,
            is_single=real is float32,
            is_representative=rows == 8,
        )
        for real in (float32, float64)
        for rows in (8, 16)
    ]
