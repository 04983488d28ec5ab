"""The SVD of square matrices of 5 (in complex128 4) to 32 columns in one launch and without workspace: all is
in registers.

    A 2**k P = Q R,   L = P Rᴴ,   L W = X S,   A = (Q W) (S 2**-k) Xᴴ

Layout: `lanes` threads of a warp hold a matrix, 2 or 4 whole columns each, column q + s lanes in slot s of
lane q: nothing is summed over lanes. What is done to a whole column is one operation of `cuda_columns`. All
else about a matrix is in shared memory of its warp. Warps have nothing to do with each other: there is no
barrier. `cuda_tall` decomposes its triangles by `decompose`.

1. Load. One power of two brings the largest entry of a matrix to 2**TARGET.
2. QR with full pivoting. Columns stay where they are. The pivot is the largest of all keys: the leading bits
   of what is left of a column's squared length, and its number. Its lane puts the reflector into shared
   memory. Row j of R, in the first order of the columns, is column j of (P Rᴴ)ᴴ: V needs no
   permutation.
3. Jacobi on the columns of L. The second half of a lane's columns goes round in a ring of all lanes and meets
   the first half of each. Then the upper half of the ring gives its first columns for the second columns of
   the lower half: two rings, in which the same goes on, until they have one lane, or an odd number of them.
   An odd ring goes by odd-even transposition, as in `cuda_group`. One column of two moves a round, and only
   where a ring is halved, or odd, there are selects.
4. Singular values, |x| / |w|, and their order. U = Q W, by the reflectors backwards. Store.
5. Matrices for which one scaling does not do are computed again by `cuda_rescue.rescue`.

Rotations are fast ones (`rotation`): squared lengths and scales are carried along and made anew before each
sweep. There is no renewal within: a sweep in which lengths lose their digits has cosines near one and is
never the last. With W the rounding of the scales does not matter, as |x| / |w| has it twice; without, so few
rotations do not add up to more than an eps or two.

A column is zero once NOISE of its squared length is left; R's diagonal then gets TAU instead of zeros, the
rest of those rows is zero, and singular values of that size are zeros: Jacobi completes both bases with no
branch. A matrix that has converged stands still until all of its warp have: where its columns lie decides
between equal values. So nothing depends on its place in the batch or on its neighbours.

Flops: as `jacobi`. Shared memory: `fused_shape`.
"""

import math

from numba import cuda, int32

from .cuda_columns import (
    approximate_inverse,
    approximate_inverse_root,
    approximate_root,
    axis,
    brought,
    chosen,
    conjugated,
    entry,
    halved_power,
    inner,
    is_aligned,
    larger,
    largest,
    leading_bits,
    length2,
    load_row,
    load_strided,
    multiply_add,
    plus_times,
    powers_to,
    rank_of,
    repeated,
    replaced,
    smaller,
    store_row,
    store_strided,
    stretched,
    turn,
    without_entry,
    zeros,
)
from .cuda_rescue import rescue
from .cuda_tiny import MOST_COLUMNS as MOST_TINY
from .cuda_warp import EVERYONE, SHARED_BYTES, WARP, LaunchShape, at, copy_whole, size_and_parts
from .lanes import abs2, conjugate, dot
from .scalars import (
    FLOOR,
    HUGE,
    LOW,
    MOST_SHIFT,
    NOISE,
    NONZERO,
    ROUNDING,
    TARGET,
    TAU,
    number,
    real,
)

MAX_SWEEPS = 14  # more are for `rescue`
WARPS = 4  # of a block


def inverse(x, words):
    """1 / x in nearly full precision."""
    y = approximate_inverse(x)
    e = multiply_add(-x, y, real(1.0))
    if words == 2:
        e = multiply_add(e, e, e)
    return multiply_add(y, e, y)


def inverse_of_root(x, words):
    """1 / sqrt(x)."""
    y = approximate_inverse_root(x)
    e = multiply_add(-(x * y), y, real(1.0))
    if words == 2:
        return multiply_add(y * e, multiply_add(real(0.375), e, real(0.5)), y)
    return multiply_add(0.5 * y, e, y)


