"""The whole CUDA path through the executor."""

import numpy as np

from gpusvd._base.checks import expected_results, factor_dtype
from gpusvd._base.results import Info, SVDExResult
from gpusvd._cuda import jacobi

from .device import Device


def svd_ex(a, full_matrices=True, compute_uv=True, hermitian=False, device=None):
    """As `tests.support.cuda_emulated.svd_ex`, from PTX."""
    device = device or Device()
    expected = expected_results(a.shape, factor_dtype(a.dtype), full_matrices, compute_uv)
    results = [device.empty(shape, dtype) for _, shape, dtype in expected]
    u, s, vh = results if compute_uv else (None, results[0], None)
    batch = a.shape[:-2]
    info = Info(device.empty(batch, np.bool_), device.empty(batch, np.int32), device.empty(batch, s.dtype))
    jacobi.decompose(device, device.launch, a, u, s, vh, info, hermitian=hermitian)
    for x in (*results, *info):
        if x.dtype != np.float16:  # which is converted from what kernels write
            device.check_written(x)
    return SVDExResult(u, s, vh, info) if compute_uv else (s, info)
