"""Arrays of any library: their namespaces and dtypes, and batches of matrices.

The layer is written once, with the functions that NumPy, CuPy and the array API standard have in common. This
module covers what one of the three spells differently. Torch follows the standard through array-api-compat.
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpusvd._base.checks import check_batch, check_dimensions, factor_dtype
from gpusvd._base.install import install
from gpusvd._base.results import Array

Namespace = Any  # numpy, cupy, or another module of the array API standard


def array_namespace(*arrays: Any) -> Namespace:
    """
    Return the module whose functions take these arrays.

    Numbers, lists and tuples belong to the library of the other arrays, or to NumPy if there are none.
    Anything else that NumPy can convert counts as a NumPy array. CuPy is never imported here: a caller that
    passes a CuPy array has already imported it.

    Raises
    ------
    TypeError
        If the arrays belong to different libraries, or if one is in GPU memory but not a CuPy array.
    ValueError
        If the arrays are in the memory of different GPUs.
    """
    found = {xp.__name__: xp for xp in map(_library, arrays) if xp is not None}
    if len(found) > 1:
        libraries = sorted(map(library_name, found.values()))
        raise TypeError(
            f"arrays of {' and '.join(libraries)} in one call: convert them to one library first"
            + (", with cupy.asarray or cupy.asnumpy" if "cupy" in libraries else "")
        )
    devices = sorted({a.device.id for a in arrays if is_cupy(a)})
    if len(devices) > 1:
        raise ValueError(
            f"arrays on GPUs {' and '.join(map(str, devices))} in one call: copy them to one GPU first"
        )
    return next(iter(found.values()), np)


def is_cupy(a: Any) -> bool:
    """Return whether this is a CuPy array, without importing CuPy."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(a, cupy.ndarray)


def is_tensor(a: Any) -> bool:
    """Return whether this is a torch tensor, without importing torch."""
    return _is_a("torch", "Tensor", a)


def _is_a(library: str, name: str, a: Any) -> bool:
    """Return whether this is an instance of a class of a library, which is not imported for that."""
    module = sys.modules.get(library)
    return module is not None and isinstance(a, getattr(module, name, ()))  # it may be half imported


def device_of(*arrays: Any) -> AbstractContextManager[object]:
    """Return the context in which CuPy allocates and computes on the device of the first CuPy array."""
    return next((a.device for a in arrays if is_cupy(a)), nullcontext())


def _library(a: Any) -> Namespace | None:
    """Return the module that an array belongs to, None for numbers, lists, tuples and None."""
    if isinstance(a, np.ndarray):
        return np
    if a is None or isinstance(a, bool | int | float | complex | np.generic | list | tuple):
        return None
    if is_cupy(a):
        return sys.modules["cupy"]
    if is_tensor(a):
        return _torch()
    if _is_a("dask.array", "Array", a):
        raise TypeError("this function takes no Dask array: pass x.compute(), which loads x into memory")
    if hasattr(a, "__array_namespace__"):
        return a.__array_namespace__()
    if hasattr(a, "__cuda_array_interface__"):
        raise TypeError(f"{type(a).__name__} is in GPU memory but is not a CuPy array: pass cupy.asarray(a)")
    return np


def _torch() -> Namespace:
    """Return torch under the names of the array API standard."""
    try:
        import array_api_compat.torch
    except ImportError as error:
        raise ImportError(f"tensors need array-api-compat: {install('torch')}") from error
    return array_api_compat.torch


def library_name(xp: Namespace) -> str:
    """Return the name under which users know a library."""
    return str(xp.__name__.removeprefix("array_api_compat."))


def on_host(a: Any) -> bool:
    """
    Return whether the numbers are in host memory, where reading them costs nothing.

    Those of a tensor are not: they may be traced, or stand for a batch.
    """
    return _library(a) in (None, np)


def to_host(xp: Namespace, a: Any) -> Array:
    """Return an array of any library, or anything that NumPy can convert, as a NumPy array."""
    if xp is np:
        return np.asarray(a)
    if is_torch(xp):
        return a.detach().cpu().resolve_conj().resolve_neg().numpy()
    return xp.asnumpy(a) if is_numpy_or_cupy(xp) else np.from_dlpack(a, device="cpu")


def is_numpy_or_cupy(xp: Namespace) -> bool:
    """Return whether `xp` is NumPy or CuPy, which share dtypes and whose arrays `svd` takes."""
    return xp is np or xp.__name__ == "cupy"


