"""Tasks that check what the design assumes of a GPU: streams, graphs, memory, the cost of a call."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

import gpusvd
from benchmarks.device.check import random_matrices, same_bits, value_error
from benchmarks.device.machine import event_seconds, spread
from gpusvd._cuda.arrays import cupy_with_device, on_device

SHAPE = (1000, 8, 8)
LARGER = (200, 64, 64)
ON_HOST = (100_000, 8, 8)  # as a NumPy array
ALONE = (1, 8, 8)  # what a call costs that has next to nothing to do
SPIN = """
extern "C" __global__ void spin(long long cycles) {
    long long begin = clock64();
    while (clock64() - begin < cycles) {}
}
"""
SPIN_CYCLES = 400_000_000  # a fifth of a second at 2 GHz
CALLS = 300
OTHER_SIZES = (512, 1024, 4000, 8000, 32_000, 256_000, 4_000_000, 64_000_000)  # bytes

Row = dict[str, Any]


def run(task: Row) -> Row:
    cupy = cupy_with_device()
    try:
        return CHECKS[task["what"]](cupy)
    finally:
        cupy.get_default_memory_pool().free_all_blocks()


def tasks() -> list[Row]:
    return [{"what": name} for name in CHECKS]


def spinning(cupy: Any) -> Callable[[], None]:
    """Return what keeps the current stream busy for a while."""
    kernel = cupy.RawKernel(SPIN, "spin")
    kernel((1,), (1,), (np.int64(1),))  # compiles
    cupy.cuda.runtime.deviceSynchronize()
    return lambda: kernel((1,), (1,), (np.int64(SPIN_CYCLES),))


def outputs(cupy: Any, shape: tuple[int, int, int], dtype: str = "float32") -> tuple[Any, Any, Any]:
    count, m, n = shape
    k = min(m, n)
    return (
        cupy.zeros((count, m, k), dtype),
        cupy.zeros((count, k), np.empty(0, dtype).real.dtype),
        cupy.zeros((count, k, n), dtype),
    )


def own_stream(cupy: Any) -> Row:
    """On a stream that waits for no other: input written there just before, and no wait in the call."""
    row: Row = {}
    spin = spinning(cupy)
    for name, shape in (("small", SHAPE), ("larger", LARGER)):
        a = random_matrices(cupy, 1, *shape, "float32")
        expected = gpusvd.svd(a, full_matrices=False)
        stream = cupy.cuda.Stream(non_blocking=True)
        late = cupy.zeros_like(a)
        cupy.cuda.runtime.deviceSynchronize()
        with stream:
            gpusvd.svd(late, full_matrices=False)  # the kernels are loaded, the pool has memory
            stream.synchronize()
            spin()
            late[...] = a
            start = time.perf_counter()
            result = gpusvd.svd(late, full_matrices=False)
            seconds = time.perf_counter() - start
            still_busy = not stream.done
            stream.synchronize()
        row[name] = {
            "same_bits": same_bits(cupy, list(result), list(expected)),
            "does_not_wait": bool(still_busy),
            "call_seconds": seconds,
        }
    return row | {"passed": all(x["same_bits"] and x["does_not_wait"] for x in row.values())}


def graph(cupy: Any) -> Row:
    """Captured in a graph and replayed, on new input too, without touching memory that was allocated
    since."""
    row: Row = {}
    for name, shape in (("small", SHAPE), ("larger", LARGER)):
        a, b = (random_matrices(cupy, seed, *shape, "float32") for seed in (1, 2))
        first, second = (gpusvd.svd(x, full_matrices=False) for x in (a, b))
        stream = cupy.cuda.Stream(non_blocking=True)
        out = outputs(cupy, shape)
        cupy.cuda.runtime.deviceSynchronize()
        with stream:
            gpusvd.svd(a, full_matrices=False, out=out)
            stream.synchronize()
            captured = capture(stream, lambda: gpusvd.svd(a, full_matrices=False, out=out))  # noqa: B023
            for x in out:
                x[...] = 0
            others = [cupy.full(size, 7, np.uint8) for size in OTHER_SIZES for _ in range(8)]
            captured.launch()
            stream.synchronize()
            replayed = same_bits(cupy, list(out), list(first))
            a[...] = b
            captured.launch()
            stream.synchronize()
            row[name] = {
                "replayed": replayed,
                "replayed_on_new_input": same_bits(cupy, list(out), list(second)),
                "other_memory_untouched": all((x == 7).all().item() for x in others),
                "replay_seconds": spread(event_seconds(cupy, captured.launch, times=20)),
                "call_seconds": spread(
                    event_seconds(cupy, lambda: gpusvd.svd(a, full_matrices=False, out=out), times=20)  # noqa: B023
                ),
            }
    checked = ("replayed", "replayed_on_new_input", "other_memory_untouched")
    return row | {"passed": all(x[name] for x in row.values() for name in checked)}


def capture(stream: Any, call: Callable[[], object]) -> Any:
    """Return the graph of a call; what goes wrong in the call, rather than in ending the capture, is
    raised."""
    stream.begin_capture()
    try:
        call()
    except Exception:
        with suppress(Exception):
            stream.end_capture()
        raise
    return stream.end_capture()


def overhead(cupy: Any) -> Row:
    """Host seconds of a call that nobody waits for, of one small matrix, beside CuPy's; and of a launch."""
    a = random_matrices(cupy, 0, *ALONE, "float32")
    out = outputs(cupy, ALONE)
    empty = cupy.RawKernel('extern "C" __global__ void nothing() {}', "nothing")
    calls: dict[str, Callable[[], object]] = {
        "gpusvd": lambda: gpusvd.svd(a, full_matrices=False),
        "gpusvd, out=": lambda: gpusvd.svd(a, full_matrices=False, out=out),
        "gpusvd, values": lambda: gpusvd.svdvals(a),
        "cupy": lambda: cupy.linalg.svd(a, full_matrices=False),
        "cupy, values": lambda: cupy.linalg.svd(a, compute_uv=False),
        "launch of an empty kernel": lambda: empty((1,), (32,), ()),
        "cupy.empty": lambda: cupy.empty(ALONE, np.float32),
    }
    row: Row = {}
    for name, call in calls.items():
        seconds = host_seconds(cupy, call)
        waited = event_seconds(cupy, call, times=100)
        row[name] = {"host": spread(seconds), "events": spread(waited)}
    own, theirs = (row[name]["host"]["p50"] for name in ("gpusvd", "cupy"))
    return row | {"ratio": theirs / own, "passed": own <= theirs}


