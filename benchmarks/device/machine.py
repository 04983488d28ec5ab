"""Tasks about the machine: which GPU and versions it has, its ceilings, and what first calls cost on it."""

import importlib.metadata
import shutil
import subprocess
import time
from typing import Any

import numpy as np

import gpusvd
from gpusvd._cuda.arrays import cupy_with_device

PACKAGES = (
    "cupy-cuda12x",
    "cupy-cuda13x",
    "numba-cuda",
    "cuda-core",
    "cuda-bindings",
    "llvmlite",
    "torch",
    "jax",
    "jaxlib",
)
CLOCKS = ("clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "power.draw", "temperature.gpu")
COPIED = 1 << 30  # bytes
LOOP = """
extern "C" __global__ void multiply_add(REAL* out, int rounds) {
    REAL x[16];
    REAL factor = (REAL)0.999 + (REAL)1e-9 * threadIdx.x, term = (REAL)1e-3 * blockIdx.x;
    for (int i = 0; i < 16; ++i) x[i] = (REAL)i;
    for (int r = 0; r < rounds; ++r) {
#pragma unroll
        for (int k = 0; k < 8; ++k) {
#pragma unroll
            for (int i = 0; i < 16; ++i) x[i] = x[i] * factor + term;
        }
    }
    REAL sum = 0;
    for (int i = 0; i < 16; ++i) sum += x[i];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
"""


def tasks() -> list[dict[str, Any]]:
    return [{"what": what} for what in ("machine", "copy", "float32", "float64")]


def run(task: dict[str, Any]) -> dict[str, Any]:
    if "what" not in task:
        return first_calls(task)
    cupy = cupy_with_device()
    if task["what"] == "machine":
        return machine(cupy)
    return copy_bandwidth(cupy) if task["what"] == "copy" else multiply_adds(cupy, task["what"])


def machine(cupy: Any) -> dict[str, Any]:
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    free, total = cupy.cuda.runtime.memGetInfo()
    return {
        "gpu": properties["name"].decode(),
        "compute_capability": cupy.cuda.Device().compute_capability,
        "multiprocessors": properties["multiProcessorCount"],
        "l2_bytes": properties["l2CacheSize"],
        "memory_bytes": total,
        "memory_free": free,
        "driver": query("driver_version"),
        "cuda_driver": version(cupy.cuda.runtime.driverGetVersion()),
        "cuda_runtime": version(cupy.cuda.runtime.runtimeGetVersion()),
        "clocks": {name: query(name) for name in CLOCKS},
        "packages": packages(),
    }


def version(number: int) -> str:
    """13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def query(field: str) -> str:
    """What nvidia-smi says of the first GPU, in its own words and units; empty where it does not run."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", "-i", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout.strip() if done.returncode == 0 else ""


def copy_bandwidth(cupy: Any) -> dict[str, Any]:
    """Bytes read and written in a second by a copy on the device."""
    source = cupy.ones(COPIED // 4, np.float32)
    target = cupy.empty_like(source)
    seconds = event_seconds(cupy, lambda: cupy.copyto(target, source), times=20)
    return {"bytes_a_second": 2 * COPIED / float(np.median(seconds)), "seconds": spread(seconds)}


def multiply_adds(cupy: Any, dtype: str) -> dict[str, Any]:
    """Multiply-adds in a second by a loop of sixteen independent ones in each thread."""
    name = {"float32": "float", "float64": "double"}[dtype]
    kernel = cupy.RawKernel(LOOP.replace("REAL", name), "multiply_add")
    blocks, threads, rounds = 32 * cupy.cuda.Device().attributes["MultiProcessorCount"], 256, 1000
    out = cupy.empty(blocks * threads, dtype)

    def call() -> None:
        kernel((blocks,), (threads,), (out, np.int32(rounds)))

    seconds = event_seconds(cupy, call, times=20)
    each = float(np.median(seconds))
    for _ in range(max(1, int(0.5 / each))):  # for half a second: the clock under load
        call()
    clock = query("clocks.sm")
    cupy.cuda.runtime.deviceSynchronize()
    return {
        "multiply_adds_a_second": blocks * threads * rounds * 16 * 8 / each,
        "seconds": spread(seconds),
        "clock_under_load": clock,
    }


def event_seconds(cupy: Any, call: Any, times: int) -> list[float]:
    """Seconds of each call by CUDA events on the current stream, after two that do not count."""
    call()
    call()
    seconds = []
    for _ in range(times):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        call()
        stop.record()
        stop.synchronize()
        seconds.append(cupy.cuda.get_elapsed_time(start, stop) / 1000)
    return seconds


def spread(seconds: list[float]) -> dict[str, float]:
    return {f"p{p}": float(np.percentile(seconds, p)) for p in (20, 50, 80)}


# First calls


def first_calls(task: dict[str, Any]) -> dict[str, Any]:
    """Seconds of calls that compile with an empty cache, and load with a filled one.

    Sizes share kernels: with an empty cache a call compiles what no size before it has needed.
    """
    m, n, dtype, work = task["m"], task["n"], task["dtype"], task["work"]
    if task["device"] == "cpu":
        start = time.perf_counter()
        gpusvd.warmup([(m, n), (64, 64)], [dtype], full_matrices=False)
        return {"first": time.perf_counter() - start}
    cupy = cupy_with_device()
    a = cupy.asarray(np.random.default_rng(0).standard_normal((2, m, n)).astype(dtype))
    cupy.cuda.runtime.deviceSynchronize()
    first, second = (call_seconds(cupy, a, work) for _ in range(2))
    return {"first": first, "second": second}


def call_seconds(cupy: Any, a: Any, work: str) -> float:
    start = time.perf_counter()
    gpusvd.svd(a, full_matrices=False, compute_uv=work == "thin", driver="jacobi")
    cupy.cuda.runtime.deviceSynchronize()
    return time.perf_counter() - start
