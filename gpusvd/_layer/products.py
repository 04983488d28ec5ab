"""Products of many small matrices: for NumPy a few at a time, on all cores."""

import math
from collections.abc import Callable
from contextlib import nullcontext, suppress

import numpy as np

from gpusvd._base.arrays import Namespace, is_complex, quiet, transpose
from gpusvd._base.blas import Sizes, shared
from gpusvd._base.results import Array
from gpusvd._base.threads import at_most, for_each, piece_index, usable_cores

# Size of the largest operand or result of a piece. For batches of 50 MB, 64 KiB is up to a third slower, and
# 4 MiB is no faster; smaller batches are cut further, so that each core gets a piece.
_PIECE_BYTES = 1024 * 1024
_LEAST_PIECE_BYTES = 64 * 1024

# The same for an operation that uses all cores itself, and the least number of matrices for each of them.
_RUN_BYTES = 8 * 1024 * 1024
_LEAST_RUN = 16


def in_pieces(
    operation: Callable[..., tuple[Array, ...]], *arrays: Array, one_by_one: bool = False
) -> tuple[Array, ...]:
    """
    Return ``operation(*arrays)`` for an operation that treats each matrix of a batch by itself.

    NumPy arrays of one batch are processed in pieces, on all cores, so that intermediate results take little
    memory and stay in the cache. The operation is then called with further arguments: the arrays to write its
    results to. An array of a single matrix goes to every piece. With `one_by_one` larger pieces are processed
    one after the other: an operation that uses all cores itself then needs little memory.
    """
    batch = np.broadcast_shapes(*(array.shape[:-2] for array in arrays))
    fits = all(array.shape[:-2] == batch or math.prod(array.shape[:-2]) == 1 for array in arrays)
    if not isinstance(arrays[0], np.ndarray) or not fits:
        return operation(*arrays)
    count = math.prod(batch)
    take = [_pieces_of(array, count) for array in arrays]
    like = operation(*(piece(range(0)) for piece in take))
    results = tuple(np.empty((count, *result.shape[1:]), result.dtype) for result in like)

    def work(which: range) -> None:
        with quiet(), nullcontext() if one_by_one else at_most(1):  # each thread has its own state of errors
            outputs = (result[which.start : which.stop] for result in results)
            operation(*(piece(which) for piece in take), *outputs)

    largest = max((*arrays, *results), key=lambda array: math.prod(array.shape[-2:]) * array.itemsize)
    m, n = largest.shape[-2:]
    size = m * n * largest.itemsize
    if one_by_one:
        step = max(_LEAST_RUN * usable_cores(), _RUN_BYTES // max(1, size))
    else:
        least, most = (max(1, length // max(1, size)) for length in (_LEAST_PIECE_BYTES, _PIECE_BYTES))
        step = min(most, max(least, -(-count // usable_cores())))
    pieces = [range(begin, min(begin + step, count)) for begin in range(0, count, step)]
    if one_by_one:
        for which in pieces:
            work(which)
    else:
        # One matrix counts as two: BLAS then has one thread for it as in a batch, and its result the same
        # bits.
        with shared(Sizes(max(2, count), m, n, largest.itemsize, 3 * size), usable_cores()) as pool:
            for_each(work, pieces, pool)
    return tuple(result.reshape(*batch, *result.shape[1:]) for result in results)


def _pieces_of(array: Array, count: int) -> Callable[[range], Array]:
    """Return a function that takes a piece of a batch as (count, M, N), copied if no flat view of the array
    can be had; the whole if it has one matrix for a batch of more."""
    core = array.shape[-2:]
    if math.prod(array.shape[:-2]) == 1 != count:
        return lambda which: array.reshape((1, *core))
    with suppress(ValueError):
        flat = array.reshape((math.prod(array.shape[:-2]), *core), copy=False)
        return lambda which: flat[which.start : which.stop]
    batch = array.shape[:-2]
    return lambda which: array[piece_index(which, batch)].reshape((len(which), *core))


def matmul(x: Array, y: Array, out: Array | None = None) -> Array:
    """Return x @ y, written to `out` if that is given."""
    return x @ y if out is None else np.matmul(x, y, out=out)


def written(results: tuple[Array, ...], out: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the results, copied to the arrays `out` if there are any."""
    for result, array in zip(results, out, strict=False):
        if is_along_batch(result):  # entry by entry: NumPy's own order takes up to three times as long
            for i, j in np.ndindex(result.shape[1:]):
                array[:, i, j] = result[:, i, j]
        else:
            array[...] = result
    return out or results


# Tiny matrices, of which NumPy multiplies one after the other: it is several times as fast to have the batch
# innermost in memory, and to go along it. The functions below do that for arrays from `along_batch`. Every
# number is computed by the same operations in the same order whatever the batch.

_LONG = 256  # rows, beyond which sums are added up in parts
_ROWS = 128  # in a part

TINY = 3  # rows and columns at most; at 4 BLAS is as fast


def is_tiny(x: Array) -> bool:
    """Return whether it is worth while to have the batch of an array (B, M, N) innermost."""
    return isinstance(x, np.ndarray) and x.ndim == 3 and x.shape[-1] <= TINY


def along_batch(x: Array) -> Array:
    """Return a NumPy array (B, M, N) of matrices with few columns, as a copy with B innermost in memory."""
    return x.transpose(1, 2, 0).copy().transpose(2, 0, 1) if is_tiny(x) else x


def is_along_batch(x: Array) -> bool:
    """Return whether an array has its batch innermost in memory."""
    if not isinstance(x, np.ndarray) or x.ndim != 3:
        return False
    steps = zip(x.strides[1:], x.shape[1:], strict=True)
    return all(x.strides[0] < step for step, length in steps if length > 1)


def to_one_batch(*arrays: Array) -> list[Array]:
    """Return arrays that broadcast against each other as `in_pieces` takes them: NumPy's with the same batch,
    except an array of a single matrix."""
    batch = np.broadcast_shapes(*(array.shape[:-2] for array in arrays))
    return [
        array
        if not isinstance(array, np.ndarray) or math.prod(array.shape[:-2]) == 1
        else np.broadcast_to(array, (*batch, *array.shape[-2:]))
        for array in arrays
    ]


def in_company(operation: Callable[..., tuple[Array, ...]], count: int) -> Callable[..., tuple[Array, ...]]:
    """
    Return the operation on so many arrays for `in_pieces`, with a double for a lone tiny matrix.

    Without one its batch could not be innermost, and NumPy would add its numbers in another order.
    """

    def run(*arrays: Array) -> tuple[Array, ...]:
        given, out = arrays[:count], arrays[count:]
        if is_tiny(given[0]) and all(len(array) == 1 for array in given):
            results = operation(*(np.repeat(array, 2, axis=0) for array in given))
            return written(tuple(result[:1] for result in results), out)
        return written(operation(*given), out)

    return run


def times(x: Array, y: Array) -> Array:
    """Return x y."""
    if is_along_batch(x) and is_along_batch(y):
        return _einsum("ijb,jkb->ikb", x, y)
    return x @ y


def is_long(x: Array) -> bool:
    """Return whether sums over the rows of a NumPy array are added up in parts."""
    return isinstance(x, np.ndarray) and x.shape[-2] > _LONG


def inner(xp: Namespace, x: Array, y: Array) -> Array:
    """
    Return xᴴ y.

    NumPy's rounding errors in a sum of numbers of one sign grow with its length. Long sums are added up from
    those of runs of rows.
    """
    x = xp.conj(x) if is_complex(xp, x) else x
    rows, run = x.shape[-2], max(_ROWS, x.shape[-1], y.shape[-1])  # so that sums are no larger than x and y
    if not is_long(x) or run > rows:
        return _inner(x, y)
    whole = rows - rows % run
    runs = [z[..., :whole, :].reshape(*z.shape[:-2], whole // run, run, z.shape[-1]) for z in (x, y)]
    if is_along_batch(x) and is_along_batch(y):
        sums = np.einsum("brji,brjk->brik", *runs)
    else:
        sums = transpose(runs[0]) @ runs[1]
    total = _sum_by_halves(sums, -3)
    return total if whole == rows else total + _inner(x[..., whole:, :], y[..., whole:, :])


def column_sums(xp: Namespace, x: Array) -> Array:
    """Return the sums (..., 1, N) of the columns, long ones of NumPy's by halves, as in `inner`."""
    if is_long(x):
        return _sum_by_halves(x, -2)[..., np.newaxis, :]
    total: Array = xp.sum(x, axis=-2, keepdims=True)
    return total


def _sum_by_halves(x: Array, axis: int) -> Array:
    """Return the sums along an axis, with errors that grow as the logarithm of its length."""
    x = np.moveaxis(x, axis, 0)
    while len(x) > 1:
        half = len(x) // 2
        total = x[:half] + x[half : 2 * half]
        if len(x) % 2:
            total[0] += x[-1]
        x = total
    return x[0]


def _inner(x: Array, y: Array) -> Array:
    """Return xᵀ y."""
    if is_along_batch(x) and is_along_batch(y):
        return _einsum("jib,jkb->ikb", x, y)
    return transpose(x) @ y


def _einsum(subscripts: str, x: Array, y: Array) -> Array:
    """Return a sum of products of arrays that have their batch innermost; so has the result."""
    result: Array = np.einsum(subscripts, x.transpose(1, 2, 0), y.transpose(1, 2, 0))
    return result.transpose(2, 0, 1)


def with_values(u: Array, s: Array, vh: Array) -> tuple[Array, Array]:
    """Return the two factors of the product U diag(s) Vh, with s multiplied into the smaller one."""
    return (u * s[..., None, :], vh) if u.shape[-2] <= vh.shape[-1] else (u, s[..., None] * vh)


def product(u: Array, s: Array, vh: Array) -> Array:
    """Return U diag(s) Vh."""

    def multiply(u: Array, s: Array, vh: Array, out: Array | None = None) -> tuple[Array]:
        return (matmul(*with_values(u, s[..., 0], vh), out),)

    return in_pieces(multiply, u, s[..., None], vh)[0]
