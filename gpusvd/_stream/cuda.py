"""Chunks of a stream on GPUs: page-locked memory and two streams on each, so that copies and kernels
overlap."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import count
from typing import Any

import numpy as np

from gpusvd._base.arrays import is_cupy
from gpusvd._base.checks import device_index
from gpusvd._base.results import Array
from gpusvd._cuda.arrays import cupy_with_device
from gpusvd._stream.chunk import Task
from gpusvd._stream.source import Piece


def on_gpus(chunks: Iterator[tuple[Piece, Array]], task: Task, device: str) -> Generator[tuple[Piece, Any]]:
    """Yield the results of each chunk, in order, from the current device or, for "cuda:all", from all."""
    cupy = cupy_with_device()
    if device == "cuda:all":
        devices = list(range(cupy.cuda.runtime.getDeviceCount()))
    else:
        index = device_index(device)
        devices = [cupy.cuda.Device().id if index is None else index]
    slots = deque(_Slot(cupy, index) for _ in range(2) for index in devices)
    busy: deque[_Slot] = deque()
    try:
        for piece, matrices in chunks:
            if not slots:
                slots.append(busy.popleft())
                yield slots[0].finish()
            slots[0].start(piece, matrices, task)
            busy.append(slots.popleft())
            del matrices
        while busy:
            slots.append(busy.popleft())
            yield slots[-1].finish()
    finally:
        for slot in (*slots, *busy):
            slot.stream.synchronize()  # a caller that stops early would free memory still being copied into


class _Slot:
    """A stream of a device, and page-locked memory for a chunk and its results."""

    def __init__(self, cupy: Any, device: int) -> None:
        self.cupy, self.device = cupy, cupy.cuda.Device(device)
        with self.device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
        self._pinned: dict[int, Any] = {}

    def start(self, piece: Piece, matrices: Array, task: Task) -> None:
        """Queue a chunk's copy to the device, its kernels, and the copies of its results back."""
        self.piece = piece
        rooms = count()
        staged = self._room(next(rooms), matrices.shape, matrices.dtype.newbyteorder("="))
        staged[...] = matrices
        with self.device, self.stream:
            self.source = self.cupy.empty(staged.shape, staged.dtype)
            self.source.set(staged, stream=self.stream)
            self.results = task(self.source)
            self.copies = _each(lambda x: self._copied(next(rooms), x), self.results)

    def finish(self) -> tuple[Piece, Any]:
        """Wait for the chunk and return its results, in memory of their own."""
        self.stream.synchronize()
        results = _each(np.array, self.copies)
        self.results = None
        return self.piece, results

    def _copied(self, number: int, x: Any) -> Array:
        if not is_cupy(x):
            return np.asarray(x)
        room = self._room(number, x.shape, np.dtype(x.dtype))
        x.get(stream=self.stream, out=room, blocking=False)
        return room

    def _room(self, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return page-locked memory, the same from chunk to chunk where it is large enough."""
        length = int(np.prod(shape)) * dtype.itemsize
        size = max(1, length)
        if number not in self._pinned or self._pinned[number].nbytes < size:
            memory = self.cupy.cuda.alloc_pinned_memory(size)
            self._pinned[number] = np.frombuffer(memory, np.uint8, size)
        room: Array = self._pinned[number][:length].view(dtype).reshape(shape)
        return room


def _each(function: Callable[[Any], Any], result: Any) -> Any:
    """Return a result, an array or a tuple of them or of None, with each array replaced by the function's."""
    if isinstance(result, tuple):
        parts = [_each(function, part) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return None if result is None else function(result)
