"""Arrays of every library go in and come out, converted as svd converts them."""

import subprocess
import sys
from types import SimpleNamespace

import array_api_strict
import numpy as np
import pytest
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._base import arrays as _arrays
from tests.support import measures


class FakeGPUArray:
    __cuda_array_interface__ = {"version": 3}  # noqa: RUF012


def test_numbers_and_lists_go_along_with_arrays():
    strict = array_api_strict.ones(3)
    assert _arrays.array_namespace() is np
    assert _arrays.array_namespace(1.0, [2], (3,), None, np.float32(4)) is np
    assert _arrays.array_namespace(np.ones(3), [1]) is np
    assert _arrays.array_namespace([1], strict, 2) is strict.__array_namespace__()
    assert _arrays.array_namespace(np.ma.ones(3), memoryview(b"1")) is np


def test_two_libraries_are_refused(monkeypatch):
    with pytest.raises(TypeError, match=r"array_api_strict and numpy in one call: .* to one library first$"):
        _arrays.array_namespace(np.ones(3), array_api_strict.ones(3))

    class Array:
        def __init__(self, device=0):
            self.device = SimpleNamespace(id=device)

    cupy = SimpleNamespace(__name__="cupy", ndarray=Array)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert _arrays.array_namespace(Array(), [1]) is cupy
    with pytest.raises(TypeError, match=r"cupy and numpy in one call: .* with cupy\.asarray"):
        _arrays.array_namespace(np.ones(3), Array())
    assert _arrays.array_namespace(Array(1), Array(1)) is cupy
    with pytest.raises(ValueError, match="arrays on GPUs 0 and 2 in one call"):
        _arrays.array_namespace(Array(2), Array(0))


def test_memory_of_the_gpu_that_is_no_cupy_array_is_refused():
    with pytest.raises(TypeError, match=r"FakeGPUArray .* pass cupy.asarray\(a\)"):
        _arrays.array_namespace(FakeGPUArray())


