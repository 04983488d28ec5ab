"""The few largest singular values, and the SVD of a product: against the matrices that they belong to."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.linalg import LinAlgError

import gpusvd
from tests.support import measures

examples = settings(deadline=None, max_examples=50)
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def falling(m, n, ratio, dtype=np.float64, batch=(), seed=0):
    """Matrices with the singular values 1, ratio, ratio², ..."""
    k = min(m, n)
    q, _ = np.linalg.qr(random((*batch, m, k), "D" if np.dtype(dtype).kind == "c" else "d", seed))
    p, _ = np.linalg.qr(random((*batch, n, k), "D" if np.dtype(dtype).kind == "c" else "d", seed + 1))
    return (q * ratio ** np.arange(k) @ p.conj().mT).astype(dtype)


def assert_orthonormal(u, vh, bound):
    identity = np.eye(u.shape[-1])
    measures.assert_below(np.abs(u.conj().mT @ u - identity), bound)
    measures.assert_below(np.abs(vh @ vh.conj().mT - identity), bound)


# The few largest


@by_dtype
@pytest.mark.parametrize("shape", [(120, 110), (100, 300), (3, 150, 100), (2, 1, 110, 101)], ids=str)
def test_svd_top(backend, shape, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = falling(*shape[-2:], 0.7, char, shape[:-2])
    result = gpusvd.svd_top(backend.array(a), 5)
    assert result.exact is False
    u, s, vh, error = (backend.numpy(x) for x in result[:4])
    assert (u.dtype, vh.dtype) == (a.dtype, a.dtype)
    assert s.dtype == error.dtype == np.result_type(a.real.dtype, np.float32)
    assert u.shape == (*shape[:-1], 5)
    assert vh.shape == (*shape[:-2], 5, shape[-1])
    eps = measures.eps(a.real.dtype)
    wide = a.astype(np.result_type(a, np.float64))
    u, vh = u.astype(wide.dtype), vh.astype(wide.dtype)
    assert_orthonormal(u, vh, 50 * eps)
    truth = np.linalg.svd(wide, compute_uv=False)[..., :5]
    measures.assert_below(np.abs(s - truth), 20 * np.finfo(s.dtype).eps)
    measures.assert_below(np.abs(wide @ vh.conj().mT - u * s[..., None, :]), 50 * eps)
    assert (error < 100 * eps).all()


@examples
@given(st.floats(0.3, 1), st.integers(0, 12), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_what_the_errors_promise(ratio, k, n_iter, seed):
    """However slowly the values fall: bounds on each value, never too large, and the projection's error."""
    a = falling(110, 101, ratio, seed=seed % 7)
    u, s, vh, error, exact = gpusvd.svd_top(a, k, n_iter=n_iter, rng=seed)
    assert not exact
    assert_orthonormal(u, vh, 1e-13)
    truth = ratio ** np.arange(101)
    assert (s <= truth[:k] * (1 + 1e-13) + 1e-15).all()  # the matrix itself is rounded, to an eps of its norm
    assert (np.diff(s) <= 0).all()
    np.testing.assert_allclose(error, np.linalg.norm(a @ vh.T - u * s, axis=0), atol=1e-14)
    nearest = np.abs(s[:, None] - truth).min(axis=1)
    assert (nearest <= error + 1e-13).all()
    rest = np.linalg.norm(a) ** 2 - np.sum(s**2)
    assert np.linalg.norm(a - u * s @ vh) ** 2 == pytest.approx(rest, abs=1e-12)


def test_more_steps_give_smaller_errors():
    a = falling(200, 150, 0.95)
    errors = [gpusvd.svd_top(a, 6, n_iter=n_iter).error.max() for n_iter in range(0, 9, 2)]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-3 * errors[0]
    wider = gpusvd.svd_top(a, 6, n_iter=0, n_oversamples=30).error.max()
    assert wider < errors[0]


def test_the_generator_decides():
    a = random((2, 100, 120))
    first = gpusvd.svd_top(a, 4)
    for rng in (0, np.random.default_rng(0)):
        again = gpusvd.svd_top(a, 4, rng=rng)
        np.testing.assert_array_equal(first.S, again.S)
    other = gpusvd.svd_top(a, 4, rng=1)
    assert (first.S != other.S).any()
    generator = np.random.default_rng(5)
    assert (gpusvd.svd_top(a, 4, rng=generator).S != gpusvd.svd_top(a, 4, rng=generator).S).any()


