"""The preconditioner on CUDA: column-scaled, pivoted Householder QR, several threads a matrix.

    A P = Q R,   Q = H_1 ... H_n,   H_j = I - beta_j v_j v_jᴴ,   L = Rᴴ

The numerics are those of `qr`: every column has a power of two of its own, pivots are the largest
remaining norms, which are recomputed in the pass that updates, reflectors are made by `qr.reflector` from
a scaled column, and L gets exponents by the rule of `qr.scale_triangle`:

1. Columns are loaded, and scaled by powers of two.
2. Step by step, a reflector is made from the largest remaining column and applied to the others.
3. L = Rᴴ is stored, with exponents of its columns.

Layout: a matrix is columns, `rows` apart, in shared memory where it fits and else in `factor`. Columns
stay where they are; the order of the pivots is a list, so nothing is exchanged. Below the matrix rows of
zeros fill the last tile of a column, so that loops need no test of the rows.

Mapping: lanes x groups threads a matrix. A group of lanes, part of a warp, owns the entries of a column,
tile by tile (`cuda_warp.padded_rows`), and takes every groups-th of the remaining columns. All threads make
the reflector together. A step has two barriers: when the reflector is there, and when the columns are
updated. Matrices of a block go in step; small ones share a warp. A very tall matrix uses no more than its
own threads: a batch fills the device, a single one does not.

Shared memory of a block: matrices n rows numbers, none where the matrix lies in `factor`, n numbers and 5 n
real numbers a matrix, laid out in this order; `qr_shape` says how many bytes. Flops: 2 n² (m - n / 3)
multiplications and additions, half as many again for the norms; complex ones four times that.

References: Golub and Van Loan, Matrix Computations, section 5.4; Quintana-Ortí, Sun and Bischof, "A
BLAS-3 version of the QR factorization with column pivoting", SIAM J. Sci. Comput. 19 (1998); Drmač and
Veselić, "New fast and accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. Appl. 29 (2008).
"""

import math

from numba import cuda, int32

