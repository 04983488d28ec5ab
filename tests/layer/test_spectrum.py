"""What the functions of the singular values say, held against definitions, NumPy and theory."""

import math
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._layer import spectrum as _spectrum
from tests.support import gallery

examples = settings(deadline=None, max_examples=100)
OF_SPECTRA = [gpusvd.energy, gpusvd.spectral_entropy, gpusvd.effective_rank, gpusvd.participation_ratio]
EMPTY = [(0, 3), (3, 0), (0, 0), (2, 0, 3), (2, 3, 0), (0, 3, 2), (0, 0, 2)]

by_function = pytest.mark.parametrize("function", OF_SPECTRA, ids=lambda function: function.__name__)

spectra = arrays(
    np.float64, st.integers(1, 8), elements=st.one_of(st.just(0.0), st.just(1.0), st.floats(1e-3, 1))
).map(lambda s: -np.sort(-s))


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


# Functions of S


def test_values_of_known_spectra(backend):
    S = np.array([[1, 1, 1, 1], [5, 0, 0, 0], [np.sqrt(45), np.sqrt(5), 0, 0], [0, 0, 0, 0], [np.nan] * 4])
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    expected = {
        gpusvd.energy: [[0.25, 0.5, 0.75, 1], [1] * 4, [0.9, 1, 1, 1], [1] * 4, [np.nan] * 4],
        gpusvd.spectral_entropy: [math.log(4), 0, entropy, 0, np.nan],
        gpusvd.effective_rank: [4, 1, math.exp(entropy), 0, np.nan],
        gpusvd.participation_ratio: [4, 1, 1 / 0.82, 0, np.nan],
    }
    for function, values in expected.items():
        result = backend.numpy(function(backend.array(S)))
        np.testing.assert_allclose(result, values, rtol=1e-14, atol=1e-15, err_msg=function.__name__)
        assert not np.signbit(result).any()


@by_function
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e307])
def test_no_square_over_or_underflows(backend, function, scale):
    S = np.array([[9.0, 4.0, 1.0], [0.0, 0.0, 0.0]])
    same = backend.numpy(function(backend.array(S * scale)))
    rtol = 1e-3 if scale < 1e-300 else 1e-13  # subnormal numbers have few digits
    np.testing.assert_allclose(same, function(S), rtol=rtol)


def test_values_that_overflowed_count_as_the_largest_number():
    np.testing.assert_allclose(gpusvd.energy([np.inf, np.inf, 1e300]), [0.5, 1, 1], rtol=1e-14)
    assert gpusvd.effective_rank([np.inf, 1.0]) == 1


@by_function
@pytest.mark.parametrize("char", "efd")
def test_dtypes_of_spectra(backend, function, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    S = np.array([3, 2, 1], char)
    result = backend.numpy(function(backend.array(S)))
    assert result.dtype == S.dtype
    # p log p adds the errors of p, about 2 eps, and of log, up to 4 eps in single precision, over an entropy
    # of 0.8; exp adds its own.
    np.testing.assert_allclose(result, function(S.astype(float)), rtol=16 * np.finfo(char).eps)
    assert function([3, 2, 1]).dtype == np.float64


@by_function
def test_spectra_without_values(backend, function):
    result = backend.numpy(function(backend.array(np.zeros((2, 0)))))
    assert result.shape == ((2, 0) if function is gpusvd.energy else (2,))
    assert not result.any()
    assert function(np.zeros((0, 3))).shape[0] == 0


@by_function
def test_wrong_spectra(function):
    with pytest.raises(TypeError, match="expected real singular values"):
        function([1j])
    with pytest.raises(ValueError, match="S is a number"):
        function(1.0)
    with pytest.raises(TypeError, match="unsupported"):
        function(["a"])


@examples
@given(spectra)
def test_order_of_the_ranks(S):
    """participation ratio <= effective rank <= rank, and energy rises to 1."""
    rank = np.count_nonzero(S)
    slack = 1 + 1e-13
    assert gpusvd.participation_ratio(S) <= gpusvd.effective_rank(S) * slack
    assert gpusvd.effective_rank(S) <= rank * slack
    assert (rank == 0) == (gpusvd.participation_ratio(S) < 1 / slack)
    energy = gpusvd.energy(S)
    assert (np.diff(energy) >= 0).all()
    assert energy[-1] == 1
    if rank:
        np.testing.assert_allclose(
            1 - energy, gpusvd.truncation_error(S, np.arange(1, len(S) + 1)) ** 2 / (S**2).sum(), atol=1e-14
        )


# Rank, condition and norms, which NumPy has


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4)], ids=str)
def test_matrix_rank_is_numpys(backend, shape, dtype):
    rng = np.random.default_rng(0)
    a = np.stack([gallery.integer_rank(rng, *shape, dtype, rank).a for rank in (1, 2, 3, 9)])
    a = np.stack([a, 1e-20 * a, np.zeros_like(a)])
    np.testing.assert_array_equal(
        backend.numpy(gpusvd.matrix_rank(backend.array(a))), np.linalg.matrix_rank(a)
    )
    spectrum = np.linalg.svd(a[0], compute_uv=False)
    tolerance = (spectrum[:, :1].mean(axis=-1) * 0.4).astype(float)
    for kwargs in ({"tol": 0.5}, {"tol": tolerance.tolist()}, {"rtol": 0.4}, {"rtol": [0.1, 0.2, 0.3, 0.4]}):
        np.testing.assert_array_equal(
            backend.numpy(gpusvd.matrix_rank(backend.array(a[0]), **kwargs)),
            np.linalg.matrix_rank(a[0], **kwargs),
        )


