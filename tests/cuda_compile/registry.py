"""The kernels that the table of costs is about: all that the library launches for a choice of sizes."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from gpusvd._cuda import jacobi as _cuda
from gpusvd._cuda import launch as _cuda_launch
from gpusvd._cuda.problem import Chunk, Problem

from .cost import ARCHITECTURES

DTYPES = ("float32", "float64", "complex64", "complex128")
# Sizes of all classes with vectors, and some without. Kernels that are the same for several sizes are listed
# once.
SIZES = (1, 2, 3, 4, 8, 16, 32, 33, 64, 128, 256)
VALUES_SIZES = (3, 32)
# Of matrices a thread, each of which has a kernel of its own.
TINY = [(3, 3, "float32", True), (2, 2, "complex128", True)]
# Of rows in lanes: a part of a warp, and a warp with R in a thread.
TALL = [(64, 8, "float32", True), (300, 3, "float32", True)]
REPRESENTATIVE = {
    "svd_tiny 3x3 float32",
    "svd_tiny 2x2 complex128",
    "svd_fused 8x8 float32",
    "svd_tall 300x3 float32",
    "factor_batch 33x33 float32",
    "orthogonalise_groups 33x33 float32",
    "orthogonalise_groups 32x32 float64",
    "assemble_batch 33x33 float32",
}


# Registers are chosen by what ptxas needs for sm_90. Where a lane holds eight rows of complex128, and in 33
# columns of float32, a few are lacking: at most 8 bytes a thread are stored. On sm_80 that is so in one more,
# 32 bytes, and on sm_100 (ptxas 13.5) in some, up to 80.
# In a few lanes, 8 columns of complex128 lack registers for 60 bytes on sm_80 and 8 on sm_90, 16 of float64
# for 20 on sm_80, and values alone of 32 columns for 12 on sm_80 (float64) and 184 on sm_100 (complex64).
SPILLS = {
    "sm_80": {
        "svd_fused 8x8 complex128",
        "svd_fused 16x16 float64",
        "svd_fused 32x32 float64 values",
        "orthogonalise_groups 16x16 complex128",
        "orthogonalise_groups 33x33 float64",
    },
    "sm_90": {
        "svd_fused 8x8 complex128",
        "orthogonalise_groups 16x16 complex128",
        "orthogonalise_groups 33x33 float32",
    },
    "sm_100": {
        "svd_fused 32x32 complex64 values",
        "orthogonalise_groups 16x16 complex128",
        "orthogonalise_groups 32x32 complex128",
        "orthogonalise_groups 32x32 complex128 values",
        "orthogonalise_groups 33x33 complex64",
        "orthogonalise_groups 33x33 float64",
        "orthogonalise_groups 64x64 complex128",
        "orthogonalise_groups 64x64 complex64",
        "orthogonalise_groups 64x64 float32",
    },
}


class Kernel(NamedTuple):
    """A kernel for one size and type, and what is promised of it.

    ptx : makes its PTX for a compute capability, "90" say
    rotations : a thread's share in the rotations of one way around the main loop; 0 where there are none
    stays_in_registers : the architectures for which it spills nothing and has no local memory
    is_single : whether it computes nothing in double precision
    is_representative : whether it is checked every time, rather than on demand
    max_registers : what it is held to when it is linked; None for no limit
    """

    name: str
    ptx: Callable[[str], str]
    rotations: float = 0.0
    stays_in_registers: tuple[str, ...] = ARCHITECTURES
    is_single: bool = False
    is_representative: bool = False
    max_registers: int | None = None


@cache
def cuda_kernels() -> list[Kernel]:
    """All kernels, by class, size and type."""
    named, seen = {}, set()
    for m, n, kind, vectors in cases():
        for kernel, signature in launched(Problem(m, n, kind, n, vectors)):
            if (kernel.compiled, signature) not in seen:
                seen.add((kernel.compiled, signature))
                name = f"{kernel.function.__name__} {m}x{n} {kind}{'' if vectors else ' values'}"
                named[name] = kernel, kind, n, signature
    return [
        Kernel(
            name,
            partial(_cuda_launch.ptx, kernel, kind, signature),
            rotations=share_of_rotations(kernel),
            stays_in_registers=registers_suffice(name, kernel.function.__name__, size),
            is_single=kind in ("float32", "complex64"),
            is_representative=name in REPRESENTATIVE,
        )
        for name, (kernel, kind, size, signature) in sorted(named.items())
    ]


def cases():
    """Rows, columns, dtype, and whether with vectors, of matrices that lead to kernels worth a row."""
    sizes = [(n, True) for n in SIZES] + [(n, False) for n in VALUES_SIZES]
    every = [(n, n, kind, vectors) for kind in DTYPES for n, vectors in sizes]
    return TINY + TALL + [case for case in every if not _cuda.is_tiny(Problem(*case[:3], case[1], case[3]))]


def registers_suffice(name, function, n) -> tuple[str, ...]:
    """The architectures for which a matrix is promised to stay in registers: all for a thread, for lanes of a
    warp and for tall ones, and for a group up to 64 columns but for the above."""
    is_group = function == "orthogonalise_groups" and n <= 64
    if function not in ("svd_tiny", "svd_fused", "svd_tall") and not is_group:
        return ()
    return tuple(arch for arch in ARCHITECTURES if name not in SPILLS[arch])


def share_of_rotations(kernel) -> float:
    """Of a thread, in one way around the main loop: all of a sweep where it has the matrix, in a group one
    of several lanes' rotation."""
    constants = dict(kernel.constants)
    if kernel.function.__name__ == "svd_tiny":
        return constants["n"] * (constants["n"] - 1) / 2
    return 1 / constants["lanes"] if kernel.function.__name__ == "orthogonalise_groups" else 0.0


def launched(problem):
    """The kernels that decompose a batch of matrices, and the types of their arguments."""
    kernels = []

    def record(kernel, kind, blocks, arguments):
        kernels.append((kernel, _cuda_launch._signature(kernel, kind, arguments)))

    m, n, kind, columns = problem[:4]
    number, real = np.dtype(kind), np.empty(0, kind).real.dtype
    count = 3
    _cuda._solve(
        np,
        record,
        problem,
        Chunk(
            np.empty((count, m, n), number),
            np.empty((count, m, columns), number),
            np.empty((count, n), real),
            np.empty((count, n, n), number),
            np.empty(count, np.bool_),
            np.empty(count, np.int32),
            np.empty(count, real),
            False,
        ),
    )
    return kernels
