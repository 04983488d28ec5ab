"""Which CPU kernel decomposes matrices of a shape, and the memory that it works in.

The choice depends on shape and dtype alone, so that the results have the same bits in any batch.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gpusvd._base.checks import working_dtype
from gpusvd.kernels.layout import (
    GROUP_BYTES,
    TINY_COLUMNS,
    TINY_ROWS,
    rows_size,
    tile_size,
    tiny_size,
    values_size,
)

# Largest workspace of a tile, n = 144 for square float32. Even beyond a second-level cache of 1 MiB a tile is
# faster than `svd_rows`: 1.2 to 1.5 times at n = 128 in float32, as fast there in float64.
_TILE_BYTES = 4 * 1024 * 1024
# The same without vectors, n = 397 for real matrices: 3 times as fast as LAPACK at n = 256.
_VALUES_TILE_BYTES = 10 * 1024 * 1024


class Kernel(NamedTuple):
    """A kernel, how many matrices it decomposes together, and its workspace in groups of lanes.

    `groups` counts groups of numbers, `reals` groups of real numbers.
    """

    name: str
    together: int
    groups: int
    reals: int


class Plan(NamedTuple):
    """What `explain` tells about a kernel; see `gpusvd.explain`."""

    kernel: str
    size_class: str
    lanes: int
    tile_bytes: int


@lru_cache(maxsize=1024)
def kernels(m: int, n: int, columns: int, work: np.dtype[Any], vectors: bool) -> tuple[Kernel, Kernel]:
    """Return the kernel tried first for m >= n, and Jacobi's for the matrices that it leaves out: often the
    same.

    columns : of the left factor
    """
    jacobi = _jacobi_kernel(m, n, work, vectors)
    if n in TINY_COLUMNS and m <= TINY_ROWS and columns == n:
        rows = n if m == n else TINY_ROWS
        name = f"{'svd' if vectors else 'svdvals'}_tiny_{rows}x{n}"
        return Kernel(name, lanes_of(work), *tiny_size(rows, n)), jacobi
    values = Kernel("svdvals_tiles", lanes_of(work), *values_size(m, n))
    if not vectors and bytes_of(work, values.groups, values.reals) <= _VALUES_TILE_BYTES:
        return values, jacobi
    return jacobi, jacobi


def _jacobi_kernel(m: int, n: int, work: np.dtype[Any], vectors: bool) -> Kernel:
    """Return the Jacobi kernel. It is the same with vectors and without; its workspace is not."""
    lanes = lanes_of(work)
    if bytes_of(work, *tile_size(m, n, True)) <= _TILE_BYTES:
        return Kernel("svd_tiles", lanes, *tile_size(m, n, vectors))
    return Kernel("svd_rows", 1, *rows_size(m, n, lanes, vectors))


@lru_cache(maxsize=1024)
def plan(m: int, n: int, dtype: np.dtype[Any], full_matrices: bool, vectors: bool) -> Plan:
    """Return what ``driver="jacobi"`` runs for m x n matrices with factors of a dtype."""
    work = working_dtype(dtype)
    rows, columns = max(m, n), min(m, n)
    of_left = rows if full_matrices and vectors else columns
    kernel, _ = kernels(rows, columns, of_left, work, vectors)
    size_class = "large: lanes along the rows" if kernel.name == "svd_rows" else "small: one matrix per lane"
    return Plan(
        kernel.name,
        "tiny: one matrix per lane, in straight-line code" if "tiny" in kernel.name else size_class,
        lanes_of(work),
        bytes_of(work, kernel.groups, kernel.reals),
    )


def lanes_of(work: np.dtype[Any]) -> int:
    """Return how many lanes a group has: the numbers, or the real parts, that fill it."""
    lanes: int = GROUP_BYTES // np.empty(0, work).real.itemsize
    return lanes


def bytes_of(work: np.dtype[Any], groups: int, reals: int) -> int:
    """Return the bytes of some groups of numbers and of real numbers."""
    size: int = GROUP_BYTES * (groups * (2 if work.kind == "c" else 1) + reals)
    return size
