"""What the benchmarks share: a command line, random batches, interleaved timing, provenance, results on disk,
Markdown."""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpusvd
from gpusvd._base.measure import by_turns, machine

HERE = Path(__file__).parent
DTYPES = ("float32", "float64", "complex64", "complex128")
WORK = {
    "thin": {"full_matrices": False},
    "full": {"full_matrices": True},
    "values": {"compute_uv": False},
    "hermitian": {"hermitian": True},
    "hermitian values": {"hermitian": True, "compute_uv": False},
}

Row = dict[str, Any]
Document = Mapping[str, Any]  # a run: its provenance and its rows


def command(
    name: str, description: str | None, *, quick: str, dtypes: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """Return the parser of a benchmark's command line: `--quick`, and `--dtype` where there is a choice."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help=f"{quick}, nothing saved")
    if dtypes:
        parser.add_argument("--dtype", nargs="+", choices=dtypes, default=dtypes)
    return parser


@contextmanager
def recorded(name: str, *, saved: bool, **more: object) -> Iterator[tuple[Row, list[Row]]]:
    """Print the provenance, hand it out with a list for the rows, and save both at the end."""
    ran_on = provenance() | more
    print_provenance(ran_on)
    rows: list[Row] = []
    yield ran_on, rows
    if saved:
        save(name, ran_on, rows)


class Case(NamedTuple):
    """A batch, and what is wanted of it."""

    dtype: str
    m: int
    n: int
    work: str
    batch: int


def random_batch(count: int, m: int, n: int, dtype: str, *, hermitian: bool = False) -> np.ndarray:
    """Standard normal matrices (count, m, n), the same in every run."""
    rng = np.random.default_rng([count, m, n])
    a = rng.standard_normal((count, m, n), np.float32)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((count, m, n), np.float32)
    if hermitian:
        a = a + a.conj().mT
    return a.astype(dtype)


def count_filling(megabytes: float, m: int, n: int, dtype: str, work: str) -> int:
    """How many matrices fill so much memory; ten times as much where full_matrices makes results larger."""
    size = m * n * np.dtype(dtype).itemsize
    results = (m * m + n * n) * np.dtype(dtype).itemsize if work == "full" else 0
    return max(1, int(megabytes * 1e6 / max(size, results / 10)))


def compare(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, at_least: float = 0.02
) -> dict[str, dict[str, float]]:
    """Seconds of each call, interleaved with the others: their 20th, 50th and 80th percentile.

    Each turn repeats a call for at least so many seconds, most of which are not those after the process woke
    up: for 2 ms alone a call from Python takes twice its time. What is done once, as compiling, is not
    counted.
    """
    loops, repeats = {}, {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, math.ceil(at_least / (time.perf_counter() - start)))
        loops[name] = repeated(call, repeats[name])
    return {
        name: {f"p{p}": float(np.percentile(times, p)) / repeats[name] for p in (20, 50, 80)}
        for name, times in by_turns(loops, rounds=rounds).items()
    }


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    def loop() -> None:
        for _ in range(times):
            call()

    return loop


def provenance() -> Row:
    """Everything one needs to know to measure the same again, and to doubt what was measured."""
    return {
        "command": " ".join(sys.orig_argv[1:]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git("describe", "--always", "--dirty", "--abbrev=12"),
        "gpusvd": gpusvd.__version__,
        **machine(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "environment": {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")},
    }


def git(*arguments: str) -> str:
    """What Git prints; nothing where there is no Git, or no history."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def print_provenance(ran_on: Mapping[str, object]) -> None:
    for name, value in ran_on.items():
        print(f"{name:12}{value}")


def save(name: str, ran_on: Mapping[str, object], rows: list[Row]) -> None:
    """Write a run under results/, named by what ran, the day and the commit, a row of JSON a line.

    A further run of the same name gets a number, so that none is lost.
    """
    day = str(ran_on["date"])[:10]
    stem = f"{name}-{day}-{ran_on['commit']}"
    numbered = (f"{stem}-{number}" for number in count(2))
    path = HERE / "results" / f"{stem}.json"
    path.parent.mkdir(exist_ok=True)
    while path.exists():
        path = path.with_name(f"{next(numbered)}.json")
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f'{{"provenance": {json.dumps(ran_on, indent=1)},\n"rows": [\n{lines}\n]}}\n')
    print(f"\nSaved as {path}")


# Markdown


def two_digits(ratio: float | None) -> str:
    """36, 8.0 and 0.95; nothing for nothing."""
    if ratio is None:
        return ""
    digits = next((d for d, limit in ((2, 0.995), (1, 9.95)) if ratio < limit), 0)
    return f"{ratio:.{digits}f}"


def table(heading: Iterable[object], lines: Iterable[Iterable[object]]) -> str:
    """A table, whose lines begin with their headings."""
    cells = [[str(cell) for cell in of_line] for of_line in (heading, *lines)]
    rule = ["---"] * len(cells[0])
    return "\n".join(f"| {' | '.join(of_line)} |" for of_line in [cells[0], rule, *cells[1:]])


def paragraph(text: str, hanging: int = 0) -> str:
    """The text in lines as long as the README's, all but the first indented."""
    indent = " " * hanging
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False, subsequent_indent=indent)
