"""The vendor's SVD: LAPACK, through NumPy."""

import math
from typing import Any

import numpy as np

from gpusvd._results import Array, Info
from gpusvd._threads import for_each

# NumPy has LAPACK work in double precision, whatever it is given. A piece of this size takes milliseconds
# for any matrix up to 100 x 100: long beside what a call costs, short for whoever pressed Ctrl-C.
_PIECE_BYTES = 512 * 1024

# Above either limit OpenBLAS puts several cores on one matrix, and pieces on several threads get in its way:
# on 2 cores 32 x 32 gains 1.9x from a second thread, 64 x 64 loses half.
_SHARED_COLUMNS = 40
_SHARED_BYTES = 32 * 1024


def pool_size(m: int, n: int, dtype: np.dtype[Any], threads: int) -> int:
    """Return how many threads share a batch: one where LAPACK itself puts several on a matrix."""
    shared = min(m, n) <= _SHARED_COLUMNS and m * n * _itemsize(dtype) <= _SHARED_BYTES
    return threads if shared else 1


def decompose(
    a: Array, u: Array | None, s: Array, vh: Array | None, info: Info, *, hermitian: bool, threads: int
) -> None:
    """Write the factors of every matrix of `a` into `u`, `s` and `vh`, and into `info` what happened.

    The arrays have the shapes that `svd` returns, no dimension is 0, and without vectors `u` and `vh` are
    None. A matrix with NaN or Inf gets NaN factors and is never shown to LAPACK, which can hang on it. One
    piece of the batch after the other is converted, factored and written, so memory does not grow with the
    batch.
    """
    targets = [s] if u is None or vh is None else [u, s, vh]
    batch, (m, n) = a.shape[:-2], a.shape[-2:]

    def solve(piece: range) -> None:
        index = _index(piece, batch)
        factors, converged = _factor(a[index], [target.shape[len(batch) :] for target in targets], hermitian)
        with np.errstate(over="ignore"):  # a singular value may be too large for float32 or float16
            for target, factor in zip(targets, factors, strict=True):
                target[index] = factor
        info.converged[index] = converged

    info.sweeps[...] = 0
    info.off[...] = np.nan
    numbers = m * n + sum(math.prod(target.shape[len(batch) :]) for target in targets)
    step = max(1, _PIECE_BYTES // (numbers * _itemsize(a.dtype)))
    count = math.prod(batch)
    pieces = [range(first, min(first + step, count)) for first in range(0, count, step)]
    for_each(solve, pieces, pool_size(m, n, a.dtype, threads))


def _itemsize(dtype: np.dtype[Any]) -> int:
    """Return the bytes of a number in LAPACK's hands."""
    return 16 if dtype.kind == "c" else 8


def _index(piece: range, batch: tuple[int, ...]) -> Any:
    """Return what picks a piece of the batch, numbered in C order, out of an array."""
    if len(batch) == 1:
        return slice(piece.start, piece.stop)
    return np.unravel_index(piece, batch) if batch else ()


def _factor(block: Array, shapes: list[tuple[int, ...]], hermitian: bool) -> tuple[list[Array], Array]:
    """Return the factors of a block, of the given shapes, NaN for a matrix that is not finite or failed."""
    finite = np.isfinite(np.tril(block) if hermitian else block).all(axis=(-2, -1))
    if not finite.all():
        block = np.where(finite[..., np.newaxis, np.newaxis], block, 0)
    if block.dtype == np.float16:
        block = block.astype(np.float32)
    factors = _lapack(block, shapes, hermitian)
    for factor in factors:
        factor[~finite] = np.nan
    singular_values = factors[1] if len(factors) == 3 else factors[0]
    return factors, np.isfinite(singular_values).all(axis=-1)


def _lapack(block: Array, shapes: list[tuple[int, ...]], hermitian: bool) -> list[Array]:
    """Return NumPy's factors of finite matrices; where LAPACK fails, NaN for that matrix alone."""
    vectors = len(shapes) == 3
    full_matrices = vectors and shapes[0][0] == shapes[0][1] and shapes[2][0] == shapes[2][1]
    try:
        with np.errstate(over="ignore"):
            factors = np.linalg.svd(block, full_matrices, vectors, hermitian)
    except np.linalg.LinAlgError:
        if block.ndim == 2:
            return [np.full(shape, np.nan) for shape in shapes]
        each = [_lapack(matrix, shapes, hermitian) for matrix in block]
        return [np.stack(factor) for factor in zip(*each, strict=True)]
    return list(factors) if vectors else [factors]
