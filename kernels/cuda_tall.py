"""The SVD of tall matrices of at most 32 columns in one launch, which reads A once and writes U once.

    A 2**k = Q R,   R = W S Xᴴ,   A = (Q W) (S 2**-k) Xᴴ

Layout: a matrix is in the registers of a team: of 1 to 32 lanes of one warp, or of several warps. Lane q of a
warp's t lanes holds rows q, q + t, q + 2 t and so on of those of its warp, each as a `Column` of n entries.
The number of rows is known only when the kernel runs: one kernel serves a range of them.

1. Load. One power of two brings the largest entry of a matrix to 2**TARGET.
2. Householder QR without pivoting: each column of R is as accurate as that of A, whatever its length; pivots
   are chosen when R is decomposed. Let x be the column of step j, and v = x + s e_j its reflector. For every
   other column a, vᴴ a = xᴴ a + conj(s) a_j, so the length of x and all inner products come from one sum over
   the team, of rows times their entry of x. Lanes exchange halves of such sums until lane k has that of
   column k. For the columns before j, which are reflectors by then, it gives an entry of VᴴV.
3. The SVD of R, by the lanes that `cuda_fused` uses or by one thread (`tiny`), of all matrices of a block at
   the same time.
4. U = Q [W; 0] = [W; 0] - V M with M = (D + T)^-1 V_1ᴴ W, where D holds the inverses of the factors of the
   reflectors, T is the part of VᴴV above the diagonal, and V_1 the first n rows of V. A row of U needs
   the same row of V only, which its lane has kept in shared memory.
5. Matrices for which one scaling does not do are computed again by `cuda_rescue.rescue`.

Flops: 3 m n² - n³ multiplications and additions beside those of R, 2 m n² - n³ without vectors; complex ones
four times that. Shared memory: `tall_shape`.

References: Golub and Van Loan, Matrix Computations, sections 5.1 and 5.2; T. Joffrain et al., "Accumulating
Householder transformations, revisited", ACM Transactions on Mathematical Software 32(2), 2006; Chan 1982.
"""

import math

from numba import cuda, int32

from .cuda_columns import (
    axis,
    brought,
    conjugated,
    entry,
    is_aligned,
    larger,
    larger_parts,
    largest_of_entries,
    length2,
    line_after,
    line_at,
    load_line,
    load_row,
    parted,
    plus_times,
    powers_to,
    repeated,
    replaced,
    store_line,
    store_row,
    store_strided,
    stretched,
    sum_of_lanes,
    with_entry,
    zeros,
)
from .cuda_fused import (
    decompose,
    fused_shape,
    inverse,
    load_columns,
    peers_of,
    place_in_warp,
    plus,
    square_root,
    store_values,
    towards,
)
from .cuda_rescue import rescue, rescue_numbers
from .cuda_tiny import MOST_COLUMNS as MOST_TINY
from .cuda_warp import EVERYONE, SHARED_BYTES, WARP, LaunchShape, at, largest_real, size_and_parts
from .lanes import abs2, conjugate, load, registers, store, unsigned_zero
from .scalars import FLOOR, HUGE, LOW, MOST_SHIFT, TARGET, number, real
from .tiny import decompose as decompose_small

REGISTERS = 64 * 1024  # of a block
WARPS = 4  # of a block, but for a matrix that takes more
HELD = 112  # registers of a lane, at most, for its rows
MOST_ROWS, MOST_SMALL_ROWS = 8, 16  # of a lane; the second for up to four columns
SMALL = {"lanes": 1, "halvings": 0, "slots": 1, "steps": 0, "width": 1}  # in the place of a `fused_shape`


def wait(crosses):
    """Wait for the lanes of a team: those of its warp, or of its block."""
    if crosses:
        cuda.syncthreads()
    else:
        cuda.syncwarp()


def over_warps(room, sums, x, lane, k, warp, warps, n, pitch, is_sum):
    """The sum, or the largest, of what lane k of each warp of a team has, by way of rows of shared memory,
    one for each warp, from `sums` on."""
    if lane < n:
        room[at(sums + warp * pitch + k)] = x
    cuda.syncthreads()
    x = room[at(sums + k)]
    for other in range(1, warps):
        y = room[at(sums + other * pitch + k)]
        x = x + y if is_sum else number(larger(x.real, y.real))
    return x


