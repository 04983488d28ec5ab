"""
Lazy versions of the functions for Dask arrays, for batches beyond one machine.

Results are Dask arrays with the chunks of the batch: each task decomposes one chunk, and every matrix must
lie in one chunk. The functions of the same name in `gpusvd` pass Dask arrays on to this
module: ``gpusvd.svd(x)`` and ``gpusvd.dask.svd(x)`` are the same. Where other arguments may be arrays, such
as limits or weights, they may be Dask arrays too. `orth`, `row_space`, `null_space` and `left_null_space`
need `max_dim`, since a width cannot depend on the numbers.

A task uses one core unless `threads` says otherwise, since Dask runs as many tasks at once as it has threads.
"""

import functools
import inspect
import math
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._base.arrays import array_namespace, to_host
from gpusvd._base.blas import one_thread
from gpusvd._base.checks import (
    Device,
    Driver,
    Errors,
    check_batch,
    check_dimensions,
    check_driver,
    check_errors,
    check_threads,
    checked_device,
    factor_dtype,
    values_dtype,
)
from gpusvd._base.install import install
from gpusvd._base.results import Info, SVDExResult, SVDResult, failures
from gpusvd._base.threads import at_most
from gpusvd._layer import pca as _pca
from gpusvd._layer.factors import checked_factors, checked_width
from gpusvd._layer.points import check_points
from gpusvd._layer.truncate import (
    Absorb,
    TruncatedProduct,
    TruncatedSVD,
    check_absorb,
    checked_rule,
    checked_selection,
    given_rules,
)

try:
    import dask.array as da
except ImportError as error:
    raise ImportError(f"gpusvd.dask needs Dask: {install('dask')}") from error

__all__ = [
    "PCAResult",
    "best_fit_subspace",
    "cond",
    "effective_rank",
    "energy",
    "inv",
    "kabsch",
    "left_null_space",
    "low_rank",
    "lstsq",
    "matrix_rank",
    "mppca_rank",
    "nearest_orthogonal",
    "nearest_rotation",
    "norm",
    "null_space",
    "optimal_shrinkage",
    "optimal_threshold",
    "orth",
    "participation_ratio",
    "pca",
    "pinv",
    "polar",
    "procrustes",
    "projector",
    "rank_one_terms",
    "reconstruct",
    "ridge",
    "row_space",
    "sign_flip",
    "spectral_entropy",
    "storage_ratio",
    "svd",
    "svd_ex",
    "svd_product",
    "svd_top",
    "svdvals",
    "svt",
    "truncate",
    "truncation_error",
]

DaskArray = Any  # dask.array.Array, which has no types


