"""Singular values in white noise: the theory of the papers, their closed forms, and simulations."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import gpusvd
from tests.support import gallery

examples = settings(deadline=None, max_examples=100)
LOSSES = {"frobenius": "fro", "spectral": 2, "nuclear": "nuc"}
by_loss = pytest.mark.parametrize("loss", LOSSES)


def noisy_value(x, beta):
    """Where noise of level 1 / sqrt(n) moves a singular value, and the cosines by which its vectors turn."""
    y = math.sqrt((x + 1 / x) * (x + beta / x))
    return y, math.sqrt((x**4 - beta) / (x**4 + beta * x**2)), math.sqrt((x**4 - beta) / (x**4 + x**2))


def shrunk(y, beta, loss):
    """The shrinkage of y at the aspect ratio beta = 1 / n, of matrices scaled so that sqrt(n) noise = 1."""
    n = round(1 / beta)
    return float(gpusvd.optimal_shrinkage([y], 1, n, noise=n**-0.5, loss=loss)[0])


# Shrinkage


@by_loss
@examples
@given(st.integers(1, 20), st.floats(1.001, 20))
def test_no_other_value_has_a_smaller_asymptotic_loss(loss, n, excess):
    """The error is that of two rank-one matrices, x e fᵀ and eta u vᵀ, whose vectors meet at known angles."""
    beta = 1 if loss == "spectral" else 1 / n  # the paper's formula for the spectral norm is that of beta = 1
    x = beta**0.25 * excess
    y, c, d = noisy_value(x, beta)

    def error(eta):
        left, right = np.array([c, math.sqrt(1 - c * c)]), np.array([d, math.sqrt(1 - d * d)])
        return np.linalg.norm(np.diag([x, 0.0]) - eta * np.outer(left, right), LOSSES[loss])

    best = shrunk(y, beta, loss)
    at_best = error(best)
    for eta in (0, x, y, *(best * np.array([0.9, 0.99, 1.01, 1.1])), *np.linspace(0, 2 * x, 50)):
        assert at_best <= error(eta) * (1 + 1e-9)


def test_square_matrices_as_printed():
    """sqrt(y² - 4), (y + sqrt(y² - 4)) / 2, and, since y = x + 1 / x, x - 2 / x for the nuclear norm."""
    y = np.array([5.0, 3.0, 2.5, 2.1, 2.0, 1.9, 1.0, 0.0])
    root = np.sqrt(np.maximum(y**2 - 4, 0))
    expected = {
        "frobenius": root,
        "spectral": np.where(y > 2, (y + root) / 2, 0),
        "nuclear": np.maximum((3 * root - y) / 2, 0),
    }
    for loss, values in expected.items():
        result = gpusvd.optimal_shrinkage(y, 8, 8, noise=8**-0.5, loss=loss)
        np.testing.assert_allclose(result, values, rtol=1e-14, atol=1e-15, err_msg=loss)


@by_loss
@pytest.mark.parametrize(("m", "n"), [(3, 3), (3, 12), (12, 3), (3, 3000)])
def test_the_formulas_of_the_paper(backend, loss, m, n):
    noise, beta, large = 0.3, min(m, n) / max(m, n), max(m, n)
    edge = (1 + beta**0.5) * noise * large**0.5
    S = np.array([edge * 40, edge * 1.3, edge * 1.001])
    y = S / noise / large**0.5
    t = y**2 - beta - 1
    x = np.sqrt((t + np.sqrt(t**2 - 4 * beta)) / 2)
    expected = {
        "frobenius": np.sqrt(t**2 - 4 * beta) / y,
        "spectral": x,
        "nuclear": np.maximum(0, (x**4 - beta - beta**0.5 * x * y) / (x**2 * y)),
    }
    result = backend.numpy(gpusvd.optimal_shrinkage(backend.array(S), m, n, noise=noise, loss=loss))
    np.testing.assert_allclose(result, expected[loss] * noise * large**0.5, rtol=1e-10)


def test_the_worst_errors_that_the_papers_print():
    """Of square matrices, in units of noise² n for each rank: 2 by shrinkage, 3 by the optimal threshold."""
    x = np.concatenate([np.linspace(1.0001, 10, 2000), [100.0, 1000.0]])
    y = x + 1 / x
    cosines = (x**4 - 1) / (x**4 + x**2)

    def worst(eta):
        return np.max(x**2 + eta**2 - 2 * x * eta * cosines)

    eta = [shrunk(value, 1, "frobenius") for value in y]
    assert worst(np.array(eta)) == pytest.approx(2, abs=1e-3)
    threshold = gpusvd.optimal_threshold(np.ones(1), 1, 1, noise=1)
    assert worst(np.where(y > threshold, y, 0)) == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_shrinkage_frees_a_signal_from_noise(dtype):
    rng = np.random.default_rng(1)
    m, n, rank, noise = 120, 80, 5, 3.0
    signal = gallery.gaussian_entries(rng, m, rank, dtype) @ gallery.gaussian_entries(rng, rank, n, dtype)
    z = rng.standard_normal((3, m, n))
    z = (z + 1j * rng.standard_normal(z.shape)) / math.sqrt(2) if dtype.kind == "c" else z
    U, S, Vh = gpusvd.svd((signal + noise * z).astype(dtype), full_matrices=False)
    for known in (None, noise):
        values = gpusvd.optimal_shrinkage(S, m, n, noise=known)
        assert values.dtype == S.dtype
        np.testing.assert_array_equal(np.count_nonzero(values, axis=-1), [rank] * 3)
        error = gpusvd.norm(gpusvd.reconstruct(U, values, Vh) - signal)
        assert (error < gpusvd.norm(gpusvd.reconstruct(U, S, Vh, rank=rank) - signal)).all()


@by_loss
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_shrinkage_at_any_scale(loss, scale):
    S, noise = np.array([9.0, 4.0, 0.5]), 0.9
    expected = gpusvd.optimal_shrinkage(S, 3, 5, noise, loss)
    np.testing.assert_allclose(
        gpusvd.optimal_shrinkage(S * scale, 3, 5, noise * scale, loss) / scale, expected, rtol=1e-13
    )
    np.testing.assert_array_equal(gpusvd.optimal_shrinkage(S * scale, 3, 5, 0.0, loss), S * scale)
    assert not gpusvd.optimal_shrinkage(S, 3, 5, np.inf, loss).any()


@by_loss
@pytest.mark.parametrize("char", "efd")
def test_dtypes_and_levels_of_a_batch(backend, loss, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    S = np.array([[9, 4, 2], [7, 5, 1]], char)
    level = np.array([0.5, 2.5])
    result = backend.numpy(gpusvd.optimal_shrinkage(backend.array(S), 3, 4, backend.array(level), loss))
    assert result.dtype == S.dtype
    expected = [
        gpusvd.optimal_shrinkage(s.astype(float), 3, 4, x, loss) for s, x in zip(S, level, strict=True)
    ]
    np.testing.assert_allclose(result, expected, rtol=20 * np.finfo(char).eps, atol=0)
    assert (result[1] == 0).any()
    unknown = backend.numpy(gpusvd.optimal_shrinkage(backend.array(S), 3, 4, loss=loss))
    known = gpusvd.optimal_threshold(S.astype(float), 3, 4) / gpusvd.optimal_threshold(np.ones(3), 3, 4, 1.0)
    expected = gpusvd.optimal_shrinkage(S.astype(float), 3, 4, known, loss)
    np.testing.assert_allclose(unknown, expected, rtol=20 * np.finfo(char).eps, atol=0)


@by_loss
def test_shrinkage_of_nan_and_nothing(backend, loss):
    S = backend.array([[np.nan, np.nan], [20.0, 1.0]])
    for noise in (None, 0.1):
        values = backend.numpy(gpusvd.optimal_shrinkage(S, 2, 3, noise, loss))
        np.testing.assert_array_equal(np.isnan(values), [[True, True], [False, False]])
    for shape in ((2, 0), (0,), (0, 3)):
        empty = backend.array(np.zeros(shape))
        assert backend.numpy(gpusvd.optimal_shrinkage(empty, shape[-1], 3, loss=loss)).shape == shape
    assert not backend.numpy(gpusvd.optimal_shrinkage(backend.array(np.zeros((2, 3))), 3, 3, loss=loss)).any()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="loss must be 'frobenius', 'spectral' or 'nuclear', not 'fro'"):
        gpusvd.optimal_shrinkage([2.0, 1.0], 2, 3, loss="fro")
    for function in (gpusvd.optimal_shrinkage, gpusvd.mppca_rank):
        with pytest.raises(ValueError, match="S has 2 values, expected all 3 of 3 x 4 matrices"):
            function([2.0, 1.0], 3, 4)
        with pytest.raises(ValueError, match=r"m must be a non-negative int, not 2\.0"):
            function([2.0, 1.0], 2.0, 3)
        with pytest.raises(TypeError, match="expected real singular values"):
            function([1j], 1, 1)
    with pytest.raises(ValueError, match="noise must be at least 0, not -1"):
        gpusvd.optimal_shrinkage([2.0, 1.0], 2, 3, -1)
    with pytest.raises(ValueError, match=r"noise of shape \(3,\) does not broadcast"):
        gpusvd.optimal_shrinkage(np.ones((2, 2)), 2, 3, [1.0, 2.0, 3.0])


# The rank by the Marchenko-Pastur distribution


def by_veraart(S, m, n):
    """The rank and the noise of one matrix, by the inequality of the paper for one p after the other."""
    small, large = min(m, n), max(m, n)
    values = S.astype(float) ** 2 / large
    for p in range(small):
        mean = np.mean(values[p:])
        if (values[p] - values[-1]) <= 4 * math.sqrt((small - p) / large) * mean:
            return p, math.sqrt(mean)
    raise AssertionError


@examples
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_rank_and_noise_by_the_inequality(m, n, seed):
    rng = np.random.default_rng(seed)
    S = -np.sort(-rng.gamma(0.5, 2, (5, min(m, n))))
    rank, noise = gpusvd.mppca_rank(S, m, n)
    expected = [by_veraart(s, m, n) for s in S]
    np.testing.assert_array_equal(rank, [p for p, _ in expected])
    np.testing.assert_allclose(noise, [level for _, level in expected], rtol=1e-12)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize(("m", "n", "rank"), [(200, 60, 0), (60, 200, 3), (125, 60, 20)])
def test_rank_and_noise_of_a_simulation(backend, m, n, rank, dtype):
    rng = np.random.default_rng(3)
    signal = gallery.gaussian_entries(rng, m, rank, dtype) @ gallery.gaussian_entries(rng, rank, n, dtype)
    z = rng.standard_normal((4, m, n))
    z = (z + 1j * rng.standard_normal(z.shape)) / math.sqrt(2) if dtype.kind == "c" else z
    S = gpusvd.svdvals((signal + 0.1 * z).astype(dtype))
    result = backend.numpy(gpusvd.mppca_rank(backend.array(S), m, n))
    assert ((rank <= result.rank) & (result.rank <= rank + 3)).all()  # the edge of the noise is not sharp
    assert result.noise.dtype == S.dtype
    left = math.sqrt(1 - rank / max(m, n))  # the signal takes its share of the noise
    np.testing.assert_allclose(result.noise, 0.1 * left, rtol=0.1)  # each value too many takes 2.5%


@pytest.mark.parametrize("char", "efd")
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e3])
def test_noise_at_any_scale(backend, char, scale):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    S = (scale * np.array([[9, 1.2, 1.1, 1.0], [1.2, 1.2, 1.1, 1.0]])).astype(char)
    rank, noise = backend.numpy(gpusvd.mppca_rank(backend.array(S), 4, 16))
    np.testing.assert_array_equal(rank, [1, 0])
    assert noise.dtype == S.dtype
    expected = np.sqrt([np.mean(S[0, 1:].astype(float) ** 2) / 16, np.mean(S[1].astype(float) ** 2) / 16])
    np.testing.assert_allclose(noise, expected, rtol=8 * np.finfo(char).eps)
    if char == "d":
        np.testing.assert_allclose(gpusvd.mppca_rank(S * 1e300, 4, 16).noise, expected * 1e300, rtol=1e-14)


def test_rank_without_noise(backend):
    S = backend.array([[3.0, 2.0, 0.0, 0.0], [0.0] * 4, [np.nan] * 4])
    rank, noise = backend.numpy(gpusvd.mppca_rank(S, 4, 9))
    np.testing.assert_array_equal(rank, [2, 0, 0])
    np.testing.assert_array_equal(noise, [0, 0, np.nan])
    assert backend.numpy(gpusvd.mppca_rank(backend.array([2.0]), 1, 4)).rank == 0
    for shape in ((2, 0), (0,), (0, 3)):
        rank, noise = backend.numpy(gpusvd.mppca_rank(backend.array(np.zeros(shape)), 5, shape[-1]))
        assert rank.shape == noise.shape == shape[:-1]
        assert not noise.any()
        assert rank.dtype.kind == "i"
