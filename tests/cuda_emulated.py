"""Launch a CUDA kernel of `gpusvd.kernels` in the emulator: what `gpusvd._cuda_launch.launch` does on a
GPU."""

from functools import cache

import numpy as np

from gpusvd._cuda_launch import _in_order
from gpusvd._specialise import Specialiser
from gpusvd.kernels.scalars import scalar_operations
from tests import simt


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
    return Specialiser(scalar_operations(kind) | {"number": number, "real": real}, real, lambda f: f)
