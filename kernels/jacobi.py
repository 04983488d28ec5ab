"""One-sided Jacobi on the columns of a triangle, a matrix a SIMD lane or a CUDA thread.

    L = X Σ Wᴴ

A column is a run of groups in `stack`: n rows of L over n rows of W, the latter only where W is accumulated.
Kernels that hold columns in other ways take from here what depends on the record of a column alone: its
layout, the rotation of two columns (`turn`), and when a column must be renewed (`strayed`).

A sweep costs n(n-1)/2 pairs, each 3.5 n multiply-adds, or 5.5 n where W is accumulated: six inner products
serve the four pairs of two columns with two others, whose rows are rotated in registers.
"""

import math

from .lanes import (
    abs2,
    any_lane,
    conjugate,
    dot,
    exponent,
    fill,
    half_of,
    inlined,
    jit,
    largest_part,
    load,
    maximum,
    power_of_two,
    rounding,
    scale,
    select,
    small_square,
    spread,
    store,
)
from .layout import EXPONENT, KEPT, LENGTH2, REST, SCALE
from .qr import LOWEST, adjoint_triangle
from .rotation import crossed as _crossed
from .rotation import held_gap as _held_gap
from .rotation import needs_another_sweep as _needs_another_sweep
from .rotation import rotation as _rotation
from .rotation import shrink as _shrink

MAX_SWEEPS = 30
# How far a squared length may stray before its column is scaled back, and how much one rotation may cancel.
SHORT, LONG, CANCELLED = 2.0**-16, 2.0**16, 2.0**-10

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
    base, record = j * stride, KEPT * j
    total, factor = length2_of(stack, base, n), load(state, record + SCALE)
    if not any_lane(mask & ((total < SHORT) | (total > LONG) | (factor < SHORT))):
        store(state, record + LENGTH2, select(mask, total, load(state, record + LENGTH2)))
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
    store(state, record + LENGTH2, select(mask, total, load(state, record + LENGTH2)))
    back = select(mask & (factor < SHORT), half_of(exponent(factor)), 0.0)
    if any_lane(back != 0.0):
        scale_rows(stack, base + n, rows - n, back)
        unscale = power_of_two(0.0 - back) * power_of_two(0.0 - back)
        store(state, record + SCALE, factor * unscale)
        store(state, record + REST, load(state, record + REST) * unscale)
    store(state, record + EXPONENT, load(state, record + EXPONENT) + shift + back)


@jit
def turn(p, q, gamma, alive, tol2, state):
    """Compute the rotation of columns p and q, and update their records. The columns themselves are left to
    the caller.

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
    """Where column j must be renewed: it has lost its digits, or its length has left the range."""
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
    may_rotate = alive & ~(lost1 | lost2)
    xv, yu = crossed(xv, yu, xy, uv, a1, b2), crossed(yu, xv, conjugate(xy), conjugate(uv), a2, b1)
    a3, b3, aw3, bw3, on3, lost3, c3, s3 = turn(p, q + 1, xv, may_rotate, tol2, state)
    a4, b4, aw4, bw4, on4, lost4, c4, s4 = turn(p + 1, q, yu, may_rotate, tol2, state)
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
def finish_columns(stack, n, stride, state, sigma, powers):
    """The singular values, a fraction in [1/2, 1) and a power of two each; the columns of L to length one.
    Returns the lanes in which some column is zero."""
    zero = fill(stack, 1.0) == 0.0
    for j in range(n):
        base, record = j * stride, KEPT * j
        total = length2_of(stack, base, n)
        nonzero = total > 0.0
        zero = zero | ~nonzero
        length = math.sqrt(total)
        inverse = select(nonzero, 1.0 / length, 0.0)
        for i in range(base, base + n):
            store(stack, i, load(stack, i) * inverse)
        value = length * math.sqrt(load(state, record + SCALE) + load(state, record + REST))
        shift = exponent(value)
        store(sigma, j, scale(value, 0.0 - shift))
        store(state, record + LENGTH2, total)
        store(powers, j, select(nonzero, load(state, record + EXPONENT) + shift, LOWEST))
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
    """The rank of each column in descending order of the singular values; equal ones keep their order."""
    for j in range(n):
        value, power, rank = load(sigma, j), load(powers, j), fill(sigma, 0.0)
        for k in range(n):
            other, other_power = load(sigma, k), load(powers, k)
            larger = other >= value if k < j else other > value
            before = (other_power > power) | ((other_power == power) & larger)
            rank = rank + select(before, 1.0, 0.0 * rank)
        store(ranks, j, rank)