def host_seconds(cupy: Any, call: Callable[[], object]) -> list[float]:
    """Seconds until a call returns, with the device idle at each."""
    call()
    seconds = []
    for _ in range(CALLS):
        cupy.cuda.runtime.deviceSynchronize()
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def numpy_there_and_back(cupy: Any) -> Row:
    """A NumPy array with device="cuda": the bits of the same array of CuPy's."""
    host = np.random.default_rng(0).standard_normal(ON_HOST).astype(np.float32)
    expected = gpusvd.svd(cupy.asarray(host), full_matrices=False)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        result = gpusvd.svd(host, full_matrices=False, device="cuda")
        seconds.append(time.perf_counter() - start)
    same = all(np.array_equal(x, cupy.asnumpy(y)) for x, y in zip(result, expected, strict=True))
    start = time.perf_counter()
    gpusvd.svd(host, full_matrices=False)
    return {
        "passed": bool(same),
        "seconds": spread(seconds),
        "cpu_seconds_once": time.perf_counter() - start,
        "matrices": len(host),
    }


def from_torch(cupy: Any) -> Row:
    import torch

    return from_another(cupy, lambda a: torch.from_dlpack(a).clone(), lambda x: x.data_ptr())


def from_jax(cupy: Any) -> Row:
    import jax

    return from_another(
        cupy,
        lambda a: jax.block_until_ready(jax.dlpack.from_dlpack(a) + 0),
        lambda x: x.unsafe_buffer_pointer(),
    )


def from_another(cupy: Any, made_of: Callable[[Any], Any], address: Callable[[Any], int]) -> Row:
    """Another library's array: taken where it lies, and with the same results."""
    a = random_matrices(cupy, 0, *SHAPE, "float32")
    expected = gpusvd.svd(a, full_matrices=False)
    theirs = made_of(a)
    same_place = on_device(cupy, theirs).data.ptr == address(theirs)
    result = gpusvd.svd(theirs, full_matrices=False)
    same = same_bits(cupy, [on_device(cupy, x) for x in result], list(expected))
    return {"same_memory": bool(same_place), "same_bits": same, "passed": bool(same_place) and same}


def beyond_31_bits(cupy: Any) -> Row:
    """More than 2^31 entries: the last matrices are those of a small batch."""
    count = 2**31 // 4 + 1000
    free, _ = cupy.cuda.runtime.memGetInfo()
    needed = count * 80  # of the matrix, its factors and info, and some more
    if free < needed:
        return {"skipped": f"{needed / 1e9:.0f} GB of memory are needed, {free / 1e9:.0f} GB are free"}
    a = cupy.empty((count, 2, 2), np.float32)
    part = random_matrices(cupy, 3, 1 << 20, 2, 2, "float32")
    for first in range(0, count, part.shape[0]):
        a[first : first + part.shape[0]] = part[: count - first]
    tail = a[-1000:].copy()
    result = gpusvd.svd_ex(a, full_matrices=False)
    last = [x[-1000:] for x in (*result[:3], *result.info)]
    alone = gpusvd.svd_ex(tail, full_matrices=False)
    same = same_bits(cupy, last, [*alone[:3], *alone.info])
    right = value_error(cupy.asnumpy(tail), cupy.asnumpy(last[1])) <= 20
    converged = result.info.converged.all().item()
    return {
        "matrices": count,
        "same_bits": same,
        "converged": converged,
        "passed": same and right and converged,
    }


def gesvdj_batched(cupy: Any) -> Row:
    """What cuSOLVER's batched gesvdj says to more than 32 rows and columns."""
    from cupyx import cusolver

    row: Row = {}
    for n in (32, 33, 48, 64):
        a = random_matrices(cupy, 0, 100, n, n, "float32")
        try:
            s = cusolver.gesvdj(a, full_matrices=False)[1]
            cupy.cuda.runtime.deviceSynchronize()
            row[str(n)] = f"values within {value_error(cupy.asnumpy(a), cupy.asnumpy(s)):.0f} eps"
        except Exception as error:  # it may refuse, and that is what is asked
            row[str(n)] = f"{type(error).__name__}: {error}"[:200]
    return row


CHECKS: dict[str, Callable[[Any], Row]] = {
    "overhead": overhead,
    "own stream": own_stream,
    "graph": graph,
    "numpy": numpy_there_and_back,
    "torch": from_torch,
    "jax": from_jax,
    "gesvdj beyond 32": gesvdj_batched,
    "beyond 2^31 entries": beyond_31_bits,
}
