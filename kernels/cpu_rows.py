"""SIMD lanes along the rows of one matrix: the SVD for matrices too large for one a lane.

The same pipeline, rotation and stopping rule as `cpu_tile`; here a column is a run of groups, row i in lane
i mod W of its group i // W, padded with zeros. Norms, scales and exponents, a group a column there, are a
number a column here.

Neighbouring columns form couples. In each round of a sweep disjoint pairs of couples meet (`schedule`); the
rotations of a round are computed together, one pair of columns a lane, by the function that computes them
for a lane a matrix, and applied four columns at a time. Columns that have met their tolerance are left
alone.

Workspace: `factor` n columns of A, of `groups` groups each; `stack` n columns, and one of zeros if n is odd,
of L over W, `half` groups each and `rows` together; `columns` four of U; `pairs`, `state` and `flags` for a
round; vectors of n real numbers, and what is kept of each column, `column_state`. See `layout`.
"""

import math

from . import layout
from .cpu_tile import fill_matrix, unsigned_zero
from .jacobi import (
    LONG,
    MAX_SWEEPS,
    SHORT,
    apply_four,
    apply_two,
    crossed,
    inner_product,
    needs_another_sweep,
    scale_rows,
    six_products,
    strayed,
    turn,
)
from .lanes import (
    abs2,
    any_lane,
    conjugate,
    exponent,
    fill,
    get,
    inlined,
    jit,
    lane_count,
    lane_numbers,
    largest_part,
    load,
    log2_linear,
    max_lanes,
    maximum,
    nothing_if_finite,
    put,
    rounding,
    scale,
    section,
    select,
    small_square,
    spread,
    store,
    sum_lanes,
    swap_neighbours,
)
from .layout import BLOCK, EXPONENT, FLAGS, KEPT, LENGTH2, PAIRS, REST, SCALE
from .qr import LEAST_EXPONENT, LOWEST, NEAR, add_run, dot_columns, dot_four, reflector, sum_of_squares
from .schedule import meeting as _meeting
from .schedule import rounds as _rounds

meeting, rounds = jit(_meeting), jit(_rounds)
rows_numbers, rows_reals = jit(layout.rows_numbers), jit(layout.rows_reals)


