"""Tall matrices in one launch: the source in the emulator and its PTX, held to mathematics, to the CPU and to
each other."""

import sys

import numpy as np
import pytest

from gpusvd._cuda import jacobi
from gpusvd._cuda.problem import Problem
from tests.ptx import Device, svd_ex
from tests.support import cuda_emulated, gallery, measures

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")
KINDS = ["float32", "float64", "complex64", "complex128"]
# Teams that are a part of a warp, a warp, and several; R for one thread and for several lanes.
SMALL_TEAM, WARP, WARPS = (9, 3, "float32"), (100, 9, "float64"), (200, 5, "complex128")
SHAPES = [SMALL_TEAM, WARP, WARPS, (12, 4, "complex64"), (200, 1, "float64"), (70, 6, "complex64")]
PTX = [(64, 8, "float32"), (300, 3, "float32"), (20, 5, "float64")]
ALL_PTX = [(m, n, kind) for kind in KINDS for m, n in ((9, 8), (64, 8), (300, 3), (600, 2), (90, 7))]
ALL_PTX += [(120, 16, kind) for kind in KINDS[:3]]


def tall_step(m, n, kind, columns=None, vectors=True):
    return jacobi.fused_step(Problem(m, n, kind, columns or n, vectors))


def matrices(m, n, kind, step=1):
    return gallery.batch(m, n, np.dtype(kind))[::step].copy()


def check(a, U, S, Vh, info):
    measures.assert_svd(a, U, S, Vh)
    measures.assert_as_on_the_cpu(a, S, info, more_sweeps=5)  # five where the rank is one: 90 x 7, complex128


@pytest.mark.parametrize(("m", "n", "kind"), SHAPES)
def test_emulated(m, n, kind):
    a = matrices(m, n, kind, 6)
    check(a, *cuda_emulated.svd_ex(a, full_matrices=False))


@pytest.mark.parametrize(("m", "n", "kind"), [SMALL_TEAM, WARPS])
def test_values_emulated(m, n, kind):
    a = matrices(m, n, kind, 8)
    S, info = cuda_emulated.svd_ex(a, compute_uv=False)
    measures.assert_as_on_the_cpu(a, S, info, more_sweeps=4)


@pytest.mark.parametrize(("m", "n", "kind"), [SMALL_TEAM, WARPS])
def test_wide_emulated(m, n, kind):
    a = matrices(n, m, kind, 8)
    check(a, *cuda_emulated.svd_ex(a, full_matrices=False))


def test_emulated_strides():
    """Nothing of it lies as accesses of 16 bytes need it."""
    a = matrices(24, 18, "float32", 20)[:, ::2, ::-3]
    check(a, *cuda_emulated.svd_ex(a, full_matrices=False))


def test_classes():
    """What these tests are about goes to the kernel, in teams of different kinds."""
    steps = {shape: tall_step(*shape)[0] for shape in SHAPES + PTX + ALL_PTX}
    assert {kernel.function.__name__ for kernel in steps.values()} == {"svd_tall"}
    constants = {shape: dict(steps[shape].constants) for shape in (SMALL_TEAM, WARP, WARPS)}
    teams = [(constants[shape]["team"], constants[shape]["crosses"]) for shape in (SMALL_TEAM, WARP, WARPS)]
    assert teams == [(4, False), (32, False), (32, True)]
    assert tall_step(64, 8, "float32", columns=64) is None
    assert tall_step(64, 33, "float32") is None
    assert tall_step(10**5, 8, "float32") is None


def test_one_kernel_for_many_heights():
    kernels = {tall_step(m, 8, "float32")[0].compiled for m in range(9, 1000)}
    assert len(kernels) <= 6


@on_linux
@pytest.mark.parametrize(
    ("m", "n", "kind"), PTX + [pytest.param(*shape, marks=pytest.mark.exhaustive) for shape in ALL_PTX]
)
def test_compiled(m, n, kind):
    a, device = matrices(m, n, kind), Device()
    check(a, *svd_ex(a, full_matrices=False, device=device))
    assert [launch.name for launch in device.launches] == ["svd_tall"]


