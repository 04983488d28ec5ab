"""The SVD of one matrix by one warp, over the whole range of exponents: for what a faster kernel leaves.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   A = (Q W) Σ (P X)ᴴ

Kernels that keep a matrix in registers (`cuda_tiny`, `cuda_fused`, `cuda_tall`) scale it once and then take
squares as they come. They flag what that does not suit: columns of very different lengths, NaN and Inf. At
the end of these kernels a warp calls `rescue` for its flagged matrices, or for those of its block, one after
the other: a call is one launch whatever the matrices are, and none of them touches another's result.

Layout: at most 32 columns, in shared memory; a lane has row i mod 32 of each. Lane j also keeps what belongs
to column j, its exponent, norm and record, and hands it to the others by shuffles. So all lanes know all that
a step decides, and memory is synchronised twice: after A is loaded, and after R is transposed.

The numerics are those of `qr` and `jacobi`. Its phases:

1. Columns are loaded, and scaled by powers of two.
2. Step by step, a reflector is made from the largest remaining column and applied to the others.
3. Rows of R become columns of L, with exponents of their own.
4. Jacobi, pair after pair, rotates the columns of L and of W = I.
5. Singular values and their order; columns of X that are zero are completed.
6. V = P X and U = Q W are stored.

Shared memory: `rescue_numbers` a warp. Flops: as `jacobi`.
"""

import math

from numba import cuda

from .cuda_finish import finished
from .cuda_group import apply, inner_product, length2_of, renew
from .cuda_warp import EVERYONE, WARP, at, largest_real, shuffled, sum_number, sum_real
from .jacobi import (
    EXPONENT,
    KEPT,
    LENGTH2,
    MAX_SWEEPS,
    REST,
    SCALE,
    needs_another_sweep,
    strayed,
    turn,
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
    rounding,
    scale,
    select,
    small_square,
)
from .qr import LEAST_EXPONENT, LOWEST, NEAR, reflector
from .scalars import number, real

TWICE = 2  # orthogonalisations of a column that completes X


def rescue_numbers(m, n):
    """How many numbers of shared memory `rescue` needs: A, L over W, and a column of U."""
    return m * n + 2 * n * n + m


def of_lane(x, lane):
    """x of another lane."""
    return cuda.shfl_sync(EVERYONE, x, lane)


def load_matrix(a, b, columns, adjoint, lane):
    """Copy matrix b to columns."""
    m, n = a.shape[1], a.shape[2]
    for e in range(lane, m * n, WARP):
        i, j = e // n, e % n
        entry = a[at(b), at(i), at(j)]
        columns[at(j * m + i)] = conjugate(entry) if adjoint else entry
    cuda.syncwarp()


def scale_columns(columns, m, n, lane):
    """Bring every column to a largest entry in [1/2, 1). Returns whether there is a NaN or Inf, the highest
    exponent, and this lane's column's exponent relative to it."""
    nothing, highest, mine = real(0.0), real(LOWEST), real(0.0)
    for q in range(n):
        big = real(0.0)
        for i in range(lane, m, WARP):
            big = maximum(largest_part(columns[at(q * m + i)]), big)
            nothing = nothing + nothing_if_finite(columns[at(q * m + i)])
        big = largest_real(big, 32)
        shift = exponent(big)
        highest = maximum(select(big > 0.0, shift, LOWEST), highest)
        mine = shift if lane == q else mine
    bad = sum_real(nothing, 32) != 0.0
    for q in range(0 if bad else n):
        shift = of_lane(mine, q)
        for i in range(lane, m, WARP):
            columns[at(q * m + i)] = scale(columns[at(q * m + i)], 0.0 - shift)
    highest = highest if highest > LOWEST else real(0.0)
    return bad, highest, mine - highest


def remaining_norm(columns, m, q, first, total, lane):
    """The squared norm of column q from row `first` on, after a scaling by 2**-shift, and the shift, from
    what the rows of this lane have."""
    total, shift = sum_real(total, 32), real(0.0)
    if total < small_square(total):
        big, again = real(0.0), real(0.0)
        for i in range(lane, m, WARP):
            if i >= first:
                big = maximum(largest_part(columns[at(q * m + i)]), big)
        shift = exponent(largest_real(big, 32))
        for i in range(lane, m, WARP):
            if i >= first:
                again = again + abs2(scale(columns[at(q * m + i)], 0.0 - shift))
        total = sum_real(again, 32)
    return total, shift


def largest_column(key, j, n, lane):
    """The column from j on whose lane has the largest key, the first of equals."""
    best, chosen = (key if j <= lane < n else real(-math.inf)), lane
    for step in (1, 2, 4, 8, 16):
        other, from_lane = (
            cuda.shfl_xor_sync(EVERYONE, best, step),
            cuda.shfl_xor_sync(EVERYONE, chosen, step),
        )
        if other > best or (other == best and from_lane < chosen):
            best, chosen = other, from_lane
    return chosen


