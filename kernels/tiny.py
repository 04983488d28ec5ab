"""The SVD of a matrix of at most four columns in straight-line code: one source for SIMD lanes and CUDA
threads, which `gpusvd._base.specialise` unrolls, with a variable for each entry.

    A 2^k P = Q R,   L = Rᴴ,   L W = X Σ,   A = (Q W) (Σ 2^-k) (P X)ᴴ

Pivoted Householder QR, then fast rotations of the columns of L, in plain arithmetic after one common scaling;
two columns take one rotation in closed form. Zeros on the diagonal of R are replaced by numbers so small that
nothing else feels them, so that Jacobi itself completes the basis: rank deficiency needs no branch. What is
out of the range in which squares are accurate, or not finite, is computed too, for nothing, and flagged
`odd`: the general kernel decomposes it afterwards. For complex numbers the weight of a reflector is complex
and R has a real diagonal, as in LAPACK.

Matrices are registers, by rows: entry (i, j) of m x n numbers is i n + j. `nothing` and `zero` are zeros of
the real type and of the matrix's, and `size` is n in the real type.
"""

from .lanes import (
    abs2,
    any_lane,
    conjugate,
    dot,
    fine_reciprocal,
    greater,
    inverse_power,
    inverse_root,
    largest_part,
    lift,
    load,
    reciprocal,
    registers,
    root,
    rough_reciprocal,
    scaled,
    select,
    store,
    with_sign,
)

MAX_SWEEPS = 12

# Stand-ins for `limits`, which depend on the precision. The largest entry is brought below 2**LIFTED, by
# 2**MOST_LIFT at most. A column below LEAST_COLUMN (LEAST_OF_TWO of 2 x 2 real numbers) is odd, and so is a
# singular value below LEAST_VALUE or two below LEAST_PRODUCT together: the squares of their cosines would be
# nothing. What is left of a column counts as zero if its square is below NO_LENGTH2, far less than
# LEAST_COLUMN can feel; STAND_IN stands for it, and less than LEAST_BESIDE may feel that. UNIT2 is the square
# of half an eps.
LIFTED, MOST_LIFT, LEAST_COLUMN, LEAST_OF_TWO, LEAST_VALUE, LEAST_PRODUCT = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
STAND_IN, LEAST_BESIDE, NO_LENGTH2, MOST_LENGTH2, UNIT2 = 0.0, 0.0, 0.0, 0.0, 0.0


def limits(single):
    """The range in which squares are accurate, in single precision or double."""
    return {
        "LIFTED": 28.0 if single else 250.0,
        "MOST_LIFT": 126.0 if single else 1022.0,
        "LEAST_COLUMN": 2.0**-36 if single else 2.0**-430,
        "LEAST_OF_TWO": 2.0**-60 if single else 2.0**-700,
        "LEAST_VALUE": 2.0**-46 if single else 2.0**-440,
        "LEAST_PRODUCT": 2.0**-38 if single else 2.0**-440,
        "STAND_IN": 2.0**-14 if single else 2.0**-200,
        "LEAST_BESIDE": 2.0**-2 if single else 2.0**-170,
        "NO_LENGTH2": 2.0**-120 if single else 2.0**-1000,
        "MOST_LENGTH2": 2.0**70 if single else 2.0**520,
        "UNIT2": 2.0**-48 if single else 2.0**-106,
    }


