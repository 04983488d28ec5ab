"""Batches beyond memory: decompose a source chunk by chunk."""

import errno
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np

from gpusvd._base.checks import (
    Device,
    Driver,
    Errors,
    Expected,
    check_fit,
    check_outputs,
    checked_device,
    checked_int,
    device_index,
    factor_dtype,
    outputs_of,
)
from gpusvd._base.results import Array, SVDResult
from gpusvd._base.version import __version__
from gpusvd._cuda.arrays import cupy_with_device
from gpusvd._stream.checkpoint import Checkpoint
from gpusvd._stream.chunk import Application, Decomposition, Result, Task, name_of, naming
from gpusvd._stream.cuda import on_gpus
from gpusvd._stream.progress import Progress, check_progress, reporting
from gpusvd._stream.source import Chunks, Piece, Slices, Source, Where, open_source, release
from gpusvd._svd.driver import choose_driver, choose_on_gpu
from gpusvd._svd.options import Options, checked_options

# What chunk="auto" lets two chunks and their results take together. Long beside what a call costs, and little
# beside any machine's memory.
_HOST_BYTES = 64 * 2**20
_DEVICE_BYTES = 512 * 2**20


Out = TypeVar("Out")
T = TypeVar("T")


class _Course(TypedDict, total=False):
    """The keywords that no overload of `stream` depends on, whatever is done to a chunk."""

    chunk: int | Literal["auto"]
    resume: str | os.PathLike[str] | None
    device: Device | None
    progress: Progress | None


class _Options(_Course, total=False):
    """Those that no overload for the SVD depends on."""

    full_matrices: bool
    hermitian: bool
    driver: Driver
    errors: Errors
    threads: int | None


@overload
def stream(
    source: Source,
    consume: None = None,
    *,
    compute_uv: Literal[True] = True,
    out: None = None,
    **options: Unpack[_Options],
) -> Iterator[tuple[Where, SVDResult]]: ...


@overload
def stream(
    source: Source,
    consume: None = None,
    *,
    compute_uv: Literal[False],
    out: None = None,
    **options: Unpack[_Options],
) -> Iterator[tuple[Where, Array]]: ...


@overload
def stream(
    source: Source,
    consume: None = None,
    *,
    compute_uv: bool = True,
    out: None = None,
    **options: Unpack[_Options],
) -> Iterator[tuple[Where, Result]]: ...


@overload
def stream(
    source: Source,
    consume: Callable[[Where, SVDResult], object],
    *,
    compute_uv: Literal[True] = True,
    out: None = None,
    **options: Unpack[_Options],
) -> None: ...


@overload
def stream(
    source: Source,
    consume: Callable[[Where, Array], object],
    *,
    compute_uv: Literal[False],
    out: None = None,
    **options: Unpack[_Options],
) -> None: ...


@overload
def stream(
    source: Source,
    consume: Callable[[Where, Result], object],
    *,
    compute_uv: bool = True,
    out: None = None,
    **options: Unpack[_Options],
) -> None: ...


@overload
def stream(
    source: Source,
    consume: None = None,
    *,
    compute_uv: bool = True,
    out: Out,
    **options: Unpack[_Options],
) -> Out: ...


@overload
def stream(
    source: Source,
    consume: None = None,
    *,
    function: Callable[[Any], T],
    out: None = None,
    **options: Unpack[_Course],
) -> Iterator[tuple[Where, T]]: ...


@overload
def stream(
    source: Source,
    consume: Callable[[Where, T], object],
    *,
    function: Callable[[Any], T],
    out: None = None,
    **options: Unpack[_Course],
) -> None: ...


@overload
def stream(
    source: Source,
    consume: None = None,
    *,
    function: Callable[[Any], object],
    out: Out,
    **options: Unpack[_Course],
) -> Out: ...


