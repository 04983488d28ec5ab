"""One matrix a SIMD lane: the batched SVD for small matrices, from packing to unpacking.

    1. A P = Q R              scaled by columns and pivoted: `qr`
    2. L = Rᴴ = X Σ Wᴴ        one-sided Jacobi: `jacobi`, and `basis` for W
    3. A = (Q W) Σ (P X)ᴴ     in descending order

A tile is as many matrices as a group has lanes. They are packed from any strides into columns of groups,
decomposed in lock step, and unpacked in order; lanes that have converged rotate no more, so nothing about a
matrix depends on its neighbours.

From n = RECOVERED on W is recovered after the last sweep (see `basis`); a tile in which some lane is too ill
conditioned for that is swept again, with W.

Workspace, in groups: `factor` m n (columns of A, then reflectors and R), `stack` n columns of n rows of L
over n rows of W, `columns` four of U, and vectors of n real numbers; see `layout`.
"""

import math

from . import layout
from .basis import recover
from .jacobi import decompose_triangle, length2_of, rank_columns
from .lanes import (
    abs2,
    any_lane,
    conjugate,
    dot,
    fill,
    get,
    inlined,
    jit,
    lane_count,
    load,
    maximum,
    put,
    scale,
    section,
    select,
    spread,
    store,
)
from .layout import BAD, BLOCK, CONVERGED, KEPT, LENGTH2, OFF, REPORT, SCALE, SWEEPS
from .qr import LEAST_EXPONENT, dot_columns, pivoted_qr, reflect, reflect_four, scale_columns, scale_triangle

RECOVERED = 12  # columns from which on W is recovered after the sweeps instead of accumulated in them

tile_numbers, tile_reals = jit(layout.tile_numbers), jit(layout.tile_reals)


@jit
def pack(a, first, count, factor, m, n, adjoint):
    """Read `count` matrices into `factor`, columns of m groups, a block of columns at a time; spare lanes
    repeat the last matrix."""
    for start in range(0, n, BLOCK):
        for lane in range(lane_count(factor)):
            b = first + min(lane, count - 1)
            for i in range(a.shape[1]):
                for j in range(start, min(start + BLOCK, n)):
                    entry = a[b, i, j]
                    put(factor, j * m + i, lane, conjugate(entry) if adjoint else entry)


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
    """The entry, with 0 for -0: a rotation may change the sign of zeros even in lanes that it leaves
    alone."""
    return entry + 0.0


@jit
def unpack_left(factor, m, n, betas, stack, stride, state, ranks, columns, left, first, count, adjoint):
    """Write the columns of Q [W 0; 0 I] to `left`, in descending order of the singular values, a block of
    columns at a time."""
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
                    write_column(columns, c * m, m, rank_of(start + c, n, ranks, lane), out, lane, adjoint)
    if width < left.shape[2]:
        unpack_complement(factor, m, n, betas, columns, left, first, count, adjoint)


@jit
def rank_of(k, n, ranks, lane):
    return int(get(ranks, k, lane)) if k < n else k


@jit
def write_column(columns, c, m, rank, out, lane, adjoint):
    for i in range(m):
        entry = get(columns, c + i, lane)
        out[i, rank] = unsigned_zero(conjugate(entry) if adjoint else entry)


@jit
def write_four(columns, m, n, k, ranks, out, lane, adjoint):
    """`write_column` for columns k to k + 3, row by row: their entries are mostly neighbours in memory."""
    k0, k1 = rank_of(k, n, ranks, lane), rank_of(k + 1, n, ranks, lane)
    k2, k3 = rank_of(k + 2, n, ranks, lane), rank_of(k + 3, n, ranks, lane)
    for i in range(m):
        e0, e1 = get(columns, i, lane), get(columns, m + i, lane)
        e2, e3 = get(columns, 2 * m + i, lane), get(columns, 3 * m + i, lane)
        out[i, k0] = unsigned_zero(conjugate(e0) if adjoint else e0)
        out[i, k1] = unsigned_zero(conjugate(e1) if adjoint else e1)
        out[i, k2] = unsigned_zero(conjugate(e2) if adjoint else e2)
        out[i, k3] = unsigned_zero(conjugate(e3) if adjoint else e3)


@jit
def unpack_complement(factor, m, n, betas, scratch, left, first, count, adjoint):
    """Write the columns of Q from n on to `left`, row by row in the order of memory, since there may be many.

    Column k is e_k - Σ_j v_j w_jk. The scratch holds the w of as many columns as fit, and a row.
    """
    for j in range(n):  # what is not stored of a reflector, zeros above a one, in the place of R
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
            overlap = dot_columns(factor, j * m, factor, i * m, spread(factor, 0.0), 0, m) * beta
            for c in range(block):
                weight = load(weights, j * width + c) - overlap * load(weights, i * width + c)
                store(weights, j * width + c, weight)


