"""One matrix a SIMD lane: the batched SVD for small matrices, from packing to unpacking.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   A = (Q W) Σ (P X)ᴴ

A tile is as many matrices as a group has lanes. They are packed from any strides into columns of groups,
decomposed in lock step, and unpacked in order; lanes that have converged rotate no more, so nothing about a
matrix depends on its neighbours.

Workspace, in groups: `factor` m n (columns of A, then reflectors and R), `stack` n columns of `stride` (n
rows of L over n rows of W; stride is odd, since columns a power of two apart share their cache sets),
`columns` four of U, and 13 vectors of n. A sweep costs n(n-1)/2 pairs, each 3.5 n multiply-adds, or 5.5 n
where W is accumulated: six inner products serve the four pairs of two columns with two others, whose rows are
rotated in registers. From n = RECOVERED on W is recovered after the last sweep (see `basis`); a tile in which
some lane is too ill conditioned for that is swept again, with W.
"""

import math

from .basis import recover
from .lanes import (
    abs2,
    any_lane,
    conjugate,
    dot,
    exponent,
    fill,
    get,
    half_of,
    inlined,
    jit,
    lane_count,
    largest_part,
    load,
    maximum,
    power_of_two,
    put,
    rounding,
    scale,
    section,
    select,
    small_square,
    spread,
    store,
)
from .qr import LOWEST, adjoint_triangle, pivoted_qr, reflect, reflect_four, scale_columns, scale_triangle
from .rotation import crossed as _crossed
from .rotation import held_gap as _held_gap
from .rotation import needs_another_sweep as _needs_another_sweep
from .rotation import rotation as _rotation
from .rotation import shrink as _shrink

MAX_SWEEPS = 30
# What is kept of column j: groups KEPT j + LENGTH2 and so on of `state`.
LENGTH2, SCALE, REST, EXPONENT, KEPT = 0, 1, 2, 3, 4
# How far a squared length may stray before its column is scaled back, and how much one rotation may cancel.
SHORT, LONG, CANCELLED = 2.0**-16, 2.0**16, 2.0**-10
RECOVERED = 12  # columns from which on W is recovered after the sweeps instead of accumulated in them
BLOCK = 4  # columns that go through the reflectors, or in and out of memory, together

held_gap, needs_another_sweep = inlined(_held_gap), inlined(_needs_another_sweep)
crossed, rotation, shrink = inlined(_crossed), inlined(_rotation), inlined(_shrink)


@jit
def inner_product(stack, x, y, n):
    total = dot(load(stack, x), load(stack, y))
    for i in range(1, n):
        total = total + dot(load(stack, x + i), load(stack, y + i))
    return total


@jit
def length2_of(stack, first, count):
    total = fill(stack, 0.0)
    for i in range(first, first + count):
        total = total + abs2(load(stack, i))
    return total


@jit
def scale_rows(stack, first, count, shift):
    for i in range(first, first + count):
        store(stack, i, scale(load(stack, i), shift))


@jit
def renew(stack, j, n, rows, stride, state, mask):
    """In the lanes of the mask: |x_j|² afresh, x_j brought near length one and its scale near one, by
    powers of two."""
    base, kept = j * stride, KEPT * j
    total, factor = length2_of(stack, base, n), load(state, kept + SCALE)
    if not any_lane(mask & ((total < SHORT) | (total > LONG) | (factor < SHORT))):
        store(state, kept + LENGTH2, select(mask, total, load(state, kept + LENGTH2)))
        return
    small = mask & (total < small_square(total))
    far = mask & ((total < SHORT) | (total > LONG))
    shift = select(far, half_of(exponent(total)), 0.0)
    if any_lane(small):
        big = fill(stack, 0.0)
        for i in range(base, base + n):
            big = maximum(largest_part(load(stack, i)), big)
        shift = select(small, exponent(big), shift)
    if any_lane(shift != 0.0):
        scale_rows(stack, base, n, 0.0 - shift)
        total = total * power_of_two(0.0 - shift) * power_of_two(0.0 - shift)
    if any_lane(small):
        total = select(small, length2_of(stack, base, n), total)
    store(state, kept + LENGTH2, select(mask, total, load(state, kept + LENGTH2)))
    back = select(mask & (factor < SHORT), half_of(exponent(factor)), 0.0)
    if any_lane(back != 0.0):
        scale_rows(stack, base + n, rows - n, back)
        unscale = power_of_two(0.0 - back) * power_of_two(0.0 - back)
        store(state, kept + SCALE, factor * unscale)
        store(state, kept + REST, load(state, kept + REST) * unscale)
    store(state, kept + EXPONENT, load(state, kept + EXPONENT) + shift + back)