def svd(
    a: DaskArray,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> Any:
    """
    Decompose every matrix of a Dask array, lazily.

    Parameters
    ----------
    a : (..., M, N) dask array
        Matrices, as `gpusvd.svd` takes them, each in one chunk; the chunks are NumPy or CuPy arrays.
    full_matrices, compute_uv, hermitian, driver
        As in `gpusvd.svd`.
    out : None
        Not supported for Dask arrays: use `dask.array.store`.
    errors : {"nan", "raise"}, optional
        As in `gpusvd.svd`. With "raise" the error comes when the result is computed, and names the bad
        matrices of one chunk by their indices in the array (in the chunk if its place is unknown).
    threads : int, optional
        Number of threads of a task. Default: 1.
    device : {None, "cpu", "cuda", "cuda:1"} or torch.device, optional
        "cuda" computes every chunk on the current CUDA device of the worker, and copies the results back;
        otherwise as in `gpusvd.svd`.

    Returns
    -------
    SVDResult
        U, S and Vh, or S alone with ``compute_uv=False``, as `gpusvd.svd` describes them, as Dask arrays with
        the chunks of the batch. Computed together, by `dask.compute`, they cost one decomposition.

    Raises
    ------
    ValueError
        If a matrix is split into chunks: the message contains the call of `rechunk` that joins them.
    LinAlgError, TypeError, ValueError
        As `gpusvd.svd`, at the call, not at the computation.

    Examples
    --------
    >>> import dask.array as da
    >>> import gpusvd
    >>> x = da.random.default_rng(0).standard_normal((1000, 8, 5), chunks=(250, 8, 5))
    >>> U, S, Vh = gpusvd.svd(x, full_matrices=False)
    >>> U.shape, U.chunks[0]
    ((1000, 8, 5), (250, 250, 250, 250))
    >>> bool(abs(U * S[:, None, :] @ Vh - x).max().compute() < 1e-12)
    True
    """
    if not compute_uv:
        return svdvals(
            a, hermitian=hermitian, driver=driver, out=out, errors=errors, threads=threads, device=device
        )
    options = _checked_options(driver, out, errors, threads, device)
    a = _matrices(a, "a", hermitian)
    signature, sizes, metas = _factors(a, full_matrices)
    call = functools.partial(
        _decompose_block, "svd", full_matrices=full_matrices, hermitian=hermitian, **options
    )
    return SVDResult(*_decompose_blocks(call, a, signature, sizes, metas))


def svdvals(
    a: DaskArray,
    *,
    hermitian: bool = False,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> DaskArray:
    """
    Compute the singular values of every matrix of a Dask array, lazily.

    Parameters
    ----------
    a, hermitian, driver, out, errors, threads, device
        As in `svd`.

    Returns
    -------
    S : (..., K) dask array
        As `gpusvd.svdvals` returns them.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `svd`.

    Examples
    --------
    >>> import dask.array as da
    >>> import gpusvd
    >>> gpusvd.svdvals(da.ones((4, 2, 2), chunks=(2, 2, 2))).round(12).compute()[0]
    array([2., 0.])
    """
    options = _checked_options(driver, out, errors, threads, device)
    a = _matrices(a, "a", hermitian)
    call = functools.partial(_decompose_block, "svdvals", hermitian=hermitian, **options)
    return _decompose_blocks(call, a, "(m,n)->(k)", {"k": min(a.shape[-2:])}, _meta(a, 1, real=True))


def svd_ex(
    a: DaskArray,
    full_matrices: bool = True,
    *,
    hermitian: bool = False,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDExResult:
    """
    Decompose every matrix of a Dask array and report the outcome for each, lazily.

    Parameters
    ----------
    a, full_matrices, hermitian, driver, out, errors, threads, device
        As in `svd`.

    Returns
    -------
    SVDExResult
        U, S, Vh and info, as `gpusvd.svd_ex` describes them, of Dask arrays.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `svd`.

    Examples
    --------
    >>> import dask.array as da
    >>> import gpusvd
    >>> gpusvd.svd_ex(da.eye(2, chunks=2)).info.converged.compute()
    array(True)
    """
    options = _checked_options(driver, out, errors, threads, device)
    a = _matrices(a, "a", hermitian)
    signature, sizes, metas = _factors(a, full_matrices)
    info_metas = [_meta(a, 0, dtype=dtype) for dtype in (np.bool_, np.int32)] + [_meta(a, 0, real=True)]
    call = functools.partial(
        _decompose_block, "svd_ex", full_matrices=full_matrices, hermitian=hermitian, **options
    )
    u, s, vh, *info = _decompose_blocks(call, a, signature + ",(),(),()", sizes, (*metas, *info_metas))
    return SVDExResult(u, s, vh, Info(*info))


def truncate(
    U: DaskArray,
    S: DaskArray,
    Vh: DaskArray,
    *,
    rank: Any = None,
    rtol: Any = None,
    atol: Any = None,
    energy: Any = None,
    error: Any = None,
    max_rank: int | None = None,
    min_rank: int = 0,
    ties: Any = None,
    absorb: Absorb | None = None,
) -> Any:
    """
    Truncate the SVD of every matrix by the given rules, lazily.

    Parameters
    ----------
    U, S, Vh : dask arrays
        The factors, as `svd` returns them.
    rank, rtol, atol, energy, error, max_rank, min_rank, ties, absorb
        As in `gpusvd.truncate`; an array of one number for each matrix may be a Dask array.

    Returns
    -------
    TruncatedSVD, or TruncatedProduct with `absorb`
        As `gpusvd.truncate` describes it, of Dask arrays, except for their width R, which must be known
        before anything is computed: it is the rank if that is an int, otherwise `max_rank`, and K by default.
        Beyond its own rank a matrix has zeros.

    Raises
    ------
    ValueError, TypeError
        As `gpusvd.truncate`. The values of a Dask array of limits are not checked.

    Examples
    --------
    >>> import dask.array as da
    >>> import gpusvd
    >>> x = da.random.default_rng(0).standard_normal((100, 8, 5), chunks=(25, 8, 5))
    >>> t = gpusvd.truncate(*gpusvd.svd(x, full_matrices=False), energy=0.5, max_rank=3)
    >>> t.U.shape
    (100, 8, 3)
    """
    given = given_rules(rank=rank, rtol=rtol, atol=atol, energy=energy, error=error)
    checked_selection(np, {}, min_rank, None, (), None)
    check_absorb(absorb)
    u, s, vh = _together(U, S, Vh)
    k = s.shape[-1]
    width = k if max_rank is None else checked_width("max_rank", max_rank, k)
    if isinstance(rank, int | np.integer):
        width = min(int(rank), width)
    limits: dict[str, DaskArray] = {}
    options: dict[str, Any] = {"max_rank": width, "min_rank": min_rank, "absorb": absorb}
    for name, value in (given if ties is None else given | {"ties": ties}).items():
        arrays, option = _limit(name, value, s)
        limits.update(zip([name], arrays, strict=False))
        options |= option
    left, values, right = (_meta(u, 2), "(m,r)"), (_meta(s, 1), "(r)"), (_meta(vh, 2), "(r,n)")
    results = (left, values, right) if absorb is None else (left, right, values)
    metas, signatures = zip(*results, (_meta(s, 0, dtype=np.int64), "()"), strict=True)
    return (TruncatedSVD if absorb is None else TruncatedProduct)(
        *_blocks(
            functools.partial(_truncate_block, names=tuple(limits), **options),
            _with_limits("(m,u),(k),(v,n)", limits, ",".join(signatures)),
            [u, s, vh, *limits.values()],
            {"r": width},
            metas,
        )
    )


def low_rank(
    a: DaskArray,
    *,
    rank: Any = None,
    rtol: Any = None,
    atol: Any = None,
    energy: Any = None,
    error: Any = None,
    max_rank: int | None = None,
    min_rank: int = 0,
    ties: Any = None,
    absorb: Absorb | None = None,
    driver: Driver = "auto",
) -> Any:
    """
    Return the best approximation of low rank of every matrix of a Dask array, as its truncated SVD, lazily.

    Parameters
    ----------
    a : (..., M, N) dask array
        Matrices, each in one chunk.
    rank, rtol, atol, energy, error, max_rank, min_rank, ties, absorb
        As in `truncate`.
    driver
        As in `svd`.

    Returns
    -------
    TruncatedSVD, or TruncatedProduct with `absorb`
        As `truncate` returns them.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `svd` and `truncate`.

    Examples
    --------
    >>> import dask.array as da
    >>> import gpusvd
    >>> gpusvd.low_rank(da.ones((4, 2, 3), chunks=(2, 2, 3)), rank=1).S.round(12).compute()[0]
    array([2.44948974])
    """
    return truncate(
        *svd(a, full_matrices=False, driver=driver),
        rank=rank,
        rtol=rtol,
        atol=atol,
        energy=energy,
        error=error,
        max_rank=max_rank,
        min_rank=min_rank,
        ties=ties,
        absorb=absorb,
    )


class PCAResult(_pca.PCAResult):
    """The principal components of each set of data, as `gpusvd.PCAResult`, of Dask arrays."""

    def transform(self, x: DaskArray) -> DaskArray:
        """Return the scores (..., Q, C) of samples (..., Q, N), lazily."""
        return self._map("transform", x, "x", self.components.shape[-1], "(q,n)", "(q,c)")

    def inverse_transform(self, scores: DaskArray) -> DaskArray:
        """Return the samples (..., Q, N) with given scores (..., Q, C), lazily."""
        c = self.components.shape[-2]
        return self._map("inverse_transform", scores, "scores", c, "(q,c)", "(q,n)")

    def _map(self, method: str, x: DaskArray, name: str, columns: int, core: str, result: str) -> DaskArray:
        x = _matrices(x, name)
        if x.shape[-1] != columns:
            raise ValueError(f"{name} has shape {x.shape}, expected (..., {columns})")
        dtype = np.result_type(factor_dtype(x.dtype), self.components.dtype)
        call = functools.partial(_pca_map_block, method, points=self.scores.shape[-2], whiten=self.whiten)
        arrays = [x, self.components, self.singular_values, self.mean]
        signature = f"{core},(c,n),(c),(n)->{result}"
        return _blocks(call, signature, arrays, {}, _meta(x, 2, dtype=dtype))


def pca(
    x: DaskArray,
    n_components: int | None = None,
    energy: Any = None,
    whiten: bool = False,
    *,
    weights: None = None,
    driver: Driver = "auto",
) -> PCAResult:
    """
    Find the principal components of every set of data in a Dask array, lazily.

    Parameters
    ----------
    x : (..., P, N) dask array
        Sets of P samples of N features, each set in one chunk.
    n_components, energy, whiten, driver
        As in `gpusvd.pca`; an array of one number for each set may be a Dask array.
    weights : None
        Not supported for Dask arrays.

    Returns
    -------
    PCAResult
        As `gpusvd.pca` describes it, of Dask arrays, with lazy `transform` and `inverse_transform`. Their
        width C must be known before anything is computed: it is n_components if given, otherwise min(P, N),
        even with `energy`. Beyond its own number of components a set has zeros.

    Raises
    ------
    TypeError, ValueError
        As `gpusvd.pca`, and ValueError for a set that is split into chunks.

    Examples
    --------
    >>> import dask.array as da
    >>> import gpusvd
    >>> x = da.random.default_rng(0).standard_normal((10, 50, 4), chunks=(5, 50, 4))
    >>> p = gpusvd.pca(x, n_components=2)
    >>> p.scores.shape, p.transform(x).chunks[0]
    ((10, 50, 2), (5, 5))
    """
    if weights is not None:
        raise TypeError("weights must be None for a Dask array: pass x.compute(), which loads x into memory")
    x = _matrices(x, "x")
    check_points("x", x)
    check_driver(driver)
    most = min(x.shape[-2:])
    c = most if n_components is None else _pca.checked_count("n_components", n_components, most)
    limit, options = ([], {}) if energy is None else _limit("energy", energy, x[..., 0, :])
    real = _meta(x, 1, real=True)
    results = _blocks(
        functools.partial(_pca_block, n_components=c, whiten=bool(whiten), driver=driver, **options),
        _with_limits("(p,n)", limit, "(c,n),(c),(c),(c),(n),(p,c),()"),
        [x, *limit],
        {"c": c},
        (_meta(x, 2), real, real, real, _meta(x, 1), _meta(x, 2), _meta(x, 0, dtype=np.int64)),
    )
    return PCAResult._make((*results, bool(whiten), x.shape[-2]))


# Functions whose results have shapes that follow from those of the arguments


def _lazy(function: Callable[..., Any], **dimensions: int) -> Callable[..., Any]:
    """Return the version of a function for Dask arrays; `dimensions` says how many each array argument has
    beyond the batch."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def lazy(*args: Any, **kwargs: Any) -> Any:
        options = signature.bind(*args, **kwargs).arguments
        if "max_dim" in signature.parameters and options.get("max_dim") is None:
            raise TypeError(f"{function.__name__} of a Dask array needs max_dim, the width of its result")
        cores = {
            name: core
            for name, core in dimensions.items()
            if isinstance(options.get(name), da.Array) or np.ndim(options.get(name, 0)) > max(0, core - 1)
        }
        arrays = {name: _with_core(options.pop(name), name, core) for name, core in cores.items()}
        return _by_chunks(function, arrays, cores, options)

    return lazy


def _by_chunks(
    function: Callable[..., Any], arrays: dict[str, DaskArray], cores: dict[str, int], options: dict[str, Any]
) -> Any:
    """Return a function's results, lazily; a call for an empty batch tells their shapes and dtypes."""
    loops = {name: x.ndim - cores[name] for name, x in arrays.items()}
    sample = function(
        **{
            name: np.empty((0, *[1] * loops[name], *x.shape[loops[name] :]), x.dtype)
            for name, x in arrays.items()
        },
        **options,
    )
    parts = [x for x in (sample if isinstance(sample, tuple) else [sample]) if isinstance(x, np.ndarray)]
    shapes = {f"result{i}_": x.shape[1 + max(loops.values()) :] for i, x in enumerate(parts)}
    like = next(iter(arrays.values()))
    metas = [_meta(like, len(shape), dtype=x.dtype) for shape, x in zip(shapes.values(), parts, strict=True)]
    lazy = _blocks(
        functools.partial(_on_one_core, _call_block, function, tuple(arrays), options),
        f"{_axes(cores)}->{_axes({name: len(shape) for name, shape in shapes.items()})}",
        list(arrays.values()),
        {f"{name}{axis}": length for name, shape in shapes.items() for axis, length in enumerate(shape)},
        tuple(metas) if len(metas) > 1 else metas[0],
    )
    if not isinstance(sample, tuple):
        return lazy
    given = iter(lazy)
    results = [next(given) if isinstance(x, np.ndarray) else x for x in sample]
    return sample._make(results) if hasattr(sample, "_make") else tuple(results)


def _axes(dimensions: dict[str, int]) -> str:
    """Return one side of the signature of a generalised ufunc, of arrays with so many dimensions."""
    return ",".join(
        f"({','.join(f'{name}{axis}' for axis in range(count))})" for name, count in dimensions.items()
    )


best_fit_subspace = _lazy(gpusvd.best_fit_subspace, x=2)
cond = _lazy(gpusvd.cond, a=2)
effective_rank = _lazy(gpusvd.effective_rank, S=1)
energy = _lazy(gpusvd.energy, S=1)
inv = _lazy(gpusvd.inv, a=2)
kabsch = _lazy(gpusvd.kabsch, x=2, y=2, weights=1)
left_null_space = _lazy(gpusvd.left_null_space, a=2, rtol=0)
lstsq = _lazy(gpusvd.lstsq, a=2, b=2, rcond=0)
matrix_rank = _lazy(gpusvd.matrix_rank, a=2, tol=0, rtol=0)
mppca_rank = _lazy(gpusvd.mppca_rank, S=1)
nearest_orthogonal = _lazy(gpusvd.nearest_orthogonal, a=2)
nearest_rotation = _lazy(gpusvd.nearest_rotation, a=2)
norm = _lazy(gpusvd.norm, a=2)
null_space = _lazy(gpusvd.null_space, a=2, rtol=0)
optimal_shrinkage = _lazy(gpusvd.optimal_shrinkage, S=1, noise=0)
optimal_threshold = _lazy(gpusvd.optimal_threshold, S=1, noise=0)
orth = _lazy(gpusvd.orth, a=2, rtol=0)
participation_ratio = _lazy(gpusvd.participation_ratio, S=1)
pinv = _lazy(gpusvd.pinv, a=2, rcond=0, rtol=0)
polar = _lazy(gpusvd.polar, a=2)
procrustes = _lazy(gpusvd.procrustes, x=2, y=2, weights=1)
projector = _lazy(gpusvd.projector, a=2, rtol=0)
rank_one_terms = _lazy(gpusvd.rank_one_terms, U=2, S=1, Vh=2, rank=0)
reconstruct = _lazy(gpusvd.reconstruct, U=2, S=1, Vh=2, rank=0)
row_space = _lazy(gpusvd.row_space, a=2, rtol=0)
sign_flip = _lazy(gpusvd.sign_flip, U=2, Vh=2)
spectral_entropy = _lazy(gpusvd.spectral_entropy, S=1)
storage_ratio = _lazy(gpusvd.storage_ratio, rank=0)
svd_product = _lazy(gpusvd.svd_product, x=2, y=2)
svd_top = _lazy(gpusvd.svd_top, a=2)
svt = _lazy(gpusvd.svt, a=2, tau=0)
truncation_error = _lazy(gpusvd.truncation_error, S=1, rank=0)


def ridge(
    a: DaskArray,
    b: Any,
    alpha: Any,
    weights: Any = None,
    *,
    per_rhs: bool = False,
    driver: Driver = "auto",
) -> DaskArray:
    """
    Return the solution of ridge regression for every matrix of a Dask array, lazily.

    Parameters
    ----------
    a, b, alpha, weights, per_rhs, driver
        As in `gpusvd.ridge`; each array may be a Dask array.

    Returns
    -------
    (..., N) or (..., N, R) dask array
        The solutions.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.ridge`, and ValueError for a matrix that is split into chunks.
    """
    lazy = _lazy(gpusvd.ridge, a=2, b=2, alpha=int(per_rhs), weights=1)
    return lazy(a, b, alpha, weights, per_rhs=per_rhs, driver=driver)


# Tasks: one per chunk

_IN_A_CHUNK = (
    "of a chunk has a NaN or Inf, or its SVD did not converge",
    "of a chunk have a NaN or Inf, or their SVD did not converge",
)


def _on_one_core(function: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
    with at_most(1), one_thread():
        return function(*arrays, **options)


def _decompose_block(name: str, a: Any, *places: Any, threads: int, errors: Errors, **options: Any) -> Any:
    """`places` are the indices of the chunk's matrices along each axis of the batch, if they are wanted."""
    with one_thread() if threads == 1 else nullcontext():
        try:
            result = getattr(gpusvd, name)(a, threads=threads, errors=errors, **options)
        except LinAlgError:
            if not places:
                raise
            info = gpusvd.svd_ex(a, threads=threads, **options | {"full_matrices": False}).info
            good = to_host(array_namespace(info.converged), info.converged)
            first = [int(place.flat[0]) for place in places]
            raise LinAlgError(failures(good, *_IN_A_CHUNK, first)) from None
    return (*result[:3], *result.info) if name == "svd_ex" else result


def _truncate_block(u: Any, s: Any, vh: Any, *limits: Any, names: tuple[str, ...], **options: Any) -> Any:
    return _on_one_core(gpusvd.truncate, u, s, vh, **dict(zip(names, limits, strict=True)), **options)


def _call_block(
    function: Callable[..., Any], names: Sequence[str], options: dict[str, Any], *arrays: Any
) -> Any:
    """Call a function for a chunk as for a batch, also where the chunk is a single matrix."""
    result = function(**{name: x[np.newaxis] for name, x in zip(names, arrays, strict=True)}, **options)
    if not isinstance(result, tuple):
        return result[0]
    return tuple(x[0] for x in result if hasattr(x, "ndim"))


def _pca_block(x: Any, *limit: Any, n_components: int, **options: Any) -> tuple[Any, ...]:
    energy = limit[0] if limit else options.pop("energy", None)
    return tuple(_on_one_core(gpusvd.pca, x, n_components, energy, **options))[:-2]


def _pca_map_block(
    method: str, x: Any, components: Any, values: Any, mean: Any, points: int, whiten: bool
) -> Any:
    fitted = _pca.PCAResult(components, values, values, values, mean, values, values, whiten, points)
    return _on_one_core(getattr(fitted, method), x)


# Arguments


def _checked_options(
    driver: Driver, out: None, errors: Errors, threads: int | None, device: Device | None
) -> dict[str, Any]:
    """Return the options that a task passes on; raise for invalid ones."""
    check_driver(driver)
    check_errors(errors)
    check_threads(threads)
    place = checked_device(device)
    if out is not None:
        raise TypeError("out must be None for a Dask array: write its results with dask.array.store")
    return {"driver": driver, "errors": errors, "threads": threads or 1, "device": place}


def _matrices(a: Any, name: str, square: bool = False) -> DaskArray:
    """Return a Dask array of matrices; raise unless each lies in one chunk."""
    a = da.asarray(a)
    factor_dtype(a.dtype)
    check_dimensions(a.shape, square)
    _check_chunks(a, name, 2)
    return a


def _with_core(a: Any, name: str, dimensions: int) -> DaskArray:
    """Return an argument as a Dask array; raise unless what it has beyond the batch lies in one chunk."""
    a = da.asarray(a)
    if dimensions == 2:
        return _matrices(a, name)
    _check_chunks(a, name, dimensions)
    return a


def _check_chunks(a: DaskArray, name: str, dimensions: int) -> None:
    """Raise ValueError unless the last `dimensions` each lie in one chunk."""
    axes = range(-dimensions, 0)
    if any(math.isnan(a.shape[axis]) for axis in axes):
        raise ValueError(f"{name} has matrices of unknown shape: call {name}.compute_chunk_sizes() first")
    if any(len(a.chunks[axis]) > 1 for axis in axes):
        what = "the matrices" if dimensions == 2 else "the singular values" if name == "S" else "the vectors"
        call = f"{name}.rechunk({{{', '.join(f'{axis}: -1' for axis in axes)}}})"
        raise ValueError(f"{what} of {name} are split into chunks {a.chunks[-dimensions:]}: pass {call}")


def _together(U: Any, S: Any, Vh: Any) -> tuple[DaskArray, DaskArray, DaskArray]:
    """Return the factors as Dask arrays with one batch shape; raise unless they fit together."""
    u, s, vh = da.asarray(U), da.asarray(S), da.asarray(Vh)
    checked_factors(np, *(np.broadcast_to(np.empty((), x.dtype), _known(x.shape)) for x in (u, s, vh)))
    for array, name, dimensions in ((u, "U", 2), (s, "S", 1), (vh, "Vh", 2)):
        _check_chunks(array, name, dimensions)
    batches = {u.shape[:-2], s.shape[:-1], vh.shape[:-2]}
    if len(batches) == 1 or any(math.isnan(length) for batch in batches for length in batch):
        return u, s, vh
    batch = np.broadcast_shapes(*batches)
    u, vh = (da.broadcast_to(x, batch + x.shape[-2:]) for x in (u, vh))
    return u, da.broadcast_to(s, batch + s.shape[-1:]), vh


def _limit(name: str, value: Any, values: DaskArray) -> tuple[list[DaskArray], dict[str, Any]]:
    """Return a limit as an array with the chunks of the batch, or as an option if it is one number."""
    batch = _known(values.shape[:-1])
    if isinstance(value, da.Array):
        check_batch(name, _known(value.shape), batch)
        return [value], {}
    checked_rule(np, name, value, batch, None)
    return ([da.asarray(value)], {}) if np.ndim(value) else ([], {name: value})


def _known(shape: tuple[float, ...]) -> tuple[int, ...]:
    """Return a shape with 1, which broadcasts to any length, for lengths that Dask does not know yet."""
    return tuple(1 if math.isnan(length) else int(length) for length in shape)


# Blocks


def _with_limits(arguments: str, limits: Collection[object], results: str) -> str:
    return f"{arguments}{',()' * len(limits)}->{results}"


def _factors(a: DaskArray, full_matrices: bool) -> tuple[str, dict[str, int], tuple[Any, ...]]:
    """Return the signature of an SVD, the sizes it introduces, and empty arrays like its results."""
    signature = "(m,n)->(m,m),(k),(n,n)" if full_matrices else "(m,n)->(m,k),(k),(k,n)"
    return signature, {"k": min(a.shape[-2:])}, (_meta(a, 2), _meta(a, 1, real=True), _meta(a, 2))


def _decompose_blocks(
    call: functools.partial[Any], a: DaskArray, signature: str, sizes: dict[str, int], metas: Any
) -> Any:
    """Apply `_decompose_block` to every chunk, which is told its place if it may have to name matrices."""
    batch = a.shape[:-2]
    places = []
    if call.keywords["errors"] == "raise" and not any(math.isnan(length) for length in batch):
        for axis, length in enumerate(batch):
            line = da.arange(length, chunks=(a.chunks[axis],))
            places.append(line.reshape(length, *[1] * (len(batch) - axis - 1)))
    arguments, results = signature.split("->")
    return _blocks(call, f"{arguments}{',()' * len(places)}->{results}", [a, *places], sizes, metas)


def _meta(a: DaskArray, dimensions: int, *, dtype: Any = None, real: bool = False) -> Any:
    """Return an empty array of the library of `a`, with a result's dimensions beyond the batch."""
    kind = factor_dtype(a.dtype)
    if real:
        kind = values_dtype(kind)
    shape = (0,) * dimensions
    return np.empty_like(a._meta, dtype=kind if dtype is None else dtype, order="C", subok=False, shape=shape)


def _blocks(
    function: Callable[..., Any],
    signature: str,
    arrays: Sequence[DaskArray],
    sizes: dict[str, int],
    metas: Any,
) -> Any:
    """Apply a function to every chunk, after aligning the chunks of the arrays."""
    arguments, _, results = signature.partition("->")
    core = [len(re.findall(r"\w+", names)) for names in re.findall(r"\(.*?\)", arguments)]
    if len(arrays) > 1 and any(math.isnan(length) for array in arrays for length in array.shape):
        raise ValueError("the batch is of unknown shape: call compute_chunk_sizes() of the arrays first")
    pairs: list[Any] = []
    for array, dimensions in zip(arrays, core, strict=True):
        loop = array.ndim - dimensions
        labels = tuple(range(-loop, 0)) + tuple(f"{id(array)}-{i}" for i in range(dimensions))
        pairs += [array, labels]
    _, aligned = da.core.unify_chunks(*pairs)
    new = {name: size for name, size in sizes.items() if name in results and name not in arguments}
    return da.apply_gufunc(function, signature, *aligned, output_sizes=new, meta=metas)
