"""What numba would compile to more instructions than a GPU needs, by the name of the function in
`gpusvd.kernels.cuda_warp` that says what is computed."""

from collections.abc import Callable
from typing import Any

from numba import cuda
from numba.cuda import libdevice

_EVERYONE = 0xFFFFFFFF


def _shuffle_double(x, lane):  # type: ignore[no-untyped-def]
    high = cuda.shfl_sync(_EVERYONE, libdevice.double2hiint(x), lane)
    low = cuda.shfl_sync(_EVERYONE, libdevice.double2loint(x), lane)
    return libdevice.hiloint2double(high, low)


def _shuffle_double_across(x, step):  # type: ignore[no-untyped-def]
    high = cuda.shfl_xor_sync(_EVERYONE, libdevice.double2hiint(x), step)
    low = cuda.shfl_xor_sync(_EVERYONE, libdevice.double2loint(x), step)
    return libdevice.hiloint2double(high, low)


def instructions(kind: str) -> dict[str, Callable[..., Any]]:
    """Return the functions for matrices of a dtype. Numba shuffles double precision by shifts and masks; here
    it is two words."""
    if kind in ("float32", "complex64"):
        return {}
    return {"shuffle_real": _shuffle_double, "shuffle_real_across": _shuffle_double_across}
