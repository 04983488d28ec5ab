"""The machine code of the CPU kernels: compiled once on a machine, loaded once a process.

A release comes with LLVM bitcode of every solver, `BITCODE`. From it LLVM's back end, a part of llvmlite,
makes machine code for this processor in about a second. Without bitcode of these sources for this LLVM, numba
makes it first, in about ten seconds; nothing else imports numba. The machine code is kept in the cache
folder, where later processes find it.

Python calls a solver as a built-in function. Its entry, written by `gpusvd._cpu.bitcode`, reads addresses,
shapes and strides from NumPy's arrays, and runs the kernel without the GIL.
"""

import ctypes
import hashlib
import importlib.metadata
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from zipfile import ZipFile

import llvmlite
import numpy as np
from llvmlite import binding as llvm

from gpusvd._base import specialise
from gpusvd._base.cache import cache_folder, hash_of_sources, write_whole
from gpusvd.kernels.layout import TINY_COLUMNS, TINY_ROWS

# Of straight-line code, by name, the rows, the columns, and whether there are vectors.
TINY = {
    f"{name}_tiny_{rows}x{n}": (rows, n, name == "svd")
    for name in ("svd", "svdvals")
    for n in TINY_COLUMNS
    for rows in (n, TINY_ROWS)
}
# The solvers, and the modules of `gpusvd.kernels` that have them.
SOLVERS = {"svd_tiles": "cpu_tile", "svd_rows": "cpu_rows", "svdvals_tiles": "cpu_values"}
SOLVERS |= dict.fromkeys(TINY, "cpu_tiny")

BITCODE = Path(__file__).with_name("bitcode.zip")

# What the machine code has by name: the function, and what it needs of the Python that calls it.
ENTRY = "gpusvd_entry"
PYTHON = "gpusvd_python"

_log = logging.getLogger("gpusvd")
_lock = Lock()
_compiled: dict[tuple[str, np.dtype[Any]], Callable[..., None]] = {}
_in_use: list[object] = []  # what the functions in `_compiled` run

if hasattr(os, "register_at_fork"):
    # A child made while another thread compiles would wait for ever, for this lock and for LLVM's.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def sources() -> str:
    """Return the hash of the sources of the machine code as they are now."""
    here = Path(__file__)
    return hash_of_sources(here, here.with_name("bitcode.py"), Path(specialise.__file__), cuda=False)


SOURCES = sources()


def compiled(solver: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return one of `SOLVERS` as a function, for matrices of this dtype.

    Its arguments are those of the kernel, for instance of `gpusvd.kernels.cpu_tile.svd_tiles`. It does not
    look at their types: arrays must be as `gpusvd._cpu.bitcode.signature` declares them, and flags must be
    True or False themselves.
    """
    key = solver, dtype
    if key not in _compiled:
        with _lock:
            if key not in _compiled:
                _compiled[key] = _load(solver, dtype.name)
    return _compiled[key]


def bitcode_name(solver: str, dtype: str) -> str:
    """Return the name in `BITCODE` of a solver of these sources for this LLVM."""
    return f"{SOURCES}-llvm{llvm.llvm_version_info[0]}/{solver}-{dtype}.bc"


def _load(solver: str, dtype: str) -> Callable[..., None]:
    try:
        return _function(solver, _machine_code(solver, dtype))
    except Exception:  # a version of LLVM or numba, or a system, that none of this has met
        _log.warning("%s for %s is left to numba, in each process", solver, dtype, exc_info=True)
        from gpusvd._cpu.bitcode import compile_by_numba

        return compile_by_numba(solver, dtype)


# Machine code


def _machine_code(solver: str, dtype: str) -> bytes:
    """Return the object file of a solver, from the cache if it is there."""
    folder = cache_folder(SOURCES)
    if folder is None:
        return _compile(solver, dtype, "in each process")
    path = folder / f"{solver}-{dtype}-{_target()}.o"
    with suppress(OSError):
        digest, code = (content := path.read_bytes())[:32], content[32:]
        if hashlib.sha256(code).digest() == digest:
            return code
    code = _compile(solver, dtype, "once on this machine")
    if sources() == SOURCES:  # else numba may have compiled what has been edited since
        with suppress(OSError):  # a full disk, or the folder is gone
            write_whole(path, hashlib.sha256(code).digest() + code)
    return code


def _compile(solver: str, dtype: str, how_often: str) -> bytes:
    bitcode = _released(solver, dtype)
    seconds = "a second" if bitcode else "10 s"
    _log.info("compiling %s for %s (%s, about %s)", solver, dtype, how_often, seconds)
    if bitcode is None:
        from gpusvd._cpu.bitcode import build

        bitcode = build(solver, dtype)
    machine, module = _machine(), llvm.parse_bitcode(bitcode)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    code: bytes = machine.emit_object(module)
    return code


def _released(solver: str, dtype: str) -> bytes | None:
    """Return the bitcode that came with these sources, None if there is none for this LLVM."""
    try:
        with ZipFile(BITCODE) as archive:
            return archive.read(bitcode_name(solver, dtype))
    except Exception:  # not there, damaged, or of other sources; or this Python has no lzma
        return None


def _machine() -> Any:
    """Return LLVM's back end for this machine, with the settings that numba has."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu, features = _processor()
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _processor() -> tuple[str, str]:
    """Return LLVM's names for the processor and its features, or what numba is told to take for them."""
    cpu = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        try:
            features = llvm.get_host_cpu_features().flatten()
        except RuntimeError:  # LLVM cannot tell
            features = ""
    return cpu, features


def _target() -> str:
    """Return a hash of what machine code depends on besides its sources."""
    versions = llvmlite.__version__, importlib.metadata.version("numba"), llvm.get_process_triple()
    return hashlib.sha256(" ".join((*versions, *_processor())).encode()).hexdigest()[:16]


# The function


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("entry", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x80
_new_function = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.POINTER(_Method), ctypes.c_void_p, ctypes.c_void_p
)(("PyCFunction_NewEx", ctypes.pythonapi))


def _function(solver: str, code: bytes) -> Callable[..., None]:
    """Return the solver in an object file as a built-in function."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    needed = _python()
    place: Any = (ctypes.c_ssize_t * len(needed)).from_address(engine.get_global_value_address(PYTHON))
    place[:] = needed
    method = _Method(solver.encode(), engine.get_function_address(ENTRY), _METH_FASTCALL, None)
    _in_use.append((engine, method))
    function: Callable[..., None] = _new_function(method, None, None)
    return function


def _python() -> list[int]:
    """Return what an entry needs of this Python: the length of an object's head, which is longer in one
    without the GIL, and the addresses of two objects and three functions of its stable ABI."""
    names = "PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef"
    functions = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in names]
    return [object.__basicsize__, id(None), id(True), *functions]
