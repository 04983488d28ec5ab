"""Compile a kernel for the element type at hand, once a process, and keep the machine code on disk.

numba's own cache looks at the file of the function that it caches and does not notice when a callee in
another file changed. Here the folder's name holds a hash of all sources that the code comes from, so code
from other sources is never found. It lies in the user's cache directory, or in ``NUMBA_CACHE_DIR`` where that
is set, and never beside the sources, which may be read-only. Where no folder is writable nothing is kept.
"""

import hashlib
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import types
from numba.core import config


def _hash_of_sources() -> str:
    here = Path(__file__)
    sources = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in (here, *sorted((here.parent / "kernels").glob("*.py"))):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sources.hexdigest()[:16]


def _import_solvers() -> tuple[dict[str, Callable[..., None]], str | None]:
    """Return the solvers by name and the hash of their sources, None if these changed meanwhile."""
    before = _hash_of_sources()
    tile, rows, values = (import_module(f"gpusvd.kernels.cpu_{name}") for name in ("tile", "rows", "values"))
    solvers = {
        "svd_tiles": tile.svd_tiles,
        "svd_rows": rows.svd_rows,
        "svdvals_tiles": values.svdvals_tiles,
    }
    return solvers, before if _hash_of_sources() == before else None


# What is compiled later is what is imported now, whatever becomes of the files.
_SOLVERS, _HASH = _import_solvers()

_lock = Lock()
_compiled: dict[tuple[str, np.dtype[Any]], Callable[..., None]] = {}

if hasattr(os, "register_at_fork"):
    # A child made while another thread compiles would wait for ever, for this lock and for numba's.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def compiled(solver: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return the machine code of "svd_tiles", "svd_rows" or "svdvals_tiles" for matrices of this dtype.

    Its arguments are those of `gpusvd.kernels.cpu_tile.svd_tiles`, or of `cpu_values.svdvals_tiles`. It skips
    numba's look at their types, so these must be as declared here.
    """
    key = solver, dtype
    if key not in _compiled:
        with _lock:
            if key not in _compiled:
                _compiled[key] = _compile(_SOLVERS[solver], _signature(solver, dtype))
    return _compiled[key]


def _signature(solver: str, dtype: np.dtype[Any]) -> tuple[types.Type, ...]:
    number = numba.from_dtype(dtype)
    real = numba.from_dtype(np.empty(0, dtype).real.dtype)

    def array(element: types.Type, dimensions: int, layout: str) -> types.Array:
        return types.Array(element, dimensions, layout)

    batch, values = array(number, 3, "A"), array(real, 2, "A")
    info = tuple(array(element, 1, "C") for element in (types.boolean, types.int32, real))
    flags = types.boolean, types.boolean, array(types.uint8, 1, "C")
    workspace = array(number, 1, "C"), array(real, 1, "C")
    if solver == "svdvals_tiles":
        return batch, values, info[0], *flags[1:], *workspace
    return batch, batch, values, batch, *info, *flags, *workspace


def _compile(solver: Callable[..., None], signature: tuple[types.Type, ...]) -> Callable[..., None]:
    """Return the compiled solver, from the cache if it is there."""
    folder = cache_folder()
    if folder is not None:
        dispatcher = _dispatcher(solver)
        try:
            with _caching_in(folder):
                dispatcher.enable_caching()
            return _entry_point(dispatcher, signature)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            # A damaged file, or a full disk: start the folder afresh another time, and do without it now.
            shutil.rmtree(folder, ignore_errors=True)
    return _entry_point(_dispatcher(solver), signature)


def _dispatcher(solver: Callable[..., None]) -> Any:
    return numba.njit(error_model="numpy", nogil=True)(solver)


def _entry_point(dispatcher: Any, signature: tuple[types.Type, ...]) -> Callable[..., None]:
    entry: Callable[..., None] = dispatcher.compile(signature)
    return entry


def cache_folder() -> Path | None:
    """Return the folder that keeps machine code of these sources, made if need be; None if there is none."""
    if _HASH is None:
        return None
    for base in _bases():
        folder = base / "gpusvd" / _HASH
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
    try:
        if sys.platform == "win32":
            yield Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
        elif sys.platform == "darwin":
            yield Path("~/Library/Caches").expanduser()
        else:
            yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        return  # nobody's home


@contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """Have numba choose `folder` for the functions whose caching is enabled meanwhile."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before
