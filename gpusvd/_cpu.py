"""Run the Jacobi kernels on the cores of the CPU: choose the kernel, cut the batch into pieces, convert what must be."""

import math
from contextlib import suppress
from threading import local
from typing import Any, NamedTuple

import numpy as np

from gpusvd._results import Array, Info
from gpusvd._threads import for_each

GROUP_BYTES = 64

# A piece is what a thread takes from the queue. It is long beside what a call costs and short for whoever presses Ctrl-C.
_PIECE_BYTES = 256 * 1024


class Plan(NamedTuple):
    """Which kernel decomposes m x n matrices of a dtype, and the memory that it works in."""

    kernel: str
    size_class: str
    lanes: int
    tile_bytes: int


def plan(m: int, n: int, dtype: np.dtype[Any]) -> Plan:
    """Return what ``driver="jacobi"`` runs for a shape: the same whatever the batch and the machine."""
    work = _working_dtype(dtype)
    rows, columns = max(m, n), min(m, n)
    groups, reals = _workspace_groups(rows, columns, vectors=True)
    parts = 2 if work.kind == "c" else 1
    return Plan("Jacobi, a matrix a lane", f"tile, n <= {columns}", _lanes(work), GROUP_BYTES * (parts * groups + reals))


def _working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that a kernel computes in, of the dtype of the factors."""
    return np.dtype(np.float32 if dtype == np.float16 else dtype.newbyteorder("="))


def _lanes(work: np.dtype[Any]) -> int:
    return GROUP_BYTES // np.empty(0, work).real.itemsize


def _workspace_groups(m: int, n: int, vectors: bool) -> tuple[int, int]:
    rows = 2 * n if vectors else n
    return m * n + n * (rows | 1) + 4 * m, 12 * n + 4


def _aligned(count: int, dtype: np.dtype[Any]) -> Array:
    """Return an array that begins at a multiple of a group, so that no group straddles two cache lines."""
    room = np.empty(count * dtype.itemsize + GROUP_BYTES, np.uint8)
    start = -room.ctypes.data % GROUP_BYTES
    return room[start : start + count * dtype.itemsize].view(dtype)


class _Batch:
    """An array as a kernel wants it, a flat batch of a given dtype: in place if that can be, else copied piece by piece."""

    def __init__(self, array: Array, dtype: np.dtype[Any], core: int) -> None:
        split = array.ndim - core
        self.array, self.dtype = array, dtype
        self.batch, self.core = array.shape[:split], array.shape[split:]
        self.flat: Array | None = None
        if array.dtype == dtype and array.flags.aligned:
            with suppress(ValueError):
                self.flat = array.reshape((-1, *self.core), copy=False)

    def _index(self, piece: range) -> Any:
        return np.unravel_index(piece, self.batch)

    def read(self, piece: range) -> Array:
        """Return the piece, not to be written to."""
        if self.flat is not None:
            return self.flat[piece.start : piece.stop]
        return self.array[self._index(piece)].astype(self.dtype).reshape((-1, *self.core))

    def room(self, piece: range) -> Array:
        """Return where to write the piece; afterwards, `write` it."""
        if self.flat is not None:
            return self.flat[piece.start : piece.stop]
        return np.empty((len(piece), *self.core), self.dtype)

    def write(self, piece: range, block: Array) -> None:
        if self.flat is None:
            with np.errstate(over="ignore"):  # float32 may be too large for float16
                self.array[self._index(piece)] = block.reshape((len(piece), *self.core))


def _hermitian(block: Array) -> Array:
    """Return the Hermitian matrices with these lower triangles."""
    lower = np.tril(block, -1)
    diagonal = block * np.eye(block.shape[-1], dtype=bool)
    return lower + lower.conj().swapaxes(1, 2) + diagonal.real


def decompose(
    a: Array, u: Array | None, s: Array, vh: Array | None, info: Info, *, hermitian: bool, threads: int
) -> None:
    """Write the factors of every matrix of `a` into `u`, `s` and `vh`, and into `info` what happened.

    The arrays have the shapes that `svd` returns, no dimension is 0, and without vectors `u` and `vh` are
    None. What the kernel cannot read or write in place is converted piece by piece, so memory does not
    grow with the batch.
    """
    from gpusvd._compile import compiled
    from gpusvd.kernels.cpu_tile import svd_tiles

    m, n = a.shape[-2:]
    wide = m < n
    work = _working_dtype(s.dtype if u is None and a.dtype.kind != "c" else a.dtype if a.dtype.kind == "c" else s.dtype)
    real = np.empty(0, work).real.dtype
    vectors = u is not None and vh is not None
    solve = compiled(svd_tiles, work)
    groups, reals = _workspace_groups(max(m, n), min(m, n), vectors)
    lanes = _lanes(work)

    source = _Batch(a, work, 2)
    values = [_Batch(s, real, 1), _Batch(info.converged, np.dtype(np.bool_), 0), _Batch(info.sweeps, np.dtype(np.int32), 0), _Batch(info.off, real, 0)]
    factors = [_Batch(u, work, 2), _Batch(vh, work, 2)] if u is not None and vh is not None else []
    nothing = np.empty((0, 0, 0), work)
    thread = local()

    def decompose_piece(piece: range) -> None:
        if not hasattr(thread, "workspace"):
            thread.workspace = _aligned(groups * lanes, work), _aligned(reals * lanes, real)
        block = source.read(piece)
        if hermitian:
            block = _hermitian(block)
        rooms = [batch.room(piece) for batch in (*factors, *values)]
        left, right = (rooms[0], rooms[1].swapaxes(1, 2)) if factors else (nothing, nothing)
        if wide:
            block, left, right = block.swapaxes(1, 2), right, left
        sigma, converged, sweeps, off = rooms[-4:]
        solve(block, left, sigma, right, converged, sweeps, off, wide, vectors, *thread.workspace)
        for batch, room in zip((*factors, *values), rooms, strict=True):
            batch.write(piece, room)

    count = math.prod(a.shape[:-2])
    step = max(1, _PIECE_BYTES // (lanes * m * n * work.itemsize)) * lanes
    pieces = [range(first, min(first + step, count)) for first in range(0, count, step)]
    for_each(decompose_piece, pieces, threads)
    if s.dtype == np.float16:
        info.converged[...] &= np.isfinite(s[..., 0])
