"""Run the Jacobi kernels on the cores of the CPU: cut the batch into pieces, convert them if need be."""

from contextlib import suppress
from threading import local
from typing import Any

import numpy as np

from gpusvd._base.arrays import from_lower_triangles
from gpusvd._base.checks import factor_dtype, values_dtype, working_dtype
from gpusvd._base.results import Array, Info
from gpusvd._base.threads import for_each, piece_index, usable_cores
from gpusvd._cpu.compile import compiled
from gpusvd._cpu.plan import Kernel, bytes_of, kernels
from gpusvd.kernels.layout import GROUP_BYTES

# A piece is what a thread takes from the queue: long beside the cost of a call, short for a user who presses
# Ctrl-C.
_PIECE_BYTES = 256 * 1024

# Costs are very roughly in nanoseconds. From this cost of a batch on, every thread gets a piece; below,
# starting a thread takes longer.
_SHARED_COST = 200_000

# Above this cost of a matrix, a tenth of a second, Ctrl-C takes effect at the end of a sweep.
_LONG_COST = 30_000_000
_MOST_WORKSPACES = 64  # that a thread keeps; then it begins anew, with memory for what it needs then
_NEVER = np.zeros(1, np.uint8)  # the flag that stops a kernel, for batches that nobody stops


def decompose(
    a: Array,
    u: Array | None,
    s: Array,
    vh: Array | None,
    info: Info,
    *,
    hermitian: bool,
    relative: bool,
    threads: int | None,
) -> None:
    """Write the factors of every matrix of `a` into `u`, `s` and `vh`, and into `info` what happened.

    Values without vectors come from a bidiagonal form, if `relative` only those of matrices in which it is
    accurate relative to each of them; Jacobi finds the others.

    The arrays have the shapes that `svd` returns, no dimension is 0, and without vectors `u` and `vh` are
    None. What the kernel cannot read or write in place is converted piece by piece, so memory does not
    grow with the batch.
    """
    count = s.size // s.shape[-1]
    job = _Job(a, u, s, vh, info, hermitian, relative)
    step = job.pieces(count, threads)
    is_long = job.stop is not _NEVER
    if count <= step and not is_long:
        job.decompose(range(count))
    else:
        pieces = [range(start, min(start + step, count)) for start in range(0, count, step)]
        for_each(job.decompose, pieces, threads or usable_cores(), job.stop if is_long else None)


