"""What is done with arrays in GPU memory: with a stand-in for CuPy and the kernels in the emulator. The tests
marked `gpu` do the same on a device."""

import re
import sys

import numpy as np
import pytest

import gpusvd
from gpusvd._base.install import install
from tests.support import measures, stand_in


def gaussian(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("driver", ["auto", "jacobi", "vendor"])
@pytest.mark.parametrize("shape", [(5, 3, 2), (2, 3, 2, 4), (3, 3)], ids=str)
def test_a_cupy_array_gives_cupy_arrays(cupy, driver, shape):
    a = gaussian(*shape)
    result = gpusvd.svd_ex(cupy.asarray(a), full_matrices=False, driver=driver)
    for array in (*result[:3], *result.info):
        assert isinstance(array, cupy.ndarray)
    U, S, Vh = map(cupy.asnumpy, result[:3])
    measures.assert_svd(
        a.reshape(-1, *shape[-2:]), *(x.reshape(-1, *x.shape[a.ndim - 2 :]) for x in (U, S, Vh))
    )
    assert cupy.asnumpy(result.info.converged).all()
    assert (cupy.asnumpy(result.info.sweeps) > 0).all() == (driver != "vendor")


def test_values_alone(cupy):
    a = gaussian(4, 3, 3)
    S = gpusvd.svdvals(cupy.asarray(a))
    assert isinstance(S, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(S), np.linalg.svd(a, compute_uv=False), rtol=1e-5)
    assert gpusvd.svd(cupy.asarray(a), compute_uv=False).shape == (4, 3)


def test_a_numpy_array_goes_there_and_back(cupy):
    a = gaussian(4, 3, 2, dtype=np.float64)
    U, S, Vh, info = gpusvd.svd_ex(a, full_matrices=False, device="cuda")
    for array in (U, S, Vh, *info):
        assert type(array) is np.ndarray
    measures.assert_svd(a, U, S, Vh)


def test_other_dtypes_lists_and_byte_orders_there_and_back(cupy):
    assert gpusvd.svdvals([[3, 0], [0, 4]], device="cuda").tolist() == [4, 3]
    big = np.array([[3, 0], [0, 4]], ">f4")
    assert gpusvd.svdvals(big, device="cuda").dtype == np.float32
    with pytest.raises(TypeError, match="array type object is unsupported"):
        gpusvd.svdvals(np.array([[object()]]), device="cuda")


class OnDevice:
    """Somebody else's array in GPU memory."""

    def __init__(self, data):
        self.data = data

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **kwargs):
        return self.data.__dlpack__(**kwargs)


def test_any_array_in_gpu_memory_is_taken(cupy):
    a = gaussian(4, 3, 3)
    S = gpusvd.svdvals(OnDevice(cupy.asarray(a)))
    assert isinstance(S, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(S), np.linalg.svd(a, compute_uv=False), rtol=1e-5)


def test_an_array_with_the_cuda_interface_alone_is_taken(cupy):
    a = cupy.asarray(gaussian(4, 3, 3))

    class Foreign:
        __cuda_array_interface__ = a.__cuda_array_interface__

    S = gpusvd.svdvals(Foreign())
    assert isinstance(S, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(S), np.linalg.svd(cupy.asnumpy(a), compute_uv=False), rtol=1e-5)


@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
def test_nan_stays_with_its_matrix(cupy, driver):
    a = gaussian(6, 2, 2)
    whole = cupy.asnumpy(gpusvd.svdvals(cupy.asarray(a), driver=driver))
    a[4, 1, 0] = np.nan
    result = gpusvd.svd_ex(cupy.asarray(a), driver=driver)
    S = cupy.asnumpy(result.S)
    assert np.isnan(S[4]).all()
    assert np.isnan(cupy.asnumpy(result.U)[4]).all()
    np.testing.assert_allclose(np.delete(S, 4, 0), np.delete(whole, 4, 0), rtol=1e-5)
    assert cupy.asnumpy(result.info.converged).tolist() == [True] * 4 + [False, True]
    with pytest.raises(np.linalg.LinAlgError, match=r"1 of 6 matrices .* batch indices: 4"):
        gpusvd.svd(cupy.asarray(a), driver=driver, errors="raise")


@pytest.mark.parametrize("errors", ["nan", "raise"])
def test_out(cupy, errors):
    a = cupy.asarray(gaussian(4, 3, 2))
    out = tuple(cupy.asarray(np.empty(shape, np.float32)) for shape in ((4, 3, 2), (4, 2), (4, 2, 2)))
    result = gpusvd.svd(a, full_matrices=False, out=out, errors=errors)
    assert all(x is y for x, y in zip(result, out, strict=True))
    measures.assert_svd(cupy.asnumpy(a), *map(cupy.asnumpy, out))


def test_out_that_shares_memory_with_the_input(cupy):
    a = gaussian(4, 2, 2)
    x = cupy.asarray(a.copy())
    U, S, Vh = gpusvd.svd(x, out=(x, cupy.empty((4, 2), np.float32), cupy.empty((4, 2, 2), np.float32)))
    assert U is x
    measures.assert_svd(a, *map(cupy.asnumpy, (U, S, Vh)))


def test_out_of_numpy_for_a_numpy_array(cupy):
    a, S = gaussian(4, 2, 2), np.empty((4, 2), np.float32)
    assert gpusvd.svdvals(a, out=S, device="cuda") is S
    np.testing.assert_allclose(S, np.linalg.svd(a, compute_uv=False), rtol=1e-5)


