"""Jacobi on blocks of columns in global memory, in the emulator, with narrow blocks so that there are
several."""

import functools
import math

import numpy as np
import pytest

import gpusvd
from gpusvd.kernels import cuda_blocked, cuda_warp
from gpusvd.kernels.cuda_buffers import BAD, CONVERGED, OFF, POWERS, SIGMA, SWEEPS
from gpusvd.kernels.qr import LOWEST
from tests.support import gallery, measures, reference
from tests.support.cuda_phases import Factored, assemble, factor, run

WIDTH = 4
by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)


def orthogonalise(factored, vectors=True, width=WIDTH):
    """Phase 2; the basis."""
    triangle = factored.triangle
    batch, n, _ = triangle.shape
    kind = triangle.dtype.name
    basis = np.full_like(triangle, np.nan) if vectors else np.zeros((1, 1, 1), triangle.dtype)
    shape = cuda_blocked.blocked_shape(n, kind, vectors, width)
    arguments = triangle, basis, factored.reals, factored.header
    run(cuda_blocked.orthogonalise_blocks, shape, kind, "CCCC", arguments, batch)
    return basis


def gaussian(seed, batch, n, dtype):
    rng = np.random.default_rng([seed, n])
    return np.stack([gallery.gaussian(rng, n, n, dtype).a for _ in range(batch)])


def triangles(L):
    """Buffers as phase 1 would leave them with these matrices for L."""
    factored = factor(np.zeros_like(L))
    factored.triangle[...] = L.swapaxes(1, 2)
    factored.reals[:, POWERS] = 0
    return factored


def copied(factored):
    return Factored(*(array.copy() for array in factored))


def assert_orthogonalised(before, after, basis):
    """L = X Σ Wᴴ of every matrix, columns of unit length or zero."""
    n = basis.shape[1]
    bound = 20 * n * measures.eps(basis.dtype)
    for b in range(len(basis)):
        X, W, L = after.triangle[b].T, basis[b].T, before.triangle[b].T.astype(complex)
        nonzero = after.reals[b, POWERS] > LOWEST
        assert (X[:, ~nonzero] == 0).all()
        measures.assert_below(np.atleast_1d(measures.loss_of_orthogonality(X[:, nonzero])), bound)
        measures.assert_below(np.atleast_1d(measures.loss_of_orthogonality(W)), bound)
        power, sigma = after.reals[b, POWERS], after.reals[b, SIGMA].astype(float)
        assert ((sigma >= 0.5) & (sigma < 1) | ~nonzero & (sigma == 0)).all()
        values = np.ldexp(sigma, np.where(nonzero, power, 0).astype(np.intc))
        L = reference.scaled(L, before.reals[b, POWERS].astype(np.intc))
        length = measures.norm(L)
        residual = measures.norm(L - X * values @ W.conj().T.astype(complex))
        measures.assert_below(np.atleast_1d(residual), bound * length)
        assert after.header[b, CONVERGED] == 1


@by_dtype
@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 13])
def test_any_number_of_columns(dtype, n):
    """One pair of blocks and several, full and not."""
    a = gaussian(1, 1, n, dtype)
    factored = factor(a)
    before = copied(factored)
    basis = orthogonalise(factored)
    assert_orthogonalised(before, factored, basis)
    info = gpusvd.svd_ex(a, driver="jacobi").info
    assert abs(int(factored.header[0, SWEEPS]) - int(info.sweeps[0])) <= 1
    assert 0 <= factored.header[0, OFF] <= math.sqrt(n) * measures.eps(dtype)


def test_block_of_several_warps():
    factored = factor(gaussian(2, 1, 14, np.dtype(np.float32)))
    before = copied(factored)
    basis = orthogonalise(factored, width=8)
    assert cuda_blocked.blocked_shape(14, "float32", width=8).threads == 64
    assert_orthogonalised(before, factored, basis)


@by_dtype
def test_hard_matrices(dtype):
    """A part of the gallery for every dtype, all of it for all together; by all phases, against the CPU."""
    a = gallery.batch(4, 4, dtype)[gallery.DTYPES.index(dtype) :: 4]
    factored = factor(a)
    basis = orthogonalise(factored, width=WIDTH)
    left, right = np.empty_like(a), np.empty_like(a)
    s, converged, _, _ = assemble(factored, basis, left, right)
    measures.assert_svd(a, left, s, right.swapaxes(1, 2))
    expected = gpusvd.svd_ex(a, driver="jacobi")
    assert np.array_equal(converged, expected.info.converged)
    largest = np.finfo(dtype).max
    measures.assert_singular_values(np.minimum(s, largest), np.minimum(expected.S, largest), 20)