def square_root(x, words):
    """sqrt(x), in single precision approximately."""
    if words == 1:
        return approximate_root(x)
    held = larger(x, real(1e-300))
    y = approximate_inverse_root(held)
    z = held * y
    e = multiply_add(-z, y, real(1.0))
    return multiply_add(z * e, multiply_add(real(0.375), e, real(0.5)), z)


def plus(x, a, y, parts):
    """x + a y, of numbers."""
    return multiply_add(a, y, x) if parts == 1 else x + a * y


def towards(x, length, words, parts):
    """A number of this length, and the direction of x."""
    if parts == 1:
        return real(math.copysign(length, x))
    size2 = abs2(x)
    factor = length * inverse_of_root(size2, words)
    return x * factor if size2 > FLOOR else number(length)


def rotation(g, length_p, length_q, scale_p, scale_q, threshold, words):
    """What makes two columns with inner product g orthogonal, x_p + a x_q and x_q + b x_p: a, b, the squared
    lengths and the scales after it, four cos^2 of the angle between them and sin^2 of the rotation.

    X_j = sqrt(scale_j / 2) x_j, of squared length length_j. Nothing is done where 4 cos^2 <= threshold.
    """
    u, v = g * scale_q, g * scale_p
    four = dot(u, v).real
    difference = length_q - length_p
    square = multiply_add(difference, difference, four)
    size = square_root(square, words)
    cos4 = four * approximate_inverse(length_p * length_q)
    divisor = multiply_add(size, abs(difference), square)
    quotient = approximate_inverse(divisor) if words == 1 else inverse(divisor, words)
    quotient = quotient if cos4 > threshold else real(0.0)
    factor = real(math.copysign(size * quotient, difference))
    twice = 0.5 * four
    sin2 = twice * quotient
    length_p = multiply_add(-twice, factor, length_p)
    length_q = multiply_add(twice, factor, length_q)
    return conjugate(u) * -factor, v * factor, length_p, length_q, cos4, sin2


def largest_of_lanes(x, peers, steps):
    """The largest x of all lanes of a matrix."""
    for k in range(steps):
        x = larger(x, brought(x, peers[k]))
    return x


def peers_of(q, begin, lane, is_busy, lanes, steps):
    """The lanes that `largest_of_lanes` takes from: 1, 2, 4 and so on further round."""
    peers = repeated(lane, steps)
    for k in range(steps):
        peer = int32(q + (1 << k))
        peer = int32(begin + (peer - lanes if peer >= lanes else peer))
        peers = replaced(peers, k, peer if is_busy else lane)
    return peers


def reflected(x, component, v, j, start, width):
    """x + component v without entry j, and its squared length."""
    x = without_entry(plus_times(x, component, v, start), j, start, width)
    return x, length2(x, start)


