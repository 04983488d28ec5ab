"""Sources of a stream, read in chunks: arrays, memory maps, files, datasets and iterators."""

import math
import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from gpusvd._base.checks import check_dimensions, factor_dtype, share_memory
from gpusvd._base.results import Array
from gpusvd._cuda.arrays import is_on_gpu

Where = slice | tuple[int | slice, ...]


class Dataset(Protocol):
    """What a source must have to be read by slices, as datasets of HDF5 and Zarr have it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, where: Any, /) -> Any: ...


Source = ArrayLike | os.PathLike[str] | Dataset | Iterator[ArrayLike]
_END: Any = object()  # marks the end of an iterator, which may yield None by mistake


class Piece(NamedTuple):
    """A chunk: its index into the source, its number of matrices, and a function that reads it."""

    where: Where
    number: int
    load: Callable[[], Array]


class Slices:
    """A source that is read by slicing: an array, a memory map, or a dataset of HDF5 or Zarr."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)
        self.batch = self.shape[:-2]
        self.total: int | None = math.prod(self.batch)
        # An array in memory needs no thread that reads ahead.
        self.reads_ahead = isinstance(array, np.memmap) or not isinstance(array, np.ndarray)

    def pieces(self, limit: int) -> Iterator[Piece]:
        """Yield chunks of at most `limit` matrices, in C order."""
        axis, inner = len(self.batch) - 1, 1
        while axis > 0 and inner * self.batch[axis] <= limit:
            inner *= self.batch[axis]
            axis -= 1
        step = max(1, limit // max(1, inner))
        for lead in np.ndindex(self.batch[:axis]):
            for first in range(0, self.batch[axis], step):
                piece = slice(first, min(first + step, self.batch[axis]))
                where: Where = (*lead, piece) if lead else piece
                yield Piece(where, inner * (piece.stop - piece.start), partial(self._read, where))

    def aligned(self, limit: int) -> int:
        """Return `limit` rounded down to whole chunks of a dataset, or `limit` itself if it is below one."""
        stored = getattr(self.array, "chunks", None)
        first = stored[0] if isinstance(stored, tuple) and len(self.batch) == 1 else None
        if not isinstance(first, int) or not 0 < first <= limit:
            return limit
        return limit // first * first

    def checksum(self) -> int:
        """Return the checksum of the first and the last matrix, which identifies the data."""
        if not self.total:
            return 0
        first = self.array[(0,) * len(self.batch)]
        last = self.array[tuple(length - 1 for length in self.batch)]
        return checksum([np.asarray(first), np.asarray(last)])

    def shares_memory(self, array: Array) -> bool:
        return isinstance(self.array, np.ndarray) and share_memory(self.array, array)

    def _read(self, where: Where) -> Array:
        if not self.reads_ahead:
            chunk: Array = self.array[where]
            return chunk
        chunk = np.array(self.array[where])
        release(self.array)
        return chunk


class Chunks:
    """A source that is an iterator of chunks, each an array (count, ..., M, N)."""

    total: int | None = None
    reads_ahead = False

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self._first = next(self._chunks, _END)
        head = np.zeros((0, 1, 1)) if self._first is _END else np.asarray(self._first)
        _check_shape("the first chunk of source", head.shape)
        self.shape = (-1, *head.shape[1:])
        self.batch = self.shape[:-2]
        self.dtype = head.dtype
        self._head = np.array(head[:1])
        if self._first is not _END:
            self._first = head

    def pieces(self, limit: int) -> Iterator[Piece]:
        """Yield the chunks as they come."""
        start = 0
        chunk, self._first = self._first, _END
        while chunk is not _END:
            block = np.asarray(chunk)
            if block.ndim < 3 or block.shape[1:] != self.shape[1:] or block.dtype != self.dtype:
                raise ValueError(
                    f"a chunk of source has shape {block.shape} and dtype {block.dtype}, expected "
                    f"(any, {', '.join(map(str, self.shape[1:]))}) and {self.dtype} as those before it"
                )
            where = slice(start, start + len(block))
            yield Piece(where, math.prod(block.shape[:-2]), partial(np.asarray, block))
            start = where.stop
            del block, chunk
            chunk = next(self._chunks, _END)

    def aligned(self, limit: int) -> int:
        return limit

    def checksum(self) -> int:
        return checksum([self._head])

    def shares_memory(self, array: Array) -> bool:
        return False  # the caller owns the chunks


def open_source(source: Any, hermitian: bool) -> Slices | Chunks:
    """Return a reader for a source; raise unless the source holds matrices that `svd` takes."""
    opened: Slices | Chunks
    if isinstance(source, str | os.PathLike):
        source = _mapped(source)
    if is_on_gpu(source):
        raise TypeError("source is in GPU memory already: pass it, or slices of it, to gpusvd.svd")
    if hasattr(source, "shape") and hasattr(source, "dtype") and hasattr(source, "__getitem__"):
        try:
            shape, _ = tuple(source.shape), np.dtype(source.dtype)
        except TypeError:
            raise TypeError(
                f"source has shape {source.shape} and dtype {source.dtype}, expected those of NumPy: pass "
                "numpy.asarray(source)"
            ) from None
        _check_shape("source", shape)
        opened = Slices(source)
    elif isinstance(source, list | tuple):
        try:
            array = np.asarray(source)
        except ValueError as error:
            raise ValueError(
                "source is a list that does not form an array: pass iter(source) if its items are chunks, or "
                f"call gpusvd.svd_ragged if they are matrices of several sizes ({error})"
            ) from error
        _check_shape("source", array.shape)
        opened = Slices(array)
    elif isinstance(source, Iterable) and not isinstance(source, bytes | dict | set):
        opened = Chunks(source)
    else:
        raise TypeError(
            "source must be an array, the path of a .npy file, a dataset with shape, dtype and slices, or an "
            f"iterator of chunks, not {type(source).__name__}"
        )
    check_dimensions(opened.shape, hermitian)
    factor_dtype(opened.dtype, "source")
    return opened


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) < 3:
        raise ValueError(
            f"{name} has shape {shape}, expected (count, ..., M, N); a single matrix goes to gpusvd.svd"
        )


def _mapped(path: Any) -> Array:
    """Return the array in a `.npy` file as a memory map; raise ValueError for another file."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"source {os.fspath(path)!r} is not a .npy file, as numpy.save writes one array")
    try:
        mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"source {os.fspath(path)!r} cannot be read: {error}") from error
    return mapped


def checksum(arrays: Iterable[Array]) -> int:
    """Return the CRC-32 of the entries of all arrays."""
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, value)
    return value


def release(array: Any) -> None:
    """Release this process's pages of a mapped file; they stay in the system's cache.

    Otherwise the process appears to hold the whole file once it has read it. A private map (mode "c") is left
    alone: what was written to it exists nowhere else.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and getattr(array, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        with suppress(OSError, ValueError):
            mapped.madvise(mmap.MADV_DONTNEED)
