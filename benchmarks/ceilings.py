"""How near driver="jacobi" comes to what this machine can do, and how its time grows with n and the batch.

The ceilings are measured by turns with it: bytes read and written a second by a streaming copy on all
cores, and multiply-adds a second in a loop on SIMD lane groups that touches no memory. A batch is charged
with the bytes of its input and factors and with the multiply-adds that the method needs, of `needed`, in
the sweeps that were counted; divisions, square roots, norms, the values of a bidiagonal form, sorting and
packing are not counted, so a part of the peak is never exaggerated. Growth is the slope of the logarithm of
time: 3 for time as n³, 1 for time as the batch.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numba
import numpy as np

import gpusvd
from benchmarks.bounds import ROTATION, traffic
from benchmarks.measure import DTYPES, WORK, Row, command, compare, count_filling, random_batch, recorded
from gpusvd._base.threads import usable_cores
from gpusvd.kernels.cpu_tile import RECOVERED
from gpusvd.kernels.lanes import load, store

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
BATCH_SIZES = (4, 16, 64)
BATCHES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
COPIED = 64e6  # bytes, beyond every cache
TIMES = 1_000_000  # rounds of the loop of multiply-adds
GROUP_BYTES = 64


def main() -> None:
    arguments = command("ceilings", __doc__, quick="small batches, few rounds", dtypes=DTYPES).parse_args()
    megabytes, rounds = (0.3, 3) if arguments.quick else (10, 7)
    with recorded("ceilings", saved=not arguments.quick) as (_, rows):
        for dtype, work in product(arguments.dtype, ("thin", "values")):
            print(f"\n{dtype}, {work}: parts of this machine's multiply-adds and of its copy bandwidth")
            for n in SIZES:
                count = count_filling(megabytes, n, n, dtype, work)
                rows.append({"section": "size", **measured(dtype, n, work, count, rounds)})
                print_row(rows[-1])
            exponent = growth(rows_of(rows, dtype, work), "n")
            print(f"{'':8}time grows as n to the power {exponent:.2f} from 16 on")
        for dtype, n in product(arguments.dtype, BATCH_SIZES):
            largest = count_filling(2 * megabytes, n, n, dtype, "thin")
            print(f"\n{dtype}, {n} x {n}, thin: batches")
            for count in (batch for batch in BATCHES if batch <= largest):
                rows.append({"section": "batch", **measured(dtype, n, "thin", count, rounds)})
                print_row(rows[-1])


def rows_of(rows: Sequence[Row], dtype: str, work: str) -> list[Row]:
    wanted = "size", dtype, work
    return [row for row in rows if (row["section"], row["dtype"], row["work"]) == wanted and row["n"] >= 16]


def measured(dtype: str, n: int, work: str, count: int, rounds: int) -> Row:
    """Seconds of a batch and of the ceilings, and what part of these it reaches."""
    a = random_batch(count, n, n, dtype)
    _, _, _, info = gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")
    sweeps = float(np.mean(info.sweeps))
    real = np.empty(0, dtype).real.dtype
    peaks = {f"{chains} chains": on_all_cores(loop, real) for chains, loop in LOOPS.items()}
    seconds = compare(
        {
            "jacobi": lambda: gpusvd.svd(a, driver="jacobi", **WORK[work]),
            "copy": copying(),
            **peaks,
        },
        rounds=rounds,
    )
    at_work = usable_cores() * TIMES * (GROUP_BYTES // real.itemsize)
    peak = max(at_work * chains / seconds[f"{chains} chains"]["p50"] for chains in LOOPS)
    copied = 2 * COPIED / seconds["copy"]["p50"]
    each = seconds["jacobi"]["p50"] / count
    rates = {
        "multiply_adds": needed(n, dtype, work, sweeps) / each,
        "bytes": traffic(n, n, dtype, work) / each,
    }
    return {
        "dtype": dtype,
        "n": n,
        "work": work,
        "batch": count,
        "sweeps": sweeps,
        "seconds": seconds,
        "ceilings": {"multiply_adds": peak, "bytes": copied},
        "rates": rates,
        "of_multiply_adds": rates["multiply_adds"] / peak,
        "of_bytes": rates["bytes"] / copied,
    }


def needed(n: int, dtype: str, work: str, sweeps: float) -> float:
    """Real multiply-adds for an n x n matrix on the CPU.

    Values alone: a bidiagonal form. With vectors a QR factorisation; in each sweep, for every pair of columns
    and row, an inner product, a rotation of L and for small n one of W; else what `kernels/basis.py` takes;
    and reflectors on U.
    """
    is_complex = np.dtype(dtype).kind == "c"
    product = 4 if is_complex else 1
    if work == "values":
        return product * 4 / 3 * n**3
    rotation = ROTATION[is_complex, False]
    turned = 2 if n < RECOVERED else 1
    sweep = n * (n - 1) / 2 * n * (product + rotation * turned)
    basis = 4 / 3 * n**3 if n >= RECOVERED else 0.0
    return sweeps * sweep + product * (5 / 3 * n**3 + basis)


def growth(rows: Sequence[Row], what: str) -> float:
    """The slope of the logarithm of the seconds of a matrix, or of a batch, over that of n or the batch."""
    per = [row["batch"] if what == "n" else 1 for row in rows]
    times = [row["seconds"]["jacobi"]["p50"] / count for row, count in zip(rows, per, strict=True)]
    slope, _ = np.polyfit(np.log([row[what] for row in rows]), np.log(times), 1)
    return float(slope)


# The ceilings


def copying() -> Callable[[], None]:
    """Copy a large array, every core a part."""
    threads = usable_cores()
    source = np.ones(int(COPIED) // 8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return in_threads([lambda t=t, s=s: np.copyto(t, s) for t, s in parts])


def on_all_cores(loop: Callable[[np.ndarray, int], None], real: np.dtype[Any]) -> Callable[[], None]:
    rooms = [np.full(2 * GROUP_BYTES // real.itemsize, 0.5, real) for _ in range(usable_cores())]
    return in_threads([lambda room=room: loop(room, TIMES) for room in rooms])


def in_threads(tasks: Sequence[Callable[[], None]]) -> Callable[[], None]:
    def run() -> None:
        with ThreadPoolExecutor(len(tasks)) as pool:
            for future in [pool.submit(task) for task in tasks]:
                future.result()

    return run


# The more chains of multiply-adds, the better latency is hidden, until registers run out: which number is
# best depends on the machine.


@numba.njit(error_model="numpy", nogil=True)
def six_chains(room, times):
    x, y = load(room, 0), load(room, 1)
    a, b, c, d, e, f = x, y, x + y, x - y, x * y, x * x
    for _ in range(times):
        a, b, c = a * x + y, b * x + y, c * x + y
        d, e, f = d * x + y, e * x + y, f * x + y
    store(room, 0, x * 0.0 + ((a + b + c) + (d + e + f)) * 0.0 + 0.5)


@numba.njit(error_model="numpy", nogil=True)
def ten_chains(room, times):
    x, y = load(room, 0), load(room, 1)
    a, b, c, d, e = x, y, x + y, x - y, x * y
    f, g, h, i, j = x * x, y * y, a + c, b + d, c + e
    for _ in range(times):
        a, b, c, d, e = a * x + y, b * x + y, c * x + y, d * x + y, e * x + y
        f, g, h, i, j = f * x + y, g * x + y, h * x + y, i * x + y, j * x + y
    store(room, 0, ((a + b + c + d + e) + (f + g + h + i + j)) * 0.0 + 0.5)


LOOPS = {6: six_chains, 10: ten_chains}


def print_row(row: Row) -> None:
    rates, ceilings = row["rates"], row["ceilings"]
    print(
        f"{row['n']:5}{row['batch']:9} {row['sweeps']:5.2f} sweeps"
        f"{1e6 * row['seconds']['jacobi']['p50'] / row['batch']:11.3f} us a matrix"
        f"{2e-9 * rates['multiply_adds']:9.1f} of {2e-9 * ceilings['multiply_adds']:.0f} Gflop/s"
        f" ({row['of_multiply_adds']:4.0%})"
        f"{1e-9 * rates['bytes']:8.2f} of {1e-9 * ceilings['bytes']:.1f} GB/s ({row['of_bytes']:4.0%})",
        flush=True,
    )


if __name__ == "__main__":
    main()
