"""Compile a kernel for the element type at hand, once a process, and keep the machine code on disk.

numba's own cache looks at the file of the function that it caches and does not notice when a callee in
another file changed. Here the folder's name holds a hash of all kernel sources, so code from other sources
is never found. It lies in the user's cache directory, or in ``NUMBA_CACHE_DIR`` where that is set, and
never beside the sources, which may be read-only.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import config

import gpusvd.kernels

_lock = Lock()


def cache_folder() -> Path | None:
    """Return the folder that keeps the machine code of these kernels, made if need be; None if no place is
    writable."""
    sources = hashlib.sha256()
    for path in sorted(Path(gpusvd.kernels.__path__[0]).glob("*.py")):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    name = sources.hexdigest()[:16]
    for base in _bases():
        folder = base / "gpusvd" / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _bases() -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    if sys.platform == "win32":
        yield Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser()
    elif sys.platform == "darwin":
        yield Path("~/Library/Caches").expanduser()
    else:
        yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


@contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """Have numba choose `folder` for the functions whose caching is enabled meanwhile."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


@cache
def _dispatcher(function: Callable[..., None]) -> Any:
    dispatcher = numba.njit(error_model="numpy", nogil=True)(function)
    folder = cache_folder()
    if folder is not None:
        with _caching_in(folder):
            dispatcher.enable_caching()
    return dispatcher


@cache
def _compiled(function: Callable[..., None], dtype: np.dtype[Any]) -> Callable[..., None]:
    number = numba.from_dtype(dtype)
    real = numba.from_dtype(np.empty(0, dtype).real.dtype)

    def array(element: types.Type, dimensions: int, layout: str = "A") -> types.Array:
        return types.Array(element, dimensions, layout)

    batch, vectors = array(number, 3), array(real, 2)
    info = [array(element, 1, "C") for element in (types.boolean, types.int32, real)]
    workspace = [array(element, 1, "C") for element in (number, real)]
    flags = [types.boolean, types.boolean]
    signature = types.none(batch, batch, vectors, batch, *info, *flags, *workspace)
    compiled: Callable[..., None] = _dispatcher(function).compile(signature.args)
    return compiled


def compiled(function: Callable[..., None], dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return the machine code of a solver for matrices of this dtype.

    All solvers take (a, left, s, right, converged, sweeps, off, adjoint, vectors, groups, reals); see
    `gpusvd.kernels.cpu_tile.svd_tiles`. Called directly, it skips numba's look at the types of the
    arguments, so they must be as declared here.
    """
    with _lock:
        return _compiled(function, dtype)