def test_matrix_rank_of_hermitian_vectors_nan_and_nothing(backend):
    a = np.array([[2.0, 9.0], [0.0, 0.0]])  # lower triangle: rank 1
    assert backend.numpy(gpusvd.matrix_rank(backend.array(a), hermitian=True)) == 1
    for vector in (np.zeros(3), np.ones(3), np.array(2.0), np.array(0.0)):
        rank = backend.numpy(gpusvd.matrix_rank(backend.array(vector)))
        assert rank == np.linalg.matrix_rank(vector)
    bad = np.stack([np.eye(3), np.full((3, 3), np.nan), np.full((3, 3), np.inf)])
    np.testing.assert_array_equal(backend.numpy(gpusvd.matrix_rank(backend.array(bad))), [3, 0, 0])
    for shape in EMPTY:
        ranks = backend.numpy(gpusvd.matrix_rank(backend.array(np.zeros(shape))))
        np.testing.assert_array_equal(ranks, np.zeros(shape[:-2]))
    with pytest.raises(ValueError, match="tol or rtol, not both"):
        gpusvd.matrix_rank(a, tol=1, rtol=1)
    assert gpusvd.matrix_rank(np.eye(3, dtype=np.float16)) == 3
    assert gpusvd.matrix_rank(np.ones((3, 3), np.float16) * 0.1) == 1


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize("p", [None, 2, -2, "fro", "nuc", 1, -1, math.inf, -math.inf])
def test_cond_is_numpys(backend, p, dtype):
    a = random((4, 5, 5), dtype)
    result = backend.numpy(gpusvd.cond(backend.array(a), p))
    assert result.dtype == np.zeros(1, dtype).real.dtype
    np.testing.assert_allclose(result, np.linalg.cond(a, p), rtol=1e3 * np.finfo(dtype).eps)
    if p in (None, 2, -2):
        tall = random((4, 6, 3), dtype)
        result = backend.numpy(gpusvd.cond(backend.array(tall), p))
        np.testing.assert_allclose(result, np.linalg.cond(tall, p), rtol=1e3 * np.finfo(dtype).eps)


def test_cond_of_singular_nan_and_extreme_matrices(backend):
    a = np.array([np.diag([2.0, 0.0]), np.zeros((2, 2)), np.full((2, 2), np.nan), np.diag([1e300, 1e-300])])
    for p in (None, 2, "fro", "nuc", 1, math.inf):
        result = backend.numpy(gpusvd.cond(backend.array(a), p))
        np.testing.assert_array_equal(result, [np.inf, np.inf, np.nan, np.inf])
    for p in (-1, -math.inf):
        result = backend.numpy(gpusvd.cond(backend.array(a), p))
        np.testing.assert_array_equal(result, [np.inf, np.inf, np.nan, 0])
    result = backend.numpy(gpusvd.cond(backend.array(a), -2))
    np.testing.assert_array_equal(result, [0, np.inf, np.nan, 0])
    np.testing.assert_allclose(gpusvd.cond(np.diag([1e-200, 1e-201]), "fro"), 10.1)
    assert gpusvd.cond(np.eye(2, dtype=np.float16)).dtype == np.float16


