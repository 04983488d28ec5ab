"""The preconditioner on CUDA: column-scaled, pivoted Householder QR, several threads a matrix.

    A P = Q R,   Q = H_1 ... H_n,   H_j = I - beta_j v_j v_jᴴ,   L = Rᴴ

The numerics are those of `qr`: every column has a power of two of its own, pivots are the largest
remaining norms, which are recomputed in the pass that updates, reflectors are made by `qr.reflector` from
a scaled column, and L gets exponents by the rule of `qr.scale_triangle`:

1. Columns are loaded, and scaled by powers of two.
2. Step by step, a reflector is made from the largest remaining column and applied to the others.
3. L = Rᴴ is stored, with exponents of its columns.

Layout: a matrix is columns, `rows` apart, in shared memory where it fits and else in `factor`. Columns
stay where they are; what is known of them is listed in the order of the pivots. Below the matrix rows of
zeros fill the last tile of a column, so that loops need no test of the rows. Indices of shared memory have
32 bits, those of `factor` 64.

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
from .cuda_columns import hidden, inner, length2, load_row, parted, plus_times, store_row, zeros
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
    quantum_of,
    size_and_parts,
    spaced_rows,
    sum_number,
    sum_real,
)
from .lanes import (
    abs2,
    conjugate,
    exponent,
    fine_reciprocal,
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

# What shared memory has of each column, in the order of the pivots: what the pivot is chosen by; the squared
# length of what is left, of entries times 2**-SHIFT; the power of two of its scale, and its number.
KEY, NORM, SHIFT, POWER, NUMBER, FIELDS = 0, 1, 2, 3, 4, 5


def qr_shape(m, n, kind, vectors=True, shared_bytes=SHARED_BYTES):
    """How `factor_batch` is launched on m x n matrices of a dtype; a block may have `shared_bytes`."""
    size, parts = size_and_parts(kind)
    lanes, groups = lanes_and_groups(m, n)
    bytes_kept = n * size + FIELDS * n * (size // parts)
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


def measure_columns(columns, base, units, height, n, values, fields, group, groups, lane, lanes, quantum):
    """POWER of the columns, the same for KEY where a column is not zero, and NaN for NORM where it has a NaN
    or Inf."""
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
            shift, own = exponent(big), int32(fields + FIELDS * q)
            values[at(own + POWER)] = shift
            values[at(own + KEY)] = select(big > 0.0, shift, LOWEST)
            values[at(own + NORM)] = nothing


def near(i, shares):
    """An index of shared memory in 32 bits, others as they are."""
    return int32(i) if shares else i


def place_of(k, lanes, quantum):
    """Where the k-th entry of a lane lies in a tile, after its first."""
    return k % quantum + k // quantum * (lanes * quantum)


def summary(values, fields, n, lane, lanes):
    """Whether the matrix has a NaN or Inf, and its highest exponent."""
    highest, nothing = real(LOWEST), real(0.0)
    for q in range(lane, n, lanes):
        highest = maximum(values[at(fields + FIELDS * q + KEY)], highest)
        nothing = nothing + values[at(fields + FIELDS * q + NORM)]
    highest, nothing = largest_real(highest, lanes), sum_real(nothing, lanes)
    return nothing != 0.0, select(highest > LOWEST, highest, 0.0)


def remaining_norm(columns, x, first, m, total, power, values, own, lane, lanes, exists):
    """`qr.remaining_norm` of the column that begins at x, has exponent `power` and its fields at `own`, from
    row `first` on; all lanes of the warp call it."""
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
        values[at(own + KEY)] = select(total > 0.0, key, LOWEST)
        values[at(own + NORM)] = total
        values[at(own + SHIFT)] = shift


def scale_columns(
    columns, base, units, m, height, n, tops, values, fields, bad, highest, group, groups, lane, lanes,
    quantum,
):  # fmt: skip
    """Bring every column to a largest entry in [1/2, 1), a matrix with NaN or Inf to zero; norms and keys."""
    entries = cuda.local.array(2 * quantum, number)
    for start in range(0, n, groups):
        q = start + group
        exists, own = q < n, int32(fields + FIELDS * q)
        x = (base + q * units) * quantum
        shift = values[at(own + POWER)] if exists else real(0.0)
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
            values[at(own + NUMBER)] = real(q)
        total, power = sum_real(total, lanes), shift - highest
        remaining_norm(columns, x, 0, m, total, power, values, own, lane, lanes, exists)


def largest_column(values, fields, n, j, lane, lanes):
    """The position, from j on, of the column with the largest key; the first of equals."""
    best, position = real(-math.inf), int32(n)
    for q in range(j + lane, n, lanes):
        key = values[at(fields + FIELDS * q + KEY)]
        if key > best:
            best, position = key, int32(q)
    has_largest = best == largest_real(best, lanes)
    first, own = (cuda.threadIdx.x & (WARP - 1)) - lane, (1 << lanes) - 1 if lanes < WARP else -1
    holders = (cuda.ballot_sync(EVERYONE, has_largest) >> first) & own
    if cuda.any_sync(EVERYONE, holders & (holders - 1) != 0):
        position = position if has_largest else int32(n)
        step = 1
        while step < lanes:
            position = int32(min(position, cuda.shfl_xor_sync(EVERYONE, position, step)))
            step = 2 * step
        return position
    return cuda.shfl_sync(EVERYONE, position, first + cuda.popc(int32((holders & -holders) - 1)))


def make_reflector(columns, v, j, height, shift, inverse, thread, threads, quantum):
    """Scale column v, which is the pivot's, to a reflector: from row j on, which becomes one."""
    first = int32((j & -quantum) + thread * quantum)
    if shift != 0.0:
        for i in range(first, height, threads * quantum):
            for k in range(quantum):
                if i + k > j:
                    columns[at(v + i + k)] = scale(columns[at(v + i + k)], 0.0 - shift)
    for i in range(first, height, threads * quantum):
        for k in range(quantum):
            entry, above = columns[at(v + i + k)], int32(j - i)
            scaled = number(1.0) if k == above else entry * inverse
            columns[at(v + i + k)] = entry if k < above else scaled


