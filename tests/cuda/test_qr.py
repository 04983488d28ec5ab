"""The pivoted QR of several CUDA threads a matrix, in the emulator."""

import math

import numpy as np
import pytest

from gpusvd.kernels import cuda_qr, cuda_warp
from gpusvd.kernels.cuda_buffers import BAD, BETAS, HIGHEST, PERMUTATION, POWERS
from tests.support import gallery, measures, reference
from tests.support.cuda_phases import exponents, factor, in_global_memory, reflectors

SHAPES = [(1, 1), (2, 1), (5, 5), (6, 6), (9, 5), (17, 12), (40, 3)]
by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


def gaussian(rng, batch, m, n, dtype):
    return np.stack([gallery.gaussian(rng, m, n, dtype).a for _ in range(batch)])


def assert_factored(a, factored):
    """A P = Q R for every matrix, column by column relative to the column, but for what is below the range
    beside the exponents of L; Q unitary, L lower triangular."""
    batch, m, n = a.shape
    eps, info = measures.eps(a.real.dtype), np.finfo(a.dtype)
    for b in range(batch):
        Q = reflectors(factored, b, m)
        measures.assert_below(np.atleast_1d(measures.loss_of_orthogonality(Q)), 10 * m * eps)
        permutation = factored.reals[b, PERMUTATION].astype(int)
        assert sorted(permutation) == list(range(n))
        L, powers = factored.triangle[b].T, exponents(factored, b)
        assert (np.triu(L, 1) == 0).all()
        column, shift = reference.normalised(a[b][:, permutation].astype(Q.dtype), np.zeros(n, np.intc))
        R = reference.scaled(L.conj().T.astype(Q.dtype), powers[:, None] - shift)  # of normalised columns
        tiny = reference.scaled(np.ones(n), powers.max() + info.minexp - info.nmant - shift)
        measures.assert_below(measures.norm((Q @ R - column).T[..., None]), 10 * m * (eps + tiny))


@by_dtype
@by_shape
def test_factors(dtype, shape):
    rng = np.random.default_rng(shape)
    a = gaussian(rng, 3, *shape, dtype)
    factored = factor(a)
    assert_factored(a, factored)
    assert (factored.header[:, BAD] == 0).all()


@by_dtype
@pytest.mark.parametrize("shape", [(6, 6), (9, 4)])
def test_hard_matrices(dtype, shape):
    a = gallery.batch(*shape, dtype)
    assert_factored(a, factor(a))


def test_large_and_tall():
    rng = np.random.default_rng(5)
    a = gaussian(rng, 1, 70, 33, np.dtype(np.float32))
    assert_factored(a, factor(a))


@by_dtype
def test_pivots_and_triangle_are_those_of_the_reference(dtype):
    rng = np.random.default_rng(7)
    a = gaussian(rng, 4, 9, 7, dtype) * 4.0 ** rng.permuted(np.tile(np.arange(7), (4, 1)), axis=1)[:, None]
    a = a.astype(dtype)
    factored = factor(a)
    for b, matrix in enumerate(a):
        columns, shift = reference.normalised(matrix, np.zeros(7, np.intc))
        _, _, R, shift, permutation = reference.pivoted_qr(columns, shift)
        assert (factored.reals[b, PERMUTATION] == permutation).all()
        expected = reference.scaled(R[:7], shift - exponents(factored, b)[:, None]).conj().T
        measures.assert_below(np.abs(factored.triangle[b].T - expected), 40 * measures.eps(dtype))


def test_first_of_equal_columns_comes_first():
    a = np.stack([np.zeros((5, 5)), np.eye(5), np.ones((5, 5))])
    reals = factor(a).reals
    assert (reals[:2, PERMUTATION] == np.arange(5)).all()
    assert reals[2, PERMUTATION, 0] == 0
    assert (reals[0, BETAS] == 0).all()


@by_dtype
def test_exponents_of_columns(dtype):
    """One exponent for all columns of L but those far below the largest, and none that a zero row needs."""
    a = np.zeros((1, 6, 6), dtype)
    np.fill_diagonal(a[0], [1, 2.0**-3, 2.0**-20, 2.0**-21, 4, 0])
    factored = factor(a)
    assert factored.header[0, HIGHEST] == 3
    assert factored.reals[0, PERMUTATION].tolist() == [4, 0, 1, 2, 3, 5]
    assert factored.reals[0, POWERS].tolist() == [0, 0, 0, -22, -23, 0]


