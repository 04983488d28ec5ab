"""The basis W of L = X Σ Wᴴ from L, X and Σ, where that is cheaper than accumulating the rotations.

L is lower triangular and comes from a pivoted factorisation: its columns are l_j 2**height_j, the diagonal
falls in size, and l, with its columns near length one, is well conditioned but for rare matrices. Column w of
W, for the singular value σ and column x of X, satisfies two equations,

    L w = σ x,    w = Lᴴ x / σ.

Solved by forward substitution the first one gives row q to within about eps σ / |L_qq|, the second one to
within eps |L_qq| / σ. Row for row the better one is taken: the first rows, where |L_qq| > σ, are solved for,
the others multiplied. Drmač and Veselić (2008) solve for all rows, which costs as many digits as the
condition number has. What is left, some 10 eps, one step of Gram and Schmidt removes.

An n x n basis takes n³/3 multiply-adds and n³ for the last step; accumulating takes n³ a sweep.
"""

from .lanes import (
    abs2,
    any_lane,
    dot,
    fill,
    jit,
    largest_part,
    load,
    maximum,
    power_of_two,
    rounding,
    select,
    spread,
    store,
)

# How far from orthonormal a basis may be, in units of n times the rounding error: what is beyond, from an L
# that is ill conditioned in spite of pivoting (Kahan's), must be accumulated.
LIMIT = 8.0


@jit
def recover(factor, m, n, stack, stride, heights, sigma, powers, wanted):
    """Write W below X, from row n of the columns of `stack`, in the wanted lanes; return those where it is
    accurate.

    factor : conj(l) in its upper triangle
    sigma, powers : the singular values, sigma 2**powers
    """
    for k in range(0, n, 2):
        recover_two(factor, m, n, stack, stride, heights, sigma, powers, k, min(k + 1, n - 1), wanted)
    for k in range(n):
        axis = k * stride + n + k
        zero = wanted & (load(sigma, k) == 0.0) & (largest_part(load(factor, k * m + k)) == 0.0)
        store(stack, axis, select(zero, 1.0, load(stack, axis)))
    return orthonormalise(stack, n, stride, wanted)


@jit
def recover_two(factor, m, n, stack, stride, heights, sigma, powers, k0, k1, wanted):
    """Columns k0 and k1 of W, which may be the same."""
    x0, x1 = k0 * stride, k1 * stride
    w0, w1 = x0 + n, x1 + n
    value0, value1, power0, power1 = load(sigma, k0), load(sigma, k1), load(powers, k0), load(powers, k1)
    inverse0, inverse1 = 1.0 / value0, 1.0 / value1
    rows0, rows1 = substitute(factor, m, n, stack, x0, x1, heights, value0, value1, power0, power1, wanted)
    for q in range(n):
        multiply0, multiply1 = rows0 <= q, rows1 <= q
        t0 = t1 = spread(stack, 0.0)
        if any_lane(multiply0 | multiply1):
            for i in range(q, n):
                entry = load(factor, i * m + q)
                t0, t1 = t0 + entry * load(stack, x0 + i), t1 + entry * load(stack, x1 + i)
        gap0, gap1 = load(heights, q) - power0, load(heights, q) - power1
        before0, before1 = load(stack, w0 + q), load(stack, w1 + q)
        t0 = select(multiply0, t0 * select(value0 > 0.0, inverse0, 0.0), before0)
        t1 = select(multiply1, t1 * select(value1 > 0.0, inverse1, 0.0), before1)
        t0 = t0 * power_of_two(select(multiply0, gap0, 0.0 - gap0))
        t1 = t1 * power_of_two(select(multiply1, gap1, 0.0 - gap1))
        store(stack, w0 + q, select(wanted, t0, before0))
        store(stack, w1 + q, select(wanted, t1, before1))