def stream(
    source: Source,
    consume: Callable[[Where, Any], object] | None = None,
    *,
    function: Callable[[Any], Any] | None = None,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    driver: Driver = "auto",
    errors: Errors = "nan",
    threads: int | None = None,
    chunk: int | Literal["auto"] = "auto",
    out: Any = None,
    resume: str | os.PathLike[str] | None = None,
    device: Device | None = None,
    progress: Progress | None = None,
) -> Any:
    """
    Decompose a batch that need not fit into memory, or apply a function to it, chunk by chunk in order.

    Parameters
    ----------
    source : array_like, path, dataset or iterator
        Matrices of shape (..., M, N) with at least one leading dimension: an array or memory map; the path of
        a ``.npy`` file; anything with ``shape``, ``dtype`` and slices, as datasets of HDF5 (h5py) and Zarr
        are; or an iterator of chunks, arrays (any number, ..., M, N) of one dtype.
    consume : callable, optional
        Called as ``consume(where, result)`` for each chunk. Without it and without `out`, the call returns an
        iterator of these pairs.
    function : callable, optional
        Called as ``function(chunk)`` in place of `svd`, as in ``stream(a, function=gpusvd.polar)`` or with
        ``lambda chunk: gpusvd.svt(chunk, 0.1)``. It is given matrices (..., M, N), which it must not change,
        as an array of NumPy, or of CuPy with a `device`, and returns an array, or a tuple of arrays, whose
        leading dimensions are those of the chunk.
    full_matrices, compute_uv, hermitian, driver, errors, threads : optional
        As in `svd`, and only without `function`. The bits of the results do not depend on `chunk`.
    chunk : int or "auto", optional
        The most matrices a chunk holds. "auto" (default) makes two chunks and their results take 64 MiB (512
        MiB for a GPU); a `function` is assumed to need twice the memory of the factors and of a result as
        large as the chunk. It follows the chunks in which a dataset is stored. The chunks of an iterator are
        taken as they are.
    out : tuple (U, S, Vh), or S with ``compute_uv=False``, optional
        Arrays, memory maps or datasets of the shapes and dtypes that ``svd(source)`` or ``function(source)``
        returns, to write the results into. They must not share memory with `source`.
    resume : path, optional
        A checkpoint file. It is written while the stream runs and removed at its end. If it exists at the
        start, the stream continues after the last chunk that it records as finished. All results together are
        then bitwise those of an uninterrupted run with the same versions on the same machine. A chunk is
        finished when it is written to `out`, when `consume` has returned, or when the iterator is asked for
        the next one. Of a `function` the file records the
        name, and the numbers and strings that a `functools.partial` adds; a change of anything else goes
        unnoticed.
    device : {None, "cpu", "cuda", "cuda:1", "cuda:all"} or torch.device, optional
        Where to compute: on the CPU (default), on the current CUDA device, on the one of that number, or on
        all CUDA devices in turn.
    progress : bool or callable, optional
        True shows a progress bar of tqdm (the extra `progress`); a callable gets ``(done, total)``, the
        numbers of matrices, after each chunk. The total of an iterator is None.

    Returns
    -------
    iterator, None, or `out`
        Without `consume` and `out` an iterator of ``(where, result)``: what `svd` or `function` returns for
        ``source[where]``. `where` is a slice of the first dimension, or a tuple of ints and a slice if
        not even one step along it fits into a chunk. With `consume` the call returns None, with `out` that.

    Raises
    ------
    LinAlgError
        As in `svd`; with ``errors="raise"`` at the first chunk with such matrices, which it names. The chunks
        before it are finished.
    TypeError, ValueError
        For an invalid source or option, an `out` that does not fit, results of `function` that do not fit
        `out`, and a checkpoint that belongs to another stream or to other results.
    OSError
        If a file cannot be read or written.
    ImportError, RuntimeError
        For ``progress=True`` without tqdm, and for a `device` that does not exist.

    See Also
    --------
    svd : The same in memory.
    svd_ragged : Matrices of several sizes.

    Notes
    -----
    Memory maps and datasets are read in a second thread, one chunk ahead. The chunks of an iterator are
    requested in the caller's thread. The memory that maps occupy, `out` maps included, is released after each
    chunk.

    After an exception, including Ctrl-C, and when the iterator is closed, the checkpoint counts all finished
    chunks; a process that is killed loses those of the last second. Before the checkpoint is written, the
    memory maps and datasets of `out` are flushed. It holds checksums of the first and last matrix of the
    source (only the first of an iterator) and of the last results, so that other data and maps that were
    created again (mode "w+") are refused. Disk space for `out` maps is reserved at the start where the system
    allows it, since a map on a full disk would kill the process later.

    With a `device` chunks pass through page-locked memory, two at a time on each GPU with a stream for each,
    so that copies and kernels overlap. **This has run with a stand-in for CuPy, not on a GPU yet.**

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.random.default_rng(0).standard_normal((1000, 8, 5))
    >>> for where, (U, S, Vh) in gpusvd.stream(a, full_matrices=False, chunk=400):
    ...     print(where, S.shape)
    slice(0, 400, None) (400, 5)
    slice(400, 800, None) (400, 5)
    slice(800, 1000, None) (200, 5)

    Any function of a chunk, with the results written to an array:

    >>> out = np.empty_like(a)
    >>> denoised = gpusvd.stream(a, function=lambda chunk: gpusvd.svt(chunk, 0.5), out=out)
    >>> bool(np.array_equal(denoised, gpusvd.svt(a, 0.5)))
    True

    From one file to another, neither of which needs to fit into memory, continuing after an interruption::

        mode = "r+" if again else "w+"
        S = np.lib.format.open_memmap("values.npy", mode, np.float32, (10**8, 5))
        gpusvd.stream("batch.npy", compute_uv=False, out=S, resume="checkpoint", progress=True)
    """
    options = checked_options(full_matrices, compute_uv, hermitian, driver, errors, threads, None)
    check_progress(progress)
    place = checked_device(device, "cuda:all")
    place = None if place == "cpu" else place
    _check(consume, function, options, chunk, out, place)
    opened = open_source(source, options.hermitian)
    if isinstance(opened, Chunks) and chunk != "auto":
        raise ValueError("chunk must be 'auto' for an iterator, whose chunks are taken as they come")
    task = Application(function) if function is not None else _decomposition(options, opened, place)
    dtype = factor_dtype(opened.dtype)
    shape = (0, *opened.shape[1:]) if opened.total is None else opened.shape
    room = task.room(shape, dtype)
    targets: tuple[Any, ...] = ()
    if out is not None:
        targets = _check_targets(out, room if function is None else _expected_of(out, shape), opened)
    limit = opened.aligned(_automatic(room, opened, place)) if chunk == "auto" else int(chunk)
    checkpoint = None
    if resume is not None:
        checkpoint = Checkpoint(resume, _fingerprint(opened, task, limit, place), targets)
    chunks = _run(opened, limit, task, targets, checkpoint, place, progress)
    if consume is None and out is None:
        return chunks
    with closing(chunks):
        for where, result in chunks:
            if consume is not None:
                consume(where, result)
    return out