def test_cupy_is_not_imported():
    code = (
        "import sys; from gpusvd._base.arrays import array_namespace; "
        "array_namespace(1.0); assert 'cupy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


@pytest.mark.parametrize("char", "?bBhHiIlLqQefdFD")
def test_floating_promotes_as_svd_does(backend, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = np.eye(3, 2).astype(char)
    x = backend.numpy(_arrays.floating(backend.xp, backend.array(a)))
    assert x.dtype == gpusvd.svd(a).U.dtype
    np.testing.assert_array_equal(x, a)


def test_floating_brings_bytes_in_order_and_copies_nothing_else():
    swapped = np.arange(3.0).astype(">f4" if sys.byteorder == "little" else "<f4")
    x = _arrays.floating(np, swapped)
    assert x.dtype == np.float32
    assert x.dtype.isnative
    np.testing.assert_array_equal(x, swapped)
    a = np.ones(3)
    assert _arrays.floating(np, a) is a
    assert type(_arrays.floating(np, np.ma.ones(3))) is np.ndarray


@pytest.mark.parametrize("a", [["x"], [object()], np.zeros(2, "M8[s]"), np.zeros(2, np.longdouble)])
def test_floating_refuses_what_svd_refuses(a):
    with pytest.raises(TypeError, match="is unsupported"):
        _arrays.floating(np, a)


def test_common_floating():
    a, b = _arrays.common_floating(np, a=np.ones(2, np.float32), b=np.ones(2, np.complex64))
    assert a.dtype == b.dtype == np.complex64
    a, b = _arrays.common_floating(np, a=np.ones(2, np.float16), b=[1, 2])
    assert a.dtype == b.dtype == np.float64
    with pytest.raises(TypeError, match="array type object of b is unsupported"):
        _arrays.common_floating(np, a=np.ones(2), b=None)


def test_matrices_have_two_dimensions(backend):
    with pytest.raises(LinAlgError, match="at least two-dimensional"):
        _arrays.matrices(backend.xp, backend.array([1.0]))
    with pytest.raises(LinAlgError, match="square"):
        _arrays.matrices(backend.xp, backend.array(np.ones((2, 3))), square=True)


def test_adjoint(backend):
    a = np.arange(12).reshape(2, 2, 3) * (1 + 2j)
    np.testing.assert_array_equal(
        backend.numpy(_arrays.adjoint(backend.xp, backend.array(a))), measures.adjoint(a)
    )
    assert np.shares_memory(_arrays.adjoint(np, a.real), a)


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "batch last": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[..., ::-1, ::-1].copy()[..., ::-1, ::-1],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "masked": np.ma.masked_array,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("char", "befdFD")
def test_layouts_change_nothing(layout, char):
    a = np.random.default_rng(0).integers(-9, 10, (6, 4, 3)).astype(char).reshape(2, 3, 4, 3)
    x = LAYOUTS[layout](a)
    a = np.array(x, char)
    for function in (
        gpusvd.pinv,
        gpusvd.projector,
        gpusvd.norm,
        gpusvd.matrix_rank,
        lambda a: gpusvd.lstsq(a, a[..., :2]).x,
        lambda a: gpusvd.reconstruct(*gpusvd.low_rank(a, energy=0.9)),
        lambda a: gpusvd.reconstruct(*map(LAYOUTS[layout], gpusvd.low_rank(a, rank=2)[:3])),
    ):
        y, z = function(x), function(a)
        assert type(y) is type(z)
        assert y.dtype == z.dtype
        assert y.dtype.isnative
        # The same factors, but products of matrices in another order in memory may be added up otherwise.
        bound = 20 * np.finfo(z.dtype).eps * np.abs(z).max() if z.dtype.kind in "fc" else 0
        np.testing.assert_allclose(y, z, rtol=0, atol=bound)


# Limits: tolerances, thresholds, penalties, of which each matrix may have its own

EYES = np.zeros((2, 3, 3), np.float32) + np.eye(3, dtype=np.float32)
TOLERANCES = {
    "rtol of truncate": lambda a, limit: gpusvd.truncate(*gpusvd.svd(a), rtol=limit),
    "atol of low_rank": lambda a, limit: gpusvd.low_rank(a, atol=limit),
    "error of low_rank": lambda a, limit: gpusvd.low_rank(a, error=limit),
    "energy of pca": lambda a, limit: gpusvd.pca(a, energy=limit),
    "noise of optimal_threshold": lambda a, limit: gpusvd.optimal_threshold(gpusvd.svdvals(a), 3, 3, limit),
    "tol of matrix_rank": lambda a, limit: gpusvd.matrix_rank(a, limit),
    "rtol of matrix_rank": lambda a, limit: gpusvd.matrix_rank(a, rtol=limit),
    "rtol of orth": gpusvd.orth,
    "rtol of null_space": gpusvd.null_space,
    "rtol of projector": gpusvd.projector,
    "rcond of pinv": gpusvd.pinv,
    "rtol of pinv": lambda a, limit: gpusvd.pinv(a, rtol=limit),
    "rcond of lstsq": lambda a, limit: gpusvd.lstsq(a, np.ones(3), limit),
    "alpha of ridge": lambda a, limit: gpusvd.ridge(a, np.ones(3), limit),
    "tau of svt": gpusvd.svt,
}


@pytest.mark.parametrize("which", TOLERANCES)
def test_wrong_limits_are_refused_by_name(which):
    name, call = which.split()[0], TOLERANCES[which]
    for wrong, error, said in [
        (0.5j, TypeError, "has dtype complex128, expected real numbers"),
        ("0.5", TypeError, "has dtype <U3, expected real numbers"),
        ([0.5, np.nan], ValueError, "must be "),
        ([0.5] * 3, ValueError, r"of shape \(3,\) does not broadcast against a batch of \(2,\)"),
    ]:
        with pytest.raises(error, match=f"^{name} {said}"):
            call(EYES, wrong)


@pytest.mark.parametrize("which", [which for which in TOLERANCES if not which.startswith("energy")])
@pytest.mark.parametrize("limit", [1e300, np.inf])
def test_limits_beyond_single_precision_warn_of_nothing(which, limit):
    for a in (EYES, 0 * EYES):
        TOLERANCES[which](a, limit)
        assert not gpusvd.pinv(a, rtol=limit).any()
        assert not gpusvd.ridge(a, np.ones(3, np.float32), limit).any()
