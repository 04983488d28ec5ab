"""How CPU kernels divide their workspace: one source for the kernels, which divide it, and for
`gpusvd._cpu.jacobi` and `plan`, which allocate it and know its size without importing numba.

A workspace is two arrays, of numbers and of real numbers, both counted in groups of SIMD lanes. The functions
`*_numbers` and `*_reals` return where the parts of one begin, in order, and last where they end.
"""

GROUP_BYTES = 64  # of a real group of SIMD lanes: a register of AVX-512, and a cache line

# What is kept of column j, its record: entries KEPT j + LENGTH2 and so on of a state.
LENGTH2, SCALE, REST, EXPONENT, KEPT = 0, 1, 2, 3, 4
# What a tile reports of its matrices.
BAD, CONVERGED, SWEEPS, OFF, REPORT = 0, 1, 2, 3, 4

TINY_REPORT = 3  # groups of what `cpu_tiny` reports

BLOCK = 4  # columns that go through the reflectors, or in and out of memory, together
PAIRS = 12  # groups of numbers for a round of meetings
FLAGS = 2  # groups of real numbers for the same
PADDED = 64  # rows from which on their number is odd

# Matrices for straight-line code: as many columns, with vectors, and rows. What has more rows than columns is
# padded with rows of zeros, so that there are two kernels for each number of columns.
TINY_COLUMNS, TINY_ROWS = range(2, 5), 8


def tile_size(m, n, vectors):
    """Groups of numbers and of real numbers that `cpu_tile` works in."""
    return tile_numbers(m, n, vectors)[-1], tile_reals(n)[-1]


def tile_numbers(m, n, vectors):
    """Rows of a column of `stack`, and groups from one to the next; then where `stack` and `columns` begin,
    after `factor`, and where they end.

    The stride is odd: columns a power of two apart share their cache sets.
    """
    rows = 2 * n if vectors else n
    stride = rows | 1
    stack = m * n
    columns = stack + n * stride
    return rows, stride, stack, columns, columns + BLOCK * m


def tile_reals(n):
    """Where `state` and `report` begin, after nine vectors of n groups, and where they end."""
    state = 9 * n
    report = state + KEPT * n
    return state, report, report + REPORT


def rows_size(m, n, lanes, vectors):
    """Groups of numbers and of real numbers that `cpu_rows` works in."""
    return rows_numbers(m, n, lanes, vectors)[-1], rows_reals(n, lanes)[-1]


def rows_numbers(m, n, lanes, vectors):
    """Groups of a column of A, of a column of L, of L over W, and from one of these to the next; then where
    `stack`, `columns` and `pairs` begin, after `factor`, and where they end.

    `stack` has an even number of columns, a column of zeros among them if n is odd.
    """
    groups, half = (m + lanes - 1) // lanes, (n + lanes - 1) // lanes
    rows = 2 * half if vectors else half
    stride = rows | 1
    stack = n * groups
    columns = stack + (n + n % 2) * stride
    pairs = columns + BLOCK * groups
    return groups, half, rows, stride, stack, columns, pairs, pairs + PAIRS


def rows_reals(n, lanes):
    """Groups of a vector with a number a column, the column of zeros included; then where `column_state`,
    `state` and `flags` begin, after nine such vectors, and where they end."""
    vector = (n + lanes - 1) // lanes + 1
    column_state = 9 * vector
    state = column_state + KEPT * vector
    flags = state + 2 * KEPT
    return vector, column_state, state, flags, flags + FLAGS


def tiny_size(rows, n):
    """Groups of numbers and of real numbers that `cpu_tiny` works in."""
    return 2 * rows * n + n * n, n + TINY_REPORT


def values_size(m, n):
    """Groups of numbers and of real numbers that `cpu_values` works in."""
    return values_numbers(m, n)[-1], values_reals(n)[-1]


def values_numbers(m, n):
    """Rows of a column of `factor`; then where `w`, `product`, `row` and `right` begin, after `factor`, and
    where they end.

    Columns a power of two apart share their cache sets: a row of zeros more saves a fifth at n = 64.
    """
    rows = m | 1 if m >= PADDED else m
    w = rows * n
    product = w + rows
    row = product + rows
    right = row + n
    return rows, w, product, row, right, right + n


def values_reals(n):
    """Where `sigma`, `ranks`, `powers` and `report` begin, after the 6 n groups of `qd`, and where they
    end."""
    sigma = 6 * n
    return sigma, sigma + n, sigma + 2 * n, sigma + 3 * n, sigma + 3 * n + 1