@jit
def substitute(factor, m, n, stack, x0, x1, heights, value0, value1, power0, power1, wanted):
    """Forward substitution for z = 2**(heights - power) w, which l multiplies, down to where the diagonal
    falls below the singular value. Returns the number of rows solved for."""
    w0, w1 = x0 + n, x1 + n
    rows0 = rows1 = zero = fill(stack, 0.0)
    above0 = above1 = zero == 0.0
    for q in range(n):
        diagonal, height = load(factor, q * m + q), load(heights, q)
        size = largest_part(diagonal)
        above0 = above0 & (size * power_of_two(height - power0) > value0)
        above1 = above1 & (size * power_of_two(height - power1) > value1)
        if not any_lane(above0 | above1):
            break
        t0, t1 = load(stack, x0 + q) * value0, load(stack, x1 + q) * value1
        for j in range(q):
            entry = load(factor, q * m + j)
            t0, t1 = t0 - dot(entry, load(stack, w0 + j)), t1 - dot(entry, load(stack, w1 + j))
        inverse = diagonal * (1.0 / abs2(diagonal))
        store(stack, w0 + q, select(above0 & wanted, t0 * inverse, load(stack, w0 + q)))
        store(stack, w1 + q, select(above1 & wanted, t1 * inverse, load(stack, w1 + q)))
        rows0, rows1 = rows0 + select(above0, 1.0, zero), rows1 + select(above1, 1.0, zero)
    return rows0, rows1


@jit
def orthonormalise(stack, n, stride, wanted):
    """Apply one step of Gram and Schmidt to W in the wanted lanes; return those whose error was small enough
    for one step. Lengths are left as they are.

    Four columns at a time, from the last on, against those before them, then against each other.
    """
    limit = LIMIT * n * rounding(stack)
    sound = fill(stack, 0.0) == 0.0
    for k in range((n - 1) // 4 * 4, -1, -4):
        last = min(k + 3, n - 1)
        for j in range(0, k, 4):
            for c in range(k, last + 1, 2):
                sound = sound & subtract_four(stack, n, stride, j, c, min(c + 1, last), limit, wanted)
        for c in range(last, k - 1, -1):
            for j in range(k, c):
                sound = sound & subtract_one(stack, n, stride, j, c, limit, wanted)
            length2 = fill(stack, 0.0)
            for i in range(c * stride + n, c * stride + 2 * n):
                length2 = length2 + abs2(load(stack, i))
            sound = sound & (abs(length2 - 1.0) <= limit)
    return sound


@jit
def subtract_one(stack, n, stride, j, k, limit, wanted):
    """Remove from column k of W its component along column j, unless it is beyond the limit; returns where it
    is not."""
    x, y = j * stride + n, k * stride + n
    product = spread(stack, 0.0)
    for i in range(n):
        product = product + dot(load(stack, x + i), load(stack, y + i))
    small = largest_part(product) <= limit
    product = select(wanted & small, product, spread(stack, 0.0))
    for i in range(n):
        store(stack, y + i, load(stack, y + i) - load(stack, x + i) * product)
    return small


@jit
def subtract_four(stack, n, stride, j, k, k1, limit, wanted):
    """`subtract_one` for columns j to j + 3 from columns k and k1."""
    x0, x1, x2, x3 = j * stride + n, (j + 1) * stride + n, (j + 2) * stride + n, (j + 3) * stride + n
    y, z = k * stride + n, k1 * stride + n
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = nothing = spread(stack, 0.0)
    for i in range(n):
        a0, a1, a2, a3 = load(stack, x0 + i), load(stack, x1 + i), load(stack, x2 + i), load(stack, x3 + i)
        b, c = load(stack, y + i), load(stack, z + i)
        s0, s1, s2, s3 = s0 + dot(a0, b), s1 + dot(a1, b), s2 + dot(a2, b), s3 + dot(a3, b)
        t0, t1, t2, t3 = t0 + dot(a0, c), t1 + dot(a1, c), t2 + dot(a2, c), t3 + dot(a3, c)
    worst = fill(stack, 0.0)
    for product in (s0, s1, s2, s3, t0, t1, t2, t3):
        worst = maximum(largest_part(product), worst)
    small = worst <= limit
    on = wanted & small
    s0, s1, s2, s3 = (
        select(on, s0, nothing),
        select(on, s1, nothing),
        select(on, s2, nothing),
        select(on, s3, nothing),
    )
    t0, t1, t2, t3 = (
        select(on, t0, nothing),
        select(on, t1, nothing),
        select(on, t2, nothing),
        select(on, t3, nothing),
    )
    for i in range(n):
        a0, a1, a2, a3 = load(stack, x0 + i), load(stack, x1 + i), load(stack, x2 + i), load(stack, x3 + i)
        b, c = load(stack, y + i), load(stack, z + i)
        store(stack, y + i, b - a0 * s0 - a1 * s1 - a2 * s2 - a3 * s3)
        store(stack, z + i, c - a0 * t0 - a1 * t1 - a2 * t2 - a3 * t3)
    return small
