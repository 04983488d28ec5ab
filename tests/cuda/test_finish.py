"""From factors of L to those of A by CUDA threads, in the emulator; with the other phases, whole SVDs."""

import math
from functools import cache

import numpy as np
import pytest

import gpusvd
from gpusvd.kernels import cuda_finish, cuda_warp
from gpusvd.kernels.cuda_buffers import (
    BAD,
    BETAS,
    CONVERGED,
    HEADER,
    HIGHEST,
    OFF,
    PERMUTATION,
    POWERS,
    REALS,
    SIGMA,
    SWEEPS,
)
from gpusvd.kernels.cuda_warp import padded_rows
from gpusvd.kernels.qr import LOWEST
from tests.support import gallery, measures
from tests.support.cuda_phases import Factored, assemble, factor, orthogonalise

by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)


def exact(dtype, m, n, values, seed=0):
    """Buffers of matrices with these singular values, rows of them: X and W are random, Q a product of
    random reflectors; and U, V in the order of the columns."""
    rng = np.random.default_rng(seed)
    batch = len(values)
    buffers = Factored(
        np.zeros((batch, n * padded_rows(m, dtype.name)), dtype),
        np.empty((batch, n, n), dtype),
        np.empty((batch, REALS, n), np.empty(0, dtype).real.dtype),
        np.empty((batch, HEADER), np.empty(0, dtype).real.dtype),
    )
    basis, left, right = np.empty((batch, n, n), dtype), [], []
    for b in range(batch):
        X, W = (gallery.orthonormal(rng, n, n, dtype) for _ in range(2))
        permutation = rng.permutation(n)
        columns, Q = (
            buffers.factor[b].reshape(n, -1)[:, :m],
            np.eye(m, dtype=np.result_type(dtype, np.float64)),
        )
        buffers.reals[b, PERMUTATION] = permutation
        for j in range(n):
            v = gallery.gaussian_entries(rng, m, 1, dtype)[:, 0]
            v[:j], v[j] = 0, 1
            beta = 2 / measures.norm(v[:, None]) ** 2
            columns[permutation[j], j:], buffers.reals[b, BETAS, j] = v[j:], beta
            Q = Q - beta * np.outer(Q @ v, v.conj())
        buffers.reals[b, SIGMA], buffers.reals[b, POWERS] = np.frexp(values[b])
        zero = values[b] == 0
        buffers.reals[b, POWERS, zero] = LOWEST
        buffers.triangle[b], basis[b] = X.T, W.T
        buffers.triangle[b, zero] = 0
        buffers.header[b, [HIGHEST, BAD, CONVERGED, SWEEPS, OFF]] = 0, 0, 1, 5, 0
        padded = np.eye(m, dtype=Q.dtype)
        padded[:n, :n] = W
        left.append(Q @ padded)
        right.append(np.empty_like(X))
        right[-1][permutation] = X
    return buffers, basis, np.stack(left), np.stack(right)


def assert_close(got, want, ulps):
    measures.assert_below(np.abs(got - want).ravel(), ulps * measures.eps(got.real.dtype))


@by_dtype
@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 1), (5, 5), (6, 6), (9, 5), (21, 4)])
@pytest.mark.parametrize("adjoint", [False, True], ids=["tall", "wide"])
def test_order_and_conjugates(dtype, m, n, adjoint):
    values = np.random.default_rng(n).uniform(1, 8, (2, n))
    buffers, basis, left, right = exact(dtype, m, n, values)
    got = np.full((2, m, m), np.nan, dtype), np.full((2, n, n), np.nan, dtype)
    s, converged, sweeps, off = assemble(buffers, basis, *got, adjoint=adjoint)
    order = np.argsort(-values, axis=1)
    assert_close(s, np.take_along_axis(values, order, axis=1), 8)
    assert converged.all()
    assert (sweeps == 5).all()
    assert (off == 0).all()
    for b in range(2):
        U, V = left[b][:, [*order[b], *range(n, m)]], right[b][:, order[b]]
        assert_close(got[0][b], U.conj() if adjoint else U, 20 * m)
        assert_close(got[1][b], V if adjoint else V.conj(), 1)