@jit
def unpack_right(n, stack, stride, permutation, ranks, right, first, count, adjoint):
    """Write the columns of P X to `right`, in the same order, a block of columns at a time."""
    for start in range(0, n, BLOCK):
        for lane in range(count):
            for j in range(start, min(start + BLOCK, n)):
                rank = int(get(ranks, j, lane))
                for i in range(n):
                    entry = get(stack, j * stride + i, lane)
                    row = int(get(permutation, i, lane))
                    right[first + lane, row, rank] = unsigned_zero(entry if adjoint else conjugate(entry))


@jit
def fill_matrix(out, value):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = value


@inlined
def solve_tile(a, left, s, right, converged, sweeps, off, first, count, adjoint, vectors, numbers, reals):
    """Decompose up to one tile of matrices, `a[first : first + count]`."""
    m, n = a.shape[1], a.shape[2]
    rows, stride, stack_at, columns_at, _ = tile_numbers(m, n, vectors)
    state_at, report_at, _ = tile_reals(n)
    factor, stack = section(numbers, 0, m * n), section(numbers, stack_at, n * stride)
    columns = section(numbers, columns_at, BLOCK * m)
    exponents, permutation, betas = section(reals, 0, n), section(reals, n, n), section(reals, 2 * n, n)
    norms, shifts, keys = section(reals, 3 * n, n), section(reals, 4 * n, n), section(reals, 5 * n, n)
    sigma, powers, ranks = section(reals, 6 * n, n), section(reals, 7 * n, n), section(reals, 8 * n, n)
    state, report = section(reals, state_at, KEPT * n), section(reals, report_at, REPORT)

    # 1. A P = Q R.
    pack(a, first, count, factor, m, n, adjoint)
    bad, highest = scale_columns(factor, m, n, exponents)
    pivoted_qr(factor, m, n, exponents, permutation, betas, norms, shifts, keys)
    heights = keys  # keys are no longer needed: their storage is reused
    scale_triangle(factor, m, n, exponents, heights)

    # 2. L = X Σ Wᴴ, with W accumulated or recovered; where that fails, again with W accumulated.
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

    # 3. The factors of A, in descending order, and what happened.
    rank_columns(sigma, powers, ranks, n)
    for j in range(n):
        store(sigma, j, scale(load(sigma, j), maximum(load(powers, j) + highest, LEAST_EXPONENT)))
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
    store(report, BAD, select(bad, 1.0, fill(report, 0.0)))
    store(report, CONVERGED, select(done, 1.0, fill(report, 0.0)))
    store(report, SWEEPS, taken)
    store(report, OFF, left_over)
    for lane in range(count):
        b = first + lane
        for j in range(n):
            s[b, int(get(ranks, j, lane))] = get(sigma, j, lane)
        sweeps[b] = int(get(report, SWEEPS, lane))
        off[b] = get(report, OFF, lane)
        converged[b] = get(report, CONVERGED, lane) > 0.0 and s[b, 0] < math.inf
        if get(report, BAD, lane) > 0.0:
            converged[b], sweeps[b], off[b] = False, 0, math.nan
            for j in range(n):
                s[b, j] = math.nan
            if vectors:
                fill_matrix(left[b], math.nan)
                fill_matrix(right[b], math.nan)


def svd_tiles(a, left, s, right, converged, sweeps, off, adjoint, vectors, stop, numbers, reals):
    """Thin or full SVD of a batch of matrices with m >= n >= 1, a tile at a time.

    a : (batch, m, n), any strides. For wide matrices their transposes, with `adjoint` true: then the
        conjugates are decomposed.
    left, s, right : (batch, m, n or m), (batch, n), (batch, n, n); `left` holds U and `right` conj(V), or
        for `adjoint` conj(U) and V; with `vectors` false neither is touched. Columns in descending order of
        s.
    converged, sweeps, off : (batch,); what happened to each matrix.
    stop : one number; once it is not zero, what is left of the batch stays undone.
    numbers, reals : workspace, aligned to a group, of as many groups as `layout.tile_size` says.
    """
    lanes = lane_count(numbers)
    for first in range(0, a.shape[0], lanes):
        if stop[0]:
            return
        count = min(lanes, a.shape[0] - first)
        solve_tile(a, left, s, right, converged, sweeps, off, first, count, adjoint, vectors, numbers, reals)
