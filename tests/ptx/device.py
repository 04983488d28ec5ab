"""What stands for a GPU: CuPy's part in a launch."""

import sys
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

from gpusvd._cuda import launch as shipped

from .counting import count
from .execution import WARP, Run
from .faults import LaunchError, UnwrittenError
from .memory import Global, granule_of
from .parse import SIZES
from .source import CAPABILITY, source
from .translate import Program

STATIC_SHARED = 48 * 1024
MOST_SHARED = 227 * 1024  # of a block, for compute capability 9.0
REGISTERS = 64 * 1024  # of a multiprocessor

_program = cache(Program)


class Device:
    """A GPU that executes PTX. It and its `launch` are what `gpusvd._cuda.jacobi.decompose` is given.

    Parameters
    ----------
    contraction : {"ptx", "none", "all"}
        Of products and sums, see `tests.ptx.translate.Program`.
    source : callable
        Returns the PTX of a kernel.

    Attributes
    ----------
    launches : list of tests.ptx.counting.Counted
        What each launch has executed.
    """

    def __init__(self, contraction="ptx", source=source):
        self._contraction, self._source = contraction, source
        self._made = {}  # arrays whose memory was not written when they were made, and what of it is
        self.launches = []

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=float):
        """An array in memory that was never written."""
        x = np.empty(shape, dtype)
        self._made[id(x)] = x, np.zeros(x.nbytes // granule_of(x), bool)
        return x

    def check_written(self, x):
        """Raise UnwrittenError unless kernels have written all of an array that `empty` made."""
        if not self._made[id(x)][1].all():
            raise UnwrittenError(f"an array of shape {x.shape} is not all written")

    def launch(self, kernel, kind, blocks, arguments):
        """As `gpusvd._cuda.launch.launch`, which it calls with itself for CuPy, on NumPy arrays."""
        memory = Global({key: written for key, (_, written) in self._made.items()})
        arguments = [_OnDevice(x, memory.place(x)) if isinstance(x, np.ndarray) else x for x in arguments]

        def load(kernel, kind, signature, number, capability):
            return shipped.opted_in(
                Function(self, self._source(kernel, kind, signature), kind, memory), number
            )

        with _for_cupy(), patch.object(shipped, "_load", load):
            shipped.launch(kernel, kind, blocks, arguments)

    def program(self, text):
        """The program of a text, contracted as the device does."""
        return _program(text, self._contraction)

    def execute(self, text, kind, blocks, threads, parameters, memory, shared=0):
        """Run a program that is given the bytes of its parameters."""
        run = Run(self.program(text), blocks, threads, parameters, memory, shared)
        run.run()
        self.launches.append(count(run, kind, blocks * -(-threads // WARP)))


class Idle(Device):
    """A GPU that executes nothing, and keeps in `asked` what it is asked to launch."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def launch(self, kernel, kind, blocks, arguments):
        self.asked.append((kernel, kind, blocks, arguments))

    def check_written(self, x):
        pass


@contextmanager
def _for_cupy():
    """Let a launch import what it asks of CuPy: the current device."""
    attributes = {"MaxSharedMemoryPerBlockOptin": MOST_SHARED}
    here = SimpleNamespace(id=0, compute_capability=CAPABILITY, attributes=attributes)
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = SimpleNamespace(cuda=SimpleNamespace(Device=lambda number=0: here))
    try:
        yield
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before


class _OnDevice:
    """What a launch asks of a CuPy array."""

    def __init__(self, x, address):
        self.size, self.itemsize, self.shape, self.strides = x.size, x.itemsize, x.shape, x.strides
        self.dtype, self.ndim = x.dtype, x.ndim
        self.data = SimpleNamespace(ptr=address)


class Function:
    """What CuPy makes of a kernel's machine code."""

    def __init__(self, device, text, kind, memory):
        self._device, self._text, self._kind, self._memory = device, text, kind, memory
        self._module = device.program(text).module
        self.shared_size_bytes = sum(variable.size or 0 for variable in self._module.shared)
        if self.shared_size_bytes > STATIC_SHARED:
            raise LaunchError(f"{self.shared_size_bytes} bytes of static shared memory, which ptxas refuses")
        self._most_dynamic = STATIC_SHARED - self.shared_size_bytes

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._most_dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, value):
        if value + self.shared_size_bytes > MOST_SHARED:
            raise LaunchError(f"{value} bytes of shared memory and {self.shared_size_bytes} static ones")
        self._most_dynamic = value

    def __call__(self, grid, block, arguments, shared_mem=0):
        (blocks,), (threads,) = grid, block
        self._check_limits(blocks, threads, shared_mem)
        parameters = packed(self._module.parameters, arguments)
        self._device.execute(self._text, self._kind, blocks, threads, parameters, self._memory, shared_mem)

    def _check_limits(self, blocks, threads, shared):
        """Raise LaunchError for what a driver would refuse."""
        limits = self._module.limits
        if not 1 <= threads <= min(1024, limits.get("maxntid", 1024)) or not 1 <= blocks < 2**31:
            raise LaunchError(f"{blocks} blocks of {threads} threads")
        registers, warps = limits.get("maxnreg", 255), -(-threads // WARP)
        if registers > 255 or -(-registers // 8) * 8 * WARP * -(-warps // 4) * 4 > REGISTERS:
            raise LaunchError(f"{registers} registers for each of {threads} threads")
        if shared > self._most_dynamic:
            raise LaunchError(
                f"{shared} bytes of shared memory beside {self.shared_size_bytes} static ones, at most "
                f"{self._most_dynamic} unless the launch asks for more"
            )


def packed(parameters, arguments):
    """The bytes of parameters as CuPy makes them of Python's numbers: one of a bool, eight of others.

    Raises
    ------
    LaunchError
        If they are not as many, or of another size or kind, than the machine code takes.
    """
    if len(arguments) != len(parameters):
        raise LaunchError(f"{len(arguments)} arguments for {len(parameters)} parameters")
    made = {}
    for value, (name, kind) in zip(arguments, parameters, strict=True):
        dtype = {bool: "?", float: "f8", int: "u8" if value >= 2**63 else "i8"}[type(value)]
        raw = np.array(value, dtype).tobytes()
        if len(raw) != SIZES[kind] or (dtype == "f8") != (kind[0] == "f"):
            raise LaunchError(f"{value!r}, {len(raw)} bytes, for {name} of type {kind}")
        made[name] = raw
    return made