def scale_matrix(a, norms, m, n, low, nothing):
    """Scale the matrix by a power of two; write the squared lengths of its columns.

    Returns what scales back, and where the matrix is odd.
    """
    sizes = registers(n, nothing)
    for j in range(n):
        size = largest_part(load(a, j))
        for i in range(1, m):
            size = greater(largest_part(load(a, i * n + j)), size)
        store(sizes, j, size)
    big = load(sizes, 0)
    for j in range(1, n):
        big = greater(load(sizes, j), big)
    factor = lift(big, LIFTED, MOST_LIFT)
    inverse = inverse_power(factor)
    odd = (big > 0.0) & (big * factor < 4096.0)  # STAND_IN would be more than a rounding error
    for j in range(n):
        odd = odd | ((load(sizes, j) > 0.0) & (load(sizes, j) < low * inverse))
    total = nothing
    for j in range(n):
        for i in range(m):
            store(a, i * n + j, scaled(load(a, i * n + j), factor))
        store(norms, j, length2_of(a, j, n, m))
        total = total + load(norms, j)
    return inverse, odd | ~(total <= MOST_LENGTH2)


def length2_of(x, first, step, count):
    """Sum of the squares of `count` entries."""
    total = abs2(load(x, first))
    for i in range(1, count):
        total = total + abs2(load(x, first + i * step))
    return total


def inner_product(x, first, y, second, step, count):
    """Sum of conj(x) y over `count` entries."""
    total = dot(load(x, first), load(y, second))
    for i in range(1, count):
        total = total + dot(load(x, first + i * step), load(y, second + i * step))
    return total


def exchange(x, p, q, step, count, mask):
    """Swap `count` entries from p on with those from q on where the mask holds."""
    for i in range(count):
        first, second = load(x, p + i * step), load(x, q + i * step)
        store(x, p + i * step, select(mask, second, first))
        store(x, q + i * step, select(mask, first, second))


def pivot(a, norms, swaps, j, m, n):
    """Bring the longest of the columns from j on to place j."""
    for q in range(j + 1, n):
        mask = load(norms, q) > load(norms, j)
        store(swaps, j * n + q, mask)
        store(norms, j, greater(load(norms, q), load(norms, j)))
        exchange(a, j, q, n, m, mask)


def make_reflector(a, norms, diagonal, weights, zeros, j, m, n, parts, tau):
    """v in column j, its weight c in H = I + c v vᴴ, and what H makes of the column, a real number."""
    place = j * n + j
    is_zero = load(norms, j) < NO_LENGTH2
    length = with_sign(root(load(norms, j)), load(a, place).real)
    top = load(a, place) + length
    store(a, place, top)
    total = length2_of(a, place, n, m - j)  # whatever was rounded before: H is unitary to its rounding
    if parts == 2:
        phase = scaled(conjugate(top), top.real * fine_reciprocal(abs2(top)))
        store(weights, j, select(is_zero, 0.0, scaled(phase, -2.0 * fine_reciprocal(total))))
    else:
        store(weights, j, select(is_zero, 0.0, -2.0 * fine_reciprocal(total)))
    store(zeros, j, is_zero)
    store(diagonal, j, select(is_zero, tau, 0.0 - length))


def reflect(a, j, weight, x, k, step, m, n):
    """x <- H_j x for the column of x that is k, its entries `step` apart."""
    share = dot(load(a, j * n + j), load(x, j * step + k))
    for i in range(j + 1, m):
        share = share + dot(load(a, i * n + j), load(x, i * step + k))
    share = weight * share
    for i in range(j, m):
        store(x, i * step + k, load(x, i * step + k) + load(a, i * n + j) * share)


def triangle(a, norms, diagonal, weights, zeros, swaps, m, n, parts):
    """A P = Q R: reflectors in the lower triangle of a, R above it and in `diagonal`."""
    for j in range(n):
        pivot(a, norms, swaps, j, m, n)
        if j < m - 1 or parts == 2:
            tau = STAND_IN if j == 0 or n > 2 else 0.0
            make_reflector(a, norms, diagonal, weights, zeros, j, m, n, parts, tau)
            for q in range(j + 1, n):
                weight = load(weights, j)
                reflect(a, j, weight, a, q, n, m, n)
                if j + 1 < m:
                    store(norms, q, length2_of(a, (j + 1) * n + q, n, m - j - 1))
        else:
            is_zero = load(a, j * n + j) == 0.0
            tau = STAND_IN if j == 0 or n > 2 else 0.0
            store(zeros, j, is_zero)
            store(diagonal, j, select(is_zero, tau, load(a, j * n + j)))