def is_torch(xp: Namespace) -> bool:
    """Return whether `xp` is torch, whose tensors `svd` takes too."""
    return bool(xp.__name__ == "array_api_compat.torch")


def is_jax(xp: Namespace) -> bool:
    """Return whether `xp` is JAX, whose arrays may be traced."""
    return bool(xp.__name__ == "jax.numpy")


def without_gradient(x: Array) -> Array:
    """Return an array that is not differentiated, such as a scale that cancels in the result."""
    if is_tensor(x):
        return x.detach()  # type: ignore[attr-defined]
    return sys.modules["jax"].lax.stop_gradient(x) if _is_a("jax", "Array", x) else x


def from_host(xp: Namespace, x: Array, beside: Array) -> Array:
    """Return a NumPy array as an array of a library, on the device of the array `beside`."""
    return xp.asarray(x) if is_numpy_or_cupy(xp) else xp.asarray(x, device=_place_of(beside))


def _place_of(x: Any) -> Any:
    """Return the device of an array of the standard, None for one that JAX traces."""
    return getattr(x, "device", None)


def may_be_differentiated(x: Any) -> bool:
    """Return whether this is a tensor that requires a gradient, or an array that JAX traces."""
    if is_tensor(x):
        return bool(x.requires_grad and sys.modules["torch"].is_grad_enabled())
    return _is_a("jax.core", "Tracer", x)


# dtypes


def numbers(xp: Namespace, a: Any, beside: Any = None) -> Array:
    """Return `a` as an array; numbers and lists are placed on the device of the array `beside`."""
    if is_tensor(a):
        return a  # torch.asarray may drop its gradient
    if beside is None or is_numpy_or_cupy(xp) or _library(a) is not None:
        return xp.asarray(a)
    # through NumPy, since torch makes numbers float32
    return xp.asarray(np.asarray(a) if is_torch(xp) else a, device=_place_of(beside))


def floating(xp: Namespace, a: Any, beside: Any = None, name: str = "") -> Array:
    """
    Return `a` as an array of floating-point numbers, converted as `svd` does.

    Integers and bool become float64, and the byte order becomes native; nothing else is copied. Numbers and
    lists are placed on the device of the array `beside`. Raises TypeError, with the `name` of the argument,
    for dtypes that `svd` does not take.
    """
    x = numbers(xp, a, beside)
    if is_numpy_or_cupy(xp):
        return astype(xp, x, factor_dtype(x.dtype, name))
    if xp.isdtype(x.dtype, ("bool", "integral")):
        return astype(xp, x, xp.float64)
    if x.dtype in (xp.float32, xp.float64, xp.complex64, xp.complex128) or _is_half(xp, x):
        return x
    which = f"{x.dtype}{name and f' of {name}'}"
    half = "float16, bfloat16, " if is_torch(xp) else ""
    raise TypeError(
        f"array type {which} is unsupported in svd; of {library_name(xp)} it may be {half}float32, "
        "float64, complex64, complex128, any integer type or bool"
    )


def common_floating(xp: Namespace, **arrays: Any) -> list[Array]:
    """Return the arrays, passed by name, converted to their common floating-point dtype."""
    beside = next((a for a in arrays.values() if _library(a) is not None), None)
    converted = [floating(xp, a, beside, name) for name, a in arrays.items()]
    dtype = xp.result_type(*(a.dtype for a in converted))
    return [astype(xp, a, dtype) for a in converted]


def widened(xp: Namespace, x: Array) -> Array:
    """Return an array of half precision as float32, for computation, and any other floating-point array as
    it is."""
    return astype(xp, x, xp.float32) if _is_half(xp, x) else x


def _is_half(xp: Namespace, x: Array) -> bool:
    """Return whether an array is float16, or one of torch's bfloat16."""
    if is_torch(xp):
        return x.dtype in (xp.float16, xp.bfloat16)
    return is_numpy_or_cupy(xp) and bool(x.dtype == xp.float16)


def astype(xp: Namespace, x: Array, dtype: Any) -> Array:
    """Return an array converted to `dtype`, or the array itself if it has that dtype."""
    if is_numpy_or_cupy(xp):
        return x.astype(dtype, copy=False)
    return xp.astype(x, dtype, copy=False)


def is_complex(xp: Namespace, x: Array) -> bool:
    """Return whether an array has a complex dtype."""
    return bool(x.dtype.kind == "c" if is_numpy_or_cupy(xp) else xp.isdtype(x.dtype, "complex floating"))


