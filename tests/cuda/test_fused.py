"""Matrices of 5 to 32 columns in one launch: the source in the emulator and its PTX, held to mathematics and
to each other."""

import sys

import numpy as np
import pytest

import gpusvd
from gpusvd._cuda import jacobi
from gpusvd._cuda.problem import Problem
from tests.ptx import Device, svd_ex
from tests.support import cuda_emulated, gallery, measures

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")
KINDS = ["float32", "float64", "complex64", "complex128"]


def is_fused(m, n, kind, columns=None, vectors=True):
    return jacobi.fused_step(Problem(m, n, kind, columns or n, vectors)) is not None


def gaussian(count, m, n, kind, seed=0):
    rng = np.random.default_rng(seed)
    return gallery.gaussian_entries(rng, count * m, n, np.dtype(kind)).reshape(count, m, n).astype(kind)


@pytest.mark.parametrize(
    ("n", "kind", "vectors"),
    [(6, "float32", True), (5, "float64", True), (7, "complex64", True), (5, "float32", False)],
)
def test_emulated(n, kind, vectors):
    """Odd numbers of columns and of lanes; idle lanes; less than a warp of matrices."""
    a = gallery.batch(n, n, np.dtype(kind))[::6].copy()
    result = cuda_emulated.svd_ex(a, full_matrices=False, compute_uv=vectors)
    if vectors:
        measures.assert_svd(a, *result[:3])
    cpu = gpusvd.svd_ex(a, driver="jacobi")
    np.testing.assert_array_equal(result[-1].converged, cpu.info.converged)


def test_emulated_strides():
    """Nothing of it lies as the kernel would copy it whole."""
    a = gaussian(3, 12, 12, "float32")[:, ::2, ::-2]
    measures.assert_svd(a, *cuda_emulated.svd_ex(a, full_matrices=False)[:3])


@on_linux
@pytest.mark.parametrize(("n", "kind"), [(8, "float32"), (16, "float32")])
def test_one_launch_and_no_workspace(n, kind):
    a, device = gaussian(64, n, n, kind), Device()
    result = svd_ex(a, full_matrices=False, device=device)
    (launch,) = device.launches
    assert launch.name == "svd_fused"
    assert launch.bytes_loaded == a.nbytes
    assert launch.bytes_stored == sum(x.nbytes for x in (*result[:3], *result.info))
    assert launch.instructions.keys().isdisjoint({"fma.f64", "add.f64", "mul.f64", "special.int"})


@on_linux
@pytest.mark.parametrize(("n", "kind"), [(8, "float32"), (8, "float64")])
def test_relative_accuracy(n, kind):
    """A = B D with B well conditioned: each value to few eps cond(B), however small D makes it."""
    import mpmath

    rng, eps = np.random.default_rng(n), float(np.finfo(kind).eps)
    b = rng.standard_normal((6, n, n))
    a = (b * 2.0 ** -np.linspace(0, 12 if kind == "float32" else 40, n).round()).astype(kind)
    S = svd_ex(a, full_matrices=False)[1]
    with mpmath.workdps(60):
        for values, x, well in zip(S, a, b, strict=True):
            exact = mpmath.svd_r(mpmath.matrix(x.astype(float).tolist()), compute_uv=False)
            error = max(
                abs(float((mpmath.mpf(float(v)) - e) / e)) for v, e in zip(values, exact, strict=True)
            )
            assert error <= 4 * eps * np.linalg.cond(well)


@on_linux
def test_what_approximate_instructions_may_return(monkeypatch):
    """Reciprocals and roots that are off by two units in the last place."""
    from tests.ptx import operations, translate

    rng = np.random.default_rng(1)

    def off(function):
        def perturbed(x):
            eps = np.finfo(x.dtype).eps if x.dtype == np.float32 else 2.0**-21
            return (function(x) * (1 + eps * rng.integers(-2, 3, x.shape))).astype(x.dtype)

        return perturbed

    names = ("approximate_inverse", "approximate_inverse_root", "approximate_root")
    changed = {name: off(getattr(operations, name)) for name in names}
    monkeypatch.setattr(translate, "FUNCTIONS", operations.FUNCTIONS | changed)
    monkeypatch.setattr("tests.ptx.device._program", translate.Program)
    a = gallery.batch(8, 8, np.dtype(np.float32))
    U, S, Vh, info = svd_ex(a, full_matrices=False)
    measures.assert_svd(a, U, S, Vh)
    cpu = gpusvd.svd_ex(a, driver="jacobi")
    np.testing.assert_array_equal(info.converged, cpu.info.converged)


@on_linux
def test_out_of_range_next_to_others():
    """A matrix that one scaling does not suit leaves its neighbours alone, and is decomposed all the same."""
    a = gaussian(40, 8, 8, "float32")
    before = svd_ex(a, full_matrices=False)
    odd = np.array([0, 7, 8, 33])
    a[odd] *= np.float32(2.0) ** -np.arange(0, 120, 15, dtype=np.float32)
    after = svd_ex(a, full_matrices=False)
    others = np.setdiff1d(np.arange(40), odd)
    for x, y in zip((*before[:3], *before.info), (*after[:3], *after.info), strict=True):
        np.testing.assert_array_equal(x[others], y[others])
    measures.assert_svd(a, *after[:3])
    assert after.info.converged.all()


@on_linux
@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_zero_columns_between_graded_rows(kind):
    """What stands for zeros on R's diagonal shrinks until squares of its cosines are nothing."""
    rows = [[5, -4, -2, -3, -9], [2, -1, 0, -1, -3], [1, -2, -2, -1, -3], [2, -1, 0, -1, -3], [0, 3, 4, 1, 3]]
    scales = 2.0 ** np.array([-281, -301, -345, -53, -319])
    a = (scales[:, np.newaxis] * rows)[np.newaxis].astype(kind)
    measures.assert_svd(a, *svd_ex(a, full_matrices=False)[:3])


@on_linux
@pytest.mark.parametrize(
    "one",
    [np.array([[-1, -1, 0], [-1, 0, -1], [0, -1, 1]]), np.eye(5) - np.roll(np.eye(5), 1, axis=1)],
    ids=["3 x 3", "5 x 5"],
)
def test_singular_matrices_near_the_smallest_number(one):
    """What stands for zeros on R's diagonal is nothing beside the matrix, though its scale is limited."""
    a = (one * 2.0 ** np.arange(-149.0, -60)[:, np.newaxis, np.newaxis]).astype(np.float32)
    measures.assert_svd(a, *svd_ex(a, full_matrices=False)[:3])
    measures.assert_svd(a, *gpusvd.svd(a, full_matrices=False, driver="jacobi"))
