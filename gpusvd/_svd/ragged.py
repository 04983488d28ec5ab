"""Decompose matrices of several sizes, one batch per size."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import ArrayLike, NDArray

from gpusvd._base.arrays import array_namespace, device_of, is_cupy, to_host
from gpusvd._base.checks import (
    Device,
    Driver,
    Errors,
    factor_dtype,
)
from gpusvd._base.dispatch import refuse_dask
from gpusvd._base.results import Array, SVDResult, failures
from gpusvd._cuda.arrays import cupy_with_device, is_on_gpu, on_device
from gpusvd._svd.decompose import decompose
from gpusvd._svd.options import checked_options

R = TypeVar("R", bound=SVDResult | Array)


class RaggedResult(Sequence[R]):
    """
    The results of `svd_ragged` in the order of the matrices.

    A sequence of SVDResult, or of arrays S. Items are created on access, as views into the arrays of all
    matrices of one size, which `buckets` returns.
    """

    def __init__(self, count: int, buckets: list[tuple[Any, R]]) -> None:
        self._count = count
        self._buckets = buckets

    @property
    def buckets(self) -> list[tuple[NDArray[np.intp], R]]:
        """For each shape and dtype, the indices of its matrices in the list, and their results as a batch."""
        return [(np.asarray(indices, np.intp), factors) for indices, factors in self._buckets]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> R: ...

    @overload
    def __getitem__(self, index: slice) -> list[R]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        bucket, row = self._location
        try:
            factors, i = self._buckets[bucket[index]][1], row[index]
        except IndexError:
            raise IndexError(f"index {index} is out of range: there are {self._count} results") from None
        if isinstance(factors, SVDResult):
            return SVDResult(factors.U[i], factors.S[i], factors.Vh[i])
        return factors[i]

    def __iter__(self) -> Iterator[R]:
        items: list[Any] = [None] * self._count
        for indices, factors in self._buckets:
            each = map(SVDResult, *factors) if isinstance(factors, SVDResult) else iter(factors)
            for index, item in zip(indices, each, strict=True):
                items[index] = item
        return iter(items)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._count} matrices in {len(self._buckets)} sizes>"

    @cached_property
    def _location(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The bucket of each matrix, and its index there."""
        bucket, row = np.empty(self._count, np.intp), np.empty(self._count, np.intp)
        for number, (indices, _) in enumerate(self._buckets):
            bucket[indices], row[indices] = number, np.arange(len(indices))
        return bucket, row


class _Options(TypedDict, total=False):
    """What the overloads of `svd_ragged` share."""

    hermitian: bool
    driver: Driver
    errors: Errors
    threads: int | None
    device: Device | None


@overload
def svd_ragged(
    matrices: Iterable[ArrayLike],
    full_matrices: bool = True,
    compute_uv: Literal[True] = True,
    **options: Unpack[_Options],
) -> RaggedResult[SVDResult]: ...


@overload
def svd_ragged(
    matrices: Iterable[ArrayLike],
    full_matrices: bool = True,
    *,
    compute_uv: Literal[False],
    **options: Unpack[_Options],
) -> RaggedResult[Array]: ...


@overload
def svd_ragged(
    matrices: Iterable[ArrayLike],
    full_matrices: bool = True,
    compute_uv: bool = True,
    **options: Unpack[_Options],
) -> RaggedResult[SVDResult] | RaggedResult[Array]: ...


