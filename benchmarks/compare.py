"""Whether commit B is slower than commit A: ``python -m benchmarks.compare A B``.

Each commit is checked out in a Git worktree of its own and runs in a process of its own, which keeps its
matrices and what it compiled. The processes take turns at the same batch, one waiting while the other works,
and a pair of times, one after the other, gives a ratio B/A: above 1, B is slower. The interval holds the
median ratio with a confidence of 95%, by bootstrap. A case that has lost, with its whole interval above the
limit, is measured once more in new processes, and only what loses again counts.

The exit status is 1 if some case loses. The limit is 1.05, that is 5%; with --smoke it is 2, over few cases.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import DTYPES, HERE, WORK, Case, Row, recorded

ROOT = HERE.parent
SIZES = (2, 4, 8, 16, 32, 64, 128)
LIMIT, SMOKE_LIMIT = 1.05, 2.0
CONFIDENCE = 0.95
AT_LEAST = 0.01  # seconds of a turn
WORKER = Path(__file__).with_name("compare_worker.py")

SMOKE = [Case("float32", n, n, "thin", batch) for n, batch in ((4, 16), (4, 20_000), (32, 200), (64, 30))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("commits", nargs=2, metavar="COMMIT", help="the older one first")
    parser.add_argument("--smoke", action="store_true", help="few cases, only a loss of 2x counts, not saved")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", default=SIZES)
    parser.add_argument("--pairs", type=int, default=None, help="25 if not given; 9 with --smoke")
    arguments = parser.parse_args()
    try:
        commits = [git("rev-parse", "--verify", f"{name}^{{commit}}") for name in arguments.commits]
    except subprocess.CalledProcessError:
        parser.error(f"not both in this clone, which may be shallow: {' '.join(arguments.commits)}")
    limit = SMOKE_LIMIT if arguments.smoke else LIMIT
    pairs = arguments.pairs or (9 if arguments.smoke else 25)
    cases = SMOKE if arguments.smoke else full_cases(arguments.dtype, arguments.sizes)
    with recorded("compare", saved=not arguments.smoke, commits=commits) as (_, rows):
        with worktrees(commits) as folders:
            rows += measured(folders, cases, pairs, limit)
            suspects = [row for row in rows if row["interval"][0] > limit]
            if suspects:
                print("\nOnce more what lost:")
                again = measured(folders, [Case(**row["case"]) for row in suspects], pairs, limit)
                for row, second in zip(suspects, again, strict=True):
                    row["again"] = {name: second[name] for name in ("ratio", "interval", "seconds")}
        losses = [row for row in suspects if row["again"]["interval"][0] > limit]
        print(f"\n{len(losses)} of {len(rows)} cases lose more than {limit:g}x, twice")
    return int(bool(losses))


def full_cases(dtypes: Sequence[str], sizes: Sequence[int]) -> list[Case]:
    """Square matrices, 16 of them and 2 MB of them."""
    return [
        Case(dtype, n, n, work, batch)
        for dtype in dtypes
        for work in ("thin", "values")
        for n in sizes
        for batch in sorted({16, max(16, int(2e6 / (n * n * np.dtype(dtype).itemsize)))})
    ]


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def worktrees(commits: Sequence[str]) -> Iterator[list[Path]]:
    """Check the commits out, each into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as base:
        folders = [Path(base) / f"{i}-{commit[:12]}" for i, commit in enumerate(commits)]
        try:
            for commit, folder in zip(commits, folders, strict=True):
                git("worktree", "add", "--detach", "--quiet", str(folder), commit)
            yield folders
        finally:
            for folder in folders:
                if folder.exists():
                    git("worktree", "remove", "--force", str(folder))


def measured(folders: Sequence[Path], cases: Sequence[Case], pairs: int, limit: float) -> list[Row]:
    rows = []
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(folder)) for folder in folders]
        for case in cases:
            times = by_turns(workers, case, pairs)
            ratio, interval = ratio_and_interval(*times)
            seconds = [{f"p{p}": float(np.percentile(each, p)) for p in (20, 50, 80)} for each in times]
            rows.append({"case": case._asdict(), "ratio": ratio, "interval": interval, "seconds": seconds})
            verdict = "slower" if interval[0] > limit else "faster" if interval[1] < 1 / limit else ""
            shape = f"{case.m} x {case.n}"
            print(
                f"{case.dtype:11}{shape:>10} {case.work:7}{case.batch:8}"
                f"{1e6 * seconds[0]['p50']:12.1f} us {1e6 * seconds[1]['p50']:12.1f} us"
                f"   B/A {ratio:.3f}, {interval[0]:.3f} to {interval[1]:.3f} {verdict}",
                flush=True,
            )
    return rows


@contextmanager
def worker(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that imports gpusvd from a folder and times the calls it is sent; see `compare_worker.py`."""
    command = [sys.executable, str(WORKER), str(folder)]
    # numba's cache goes by the paths of sources, which are found here only once
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder.parent / "cache")}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def tell(process: "subprocess.Popen[str]", question: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()


def answer_of(process: "subprocess.Popen[str]") -> float:
    assert process.stdout is not None
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the process of a commit ended with {process.wait()}")
    return float(answer)


def timed(process: "subprocess.Popen[str]", repeat: int) -> float:
    tell(process, {"repeat": repeat})
    return answer_of(process)


def by_turns(
    workers: "Sequence[subprocess.Popen[str]]", case: Case, pairs: int
) -> tuple[list[float], list[float]]:
    """Seconds of a call in each process, pair by pair; who is first changes from pair to pair."""
    for process in workers:  # both compile at the same time
        tell(process, {"case": case._asdict(), "options": WORK[case.work]})
    for process in workers:
        answer_of(process)
    repeat = max(1, math.ceil(AT_LEAST / min(timed(process, 2) for process in workers)))
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for k in (0, 1) if pair % 2 else (1, 0):
            times[k].append(timed(workers[k], repeat))
    return times


def ratio_and_interval(
    a: Sequence[float], b: Sequence[float], *, draws: int = 2000
) -> tuple[float, list[float]]:
    """The median of the ratios b/a, pair by pair, and its confidence interval by bootstrap."""
    ratios = np.array(b) / np.array(a)
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, size=(draws, len(ratios))), axis=1)
    outside = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(medians, (outside, 100 - outside))
    return float(np.median(ratios)), [float(low), float(high)]


if __name__ == "__main__":
    start = time.perf_counter()
    status = main()
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(status)