@jit
def turn(p, q, gamma, alive, tol2, state):
    """The rotation of columns p and q and its effect on all that is kept about them, but for the columns
    themselves.

    Returns what multiplies x_q and x_p, the same for w_q and w_p, where it rotates, where a column lost its
    digits, and cos² and sin².
    """
    p, q = KEPT * p, KEPT * q
    gap = load(state, q + EXPONENT) - load(state, p + EXPONENT)
    apart = any_lane(gap != 0.0)
    scale_p, scale_q = load(state, p + SCALE), load(state, q + SCALE)
    weight_p, weight_q, up, down = scale_p, scale_q, scale_p, scale_q
    if apart:
        gap_held = held_gap(gap)
        beyond = power_of_two(abs(gap_held) - abs(gap))
        up, down = power_of_two(gap_held), power_of_two(0.0 - gap_held)
        weight_p, weight_q = weight_p * down, weight_q * up
        up, down = up * beyond, down * beyond
    before_p, before_q = load(state, p + LENGTH2), load(state, q + LENGTH2)
    a, b, after_p, after_q, sin2, cos2, active = rotation(
        before_p, before_q, gamma, weight_p, weight_q, tol2, alive
    )
    scale_p, rest_p = shrink(scale_p, load(state, p + REST), sin2)
    scale_q, rest_q = shrink(scale_q, load(state, q + REST), sin2)
    floor_p, floor_q = before_p * CANCELLED, before_q * CANCELLED
    store(state, p + LENGTH2, maximum(after_p, floor_p))
    store(state, p + SCALE, scale_p)
    store(state, p + REST, rest_p)
    store(state, q + LENGTH2, maximum(after_q, floor_q))
    store(state, q + SCALE, scale_q)
    store(state, q + REST, rest_q)
    lost = (after_p < floor_p) | (after_q < floor_q)
    aw, bw = a, b
    if apart:
        aw, bw = a * down, b * up
    return a, b, aw, bw, active, lost, cos2, sin2


@jit
def strayed(state, j, lost):
    """Where column j has lost its digits, or its length has left the range."""
    size = load(state, KEPT * j + LENGTH2)
    return lost | (size < SHORT) & (size > 0.0) | (size > LONG)


@jit
def renew_strayed(stack, j, n, rows, stride, state, active, lost):
    mask = active & strayed(state, j, lost)
    if any_lane(mask):
        renew(stack, j, n, rows, stride, state, mask)


@jit
def rotate_pair(stack, p, q, n, rows, stride, alive, tol2, state):
    """Make columns p and q orthogonal; returns cos² and sin²."""
    x, y = p * stride, q * stride
    gamma = inner_product(stack, x, y, n)
    a, b, aw, bw, active, lost, cos2, sin2 = turn(p, q, gamma, alive, tol2, state)
    if any_lane(active):
        apply_two(stack, 0, n, x, y, a, b)
        apply_two(stack, n, rows, x, y, aw, bw)
        for j in (p, q):
            renew_strayed(stack, j, n, rows, stride, state, active, lost)
    return cos2, sin2


@jit
def apply_two(stack, first, last, x, y, a, b):
    """Rotate (x, y) on the given rows; x and y are where the columns begin."""
    for i in range(first, last):
        xi, yi = load(stack, x + i), load(stack, y + i)
        store(stack, x + i, xi - a * yi)
        store(stack, y + i, yi + b * xi)


