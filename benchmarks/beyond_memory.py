"""A memory map larger than the memory that the process may have, from file to file by `stream` (Linux)."""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import gpusvd
from benchmarks.measure import print_provenance, provenance, save

N = 8


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beyond_memory", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the map (default: 4)")
    parser.add_argument("--limit", type=float, default=1.0, help="gigabytes of memory (default: 1)")
    parser.add_argument("--folder", default=None, help="where there is room for the map and its results")
    parser.add_argument("--quick", action="store_true", help="a sixteenth of all that, nothing saved")
    arguments = parser.parse_args()
    scale = 2**30 / (16 if arguments.quick else 1)
    size, limit = int(arguments.gigabytes * scale), int(arguments.limit * 2**30)
    ran_on = provenance()
    print_provenance(ran_on)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        row = measure(Path(folder), size, limit)
    print(
        f"\n{row['count']:,} matrices {N} x {N}, float32, {size / 2**30:.2f} GiB; all factors into maps:\n"
        f"{row['seconds']:.1f} s, {row['rate']:,.0f} matrices/s; at most {row['peak_mebibytes']:.0f} MiB held"
        f", {row['start_mebibytes']:.0f} MiB of them\nbefore the stream; RLIMIT_DATA {limit / 2**30:.2f} GiB"
    )
    if not arguments.quick:
        save("beyond_memory", ran_on, [row])


def measure(folder: Path, size: int, limit: int) -> dict[str, object]:
    """Stream random matrices from map to maps, with less memory than that, and check a sample."""
    count = size // (4 * N * N)
    rng = np.random.default_rng(0)
    a = np.lib.format.open_memmap(folder / "a.npy", "w+", np.float32, (count, N, N))
    block = 100_000
    for first in range(0, count, block):
        part = a[first : first + block]
        part[...] = rng.standard_normal(part.shape, np.float32)
    a.flush()
    del a, part
    gpusvd.svd(np.ones((99, N, N), np.float32), driver="jacobi")  # compiles
    # Memory of the process's own; RLIMIT_AS would count the maps, which are the file's.
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    shapes = {"U": (count, N, N), "S": (count, N), "Vh": (count, N, N)}
    out = tuple(
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
        for name, shape in shapes.items()
    )
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    start_mebibytes = resident("VmHWM")
    start = time.perf_counter()
    gpusvd.stream(folder / "a.npy", out=out, resume=folder / "checkpoint")
    seconds = time.perf_counter() - start
    peak = resident("VmHWM")
    a = np.load(folder / "a.npy", mmap_mode="r")
    for i in (0, count // 2, count - 1):
        U, S, Vh = (x[i] for x in out)
        np.testing.assert_allclose(U * S @ Vh, a[i], atol=1e-4)
    return {
        "count": count,
        "bytes": size,
        "limit": limit,
        "seconds": seconds,
        "rate": count / seconds,
        "start_mebibytes": start_mebibytes,
        "peak_mebibytes": peak,
    }


def resident(name: str) -> float:
    """MiB of memory this process holds, by the system's name for it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
