"""Pseudo-inverse, least squares, ridge regression and inverse, against definitions and NumPy."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.linalg import LinAlgError
from sklearn.linear_model import Ridge

import gpusvd
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
SHAPES = [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1)]
BATCHES = [(), (3,), (2, 1, 3)]
EMPTY = [(0, 3), (3, 0), (0, 0), (2, 0, 3), (2, 3, 0), (0, 3, 2), (0, 0, 2)]

by_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
matrices = st.tuples(
    st.sampled_from(
        [
            "gaussian",
            "unitary",
            "zero",
            "ones",
            "duplicate columns",
            "zero rows",
            "rank 2 of integers",
            "identity",
            "shift",
            "single entry",
            "geometric 1e3",
            "signs",
            "repeated",
        ]
    ),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(gallery.DTYPES),
)  # whose rank no rounding changes


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def of_rank(shape, rank, dtype=np.float64):
    *batch, m, n = shape
    return random((*batch, m, rank), dtype) @ random((*batch, rank, n), dtype, 1)


# Pseudo-inverse


@examples
@given(matrices)
def test_penrose(case):
    name, shape, dtype = case
    a = gallery.build(name, *shape, dtype).a
    p = gpusvd.pinv(a)
    assert p.shape == a.T.shape
    assert p.dtype == dtype
    size = max(np.linalg.norm(a), 1) * max(np.linalg.norm(p), 1)
    tolerance = 100 * max(shape) * np.finfo(dtype).eps * size
    np.testing.assert_allclose(a @ p @ a, a, atol=tolerance * np.linalg.norm(a))
    np.testing.assert_allclose(p @ a @ p, p, atol=tolerance * np.linalg.norm(p))
    np.testing.assert_allclose(a @ p, measures.adjoint(a @ p), atol=tolerance)
    np.testing.assert_allclose(p @ a, measures.adjoint(p @ a), atol=tolerance)


@by_batch
@by_shape
@by_dtype
def test_pinv_is_numpys(backend, shape, dtype, batch):
    for a in (random((*batch, *shape), dtype), of_rank((*batch, *shape), 1, dtype)):
        for kwargs in ({}, {"rcond": 0.3}, {"rtol": 0.3}):
            p = backend.numpy(gpusvd.pinv(backend.array(a), **kwargs))
            expected = np.linalg.pinv(a, **(kwargs or {"rtol": None}))
            assert p.dtype == dtype
            np.testing.assert_allclose(
                p, expected, rtol=0, atol=1e3 * np.finfo(dtype).eps * np.abs(expected).max()
            )


def test_pinv_with_a_tolerance_for_each_matrix(backend):
    a = np.array([np.diag([1.0, 0.1])] * 2)
    for rtol in ([0.05, 0.5], backend.array([0.05, 0.5])):
        p = backend.numpy(gpusvd.pinv(backend.array(a), rtol=rtol))
        # A singular value is known to some eps of the largest: here to ten times as many of its own.
        np.testing.assert_allclose(p, [np.diag([1, 10]), np.diag([1, 0])], rtol=1e-14, atol=1e-14)


def test_pinv_of_hermitian_and_graded_matrices(backend):
    a = random((3, 4, 4), np.complex128)
    lower = np.tril(a)
    whole = (
        np.tril(a, -1) + measures.adjoint(np.tril(a, -1)) + np.stack([np.diag(x.diagonal().real) for x in a])
    )
    p = backend.numpy(gpusvd.pinv(backend.array(lower + 99 * np.triu(a, 1)), hermitian=True))
    np.testing.assert_allclose(p, np.linalg.inv(whole), rtol=1e-11)
    scaled = gpusvd.pinv(np.diag([1e200, 1e-200]), rtol=0) * np.array([[1e200], [1e-200]])
    np.testing.assert_allclose(scaled, np.eye(2), atol=1e-14)  # relative to each row
    assert gpusvd.pinv([[5e-324]])[0, 0] == np.inf


def test_pinv_stays_finite_in_single_precision():
    """Where NumPy's 1e-15 takes rounding for signal."""
    a = of_rank((50, 40), 3, np.float32)
    assert np.abs(gpusvd.pinv(a)).max() < 10