def lines_follow(array, bytes_of_number, at_once, parts):
    """Whether rows of matrices are runs of numbers, and begin at multiples of so many."""
    run = at_once * bytes_of_number
    is_run = array.strides[2] == bytes_of_number and (at_once * parts == 1 or is_aligned(array))
    return is_run and array.strides[0] % run == 0 and array.strides[1] % run == 0


def load_rows(a, b, height, adjoint, first, n, rows, team, at_once, words, parts):
    """Rows `first`, `first` + team and so on of matrix b; zeros from row `height` on."""
    x = repeated(zeros(number(0.0), n), rows)
    follow, line = lines_follow(a, 4 * words * parts, at_once, parts), line_at(a, b, first, 2)
    for r in range(rows):
        if int32(first + r * team) < height:
            if follow:
                x = replaced(x, r, load_line(a, line, 2, n, at_once))
            else:
                x = replaced(x, r, load_line(a, line, 2, n, 0))
        line = line_after(a, line, team, 2)
        if parts == 2:
            x = replaced(x, r, conjugated(x[r], adjoint))
    return x


def scaled_rows(
    x, room, sums, lane, k, warp, warps, n, rows, team, places, pitch, crosses,
):  # fmt: skip
    """The rows times a power of two, the inverse of that, and whether a column is too small for it."""
    most = zeros(real(0.0), n)
    for r in range(rows):
        most = larger_parts(most, x[r])
    size = largest_of_entries(most, lane, team)
    if crosses:
        size = over_warps(room, sums, number(size), lane, k, warp, warps, n, pitch, False).real
    has_column = (lane & (places - 1)) < n
    big = largest_real(size if has_column else real(0.0), places)
    power, inverse_power = powers_to(big, TARGET, MOST_SHIFT)
    for r in range(rows):
        x = replaced(x, r, stretched(x[r], power))
    is_small = has_column and size > 0.0 and size < larger(LOW * inverse_power, FLOOR)
    return x, inverse_power, largest_real(real(1.0) if is_small else real(0.0), places) > 0.0


def triangulated(
    x, room, gram, line, factors, lane, k, begin, q, warp, warps, size,
    n, rows, team, width, pitch, vector, crosses, vectors, words, parts,
):  # fmt: skip
    """QR of a team's rows. Returns this lane's: R to the right of the diagonal, else reflectors; and for lane
    j < n the entry of R on the diagonal. VᴴV, with the factors of the reflectors on its diagonal, goes to
    `gram`.

    At `line` is room for row j and the sums of warps, at `factors` for the multiple of v that each column
    gets.
    """
    diagonal = number(0.0)
    for start in range(0, n, width):
        for step in range(start, start + 1 if width == 1 else min(size, start + width)):
            j = step if width == 1 else int32(step)
            entries, total = repeated(number(0.0), rows), zeros(number(0.0), n)
            for r in range(rows):
                v = entry(x[r], j, start, min(width, n - start))
                v = number(0.0) if r == 0 and q < j else v  # that is R's
                entries = replaced(entries, r, v)
                total = plus_times(total, conjugate(v), x[r], 0 if vectors else start)
            product, here = sum_of_lanes(total, lane, team), line
            if crosses:
                here = int32(line + (j & 1) * (warps + 1) * pitch)
            if q == j:
                store_row(room, here, x[0], 0, vector)
            if crosses:
                product = over_warps(room, here + pitch, product, lane, k, warp, warps, n, pitch, True)
            else:
                cuda.syncwarp()
            top, own = room[at(here + j)], room[at(here + k)]

            # The reflector: its entry in row j and its factor.
            length2_ = brought(product.real, int32(begin + j))
            length = towards(top, square_root(length2_, words), words, parts)
            head, is_zero = top + length, length2_ <= FLOOR
            beta = 2.0 * inverse(abs2(head) + (length2_ - abs2(top)), words)
            beta = real(0.0) if is_zero else beta

            # What it adds to column k.
            product = plus(product, conjugate(length), own, parts)
            if lane - begin < n:
                room[at(factors + k)] = product * -beta if k > j else number(0.0)
                if vectors and warp == 0:
                    room[at(gram + j * pitch + k)] = number(beta) if k == j else product
            cuda.syncwarp()
            share = load_row(room, factors, start, n, vector)
            if q == j:
                diagonal = top if is_zero else number(0.0) - length
                entries = replaced(entries, 0, head)
                x = replaced(x, 0, with_entry(x[0], j, head, start, min(width, n - start)))
            for r in range(rows):
                x = replaced(x, r, plus_times(x[r], entries[r], share, start))
    return x, diagonal


