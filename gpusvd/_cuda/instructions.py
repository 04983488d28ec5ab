"""What numba would compile to more instructions than a GPU needs, by the name of the function in
`gpusvd.kernels.cuda_warp` that says what is computed."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import libdevice
from numba.cuda.extending import intrinsic

_EVERYONE = 0xFFFFFFFF


def _shuffle_double(x, lane):  # type: ignore[no-untyped-def]
    high = cuda.shfl_sync(_EVERYONE, libdevice.double2hiint(x), lane)
    low = cuda.shfl_sync(_EVERYONE, libdevice.double2loint(x), lane)
    return libdevice.hiloint2double(high, low)


def _shuffle_double_across(x, step):  # type: ignore[no-untyped-def]
    high = cuda.shfl_xor_sync(_EVERYONE, libdevice.double2hiint(x), step)
    low = cuda.shfl_xor_sync(_EVERYONE, libdevice.double2loint(x), step)
    return libdevice.hiloint2double(high, low)


@intrinsic
def _aligned(typing, array):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        word, made = ir.IntType(64), context.make_array(signature.args[0])(context, builder, values[0])
        where = ir.PointerType(made.data.type.pointee, addrspace=1)
        place = builder.ptrtoint(builder.addrspacecast(made.data, where), word)
        place = builder.inttoptr(builder.and_(place, ir.Constant(word, -16)), where)
        made.data = builder.addrspacecast(place, made.data.type)
        return made._getvalue()

    return array(array), generate


def instructions(kind: str) -> dict[str, Callable[..., Any]]:
    """Return the functions for matrices of a dtype. Double precision is shuffled as two words, without the
    shifts and masks that numba makes, and what is aligned is loaded 16 bytes at a time."""
    if kind in ("float32", "complex64"):
        return {"aligned": _aligned}
    return {
        "aligned": _aligned,
        "shuffle_real": _shuffle_double,
        "shuffle_real_across": _shuffle_double_across,
    }