def pivoted_qr(
    room, reals, own, betas, a, lengths, size, q, is_busy, peers,
    n, lanes, slots, steps, width, places, pitch, vectors, words, parts,
):  # fmt: skip
    """Factor the matrix of this lane's columns `a`, of these squared lengths; rows of R and reflectors go to
    shared memory.

    Returns how many columns are zero, and the least key of a pivot. `width` steps at a time look for entry j
    among as many, in one loop for all of them.
    """
    vector = 4 // (words * parts) if words * parts < 4 else 1
    limits = repeated(real(0.0), slots)
    names, zero_count, least = repeated(int32(-1), slots), int32(0), int32(0x7F000000)
    for s in range(slots):
        c = int32(q + s * lanes)
        limits = replaced(limits, s, lengths[s] * NOISE)
        names = replaced(names, s, c if is_busy and c < n else int32(-1))
    for start in range(0, n, width):
        for step in range(start, start + 1 if width == 1 else min(size, start + width)):
            j = step if width == 1 else int32(step)
            # The pivot: of equal lengths the last column, of columns that are zero too.
            key, keys, tops = int32(-1), names, repeated(number(0.0), slots)
            for s in range(slots):
                bits = int32((leading_bits(lengths[s]) & -places) | int32(q + s * lanes))
                keys = replaced(keys, s, bits if lengths[s] > limits[s] else names[s])
                tops = replaced(tops, s, entry(a[s], j, start, min(width, n - start)))
                key = larger(key, keys[s])
            key = largest_of_lanes(key, peers, steps)
            is_zero = key < places
            zero_count = int32(zero_count + 1) if is_zero else zero_count
            least = least if is_zero else key

            # Its reflector, to shared memory.
            top, total = tops[0], lengths[0]
            for s in range(1, slots):
                top = tops[s] if keys[s] == key else top
                total = lengths[s] if keys[s] == key else total
            length = towards(top, square_root(total, words), words, parts)
            head, diagonal = top + length, number(TAU) if is_zero else number(0.0) - length
            beta = 2.0 * inverse(abs2(head) + (total - abs2(top)), words)
            beta = real(0.0) if is_zero else beta
            row = int32(own + n * pitch + (j * pitch if vectors else (j & 1) * pitch))
            for s in range(slots):
                if is_busy and keys[s] == key:
                    store_row(room, row, a[s], start, vector)
                    room[at(row + j)] = head
                    reals[at(betas + j)] = beta
            cuda.syncwarp()
            v, beta = load_row(room, row, start, n, vector), reals[at(betas + j)]
            head = entry(v, j, start, min(width, n - start))

            # Reflect all columns; what they have in row j is R's.
            for s in range(slots):
                component = inner(v, a[s], start) * -beta
                column, total = reflected(a[s], component, v, j, start, min(width, n - start))
                a, lengths = replaced(a, s, column), replaced(lengths, s, total)
                is_pivot, c = keys[s] == key, int32(q + s * lanes)
                value = number(0.0) if is_zero or names[s] < 0 else plus(tops[s], component, head, parts)
                value = diagonal if is_pivot else value
                names = replaced(names, s, int32(-1) if is_pivot else names[s])
                limits = replaced(limits, s, real(math.inf) if is_pivot else limits[s])
                if is_busy and (s * lanes + lanes <= n or c < n):
                    room[at(own + j * pitch + c)] = conjugate(value)
    cuda.syncwarp()
    return zero_count, least


def meet(columns, peaks, p, q, threshold, vectors, words):
    """Rotate the columns of slots p and q, where four times the squared cosine of their angle is above the
    threshold; `peaks` are the largest of these numbers and of the squared sines so far."""
    x, w, lengths, scales = columns
    a, b, length_p, length_q, cos4, sin2 = rotation(
        inner(x[p], x[q], 0), lengths[p], lengths[q], scales[p], scales[q], threshold, words
    )
    lengths = replaced(replaced(lengths, p, length_p), q, length_q)
    first, second = turn(x[p], x[q], a, b)
    x = replaced(replaced(x, p, first), q, second)
    if vectors:
        first, second = turn(w[p], w[q], a, b)
        w = replaced(replaced(w, p, first), q, second)
    scales = replaced(scales, p, multiply_add(-sin2, scales[p], scales[p]))
    scales = replaced(scales, q, multiply_add(-sin2, scales[q], scales[q]))
    return (x, w, lengths, scales), (larger(cos4, peaks[0]), larger(sin2, peaks[1]))


def meet_all(columns, peaks, threshold, slots, vectors, words):
    """The first half of the columns of a lane meets the second."""
    half = slots // 2
    for k in range(half):
        for p in range(half):
            columns, peaks = meet(columns, peaks, p, half + (p + k) % half, threshold, vectors, words)
    return columns, peaks