def swap_columns(columns, m, p, q, lane):
    for i in range(lane, m, WARP):
        x, y = columns[at(p * m + i)], columns[at(q * m + i)]
        columns[at(p * m + i)] = y
        columns[at(q * m + i)] = x


def make_reflector(columns, m, j, total, shift, lane, parts):
    """v_j below the diagonal of column j, the entry of R on it; returns beta_j."""
    top = shuffled(columns[at(j * m + lane)] if lane == j else number(0.0), j, parts)
    diagonal, inverse = reflector(scale(top, 0.0 - shift), total)
    rest = real(0.0)
    for i in range(lane, m, WARP):
        if i > j:
            v = scale(columns[at(j * m + i)], 0.0 - shift) * inverse
            columns[at(j * m + i)] = v
            rest = rest + abs2(v)
    if lane == j:
        columns[at(j * m + j)] = scale(diagonal, shift)
    return select(total > 0.0, 2.0 / (1.0 + sum_real(rest, 32)), 0.0)


def reflect(columns, m, j, beta, x, start, lane, parts):
    """Reflect the column that begins at `start` of x by v_j; returns the squares of this lane's rows below
    j."""
    w = number(0.0)
    for i in range(lane, m, WARP):
        if i == j:
            w = w + x[at(start + i)]
        elif i > j:
            w = w + dot(columns[at(j * m + i)], x[at(start + i)])
    w = sum_number(w, 32, parts) * beta
    total = real(0.0)
    for i in range(lane, m, WARP):
        if i == j:
            x[at(start + i)] = x[at(start + i)] - w
        elif i > j:
            entry = x[at(start + i)] - columns[at(j * m + i)] * w
            x[at(start + i)] = entry
            total = total + abs2(entry)
    return total


def factor(columns, m, n, power, lane, parts):
    """Factor A in place. Returns the exponent of this lane's column, in the order of the pivots, its number
    before pivoting, and beta."""
    norm, shift, key = real(0.0), real(0.0), real(LOWEST)
    place, beta = lane, real(0.0)
    for j in range(n):
        for q in range(j, n):
            if j == 0:
                left = length2_in(columns, m, q, lane)
            else:
                left = reflect(columns, m, j - 1, of_lane(beta, j - 1), columns, q * m, lane, parts)
            total, small = remaining_norm(columns, m, q, j, left, lane)
            if lane == q:
                norm, shift = total, small
                key = log2_linear(total) + 2.0 * (small + power) if total > 0.0 else real(LOWEST)
        p = largest_column(key, j, n, lane)
        swap_columns(columns, m, j, p, lane)
        source = p if lane == j else (j if lane == p else lane)
        norm, shift, key = of_lane(norm, source), of_lane(shift, source), of_lane(key, source)
        power, place = of_lane(power, source), of_lane(place, source)
        factor_ = make_reflector(columns, m, j, of_lane(norm, j), of_lane(shift, j), lane, parts)
        beta = factor_ if lane == j else beta
    return power, place, beta


def length2_in(columns, m, q, lane):
    """The sum of squares of this lane's rows of column q."""
    total = real(0.0)
    for i in range(lane, m, WARP):
        total = total + abs2(columns[at(q * m + i)])
    return total


def transpose(columns, m, n, power, stack, height, lane, vectors):
    """Column j of L = Rᴴ, from lane j, which has row j of R, to rows 0..n-1 of column j of `stack`, and a
    column of W = I below it. Returns the exponent of this lane's column.

    One that is not far below the largest so far shares its exponent, see `qr.scale_triangle`.
    """
    reach = real(LOWEST)
    for q in range(n):
        shift = of_lane(power, q)
        if lane <= q:
            size = largest_part(columns[at(q * m + lane)])
            reach = maximum(select(size > 0.0, exponent(size) + shift, LOWEST), reach)
    highest = real(LOWEST)
    for q in range(n):
        other = of_lane(reach, q)
        highest = maximum(other, highest) if q <= lane else highest
    own = reach if reach > LOWEST else real(0.0)
    mine = highest if reach > highest - NEAR else own
    for q in range(n):
        gap = maximum(of_lane(power, q) - mine, LEAST_EXPONENT)
        if lane < n:
            entry = number(0.0)
            if q >= lane:
                entry = conjugate(scale(columns[at(q * m + lane)], gap))
            stack[at(lane * height + q)] = entry
            if vectors:
                stack[at(lane * height + n + q)] = number(1.0) if q == lane else number(0.0)
    cuda.syncwarp()
    return mine


