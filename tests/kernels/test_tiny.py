"""Matrices of two to four columns in straight-line code: what is hard for it, what it leaves out, and that
nothing about a matrix depends on its neighbours."""

from functools import cache

import mpmath
import numpy as np
import pytest

import gpusvd
from gpusvd._cpu import compile as _compile
from tests.support import gallery, measures

SHAPES = [(2, 2), (3, 3), (4, 4), (5, 3)]
KINDS = ["float32", "float64"]


@cache
def hard(m, n, kind):
    """Exact and nearly exact ranks, graded in every way, from subnormal to huge: a batch of each."""
    rng, info, eps = np.random.default_rng(n), np.finfo(kind), float(np.finfo(kind).eps)
    x = rng.standard_normal((24, m, n))
    q = np.linalg.qr(x)[0]
    lowest = info.minexp - info.nmant
    integers = rng.integers(-3, 4, (24, m, 1)) * rng.integers(-3, 4, (24, 1, n))
    families = [0 * x, np.ones_like(x), q, q * (1 + eps * rng.integers(0, 4, (24, 1, n))), integers]
    families += [np.repeat(x[:, :, :1], n, 2), np.repeat(x[:, :1], m, 1), x[:, :, np.arange(n) // 2]]
    families += [x[:, :, :1] * x[:, :1], x[:, :, :1] * x[:, :1] + eps * x[::-1]]
    families += [x * (rng.random((24, 1, n)) < 0.5), x * (rng.random((24, m, 1)) < 0.5), np.triu(x)]
    families += [np.tile(np.eye(m, n) + np.eye(m, n, k=1), (24, 1, 1))]
    for size in (1e-3, 1e-6, eps, 1e-12, 1e-30):
        columns, rows = np.geomspace(1, size, n), np.geomspace(1, size, m)[:, None]
        families += [(q * columns) @ np.linalg.qr(x[::-1, :n])[0], x * columns, x * rows, x * columns * rows]
    families += [gallery.scaled(x, info.minexp + 1), gallery.scaled(np.round(8 * x), lowest)]
    for shape in ((24, m, n), (24, 1, n), (24, m, 1), (24, 1, 1)):
        families.append(gallery.scaled(x, rng.integers(lowest, info.maxexp - 3, shape)))
    with np.errstate(over="ignore", under="ignore"):
        return np.concatenate([family.astype(kind) for family in families])


def solved(a):
    return gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_hard_matrices(m, n, kind):
    a = hard(m, n, kind)
    U, S, Vh, info = solved(a)
    measures.assert_svd(a, U, S, Vh)
    assert info.converged.all()
    assert info.sweeps.max() <= 12
    assert (info.off < 2 * n * measures.eps(kind)).all()
    zero = ~a.any(axis=(1, 2))
    assert zero.any()
    assert not S[zero].any()
    assert not any(np.signbit(x[x == 0].real).any() for x in (U, S, Vh))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_no_matrix_depends_on_its_neighbours(m, n, kind):
    """Whatever they are, in full tiles and in the last one, packed together or number by number."""
    a = hard(m, n, kind).copy()
    a[7, 0, 0], a[100, n - 1, n - 1] = np.nan, -np.inf
    whole = solved(a)
    order = np.random.default_rng(0).permutation(len(a))
    spaced = np.zeros((len(a), m + 1, n + 1), kind)[:, 1:, :n]
    spaced[...] = a[order]
    for part, chosen in (
        (a[order], order),
        (spaced, order),
        (a[3:5], slice(3, 5)),
        (a[::-1], slice(None, None, -1)),
    ):
        result = solved(part)
        for x, y in zip((*result[:3], *result.info), (*whole[:3], *whole.info), strict=True):
            np.testing.assert_array_equal(x, y[chosen])
    bad = np.isin(np.arange(len(a)), (7, 100))
    for x in whole[:3]:
        np.testing.assert_array_equal(np.isnan(x).any(axis=tuple(range(1, x.ndim))), bad)


def test_what_is_out_of_range_goes_to_the_general_kernel():
    a = np.random.default_rng(0).standard_normal((40, 3, 3)).astype(np.float32)
    a[5] *= np.float32(2.0) ** np.array([60, 0, -60], np.float32)
    a[17, 1, 1] = np.nan
    a[39] = gallery.scaled(a[39], -140)
    result = solved(a)
    name, dtype = "svd_tiny_3x3", np.dtype(np.float32)
    flagged = _Recorded(_compile.compiled(name, dtype), a)
    assert np.flatnonzero(~flagged.converged).tolist() == [5, 17, 39]
    alone = _Recorded(_compile.compiled("svd_tiles", dtype), a[[5, 17, 39]], True)
    np.testing.assert_array_equal(result.S[[5, 17, 39]], alone.s)
    np.testing.assert_array_equal(result.info.converged, np.arange(40) != 17)


class _Recorded:
    """What a kernel of the CPU makes of matrices of 3 x 3."""

    def __init__(self, kernel, a, *flags):
        count = len(a)
        self.s, self.converged = np.empty((count, 3), a.dtype), np.empty(count, np.bool_)
        sweeps, off = np.empty(count, np.int32), np.empty(count, a.dtype)
        left, right = np.empty((2, count, 3, 3), a.dtype)
        work, reals = np.zeros(100 * 16, a.dtype), np.zeros(100 * 16, a.dtype)
        stop = np.zeros(1, np.uint8)
        kernel(a, left, self.s, right, self.converged, sweeps, off, False, *flags, stop, work, reals)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_relative_accuracy(m, n, kind):
    """Every singular value to a few eps cond(B), A = B D with B of unit columns, in its range and beyond."""
    rng = np.random.default_rng(n)
    bits = np.repeat([4, 20, 60] if kind == "float32" else [4, 40, 300], 8)
    shifts = np.rint(rng.uniform(-1, 0, (24, 1, n)) * bits[:, None, None]).astype(int)
    a = gallery.scaled(rng.standard_normal((24, m, n)), shifts).astype(kind)
    with mpmath.workdps(150):
        for matrix, S in zip(a, solved(a).S, strict=True):
            exact, condition = exact_values(matrix)
            lost = max(abs(mpmath.mpf(float(x)) / y - 1) for x, y in zip(S, exact, strict=True))
            assert lost <= 2 * n * measures.eps(kind) * condition


def exact_values(a):
    """The singular values in descending order, and the condition of the matrix with unit columns."""
    exact = mpmath.matrix(a.astype(float).tolist())
    unit = exact.copy()
    for j in range(a.shape[1]):
        length = mpmath.norm(exact[:, j])
        for i in range(a.shape[0]):
            unit[i, j] /= length
    values = sorted(mpmath.svd_r(unit, compute_uv=False))
    return sorted(mpmath.svd_r(exact, compute_uv=False), reverse=True), values[-1] / values[0]


@pytest.mark.parametrize(("m", "n", "kind"), [(3, 3, "float32"), (2, 2, "float64"), (5, 3, "float32")])
def test_values_alone_and_wide_matrices(m, n, kind):
    a = hard(m, n, kind)
    U, S, Vh, _ = solved(a)
    values = gpusvd.svdvals(a, driver="jacobi")
    measures.assert_order(values)
    few = 6 * measures.eps(kind) * S[:, :1] + np.finfo(kind).smallest_subnormal
    measures.assert_below(np.abs(values - S), few)
    if m > n:  # of wide matrices the transposes are decomposed
        wide = solved(a.swapaxes(1, 2))
        np.testing.assert_array_equal(wide.S, S)
        np.testing.assert_array_equal(wide.U, Vh.swapaxes(1, 2))
        np.testing.assert_array_equal(wide.Vh, U.swapaxes(1, 2))
