"""A matrix to bidiagonal form, one matrix a lane: the squares of what its singular values depend on.

    Uᴴ A V = B,   q_j = |b_jj|²,   e_j = |b_j,j+1|²

by Householder reflectors from both sides in turn (Golub and Kahan 1965). The reflector from the right of one
step and that from the left of the next are applied in one pass over what is left of the matrix, which also
collects the product that the next one from the right needs: four multiply-adds an entry and step, 4/3 n³ for
a square matrix. Many more rows than columns are first reduced to a triangle (Chan 1982). The phases of B
are irrelevant.

Entry (i, j) of all the matrices of a tile is group j m + i of `factor`, as in `qr`. The largest should be
near one; columns and rows whose squares may lose digits to underflow count as zero.
"""

from .lanes import abs2, conjugate, dot, fill, jit, load, select, small_square, spread, store
from .qr import dot_columns, reflect, reflect_four, reflector, sum_of_squares

BLOCK = 4  # columns that are updated together


@jit
def unless_negligible(total):
    """A sum of squares, zero where it may have lost digits to underflow: far below eps² of the matrix's."""
    return select(total < small_square(total), 0.0, total)


@jit
def make_reflector(factor, first, last):
    """v = (1, ...) in place of the groups `first` to `last`: 1 - beta v vᴴ takes them to the first axis.

    Returns what is there then, the squared length, and beta.
    """
    total = unless_negligible(sum_of_squares(factor, first, last))
    diagonal, inverse = reflector(load(factor, first), total)
    for i in range(first + 1, last):
        store(factor, i, load(factor, i) * inverse)
    rest = sum_of_squares(factor, first + 1, last)
    store(factor, first, spread(factor, 1.0))
    return diagonal, total, select(total > 0.0, 2.0 / (1.0 + rest), 0.0)


@jit
def triangularise(factor, m, n):
    """R of A = Q R in the first n rows, zeros below its diagonal."""
    for j in range(n):
        diagonal, _, beta = make_reflector(factor, j * m + j, j * m + m)
        q = j + 1
        while q + BLOCK <= n:
            reflect_four(factor, j * m, factor, q * m, m, beta, j, m)
            q += BLOCK
        for k in range(q, n):
            reflect(factor, j * m, factor, k * m, beta, j, m)
        store(factor, j * m + j, diagonal)
        for i in range(j + 1, n):
            store(factor, j * m + i, spread(factor, 0.0))


@jit
def update(factor, v, x, w, y, beta, overlap, j, last):
    """x -= w y + v t on the rows from j on, with t for the reflector of v to follow that of w; returns x_j.

    v and x are where their columns begin in `factor`, overlap is vᴴ w.
    """
    t = (dot_columns(factor, v, factor, x, spread(factor, 0.0), j, last) - overlap * y) * beta
    for i in range(j, last):
        store(factor, x + i, load(factor, x + i) - load(w, i) * y - load(factor, v + i) * t)
    return load(factor, x + j)


