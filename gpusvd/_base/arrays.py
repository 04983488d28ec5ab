"""Arrays of any library: their namespaces and dtypes, and batches of matrices.

The layer is written once, with the functions that NumPy, CuPy and the array API standard have in common. This
module covers what one of the three spells differently.
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpusvd._base.checks import check_batch, check_dimensions, factor_dtype
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
        raise TypeError(
            f"arrays of {' and '.join(sorted(found))} in one call: convert them to one library first, "
            "with cupy.asarray or cupy.asnumpy"
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
    if hasattr(a, "__array_namespace__"):
        return a.__array_namespace__()
    if hasattr(a, "__cuda_array_interface__"):
        raise TypeError(f"{type(a).__name__} is in GPU memory but is not a CuPy array: pass cupy.asarray(a)")
    return np


def on_host(a: Any) -> bool:
    """Return whether the numbers are in host memory, where reading them costs nothing."""
    return _library(a) in (None, np)


def to_host(xp: Namespace, a: Any) -> Array:
    """Return an array of any library, or anything that NumPy can convert, as a NumPy array."""
    if xp is np:
        return np.asarray(a)
    return xp.asnumpy(a) if is_numpy_or_cupy(xp) else np.from_dlpack(a, device="cpu")


def is_numpy_or_cupy(xp: Namespace) -> bool:
    """Return whether `xp` is NumPy or CuPy, which share dtypes and whose arrays `svd` takes."""
    return xp is np or xp.__name__ == "cupy"


# dtypes


def numbers(xp: Namespace, a: Any, beside: Any = None) -> Array:
    """Return `a` as an array; numbers and lists are placed on the device of the array `beside`."""
    if beside is None or is_numpy_or_cupy(xp) or _library(a) is not None:
        return xp.asarray(a)
    return xp.asarray(a, device=beside.device)


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
    if x.dtype in (xp.float32, xp.float64, xp.complex64, xp.complex128):
        return x
    which = f"{x.dtype}{name and f' of {name}'}"
    raise TypeError(
        f"array type {which} is unsupported in svd; of {xp.__name__} it may be float32, float64, complex64, "
        "complex128, any integer type or bool"
    )


def common_floating(xp: Namespace, **arrays: Any) -> list[Array]:
    """Return the arrays, passed by name, converted to their common floating-point dtype."""
    beside = next((a for a in arrays.values() if _library(a) is not None), None)
    converted = [floating(xp, a, beside, name) for name, a in arrays.items()]
    dtype = xp.result_type(*(a.dtype for a in converted))
    return [astype(xp, a, dtype) for a in converted]


def widened(xp: Namespace, x: Array) -> Array:
    """Return a float16 array as float32, for computation, and any other floating-point array as it is."""
    return astype(xp, x, xp.float32) if x.dtype == getattr(xp, "float16", None) else x


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
    return xp.arange(n) if is_numpy_or_cupy(xp) else xp.arange(n, device=beside.device)


def from_lower_triangles(xp: Any, block: Array) -> Array:
    """Return the Hermitian matrices that have the lower triangles of `block`; `xp` is NumPy or CuPy."""
    lower = xp.tril(block, -1)
    diagonal = xp.where(xp.eye(block.shape[-1], dtype=bool), block, 0)
    with np.errstate(invalid="ignore"):  # a finite imaginary part is ignored; NaN and Inf must spread
        return lower + lower.conj().swapaxes(-1, -2) + (diagonal.real + 0 * diagonal.imag)