@jit
def apply_four(stack, first, last, x, y, u, v, xu, ux, yv, vy, xv, vx, yu, uy):
    """Rotate (x, u) and (y, v), then (x, v) and (y, u), on the given rows; x, y, u, v are where the columns
    begin."""
    for i in range(first, last):
        x0, y0, u0, v0 = load(stack, x + i), load(stack, y + i), load(stack, u + i), load(stack, v + i)
        x1, u1 = x0 - xu * u0, u0 + ux * x0
        y1, v1 = y0 - yv * v0, v0 + vy * y0
        store(stack, x + i, x1 - xv * v1)
        store(stack, v + i, v1 + vx * x1)
        store(stack, y + i, y1 - yu * u1)
        store(stack, u + i, u1 + uy * y1)


@jit
def six_products(stack, x, y, u, v, n):
    """The inner products of x and u, y and v, x and v, y and u, x and y, u and v."""
    x0, y0, u0, v0 = load(stack, x), load(stack, y), load(stack, u), load(stack, v)
    xu, yv, xv, yu, xy, uv = dot(x0, u0), dot(y0, v0), dot(x0, v0), dot(y0, u0), dot(x0, y0), dot(u0, v0)
    for i in range(1, n):
        x0, y0, u0, v0 = load(stack, x + i), load(stack, y + i), load(stack, u + i), load(stack, v + i)
        xu, yv, xv = xu + dot(x0, u0), yv + dot(y0, v0), xv + dot(x0, v0)
        yu, xy, uv = yu + dot(y0, u0), xy + dot(x0, y0), uv + dot(u0, v0)
    return xu, yv, xv, yu, xy, uv


@jit
def rotate_four(stack, p, q, n, rows, stride, alive, tol2, state):
    """Make columns p, p+1 orthogonal to columns q, q+1: two disjoint rotations, then the two crossed ones.

    The crossed inner products follow from the six of the unrotated columns. A column that the first
    rotation has shortened beyond its digits sits the second out, and is due another sweep by its cosine.
    Returns the largest cos² and sin².
    """
    x, y, u, v = p * stride, (p + 1) * stride, q * stride, (q + 1) * stride
    xu, yv, xv, yu, xy, uv = six_products(stack, x, y, u, v, n)
    a1, b1, aw1, bw1, on1, lost1, c1, s1 = turn(p, q, xu, alive, tol2, state)
    a2, b2, aw2, bw2, on2, lost2, c2, s2 = turn(p + 1, q + 1, yv, alive, tol2, state)
    going = alive & ~(lost1 | lost2)
    xv, yu = crossed(xv, yu, xy, uv, a1, b2), crossed(yu, xv, conjugate(xy), conjugate(uv), a2, b1)
    a3, b3, aw3, bw3, on3, lost3, c3, s3 = turn(p, q + 1, xv, going, tol2, state)
    a4, b4, aw4, bw4, on4, lost4, c4, s4 = turn(p + 1, q, yu, going, tol2, state)
    active = (on1 | on2) | (on3 | on4)
    if any_lane(active):
        apply_four(stack, 0, n, x, y, u, v, a1, b1, a2, b2, a3, b3, a4, b4)
        apply_four(stack, n, rows, x, y, u, v, aw1, bw1, aw2, bw2, aw3, bw3, aw4, bw4)
        lost = (lost1 | lost2) | (lost3 | lost4)
        for j in (p, p + 1, q, q + 1):
            renew_strayed(stack, j, n, rows, stride, state, active, lost)
    return largest(c1, c2, c3, c4), largest(s1, s2, s3, s4)


@jit
def largest(a, b, c, d):
    return maximum(maximum(a, b), maximum(c, d))


@inlined
def sweep(stack, n, rows, stride, alive, tol2, state):
    """Rotate every pair of columns once: two couples of neighbours with each other, then with every later
    couple, which comes from the second-level cache once for both. Returns the largest cos² and sin²."""
    for j in range(n):
        renew(stack, j, n, rows, stride, state, alive)
    cos2, sin2 = fill(stack, 0.0), fill(stack, 0.0)
    even = n - n % 2
    for p in range(0, even, 4):
        for j in range(p, min(p + 4, even), 2):
            c, s = rotate_pair(stack, j, j + 1, n, rows, stride, alive, tol2, state)
            cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
        for q in range(p + 2, even, 2):
            for j in range(p, min(p + 4, q), 2):
                c, s = rotate_four(stack, j, q, n, rows, stride, alive, tol2, state)
                cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
        if n % 2:
            for j in range(p, min(p + 4, even)):
                c, s = rotate_pair(stack, j, n - 1, n, rows, stride, alive, tol2, state)
                cos2, sin2 = maximum(c, cos2), maximum(s, sin2)
    return cos2, sin2


