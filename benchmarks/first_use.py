"""What a first use costs: import, first calls with and without bitcode and cache, memory while it runs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import gpusvd
from benchmarks.measure import DTYPES, WORK, command, random_batch, recorded

ROOT = Path(__file__).parents[1]
IMPORT = "import time; t = time.perf_counter(); import gpusvd; print(time.perf_counter() - t)"
# Two first calls of each kind; the second compiles only what is its own.
FIRST: dict[str, dict[str, Callable[[str], np.ndarray]]] = {
    "thin": {
        "8 x 8": lambda dtype: random_batch(64, 8, 8, dtype),
        "64 x 64": lambda dtype: random_batch(4, 64, 64, dtype),
    },
    "values": {
        "8 x 8": lambda dtype: random_batch(64, 8, 8, dtype),
        "8 x 8 with graded columns": lambda dtype: graded(random_batch(64, 8, 8, dtype)),
    },
}
STATES = {
    "cold": ("neither bitcode nor cache", 15),
    "release": ("bitcode, empty cache", 2),
    "warm": ("filled cache", 0.3),
}
INPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda a: a,
    "transposed": lambda a: a.mT,
    "integer": lambda a: (a * 1000).astype(np.int32),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


def main() -> None:
    quick = command("first_use", __doc__, quick="one dtype, small batches").parse_args().quick
    dtypes = DTYPES[:1] if quick else DTYPES
    with recorded("first_use", saved=not quick) as (_, rows):
        rows.append(import_time())
        with tempfile.TemporaryDirectory() as folder:
            bitcode = make_bitcode(Path(folder) / "bitcode.zip", dtypes)
            rows += [first_calls(dtype, work, bitcode) for work, dtype in product(FIRST, dtypes)]
        if sys.platform == "linux":
            rows += memory_rows(dtypes, megabytes=4 if quick else 128)
        else:
            print("\nMemory is measured on Linux only.")


def import_time() -> dict[str, Any]:
    seconds = statistics.median(fresh(IMPORT, os.environ) for _ in range(5))
    print(f"\nimport gpusvd: {seconds:.3f} s, median of 5 (goal: 0.25 s)")
    return {"what": "import", "seconds": seconds}


def make_bitcode(path: Path, dtypes: Sequence[str]) -> Path:
    """Bitcode of all kernels, made of these sources as for a release."""
    print("\nBitcode is made, as for a release", flush=True)
    command = [sys.executable, "-m", "gpusvd._cpu.bitcode", "-o", str(path), "--dtype", *dtypes]
    subprocess.run(command, cwd=ROOT, check=True)
    return path


def first_calls(dtype: str, work: str, bitcode: Path) -> dict[str, Any]:
    """Seconds of the first calls in processes that find neither bitcode nor a cache, bitcode, and a cache."""
    row: dict[str, Any] = {"what": "first call", "dtype": dtype, "work": work, "calls": list(FIRST[work])}
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as filled:
        found = {"cold": ("", empty), "release": (str(bitcode), filled), "warm": ("", filled)}
        for state, (there, cache) in found.items():
            call = f"time_first_calls({dtype!r}, {work!r}, {there!r})"
            code = f"from benchmarks.first_use import time_first_calls; print({call})"
            row[state] = fresh(code, os.environ | {"NUMBA_CACHE_DIR": cache})
            each = ", then ".join(f"{s:.2f} s at {a}" for s, a in zip(row[state], FIRST[work], strict=True))
            said, goal = STATES[state]
            print(f"{dtype}, {work}, first call, {said}: {each} (goal: {goal} s)", flush=True)
    return row


def memory_rows(dtypes: Sequence[str], megabytes: float) -> list[dict[str, Any]]:
    """All kinds of input in the first dtype; in the others only those that need no conversion."""
    rows = []
    print(f"\nMemory beyond input and outputs, input of {megabytes} MB (goal: 32 MiB)")
    cases = [(dtypes[0], name) for name in INPUTS] + [(dtype, "as it is") for dtype in dtypes[1:]]
    for (m, n), (dtype, name) in product(((8, 8), (64, 64), (256, 256)), cases):
        call = f"extra_memory({m}, {n}, {dtype!r}, {name!r}, {megabytes})"
        code = f"from benchmarks.first_use import extra_memory; print({call})"
        mebibytes = fresh(code, os.environ) / 2**20
        row = {"what": "memory", "dtype": dtype, "m": m, "n": n, "input": name, "mebibytes": mebibytes}
        rows.append(row)
        print(f"{m:5} x {n:<5}{dtype:12}{name:12}{mebibytes:8.1f} MiB", flush=True)
    return rows


def fresh(code: str, environment: Any) -> Any:
    """What a new process that runs `code` prints last, as JSON."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


# Run in the new process


def time_first_calls(dtype: str, work: str, bitcode: str) -> list[float]:
    from gpusvd._cpu import compile  # noqa: A004

    compile.BITCODE = Path(bitcode)
    seconds = []
    for make in FIRST[work].values():
        a = make(dtype)
        start = time.perf_counter()
        gpusvd.svd(a, driver="jacobi", **WORK[work])
        seconds.append(time.perf_counter() - start)
    return seconds


def graded(a: np.ndarray) -> np.ndarray:
    """The matrices with columns that are each a tenth of the one before."""
    return (a * 10.0 ** -np.arange(a.shape[-1])).astype(a.dtype)


def extra_memory(m: int, n: int, dtype: str, name: str, megabytes: float) -> int:
    """Bytes that a call adds at its highest, into outputs that are there and after a first call."""
    count = int(megabytes * 1e6 / (np.dtype(dtype).itemsize * m * n))
    a = INPUTS[name](random_batch(count, m, n, dtype))
    small = gpusvd.svd(a[:64], full_matrices=False, driver="jacobi")
    out = tuple(np.ones((count, *factor.shape[1:]), factor.dtype) for factor in small)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = status("VmRSS")
    gpusvd.svd(a, full_matrices=False, driver="jacobi", out=out)
    return status("VmHWM") - before


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    main()
