"""Describe the machine, and time interleaved calls; shared by the commands and benchmarks/."""

import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from gpusvd._base.threads import usable_cores

_LOOK = 0.009  # seconds; systems count CPU time in ticks of up to 4 ms


def machine() -> dict[str, str]:
    """Return processor, usable cores, system and versions as strings."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "cpu": cpu_model(),
        "cores": str(usable_cores()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "numba": importlib.metadata.version("numba"),
    }


def cpu_model() -> str:
    """Return the processor's model name, or the architecture if the system does not report one."""
    named = ""
    if platform.system() == "Linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        named = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
    elif platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        named = subprocess.run(command, capture_output=True, text=True).stdout
    return named.strip() or platform.processor() or platform.machine()


def by_turns(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float = 0.0
) -> dict[str, list[float]]:
    """Return the seconds of each call, in at least `rounds` rounds and until `seconds` have passed.

    A round runs every call once, so a machine that becomes slower or busier affects all calls alike. Each
    call starts once the process is idle: the threads of a BLAS may wait actively for work after a call, those
    of OpenBLAS for a tenth of a second, and would take a core from the next one.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    done = 0
    while done < rounds or time.perf_counter() - begin < seconds:
        for name, call in calls.items():
            wait_until_idle()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
        done += 1
    return times


def wait_until_idle(longest: float = 1.0) -> None:
    """Sleep until no thread of this process runs, for at most `longest` seconds."""
    end = time.perf_counter() + longest
    busy = True
    while busy and time.perf_counter() < end:
        used = time.process_time()
        time.sleep(_LOOK)
        busy = time.process_time() - used > _LOOK / 4
