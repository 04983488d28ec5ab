"""The vendor driver on the CPU: LAPACK, called through NumPy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from gpusvd._base.blas import Sizes, shared
from gpusvd._base.results import Array, Info
from gpusvd._base.threads import for_each, piece_index, usable_cores

# NumPy runs LAPACK in double precision whatever the dtype. A piece of this size takes milliseconds for any
# matrix up to 100 x 100: long beside the overhead of a call, short enough for a prompt reaction to Ctrl-C.
_PIECE_BYTES = 512 * 1024


def decompose(
    a: Array,
    u: Array | None,
    s: Array,
    vh: Array | None,
    info: Info | None,
    *,
    hermitian: bool,
    threads: int | None,
) -> None:
    """Write the factors of every matrix of `a` into `u`, `s` and `vh`, and their status into `info` if given.

    The arrays have the shapes that `svd` returns, and no dimension is 0; without vectors `u` and `vh` are
    None. A matrix with NaN or Inf gets NaN factors and is never passed to LAPACK, which can hang on it. The
    batch is converted, factored and written piece by piece, so memory does not grow with it.
    """
    m, n = a.shape[-2:]
    batch = a.shape[:-2]
    outputs = (s,) if u is None or vh is None else (u, s, vh)
    full_matrices = None if u is None or vh is None else u.shape[-1] == m and vh.shape[-2] == n

    def solve(piece: range) -> None:
        index = piece_index(piece, batch)
        with np.errstate(all="ignore"):  # singular values may not fit into float32
            for output, factor in zip(outputs, _factors(a[index], full_matrices, hermitian), strict=True):
                output[index] = factor
        if info is not None:
            info.converged[index] = np.isfinite(s[index][..., 0])

    if info is not None:
        info.sweeps[...] = 0
        info.off[...] = np.nan
    count = math.prod(batch)
    sizes = sizes_of(a.shape, a.dtype, full_matrices)
    most = max(1, _PIECE_BYTES // sizes.held)
    step = math.ceil(count / math.ceil(count / most))
    pieces = [range(first, min(first + step, count)) for first in range(0, count, step)]
    with shared(sizes, threads or usable_cores()) as pool:
        for_each(solve, pieces, pool)


def sizes_of(shape: tuple[int, ...], dtype: np.dtype[Any], full_matrices: bool | None) -> Sizes:
    """Return the sizes of a batch for LAPACK; `full_matrices` is None for singular values alone."""
    *batch, m, n = shape
    k = min(m, n)
    numbers = m * n + k
    if full_matrices is not None:
        numbers += m * m + n * n if full_matrices else (m + n) * k
    itemsize = 16 if dtype.kind == "c" else 8
    rows, columns = (max(m, n), max(m, n)) if full_matrices else (m, n)
    return Sizes(math.prod(batch), rows, columns, itemsize, numbers * itemsize)


def _factors(block: Array, full_matrices: bool | None, hermitian: bool) -> Sequence[Array]:
    """Return NumPy's factors of a block; NaN for matrices that are not finite or on which LAPACK fails."""
    if block.dtype.char == "e":
        block = block.astype(np.float32)
    finite = np.isfinite(np.tril(block) if hermitian else block)
    if finite.all():
        return _lapack(block, full_matrices, hermitian)
    whole = np.asarray(finite.all(axis=(-2, -1)))
    factors = _lapack(np.where(whole[..., np.newaxis, np.newaxis], block, 0), full_matrices, hermitian)
    for factor in factors:
        factor[~whole] = np.nan
    return factors


def _lapack(block: Array, full_matrices: bool | None, hermitian: bool) -> Sequence[Array]:
    """Return NumPy's factors of finite matrices; NaN for those on which LAPACK fails.

    `full_matrices` is None for singular values alone.
    """
    try:
        if full_matrices is None:
            return (np.linalg.svd(block, False, False, hermitian),)
        return np.linalg.svd(block, full_matrices, True, hermitian)
    except LinAlgError:
        if block.ndim == 2:
            return [
                np.full_like(factor, np.nan)
                for factor in _lapack(np.zeros_like(block), full_matrices, hermitian)
            ]
        each = [_lapack(matrix, full_matrices, hermitian) for matrix in block]
        return [np.stack(factor) for factor in zip(*each, strict=True)]
