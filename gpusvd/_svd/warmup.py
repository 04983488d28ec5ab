"""Compile kernels before the first call."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpusvd._base.checks import Device
from gpusvd._svd.described import Described, OneArray, SeveralArrays, as_dtype, described
from gpusvd._svd.svd import svd


def warmup(
    arrays: OneArray | SeveralArrays,
    dtypes: DTypeLike | Iterable[DTypeLike] | None = None,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    device: Device | None = None,
) -> None:
    """
    Compile the kernels for given arrays or shapes now, so that no later call has to wait.

    Machine code is kept on disk, so later processes load it instead of compiling. On the CPU a dtype has
    three kernels, for small matrices, for large ones, and for singular values alone; and with vectors and
    without, for each of 2, 3 and 4 columns, one for square matrices and one for up to 8 rows. On a GPU it has
    about fifty for all sizes from 5 to 128, of which a call uses up to four; up to 4 columns and 8 rows each
    shape has its own.

    Parameters
    ----------
    arrays : array, tuple of int, or iterable of these
        Arrays like those to come, or their shapes (..., M, N), of which only M and N count.
    dtypes : dtype or iterable of dtype, optional
        The dtypes of those arrays. Default: that of an array, float32 and float64 for a shape.
    full_matrices, compute_uv, device : optional
        As in `svd`.

    Raises
    ------
    LinAlgError, TypeError, ValueError, ImportError, RuntimeError
        As in `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.warmup([(8, 8), (3, 3)], "float32")
    """
    found = described(arrays)
    given = None if dtypes is None else _as_dtypes(dtypes)
    for array in [found] if isinstance(found, Described) else found:
        own = [np.dtype("float32"), np.dtype("float64")] if array.dtype is None else [array.dtype]
        dtype: Any  # mypy takes no dtype[Any] for zeros
        for dtype in own if given is None else given:
            a = np.zeros((2, *array.shape[-2:]), dtype)
            if a.dtype.kind in "fc":
                a[1] = np.nan  # for the kernel that takes what the one for most matrices leaves
            place = "cuda" if array.on_gpu and device is None else device
            svd(a, full_matrices, compute_uv, driver="jacobi", device=place)


def _as_dtypes(dtypes: Any) -> list[np.dtype[Any]]:
    """Return one dtype, or an iterable of them, as a list."""
    several = isinstance(dtypes, Iterable) and not isinstance(dtypes, str | type | np.dtype)
    return [as_dtype("dtypes", dtype) for dtype in (dtypes if several else [dtypes])]