def rotate(x, w, lengths, scales, p, q, n, vectors, threshold):
    """Make columns p and q of x, rows of registers, orthogonal: X_j = sqrt(scale_j / 2) x_j, |X_j|² in
    `lengths`, see `rotation`. Returns four times cos², and sin².

    Where four cos² is not above the threshold nothing is rotated.
    """
    gamma = inner_product(x, p * n, x, q * n, 1, n)
    u, v = scaled(conjugate(gamma), load(scales, q)), scaled(gamma, load(scales, p))
    four = (u * v).real
    difference = load(lengths, q) - load(lengths, p)
    size = root(difference * difference + four)
    cos4 = four * rough_reciprocal(load(lengths, p) * load(lengths, q))
    inverse = select(cos4 > threshold, reciprocal(size * (abs(difference) + size)), 0.0)
    forth = with_sign(size * inverse, difference)
    back = 0.0 - forth  # sums of products, not differences, become multiply-adds of CUDA threads
    a, b = scaled(u, back), scaled(v, forth)
    half = 0.5 * four
    sin2 = half * inverse
    less = 0.0 - sin2
    store(lengths, p, load(lengths, p) + half * back)
    store(lengths, q, load(lengths, q) + half * forth)
    store(scales, p, load(scales, p) + load(scales, p) * less)
    store(scales, q, load(scales, q) + load(scales, q) * less)
    apply_rotation(x, p * n, q * n, n, a, b)
    if vectors:
        apply_rotation(w, p * n, q * n, n, a, b)
    return cos4, sin2


def apply_rotation(x, p, q, n, a, b):
    """x_p <- x_p + a x_q and x_q <- x_q + b x_p."""
    for i in range(n):
        xp, xq = load(x, p + i), load(x, q + i)
        store(x, p + i, xp + a * xq)
        store(x, q + i, xq + b * xp)


def sweep(x, w, lengths, scales, n, vectors, threshold, nothing):
    """Rotate every pair of columns once, in rounds of disjoint pairs; returns the largest four cos² and
    sin²."""
    for j in range(n):
        length2 = length2_of(x, j * n, 1, n)
        store(lengths, j, 0.5 * load(scales, j) * length2)
    cos4, sin2 = nothing, nothing
    for distance in range(1, 4):
        for p in range(n):
            if p < p ^ distance and p ^ distance < n:
                c, s = rotate(x, w, lengths, scales, p, p ^ distance, n, vectors, threshold)
                cos4, sin2 = greater(c, cos4), greater(s, sin2)
    return cos4, sin2


def progress(cos4, sin2, size):
    """cos² and sin² of a sweep to what it has left, and whether another one is needed, as in `rotation`."""
    cos2 = 0.25 * cos4
    ahead = (size * cos2) * (size * greater(cos2, sin2))
    again = (cos2 > size * UNIT2) & (ahead >= size * UNIT2)
    return select(ahead < cos2, ahead, cos2), again


def orthogonalise(x, w, scales, n, vectors, nothing, size):
    """Sweep until every lane has converged; returns where not, the number of sweeps, and the largest
    remaining cosine."""
    lengths = registers(n, nothing)
    threshold = 4.0 * UNIT2 * size
    cos4, sin2 = sweep(x, w, lengths, scales, n, vectors, threshold, nothing)
    left, alive = progress(cos4, sin2, size)
    count = nothing + 1.0
    for _ in range(MAX_SWEEPS):
        if not any_lane(alive):
            break
        threshold = select(alive, 4.0 * UNIT2 * size, MOST_LENGTH2)
        cos4, sin2 = sweep(x, w, lengths, scales, n, vectors, threshold, nothing)
        ahead, again = progress(cos4, sin2, size)
        left = select(alive, ahead, left)
        count = select(alive, count + 1.0, count)
        alive = alive & again
    return alive, count, root(left)