@on_linux
def test_bit_by_bit_as_the_emulator():
    a = matrices(64, 8, "float32", 12)
    got = svd_ex(a, full_matrices=False, device=Device(contraction="none"))
    expected = cuda_emulated.svd_ex(a, full_matrices=False)
    for x, y in zip((*got[:3], *got.info), (*expected[:3], *expected.info), strict=True):
        np.testing.assert_array_equal(x, y)


@on_linux
@pytest.mark.parametrize(("m", "n", "kind"), [(64, 8, "float32"), (300, 3, "float32")])
def test_nothing_depends_on_the_place_in_the_batch(m, n, kind):
    a = matrices(m, n, kind)
    whole = svd_ex(a, full_matrices=False)
    for chosen in (np.random.default_rng(0).permutation(len(a)), slice(20, 21), slice(5, 40, 7)):
        part = svd_ex(a[chosen], full_matrices=False)
        for x, y in zip((*part[:3], *part.info), (*whole[:3], *whole.info), strict=True):
            np.testing.assert_array_equal(x, y[chosen])


@on_linux
def test_not_finite():
    """A matrix with NaN or Inf is NaN, and its neighbours are as they were."""
    a = matrices(300, 3, "float32")[:12]
    expected = svd_ex(a, full_matrices=False)
    a[3, 299, 1], a[7, 150, 2], a[8, 0, 0] = np.nan, -np.inf, np.nan
    got = svd_ex(a, full_matrices=False)
    bad = np.isin(np.arange(len(a)), (3, 7, 8))
    for x, y in zip(got[:3], expected[:3], strict=True):
        assert np.isnan(x[bad]).all()
        np.testing.assert_array_equal(x[~bad], y[~bad])
    np.testing.assert_array_equal(got.info.converged[bad], False)


@on_linux
@pytest.mark.parametrize(("m", "n", "kind"), [(64, 8, "float32"), (300, 3, "float32")])
def test_relative_accuracy(m, n, kind):
    """A = B D with B well conditioned: each value to few eps cond(B), however small D makes it."""
    import mpmath

    rng, eps = np.random.default_rng(n), float(np.finfo(kind).eps)
    b = rng.standard_normal((5, m, n))
    a = (b * 2.0 ** -rng.permutation(np.linspace(0, 30, n)).round()).astype(kind)
    S, info = svd_ex(a, full_matrices=False)[1::2]
    assert info.converged.all()
    with mpmath.workdps(60):
        for values, x, well in zip(S, a, b, strict=True):
            r = mpmath.qr(mpmath.matrix(x.astype(float).tolist()), mode="skinny")[1]
            exact = mpmath.svd_r(r, compute_uv=False)
            error = max(
                abs(float((mpmath.mpf(float(v)) - e) / e)) for v, e in zip(values, exact, strict=True)
            )
            assert error <= 8 * eps * np.linalg.cond(well)


@on_linux
def test_memory_is_read_and_written_once():
    a = np.random.default_rng(0).standard_normal((16, 64, 8)).astype(np.float32)
    device = Device()
    result = svd_ex(a, full_matrices=False, device=device)
    (launch,) = device.launches
    assert launch.bytes_loaded == a.nbytes
    assert launch.bytes_stored == sum(x.nbytes for x in (*result[:3], *result.info))


@on_linux
def test_more_flagged_matrices_in_a_block_than_lanes_in_a_warp():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((130, 9, 1)).astype(np.float32)
    a[[5, 40, 129], 1] = np.nan
    a[[0, 50, 127]] *= np.float32(2.0**-120)
    U, S, Vh, info = svd_ex(a, full_matrices=False)
    bad = np.isin(np.arange(130), (5, 40, 129))
    np.testing.assert_array_equal(info.converged, ~bad)
    assert np.isnan(S[bad]).all()
    measures.assert_svd(a[~bad], U[~bad], S[~bad], Vh[~bad])


@on_linux
@pytest.mark.parametrize(("m", "n", "kind"), [(12, 3, "complex64"), (40, 4, "complex128")])
def test_complex_numbers_at_any_multiple_of_their_parts(m, n, kind):
    a = np.zeros(2 * 5 * m * n + 1, np.empty(0, kind).real.dtype)[1:]
    a[:] = np.random.default_rng(0).standard_normal(a.shape)
    a = a.view(kind).reshape(5, m, n)
    measures.assert_svd(a, *svd_ex(a, full_matrices=False)[:3])