def test_pinv_of_integers_halves_nan_zero_and_nothing(backend):
    assert gpusvd.pinv([[2, 0], [0, 4]]).dtype == np.float64
    half = gpusvd.pinv(np.array([[2, 0], [0, 4], [0, 0]], np.float16))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, [[0.5, 0, 0], [0, 0.25, 0]])
    a = np.stack([np.eye(2, 3), np.full((2, 3), np.nan), np.zeros((2, 3))])
    np.testing.assert_allclose(backend.numpy(gpusvd.pinv(backend.array(a))), a.swapaxes(-1, -2), atol=1e-14)
    for shape in EMPTY:
        p = backend.numpy(gpusvd.pinv(backend.array(np.zeros(shape))))
        np.testing.assert_array_equal(p, np.zeros(shape).swapaxes(-1, -2))
    with pytest.raises(ValueError, match="rcond or rtol, not both"):
        gpusvd.pinv(np.eye(2), rcond=0.1, rtol=0.1)
    with pytest.raises(LinAlgError, match="square"):
        gpusvd.pinv(np.ones((2, 3)), hermitian=True)


# Least squares


@examples
@given(matrices, st.integers(0, 3))
def test_normal_equations_and_least_norm(case, sides):
    name, (m, n), dtype = case
    a = gallery.build(name, m, n, dtype).a
    b = random((m, sides), dtype)
    x, residuals, rank, s = gpusvd.lstsq(a, b)
    size = max(np.linalg.norm(a), 1) * max(np.linalg.norm(gpusvd.pinv(a)), 1)
    tolerance = 100 * (m + n) * np.finfo(dtype).eps * size**2
    rest = b - a @ x
    np.testing.assert_allclose(measures.adjoint(a) @ rest, np.zeros((n, sides)), atol=tolerance)
    if m > n == rank:
        np.testing.assert_allclose(residuals, (np.abs(rest) ** 2).sum(axis=0), atol=tolerance)
    else:
        assert residuals.shape == (0,)
    # The solution of least norm has no part in the null space.
    null = gpusvd.null_space(a).basis
    np.testing.assert_allclose(measures.adjoint(null) @ x, 0, atol=tolerance)
    assert rank == np.linalg.matrix_rank(a)
    assert s.shape == (min(m, n),)


@by_shape
@by_dtype
def test_lstsq_is_numpys(backend, shape, dtype):
    m = shape[0]
    a = np.stack([random(shape, dtype), of_rank(shape, 1, dtype), random(shape, dtype, 2)])
    vector, matrix, one_for_all = random(m, dtype), random((3, m, 2), dtype), random((m, 2), dtype)
    atol = 5e3 * np.finfo(dtype).eps
    rcond = max(shape) * np.finfo(dtype).eps  # NumPy's default is that of double precision
    for b in (vector, matrix, one_for_all):
        result = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array(b)))
        assert result._fields == ("x", "residuals", "rank", "s")
        for i in range(3):
            x, residuals, rank, s = np.linalg.lstsq(a[i], b[i] if b is matrix else b, rcond)
            np.testing.assert_allclose(result.x[i], x, atol=atol * max(1, np.abs(x).max()))
            if residuals.size:
                np.testing.assert_allclose(result.residuals[i], residuals, atol=atol)
                assert result.residuals[i].shape == residuals.shape
            assert result.rank[i] == rank
            np.testing.assert_allclose(result.s[i], s, atol=atol)
        one = backend.numpy(gpusvd.lstsq(backend.array(a[0]), backend.array(b[0] if b is matrix else b)))
        np.testing.assert_allclose(one.x, result.x[0], atol=atol)
        for i in (0, 1):  # of full rank, and not
            one = backend.numpy(gpusvd.lstsq(backend.array(a[i]), backend.array(b[i] if b is matrix else b)))
            numpys = np.linalg.lstsq(a[i], b[i] if b is matrix else b, rcond)
            assert one.residuals.shape == numpys[1].shape
            assert isinstance(one.rank, int)
            assert one.rank == numpys[2]
        assert result.x.dtype == dtype
        assert result.residuals.dtype == result.s.dtype == np.zeros(1, dtype).real.dtype


