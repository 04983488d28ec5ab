"""Run the Jacobi kernels on the cores of the CPU: choose the kernel, cut the batch into pieces, convert
what must be."""

import math
from contextlib import suppress
from functools import lru_cache
from threading import local
from typing import Any, NamedTuple

import numpy as np

from gpusvd._base.arrays import from_lower_triangles
from gpusvd._base.results import Array, Info
from gpusvd._base.threads import for_each, piece_index, usable_cores
from gpusvd.kernels.layout import rows_size, tile_size, values_size

GROUP_BYTES = 64

# A piece is what a thread takes from the queue. It is long beside what a call costs and short for whoever
# presses Ctrl-C.
_PIECE_BYTES = 256 * 1024


# From this cost of a batch on, every thread gets a piece; below, starting a thread takes longer.
_SHARED_COST = 200_000

# Above this cost of a matrix, a tenth of a second, Ctrl-C waits for the end of a sweep only.
_LONG_COST = 30_000_000

# Largest workspace of a tile, n = 144 for square float32. Beyond a second-level cache of 1 MiB a tile still
# is the faster one: 1.2 to 1.5 times at n = 128 in float32, as fast there in float64.
_TILE_BYTES = 4 * 1024 * 1024
# The same without vectors, n = 397 for real matrices: 3 times as fast as LAPACK at n = 256.
_VALUES_TILE_BYTES = 10 * 1024 * 1024


class Plan(NamedTuple):
    """Which kernel decomposes m x n matrices of a dtype, and the memory that it works in."""

    kernel: str
    size_class: str
    lanes: int
    tile_bytes: int


