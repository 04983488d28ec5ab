"""A strict stand-in for CuPy where there is no GPU: arrays of devices that are not there, computed by NumPy.

`install` puts it in the place of `cupy` for a test. It has only the names and keyword arguments that CuPy
13.6 and 14.2 both export (`api.json`), or those of one of them, and refuses what works by luck or not at all:

- NumPy's arrays among CuPy's, and conversions that nobody asked for (TypeError, ValueError)
- arrays of a device that is not the current one (ValueError), and its streams (RuntimeError)
- memory that another stream may still be at work on (RaceError): streams order their work as CUDA does, and
  what is copied to page-locked memory is there when the host has waited for it
- to wait for a stream that is captured (CUDARuntimeError)
- to launch a graph that uses memory that was given back (GraphError)
- numbers of NumPy's whose dtype CuPy 13 and 14 take differently (TypeError)

Kernels run in the emulator: launched by `kernels.launch` in the place of the library's own launch, or by that
as machine code, with the arguments that it packs. The latter may also be executed from their PTX.
"""

import sys
import types
from functools import cache
from importlib.machinery import ModuleSpec

import numpy as np

from gpusvd._cuda import jacobi, launch

from . import arrays, compiler, functions, kernels, memory, streams
from .devices import RUNTIME, Device
from .machine import MACHINE, CUDADriverError, CUDARuntimeError, RaceError, SynchronizationError
from .streams import GraphError

__all__ = [
    "MACHINE",
    "CUDARuntimeError",
    "GraphError",
    "RaceError",
    "SynchronizationError",
    "install",
    "module",
]


def install(monkeypatch, *, machine_code=False, executed=False, **options):
    """Put a `module` of these options in the place of CuPy for a test, and return it.

    With `machine_code` the library's own launch loads what it has compiled, as far as it could here; if it is
    `executed`, that is PTX. Otherwise kernels are emulated, for which few threads a block are fast.
    """
    from tests.ptx import Device  # with the compiler, which is replaced below

    cupy = module(**options)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    if executed:
        monkeypatch.setattr(kernels, "emulated", Device().launch)
    else:
        monkeypatch.setattr(jacobi, "_THREADS", 32)
    for name in ("shared_bytes", "_largest_shared", "_load"):  # they remember what a device has said
        monkeypatch.setattr(launch, name, cache(getattr(launch, name).__wrapped__))
    if machine_code:
        if not executed:
            monkeypatch.setattr(launch, "_toolchain", lambda: "none")
        monkeypatch.setattr(launch, "ptx", compiler.compiled)
        monkeypatch.setattr(launch, "_link", compiler.linked)
    else:
        monkeypatch.setattr(launch, "launch", kernels.launch)
    return cupy


def module(version="both", devices=1, attributes=None, capability="90"):
    """A module to put in the place of `cupy`, of a version or of what "both" have, and with so many devices;
    of a negative number, without a driver."""
    MACHINE.reset(version, devices, attributes, capability)
    own = {name: getattr(functions, name) for name in functions.OWN}
    cupy = functions.Namespace("cupy", np, **own)
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.__version__ = {"both": "13.6.0", "13.6": "13.6.0", "14.2": "14.2.0"}[version]
    cupy.ndarray = arrays.ndarray
    cupy.RawModule, cupy.RawKernel = kernels.RawModule, kernels.RawKernel
    cupy.get_default_memory_pool = lambda: memory.POOL
    cupy.linalg = functions.Namespace("cupy.linalg", functions.LinearAlgebra())
    tricks = types.SimpleNamespace(as_strided=arrays.as_strided)
    cupy.lib = types.SimpleNamespace(stride_tricks=tricks)
    cupy.random = types.SimpleNamespace(RandomState=functions.RandomState)
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=streams.StreamOf14 if version == "14.2" else streams.Stream,
        ExternalStream=streams.ExternalStream,
        Event=streams.Event,
        Graph=streams.Graph,
        MemoryPool=memory.MemoryPool,
        MemoryPointer=memory.MemoryPointer,
        PinnedMemoryPointer=memory.PinnedMemoryPointer,
        alloc_pinned_memory=memory.alloc_pinned_memory,
        malloc_async=memory.malloc_async,
        using_allocator=memory.using_allocator,
        get_current_stream=streams.get_current_stream,
        get_elapsed_time=streams.get_elapsed_time,
        runtime=RUNTIME,
        driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
    )
    return cupy