@by_dtype
@pytest.mark.parametrize(
    ("shape", "k"), [((3, 20, 30), 4), ((99, 200), 2), ((110, 105), 20), ((110, 105), 105), ((2, 4, 3), 0)]
)
def test_exact_where_few_are_most(backend, shape, k, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random(shape, char)
    result = gpusvd.svd_top(backend.array(a), k)
    assert result.exact is True
    u, s, vh, error = (backend.numpy(x) for x in result[:4])
    assert (u.shape, s.shape, vh.shape) == ((*shape[:-1], k), (*shape[:-2], k), (*shape[:-2], k, shape[-1]))
    assert error.shape == s.shape
    wide = a.astype(np.result_type(a, np.float64))
    truth = np.linalg.svd(wide, compute_uv=False)[..., :k]
    np.testing.assert_allclose(s, truth, rtol=50 * np.finfo(s.dtype).eps)
    assert (error < 300 * np.finfo(s.dtype).eps * np.linalg.norm(wide, 2, axis=(-2, -1)).max()).all()


@pytest.mark.parametrize("power", [-1000, -300, 300, 1000])
def test_top_at_any_scale(power):
    a = falling(120, 100, 0.5)
    u, s, vh, error, _ = gpusvd.svd_top(np.ldexp(a, power), 3)
    np.testing.assert_allclose(np.ldexp(s, -power), 0.5 ** np.arange(3), rtol=1e-13)
    assert (np.ldexp(error, -power) < 1e-13).all()
    assert_orthonormal(u, vh, 1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(3, 110, 105), (3, 9, 8)])
def test_top_is_nan_for_its_own_matrix_alone(backend, bad, shape):
    a = random(shape)
    a[1, 2, 3] = bad
    result = [backend.numpy(x) for x in gpusvd.svd_top(backend.array(a), 2)[:4]]
    for x in result:
        assert np.isnan(x[1]).all()
        assert np.isfinite(x[::2]).all()


def test_top_of_zeros_low_ranks_and_nothing(backend):
    for a in (np.zeros((2, 120, 110)), np.ones((120, 110))):
        u, s, vh, error = (backend.numpy(x) for x in gpusvd.svd_top(backend.array(a), 3)[:4])
        truth = np.linalg.svd(a, compute_uv=False)[..., :3]
        np.testing.assert_allclose(s, truth, atol=1e-11)
        assert_orthonormal(u, vh, 1e-13)
        assert (error < 1e-11).all()
    for shape in ((0, 3), (3, 0), (0, 120, 110), (2, 0, 0)):
        k = min(2, *shape[-2:])
        u, s, vh, error = (backend.numpy(x) for x in gpusvd.svd_top(backend.array(np.zeros(shape)), k)[:4])
        assert s.shape == error.shape == (*shape[:-2], k)
        assert u.shape == (*shape[:-1], k)


def test_wrong_numbers():
    a = np.ones((4, 3))
    for k in (-1, 4, 2.0, True):
        with pytest.raises(ValueError, match=f"k must be an int from 0 to 3, not {k}"):
            gpusvd.svd_top(a, k)
    with pytest.raises(ValueError, match="n_iter must be a non-negative int, not -1"):
        gpusvd.svd_top(a, 1, n_iter=-1)
    with pytest.raises(ValueError, match="n_oversamples must be a non-negative int, not None"):
        gpusvd.svd_top(a, 1, n_oversamples=None)
    with pytest.raises(ValueError, match="driver must be"):
        gpusvd.svd_top(a, 1, driver="magic")
    with pytest.raises(LinAlgError, match="1-dimensional"):
        gpusvd.svd_top([1, 2], 1)


# Products


