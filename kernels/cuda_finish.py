"""From the factors of L to those of A on CUDA: the last launches, see `cuda_buffers`.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   U = H_1 ... H_n [W 0; 0 I],   conj(V) = conj(P X)

in descending order of the singular values, thin or full.

`complete_batch` replaces columns of X that are exactly zero, so that X is unitary: it looks for them (1),
measures what the other columns leave of each axis (2), and makes one after the other (3). Each starts
from the axis that the columns so far leave most of (at least 1/n of its square is left) and is
orthogonalised twice, by all threads of the matrix together ("twice is enough": Giraud, Langou and
Rozložník 2005). Most batches have no such column: a launch of its own keeps its registers out of the
other's.

`assemble_batch` does the rest: the order and the singular values (1), V (2) and U (3). Mapping: lanes x
groups threads a matrix, as `cuda_qr`. A group of lanes takes a column of U through all reflectors, row i
in lane i mod lanes, with no barrier; a block of columns, one a group, is then stored together, in the
order in which U lies in memory. Where such a block does not fit shared memory, columns are made in U
itself.

Shared memory of a block: matrices groups rows numbers, none where columns are made in U, and 2 n real
numbers a matrix; for completion n numbers and n real numbers a matrix, laid out in this order. The shape
functions say how many bytes. Flops: 2 n c (2 m - n) for c columns of U, complex ones four times that.
"""

import math

from numba import cuda, int32

from .cuda_buffers import BAD, BETAS, CONVERGED, HIGHEST, OFF, PERMUTATION, POWERS, SIGMA, SWEEPS
from .cuda_columns import hidden, inner, plus_times, store_row, zeros
from .cuda_qr import add_inner, load_two, near, place_of
from .cuda_warp import (
    BLOCK_THREADS,
    SHARED_BYTES,
    THREAD_REGISTERS,
    WARP,
    LaunchShape,
    aligned,
    at,
    lanes_and_groups,
    plus_dot,
    plus_product,
    quantum_of,
    size_and_parts,
    spaced_rows,
    sum_number,
    sum_real,
)
from .lanes import abs2, conjugate, dot, maximum, scale
from .qr import LEAST_EXPONENT, LOWEST
from .scalars import number, real

ROUNDS = 2  # of orthogonalisation of a column that completes X


