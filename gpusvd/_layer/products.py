"""Products of many small matrices: for NumPy a few at a time, on all cores."""

import math
from collections.abc import Callable

import numpy as np

from gpusvd._base.arrays import quiet, transpose
from gpusvd._base.blas import Sizes, shared
from gpusvd._base.results import Array
from gpusvd._base.threads import at_most, for_each, usable_cores

# Size of the largest operand or result of a piece. For batches of 50 MB, 64 KiB is up to a third slower, and
# 4 MiB is no faster.
_PIECE_BYTES = 1024 * 1024


def in_pieces(operation: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    """
    Return ``operation(*arrays)`` for an operation that treats each matrix of a batch by itself.

    NumPy arrays of one batch are processed in pieces, on all cores, so that intermediate results take little
    memory and stay in the cache. The operation is then called with further arguments: the arrays to write its
    results to. An array of a single matrix goes to every piece.
    """
    batch = np.broadcast_shapes(*(array.shape[:-2] for array in arrays))
    fits = all(array.shape[:-2] == batch or math.prod(array.shape[:-2]) == 1 for array in arrays)
    if not isinstance(arrays[0], np.ndarray) or not fits:
        return operation(*arrays)
    count = math.prod(batch)
    arrays = tuple(array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:]) for array in arrays)
    if count == 1:
        return tuple(result.reshape(*batch, *result.shape[1:]) for result in operation(*arrays))

    def parts(piece: slice) -> list[Array]:
        return [array if len(array) == 1 else array[piece] for array in arrays]

    none = operation(*parts(slice(0, 0)))  # for the shapes and dtypes
    results = tuple(np.empty((count, *result.shape[1:]), result.dtype) for result in none)

    def work(which: range) -> None:
        piece = slice(which.start, which.stop)
        with quiet(), at_most(1):  # each thread has its own state of errors
            operation(*parts(piece), *(result[piece] for result in results))

    largest = max((*arrays, *results), key=lambda array: math.prod(array.shape[1:]) * array.itemsize)
    m, n = largest.shape[1:]
    size = m * n * largest.itemsize
    step = max(1, _PIECE_BYTES // max(1, size))
    pieces = [range(begin, min(begin + step, count)) for begin in range(0, count, step)]
    with shared(Sizes(count, m, n, largest.itemsize, 3 * size), usable_cores()) as pool:
        for_each(work, pieces, pool)
    return tuple(result.reshape(*batch, *result.shape[1:]) for result in results)


def matmul(x: Array, y: Array, out: Array | None = None) -> Array:
    """Return x @ y, written to `out` if that is given."""
    return x @ y if out is None else np.matmul(x, y, out=out)


def written(results: tuple[Array, ...], out: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the results, copied to the arrays `out` if there are any."""
    for result, array in zip(results, out, strict=False):
        array[...] = result
    return out or results


# Tiny matrices, of which NumPy multiplies one after the other: it is several times as fast to have the batch
# innermost in memory, and to go along it. The functions below do that for arrays from `along_batch`.

TINY = 4  # rows and columns at most
_MANY = 16  # matrices at least


def are_many_tiny(x: Array) -> bool:
    """Return whether it is worth while to have the batch of an array (B, M, N) innermost."""
    return isinstance(x, np.ndarray) and x.ndim == 3 and x.shape[-1] <= TINY and len(x) >= _MANY


def along_batch(x: Array) -> Array:
    """Return a NumPy array (B, M, N) of many matrices with few columns with B innermost in memory."""
    if not are_many_tiny(x) or is_along_batch(x):
        return x
    return np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1)


def is_along_batch(x: Array) -> bool:
    """Return whether an array has its batch innermost in memory."""
    return isinstance(x, np.ndarray) and x.ndim == 3 and x.shape[0] > 1 and x.strides[0] < x.strides[-1]


def times(x: Array, y: Array) -> Array:
    """Return x y."""
    if is_along_batch(x) and is_along_batch(y):
        return np.einsum("bij,bjk->bik", x, y)
    return x @ y


def inner(x: Array, y: Array) -> Array:
    """Return xᵀ y."""
    if is_along_batch(x) and is_along_batch(y):
        return np.einsum("bij,bik->bjk", x, y)
    return transpose(x) @ y


def with_values(u: Array, s: Array, vh: Array) -> tuple[Array, Array]:
    """Return the two factors of the product U diag(s) Vh, with s multiplied into the smaller one."""
    return (u * s[..., None, :], vh) if u.shape[-2] <= vh.shape[-1] else (u, s[..., None] * vh)


def product(u: Array, s: Array, vh: Array) -> Array:
    """Return U diag(s) Vh."""

    def multiply(u: Array, s: Array, vh: Array, out: Array | None = None) -> tuple[Array]:
        return (matmul(*with_values(u, s[..., 0], vh), out),)

    return in_pieces(multiply, u, s[..., None], vh)[0]
