"""The SVD of one small matrix for a caller's own kernel or loop, over the whole range of exponents.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   A = (Q W) Σ (P X)ᴴ

The sources are those of the tile solver (`qr`, `jacobi`), specialised for the size by
`gpusvd._base.specialise`.

A is m x n; for m < n its conjugate transpose is decomposed. All indices are constants once the sizes are, so
arrays that are local to a CUDA thread stay in registers; what depends on the order of the singular values is
selected, not indexed.
"""

import math

from numba import cuda

from .jacobi import KEPT, SCALE, decompose_triangle, length2_of, rank_columns
from .lanes import abs2, conjugate, dot, load, maximum, scale, select, spread, store
from .qr import LEAST_EXPONENT, LOWEST, pivoted_qr, reflect, scale_columns, scale_triangle
from .scalars import number, real


def complete_columns(basis, base, known, size):
    """Make the columns from `known` on of an n x n matrix, at `base` of an array, orthonormal to those
    before.

    Each starts from the axis that the columns so far leave most of and is orthogonalised twice. `size` is n:
    a constant unrolls the loops, as an array in registers needs.
    """
    for c in range(size):
        if c >= known:
            axis, most = 0, real(-1.0)
            for i in range(size):
                left = real(1.0)
                for k in range(c):
                    left -= abs2(basis[base + i * size + k])
                if left > most:
                    axis, most = i, left
            for i in range(size):
                basis[base + i * size + c] = number(1.0 if i == axis else 0.0)
            for _again in range(2):
                for k in range(c):
                    remove_column(basis, base, k, c, size)
            total = real(0.0)
            for i in range(size):
                total += abs2(basis[base + i * size + c])
            inverse = 1.0 / math.sqrt(total)
            for i in range(size):
                basis[base + i * size + c] = basis[base + i * size + c] * inverse


def remove_column(basis, base, k, c, size):
    """Take out of column c its component along the unit column k."""
    component = number(0.0)
    for i in range(size):
        component += dot(basis[base + i * size + k], basis[base + i * size + c])
    for i in range(size):
        basis[base + i * size + c] -= basis[base + i * size + k] * component


def nonzero_columns(powers, n):
    """The number of columns that are not zero."""
    known = 0
    for j in range(n):
        known += 1 if load(powers, j) > LOWEST else 0
    return known


def solve(factor, stack, column_arrays, m, n, rows):
    """Decompose the matrix whose columns are in `factor`: afterwards it holds the reflectors, `stack` X over
    W, and `column_arrays` the arrays with a number, or a record, for each column.

    Returns whether there is a NaN or Inf, the exponent of the largest column, whether Jacobi converged, in
    how many sweeps, the largest cosine left, and whether some column is zero.
    """
    exponents, permutation, betas, norms, shifts, keys, sigma, powers, ranks, state = column_arrays
    bad, highest = scale_columns(factor, m, n, exponents)
    pivoted_qr(factor, m, n, exponents, permutation, betas, norms, shifts, keys)
    scale_triangle(factor, m, n, exponents, keys)  # keys are no longer needed: their storage is reused
    done, taken, left_over, zero = decompose_triangle(
        factor, m, n, rows, stack, rows, keys, state, sigma, powers
    )
    if rows > n:
        for j in range(n):
            store(state, KEPT * j + SCALE, 1.0 / math.sqrt(length2_of(stack, j * rows + n, n)))
    rank_columns(sigma, powers, ranks, n)
    return bad, highest, done, taken, left_over, zero


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
