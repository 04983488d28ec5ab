"""`svd`, `svd_ragged` and `stream` under load from many threads and processes: every result is checked, and
memory is watched."""

import argparse
import gc
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import gpusvd

DTYPES = ("float16", "float32", "float64", "complex64", "complex128", "int32", ">f8")
DRIVERS = ("auto", "jacobi", "vendor")
SIZES = (1, 2, 3, 4, 5, 8, 13, 16, 24, 33, 48)
SETTLE = 0.4  # part of the time after which memory must not grow any more
GROWTH = 16  # MiB that allocators may still want after that
LIMIT = 600  # seconds for a crowd of callers, more is a hang
BOUND = 60.0  # residual and orthogonality, in eps times the larger dimension


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--callers", type=int, default=4, help="threads that call (default: 4)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.monotonic()
    crowd(64)
    print(f"{time.monotonic() - start:6.0f} s 64 threads at once: every result right", flush=True)
    for method in multiprocessing.get_all_start_methods():
        processes(method)
        print(f"{time.monotonic() - start:6.0f} s processes by {method}: every result right", flush=True)
    return soak(arguments.minutes * 60, arguments.callers, arguments.seed)


def soak(seconds: float, callers: int, seed: int) -> int:
    """Call from several threads for some time; return 0 if every result was right and memory did not grow."""
    begin = time.monotonic()
    counts = [0] * callers
    faults: list[str] = []
    stop = threading.Event()

    def call(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        while not stop.is_set():
            case = None
            try:
                case = random_case(rng)
                check(case, rng)
            except BaseException as error:
                faults.append(f"{case}: {type(error).__name__}: {error}")
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(i,), daemon=True) for i in range(callers)]
    for thread in threads:
        thread.start()
    memory = []
    try:
        while (passed := time.monotonic() - begin) < seconds:
            time.sleep(min(1.0, seconds / 30))
            memory.append((passed / seconds, resident()))
            if len(memory) % 30 == 0:
                print(
                    f"{passed:6.0f} s {sum(counts):9} calls {memory[-1][1]:7.0f} MiB, {len(faults)} faults",
                    flush=True,
                )
    finally:
        stop.set()
    for thread in threads:
        thread.join(60)
    hung = sum(thread.is_alive() for thread in threads)
    faults += [f"caller {number} made no call" for number in range(callers) if not counts[number]]
    gc.collect()
    settled = [mebibytes for part, mebibytes in memory if part > SETTLE]
    half = len(settled) // 2
    growth = float(np.median(settled[half:]) - np.median(settled[:half])) if half else 0.0
    print(
        f"{sum(counts)} calls from {callers} threads in {seconds:.0f} s, {len(faults)} faults, {hung} hang; "
        f"memory {settled[-1]:.0f} MiB, {growth:+.1f} MiB in the last {50 * (1 - SETTLE):.0f}% of the time"
    )
    for fault in faults[:20]:
        print(fault)
    return int(bool(faults or hung or growth > GROWTH))