@inlined
def orthogonalise(stack, n, rows, stride, state):
    """Sweep until every lane has converged; returns those that have, the number of sweeps and the largest
    remaining cosine."""
    size = fill(stack, n)
    tol2 = size * rounding(stack) * rounding(stack)
    count, left = fill(stack, 0.0), fill(stack, 0.0)
    alive = count == 0.0
    for _ in range(MAX_SWEEPS):
        cos2, sin2 = sweep(stack, n, rows, stride, alive, tol2, state)
        ahead = (size * cos2) * (size * maximum(cos2, sin2))
        count = select(alive, count + 1.0, count)
        left = select(alive, math.sqrt(select(ahead < cos2, ahead, cos2)), left)
        alive = alive & (cos2 > tol2) & needs_another_sweep(size, cos2, sin2, tol2)
        if not any_lane(alive):
            break
    return ~alive, count, left


@jit
def pack(a, first, count, factor, m, n, adjoint):
    """Columns of groups, m of them apart, from `count` matrices, a block of columns at a time; lanes beyond
    the last repeat it."""
    for start in range(0, n, BLOCK):
        for lane in range(lane_count(factor)):
            b = first + min(lane, count - 1)
            for i in range(a.shape[1]):
                for j in range(start, min(start + BLOCK, n)):
                    entry = a[b, i, j]
                    put(factor, j * m + i, lane, conjugate(entry) if adjoint else entry)


@jit
def finish_columns(stack, n, stride, state, sigma, powers):
    """The singular values, a fraction in [1/2, 1) and a power of two each; the columns of L to length one.
    Returns the lanes in which some column is zero."""
    zero = fill(stack, 1.0) == 0.0
    for j in range(n):
        base, kept = j * stride, KEPT * j
        total = length2_of(stack, base, n)
        nonzero = total > 0.0
        zero = zero | ~nonzero
        length = math.sqrt(total)
        inverse = select(nonzero, 1.0 / length, 0.0)
        for i in range(base, base + n):
            store(stack, i, load(stack, i) * inverse)
        value = length * math.sqrt(load(state, kept + SCALE) + load(state, kept + REST))
        shift = exponent(value)
        store(sigma, j, scale(value, 0.0 - shift))
        store(state, kept + LENGTH2, total)
        store(powers, j, select(nonzero, load(state, kept + EXPONENT) + shift, LOWEST))
    return zero


@jit
def decompose_triangle(factor, m, n, rows, stack, stride, heights, state, sigma, powers):
    """L = X Σ Wᴴ, with W if there are the rows for it.

    Returns the lanes that have converged, the number of sweeps, the largest remaining cosine and the lanes in
    which some column is zero.
    """
    adjoint_triangle(factor, m, n, stack, stride)
    for j in range(n):
        store(state, KEPT * j + LENGTH2, fill(state, 0.0))
        store(state, KEPT * j + SCALE, fill(state, 1.0))
        store(state, KEPT * j + REST, fill(state, 0.0))
        store(state, KEPT * j + EXPONENT, load(heights, j))
        if rows > n:
            for i in range(n):
                store(stack, j * stride + n + i, spread(stack, 0.0))
            store(stack, j * stride + n + j, spread(stack, 1.0))
    done, taken, left_over = orthogonalise(stack, n, rows, stride, state)
    zero = finish_columns(stack, n, stride, state, sigma, powers)
    return done, taken, left_over, zero


@jit
def rank_columns(sigma, powers, ranks, n):
    """The place of each column in descending order of its singular value; equal ones keep their order."""
    for j in range(n):
        value, power, rank = load(sigma, j), load(powers, j), fill(sigma, 0.0)
        for k in range(n):
            other, other_power = load(sigma, k), load(powers, k)
            larger = other >= value if k < j else other > value
            before = (other_power > power) | ((other_power == power) & larger)
            rank = rank + select(before, 1.0, 0.0 * rank)
        store(ranks, j, rank)