def test_wrong_cond():
    with pytest.raises(ValueError, match="p must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not 3"):
        gpusvd.cond(np.eye(2), 3)
    for p in ("fro", 1, -math.inf):
        with pytest.raises(LinAlgError, match="square"):
            gpusvd.cond(np.ones((2, 3)), p)
    with pytest.raises(ValueError, match=r"p must be .*, not array\("):
        gpusvd.cond(np.eye(2), np.array([1, 2]))
    with pytest.raises(LinAlgError, match="not defined on empty"):
        gpusvd.cond(np.zeros((2, 0, 3)))
    assert gpusvd.cond(np.zeros((0, 2, 3))).shape == (0,)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize("ord_", ["fro", "nuc", 2, None, -2, 1, -1, math.inf, -math.inf])
def test_norm_is_numpys(backend, ord_, dtype):
    for shape in ((4, 5, 5), (2, 2, 6, 3), (3, 6)):
        a = random(shape, dtype)
        result = backend.numpy(gpusvd.norm(backend.array(a), ord_))
        assert result.dtype == np.zeros(1, dtype).real.dtype
        expected = np.linalg.norm(a, ord_ or "fro", axis=(-2, -1))
        np.testing.assert_allclose(result, expected, rtol=30 * np.finfo(dtype).eps)


def test_norm_of_extreme_bad_and_empty_matrices(backend):
    a = np.array([[[3e-200, 0], [0, 4e-200]], [[3e300, 0], [0, 4e300]], np.zeros((2, 2))])
    np.testing.assert_allclose(backend.numpy(gpusvd.norm(backend.array(a))), [5e-200, 5e300, 0], rtol=1e-15)
    assert np.isinf(gpusvd.norm(np.full((2, 2), 1.7e308)))
    assert np.isinf(gpusvd.norm([[np.inf, 0], [0, 1]]))
    for ord_ in ("fro", "nuc", 2):
        assert np.isnan(backend.numpy(gpusvd.norm(backend.array([[np.nan, 0], [0, 1]]), ord_)))
        for shape in EMPTY:
            result = backend.numpy(gpusvd.norm(backend.array(np.zeros(shape)), ord_))
            np.testing.assert_array_equal(result, np.zeros(shape[:-2]))
    assert gpusvd.norm([[3, 0], [0, 4]]) == 5
    assert gpusvd.norm(np.full((16, 16), 100, np.float16)).dtype == np.float16
    with pytest.raises(ValueError, match="ord must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not 3"):
        gpusvd.norm(a, 3)
    with pytest.raises(ValueError, match=r"ord must be .*, not array"):
        gpusvd.norm(a, np.array([1, 2]))
    with pytest.raises(ValueError, match="driver must be"):
        gpusvd.norm(a, driver="qr")


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_frobenius_norm_of_views_long_and_mixed_matrices(dtype):
    """In pieces without a copy of the batch, and with squares that over- and underflow in some matrices."""
    eps, big = np.finfo(dtype).eps, float(np.finfo(dtype).max)
    a = random((300, 12, 12), dtype)
    a[5] *= np.float32(1e-30) * np.float32(1e-8) if eps > 1e-10 else 1e-300
    a[7] = big / 100
    a[8] = 0
    windows = np.lib.stride_tricks.sliding_window_view(random((40, 30), dtype), (8, 8))
    for x in (a, a[::-1, ::2, ::-1], windows, random((1, 300, 700), dtype)):
        wide = x.astype(np.clongdouble if x.dtype.kind == "c" else np.longdouble)
        expected = np.sqrt((np.abs(wide) ** 2).sum(axis=(-2, -1)))
        np.testing.assert_allclose(gpusvd.norm(x), expected, rtol=30 * eps)
        np.testing.assert_array_equal(gpusvd.norm(x[-1:]), gpusvd.norm(x)[-1:])


@pytest.mark.parametrize("order", ["fro", 1, -math.inf])
def test_norms_take_no_copy_of_the_batch(order):
    """Windows of a picture, which share its memory."""
    windows = np.lib.stride_tricks.sliding_window_view(random((400, 400), np.float32), (16, 16))
    gpusvd.norm(windows[:2, :2], order)
    tracemalloc.start()
    try:
        result = gpusvd.norm(windows, order)
        assert tracemalloc.get_traced_memory()[1] < 30 * result.nbytes < windows.size // 2
    finally:
        tracemalloc.stop()


# Noise