def _decomposition(options: Options, opened: Slices | Chunks, device: str | None) -> Decomposition:
    """Return the SVD with the driver that takes all chunks."""
    if device is not None:
        return Decomposition(options._replace(driver=choose_on_gpu(opened.shape, options.driver)))
    driver = choose_driver(options, opened.shape, factor_dtype(opened.dtype))
    return Decomposition(options._replace(driver=driver))


_DEFAULTS = Options(True, True, False, "auto", "nan", None, None)._asdict()


def _check(consume: Any, function: Any, options: Options, chunk: Any, out: Any, device: str | None) -> None:
    if function is not None and not callable(function):
        raise TypeError(f"function must be a callable of a chunk or None, not {type(function).__name__}")
    changed = [name for name, value in options._asdict().items() if value != _DEFAULTS[name]]
    if function is not None and changed:
        raise ValueError(f"{changed[0]} is an option of svd, and function is called with a chunk alone")
    if consume is not None and not callable(consume):
        raise TypeError(
            f"consume must be a callable of (where, result) or None, not {type(consume).__name__}"
        )
    if consume is not None and out is not None:
        raise ValueError(
            "consume and out are two ways to take the results: give one of them; "
            "pass a function of a chunk as function="
        )
    if not (isinstance(chunk, str) and chunk == "auto"):
        message = f"chunk must be 'auto' or a positive int, how many matrices, not {chunk!r}"
        checked_int(chunk, message, least=1)
    if device is not None:
        cupy_with_device(None if device == "cuda:all" else device_index(device))