def fetch(stack, j, n, height, x, w, record, state, k, lane, vectors):
    """Load this lane's row of column j of L and of W to x and w, and the column's record to number k of
    `state`."""
    x[0] = stack[at(j * height + lane)] if lane < n else number(0.0)
    if vectors:
        w[0] = stack[at(j * height + n + lane)] if lane < n else number(0.0)
    for i in range(KEPT):
        state[KEPT * k + i] = of_lane(record[i], j)


def put_back(stack, j, n, height, x, w, record, state, k, lane, vectors):
    """The inverse of `fetch`."""
    if lane < n:
        stack[at(j * height + lane)] = x[0]
        if vectors:
            stack[at(j * height + n + lane)] = w[0]
    for i in range(KEPT):
        record[i] = state[KEPT * k + i] if lane == j else record[i]


def sweep(stack, n, height, record, tol2, lane, parts, vectors):
    """Rotate every pair of columns once, the records renewed before; returns the largest cos² and sin²."""
    x, y = cuda.local.array(1, number), cuda.local.array(1, number)
    w, v = cuda.local.array(1, number), cuda.local.array(1, number)
    state = cuda.local.array(2 * KEPT, real)
    for j in range(n):
        fetch(stack, j, n, height, x, w, record, state, 0, lane, vectors)
        renew(x, w, state, 0, 32, vectors, True)
        put_back(stack, j, n, height, x, w, record, state, 0, lane, vectors)
    cos2, sin2 = real(0.0), real(0.0)
    for p in range(n - 1):
        fetch(stack, p, n, height, x, w, record, state, 0, lane, vectors)
        for q in range(p + 1, n):
            fetch(stack, q, n, height, y, v, record, state, 1, lane, vectors)
            gamma = sum_number(inner_product(x, y, parts), 32, parts)
            a, b, aw, bw, active, lost, c, s = turn(0, 1, gamma, True, tol2, state)
            cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
            if active:
                apply(x, y, a, b, parts)
                if vectors:
                    apply(w, v, aw, bw, parts)
                if strayed(state, 0, lost) or strayed(state, 1, lost):
                    renew(x, w, state, 0, 32, vectors, True)
                    renew(y, v, state, 1, 32, vectors, True)
                put_back(stack, q, n, height, y, v, record, state, 1, lane, vectors)
        put_back(stack, p, n, height, x, w, record, state, 0, lane, vectors)
    return cos2, sin2


def orthogonalise(stack, n, height, record, lane, parts, vectors):
    """As `jacobi.orthogonalise`: whether it converged, the number of sweeps and the largest cosine left."""
    size = real(n)
    tol2 = size * rounding(stack) * rounding(stack)
    count, left, alive = 0, real(0.0), True
    for _ in range(MAX_SWEEPS):
        cos2, sin2 = sweep(stack, n, height, record, tol2, lane, parts, vectors)
        ahead = (size * cos2) * (size * maximum(cos2, sin2))
        count, left = count + 1, math.sqrt(ahead if ahead < cos2 else cos2)
        alive = cos2 > tol2 and needs_another_sweep(size, cos2, sin2, tol2)
        if not alive:
            break
    return not alive, count, left


def finish_columns(stack, n, height, record, lane, vectors):
    """The columns of X and W to length one. Returns this lane's singular value, a fraction in [1/2, 1) and a
    power of two, LOWEST for zero."""
    sigma, power = real(0.0), real(LOWEST)
    x = cuda.local.array(1, number)
    for j in range(n):
        x[0] = stack[at(j * height + lane)] if lane < n else number(0.0)
        total = length2_of(x, 32)
        length = math.sqrt(total)
        inverse = 1.0 / length if total > 0.0 else real(0.0)
        if lane < n:
            stack[at(j * height + lane)] = x[0] * inverse
        if lane == j and total > 0.0:
            value = length * math.sqrt(record[SCALE] + record[REST])
            shift = exponent(value)
            sigma, power = scale(value, -shift), record[EXPONENT] + shift
        if vectors:
            x[0] = stack[at(j * height + n + lane)] if lane < n else number(0.0)
            unit = 1.0 / math.sqrt(length2_of(x, 32))
            if lane < n:
                stack[at(j * height + n + lane)] = x[0] * unit
    return sigma, power


def complete(stack, n, height, power, lane, parts):
    """Make columns of X that are zero unit vectors orthogonal to all others, as `cuda_finish` does."""
    x = cuda.local.array(1, number)
    missing = real(1.0) if lane < n else real(-1.0)  # what the columns leave of this lane's axis
    for k in range(n):
        if lane < n:
            missing = missing - abs2(stack[at(k * height + lane)])
    for j in range(n):
        if of_lane(power, j) <= LOWEST:
            axis = largest_column(missing, 0, n, lane)
            x[0] = number(1.0) if lane == axis else number(0.0)
            for _ in range(TWICE):
                for k in range(n):
                    if k < j or of_lane(power, k) > LOWEST:
                        y = stack[at(k * height + lane)] if lane < n else number(0.0)
                        x[0] = x[0] - y * sum_number(dot(y, x[0]), 32, parts)
            x[0] = x[0] * (1.0 / math.sqrt(length2_of(x, 32)))
            missing = missing - abs2(x[0])
            if lane < n:
                stack[at(j * height + lane)] = x[0]


