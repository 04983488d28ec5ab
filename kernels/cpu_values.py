"""Singular values alone, a matrix a SIMD lane: by a bidiagonal form where it is nearly as accurate as Jacobi.

The form changes every singular value by a few eps of the largest. That is what there is to have where the
columns are about as long as each other: of A = B D, with D their lengths, the relative errors are eps cond(B)
cond(D). So are taken the matrices of which every column has an entry of about 1/8 of the largest one or more,
and every row that is not zero one of 1/1024: with rows that differ by more Jacobi often does better, though
it need not. The worst that was seen, orthogonal columns of one length but for a larger last one, are errors
of 2 max(m, n) eps. The other matrices are left to Jacobi, as are those with NaN or Inf, and those whose
values the algorithm of `qd` has not found or this precision cannot hold.
"""

import math

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
from .qr import scale_columns

REACH, ROW_REACH = 3.0, 10.0  # powers of two between the largest entry, and that of a column or row
PADDED = 64  # rows from which on their number is odd
TALL = 1.6  # rows by columns from which on a triangle first takes fewer multiply-adds


@jit
def level(factor, m, n, exponents):
    """Bring the scaled columns back to one scale; returns the lanes in which no row or column is far below
    the largest entry."""
    even = fill(factor, 0.0) == 0.0
    for j in range(n):
        power, big = load(exponents, j), fill(factor, 0.0)
        level_of_all = power_of_two(maximum(power, 0.0 * power - REACH))
        for i in range(m):
            entry = load(factor, j * m + i) * level_of_all
            store(factor, j * m + i, entry)
            big = maximum(largest_part(entry), big)
        even = even & (power >= 0.0 - REACH) & (big > 0.0)
    for i in range(m):
        big = fill(factor, 0.0)
        for j in range(n):
            big = maximum(largest_part(load(factor, j * m + i)), big)
        even = even & ((big >= 2.0 ** (-1.0 - ROW_REACH)) | (big == 0.0))
    return even


@inlined
def svdvals_tile(a, s, found, first, count, adjoint, groups, reals):
    n = a.shape[2]
    # Columns a power of two apart share their cache sets: a row of zeros more saves a fifth at n = 64.
    m = a.shape[1] | 1 if a.shape[1] >= PADDED else a.shape[1]
    factor, w, product = section(groups, 0, m * n), section(groups, m * n, m), section(groups, m * n + m, m)
    row, right = section(groups, m * n + 2 * m, n), section(groups, m * n + 2 * m + n, n)
    room, sigma, ranks = section(reals, 0, 6 * n), section(reals, 6 * n, n), section(reals, 7 * n, n)
    powers, report = section(reals, 8 * n, n), section(reals, 9 * n, 1)
    exponents = powers

    pack(a, first, count, factor, m, n, adjoint)
    if m > a.shape[1]:
        for j in range(n):
            store(factor, j * m + m - 1, spread(factor, 0.0))
    bad, highest = scale_columns(factor, m, n, exponents)
    taken = level(factor, m, n, exponents) & ~bad
    done = taken
    if any_lane(taken):
        rows = m
        if m >= TALL * n:
            triangularise(factor, m, n)
            rows = n
        bidiagonalise(factor, m, n, rows, w, product, row, right, room, section(room, n, n))
        done = bidiagonal_values(room, n, taken, sigma)
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


def svdvals_tiles(a, s, found, adjoint, stop, groups, reals):
    """Singular values of a batch of matrices with m >= n >= 1, a tile at a time.

    a, s, adjoint, stop : as for `svd_tiles`.
    found : (batch,); which matrices have their singular values now. The others are left to `svd_tiles`.
    groups, reals : workspace, aligned to a group, of (m + 2) n + 2 m groups, where m is odd or one more, and
        of 9 n + 1 groups of real numbers.
    """
    lanes = lane_count(groups)
    for first in range(0, a.shape[0], lanes):
        if stop[0]:
            return
        count = min(lanes, a.shape[0] - first)
        svdvals_tile(a, s, found, first, count, adjoint, groups, reals)