def test_batches_of_matrices_and_sides_broadcast(backend):
    a, b = random((2, 1, 5, 3)), random((4, 5, 2))
    x, residuals, rank, s = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array(b)))
    assert (x.shape, residuals.shape, rank.shape, s.shape) == ((2, 4, 3, 2), (2, 4, 2), (2, 1), (2, 1, 3))
    np.testing.assert_allclose(x[1, 3], np.linalg.lstsq(a[1, 0], b[3])[0], atol=1e-12)


@pytest.mark.parametrize("rcond", [0.3, -1, None, [0.3, 1e-3]])
def test_rcond(backend, rcond):
    a = np.stack([np.diag([1.0, 0.1, 1e-9])[:, :2], np.diag([1.0, 0.5, 0.1])[:, :2]])
    result = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array([1.0, 2.0, 3.0]), rcond))
    for i in range(2):
        one = rcond[i] if isinstance(rcond, list) else rcond
        x, _, rank, _ = np.linalg.lstsq(a[i], [1.0, 2.0, 3.0], one)
        np.testing.assert_allclose(result.x[i], x, atol=1e-14)
        assert result.rank[i] == rank


def test_several_rcond_for_one_matrix():
    a, b, limits = np.diag([1.0, 0.1, 1e-9])[:, :2], [1.0, 2.0, 3.0], [0.3, 1e-3]
    x, residuals, rank, s = gpusvd.lstsq(a, b, limits)
    assert (residuals.shape, rank.tolist(), s.shape) == ((2, 1), [1, 2], (2,))
    for one, limit in zip(x, limits, strict=True):
        np.testing.assert_array_equal(one, gpusvd.lstsq(a, b, limit).x)
    with pytest.raises(
        ValueError, match=r"rcond of shape \(2,\) does not broadcast against a batch of \(3,\)"
    ):
        gpusvd.lstsq(a, np.ones((3, 3, 1)), limits)


def test_lstsq_of_mixed_dtypes():
    a = random((4, 2), np.float32)
    assert gpusvd.lstsq(a, random(4, np.complex64)).x.dtype == np.complex64
    assert gpusvd.lstsq(a, random(4)).s.dtype == np.float64
    assert gpusvd.lstsq(a, [1, 2, 3, 4]).x.dtype == np.float64
    half = gpusvd.lstsq(a.astype(np.float16), random(4, np.float16))
    assert [half.x.dtype.char, half.residuals.dtype.char, half.s.dtype.char] == ["e", "e", "f"]
    np.testing.assert_allclose(half.x, np.linalg.lstsq(a, random(4))[0], atol=5e-3)


def test_lstsq_keeps_nan_where_it_is(backend):
    a, b = random((3, 5, 2)), random((3, 5, 2))
    clean = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array(b)))
    a[0, 1, 1] = np.nan
    b[1, 0, 1] = np.inf
    x, residuals, rank, s = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array(b)))
    assert np.isnan(x[0]).all()
    assert np.isnan(residuals[0]).all()
    assert np.isnan(s[0]).all()
    np.testing.assert_array_equal(rank, [0, 2, 2])
    assert not np.isfinite(x[1, :, 1]).any()
    np.testing.assert_array_equal(x[2], clean.x[2])
    np.testing.assert_allclose(x[1, :, 0], clean.x[1, :, 0], rtol=1e-14)


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_lstsq_of_matrices_without_entries(backend, shape):
    *batch, m, n = shape
    x, residuals, rank, s = backend.numpy(
        gpusvd.lstsq(backend.array(np.zeros(shape)), backend.array(np.ones((*batch, m, 2))))
    )
    np.testing.assert_array_equal(x, np.zeros((*batch, n, 2)))
    if batch or m > n:
        np.testing.assert_array_equal(residuals, np.full((*batch, 2), float(m)))
    else:  # one matrix, as NumPy
        assert residuals.shape == (0,)
    np.testing.assert_array_equal(rank, np.zeros(batch))
    assert s.shape == (*batch, min(m, n))
    x = backend.numpy(gpusvd.ridge(backend.array(np.zeros(shape)), backend.array(np.ones(m)), 1.0))
    np.testing.assert_array_equal(x, np.zeros((*batch, n)))


