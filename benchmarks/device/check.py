"""Tasks of the large check: residual and orthogonality of up to a million matrices, measured on the GPU; a
sample compared with NumPy and with the CPU's kernels; and results compared bit by bit.

One matrix in a thousand has a NaN. Of every four, two are Gaussian, one has columns of very different
lengths, and one has two equal columns.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import gpusvd
from gpusvd._cuda.arrays import cupy_with_device

STEP_BYTES = 128e6  # of the matrices of one call
ALLOWED = 10  # max(m, n) eps, of residual and orthogonality
KINDS = 4
BAD_EVERY, BAD = 1000, 3  # the fourth of every thousand has a NaN
CHUNK_BYTES = 256e6  # of matrices in double precision that are measured at a time
CHUNK_MATRICES = 50_000
SAMPLE_WORK = 2e7  # m n min(m, n) of the matrices together that NumPy decomposes for comparison


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


# The errors of a whole batch of factors, measured where they lie, in double precision, in units of eps; norms
# are Frobenius norms, and `xp` is CuPy, or NumPy in tests. The measures are those of
# `tests/support/measures.py`, without its care for the ends of the exponent range.


def chunks(count: int, m: int, n: int) -> Iterator[slice]:
    step = max(1, min(CHUNK_MATRICES, int(CHUNK_BYTES / (16 * m * n))))
    return (slice(first, first + step) for first in range(0, count, step))


def factor_errors(xp: Any, a: Any, u: Any, s: Any, vh: Any, wanted: Any = None) -> dict[str, float]:
    """Return the worst residual ‖A - U S Vh‖ / ‖A‖ and loss of orthogonality ‖I - Qᴴ Q‖ of U and Vh, in
    eps, and the number of matrices whose S is not in descending order.

    Only the matrices count that are True in `wanted`, if that is given. NaN is worse than anything.
    """
    double = np.result_type(a.dtype, np.float64)
    worst = {"residual": 0.0, "orthogonality U": 0.0, "orthogonality V": 0.0}
    unordered = 0
    for part in chunks(a.shape[0], *a.shape[1:]):
        A, U, Vh = (x[part].astype(double) for x in (a, u, vh))
        S = s[part].astype(np.float64)
        length = norm(xp, A)
        difference = norm(xp, A - (U * S[:, np.newaxis, :]) @ Vh)
        measured = {
            "residual": difference / xp.where(length > 0, length, 1),
            "orthogonality U": loss_of_orthogonality(xp, U),
            "orthogonality V": loss_of_orthogonality(xp, Vh.conj().swapaxes(1, 2)),
        }
        disorder = ~((S[:, 1:] <= S[:, :-1]).all(axis=1) & (S >= 0).all(axis=1))
        if wanted is not None:
            measured = {name: xp.where(wanted[part], x, 0) for name, x in measured.items()}
            disorder = disorder & wanted[part]
        unordered += disorder.sum().item()
        for name, x in measured.items():
            worst[name] = worse(worst[name], x.max().item() / eps(s.dtype))
    return {**worst, "unordered": unordered}


def worse(x: float, y: float) -> float:
    return x if x != x or x > y else y


def loss_of_orthogonality(xp: Any, q: Any) -> Any:
    return norm(xp, q.conj().swapaxes(1, 2) @ q - xp.eye(q.shape[2]))


def norm(xp: Any, x: Any) -> Any:
    return xp.sqrt((xp.abs(x) ** 2).sum(axis=(1, 2)))


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def sample_size(m: int, n: int, most: int = 64, work: float = SAMPLE_WORK) -> int:
    return int(min(most, max(1, work // (m * n * min(m, n)))))


def value_error(a: np.ndarray, s: np.ndarray) -> float:
    """Return the largest distance of S, of host arrays, from NumPy's in double precision, in eps of each
    matrix's largest value."""
    exact = np.linalg.svd(a.astype(np.result_type(a.dtype, np.float64)), compute_uv=False)
    return float((np.abs(s - exact) / exact[:, :1]).max() / eps(s.dtype))


def random_matrices(cupy: Any, seed: int, count: int, m: int, n: int, dtype: str) -> Any:
    """Standard normal matrices (count, m, n), the same in every run, filled in parts that need little memory
    beside."""
    rng = cupy.random.RandomState(seed)
    a = cupy.empty((count, m, n), dtype)
    parts = (a.real, a.imag) if a.dtype.kind == "c" else (a,)
    step = max(1, 2**27 // (m * n))
    for part in parts:
        for first in range(0, count, step):
            room = part[first : first + step]
            room[...] = rng.standard_normal(room.shape, dtype=room.dtype)
    return a
