"""gpusvd beside its peers on the CPU: see `benchmarks.contenders` for who they are.

For each number of threads a process of its own, bound to so many cores, in which all peers take turns on
the same random batch. A peer that would take long gets a part of the batch, and its time is scaled. Ratios
are the time of the best peer over that of gpusvd with driver="auto": below 1, it loses. Cases come in an
order in which any part of them makes sense; those for which --minutes do not suffice are listed as left out.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import contenders
from benchmarks.measure import (
    DTYPES,
    HERE,
    Case,
    Document,
    Row,
    command,
    compare,
    count_filling,
    random_batch,
    recorded,
)

SIZES = (2, 3, 4, 8, 16, 32, 64, 128, 256, 512)
RECTANGLES = ((64, 8), (8, 64), (1000, 3), (512, 32), (32, 512))
BATCH_SIZES = (4, 16, 64)
BATCHES = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
NOISE = 0.95  # a ratio above this is not called a loss
LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Effort(NamedTuple):
    """How long to look."""

    rounds: int
    megabytes: float  # of a batch
    seconds: float  # a peer gets as many matrices of a batch as take it this long
    largest: float  # megabytes of the largest batch in the series of batches


FULL = Effort(rounds=5, megabytes=10, seconds=0.1, largest=140)
QUICK = Effort(rounds=3, megabytes=0.1, seconds=0.005, largest=0.3)


def main() -> None:
    parser = command("peers", __doc__, quick="small batches, few rounds", dtypes=DTYPES)
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="only square ones, of these sizes")
    parser.add_argument("--only", nargs="+", choices=contenders.PEERS, default=[*contenders.PEERS])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--minutes", type=float, default=45, help="of all, 45 if not given")
    parser.add_argument("--in-process", metavar="JSON", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        found = run(arguments, time.monotonic() + 60 * arguments.minutes)
        Path(arguments.in_process).write_text(json.dumps(found))
        return
    versions = contenders.versions()
    with recorded("peers", saved=not arguments.quick, peers=versions) as (ran_on, rows):
        ran_on["left_out"] = []
        for threads in arguments.threads:
            part = in_process_of(threads, arguments.minutes / len(arguments.threads))
            rows += part["rows"]
            ran_on["left_out"] += part["left_out"]
        print_losses(rows)


def in_process_of(threads: int, minutes: float) -> dict[str, Any]:
    """Run all cases in a process pinned to `threads` cores, and return what it found."""
    environment = os.environ | dict.fromkeys(LIMITS, str(threads))
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        own = ["--threads", str(threads), "--minutes", str(minutes), "--in-process", str(path)]
        command = [sys.executable, "-m", "benchmarks.peers", *sys.argv[1:], *own]
        if cores:
            os.sched_setaffinity(0, sorted(cores)[:threads])  # the child inherits it
        try:
            subprocess.run(command, cwd=HERE.parent, env=environment, check=True)
        finally:
            if cores:
                os.sched_setaffinity(0, cores)
        found: dict[str, Any] = json.loads(path.read_text())
        return found


# In the process of so many threads


def run(arguments: argparse.Namespace, deadline: float) -> dict[str, Any]:
    effort = QUICK if arguments.quick else FULL
    peers = {name: contenders.PEERS[name] for name in arguments.only}
    (threads,) = arguments.threads
    rows: list[Row] = []
    left_out: list[Row] = []
    print(f"\n{threads} threads: microseconds a matrix, and the best peer's time over auto's", flush=True)
    for case in cases(arguments.dtype, arguments.sizes, effort):
        if time.monotonic() > deadline:
            left_out.append({"threads": threads, **case._asdict()})
        else:
            rows.append({"threads": threads, **measured(case, peers, effort)})
            print_row(rows[-1])
    return {"rows": rows, "left_out": left_out}


def cases(dtypes: Sequence[str], sizes: Sequence[int] | None, effort: Effort) -> Iterator[Case]:
    """Square matrices first, then rectangular ones, then a series of batches; dtypes innermost."""

    def filling(m: int, n: int, work: str, dtype: str) -> Case:
        return Case(dtype, m, n, work, count_filling(effort.megabytes, m, n, dtype, work))

    for work, n, dtype in product(("thin", "values"), sizes or SIZES, dtypes):
        yield filling(n, n, work, dtype)
    if sizes:
        return
    for work, (m, n), dtype in product(("thin", "full", "values"), RECTANGLES, dtypes):
        yield filling(m, n, work, dtype)
    for batch, n, dtype in product(BATCHES, BATCH_SIZES, dtypes):
        if batch <= max(BATCHES[0], count_filling(effort.largest, n, n, dtype, "thin")):
            yield Case(dtype, n, n, "thin", batch)


def measured(
    case: Case, peers: Mapping[str, Callable[[np.ndarray, str], contenders.Call]], effort: Effort
) -> Row:
    """Seconds of the whole batch for each contender that takes it."""
    a = random_batch(case.batch, case.m, case.n, case.dtype)
    calls, batches, refused = {}, {}, {}
    for name, make in (contenders.OURS | dict(peers)).items():
        try:
            count = len(a) if name in contenders.OURS else affordable(make, a, case.work, effort.seconds)
            calls[name], batches[name] = make(a[:count], case.work), count
        except contenders.Refused as reason:
            refused[name] = str(reason)
    seconds = {
        name: {p: time * case.batch / batches[name] for p, time in found.items()}
        for name, found in compare(calls, rounds=effort.rounds).items()
    }
    return case._asdict() | {"batches": batches, "seconds": seconds, "refused": refused}


def affordable(
    make: Callable[[np.ndarray, str], contenders.Call], a: np.ndarray, work: str, seconds: float
) -> int:
    """How many of the matrices a peer decomposes in so many seconds; two at least, if there are two."""
    sample = a[: 16 if math.prod(a.shape[1:]) < 4096 else 1]
    call = make(sample, work)
    call()  # compiles
    start = time.perf_counter()
    call()
    each = (time.perf_counter() - start) / len(sample)
    return min(len(a), max(2, math.ceil(seconds / each)))


# What is printed


def best_peer(row: Row) -> tuple[str, float]:
    """The fastest peer, and its median over that of driver="auto"; no name and NaN where there is none."""
    medians = {name: times["p50"] for name, times in row["seconds"].items() if name not in contenders.OURS}
    if not medians:
        return "", math.nan
    name = min(medians, key=lambda name: medians[name])
    return name, medians[name] / row["seconds"]["auto"]["p50"]


def filling(found: Sequence[Document]) -> dict[tuple[int, str, str, int], Row]:
    """The newest row of each case of square matrices in batches of 10 MB, by threads, dtype, work and n."""
    rows = {}
    for run in sorted(found, key=lambda run: str(run["provenance"]["date"])):
        for row in run["rows"]:
            m, n, dtype, work = (row[name] for name in ("m", "n", "dtype", "work"))
            fills = row["batch"] == count_filling(FULL.megabytes, m, n, dtype, work)
            if fills and m == n and best_peer(row)[0]:
                rows[row["threads"], dtype, work, n] = row
    return rows


def print_row(row: Row) -> None:
    each = (f"{name} {1e6 * times['p50'] / row['batch']:.3g}" for name, times in row["seconds"].items())
    name, ratio = best_peer(row)
    shape = f"{row['m']} x {row['n']}"
    print(
        f"{row['dtype']:11}{shape:>10} {row['work']:7}{row['batch']:8}  {ratio:6.3g} of {name}: "
        + ", ".join(each),
        flush=True,
    )


def print_losses(rows: Sequence[Row]) -> None:
    losses = [row for row in rows if best_peer(row)[1] < NOISE]
    print(f"\nauto is behind the best peer in {len(losses)} of {len(rows)} cases")
    for row in losses:
        name, ratio = best_peer(row)
        where = f"{row['threads']} threads, {row['dtype']}, {row['m']} x {row['n']}, {row['work']}"
        print(f"  {where}, batch {row['batch']}: {ratio:.2g} of {name}")


if __name__ == "__main__":
    main()