@jit
def complete_basis(stack, n, stride, state, missing, lane):
    """In one lane, unit vectors orthogonal to all others for the columns of L that are exactly zero.

    Each starts from the axis that the columns so far leave most of (at least 1/n of its square is left) and
    is orthogonalised twice. Overwrites the scratch `missing`; sets the squared lengths to one.
    """
    for i in range(n):
        left = 1.0
        for j in range(n):
            if get(state, KEPT * j + LENGTH2, lane) > 0.0:
                left -= abs2(get(stack, j * stride + i, lane))
        put(missing, i, lane, left)
    for j in range(n):
        if get(state, KEPT * j + LENGTH2, lane) > 0.0:
            continue
        axis = 0
        for i in range(1, n):
            if get(missing, i, lane) > get(missing, axis, lane):
                axis = i
        zero = get(stack, j * stride, lane)
        put(stack, j * stride + axis, lane, zero + 1.0)
        for _ in range(2):
            for k in range(n):
                if get(state, KEPT * k + LENGTH2, lane) > 0.0:
                    remove_component(stack, k * stride, j * stride, n, lane)
        total = 0.0
        for i in range(n):
            total += abs2(get(stack, j * stride + i, lane))
        inverse = 1.0 / math.sqrt(total)
        for i in range(n):
            entry = get(stack, j * stride + i, lane) * inverse
            put(stack, j * stride + i, lane, entry)
            put(missing, i, lane, get(missing, i, lane) - abs2(entry))
        put(state, KEPT * j + LENGTH2, lane, 1.0)


@jit
def remove_component(stack, unit, x, n, lane):
    """x -= unit (unitᴴ x) in one lane."""
    component = dot(get(stack, unit, lane), get(stack, x, lane))
    for i in range(1, n):
        component += dot(get(stack, unit + i, lane), get(stack, x + i, lane))
    for i in range(n):
        put(stack, x + i, lane, get(stack, x + i, lane) - get(stack, unit + i, lane) * component)


@jit
def apply_reflectors(factor, m, n, betas, columns, count):
    """columns <- H_1 ... H_n columns."""
    for j in range(n - 1, -1, -1):
        beta = load(betas, j)
        if count == BLOCK:
            reflect_four(factor, j * m, columns, 0, m, beta, j, m)
        else:
            for k in range(count):
                reflect(factor, j * m, columns, k * m, beta, j, m)


@jit
def unsigned_zero(entry):
    """The entry, with 0 for -0: a rotation that leaves a lane alone may still change the sign of its
    zeros."""
    return entry + 0.0


@jit
def unpack_left(factor, m, n, betas, stack, stride, state, ranks, columns, left, first, count, adjoint):
    """The columns of Q [W 0; 0 I] to `left`, in order, a block of columns at a time."""
    by_rows = left.strides[2] < left.strides[1]
    width = n if by_rows and left.shape[2] >= 4 * n else left.shape[2]
    nothing = spread(columns, 0.0)
    for start in range(0, width, BLOCK):
        block = min(BLOCK, width - start)
        for c in range(block):
            k = start + c
            for i in range(m):
                if k >= n or i >= n:
                    store(columns, c * m + i, nothing)
                else:
                    store(
                        columns,
                        c * m + i,
                        load(stack, k * stride + n + i) * load(state, KEPT * k + SCALE),
                    )
            if k >= n:
                store(columns, c * m + k, spread(columns, 1.0))
        apply_reflectors(factor, m, n, betas, columns, block)
        for lane in range(count):
            out = left[first + lane]
            if by_rows and block == BLOCK:
                write_four(columns, m, n, start, ranks, out, lane, adjoint)
            else:
                for c in range(block):
                    write_column(columns, c * m, m, place_of(start + c, n, ranks, lane), out, lane, adjoint)
    if width < left.shape[2]:
        unpack_complement(factor, m, n, betas, columns, left, first, count, adjoint)


@jit
def place_of(k, n, ranks, lane):
    return int(get(ranks, k, lane)) if k < n else k


