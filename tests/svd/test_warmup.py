"""Compiling before the first call."""

import numpy as np
import pytest

import gpusvd
from gpusvd._cpu import compile as _compile
from gpusvd._svd import warmup as _warmup
from tests.support import stand_in


def test_warmup_compiles_the_kernels_of_the_shapes():
    gpusvd.warmup([(2, 5, 3, 3), (300, 200)], ["complex64"])
    compiled = {(solver, dtype.name) for solver, dtype in _compile._compiled}
    kernels = "svd_tiny_3x3", "svd_tiles", "svd_rows"
    assert {(name, "complex64") for name in kernels} <= compiled


def test_warmup_takes_iterators():
    gpusvd.warmup(iter([(2, 2), (3, 2)]), iter(["float64", "int8"]), compute_uv=False)


@pytest.mark.parametrize(
    ("arrays", "dtypes", "expected"),
    [
        ([(8, 8)], "float32", [(8, 8, "float32")]),
        ((5, 8, 8), np.float64, [(8, 8, "float64")]),
        ([8, 8], np.dtype("F"), [(8, 8, "complex64")]),
        ((8, np.int64(3)), None, [(8, 3, "float32"), (8, 3, "float64")]),
        (np.zeros((4, 3, 2), "D"), None, [(3, 2, "complex128")]),
        (np.zeros((4, 3, 2), "D"), ["f", "d"], [(3, 2, "float32"), (3, 2, "float64")]),
        ([np.zeros((3, 2), "f"), (4, 4)], None, [(3, 2, "float32"), (4, 4, "float32"), (4, 4, "float64")]),
        ([], None, []),
    ],
    ids=str,
)
def test_arrays_shapes_and_lists_of_them(arrays, dtypes, expected, monkeypatch):
    called = []
    monkeypatch.setattr(_warmup, "svd", lambda a, *_, **__: called.append((*a.shape[1:], a.dtype.name)))
    gpusvd.warmup(arrays, dtypes)
    assert called == expected


def test_arrays_in_gpu_memory(monkeypatch):
    cupy = stand_in.install(monkeypatch)
    devices = []
    monkeypatch.setattr(_warmup, "svd", lambda *_, device, **__: devices.append(device))
    gpusvd.warmup([cupy.zeros((3, 3), "f"), np.zeros((3, 3), "f")])
    assert devices == ["cuda", None]


@pytest.mark.parametrize(
    ("shapes", "dtypes", "error", "message"),
    [
        (8, None, TypeError, "arrays must be an array, a shape .* or a list of these, not 8"),
        ("8x8", None, TypeError, "not '8x8'"),
        ([8, (8, 8)], None, TypeError, r"arrays\[0\] is 8: arrays must be an array"),
        ([(8, 8), (8, 8.5)], None, TypeError, r"arrays\[1\] is \(8, 8\.5\): arrays must"),
        ([(8, 8), (8, -1)], None, ValueError, r"arrays\[1\] has a negative length: \(8, -1\)"),
        ([(8, 8)], "float23", TypeError, "dtypes has 'float23', which is no dtype"),
        ([(8, 8)], ["float32", 3], TypeError, "dtypes has 3, which is no dtype"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(shapes, dtypes, error, message):
    with pytest.raises(error, match=message):
        gpusvd.warmup(shapes, dtypes)


def test_bad_input():
    with pytest.raises(np.linalg.LinAlgError):
        gpusvd.warmup([(3,)])
    with pytest.raises(TypeError, match="object"):
        gpusvd.warmup([(3, 3)], ["object"])
    with pytest.raises(ValueError, match="device"):
        gpusvd.warmup([(3, 3)], device="tpu")