def _check_targets(out: Any, expected: Sequence[Expected], opened: Slices | Chunks) -> tuple[Any, ...]:
    """Return the arrays of `out`; raise unless they fit. The batch of an iterator is as long as they are."""
    outputs = outputs_of(out, expected)
    for array, (name, _, _) in zip(outputs, expected, strict=True):
        if not (hasattr(array, "shape") and hasattr(array, "dtype") and hasattr(array, "__setitem__")):
            raise TypeError(f"{name} in out is a {type(array).__name__}, expected an array")
    if opened.total is None:
        count = outputs[0].shape[0] if outputs[0].shape else 0
        expected = [(name, (count, *shape[1:]), dtype) for name, shape, dtype in expected]
        opened.total = count * math.prod(opened.batch[1:])
    pairs = zip(outputs, expected, strict=True)
    check_outputs([(array, result) for array, result in pairs if isinstance(array, np.ndarray)])
    if len({id(array) for array in outputs}) < len(outputs):
        raise ValueError("out has the same array or dataset twice, expected one for each of U, S and Vh")
    for array, result in zip(outputs, expected, strict=True):
        name, _, _ = result
        check_fit(array, result)
        if isinstance(array, np.ndarray) and opened.shares_memory(array):
            raise ValueError(f"{name} in out shares memory with source, expected an array of its own")
        _claim(array)
    return outputs


def _expected_of(out: Any, shape: tuple[int, ...]) -> list[Expected]:
    """Return the results that the arrays of `out` have room for, of a function that has yet to be called."""
    batch = shape[:-2]
    return [
        (f"array {i}", (*batch, *getattr(x, "shape", ())[len(batch) :]), np.dtype(getattr(x, "dtype", None)))
        for i, x in enumerate(out if isinstance(out, tuple) else (out,))
    ]


def _claim(array: Any) -> None:
    """Claim the disk space of a memory map: where it is missing, OSError now is better than a signal then."""
    path, mode = getattr(array, "filename", None), getattr(array, "mode", None)
    if not isinstance(array, np.memmap) or path is None or mode not in ("r+", "w+"):
        return
    if hasattr(os, "posix_fallocate") and os.path.exists(path):  # it may have been unlinked
        file = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(file, 0, os.fstat(file).st_size or 1)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENODEV, errno.EOPNOTSUPP):  # the system cannot
                raise
        finally:
            os.close(file)


