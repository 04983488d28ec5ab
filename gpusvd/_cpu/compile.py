"""Compile a CPU kernel for an element type, once a process, and keep the machine code on disk."""

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import config

from gpusvd._base import specialise
from gpusvd._base.cache import cache_folder, hash_of_sources
from gpusvd.kernels.layout import TINY_COLUMNS, TINY_ROWS


def _import_solvers() -> tuple[dict[str, Callable[..., None]], str | None]:
    """Return the solvers by name and the hash of their sources, None if these changed meanwhile."""
    compilers = Path(__file__), Path(specialise.__file__)
    before = hash_of_sources(*compilers)
    names = "tile", "rows", "values", "tiny"
    tile, rows, values, tiny = (import_module(f"gpusvd.kernels.cpu_{name}") for name in names)
    solvers = {
        "svd_tiles": tile.svd_tiles,
        "svd_rows": rows.svd_rows,
        "svdvals_tiles": values.svdvals_tiles,
        **dict.fromkeys(TINY, tiny.svd_tiny),
    }
    return solvers, before if hash_of_sources(*compilers) == before else None


# By name the rows, columns, and whether with vectors, of the kernels of straight-line code.
TINY = {
    f"{name}_tiny_{rows}x{n}": (rows, n, name == "svd")
    for name in ("svd", "svdvals")
    for n in TINY_COLUMNS
    for rows in (n, TINY_ROWS)
}


# The code compiled later is that imported now, even if the files change meanwhile.
_SOLVERS, SOURCES = _import_solvers()

_lock = Lock()
_compiled: dict[tuple[str, np.dtype[Any]], Callable[..., None]] = {}

if hasattr(os, "register_at_fork"):
    # A child made while another thread compiles would wait for ever, for this lock and for numba's.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def compiled(solver: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return the machine code of "svd_tiles", "svd_rows", "svdvals_tiles" or one of TINY for matrices of this
    dtype.

    Its arguments are those of `gpusvd.kernels.cpu_tile.svd_tiles`, of `cpu_values.svdvals_tiles`, or of
    `cpu_tiny.svd_tiny` without its constants. It skips numba's look at their types, so these must be as
    declared here.
    """
    key = solver, dtype
    if key not in _compiled:
        with _lock:
            if key not in _compiled:
                _compiled[key] = _compile(source(solver, dtype), _signature(solver, dtype))
    return _compiled[key]


def source(solver: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return the function to compile, which is one of its own for each of TINY."""
    function = _SOLVERS[solver]
    if solver not in TINY:
        return function
    from gpusvd.kernels import lanes, tiny

    rows, n, vectors = TINY[solver]
    limits = tiny.limits(np.finfo(dtype).bits == 32)
    specialiser = specialise.Specialiser(limits, None, lanes.jit, frozenset(vars(lanes)))
    made = specialiser.without(
        function, rows=rows, n=n, vectors=int(vectors), parts=2 if dtype.kind == "c" else 1
    )
    made.__name__ = made.__qualname__ = solver  # numba's cache goes by the name and the types alone
    return made


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
    if solver in TINY:
        return batch, batch, values, batch, *info, *flags[1:], *workspace
    return batch, batch, values, batch, *info, *flags, *workspace


def _compile(solver: Callable[..., None], signature: tuple[types.Type, ...]) -> Callable[..., None]:
    """Return the compiled solver, from the cache if it is there."""
    folder = cache_folder(SOURCES)
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


@contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """Have numba choose `folder` for the functions whose caching is enabled meanwhile."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before