@pytest.mark.parametrize(
    "solve", [gpusvd.lstsq, lambda a, b: gpusvd.ridge(a, b, 1.0)], ids=["lstsq", "ridge"]
)
def test_wrong_systems(solve):
    a = random((3, 5, 2))
    for b in (random(4), random((4, 1)), random((3, 5)), 1.0):
        with pytest.raises(
            LinAlgError, match=r"b has shape .* expected \(5,\) or \(..., 5, R\) .* b\[..., np.newaxis\]"
        ):
            solve(a, b)
    with pytest.raises(
        ValueError, match=r"batch of b of shape \(2,\) does not broadcast against a batch of \(3,\)"
    ):
        solve(a, random((2, 5, 1)))
    with pytest.raises(LinAlgError, match="at least two-dimensional"):
        solve(random(5), random(5))
    with pytest.raises(TypeError, match="array type object of b is unsupported"):
        solve(a, None)


# Ridge regression


@by_shape
@by_dtype
def test_ridge_minimises(backend, shape, dtype):
    """Its solution solves the normal equations (A*A + alpha) x = A* b."""
    m, n = shape
    a, b = random((3, *shape), dtype), random((3, m, 2), dtype)
    alphas = np.array([0.1, 1.0, 100.0])
    x = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(b), backend.array(alphas[:, None])))
    assert x.shape == (3, 3, n, 2)
    assert x.dtype == dtype
    for i, alpha in enumerate(alphas):
        gram = measures.adjoint(a) @ a + alpha * np.eye(n)
        np.testing.assert_allclose(gram @ x[i], measures.adjoint(a) @ b, atol=500 * np.finfo(dtype).eps)
        same = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(b), float(alpha)))
        np.testing.assert_allclose(same, x[i], atol=100 * np.finfo(dtype).eps)
    each = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(b), alphas.tolist()))
    np.testing.assert_allclose(each, x[np.arange(3), np.arange(3)], atol=100 * np.finfo(dtype).eps)


def test_ridge_is_scikit_learns():
    a, b = random((20, 4)), random((20, 3))
    for alpha in (0.01, 1.0, 50.0):
        expected = Ridge(alpha=alpha, fit_intercept=False).fit(a, b).coef_.T
        np.testing.assert_allclose(gpusvd.ridge(a, b, alpha), expected, atol=1e-12)


@by_dtype
def test_ridge_with_a_penalty_for_each_right_hand_side(backend, dtype):
    a, b = random((3, 7, 4), dtype), random((3, 7, 2), dtype)
    penalties = np.array([[0.1, 50.0], [0.0, 1.0], [2.0, 0.3]])
    arrays = [backend.array(x) for x in (a, b)]
    x = backend.numpy(gpusvd.ridge(*arrays, backend.array(penalties), per_rhs=True))
    assert x.dtype == dtype
    for j in range(2):
        one = gpusvd.ridge(arrays[0], backend.array(b[..., j:][..., :1]), backend.array(penalties[:, j]))
        np.testing.assert_allclose(
            x[..., j], backend.numpy(one)[..., 0], rtol=0, atol=100 * np.finfo(dtype).eps
        )
    several = backend.numpy(gpusvd.ridge(*arrays, penalties[:, None].tolist(), per_rhs=True))
    assert several.shape == (3, 3, 4, 2)
    np.testing.assert_array_equal(several[[0, 1, 2], [0, 1, 2]], x)


def test_ridge_with_penalties_and_weights_is_scikit_learns():
    a, b, weights = random((20, 4)), random((20, 3)), np.random.default_rng(1).random(20)
    penalties = np.array([0.01, 1.0, 50.0])
    model = Ridge(alpha=penalties, fit_intercept=False, solver="cholesky")
    expected = model.fit(a, b, sample_weight=weights).coef_.T
    np.testing.assert_allclose(gpusvd.ridge(a, b, penalties, weights, per_rhs=True), expected, atol=1e-12)