@by_dtype
def test_thin_values_only_and_strides(dtype):
    m, n = 9, 5
    values = np.random.default_rng(1).uniform(1, 8, (3, n))
    buffers, basis, _, _ = exact(dtype, m, n, values)
    full, right = np.empty((3, m, m), dtype), np.empty((3, n, n), dtype)
    expected = assemble(buffers, basis, full, right)
    thin, turned = np.empty((6, n, 2 * m), dtype)[::2, :, ::-2].swapaxes(1, 2), right.copy().swapaxes(1, 2)
    for got in (assemble(buffers, basis, thin, turned), assemble(buffers, None, None, None)):
        assert all(np.array_equal(x, y) for x, y in zip(got, expected, strict=True))
    assert np.array_equal(thin, full[:, :, :n])
    assert np.array_equal(turned, right)


@by_dtype
def test_columns_in_global_memory(dtype):
    m, n = 8, 5
    values = np.random.default_rng(1).uniform(1, 8, (2, n))
    buffers, basis, _, _ = exact(dtype, m, n, values)
    left, right = np.empty((2, m, m), dtype), np.empty((2, n, n), dtype)
    assemble(buffers, basis, left, right)
    constants = cuda_finish.finish_shape(m, n, m, dtype.name).constants
    constants = constants | {"shares": False, "groups": 32 // constants["lanes"]}
    shape = cuda_warp.LaunchShape(constants, threads=32, matrices=1, shared=n * 8, registers=1)
    apart = np.empty((4, 2 * m, m), dtype)[::2, ::2]
    assemble(buffers, basis, apart, right, shape=shape)
    measures.assert_below(np.abs(apart - left), 8 * measures.eps(dtype))  # whose sums have another order


@by_dtype
def test_equal_values_keep_their_order(dtype):
    buffers, basis, left, _ = exact(dtype, 6, 6, np.array([[1.0, 2, 1, 2, 1, 4]]))
    got = np.empty((1, 6, 6), dtype), np.empty((1, 6, 6), dtype)
    s = assemble(buffers, basis, *got)[0]
    assert s[0].tolist() == [4, 2, 2, 1, 1, 1]
    assert_close(got[0][0], left[0][:, [5, 1, 3, 0, 2, 4]], 100)


@by_dtype
def test_zero_columns_are_completed(dtype):
    """In some matrices of a block, none or all columns of others; what is not zero stays as it is."""
    values = np.array([[1, 2, 3, 4, 5.0], [0, 2, 0, 0, 5], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4]])
    buffers, basis, _, right = exact(dtype, 5, 5, values)
    got = np.empty((4, 5, 5), dtype), np.empty((4, 5, 5), dtype)
    s = assemble(buffers, basis, *got)[0]
    assert_close(s, -np.sort(-values), 1)
    measures.assert_below(measures.loss_of_orthogonality(got[1]), 50 * measures.eps(dtype))
    for b, value in enumerate(values):
        order = np.argsort(-value, kind="stable")[: np.count_nonzero(value)]
        assert_close(got[1][b][:, : len(order)], right[b][:, order].conj(), 1)


@by_dtype
def test_completion_in_the_worst_direction(dtype):
    """All columns but one known, and every axis equally near to their span."""
    n = 8
    known = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0]
    buffers, basis, _, _ = exact(dtype, n, n, np.array([[0, *range(1, n)]], float))
    buffers.triangle[0, 1:] = known[:, 1:].T
    got = np.empty((1, n, n), dtype), np.empty((1, n, n), dtype)
    assemble(buffers, basis, *got)
    measures.assert_below(measures.loss_of_orthogonality(got[1]), 30 * measures.eps(dtype))