def _is_real(xp: Namespace, x: Array) -> bool:
    """Return whether an array has an integer, bool or real floating-point dtype."""
    if is_numpy_or_cupy(xp):
        return x.dtype.kind in "biuf"
    return bool(xp.isdtype(x.dtype, ("bool", "integral", "real floating")))


def real_dtype(xp: Namespace, x: Array) -> Any:
    """Return the real dtype of the same precision."""
    return xp.real(x).dtype if is_complex(xp, x) else x.dtype


def is_integer(xp: Namespace, x: Array) -> bool:
    """Return whether an array has an integer dtype."""
    return bool(x.dtype.kind in "iu" if is_numpy_or_cupy(xp) else xp.isdtype(x.dtype, "integral"))


def eps(xp: Namespace, x: Array) -> float:
    """Return the machine epsilon of the dtype of a floating-point array."""
    return float(xp.finfo(x.dtype).eps)


def limits(
    xp: Namespace, name: str, value: Any, batch: tuple[int, ...], beside: Array | None, signed: bool = False
) -> Array:
    """
    Return a limit for all matrices of a batch, or one for each, as floating-point numbers.

    Raises, with the `name` of the argument, unless the limits are real and broadcast against the batch.
    Limits in host memory must also be at least 0, or, if `signed`, not NaN.
    """
    x = numbers(xp, value, beside)
    if not _is_real(xp, x):
        raise TypeError(f"{name} has dtype {x.dtype}, expected real numbers")
    if on_host(value):
        host = np.asarray(value)
        if not (host == host if signed else host >= 0).all():
            raise ValueError(f"{name} must be {'a number' if signed else 'at least 0'}, not {value!r}")
    check_batch(name, x.shape, batch)
    return floating(xp, x)


def quiet() -> np.errstate:
    """Return a context without NumPy's warnings of overflow and NaN, which single matrices may cause."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


# Matrices


def matrices(xp: Namespace, a: Any, square: bool = False) -> Array:
    """Return `a` as floating-point matrices (..., M, N); raise LinAlgError for another shape."""
    x = floating(xp, a)
    check_dimensions(x.shape, square)
    return x


def in_c_order(xp: Namespace, x: Array) -> Array:
    """
    Return an array in C order, copied unless it is in C order already.

    NumPy adds the numbers of an array in an order that depends on its strides, and BLAS takes some strides
    only: what sums or multiplies a caller's array does so in C order, so that a matrix has one answer.
    """
    return xp.ravel(x).reshape(x.shape) if is_numpy_or_cupy(xp) else x  # new strides for axes of length one


def transpose(x: Array) -> Array:
    """Return the transposes of a batch of matrices, as a view if the library has views."""
    return x.mT if hasattr(x, "mT") else x.swapaxes(-1, -2)  # CuPy 13 has no mT


def adjoint(xp: Namespace, x: Array) -> Array:
    """Return the conjugate transposes of a batch of matrices; real matrices are not copied."""
    return xp.conj(transpose(x)) if is_complex(xp, x) else transpose(x)


def cumulative_sum(xp: Namespace, x: Array) -> Array:
    """Return the cumulative sums along the last axis."""
    return xp.cumsum(x, axis=-1) if is_numpy_or_cupy(xp) else xp.cumulative_sum(x, axis=-1)


def concatenated(xp: Namespace, arrays: Sequence[Array], axis: int) -> Array:
    """Return arrays joined along an axis."""
    join = xp.concatenate if is_numpy_or_cupy(xp) else xp.concat  # CuPy 13 has no concat
    return join(arrays, axis=axis)


def arange(xp: Namespace, n: int, beside: Array) -> Array:
    """Return the integers 0 to n - 1 on the device of the array `beside`."""
    return xp.arange(n) if is_numpy_or_cupy(xp) else xp.arange(n, device=_place_of(beside))


def from_lower_triangles(xp: Any, block: Array) -> Array:
    """Return the Hermitian matrices with the lower triangles of `block`; `xp` is NumPy, CuPy or JAX."""
    lower = xp.tril(block, -1)
    diagonal = xp.where(xp.eye(block.shape[-1], dtype=bool), block, 0)
    with np.errstate(invalid="ignore"):  # a finite imaginary part is ignored; NaN and Inf must spread
        return lower + lower.conj().swapaxes(-1, -2) + (diagonal.real + 0 * diagonal.imag)
