"""One-sided Jacobi with a matrix in global memory: pairs of blocks of columns, one block of threads a
matrix.

    L = X Σ Wᴴ

The columns form an even number of blocks of w. Two blocks meet at a time, every two once a sweep, row by row
of the table of pairs:

1. The Gram matrix of the 2 w mantissa columns, in shared memory: cosines, exact to eps, whatever the
   columns' exponents. If none is above the tolerance, that is all.
2. Every column of the one block meets every column of the other, w pairs at a time (`schedule`); where
   neighbours 2 k and 2 k + 1 meet, also those of its own block: each pair of columns once a sweep. The
   rotations, by `jacobi.turn`, are applied to the Gram matrix from both sides and accumulated twice: as
   they act on mantissas, T, and as they act on W. Neither follows from the other: a transform accumulated
   unscaled has an absolute error of eps, which adds eps of a large column to a tiny one and loses the
   relative accuracy of its singular value.
3. The columns of L are multiplied by T, those of W by the other.

Rotations are those of the other Jacobi kernels: no cosines, but scales with what rounding drops. A column
that has lost its digits, or whose length or scale has left the range, sits out until its block has been
multiplied and it is renewed: its cosine or sine has been large, and brings about another sweep. All are
renewed before a sweep.

Orders compared by a model in NumPy, sweeps in float64 for n = 256 Gaussian and of condition 1e8, w = 16: row
by row 9 and 8, round-robin 10 and 9; round-robin with all pairs in every meeting 9 and 8, twice over 9 and 7,
for two and four times the rotations.

Mapping: a block of 8 w threads goes through all meetings and sweeps by itself, with no other barrier than
its own, so nothing is launched in vain and nothing read back. A batch smaller than the device leaves the
rest of it idle; meetings of disjoint blocks could share it. Products: columns in tiles of some rows in
shared memory, 16 threads along the rows, every thread some rows and four columns in registers.

Shared memory: 2 w (6 w + 3 q) numbers, 2 w (2 w + q) less without vectors, 2 w (tile + q) for the tile, 4 w
for a round; 4 real numbers a column, and 8 w; q numbers are 16 bytes, which are loaded at once. Flops: 6 n³
a sweep in multiplications and additions, 4 n³ more with vectors, complex ones four times that. Traffic with
global memory: 3 n³ / w numbers a sweep, 2 n³ / w more with vectors.

Stopping rule: as `jacobi.orthogonalise`.

References: Arbenz and Oettli, "Block implementations of the symmetric QR and Jacobi algorithms", 1992;
Bečka, Okša and Vajteršic, "Dynamic ordering for a parallel block-Jacobi SVD algorithm", Parallel
Computing 28 (2002); Hari, "Accelerating the SVD block-Jacobi method", Computing 75 (2005).
"""

import math

from numba import cuda, int32

from .cuda_buffers import BAD, CONVERGED, OFF, POWERS, SIGMA, SWEEPS
from .cuda_warp import (
    SHARED_BYTES,
    SIZES,
    WARP,
    LaunchShape,
    at,
    largest_real,
    plus_dot,
    plus_product,
    quantum_of,
    size_and_parts,
    sum_real,
)
from .jacobi import (
    CANCELLED,
    EXPONENT,
    KEPT,
    LENGTH2,
    LONG,
    MAX_SWEEPS,
    REST,
    SCALE,
    SHORT,
    needs_another_sweep,
    turn,
)
from .lanes import (
    abs2,
    conjugate,
    exponent,
    half_of,
    largest_part,
    maximum,
    power_of_two,
    rounding,
    scale,
    small_square,
)
from .qr import LOWEST
from .scalars import number, real
from .schedule import meeting

ACROSS = 16  # threads along the rows of a product
ROTATION = 4  # numbers that say what a rotation does
PAIR = 6  # real numbers a pair of columns of a meeting
BLOCKED_REGISTERS = 128  # of a thread; none of the inner loops needs more