@jit
def pack_rows(a, b, factor, groups, adjoint):
    """Columns of matrix b of the batch, padded with zeros."""
    lanes = lane_count(factor)
    m, n = a.shape[1], a.shape[2]
    for j in range(n):
        store(factor, j * groups + groups - 1, spread(factor, 0.0))
    for i in range(m):
        for j in range(n):
            entry = a[b, i, j]
            put(factor, j * groups + i // lanes, i % lanes, conjugate(entry) if adjoint else entry)


@jit
def largest_below(column, first, groups, row):
    """The largest part of an entry in or below `row`; `first` is where the column begins."""
    start = row // lane_count(column)
    big = fill(column, 0.0)
    if start < groups:
        inside = lane_numbers(column) >= row % lane_count(column)
        big = select(inside, largest_part(load(column, first + start)), big)
    for g in range(start + 1, groups):
        big = maximum(largest_part(load(column, first + g)), big)
    return max_lanes(big)


@jit
def size2_below(column, first, groups, row):
    """The squared norm of the column in and below `row`."""
    start = row // lane_count(column)
    total = fill(column, 0.0)
    if start < groups:
        inside = lane_numbers(column) >= row % lane_count(column)
        total = select(inside, abs2(load(column, first + start)), total)
    return sum_lanes(total + sum_of_squares(column, first + start + 1, first + groups))


@jit
def scaled_size2_below(column, first, groups, row, shift):
    """The squared norm of 2**-shift times the column, in and below `row`."""
    total, carry = fill(column, 0.0), fill(column, 0.0)
    for i in range(row, groups * lane_count(column)):
        part = get(column, first + i // lane_count(column), i % lane_count(column))
        total, carry = add_run(total, carry, abs2(scale(spread(column, part), 0.0 - fill(column, shift))))
    return max_lanes(total)


@jit
def is_finite(factor, count):
    nothing = fill(factor, 0.0)
    for g in range(count):
        nothing = nothing + nothing_if_finite(load(factor, g))
    return not any_lane(nothing != 0.0)


@jit
def scale_columns(factor, n, groups, exponents):
    """Bring every column to a largest entry in [1/2, 1) by a power of two; exponents relative to the
    largest, returned."""
    highest = max_lanes(fill(factor, LOWEST))
    for j in range(n):
        big = largest_below(factor, j * groups, groups, 0)
        exponents[j] = exponent(big)
        if big > 0.0:
            highest = max(highest, exponents[j])
        scale_rows(factor, j * groups, groups, fill(factor, -exponents[j]))
    if highest == LOWEST:
        highest = 0.0
    for j in range(n):
        exponents[j] -= highest
    return highest


@jit
def remaining_norm(factor, groups, q, row, total, exponents, norms, shifts, keys):
    """Store what is left of column q from `row` on: its squared norm after a scaling by 2**-shift, and the
    sort key."""
    shifts[q], norms[q] = 0.0, total
    if total < max_lanes(small_square(fill(factor, 0.0))):
        shifts[q] = exponent(largest_below(factor, q * groups, groups, row))
        norms[q] = scaled_size2_below(factor, q * groups, groups, row, shifts[q])
    keys[q] = LOWEST
    if norms[q] > 0.0:
        keys[q] = log2_linear(norms[q]) + 2.0 * (shifts[q] + exponents[q])


@jit
def pivot_column(factor, n, groups, j, exponents, permutation, norms, shifts, keys):
    """Bring the largest remaining column to place j."""
    pivot = j
    for q in range(j + 1, n):
        if keys[q] > keys[pivot]:
            pivot = q
    if pivot != j:
        for g in range(groups):
            x, y = load(factor, j * groups + g), load(factor, pivot * groups + g)
            store(factor, j * groups + g, y)
            store(factor, pivot * groups + g, x)
        for values in (exponents, permutation, norms, shifts, keys):
            values[j], values[pivot] = values[pivot], values[j]


@jit
def make_reflector(factor, groups, j, stack, stride, norms, shifts, betas):
    """Column j becomes v_j, zero above row j and one in it; its entries of R become row j of L = Rᴴ."""
    lanes = lane_count(factor)
    column = j * groups
    first = column + j // lanes
    for i in range(j):
        put(stack, i * stride + j // lanes, j % lanes, conjugate(get(factor, column + i // lanes, i % lanes)))
        put(factor, column + i // lanes, i % lanes, 0.0)
    if shifts[j] != 0.0:
        scale_rows(factor, column, groups, fill(factor, -shifts[j]))
    top = spread(factor, get(factor, first, j % lanes))
    diagonal, inverse = reflector(top, fill(factor, norms[j]))
    for g in range(first, column + groups):
        store(factor, g, load(factor, g) * inverse)
    put(factor, first, j % lanes, 1.0)
    betas[j] = 2.0 / size2_below(factor, column, groups, j) if norms[j] > 0.0 else 0.0
    corner = scale(conjugate(diagonal), fill(factor, shifts[j]))
    diagonal_lane = lane_numbers(factor) == j % lanes
    row = j * stride + j // lanes
    store(stack, row, select(diagonal_lane, corner, load(stack, row)))


@jit
def reflect(factor, v, target, x, beta, start, groups):
    """x -= beta v (vᴴ x), from group `start` on."""
    w = dot_columns(factor, v, target, x, spread(target, 0.0), start, groups)
    w = spread(target, sum_lanes(w)) * beta
    for g in range(start, groups):
        store(target, x + g, load(target, x + g) - load(factor, v + g) * w)


@jit
def reflect_four(factor, v, target, x, stride, beta, start, groups):
    """`reflect` on the columns that begin at x, x + stride, ...: v is read once for four."""
    x0, x1, x2, x3 = x, x + stride, x + 2 * stride, x + 3 * stride
    zero = spread(target, 0.0)
    w0, w1, w2, w3 = dot_four(factor, v, target, x, stride, zero, zero, zero, zero, start, groups)
    w0, w1 = spread(target, sum_lanes(w0)) * beta, spread(target, sum_lanes(w1)) * beta
    w2, w3 = spread(target, sum_lanes(w2)) * beta, spread(target, sum_lanes(w3)) * beta
    for g in range(start, groups):
        vg = load(factor, v + g)
        store(target, x0 + g, load(target, x0 + g) - vg * w0)
        store(target, x1 + g, load(target, x1 + g) - vg * w1)
        store(target, x2 + g, load(target, x2 + g) - vg * w2)
        store(target, x3 + g, load(target, x3 + g) - vg * w3)


@jit
def reflect_columns(factor, v, target, x, stride, count, beta, start, groups):
    """`reflect` on `count` columns."""
    k = 0
    while k + 4 <= count:
        reflect_four(factor, v, target, x + k * stride, stride, beta, start, groups)
        k += 4
    for c in range(k, count):
        reflect(factor, v, target, x + c * stride, beta, start, groups)


@jit
def pivoted_qr(factor, n, groups, stack, stride, exponents, permutation, betas, norms, shifts, keys):
    """Factor the scaled columns: `factor` becomes the reflectors, and Rᴴ, without the exponents, the rows
    of L in `stack`."""
    for q in range(n):
        permutation[q] = q
        remaining_norm(
            factor, groups, q, 0, size2_below(factor, q * groups, groups, 0), exponents, norms, shifts, keys
        )
    for j in range(n):
        pivot_column(factor, n, groups, j, exponents, permutation, norms, shifts, keys)
        make_reflector(factor, groups, j, stack, stride, norms, shifts, betas)
        start = j // lane_count(factor)
        reflect_columns(
            factor,
            j * groups,
            factor,
            (j + 1) * groups,
            groups,
            n - j - 1,
            fill(factor, betas[j]),
            start,
            groups,
        )
        for q in range(j + 1, n):
            total = size2_below(factor, q * groups, groups, j + 1)
            remaining_norm(factor, groups, q, j + 1, total, exponents, norms, shifts, keys)


@jit
def scale_triangle(stack, n, half, stride, exponents, row_exponents):
    """Give columns of L their exponents, as `qr.adjoint_triangle` does: entry i is really stack[i]
    2**exponents[i]."""
    highest = max_lanes(fill(stack, LOWEST))
    for j in range(n):
        reach = fill(stack, LOWEST)
        for g in range(half):
            size = largest_part(load(stack, j * stride + g))
            reach = maximum(select(size > 0.0, exponent(size) + load(exponents, g), LOWEST), reach)
        top = max_lanes(reach)
        highest = max(top, highest)
        row_exponents[j] = highest if top > highest - NEAR else top if top > LOWEST else 0.0
        for g in range(half):
            gap = maximum(load(exponents, g) - row_exponents[j], LEAST_EXPONENT)
            store(stack, j * stride + g, scale(load(stack, j * stride + g), gap))


@jit
def renew(stack, j, half, rows, stride, column_state):
    """|x_j|² afresh, x_j brought near length one and its scale near one, by powers of two."""
    first, k = j * stride, KEPT * j
    total = size2_below(stack, first, half, 0)
    if total < SHORT or total > LONG:
        shift = exponent(largest_below(stack, first, half, 0))
        scale_rows(stack, first, half, fill(stack, -shift))
        column_state[k + EXPONENT] += shift
        total = size2_below(stack, first, half, 0)
    column_state[k + LENGTH2] = total
    if column_state[k + SCALE] < SHORT:
        back = exponent(column_state[k + SCALE]) // 2
        scale_rows(stack, first + half, rows - half, fill(stack, back))
        column_state[k + EXPONENT] += back
        column_state[k + SCALE] *= math.ldexp(1.0, -2 * back)
        column_state[k + REST] *= math.ldexp(1.0, -2 * back)


@jit
def four_columns(stack, i, s, t, half, stride, pairs):
    """Write the six inner products of couples s and t to lanes 2i and 2i + 1 of the first four groups of
    `pairs`."""
    x, y, u, v = 2 * s * stride, (2 * s + 1) * stride, 2 * t * stride, (2 * t + 1) * stride
    xu, yv, xv, yu, xy, uv = six_products(stack, x, y, u, v, half)
    inner, outer = sum_lanes(xy), sum_lanes(uv)
    put(pairs, 0, 2 * i, sum_lanes(xu))
    put(pairs, 0, 2 * i + 1, sum_lanes(yv))
    put(pairs, 1, 2 * i, sum_lanes(xv))
    put(pairs, 1, 2 * i + 1, sum_lanes(yu))
    put(pairs, 2, 2 * i, inner)
    put(pairs, 2, 2 * i + 1, conjugate(inner))
    put(pairs, 3, 2 * i, outer)
    put(pairs, 3, 2 * i + 1, conjugate(outer))


@jit
def fetch(p, q, lane, column_state, state):
    """Copy the records of columns p and q to a lane of `state`, those of columns 0 and 1 of a tile."""
    for k in range(KEPT):
        put(state, k, lane, column_state[KEPT * p + k])
        put(state, KEPT + k, lane, column_state[KEPT * q + k])


@jit
def give_back(p, q, lane, column_state, state):
    """The inverse of `fetch`."""
    for k in range(KEPT):
        column_state[KEPT * p + k] = get(state, k, lane)
        column_state[KEPT * q + k] = get(state, KEPT + k, lane)


@jit
def swap_second(state):
    """Let each column of the upper couple meet the other one of the lower couple."""
    for k in range(KEPT, 2 * KEPT):
        store(state, k, swap_neighbours(load(state, k)))


@jit
def store_turn(pairs, first, a, b, aw, bw):
    store(pairs, first, a)
    store(pairs, first + 1, b)
    store(pairs, first + 2, aw)
    store(pairs, first + 3, bw)


@jit
def coefficient(pairs, k, lane):
    return spread(pairs, get(pairs, k, lane))


@jit
def rotate_couples(stack, i, s, t, half, rows, stride, pairs):
    """Apply the rotations in lanes 2i and 2i + 1 to couples s and t."""
    x, y, u, v = 2 * s * stride, (2 * s + 1) * stride, 2 * t * stride, (2 * t + 1) * stride
    p, q = 2 * i, 2 * i + 1
    for first, last, k in ((0, half, 4), (half, rows, 6)):
        if first < last:
            apply_four(
                stack, first, last, x, y, u, v,
                coefficient(pairs, k, p), coefficient(pairs, k + 1, p),
                coefficient(pairs, k, q), coefficient(pairs, k + 1, q),
                coefficient(pairs, k + 4, p), coefficient(pairs, k + 5, p),
                coefficient(pairs, k + 4, q), coefficient(pairs, k + 5, q),
            )  # fmt: skip


@jit
def meet(
    stack, round_number, first, count, couples, half, rows, stride, tol2,
    column_state, state, pairs, flags,
):  # fmt: skip
    """`count` meetings of a round, from the one numbered `first`: `jacobi.rotate_four`, a pair of columns a
    lane. Returns the largest cos² and sin², a pair of columns a lane."""
    for i in range(count):
        s, t = meeting(couples, round_number, first + i)
        four_columns(stack, i, s, t, half, stride, pairs)
        for k in range(2):
            fetch(2 * s + k, 2 * t + k, 2 * i + k, column_state, state)
    alive = lane_numbers(stack) < 2 * count
    a, b, aw, bw, on1, lost1, cos2, sin2 = turn(0, 1, load(pairs, 0), alive, tol2, state)
    store_turn(pairs, 4, a, b, aw, bw)
    swap_second(state)
    cross = load(pairs, 1)
    gamma = crossed(cross, swap_neighbours(cross), load(pairs, 2), load(pairs, 3), a, swap_neighbours(b))
    shortened = select(lost1, 1.0, fill(stack, 0.0))
    may_rotate = alive & (shortened + swap_neighbours(shortened) == 0.0)
    a, b, aw, bw, on2, lost2, cos2_too, sin2_too = turn(0, 1, gamma, may_rotate, tol2, state)
    store_turn(pairs, 8, a, b, aw, bw)
    swap_second(state)
    active, lost = on1 | on2, lost1 | lost2
    if any_lane(active):
        store(flags, 0, select(active, 1.0, fill(stack, 0.0)))
        store(flags, 1, select(strayed(state, 0, lost) | strayed(state, 1, lost), 1.0, fill(stack, 0.0)))
        for i in range(count):
            if get(flags, 0, 2 * i) + get(flags, 0, 2 * i + 1) > 0.0:
                s, t = meeting(couples, round_number, first + i)
                rotate_couples(stack, i, s, t, half, rows, stride, pairs)
                for k in range(2):
                    give_back(2 * s + k, 2 * t + k, 2 * i + k, column_state, state)
                if get(flags, 1, 2 * i) + get(flags, 1, 2 * i + 1) > 0.0:
                    for j in (2 * s, 2 * s + 1, 2 * t, 2 * t + 1):
                        renew(stack, j, half, rows, stride, column_state)
    return maximum(cos2, cos2_too), maximum(sin2, sin2_too)


@jit
def meet_within(stack, first, count, half, rows, stride, tol2, column_state, state, pairs, flags):
    """The two columns of each couple, from couple `first` on, meet each other."""
    for i in range(count):
        p = 2 * (first + i)
        put(pairs, 0, i, sum_lanes(inner_product(stack, p * stride, (p + 1) * stride, half)))
        fetch(p, p + 1, i, column_state, state)
    alive = lane_numbers(stack) < count
    a, b, aw, bw, active, lost, cos2, sin2 = turn(0, 1, load(pairs, 0), alive, tol2, state)
    store_turn(pairs, 4, a, b, aw, bw)
    store(flags, 0, select(active, 1.0, fill(stack, 0.0)))
    store(flags, 1, select(strayed(state, 0, lost) | strayed(state, 1, lost), 1.0, fill(stack, 0.0)))
    for i in range(count):
        if get(flags, 0, i) > 0.0:
            p = 2 * (first + i)
            x, y = p * stride, (p + 1) * stride
            apply_two(stack, 0, half, x, y, coefficient(pairs, 4, i), coefficient(pairs, 5, i))
            apply_two(stack, half, rows, x, y, coefficient(pairs, 6, i), coefficient(pairs, 7, i))
            give_back(p, p + 1, i, column_state, state)
            if get(flags, 1, i) > 0.0:
                renew(stack, p, half, rows, stride, column_state)
                renew(stack, p + 1, half, rows, stride, column_state)
    return cos2, sin2


@inlined
def sweep(stack, couples, half, rows, stride, tol2, column_state, state, pairs, flags):
    """Rotate every pair of columns once: within the couples, then couple against couple, round by round.
    Returns the largest cos² and sin²."""
    lanes = lane_count(stack)
    for j in range(2 * couples):
        renew(stack, j, half, rows, stride, column_state)
    cos2, sin2 = fill(stack, 0.0), fill(stack, 0.0)
    for first in range(0, couples, lanes):
        count = min(lanes, couples - first)
        c, s = meet_within(stack, first, count, half, rows, stride, tol2, column_state, state, pairs, flags)
        cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
    meetings, at_once = couples // 2, lanes // 2
    for round_number in range(rounds(couples)):
        for first in range(0, meetings, at_once):
            count = min(at_once, meetings - first)
            c, s = meet(
                stack, round_number, first, count, couples, half, rows, stride, tol2,
                column_state, state, pairs, flags,
            )  # fmt: skip
            cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
    return max_lanes(cos2), max_lanes(sin2)


@jit
def orthogonalise(stack, n, half, rows, stride, column_state, state, pairs, flags, stop):
    """Sweep until converged; the number of sweeps, whether converged, and the largest remaining cosine."""
    tol2 = n * rounding(stack) * rounding(stack)
    off = max_lanes(fill(stack, 0.0))
    for count in range(1, MAX_SWEEPS + 1):
        cos2, sin2 = sweep(stack, (n + 1) // 2, half, rows, stride, tol2, column_state, state, pairs, flags)
        off = math.sqrt(min(cos2, (n * cos2) * (n * max(cos2, sin2))))
        if cos2 <= tol2 or not needs_another_sweep(n, cos2, sin2, tol2):
            return count, True, off
        if stop[0]:
            break
    return MAX_SWEEPS, False, off


@jit
def finish_columns(stack, n, half, rows, stride, column_state, sigma, powers):
    """As `jacobi.finish_columns`; returns whether some column is zero."""
    zero = False
    for j in range(n):
        first = j * stride
        total = size2_below(stack, first, half, 0)
        value = math.sqrt(total) * math.sqrt(column_state[KEPT * j + SCALE] + column_state[KEPT * j + REST])
        column_state[KEPT * j + LENGTH2] = total
        if rows > half:
            column_state[KEPT * j + SCALE] = 1.0 / math.sqrt(size2_below(stack, first + half, rows - half, 0))
        shift = exponent(value)
        sigma[j] = scale_number(stack, value, -shift)
        powers[j] = column_state[KEPT * j + EXPONENT] + shift if total > 0.0 else LOWEST
        if total > 0.0:
            inverse = 1.0 / math.sqrt(total)
            for g in range(first, first + half):
                store(stack, g, load(stack, g) * inverse)
        else:
            zero = True
    return zero


@jit
def scale_number(array, x, shift):
    """x 2**shift in the precision of the array."""
    return max_lanes(scale(fill(array, x), fill(array, shift)))


@jit
def complete_basis(stack, n, half, stride, column_state, missing):
    """Unit vectors orthogonal to all others for the columns of L that are exactly zero; see
    `cpu_tile.complete_basis`."""
    lanes = lane_count(stack)
    for g in range(half):
        left = select(lane_numbers(stack) + g * lanes < n, 1.0, fill(stack, LOWEST))
        for j in range(n):
            left = left - abs2(load(stack, j * stride + g))
        store(missing, g, left)
    for j in range(n):
        if column_state[KEPT * j + LENGTH2] > 0.0:
            continue
        axis = 0
        for i in range(1, n):
            if missing[i] > missing[axis]:
                axis = i
        column = j * stride
        put(stack, column + axis // lanes, axis % lanes, 1.0)
        for _ in range(2):
            for k in range(n):
                if column_state[KEPT * k + LENGTH2] > 0.0:
                    component = spread(stack, sum_lanes(inner_product(stack, k * stride, column, half)))
                    for g in range(half):
                        store(
                            stack,
                            column + g,
                            load(stack, column + g) - load(stack, k * stride + g) * component,
                        )
        inverse = 1.0 / math.sqrt(size2_below(stack, column, half, 0))
        for g in range(half):
            entry = load(stack, column + g) * inverse
            store(stack, column + g, entry)
            store(missing, g, load(missing, g) - abs2(entry))
        column_state[KEPT * j + LENGTH2] = 1.0


@jit
def rank_columns(sigma, powers, ranks, n):
    """As `jacobi.rank_columns`."""
    for j in range(n):
        rank = 0
        for k in range(n):
            if powers[k] != powers[j]:
                rank += powers[k] > powers[j]
            elif sigma[k] > sigma[j] or (k < j and sigma[k] == sigma[j]):
                rank += 1
        ranks[j] = rank


@jit
def unpack_left(factor, groups, n, betas, stack, half, stride, column_state, ranks, columns, left, adjoint):
    """As `cpu_tile.unpack_left`."""
    lanes = lane_count(factor)
    for start in range(0, left.shape[1], BLOCK):
        block = min(BLOCK, left.shape[1] - start)
        for c in range(block):
            k = start + c
            for g in range(groups):
                store(columns, c * groups + g, spread(columns, 0.0))
            if k < n:
                scale_back = column_state[KEPT * k + SCALE]
                for g in range(half):
                    store(columns, c * groups + g, load(stack, k * stride + half + g) * scale_back)
            else:
                put(columns, c * groups + k // lanes, k % lanes, 1.0)
        for j in range(n - 1, -1, -1):
            reflect_columns(
                factor, j * groups, columns, 0, groups, block, fill(factor, betas[j]), j // lanes, groups
            )
        for c in range(block):
            rank = int(ranks[start + c]) if start + c < n else start + c
            for i in range(left.shape[0]):
                entry = get(columns, c * groups + i // lanes, i % lanes)
                left[i, rank] = unsigned_zero(conjugate(entry) if adjoint else entry)


@jit
def unpack_right(n, stack, stride, permutation, ranks, right, adjoint):
    """As `cpu_tile.unpack_right`."""
    lanes = lane_count(stack)
    for j in range(n):
        for i in range(n):
            entry = get(stack, j * stride + i // lanes, i % lanes)
            right[int(permutation[i]), int(ranks[j])] = unsigned_zero(entry if adjoint else conjugate(entry))


@inlined
def solve_matrix(a, left, s, right, converged, sweeps, off, b, adjoint, vectors, stop, numbers, reals):
    """Decompose matrix b of the batch."""
    lanes = lane_count(numbers)
    m, n = a.shape[1], a.shape[2]
    groups, half, rows, stride, stack_at, columns_at, pairs_at, _ = rows_numbers(m, n, lanes, vectors)
    width = n + n % 2
    factor, stack = section(numbers, 0, n * groups), section(numbers, stack_at, width * stride)
    columns, pairs = section(numbers, columns_at, BLOCK * groups), section(numbers, pairs_at, PAIRS)
    vector, column_state_at, state_at, flags_at, _ = rows_reals(n, lanes)
    exponents, permutation = section(reals, 0, vector), section(reals, vector, vector)
    norms, shifts = section(reals, 2 * vector, vector), section(reals, 3 * vector, vector)
    keys, sigma = section(reals, 4 * vector, vector), section(reals, 5 * vector, vector)
    powers, ranks = section(reals, 6 * vector, vector), section(reals, 7 * vector, vector)
    betas, column_state = section(reals, 8 * vector, vector), section(reals, column_state_at, KEPT * vector)
    state, flags = section(reals, state_at, 2 * KEPT), section(reals, flags_at, FLAGS)

    # 1. A P = Q R.
    pack_rows(a, b, factor, groups, adjoint)
    if is_finite(factor, n * groups):
        highest = scale_columns(factor, n, groups, exponents)
        for g in range(width * stride):
            store(stack, g, spread(stack, 0.0))
        for g in range(2 * KEPT):
            store(state, g, fill(state, 1.0))
        for j in range(n, vector * lanes):
            exponents[j] = 0.0
        pivoted_qr(factor, n, groups, stack, stride, exponents, permutation, betas, norms, shifts, keys)
        scale_triangle(stack, n, half, stride, exponents, powers)

        # 2. L = X Σ Wᴴ.
        for j in range(width):
            column_state[KEPT * j + SCALE], column_state[KEPT * j + REST] = 1.0, 0.0
            column_state[KEPT * j + EXPONENT] = powers[j] if j < n else 0.0
        if vectors:
            for j in range(n):
                put(stack, j * stride + half + j // lanes, j % lanes, 1.0)
        sweeps[b], done, off[b] = orthogonalise(
            stack, n, half, rows, stride, column_state, state, pairs, flags, stop
        )
        zero = finish_columns(stack, n, half, rows, stride, column_state, sigma, powers)

        # 3. The factors of A, in descending order.
        rank_columns(sigma, powers, ranks, n)
        for j in range(n):
            s[b, int(ranks[j])] = scale_number(sigma, sigma[j], max(powers[j] + highest, LEAST_EXPONENT))
        converged[b] = done and s[b, 0] < math.inf
        if vectors:
            if zero:
                complete_basis(stack, n, half, stride, column_state, keys)
            unpack_left(
                factor, groups, n, betas, stack, half, stride, column_state, ranks, columns, left[b], adjoint
            )
            unpack_right(n, stack, stride, permutation, ranks, right[b], adjoint)
    else:
        converged[b], sweeps[b], off[b] = False, 0, math.nan
        for j in range(n):
            s[b, j] = math.nan
        if vectors:
            fill_matrix(left[b], math.nan)
            fill_matrix(right[b], math.nan)


def svd_rows(a, left, s, right, converged, sweeps, off, adjoint, vectors, stop, numbers, reals):
    """Thin or full SVD of a batch of matrices with m >= n >= 1, one after the other. Arguments as
    `cpu_tile.svd_tiles` has them.

    numbers, reals : workspace, aligned to a group, of as many groups as `layout.rows_size` says.
    """
    for b in range(a.shape[0]):
        if stop[0]:
            return
        solve_matrix(a, left, s, right, converged, sweeps, off, b, adjoint, vectors, stop, numbers, reals)
