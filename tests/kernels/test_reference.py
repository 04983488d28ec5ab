"""The reference implementation is held to mathematics, and its parts each to what they promise."""

import itertools

import numpy as np
import pytest

from tests.support import gallery, measures, reference

SHAPES = [*gallery.SQUARE[:8], (17, 17), (3, 2), (9, 8), (17, 4), (2, 3), (4, 17)]


@pytest.mark.parametrize(("m", "n"), SHAPES)
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_every_matrix_of_the_gallery(dtype, m, n):
    for name in gallery.MATRICES:
        a, exact = gallery.build(name, m, n, dtype)
        result = reference.svd(a)
        assert result.converged == np.isfinite(result.S[0]), name
        assert result.off <= 10 * min(m, n) * measures.eps(dtype), name
        measures.assert_svd(a, *result[:3])
        if exact is not None:
            measures.assert_singular_values(result.S, exact, 10 * max(m, n))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_nan_and_inf_give_nan(dtype, m, n, bad):
    a = gallery.build("gaussian", m, n, dtype).a.copy()
    a[-1, 0] = bad
    for full_matrices in (True, False):
        result = reference.svd(a, full_matrices)
        assert not result.converged
        assert result.sweeps == 0
        assert np.isnan(result.off)
        expected = np.linalg.svd(np.ones((m, n)), full_matrices)
        assert [x.shape for x in result[:3]] == [x.shape for x in expected]
        assert all(np.isnan(x).all() for x in result[:3])


@pytest.mark.parametrize(("m", "n"), [(9, 8), (17, 4), (4, 17), (8, 8)])
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_thin_factors_are_the_full_ones_cut(dtype, m, n):
    a, k = gallery.build("gaussian", m, n, dtype).a, min(m, n)
    full, thin = reference.svd(a), reference.svd(a, full_matrices=False)
    np.testing.assert_allclose(thin.U, full.U[:, :k], atol=9 * measures.eps(dtype))
    np.testing.assert_array_equal(thin.S, full.S)
    np.testing.assert_allclose(thin.Vh, full.Vh[:k], atol=9 * measures.eps(dtype))


@pytest.mark.parametrize("name", gallery.MATRICES)
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_pivoted_qr(dtype, name):
    """A P = Q R with Q unitary and the diagonal of R descending."""
    a = gallery.build(name, 9, 7, dtype).a
    columns, exponent = reference.normalised(a, np.zeros(7, np.intc))
    reflectors, beta, R, R_exponent, permutation = reference.pivoted_qr(columns, exponent)
    Q = np.eye(9, dtype=dtype)
    for j in reversed(range(7)):
        Q = reference.reflect(Q, reflectors[:, j], beta[j])
    bound = 20 * measures.eps(dtype)
    assert np.abs(Q.conj().T @ Q - np.eye(9)).max() < bound
    np.testing.assert_array_equal(R_exponent, exponent[permutation])
    assert np.abs(Q @ R - columns[:, permutation]).max() < bound
    np.testing.assert_array_equal(np.tril(R, -1), 0)
    diagonal = np.abs(R.diagonal())
    with np.errstate(divide="ignore"):
        size = np.log2(diagonal.astype(float)) + R_exponent
    assert all(later <= earlier + 1e-5 for earlier, later in itertools.pairwise(size[diagonal > 0]))


@pytest.mark.parametrize("gap", [-3000, -200, -60, -3, -1, 0, 1, 3, 60, 200, 3000])
@pytest.mark.parametrize("cosine", [1e-5, 0.3, 0.9, 1 - 1e-3])
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_a_rotation_makes_two_columns_orthogonal(dtype, cosine, gap):
    """At every angle and ratio of lengths; the longer column does not get shorter."""
    rng = np.random.default_rng(1)
    x, z = gallery.orthonormal(rng, 6, 2, dtype).T
    phase = 1j if dtype.kind == "c" else -1
    y = phase * (cosine * x + np.sqrt(1 - cosine**2) * z)
    L = np.stack([x, 0.75 * y], axis=1).astype(dtype)
    before = reference.norms(L)
    inner = np.vdot(L[:, 0], L[:, 1])
    rotation = reference.jacobi_rotation(np.abs(inner) / before[0] / before[1], *before, np.intc(gap))
    reference.rotate_mantissas(L, 0, 1, (inner / np.abs(inner)).conj(), rotation)
    after = reference.norms(L)
    assert after.min() > 0
    # What is left of the shorter column carries the rounding of all of it.
    left = np.abs(np.vdot(L[:, 0], L[:, 1])) / after.prod()
    assert left < 40 * measures.eps(dtype) / np.sqrt(1 - cosine**2)
    longer = int(gap > 0)
    assert after[longer] >= before[longer] * (1 - 4 * measures.eps(dtype))
    shrunk = before[1 - longer] * np.sqrt(1 - cosine**2)
    if abs(gap) >= 60:
        assert after[1 - longer] == pytest.approx(shrunk, rel=40 * measures.eps(dtype) / (1 - cosine**2))
        # What the rotation adds is below the last bit; a complex column q carries the rounding of its phase.
        rounding = 4 * measures.eps(dtype) if dtype.kind == "c" and longer == 1 else 0
        assert abs(after[longer] - before[longer]) <= rounding * before[longer]
    assert abs(rotation.sine) <= np.sqrt(0.5) * (1 + 4 * measures.eps(dtype))


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_equal_columns_rotate_by_45_degrees(dtype):
    one = dtype.type(1).real
    rotation = reference.jacobi_rotation(one / 2, one, one, np.intc(0))
    assert abs(rotation.sine) == pytest.approx(np.sqrt(0.5), rel=2 * measures.eps(dtype))
    result = reference.svd(np.array([[1, 0.5], [0.5, 1]], dtype))
    measures.assert_singular_values(result.S, [1.5, 0.5], 2)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_sweeps_are_few(dtype):
    assert reference.svd(gallery.build("identity", 8, 8, dtype).a).sweeps == 1
    assert reference.svd(gallery.build("gaussian", 32, 32, dtype).a).sweeps <= 8
    assert reference.svd(gallery.build("geometric 1e30", 32, 32, dtype).a).sweeps <= 6
    result = reference.svd(np.ones((10, 10), dtype))
    assert result.sweeps <= 3


@pytest.mark.parametrize("rank", range(6))
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_complete(dtype, rank):
    X = gallery.orthonormal(np.random.default_rng(rank), 5, 5, dtype).astype(dtype)
    whole = reference.complete(np.where(np.arange(5) < rank, X, 0), rank)
    np.testing.assert_array_equal(whole[:, :rank], X[:, :rank])
    assert measures.loss_of_orthogonality(whole) < 30 * measures.eps(dtype)


def test_descending_order_beyond_the_range():
    length = np.array([0.5, 0.0, 1.0, 0.75, 0.0, 0.5, 0.75])
    exponent = np.array([-4000, 3000, 4000, -4000, 0, 4001, -4000], np.intc)
    np.testing.assert_array_equal(reference.descending(length, exponent), [2, 5, 3, 6, 0, 1, 4])
