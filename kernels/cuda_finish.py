"""From the factors of L to those of A on CUDA: the last of three launches, see `cuda_buffers`.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   U = H_1 ... H_n [W 0; 0 I],   conj(V) = conj(P X)

in descending order of the singular values, thin or full. Columns of X that are exactly zero are completed to an
orthonormal basis first: each starts from the axis that the columns so far leave most of (at least 1/n of its
square is left) and is orthogonalised twice, by all threads together ("twice is enough": Giraud, Langou and
Rozložník 2005).

Mapping: lanes x groups threads a matrix, as `cuda_qr`. A group of lanes takes a column of U through all
reflectors, row i in lane i mod lanes, with no barrier; a block of columns, one a group, is then stored together,
in the order in which U lies in memory. Where such a block does not fit shared memory, columns are made in U
itself.

Shared memory of a block: matrices (groups rows + n) numbers, n where columns are made in U, and 3 n real numbers a
matrix, laid out in this order; `finish_shape` says how many bytes. Without vectors only the last. Flops: 2 n c
(2 m - n) for c columns of U, complex ones four times that.
"""

import math

from numba import cuda

from .cuda_buffers import BAD, BETAS, CONVERGED, HIGHEST, OFF, PERMUTATION, POWERS, SIGMA, SWEEPS
from .cuda_group import sum_number, sum_real
from .cuda_qr import BLOCK_THREADS, SHARED_BYTES, SIZES, at, spaced_rows
from .lanes import abs2, conjugate, dot, maximum, scale
from .qr import LOWEST
from .scalars import number, real

# Vectors of n real numbers a matrix in shared memory: the place of each column, the column in each place, and
# what the columns of X leave of each axis.
RANK, ORDER, MISSING, VECTORS = 0, 1, 2, 3