@jit
def write_column(columns, c, m, place, out, lane, adjoint):
    for i in range(m):
        entry = get(columns, c + i, lane)
        out[i, place] = unsigned_zero(conjugate(entry) if adjoint else entry)


@jit
def write_four(columns, m, n, k, ranks, out, lane, adjoint):
    """`write_column` for columns k to k + 3, row by row: their entries mostly are neighbours in memory."""
    k0, k1 = place_of(k, n, ranks, lane), place_of(k + 1, n, ranks, lane)
    k2, k3 = place_of(k + 2, n, ranks, lane), place_of(k + 3, n, ranks, lane)
    for i in range(m):
        e0, e1 = get(columns, i, lane), get(columns, m + i, lane)
        e2, e3 = get(columns, 2 * m + i, lane), get(columns, 3 * m + i, lane)
        out[i, k0] = unsigned_zero(conjugate(e0) if adjoint else e0)
        out[i, k1] = unsigned_zero(conjugate(e1) if adjoint else e1)
        out[i, k2] = unsigned_zero(conjugate(e2) if adjoint else e2)
        out[i, k3] = unsigned_zero(conjugate(e3) if adjoint else e3)


@jit
def unpack_complement(factor, m, n, betas, scratch, left, first, count, adjoint):
    """The columns of Q from n on to `left`, row by row, in the order of memory: they may be large.

    Column k is e_k - Σ_j v_j w_jk. The scratch holds the w of as many columns as fit, and a row.
    """
    for j in range(n):  # what is not stored of a reflector, where R was: zeros above a one
        for i in range(j):
            store(factor, j * m + i, spread(factor, 0.0))
        store(factor, j * m + j, spread(factor, 1.0))
    width = BLOCK * m // (n + 1)
    row = n * width
    for start in range(n, m, width):
        block = min(width, m - start)
        complement_weights(factor, m, n, betas, scratch, width, start, block)
        for i in range(m):
            for c in range(block):
                entry = spread(scratch, 1.0 if i == start + c else 0.0)
                for j in range(n):
                    entry = entry - load(factor, j * m + i) * load(scratch, j * width + c)
                store(scratch, row + c, entry)
            for lane in range(count):
                for c in range(block):
                    entry = get(scratch, row + c, lane)
                    left[first + lane, i, start + c] = unsigned_zero(conjugate(entry) if adjoint else entry)


@jit
def complement_weights(factor, m, n, betas, weights, width, start, block):
    """w_jk = beta_j (conj(v_jk) - Σ_{i>j} v_jᴴ v_i w_ik) for a block of columns k from `start` on."""
    for j in range(n - 1, -1, -1):
        beta = load(betas, j)
        for c in range(block):
            store(weights, j * width + c, conjugate(load(factor, j * m + start + c)) * beta)
        for i in range(j + 1, n):
            overlap = inner_product(factor, j * m, i * m, m) * beta
            for c in range(block):
                place = j * width + c
                store(weights, place, load(weights, place) - overlap * load(weights, i * width + c))


@jit
def unpack_right(n, stack, stride, permutation, ranks, right, first, count, adjoint):
    """The columns of P X to `right`, in order, a block of columns at a time."""
    for start in range(0, n, BLOCK):
        for lane in range(count):
            for j in range(start, min(start + BLOCK, n)):
                place = int(get(ranks, j, lane))
                for i in range(n):
                    entry = get(stack, j * stride + i, lane)
                    row = int(get(permutation, i, lane))
                    right[first + lane, row, place] = unsigned_zero(entry if adjoint else conjugate(entry))


@jit
def fill_matrix(out, value):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = value


