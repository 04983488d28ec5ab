"""The kernels on every matrix of the gallery, held to mathematics and to the reference implementation."""

from functools import cache

import numpy as np
import pytest

import gpusvd
from tests.support import gallery, measures, reference

SHAPES = [*gallery.SQUARE, *gallery.TALL, *gallery.WIDE]
NAMES = list(gallery.MATRICES)


def shape_id(value):
    return "x".join(map(str, value))


by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=shape_id)


@cache
def decomposed(shape, dtype):
    """All matrices of the gallery of a shape in one batch, decomposed with thin factors."""
    a = gallery.batch(*shape, dtype)
    a.flags.writeable = False
    return a, gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")


@by_dtype
@by_shape
def test_thin_factors(dtype, shape):
    a, (U, S, Vh, _) = decomposed(shape, dtype)
    assert U.shape[-1] == Vh.shape[-2] == min(shape)
    measures.assert_svd(a, U, S, Vh)


@by_dtype
@pytest.mark.parametrize("shape", [*gallery.TALL, *gallery.WIDE], ids=shape_id)
def test_full_factors(dtype, shape):
    a, (_, S, _, _) = decomposed(shape, dtype)
    full = gpusvd.svd(a, driver="jacobi")
    assert (full.U.shape[-1], full.Vh.shape[-2]) == shape
    measures.assert_svd(a, *full)
    assert_same_values(full.S, S)


@by_dtype
@by_shape
def test_values_only(dtype, shape):
    a, (_, S, _, _) = decomposed(shape, dtype)
    values = gpusvd.svdvals(a, driver="jacobi")
    measures.assert_order(values)
    assert_same_values(values, S, max(4, *shape))  # they may come from a bidiagonal form


def assert_same_values(values, expected, units=4):
    """Equal to so many eps of the largest value of the matrix."""
    inf = np.isinf(expected)
    np.testing.assert_array_equal(np.isinf(values), inf)
    top = np.minimum(expected[:, :1], np.finfo(expected.dtype).max)
    error = np.abs(np.where(inf, 0, values) - np.where(inf, 0, expected))
    allowed = units * measures.eps(expected.dtype) * top + np.finfo(expected.dtype).smallest_subnormal
    measures.assert_below(error, allowed)


@by_dtype
@by_shape
def test_known_singular_values(dtype, shape):
    _, result = decomposed(shape, dtype)
    for name, S in zip(NAMES, result.S, strict=True):
        exact = gallery.build(name, *shape, dtype).s
        if exact is not None:
            measures.assert_singular_values(S, exact, 10 * max(shape))


@by_dtype
@by_shape
def test_info(dtype, shape):
    """Cosines of a few eps in few sweeps, clusters in some more; what overflows is not called converged."""
    _, (_, S, _, info) = decomposed(shape, dtype)
    np.testing.assert_array_equal(info.converged, np.isfinite(S[:, 0]))
    assert info.sweeps.min() >= 1
    most = 10 + min(shape) // 8
    slow = [(name, int(count)) for name, count in zip(NAMES, info.sweeps, strict=True) if count > most]
    assert not slow
    measures.assert_below(info.off, 10 * max(shape) * measures.eps(dtype))


@by_dtype
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (8, 8), (17, 17), (9, 8), (4, 17)], ids=shape_id)
def test_against_the_reference(dtype, shape):
    a, (_, S, _, _) = decomposed(shape, dtype)
    for name, matrix, values in zip(NAMES, a, S, strict=True):
        expected = reference.svd(matrix)
        top = min(float(expected.S[0]), float(np.finfo(dtype).max))
        unit = measures.eps(dtype) * top + float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(values, expected.S, rtol=0, atol=4 * max(shape) * unit, err_msg=name)


@by_dtype
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (9, 4), (4, 9), (33, 33), (50, 49)], ids=shape_id)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_give_nan(dtype, shape, bad):
    a = np.repeat(gallery.build("gaussian", *shape, dtype).a[None], 5, axis=0)
    a[2, -1, 0] = bad
    if dtype.kind == "c":
        a[3, 0, -1] = complex(1, bad)
    else:
        a[3] = bad
    hit = np.array([False, False, True, True, False])
    for full_matrices in (True, False):
        U, S, Vh, info = gpusvd.svd_ex(a, full_matrices, driver="jacobi")
        for factor in (U, S, Vh):
            assert np.isnan(factor[hit]).all()
        measures.assert_svd(a[~hit], U[~hit], S[~hit], Vh[~hit])
        np.testing.assert_array_equal(info.converged, ~hit)
        np.testing.assert_array_equal(info.sweeps[hit], 0)
        np.testing.assert_array_equal(np.isnan(info.off), hit)
    np.testing.assert_array_equal(np.isnan(gpusvd.svdvals(a, driver="jacobi")).all(axis=-1), hit)


@by_dtype
@pytest.mark.parametrize("n", [1, 2, 5, 16, 33, 50])
def test_hermitian_reads_the_lower_triangle(dtype, n):
    a = gallery.batch(n, n, dtype)
    lower = np.tril(a, -1)
    hermitian = lower + lower.conj().swapaxes(1, 2) + np.eye(n) * a.diagonal(0, 1, 2).real[:, None]
    hermitian = hermitian.astype(dtype)
    a[:, *np.triu_indices(n, 1)] = np.nan
    measures.assert_svd(hermitian, *gpusvd.svd(a, hermitian=True, driver="jacobi"))
    S = gpusvd.svdvals(hermitian, driver="jacobi")
    np.testing.assert_array_equal(gpusvd.svdvals(a, hermitian=True, driver="jacobi"), S)


@by_dtype
def test_remainders_of_every_size(dtype):
    """Columns that differ by anything down to the smallest number: the second reflector is still unitary."""
    info = np.finfo(dtype)
    exponent = np.arange(info.minexp - info.nmant, 1, dtype=np.intc)
    t = gallery.scaled(np.full(exponent.size, 1 - 0.5j if dtype.kind == "c" else 1, dtype), exponent)
    a = np.zeros((t.size, 3, 2), dtype)
    a[:, 0] = 1
    a[:, 1, 0] = t
    a[:, 2, 1] = -1.5 * t
    measures.assert_svd(a, *gpusvd.svd(a, driver="jacobi"))


@by_dtype
def test_exact_zeros(dtype):
    """Exactly dependent integer columns leave singular values of a few eps, zero columns exact zeros."""
    S = gpusvd.svdvals(np.ones((10, 10), dtype), driver="jacobi")
    assert S[0] == pytest.approx(10, rel=10 * measures.eps(dtype))
    assert S[1:].max() <= 10 * measures.eps(dtype)
    a = gallery.build("gaussian", 7, 7, dtype).a.copy()
    a[:, [0, 3, 6]] = 0
    S = gpusvd.svdvals(a, driver="jacobi")
    np.testing.assert_array_equal(S[4:], 0)
    assert S[3] > 0