@pytest.mark.parametrize("beta", [1e-6, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_median_of_marchenko_and_pastur(beta):
    median = _spectrum.marchenko_pastur_median(beta)
    low, high = (1 - math.sqrt(beta)) ** 2, (1 + math.sqrt(beta)) ** 2

    def density(t):
        """In x = low + (high - low) sin² t, which takes the square roots away."""
        x = low + (high - low) * math.sin(t) ** 2
        return ((high - low) * math.sin(t) * math.cos(t)) ** 2 / (math.pi * beta * x) if x else 0.0

    middle = math.asin(math.sqrt((median - low) / (high - low)))
    assert scipy.integrate.quad(density, 0, middle)[0] == pytest.approx(0.5, abs=1e-7)
    assert scipy.integrate.quad(density, 0, math.pi / 2)[0] == pytest.approx(1, abs=1e-7)


def test_thresholds_that_gavish_and_donoho_print(backend):
    """4 / sqrt(3) and 2.858 for square matrices, and the cubic approximation, good to 0.02, for others."""
    S = backend.array(np.full((2, 100), 3.0))
    known = backend.numpy(gpusvd.optimal_threshold(S, 100, 100, noise=0.5))
    np.testing.assert_allclose(known, [4 / math.sqrt(3) * 10 * 0.5] * 2, rtol=1e-14)
    unknown = backend.numpy(gpusvd.optimal_threshold(S, 100, 100))
    np.testing.assert_allclose(unknown, [3 * 2.8582] * 2, rtol=1e-4)
    each = backend.numpy(gpusvd.optimal_threshold(S, 100, 100, noise=backend.array([1.0, 2.0])))
    np.testing.assert_allclose(each, 4 / math.sqrt(3) * 10 * np.array([1, 2]), rtol=1e-14)
    for m in range(1, 101):
        beta = m / 100
        omega = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
        assert gpusvd.optimal_threshold(np.ones(m), m, 100) == pytest.approx(omega, abs=0.02)
        assert gpusvd.optimal_threshold(np.ones(m), 100, m) == pytest.approx(omega, abs=0.02)


def test_median_of_an_even_and_an_odd_number():
    factor = float(gpusvd.optimal_threshold([1.0, 1.0, 1.0], 3, 3))
    assert gpusvd.optimal_threshold([9.0, 2.0, 1.0], 3, 3) == pytest.approx(2 * factor)
    factor = float(gpusvd.optimal_threshold([1.0, 1.0], 2, 2))
    assert gpusvd.optimal_threshold([9.0, 2.0], 2, 2) == pytest.approx(5.5 * factor)
    assert np.isfinite(gpusvd.optimal_threshold([1.7e308, 5e307], 2, 100))


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_threshold_finds_the_signal(dtype):
    rng = np.random.default_rng(1)
    m, n, rank, noise = 120, 80, 5, 0.1
    signal = gallery.gaussian_entries(rng, m, rank, dtype) @ gallery.gaussian_entries(rng, rank, n, dtype)
    shape = (3, m, n)
    z = rng.standard_normal(shape)
    z = (z + 1j * rng.standard_normal(shape)) / math.sqrt(2) if dtype.kind == "c" else z
    a = (signal + noise * z).astype(dtype)
    U, S, Vh = gpusvd.svd(a, full_matrices=False)
    for known in (None, noise):
        t = gpusvd.truncate(U, S, Vh, atol=gpusvd.optimal_threshold(S, m, n, noise=known))
        np.testing.assert_array_equal(t.rank, [rank] * 3)
        denoised = gpusvd.reconstruct(*t)
        assert (gpusvd.norm(denoised - signal) < 0.4 * gpusvd.norm(a - signal)).all()


def test_threshold_of_pure_noise_keeps_nothing():
    a = np.random.default_rng(2).standard_normal((20, 60, 40))
    S = gpusvd.svdvals(a)
    assert (S[:, 0] < gpusvd.optimal_threshold(S, 60, 40)).all()


def test_threshold_of_nan_nothing_and_wrong_shapes(backend):
    S = backend.array([[np.nan, np.nan], [2.0, 1.0]])
    for noise in (None, 0.1):
        np.testing.assert_array_equal(
            np.isnan(backend.numpy(gpusvd.optimal_threshold(S, 2, 3, noise))), [True, False]
        )
    assert not backend.numpy(gpusvd.optimal_threshold(backend.array(np.zeros((2, 0))), 0, 3)).any()
    assert gpusvd.optimal_threshold(np.ones(3, np.float32), 3, 4).dtype == np.float32
    with pytest.raises(ValueError, match="S has 2 values, expected all 3 of 3 x 4 matrices"):
        gpusvd.optimal_threshold([2.0, 1.0], 3, 4)
    with pytest.raises(ValueError, match=r"m must be a non-negative int, not 2\.0"):
        gpusvd.optimal_threshold([2.0, 1.0], 2.0, 3)