@by_dtype
def test_ridge_weights_count_rows_several_times(backend, dtype):
    a, b = random((3, 6, 4), dtype), random((3, 6, 2), dtype)
    weights = np.array([2, 0, 1, 1, 3, 4], np.float32)
    repeated = [np.repeat(x, weights.astype(int), axis=1) for x in (a, b)]
    a[0, 1, 2] = np.nan  # in a row of weight 0
    x = gpusvd.ridge(backend.array(a), backend.array(b), 0.5, backend.array(np.stack([weights] * 3)))
    np.testing.assert_allclose(
        backend.numpy(x), gpusvd.ridge(*repeated, 0.5), rtol=0, atol=100 * np.finfo(dtype).eps
    )
    one = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(b), 0.5, weights.tolist()))
    np.testing.assert_array_equal(one, backend.numpy(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0, "per_rhs": True}, r"alpha has shape \(\), expected \(..., 2\) with per_rhs=True"),
        ({"alpha": [1.0], "per_rhs": True}, r"alpha has shape \(1,\), expected \(..., 2\) with per_rhs=True"),
        ({"alpha": [1.0, 2.0, 3.0], "per_rhs": True}, r"alpha has shape \(3,\), expected \(..., 2\)"),
        ({"alpha": [1.0, -1.0], "per_rhs": True}, "alpha must be at least 0"),
        ({"alpha": [[1.0, 1.0]] * 4, "per_rhs": True}, r"alpha of shape \(4, 2\) does not broadcast"),
        ({"alpha": 1.0, "weights": [1.0, 2.0]}, r"weights has shape \(2,\), expected \(..., 5\)"),
        ({"alpha": 1.0, "weights": [1.0] * 4 + [-1.0]}, "weights must be finite and not negative"),
    ],
)
def test_ridge_refuses_wrong_penalties_and_weights(options, message):
    with pytest.raises(ValueError, match=message):
        gpusvd.ridge(random((3, 5, 2)), random((5, 2)), **options)


def test_ridge_at_both_ends(backend):
    a, b = of_rank((2, 6, 4), 2), random(6)
    x = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(b), [[0.0], [1e300]]))
    assert x.shape == (2, 2, 4)
    np.testing.assert_allclose(x[0], gpusvd.lstsq(a, b).x, atol=1e-12)
    np.testing.assert_allclose(x[1], 0, atol=1e-290)
    tiny = gpusvd.ridge(np.diag([1e-200, 3e-200]), [1.0, 1.0], 1e-300)
    np.testing.assert_allclose(tiny, [1e100, 3e100], rtol=1e-14)  # no square underflows
    assert gpusvd.ridge(np.zeros((2, 2)), [1.0, 1.0], [0.0, 1.0]).any() == False  # noqa: E712


@pytest.mark.parametrize(
    ("dtype", "penalties"), [("f4", [0, 1e-30, 1e-8, 1e-4]), ("f8", [0, 1e-300, 1e-20, 1e-12])]
)
def test_ridge_of_dependent_columns(backend, dtype, penalties):
    """One-hot columns beside a column of ones: values that are rounding count as zero for any penalty."""
    rng = np.random.default_rng(3)
    a = np.zeros((20, 30, 6), dtype)
    a[..., 0] = 1
    a[np.arange(20)[:, None], np.arange(30), rng.integers(1, 6, (20, 30))] = 1
    b = rng.standard_normal((20, 30, 1)).astype(dtype)
    squares, q = np.linalg.eigh(np.swapaxes(a, 1, 2).astype(float) @ a)  # of integers, so exact to rounding
    c = np.swapaxes(q, 1, 2) @ (np.swapaxes(a, 1, 2) @ b.astype(float))
    for penalty in penalties:
        inverse = np.where(squares > 1e-9, 1 / (np.where(squares > 1e-9, squares, 1) + penalty), 0)
        x = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(b), penalty))
        np.testing.assert_allclose(x, q @ (inverse[..., None] * c), atol=200 * np.finfo(dtype).eps)


def test_ridge_keeps_nan_where_it_is_and_refuses_wrong_penalties(backend):
    a = random((2, 5, 2))
    a[0] = np.nan
    x = backend.numpy(gpusvd.ridge(backend.array(a), backend.array(np.ones(5)), 1.0))
    np.testing.assert_array_equal(np.isnan(x), [[True] * 2, [False] * 2])
    with pytest.raises(ValueError, match="alpha must be at least 0, not -1"):
        gpusvd.ridge(a, np.ones(5), -1)
    with pytest.raises(TypeError, match="alpha has dtype complex128, expected real numbers"):
        gpusvd.ridge(a, np.ones(5), 1j)
    assert gpusvd.ridge(a.astype(np.float16), np.ones(5, np.float16), 1).dtype == np.float16


# Inverse


