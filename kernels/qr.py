"""The preconditioner: Householder QR with full column pivoting, A P = Q R, one matrix a lane.

The matrix is columns of groups: entry (i, j) of all the matrices of a tile is group j m + i of `factor`.
Column j is really `factor[j] 2**exponent[j]`, so nothing over- or underflows over the whole exponent range.
On exit the upper triangle holds R and the rest the reflectors, Q = H_1 ... H_n with H_j = I - beta_j v_j
v_jᴴ and v_j one at j (LAPACK's geqp3, Quintana-Ortí, Sun and Bischof 1998, without its blocking; remaining
norms are recomputed, not downdated, in the pass that updates).

Jacobi then runs on the columns of L = Rᴴ (Drmač and Veselić 2008): graded, nearly orthogonal, few sweeps.
Sorting the columns once instead of pivoting costs no sweeps, but a dependent column then shrinks for ever.

Sums over rows are made in runs, whose sums are added with a carry for what is rounded off (Kahan 1965).
Summed row after row, columns of equal entries lose digits in proportion to their length, since all roundings
point one way.
"""

import math

from .lanes import (
    abs2,
    any_lane,
    conjugate,
    direction,
    dot,
    exponent,
    fill,
    jit,
    largest_part,
    load,
    log2_linear,
    maximum,
    nothing_if_finite,
    scale,
    select,
    small_square,
    spread,
    store,
)

LOWEST = -1e9  # the sort key of a zero column
LEAST_EXPONENT = -4000.0  # a number near one, times this power of two, is zero in any precision
# Columns of L share an exponent if theirs differ by less: most rotations then need not tell exponents apart.
NEAR = 6.0
RUN = 16  # rows that are summed one after the other


@jit
def add_run(total, carry, run):
    """The total with the sum of a run added, and what was rounded off, to be passed on to the next call."""
    corrected = run - carry
    after = total + corrected
    return after, (after - total) - corrected


@jit
def squares_run(factor, first, last):
    total = fill(factor, 0.0)
    for i in range(first, last):
        total = total + abs2(load(factor, i))
    return total


@jit
def sum_of_squares(factor, first, last):
    """The sum of |x|² over groups `first` to `last`."""
    total = squares_run(factor, first, min(first + RUN, last))
    if last > first + RUN:
        carry = fill(factor, 0.0)
        for start in range(first + RUN, last, RUN):
            run = squares_run(factor, start, min(start + RUN, last))
            total, carry = add_run(total, carry, run)
    return total


@jit
def dot_run(factor, v, target, x, total, first, last):
    for i in range(first, last):
        total = total + dot(load(factor, v + i), load(target, x + i))
    return total


@jit
def dot_columns(factor, v, target, x, total, first, last):
    """The total and vᴴ x on rows `first` to `last`."""
    total = dot_run(factor, v, target, x, total, first, min(first + RUN, last))
    if last > first + RUN:
        nothing = spread(target, 0.0)
        carry = nothing
        for start in range(first + RUN, last, RUN):
            run = dot_run(factor, v, target, x, nothing, start, min(start + RUN, last))
            total, carry = add_run(total, carry, run)
    return total


@jit
def scale_columns(factor, m, n, exponents):
    """Bring every column to a largest entry in [1/2, 1) by a power of two, its exponent to one relative to
    the largest.

    Returns the lanes with NaN or Inf, which it zeroes, and the largest exponent.
    """
    bad = fill(factor, 0.0) != 0.0
    for j in range(n):
        nothing = fill(factor, 0.0)
        for i in range(m):
            nothing = nothing + nothing_if_finite(load(factor, j * m + i))
        bad = bad | (nothing != 0.0)
    highest = fill(factor, LOWEST)
    for j in range(n):
        big = fill(factor, 0.0)
        for i in range(m):
            big = maximum(largest_part(load(factor, j * m + i)), big)
        shift = select(bad, 0.0, exponent(big))
        store(exponents, j, shift)
        highest = maximum(select(big > 0.0, shift, LOWEST), highest)
        for i in range(m):
            store(factor, j * m + i, select(bad, 0.0, scale(load(factor, j * m + i), 0.0 - shift)))
    highest = select(highest > LOWEST, highest, 0.0)
    for j in range(n):
        store(exponents, j, load(exponents, j) - highest)
    return bad, highest


@jit
def remaining_norm(factor, m, q, first, total, exponents, norms, shifts, keys):
    """Store what is left of column q from row `first` on: its squared norm after a scaling by 2**-shift,
    and the sort key."""
    shift = fill(factor, 0.0)
    small = total < small_square(total)
    if any_lane(small):
        big = fill(factor, 0.0)
        for i in range(first, m):
            big = maximum(largest_part(load(factor, q * m + i)), big)
        shift = select(small, exponent(big), shift)
        again, carry = fill(factor, 0.0), fill(factor, 0.0)
        for i in range(first, m):
            again, carry = add_run(again, carry, abs2(scale(load(factor, q * m + i), 0.0 - shift)))
        total = select(small, again, total)
    store(norms, q, total)
    store(shifts, q, shift)
    key = log2_linear(total) + 2.0 * (shift + load(exponents, q))
    store(keys, q, select(total > 0.0, key, LOWEST))


