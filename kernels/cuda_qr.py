"""The preconditioner on CUDA: column-scaled, pivoted Householder QR, several threads a matrix.

    A P = Q R,   Q = H_1 ... H_n,   H_j = I - beta_j v_j v_jᴴ,   L = Rᴴ

The numerics are those of `qr`: every column has a power of two of its own, pivots are the largest
remaining norms, which are recomputed in the pass that updates, reflectors are made by `qr.reflector` from
a scaled column, and L gets exponents by the rule of `qr.scale_triangle`:

1. Columns are loaded, and scaled by powers of two.
2. Step by step, a reflector is made from the largest remaining column and applied to the others.
3. L = Rᴴ is stored, with exponents of its columns.

Layout: a matrix is columns, `rows` apart, in shared memory where it fits and else in `factor`. Columns
stay where they are; the order of the pivots is a list, so nothing is exchanged.

Mapping: lanes x groups threads a matrix. A group of lanes, part of a warp, owns the entries of a column,
row i in lane i mod lanes, and takes every groups-th of the remaining columns. All threads make the
reflector together. A step has two barriers: when the reflector is there, and when the columns are
updated. Matrices of a block go in step; small ones share a warp. A very tall matrix uses no more than its
own threads: a batch fills the device, a single one does not.

Shared memory of a block: matrices (n rows + n) numbers, n where the matrix lies in `factor`, and 5 n real
numbers a matrix, laid out in this order; `qr_shape` says how many bytes. Flops: 2 n² (m - n / 3)
multiplications and additions, half as many again for the norms; complex ones four times that.

References: Golub and Van Loan, Matrix Computations, section 5.4; Quintana-Ortí, Sun and Bischof, "A
BLAS-3 version of the QR factorization with column pivoting", SIAM J. Sci. Comput. 19 (1998); Drmač and
Veselić, "New fast and accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. Appl. 29 (2008).
"""

import math

from numba import cuda

from .cuda_buffers import BAD, BETAS, HIGHEST, PERMUTATION, POWERS
from .cuda_warp import (
    BLOCK_THREADS,
    EVERYONE,
    SHARED_BYTES,
    THREAD_REGISTERS,
    WARP,
    LaunchShape,
    at,
    lanes_and_groups,
    largest_real,
    size_and_parts,
    spaced_rows,
    sum_number,
    sum_real,
    whole_warps,
)
from .lanes import (
    abs2,
    conjugate,
    dot,
    exponent,
    largest_part,
    log2_linear,
    maximum,
    nothing_if_finite,
    scale,
    select,
    small_square,
)
from .qr import LEAST_EXPONENT, LOWEST, NEAR, reflector
from .scalars import number, real

VECTORS = 5  # of n real numbers a matrix in shared memory


