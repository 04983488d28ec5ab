"""Arrays in GPU memory: what `_svd` does for NumPy's, for CuPy's and those that share memory with them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from gpusvd._base.checks import (
    Driver,
    Errors,
    Expected,
    check_dimensions,
    check_out,
    expected_results,
    factor_dtype,
    given_for,
)
from gpusvd._base.hermitian import from_lower_triangles
from gpusvd._base.results import Info, failures

INSTALL = "pip install 'gpusvd[cuda13]' (for a driver of CUDA 12: 'gpusvd[cuda12]')"
JACOBI_COLUMNS = 512  # the kernels are made for as many; beyond, `driver="auto"` is cuSOLVER

_DLPACK_CUDA = (2, 13)  # memory of a device, and managed memory


def is_on_gpu(a: object) -> bool:
    """Return whether an array lies in the memory of a CUDA device."""
    if isinstance(a, np.ndarray | list | tuple):
        return False
    if hasattr(a, "__dlpack_device__"):
        return a.__dlpack_device__()[0] in _DLPACK_CUDA
    return hasattr(a, "__cuda_array_interface__")


def cupy_with_device() -> Any:
    """Return CuPy; raise ImportError or RuntimeError that says what is missing."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(f"the GPU is used through CuPy, which cannot be imported: {INSTALL}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"CuPy finds no usable CUDA device ({error}); NumPy arrays need none") from error
    if count == 0:
        raise RuntimeError("there is no CUDA device; NumPy arrays need none")
    return cupy


def decompose(
    a: Any,
    full_matrices: bool,
    compute_uv: bool,
    hermitian: bool,
    driver: Driver,
    out: Any,
    errors: Errors,
    informed: bool,
) -> tuple[Any, Any, Any, Info | None]:
    """As `_svd.svd._decompose`.

    CuPy arrays, and others in GPU memory, give CuPy arrays on their device and CuPy's current stream. Any
    other array is copied to the current device, and its results back.
    """
    cupy = cupy_with_device()
    at_home = is_on_gpu(a)
    matrices = on_device(cupy, a)
    check_dimensions(matrices.shape, hermitian)
    dtype = factor_dtype(matrices.dtype)
    wanted = expected_results(matrices.shape, dtype, full_matrices, compute_uv)
    with matrices.device:
        given = None
        if out is not None:
            given = _check_out(cupy, out, wanted, matrices.device) if at_home else check_out(out, wanted)
        straight = (
            given is not None
            and at_home
            and errors == "nan"
            and not any(cupy.may_share_memory(matrices, x) for x in given)
        )
        targets = given if straight else [cupy.empty(shape, kind) for _, shape, kind in wanted]
        assert targets is not None
        u, s, vh = targets if compute_uv else (None, targets[0], None)
        chosen = choose(matrices.shape, driver)
        info = _empty_info(cupy, matrices.shape[:-2], dtype) if informed else None
        with _memory_of_the_call(cupy):
            happened = info or _empty_info(cupy, matrices.shape[:-2], dtype)
            _run(cupy, matrices, u, s, vh, happened, hermitian, chosen)
            fine = happened.converged if errors == "raise" else None
            del happened
        if fine is not None and not bool(fine.all()):
            raise LinAlgError(failures(cupy.asnumpy(fine)))
        if not at_home:
            targets = [cupy.asnumpy(x) for x in targets]
            info = Info(*(cupy.asnumpy(x) for x in info)) if info else None
        if given is not None and not straight:
            for array, target in zip(given, targets, strict=True):
                array[...] = target
    results = targets if out is None else list(out) if compute_uv else [out]
    u, s, vh = results if compute_uv else (None, results[0], None)
    return u, s, vh, info


def _empty_info(cupy: Any, batch: tuple[int, ...], dtype: np.dtype[Any]) -> Info:
    return Info(
        cupy.empty(batch, np.bool_), cupy.empty(batch, np.int32), cupy.empty(batch, dtype.char.lower())
    )


def _memory_of_the_call(cupy: Any) -> AbstractContextManager[object]:
    """Return the context to take memory in that is given back before the call ends.

    While the stream is captured, CuPy's pool would hand it to others that the graph knows nothing of: then
    it belongs to the graph, which takes it and gives it back in every replay.
    """
    if cupy.cuda.get_current_stream().is_capturing():
        context: AbstractContextManager[object] = cupy.cuda.using_allocator(cupy.cuda.malloc_async)
        return context
    return nullcontext()


