"""One matrix a CUDA thread: the batched SVD for the smallest matrices, from loading to storing.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   A = (Q W) Σ (P X)ᴴ

The sources are those of the tile solver (`qr`, `jacobi`), with a thread for a lane: specialised for the
size, all loops over rows, columns and pairs unrolled, so that A, its reflectors, L and W lie in registers.
`gpusvd._cuda.specialise` does that, and gives `number` and `real` their types.

Matrices come and go through shared memory, one after the other in the order of the batch, so that the threads
of a block read and write neighbouring addresses whatever a matrix's size; each thread's part is `stride`
numbers long, an odd number, so that threads use different banks. The rank of a singular value, an index that
is known only at run time, indexes shared memory and costs no registers.

Shared memory: threads stride numbers, stride = (max(m columns, n n, m n) | 1). Flops: as `jacobi`.
"""

import math

from numba import cuda

from .jacobi import KEPT, SCALE, decompose_triangle, length2_of, rank_columns
from .lanes import abs2, conjugate, dot, load, maximum, scale, spread, store
from .qr import LEAST_EXPONENT, LOWEST, pivoted_qr, reflect, scale_columns, scale_triangle
from .scalars import number, real


def stage_in(a, staged, stride, first, count, rows, columns):
    """Matrices `first` to `first + count` of a batch to shared memory, each to its thread's part."""
    size = rows * columns
    for e in range(cuda.threadIdx.x, count * size, cuda.blockDim.x):
        b, entry = e // size, e % size
        staged[b * stride + entry] = a[first + b, entry // columns, entry % columns]
    cuda.syncthreads()


def stage_out(staged, out, stride, first, count, rows, columns):
    """The inverse of `stage_in`; the shared memory may be overwritten afterwards."""
    cuda.syncthreads()
    size = rows * columns
    for e in range(cuda.threadIdx.x, count * size, cuda.blockDim.x):
        b, entry = e // size, e % size
        out[first + b, entry // columns, entry % columns] = staged[b * stride + entry]
    cuda.syncthreads()


def place_left(factor, m, n, betas, stack, rows, state, ranks, staged, base, columns, adjoint):
    """Write the columns of Q [W 0; 0 I], in descending order of the singular values, to this thread's part of
    shared memory."""
    column = cuda.local.array(m, number)
    for k in range(columns):
        for i in range(m):
            if k < n and i < n:
                store(column, i, load(stack, k * rows + n + i) * load(state, KEPT * k + SCALE))
            else:
                store(column, i, spread(column, 1.0 if i == k else 0.0))
        for j in range(n):
            reflect(factor, (n - 1 - j) * m, column, 0, load(betas, n - 1 - j), n - 1 - j, m)
        rank = int(load(ranks, k)) if k < n else k
        for i in range(m):
            entry = load(column, i) + 0.0
            staged[base + i * columns + rank] = conjugate(entry) if adjoint else entry


def place_right(n, stack, rows, permutation, ranks, staged, base, adjoint):
    """Write the columns of P X, in the same order, to this thread's part of shared memory."""
    for j in range(n):
        rank = int(load(ranks, j))
        for i in range(n):
            entry = load(stack, j * rows + i) + 0.0
            row = int(load(permutation, i))
            staged[base + row * n + rank] = entry if adjoint else conjugate(entry)


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


def spoil(staged, base, count):
    """NaN for every entry."""
    for e in range(count):
        staged[base + e] = number(math.nan)


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


def svd_threads(a, left, s, right, converged, sweeps, off, adjoint, m, n, columns, rows, stride, threads):
    """Thin or full SVD of a batch of matrices with m >= n >= 1, one a thread.

    a : (batch, m, n), any strides. For wide matrices their transposes, with `adjoint` true: then the
        conjugates are decomposed.
    left, s, right : (batch, m, columns), (batch, 1, n), (batch, n, n), any strides; `left` holds U and
        `right` conj(V), or for `adjoint` conj(U) and V. Columns in descending order of s.
    converged, sweeps, off : (batch,); what happened to each matrix.
    m, n, columns, rows, stride, threads : constants; rows is 2 n, or n where left and right are not wanted.
    """
    staged = cuda.shared.array(stride * threads, number)
    values = cuda.shared.array(n * threads, real)
    factor, stack = cuda.local.array(m * n, number), cuda.local.array(n * rows, number)
    exponents, permutation = cuda.local.array(n, real), cuda.local.array(n, real)
    betas, norms = cuda.local.array(n, real), cuda.local.array(n, real)
    shifts, keys = cuda.local.array(n, real), cuda.local.array(n, real)
    sigma, powers = cuda.local.array(n, real), cuda.local.array(n, real)
    ranks, state = cuda.local.array(n, real), cuda.local.array(KEPT * n, real)

    first = cuda.blockIdx.x * threads
    count = min(threads, a.shape[0] - first)
    has_matrix = cuda.threadIdx.x < count
    base = cuda.threadIdx.x * stride
    stage_in(a, staged, stride, first, count, m, n)
    for i in range(m):
        for j in range(n):
            entry = staged[base + i * n + j] if has_matrix else number(0.0)
            store(factor, j * m + i, conjugate(entry) if adjoint else entry)
    column_arrays = exponents, permutation, betas, norms, shifts, keys, sigma, powers, ranks, state
    bad, highest, done, taken, left_over, zero = solve(factor, stack, column_arrays, m, n, rows)
    has_converged = done and not bad
    for j in range(n):
        value = scale(load(sigma, j), maximum(load(powers, j) + highest, LEAST_EXPONENT))
        has_converged = has_converged and value < math.inf
        values[cuda.threadIdx.x * n + int(load(ranks, j))] = math.nan if bad else value
    if has_matrix:
        converged[first + cuda.threadIdx.x] = has_converged
        sweeps[first + cuda.threadIdx.x] = 0 if bad else int(taken)
        off[first + cuda.threadIdx.x] = math.nan if bad else left_over
    if rows > n:
        place_left(factor, m, n, betas, stack, rows, state, ranks, staged, base, columns, adjoint)
        if bad:
            spoil(staged, base, left.shape[1] * left.shape[2])
        stage_out(staged, left, stride, first, count, m, columns)
        place_right(n, stack, rows, permutation, ranks, staged, base, adjoint)
        if bad:
            spoil(staged, base, s.shape[2] * s.shape[2])
        elif zero:
            complete_columns(staged, base, nonzero_columns(powers, n), s.shape[2])
        stage_out(staged, right, stride, first, count, n, n)
    stage_out(values, s, n, first, count, 1, n)