def load_two(columns, i, skip, quantum):
    """What a lane has of a tile of a column, two runs of numbers, the first from index i on."""
    return load_row(columns, i, 0, quantum, quantum), load_row(columns, i + skip, 0, quantum, quantum)


def below(low, high, i, skip):
    """The two runs of a lane with zeros up to entry i of the tile, counted from the first of the lane."""
    _, low = parted(low, i)
    _, high = parted(high, int32(i - skip))
    return low, high


def length2_of(columns, v, head, last, tile, skip, quantum):
    """The share of a lane in the squared length of a reflector."""
    total, i = length2(head[0], 0) + length2(head[1], 0), tile
    while i < last:
        low, high = load_two(columns, v + i, skip, quantum)
        total = total + (length2(low, 0) + length2(high, 0))
        i = i + tile
    return total


def add_inner(w, reflectors, v, columns, x, last, tile, skip, quantum):
    """w plus what a lane has of the inner product of a reflector and a column after their first tiles."""
    i = tile
    while i < last:
        factors, more_factors = load_two(reflectors, v + i, skip, quantum)
        low, high = load_two(columns, x + i, skip, quantum)
        w = w + (inner(factors, low, 0) + inner(more_factors, high, 0))
        i = i + tile
    return w


def update_column(columns, v, x, head, above, beta, last, tile, skip, lanes, quantum, parts):
    """Reflect a column; returns what is left of its squared length below the row of the step.

    v, x : where the reflector and the column have this lane's first entry of the tile with that row
    head : the reflector's entries there
    above : the number of that row in the tile, counted from the lane's first
    last : numbers from that tile on; 0 for lanes with no column
    """
    w, i = number(0.0), tile
    low = high = zeros(w, quantum)
    if last > 0:
        low, high = load_two(columns, x, skip, quantum)
        w = inner(head[0], low, 0) + inner(head[1], high, 0)
    w = add_inner(w, columns, v, columns, x, last, tile, skip, quantum)
    w = sum_number(w, lanes, parts) * (0.0 - beta)
    total = real(0.0)
    if last > 0:
        low, high = plus_times(low, w, head[0], 0), plus_times(high, w, head[1], 0)
        store_row(columns, x, low, 0, quantum)
        store_row(columns, x + skip, high, 0, quantum)
        low, high = below(low, high, above, skip)
        total = length2(low, 0) + length2(high, 0)
    while i < last:
        first, second = load_two(columns, v + i, skip, quantum)
        low, high = load_two(columns, x + i, skip, quantum)
        low, high = plus_times(low, w, first, 0), plus_times(high, w, second, 0)
        store_row(columns, x + i, low, 0, quantum)
        store_row(columns, x + i + skip, high, 0, quantum)
        total, i = total + (length2(low, 0) + length2(high, 0)), i + tile
    return sum_real(total, lanes)