def transposed_triangle(a, diagonal, x, n, parts, zero):
    """x = L = Rᴴ, a column after the other."""
    for j in range(n):
        for i in range(j):
            store(x, j * n + i, 0.0)
        store(x, j * n + j, zero + load(diagonal, j) if parts == 2 else load(diagonal, j))
        for i in range(j + 1, n):
            store(x, j * n + i, conjugate(load(a, j * n + i)))


def normalise(x, w, s, scales, n, vectors):
    """The singular values, and the columns of x and w to length one.

    |x| / |w| has none of the rounding errors of the scales.
    """
    for j in range(n):
        length2 = length2_of(x, j * n, 1, n)
        if vectors:
            other2 = length2_of(w, j * n, 1, n)
            first, second = root(length2), root(other2)
            both = fine_reciprocal(first * second)
            store(s, j, first * (both * first))
            for i in range(n):
                store(x, j * n + i, scaled(load(x, j * n + i), both * second))
                store(w, j * n + i, scaled(load(w, j * n + i), both * first))
        else:
            store(s, j, root(0.5 * load(scales, j) * length2))


def sort(x, w, s, n, vectors):
    """Descending order of the singular values, by a network."""
    for distance in (1, 2):
        for p in range(n - distance):
            if p & distance == 0:
                put_in_order(x, w, s, p, p + distance, n, vectors)
    if n > 2:
        put_in_order(x, w, s, 1, 2, n, vectors)


def put_in_order(x, w, s, p, q, n, vectors):
    mask = load(s, q) > load(s, p)
    exchange(s, p, q, 1, 1, mask)
    if vectors:
        exchange(x, p * n, q * n, 1, n, mask)
        exchange(w, p * n, q * n, 1, n, mask)


def check_values(s, zeros, n, nothing, size):
    """Zero for what stands for zeros; returns where the values are too small to be right."""
    missing, sound = nothing, nothing
    for j in range(n):
        missing = missing + select(load(zeros, j), nothing + 1.0, 0.0)
    low = select(missing > 0.0, LEAST_BESIDE, nothing + LEAST_VALUE)
    for j in range(n):
        sound = sound + select(load(s, j) >= low, nothing + 1.0, 0.0)
    odd = (sound + missing != size) | (load(s, n - 2) * load(s, n - 1) < LEAST_PRODUCT)
    for j in range(n):
        store(s, j, select(load(s, j) < low, 0.0, load(s, j)))
    return odd


def one_column(diagonal, zeros, x, w, s, nothing, zero):
    """L W = X Σ for one number, a real one."""
    store(w, 0, zero + 1.0)
    store(x, 0, zero + with_sign(nothing + 1.0, load(diagonal, 0)))
    store(s, 0, select(load(zeros, 0), 0.0, abs(load(diagonal, 0))))


def two_columns(a, diagonal, zeros, x, w, s, parts, nothing, zero):
    """L W = X Σ in closed form for the columns (d, conj(r)) and (0, e), of which the first is the longer:
    nothing cancels. The phase of r goes to the second rows of X and W."""
    d, e, r, phase = load(diagonal, 0), load(diagonal, 1), load(a, 1).real, zero + 1.0
    if parts == 2:
        size2 = abs2(load(a, 1))  # where that has lost its digits, r is nothing beside d
        has_phase = size2 > NO_LENGTH2
        r = select(has_phase, root(size2), 0.0)
        phase = select(has_phase, scaled(conjugate(load(a, 1)), inverse_root(size2)), phase)
    across = r * e
    along = greater((d - e) * (d + e) + r * r, 0.0)
    both = along + root(along * along + 4.0 * (across * across))
    tangent = select(both > NO_LENGTH2, 2.0 * across * reciprocal(both), 0.0)
    y = r + tangent * e
    length2, growth = d * d + y * y, tangent * tangent + 1.0
    inverse, cosine = inverse_root(length2), inverse_root(growth)
    first, second, sine = d * inverse, y * inverse, tangent * cosine
    larger = cosine * (length2 * inverse)
    smaller = abs(d * e) * (inverse * (cosine * growth))
    store(s, 0, select(load(zeros, 0), 0.0, larger))
    store(s, 1, select(smaller > larger, larger, smaller))
    sign = with_sign(nothing + 1.0, d * e)
    place_column(x, 0, first, second, phase, parts, zero)
    place_column(x, 1, 0.0 - second * sign, first * sign, phase, parts, zero)
    place_column(w, 0, cosine, sine, phase, parts, zero)
    place_column(w, 1, 0.0 - sine, cosine, phase, parts, zero)


