"""Arrays, and shapes in the place of arrays, for functions that only look at them."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpusvd._base.checks import check_dimensions, is_int
from gpusvd._cuda.arrays import is_on_gpu

_EXPECTED = "must be an array, a shape (..., M, N) of ints, or a list of these"


class HasShape(Protocol):
    """What an array must have to be described."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


OneArray = HasShape | tuple[int, ...] | list[int]
SeveralArrays = Iterable[HasShape | tuple[int, ...] | list[int]]


class Described(NamedTuple):
    """What matters of an array, or of one to come, whose dtype is None."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    on_gpu: bool


def described(arrays: OneArray | SeveralArrays) -> Described | list[Described]:
    """Return shape, dtype and place of an array, a shape, or each of a list of these, or raise."""
    one = _one("arrays", arrays)
    if one is not None:
        return one
    if isinstance(arrays, str) or not isinstance(arrays, Iterable):
        raise TypeError(f"arrays {_EXPECTED}, not {arrays!r}")
    items = []
    for index, item in enumerate(arrays):
        one = _one(f"arrays[{index}]", item)
        if one is None:
            raise TypeError(f"arrays[{index}] is {item!r}: arrays {_EXPECTED}")
        items.append(one)
    return items


def as_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    """Return a dtype of NumPy; raise TypeError, with the name of the argument, for what is none."""
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{name} has {dtype!r}, which is no dtype") from None
    return found


def _one(name: str, a: Any) -> Described | None:
    """Return the description of an array or a shape, None for anything else."""
    if hasattr(a, "shape") and hasattr(a, "dtype"):
        name_of_dtype = str(a.dtype).rpartition(".")[2]  # torch.float32
        computed = "float32" if name_of_dtype == "bfloat16" else name_of_dtype
        found = Described(tuple(a.shape), as_dtype(name, computed), is_on_gpu(a))
    elif isinstance(a, tuple | list) and all(map(is_int, a)) and a != []:
        found = Described(tuple(map(int, a)), None, False)
    else:
        return None
    if min(found.shape, default=0) < 0:
        raise ValueError(f"{name} has a negative length: {found.shape}")
    check_dimensions(found.shape, hermitian=False)
    return found
