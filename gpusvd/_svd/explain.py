"""Say which driver and kernel take an array, and why."""

import math
from dataclasses import dataclass, fields
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import DTypeLike

from gpusvd._base.blas import pool_size
from gpusvd._base.checks import (
    Device,
    Driver,
    check_dimensions,
    check_driver,
    check_threads,
    checked_device,
    factor_dtype,
)
from gpusvd._base.threads import usable_cores
from gpusvd._cpu.lapack import sizes_of
from gpusvd._svd.described import Described, OneArray, SeveralArrays, as_dtype, described
from gpusvd._svd.driver import JACOBI_COLUMNS, choose, choose_on_gpu

_NAMES = {"jacobi": "Jacobi", "bidiagonal": "a bidiagonal form", "vendor": "LAPACK"}
_ACCURACY = {
    "jacobi": "relative to each singular value",
    "bidiagonal": "relative to the largest singular value",
    "vendor": "relative to the largest singular value",
}
_EXACT = "exact"


@dataclass(frozen=True)
class Explanation:
    """How `svd` decomposes an array, and why so; see `explain`."""

    shape: tuple[int, ...]
    dtype: str
    driver: str
    kernel: str
    size_class: str
    lanes: int
    tile_bytes: int
    threads: int
    accuracy: str
    why: str

    def __str__(self) -> str:
        return "\n".join(
            f"{field.name.replace('_', ' '):<12}{getattr(self, field.name)}" for field in fields(self)
        )


class _Options(TypedDict, total=False):
    """The keywords that no overload of `explain` depends on."""

    full_matrices: bool
    compute_uv: bool
    hermitian: bool
    driver: Driver
    threads: int | None
    device: Device | None


@overload
def explain(arrays: OneArray, dtype: DTypeLike | None = None, **options: Unpack[_Options]) -> Explanation: ...


@overload
def explain(
    arrays: SeveralArrays, dtype: DTypeLike | None = None, **options: Unpack[_Options]
) -> list[Explanation]: ...


def explain(
    arrays: OneArray | SeveralArrays,
    dtype: DTypeLike | None = None,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    driver: Driver = "auto",
    threads: int | None = None,
    device: Device | None = None,
) -> Explanation | list[Explanation]:
    """
    Say how `svd` would decompose an array, and why, without decomposing anything.

    Parameters
    ----------
    arrays : array, tuple of int, or iterable of these
        An array, its shape (..., M, N), or several of them.
    dtype : dtype, optional
        Its dtype. Default: that of the array, float64 for a shape.
    full_matrices, compute_uv, hermitian, driver, threads, device : optional
        As in `svd`; ``device="cuda"`` also makes a shape stand for an array in GPU memory.

    Returns
    -------
    Explanation, or list of Explanation for several arrays
        To print, or to read by attribute: `shape`; the `dtype` of the singular vectors; the `driver` taken,
        "jacobi", "vendor" or, for values alone, "bidiagonal"; its `kernel` and `size_class`; the `lanes` of a
        SIMD group; `tile_bytes`, the working memory of a thread's kernel (0 for LAPACK, which allocates its
        own); the most `threads` that share the batch; the `accuracy` of small singular values, relative to
        themselves or to the largest one; and `why` this driver. On a GPU `kernel` is the one that rotates,
        `lanes` are the threads that share a pair of columns, `tile_bytes` the global memory of a matrix
        being decomposed, and `threads` those of a block.

    Raises
    ------
    LinAlgError
        If the shape has fewer than two dimensions, or is not square for `hermitian`.
    TypeError, ValueError
        For a dtype, driver or number of threads that `svd` refuses, and for anything but an array or a shape.

    Examples
    --------
    >>> import gpusvd
    >>> print(gpusvd.explain((1000, 1500, 1500), "float32", threads=2))
    shape       (1000, 1500, 1500)
    dtype       float32
    driver      vendor
    kernel      LAPACK gesdd
    size class  any
    lanes       1
    tile bytes  0
    threads     1
    accuracy    relative to the largest singular value
    why         LAPACK is faster for 1500 x 1500 float32
    """
    check_driver(driver)
    check_threads(threads)
    options = (full_matrices, compute_uv, hermitian, driver, threads, checked_device(device))
    given = None if dtype is None else as_dtype("dtype", dtype)
    found = described(arrays)
    if isinstance(found, Described):
        return _explain(found, given, *options)
    return [_explain(one, given, *options) for one in found]


def _explain(
    array: Described,
    dtype: np.dtype[Any] | None,
    full_matrices: bool,
    compute_uv: bool,
    hermitian: bool,
    driver: Driver,
    threads: int | None,
    device: str | None,
) -> Explanation:
    """As `explain`, for one array."""
    lengths = array.shape
    check_dimensions(lengths, hermitian)
    own = np.dtype(np.float64) if array.dtype is None else array.dtype
    factors = factor_dtype(own if dtype is None else dtype)
    if array.on_gpu or device not in (None, "cpu"):
        return _explain_cuda(lengths, factors, full_matrices, compute_uv, driver)
    cores = threads or usable_cores()
    m, n = lengths[-2:]
    batch = math.prod(lengths[:-2])

    if driver == "auto":
        taken = choose(m, n, factors, bool(full_matrices), bool(compute_uv), bool(hermitian))
        why = f"{_NAMES[taken]} is faster for {m} x {n} {factors}"
    else:
        taken, why = driver, f"driver={driver!r} was asked for"
    if m * n * batch == 0:
        return Explanation(
            lengths, factors.name, taken, "none", "empty", 1, 0, 1, _EXACT, "there is nothing to decompose"
        )
    if taken == "vendor":
        kernel = (
            "LAPACK gesdd" if not hermitian else "LAPACK heevd" if factors.kind == "c" else "LAPACK syevd"
        )
        size_class, lanes, tile_bytes = "any", 1, 0
        threads = pool_size(sizes_of(lengths, factors, bool(full_matrices) if compute_uv else None), cores)
    else:
        from gpusvd._cpu.plan import plan

        kernel, size_class, lanes, tile_bytes = plan(m, n, factors, bool(full_matrices), bool(compute_uv))
        threads = cores
    threads, accuracy = min(threads, batch), _ACCURACY[taken]
    return Explanation(
        lengths, factors.name, taken, kernel, size_class, lanes, tile_bytes, threads, accuracy, why
    )


def _explain_cuda(
    shape: tuple[int, ...], dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool, driver: Driver
) -> Explanation:
    """As `explain`, on a GPU."""
    taken = choose_on_gpu(shape, driver)
    why = f"driver={driver!r} was asked for"
    if driver == "auto":
        within = "more" if taken == "vendor" else "not more"
        why = f"the matrices have {within} than {JACOBI_COLUMNS} columns"
    if math.prod(shape) == 0:
        return Explanation(
            shape, dtype.name, taken, "none", "empty", 1, 0, 1, _EXACT, "there is nothing to decompose"
        )
    accuracy = _ACCURACY[taken]
    if taken == "vendor":
        return Explanation(shape, dtype.name, taken, "cuSOLVER through CuPy", "any", 1, 0, 1, accuracy, why)
    from gpusvd._cuda.jacobi import plan

    return Explanation(
        shape, dtype.name, taken, *plan(shape, dtype, full_matrices, compute_uv), accuracy, why
    )
