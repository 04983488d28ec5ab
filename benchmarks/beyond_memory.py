"""A memory map larger than the memory that the process may have, from file to file by `stream` (Linux)."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import gpusvd
from benchmarks.measure import Row, command, recorded

N = 8


def main() -> None:
    parser = command("beyond_memory", __doc__, quick="a sixteenth of all that")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the map (default: 4)")
    parser.add_argument("--limit", type=float, default=1.0, help="gigabytes of memory (default: 1)")
    parser.add_argument("--folder", default=None, help="where there is room for the map and its results")
    arguments = parser.parse_args()
    scale = 2**30 / (16 if arguments.quick else 1)
    size, limit = int(arguments.gigabytes * scale), int(arguments.limit * 2**30)
    with recorded("beyond_memory", saved=not arguments.quick) as (_, rows):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows.append(measured(Path(folder), size, limit))
        print_row(rows[-1])


def print_row(row: Row) -> None:
    size, limit = row["bytes"] / 2**30, row["limit"] / 2**30
    print(
        f"\n{row['count']:,} matrices {N} x {N}, float32, {size:.2f} GiB; all factors into maps:\n"
        f"{row['seconds']:.1f} s, {row['rate']:,.0f} matrices/s; at most {row['peak_mebibytes']:.0f} MiB held"
        f", {row['start_mebibytes']:.0f} MiB of them\nbefore the stream; RLIMIT_DATA {limit:.2f} GiB"
    )


def measured(folder: Path, size: int, limit: int) -> Row:
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