class _Job:
    """A batch and its results as the kernels take them."""

    def __init__(
        self,
        a: Array,
        u: Array | None,
        s: Array,
        vh: Array | None,
        info: Info,
        hermitian: bool,
        relative: bool,
    ) -> None:
        rows, columns = a.shape[-2:]
        m, n = (columns, rows) if rows < columns else (rows, columns)
        self.wide, self.hermitian, self.relative = rows < columns, hermitian, relative
        self.work = working_dtype(factor_dtype(a.dtype))
        self.real = values_dtype(self.work)
        self.vectors = u is not None and vh is not None
        left_columns = n if u is None or vh is None or m == n else max(u.shape[-1], vh.shape[-2])
        self.first, self.kernel = kernels(m, n, left_columns, self.work, self.vectors)
        self.cost = m * n * left_columns  # of a matrix; full factors are most of what they cost
        self.stop = _NEVER if self.cost <= _LONG_COST else np.zeros(1, np.uint8)
        compiled(self.first.name, self.work)  # here, so that no thread of the pool waits for the compiler

        axes = a.ndim - 2
        self.source = _Batch(a, self.work, axes)
        self.results = [_Batch(s, self.real, axes), _Batch(info.off, self.real, axes)]
        if u is not None and vh is not None:
            self.results += [_Batch(u, self.work, axes), _Batch(vh, self.work, axes)]
        self.converged, self.sweeps = info.converged.reshape(-1), info.sweeps.reshape(-1)

    def pieces(self, count: int, threads: int | None) -> int:
        """Return how many matrices a piece has: whole tiles, and enough pieces for all threads."""
        together = self.first.together
        m, n = self.source.array.shape[-2:]
        step: int = max(1, _PIECE_BYTES // (together * m * n * self.work.itemsize)) * together
        if self.cost * count > _SHARED_COST:
            share = -(-count // ((threads or usable_cores()) * together))
            step = min(step, share * together)
        return step

    def decompose(self, piece: range) -> None:
        """Decompose a piece of the batch."""
        block = self.source.read(piece)
        if self.hermitian:
            block = from_lower_triangles(np, block)
        outputs = [batch.output(piece) for batch in self.results]
        sigma, off, *factors = outputs
        left, right = factors or [np.empty((0, 0, 0), self.work)] * 2
        right = right.swapaxes(1, 2)
        if self.wide:
            block, left, right = block.swapaxes(1, 2), right, left
        members = slice(piece.start, piece.stop)
        arrays = block, left, sigma, right, self.converged[members], self.sweeps[members], off
        if self.first is self.kernel:
            self._run(self.kernel, *arrays, self.wide, self.vectors)
        else:
            self._first_then_jacobi(*arrays)
        for batch, output in zip(self.results, outputs, strict=True):
            if batch.flat is None:
                batch.write(piece, output)

    def _first_then_jacobi(self, block: Array, *outputs: Array) -> None:
        """Decompose by the first kernel, and by Jacobi's the matrices that it leaves out."""
        left, sigma, right, converged, sweeps, off = outputs
        if self.first.name == "svdvals_tiles":
            self._run(self.first, block, sigma, converged, self.wide, self.relative)
            sweeps.fill(0)
            off.fill(0)
        else:
            self._run(self.first, block, *outputs, self.wide)
        done = np.count_nonzero(converged)  # all() takes five times as long
        if done == len(converged) or self.stop[0]:
            return
        if not done:
            self._run(self.kernel, block, *outputs, self.wide, self.vectors)
            return
        (missing,) = (~converged).nonzero()
        given = outputs if self.vectors else (sigma, converged, sweeps, off)
        rest = [np.empty((len(missing), *array.shape[1:]), array.dtype) for array in given]
        arrays = rest if self.vectors else [left, rest[0], right, *rest[1:]]
        self._run(self.kernel, block[missing], *arrays, self.wide, self.vectors)
        for array, part in zip(given, rest, strict=True):
            array[missing] = part

    def _run(self, kernel: Kernel, *arguments: object) -> None:
        workspace = _workspace(kernel.groups, kernel.reals, self.work, self.real)
        compiled(kernel.name, self.work)(*arguments, self.stop, *workspace)


class _Batch:
    """An array as a kernel takes it, a flat batch of a given dtype: in place if possible, where `flat` is it,
    else copied piece by piece. The batch has `axes` dimensions."""

    __slots__ = "array", "axes", "dtype", "flat"

    def __init__(self, array: Array, dtype: np.dtype[Any], axes: int) -> None:
        self.array, self.dtype, self.axes = array, dtype, axes
        self.flat: Array | None = None
        if array.dtype == dtype and array.flags.aligned:
            if axes == 1:
                self.flat = array
            elif axes == 0:
                self.flat = array[np.newaxis]
            else:
                with suppress(ValueError):
                    self.flat = array.reshape((-1, *self._core()), copy=False)

    def read(self, piece: range) -> Array:
        """Return the piece, not to be written to."""
        if self.flat is None:
            block: Array = self.array[self._index(piece)]
            return block.astype(self.dtype).reshape((-1, *self._core()))
        return self.flat if len(piece) == len(self.flat) else self.flat[piece.start : piece.stop]

    def output(self, piece: range) -> Array:
        """Return the array to compute the piece in; afterwards, `write` it unless it is in place."""
        if self.flat is None:
            return np.empty((len(piece), *self._core()), self.dtype)
        return self.flat if len(piece) == len(self.flat) else self.flat[piece.start : piece.stop]

    def write(self, piece: range, block: Array) -> None:
        """Copy the piece to its place."""
        self.array[self._index(piece)] = block if self.axes else block[0]

    def _core(self) -> tuple[int, ...]:
        return self.array.shape[self.axes :]

    def _index(self, piece: range) -> Any:
        return piece_index(piece, self.array.shape[: self.axes])


def _workspace(groups: int, reals: int, work: np.dtype[Any], real: np.dtype[Any]) -> tuple[Array, Array]:
    """Return this thread's workspace, whose memory it keeps from piece to piece and from call to call.

    It begins at a multiple of a group, so that no group straddles two cache lines.
    """
    key = groups, reals, work
    workspace = _kept.workspaces.get(key)
    if workspace is None:
        size, real_size = bytes_of(work, groups, 0), bytes_of(work, 0, reals)
        memory = _kept.memory
        if memory.size < size + real_size + GROUP_BYTES or len(_kept.workspaces) == _MOST_WORKSPACES:
            memory = _kept.memory = np.empty(size + real_size + GROUP_BYTES, np.uint8)
            _kept.workspaces.clear()
        start = -memory.ctypes.data % GROUP_BYTES
        numbers = np.ndarray(size // work.itemsize, work, memory, start)
        real_numbers = np.ndarray(real_size // real.itemsize, real, memory, start + size)
        workspace = _kept.workspaces[key] = numbers, real_numbers
    return workspace


class _Kept(local):
    """What a thread keeps: its memory, and the workspaces of kernels, all in this memory."""

    def __init__(self) -> None:
        self.memory = np.empty(0, np.uint8)
        self.workspaces: dict[tuple[int, int, np.dtype[Any]], tuple[Array, Array]] = {}


_kept = _Kept()
