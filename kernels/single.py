"""The SVD of one small matrix for a caller's own kernel or loop: `solve` of `cuda_thread`, from arrays to
arrays.

    A = U Σ Vᴴ

A is m x n; for m < n its conjugate transpose is decomposed. All indices are constants once the sizes are, so
arrays that are local to a CUDA thread stay in registers; what depends on the order of the singular values is
selected, not indexed.
"""

import math

from numba import cuda

from .cuda_thread import complete_columns, nonzero_columns, solve
from .jacobi import KEPT, SCALE
from .lanes import conjugate, load, maximum, scale, select, spread, store
from .qr import LEAST_EXPONENT, reflect
from .scalars import number, real


def ranked(values, ranks, rank, stride, offset, n):
    """Of n numbers, `stride` apart, that of the column with this rank."""
    chosen = values[offset]
    for k in range(1, n):
        chosen = select(ranks[k] == real(rank), values[k * stride + offset], chosen)
    return chosen


def svd_into(a, u, s, vh, factor, stack, left, right, column_arrays, m, n, wide):
    """Thin SVD of one matrix; returns whether it converged.

    a : (m, n), or (n, m) if `wide`; u, s, vh : (m, n), (n,), (n, n), or (n, n), (n,), (n, m) if `wide`.
    factor, stack, left, right, column_arrays : workspace of m n, 2 n n, n m and n n numbers, and a tuple of
        nine arrays of n real numbers and one of 4 n.
    """
    for i in range(m):
        for j in range(n):
            store(factor, j * m + i, conjugate(a[j, i]) if wide else a[i, j])
    bad, highest, done, _taken, _off, zero = solve(factor, stack, column_arrays, m, n, 2 * n)
    _exponents, permutation, betas, _norms, _shifts, _keys, sigma, powers, ranks, state = column_arrays
    for j in range(n):
        value = scale(load(sigma, j), maximum(load(powers, j) + highest, LEAST_EXPONENT))
        store(sigma, j, math.nan if bad else value)
    for k in range(n):
        s[k] = ranked(sigma, ranks, k, 1, 0, n)
        for i in range(m):
            if i < n:
                store(left, k * m + i, load(stack, k * 2 * n + n + i) * load(state, KEPT * k + SCALE))
            else:
                store(left, k * m + i, spread(left, 0.0))
        for j in range(n):
            reflect(factor, (n - 1 - j) * m, left, k * m, load(betas, n - 1 - j), n - 1 - j, m)
    for k in range(n):
        for i in range(n):
            store(factor, k * n + i, ranked(stack, ranks, k, 2 * n, i, n))
    for row in range(n):
        for k in range(n):
            entry = load(factor, k * n)
            for i in range(1, n):
                entry = select(permutation[i] == real(row), load(factor, k * n + i), entry)
            store(right, row * n + k, entry)
    if zero and not bad:
        complete_columns(right, 0, nonzero_columns(powers, n), n)
    for k in range(n):
        for i in range(m):
            entry = ranked(left, ranks, k, m, i, n) + (math.nan if bad else 0.0)
            if wide:
                vh[k, i] = conjugate(entry)
            else:
                u[i, k] = entry
        for i in range(n):
            entry = load(right, i * n + k) + (math.nan if bad else 0.0)
            if wide:
                u[i, k] = entry
            else:
                vh[k, i] = conjugate(entry)
    return done and not bad and s[0] < math.inf


def svd_in_thread(a, u, s, vh, m, n, wide):
    """`svd_into` with a CUDA thread's registers for workspace."""
    factor, stack = cuda.local.array(m * n, number), cuda.local.array(2 * n * n, number)
    left, right = cuda.local.array(m * n, number), cuda.local.array(n * n, number)
    column_arrays = (
        cuda.local.array(n, real), cuda.local.array(n, real), cuda.local.array(n, real),
        cuda.local.array(n, real), cuda.local.array(n, real), cuda.local.array(n, real),
        cuda.local.array(n, real), cuda.local.array(n, real), cuda.local.array(n, real),
        cuda.local.array(KEPT * n, real),
    )  # fmt: skip
    return svd_into(a, u, s, vh, factor, stack, left, right, column_arrays, m, n, wide)