def place_column(x, k, first, second, phase, parts, zero):
    """Column k of two rows, the second times a phase."""
    if parts == 2:
        store(x, 2 * k, zero + first)
        store(x, 2 * k + 1, scaled(phase, second))
    else:
        store(x, 2 * k, first)
        store(x, 2 * k + 1, second)


def left_factor(a, weights, w, u, m, n, columns, parts):
    """u = Q [W 0; 0 I], so many columns of it."""
    for k in range(columns):
        for i in range(m):
            if i < n and k < n:
                store(u, i * columns + k, load(w, k * n + i))
            elif i == k:
                store(u, i * columns + k, 1.0)
            else:
                store(u, i * columns + k, 0.0)
        for j in range(n - 1, -1, -1):
            if j < m - 1 or parts == 2:
                reflect(a, j, conjugate(load(weights, j)), u, k, columns, m, n)


def undo_pivots(x, swaps, n):
    """x <- P x, for its columns one after the other."""
    for j in range(n - 1, -1, -1):
        for q in range(n - 1, j, -1):
            for k in range(n):
                exchange(x, k * n + j, k * n + q, 1, 1, load(swaps, j * n + q))


def decompose(a, u, s, x, m, n, columns, vectors, parts, nothing, zero, size):
    """Overwrite registers a, m x n, with reflectors, and write U to u, m x columns, the singular values to s,
    and V to x, a column after the other; u and x only if there are to be `vectors`.

    Returns where the matrix is odd, the number of sweeps and the largest cosine left.
    """
    norms, diagonal, weights = registers(n, nothing), registers(n, nothing), registers(n, zero)
    zeros, swaps, scales = registers(n, nothing), registers(n * n, nothing), registers(n, nothing)
    w = registers(n * n, zero)
    low = LEAST_OF_TWO if n == 2 and m == 2 and parts == 1 else LEAST_COLUMN
    inverse, odd = scale_matrix(a, norms, m, n, low, nothing)
    triangle(a, norms, diagonal, weights, zeros, swaps, m, n, parts)
    count, left = nothing + 1.0, nothing
    if n == 1:
        one_column(diagonal, zeros, x, w, s, nothing, zero)
    elif n == 2:
        two_columns(a, diagonal, zeros, x, w, s, parts, nothing, zero)
    else:
        transposed_triangle(a, diagonal, x, n, parts, zero)
        for j in range(n):
            store(scales, j, 2.0)
            for i in range(n):
                store(w, j * n + i, 0.0)
            store(w, j * n + j, 1.0)
        alive, count, left = orthogonalise(x, w, scales, n, vectors, nothing, size)
        normalise(x, w, s, scales, n, vectors)
        sort(x, w, s, n, vectors)
        too_small = check_values(s, zeros, n, nothing, size)
        odd = odd | alive | too_small
    for j in range(n):
        store(s, j, load(s, j) * inverse)
    if vectors:
        left_factor(a, weights, w, u, m, n, columns, parts)
        undo_pivots(x, swaps, n)
    return odd | ~(load(s, 0) - load(s, 0) == 0.0), count, left  # not finite: out of range
