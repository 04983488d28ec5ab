"""Chunks of a stream on GPUs: page-locked memory and two streams on each, so that copies and kernels
overlap."""

from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from gpusvd._base.results import Array, Info
from gpusvd._cuda.arrays import cupy_with_device
from gpusvd._stream.chunk import decompose_chunk
from gpusvd._stream.source import Piece
from gpusvd._svd.decompose import Factors
from gpusvd._svd.options import Options


def on_gpus(
    chunks: Iterator[tuple[Piece, Array]], options: Options, device: str
) -> Generator[tuple[Piece, Factors]]:
    """Yield the factors of each chunk, in order, from the current device or, for "cuda:all", from all."""
    cupy = cupy_with_device()
    if device == "cuda:all":
        devices = list(range(cupy.cuda.runtime.getDeviceCount()))
    else:
        devices = [cupy.cuda.Device().id]
    slots = deque(_Slot(cupy, index) for _ in range(2) for index in devices)
    busy: deque[_Slot] = deque()
    try:
        for piece, matrices in chunks:
            if not slots:
                slots.append(busy.popleft())
                yield slots[0].finish()
            slots[0].start(piece, matrices, options)
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
        self._pinned: dict[str, Any] = {}

    def start(self, piece: Piece, matrices: Array, options: Options) -> None:
        """Queue a chunk's copy to the device, its kernels, and the copies of its results back."""
        self.piece = piece
        staged = self._room("a", matrices.shape, matrices.dtype.newbyteorder("="))
        staged[...] = matrices
        with self.device, self.stream:
            self.source = self.cupy.empty(staged.shape, staged.dtype)
            self.source.set(staged, stream=self.stream)
            u, s, vh, info = decompose_chunk(self.source, options)
            self.results = {"U": u, "S": s, "Vh": vh, **(info._asdict() if info is not None else {})}
            self.copies = {
                name: self._copied(name, x) if x is not None else None for name, x in self.results.items()
            }

    def finish(self) -> tuple[Piece, Factors]:
        """Wait for the chunk and return its results, in memory of their own."""
        self.stream.synchronize()
        u, s, vh, *info = (None if x is None else np.array(x) for x in self.copies.values())
        self.results.clear()
        assert s is not None
        return self.piece, (u, s, vh, Info(*info) if info else None)  # type: ignore[arg-type]

    def _copied(self, name: str, x: Any) -> Array:
        room = self._room(name, x.shape, np.dtype(x.dtype))
        x.get(stream=self.stream, out=room, blocking=False)
        return room

    def _room(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return page-locked memory, the same from chunk to chunk where it is large enough."""
        count = int(np.prod(shape))
        size = max(1, count * dtype.itemsize)
        if name not in self._pinned or self._pinned[name].nbytes < size:
            memory = self.cupy.cuda.alloc_pinned_memory(size)
            self._pinned[name] = np.frombuffer(memory, np.uint8, size)
        room: Array = self._pinned[name][: count * dtype.itemsize].view(dtype).reshape(shape)
        return room