def combine(room, gram, reflectors, left, q, size, n, width, pitch, apart, vector, parts):
    """Put -M in the place of VᴴV, a column of it in each lane."""
    b, c = zeros(number(0.0), n), int32(min(q, n - 1))
    for i in range(size):
        v = load_row(room, int32(reflectors + i * apart), 0, n, vector)
        b = plus_times(b, room[at(left + i * n + c)], conjugated(v, True) if parts == 2 else v, 0)
    for back in range(0, n, width):
        start = (n - 1) // width * width - back
        stop = start + 1 if width == 1 else min(size, start + width)
        for step in range(start, stop):
            j = start + stop - 1 - step if width == 1 else int32(start + stop - 1 - step)
            row = int32(gram + j * pitch)
            v, beta = load_row(room, row, 0, n, vector), room[at(row + j)].real
            value = entry(b, j, start, min(width, n - start)) * -beta
            b = plus_times(b, value, conjugated(v, True) if parts == 2 else v, 0)
            cuda.syncwarp()
            if q < n:
                room[at(row + q)] = value


def store_left(
    left, b, height, adjoint, room, gram, reflectors, own, q, first, m, size,
    n, rows, team, width, pitch, apart, vector, at_once, words, parts,
):  # fmt: skip
    """Write U = [W; 0] - V M."""
    u, v = repeated(zeros(number(0.0), n), rows), repeated(zeros(number(0.0), n), rows)
    for r in range(rows):
        i = int32(first + r * team)
        if i < m:
            v = replaced(v, r, load_row(room, int32(reflectors + i * apart), 0, n, vector))
    if q < n:
        u = replaced(u, 0, load_row(room, int32(own + q * n), 0, n, at_once))
    for start in range(0, n, width):
        for step in range(start, start + 1 if width == 1 else min(size, start + width)):
            j = step if width == 1 else int32(step)
            share = load_row(room, int32(gram + j * pitch), 0, n, vector)
            for r in range(rows):
                u = replaced(u, r, plus_times(u[r], entry(v[r], j, start, min(width, n - start)), share, 0))
    follow, line = lines_follow(left, 4 * words * parts, at_once, parts), line_at(left, b, first, 2)
    for r in range(rows):
        column = conjugated(u[r], adjoint)
        if int32(first + r * team) < height:
            if follow:
                store_line(left, line, 2, column, at_once)
            else:
                store_line(left, line, 2, column, 0)
        line = line_after(left, line, team, 2)


def decompose_triangles(
    s, right, converged, sweeps, off, adjoint, room, reals, scales, flags, block_first, block_matrices, size,
    n, lanes, halvings, slots, steps, width, places, pitch, step, vectors, words, parts,
):  # fmt: skip
    """Decompose every R of a block in the lanes that `svd_fused` uses: W takes its place, row by row, and a
    flag says whether the matrix is out of range."""
    lane, warp = int32(cuda.threadIdx.x & 31), int32(cuda.threadIdx.x >> 5)
    matrices = WARP // lanes
    count = int32(min(matrices, block_matrices - warp * matrices))
    if count > 0:
        which, begin, q, is_busy = place_in_warp(lane, count, lanes)
        slot = int32(warp * matrices + which)
        b = block_first + slot
        exists, own = is_busy and b < s.shape[0], int32(slot * step)
        inverse_power = reals[at(scales + slot)]
        columns, odd = load_columns(room, own, q, n, lanes, slots), inverse_power < 0.0
        lengths = repeated(real(0.0), slots)
        for k in range(slots):
            lengths = replaced(lengths, k, length2(columns[k], 0))
            odd = odd or not lengths[k] <= HUGE
        peers = peers_of(q, begin, lane, is_busy, lanes, steps)
        x, w, values, ranks, odd, taken, off2 = decompose(
            room, reals, own, columns, lengths, abs(inverse_power), odd, size,
            lane, begin, q, is_busy, exists, peers,
            n, lanes, halvings, slots, steps, width, places, pitch, vectors, words, parts,
        )  # fmt: skip
        store_values(s, converged, sweeps, off, b, exists, q, values, ranks, taken, off2, n, lanes, slots)
        if vectors:
            for k in range(slots):
                if is_busy and ranks[k] < n:
                    store_strided(room, int32(own + ranks[k]), n, w[k])
                    if exists:
                        line = line_at(right, b, ranks[k], 1)
                        store_line(right, line, 1, conjugated(x[k], not adjoint), 0)
        if is_busy and q == 0:
            reals[at(flags + slot)] = real(1.0) if odd and exists else real(0.0)