def blocked_shape(n, kind, vectors=True, width=None, shared_bytes=SHARED_BYTES):
    """How `orthogonalise_blocks` is launched, with a block a matrix; it may have `shared_bytes`.

    `width` is the largest number of columns of a block of columns, a multiple of four.
    """
    width = width or (32 if kind == "float32" else 16)
    _, parts = size_and_parts(kind)
    while width > 4 and blocked_bytes(n, kind, vectors, width) > shared_bytes:
        width //= 2
    constants = {
        "parts": parts, "width": width, "tile": tile_rows(kind), "quantum": quantum_of(kind),
        "vectors": bool(vectors),
    }  # fmt: skip
    return LaunchShape(constants, 8 * width, 1, blocked_bytes(n, kind, vectors, width), BLOCKED_REGISTERS)


def tile_rows(kind):
    """The rows of columns that are multiplied at a time."""
    return 64 if SIZES[kind] < 16 else 32


def blocked_bytes(n, kind, vectors, width):
    """What a block takes of shared memory."""
    size, parts = size_and_parts(kind)
    quantum, columns = quantum_of(kind), n + block_count(n, width)
    matrices = 2 * width * (2 * width + quantum) * (3 if vectors else 2)
    numbers = matrices + 2 * width * (tile_rows(kind) + quantum) + ROTATION * width
    return numbers * size + (KEPT * columns + PAIR * width) * (size // parts)


def block_count(n, width):
    """Return the even number of blocks of at most `width` columns."""
    return 2 * ((n + 2 * width - 1) // (2 * width))


def column_of(slot, w, left, right):
    """The number of the column in a slot of a meeting of the blocks that begin at `left` and `right`."""
    return left + slot if slot < w else right + slot - w


def pair_of(i, round_number, w, all_pairs):
    """The slots of the i-th pair in a round of a meeting."""
    if all_pairs:
        return meeting(2 * w, round_number, i)
    q = i + round_number
    return i, q + w if q < w else q


def length2_of(columns, j, n, lane):
    """|x_j|², by all lanes of a warp."""
    total = real(0.0)
    for i in range(lane, n, WARP):
        total = total + abs2(columns[at(j), at(i)])
    return sum_real(total, 32)


def scale_rows(columns, j, n, lane, shift):
    for i in range(lane, n, WARP):
        columns[at(j), at(i)] = scale(columns[at(j), at(i)], shift)


def renew(l_columns, w_columns, j, n, state, lane, vectors):
    """`jacobi.renew` of column j, by a warp."""
    record = KEPT * j
    total = length2_of(l_columns, j, n, lane)
    shift, back = real(0.0), real(0.0)
    if total < SHORT or total > LONG:
        shift = half_of(exponent(total))
        if total < small_square(total):
            big = real(0.0)
            for i in range(lane, n, WARP):
                big = maximum(largest_part(l_columns[at(j), at(i)]), big)
            shift = exponent(largest_real(big, 32))
    if shift != 0.0:
        scale_rows(l_columns, j, n, lane, 0.0 - shift)
        total = length2_of(l_columns, j, n, lane)
    factor = state[at(record + SCALE)]
    if factor < SHORT:
        back = half_of(exponent(factor))
        if vectors:
            scale_rows(w_columns, j, n, lane, back)
    cuda.syncwarp()
    if lane == 0:
        unscale = power_of_two(0.0 - back) * power_of_two(0.0 - back)
        state[at(record + LENGTH2)] = total
        state[at(record + SCALE)] = factor * unscale
        state[at(record + REST)] = state[at(record + REST)] * unscale
        state[at(record + EXPONENT)] = state[at(record + EXPONENT)] + shift + back


def stage(columns, numbers, staged, first, n, left, right, w, width, tile, quantum, thread):
    """Copy rows `first` to `first + tile` of the columns that meet to shared memory, column by column; zero
    where there are none."""
    lane, pitch = thread % WARP, tile + quantum
    for side in range(2):
        begin, place = (right, staged + w * pitch) if side else (left, staged)
        for i in range(thread // WARP, w, width // 4):
            j = begin + i
            rows = n - first if j < n else 0
            for k in range(tile // WARP):
                row = k * WARP + lane
                entry = number(0.0)
                if row < rows:
                    entry = columns[at(j), at(first + row)]
                numbers[at(place + i * pitch + row)] = entry


def make_gram(columns, numbers, staged, gram, n, left, right, w, width, tile, quantum, parts, thread):
    """Inner products of all columns that meet; entry (p, q) is x_pᴴ x_q.

    A thread takes the columns p that are its row modulo ACROSS, and q that are its column modulo `down`. Of
    blocks of ACROSS x ACROSS entries those below the diagonal follow from those above.
    """
    line, pitch, down = 2 * width + quantum, tile + quantum, width // 2
    row, column = thread % ACROSS, thread // ACROSS
    high, each = (2 * width + ACROSS - 1) // ACROSS, 4
    sums = cuda.local.array(((2 * width + ACROSS - 1) // ACROSS) * 4, number)
    x, y = (
        cuda.local.array(((2 * width + ACROSS - 1) // ACROSS) * quantum, number),
        cuda.local.array(4 * quantum, number),
    )
    for e in range(high * each):
        sums[e] = number(0.0)
    first_x, first_y = staged + min(row, 2 * width - 1) * pitch, staged + column * pitch
    for first in range(0, n, tile):
        stage(columns, numbers, staged, first, n, left, right, w, width, tile, quantum, thread)
        cuda.syncthreads()
        for r in range(0, min(tile, n - first), quantum):
            for i in range(quantum):
                for k in range(high):
                    x[k * quantum + i] = numbers[at(first_x + r + (k * ACROSS * pitch + i))]
                for c in range(each):
                    y[c * quantum + i] = numbers[at(first_y + r + (c * down * pitch + i))]
            for i in range(quantum):
                for k in range(high):
                    for c in range(each):
                        if c * down // ACROSS >= k:
                            place = k * each + c
                            sums[place] = plus_dot(sums[place], x[k * quantum + i], y[c * quantum + i], parts)
        cuda.syncthreads()
    for k in range(high):
        for c in range(each):
            p, q = row + k * ACROSS, column + c * down
            if c * down // ACROSS >= k and p < 2 * width:
                numbers[at(gram + p * line + q)] = sums[k * each + c]
                if c * down // ACROSS > k:
                    numbers[at(gram + q * line + p)] = conjugate(sums[k * each + c])


def multiply(columns, numbers, staged, turns, n, left, right, w, width, tile, quantum, parts, thread):
    """Multiply the columns that meet by a matrix in shared memory, in place. A thread takes runs of `quantum`
    rows, ACROSS runs apart, and four neighbouring columns."""
    line, pitch = 2 * width + quantum, tile + quantum
    row, column = thread % ACROSS * quantum, thread // ACROSS * 4
    high, each = tile // ACROSS, 4
    first_x, first_t = staged + row, turns + column
    sums = cuda.local.array((tile // ACROSS) * 4, number)
    x, t = cuda.local.array(tile // ACROSS, number), cuda.local.array(4, number)
    for first in range(0, n, tile):
        stage(columns, numbers, staged, first, n, left, right, w, width, tile, quantum, thread)
        cuda.syncthreads()
        for e in range(high * each):
            sums[e] = number(0.0)
        for k in range(0, 2 * w, 2):
            for i in range(2):
                for r in range(high):
                    place = r % quantum + r // quantum * quantum * ACROSS
                    x[r] = numbers[at(first_x + k * pitch + (i * pitch + place))]
                for c in range(each):
                    t[c] = numbers[at(first_t + k * line + (i * line + c))]
                for r in range(high):
                    for c in range(each):
                        sums[r * each + c] = plus_product(sums[r * each + c], t[c], x[r], parts)
        for c in range(each):
            j = column_of(column + c, w, left, right)
            rows = n - first if column + c < 2 * w and j < n else 0
            for r in range(high):
                i = row + (r % quantum + r // quantum * quantum * ACROSS)
                if i < rows:
                    columns[at(j), at(first + i)] = sums[r * each + c]
        cuda.syncthreads()


def largest_cosine(numbers, gram, state, left, right, w, width, line, all_pairs, thread):
    """Return the largest cos² of this thread's share of the pairs that are to meet."""
    cos2 = real(0.0)
    for p in range(thread // ACROSS, 2 * w, width // 2):
        length2 = state[at(KEPT * column_of(p, w, left, right) + LENGTH2)]
        for q in range(thread % ACROSS, 2 * w, ACROSS):
            if p < q and (all_pairs or (p < w and q >= w)):
                product = length2 * state[at(KEPT * column_of(q, w, left, right) + LENGTH2)]
                size2 = abs2(numbers[at(gram + p * line + q)])
                if size2 > 0.0 and product > 0.0:
                    cos2 = maximum(size2 / product, cos2)
    return cos2


def make_identity(numbers, turns, width, line, thread):
    for p in range(thread // ACROSS, 2 * width, width // 2):
        for q in range(thread % ACROSS, 2 * width, ACROSS):
            numbers[at(turns + p * line + q)] = number(1.0) if p == q else number(0.0)


def rotate_columns(numbers, turns, rotations, paired_slots, w, width, line, parts, thread):
    """Apply the rotations of a round to the columns of a matrix in shared memory; two numbers of each begin
    at `rotations`."""
    down = width // 2
    for i in range(thread % ACROSS, w, ACROSS):
        row = turns + thread // ACROSS * line
        p, q = row + paired_slots[at(2 * i)], row + paired_slots[at(2 * i + 1)]
        minus, b = numbers[at(rotations + ROTATION * i)], numbers[at(rotations + ROTATION * i + 1)]
        for k in range(4):
            x, y = numbers[at(p + k * down * line)], numbers[at(q + k * down * line)]
            numbers[at(p + k * down * line)] = plus_product(x, minus, y, parts)
            numbers[at(q + k * down * line)] = plus_product(y, b, x, parts)


def rotate_gram(numbers, gram, rotations, paired_slots, w, width, line, parts, thread):
    """Apply the rotations of a round to the Gram matrix, from both sides: where two pairs cross, to four
    entries."""
    down = width // 2
    for k in range(thread % ACROSS, w, ACROSS):
        u, v = gram + paired_slots[at(2 * k)], gram + paired_slots[at(2 * k + 1)]
        minus, b = numbers[at(rotations + ROTATION * k)], numbers[at(rotations + ROTATION * k + 1)]
        for i in range(thread // ACROSS, w, down):
            p, q = paired_slots[at(2 * i)] * line, paired_slots[at(2 * i + 1)] * line
            pu, pv, qu, qv = at(p + u), at(p + v), at(q + u), at(q + v)
            if i == k:
                numbers[pv] = number(0.0)
                numbers[qu] = number(0.0)
            else:
                minus_c = conjugate(numbers[at(rotations + ROTATION * i)])
                cb = conjugate(numbers[at(rotations + ROTATION * i + 1)])
                x0, y0, x1, y1 = numbers[pu], numbers[pv], numbers[qu], numbers[qv]
                z0, z1 = plus_product(x0, minus, y0, parts), plus_product(x1, minus, y1, parts)
                t0, t1 = plus_product(y0, b, x0, parts), plus_product(y1, b, x1, parts)
                numbers[pu] = plus_product(z0, minus_c, z1, parts)
                numbers[qu] = plus_product(z1, cb, z0, parts)
                numbers[pv] = plus_product(t0, minus_c, t1, parts)
                numbers[qv] = plus_product(t1, cb, t0, parts)


def start(basis, reals, b, n, columns, state, vectors, thread, threads):
    """Set up the records of the columns, and W = I."""
    for j in range(thread, columns, threads):
        state[at(KEPT * j + LENGTH2)] = 0.0
        state[at(KEPT * j + SCALE)] = 1.0
        state[at(KEPT * j + REST)] = 0.0
        state[at(KEPT * j + EXPONENT)] = reals[at(b), POWERS, at(j)] if j < n else real(0.0)
    if vectors:
        for j in range(thread // WARP, n, threads // WARP):
            for i in range(thread % WARP, n, WARP):
                basis[at(b), at(j), at(i)] = number(1.0) if i == j else number(0.0)


def finish(l_columns, w_columns, reals, b, n, state, vectors, thread, threads):
    """As `jacobi.finish_columns`, a column a warp; also the columns of W to length one."""
    lane = thread % WARP
    for j in range(thread // WARP, n, threads // WARP):
        total = length2_of(l_columns, j, n, lane)
        length = math.sqrt(total)
        inverse = 1.0 / length if total > 0.0 else real(0.0)
        for i in range(lane, n, WARP):
            l_columns[at(j), at(i)] = l_columns[at(j), at(i)] * inverse
        if vectors:
            unit = 1.0 / math.sqrt(length2_of(w_columns, j, n, lane))
            for i in range(lane, n, WARP):
                w_columns[at(j), at(i)] = w_columns[at(j), at(i)] * unit
        if lane == 0:
            value = length * math.sqrt(state[at(KEPT * j + SCALE)] + state[at(KEPT * j + REST)])
            shift = exponent(value)
            power = state[at(KEPT * j + EXPONENT)] + shift
            reals[at(b), SIGMA, at(j)] = scale(value, 0.0 - shift)
            reals[at(b), POWERS, at(j)] = power if total > 0.0 else real(LOWEST)


def orthogonalise_blocks(triangle, basis, reals, header, parts, width, tile, quantum, vectors):
    """Orthogonalise the columns of a batch of triangles; the arrays are those of
    `cuda_group.orthogonalise_groups`.

    parts, width, tile, quantum, vectors : constants, as `blocked_shape` has them.

    Launched with a block a matrix.
    """
    b, n = cuda.blockIdx.x, int32(triangle.shape[1])
    if header[at(b), BAD] != 0.0:
        return
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    warp, lane, warps = thread // WARP, thread % WARP, threads // WARP
    blocks = block_count(n, width)
    w = (n + blocks - 1) // blocks
    line, size, columns = 2 * width + quantum, 2 * w, blocks * w
    matrix = 2 * width * line

    # Shared memory, divided as `blocked_shape` counts it.
    numbers = cuda.shared.array(0, number, alignment=16)
    values = cuda.shared.array(0, real, alignment=16)
    gram, turns, turns_w = 0, matrix, 2 * matrix
    staged = 3 * matrix if vectors else 2 * matrix
    rotations = staged + 2 * width * (tile + quantum)
    first = (rotations + ROTATION * width) * parts
    state = values[first : first + KEPT * columns]
    first = first + KEPT * columns
    paired_slots = cuda.shared.array(2 * width, int32)
    may_rotate, floors = values[first : first + size], values[first + size : first + 2 * size]
    peaks = values[first + 2 * size : first + 2 * size + 2 * width]
    l_columns, w_columns = triangle[b], basis[b if vectors else 0]

    start(basis, reals, b, n, columns, state, vectors, thread, threads)
    for e in range(thread, 2 * width * (tile + quantum), threads):
        numbers[at(staged + e)] = number(0.0)  # places that no block fills stay zero
    cuda.syncthreads()
    tol2 = real(n) * rounding(numbers) * rounding(numbers)
    count, off, alive = real(0.0), real(0.0), True
    for _sweep in range(MAX_SWEEPS):
        for j in range(warp, n, warps):
            renew(l_columns, w_columns, j, n, state, lane, vectors)
        cuda.syncthreads()
        cos2, sin2 = real(0.0), real(0.0)
        s, t = 0, 0
        for _meeting in range(blocks * (blocks - 1) // 2):
            t = t + 1
            if t == blocks:
                s, t = s + 1, s + 2
            left, right, all_pairs = s * w, t * w, s % 2 == 0 and t == s + 1

            # 1. The Gram matrix of the columns, and their lengths and cosines from it.
            make_gram(
                l_columns, numbers, staged, gram, n, left, right, w, width, tile, quantum, parts, thread
            )
            cuda.syncthreads()
            for slot in range(thread, size, threads):
                length2 = math.sqrt(abs2(numbers[at(gram + slot * line + slot)]))
                state[at(KEPT * column_of(slot, w, left, right) + LENGTH2)] = length2
                floors[at(slot)] = length2 * CANCELLED
                may_rotate[at(slot)] = real(1.0)
            cuda.syncthreads()
            cosine2 = largest_cosine(numbers, gram, state, left, right, w, width, line, all_pairs, thread)
            cos2 = maximum(cosine2, cos2)
            if cuda.syncthreads_or(1 if cosine2 > tol2 else 0) != 0:
                # 2. Round by round, every pair is rotated; the columns wait.
                make_identity(numbers, turns, width, line, thread)
                if vectors:
                    make_identity(numbers, turns_w, width, line, thread)
                for round_number in range(size - 1 if all_pairs else w):
                    if thread < w:
                        p, q = pair_of(thread, round_number, w, all_pairs)
                        j, k = column_of(p, w, left, right), column_of(q, w, left, right)
                        paired_slots[at(2 * thread)], paired_slots[at(2 * thread + 1)] = p, q
                        both = may_rotate[at(p)] + may_rotate[at(q)] == 2.0
                        a, b_, aw, bw, _active, lost, c, d = turn(
                            j, k, numbers[at(gram + p * line + q)], both, tol2, state
                        )
                        cos2, sin2 = maximum(c, cos2), maximum(d, sin2)
                        numbers[at(rotations + ROTATION * thread)] = 0.0 - a
                        numbers[at(rotations + ROTATION * thread + 1)] = b_
                        numbers[at(rotations + ROTATION * thread + 2)] = 0.0 - aw
                        numbers[at(rotations + ROTATION * thread + 3)] = bw
                        if lost or is_out(state, j, floors[at(p)]):
                            may_rotate[at(p)] = 0.0
                        if lost or is_out(state, k, floors[at(q)]):
                            may_rotate[at(q)] = 0.0
                    cuda.syncthreads()
                    rotate_gram(numbers, gram, rotations, paired_slots, w, width, line, parts, thread)
                    rotate_columns(numbers, turns, rotations, paired_slots, w, width, line, parts, thread)
                    if vectors:
                        rotate_columns(
                            numbers, turns_w, rotations + 2, paired_slots, w, width, line, parts, thread
                        )
                    cuda.syncthreads()

                # 3. The columns are multiplied by the accumulated rotations; those that sat out are renewed.
                multiply(
                    l_columns, numbers, staged, turns, n, left, right, w, width, tile, quantum, parts, thread
                )
                if vectors:
                    multiply(
                        w_columns,
                        numbers,
                        staged,
                        turns_w,
                        n,
                        left,
                        right,
                        w,
                        width,
                        tile,
                        quantum,
                        parts,
                        thread,
                    )
                for slot in range(warp, size, warps):
                    j = column_of(slot, w, left, right)
                    if may_rotate[at(slot)] == 0.0 and j < n:
                        renew(l_columns, w_columns, j, n, state, lane, vectors)
                cuda.syncthreads()

        # Another sweep, unless the cosines of the next would be below the tolerance.
        cos2, sin2 = over_block(cos2, peaks, thread, threads), over_block(sin2, peaks, thread, threads)
        count = count + 1.0
        ahead = (real(n) * cos2) * (real(n) * maximum(cos2, sin2))
        off = math.sqrt(ahead if ahead < cos2 else cos2)
        alive = cos2 > tol2 and needs_another_sweep(real(n), cos2, sin2, tol2)
        if not alive:
            break
    finish(l_columns, w_columns, reals, b, n, state, vectors, thread, threads)
    if thread == 0:
        header[at(b), CONVERGED] = real(0.0) if alive else real(1.0)
        header[at(b), SWEEPS] = count
        header[at(b), OFF] = off


def is_out(state, j, floor):
    """Whether column j is to sit out: it has lost its digits or is due to be renewed, and is not zero."""
    length2 = state[at(KEPT * j + LENGTH2)]
    return length2 > 0.0 and (
        length2 <= floor or length2 < SHORT or length2 > LONG or state[at(KEPT * j + SCALE)] < SHORT
    )


def over_block(x, peaks, thread, threads):
    """The largest over all threads of the block."""
    x = largest_real(x, 32)
    if thread % WARP == 0:
        peaks[at(thread // WARP)] = x
    cuda.syncthreads()
    for i in range(threads // WARP):
        x = maximum(peaks[at(i)], x)
    cuda.syncthreads()
    return x
