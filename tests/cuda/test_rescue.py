"""One matrix by one warp: in the emulator, and from PTX, against mathematics and the CPU."""

import sys

import numpy as np
import pytest
from numba import cuda

import gpusvd
from gpusvd._cuda.launch import Kernel
from gpusvd.kernels import cuda_rescue
from gpusvd.kernels.cuda_rescue import rescue
from gpusvd.kernels.scalars import number
from tests.ptx import Device
from tests.support import cuda_emulated, gallery, measures

KINDS = ["float32", "float64", "complex64", "complex128"]
WARPS = 2
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")


def rescue_batch(a, left, s, right, converged, sweeps, off, adjoint, size, parts, vectors):
    """Call `rescue` for every matrix."""
    warp = cuda.threadIdx.x // 32
    room = cuda.shared.array(0, number)[warp * size : (warp + 1) * size]
    b = cuda.blockIdx.x * (cuda.blockDim.x // 32) + warp
    if b < a.shape[0]:
        rescue(a, left, s, right, converged, sweeps, off, adjoint, b, room, parts, vectors)


def decompose(a, launch=cuda_emulated.launch, full=False, vectors=True):
    """U, S, Vh, converged, sweeps and off of a batch, S in U's and Vh's place without vectors."""
    wide = a.shape[1] < a.shape[2]
    tall = a.swapaxes(1, 2) if wide else a
    batch, m, n = tall.shape
    real = np.empty(0, a.dtype).real.dtype
    left, right = np.full((batch, m, m if full else n), 7, a.dtype), np.full((batch, n, n), 7, a.dtype)
    s, off = np.full((batch, n), np.nan, real), np.full(batch, np.nan, real)
    converged, sweeps = np.zeros(batch, bool), np.full(batch, -1, np.int32)
    size = cuda_rescue.rescue_numbers(m, n)
    constants = {"size": size, "parts": 2 if a.dtype.kind == "c" else 1, "vectors": vectors}
    shared = WARPS * size * a.itemsize
    kernel = Kernel(rescue_batch, tuple(constants.items()), "AAAACCC", 32 * WARPS, shared, 128)
    arguments = (tall, left, s, right, converged, sweeps, off, wide)
    launch(kernel, a.dtype.name, -(-batch // WARPS), arguments)
    u, vh = (right, left.swapaxes(1, 2)) if wide else (left, right.swapaxes(1, 2))
    return u, s, vh, converged, sweeps, off


def check(a, **kwargs):
    U, S, Vh, converged, sweeps, _ = decompose(a, **kwargs)
    measures.assert_svd(a, U, S, Vh)
    cpu = gpusvd.svd_ex(a, driver="jacobi")
    np.testing.assert_array_equal(converged, cpu.info.converged)
    assert (sweeps - cpu.info.sweeps).max() <= 3
    top = np.minimum(cpu.S[:, :1], np.finfo(S.dtype).max)
    with np.errstate(invalid="ignore"):
        error = np.where(np.isinf(S), np.isfinite(cpu.S), np.abs(S - cpu.S))
    few = 10 * max(a.shape) * measures.eps(S.dtype)
    measures.assert_below(error, few * top + np.finfo(S.dtype).smallest_subnormal)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (4, 3), (3, 6), (9, 9)])
def test_gallery(m, n, kind):
    check(gallery.batch(m, n, np.dtype(kind))[:: 1 if n < 9 else 4].copy())


@pytest.mark.parametrize(("m", "n"), [(32, 32), (40, 5), (5, 70)])
def test_large(m, n):
    check(gallery.batch(m, n, np.dtype(np.float32))[:: 8 if min(m, n) < 9 else 32].copy())


@pytest.mark.parametrize("kind", KINDS)
def test_full(kind):
    check(gallery.batch(6, 4, np.dtype(kind))[::3].copy(), full=True)


def test_values():
    a = gallery.batch(7, 5, np.dtype(np.float32))[::5]
    _, S, _, converged, _, _ = decompose(a, vectors=False)
    np.testing.assert_array_equal(S, decompose(a)[1])
    np.testing.assert_array_equal(converged, decompose(a)[3])


@pytest.mark.parametrize("kind", KINDS)
def test_not_a_number(kind):
    a = np.ones((3, 4, 3), kind)
    a[0, 1, 2], a[2, 3, 0] = np.nan, np.inf
    u, s, vh, converged, sweeps, off = decompose(a)
    for x in (u, s, vh, off):
        assert np.isnan(x[[0, 2]]).all()
        assert np.isfinite(x[1]).all()
    np.testing.assert_array_equal(converged, [False, True, False])
    np.testing.assert_array_equal(sweeps[[0, 2]], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_relative_accuracy_of_graded_columns(kind):
    rng = np.random.default_rng(3)
    n = 6
    spread = np.ldexp(1.0, -(15 if kind in ("float32", "complex64") else 100) * np.arange(n))
    B = gallery.gaussian_entries(rng, n, n, np.dtype(kind))
    _, S, _, converged, _, _ = decompose((B * spread).astype(kind)[None])
    cpu = gpusvd.svdvals((B * spread).astype(kind)[None], driver="jacobi")
    assert converged.all()
    condition = np.linalg.cond(B.astype(np.complex128))
    measures.assert_below(np.abs(S / cpu - 1), 4 * condition * measures.eps(S.dtype))


def test_strides():
    a = gallery.batch(6, 5, np.dtype(np.float32))[::5].copy()
    parts = decompose(a)
    apart = np.zeros((len(a), 12, 15), np.float32)
    apart[:, ::2, ::-3] = a
    for x, y in zip(parts, decompose(apart[:, ::2, ::-3]), strict=True):
        np.testing.assert_array_equal(x, y)


@on_linux
@pytest.mark.parametrize(
    ("m", "n", "kind"),
    [(9, 9, "float32")]
    + [
        pytest.param(m, n, k, marks=pytest.mark.exhaustive)
        for k in KINDS
        for m, n in ((1, 1), (3, 6), (40, 12), (32, 32))
    ],
)
def test_compiled(m, n, kind):
    a = gallery.batch(m, n, np.dtype(kind)).copy()
    check(a, launch=Device().launch)
    unfused = decompose(a, launch=Device(contraction="none").launch)
    for x, y in zip(unfused, decompose(a), strict=True):
        np.testing.assert_array_equal(x, y)
