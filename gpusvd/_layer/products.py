"""Products of many small matrices: for NumPy a few at a time, on all cores."""

import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from gpusvd._base.arrays import quiet
from gpusvd._base.blas import Sizes, shared
from gpusvd._base.results import Array
from gpusvd._base.threads import for_each, piece_index, usable_cores

# Size of the largest operand or result of a piece. For batches of 50 MB, 64 KiB is up to a third slower, and
# 4 MiB is no faster.
_PIECE_BYTES = 1024 * 1024


def in_pieces(operation: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    """
    Return ``operation(*arrays)`` for an operation that treats each matrix of a batch by itself.

    NumPy arrays of one batch are processed in pieces, on all cores, so that intermediate results take little
    memory and stay in the cache. The operation is then called with further arguments: the arrays to write its
    results to.
    """
    batch = arrays[0].shape[:-2]
    if not isinstance(arrays[0], np.ndarray) or any(array.shape[:-2] != batch for array in arrays):
        return operation(*arrays)
    count = math.prod(batch)
    take = [_pieces_of(array) for array in arrays]
    like = operation(*(piece(range(0)) for piece in take))
    results = tuple(np.empty((count, *result.shape[1:]), result.dtype) for result in like)

    def work(which: range) -> None:
        with quiet():  # each thread has its own state of errors
            outputs = (result[which.start : which.stop] for result in results)
            operation(*(piece(which) for piece in take), *outputs)

    largest = max((*arrays, *results), key=lambda array: math.prod(array.shape[-2:]) * array.itemsize)
    m, n = largest.shape[-2:]
    size = m * n * largest.itemsize
    step = max(1, _PIECE_BYTES // max(1, size))
    pieces = [range(begin, min(begin + step, count)) for begin in range(0, count, step)]
    # One matrix counts as two: BLAS then has one thread for it as in a batch, and its result the same bits.
    with shared(Sizes(max(2, count), m, n, largest.itemsize, 3 * size), usable_cores()) as pool:
        for_each(work, pieces, pool)
    return tuple(result.reshape(*batch, *result.shape[1:]) for result in results)


def _pieces_of(array: Array) -> Callable[[range], Array]:
    """Return a function that takes a piece of a batch as (count, M, N), copied if no flat view of the array
    can be had."""
    core = array.shape[-2:]
    with suppress(ValueError):
        flat = array.reshape((math.prod(array.shape[:-2]), *core), copy=False)
        return lambda which: flat[which.start : which.stop]
    batch = array.shape[:-2]
    return lambda which: array[piece_index(which, batch)].reshape((len(which), *core))


def matmul(x: Array, y: Array, out: Array | None = None) -> Array:
    """Return x @ y, written to `out` if that is given."""
    return x @ y if out is None else np.matmul(x, y, out=out)


def with_values(u: Array, s: Array, vh: Array) -> tuple[Array, Array]:
    """Return the two factors of the product U diag(s) Vh, with s multiplied into the smaller one."""
    return (u * s[..., None, :], vh) if u.shape[-2] <= vh.shape[-1] else (u, s[..., None] * vh)


def product(u: Array, s: Array, vh: Array) -> Array:
    """Return U diag(s) Vh."""

    def multiply(u: Array, s: Array, vh: Array, out: Array | None = None) -> tuple[Array]:
        return (matmul(*with_values(u, s[..., 0], vh), out),)

    return in_pieces(multiply, u, s[..., None], vh)[0]
