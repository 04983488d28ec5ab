"""Bases of the four subspaces, projectors, and signs."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from numpy.linalg import LinAlgError
from sklearn.utils.extmath import svd_flip

import gpusvd
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
SHAPES = [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1)]
EMPTY = [(0, 3), (3, 0), (0, 0), (2, 0, 3), (2, 3, 0), (0, 3, 2), (0, 0, 2)]
BASES = [gpusvd.orth, gpusvd.row_space, gpusvd.null_space, gpusvd.left_null_space]

by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
by_basis = pytest.mark.parametrize("function", BASES, ids=lambda function: function.__name__)


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def of_ranks(shape, dtype, ranks):
    """A batch of matrices of different ranks: products of small integers, which no dtype rounds."""
    m, n = shape
    return np.stack([integers((m, k), dtype, k) @ integers((k, n), dtype, k + 9) for k in ranks])


def integers(shape, dtype, seed):
    return np.round(2 * random(shape, np.result_type(dtype, np.float64), seed)).astype(dtype)


def span(basis):
    return basis @ measures.adjoint(basis)


# Bases


@by_shape
@by_dtype
def test_four_subspaces_of_a_batch_of_many_ranks(backend, shape, dtype):
    m, n = shape
    ranks = np.arange(min(shape) + 1)
    a = of_ranks(shape, dtype, ranks)
    given_a = backend.array(a)
    tolerance = 1e3 * np.finfo(dtype).eps
    spans = {}
    for function, dims in zip(BASES, (ranks, ranks, n - ranks, m - ranks), strict=True):
        basis, dim = backend.numpy(function(given_a))
        rows = m if function in (gpusvd.orth, gpusvd.left_null_space) else n
        np.testing.assert_array_equal(dim, dims)
        assert basis.dtype == dtype
        assert basis.shape == (len(ranks), rows, dims.max())
        inside = np.arange(dims.max()) < dims[:, None]
        gram = measures.adjoint(basis) @ basis
        np.testing.assert_allclose(gram, inside[:, None, :] * np.eye(dims.max()), atol=tolerance)
        assert not basis[np.broadcast_to(~inside[:, None, :], basis.shape)].any()
        spans[function] = span(basis)
    np.testing.assert_allclose(spans[gpusvd.orth] @ a, a, atol=20 * tolerance)
    np.testing.assert_allclose(a @ spans[gpusvd.row_space], a, atol=20 * tolerance)
    np.testing.assert_allclose(
        spans[gpusvd.orth] + spans[gpusvd.left_null_space], [np.eye(m)] * len(a), atol=tolerance
    )
    np.testing.assert_allclose(
        spans[gpusvd.row_space] + spans[gpusvd.null_space], [np.eye(n)] * len(a), atol=tolerance
    )
    for i in range(1, len(a)):  # SciPy fails on a matrix of rank 0
        np.testing.assert_allclose(spans[gpusvd.orth][i], span(scipy.linalg.orth(a[i])), atol=tolerance)
        kernel = scipy.linalg.null_space(a[i])
        np.testing.assert_allclose(spans[gpusvd.null_space][i], span(kernel), atol=tolerance)


@by_basis
def test_a_single_matrix_and_leading_dimensions(backend, function):
    a = of_ranks((4, 3), np.float64, [1, 2, 1, 3]).reshape(2, 1, 2, 4, 3)
    basis, dim = backend.numpy(function(backend.array(a)))
    assert dim.shape == (2, 1, 2)
    one = backend.numpy(function(backend.array(a[0, 0, 1])))
    assert one.dim.shape == ()
    assert one.basis.shape[-1] == one.dim == dim[0, 0, 1]
    np.testing.assert_allclose(span(one.basis), span(basis[0, 0, 1]), atol=1e-13)


def test_tolerance(backend):
    a = backend.array([np.diag([1.0, 0.1, 0.01])] * 2)
    for rtol in ([0.5, 0.05], backend.array([0.5, 0.05])):
        np.testing.assert_array_equal(backend.numpy(gpusvd.orth(a, rtol)).dim, [1, 2])
        np.testing.assert_array_equal(backend.numpy(gpusvd.null_space(a, rtol)).dim, [2, 1])
    np.testing.assert_array_equal(backend.numpy(gpusvd.orth(a, rtol=0.05)).dim, [2, 2])
    assert gpusvd.orth(np.eye(3, dtype=np.float16)).dim == 3
    assert gpusvd.orth(np.full((3, 3), 0.1, np.float16)).dim == 1


@by_basis
def test_max_dim(backend, function):
    a = backend.array(of_ranks((3, 3), np.float64, [1, 2]))
    whole = backend.numpy(function(a))
    cut = backend.numpy(function(a, max_dim=1))
    np.testing.assert_array_equal(cut.dim, [1, 1])
    np.testing.assert_array_equal(cut.basis, whole.basis[..., :1])
    padded = backend.numpy(function(a, max_dim=99))
    np.testing.assert_array_equal(padded.dim, whole.dim)
    assert padded.basis.shape == (2, 3, 3)
    with pytest.raises(ValueError, match="max_dim must be None or a non-negative int, not -1"):
        function(a, max_dim=-1)


@by_basis
def test_nan_stays_with_its_matrix(backend, function):
    a = of_ranks((4, 3), np.float64, [1, 2, 3])
    a[1, 2, 0] = np.inf
    basis, dim = backend.numpy(function(backend.array(a)))
    assert dim[1] == 0
    assert np.isnan(basis[1]).all()
    assert np.isfinite(basis[[0, 2]]).all()
    alone = backend.numpy(function(backend.array(a[1])))
    assert alone.basis.shape[-1] == 1
    assert np.isnan(alone.basis).all()


@by_basis
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_matrices_without_entries(backend, function, shape):
    *batch, m, n = shape
    basis, dim = backend.numpy(function(backend.array(np.zeros(shape))))
    rows = m if function in (gpusvd.orth, gpusvd.left_null_space) else n
    expected = 0 if function in (gpusvd.orth, gpusvd.row_space) else rows
    np.testing.assert_array_equal(dim, np.full(batch, expected))
    assert basis.shape == (*batch, rows, expected if np.prod(batch) else 0)
    np.testing.assert_array_equal(
        span(basis), np.broadcast_to(np.eye(rows) * bool(expected), (*batch, rows, rows))
    )


@by_basis
def test_wrong_matrices(function):
    with pytest.raises(LinAlgError, match="at least two-dimensional"):
        function([1.0])
    with pytest.raises(TypeError, match="unsupported"):
        function([["a"]])


# Projectors


@examples
@given(
    st.sampled_from(list(gallery.MATRICES)),
    st.sampled_from(gallery.DTYPES),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_projectors_are_idempotent_hermitian_and_leave_the_space(name, dtype, shape):
    a = gallery.build(name, *shape, dtype).a
    a = gallery.scaled(a, -measures.binary_exponent(a[None])[0])
    P = gpusvd.projector(a)
    tolerance = 100 * max(shape) * np.finfo(dtype).eps
    np.testing.assert_allclose(P @ P, P, atol=tolerance)
    np.testing.assert_allclose(P, measures.adjoint(P), atol=tolerance)
    np.testing.assert_allclose(P @ a, a, atol=tolerance)
    # Not `matrix_rank`: values without vectors are rounded otherwise, and some lie at the tolerance.
    assert abs(np.trace(P) - gpusvd.orth(a).dim) < tolerance


@pytest.mark.parametrize("char", "efdFD")
def test_projector(backend, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = of_ranks((4, 3), char, [1, 2, 3])
    P = backend.numpy(gpusvd.projector(backend.array(a)))
    assert P.dtype == a.dtype
    wide = a.astype(np.promote_types(char, np.float32))
    expected = wide @ np.linalg.pinv(wide, rtol=4 * np.finfo(char).eps)
    np.testing.assert_allclose(P, expected, atol=200 * np.finfo(char).eps)


def test_projector_of_a_subspace_nan_zero_and_nothing(backend):
    a = of_ranks((4, 5), np.float64, [1, 3])
    kernel = gpusvd.null_space(backend.array(a))
    P = backend.numpy(gpusvd.projector(kernel.basis))
    np.testing.assert_allclose(P, span(backend.numpy(kernel.basis)), atol=1e-13)
    bad = np.stack([np.zeros((2, 2)), np.full((2, 2), np.nan), np.eye(2)])
    P = backend.numpy(gpusvd.projector(backend.array(bad)))
    np.testing.assert_array_equal(P, bad)
    np.testing.assert_allclose(gpusvd.projector(np.diag([1.0, 0.1]), rtol=0.5), np.diag([1, 0]))
    for shape in EMPTY:
        P = backend.numpy(gpusvd.projector(backend.array(np.zeros(shape))))
        np.testing.assert_array_equal(P, np.zeros((*shape[:-1], shape[-2])))


# Signs


@by_shape
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("u_based", [True, False])
def test_sign_flip_is_scikit_learns(backend, shape, dtype, u_based):
    U, _, Vh = gpusvd.svd(random((3, *shape), dtype), full_matrices=False)
    flipped = backend.numpy(gpusvd.sign_flip(backend.array(U), backend.array(Vh), u_based))
    for i in range(3):
        expected = svd_flip(U[i].copy(), Vh[i].copy(), u_based_decision=u_based)
        np.testing.assert_array_equal(flipped[0][i], expected[0])
        np.testing.assert_array_equal(flipped[1][i], expected[1])


@by_dtype
@pytest.mark.parametrize("u_based", [True, False])
def test_sign_flip_keeps_the_product_and_forgets_the_signs(backend, dtype, u_based):
    a = random((3, 6, 4), dtype)
    U, S, Vh = gpusvd.svd(a, full_matrices=False)
    phase = random((3, 4), dtype, 5)
    phase /= np.abs(phase)
    others = U * phase[:, None, :], phase.conj()[..., None] * Vh
    tolerance = 100 * np.finfo(dtype).eps
    results = [
        backend.numpy(gpusvd.sign_flip(backend.array(u), backend.array(vh), u_based))
        for u, vh in ((U, Vh), others)
    ]
    for u, vh in results:
        assert u.dtype == vh.dtype == dtype
        np.testing.assert_allclose(u * S[:, None, :] @ vh, a, atol=tolerance)
        rows = u.swapaxes(-1, -2) if u_based else vh
        lead = np.take_along_axis(rows, np.abs(rows).argmax(axis=-1)[..., None], axis=-1)
        assert (lead.real > 0).all()
        assert np.abs(lead.imag).max() < tolerance
    np.testing.assert_allclose(results[0][0], results[1][0], atol=tolerance)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=tolerance)


def test_sign_flip_of_zeros_ties_nan_and_nothing(backend):
    U = np.array([[-0.5, 0.0, np.nan], [0.5, 0.0, 1.0]])
    u, vh = backend.numpy(gpusvd.sign_flip(backend.array(U), backend.array(np.eye(3))))
    np.testing.assert_array_equal(u[:, :2], [[0.5, 0], [-0.5, 0]])
    np.testing.assert_array_equal(vh[:2], [[-1, 0, 0], [0, 1, 0]])
    assert np.isnan(u[0, 2])
    for m, k, n in ((0, 0, 3), (3, 0, 0), (0, 2, 3), (3, 2, 0)):
        u, vh = backend.numpy(
            gpusvd.sign_flip(backend.array(np.ones((2, m, k))), backend.array(np.ones((2, k, n))))
        )
        np.testing.assert_array_equal(u, np.ones((2, m, k)))
        np.testing.assert_array_equal(vh, np.ones((2, k, n)))


@pytest.mark.parametrize("u_based", [True, False])
def test_sign_flip_of_nan_is_silent(u_based):
    a = random((3, 5, 3), np.complex128)
    a[1, 0, 0] = np.nan
    U, _, Vh = gpusvd.svd(a, full_matrices=False)
    u, vh = gpusvd.sign_flip(U, Vh, u_based)
    np.testing.assert_array_equal(np.isnan(u).any(axis=(-2, -1)), [False, True, False])
    np.testing.assert_array_equal(np.isnan(vh).any(axis=(-2, -1)), [False, True, False])


def test_sign_flip_leaves_its_input_alone():
    U, _, Vh = gpusvd.svd(-np.eye(3))
    before = U.copy(), Vh.copy()
    gpusvd.sign_flip(U, Vh)
    np.testing.assert_array_equal(U, before[0])
    np.testing.assert_array_equal(Vh, before[1])


def test_vectors_that_do_not_pair():
    U, _, Vh = gpusvd.svd(random((5, 3)))
    with pytest.raises(ValueError, match="do not pair"):
        gpusvd.sign_flip(U, Vh)
    with pytest.raises(ValueError, match=r"batch of Vh of shape \(3,\) does not broadcast"):
        gpusvd.sign_flip(np.ones((2, 3, 3)), np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="do not pair"):
        gpusvd.sign_flip([1.0], [1.0])