def random_case(rng: np.random.Generator) -> dict[str, Any]:
    """What one call is made with."""
    m, n = (int(x) for x in rng.choice(SIZES, 2))
    hermitian = bool(rng.random() < 0.1)
    return {
        "batch": int(rng.integers(1, max(2, 20_000 // (m * n)))),
        "m": n if hermitian else m,
        "n": n,
        "dtype": str(rng.choice(DTYPES)),
        "how": str(rng.choice(["svd", "svd", "values", "ragged", "stream", "out"])),
        "options": {
            "full_matrices": bool(rng.random() < 0.5),
            "hermitian": hermitian,
            "driver": str(rng.choice(DRIVERS)),
            "threads": None if rng.random() < 0.5 else int(rng.integers(1, 5)),
        },
        "spoiled": bool(rng.random() < 0.1),
    }


def check(case: dict[str, Any], rng: np.random.Generator) -> None:
    """Make a call and raise AssertionError unless all its results are right."""
    batch, m, n, options = case["batch"], case["m"], case["n"], case["options"]
    dtype = np.dtype(case["dtype"])
    a = 3 * rng.standard_normal((batch, m, n))
    if dtype.kind == "c":
        a = a + 1j * rng.standard_normal((batch, m, n))
    if options["hermitian"]:
        a = (a + a.conj().mT) / 2
    a = a.astype(dtype)
    if case["spoiled"] and dtype.kind != "i":
        a[batch // 2, 0, 0] = np.nan
    before = a.copy()
    fine = np.isfinite(a).all(axis=(1, 2))
    how = case["how"]
    if how == "values":
        s = gpusvd.svd(a, compute_uv=False, **options)
        u = vh = None
    elif how == "ragged":
        results = gpusvd.svd_ragged(list(a), **options)
        u, s, vh = (np.stack(parts) for parts in zip(*results, strict=True))
    elif how == "stream":
        chunks = gpusvd.stream(a, chunk=batch // 3 + 1, **options)
        u, s, vh = (np.concatenate(parts) for parts in zip(*(r for _, r in chunks), strict=True))
    elif how == "out":
        out = tuple(np.full_like(x, 7) for x in gpusvd.svd(a, **options))
        assert gpusvd.svd(a, out=out, **options) is not None
        u, s, vh = out
    else:
        u, s, vh = gpusvd.svd(a, **options)
    np.testing.assert_array_equal(a, before, "the input was written to")
    assert_shaped(a, (s,) if u is None else (u, s, vh), options["full_matrices"])
    assert_right(a[fine], None if u is None else u[fine], s[fine], None if vh is None else vh[fine])
    for factor in (u, s, vh):
        assert factor is None or np.isnan(factor[~fine]).all(), "a spoiled matrix has factors"


def assert_shaped(a: np.ndarray, factors: tuple[Any, ...], full_matrices: bool) -> None:
    """Hold factors to the shapes that NumPy's have, and to the dtypes of the library's documentation."""
    batch, m, n = a.shape
    k = min(m, n)
    dtype = np.dtype(np.float64) if a.dtype.kind == "i" else a.dtype.newbyteorder("=")
    u, vh = ((batch, m, m), (batch, n, n)) if full_matrices else ((batch, m, k), (batch, k, n))
    shapes = ((batch, k),) if len(factors) == 1 else (u, (batch, k), vh)
    real = np.finfo(dtype).dtype
    dtypes = (real,) if len(factors) == 1 else (dtype, real, dtype)
    assert tuple(factor.shape for factor in factors) == shapes, "a factor has another shape"
    assert tuple(factor.dtype for factor in factors) == dtypes, "a factor has another dtype"


def assert_right(a: np.ndarray, u: np.ndarray | None, s: np.ndarray, vh: np.ndarray | None) -> None:
    """Hold factors to what they are: values in order and NumPy's, orthonormal vectors, small residual."""
    if not len(a):
        return
    work = np.result_type(np.float32 if s.dtype == np.float16 else s.dtype, np.float64)
    exact = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    bound = BOUND * float(np.finfo(s.dtype).eps) * max(a.shape[1:])
    k = s.shape[-1]
    values = np.linalg.svdvals(exact)
    scale = np.maximum(values[:, :1], 1e-30)
    assert (np.diff(s.astype(work), axis=1) <= 0).all(), "values are out of order"
    assert (abs(s.astype(work) - values) <= bound * scale).all(), "values are wrong"
    if u is None or vh is None:
        return
    u, vh = u.astype(exact.dtype), vh.astype(exact.dtype)
    residual = abs(u[..., :k] * s[:, np.newaxis].astype(work) @ vh[:, :k] - exact)
    assert (residual.max(axis=(1, 2)) <= bound * scale[:, 0]).all(), "the residual is large"
    assert (abs(u.conj().mT @ u - np.eye(u.shape[-1])) <= bound).all(), "U is not orthonormal"
    assert (abs(vh @ vh.conj().mT - np.eye(vh.shape[-2])) <= bound).all(), "Vh is not orthonormal"


def crowd(count: int) -> None:
    """Call from `count` threads at the same moment."""
    barrier = threading.Barrier(count)

    def call(number: int) -> None:
        rng = np.random.default_rng(number)
        barrier.wait()
        for _ in range(5):
            check(random_case(rng), rng)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(call, range(count), timeout=LIMIT))


def processes(method: str, count: int = 4) -> None:
    """Call in `count` processes that this one starts after it has made calls itself."""
    check_seed(0)
    with ProcessPoolExecutor(count, multiprocessing.get_context(method)) as pool:
        list(pool.map(check_seed, range(4 * count), timeout=LIMIT))


def check_seed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(5):
        check(random_case(rng), rng)


def resident() -> float:
    """MiB of memory that this process holds, or ever held where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024
    if sys.platform == "win32":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    sys.exit(main())
