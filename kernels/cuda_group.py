"""One-sided Jacobi with a matrix in the registers of a part of a warp, of a warp, or of several.

    L = X Σ Wᴴ

Layout: a group of g lanes holds a pair of columns x, y of L and the same columns w, v of W, row i in lane i
mod g, ceil(n / g) rows a lane, padded with zeros. ceil(n / 2) groups hold a matrix, with one zero column
more if n is odd. A block holds as many matrices as `group_shape` says, one after the other with no regard
to where a warp ends.

Order of the pairs: odd-even transposition (Luk and Park 1989). The columns, the zero column among them,
stand on N = 2 ceil(n / 2) places; those of places 2i and 2i + 1, in odd rounds those of 2i + 1 and 2i + 2,
meet and change places. After N rounds every two columns have met once, whether or not n is a power of two.
Group i moves along by a place a round: for it x stays, and y goes to the group before it, from the first to
the last. In odd rounds the last place and the first are no neighbours: their columns sit out, and x and y
change roles. A sweep is N rounds (1 to 3) and a decision (4):

1. Columns that have lost their digits or left the range are renewed; before a sweep all are.
2. Each group rotates its pair of columns.
3. The columns move on.
4. The largest cosine and sine of a matrix say whether it needs another sweep.

After pivoted QR this takes as many sweeps as the order of `jacobi` for Gaussian matrices and clusters,
one or two more for graded spectra; half a sweep less than recursive halving, on clusters in float64 up to
five (plain NumPy, n = 8 to 32). From which places the columns start makes no difference.

Mapping: a column moves by a shuffle, and where its next group is in another warp through shared memory, of
which two rounds use different halves: one barrier a round. So do the two that sit out where a block has
several warps: exchanged by selects, or under a branch in registers, they cost a fifth of a round, or as many
registers again. What `jacobi` keeps of a column moves with it,
and all lanes of a group compute its rotation. A matrix that has converged stands still, its columns moving
on, until all of its block have: nothing about it depends on the others. Loops over rows are unrolled by the
compiler, and two rounds in single precision; no other is.

Few kernels: one for each g, rows of a lane (from the short list ROWS, which costs a round an eighth at most),
whether a block has one warp or several, and with W or without; n and the matrices and warps of a block are
numbers that it is launched with. So n = 5 to 128 take 31 kernels in float32 with vectors, where one for each
n would be 124, and with those of the other phases 54 for 496.

Shared memory, dynamic: 2 ceil(n / 2) reals a matrix, and if a block has more than one warp, 2 g columns a
warp, or a warp and a matrix, and 4 g a matrix. Flops: a sweep is n (n - 1) / 2 pairs, each 5 n multiply-adds
with W and 3 n without.

Stopping rule: that of `jacobi.orthogonalise`.

References: Luk and Park, "A proof of convergence for two parallel Jacobi SVD algorithms", IEEE Trans.
Comput. 38 (1989); Brent and Luk, "The solution of singular-value and symmetric eigenvalue problems on
multiprocessor arrays", SIAM J. Sci. Stat. Comput. 6 (1985); for the rotations see `rotation`.
"""

import math

from numba import cuda, uint32, uint64

from .cuda_buffers import BAD, CONVERGED, OFF, POWERS, SIGMA, SWEEPS
from .cuda_warp import (
    EVERYONE,
    WARP,
    LaunchShape,
    at,
    complex_of,
    largest_real,
    plus_product,
    shuffle_real,
    shuffled,
    size_and_parts,
    sum_number,
    sum_real,
)
from .jacobi import (
    EXPONENT,
    KEPT,
    LENGTH2,
    LONG,
    MAX_SWEEPS,
    REST,
    SCALE,
    SHORT,
    needs_another_sweep,
    strayed,
    turn,
)
from .lanes import (
    abs2,
    exponent,
    half_of,
    largest_part,
    load,
    maximum,
    power_of_two,
    rounding,
    scale,
    select,
    small_square,
    store,
)
from .qr import LOWEST
from .scalars import number, real