@by_dtype
def test_range_of_values(dtype):
    """Values that overflow or vanish come out so; a largest one that overflows has not converged."""
    info = np.finfo(dtype)
    buffers, basis, _, _ = exact(dtype, 3, 3, np.array([[0.5, 0.5, 0.75], [0.5, 0.5, 0.75]]))
    buffers.reals[0, POWERS] = [0, info.minexp - info.maxexp - info.nmant - 2, -3 * info.maxexp]
    buffers.reals[1, POWERS] = [0, -5, -5]
    buffers.header[:, HIGHEST] = info.maxexp, info.maxexp + 1
    s, converged, _, _ = assemble(buffers, basis, None, None)
    assert s[0].tolist() == [np.ldexp(0.5, info.maxexp), 0, 0]
    assert np.isinf(s[1, 0])
    assert np.isfinite(s[1, 1:]).all()
    assert converged.tolist() == [True, False]


@by_dtype
def test_what_is_not_finite_stays_with_its_matrix(dtype):
    values = np.random.default_rng(2).uniform(1, 8, (4, 4))
    values[1, 2] = 0
    buffers, basis, _, _ = exact(dtype, 6, 4, values)
    expected = np.empty((4, 6, 6), dtype), np.empty((4, 4, 4), dtype)
    triangle = buffers.triangle.copy()
    expected += assemble(buffers, basis, *expected)
    buffers.triangle[...] = triangle
    buffers.header[2] = [0, 1, math.nan, math.nan, math.nan]
    buffers.reals[2, [SIGMA, POWERS]], buffers.triangle[2], basis[2] = math.nan, 0, math.nan
    got = np.empty((4, 6, 6), dtype), np.empty((4, 4, 4), dtype)
    got += assemble(buffers, basis, *got)
    others = [0, 1, 3]
    assert all(np.array_equal(x[others], y[others]) for x, y in zip(got, expected, strict=True))
    left, right, s, converged, sweeps, off = (x[2] for x in got)
    assert np.isnan(left).all()
    assert np.isnan(right).all()
    assert np.isnan(s).all()
    assert not converged
    assert sweeps == 0
    assert math.isnan(off)


@cache
def decomposed(dtype, m, n):
    """Half of the gallery by the three phases, Jacobi by NumPy."""
    a = gallery.batch(m, n, dtype)[gallery.DTYPES.index(dtype) % 2 :: 2]
    wide = m < n
    turned = a.swapaxes(1, 2) if wide else a
    factored = factor(turned, adjoint=wide)
    basis = orthogonalise(factored)
    big, small = max(m, n), min(m, n)
    left, right = np.empty((len(a), big, big), dtype), np.empty((len(a), small, small), dtype)
    s, converged, _, _ = assemble(factored, basis, left, right, adjoint=wide)
    U, Vh = (right, left.swapaxes(1, 2)) if wide else (left, right.swapaxes(1, 2))
    return a, U, s, Vh, converged


@by_dtype
@pytest.mark.parametrize(("m", "n"), [(5, 5), (2, 6)])
def test_whole_decompositions(dtype, m, n):
    a, U, s, Vh, converged = decomposed(dtype, m, n)
    measures.assert_svd(a, U, s, Vh)
    expected = gpusvd.svd_ex(a, driver="jacobi")
    assert np.array_equal(converged, expected.info.converged)
    assert np.array_equal(np.isinf(s), np.isinf(expected.S))
    largest = np.finfo(dtype).max
    measures.assert_singular_values(np.minimum(s, largest), np.minimum(expected.S, largest), 20)


@pytest.mark.parametrize("kind", cuda_warp.SIZES)
@pytest.mark.parametrize("vectors", [False, True])
def test_shapes_fit_every_gpu(kind, vectors):
    for m, n in [(n, n) for n in range(1, 513)] + [(1000, 3), (10**6, 4), (3000, 512), (256, 16), (700, 100)]:
        for columns in {n, min(m, 1000)}:
            shapes = (
                cuda_finish.finish_shape(m, n, columns, kind, vectors),
                cuda_finish.complete_shape(n, kind),
            )
            for constants, threads, matrices, shared, registers in shapes:
                assert threads == matrices * constants["lanes"] * constants["groups"]
                assert threads % 32 == 0
                assert threads <= 512
                assert shared <= 99 * 1024
                assert threads * registers <= 2**16
