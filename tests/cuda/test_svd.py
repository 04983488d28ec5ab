"""The CUDA kernels, from matrix to factors, in the emulator: the gallery, held to mathematics and to the
kernels of the CPU."""

from itertools import cycle

import numpy as np
import pytest

import gpusvd
from gpusvd._cuda import jacobi as _cuda
from tests.support import cuda_emulated, gallery, measures

# One after the other for float32, float64, complex64 and complex128, which has no 4 columns: they are many
# instructions of 32 threads each. `test_ptx` has the rest.
TINY_SHAPES = [(4, 4), (3, 3), (3, 2), (2, 2), (2, 5), (1, 1), (4, 4), (3, 3), (3, 6), (8, 1), (2, 3), (6, 3)]

by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of few threads: as many matrices as there are, several blocks, and the last one not full."""
    monkeypatch.setattr(_cuda, "_THREADS", 32)


def emulated(a, *args, **kwargs):
    a.flags.writeable = False
    return cuda_emulated.svd_ex(a, *args, **kwargs)


@pytest.mark.parametrize(("dtype", "shape"), [*zip(cycle(gallery.DTYPES), TINY_SHAPES)], ids=str)
def test_gallery(dtype, shape):
    check_gallery(dtype, shape)


@pytest.mark.parametrize(
    ("dtype", "shape"), [("float32", (5, 5)), ("float64", (9, 2)), ("complex64", (5, 7))], ids=str
)
def test_gallery_beyond_a_thread(dtype, shape):
    check_gallery(np.dtype(dtype), shape, more_sweeps=3)


def check_gallery(dtype, shape, more_sweeps=2):  # reciprocals are rounded as on a GPU
    a = gallery.batch(*shape, dtype)
    U, S, Vh, info = emulated(a, full_matrices=False)
    measures.assert_svd(a, U, S, Vh)
    on_cpu = gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")
    np.testing.assert_array_equal(info.converged, on_cpu.info.converged)
    assert np.abs(info.sweeps - on_cpu.info.sweeps).max() <= more_sweeps
    assert_few_eps_apart(S, on_cpu.S)


@pytest.mark.parametrize(
    ("dtype", "shape"), [*zip(gallery.DTYPES, [(4, 2), (2, 4), (2, 3), (6, 1)], strict=True)], ids=str
)
def test_full_factors(dtype, shape):
    a = gallery.batch(*shape, dtype)
    U, S, Vh, _ = emulated(a)
    assert (U.shape[-1], Vh.shape[-2]) == shape
    measures.assert_svd(a, U, S, Vh)


@pytest.mark.parametrize(
    ("dtype", "shape"), [*zip(gallery.DTYPES, [(3, 3), (2, 4), (3, 3), (2, 2)], strict=True)], ids=str
)
def test_values_only(dtype, shape):
    a = gallery.batch(*shape, dtype)
    S, info = emulated(a, compute_uv=False)
    with_vectors = emulated(a)
    assert_few_eps_apart(S, with_vectors.S)  # with vectors they come from the lengths of two columns
    np.testing.assert_array_equal(info.sweeps, with_vectors.info.sweeps)


@by_dtype
def test_relative_accuracy(dtype):
    rng = np.random.default_rng(0)
    well = gallery.gaussian_entries(rng, 20 * 4, 4, dtype).reshape(20, 4, 4)
    exponents = np.stack([gallery.exponents(rng, dtype, 4) for _ in range(20)])
    exponents = np.maximum(exponents, np.finfo(dtype).minexp + np.finfo(dtype).nmant + 8)
    a = gallery.scaled(well.astype(dtype), exponents[:, np.newaxis, :])
    S = emulated(a).S
    exact = gpusvd.svdvals(a, driver="jacobi")
    assert (np.abs(S - exact) <= 200 * measures.eps(S.dtype) * exact).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_matrix_spoils_no_other(bad):
    a = np.random.default_rng(0).standard_normal((20, 3, 3)).astype(np.float32)
    whole = emulated(a.copy())
    a[7, 1, 2] = bad
    result = emulated(a)
    others = np.arange(20) != 7
    for factor, expected in zip(result[:3], whole[:3], strict=True):
        assert np.isnan(factor[7]).all()
        np.testing.assert_array_equal(factor[others], expected[others])
    np.testing.assert_array_equal(result.info.converged, others)
    assert result.info.sweeps[7] == 0
    assert np.isnan(result.info.off[7])


@by_dtype
def test_results_do_not_depend_on_the_place_in_the_batch(dtype):
    a = gallery.batch(3, 3, dtype)
    whole = emulated(a)
    for b in (0, 17, len(a) - 1):
        for factor, expected in zip(emulated(a[b : b + 1])[:3], whole[:3], strict=True):
            np.testing.assert_array_equal(factor[0], expected[b])


@pytest.mark.parametrize("shape", [(2, 3, 3, 2), (3, 2), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.bool_, np.uint64])
def test_other_dtypes_and_batches(dtype, shape):
    a = np.random.default_rng(0).integers(2, size=shape).astype(dtype)
    _, S, _, info = emulated(a)
    assert info.converged.shape == shape[:-2]
    assert info.converged.all()
    expected = gpusvd.svdvals(a, driver="jacobi")
    assert S.dtype == expected.dtype
    np.testing.assert_allclose(S, expected, rtol=4e-3 if dtype == np.float16 else 1e-14, atol=1e-7)


def test_any_strides():
    x = np.random.default_rng(0).standard_normal((6, 4, 5, 4))
    for a in (
        x[::-2, :, ::2, 1:],
        x.swapaxes(-1, -2)[..., :3, :3],
        np.broadcast_to(x[0, 0, :3, :3], (2, 3, 3)),
    ):
        U, S, Vh, _ = emulated(a, full_matrices=False)
        np.testing.assert_allclose((U * S[..., np.newaxis, :]) @ Vh, a, atol=1e-13)


def test_hermitian_takes_the_lower_triangle():
    x = gallery.gaussian_entries(np.random.default_rng(0), 15, 3, np.dtype(complex)).reshape(5, 3, 3)
    x[2, 0, 1] = np.nan
    U, S, Vh, info = emulated(x, hermitian=True)
    lower = np.tril(x, -1)
    a = lower + lower.conj().swapaxes(1, 2) + np.eye(3) * np.diagonal(x, 0, 1, 2).real[:, np.newaxis]
    assert info.converged.all()
    np.testing.assert_allclose((U * S[:, np.newaxis]) @ Vh, a, atol=1e-13)


def test_the_batch_is_cut_into_chunks(monkeypatch):
    a = np.random.default_rng(0).standard_normal((50, 2, 2))
    whole = emulated(a.copy())
    monkeypatch.setattr(_cuda, "_CHUNK_BYTES", 20 * 4 * 32)
    for factor, expected in zip(emulated(a)[:3], whole[:3], strict=True):
        np.testing.assert_array_equal(factor, expected)


def assert_few_eps_apart(S, expected):
    """Equal to a few eps of each value's matrix."""
    np.testing.assert_array_equal(np.isinf(S), np.isinf(expected))
    top = np.minimum(expected[:, :1], np.finfo(S.dtype).max)
    with np.errstate(invalid="ignore"):
        error = np.where(np.isinf(S), 0, np.abs(S - expected))
    measures.assert_below(error, 10 * measures.eps(S.dtype) * top + np.finfo(S.dtype).smallest_subnormal)