def reach_of_rows(columns, base, rows, n, tops, values, fields, highest, group, groups, lane, lanes):
    """The exponent of each row of R, to NORM."""
    for start in range(0, n, groups):
        j = start + group
        reach = real(LOWEST)
        for q in range(j + lane, n, lanes):
            own = int32(fields + FIELDS * q)
            s = int32(values[at(own + NUMBER)])
            size = largest_part(tops[at(q)] if q == j else columns[at(base + s * rows + j)])
            power = exponent(size) + (values[at(own + POWER)] - highest)
            reach = maximum(select(size > 0.0, power, LOWEST), reach)
        reach = largest_real(reach, lanes)
        if j < n and lane == 0:
            values[at(fields + FIELDS * j + NORM)] = reach


def reach_up_to(values, fields, j, n, lane, lanes):
    """The largest exponent of the rows of R up to j."""
    reach = real(LOWEST)
    for k in range(lane, min(j + 1, n), lanes):
        reach = maximum(values[at(fields + FIELDS * k + NORM)], reach)
    return largest_real(reach, lanes)


def store_column(columns, base, rows, n, tops, values, fields, power, triangle, b, j, lane, lanes):
    """Store column j of L, to be multiplied by 2**power."""
    for q in range(lane, n, lanes):
        entry = number(0.0)
        if q >= j:
            own = int32(fields + FIELDS * q)
            s = int32(values[at(own + NUMBER)])
            gap = maximum(values[at(own + POWER)] - power, LEAST_EXPONENT)
            entry = scale(conjugate(tops[at(q)] if q == j else columns[at(base + s * rows + j)]), gap)
        triangle[at(b), at(j), at(q)] = entry