def finish_shape(m, n, columns, kind, vectors=True, shared_bytes=SHARED_BYTES):
    """How `assemble_batch` is launched for U of m x columns; a block may have `shared_bytes`."""
    size, parts = size_and_parts(kind)
    lanes, groups = lanes_and_groups(m, columns)
    bytes_kept, bytes_column = n * (size // parts), spaced_rows(m, kind) * size
    while vectors and groups > 1 and bytes_kept + groups * bytes_column > shared_bytes:
        groups //= 2
    shares = vectors and bytes_kept + groups * bytes_column <= shared_bytes
    if not shares:
        groups = lanes_and_groups(m, columns)[1]
    threads = lanes * groups
    bytes_taken = bytes_kept + groups * bytes_column if shares else bytes_kept
    matrices = max(1, BLOCK_THREADS // threads)
    while matrices * threads > WARP and matrices > 1 and matrices * bytes_taken > shared_bytes // 2:
        matrices //= 2
    constants = {
        "lanes": lanes, "groups": groups, "parts": parts, "quantum": quantum_of(kind), "shares": shares,
        "vectors": bool(vectors),
    }  # fmt: skip
    return LaunchShape(constants, matrices * threads, matrices, matrices * bytes_taken, THREAD_REGISTERS)


def complete_shape(n, kind):
    """How `complete_batch` is launched."""
    size, parts = size_and_parts(kind)
    lanes, groups = lanes_and_groups(n, n) if n <= WARP else (8, 16)  # one kernel for all that are large
    threads = lanes * groups
    bytes_taken = n * size + n * (size // parts)
    matrices = max(1, BLOCK_THREADS // threads)
    constants = {"lanes": lanes, "groups": groups, "parts": parts}
    return LaunchShape(constants, matrices * threads, matrices, matrices * bytes_taken, THREAD_REGISTERS)


def is_known(reals, b, k, j):
    """Whether column k of X is there when column j is completed."""
    return k < j or (k > j and reals[at(b), POWERS, at(k)] > LOWEST)


def take_components(triangle, reals, b, j, n, components, due, group, groups, lane, lanes, parts):
    """Compute the inner products of column j with the known columns, zero for the others."""
    for start in range(0, n, groups):
        k = start + group
        exists = due and k < n
        size = 0
        if exists:
            size = n if is_known(reals, b, k, j) else 0
        component = number(0.0)
        for i in range(lane, size, lanes):
            component = component + dot(triangle[at(b), at(k), at(i)], triangle[at(b), at(j), at(i)])
        component = sum_number(component, lanes, parts)
        if exists and lane == 0:
            components[at(k)] = component


def complete_batch(triangle, reals, header, lanes, groups, parts):
    """Unit vectors orthogonal to all others for columns of X that are exactly zero.

    triangle, reals, header : as the Jacobi kernels leave them; row j of triangle[b] is overwritten where
        reals[b, POWERS, j] is LOWEST, unless matrix b has a NaN or Inf.
    lanes, groups, parts : constants; parts is 2 for complex numbers and 1 for real ones, the others as
        `complete_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    n = reals.shape[2]
    threads = lanes * groups
    matrices = cuda.blockDim.x // threads
    slot, thread = cuda.threadIdx.x // threads, cuda.threadIdx.x & (threads - 1)
    group, lane = thread // lanes, thread & (lanes - 1)
    b = cuda.blockIdx.x * matrices + slot
    has_matrix = b < reals.shape[0]
    b = min(b, reals.shape[0] - 1)
    has_matrix = has_matrix and header[at(b), BAD] == 0.0

    # 1. Nothing to do, if no matrix of the block has a column that is zero.
    zero = False
    for j in range(thread, n, threads):
        zero = zero or reals[at(b), POWERS, at(j)] <= LOWEST
    if cuda.syncthreads_or(1 if zero and has_matrix else 0) == 0:
        return

    # 2. What the columns leave of each axis.
    numbers, values = cuda.shared.array(0, number), cuda.shared.array(0, real)
    components = numbers[slot * n : (slot + 1) * n]
    first = matrices * n * parts + slot * n
    missing = values[first : first + n]
    for i in range(thread, n if has_matrix else 0, threads):
        left = real(1.0)
        for k in range(n):
            left = left - abs2(triangle[at(b), at(k), at(i)])
        missing[at(i)] = left

    # 3. One zero column after the other.
    for j in range(n):
        due = has_matrix and reals[at(b), POWERS, at(j)] <= LOWEST
        if cuda.syncthreads_or(1 if due else 0) != 0:
            size = n if due else 0  # the other matrices of the block come along
            axis = 0
            for i in range(1, size):
                if missing[at(i)] > missing[at(axis)]:
                    axis = i
            for i in range(thread, size, threads):
                triangle[at(b), at(j), at(i)] = number(1.0) if i == axis else number(0.0)
            cuda.syncthreads()
            for _again in range(ROUNDS):
                take_components(triangle, reals, b, j, n, components, due, group, groups, lane, lanes, parts)
                cuda.syncthreads()
                for i in range(thread, size, threads):
                    entry = triangle[at(b), at(j), at(i)]
                    for k in range(n):
                        if is_known(reals, b, k, j):
                            entry = entry - triangle[at(b), at(k), at(i)] * components[at(k)]
                    triangle[at(b), at(j), at(i)] = entry
                cuda.syncthreads()
            total = real(0.0)
            for i in range(lane, size, lanes):
                total = total + abs2(triangle[at(b), at(j), at(i)])
            total = sum_real(total, lanes)
            cuda.syncthreads()
            for i in range(thread, size, threads):
                entry = triangle[at(b), at(j), at(i)] * (1.0 / math.sqrt(total))
                triangle[at(b), at(j), at(i)] = entry
                missing[at(i)] = missing[at(i)] - abs2(entry)


def rank_values(reals, header, s, converged, sweeps, off, order, n, b, has_matrix, bad, thread, threads):
    """Find the order of the columns, by descending singular value and equal ones as they are; store the
    singular values, and what happened to the matrix."""
    highest = header[b, HIGHEST]
    for j in range(thread, n, threads):
        value, rank = (
            real(math.nan),
            j,
        )  # of a matrix with NaN or Inf, for which the Jacobi kernels wrote nothing
        if not bad:
            value, power, rank = reals[at(b), SIGMA, at(j)], reals[at(b), POWERS, at(j)], 0
            for k in range(n):
                other, other_power = reals[at(b), SIGMA, at(k)], reals[at(b), POWERS, at(k)]
                larger = other >= value if k < j else other > value
                if other_power > power or (other_power == power and larger):
                    rank += 1
            value = scale(value, maximum(power + highest, LEAST_EXPONENT))
        order[at(rank)] = real(j)
        if has_matrix:
            s[b, rank] = value
            if rank == 0:
                converged[b] = not bad and header[b, CONVERGED] > 0.0 and value < math.inf
                sweeps[b] = 0 if bad else int(header[b, SWEEPS])
                off[b] = real(math.nan) if bad else header[b, OFF]


def start_entry(basis, b, k, i, n, known):
    """Entry i of column k of [W 0; 0 I], of which W has so many known rows."""
    if k < n:
        return basis[at(b), at(k), at(i)] if i < known else number(0.0)
    return number(1.0) if i == k else number(0.0)


def start_column(basis, b, k, numbers, x, n, height, bad, exists, lane, lanes, quantum):
    """Column k of [W 0; 0 I], with rows of zeros below; zeros for W of a matrix with NaN or Inf."""
    known = 0 if bad else n
    for i in range(lane * quantum, height if exists else 0, 2 * lanes * quantum):
        for e in range(2 * quantum):
            row = i + place_of(e, lanes, quantum)
            numbers[at(x + row)] = start_entry(basis, b, k, row, n, known)


def reflect_column(reflectors, reals, b, numbers, x, n, height, exists, lane, lanes, quantum, parts):
    """x <- H_1 ... H_n x, of the column that begins at x; all lanes of the warp call it, those with no column
    do nothing."""
    skip, tile = lanes * quantum, hidden(2 * lanes * quantum)
    for step in range(n):
        back = n - 1 - step
        p, beta, j = int32(reals[at(b), PERMUTATION, at(back)]), reals[at(b), BETAS, at(back)], int32(back)
        begin = int32(j & (-2 * skip))
        first, last = int32(begin + lane * quantum), int32(height - begin if exists else 0)
        v, own, w, i = int32(p * height + first), int32(x + first), number(0.0), tile
        low = high = factors = more_factors = zeros(w, quantum)
        if last > 0:
            factors, more_factors = load_two(reflectors, v, skip, quantum)
            low, high = load_two(numbers, own, skip, quantum)
            w = inner(factors, low, 0) + inner(more_factors, high, 0)
        w = add_inner(w, reflectors, v, numbers, own, last, tile, skip, quantum)
        w = sum_number(w, lanes, parts) * (0.0 - beta)
        if last > 0:
            store_row(numbers, own, plus_times(low, w, factors, 0), 0, quantum)
            store_row(numbers, own + skip, plus_times(high, w, more_factors, 0), 0, quantum)
        while i < last:
            factors, more_factors = load_two(reflectors, v + i, skip, quantum)
            low, high = load_two(numbers, own + i, skip, quantum)
            store_row(numbers, own + i, plus_times(low, w, factors, 0), 0, quantum)
            store_row(numbers, own + i + skip, plus_times(high, w, more_factors, 0), 0, quantum)
            i = i + tile


def make_column(
    reflectors, reals, basis, b, k, x, n, m, height, bad, adjoint, exists, lane, lanes, quantum, parts
):
    """The same in a column of U itself, of m rows, without those below."""
    tile, last, known = 2 * lanes * quantum, height if exists else 0, 0 if bad else n
    for i in range(lane * quantum, last, tile):
        for e in range(2 * quantum):
            row = i + place_of(e, lanes, quantum)
            if row < m:
                x[at(row)] = start_entry(basis, b, k, row, n, known)
    for step in range(n):
        j = n - 1 - step
        p, beta = int32(reals[at(b), PERMUTATION, at(j)]), reals[at(b), BETAS, at(j)]
        v = p * (height // quantum) * quantum
        first = (j & -tile) + lane * quantum
        w = number(0.0)
        for i in range(first, last, tile):
            for e in range(2 * quantum):
                row = i + place_of(e, lanes, quantum)
                if row < m:
                    w = plus_dot(w, reflectors[at(v + row)], x[at(row)], parts)
        w = sum_number(w, lanes, parts) * (0.0 - beta)
        for i in range(first, last, tile):
            for e in range(2 * quantum):
                row = i + place_of(e, lanes, quantum)
                if row < m:
                    x[at(row)] = plus_product(x[at(row)], w, reflectors[at(v + row)], parts)
    for i in range(lane * quantum, last, tile):
        for e in range(2 * quantum):
            row = i + place_of(e, lanes, quantum)
            if row < m:
                x[at(row)] = finished(x[at(row)], bad, adjoint)


def finished(entry, bad, adjoint):
    """An entry of a factor: NaN in a matrix with NaN or Inf, conjugate for `adjoint`, and 0 for -0."""
    entry = (conjugate(entry) if adjoint else entry) + 0.0
    return number(math.nan) if bad else entry


def store_block(columns, base, rows, left, b, first, width, bad, adjoint, thread, threads):
    """Copy columns from number `first` of U on to it, in the order in which its entries lie in memory."""
    m, matrix = left.shape[1], left[b]
    count = min(width, left.shape[2] - first)
    along_row = abs(left.strides[2]) <= abs(left.strides[1])
    length = count if along_row else m
    slow, fast = thread // length, thread % length
    slow_step, fast_step = threads // length, threads % length
    for _ in range((m * count - thread + threads - 1) // threads):
        i, c = (slow, fast) if along_row else (fast, slow)
        matrix[at(i), at(first + c)] = finished(columns[at(base + c * rows + i)], bad, adjoint)
        slow, fast = slow + slow_step, fast + fast_step
        if fast >= length:
            slow, fast = slow + 1, fast - length


def store_right(triangle, reals, right, b, order, n, bad, adjoint, thread, threads):
    """Store the columns of P X, in descending order of the singular values."""
    along_row = abs(right.strides[2]) <= abs(right.strides[1])
    slow, fast = thread // n, thread % n
    slow_step, fast_step = threads // n, threads % n
    for _ in range((n * n - thread + threads - 1) // threads):
        i, rank = (slow, fast) if along_row else (fast, slow)
        row, k = int(reals[at(b), PERMUTATION, at(i)]), int(order[at(rank)])
        right[at(b), at(row), at(rank)] = finished(triangle[at(b), at(k), at(i)], bad, not adjoint)
        slow, fast = slow + slow_step, fast + fast_step
        if fast >= n:
            slow, fast = slow + 1, fast - n


def assemble_batch(
    factor, triangle, basis, reals, header, left, s, right, converged, sweeps, off, adjoint,
    lanes, groups, parts, quantum, shares, vectors,
):  # fmt: skip
    """Singular values, vectors and info of a batch of matrices, m x n, m >= n >= 1.

    factor, triangle, basis, reals, header : as `factor_batch`, the Jacobi kernels and `complete_batch`
        leave them. Without `vectors` only the last two are read.
    left, s, right : (batch, m, columns), (batch, n), (batch, n, n), any strides, n <= columns <= m; `left`
        holds U and `right` conj(V), or for `adjoint` conj(U) and V, in descending order of s. A matrix with
        NaN or Inf gets NaN. Without `vectors` only s is touched.
    converged, sweeps, off : (batch,); what happened to each matrix. One whose largest singular value
        overflows has not converged.
    lanes, groups, parts, quantum, shares, vectors : constants; parts is 2 for complex numbers and 1 for real
        ones, the others as `finish_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    n = reals.shape[2]
    threads = lanes * groups
    matrices = cuda.blockDim.x // threads
    slot, thread = cuda.threadIdx.x // threads, cuda.threadIdx.x & (threads - 1)
    b = cuda.blockIdx.x * matrices + slot
    has_matrix = b < reals.shape[0]
    b = min(b, reals.shape[0] - 1)  # spare threads repeat the last matrix and store nothing
    bad = header[b, BAD] > 0.0

    if vectors:
        m, columns, tile = left.shape[1], left.shape[2], 2 * lanes * quantum
        tiles = int32((m + tile - 1) // tile)
        height = near(tiles * tile, shares)
        group, lane = int32(thread // lanes), int32(thread & (lanes - 1))
        units = int32(tiles * (2 * lanes) + (lanes if lanes < 8 else 0)) if shares else int32(0)
        numbers, reflectors = cuda.shared.array(0, number, alignment=16), aligned(factor[b])
        base, rows = int32(slot * groups * units), int32(units * quantum)
    else:
        rows = 0
    first = matrices * groups * rows * parts + slot * n
    order = cuda.shared.array(0, real, alignment=16)[first : first + n]

    # 1. The order of the columns, the singular values, and what happened.
    rank_values(reals, header, s, converged, sweeps, off, order, n, b, has_matrix, bad, thread, threads)
    cuda.syncthreads()
    if vectors:
        # 2. conj(V) = conj(P X).
        if has_matrix:
            store_right(triangle, reals, right, b, order, n, bad, adjoint, thread, threads)

        # 3. U = H_1 ... H_n [W 0; 0 I], a block of columns at a time.
        for first in range(0, columns, groups):
            rank = first + group
            exists = has_matrix and rank < columns
            k = rank
            if rank < n:
                k = int(order[at(rank)])
            if shares:
                x = int32((base + group * units) * quantum)
                start_column(basis, b, k, numbers, x, n, height, bad, exists, lane, lanes, quantum)
                reflect_column(
                    reflectors, reals, b, numbers, x, n, height, exists, lane, lanes, quantum, parts
                )
                cuda.syncthreads()
                if has_matrix:
                    store_block(
                        numbers, base * quantum, rows, left, b, first, groups, bad, adjoint, thread, threads
                    )
                cuda.syncthreads()
            else:
                column = left[b, :, min(rank, columns - 1)]
                make_column(
                    reflectors, reals, basis, b, k, column, n, m, height, bad, adjoint, exists, lane, lanes,
                    quantum, parts,
                )  # fmt: skip
