"""The soft threshold of singular values is the proximal step of the nuclear norm."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._base.threads import usable_cores
from gpusvd._layer import products
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def assert_prox(a, x, tau, bound):
    """a - x is tau times a subgradient of the nuclear norm at x: then x, and x alone, minimises.

    That is, no singular value of a - x is above tau, and <a - x, x> is tau times the nuclear norm of x.
    """
    size = bound * (1 + np.linalg.norm(a, axis=(-2, -1)))
    measures.assert_below(np.linalg.norm(a - x, 2, axis=(-2, -1)) - tau, size)
    inner = ((a - x).conj() * x).sum(axis=(-2, -1)).real
    nuclear = np.linalg.norm(x, "nuc", axis=(-2, -1))
    measures.assert_below(np.abs(inner - tau * nuclear), size * (1 + np.linalg.norm(x, axis=(-2, -1))))


@by_dtype
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (7, 1), (1, 7)])
@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 3)], ids=str)
def test_svt(backend, batch, shape, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random((*batch, *shape), char)
    wide = a.astype(np.result_type(a, np.float64))
    bound = 100 * measures.eps(a.real.dtype)
    for tau in (0, 0.5, 2.0, np.linspace(0, 3, 3)[: batch[-1] if batch else 1]):
        x = backend.numpy(gpusvd.svt(backend.array(a), tau if np.ndim(tau) == 0 else backend.array(tau)))
        assert x.dtype == a.dtype
        assert x.shape == (a.shape if batch or np.ndim(tau) == 0 else (1, *shape))
        assert_prox(wide, x.astype(wide.dtype), tau, bound)


@examples
@given(
    st.sampled_from(list(gallery.SPECTRA)),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.integers(0, 2**32 - 1),
    st.floats(0, 2),
)
def test_svt_is_the_proximal_step(spectrum, shape, seed, tau):
    a = gallery.MATRICES[spectrum](np.random.default_rng(seed), *shape, np.dtype(float)).a
    norm = np.linalg.norm(a)
    a = a / norm if norm > 0 else a
    assert_prox(a, gpusvd.svt(a, tau), tau, 1e-14)


@examples
@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
def test_nothing_else_is_better(seed, tau):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((4, 3))

    def cost(x):
        nuclear = np.linalg.norm(x, "nuc", axis=(-2, -1))
        return np.linalg.norm(x - a, axis=(-2, -1)) ** 2 / 2 + tau * nuclear

    x = gpusvd.svt(a, tau)
    steps = rng.standard_normal((30, 4, 3)) * np.logspace(-5, 0, 30)[:, None, None]
    assert (cost(x + steps) >= cost(x) - 1e-13).all()


def test_thresholds_of_a_batch_and_many_for_one_matrix(backend):
    a = backend.array(np.stack([np.diag([10.0, 3.0, 1.0])] * 2))
    x = backend.numpy(gpusvd.svt(a, backend.array([2.0, 5.0])))
    bound = 20 * 10 * measures.eps(float)  # of a matrix of norm 10
    np.testing.assert_allclose(x, [np.diag([8, 1, 0]), np.diag([5, 0, 0])], atol=bound)
    many = backend.numpy(gpusvd.svt(a[0, ...], [0, 1.0, 10.0]))
    np.testing.assert_allclose(many, [np.diag([10, 3, 1]), np.diag([9, 2, 0]), np.zeros((3, 3))], atol=bound)


def test_all_below_the_threshold_become_zero():
    a = random((5, 4, 3))
    assert not gpusvd.svt(a, 1e3).any()
    assert not gpusvd.svt(a, np.inf).any()
    assert not gpusvd.svt(a.astype(np.float32), 1e300).any()
    assert not gpusvd.svt(np.zeros((4, 3)), 0).any()


@pytest.mark.parametrize("power", [-1060, -500, 500, 1020])
def test_svt_at_any_scale(power):
    a = np.ldexp(random((4, 3)), power)
    x = gpusvd.svt(a, np.ldexp(0.5, power))
    expected = gpusvd.svt(random((4, 3)), 0.5)
    np.testing.assert_allclose(np.ldexp(x, -power), expected, atol=1e-14 + np.ldexp(1.0, -1070 - power))


@pytest.mark.parametrize("tau", [0.5, 100.0, np.inf])
def test_svt_is_nan_for_its_own_matrix_alone(backend, tau):
    a = random((3, 4, 3))
    a[1, 0, 0] = np.nan
    x = backend.numpy(gpusvd.svt(backend.array(a), tau))
    assert np.isnan(x[1]).all()
    assert_prox(a[::2], x[::2], min(tau, 1e3), 1e-14)


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (2, 0, 3), (0, 3, 2)])
def test_svt_without_entries(backend, shape):
    assert backend.numpy(gpusvd.svt(backend.array(np.zeros(shape)), 1.0)).shape == shape


def test_svt_of_integers():
    x = gpusvd.svt([[3, 0], [0, 1]], 2)
    assert x.dtype == np.float64
    np.testing.assert_allclose(x, [[1, 0], [0, 0]], atol=1e-14)


def test_svt_refuses():
    for tau in (-1, [1.0, np.nan]):
        with pytest.raises(ValueError, match="tau must be at least 0, not "):
            gpusvd.svt(np.ones((2, 2, 2)), tau)
    with pytest.raises(ValueError, match=r"tau of shape \(3,\) does not broadcast against a batch of \(2,\)"):
        gpusvd.svt(np.ones((2, 2, 2)), [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="tau has dtype complex128"):
        gpusvd.svt(np.eye(2), 1j)
    with pytest.raises(LinAlgError, match="1-dimensional"):
        gpusvd.svt([1, 2], 1)


def test_larger_matrices_need_little_beside_the_result(monkeypatch):
    a = random((2000, 20, 17), np.float32)
    expected = gpusvd.svt(a, 0.5)
    monkeypatch.setattr(products, "_RUN_BYTES", 2**16)
    monkeypatch.setattr(products, "_LEAST_RUN", 1)
    tau = np.repeat([0.5, 1.0], 1000)
    tracemalloc.start()
    result = gpusvd.svt(a, tau)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result.nbytes < result.nbytes / 2
    np.testing.assert_array_equal(result[:1000], expected[:1000])
    assert (result[1000:] != expected[1000:]).any(axis=(-2, -1)).all()
    for view in (a[::-1].reshape(40, 50, 20, 17), a[:1900].reshape(50, 38, 20, 17)[:, ::2]):
        np.testing.assert_array_equal(
            gpusvd.svt(view, 0.5).reshape(-1, 20, 17), [gpusvd.svt(x, 0.5) for x in view.reshape(-1, 20, 17)]
        )


def test_small_matrices_need_little_beside_the_result(monkeypatch):
    monkeypatch.setattr(products, "_PIECE_BYTES", 2**16)
    a = random((40_000, 6, 6), np.float32)
    gpusvd.svt(a[:100], 0.5)  # NumPy imports on first use
    tracemalloc.start()
    result = gpusvd.svt(a, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result.nbytes < usable_cores() * 16 * 2**16
    assert peak - result.nbytes < result.nbytes