def decompose_small_triangles(
    s, right, converged, sweeps, off, adjoint, room, reals, scales, flags, block_first, block_matrices,
    n, step, vectors, parts,
):  # fmt: skip
    """As `decompose_triangles`, a matrix a thread."""
    slot = int32(cuda.threadIdx.x)
    if slot < block_matrices:
        own, b = int32(slot * step), block_first + slot
        nothing, zero = real(0.0), number(0.0)
        r, w = registers(n * n, zero), registers(n * n, zero)
        values, x = registers(n, nothing), registers(n * n, zero)
        for e in range(n * n):
            store(r, e, room[at(own + e)])
        odd, count, cosine = decompose_small(r, w, values, x, n, n, n, vectors, parts, nothing, zero, real(n))
        inverse_power = reals[at(scales + slot)]
        odd = odd or inverse_power < 0.0 or not load(values, 0) * inverse_power < math.inf
        reals[at(flags + slot)] = real(1.0) if odd and b < s.shape[0] else real(0.0)
        if vectors:
            for e in range(n * n):
                room[at(own + e)] = load(w, e)
        if b < s.shape[0]:
            converged[at(b)] = True
            sweeps[at(b)] = int32(count)
            off[at(b)] = cosine
            for k in range(n):
                s[at(b), at(k)] = load(values, k) * abs(inverse_power)
            if vectors:
                for i in range(n):
                    for k in range(n):
                        value = load(x, k * n + i)
                        right[at(b), at(i), at(k)] = unsigned_zero(value if adjoint else conjugate(value))