def _automatic(expected: Sequence[Expected], opened: Slices | Chunks, device: str | None) -> int:
    """Return how many matrices fill half the room, with their results."""
    core = [math.prod(shape[len(opened.batch) :]) * dtype.itemsize for _, shape, dtype in expected]
    each = math.prod(opened.shape[-2:]) * opened.dtype.itemsize + sum(core)
    room = _HOST_BYTES if device is None else _DEVICE_BYTES
    return max(1, room // 2 // max(1, each))


def _fingerprint(opened: Slices | Chunks, task: Task, limit: int, device: str | None) -> dict[str, Any]:
    """Return what must be the same for the rest of the results to have the bits of an unbroken run."""
    return {
        "shape": list(opened.shape),
        "dtype": opened.dtype.str,
        "checksum of the first and last matrix": opened.checksum(),
        **task.identity(),
        "chunk": limit if isinstance(opened, Slices) else None,
        "device": device and "cuda",
        "version of gpusvd": __version__,
    }


def _run(
    opened: Slices | Chunks,
    limit: int,
    task: Task,
    targets: tuple[Any, ...],
    checkpoint: Checkpoint | None,
    device: str | None,
    progress: Progress | None,
) -> Generator[tuple[Where, Any]]:
    """Yield the chunks' results in order, and keep account of what is finished."""
    pieces = opened.pieces(limit)
    done = _skip(pieces, checkpoint)
    write_in_place = (
        bool(targets)
        and device is None
        and isinstance(task, Decomposition)
        and all(isinstance(x, np.ndarray) for x in targets)
    )
    chunks = loaded(pieces, opened.reads_ahead)
    if device is None:
        computed = _on_cpu(chunks, task, targets if write_in_place else ())
    else:
        computed = on_gpus(chunks, task, device)
    try:
        with reporting(progress, done, opened.total) as report, closing(computed):
            for piece, parts in computed:
                result = task.result(piece.where, parts)
                del parts
                if not write_in_place:
                    _write(targets, piece.where, result, opened.batch)
                for target in targets:
                    release(target)
                yield piece.where, result
                del result
                done += piece.number
                if checkpoint is not None:
                    checkpoint.finished(piece.where)
                report(done)
        if targets and done != opened.total:
            raise ValueError(f"source had {done} matrices, and out has room for {opened.total}")
    except BaseException:
        if checkpoint is not None:
            checkpoint.save()
        raise
    if checkpoint is not None:
        checkpoint.remove()


def _skip(pieces: Iterator[Piece], checkpoint: Checkpoint | None) -> int:
    """Pass over the chunks that are finished; return how many matrices they are."""
    if checkpoint is None or checkpoint.chunks == 0:
        return 0
    done, passed = 0, 0
    for piece in islice(pieces, checkpoint.chunks):
        done, passed, last = done + piece.number, passed + 1, piece.where
    if passed < checkpoint.chunks:
        raise ValueError(
            f"resume: {checkpoint.path} says that {checkpoint.chunks} chunks are finished, and source has "
            f"{passed}: it belongs to another stream"
        )
    checkpoint.resume_at(last)
    return done


def _on_cpu(
    chunks: Iterator[tuple[Piece, Array]], task: Task, targets: tuple[Any, ...]
) -> Generator[tuple[Piece, Any]]:
    """Yield what the task makes of each chunk, written to `targets` if there are any."""
    for piece, matrices in chunks:
        _check_room(targets, piece.where)
        views = tuple(target[piece.where] for target in targets)
        with naming(piece.where), task.blas(matrices):
            parts = task(matrices, (views if len(views) > 1 else views[0]) if views else None)
        del matrices
        yield piece, parts
        del parts


def _check_room(targets: tuple[Any, ...], where: Where) -> None:
    """Raise ValueError where an iterator has more matrices than there is room for in `out`."""
    if targets and isinstance(where, slice) and targets[0].shape[0] < where.stop:
        raise ValueError(
            f"source has at least {where.stop} matrices along its first dimension, and out has room for "
            f"{targets[0].shape[0]}"
        )


def _write(targets: tuple[Any, ...], where: Where, result: Any, batch: tuple[int, ...]) -> None:
    """Copy the results of a chunk into `out`; raise unless they fit."""
    _check_room(targets, where)
    if not targets:
        return
    parts = result if isinstance(result, tuple) else (result,)
    if len(parts) != len(targets):
        raise ValueError(f"function returns {len(parts)} arrays, and out has {len(targets)}")
    for target, part in zip(targets, map(np.asarray, parts), strict=True):
        shape = (*_batch_of(where, batch), *target.shape[len(batch) :])
        dtype = np.dtype(target.dtype).newbyteorder("=")
        if part.shape != shape or part.dtype.newbyteorder("=") != dtype:
            raise ValueError(
                f"function returns {part.dtype} of shape {part.shape} for source[{name_of(where)}], and out "
                f"has room for {dtype} of shape {shape}"
            )
        target[where] = part


def _batch_of(where: Where, batch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the batch shape of a chunk."""
    *_, along = parts = where if isinstance(where, tuple) else (where,)
    assert isinstance(along, slice)
    return (along.stop - along.start, *batch[len(parts) :])


def loaded(pieces: Iterator[Piece], ahead: bool) -> Iterator[tuple[Piece, Array]]:
    """Yield each chunk with its matrices, read one ahead in a thread if that is asked for."""
    if not ahead:
        for piece in pieces:
            yield piece, piece.load()
        return
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[tuple[Piece, Future[Array]]] = deque()
        for piece in pieces:
            waiting.append((piece, pool.submit(piece.load)))
            if len(waiting) == 2:
                yield _next(waiting)
        if waiting:
            yield _next(waiting)


def _next(waiting: deque[tuple[Piece, Future[Array]]]) -> tuple[Piece, Array]:
    piece, future = waiting.popleft()
    return piece, future.result()