@by_batch
@by_dtype
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_inv_is_numpys(backend, n, dtype, batch):
    a = random((*batch, n, n), dtype)
    x = backend.numpy(gpusvd.inv(backend.array(a)))
    assert x.dtype == dtype
    expected = np.linalg.inv(a)
    atol = 20 * np.finfo(dtype).eps * np.linalg.cond(a).max() * np.abs(expected).max()
    np.testing.assert_allclose(x, expected, rtol=0, atol=atol)


def test_inv_of_singular_and_bad_matrices(backend):
    a = np.stack([np.diag([2.0, 4.0]), np.diag([1.0, 0.0]), np.full((2, 2), np.nan), np.zeros((2, 2))])
    x = backend.numpy(gpusvd.inv(backend.array(a)))
    np.testing.assert_allclose(x[0], np.diag([0.5, 0.25]), atol=1e-14)
    assert np.isnan(x[1:]).all()
    for i in (1, 2, 3):
        said = "1 of 2 matrices is singular, or has a NaN or Inf, .*; batch indices: 1$"
        with pytest.raises(LinAlgError, match=said):
            gpusvd.inv(backend.array(a[[0, i]]), errors="raise")
    with pytest.raises(LinAlgError, match="The matrix is singular, or has a NaN or Inf"):
        gpusvd.inv(backend.array(a[1]), errors="raise")
    alone = backend.numpy(gpusvd.inv(backend.array(a[0]), errors="raise"))
    np.testing.assert_allclose(alone, x[0], atol=1e-14)


@by_dtype
def test_inv_of_singular_integers(backend, dtype):
    """Where NumPy's elimination meets an exact zero, though no computed singular value is."""
    a = np.array([[[1, 2], [2, 4]], [[1, 2], [3, 6]], [[1, 2], [3, 4]], [[1, 1], [1, 1]]]).astype(dtype)
    x = backend.numpy(gpusvd.inv(backend.array(a)))
    np.testing.assert_array_equal(np.isnan(x).all(axis=(-2, -1)), [True, True, False, True])
    np.testing.assert_allclose(x[2], [[-2, 1], [1.5, -0.5]], rtol=1e-5)
    with pytest.raises(LinAlgError, match="3 of 4 matrices are singular"):
        gpusvd.inv(backend.array(a), errors="raise")
    b = np.arange(1.0, 10).reshape(3, 3).astype(dtype)
    nearly = np.linalg.slogdet(b)[0] != 0
    assert np.isfinite(backend.numpy(gpusvd.inv(backend.array(b)))).all() == nearly


def test_inv_of_graded_integer_half_and_empty_matrices(backend):
    scaled = gpusvd.inv(np.diag([1e200, 1e-200])) * np.array([[1e200], [1e-200]])  # each row to its scale
    np.testing.assert_allclose(scaled, np.eye(2), atol=1e-14)
    assert gpusvd.inv([[2]]) == pytest.approx(0.5)
    assert gpusvd.inv(np.eye(2, dtype=np.float16)).dtype == np.float16
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3)):
        assert backend.numpy(gpusvd.inv(backend.array(np.zeros(shape)))).shape == shape
    with pytest.raises(LinAlgError, match="square"):
        gpusvd.inv(np.ones((2, 3)))
    with pytest.raises(ValueError, match="errors must be 'nan' or 'raise'"):
        gpusvd.inv(np.eye(2), errors="ignore")


@pytest.mark.parametrize("function", [gpusvd.inv, gpusvd.pinv, gpusvd.polar, gpusvd.svt, gpusvd.norm])
def test_batches_without_a_flat_view(function):
    """Products are made piece by piece whatever the strides."""
    arguments = (0.1,) if function is gpusvd.svt else ()
    a = random((4, 3, 2, 5, 5))
    whole = function(a, *arguments)
    for x in (
        np.asfortranarray(a),
        a.swapaxes(0, 2).copy().swapaxes(0, 2),
        np.broadcast_to(a, (2, *a.shape))[1],
    ):
        result = function(x, *arguments)
        for got, expected in zip(
            *(r if isinstance(r, tuple) else (r,) for r in (result, whole)), strict=True
        ):
            np.testing.assert_allclose(got, expected, atol=1e-12)


# Rows and columns in different units

GRADES = [1, 1e-4, 1e-8, 1e-12, 1e-20, 1e-150]