def svd_tall(
    a, left, s, right, converged, sweeps, off, adjoint,
    n, rows, team, crosses, apart, vector,
    lanes, halvings, slots, steps, width, places, pitch, step, at_once, vectors, words, parts,
):  # fmt: skip
    """Thin SVD of a batch of matrices with m > n, 1 <= n <= 32.

    a, left, s, right, converged, sweeps, off, adjoint : as `cuda_tiny.svd_tiny` has them. Without
        `vectors` left and right are not touched.
    n, rows, team, crosses : constants; columns, rows of a lane, lanes of a team in a warp, and whether a team
        is several warps
    The others are constants too, as `tall_shape` and `cuda_fused.fused_shape` have them.

    Launched with ceil(batch / matrices) blocks.
    """
    room, reals = cuda.shared.array(0, number, alignment=16), cuda.shared.array(0, real, alignment=16)
    m, size = int32(a.shape[1]), int32(a.shape[2])
    warps = int32((m + (WARP * rows - 1)) // (WARP * rows)) if crosses else int32(1)
    members = warps * WARP if crosses else int32(team)
    thread, matrices = int32(cuda.threadIdx.x), int32(cuda.blockDim.x // members)
    slot = int32(thread // members)
    q, lane = int32(thread - slot * members), int32(thread & 31)
    begin, warp = int32(lane & -team), int32(q // WARP)
    k = int32(min(lane & (places - 1), n - 1))
    block_first = cuda.blockIdx.x * matrices
    b, first = block_first + slot, int32(warp * (WARP * rows) + lane - begin)
    height = m if b < a.shape[0] else int32(0)
    grams = int32(matrices * step)
    reflectors = int32(grams + (matrices * (n * pitch) if vectors else 0))
    lines = int32(reflectors + (matrices * (m * apart) if vectors else 0))
    of_lines = int32((3 * warps + 2) * pitch if crosses else 2 * pitch)
    scales = int32((lines + matrices * of_lines) * parts)
    flags = int32(scales + matrices)
    own, gram = int32(slot * step), int32(grams + slot * (n * pitch))
    line, reflectors = int32(lines + slot * of_lines), int32(reflectors + slot * (m * apart))
    factors = int32(line + (2 * warps + 2 + warp) * pitch) if crosses else int32(line + pitch)

    # 1. Load, and scale by a power of two.
    x = load_rows(a, b, height, adjoint, first, n, rows, team, at_once, words, parts)
    sums = int32(line + (warps + 2) * pitch)
    x, inverse_power, is_small = scaled_rows(
        x, room, sums, lane, k, warp, warps, n, rows, team, places, pitch, crosses
    )
    if q == 0:
        reals[at(scales + slot)] = -inverse_power if is_small else inverse_power

    # 2. QR.
    x, diagonal = triangulated(
        x, room, gram, line, factors, lane, k, begin, q, warp, warps, size,
        n, rows, team, width, pitch, vector, crosses, vectors, words, parts,
    )  # fmt: skip
    reflector, above = parted(x[0], q)
    if q < n:
        store_row(room, int32(own + q * n), plus_times(above, diagonal, axis(above, q), 0), 0, at_once)
    if vectors:
        x = replaced(x, 0, reflector)
        for r in range(rows):
            i = int32(first + r * team)
            if i < m:
                store_row(room, int32(reflectors + i * apart), x[r], 0, vector)
    cuda.syncthreads()

    # 3. The SVD of R.
    if lanes == 1:
        decompose_small_triangles(
            s, right, converged, sweeps, off, adjoint, room, reals, scales, flags, block_first, matrices,
            n, step, vectors, parts,
        )  # fmt: skip
    else:
        decompose_triangles(
            s, right, converged, sweeps, off, adjoint, room, reals, scales, flags, block_first, matrices,
            size, n, lanes, halvings, slots, steps, width, places, pitch, step, vectors, words, parts,
        )  # fmt: skip
    cuda.syncthreads()

    # 4. U.
    if vectors:
        if warp == 0:
            combine(room, gram, reflectors, own, q, size, n, width, pitch, apart, vector, parts)
        wait(crosses)
        store_left(
            left, b, height, adjoint, room, gram, reflectors, own, q, first, m, size,
            n, rows, team, width, pitch, apart, vector, at_once, words, parts,
        )  # fmt: skip

    # 5. What is out of range. A block has more matrices than a warp has lanes if few lanes share a matrix; n
    # is then at most 2, and the room of a rescue ends before the flags.
    for start in range(0, matrices if team < WARPS else 1, WARP):
        is_flagged = False
        if start + lane < matrices:
            is_flagged = reals[at(flags + start + lane)] > 0.0
        flagged = cuda.ballot_sync(EVERYONE, is_flagged)
        if flagged != 0:
            cuda.syncthreads()
            if thread < WARP:
                for place in range(WARP):
                    if flagged >> place & 1:
                        rescue(
                            a, left, s, right, converged, sweeps, off, adjoint, block_first + start + place,
                            room, parts, vectors,
                        )  # fmt: skip


def tall_shape(m, n, kind, vectors=True, shared_bytes=SHARED_BYTES):
    """How `svd_tall` is launched for m x n matrices of a dtype, a `LaunchShape`; None where it is not. A
    block may have `shared_bytes`."""
    size, parts = size_and_parts(kind)
    vector = max(1, 16 // size)
    fused = fused_shape(n, kind, vectors, shared_bytes, slots=2)  # a block has few matrices for a warp
    if n > MOST_TINY[kind] and fused is None:
        return None
    pitch = -(-n // vector) * vector
    constants = SMALL | {
        "places": 1 << (n - 1).bit_length(),
        "pitch": pitch,
        "step": -(-n * n // vector) * vector,
    }
    if fused is not None:
        constants = {name: fused.constants[name] for name in constants}
    rows = min(MOST_ROWS if n > 4 else MOST_SMALL_ROWS, HELD * 4 // (n * size))
    registers = 168 if n * size <= 32 else 255
    team = constants["places"]
    while rows > 2 and team * (rows // 2) >= m:
        rows //= 2
    while team < WARP and team * rows < m:
        team *= 2
    warps = -(-m // (WARP * rows))
    crosses = warps > 1
    apart = (-(-n // vector) | 1) * vector  # rows, so that lanes use different banks
    constants = constants | {
        "n": n,
        "rows": rows,
        "team": team,
        "crosses": crosses,
        "apart": apart,
        "vector": vector,
        "at_once": math.gcd(n, vector),
        "vectors": bool(vectors),
        "words": size // parts // 4,
        "parts": parts,
    }
    members = warps * WARP if crosses else team
    of_matrix = constants["step"] + pitch * (3 * warps + 2 if crosses else 2)
    of_matrix += n * pitch + m * apart if vectors else 0
    bytes_of_matrix = of_matrix * size + 2 * (size // parts)
    matrices = max(1, WARPS * WARP // members)
    least = max(1, WARP // members)
    while matrices > least and matrices * bytes_of_matrix > shared_bytes // 2:
        matrices //= 2
    shared = max(matrices * bytes_of_matrix, rescue_numbers(m, n) * size)
    if shared > shared_bytes or matrices * members * registers > REGISTERS:
        return None
    return LaunchShape(constants, matrices * members, matrices, shared, registers)
