"""Singular values alone, a matrix a SIMD lane: by a bidiagonal form where it is nearly as accurate as Jacobi.

The form changes every singular value by a few eps of the largest. This is the best possible if the
columns are about as long as each other: of A = B D, with D their lengths, the relative errors are eps cond(B)
cond(D). A matrix is accepted if every column has an entry of about 1/8 of the largest one or more,
and every row that is not zero one of 1/1024: with rows that differ by more Jacobi often does better, though
it need not. The worst that was seen, orthogonal columns of one length but for a larger last one, are errors
of 2 max(m, n) eps. The other matrices are left to Jacobi, as are those with NaN or Inf, and those whose
values the algorithm of `qd` has not found or this precision cannot hold.
"""

import math

from . import layout
from .bidiagonal import bidiagonalise, triangularise
from .cpu_tile import pack
from .jacobi import rank_columns
from .lanes import (
    any_lane,
    fill,
    get,
    inlined,
    jit,
    lane_count,
    largest_part,
    load,
    maximum,
    power_of_two,
    scale,
    section,
    select,
    spread,
    store,
)
from .qd import bidiagonal_values
from .qr import LEAST_EXPONENT, scale_columns

REACH, ROW_REACH = 3.0, 10.0  # powers of two between the largest entry, and that of a column or row
TALL = 1.6  # rows by columns from which on a triangle first takes fewer multiply-adds

values_numbers, values_reals = jit(layout.values_numbers), jit(layout.values_reals)


@jit
def level(factor, m, n, exponents, relative):
    """Bring the scaled columns back to one scale; returns the lanes in which no row or column is far below
    the largest entry, all lanes unless `relative`."""
    even = fill(factor, 0.0) == 0.0
    reach = REACH if relative else 0.0 - LEAST_EXPONENT
    for j in range(n):
        power, big = load(exponents, j), fill(factor, 0.0)
        level_of_all = power_of_two(maximum(power, 0.0 * power - reach))
        for i in range(m):
            entry = load(factor, j * m + i) * level_of_all
            store(factor, j * m + i, entry)
            big = maximum(largest_part(entry), big)
        if relative:
            even = even & (power >= 0.0 - REACH) & (big > 0.0)
    if not relative:
        return even
    for i in range(m):
        big = fill(factor, 0.0)
        for j in range(n):
            big = maximum(largest_part(load(factor, j * m + i)), big)
        even = even & ((big >= 2.0 ** (-1.0 - ROW_REACH)) | (big == 0.0))
    return even


@inlined
def svdvals_tile(a, s, found, first, count, adjoint, relative, numbers, reals):
    """Find the values of up to one tile of matrices, `a[first : first + count]`."""
    n = a.shape[2]
    m, w_at, product_at, row_at, right_at, _ = values_numbers(a.shape[1], n)
    sigma_at, ranks_at, powers_at, report_at, _ = values_reals(n)
    factor, w, product = (
        section(numbers, 0, m * n),
        section(numbers, w_at, m),
        section(numbers, product_at, m),
    )
    row, right = section(numbers, row_at, n), section(numbers, right_at, n)
    squares, sigma, ranks = section(reals, 0, 6 * n), section(reals, sigma_at, n), section(reals, ranks_at, n)
    powers, report = section(reals, powers_at, n), section(reals, report_at, 1)
    exponents = powers

    pack(a, first, count, factor, m, n, adjoint)
    if m > a.shape[1]:
        for j in range(n):
            store(factor, j * m + m - 1, spread(factor, 0.0))
    bad, highest = scale_columns(factor, m, n, exponents)
    taken = level(factor, m, n, exponents, relative) & ~bad
    done = taken
    if any_lane(taken):
        rows = m
        if m >= TALL * n:
            triangularise(factor, m, n)
            rows = n
        bidiagonalise(factor, m, n, rows, w, product, row, right, squares, section(squares, n, n))
        done = bidiagonal_values(squares, n, taken, sigma)
    for j in range(n):
        store(powers, j, fill(powers, 0.0))
    rank_columns(sigma, powers, ranks, n)
    for j in range(n):
        value = scale(load(sigma, j), highest)
        store(sigma, j, value)
        done = done & (value < math.inf)
    store(report, 0, select(done, 1.0, fill(report, 0.0)))
    for lane in range(count):
        b = first + lane
        found[b] = get(report, 0, lane) > 0.0
        if found[b]:
            for j in range(n):
                s[b, int(get(ranks, j, lane))] = get(sigma, j, lane)


def svdvals_tiles(a, s, found, adjoint, relative, stop, numbers, reals):
    """Singular values of a batch of matrices with m >= n >= 1, a tile at a time.

    a, s, adjoint, stop : as for `svd_tiles`.
    found : (batch,); which matrices have their singular values now. The others are left to `svd_tiles`.
    relative : whether each singular value must be accurate relative to itself, not only to the largest one.
    numbers, reals : workspace, aligned to a group, of as many groups as `layout.values_size` says.
    """
    lanes = lane_count(numbers)
    for first in range(0, a.shape[0], lanes):
        if stop[0]:
            return
        count = min(lanes, a.shape[0] - first)
        svdvals_tile(a, s, found, first, count, adjoint, relative, numbers, reals)