@inlined
def solve_tile(a, left, s, right, converged, sweeps, off, first, count, adjoint, vectors, groups, reals):
    """Decompose up to one tile of matrices, `a[first : first + count]`."""
    m, n = a.shape[1], a.shape[2]
    rows = 2 * n if vectors else n
    stride = rows | 1
    factor, stack = section(groups, 0, m * n), section(groups, m * n, n * stride)
    columns = section(groups, m * n + n * stride, BLOCK * m)
    exponents, permutation, betas = section(reals, 0, n), section(reals, n, n), section(reals, 2 * n, n)
    norms, shifts, keys = section(reals, 3 * n, n), section(reals, 4 * n, n), section(reals, 5 * n, n)
    sigma, powers, ranks = section(reals, 6 * n, n), section(reals, 7 * n, n), section(reals, 8 * n, n)
    state, report = section(reals, 9 * n, KEPT * n), section(reals, (9 + KEPT) * n, 4)

    pack(a, first, count, factor, m, n, adjoint)
    bad, highest = scale_columns(factor, m, n, exponents)
    pivoted_qr(factor, m, n, exponents, permutation, betas, norms, shifts, keys)
    heights = keys  # whose time is over
    scale_triangle(factor, m, n, exponents, heights)
    recovered = vectors and n >= RECOVERED
    accumulated = 2 * n if vectors and not recovered else n
    done, taken, left_over, zero = decompose_triangle(
        factor, m, n, accumulated, stack, stride, heights, state, sigma, powers
    )
    if recovered:
        everywhere = fill(state, 0.0) == 0.0
        sound = recover(factor, m, n, stack, stride, heights, sigma, powers, everywhere)
        if any_lane(~sound):
            done, taken, left_over, zero = decompose_triangle(
                factor, m, n, rows, stack, stride, heights, state, sigma, powers
            )
            recover(factor, m, n, stack, stride, heights, sigma, powers, sound)
    rank_columns(sigma, powers, ranks, n)
    for j in range(n):
        store(sigma, j, scale(load(sigma, j), maximum(load(powers, j) + highest, -4000.0)))
    if vectors:
        for j in range(n):
            store(state, KEPT * j + SCALE, 1.0 / math.sqrt(length2_of(stack, j * stride + n, n)))
        zero = zero & ~bad
        if any_lane(zero):
            store(norms, 0, select(zero, 1.0, fill(norms, 0.0)))
            for lane in range(count):
                if get(norms, 0, lane) > 0.0:
                    complete_basis(stack, n, stride, state, shifts, lane)
        unpack_left(factor, m, n, betas, stack, stride, state, ranks, columns, left, first, count, adjoint)
        unpack_right(n, stack, stride, permutation, ranks, right, first, count, adjoint)
    store(report, 0, select(bad, 1.0, fill(report, 0.0)))
    store(report, 1, select(done, 1.0, fill(report, 0.0)))
    store(report, 2, taken)
    store(report, 3, left_over)
    for lane in range(count):
        b = first + lane
        for j in range(n):
            s[b, int(get(ranks, j, lane))] = get(sigma, j, lane)
        sweeps[b] = int(get(report, 2, lane))
        off[b] = get(report, 3, lane)
        converged[b] = get(report, 1, lane) > 0.0 and s[b, 0] < math.inf
        if get(report, 0, lane) > 0.0:
            converged[b], sweeps[b], off[b] = False, 0, math.nan
            for j in range(n):
                s[b, j] = math.nan
            if vectors:
                fill_matrix(left[b], math.nan)
                fill_matrix(right[b], math.nan)


def svd_tiles(a, left, s, right, converged, sweeps, off, adjoint, vectors, stop, groups, reals):
    """Thin or full SVD of a batch of matrices with m >= n >= 1, a tile at a time.

    a : (batch, m, n), any strides. For wide matrices their transposes, with `adjoint` true: then the
        conjugates are decomposed.
    left, s, right : (batch, m, n or m), (batch, n), (batch, n, n); `left` holds U and `right` conj(V), or
        for `adjoint` conj(U) and V; with `vectors` false neither is touched. Columns in descending order of
        s.
    converged, sweeps, off : (batch,); what happened to each matrix.
    stop : one number; once it is not zero, what is left of the batch stays undone.
    groups, reals : workspace, aligned to a group, of m n + n (2 n | 1) + 4 m groups, with n (n | 1) in the
        middle without vectors, and of 13 n + 4 groups of real numbers.
    """
    lanes = lane_count(groups)
    for first in range(0, a.shape[0], lanes):
        if stop[0]:
            return
        count = min(lanes, a.shape[0] - first)
        solve_tile(a, left, s, right, converged, sweeps, off, first, count, adjoint, vectors, groups, reals)
