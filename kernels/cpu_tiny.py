"""One matrix of at most four columns a SIMD lane, in straight-line code: `tiny` from packing to unpacking.

Matrices that it flags come out as not converged, for `cpu_tile` to decompose. Where entries follow each other
in memory they come and go in transposes of four numbers, otherwise number by number.

Workspace, in groups: the matrix, U, and V; of real numbers S and what happened.
"""

from .lanes import (
    conjugate,
    fill,
    get,
    lane_count,
    load,
    put,
    registers,
    select,
    spread,
    store,
    transpose_in,
    transpose_out,
    unsigned_zero,
)
from .tiny import decompose

ODD, SWEEPS, OFF = 0, 1, 2  # what is reported of a matrix, after its singular values


def place(i, j, height, width, by_columns):
    """Where entry (i, j) of the matrices of a tile lies."""
    return j * height + i if by_columns else i * width + j


def is_dense(x, by_columns):
    """Whether the entries of each matrix follow each other, in the order that is given."""
    height, width, step = x.shape[1], x.shape[2], x.itemsize
    if by_columns:
        return x.strides[1] == step and x.strides[2] == height * step
    return x.strides[2] == step and x.strides[1] == width * step


def pack(x, first, count, numbers, height, width, parts, by_columns):
    """Read `count` matrices, each to its lane; spare lanes repeat the last one."""
    rows, lanes = x.shape[1], lane_count(numbers)
    line, lines = (rows, width) if by_columns else (rows * width, 1)
    if count == lanes and parts * line >= 4 and is_dense(x, by_columns):
        for k in range(lines):
            for e in range(0, parts * line, 4):
                e = min(e, parts * line - 4)
                transpose_in(x, first, parts * k * line + e, numbers, parts * k * height + e)
    else:
        for lane in range(lanes):
            b = first + min(lane, count - 1)
            for i in range(rows):
                for j in range(width):
                    put(numbers, place(i, j, height, width, by_columns), lane, x[b, i, j])


def unpack(x, first, count, numbers, start, height, width, parts, by_columns):
    """The inverse of `pack`, from group `start` on."""
    rows, lanes = x.shape[1], lane_count(numbers)
    line, lines = (rows, width) if by_columns else (rows * width, 1)
    if count == lanes and parts * line >= 4 and is_dense(x, by_columns):
        for k in range(lines):
            for e in range(0, parts * line, 4):
                e = min(e, parts * line - 4)
                transpose_out(numbers, parts * (start + k * height) + e, x, first, parts * k * line + e)
    else:
        for lane in range(count):
            for i in range(rows):
                for j in range(width):
                    x[first + lane, i, j] = get(numbers, start + place(i, j, height, width, by_columns), lane)


def solve_tile(numbers, reals, m, n, vectors, parts, adjoint):
    """Decompose the matrices of a tile."""
    nothing, zero, size = fill(reals, 0.0), spread(numbers, 0.0), fill(reals, n)
    a, u = registers(m * n, zero), registers(m * n, zero)
    s, x = registers(n, nothing), registers(n * n, zero)
    if adjoint:
        for i in range(m):
            for j in range(n):
                store(a, i * n + j, conjugate(load(numbers, j * m + i)))
    else:
        for k in range(m * n):
            store(a, k, load(numbers, k))
    odd, count, left = decompose(a, u, s, x, m, n, n, vectors, parts, nothing, zero, size)
    if vectors:
        if adjoint:
            for i in range(m):
                for k in range(n):
                    store(numbers, m * n + k * m + i, unsigned_zero(conjugate(load(u, i * n + k))))
            for i in range(n):
                for k in range(n):
                    store(numbers, 2 * m * n + i * n + k, unsigned_zero(load(x, k * n + i)))
        else:
            for k in range(m * n):
                store(numbers, m * n + k, unsigned_zero(load(u, k)))
            for k in range(n * n):
                store(numbers, 2 * m * n + k, unsigned_zero(conjugate(load(x, k))))
    for k in range(n):
        store(reals, k, load(s, k))
    store(reals, n + ODD, select(odd, nothing + 1.0, 0.0))
    store(reals, n + SWEEPS, count)
    store(reals, n + OFF, left)


def svd_tiny(
    a, left, s, right, converged, sweeps, off, adjoint, stop, numbers, reals, rows, n, vectors, parts
):
    """Thin SVD of a batch of matrices with rows >= m >= n, a tile at a time: as `cpu_tile.svd_tiles`.

    rows, n, vectors, parts : constants; parts is 2 for complex numbers
    """
    lanes = lane_count(numbers)
    if a.shape[1] < rows:
        for k in range(rows * n):
            store(numbers, k, spread(numbers, 0.0))
    for first in range(0, a.shape[0], lanes):
        if stop[0]:
            return
        count = min(lanes, a.shape[0] - first)
        pack(a, first, count, numbers, rows, n, parts, adjoint)
        solve_tile(numbers, reals, rows, n, vectors, parts, adjoint)
        if vectors:
            unpack(left, first, count, numbers, rows * n, rows, n, parts, adjoint)
            unpack(right, first, count, numbers, 2 * rows * n, n, n, parts, not adjoint)
        for lane in range(count):
            b = first + lane
            for k in range(n):
                s[b, k] = get(reals, k, lane)
            converged[b] = get(reals, n + ODD, lane) == 0.0
            sweeps[b] = int(get(reals, n + SWEEPS, lane))
            off[b] = get(reals, n + OFF, lane)