def move(columns, source, slots, vectors):
    """Take the second half of the columns of another lane."""
    x, w, lengths, scales = columns
    for s in range(slots // 2, slots):
        x = replaced(x, s, brought(x[s], source))
        lengths = replaced(lengths, s, brought(lengths[s], source))
        scales = replaced(scales, s, brought(scales[s], source))
        if vectors:
            w = replaced(w, s, brought(w[s], source))
    return x, w, lengths, scales


def swapped(values, mask, slots):
    """A tuple whose halves change places where the mask holds."""
    half = slots // 2
    for s in range(half):
        first, second = values[s], values[s + half]
        values = replaced(values, s, chosen(mask, second, first))
        values = replaced(values, s + half, chosen(mask, first, second))
    return values


def exchange(columns, mask, slots, vectors):
    """The halves of a lane's columns change places where the mask holds."""
    x, w, lengths, scales = columns
    x, lengths, scales = swapped(x, mask, slots), swapped(lengths, mask, slots), swapped(scales, mask, slots)
    if vectors:
        w = swapped(w, mask, slots)
    return x, w, lengths, scales


def following(lane, ring, h, alive):
    """The next lane of a ring of h lanes, the same one for a matrix that stands still."""
    after = int32(lane + 1)
    after = int32(ring if after >= ring + h else after)
    return after if alive else lane


def sweep(columns, threshold, alive, lane, begin, lanes, halvings, slots, width, vectors, words):
    """All pairs of columns meet once. Returns the columns, and the peaks of the cosines and sines."""
    peaks = real(0.0), real(0.0)
    if slots == 4:
        columns, peaks = meet(columns, peaks, 0, 1, threshold, vectors, words)
        columns, peaks = meet(columns, peaks, 2, 3, threshold, vectors, words)
    ring, h = begin, lanes if width == 1 else int32(lanes)
    if halvings > 0:
        for _halving in range(halvings if width == 1 else int32(halvings)):
            source = following(lane, ring, h, alive)
            for _round in range(h - 1):
                columns, peaks = meet_all(columns, peaks, threshold, slots, vectors, words)
                columns = move(columns, source, slots, vectors)
            columns, peaks = meet_all(columns, peaks, threshold, slots, vectors, words)
            h = h >> 1
            is_upper = lane - ring >= h
            columns = exchange(columns, alive and is_upper, slots, vectors)
            source = int32(lane - h if is_upper else lane + h) if alive else lane
            columns = move(columns, source, slots, vectors)
            ring = int32(ring + h) if is_upper else ring
    h = lanes >> halvings
    if h == 1:
        columns, peaks = meet_all(columns, peaks, threshold, slots, vectors, words)
    else:
        source, last = following(lane, ring, h, alive), int32(ring + (h - 1))
        for _round in range(h if width == 1 else int32(h)):
            columns, peaks = meet_all(columns, peaks, threshold, slots, vectors, words)
            columns = move(columns, source, slots, vectors)
            sits_out = alive and lane == last
            bound = real(math.inf) if sits_out else threshold
            columns, peaks = meet_all(columns, peaks, bound, slots, vectors, words)
            columns = exchange(columns, sits_out, slots, vectors)
            columns = move(columns, source, slots, vectors)
            last = int32(last - 1 if last > ring else ring + (h - 1))
    return columns, peaks


def renewed(columns, n, slots, vectors):
    """The columns with squared lengths computed anew, and scales near two if there are many rotations."""
    x, w, lengths, scales = columns
    for s in range(slots):
        if n > 16:
            power, scale = halved_power(scales[s])
            x, scales = replaced(x, s, stretched(x[s], power)), replaced(scales, s, scale)
            if vectors:
                w = replaced(w, s, stretched(w[s], power))
        lengths = replaced(lengths, s, (0.5 * scales[s]) * length2(x[s], 0))
    return x, w, lengths, scales


def orthogonalise(
    room, own, q, lane, begin, alive, peers,
    n, lanes, halvings, slots, steps, width, pitch, vectors, words, parts,
):  # fmt: skip
    """Jacobi on the columns of L. Returns the columns of X and W with their scales, whether the matrix still
    needs another sweep, how many it took, and the square of the largest cosine that may be left."""
    vector = 4 // (words * parts) if words * parts < 4 else 1
    x = repeated(load_row(room, int32(own + min(q, n - 1) * pitch), 0, n, vector), slots)
    w = repeated(axis(x[0], q), slots)
    for s in range(1, slots):
        c = int32(q + s * lanes)
        column = load_row(room, int32(own + min(c, n - 1) * pitch), 0, n, vector)
        if s * lanes + lanes > n:
            column = chosen(c < n, column, zeros(number(0.0), n))
        x, w = replaced(x, s, column), replaced(w, s, axis(column, c))
    columns = x, w, repeated(real(0.0), slots), repeated(real(2.0), slots)
    enough = real(n) * (ROUNDING * ROUNDING)
    count, off2 = int32(0), real(0.0)
    threshold = 4.0 * enough if alive else real(math.inf)
    for _sweep in range(MAX_SWEEPS):
        columns = renewed(columns, n, slots, vectors)
        columns, peaks = sweep(
            columns, threshold, alive, lane, begin, lanes, halvings, slots, width, vectors, words
        )
        cos2 = 0.25 * largest_of_lanes(peaks[0], peers, steps)
        sin2 = largest_of_lanes(peaks[1], peers, steps)
        ahead = (real(n * n) * cos2) * larger(cos2, sin2)
        off2 = smaller(ahead, cos2) if alive else off2
        count = int32(count + 1) if alive else count
        alive = alive and cos2 > enough and ahead >= enough
        threshold = threshold if alive else real(math.inf)
        if not cuda.any_sync(EVERYONE, alive):
            break
    return columns, alive, count, off2


def lanes_with(mask, begin, lanes):
    """How many lanes of a matrix have a mask."""
    return cuda.popc(int32((cuda.ballot_sync(EVERYONE, mask) >> begin) & ((1 << lanes) - 1)))


def singular_values(
    reals, at_values, columns, q, begin, is_busy, zero_count, inverse_power,
    n, lanes, slots, vectors, words,
):  # fmt: skip
    """The columns of X and W at length one, the singular values and their ranks, how many of the values are
    certain, and how many columns are so long that their cosines were. A column that is not there, alone of
    length zero, is the last."""
    x, w, _, scales = columns
    values, known, sound = repeated(real(0.0), slots), int32(0), int32(0)
    least = NONZERO if zero_count > 0 else LOW
    for s in range(slots):
        total = length2(x[s], 0)
        by_length = inverse_of_root(total, words)
        if vectors:
            factor = inverse_of_root(length2(w[s], 0), words)
            w = replaced(w, s, stretched(w[s], factor))
        else:
            factor = math.sqrt(0.5 * scales[s])
        x = replaced(x, s, stretched(x[s], by_length))
        value = (total * by_length) * factor
        is_known = is_busy and value >= least
        known = int32(known + lanes_with(is_known, begin, lanes))
        sound = int32(sound + lanes_with(is_busy and value >= LOW, begin, lanes))
        value = value * inverse_power if is_known else real(0.0)
        if slots * lanes > n:
            value = value if total > 0.0 else real(-1.0)
        values = replaced(values, s, value)
        if is_busy:
            reals[at(at_values + q + s * lanes)] = value
    cuda.syncwarp()
    others, ranks = load_row(reals, at_values, 0, slots * lanes, 4 // words), repeated(int32(0), slots)
    for s in range(slots):
        c = int32(q + s * lanes)
        ranks = replaced(ranks, s, rank_of(others, values[s], c, s * lanes, lanes))
    return x, w, values, ranks, known, sound


def left_columns(room, reals, own, betas, w, size, n, slots, width, pitch, words, parts):
    """U = Q W, by the reflectors in shared memory."""
    vector = 4 // (words * parts) if words * parts < 4 else 1
    for back in range(0, n, width):
        start = (n - 1) // width * width - back
        stop = start + 1 if width == 1 else min(size, start + width)
        for k in range(start, stop):
            j = start + stop - 1 - k if width == 1 else int32(start + stop - 1 - k)
            v = load_row(room, int32(own + n * pitch + j * pitch), start, n, vector)
            beta = reals[at(betas + j)]
            for s in range(slots):
                w = replaced(w, s, plus_times(w[s], inner(v, w[s], start) * -beta, v, start))
    return w


def copies_whole(array, batch_matrices, first, n, bytes_, row_stride, column_stride):
    """Whether a warp copies matrices to or from an array as they lie there, 16 bytes at a time."""
    is_packed = array.strides[1] == row_stride and array.strides[2] == column_stride
    is_packed = is_packed and array.strides[0] == n * n * bytes_ and is_aligned(array)
    return is_packed and first + batch_matrices <= array.shape[0]


def copy_one(array, b, room, place, n, row_step, column_step, lane, into, exists):
    """Copy the first n rows of a matrix of n columns between an array of any strides and shared memory, in
    the order in which its entries lie in the array; zeros where there is none."""
    along_row = abs(array.strides[2]) <= abs(array.strides[1])
    slow, fast = lane // n, lane % n
    for _ in range(lane, n * n, WARP):
        i, j = (slow, fast) if along_row else (fast, slow)
        near = at(place + i * row_step + j * column_step)
        if into:
            room[near] = array[at(b), at(i), at(j)] if exists else number(0.0)
        elif exists:
            array[at(b), at(i), at(j)] = room[near]
        slow, fast = slow + WARP // n, fast + WARP % n
        if fast >= n:
            slow, fast = slow + 1, fast - n


def load_matrices(a, room, base, first, lane, n, matrices, skew, at_once, words, parts):
    """A warp's matrices to shared memory, row by row."""
    bytes_ = 4 * words * parts
    if copies_whole(a, matrices, first, n, bytes_, n * bytes_, bytes_):
        copy_whole(a, first, room, base, lane, matrices, n * n, skew, at_once, True)
    else:
        for k in range(int32(matrices)):
            b = first + k
            copy_one(a, b, room, base + k * (n * n + skew), n, n, 1, lane, True, b < a.shape[0])
    cuda.syncwarp()


def store_left(room, base, left, first, lane, n, matrices, skew, at_once, words, parts):
    """The inverse of `load_matrices`."""
    bytes_ = 4 * words * parts
    if copies_whole(left, matrices, first, n, bytes_, n * bytes_, bytes_):
        copy_whole(left, first, room, base, lane, matrices, n * n, skew, at_once, False)
    else:
        for k in range(int32(matrices)):
            b = first + k
            copy_one(left, b, room, base + k * (n * n + skew), n, n, 1, lane, False, b < left.shape[0])


def store_right(room, base, right, first, lane, n, matrices, skew, at_once, words, parts):
    """As `store_left`, of matrices column by column."""
    bytes_ = 4 * words * parts
    if copies_whole(right, matrices, first, n, bytes_, bytes_, n * bytes_):
        copy_whole(right, first, room, base, lane, matrices, n * n, skew, at_once, False)
    else:
        for k in range(int32(matrices)):
            b, place = first + k, base + k * (n * n + skew)
            copy_one(right, b, room, place, n, 1, n, lane, False, b < right.shape[0])


def place_in_warp(lane, matrices, lanes):
    """Which of a warp's matrices is this lane's, the first lane of that, this lane's number among its lanes,
    and whether the lane has a share in it."""
    which = int32((lane * (1024 // lanes + 1)) >> 10)  # lane // lanes
    is_busy = matrices * lanes == WARP or which < matrices
    which = int32(min(which, matrices - 1))
    begin = int32(which * lanes)
    return which, begin, int32(min(lane - begin, lanes - 1)), is_busy


def load_columns(room, first, q, n, lanes, slots):
    """This lane's columns of an n x n matrix in shared memory, which begins at `first`, row by row."""
    columns = repeated(load_strided(room, int32(first + q), n, n), slots)
    for k in range(1, slots):
        c = int32(q + k * lanes)
        column = load_strided(room, int32(first + min(c, n - 1)), n, n)
        if k * lanes + lanes > n:
            column = chosen(c < n, column, zeros(number(0.0), n))
        columns = replaced(columns, k, column)
    cuda.syncwarp()
    return columns


def decompose(
    room, reals, own, columns, lengths, inverse_power, odd, size, lane, begin, q, is_busy, exists, peers,
    n, lanes, halvings, slots, steps, width, places, pitch, vectors, words, parts,
):  # fmt: skip
    """The SVD of the n x n matrix of which this lane has `columns`, of these squared lengths, and whose part
    of shared memory begins at `own`.

    Returns columns of V and U, singular values times `inverse_power`, their ranks, whether the matrix is out
    of range or any of its lanes is `odd`, the number of sweeps, and the square of the largest cosine that may
    be left.
    """
    betas = int32((own + (2 * n if vectors else n + 2) * pitch) * parts)
    at_values = int32(betas + (n + 3) // 4 * 4)
    zero_count, least = pivoted_qr(
        room, reals, own, betas, columns, lengths, size, q, is_busy, peers,
        n, lanes, slots, steps, width, places, pitch, vectors, words, parts,
    )  # fmt: skip
    rotated, unfinished, count, off2 = orthogonalise(
        room, own, q, lane, begin, exists, peers,
        n, lanes, halvings, slots, steps, width, pitch, vectors, words, parts,
    )  # fmt: skip
    x, w, values, ranks, known, sound = singular_values(
        reals, at_values, rotated, q, begin, is_busy, zero_count, inverse_power,
        n, lanes, slots, vectors, words,
    )  # fmt: skip
    odd = odd or least < leading_bits(LOW * LOW)
    for k in range(slots):
        odd = odd or not values[k] < math.inf
    odd = lanes_with(odd, begin, lanes) > 0 or unfinished or known + zero_count != n or sound != n
    if vectors:
        w = left_columns(room, reals, own, betas, w, size, n, slots, width, pitch, words, parts)
        cuda.syncwarp()
    return x, w, values, ranks, odd, count, off2


def store_values(s, converged, sweeps, off, b, exists, q, values, ranks, count, off2, n, lanes, slots):
    """Singular values, and what happened to the matrix."""
    for k in range(slots):
        if exists and (slots * lanes == n or ranks[k] < n):
            s[at(b), at(ranks[k])] = values[k]
    if exists and q == 0:
        converged[at(b)] = True
        sweeps[at(b)] = count
        off[at(b)] = math.sqrt(off2)


def svd_fused(
    a, left, s, right, converged, sweeps, off, adjoint,
    n, lanes, halvings, slots, steps, width, places, pitch, step, skew, at_once, vectors, words, parts,
):  # fmt: skip
    """SVD of a batch of square matrices of more columns than `svd_tiny` takes, up to 32.

    a, left, s, right, converged, sweeps, off, adjoint : as `cuda_tiny.svd_tiny` has them. Without
        `vectors` left and right are not touched.
    The others are constants, as `fused_shape` has them.

    Launched with ceil(batch / matrices) blocks.
    """
    room, reals = cuda.shared.array(0, number, alignment=16), cuda.shared.array(0, real, alignment=16)
    matrices = WARP // lanes
    lane, warp = int32(cuda.threadIdx.x & 31), int32(cuda.threadIdx.x >> 5)
    which, begin, q, is_busy = place_in_warp(lane, matrices, lanes)
    first = (cuda.blockIdx.x * (cuda.blockDim.x >> 5) + warp) * matrices
    if first >= a.shape[0]:
        return
    b = first + which
    exists = is_busy and b < a.shape[0]
    base = int32(warp * matrices * step)
    peers = peers_of(q, begin, lane, is_busy, lanes, steps)

    # 1. Load, and scale by a power of two.
    load_matrices(a, room, base, first, lane, n, matrices, skew, at_once, words, parts)
    staged = int32(base + which * (n * n + skew))
    columns = load_columns(room, staged, q, n, lanes, slots)
    sizes, big = repeated(real(0.0), slots), real(0.0)
    for k in range(slots):
        sizes = replaced(sizes, k, largest(columns[k]))
        big = larger(big, sizes[k])
    power, inverse_power = powers_to(largest_of_lanes(big, peers, steps), TARGET, MOST_SHIFT)
    low, odd, lengths = larger(LOW * inverse_power, FLOOR), False, sizes
    for k in range(slots):
        column = stretched(columns[k], power)
        total = length2(column, 0)
        odd = odd or (sizes[k] > 0.0 and sizes[k] < low) or not total <= HUGE
        columns = replaced(columns, k, conjugated(column, adjoint) if parts == 2 else column)
        lengths = replaced(lengths, k, total)

    # 2. QR. 3. Jacobi. 4. Singular values and vectors.
    x, w, values, ranks, odd, count, off2 = decompose(
        room, reals, int32(base + which * step), columns, lengths, inverse_power, odd, a.shape[2],
        lane, begin, q, is_busy, exists, peers,
        n, lanes, halvings, slots, steps, width, places, pitch, vectors, words, parts,
    )  # fmt: skip
    store_values(s, converged, sweeps, off, b, exists, q, values, ranks, count, off2, n, lanes, slots)
    if vectors:
        to_right = int32(base + matrices * (n * n + skew))
        for k in range(slots):
            if is_busy and (slots * lanes == n or ranks[k] < n):
                store_strided(room, int32(staged + ranks[k]), n, conjugated(w[k], adjoint))
                row = int32(to_right + which * (n * n + skew) + ranks[k] * n)
                store_row(room, row, conjugated(x[k], not adjoint), 0, n)
        cuda.syncwarp()
        store_left(room, base, left, first, lane, n, matrices, skew, at_once, words, parts)
        store_right(room, to_right, right, first, lane, n, matrices, skew, at_once, words, parts)

    # 5. What is out of range.
    flags = cuda.ballot_sync(EVERYONE, odd and exists and q == 0)
    if flags != 0:
        cuda.syncwarp()
        space = room[base : base + matrices * step]
        for k in range(int32(matrices)):
            if flags >> (k * lanes) & 1:
                rescue(a, left, s, right, converged, sweeps, off, adjoint, first + k, space, parts, vectors)


# By dtype, with vectors and without: columns of a lane, by the largest n for which they are so many; a larger
# n is not for `svd_fused`. Four columns take half the shuffles, and more registers, so that fewer warps hide
# latency.
SLOTS = {
    "float32": (((6, 2), (8, 4), (12, 2), (16, 4), (32, 2)), ((6, 2), (32, 4))),
    "float64": (((16, 2),), ((32, 2),)),
    "complex64": (((16, 2),), ((32, 2),)),
    "complex128": (((8, 2),), ((16, 2),)),
}


def fused_shape(n, kind, vectors=True, shared_bytes=SHARED_BYTES, slots=None):
    """How `svd_fused` is launched for n x n matrices of a dtype, a `LaunchShape`; None where it is not. A
    block may have `shared_bytes`; `slots` columns of a lane are instead of those of the table."""
    table = SLOTS[kind][0 if vectors else 1]
    of_table = next((slots for most, slots in table if MOST_TINY[kind] < n <= most), None)
    if of_table is None:
        return None
    slots = slots or of_table
    size, parts = size_and_parts(kind)
    vector = max(1, 16 // size)
    lanes = -(-n // slots)
    halvings = (lanes & -lanes).bit_length() - 1
    pitch = -(-n // vector) * vector
    skew = -(-max(lanes, vector) // vector) * vector if n & (n - 1) == 0 else 0
    rows = 2 * n if vectors else n + 2
    step = rows * pitch + (-(-n // 4) * 4 + -(-lanes * slots // 4) * 4) // parts
    words = 32 // (size // 4)  # numbers in all banks
    step += (max(lanes, vector) // vector * vector - step) % words  # matrices of a warp use different banks
    constants = {
        "n": n,
        "lanes": lanes,
        "halvings": halvings,
        "slots": slots,
        "steps": (lanes - 1).bit_length(),
        "width": 1 if n <= 8 else 4,
        "places": 1 << (n - 1).bit_length(),
        "pitch": pitch,
        "step": step,
        "skew": skew,
        "at_once": math.gcd(vector, WARP // lanes * n * n),
        "vectors": bool(vectors),
        "words": size // parts // 4,
        "parts": parts,
    }
    matrices, warps = WARP // lanes, WARPS
    bytes_of_warp = matrices * step * size
    while warps > 1 and warps * bytes_of_warp > shared_bytes // 2:
        warps //= 2
    return LaunchShape(constants, warps * WARP, warps * matrices, warps * bytes_of_warp, 255)