from .cuda_buffers import BAD, BETAS, HIGHEST, PERMUTATION, POWERS
from .cuda_warp import (
    BLOCK_THREADS,
    EVERYONE,
    SHARED_BYTES,
    THREAD_REGISTERS,
    WARP,
    LaunchShape,
    aligned,
    at,
    lanes_and_groups,
    largest_real,
    plus_dot,
    plus_product,
    quantum_of,
    shuffle_real_across,
    size_and_parts,
    spaced_rows,
    sum_number,
    sum_real,
)
from .lanes import (
    abs2,
    conjugate,
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
    bytes_kept = n * size + VECTORS * n * (size // parts)
    bytes_whole = n * spaced_rows(m, kind) * size + bytes_kept
    shares = bytes_whole <= shared_bytes
    if not shares:
        groups = max(groups, WARP // lanes)
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
    constants = {
        "lanes": lanes, "groups": groups, "parts": parts, "quantum": quantum_of(kind), "shares": shares,
        "vectors": bool(vectors),
    }  # fmt: skip
    return LaunchShape(constants, matrices * threads, matrices, matrices * bytes_taken, THREAD_REGISTERS)


def load_columns(a, b, columns, base, rows, height, adjoint, thread, threads):
    """Copy matrix b to columns, in the order in which its entries lie in memory, and fill up its tiles."""
    m, n, matrix = a.shape[1], a.shape[2], a[b]
    along_row = abs(a.strides[2]) <= abs(a.strides[1])
    length = n if along_row else m
    slow, fast = thread // length, thread % length
    slow_step, fast_step = threads // length, threads % length
    for _ in range((m * n - thread + threads - 1) // threads):
        i, j = (slow, fast) if along_row else (fast, slow)
        entry = matrix[at(i), at(j)]
        columns[at(base + j * rows + i)] = conjugate(entry) if adjoint else entry
        slow, fast = slow + slow_step, fast + fast_step
        if fast >= length:
            slow, fast = slow + 1, fast - length
    for q in range(n):
        for i in range(m + thread, height, threads):
            columns[at(base + q * rows + i)] = number(0.0)


def measure_columns(
    columns, base, units, height, n, exponents, keys, norms, group, groups, lane, lanes, quantum
):
    """Exponents of the columns, the same as sort keys where a column is not zero, and NaN for norms where it
    has a NaN or Inf."""
    for start in range(0, n, groups):
        q = start + group
        big, nothing = real(0.0), real(0.0)
        x = (base + q * units + lane) * quantum
        for i in range(0, height if q < n else 0, 2 * lanes * quantum):
            for k in range(2 * quantum):
                entry = columns[at(x + i + place_of(k, lanes, quantum))]
                big = maximum(largest_part(entry), big)
                nothing = nothing + nothing_if_finite(entry)
        big, nothing = largest_real(big, lanes), sum_real(nothing, lanes)
        if q < n and lane == 0:
            shift = exponent(big)
            exponents[at(q)] = shift
            keys[at(q)] = select(big > 0.0, shift, LOWEST)
            norms[at(q)] = nothing


def place_of(k, lanes, quantum):
    """Where the k-th entry of a lane lies in a tile, after its first."""
    return k % quantum + k // quantum * (lanes * quantum)


def summary(keys, norms, n, lane, lanes):
    """Whether the matrix has a NaN or Inf, and its highest exponent."""
    highest, nothing = real(LOWEST), real(0.0)
    for q in range(lane, n, lanes):
        highest = maximum(keys[at(q)], highest)
        nothing = nothing + norms[at(q)]
    highest, nothing = largest_real(highest, lanes), sum_real(nothing, lanes)
    return nothing != 0.0, select(highest > LOWEST, highest, 0.0)


def remaining_norm(columns, x, first, m, total, s, power, norms, shifts, keys, lane, lanes, exists):
    """`qr.remaining_norm` of column s, which begins at x and has exponent `power`, from row `first` on; all
    lanes of the warp call it."""
    shift = real(0.0)
    small = exists and total < small_square(total)
    if cuda.any_sync(EVERYONE, small):
        cuda.syncwarp()
        last = m if exists else 0
        big, again = real(0.0), real(0.0)
        for i in range(first + lane, last, lanes):
            big = maximum(largest_part(columns[at(x + i)]), big)
        shift = select(small, exponent(largest_real(big, lanes)), 0.0)
        for i in range(first + lane, last, lanes):
            again = again + abs2(scale(columns[at(x + i)], 0.0 - shift))
        again = sum_real(again, lanes)
        total = select(small, again, total)  # others of the warp keep theirs, summed in another order
    if exists and lane == 0:
        key = log2_linear(total) + 2.0 * (shift + power)
        keys[at(s)] = select(total > 0.0, key, LOWEST)
        norms[at(s)] = total
        shifts[at(s)] = shift


def scale_columns(
    columns, base, units, m, height, n, tops, exponents, norms, shifts, keys, bad, highest, group, groups,
    lane, lanes, quantum,
):  # fmt: skip
    """Bring every column to a largest entry in [1/2, 1), a matrix with NaN or Inf to zero; norms and keys."""
    entries = cuda.local.array(2 * quantum, number)
    for start in range(0, n, groups):
        q = start + group
        exists = q < n
        x = (base + q * units) * quantum
        shift = exponents[at(q)] if exists else real(0.0)
        total = real(0.0)
        for i in range(0, height if exists else 0, 2 * lanes * quantum):
            first = x + lane * quantum + i
            for k in range(2 * quantum):
                entries[k] = columns[at(first + place_of(k, lanes, quantum))]
            for k in range(2 * quantum):
                entries[k] = number(0.0) if bad else scale(entries[k], 0.0 - shift)
                total = total + abs2(entries[k])
            for k in range(2 * quantum):
                columns[at(first + place_of(k, lanes, quantum))] = entries[k]
        if exists and lane == 0:
            tops[at(q)] = columns[at(x)]
        total, power = sum_real(total, lanes), shift - highest
        remaining_norm(columns, x, 0, m, total, q, power, norms, shifts, keys, lane, lanes, exists)


def largest_column(keys, order, n, j, lane, lanes):
    """The position, from j on, of the column with the largest key; the first of equals."""
    best, position = real(-math.inf), int32(n)
    for q in range(j + lane, n, lanes):
        key = keys[at(int32(order[at(q)]))]
        if key > best:
            best, position = key, int32(q)
    step = 1
    while step < lanes:
        other = shuffle_real_across(best, step)
        other_position = cuda.shfl_xor_sync(EVERYONE, position, step)
        if other > best or (other == best and other_position < position):
            best, position = other, other_position
        step = 2 * step
    return position


def make_reflector(columns, v, j, height, shift, inverse, thread, threads, quantum):
    """Scale column v, which is the pivot's, to a reflector: from row j on, which becomes one."""
    first = j & -quantum
    for i in range(first + thread * quantum, height, threads * quantum):
        for k in range(quantum):
            entry = columns[at(v + i + k)]
            scaled = scale(entry, 0.0 - shift) if shift != 0.0 else entry
            scaled = number(1.0) if i + k == j else scaled * inverse
            columns[at(v + i + k)] = entry if i + k < j else scaled


def load_head(columns, v, j, lane, lanes, quantum, head):
    """Load what a lane has of the first tile of a reflector, zeros above row j."""
    tile = 2 * lanes * quantum
    begin = j & -tile
    first, above = v + begin + lane * quantum, int32(j - begin - lane * quantum)
    for k in range(2 * quantum):
        head[k] = columns[at(first + place_of(k, lanes, quantum))]
    for k in range(2 * quantum):
        head[k] = select(place_of(k, lanes, quantum) >= above, head[k], number(0.0))


def length2_of(columns, v, head, j, height, lane, lanes, quantum):
    """The share of a lane in the squared length of a reflector."""
    tile = 2 * lanes * quantum
    first = v + lane * quantum
    total = real(0.0)
    for k in range(2 * quantum):
        total = total + abs2(head[k])
    for i in range((j & -tile) + tile, height, tile):
        for k in range(2 * quantum):
            total = total + abs2(columns[at(first + i + place_of(k, lanes, quantum))])
    return total


def update_column(columns, v, x, head, beta, height, j, lane, lanes, quantum, parts, exists):
    """Reflect the column that begins at x; returns what is left of its squared length below row j."""
    tile = 2 * lanes * quantum
    begin = j & -tile
    mine, above = lane * quantum, int32(j - begin - lane * quantum)
    last = height if exists else 0
    entries, factors = cuda.local.array(2 * quantum, number), cuda.local.array(2 * quantum, number)
    w = number(0.0)
    if exists:
        for k in range(2 * quantum):
            w = plus_dot(w, head[k], columns[at(x + begin + mine + place_of(k, lanes, quantum))], parts)
    for i in range(begin + tile, last, tile):
        for k in range(2 * quantum):
            place = i + mine + place_of(k, lanes, quantum)
            w = plus_dot(w, columns[at(v + place)], columns[at(x + place)], parts)
    w = sum_number(w, lanes, parts) * (0.0 - beta)
    total = real(0.0)
    if exists:
        first = x + begin + mine
        for k in range(2 * quantum):
            entries[k] = columns[at(first + place_of(k, lanes, quantum))]
        for k in range(2 * quantum):
            entry = plus_product(entries[k], w, head[k], parts)
            entries[k] = entry
            total = total + abs2(select(place_of(k, lanes, quantum) > above, entry, number(0.0)))
        for k in range(2 * quantum):
            columns[at(first + place_of(k, lanes, quantum))] = entries[k]
    for i in range(begin + tile, last, tile):
        place = i + mine
        for k in range(2 * quantum):
            entries[k] = columns[at(x + place + place_of(k, lanes, quantum))]
            factors[k] = columns[at(v + place + place_of(k, lanes, quantum))]
        for k in range(2 * quantum):
            entries[k] = plus_product(entries[k], w, factors[k], parts)
            total = total + abs2(entries[k])
        for k in range(2 * quantum):
            columns[at(x + place + place_of(k, lanes, quantum))] = entries[k]
    return sum_real(total, lanes)


def reach_of_rows(
    columns, base, rows, n, tops, order, exponents, reaches, highest, group, groups, lane, lanes
):
    """The exponent of each row of R."""
    for start in range(0, n, groups):
        j = start + group
        reach = real(LOWEST)
        for q in range(j + lane, n, lanes):
            s = int(order[at(q)])
            size = largest_part(tops[at(s)] if q == j else columns[at(base + s * rows + j)])
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


def store_column(columns, base, rows, n, tops, order, exponents, power, triangle, b, j, lane, lanes):
    """Store column j of L, to be multiplied by 2**power."""
    for q in range(lane, n, lanes):
        entry = number(0.0)
        if q >= j:
            s = int(order[at(q)])
            gap = maximum(exponents[at(s)] - power, LEAST_EXPONENT)
            entry = scale(conjugate(tops[at(s)] if q == j else columns[at(base + s * rows + j)]), gap)
        triangle[at(b), at(j), at(q)] = entry


def store_reflectors(columns, base, units, height, n, order, factor, b, group, groups, lane, lanes, quantum):
    """Copy the reflectors to `factor`, with zeros above."""
    for start in range(group, n, groups):
        p = int32(order[at(start)])
        x = (base + p * units + lane) * quantum
        to = (p * (height // quantum) + lane) * quantum
        for i in range(0, height, 2 * lanes * quantum):
            above = int32(start - i - lane * quantum)
            for k in range(2 * quantum):
                place = place_of(k, lanes, quantum)
                entry = columns[at(x + i + place)]
                factor[at(to + i + place)] = select(place >= above, entry, number(0.0))


def clear_above(columns, rows, n, order, group, groups, lane, lanes):
    """Put zeros above the reflectors."""
    for j in range(group, n, groups):
        x = int32(order[at(j)]) * rows
        for i in range(lane, j, lanes):
            columns[at(x + i)] = number(0.0)


def factor_batch(a, factor, triangle, reals, header, adjoint, lanes, groups, parts, quantum, shares, vectors):
    """Factor a batch of matrices with m >= n >= 1.

    a : (batch, m, n), any strides. For wide matrices their transposes, with `adjoint` true: then the
        conjugates are factored.
    factor : (batch, n h), h = `padded_rows`. On exit v_j, its entry j one, zeros above and from m on, is
        column p of matrix b: entries p h to p h + h, where p = reals[b, PERMUTATION, j]. Without `vectors`
        it is touched only where the matrix does not fit shared memory, as workspace.
    triangle : (batch, n, n). On exit row j is column j of L, to be multiplied by 2**reals[b, POWERS, j].
    reals : (batch, REALS, n). On exit POWERS, PERMUTATION and BETAS.
    header : (batch, HEADER). On exit HIGHEST, what the powers are relative to, and BAD, one for a matrix with
        NaN or Inf, which is taken for zero.
    lanes, groups, parts, quantum, shares, vectors : constants; parts is 2 for complex numbers and 1 for real
        ones, the others as `qr_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    m, n, tile = a.shape[1], a.shape[2], 2 * lanes * quantum
    tiles = (m + tile - 1) // tile
    height = tiles * tile
    threads = lanes * groups
    matrices = cuda.blockDim.x // threads
    slot, thread = cuda.threadIdx.x // threads, cuda.threadIdx.x & (threads - 1)
    group, lane = thread // lanes, thread & (lanes - 1)
    b = cuda.blockIdx.x * matrices + slot
    has_matrix = b < a.shape[0]
    b = min(b, a.shape[0] - 1)  # spare threads repeat the last matrix and store nothing

    numbers = cuda.shared.array(0, number, alignment=16)
    values, reflectors = cuda.shared.array(0, real, alignment=16), aligned(factor[b])
    if shares:
        units = tiles * (2 * lanes) + (lanes if lanes < 8 else 0)
        columns, base = numbers, slot * n * units
        begin = matrices * n * (units * quantum) + slot * n
        tops = numbers[begin : begin + n]
        begin = matrices * (n * (units * quantum) + n) * parts + slot * VECTORS * n
    else:
        units = tiles * (2 * lanes)
        columns, base, tops, begin = reflectors, 0, numbers[:n], n * parts
    rows = units * quantum  # from one column to the next
    keys, norms = values[begin : begin + n], values[begin + n : begin + 2 * n]
    shifts, exponents = values[begin + 2 * n : begin + 3 * n], values[begin + 3 * n : begin + 4 * n]
    order = values[begin + 4 * n : begin + 5 * n]

    # 1. Load the columns, and scale each by a power of two.
    load_columns(a, b, columns, base * quantum, rows, height, adjoint, thread, threads)
    cuda.syncthreads()
    measure_columns(
        columns, base, units, height, n, exponents, keys, norms, group, groups, lane, lanes, quantum
    )
    cuda.syncthreads()
    bad, highest = summary(keys, norms, n, lane, lanes)
    cuda.syncthreads()
    scale_columns(
        columns, base, units, m, height, n, tops, exponents, norms, shifts, keys, bad, highest, group, groups,
        lane, lanes, quantum,
    )  # fmt: skip
    for q in range(thread, n, threads):
        order[at(q)] = real(q)
    cuda.syncthreads()

    # 2. Step by step, a reflector from the largest remaining column is applied to the others.
    together, head = min(threads, 32), cuda.local.array(2 * quantum, number)
    for j in range(n):
        position = largest_column(keys, order, n, j, thread % together, together)
        p, displaced = int32(order[at(position)]), int32(order[at(j)])

        # The reflector, by all threads together.
        total, shift = norms[at(p)], shifts[at(p)]
        top = tops[at(p)]
        if shift != 0.0:
            top = scale(top, 0.0 - shift)
        diagonal, inverse = reflector(top, total)
        if shift != 0.0:
            diagonal = scale(diagonal, shift)
        v = (base + p * units) * quantum
        make_reflector(columns, v, j, height, shift, inverse, thread, threads, quantum)
        cuda.syncthreads()

        load_head(columns, v, j, lane, lanes, quantum, head)
        size2 = sum_real(length2_of(columns, v, head, j, height, lane, lanes, quantum), lanes)
        beta = select(total > 0.0, 2.0 / size2, 0.0)
        if thread == 0:
            tops[at(p)] = diagonal
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
                s = int32(order[at(q)])
            x = (base + s * units) * quantum
            left = update_column(columns, v, x, head, beta, height, j, lane, lanes, quantum, parts, exists)
            if exists and ((j + 1) // quantum & (lanes - 1)) == lane and j + 1 < m:
                tops[at(s)] = columns[at(x + j + 1)]
            power = exponents[at(s)] - highest
            remaining_norm(columns, x, j + 1, m, left, s, power, norms, shifts, keys, lane, lanes, exists)
        cuda.syncthreads()

    # 3. Store L = Rᴴ, its columns scaled by powers of two, and for the kernels to come the reflectors.
    reaches = norms
    reach_of_rows(
        columns, base * quantum, rows, n, tops, order, exponents, reaches, highest, group, groups, lane, lanes
    )
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
            store_column(
                columns, base * quantum, rows, n, tops, order, exponents, power, triangle, b, j, lane, lanes
            )
    if has_matrix and thread == 0:
        header[b, HIGHEST] = highest
        header[b, BAD] = real(1.0) if bad else real(0.0)
    if vectors and shares and has_matrix:
        store_reflectors(
            columns, base, units, height, n, order, reflectors, b, group, groups, lane, lanes, quantum
        )
    if vectors and not shares:
        cuda.syncthreads()
        clear_above(columns, rows, n, order, group, groups, lane, lanes)