@jit
def exchange(array, p, q, mask):
    """Swap groups p and q in the lanes of the mask."""
    x, y = load(array, p), load(array, q)
    store(array, p, select(mask, y, x))
    store(array, q, select(mask, x, y))


@jit
def pivot_column(factor, m, n, j, exponents, permutation, norms, shifts, keys):
    """Bring the largest remaining column to place j, in each lane its own."""
    best, chosen = load(keys, j), fill(factor, j)
    for q in range(j + 1, n):
        key = load(keys, q)
        chosen = select(key > best, fill(factor, q), chosen)
        best = maximum(key, best)
    for q in range(j + 1, n):
        mask = chosen == q
        if any_lane(mask):
            for i in range(m):
                exchange(factor, j * m + i, q * m + i, mask)
            exchange(exponents, j, q, mask)
            exchange(permutation, j, q, mask)
            exchange(norms, j, q, mask)
            exchange(shifts, j, q, mask)
            exchange(keys, j, q, mask)


@jit
def make_reflector(factor, m, j, norms, shifts, betas):
    """v_j below the diagonal of column j, the entry of R on it, and beta_j."""
    column = j * m
    shift, total = load(shifts, j), load(norms, j)
    # Scale the rest of the column before squaring: an unscaled reflector of a tiny remainder is not unitary.
    if any_lane(shift != 0.0):
        for i in range(j, m):
            store(factor, column + i, scale(load(factor, column + i), 0.0 - shift))
    diagonal, inverse = reflector(load(factor, column + j), total)
    for i in range(j + 1, m):
        store(factor, column + i, load(factor, column + i) * inverse)
    rest = sum_of_squares(factor, column + j + 1, column + m)
    # Summed onto the one, most of the digits of small squares are lost: the values of an orthogonal matrix of
    # 100 x 100 stray by 17 eps instead of 5.
    store(betas, j, select(total > 0.0, 2.0 / (1.0 + rest), 0.0))
    store(factor, column + j, scale(diagonal, shift))


@jit
def reflector(top, total):
    """The reflector of a column with this first entry and squared norm: the entry of R, and what makes v of
    the rest.

    beta is then 2 / |v|², whatever was rounded before, for the reflector to be unitary.
    """
    length = math.sqrt(total)
    phase = direction(top)  # counts even where top is tiny beside the rest
    pivot = top + phase * length
    nonzero = total > 0.0
    inverse = select(~nonzero, 0.0, conjugate(pivot) * (1.0 / select(nonzero, abs2(pivot), 1.0)))
    return phase * (0.0 - length), inverse


@jit
def pivoted_qr(factor, m, n, exponents, permutation, betas, norms, shifts, keys):
    """Factor the scaled columns in place. Overwrites the scratch norms, shifts and keys."""
    for q in range(n):
        total = sum_of_squares(factor, q * m, q * m + m)
        remaining_norm(factor, m, q, 0, total, exponents, norms, shifts, keys)
        store(permutation, q, fill(factor, q))
    for j in range(n):
        pivot_column(factor, m, n, j, exponents, permutation, norms, shifts, keys)
        make_reflector(factor, m, j, norms, shifts, betas)
        beta = load(betas, j)
        q = j + 1
        while q + 4 <= n:
            totals = reflect_four(factor, j * m, factor, q * m, m, beta, j, m)
            for k in range(4):
                remaining_norm(factor, m, q + k, j + 1, totals[k], exponents, norms, shifts, keys)
            q += 4
        for k in range(q, n):
            total = reflect(factor, j * m, factor, k * m, beta, j, m)
            remaining_norm(factor, m, k, j + 1, total, exponents, norms, shifts, keys)


@jit
def reflect(factor, v, target, x, beta, j, m):
    """x -= beta v (vᴴ x) on the rows from j on, where v is one at j; returns what is left of |x|² below j.

    v and x are the numbers of the groups where the two columns begin.
    """
    first = load(target, x + j)
    w = dot_columns(factor, v, target, x, first, j + 1, m) * beta
    store(target, x + j, first - w)
    total = subtract_run(factor, v, target, x, w, beta, j + 1, min(j + 1 + RUN, m))
    if m > j + 1 + RUN:
        carry = beta * 0.0
        for start in range(j + 1 + RUN, m, RUN):
            run = subtract_run(factor, v, target, x, w, beta, start, min(start + RUN, m))
            total, carry = add_run(total, carry, run)
    return total


@jit
def subtract_run(factor, v, target, x, w, beta, first, last):
    """x -= v w on some rows; returns what is left of |x|² there."""
    total = beta * 0.0
    for i in range(first, last):
        entry = load(target, x + i) - load(factor, v + i) * w
        store(target, x + i, entry)
        total = total + abs2(entry)
    return total


