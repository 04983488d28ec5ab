"""Launch a CUDA kernel of `gpusvd.kernels` in the emulator: what `gpusvd._cuda.launch.launch` does on a
GPU."""

from functools import cache

import numpy as np

from gpusvd._base.checks import expected_results, factor_dtype
from gpusvd._base.results import Info, SVDExResult
from gpusvd._base.specialise import Specialiser
from gpusvd._cuda import jacobi as _cuda
from gpusvd._cuda.launch import _in_order
from gpusvd.kernels.scalars import scalar_operations
from gpusvd.kernels.tiny import limits
from tests import simt
from tests.simt import approximations


def launch(kernel, kind, blocks, arguments):
    """Run a kernel on NumPy arrays, thread by thread."""
    with np.errstate(all="ignore"):
        simt.launch(
            specialised(kernel, kind),
            blocks,
            kernel.threads,
            *_in_order(kernel, arguments),
            shared_bytes=kernel.shared,
        )


@cache
def specialised(kernel, kind):
    """The kernel as Python runs it, on NumPy's numbers."""
    return specialiser(kind).plain(kernel.function, **dict(kernel.constants))


@cache
def specialiser(kind):
    number = np.dtype(kind).type
    real = np.empty(0, kind).real.dtype.type
    names = scalar_operations(kind) | limits(kind in ("float32", "complex64"))
    names |= {"fine_reciprocal": approximations.fine_reciprocal, "fine_root": approximations.fine_root}
    return Specialiser(names | {"number": number, "real": real}, real, lambda f: f)


def svd_ex(a, full_matrices=True, compute_uv=True, hermitian=False):
    """What `gpusvd.svd_ex` returns, or S and info without vectors, from the CUDA kernels in the emulator."""
    dtype = factor_dtype(a.dtype)
    results = [
        np.empty(shape, kind)
        for _, shape, kind in expected_results(a.shape, dtype, full_matrices, compute_uv)
    ]
    u, s, vh = results if compute_uv else (None, results[0], None)
    batch = a.shape[:-2]
    info = Info(np.empty(batch, np.bool_), np.empty(batch, np.int32), np.empty(batch, s.dtype))
    _cuda.decompose(np, launch, a, u, s, vh, info, hermitian=hermitian)
    return SVDExResult(u, s, vh, info) if compute_uv else (s, info)
