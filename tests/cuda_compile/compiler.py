"""From a Python function to machine code and its text, with no device."""

import importlib.util
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from numba import cuda

from gpusvd._base.install import install


class Resources(NamedTuple):
    """What a kernel takes of a multiprocessor, as ptxas reports it."""

    registers: int  # a thread
    spill_stores: int  # bytes a thread
    spill_loads: int
    local: int  # bytes of stack a thread
    shared: int  # bytes of static shared memory a block


def tool(name):
    """The path of a program from NVIDIA's packages."""
    package = importlib.util.find_spec("nvidia")
    for root in package.submodule_search_locations if package else ():
        for path in sorted(Path(root).glob(f"*/bin/{name}")):
            return str(path)
    raise RuntimeError(f"no {name}: {install('test')}, on Linux, or nvidia-cuda-nvcc and -nvdisasm")


def version(name):
    """The release of a tool, as 13.5."""
    text = subprocess.run([tool(name), "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release ([\d.]+)", text)[1]


@contextmanager
def device_of(capability):
    """numba asks the current device for its capability when it compiles a device function."""
    dispatcher = cuda.dispatcher
    before = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = before


def ptx(function, signature, capability, **options):
    """PTX of a kernel for a compute capability, "90" say. `options` are those of `cuda.jit`: fastmath,
    launch_bounds."""
    major_minor = int(capability[:-1]), int(capability[-1])
    return cuda.compile_ptx(function, signature, device=False, cc=major_minor, lineinfo=True, **options)[0]


def machine_code(make_ptx, capability, max_registers=None):
    """Resources and the text of the machine code of what `make_ptx(capability)` returns."""
    arch = f"sm_{capability}"
    with device_of((int(capability[:-1]), int(capability[-1]))):
        text = make_ptx(capability)
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(text)
        limit = [] if max_registers is None else [f"--maxrregcount={max_registers}"]
        log = run("ptxas", f"-arch={arch}", "-lineinfo", "-v", *limit, source, "-o", binary).stderr
        return resources(log), run("nvdisasm", "-c", "-g", binary).stdout


def run(name, *arguments):
    done = subprocess.run([tool(name), *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr}")
    return done


def resources(log):
    """Read the report of `ptxas -v`; functions that are not inlined have a stack of their own."""

    def numbers(pattern):
        return [int(number) for number in re.findall(pattern, log)]

    return Resources(
        registers=max(numbers(r"Used (\d+) registers")),
        spill_stores=sum(numbers(r"(\d+) bytes spill stores")),
        spill_loads=sum(numbers(r"(\d+) bytes spill loads")),
        local=sum(numbers(r"(\d+) bytes stack frame")),
        shared=max(numbers(r"(\d+) bytes smem"), default=0),
    )