ORIGIN = KEPT  # of a column that moves, after its record: its number at the start
MOVED = KEPT + 1

MOST_WARPS = 16  # of a block, half as many if it holds several matrices
SCHEDULERS, SCHEDULER_REGISTERS = 4, 16384  # of a multiprocessor; of a scheduler
MOST_REGISTERS, MOST_SPILLED = 245, 40  # of a thread, as estimated
MOST_SHARED = 63 * 1024  # of a block, which every GPU has
WORDS_PER_NUMBER = {"float32": 1, "float64": 2, "complex64": 2, "complex128": 4}
# Instructions of a round: for a row, for all that is not rows, and for a column in shared memory.
ROW = {"float32": 11, "float64": 22, "complex64": 32, "complex128": 64}
ROUND = {"float32": 230, "float64": 340, "complex64": 260, "complex128": 380}
CROSSING = 50
WAITING = 600  # cycles of a round in which a warp waits for its own results


# What a lane may hold of a column: padding takes up to an eighth more rows, and each has a kernel.
ROWS = (5, 6, 7, 8, 9, 10, 12, 14, 16, 17, 19, 20, 24, 28, 32, 34, 35, 40, 43, 48, 56, 64, 70)


def registers_of(rows, kind, vectors, crossing):
    """What a thread needs so that nothing spills, measured with ptxas 13.3 for sm_90."""
    data = rows * WORDS_PER_NUMBER[kind] * (4 if vectors else 2)
    if kind == "float32":
        return max(5 * data // 4 + 48, 11 * data // 8 + (52 if crossing else 40))
    return 5 * data // 4 + {"float64": 66, "complex64": 72, "complex128": 72}[kind] + (7 if crossing else 0)


def group_shape(n, kind, vectors=True):
    """How `orthogonalise_groups` is launched for n columns of a dtype, a `LaunchShape`.

    Among the lanes, rows and matrices that exceed the available registers least, if possible not at all, it
    takes those that need the fewest cycles a matrix: few lanes, because each computes the rotation, matrices
    that fill their warps, and enough warps. None where registers do not hold a matrix: n > 128, n > 96 in
    float64 and complex64, n > 64 in complex128; without vectors n > 128 and in complex128 n > 96.
    """
    groups, best, least = (n + 1) // 2, None, (MOST_SPILLED + 1, 0.0)
    for lanes in (1, 2, 4, 8) if n <= 128 else ():
        rows = next((rows for rows in ROWS if rows * lanes >= n), 0)
        for warps in range(1, MOST_WARPS + 1):
            matrices, crossing = warps * WARP // (groups * lanes), warps > 1
            if not rows or matrices == 0 or (matrices > 1 and 2 * warps > MOST_WARPS):
                continue
            _, parts = size_and_parts(kind)
            constants = {
                "parts": parts, "words_per_real": WORDS_PER_NUMBER[kind] // parts, "lanes": lanes,
                "rows": rows, "crossing": crossing, "vectors": bool(vectors),
            }  # fmt: skip
            shared = shared_bytes(groups, matrices, warps, **constants)
            if shared > MOST_SHARED:
                continue
            needed = registers_of(rows, kind, vectors, crossing)
            warps_a_scheduler = max(1, SCHEDULER_REGISTERS // (WARP * ((needed + 7) // 8 * 8)))
            blocks = min(32, warps_a_scheduler * SCHEDULERS // warps)
            warps_a_scheduler = max(warps_a_scheduler, (warps + SCHEDULERS - 1) // SCHEDULERS)
            available = SCHEDULER_REGISTERS // (WARP * warps_a_scheduler) // 8 * 8
            row = ROW[kind] if vectors else 0.6 * ROW[kind]
            work = rows * row + ROUND[kind] + (CROSSING + rows * WORDS_PER_NUMBER[kind] if crossing else 0)
            at_once = max(1, blocks) * warps / SCHEDULERS
            cost = warps * max(work, (work + WAITING) / at_once) / matrices
            lacking = max(0, needed - min(MOST_REGISTERS, available))
            if (lacking, cost) < least:
                least = lacking, cost
                best = LaunchShape(constants, warps * WARP, matrices, shared, min(255, available))
    return best


def shared_bytes(groups, matrices, warps, parts, words_per_real, lanes, rows, crossing, vectors):
    """Return the bytes of shared memory of a block."""
    moving = slots_of(groups * lanes, matrices, warps, lanes) * line_of(rows, parts, words_per_real, vectors)
    return 4 * words_per_real * (2 * groups * matrices + (2 * moving if crossing else 0))


def line_of(rows, parts, words_per_real, vectors):
    """Reals from one column that moves to the next in shared memory, where 16 bytes move at once."""
    quantum = 4 // words_per_real
    return (rows * parts * (1 + vectors) + MOVED + quantum - 1) // quantum * quantum


def slots_of(span, matrices, warps, lanes):
    """Parts of columns that move through shared memory in a round, at most: of those that leave a warp, and
    of the two of each matrix that sit out."""
    return (warps + (0 if span % WARP == 0 else matrices) + 2 * matrices) * lanes


def inner_product(x, y, parts):
    """Of this lane's rows. In two sums, or three of complex numbers: additions wait for each other."""
    if parts == 2:
        first, plus, minus = real(0.0), real(0.0), real(0.0)
        for i in range(x.shape[0]):
            first = (first + x[i].real * y[i].real) + x[i].imag * y[i].imag
            plus, minus = plus + x[i].real * y[i].imag, minus + x[i].imag * y[i].real
        return complex_of(first, plus - minus)
    even, odd = x[0] * y[0], real(0.0)
    for i in range(1, x.shape[0]):
        if i % 2 == 1:
            odd = odd + x[i] * y[i]
        else:
            even = even + x[i] * y[i]
    return even + odd


def length2_of(x, lanes):
    total = abs2(x[0])
    for i in range(1, x.shape[0]):
        total = total + abs2(x[i])
    return sum_real(total, lanes)


def scale_rows(x, shift):
    for i in range(x.shape[0]):
        x[i] = scale(x[i], shift)


def renew(x, w, state, j, lanes, vectors, mask):
    """`jacobi.renew` of the column whose record is number j of `state`; all lanes of the warp call it."""
    record = KEPT * j
    total = length2_of(x, lanes)
    small = mask and total < small_square(total)
    far = mask and (total < SHORT or total > LONG)
    shift = half_of(exponent(total)) if far else real(0.0)
    if cuda.any_sync(EVERYONE, small):
        big = largest_part(x[0])
        for i in range(1, x.shape[0]):
            big = maximum(largest_part(x[i]), big)
        big = largest_real(big, lanes)
        shift = exponent(big) if small else shift
    if cuda.any_sync(EVERYONE, shift != 0.0):
        scale_rows(x, -shift)
        total = length2_of(x, lanes)
    store(state, record + LENGTH2, select(mask, total, load(state, record + LENGTH2)))
    factor = load(state, record + SCALE)
    back = half_of(exponent(factor)) if mask and factor < SHORT else real(0.0)
    if back != 0.0:
        if vectors:
            scale_rows(w, back)
        unscale = power_of_two(-back) * power_of_two(-back)
        store(state, record + SCALE, factor * unscale)
        store(state, record + REST, load(state, record + REST) * unscale)
    store(state, record + EXPONENT, load(state, record + EXPONENT) + shift + back)


def apply(x, y, a, b, parts):
    minus = 0.0 - a
    for i in range(x.shape[0]):
        xi, yi = x[i], y[i]
        x[i] = plus_product(xi, minus, yi, parts)
        y[i] = plus_product(yi, b, xi, parts)


def swap(x, y, where):
    """Exchange x and y where the mask holds, by selects: a branch costs as many registers again."""
    for i in range(x.shape[0]):
        xi, yi = x[i], y[i]
        x[i] = select(where, yi, xi)
        y[i] = select(where, xi, yi)


def swap_records(state, origin):
    for k in range(KEPT):
        first, second = state[k], state[KEPT + k]
        state[k] = second
        state[KEPT + k] = first
    first, second = origin[0], origin[1]
    origin[0] = second
    origin[1] = first


def move_out(moving, first, y, v, state, origin, k, parts, vectors):
    """Copy column y of L, column v of W and their record, number k of `state`, to shared memory."""
    for i in range(y.shape[0]):
        put_parts(moving, first, i, y[i], parts)
    if vectors:
        for i in range(v.shape[0]):
            put_parts(moving, first, y.shape[0] + i, v[i], parts)
    last = y.shape[0] * parts * (1 + vectors)
    for i in range(KEPT):
        moving[first + uint64(last + i)] = state[KEPT * k + i]
    moving[first + uint64(last + ORIGIN)] = origin[k]


def move_in(moving, first, y, v, state, origin, k, parts, vectors):
    """The inverse of `move_out`."""
    for i in range(y.shape[0]):
        y[i] = get_parts(moving, first, i, parts)
    if vectors:
        for i in range(v.shape[0]):
            v[i] = get_parts(moving, first, y.shape[0] + i, parts)
    last = y.shape[0] * parts * (1 + vectors)
    for i in range(KEPT):
        state[KEPT * k + i] = moving[first + uint64(last + i)]
    origin[k] = moving[first + uint64(last + ORIGIN)]


def put_parts(moving, first, i, x, parts):
    if parts == 2:
        moving[first + uint64(2 * i)] = x.real
        moving[first + uint64(2 * i + 1)] = x.imag
    else:
        moving[first + uint64(i)] = x


def get_parts(moving, first, i, parts):
    if parts == 2:
        return complex_of(moving[first + uint64(2 * i)], moving[first + uint64(2 * i + 1)])
    return moving[first + uint64(i)]


def move_by_shuffle(y, v, state, origin, lane, parts, vectors):
    for k in range(KEPT):
        state[KEPT + k] = shuffle_real(state[KEPT + k], lane)
    origin[1] = shuffle_real(origin[1], lane)
    for i in range(y.shape[0]):
        y[i] = shuffled(y[i], lane, parts)
    if vectors:
        for i in range(v.shape[0]):
            v[i] = shuffled(v[i], lane, parts)


def start(x, w, triangle, reals, state, origin, b, j, k, lane, lanes, vectors, has_matrix):
    """Load column j of L and of W = I, and set up its record, number k of `state`; a zero column where there
    is none."""
    size = triangle.shape[1]
    exists = has_matrix and j < size
    for i in range(x.shape[0]):
        row = i * lanes + lane
        if exists and row < size:
            x[i] = triangle[uint64(b), uint64(j), uint64(row)]
        else:
            x[i] = number(0.0)
        if vectors:
            w[i] = number(1.0) if row == j else number(0.0)
    state[KEPT * k + LENGTH2], state[KEPT * k + SCALE], state[KEPT * k + REST] = 0.0, 1.0, 0.0
    state[KEPT * k + EXPONENT] = reals[b, POWERS, j] if exists else real(0.0)
    origin[k] = real(j)


def finish(x, w, triangle, basis, reals, state, origin, b, k, lane, lanes, vectors, has_matrix):
    """As `jacobi.finish_columns`; store the column whose record is number k of `state`, and that of W, where
    they were at the start."""
    size = triangle.shape[1]
    total = length2_of(x, lanes)
    nonzero = total > 0.0
    length = math.sqrt(total)
    inverse = 1.0 / length if nonzero else real(0.0)
    value = length * math.sqrt(state[KEPT * k + SCALE] + state[KEPT * k + REST])
    shift = exponent(value)
    unit = real(1.0)
    if vectors:
        unit = 1.0 / math.sqrt(length2_of(w, lanes))
    j = int(origin[k])
    if has_matrix and j < size:
        for i in range(x.shape[0]):
            row = i * lanes + lane
            if row < size:
                triangle[uint64(b), uint64(j), uint64(row)] = x[i] * inverse
                if vectors:
                    basis[uint64(b), uint64(j), uint64(row)] = w[i] * unit
        if lane == 0:
            reals[b, SIGMA, j] = scale(value, -shift)
            reals[b, POWERS, j] = state[KEPT * k + EXPONENT] + shift if nonzero else real(LOWEST)


def orthogonalise_groups(
    triangle, basis, reals, header, parts, words_per_real, lanes, rows, crossing, vectors
):
    """Orthogonalise the columns of a batch of triangles.

    triangle : (batch, n, n); row j is column j of L, scaled by 2**-reals[b, POWERS, j]. On exit column j of
        X, of length one, or zero where the singular value is.
    basis : (batch, n, n); on exit row j is column j of W. Not touched without `vectors`.
    reals : (batch, REALS, n); on exit the singular value of column j is reals[b, SIGMA, j], in [1/2, 1) or
        zero, times 2**reals[b, POWERS, j], the latter LOWEST for zero. In no order.
    header : (batch, HEADER); matrices with BAD are left as they are. CONVERGED, SWEEPS and OFF on exit.
    parts, words_per_real, lanes, rows, crossing, vectors : constants; parts is 2 for complex numbers and 1
        for real ones, words_per_real 1 in single precision and 2 in double, crossing whether a block has more
        than one warp, the others as `group_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    size = triangle.shape[1]
    groups, threads = (size + 1) // 2, cuda.blockDim.x
    span = groups * lanes
    matrices = threads // span
    x, y = cuda.local.array(rows, number), cuda.local.array(rows, number)
    w, v = cuda.local.array(rows, number), cuda.local.array(rows, number)
    state, origin = cuda.local.array(2 * KEPT, real), cuda.local.array(2, real)
    moving = cuda.shared.array(0, real, alignment=16)
    peaks = 0  # where those of the matrices begin, after the columns

    thread = cuda.threadIdx.x
    matrix = thread // span
    first_thread = matrix * span
    lane = thread % lanes
    b = cuda.blockIdx.x * matrices + matrix
    inside = matrix < matrices
    group = (thread - first_thread) // lanes if inside else -1
    has_matrix = inside and b < triangle.shape[0]
    if has_matrix:
        has_matrix = header[b, BAD] == 0.0
    giver, taker = thread, thread  # whose y comes here, and where that of this thread goes
    if inside:
        giver = first_thread + (group + 1) % groups * lanes + lane
        taker = first_thread + (group + groups - 1) % groups * lanes + lane
    if crossing:
        line = line_of(rows, parts, words_per_real, vectors)
        slots = slots_of(span, matrices, threads // WARP, lanes)
        peaks = 2 * slots * line
        leaves, arrives = taker // WARP != thread // WARP, giver // WARP != thread // WARP
        here = uint32(slot(thread, matrix, lanes, threads) * line)
        there = uint32(slot(giver, matrix, lanes, threads) * line)
        end = uint32((slots - 2 * (matrix + 1) * lanes + lane) * line)  # of x where it sits out, before y

    start(x, w, triangle, reals, state, origin, b, 2 * group, 0, lane, lanes, vectors, has_matrix)
    start(y, v, triangle, reals, state, origin, b, 2 * group + 1, 1, lane, lanes, vectors, has_matrix)
    tol2 = real(size) * rounding(x) * rounding(x)
    alive = has_matrix
    at_once = 2 // words_per_real  # rounds that are unrolled: two save choices, and cost registers
    end_group = groups - 1  # the group of the last place and the first, in odd rounds
    for sweep in range(MAX_SWEEPS):
        cos2, sin2 = real(0.0), real(0.0)
        for k in range(0, size + size % 2, at_once):
            for i in range(at_once):
                odd = i if at_once == 2 else k % 2
                sits_out = odd == 1 and group == end_group
                next_end = end_group - 1 if end_group > 0 else groups - 1

                # 1. Renew columns.
                needs_renewal = (odd == 0 and k == 0) or strayed(state, 0, False) or strayed(state, 1, False)
                needs_renewal = alive and needs_renewal
                if cuda.any_sync(EVERYONE, needs_renewal):
                    renew(x, w, state, 0, lanes, vectors, needs_renewal)
                    renew(y, v, state, 1, lanes, vectors, needs_renewal)

                # 2. Rotate.
                gamma = sum_number(inner_product(x, y, parts), lanes, parts)
                a, b_, aw, bw, active, lost, c, s = turn(0, 1, gamma, alive and not sits_out, tol2, state)
                cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
                apply(x, y, a, b_, parts)  # by zero where nothing turns: a branch would move what it skips
                if vectors:
                    apply(w, v, aw, bw, parts)
                if active and lost:  # out of range, so that they are renewed before they turn again
                    state[LENGTH2] = 2.0 * LONG
                    state[KEPT + LENGTH2] = 2.0 * LONG

                # 3. Move on: y to the group before, through shared memory where that is in another warp;
                # and where x and y sit out, they change places through it.
                if crossing:
                    half = uint32(odd * slots * line)
                    ends = (at_once == 1 or odd == 1) and sits_out
                    takes_end = (at_once == 1 or odd == 1) and odd == 1 and group == next_end
                    if leaves:
                        move_out(moving, at(half + here), y, v, state, origin, 1, parts, vectors)
                    if ends:
                        move_out(moving, at(half + end), x, w, state, origin, 0, parts, vectors)
                        move_out(
                            moving, at(half + end + lanes * line), y, v, state, origin, 1, parts, vectors
                        )
                    move_by_shuffle(y, v, state, origin, giver % WARP, parts, vectors)
                    cuda.syncthreads()
                    if arrives or takes_end:
                        source = half + (end if takes_end else there)
                        move_in(moving, at(source), y, v, state, origin, 1, parts, vectors)
                    if ends:
                        move_in(moving, at(half + end + lanes * line), x, w, state, origin, 0, parts, vectors)
                else:
                    if at_once == 1 or odd == 1:
                        swap(x, y, sits_out)
                        if vectors:
                            swap(w, v, sits_out)
                        if sits_out:
                            swap_records(state, origin)
                    move_by_shuffle(y, v, state, origin, giver % WARP, parts, vectors)
                end_group = next_end if odd == 1 else end_group

        # 4. The stopping rule.
        if inside and lane == 0:
            moving[uint64(peaks + 2 * (matrix * groups + group))] = cos2
            moving[uint64(peaks + 2 * (matrix * groups + group) + 1)] = sin2
        cuda.syncthreads()
        if inside:
            for i in range(groups):
                cos2 = maximum(moving[uint64(peaks + 2 * (matrix * groups + i))], cos2)
                sin2 = maximum(moving[uint64(peaks + 2 * (matrix * groups + i) + 1)], sin2)
        if alive:
            alive = cos2 > tol2 and needs_another_sweep(real(size), cos2, sin2, tol2)
            if group == 0 and lane == 0:
                ahead = (real(size) * cos2) * (real(size) * maximum(cos2, sin2))
                header[b, CONVERGED] = real(0.0) if alive else real(1.0)
                header[b, SWEEPS] = real(sweep + 1)
                header[b, OFF] = math.sqrt(ahead if ahead < cos2 else cos2)
        if not cuda.any_sync(EVERYONE, cuda.syncthreads_or(1 if alive else 0) != 0):
            break
    finish(x, w, triangle, basis, reals, state, origin, b, 0, lane, lanes, vectors, has_matrix)
    finish(y, v, triangle, basis, reals, state, origin, b, 1, lane, lanes, vectors, has_matrix)


def slot(thread, matrix, lanes, threads):
    """Where a column that leaves its warp is in shared memory: that of the first group of the warp, or
    else of the matrix."""
    if thread % WARP < lanes:
        return thread // WARP * lanes + thread % lanes
    return (threads // WARP + matrix) * lanes + thread % lanes