def well_conditioned(shape, dtype):
    """A product of orthonormal columns and rows with singular values from 1 to 3."""
    m, n = shape[-2:]
    k = min(m, n)
    u, v = (np.linalg.qr(random((*shape[:-2], rows, k), dtype)).Q for rows in (m, n))
    return u * np.linspace(3, 1, k).astype(u.real.dtype) @ measures.adjoint(v)


@by_dtype
@pytest.mark.parametrize("side", ["columns", "rows"])
def test_inv_of_rows_and_columns_in_different_units(backend, dtype, side):
    """The error is relative to each row, or column, of the inverse, as in numpy.linalg.inv."""
    b = well_conditioned((4, 6, 6), dtype)
    exact, eps = np.linalg.inv(b), np.finfo(dtype).eps
    for grade in GRADES if eps < 1e-10 else GRADES[:5]:
        d = np.array([1, 1, grade, 1, 1, grade], np.float64).astype(b.real.dtype)
        if side == "columns":
            x = backend.numpy(gpusvd.inv(backend.array(b * d))) * d[:, None]
        else:
            x = backend.numpy(gpusvd.inv(backend.array(b * d[:, None]))) * d
        np.testing.assert_allclose(x, exact, atol=100 * eps)


@by_dtype
@pytest.mark.parametrize("shape", [(6, 6), (9, 6), (6, 9)])
def test_pinv_and_lstsq_in_different_units(backend, dtype, shape):
    """Of matrices whose rank is not in doubt, the long side's lines at one scale."""
    b, right = well_conditioned((4, *shape), dtype), random((4, shape[0], 2), dtype)
    exact, eps = np.linalg.pinv(b.astype(np.result_type(dtype, float))), np.finfo(dtype).eps
    for grade, rcond in ((1e-3, None), (1e-5, 1e-7), (1e-20, 0.0)):
        d = np.where(np.arange(min(shape)) % 3 == 2, grade, 1).astype(b.real.dtype)
        if shape[0] >= shape[1]:
            a, back, vectors = b * d, d[:, None], right
        else:
            a, back, vectors = b * d[:, None], d, right * d[:, None]
        x = backend.numpy(gpusvd.pinv(backend.array(a), rcond)) * back
        np.testing.assert_allclose(x, exact, atol=100 * eps)
        solution, _, rank, _ = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array(vectors), rcond))
        np.testing.assert_array_equal(rank, [min(shape)] * 4)
        if shape[0] >= shape[1]:
            solution = solution * d[:, None]
        np.testing.assert_allclose(solution, exact @ right, atol=1000 * eps)


def test_rank_is_that_of_the_matrix_as_it_is(backend):
    """Units do not change what rcond cuts off."""
    a = np.array([[[1, 2e-20], [3, 4e-20]], [[1, 2], [3, 4]]])
    x, _, rank, _ = backend.numpy(gpusvd.lstsq(backend.array(a), backend.array(np.array([1.0, 1.0]))))
    np.testing.assert_array_equal(rank, [1, 2])
    np.testing.assert_allclose(
        x, [np.linalg.lstsq(each, [1.0, 1.0])[0] for each in a], rtol=1e-12, atol=1e-30
    )
    np.testing.assert_allclose(
        backend.numpy(gpusvd.pinv(backend.array(a)))[0], np.linalg.pinv(a[0]), atol=1e-30
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_an_entry_beyond_the_range_spoils_no_other(backend, dtype):
    tiny = np.finfo(dtype).smallest_normal / 5
    a = np.zeros((2, 3, 3), dtype)
    a[0] = np.diag([tiny, 1, 4]).astype(dtype)
    a[1] = np.diag([1, 2, 4]).astype(dtype)
    for invert in (gpusvd.inv, lambda a: gpusvd.pinv(a, 0.0)):
        x = backend.numpy(invert(backend.array(a)))
        assert np.isinf(x[0, 0, 0])
        np.testing.assert_allclose(x[0, 1:, 1:], np.diag([1, 0.25]), rtol=1e-6)
        np.testing.assert_allclose(x[1], np.diag([1, 0.5, 0.25]), rtol=1e-6, atol=0)
    with pytest.raises(LinAlgError, match=r"1 of 2 matrices .* beyond the range of its dtype; .*: 0"):
        gpusvd.inv(backend.array(a), errors="raise")
