"""Argument checks and their error messages."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.linalg import LinAlgError

from gpusvd._base.results import Array

Driver = Literal["auto", "jacobi", "vendor"]
Taken = Literal["jacobi", "bidiagonal", "vendor"]  # what decomposes; "auto" stands for one of them
Errors = Literal["nan", "raise"]
Device = Any  # "cpu", "cuda", "cuda:1", or the torch.device of one
Expected = tuple[str, tuple[int, ...], np.dtype[Any]]  # name, shape and dtype of a result

_FACTOR_DTYPES = {
    **dict.fromkeys("?bBhHiIlLqQ", np.dtype(np.float64)),
    **{char: np.dtype(char) for char in "efdFD"},
}
_VALUES_DTYPES = {char: np.dtype(values) for char, values in zip("efdFD", "ffdfd", strict=True)}


def factor_dtype(dtype: np.dtype[Any], name: str = "") -> np.dtype[Any]:
    """Return the dtype of the singular vectors of matrices of `dtype`; errors name the argument, if given."""
    try:
        return _FACTOR_DTYPES[dtype.char]
    except KeyError:
        which = f"{dtype}{name and f' of {name}'}"
        raise TypeError(
            f"array type {which} is unsupported in svd; it may be float16, float32, float64, complex64, "
            "complex128, any integer type or bool"
        ) from None


def working_dtype(factors: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that kernels and LAPACK compute factors of a dtype in: float32 for float16."""
    return _FACTOR_DTYPES["f"] if factors.char == "e" else factors