def rank_of(sigma, power, n, lane):
    """The rank of this lane's singular value in descending order; equal ones keep their order."""
    rank = 0
    for k in range(n):
        other, other_power = of_lane(sigma, k), of_lane(power, k)
        larger = other >= sigma if k < lane else other > sigma
        rank += 1 if other_power > power or (other_power == power and larger) else 0
    return rank


def store_left(columns, m, n, beta, stack, height, column, rank, left, b, adjoint, lane, parts):
    """U = Q [W 0; 0 I], column after column."""
    for k in range(left.shape[2]):
        place = k
        if k < n:
            place = of_lane(rank, k)
        for i in range(lane, m, WARP):
            if k < n:
                column[at(i)] = stack[at(k * height + n + i)] if i < n else number(0.0)
            else:
                column[at(i)] = number(1.0) if i == k else number(0.0)
        for step in range(n):
            j = n - 1 - step
            reflect(columns, m, j, of_lane(beta, j), column, 0, lane, parts)
        for i in range(lane, m, WARP):
            left[at(b), at(i), at(place)] = finished(column[at(i)], False, adjoint)


def store_right(stack, n, height, place, rank, right, b, adjoint, lane):
    """V = P X, whose row `place` is this lane's row of X."""
    for k in range(n):
        column = of_lane(rank, k)
        if lane < n:
            right[at(b), at(place), at(column)] = finished(stack[at(k * height + lane)], False, not adjoint)


def spoil(out, b, lane):
    """NaN for every entry of matrix b."""
    for e in range(lane, out.shape[1] * out.shape[2], WARP):
        out[at(b), at(e // out.shape[2]), at(e % out.shape[2])] = number(math.nan)


def rescue(a, left, s, right, converged, sweeps, off, adjoint, b, room, parts, vectors):
    """Decompose matrix b of a batch of matrices with m >= n >= 1, n at most 32. All lanes of a warp call it.

    a, left, s, right, converged, sweeps, off, adjoint : as `cuda_finish.assemble_batch` and
        `cuda_qr.factor_batch` have them.
    room : shared memory of the warp, `rescue_numbers` numbers, whose entries until now may be anything.
    parts, vectors : constants; parts is 2 for complex numbers and 1 for real ones.
    """
    m, n = a.shape[1], a.shape[2]
    lane = cuda.threadIdx.x % WARP
    height = 2 * n if vectors else n
    columns, stack = room[: n * m], room[n * m : n * m + n * height]
    record = cuda.local.array(KEPT, real)

    # 1. Load the columns, and scale each by a power of two.
    load_matrix(a, b, columns, adjoint, lane)
    bad, highest, power = scale_columns(columns, m, n, lane)
    if bad:
        if vectors:
            spoil(left, b, lane)
            spoil(right, b, lane)
        if lane < n:
            s[at(b), at(lane)] = math.nan
        if lane == 0:
            converged[at(b)] = False
            sweeps[at(b)] = 0
            off[at(b)] = math.nan
    else:
        # 2. QR. 3. L and W.
        power, place, beta = factor(columns, m, n, power, lane, parts)
        record[LENGTH2], record[SCALE], record[REST] = real(0.0), real(1.0), real(0.0)
        record[EXPONENT] = transpose(columns, m, n, power, stack, height, lane, vectors)

        # 4. Jacobi.
        done, count, cosine = orthogonalise(stack, n, height, record, lane, parts, vectors)

        # 5. Singular values, and what happened.
        sigma, power = finish_columns(stack, n, height, record, lane, vectors)
        rank = rank_of(sigma, power, n, lane)
        value = scale(sigma, maximum(power + highest, LEAST_EXPONENT))
        if lane < n:
            s[at(b), at(rank)] = value
            if rank == 0:
                converged[at(b)] = done and value < math.inf
                sweeps[at(b)] = count
                off[at(b)] = cosine

        # 6. Vectors.
        if vectors:
            complete(stack, n, height, power, lane, parts)
            store_right(stack, n, height, place, rank, right, b, adjoint, lane)
            column = room[n * m + n * height : n * m + n * height + m]
            store_left(columns, m, n, beta, stack, height, column, rank, left, b, adjoint, lane, parts)
    cuda.syncwarp()
