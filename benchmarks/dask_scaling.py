"""What Dask costs: a chunk's overhead and the bytes it moves, and one worker process against two."""

import itertools
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import dask
import dask.array as da
import distributed
import numpy as np
import psutil

import gpusvd
from benchmarks.measure import command, recorded

SHAPE = (16, 16)
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "svdvals": lambda x: gpusvd.svdvals(x, driver="jacobi"),
    "svd": lambda x: gpusvd.svd(x, full_matrices=False, driver="jacobi"),
}


def main() -> None:
    quick = command("dask_scaling", __doc__, quick="few chunks, few rounds").parse_args().quick
    versions = {"dask": dask.__version__, "distributed": distributed.__version__}
    with recorded("dask-scaling", saved=not quick, **versions) as (_, rows), clusters() as (one, two):
        for name in FUNCTIONS:
            rows.append(overhead(name, one, two, chunks=300 if quick else 1000, rounds=1 if quick else 5))
            print_row(rows[-1])
        rows.append(scaling(one, two, chunks=16, size=1000 if quick else 20_000, rounds=2 if quick else 7))
        print_row(rows[-1])


class clusters:  # noqa: N801
    """Clients of a cluster of one and of one of two worker processes, each of one thread."""

    def __enter__(self) -> list[distributed.Client]:
        self.open = []
        for workers in (1, 2):
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            )
            self.open += [distributed.Client(cluster, set_as_default=False), cluster]
        return self.open[::2]

    def __exit__(self, *_: object) -> None:
        for each in self.open:
            each.close()


def overhead(
    name: str, one: distributed.Client, two: distributed.Client, chunks: int, rounds: int
) -> dict[str, Any]:
    """A chunk of a single matrix costs next to nothing to decompose: its time is Dask's.

    The difference between many chunks and few leaves out what a graph costs that does not grow with it. The
    results stay on the workers. Bytes are those of the loopback device, on which all processes talk.
    """
    few = chunks // 10
    row: dict[str, Any] = {"what": "overhead a chunk", "function": name, "chunks": chunks}
    for workers, client in ((1, one), (2, two)):
        run(client, name, few, 1)
        seconds, busy, moved = [], [], []
        for _ in range(rounds):
            few_cost, many_cost = (run(client, name, count, 1) for count in (few, chunks))
            for costs, much, little in zip((seconds, busy, moved), many_cost, few_cost, strict=True):
                costs.append((much - little) / (chunks - few))
        row[f"seconds, {workers} workers"] = statistics.median(seconds)
        row[f"CPU seconds of client and scheduler, {workers} workers"] = statistics.median(busy)
        row[f"bytes moved, {workers} workers"] = statistics.median(moved)
    graphs = [graph_of(FUNCTIONS[name](random_chunks(count, 1))) for count in (few, chunks)]
    small, large = (len(cloudpickle.dumps(graph)) for graph in graphs)
    row["bytes of graph"] = (large - small) / (chunks - few)
    row["tasks"] = (len(graphs[1]) - len(graphs[0])) / (chunks - few)
    return row


def scaling(
    one: distributed.Client, two: distributed.Client, chunks: int, size: int, rounds: int
) -> dict[str, Any]:
    """The same work on one worker process and on two, by turns."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds + 1):
        for workers, client in ((1, one), (2, two)):
            seconds, _, _ = run(client, "svd", chunks, size)
            if turn:  # the first loads the kernels
                times[workers].append(seconds)
    alone, together = (statistics.median(times[workers]) for workers in (1, 2))
    row = {"what": "one worker and two", "chunks": chunks, "matrices a chunk": size}
    return row | {"seconds, 1 workers": alone, "seconds, 2 workers": together, "speedup": alone / together}


salts = itertools.count()


def random_chunks(chunks: int, size: int) -> Any:
    """Random matrices that the workers make themselves, by no name that a cluster could know already."""
    salt = next(salts)

    def matrices(block_info: Any = None) -> np.ndarray:
        index = block_info[None]["chunk-location"][0]
        return np.random.default_rng([salt, index]).standard_normal((size, *SHAPE), np.float32)

    parts = ((size,) * chunks, *((length,) for length in SHAPE))
    return da.map_blocks(matrices, chunks=parts, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))


def run(client: distributed.Client, name: str, chunks: int, size: int) -> tuple[float, float, float]:
    """Compute on the workers; return seconds, those at work in this process, and bytes moved.

    The scheduler runs in this process: what it works does not depend on what else the machine does. Of the
    bytes those are taken off that pass on a machine at rest.
    """
    lazy = FUNCTIONS[name](random_chunks(chunks, size))
    at_rest = rate()
    with client.as_current():
        before, worked, start = sent(), time.process_time(), time.perf_counter()
        kept = client.persist(list(lazy) if isinstance(lazy, tuple) else [lazy])
        distributed.wait(kept)
        seconds = time.perf_counter() - start
    return seconds, time.process_time() - worked, sent() - before - at_rest * seconds


def rate(seconds: float = 0.5) -> float:
    before = sent()
    time.sleep(seconds)
    return (sent() - before) / seconds


def sent() -> int:
    counters = psutil.net_io_counters(pernic=True)
    return sum(counters[name].bytes_sent for name in counters if name.startswith("lo"))


def graph_of(lazy: Any) -> dict[Any, Any]:
    arrays = lazy if isinstance(lazy, tuple) else (lazy,)
    return dict(dask.optimize(*arrays)[0].__dask_graph__())


def print_row(row: dict[str, Any]) -> None:
    print(", ".join(f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