@jit
def update_four(factor, v, x, stride, w, right, k, product, beta, overlap, j, last):
    """`update` of the four columns from k on, which begin at x, x + stride, ...; and product += x conj(x_j)
    of each. Returns their x_j."""
    x0, x1, x2, x3 = x, x + stride, x + 2 * stride, x + 3 * stride
    y0, y1, y2, y3 = load(right, k), load(right, k + 1), load(right, k + 2), load(right, k + 3)
    f0, f1, f2, f3 = load(factor, x0 + j), load(factor, x1 + j), load(factor, x2 + j), load(factor, x3 + j)
    t0, t1, t2, t3 = f0, f1, f2, f3
    for i in range(j + 1, last):
        vi = load(factor, v + i)
        t0, t1 = t0 + dot(vi, load(factor, x0 + i)), t1 + dot(vi, load(factor, x1 + i))
        t2, t3 = t2 + dot(vi, load(factor, x2 + i)), t3 + dot(vi, load(factor, x3 + i))
    t0, t1 = (t0 - overlap * y0) * beta, (t1 - overlap * y1) * beta
    t2, t3 = (t2 - overlap * y2) * beta, (t3 - overlap * y3) * beta
    wj = load(w, j)
    r0, r1, r2, r3 = f0 - wj * y0 - t0, f1 - wj * y1 - t1, f2 - wj * y2 - t2, f3 - wj * y3 - t3
    z0, z1, z2, z3 = conjugate(r0), conjugate(r1), conjugate(r2), conjugate(r3)
    for i in range(j + 1, last):
        vi, wi, total = load(factor, v + i), load(w, i), load(product, i)
        e0, e1 = load(factor, x0 + i) - wi * y0 - vi * t0, load(factor, x1 + i) - wi * y1 - vi * t1
        e2, e3 = load(factor, x2 + i) - wi * y2 - vi * t2, load(factor, x3 + i) - wi * y3 - vi * t3
        store(factor, x0 + i, e0)
        store(factor, x1 + i, e1)
        store(factor, x2 + i, e2)
        store(factor, x3 + i, e3)
        store(product, i, total + e0 * z0 + e1 * z1 + e2 * z2 + e3 * z3)
    return r0, r1, r2, r3


@jit
def add_multiple(factor, x, weight, product, first, last):
    """product += x weight on the given rows."""
    for i in range(first, last):
        store(product, i, load(product, i) + load(factor, x + i) * weight)


@jit
def eliminate_row(factor, m, n, j, last, product, row, right, w):
    """The reflector from the right that takes row j to its first entry: what it multiplies w by in `right`,
    and w, the matrix times its vector. Returns the squared length of the row."""
    total = fill(factor, 0.0)
    for k in range(j + 1, n):
        total = total + abs2(load(row, k))
    total = unless_negligible(total)
    _, inverse = reflector(conjugate(load(row, j + 1)), total)
    rest = fill(factor, 0.0)
    for k in range(j + 2, n):
        entry = conjugate(load(row, k)) * inverse
        store(right, k, conjugate(entry))
        rest = rest + abs2(entry)
    gamma = select(total > 0.0, 2.0 / (1.0 + rest), 0.0)
    store(right, j + 1, spread(factor, 1.0) * gamma)
    for k in range(j + 2, n):
        store(right, k, load(right, k) * gamma)
    for i in range(j + 1, last):
        store(w, i, load(factor, (j + 1) * m + i) + load(product, i) * inverse)
    return total


@jit
def bidiagonalise(factor, m, n, rows, w, product, row, right, q, e):
    """q and e of the first `rows` of every column, which are overwritten. The scratch w and product have as
    many groups, row and right have n."""
    nothing = spread(factor, 0.0)
    for i in range(rows):
        store(w, i, nothing)
    for k in range(n):
        store(right, k, nothing)
    for j in range(n):
        v, first = j * m, load(right, j)
        for i in range(j, rows):
            store(factor, v + i, load(factor, v + i) - load(w, i) * first)
            store(product, i, nothing)
        _, total, beta = make_reflector(factor, v + j, v + rows)
        store(q, j, total)
        if j == n - 1:
            store(e, j, fill(q, 0.0))
            return
        overlap = dot_columns(factor, v, w, 0, nothing, j, rows)
        k = j + 1
        store(row, k, update(factor, v, k * m, w, load(right, k), beta, overlap, j, rows))
        k = j + 2
        while k + BLOCK <= n:
            four = update_four(factor, v, k * m, m, w, right, k, product, beta, overlap, j, rows)
            for i in range(BLOCK):
                store(row, k + i, four[i])
            k += BLOCK
        for last in range(k, n):
            entry = update(factor, v, last * m, w, load(right, last), beta, overlap, j, rows)
            store(row, last, entry)
            add_multiple(factor, last * m, conjugate(entry), product, j + 1, rows)
        store(e, j, eliminate_row(factor, m, n, j, rows, product, row, right, w))