def finish_shape(m, n, columns, kind, vectors=True):
    """How `assemble_batch` is launched for U of m x columns: its constants, threads a block, matrices a block,
    and bytes of dynamic shared memory a block."""
    size, parts = SIZES[kind], 2 if kind.startswith("complex") else 1
    lanes = 1
    while lanes < 32 and lanes * lanes * 4 <= m:
        lanes *= 2
    groups = 1
    while groups < 16 and 2 * groups < columns:
        groups *= 2
    while lanes * groups < 32 and vectors and groups < columns:
        groups *= 2
    bytes_kept = VECTORS * n * (size // parts) + (n * size if vectors else 0)
    bytes_whole = bytes_kept + groups * spaced_rows(m, lanes) * size
    shares = vectors and bytes_whole <= SHARED_BYTES
    if vectors and not shares:
        lanes = 32
    threads = lanes * groups
    bytes_taken = bytes_whole if shares else bytes_kept
    matrices = max(1, BLOCK_THREADS // threads)
    while matrices * threads > 32 and matrices > 1 and matrices * bytes_taken > SHARED_BYTES // 2:
        matrices //= 2
    constants = {"lanes": lanes, "groups": groups, "parts": parts, "shares": shares, "vectors": bool(vectors)}
    return constants, matrices * threads, matrices, matrices * bytes_taken


def rank_values(reals, header, s, converged, sweeps, off, values, kept, n, b, own, bad, thread, threads):
    """Places in descending order, equal values in the order of their columns; the singular values, and what
    happened to the matrix."""
    highest = header[b, HIGHEST]
    for j in range(thread, n, threads):
        value, power, rank = reals[b, SIGMA, j], reals[b, POWERS, j], j if bad else 0
        for k in range(0 if bad else n):
            other, other_power = reals[b, SIGMA, k], reals[b, POWERS, k]
            larger = other >= value if k < j else other > value
            if other_power > power or (other_power == power and larger):
                rank += 1
        values[at(kept + RANK * n + j)] = real(rank)
        values[at(kept + ORDER * n + rank)] = real(j)
        if own:
            value = real(math.nan) if bad else scale(value, maximum(power + highest, -4000.0))
            s[b, rank] = value
            if rank == 0:
                converged[b] = header[b, CONVERGED] > 0.0 and value < math.inf
                sweeps[b] = 0 if bad else int(header[b, SWEEPS])
                off[b] = real(math.nan) if bad else header[b, OFF]


def is_known(reals, b, k, j):
    """Whether column k of X is there when column j is completed."""
    return reals[b, POWERS, k] > LOWEST or k < j


def complete_columns(
    triangle, reals, b, own, n, numbers, components, values, kept, thread, threads, group, groups, lane, lanes, parts
):
    """Unit vectors orthogonal to all others for the columns of X that are exactly zero, of matrices that are
    `own`."""
    missing = kept + MISSING * n
    for i in range(thread, n if own else 0, threads):
        left = real(1.0)
        for k in range(n):
            left = left - abs2(triangle[b, k, i])
        values[at(missing + i)] = left
    cuda.syncthreads()
    for j in range(n):
        due = own and reals[b, POWERS, j] <= LOWEST
        if cuda.syncthreads_or(1 if due else 0) != 0:
            size = n if due else 0  # matrices of the block that have nothing to do come along
            axis = 0
            for i in range(1, size):
                if values[at(missing + i)] > values[at(missing + axis)]:
                    axis = i
            for i in range(thread, size, threads):
                triangle[b, j, i] = number(1.0) if i == axis else number(0.0)
            cuda.syncthreads()
            for _again in range(2):
                for start in range(0, n, groups):
                    k = start + group
                    taken = due and k < n and k != j
                    if taken:
                        taken = is_known(reals, b, k, j)
                    component = number(0.0)
                    for i in range(lane, n if taken else 0, lanes):
                        component = component + dot(triangle[b, k, i], triangle[b, j, i])
                    component = sum_number(component, lanes, parts)
                    if due and k < n and lane == 0:
                        numbers[at(components + k)] = component
                cuda.syncthreads()
                for i in range(thread, size, threads):
                    entry = triangle[b, j, i]
                    for k in range(n):
                        if k != j and is_known(reals, b, k, j):
                            entry = entry - triangle[b, k, i] * numbers[at(components + k)]
                    triangle[b, j, i] = entry
                cuda.syncthreads()
            total = real(0.0)
            for i in range(lane, size, lanes):
                total = total + abs2(triangle[b, j, i])
            total = sum_real(total, lanes)
            cuda.syncthreads()
            if due:
                inverse = 1.0 / math.sqrt(total)
                for i in range(thread, n, threads):
                    entry = triangle[b, j, i] * inverse
                    triangle[b, j, i] = entry
                    values[at(missing + i)] = values[at(missing + i)] - abs2(entry)
            cuda.syncthreads()


def start_column(basis, b, k, x, base, n, first, m, lanes):
    """Column k of [W 0; 0 I], from row `first` of this lane on."""
    for i in range(first, m, lanes):
        if k < n:
            x[at(base + i)] = basis[b, k, i] if i < n else number(0.0)
        else:
            x[at(base + i)] = number(1.0) if i == k else number(0.0)


def reflect_column(reflectors, reals, b, x, base, n, m, exists, lane, lanes, parts):
    """x <- H_1 ... H_n x; all lanes of the warp call it, those with no column do nothing."""
    for step in range(n):
        j = n - 1 - step
        v, beta = int(reals[b, PERMUTATION, j]) * m, reals[b, BETAS, j]
        first = j + ((lane - j) & (lanes - 1)) if exists else m
        w = number(0.0)
        for i in range(first, m, lanes):
            w = w + dot(reflectors[at(v + i)], x[at(base + i)])
        w = sum_number(w, lanes, parts) * beta
        for i in range(first, m, lanes):
            x[at(base + i)] = x[at(base + i)] - reflectors[at(v + i)] * w


def finished(entry, bad, adjoint):
    """An entry of a factor: NaN in a matrix with NaN or Inf, conjugate for `adjoint`, and 0 for -0."""
    entry = (conjugate(entry) if adjoint else entry) + 0.0
    return number(math.nan) if bad else entry


def store_block(numbers, base, rows, left, b, first, width, bad, adjoint, thread, threads):
    """Columns from place `first` on to U, in the order in which its entries lie in memory."""
    m = left.shape[1]
    count = min(width, left.shape[2] - first)
    along_row = abs(left.strides[2]) <= abs(left.strides[1])
    length = count if along_row else m
    slow, fast = thread // length, thread % length
    slow_step, fast_step = threads // length, threads % length
    for _ in range(thread, m * count, threads):
        i, c = (slow, fast) if along_row else (fast, slow)
        left[b, i, first + c] = finished(numbers[at(base + c * rows + i)], bad, adjoint)
        slow, fast = slow + slow_step, fast + fast_step
        if fast >= length:
            slow, fast = slow + 1, fast - length


def store_right(triangle, reals, right, b, values, kept, n, bad, adjoint, thread, threads):
    """The columns of P X, in order."""
    along_row = abs(right.strides[2]) <= abs(right.strides[1])
    slow, fast = thread // n, thread % n
    slow_step, fast_step = threads // n, threads % n
    for _ in range(thread, n * n, threads):
        i, place = (slow, fast) if along_row else (fast, slow)
        row, k = int(reals[b, PERMUTATION, i]), int(values[at(kept + ORDER * n + place)])
        right[b, row, place] = finished(triangle[b, k, i], bad, not adjoint)
        slow, fast = slow + slow_step, fast + fast_step
        if fast >= n:
            slow, fast = slow + 1, fast - n


def assemble_batch(
    factor, triangle, basis, reals, header, left, s, right, converged, sweeps, off, adjoint,
    lanes, groups, parts, shares, vectors,
):  # fmt: skip
    """Singular values, vectors and info of a batch of matrices, m x n, m >= n >= 1.

    factor, triangle, basis, reals, header : as `factor_batch` and the Jacobi kernels leave them. Columns of
        `triangle` that are zero are overwritten by others. Without `vectors` only the last two are read.
    left, s, right : (batch, m, columns), (batch, n), (batch, n, n), any strides, n <= columns <= m; `left`
        holds U and `right` conj(V), or for `adjoint` conj(U) and V, in descending order of s. A matrix with NaN
        or Inf gets NaN. Without `vectors` only s is touched.
    converged, sweeps, off : (batch,); what happened to each matrix. One whose largest singular value
        overflows has not converged.
    lanes, groups, parts, shares, vectors : constants; parts is 2 for complex numbers and 1 for real ones, the
        others as `finish_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    n = reals.shape[2]
    threads = lanes * groups
    matrices = cuda.blockDim.x // threads
    slot, thread = cuda.threadIdx.x // threads, cuda.threadIdx.x % threads
    b = cuda.blockIdx.x * matrices + slot
    own = b < reals.shape[0]
    b = min(b, reals.shape[0] - 1)  # spare threads repeat the last matrix and store nothing
    bad = header[b, BAD] > 0.0

    values = cuda.shared.array(0, real)
    if vectors:
        m, columns = left.shape[1], left.shape[2]
        group, lane = thread // lanes, thread % lanes
        numbers = cuda.shared.array(0, number)
        rows = spaced_rows(m, lanes) if shares else 0
        base = slot * groups * rows
        components = matrices * groups * rows + slot * n
        kept = matrices * (groups * rows + n) * parts + slot * VECTORS * n
    else:
        kept = slot * VECTORS * n
    rank_values(reals, header, s, converged, sweeps, off, values, kept, n, b, own, bad, thread, threads)
    if vectors:
        zero = False
        for j in range(thread, n, threads):
            zero = zero or reals[b, POWERS, j] <= LOWEST
        if cuda.syncthreads_or(1 if zero and own and not bad else 0) != 0:
            complete_columns(
                triangle, reals, b, own and not bad, n, numbers, components, values, kept,
                thread, threads, group, groups, lane, lanes, parts,
            )  # fmt: skip
        if own:
            store_right(triangle, reals, right, b, values, kept, n, bad, adjoint, thread, threads)
        reflectors = factor[b]
        for first in range(0, columns, groups):
            place = first + group
            exists = own and place < columns
            k = place
            if place < n:
                k = int(values[at(kept + ORDER * n + place)])
            start = lane if exists else m
            if shares:
                x = base + group * rows
                start_column(basis, b, k, numbers, x, n, start, m, lanes)
                reflect_column(reflectors, reals, b, numbers, x, n, m, exists, lane, lanes, parts)
                cuda.syncthreads()
                if own:
                    store_block(numbers, base, rows, left, b, first, groups, bad, adjoint, thread, threads)
                cuda.syncthreads()
            else:
                column = left[b, :, min(place, columns - 1)]
                start_column(basis, b, k, column, 0, n, start, m, lanes)
                reflect_column(reflectors, reals, b, column, 0, n, m, exists, lane, lanes, parts)
                for i in range(start, m, lanes):
                    column[at(i)] = finished(column[at(i)], bad, adjoint)