def qr_shape(m, n, kind, vectors=True, shared_bytes=SHARED_BYTES):
    """How `factor_batch` is launched on m x n matrices of a dtype; a block may have `shared_bytes`."""
    size, parts = size_and_parts(kind)
    lanes, groups = lanes_and_groups(m, n)
    bytes_kept = (n * size) + VECTORS * n * (size // parts)
    bytes_whole = n * spaced_rows(m, lanes) * size + bytes_kept
    shares = bytes_whole <= shared_bytes
    if not shares:
        lanes, groups = whole_warps(n)
    threads = lanes * groups
    at_least = max(1, WARP // threads)
    if shares and at_least * bytes_whole > shared_bytes:  # the rest of the warp helps
        groups *= at_least
        threads, at_least = lanes * groups, 1
    bytes_taken = bytes_whole if shares else bytes_kept
    matrices = max(1, BLOCK_THREADS // threads) if shares else 1
    while matrices > at_least and matrices * bytes_taken > shared_bytes // 2:
        matrices //= 2
    matrices = max(matrices, at_least)
    constants = {"lanes": lanes, "groups": groups, "parts": parts, "shares": shares, "vectors": bool(vectors)}
    return LaunchShape(
        constants, matrices * threads, matrices, matrices * bytes_taken, THREAD_REGISTERS[kind]
    )


def load_columns(a, b, columns, rows, adjoint, thread, threads):
    """Copy matrix b to columns, in the order in which its entries lie in memory."""
    m, n = a.shape[1], a.shape[2]
    along_row = abs(a.strides[2]) <= abs(a.strides[1])
    length = n if along_row else m
    slow, fast = thread // length, thread % length
    slow_step, fast_step = threads // length, threads % length
    for _ in range(thread, m * n, threads):
        i, j = (slow, fast) if along_row else (fast, slow)
        entry = a[at(b), at(i), at(j)]
        columns[at(j * rows + i)] = conjugate(entry) if adjoint else entry
        slow, fast = slow + slow_step, fast + fast_step
        if fast >= length:
            slow, fast = slow + 1, fast - length


def measure_columns(columns, rows, m, n, exponents, keys, norms, group, groups, lane, lanes):
    """Exponents of the columns, the same as sort keys where a column is not zero, and NaN for norms where it
    has a NaN or Inf."""
    for start in range(0, n, groups):
        q = start + group
        big, nothing = real(0.0), real(0.0)
        for i in range(lane if q < n else m, m, lanes):
            entry = columns[at(q * rows + i)]
            big = maximum(largest_part(entry), big)
            nothing = nothing + nothing_if_finite(entry)
        big, nothing = largest_real(big, lanes), sum_real(nothing, lanes)
        if q < n and lane == 0:
            shift = exponent(big)
            exponents[at(q)] = shift
            keys[at(q)] = select(big > 0.0, shift, LOWEST)
            norms[at(q)] = nothing


def summary(keys, norms, n, lane, lanes):
    """Whether the matrix has a NaN or Inf, and its highest exponent."""
    highest, nothing = real(LOWEST), real(0.0)
    for q in range(lane, n, lanes):
        highest = maximum(keys[at(q)], highest)
        nothing = nothing + norms[at(q)]
    highest, nothing = largest_real(highest, lanes), sum_real(nothing, lanes)
    return nothing != 0.0, select(highest > LOWEST, highest, 0.0)


def remaining_norm(columns, x, first, m, total, s, power, norms, shifts, keys, lane, lanes, exists):
    """`qr.remaining_norm` of column s, which begins at x and has exponent `power`, from row `first` of this
    lane on; all lanes of the warp call it."""
    shift = real(0.0)
    small = exists and total < small_square(total)
    if cuda.any_sync(EVERYONE, small):
        big, again = real(0.0), real(0.0)
        for i in range(first, m, lanes):
            big = maximum(largest_part(columns[at(x + i)]), big)
        shift = select(small, exponent(largest_real(big, lanes)), 0.0)
        for i in range(first, m, lanes):
            again = again + abs2(scale(columns[at(x + i)], 0.0 - shift))
        total = sum_real(again, lanes)
    if exists and lane == 0:
        key = log2_linear(total) + 2.0 * (shift + power)
        keys[at(s)] = select(total > 0.0, key, LOWEST)
        norms[at(s)] = total
        shifts[at(s)] = shift


def scale_columns(
    columns, rows, m, n, tops, exponents, norms, shifts, keys, bad, highest, group, groups, lane, lanes
):
    """Bring every column to a largest entry in [1/2, 1), a matrix with NaN or Inf to zero; norms and keys."""
    for start in range(0, n, groups):
        q = start + group
        exists = q < n
        first, x = lane if exists else m, q * rows
        shift = exponents[at(q)] if exists else real(0.0)
        total = real(0.0)
        for i in range(first, m, lanes):
            entry = number(0.0) if bad else scale(columns[at(x + i)], 0.0 - shift)
            columns[at(x + i)] = entry
            total = total + abs2(entry)
        if exists and lane == 0:
            tops[at(q)] = columns[at(x)]
        total, power = sum_real(total, lanes), shift - highest
        remaining_norm(columns, x, first, m, total, q, power, norms, shifts, keys, lane, lanes, exists)


def largest_column(keys, order, n, j, lane, lanes):
    """The position, from j on, of the column with the largest key; the first of equals."""
    best, position = real(-math.inf), n
    for q in range(j + lane, n, lanes):
        key = keys[at(int(order[at(q)]))]
        if key > best:
            best, position = key, q
    step = 1
    while step < lanes:
        other = cuda.shfl_xor_sync(EVERYONE, best, step)
        other_position = cuda.shfl_xor_sync(EVERYONE, position, step)
        if other > best or (other == best and other_position < position):
            best, position = other, other_position
        step = 2 * step
    return position


def update_column(columns, v, x, beta, first, m, j, tops, s, lanes, parts, exists):
    """Reflect column s, which begins at x, from row `first` of this lane on; returns what is left of its
    squared norm below row j, of which `tops` gets the first entry."""
    w = number(0.0)
    for i in range(first, m, lanes):
        w = w + dot(columns[at(v + i)], columns[at(x + i)])
    w = sum_number(w, lanes, parts) * beta
    below = first
    if first == j and exists:
        columns[at(x + j)] = columns[at(x + j)] - w
        below = first + lanes
    total = real(0.0)
    for i in range(below, m, lanes):
        entry = columns[at(x + i)] - columns[at(v + i)] * w
        columns[at(x + i)] = entry
        total = total + abs2(entry)
    if exists and below == j + 1 and j + 1 < m:
        tops[at(s)] = columns[at(x + j + 1)]
    return sum_real(total, lanes)


def reach_of_rows(columns, rows, n, tops, order, exponents, reaches, highest, group, groups, lane, lanes):
    """The exponent of each row of R."""
    for start in range(0, n, groups):
        j = start + group
        reach = real(LOWEST)
        for q in range(j + lane, n, lanes):
            s = int(order[at(q)])
            size = largest_part(tops[at(s)] if q == j else columns[at(s * rows + j)])
            power = exponent(size) + (exponents[at(s)] - highest)
            reach = maximum(select(size > 0.0, power, LOWEST), reach)
        reach = largest_real(reach, lanes)
        if j < n and lane == 0:
            reaches[at(j)] = reach


def reach_up_to(reaches, j, n, lane, lanes):
    """The largest exponent of the rows of R up to j."""
    reach = real(LOWEST)
    for k in range(lane, min(j + 1, n), lanes):
        reach = maximum(reaches[at(k)], reach)
    return largest_real(reach, lanes)


def store_column(columns, rows, n, tops, order, exponents, power, triangle, b, j, lane, lanes):
    """Store column j of L, to be multiplied by 2**power."""
    for q in range(lane, n, lanes):
        entry = number(0.0)
        if q >= j:
            s = int(order[at(q)])
            gap = maximum(exponents[at(s)] - power, LEAST_EXPONENT)
            entry = scale(conjugate(tops[at(s)] if q == j else columns[at(s * rows + j)]), gap)
        triangle[at(b), at(j), at(q)] = entry


def factor_batch(a, factor, triangle, reals, header, adjoint, lanes, groups, parts, shares, vectors):
    """Factor a batch of matrices with m >= n >= 1.

    a : (batch, m, n), any strides. For wide matrices their transposes, with `adjoint` true: then the
        conjugates are factored.
    factor : (batch, n m). On exit v_j, below its entry j, which is one, is column p of matrix b: entries p m
        to p m + m, where p = reals[b, PERMUTATION, j]. The entries above are of no use. Without `vectors` it
        is touched only where the matrix does not fit shared memory, as workspace.
    triangle : (batch, n, n). On exit row j is column j of L, to be multiplied by 2**reals[b, POWERS, j].
    reals : (batch, REALS, n). On exit POWERS, PERMUTATION and BETAS.
    header : (batch, HEADER). On exit HIGHEST, what the powers are relative to, and BAD, one for a matrix with
        NaN or Inf, which is taken for zero.
    lanes, groups, parts, shares, vectors : constants; parts is 2 for complex numbers and 1 for real ones, the
        others as `qr_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    m, n = a.shape[1], a.shape[2]
    threads = lanes * groups
    matrices = cuda.blockDim.x // threads
    slot, thread = cuda.threadIdx.x // threads, cuda.threadIdx.x % threads
    group, lane = thread // lanes, thread % lanes
    b = cuda.blockIdx.x * matrices + slot
    has_matrix = b < a.shape[0]
    b = min(b, a.shape[0] - 1)  # spare threads repeat the last matrix and store nothing

    numbers, values = cuda.shared.array(0, number), cuda.shared.array(0, real)
    if shares:
        rows = spaced_rows(m, lanes)
        columns = numbers[slot * n * rows : (slot + 1) * n * rows]
        begin = matrices * n * rows + slot * n
        tops = numbers[begin : begin + n]
        begin = matrices * (n * rows + n) * parts + slot * VECTORS * n
    else:
        rows = m
        columns, tops, begin = factor[b], numbers[:n], n * parts
    keys, norms = values[begin : begin + n], values[begin + n : begin + 2 * n]
    shifts, exponents = values[begin + 2 * n : begin + 3 * n], values[begin + 3 * n : begin + 4 * n]
    order = values[begin + 4 * n : begin + 5 * n]

    # 1. Load the columns, and scale each by a power of two.
    load_columns(a, b, columns, rows, adjoint, thread, threads)
    cuda.syncthreads()
    measure_columns(columns, rows, m, n, exponents, keys, norms, group, groups, lane, lanes)
    cuda.syncthreads()
    bad, highest = summary(keys, norms, n, lane, lanes)
    cuda.syncthreads()
    scale_columns(
        columns, rows, m, n, tops, exponents, norms, shifts, keys, bad, highest, group, groups, lane, lanes
    )
    for q in range(thread, n, threads):
        order[at(q)] = real(q)
    cuda.syncthreads()

    # 2. Step by step, a reflector from the largest remaining column is applied to the others.
    for j in range(n):
        position = largest_column(keys, order, n, j, lane, lanes)
        p, displaced = int(order[at(position)]), int(order[at(j)])

        # The reflector, by all threads together.
        total, shift = norms[at(p)], shifts[at(p)]
        diagonal, inverse = reflector(scale(tops[at(p)], 0.0 - shift), total)
        v = p * rows
        for i in range(j + thread, m, threads):
            if i == j:
                columns[at(v + i)] = number(1.0)
            else:
                columns[at(v + i)] = scale(columns[at(v + i)], 0.0 - shift) * inverse
        cuda.syncthreads()

        first = j + ((lane - j) & (lanes - 1))  # this lane's first row that is not above j
        size2 = real(0.0)
        for i in range(first, m, lanes):
            size2 = size2 + abs2(columns[at(v + i)])
        size2 = sum_real(size2, lanes)
        beta = select(total > 0.0, 2.0 / size2, 0.0)
        if thread == 0:
            tops[at(p)] = scale(diagonal, shift)
            order[at(j)] = real(p)
            if position != j:
                order[at(position)] = real(displaced)
            if has_matrix:
                reals[b, BETAS, j] = beta
                reals[b, PERMUTATION, j] = real(p)

        # The remaining columns, each by a group.
        for start in range(j + 1, n, groups):
            q = start + group
            exists = q < n
            s = displaced
            if exists and q != position:
                s = int(order[at(q)])
            x = s * rows
            left = update_column(
                columns, v, x, beta, first if exists else m, m, j, tops, s, lanes, parts, exists
            )
            below = first + lanes if first == j else first
            below = below if exists else m
            power = exponents[at(s)] - highest
            remaining_norm(columns, x, below, m, left, s, power, norms, shifts, keys, lane, lanes, exists)
        cuda.syncthreads()

    # 3. Store L = Rᴴ, its columns scaled by powers of two, and for the kernels to come the reflectors.
    reaches = norms
    reach_of_rows(columns, rows, n, tops, order, exponents, reaches, highest, group, groups, lane, lanes)
    cuda.syncthreads()
    for start in range(0, n, groups):
        j = start + group
        highest_yet = reach_up_to(reaches, j, n, lane, lanes)
        if has_matrix and j < n:
            reach = reaches[at(j)]
            power = select(reach > LOWEST, reach, 0.0)
            power = select(reach > highest_yet - NEAR, highest_yet, power)
            if lane == 0:
                reals[b, POWERS, j] = power
            power = power + highest
            store_column(columns, rows, n, tops, order, exponents, power, triangle, b, j, lane, lanes)
    if has_matrix and thread == 0:
        header[b, HIGHEST] = highest
        header[b, BAD] = real(1.0) if bad else real(0.0)
    if shares and vectors and has_matrix:
        for q in range(group, n, groups):
            for i in range(lane, m, lanes):
                factor[at(b), at(q * m + i)] = columns[at(q * rows + i)]