def store_reflectors(
    columns, base, units, height, n, values, fields, factor, group, groups, lane, lanes, quantum
):
    """Copy the reflectors to `factor`, with zeros above."""
    for start in range(group, n, groups):
        p = int32(values[at(fields + FIELDS * start + NUMBER)])
        x = (base + p * units + lane) * quantum
        to = (p * (height // quantum) + lane) * quantum
        for i in range(0, height, 2 * lanes * quantum):
            above = int32(start - i - lane * quantum)
            for k in range(2 * quantum):
                place = place_of(k, lanes, quantum)
                entry = columns[at(x + i + place)]
                factor[at(to + i + place)] = select(place >= above, entry, number(0.0))


def clear_above(columns, rows, n, values, fields, group, groups, lane, lanes):
    """Put zeros above the reflectors."""
    for j in range(group, n, groups):
        x = int32(values[at(fields + FIELDS * j + NUMBER)]) * rows
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
    m, n, tile = int32(a.shape[1]), int32(a.shape[2]), 2 * lanes * quantum
    tiles = int32((m + tile - 1) // tile)
    height = int32(tiles * tile)
    threads = lanes * groups
    matrices = cuda.blockDim.x // threads
    slot, thread = int32(cuda.threadIdx.x // threads), int32(cuda.threadIdx.x & (threads - 1))
    group, lane = int32(thread // lanes), int32(thread & (lanes - 1))
    b = cuda.blockIdx.x * matrices + slot
    has_matrix = b < a.shape[0]
    b = min(b, a.shape[0] - 1)  # spare threads repeat the last matrix and store nothing

    numbers = cuda.shared.array(0, number, alignment=16)
    values, reflectors = cuda.shared.array(0, real, alignment=16), aligned(factor[b])
    if shares:
        units = int32(tiles * (2 * lanes) + (lanes if lanes < 8 else 0))
        columns, base = numbers, int32(slot * n * units)
        begin = matrices * n * (units * quantum) + slot * n
        tops = numbers[begin : begin + n]
        fields = int32(matrices * (n * (units * quantum) + n) * parts + slot * FIELDS * n)
    else:
        units = int32(tiles * (2 * lanes))
        columns, base, tops, fields = reflectors, 0, numbers[:n], int32(n * parts)
    rows = units * quantum  # from one column to the next

    # 1. Load the columns, and scale each by a power of two.
    load_columns(a, b, columns, base * quantum, rows, height, adjoint, thread, threads)
    cuda.syncthreads()
    measure_columns(columns, base, units, height, n, values, fields, group, groups, lane, lanes, quantum)
    cuda.syncthreads()
    bad, highest = summary(values, fields, n, lane, lanes)
    cuda.syncthreads()
    scale_columns(
        columns, base, units, m, height, n, tops, values, fields, bad, highest, group, groups, lane, lanes,
        quantum,
    )  # fmt: skip
    cuda.syncthreads()

    # 2. Step by step, a reflector from the largest remaining column is applied to the others.
    together, skip, stride = min(threads, 32), lanes * quantum, hidden(2 * lanes * quantum)
    for j in range(n):
        position = largest_column(values, fields, n, j, thread & (together - 1), together)
        pivot, here = fields + FIELDS * position, fields + FIELDS * j
        p, displaced = int32(values[at(pivot + NUMBER)]), int32(values[at(here + NUMBER)])
        power_p, power_displaced = values[at(pivot + POWER)], values[at(here + POWER)]

        # The reflector, by all threads together.
        total, shift, top = values[at(pivot + NORM)], values[at(pivot + SHIFT)], tops[at(position)]
        if shift != 0.0:
            top = scale(top, 0.0 - shift)
        diagonal, inverse = reflector(top, total)
        if shift != 0.0:
            diagonal = scale(diagonal, shift)
        v = near((base + p * units) * quantum, shares)
        make_reflector(columns, v, int32(j), height, shift, inverse, thread, threads, quantum)
        cuda.syncthreads()

        begin = int32(j & -tile)  # of the tile with row j
        mine, left = int32(begin + lane * quantum), int32(height - begin)
        above, v = int32(j - mine), near(v + mine, shares)
        low, high = load_two(columns, v, skip, quantum)
        head = below(low, high, int32(above - 1), skip)
        size2 = length2_of(columns, v, head, left, stride, skip, quantum)
        size2 = sum_real(size2, lanes)
        beta = select(total > 0.0, 2.0 * fine_reciprocal(size2), 0.0)
        if thread == 0:
            tops[at(j)] = diagonal
            values[at(here + NUMBER)], values[at(here + POWER)] = real(p), power_p
            if position != j:
                values[at(pivot + NUMBER)], values[at(pivot + POWER)] = real(displaced), power_displaced
            if has_matrix:
                reals[b, BETAS, j] = beta
                reals[b, PERMUTATION, j] = real(p)

        # The remaining columns, each by a group. One of its lanes has the row after this one.
        after = int32(j + 1)
        has_next = after & (skip - quantum) == lane * quantum and after < m
        own = fields + FIELDS * (j + 1 + group)
        for start in range(j + 1, n, groups):
            q = start + group
            last = int32(left if q < n else 0)
            exists, s, power = last > 0, displaced, power_displaced
            if exists and q != position:
                s, power = int32(values[at(own + NUMBER)]), values[at(own + POWER)]
            x = near((base + s * units) * quantum, shares)
            total = update_column(
                columns,
                v,
                near(x + mine, shares),
                head,
                above,
                beta,
                last,
                stride,
                skip,
                lanes,
                quantum,
                parts,
            )
            if exists and has_next:
                tops[at(q)] = columns[at(near(x + after, shares))]
            power = power - highest
            remaining_norm(columns, x, j + 1, m, total, power, values, own, lane, lanes, exists)
            own = own + FIELDS * groups
        cuda.syncthreads()

    # 3. Store L = Rᴴ, its columns scaled by powers of two, and for the kernels to come the reflectors.
    reach_of_rows(columns, base * quantum, rows, n, tops, values, fields, highest, group, groups, lane, lanes)
    cuda.syncthreads()
    for start in range(0, n, groups):
        j = start + group
        highest_yet = reach_up_to(values, fields, j, n, lane, lanes)
        if has_matrix and j < n:
            reach = values[at(fields + FIELDS * j + NORM)]
            power = select(reach > LOWEST, reach, 0.0)
            power = select(reach > highest_yet - NEAR, highest_yet, power)
            if lane == 0:
                reals[b, POWERS, j] = power
            power = power + highest
            store_column(
                columns, base * quantum, rows, n, tops, values, fields, power, triangle, b, j, lane, lanes
            )
    if has_matrix and thread == 0:
        header[b, HIGHEST] = highest
        header[b, BAD] = real(1.0) if bad else real(0.0)
    if vectors and shares and has_matrix:
        store_reflectors(
            columns,
            base,
            units,
            height,
            n,
            values,
            fields,
            reflectors,
            group,
            groups,
            lane,
            lanes,
            quantum,
        )
    if vectors and not shares:
        cuda.syncthreads()
        clear_above(columns, rows, n, values, fields, group, groups, lane, lanes)
