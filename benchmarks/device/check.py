"""Tasks of the large check: up to a million matrices, residual and orthogonality of all of them measured on
the GPU, a sample compared with NumPy and with the CPU's kernels, and results compared bit by bit.

Of a thousand matrices one has a NaN; of four, one is Gaussian, one has columns of very different lengths and
one two equal columns; the fourth is Gaussian again.
"""

import time
from typing import Any

import numpy as np

import gpusvd
from benchmarks.device.accuracy import factor_errors, random_matrices, sample_size, value_error, worse
from gpusvd._cuda.arrays import cupy_with_device

STEP_BYTES = 128e6  # of the matrices of one call
ALLOWED = 10  # max(m, n) eps, of residual and orthogonality
KINDS = 4
BAD_EVERY, BAD = 1000, 3  # the fourth of every thousand has a NaN


def run(task: dict[str, Any]) -> dict[str, Any]:
    cupy = cupy_with_device()
    m, n, dtype = task["m"], task["n"], task["dtype"]
    step = max(8, min(task["matrices"], int(STEP_BYTES / (m * n * np.dtype(dtype).itemsize))))
    start = time.perf_counter()
    first = test_matrices(cupy, 0, step, m, n, dtype)
    row = against_cpu(cupy, first, 0.3 * task["seconds"]) | same_bits_everywhere(cupy, first)
    errors: dict[str, float] = {}
    checked, sweeps, wrong = 0, 0, 0
    while checked < task["matrices"] and (not checked or time.perf_counter() - start < task["seconds"]):
        a = test_matrices(cupy, checked, step, m, n, dtype) if checked else first
        result = gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")
        good = ~bad_places(cupy, step)
        measured = factor_errors(cupy, a, *result[:3], wanted=good)
        errors = {name: worse(errors.get(name, 0), x) for name, x in measured.items()}
        all_nan = cupy.isnan(result.U).all(axis=(1, 2)) & cupy.isnan(result.S).all(axis=1)
        wrong += (result.info.converged != good).sum().item() + (all_nan != ~good).sum().item()
        sweeps = max(sweeps, result.info.sweeps.max().item())
        checked += step
    row |= {"checked": checked, "errors": errors, "wrong_info": wrong, "most_sweeps": sweeps}
    return row | {"passed": passed(row, m, n), "seconds_taken": time.perf_counter() - start}


def passed(row: dict[str, Any], m: int, n: int) -> bool:
    errors = dict(row["errors"])
    in_order = errors.pop("unordered") == 0
    bound = ALLOWED * max(m, n)
    close = row["cpu_values"] <= bound and row["numpy_values"] <= bound and row["values_alone"] <= bound
    right = row["wrong_info"] == 0 and row["info_as_cpu"] and all(row["same_bits"].values())
    return bool(in_order and close and right and all(x <= bound for x in errors.values()))


def test_matrices(cupy: Any, seed: int, count: int, m: int, n: int, dtype: str) -> Any:
    a = random_matrices(cupy, seed, count, m, n, dtype)
    bits = 20 if a.real.dtype == np.float32 else 40
    lengths = cupy.asarray(2.0 ** -np.round(np.linspace(0, bits, n)), a.real.dtype)
    a[1::KINDS] = a[1::KINDS] * lengths
    if n > 1:
        a[2::KINDS, :, n - 1] = a[2::KINDS, :, 0]
    a[BAD::BAD_EVERY, 0, 0] = np.nan
    return a


def bad_places(cupy: Any, count: int) -> Any:
    return cupy.arange(count) % BAD_EVERY == BAD


def against_cpu(cupy: Any, a: Any, seconds: float) -> dict[str, Any]:
    """Compare a sample, with a matrix of each kind and one with NaN, with the CPU's kernels and with
    NumPy."""
    m, n = a.shape[1:]
    sample = a[: max(KINDS, sample_size(m, n, most=200, work=3e7 * seconds))]
    host = cupy.asnumpy(sample)
    gpu = gpusvd.svd_ex(sample, full_matrices=False, driver="jacobi")
    cpu = gpusvd.svd_ex(host, full_matrices=False, driver="jacobi")
    alone = cupy.asnumpy(gpusvd.svdvals(sample, driver="jacobi"))
    S, sweeps, converged = (cupy.asnumpy(x) for x in (gpu.S, gpu.info.sweeps, gpu.info.converged))
    good = cpu.info.converged
    top = np.finfo(S.dtype).eps * cpu.S[good, :1]
    graded = good & (np.arange(len(host)) % KINDS == 1)
    relative = np.abs(S[graded] / cpu.S[graded] - 1)
    return {
        "sample": len(host),
        "cpu_values": float((np.abs(S - cpu.S)[good] / top).max()),
        "cpu_values_relative": float(relative.max(initial=0) / np.finfo(S.dtype).eps),
        "values_alone": float((np.abs(S - alone)[good] / top).max()),
        "numpy_values": value_error(host[good], S[good]),
        "info_as_cpu": bool((converged == cpu.info.converged).all()),
        "sweeps_as_cpu": float((sweeps == cpu.info.sweeps).mean()),
        "sweeps_apart": int(np.abs(sweeps - cpu.info.sweeps).max()),
    }


def same_bits_everywhere(cupy: Any, a: Any) -> dict[str, dict[str, bool]]:
    """Compare the factors of a second run, of the batch backwards, and of parts of it alone."""

    def factors(x: Any) -> list[Any]:
        result = gpusvd.svd_ex(x, full_matrices=False, driver="jacobi")
        return [*result[:3], *result.info]

    whole = factors(a)
    parts = [slice(0, 1), slice(5, 6), slice(7, 40), slice(1, a.shape[0] // 2)]
    return {
        "same_bits": {
            "again": same_bits(cupy, whole, factors(a)),
            "backwards": same_bits(cupy, [x[::-1] for x in whole], factors(a[::-1])),
            "in parts": all(
                same_bits(cupy, [x[part] for x in whole], factors(a[part])) for part in parts if a[part].size
            ),
        }
    }


def same_bits(cupy: Any, some: list[Any], others: list[Any]) -> bool:
    """NaN included: arrays are compared as bytes."""
    for x, y in zip(some, others, strict=True):
        x, y = (cupy.ascontiguousarray(z).view(np.uint8) for z in (x, y))
        if x.shape != y.shape or not (x == y).all().item():
            return False
    return True