@by_dtype
def test_whole_range_of_exponents(dtype):
    rng = np.random.default_rng(3)
    a = gaussian(rng, 3, 7, 6, dtype)
    a = np.stack([gallery.scaled(x, gallery.exponents(rng, dtype, 6)) for x in a])
    assert_factored(a, factor(a))


@by_dtype
def test_adjoint_of_wide_matrices(dtype):
    rng = np.random.default_rng(11)
    a = gaussian(rng, 3, 5, 8, dtype)
    turned = factor(a.swapaxes(1, 2), adjoint=True)
    expected = factor(np.ascontiguousarray(a.conj().swapaxes(1, 2)))
    for got, want in zip(turned, expected, strict=True):
        assert np.array_equal(got, want, equal_nan=True)


@by_dtype
def test_strides(dtype):
    rng = np.random.default_rng(13)
    whole = gaussian(rng, 4, 12, 7, dtype)
    for a in (whole[::2, ::-2, 1::2], whole[::-3, 2:7, 3:], whole.transpose(0, 2, 1)[:2, :, ::3]):
        for got, want in zip(factor(a), factor(np.ascontiguousarray(a)), strict=True):
            assert np.array_equal(got, want, equal_nan=True)


@by_dtype
def test_matrix_in_global_memory(dtype):
    """The same threads do the same with a matrix that does not fit shared memory, to the last bit."""
    rng = np.random.default_rng(17)
    a = gaussian(rng, 2, 13, 9, dtype)
    shape = cuda_qr.qr_shape(13, 9, dtype.name)
    constants = shape.constants | {"groups": 32 // shape.constants["lanes"]}
    shape = shape._replace(constants=constants, threads=32, matrices=1)
    factored = factor(a, shape=shape)
    apart = factor(a, shape=in_global_memory(shape, 13, 9, dtype))
    assert_factored(a, apart)
    for name in ("triangle", "reals", "header"):
        assert np.array_equal(getattr(factored, name), getattr(apart, name), equal_nan=True)
    assert np.array_equal(reflectors(factored, 1, 13), reflectors(apart, 1, 13))


@by_dtype
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays_with_its_matrix(dtype, value):
    rng = np.random.default_rng(19)
    a = gaussian(rng, 5, 6, 5, dtype)
    expected = factor(a)
    a[2, 3, 4] = value
    factored = factor(a)
    assert factored.header[:, BAD].tolist() == [0, 0, 1, 0, 0]
    assert (factored.triangle[2] == 0).all()
    others = [0, 1, 3, 4]
    for got, want in zip(factored, expected, strict=True):
        assert np.array_equal(got[others], want[others], equal_nan=True)


@by_dtype
def test_a_tiny_column_stays_with_its_matrix(dtype):
    """Its norm is recomputed by the whole warp, in which others have a matrix of their own."""
    a = gaussian(np.random.default_rng(31), 4, 9, 4, dtype)
    expected = factor(a)
    a[1] = np.eye(9, 4) * np.finfo(dtype).tiny ** 0.5
    a[1, 0] = 1
    others = [0, 2, 3]
    for got, want in zip(factor(a), expected, strict=True):
        assert np.array_equal(got[others], want[others], equal_nan=True)


@by_dtype
def test_place_in_the_batch_does_not_matter(dtype):
    rng = np.random.default_rng(23)
    a = gaussian(rng, 5, 6, 4, dtype)
    order = rng.permutation(5)
    for got, want in zip(factor(a[order]), factor(a), strict=True):
        assert np.array_equal(got, want[order], equal_nan=True)
    for got, want in zip(factor(a[:1]), factor(a), strict=True):
        assert np.array_equal(got, want[:1], equal_nan=True)


@by_dtype
def test_values_only(dtype):
    rng = np.random.default_rng(29)
    a = gaussian(rng, 3, 9, 6, dtype)
    factored, expected = factor(a, vectors=False), factor(a)
    assert np.isnan(factored.factor).all()
    for got, want in zip(factored[1:], expected[1:], strict=True):
        assert np.array_equal(got, want, equal_nan=True)


@pytest.mark.parametrize("kind", cuda_warp.SIZES)
def test_shapes_fit_every_gpu(kind):
    for m, n in [(n, n) for n in range(1, 513)] + [(1000, 3), (10**6, 4), (3000, 512), (256, 16), (700, 100)]:
        constants, threads, matrices, shared, registers = cuda_qr.qr_shape(m, n, kind)
        assert threads == matrices * constants["lanes"] * constants["groups"]
        assert threads % 32 == 0
        assert threads <= 512
        assert shared <= 99 * 1024
        assert threads * registers <= 2**16