@by_dtype
def test_relative_accuracy(dtype):
    """Columns scaled by anything leave the smallest singular values their digits."""
    n = 9
    rng = np.random.default_rng(3)
    columns = gallery.orthonormal(rng, n, n, dtype) + gallery.orthonormal(rng, n, n, dtype) / 4
    exponents = np.linspace(np.finfo(dtype).minexp // 2, np.finfo(dtype).maxexp // 2, n).astype(int)
    a = gallery.scaled(columns, rng.permutation(exponents)).astype(dtype)[None]
    factored = factor(a)
    orthogonalise(factored, vectors=False)
    s = assemble(factored, None, None, None)[0]
    expected = gpusvd.svdvals(a, driver="jacobi")
    measures.assert_below(np.abs(s / expected - 1).ravel(), 100 * measures.eps(dtype))


@by_dtype
def test_column_that_loses_its_digits(dtype):
    """Columns parallel but for eps, and a tiny one along a large one: they are renewed, and met again."""
    n, eps = 9, measures.eps(dtype)
    rng = np.random.default_rng(4)
    L = np.tril(np.ones((n, n))) * 2.0 ** -np.arange(n) + eps * rng.standard_normal((n, n))
    L[:, 5] = L[:, 0] * eps
    L[:, 6] = L[:, 1] * eps**3
    factored = triangles(L.astype(dtype)[None])
    before = copied(factored)
    basis = orthogonalise(factored)
    assert_orthogonalised(before, factored, basis)


@by_dtype
def test_values_only(dtype):
    factored = factor(gaussian(5, 1, 6, dtype))
    again = copied(factored)
    orthogonalise(factored)
    orthogonalise(again, vectors=False)
    for name in ("triangle", "reals", "header"):
        assert np.array_equal(getattr(factored, name), getattr(again, name))


def test_orthogonal_columns_are_left_alone():
    factored = triangles((np.eye(9)[::-1] * np.where(np.arange(9) == 4, 0, 0.5))[None])
    expected = np.sign(factored.triangle[0])
    basis = orthogonalise(factored)
    assert factored.header[0, SWEEPS] == 1
    assert factored.header[0, OFF] == 0
    assert np.array_equal(factored.triangle[0], expected)
    assert np.array_equal(basis[0], np.eye(9))


def test_what_is_not_finite_is_left_alone():
    a = gaussian(6, 3, 5, np.dtype(np.float32))
    expected = factor(a)
    a[1, 2, 3] = math.nan
    factored = factor(a)
    basis, others = orthogonalise(factored), orthogonalise(expected)
    assert factored.header[:, BAD].tolist() == [0, 1, 0]
    assert np.isnan(basis[1]).all()
    for got, want in ((basis, others), *zip(factored[1:], expected[1:], strict=True)):
        assert np.array_equal(got[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("kind", cuda_warp.SIZES)
@pytest.mark.parametrize("vectors", [False, True])
def test_shapes_fit_every_gpu(kind, vectors):
    for n in range(1, 513):
        constants, threads, matrices, shared, registers = cuda_blocked.blocked_shape(n, kind, vectors)
        assert matrices == 1
        assert threads % 32 == 0
        assert threads <= 256
        assert shared <= 99 * 1024
        assert 2 * threads * registers <= 2**16
        blocks = cuda_blocked.block_count(n, constants["width"])
        assert blocks % 2 == 0
        assert -(-n // blocks) <= constants["width"]


@pytest.mark.parametrize("all_pairs", [False, True])
@pytest.mark.parametrize("w", [1, 2, 3, 8])
def test_pairs_of_a_meeting(w, all_pairs):
    turns = range(2 * w - 1 if all_pairs else w)
    met = [tuple(sorted(cuda_blocked.pair_of(i, turn, w, all_pairs))) for turn in turns for i in range(w)]
    wanted = {(p, q) for q in range(2 * w) for p in range(q) if all_pairs or p < w <= q}
    assert len(met) == len(set(met))
    assert set(met) == wanted
    assert functools.reduce(set.union, map(set, met)) == set(range(2 * w))