def svd_ragged(
    matrices: Iterable[ArrayLike],
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> RaggedResult[Any]:
    """
    Decompose matrices of several shapes and dtypes.

    Matrices of the same shape and dtype are decomposed as one batch.

    Parameters
    ----------
    matrices : iterable of (M, N) array_like
        Any number of matrices, each with its own shape and dtype, as `svd` takes them. Matrices in GPU memory
        are decomposed there.
    full_matrices, compute_uv, hermitian, driver, errors, threads, device : optional
        As in `svd`.

    Returns
    -------
    RaggedResult
        The result of `svd` for each matrix, in the order of `matrices`: SVDResult (U, S, Vh), or S with
        ``compute_uv=False``. Items are views, created on access; a single one keeps the results of all
        matrices of its size in memory.

    Raises
    ------
    LinAlgError, TypeError, ValueError, ImportError, RuntimeError
        As in `svd`; the message names the matrix by its index in the list.

    See Also
    --------
    svd : Matrices of one size.
    stream : Batches beyond memory.

    Notes
    -----
    The gain over a loop is that of `svd` on a batch of each size, less the cost of copying the matrices into
    batches. If hardly any two matrices have the same size, nothing is gained.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> results = gpusvd.svd_ragged([np.eye(2), np.ones((3, 2)), 2 * np.eye(2)])
    >>> len(results)
    3
    >>> [S.round(3).tolist() for U, S, Vh in results]
    [[1.0, 1.0], [2.449, 0.0], [2.0, 2.0]]
    """
    options = checked_options(full_matrices, compute_uv, hermitian, driver, errors, threads, device)
    arrays = _as_arrays(matrices)
    groups: defaultdict[Any, list[int]] = defaultdict(list)
    for index, a in enumerate(arrays):
        groups[a.shape, a.dtype, a.device.id if is_cupy(a) else None].append(index)
    for (shape, dtype, _), indices in groups.items():
        _check(indices[0], shape, dtype, options.hermitian)

    with_info = errors == "raise"
    converged = np.ones(len(arrays), np.bool_)
    buckets: list[tuple[Any, SVDResult | Array]] = []
    for indices in groups.values():
        batch = _batch(arrays, indices)
        u, s, vh, info = decompose(batch, options._replace(errors="nan"), with_info=with_info)
        if info is not None:
            converged[indices] = to_host(array_namespace(info.converged), info.converged)
        buckets.append((indices, s if u is None or vh is None else SVDResult(u, s, vh)))
    if not converged.all():
        raise LinAlgError(failures(converged))
    return RaggedResult(len(arrays), buckets)


def _as_arrays(matrices: Iterable[Any]) -> list[Any]:
    """Return the matrices as NumPy arrays, or as CuPy arrays if they are in GPU memory."""
    if not isinstance(matrices, Iterable):
        raise TypeError(f"matrices must be a list of matrices, not {type(matrices).__name__}")
    arrays = list(matrices)
    if set(map(type, arrays)) <= {np.ndarray}:
        return arrays
    refuse_dask("svd_ragged", *arrays)
    return [_as_array(index, a) for index, a in enumerate(arrays)]


def _as_array(index: int, a: Any) -> Any:
    if is_on_gpu(a):
        return on_device(cupy_with_device(), a)
    try:
        return np.asarray(a)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that requires a gradient
        raise ValueError(f"matrices[{index}] cannot be converted to an array: {error}") from error


def _check(index: int, shape: tuple[int, ...], dtype: Any, hermitian: bool) -> None:
    """Raise, with its index in the list, for an item that is no matrix that `svd` takes."""
    if len(shape) != 2:
        raise LinAlgError(f"matrices[{index}] has shape {shape}, expected a matrix (M, N)")
    if hermitian and shape[0] != shape[1]:
        raise LinAlgError(f"matrices[{index}] has shape {shape}, and with hermitian=True it must be square")
    factor_dtype(np.dtype(dtype), f"matrices[{index}]")


def _batch(arrays: list[Any], indices: list[int]) -> Any:
    """Return matrices of one shape as a batch; a single one is not copied."""
    if len(indices) == 1:
        return arrays[indices[0]][np.newaxis]
    members = itemgetter(*indices)(arrays)
    xp = array_namespace(members[0])
    with device_of(members[0]):
        return xp.concatenate(members).reshape(len(indices), *members[0].shape)
