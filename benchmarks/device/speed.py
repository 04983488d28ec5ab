"""Tasks of the benchmark: a batch decomposed by gpusvd and by others, in interleaved calls.

Calls are timed by CUDA events on the stream that they use, JAX's, which has streams of its own, by the clock
until its result is there; every sample is a few calls that take 2 ms together. Inputs change from call to
call. Others get as many of the matrices as take them `ONE_CALL` seconds, gpusvd `OWN_CALL`; times are scaled
to the batch, and `batches` says how many each had.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np

import gpusvd
from benchmarks.device.cases import Case
from benchmarks.device.check import factor_errors, random_matrices, sample_size, value_error
from gpusvd._cuda.arrays import cupy_with_device

OWN_CALL, ONE_CALL = 0.1, 0.06  # seconds
LEAST_GROWTH, MOST_GROWTH = 4, 64  # in search of the batch that takes so long
FILLED = 0.5  # a matrix of a batch that fills the device costs at least this part of one of a smaller batch
SAMPLE = 0.002  # seconds
ROUNDS = 25
LEAST_ROUNDS = 3
CASE_SECONDS = 0.35  # of the rounds of a case
MOST_INPUTS = 64
BEYOND_CACHE = 2  # times the L2 cache, if so many inputs suffice

Factors = tuple[Any, Any, Any]


class Contender(NamedTuple):
    """Something that decomposes matrices.

    Attributes
    ----------
    prepare : turns a CuPy array into what it takes, in the same memory
    call : decomposes that
    wait : waits for a result of it; None where it works on CuPy's current stream
    factors : turns its result, with vectors, into CuPy's U, S and Vh
    """

    prepare: Callable[[Any], Any]
    call: Callable[[Any], Any]
    wait: Callable[[Any], Any] | None = None
    factors: Callable[[Any], Factors] = tuple


def run(task: dict[str, Any]) -> dict[str, Any]:
    cupy = cupy_with_device()
    case = Case(**{name: task[name] for name in Case._fields})
    asked = case.count(task["filling"])
    inputs = distinct_inputs(cupy, case, asked)
    errors: dict[str, str] = {}
    times: dict[str, list[float]] = {}
    accuracy: dict[str, dict[str, float]] = {}
    batches: dict[str, int] = {}
    samplers: dict[str, Callable[[], float]] = {}
    for name in task["contenders"]:
        try:
            contender = CONTENDERS[name](cupy, case)
            limit = OWN_CALL if name == "gpusvd" else ONE_CALL
            batches[name], samplers[name] = ready(cupy, contender, inputs, limit)
            accuracy[name] = accuracy_of(cupy, case, contender, inputs[0])
        except Exception as error:  # of a library that is not there or refuses the shape
            errors[name] = f"{type(error).__name__}: {error}"[:300]
            batches.pop(name, None)
            if name == "gpusvd":
                raise
    times = sample_by_turns(samplers, rounds=ROUNDS, seconds=CASE_SECONDS)
    row: dict[str, Any] = {
        "asked": asked,
        "batches": batches,
        "seconds": {
            name: {f"p{p}": float(np.percentile(x, p)) for p in (20, 50, 80)} for name, x in times.items()
        },
        "samples": {name: len(x) for name, x in times.items()},
        "rate": {name: batches[name] / float(np.median(x)) for name, x in times.items()},
        "accuracy": accuracy,
        "refused": errors,
        "inputs": len(inputs),
    }
    if "gpusvd" in task["contenders"]:
        few = inputs[0][:1000]
        row["sweeps"] = gpusvd.svd_ex(few, full_matrices=False, driver="jacobi").info.sweeps.mean().item()
    del inputs, samplers
    free_memory(cupy)
    return row


def free_memory(cupy: Any) -> None:
    """Of CuPy's pool and torch's, which do not give way to each other."""
    cupy.get_default_memory_pool().free_all_blocks()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.cuda.empty_cache()


def distinct_inputs(cupy: Any, case: Case, count: int) -> list[Any]:
    """Return batches that lie in more memory than the cache holds, at most `MOST_INPUTS` of them."""
    size = count * case.matrix_bytes()
    wanted = BEYOND_CACHE * cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["l2CacheSize"]
    inputs = max(1, min(MOST_INPUTS, math.ceil(wanted / size)))
    pool = random_matrices(cupy, 0, inputs * count, case.m, case.n, case.dtype)
    return [pool[i * count : (i + 1) * count] for i in range(inputs)]


def ready(
    cupy: Any, contender: Contender, inputs: Sequence[Any], limit: float
) -> tuple[int, Callable[[], float]]:
    """Return how many matrices a contender gets, and what takes a sample of its seconds for these."""

    def seconds_of(count: int) -> float:
        prepared = contender.prepare(inputs[0][:count])
        call_and_wait(cupy, contender, prepared)  # compiles, allocates
        start = time.perf_counter()
        call_and_wait(cupy, contender, prepared)
        return time.perf_counter() - start

    batch = affordable(seconds_of, inputs[0].shape[0], limit)
    prepared = cycle([contender.prepare(x[:batch]) for x in inputs])
    calls = max(1, math.ceil(SAMPLE / seconds_of(batch)))

    def repeat() -> Any:
        for _ in range(calls):
            result = contender.call(next(prepared))
        return result

    def sample() -> float:
        if contender.wait is not None:
            start = time.perf_counter()
            contender.wait(repeat())
            return (time.perf_counter() - start) / calls
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        repeat()
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end)) / 1000 / calls

    return batch, sample


def call_and_wait(cupy: Any, contender: Contender, prepared: Any) -> None:
    result = contender.call(prepared)
    if contender.wait is not None:
        contender.wait(result)
    cupy.cuda.runtime.deviceSynchronize()


def affordable(seconds_of: Callable[[int], float], most: int, limit: float) -> int:
    """Return how many of so many matrices take about as long as the limit.

    A batch that is to be scaled to a larger one must fill the device: as long as more matrices take hardly
    more time, it grows.
    """
    count, before, time_before = 1, 0, 0.0
    while True:
        seconds = seconds_of(count)
        fills = before > 0 and seconds / count > FILLED * time_before / before
        if count == most or seconds > limit or (fills and LEAST_GROWTH * seconds > limit):
            return count
        before, time_before = count, seconds
        growth = min(MOST_GROWTH, max(LEAST_GROWTH, limit / (2 * seconds)))
        count = min(most, int(count * growth))


def sample_by_turns(
    samplers: Mapping[str, Callable[[], float]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Take samples by turns, until there are so many of each or the time is up; a few at least."""
    times: dict[str, list[float]] = {name: [] for name in samplers}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
            break
        for name, sample in samplers.items():
            times[name].append(sample())
    return times