@jit
def reflect_four(factor, v, target, x, stride, beta, j, m):
    """`reflect` on the columns that begin at x, x + stride, ...: v is read once for four, and no sum waits
    for another."""
    x0, x1, x2, x3 = x, x + stride, x + 2 * stride, x + 3 * stride
    f0, f1, f2, f3 = load(target, x0 + j), load(target, x1 + j), load(target, x2 + j), load(target, x3 + j)
    w0, w1, w2, w3 = dot_four(factor, v, target, x, stride, f0, f1, f2, f3, j + 1, m)
    w0, w1, w2, w3 = w0 * beta, w1 * beta, w2 * beta, w3 * beta
    store(target, x0 + j, f0 - w0)
    store(target, x1 + j, f1 - w1)
    store(target, x2 + j, f2 - w2)
    store(target, x3 + j, f3 - w3)
    t0, t1, t2, t3 = subtract_four_run(
        factor, v, target, x, stride, w0, w1, w2, w3, beta, j + 1, min(j + 1 + RUN, m)
    )
    if m > j + 1 + RUN:
        d0 = d1 = d2 = d3 = beta * 0.0
        for start in range(j + 1 + RUN, m, RUN):
            last = min(start + RUN, m)
            s0, s1, s2, s3 = subtract_four_run(
                factor, v, target, x, stride, w0, w1, w2, w3, beta, start, last
            )
            t0, d0 = add_run(t0, d0, s0)
            t1, d1 = add_run(t1, d1, s1)
            t2, d2 = add_run(t2, d2, s2)
            t3, d3 = add_run(t3, d3, s3)
    return t0, t1, t2, t3


@jit
def dot_four(factor, v, target, x, stride, w0, w1, w2, w3, first, last):
    """`dot_columns` for the columns that begin at x, x + stride, ..."""
    w0, w1, w2, w3 = dot_four_run(factor, v, target, x, stride, w0, w1, w2, w3, first, min(first + RUN, last))
    if last > first + RUN:
        nothing = spread(target, 0.0)
        c0 = c1 = c2 = c3 = nothing
        for start in range(first + RUN, last, RUN):
            end = min(start + RUN, last)
            r0, r1, r2, r3 = dot_four_run(
                factor, v, target, x, stride, nothing, nothing, nothing, nothing, start, end
            )
            w0, c0 = add_run(w0, c0, r0)
            w1, c1 = add_run(w1, c1, r1)
            w2, c2 = add_run(w2, c2, r2)
            w3, c3 = add_run(w3, c3, r3)
    return w0, w1, w2, w3


@jit
def dot_four_run(factor, v, target, x, stride, w0, w1, w2, w3, first, last):
    """`dot_run` for four columns."""
    x0, x1, x2, x3 = x, x + stride, x + 2 * stride, x + 3 * stride
    for i in range(first, last):
        vi = load(factor, v + i)
        w0, w1 = w0 + dot(vi, load(target, x0 + i)), w1 + dot(vi, load(target, x1 + i))
        w2, w3 = w2 + dot(vi, load(target, x2 + i)), w3 + dot(vi, load(target, x3 + i))
    return w0, w1, w2, w3


@jit
def subtract_four_run(factor, v, target, x, stride, w0, w1, w2, w3, beta, first, last):
    """`subtract_run` for four columns."""
    x0, x1, x2, x3 = x, x + stride, x + 2 * stride, x + 3 * stride
    t0 = t1 = t2 = t3 = beta * 0.0
    for i in range(first, last):
        vi = load(factor, v + i)
        e0, e1 = load(target, x0 + i) - vi * w0, load(target, x1 + i) - vi * w1
        e2, e3 = load(target, x2 + i) - vi * w2, load(target, x3 + i) - vi * w3
        store(target, x0 + i, e0)
        store(target, x1 + i, e1)
        store(target, x2 + i, e2)
        store(target, x3 + i, e3)
        t0, t1, t2, t3 = t0 + abs2(e0), t1 + abs2(e1), t2 + abs2(e2), t3 + abs2(e3)
    return t0, t1, t2, t3


@jit
def scale_triangle(factor, m, n, exponents, heights):
    """Give row j of R, column j of L = Rᴴ, an exponent of its own if it is far below the largest."""
    highest = fill(factor, LOWEST)
    for j in range(n):
        reach = fill(factor, LOWEST)
        for q in range(j, n):
            size = largest_part(load(factor, q * m + j))
            reach = maximum(select(size > 0.0, exponent(size) + load(exponents, q), LOWEST), reach)
        highest = maximum(reach, highest)
        height = select(reach > highest - NEAR, highest, select(reach > LOWEST, reach, 0.0))
        store(heights, j, height)
        for q in range(j, n):
            gap = maximum(load(exponents, q) - height, LEAST_EXPONENT)
            store(factor, q * m + j, scale(load(factor, q * m + j), gap))


@jit
def adjoint_triangle(factor, m, n, stack, stride):
    """Column j of L = Rᴴ to rows 0..n-1 of column j of `stack`."""
    for j in range(n):
        for i in range(j):
            store(stack, j * stride + i, spread(stack, 0.0))
        for q in range(j, n):
            store(stack, j * stride + q, conjugate(load(factor, q * m + j)))