def test_out_that_does_not_fit(cupy):
    a = cupy.asarray(gaussian(4, 2, 2))
    with pytest.raises(TypeError, match="S in out is a ndarray, expected a CuPy array"):
        gpusvd.svdvals(a, out=np.empty((4, 2), np.float32))
    with pytest.raises(ValueError, match=r"S in out has shape \(4, 3\), expected \(4, 2\)"):
        gpusvd.svdvals(a, out=cupy.empty((4, 3), np.float32))
    with pytest.raises(TypeError, match="S in out has dtype float64, expected float32"):
        gpusvd.svdvals(a, out=cupy.empty((4, 2), np.float64))
    with pytest.raises(TypeError, match=r"out must be a tuple of 3 arrays, \(U, S, Vh\)"):
        gpusvd.svd(a, out=cupy.empty((4, 2), np.float32))
    x = cupy.empty((4, 2, 2), np.float32)
    with pytest.raises(ValueError, match="U and Vh in out may share memory"):
        gpusvd.svd(a, out=(x, cupy.empty((4, 2), np.float32), x))


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 3), (2, 3, 0)], ids=str)
def test_empty(cupy, shape):
    a = gaussian(*shape)
    result = gpusvd.svd_ex(cupy.asarray(a))
    for array, expected in zip(result[:3], np.linalg.svd(a), strict=True):
        np.testing.assert_array_equal(cupy.asnumpy(array), expected)
    assert result.info.converged.shape == shape[:1]


@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
def test_hermitian(cupy, driver):
    a = gaussian(4, 3, 3, dtype=np.float64)
    S = gpusvd.svdvals(cupy.asarray(a), hermitian=True, driver=driver)
    np.testing.assert_allclose(
        cupy.asnumpy(S), np.linalg.svd(a, compute_uv=False, hermitian=True), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("overlapping", [False, True], ids=["apart", "overlapping"])
@pytest.mark.parametrize("size", [3, 8])
def test_replayed_graph(cupy, size, overlapping):
    """On new input, without touching memory that was allocated since; `out` may overlap `a`."""
    a, b = (cupy.asarray(gaussian(5, size, size) * factor) for factor in (1, 2))
    expected = cupy.asnumpy(gpusvd.svdvals(b))
    out = tuple(cupy.empty(shape, np.float32) for shape in ((5, size, size), (5, size), (5, size, size)))
    out = (a, *out[1:]) if overlapping else out
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        gpusvd.svd(a.copy(), full_matrices=False, out=out)  # kernels are loaded
        stream.synchronize()
        stream.begin_capture()
        gpusvd.svd(a, full_matrices=False, out=out)
        captured = stream.end_capture()
        others = [cupy.full(1 << power, 7, np.uint8) for power in range(9, 20) for _ in range(8)]
        for _ in range(2):
            a[...] = b
            captured.launch()
        stream.synchronize()
        assert all(bool((x == 7).all()) for x in others)
        np.testing.assert_allclose(cupy.asnumpy(out[1]), expected, rtol=1e-5)


def test_more_columns_than_the_kernels_are_made_for(cupy):
    with pytest.raises(ValueError, match="up to 512 rows or columns on a GPU, not 513"):
        gpusvd.svd(cupy.asarray(np.zeros((513, 600))), driver="jacobi")
    with pytest.raises(ValueError, match="not 513"):
        gpusvd.explain((600, 513), driver="jacobi", device="cuda")


def test_bad_input(cupy):
    with pytest.raises(np.linalg.LinAlgError, match="1-dimensional array given"):
        gpusvd.svd(cupy.asarray(gaussian(3)))
    with pytest.raises(ValueError, match=r"device must be None, .* not 'tpu'"):
        gpusvd.svd(gaussian(2, 2), device="tpu")


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=re.escape(install("cuda13"))):
        gpusvd.svd(gaussian(2, 2), device="cuda")


@pytest.mark.parametrize("devices", [0, -1])
def test_without_a_device(monkeypatch, devices):
    stand_in.install(monkeypatch, devices=devices)
    with pytest.raises(RuntimeError, match="CUDA device"):
        gpusvd.svd(gaussian(2, 2), device="cuda")


def test_a_numpy_array_needs_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpusvd.svdvals(np.eye(2)).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("shape", "kernel", "threads"),
    [
        ((7, 3, 3), "svd_tiny", 128),
        ((7, 100, 3), "orthogonalise_groups", 32),
        ((7, 8, 8), "svd_fused", 128),
        ((7, 300, 200), "orthogonalise_blocks", 256),
        ((7, 600, 700), "cuSOLVER through CuPy", 1),
        ((0, 3, 3), "none", 1),
    ],
    ids=str,
)
def test_explain(shape, kernel, threads):
    explanation = gpusvd.explain(shape, "float32", device="cuda")
    assert explanation.kernel == kernel
    assert explanation.threads == threads
    assert explanation.driver == ("vendor" if min(shape[1:]) > 512 else "jacobi")


def test_explain_says_why():
    assert "not more than 512" in gpusvd.explain((7, 3, 3), device="cuda").why
    assert "asked for" in gpusvd.explain((7, 3, 3), device="cuda", driver="vendor").why
    with pytest.raises(ValueError, match="device"):
        gpusvd.explain((7, 3, 3), device="tpu")