def accuracy_of(cupy: Any, case: Case, contender: Contender, a: Any) -> dict[str, float]:
    """Residual, loss of orthogonality, and distance of a few S from NumPy's, in eps."""
    few = a[: max(1, min(256, int(2**22 // (case.m * case.n))))]
    result = contender.call(contender.prepare(few))
    if contender.wait is not None:
        contender.wait(result)
    cupy.cuda.runtime.deviceSynchronize()
    sample = sample_size(case.m, case.n)
    if case.work == "values":
        errors = {}
        S = cupy.asarray(result)
    else:
        U, S, Vh = contender.factors(result)
        errors = factor_errors(cupy, few, U, S, Vh)
    return {**errors, "values": value_error(cupy.asnumpy(few[:sample]), cupy.asnumpy(S[:sample]))}


# Who is compared


def own(cupy: Any, case: Case) -> Contender:
    if case.work == "values":
        return Contender(same, lambda a: gpusvd.svdvals(a, driver="jacobi"))
    return Contender(same, lambda a: gpusvd.svd(a, full_matrices=False, driver="jacobi"))


def cupys(cupy: Any, case: Case) -> Contender:
    if case.work == "values":
        return Contender(same, lambda a: cupy.linalg.svd(a, compute_uv=False))
    return Contender(same, lambda a: cupy.linalg.svd(a, full_matrices=False))


def cusolver_gesvda(cupy: Any, case: Case) -> Contender:
    from cupyx import cusolver

    if case.m < case.n:
        raise ValueError("gesvda takes no wide matrices")
    vectors = case.work != "values"
    return Contender(same, lambda a: cusolver.gesvda(a, compute_uv=vectors), factors=from_v)


def cusolver_gesvdj(cupy: Any, case: Case) -> Contender:
    """The batched one, above what CuPy itself gives it."""
    from cupyx import cusolver

    if max(case.m, case.n) > 64:
        raise ValueError("tried up to 64 rows and columns only: it returns square U and V")
    vectors = case.work != "values"
    return Contender(
        same, lambda a: cusolver.gesvdj(a, full_matrices=False, compute_uv=vectors), factors=from_v
    )


def torchs(driver: str) -> Callable[[Any, Case], Contender]:
    def contender(cupy: Any, case: Case) -> Contender:
        import torch

        def factors(result: Any) -> Factors:
            U, S, Vh = (cupy.from_dlpack(x.resolve_conj().contiguous()) for x in result)
            return U, S, Vh

        if case.work == "values":
            return Contender(torch.from_dlpack, lambda a: torch.linalg.svdvals(a, driver=driver))
        return Contender(
            torch.from_dlpack,
            lambda a: torch.linalg.svd(a, full_matrices=False, driver=driver),
            factors=factors,
        )

    return contender


def jaxs(cupy: Any, case: Case) -> Contender:
    import jax

    jax.config.update("jax_enable_x64", True)
    vectors = case.work != "values"
    call = jax.jit(lambda a: jax.numpy.linalg.svd(a, full_matrices=False, compute_uv=vectors))

    def factors(result: Any) -> Factors:
        U, S, Vh = map(cupy.from_dlpack, result)
        return U, S, Vh

    return Contender(jax.dlpack.from_dlpack, call, wait=jax.block_until_ready, factors=factors)


def same(a: Any) -> Any:
    return a


def from_v(result: Any) -> Factors:
    """cuSOLVER returns V, and columns of it in memory one after the other."""
    U, S, V = result
    return U, S, V.conj().swapaxes(1, 2)


CONTENDERS: dict[str, Callable[[Any, Case], Contender]] = {
    "gpusvd": own,
    "cupy": cupys,
    "torch gesvdj": torchs("gesvdj"),
    "torch gesvda": torchs("gesvda"),
    "jax": jaxs,
    "cuSOLVER gesvda": cusolver_gesvda,
    "cuSOLVER gesvdj": cusolver_gesvdj,
}