@lru_cache(maxsize=1024)
def plan(m: int, n: int, dtype: np.dtype[Any], vectors: bool) -> Plan:
    """Return what ``driver="jacobi"`` runs for a shape: the same whatever the batch and the machine."""
    work = _working_dtype(dtype)
    rows, columns = max(m, n), min(m, n)
    kernel = (None if vectors else _values_kernel(rows, columns, work)) or _kernel(rows, columns, work, True)
    small = kernel.name != "svd_rows"
    return Plan(
        kernel.name,
        "small: a matrix a lane" if small else "large: lanes along the rows",
        _lanes(work),
        _bytes(work, kernel.groups, kernel.reals),
    )


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that a kernel computes in, for factors of this dtype."""
    return np.dtype(np.float32 if dtype == np.float16 else dtype)


def _lanes(work: np.dtype[Any]) -> int:
    return GROUP_BYTES // np.empty(0, work).real.itemsize


class _Kernel(NamedTuple):
    """A kernel, how many matrices it works on together, and its workspace in groups."""

    name: str
    together: int
    groups: int
    reals: int


@lru_cache(maxsize=1024)
def _kernel(m: int, n: int, work: np.dtype[Any], vectors: bool) -> _Kernel:
    """Return the Jacobi kernel for m >= n, the same with vectors and without."""
    lanes = _lanes(work)
    if _bytes(work, *tile_size(m, n, True)) <= _TILE_BYTES:
        return _Kernel("svd_tiles", lanes, *tile_size(m, n, vectors))
    return _Kernel("svd_rows", 1, *rows_size(m, n, lanes, vectors))


@lru_cache(maxsize=1024)
def _values_kernel(m: int, n: int, work: np.dtype[Any]) -> _Kernel | None:
    """Return the kernel for values alone that comes before Jacobi, None where its tiles are too large."""
    kernel = _Kernel("svdvals_tiles", _lanes(work), *values_size(m, n))
    return kernel if _bytes(work, kernel.groups, kernel.reals) <= _VALUES_TILE_BYTES else None


def _bytes(work: np.dtype[Any], groups: int, reals: int) -> int:
    return GROUP_BYTES * (groups * (2 if work.kind == "c" else 1) + reals)


def _workspace(groups: int, reals: int, work: np.dtype[Any], real: np.dtype[Any]) -> tuple[Array, Array]:
    """Return this thread's room for so many groups of numbers and of real numbers, the same from piece to
    piece and from call to call. It begins at a multiple of a group, so that no group straddles two cache
    lines."""
    key = groups, reals, work
    if getattr(_kept, "key", None) != key:
        size, real_size = _bytes(work, groups, 0), _bytes(work, 0, reals)
        room = np.empty(size + real_size + GROUP_BYTES, np.uint8)
        start = -room.ctypes.data % GROUP_BYTES
        numbers = np.ndarray(size // work.itemsize, work, room, start)
        real_numbers = np.ndarray(real_size // real.itemsize, real, room, start + size)
        _kept.key, _kept.workspace = key, (numbers, real_numbers)
    workspace: tuple[Array, Array] = _kept.workspace
    return workspace


_kept = local()


class _Batch:
    """An array as a kernel wants it, a flat batch of a given dtype: in place where that can be, else copied
    piece by piece."""

    def __init__(self, array: Array, dtype: np.dtype[Any], core: int) -> None:
        split = array.ndim - core
        self.array, self.dtype = array, dtype
        self.batch, self.core = array.shape[:split], array.shape[split:]
        self.flat: Array | None = None
        if array.dtype == dtype and array.flags.aligned:
            if split == 1:
                self.flat = array
            else:
                with suppress(ValueError):
                    self.flat = array.reshape((-1, *self.core), copy=False)

    def read(self, piece: range) -> Array:
        """Return the piece, not to be written to."""
        if self.flat is None:
            block: Array = self.array[piece_index(piece, self.batch)]
            return block.astype(self.dtype).reshape((-1, *self.core))
        return self.flat[piece.start : piece.stop]

    def room(self, piece: range) -> Array:
        """Return where to write the piece; afterwards, `write` it."""
        if self.flat is None:
            return np.empty((len(piece), *self.core), self.dtype)
        return self.flat[piece.start : piece.stop]

    def write(self, piece: range, block: Array) -> None:
        if self.flat is None:
            with np.errstate(over="ignore"):  # float32 may be too large for float16
                self.array[piece_index(piece, self.batch)] = block if self.batch else block[0]


def decompose(
    a: Array, u: Array | None, s: Array, vh: Array | None, info: Info, *, hermitian: bool, threads: int | None
) -> None:
    """Write the factors of every matrix of `a` into `u`, `s` and `vh`, and into `info` what happened.

    The arrays have the shapes that `svd` returns, no dimension is 0, and without vectors `u` and `vh` are
    None. What the kernel cannot read or write in place is converted piece by piece, so memory does not
    grow with the batch.
    """
    from gpusvd._cpu.compile import compiled

    m, n = a.shape[-2:]
    wide = m < n
    vectors = u is not None and vh is not None
    real = _working_dtype(s.dtype.newbyteorder("="))
    work = np.result_type(real, np.complex64) if a.dtype.kind == "c" else real
    kernel = _kernel(max(m, n), min(m, n), work, vectors)
    values_kernel = None if vectors else _values_kernel(max(m, n), min(m, n), work)
    first = values_kernel or kernel
    compiled(first.name, work)  # here, so that no thread of the pool waits for another to compile

    source = _Batch(a, work, 2)
    results = [_Batch(s, real, 1), _Batch(info.off, real, 0)]
    if u is not None and vh is not None:
        results += [_Batch(u, work, 2), _Batch(vh, work, 2)]
    converged, sweeps = info.converged.reshape(-1), info.sweeps.reshape(-1)
    nothing = np.empty((0, 0, 0), work)
    stop = np.zeros(1, np.uint8)

    def run(kernel: _Kernel, *arguments: object) -> None:
        compiled(kernel.name, work)(*arguments, stop, *_workspace(kernel.groups, kernel.reals, work, real))

    def values_then_jacobi(
        values_kernel: _Kernel, block: Array, sigma: Array, found: Array, sweeps: Array, off: Array
    ) -> None:
        run(values_kernel, block, sigma, found, wide)
        sweeps.fill(0)
        off.fill(0)
        (missing,) = (~found).nonzero()
        if len(missing) and not stop[0]:
            rest = [array[missing] for array in (sigma, found, sweeps, off)]
            run(kernel, block[missing], nothing, rest[0], nothing, *rest[1:], wide, False)
            for array, part in zip((sigma, found, sweeps, off), rest, strict=True):
                array[missing] = part

    def decompose_piece(piece: range) -> None:
        block = source.read(piece)
        if hermitian:
            block = from_lower_triangles(np, block)
        rooms = [batch.room(piece) for batch in results]
        sigma, off, left, right = rooms if vectors else (*rooms, nothing, nothing)
        right = right.swapaxes(1, 2)
        if wide:
            block, left, right = block.swapaxes(1, 2), right, left
        told = slice(piece.start, piece.stop)
        if values_kernel:
            values_then_jacobi(values_kernel, block, sigma, converged[told], sweeps[told], off)
        else:
            run(kernel, block, left, sigma, right, converged[told], sweeps[told], off, wide, vectors)
        for batch, room in zip(results, rooms, strict=True):
            batch.write(piece, room)

    count = math.prod(a.shape[:-2])
    # Of a matrix, about a nanosecond times this. With full_matrices most of it goes into the larger factor.
    cost = m * n * (max(u.shape[-1], vh.shape[-2]) if u is not None and vh is not None else min(m, n))
    step = max(1, _PIECE_BYTES // (first.together * m * n * work.itemsize)) * first.together
    if cost * count > _SHARED_COST:
        threads = threads or usable_cores()
        step = min(step, -(-count // (threads * first.together)) * first.together)
    if count <= step and cost <= _LONG_COST:
        decompose_piece(range(count))
    else:
        pieces = [range(start, min(start + step, count)) for start in range(0, count, step)]
        for_each(decompose_piece, pieces, threads or usable_cores(), stop if cost > _LONG_COST else None)
    if s.dtype == np.float16:
        info.converged[...] &= np.isfinite(s[..., 0])
