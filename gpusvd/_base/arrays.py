"""Arrays of any library: their namespace, their dtypes, and batches of matrices made of them.

The layer over arrays is written once, in the functions that the array API standard has and NumPy and CuPy
share. What one of the three spells differently is here.
"""

import sys
from typing import Any

import numpy as np

from gpusvd._base.checks import check_batch, check_dimensions, factor_dtype
from gpusvd._base.results import Array

Namespace = Any  # numpy, cupy, or another module of the array API standard


def array_namespace(*arrays: Any) -> Namespace:
    """
    Return the module whose functions take these arrays.

    Numbers, lists and tuples go along with the arrays beside them, and to NumPy if there are none; so does
    whatever else NumPy can convert. CuPy is never imported here: who passes a CuPy array has done so.

    Raises
    ------
    TypeError
        If the arrays are of two libraries, or in GPU memory that is not CuPy's.
    """
    found = {xp.__name__: xp for xp in map(_library, arrays) if xp is not None}
    if len(found) > 1:
        raise TypeError(
            f"arrays of {' and '.join(sorted(found))} in one call: bring them to one library first, "
            "as cupy.asarray and cupy.asnumpy do"
        )
    return next(iter(found.values()), np)


def _library(a: Any) -> Namespace | None:
    """Return the module an array belongs to, None for what belongs to none."""
    if isinstance(a, np.ndarray):
        return np
    if a is None or isinstance(a, bool | int | float | complex | np.generic | list | tuple):
        return None
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(a, cupy.ndarray):
        return cupy
    if hasattr(a, "__array_namespace__"):
        return a.__array_namespace__()
    if hasattr(a, "__cuda_array_interface__"):
        raise TypeError(f"{type(a).__name__} is in GPU memory but no CuPy array: pass cupy.asarray(a)")
    return np


def on_host(a: Any) -> bool:
    """Return whether these are numbers in the host's memory, which can be looked at for nothing."""
    return _library(a) in (None, np)


def to_host(xp: Namespace, a: Any) -> Array:
    """Return an array of any library, or what NumPy can convert, as NumPy's: a copy, if in device memory."""
    if xp is np:
        return np.asarray(a)
    return xp.asnumpy(a) if is_numpy_or_cupy(xp) else np.from_dlpack(a, device="cpu")


def is_numpy_or_cupy(xp: Namespace) -> bool:
    """Return whether this is NumPy or CuPy, which shares NumPy's dtypes and which `svd` takes."""
    return xp is np or xp.__name__ == "cupy"


# dtypes


def numbers(xp: Namespace, a: Any, beside: Any = None) -> Array:
    """Return `a` as an array; numbers and lists in the memory where the array `beside` is."""
    if beside is None or is_numpy_or_cupy(xp) or _library(a) is not None:
        return xp.asarray(a)
    return xp.asarray(a, device=beside.device)


def floating(xp: Namespace, a: Any, beside: Any = None, name: str = "") -> Array:
    """
    Return `a` as an array of floating-point numbers, converted as `svd` does.

    Integers and bool become float64, any byte order the machine's; the rest is not copied. Numbers and lists
    go where the array `beside` is. TypeError, which names the argument, for what `svd` does not take.
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
    """Return the arrays, given by name, converted to the one floating-point dtype that holds all of them."""
    beside = next((a for a in arrays.values() if _library(a) is not None), None)
    converted = [floating(xp, a, beside, name) for name, a in arrays.items()]
    dtype = xp.result_type(*(a.dtype for a in converted))
    return [astype(xp, a, dtype) for a in converted]


def widened(xp: Namespace, x: Array) -> Array:
    """Return float16 as float32, to compute in, and other floating-point arrays as they are."""
    return astype(xp, x, xp.float32) if x.dtype == getattr(xp, "float16", None) else x


def astype(xp: Namespace, x: Array, dtype: Any) -> Array:
    """Return an array in `dtype`, the array itself if that is its dtype."""
    if is_numpy_or_cupy(xp):
        return x.astype(dtype, copy=False)
    return xp.astype(x, dtype, copy=False)


def is_complex(xp: Namespace, x: Array) -> bool:
    """Return whether an array has a complex dtype."""
    return bool(x.dtype.kind == "c" if is_numpy_or_cupy(xp) else xp.isdtype(x.dtype, "complex floating"))


def _is_real(xp: Namespace, x: Array) -> bool:
    """Return whether these are integers, bool or real floating-point numbers."""
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
    """Return the distance of 1 to the next number in the dtype of a floating-point array."""
    return float(xp.finfo(x.dtype).eps)


def limits(
    xp: Namespace, name: str, value: Any, batch: tuple[int, ...], beside: Array | None, signed: bool = False
) -> Array:
    """
    Return limits, one for all matrices of a batch or one for each, in floating point.

    Raise, by the name of the argument, unless they are real, fit the batch and, those in the host's memory,
    are at least 0; or, where their sign is free, not NaN.
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
    """Let NumPy overflow to inf, and NaN spread, without a warning: a batch is silent about its matrices."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


# Matrices


def matrices(xp: Namespace, a: Any, square: bool = False) -> Array:
    """Return `a` as floating-point matrices (..., M, N); raise LinAlgError where it has another shape."""
    x = floating(xp, a)
    check_dimensions(x.shape, square)
    return x


def transpose(x: Array) -> Array:
    """Return the transposes of a batch of matrices, as a view where the library has views."""
    return x.mT if hasattr(x, "mT") else x.swapaxes(-1, -2)  # CuPy 13 has no mT


def adjoint(xp: Namespace, x: Array) -> Array:
    """Return the conjugate transposes of a batch of matrices; of real ones no copy."""
    return xp.conj(transpose(x)) if is_complex(xp, x) else transpose(x)


def cumulative_sum(xp: Namespace, x: Array) -> Array:
    """Return the sums of the first 1, 2, ... numbers along the last axis."""
    return xp.cumsum(x, axis=-1) if is_numpy_or_cupy(xp) else xp.cumulative_sum(x, axis=-1)


def arange(xp: Namespace, n: int, beside: Array) -> Array:
    """Return the integers 0 to n - 1 in the memory where an array is."""
    return xp.arange(n) if is_numpy_or_cupy(xp) else xp.arange(n, device=beside.device)


def from_lower_triangles(xp: Any, block: Array) -> Array:
    """Return the Hermitian matrices with the lower triangles of `block`; `xp` is NumPy or CuPy."""
    lower = xp.tril(block, -1)
    diagonal = xp.where(xp.eye(block.shape[-1], dtype=bool), block, 0)
    with np.errstate(invalid="ignore"):  # NaN or Inf in an imaginary part counts, a number there does not
        return lower + lower.conj().swapaxes(-1, -2) + (diagonal.real + 0 * diagonal.imag)