def choose(shape: Sequence[int], driver: Driver) -> Driver:
    """Return the driver taken on a GPU: by "auto" Jacobi for the sizes that its kernels are made for; raise
    ValueError where it is asked for beyond them."""
    smaller = min(shape[-2:])
    if driver == "jacobi" and smaller > JACOBI_COLUMNS:
        raise ValueError(
            f"driver='jacobi' takes matrices of up to {JACOBI_COLUMNS} rows or columns on a GPU, not "
            f"{smaller}: driver='vendor' and 'auto' take any"
        )
    if driver != "auto":
        return driver
    return "jacobi" if smaller <= JACOBI_COLUMNS else "vendor"


def on_device(cupy: Any, a: Any) -> Any:
    """Return a CuPy array: the same memory if it is a GPU's, else a copy there."""
    if isinstance(a, cupy.ndarray):
        return a
    if is_on_gpu(a):
        return cupy.from_dlpack(a) if hasattr(a, "__dlpack_device__") else cupy.asarray(a)
    host = np.asarray(a)
    factor_dtype(host.dtype)  # what CuPy cannot hold is refused in the words for any array
    return cupy.asarray(host.astype(host.dtype.newbyteorder("="), copy=False))


def _check_out(xp: Any, out: Any, expected: Sequence[Expected], device: Any) -> list[Any]:
    """Return the arrays of `out`; raise unless they are arrays of `xp` on this device, fit, and share no
    memory."""
    given = given_for(out, expected)
    for array, (name, shape, dtype) in zip(given, expected, strict=True):
        if not isinstance(array, xp.ndarray):
            raise TypeError(f"{name} in out is a {type(array).__name__}, expected a CuPy array")
        if array.device != device:
            raise ValueError(f"{name} in out is on {array.device}, expected on {device} as the input")
        if array.shape != shape:
            raise ValueError(f"{name} in out has shape {array.shape}, expected {shape}")
        if array.dtype != dtype:
            raise TypeError(f"{name} in out has dtype {array.dtype}, expected {dtype}")
    for (array, result), (other, other_result) in combinations(zip(given, expected, strict=True), 2):
        if xp.may_share_memory(array, other):
            raise ValueError(
                f"{result[0]} and {other_result[0]} in out may share memory, expected separate arrays"
            )
    return list(given)


def _run(cupy: Any, a: Any, u: Any, s: Any, vh: Any, info: Info, hermitian: bool, driver: Driver) -> None:
    """Write the factors by the driver that was chosen."""
    if a.size == 0:
        for vectors in (u, vh):
            if vectors is not None:
                vectors[...] = cupy.eye(*vectors.shape[-2:])
        for field, value in zip(info, (True, 0, 0), strict=True):
            field[...] = value
    elif driver == "vendor":
        _vendor(cupy, a, u, s, vh, info, hermitian)
    else:
        from gpusvd._cuda import jacobi as _cuda
        from gpusvd._cuda import launch as _cuda_launch

        _cuda.decompose(cupy, _cuda_launch.launch, a, u, s, vh, info, hermitian=hermitian)


def _vendor(cupy: Any, a: Any, u: Any, s: Any, vh: Any, info: Info, hermitian: bool) -> None:
    """Write cuSOLVER's factors, through CuPy, with NaN for matrices that are not finite."""
    work = factor_dtype(a.dtype)
    block = a.astype(np.float32 if work == np.float16 else work, copy=False)
    if hermitian:
        block = from_lower_triangles(cupy, block)
    finite = cupy.isfinite(block).all(axis=(-2, -1))
    block = cupy.where(finite[..., np.newaxis, np.newaxis], block, 0)
    if u is None:
        factors, targets = [cupy.linalg.svd(block, compute_uv=False)], [s]
    else:
        full = u.shape[-1] == a.shape[-2] and vh.shape[-2] == a.shape[-1]
        factors, targets = cupy.linalg.svd(block, full_matrices=full), [u, s, vh]
    for target, factor in zip(targets, factors, strict=True):
        whole = finite[(..., *[np.newaxis] * (target.ndim - finite.ndim))]
        target[...] = cupy.where(whole, factor, np.nan)
    info.converged[...] = finite & cupy.isfinite(s[..., 0])
    info.sweeps[...] = 0
    info.off[...] = np.nan
