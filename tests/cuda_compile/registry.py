"""The kernels that the table of costs is about."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from numba import float32, float64

from . import examples


class Kernel(NamedTuple):
    """A kernel for one size and type, and what is promised of it.

    build : makes the Python function afresh, and the types of its arguments
    rotations : a thread's share in the rotations of one way around the main loop; 0 where there are none
    stays_in_registers : whether it spills nothing and has no local memory
    is_single : whether it computes nothing in double precision
    is_representative : whether it is checked every time, rather than on demand
    options : of `cuda.jit`: max_registers, launch_bounds, fastmath
    """

    name: str
    build: Callable[[], tuple[Callable[..., None], tuple[Any, ...]]]
    rotations: float = 0.0
    stays_in_registers: bool = True
    is_single: bool = False
    is_representative: bool = False
    options: Mapping[str, Any] = MappingProxyType({})


def cuda_kernels() -> list[Kernel]:
    """All kernels, by class, size and type."""
    return [
        Kernel(
            f"rounds {rows} {real}",
            lambda rows=rows, real=real: built(examples.make_rounds(rows, real), real),
            rotations=1,
            is_single=real is float32,
            is_representative=rows == 8,
        )
        for real in (float32, float64)
        for rows in (8, 16)
    ]


def built(kernel, real):
    return kernel, examples.signature(kernel, real)