def values_dtype(factors: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of singular values: real, and float32 for float16, which may not hold the sum of its
    squares."""
    return _VALUES_DTYPES[factors.char]


def check_dimensions(shape: tuple[int, ...], hermitian: bool) -> None:
    """Raise LinAlgError, in NumPy's words, unless `shape` is that of matrices, square ones if `hermitian`."""
    if len(shape) < 2:
        raise LinAlgError(f"{len(shape)}-dimensional array given. Array must be at least two-dimensional")
    if hermitian and shape[-1] != shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")


def check_batch(name: str, shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    """Raise ValueError unless an argument of this shape broadcasts against a batch."""
    try:
        np.broadcast_shapes(shape, batch)
    except ValueError:
        raise ValueError(f"{name} of shape {shape} does not broadcast against a batch of {batch}") from None


def is_int(value: object) -> TypeGuard[int | np.integer[Any]]:
    """Return whether a value is an integer of Python or NumPy, and not a bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def checked_int(value: object, message: str, least: int = 0, most: int | None = None) -> int:
    """Return a value as an int; raise ValueError with the message unless it is one from `least` to `most`."""
    if not is_int(value) or value < least or (most is not None and value > most):
        raise ValueError(message)
    return int(value)


def checked_size(name: str, size: object) -> int:
    """Return a number of rows or columns as a Python int, whose products cannot overflow."""
    return checked_int(size, f"{name} must be a non-negative int, not {size!r}")


def is_one_of(value: Any, choices: Sequence[object]) -> bool:
    """Return whether a value is one of the choices; an array never is."""
    return np.ndim(value) == 0 and value in choices


def check_driver(driver: Driver) -> None:
    """Raise ValueError unless `driver` is the name of a driver."""
    if not isinstance(driver, str) or driver not in ("auto", "jacobi", "vendor"):
        raise ValueError(f"driver must be 'auto', 'jacobi' or 'vendor', not {driver!r}")


def check_errors(errors: Errors) -> None:
    """Raise ValueError unless `errors` is "nan" or "raise"."""
    if not isinstance(errors, str) or errors not in ("nan", "raise"):
        raise ValueError(f"errors must be 'nan' or 'raise', not {errors!r}")


def checked_device(device: Device | None, *more: str) -> str | None:
    """Return the name of a device, or None for None; raise ValueError unless it is one, or one of `more`."""
    if device is None:
        return None
    name = str(device) if isinstance(device, str) or type(device).__module__ == "torch" else ""
    if name == "cpu:0":
        return "cpu"
    if name in more or re.fullmatch(r"cpu|cuda(:\d+)?", name):
        return name
    names = ", ".join(map(repr, ("cpu", "cuda", "cuda:1", *more)))
    raise ValueError(f"device must be None, {names} or a torch.device, not {device!r}")


def device_index(device: str | None) -> int | None:
    """Return the number of a CUDA device in its name, None if there is none: the current device."""
    return int(device.partition(":")[2]) if device is not None and ":" in device else None


def check_threads(threads: int | None) -> None:
    """Raise ValueError unless `threads` is a positive int or None."""
    if threads is not None:
        expected = "None (the cores this process may use) or a positive int"
        checked_int(threads, f"threads must be {expected}, not {threads!r}", least=1)


@lru_cache(maxsize=1024)
def expected_results(
    shape: tuple[int, ...], dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool
) -> tuple[Expected, ...]:
    """Return the name, shape and dtype of each result of an SVD."""
    batch, m, n = shape[:-2], shape[-2], shape[-1]
    k = m if m < n else n
    values = "S", (*batch, k), values_dtype(dtype)
    if not compute_uv:
        return (values,)
    rows, columns = (m, n) if full_matrices else (k, k)
    return ("U", (*batch, m, rows), dtype), values, ("Vh", (*batch, columns, n), dtype)


def outputs_of(out: Any, expected: Sequence[Expected]) -> tuple[Any, ...]:
    """Return `out` as a tuple with an array for each result; raise TypeError if the numbers differ."""
    outputs = out if len(expected) > 1 else (out,)
    if not isinstance(outputs, tuple) or len(outputs) != len(expected):
        names = ", ".join(name for name, _, _ in expected)
        raise TypeError(f"out must be a tuple of {len(expected)} arrays, ({names}), not {_kind(outputs)}")
    return outputs


def check_out(out: Any, expected: Sequence[Expected]) -> list[Array]:
    """Return the arrays of `out` as plain ndarrays; raise unless they fit the results and are writable."""
    outputs = outputs_of(out, expected)
    check_outputs(list(zip(outputs, expected, strict=True)))
    return [np.asarray(array) for array in outputs]


def share_memory(x: Array, y: Array) -> bool:
    """Return whether two arrays have an element in common; also True if that takes too long to find out."""
    try:
        return np.shares_memory(x, y, max_work=100_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def check_outputs(outputs: Sequence[tuple[Any, Expected]]) -> None:
    """Raise unless each array is as expected and writable, and shares no memory with another one."""
    for array, expected in outputs:
        _check_output(array, expected)
    for (array, expected), (other, other_expected) in combinations(outputs, 2):
        if share_memory(array, other):
            raise ValueError(
                f"{expected[0]} and {other_expected[0]} in out share memory, expected separate arrays"
            )


def _check_output(array: Any, expected: Expected) -> None:
    name, _, _ = expected
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} in out is {_kind(array)}, expected a NumPy array")
    check_fit(array, expected)
    if not array.flags.writeable:
        raise ValueError(f"{name} in out is read-only, expected a writable array")
    if array.size and _overlaps_itself(array):
        raise ValueError(
            f"{name} in out has strides {array.strides}, expected elements that do not share memory"
        )


def check_fit(array: Any, expected: Expected) -> None:
    """Raise unless an output of any library has the shape and dtype that are expected."""
    name, shape, dtype = expected
    if tuple(array.shape) != shape:
        raise ValueError(f"{name} in out has shape {tuple(array.shape)}, expected {shape}")
    if np.dtype(array.dtype).newbyteorder("=") != dtype:
        raise TypeError(f"{name} in out has dtype {array.dtype}, expected {dtype}")


def _overlaps_itself(array: Array) -> bool:
    """Return whether elements share memory: a stride is shorter than the extent of its inner dimensions."""
    extent = array.itemsize
    for stride, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length > 1:
            if stride < extent:
                return True
            extent += stride * (length - 1)
    return False


def _kind(value: object) -> str:
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple) else "")
