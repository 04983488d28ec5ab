"""Calls with Dask arrays and tensors go to the module that is written for them."""

import inspect
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import gpusvd
from gpusvd._base.dispatch import for_libraries

OTHERS = {"explain", "stream", "svd_ragged", "warmup"}  # take no array, or a list of them
FUNCTIONS = [
    name for name in sorted(set(gpusvd.__all__) - OTHERS) if inspect.isfunction(getattr(gpusvd, name))
]


class Tensor:
    """Stands in for torch's; NumPy takes it for a matrix."""

    def __array__(self, dtype=None, copy=None):
        return np.eye(2)


@pytest.fixture
def counterpart(monkeypatch):
    """The module that stands in for gpusvd.torch; it says what it was called with."""

    def pinv(*args, **kwargs):
        return "pinv", args, kwargs

    module = SimpleNamespace(__name__="gpusvd.torch", pinv=pinv)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(Tensor=Tensor))
    monkeypatch.setitem(sys.modules, "gpusvd.torch", module)
    return module


def test_a_tensor_goes_to_the_function_of_the_same_name(counterpart):
    a, rtol = Tensor(), Tensor()
    assert gpusvd.pinv(a, hermitian=True) == ("pinv", (a,), {"hermitian": True})
    assert gpusvd.pinv(np.eye(2), rtol=rtol)[2] == {"rtol": rtol}
    np.testing.assert_array_equal(gpusvd.pinv(np.eye(2)), np.eye(2))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_arrays_is_handed_over(counterpart, name):
    setattr(counterpart, name, lambda *args: args)
    a = Tensor()
    assert getattr(gpusvd, name)(np.eye(2), a)[1] is a


def test_what_the_other_module_lacks_is_computed_here(counterpart):
    a = Tensor()
    assert for_libraries(lambda x: x)(a) is a


def test_a_library_that_is_being_imported_has_no_arrays(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    np.testing.assert_array_equal(gpusvd.pinv(np.eye(2)), np.eye(2))


def test_functions_look_as_they_are_written():
    assert list(inspect.signature(gpusvd.norm).parameters) == ["a", "ord", "driver"]
    assert gpusvd.norm.__module__ == "gpusvd._layer.spectrum"
    assert pickle.loads(pickle.dumps(gpusvd.norm)) is gpusvd.norm