@by_dtype
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((50, 3), (3, 40)),
        ((4, 30, 5), (4, 5, 6)),
        ((2, 1, 8, 2), (3, 2, 9)),
        ((4, 9), (9, 3)),
        ((3, 9, 1), (1, 7)),
    ],
    ids=str,
)
def test_svd_product(backend, x, y, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    x, y = random(x, char), random(y, char, seed=1)
    u, s, vh = backend.numpy(gpusvd.svd_product(backend.array(x), backend.array(y)))
    assert (u.dtype, vh.dtype) == (x.dtype, x.dtype)
    assert s.dtype == np.result_type(x.real.dtype, np.float32)
    k = min(x.shape[-2], x.shape[-1], y.shape[-1])
    wide = np.result_type(x, np.float64)
    truth = x.astype(wide) @ y.astype(wide)
    assert u.shape == (*truth.shape[:-1], k)
    assert s.shape == (*truth.shape[:-2], k)
    assert vh.shape == (*truth.shape[:-2], k, truth.shape[-1])
    u, vh = u.astype(wide), vh.astype(wide)
    eps = measures.eps(x.real.dtype)
    assert_orthonormal(u, vh, 50 * eps)
    size = np.linalg.norm(x.astype(wide), axis=(-2, -1)) * np.linalg.norm(y.astype(wide), axis=(-2, -1))
    error = np.linalg.norm((u * s[..., None, :]) @ vh - truth, axis=(-2, -1))
    measures.assert_below(error, 30 * eps * size)
    exact = np.linalg.svd(truth, compute_uv=False)[..., :k]
    measures.assert_below(np.abs(s - exact), 30 * np.finfo(s.dtype).eps * size[..., None])


def test_a_sum_of_products_is_a_product():
    xs, ys = random((3, 40, 4)), random((3, 4, 30), seed=1)
    merged = gpusvd.svd_product(np.concatenate(xs, axis=-1), np.concatenate(ys, axis=-2))
    assert merged.S.shape == (12,)
    np.testing.assert_allclose(gpusvd.reconstruct(*merged), np.sum(xs @ ys, axis=0), atol=1e-12)


def test_product_of_factors_of_different_dtypes():
    u, s, vh = gpusvd.svd_product(random((5, 2), "f"), random((2, 4), "D"))
    assert (u.dtype, s.dtype, vh.dtype) == (np.complex128, np.float64, np.complex128)
    assert pytest.approx(11) == gpusvd.svd_product([[1, 2]], [[3], [4]]).S


@pytest.mark.parametrize(("first", "second"), [(1000, -1000), (-1000, 1000), (500, 500), (-500, -400)])
def test_products_at_any_scale(first, second):
    x, y = random((9, 3)), random((3, 8), seed=1)
    u, s, vh = gpusvd.svd_product(np.ldexp(x, first), np.ldexp(y, second))
    truth = np.linalg.svd(x @ y, compute_uv=False)[:3]
    np.testing.assert_allclose(np.ldexp(s, -first - second), truth, rtol=1e-12)
    assert_orthonormal(u, vh, 1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_product_is_nan_for_its_own_pair_alone(backend, bad):
    x, y = random((3, 9, 3)), random((3, 3, 8))
    x[0, 0, 0] = y[1, 2, 2] = bad
    for result in backend.numpy(gpusvd.svd_product(backend.array(x), backend.array(y))):
        assert np.isnan(result[:2]).all()
        assert np.isfinite(result[2]).all()


@pytest.mark.parametrize(
    ("x", "y"),
    [((3, 0), (0, 4)), ((0, 3), (3, 4)), ((3, 2), (2, 0)), ((0, 3, 2), (0, 2, 4)), ((0, 0), (0, 0))],
)
def test_products_without_entries(backend, x, y):
    u, s, vh = backend.numpy(gpusvd.svd_product(backend.array(np.zeros(x)), backend.array(np.zeros(y))))
    k = min(x[-2], x[-1], y[-1])
    assert (u.shape, s.shape, vh.shape) == ((*x[:-1], k), (*x[:-2], k), (*x[:-2], k, y[-1]))


def test_no_product():
    with pytest.raises(ValueError, match=r"x \(2, 3\) and y \(2, 3\) have no product"):
        gpusvd.svd_product(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="does not broadcast"):
        gpusvd.svd_product(np.ones((2, 4, 3)), np.ones((3, 3, 4)))
    with pytest.raises(TypeError, match="unsupported"):
        gpusvd.svd_product([["a"]], [["b"]])
