"""Check and measure gpusvd on a CUDA GPU: its correctness, what the GPU can do, and gpusvd's speed.

The parts run in order of importance within the given minutes, each in processes of its own. What is known is
saved every few seconds, and a table is printed at the end. Needs no network. The exit status is 2 if there is
no CUDA device.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bounds import Ceilings, bound, of_peak
from benchmarks.device import assumptions, cases, machine, tests
from benchmarks.device.processes import Budget, Report, Task, run_tasks
from benchmarks.device.table import table
from benchmarks.measure import HERE, provenance
from gpusvd._base.threads import usable_cores

MINUTES = 7.5
SAVE_EVERY = 5.0  # seconds
FEWEST_SECONDS = 3.0  # a part is not begun with less

Row = dict[str, Any]


class Part(NamedTuple):
    """A part of the run.

    Attributes
    ----------
    share : of all the time, at most
    patience : seconds that one task may take
    tasks : returns the tasks, given the part's seconds and whether it is to be quick
    module : of this package, with the function that runs a task; None for the tests, which are commands
    workers : processes at a time
    """

    share: float
    patience: float
    tasks: Callable[[float, bool], Sequence[Task]]
    module: str | None
    workers: int = 1


def parts() -> dict[str, Part]:
    """In order: what the others need, then what is to be known first."""
    workers = max(1, min(16, usable_cores() - 1))
    return {
        "ceilings": Part(0.06, 40, lambda s, quick: machine.tasks(), "machine"),
        "compile": Part(0.28, 100, lambda s, quick: cases.compile_tasks(quick=quick), "machine", workers),
        "tests": Part(0.19, 0, lambda s, quick: [], None),
        "check": Part(0.14, 60, lambda s, quick: cases.check_tasks(0.8 * s, quick=quick), "check"),
        "assumptions": Part(0.08, 40, lambda s, quick: assumptions.tasks(), "assumptions"),
        "load": Part(0.04, 20, lambda s, quick: cases.load_tasks(quick=quick), "machine"),
        "speed": Part(1.00, 40, lambda s, quick: cases.speed_tasks(quick=quick), "speed"),
    }


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    budget = Budget(arguments.minutes)
    run = Run(arguments.output, arguments.commit, quick=arguments.quick)
    with tempfile.TemporaryDirectory(prefix="gpusvd-cache-") as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache  # of every process: the first calls find it empty
        if not run.find_machine(budget):
            return 2
        for name, part in parts().items():
            if not arguments.only or name in arguments.only:
                run.do(name, part, budget)
    run.save()
    print(f"\n{table(run.document())}\n\nWritten to {run.path}")
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    top.add_argument("--minutes", type=float, default=MINUTES, help="for all of it (default: %(default)s)")
    top.add_argument(
        "--only",
        nargs="+",
        choices=[*parts()],
        metavar="PART",
        help="some parts: %(choices)s; speed wants ceilings, for its bounds, and compile before it",
    )
    top.add_argument("--quick", action="store_true", help="few and small cases, to see that it runs")
    top.add_argument(
        "--output", type=Path, metavar="JSON", help="default: benchmarks/results/device-DATE-COMMIT.json"
    )
    top.add_argument("--commit", help="which sources these are, in a copy without Git's history")
    return top


class Run:
    """What is known so far, and the file that it is written to."""

    def __init__(self, output: Path | None, commit: str | None, *, quick: bool) -> None:
        self.provenance = provenance()
        if commit:
            self.provenance["commit"] = commit
        self.quick = quick
        self.parts: dict[str, Row] = {}
        self.rows: list[Row] = []
        self.path = output or default_path(self.provenance, quick=quick)
        self._saved = 0.0

    def find_machine(self, budget: Budget) -> bool:
        """Learn which GPU this is; say why if there is none."""
        found: list[Row] = []
        run_tasks(
            "benchmarks.device.machine",
            [{"what": "machine"}],
            lambda _, outcome: found.append(outcome),
            seconds=budget.share(0.3),
            patience=60,
        )
        outcome = found[0] if found else {"error": "the process that looks for a GPU did not answer"}
        if "error" in outcome:
            print(f"benchmarks.device: {outcome['error']}", file=sys.stderr)
            return False
        self.provenance["machine"] = outcome
        print(f"{outcome['gpu']}, {budget.seconds / 60:.3g} minutes", flush=True)
        return True

    def do(self, name: str, part: Part, budget: Budget) -> None:
        """Run a part; whatever goes wrong in it is written down, and the next one comes."""
        start = time.monotonic()
        before = len(self.rows)
        entry: Row = {"seconds": 0.0, "rows": 0, "left_out": []}
        self.parts[name] = entry
        seconds = budget.share(part.share)
        try:
            if seconds < FEWEST_SECONDS:
                entry["error"] = "no time was left"
            elif part.module is None:
                for row in tests.run(seconds - 10, quick=self.quick):
                    self.add(name, row)
            else:
                tasks = part.tasks(seconds, self.quick)
                left_out = run_tasks(
                    f"benchmarks.device.{part.module}",
                    tasks,
                    self.reporter(name, tasks),
                    seconds=seconds,
                    patience=part.patience,
                    workers=part.workers,
                )
                entry["left_out"] = [tasks[i] for i in left_out]
        except Exception as error:
            traceback.print_exc()
            entry["error"] = f"{type(error).__name__}: {error}"
        entry["seconds"] = round(time.monotonic() - start, 1)
        entry["rows"] = len(self.rows) - before
        self.save()
        print(f"{name}: {entry['rows']} rows in {entry['seconds']:.0f} s", flush=True)

    def reporter(self, name: str, tasks: Sequence[Task]) -> Report:
        def report(index: int, outcome: Row) -> None:
            self.add(name, {**tasks[index], **outcome})
            if time.monotonic() - self._saved > SAVE_EVERY:
                self.save()

        return report

    def add(self, name: str, row: Row) -> None:
        self.rows.append({"part": name, **with_bound(row, ceilings(self.rows))})

    def document(self) -> Row:
        return {"provenance": self.provenance, "parts": self.parts, "rows": self.rows}

    def save(self) -> None:
        """Write what is known, at once: a reader finds all of it or what was there before."""
        self._saved = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        part.write_text(written(self.document()))
        part.replace(self.path)


def default_path(ran_on: Row, *, quick: bool) -> Path:
    """Quick runs mean nothing and do not go where results are kept."""
    day, commit = str(ran_on["date"])[:10], ran_on["commit"] or "unknown"
    folder = Path(tempfile.gettempdir()) if quick else HERE / "results"
    return folder / f"device-{day}-{commit}.json"


def written(document: Row) -> str:
    """JSON with a line for each row; numbers that are not finite become null."""
    head = {name: value for name, value in document.items() if name != "rows"}
    lines = ",\n".join(json.dumps(finite(row), allow_nan=False) for row in document["rows"])
    text = json.dumps(finite(head), indent=1, allow_nan=False).removesuffix("\n}")
    return f'{text},\n "rows": [\n{lines}\n]}}\n'


def finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {str(key): finite(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [finite(value) for value in x]
    if isinstance(x, float) and not math.isfinite(x):
        return None
    return x


def ceilings(rows: Sequence[Row]) -> Ceilings | None:
    """What was measured of the GPU; None as long as something lacks."""
    found = {row["what"]: row for row in rows if row["part"] == "ceilings" and "error" not in row}
    if not {"copy", "float32", "float64"} <= found.keys():
        return None
    adds = (found[dtype]["multiply_adds_a_second"] for dtype in ("float32", "float64"))
    return Ceilings(found["copy"]["bytes_a_second"], *adds)


def with_bound(row: Row, limits: Ceilings | None) -> Row:
    """Add to a row of the benchmark its bound, the part of it that was reached, and the parts of bandwidth
    and arithmetic that were used."""
    if limits is None or "gpusvd" not in row.get("rate", {}):
        return row
    what = (row["m"], row["n"], row["dtype"], row["work"], row["sweeps"], limits)
    most = bound(*what)
    of_copy, of_arithmetic = of_peak(row["rate"]["gpusvd"], *what)
    return {
        **row,
        "bound": most,
        "of_bound": row["rate"]["gpusvd"] / most,
        "of_copy": of_copy,
        "of_arithmetic": of_arithmetic,
    }


if __name__ == "__main__":
    sys.exit(main())
