"""Compiling before the first call."""

import numpy as np
import pytest

import gpusvd
from gpusvd._cpu import compile as _compile


def test_warmup_compiles_the_kernels_of_the_shapes():
    gpusvd.warmup([(2, 5, 3, 3), (300, 200)], ["complex64"])
    compiled = {(solver, dtype.name) for solver, dtype in _compile._compiled}
    kernels = "svd_tiny_3x3", "svd_tiles", "svd_rows"
    assert {(name, "complex64") for name in kernels} <= compiled


def test_warmup_takes_iterators():
    gpusvd.warmup(iter([(2, 2), (3, 2)]), iter(["float64", "int8"]), compute_uv=False)


def test_bad_input():
    with pytest.raises(np.linalg.LinAlgError):
        gpusvd.warmup([(3,)])
    with pytest.raises(TypeError, match="object"):
        gpusvd.warmup([(3, 3)], ["object"])
    with pytest.raises(ValueError, match="device"):
        gpusvd.warmup([(3, 3)], device="tpu")
