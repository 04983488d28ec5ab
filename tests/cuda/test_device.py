"""The SVD inside one's own compiled code."""

import re
import sys

import numba
import numpy as np
import pytest
from numba import cuda

import gpusvd
from gpusvd._base.install import install
from gpusvd.kernels import single
from tests import simt
from tests.support import cuda_emulated, gallery, measures

SHAPES = [(1, 1), (3, 3), (4, 2), (2, 5)]


def factors_of(a):
    *batch, m, n = a.shape
    k, real = min(m, n), np.empty(0, a.dtype).real.dtype
    return np.empty((*batch, m, k), a.dtype), np.empty((*batch, k), real), np.empty((*batch, k, n), a.dtype)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("float64", (2, 2)),
        ("complex64", (1, 2)),
        pytest.param("float64", (3, 3), marks=pytest.mark.exhaustive),  # each takes long to compile
        pytest.param("complex64", (2, 3), marks=pytest.mark.exhaustive),
    ],
    ids=str,
)
def test_on_the_cpu(kind, shape):
    dtype = np.dtype(kind)
    svd = gpusvd.device.svd_function(*shape, dtype, target="cpu")

    @numba.njit
    def loop(a, u, s, vh, converged):
        for b in range(a.shape[0]):
            converged[b] = svd(a[b], u[b], s[b], vh[b])

    a = gallery.batch(*shape, dtype)
    U, S, Vh = factors_of(a)
    converged = np.empty(len(a), np.bool_)
    loop(a, U, S, Vh, converged)
    measures.assert_svd(a, U, S, Vh)
    expected = gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")
    np.testing.assert_array_equal(converged, expected.info.converged)


def test_it_may_write_over_its_input_and_tells_of_nan():
    svd = gpusvd.device.svd_function(2, 2, np.float64, target="cpu")
    a = np.random.default_rng(0).standard_normal((2, 2))
    u, s, vh = a.copy(), np.empty(2), np.empty((2, 2))
    call = numba.njit(lambda a, u, s, vh: svd(a, u, s, vh))
    assert call(u, u, s, vh)
    np.testing.assert_allclose(u * s @ vh, a, atol=1e-14)
    a[0, 1] = np.nan
    assert not call(a, u, s, vh)
    assert np.isnan(u).all()
    assert np.isnan(s).all()
    assert np.isnan(vh).all()


def polar_kernel(svd):
    """The rotations of a batch of deformation gradients, a thread each."""

    def rotations(gradients, out):
        b = cuda.grid(1)
        if b < gradients.shape[0]:
            u = cuda.local.array((3, 3), numba.float64)
            s = cuda.local.array(3, numba.float64)
            vh = cuda.local.array((3, 3), numba.float64)
            svd(gradients[b], u, s, vh)
            for i in range(3):
                for j in range(3):
                    out[b, i, j] = u[i, 0] * vh[0, j] + u[i, 1] * vh[1, j] + u[i, 2] * vh[2, j]

    return rotations


def test_in_a_kernel_of_ones_own():
    solve = cuda_emulated.specialiser("float64").plain(single.svd_in_thread, m=3, n=3, wide=0)

    def svd(a, u, s, vh):
        return solve(a, u, s, vh, 3, 3, 0)

    gradients = np.eye(3) + 0.1 * np.random.default_rng(0).standard_normal((10, 3, 3))
    out = np.empty_like(gradients)
    with np.errstate(all="ignore"):
        simt.launch(polar_kernel(svd), 2, 8, gradients, out)
    np.testing.assert_allclose(out, gpusvd.polar(gradients).U, atol=1e-14)


@pytest.mark.parametrize("kind", ["float32", "complex128"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_registers(kind, shape):
    m, n, wide = max(shape), min(shape), int(shape[0] < shape[1])
    svd = cuda_emulated.specialiser(kind).plain(single.svd_in_thread, m=m, n=n, wide=wide)

    def kernel(a, u, s, vh, converged):
        b = cuda.grid(1)
        if b < a.shape[0]:
            converged[b] = svd(a[b], u[b], s[b], vh[b], m, n, wide)

    a = gallery.batch(*shape, np.dtype(kind))[::2]
    U, S, Vh = factors_of(a)
    converged = np.empty(len(a), np.bool_)
    with np.errstate(all="ignore"):
        simt.launch(kernel, 1, 32, a, U, S, Vh, converged)
    measures.assert_svd(a, U, S, Vh)


def test_bad_arguments(monkeypatch):
    with pytest.raises(ValueError, match="m must be an int from 1 to 6, not 7"):
        gpusvd.device.svd_function(7, 3, "float32", target="cpu")
    with pytest.raises(ValueError, match=r"n must be an int from 1 to 6, not 2\.0"):
        gpusvd.device.svd_function(2, 2.0, "float32", target="cpu")
    with pytest.raises(ValueError, match="target must be 'cuda' or 'cpu', not 'gpu'"):
        gpusvd.device.svd_function(2, 2, "float32", target="gpu")
    with pytest.raises(TypeError, match=r"dtype must be float32, .* not int64"):
        gpusvd.device.svd_function(2, 2, "int64", target="cpu")
    monkeypatch.setattr("gpusvd.device.find_spec", lambda name: None)
    gpusvd.device._on_cuda.cache_clear()
    with pytest.raises(ImportError, match=re.escape(f"numba-cuda: {install('cuda13')}")):
        gpusvd.device.svd_function(2, 2, "float32", target="cuda")


@pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is installed for tests on Linux")
def test_the_device_function_compiles_without_local_memory():
    from tests.cuda_compile import compiler

    kernel = polar_kernel(gpusvd.device.svd_function(3, 3, "float64", target="cuda"))
    batch = numba.float64[:, :, ::1]
    used, _ = compiler.machine_code(lambda arch: compiler.ptx(kernel, (batch, batch), arch), "90")
    assert (used.local, used.spill_stores) == (0, 0)
