"""Run tasks in processes of their own: one that crashes, hangs or spoils its CUDA context costs one task.

A module of tasks has a function `run(task)`, which returns a row. A process works through a list of tasks and
writes a line of JSON before and after each; this module reads them as they come, notes for a process that
died or hung which task it was at, and starts another for the rest.

In the process: ``python -m benchmarks.device.processes MODULE LINES``, tasks on standard input.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
POLL = 0.05  # seconds between looks at a process
GRACE = 10.0  # seconds a command has to end once it is interrupted
SPOILT = 3  # exit status of a process whose CUDA context no longer works

Task = dict[str, Any]
Report = Callable[[int, Task], None]


class Budget:
    """Seconds that are left of a number of minutes."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 60 * minutes
        self._clock = clock
        self._end = clock() + self.seconds

    def left(self) -> float:
        return max(0.0, self._end - self._clock())

    def share(self, part: float) -> float:
        """A part of the whole, or what is left if that is less."""
        return min(part * self.seconds, self.left())


# Tasks of a module


def run_tasks(
    module: str, tasks: Sequence[Task], report: Report, *, seconds: float, patience: float, workers: int = 1
) -> list[int]:
    """Run tasks in turn, dealt out to so many processes, until the time is up; return those not reached.

    `report` gets the number of each task and its outcome: the row that `run` returned, or {"error": ...}.
    No task may take more seconds than `patience`.
    """
    deadline = time.monotonic() + seconds
    reached: set[int] = set()
    lock = threading.Lock()

    def reported(index: int, outcome: Task) -> None:
        with lock:
            reached.add(index)
            report(index, outcome)

    numbered = list(enumerate(tasks))
    threads = [
        threading.Thread(
            target=_work_through, args=(module, numbered[w::workers], reported, deadline, patience)
        )
        for w in range(min(workers, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [index for index, _ in numbered if index not in reached]


def _work_through(
    module: str, tasks: list[tuple[int, Task]], report: Report, deadline: float, patience: float
) -> None:
    """One process after the other, each from where the last one ended."""
    fruitless = 0  # processes one after the other that ended before their first task
    while tasks and time.monotonic() < deadline and fruitless < 2:
        with tempfile.TemporaryDirectory(prefix="gpusvd-device-") as folder:
            done, begun = _one_process(module, tasks, report, deadline, patience, Path(folder))
        fruitless = 0 if begun else fruitless + 1
        tasks = tasks[done:]


def _one_process(
    module: str,
    tasks: list[tuple[int, Task]],
    report: Report,
    deadline: float,
    patience: float,
    folder: Path,
) -> tuple[int, bool]:
    """Return how many tasks are dealt with, and whether any was begun."""
    lines, log = folder / "lines", folder / "log"
    lines.touch()
    command = [sys.executable, "-m", "benchmarks.device.processes", module, str(lines)]
    with log.open("wb") as output, lines.open() as reader:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=output, stderr=output
        )
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                pipe.write(json.dumps(tasks).encode())
        except BrokenPipeError:
            pass  # it ended at once; its log says why
        done, begun, since = 0, False, time.monotonic()
        while True:
            ended = process.poll() is not None  # before reading: what it wrote last is not missed
            for line in _whole_lines(reader):
                index, outcome = json.loads(line)
                begun, since = True, time.monotonic()
                if outcome is not None:
                    report(index, outcome)
                    done += 1
            now = time.monotonic()
            hangs = now - since > patience + (0 if begun else GRACE)
            if ended or hangs or now > deadline:
                break
            time.sleep(POLL)
        process.kill()
        status = process.wait()
    at_task = done < len(tasks) and not (now > deadline and not hangs and not ended)
    if at_task and status != SPOILT:
        said = f"took more than {patience:.0f} s" if hangs else f"the process ended with status {status}"
        report(tasks[done][0], {"error": f"{said}; {last_lines(log)}"})
        done += 1
    return done, begun


def _whole_lines(reader: Any) -> list[str]:
    """The lines that were written to the end; a part of one is left for the next time."""
    found: list[str] = []
    while True:
        place = reader.tell()
        line = reader.readline()
        if not line.endswith("\n"):
            reader.seek(place)
            return found
        found.append(line)


def environment() -> dict[str, str]:
    """Of the processes: JAX takes memory as it needs it, and does not leave too little for others."""
    return {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONUNBUFFERED": "1"}


def last_lines(log: Path, count: int = 4) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-count:])[-800:]


# Commands


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    seconds: float
    in_time: bool
    output: str


def run_commands(commands: Mapping[str, Sequence[str]], seconds: float) -> dict[str, Finished]:
    """Run commands at the same time; one that is not done in time is interrupted, and killed if need be."""
    with tempfile.TemporaryDirectory(prefix="gpusvd-device-") as folder:
        logs = {name: Path(folder) / name for name in commands}
        start = time.monotonic()
        running = {}
        for name, command in commands.items():
            with logs[name].open("wb") as output:
                running[name] = subprocess.Popen(
                    list(command),
                    cwd=ROOT,
                    env=environment(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    preexec_fn=_heed_interrupts,
                )
        ends = _ends(running, start, seconds)
        late = {name: process for name, process in running.items() if name not in ends}
        for process in late.values():
            process.send_signal(signal.SIGINT)
        ends |= _ends(late, start, seconds + GRACE)
        for process in late.values():
            process.kill()
            process.wait()
        taken = time.monotonic() - start
        return {
            name: Finished(
                process.returncode,
                ends.get(name, taken),
                name not in late,
                logs[name].read_text(errors="replace"),
            )
            for name, process in running.items()
        }


def _heed_interrupts() -> None:
    """A job in a shell's background starts its children with interrupts ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _ends(running: Mapping[str, "subprocess.Popen[bytes]"], start: float, seconds: float) -> dict[str, float]:
    """Wait for processes until so long after the start; return when each ended that did."""
    ends: dict[str, float] = {}
    while len(ends) < len(running):
        now = time.monotonic() - start
        ended = [name for name, process in running.items() if process.poll() is not None]
        ends |= {name: now for name in ended if name not in ends}
        if now > seconds:
            break
        time.sleep(POLL)
    return ends


# In the process


def work(module: str, lines: Path) -> int:
    run = import_module(module).run
    with lines.open("a") as writer:
        for index, task in json.load(sys.stdin):
            _write(writer, index, None)
            try:
                outcome = run(task)
            except Exception as error:
                traceback.print_exc()
                outcome = {"error": f"{type(error).__name__}: {error}"[:800]}
            _write(writer, index, outcome)
            if "error" in outcome and not _context_works():
                return SPOILT
    return 0


def _write(writer: Any, index: int, outcome: Task | None) -> None:
    writer.write(json.dumps([index, outcome]) + "\n")
    writer.flush()


def _context_works() -> bool:
    """After an error: a kernel that went wrong makes all later calls of its process fail."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return True
    try:
        cupy.cuda.runtime.deviceSynchronize()
        cupy.get_default_memory_pool().free_all_blocks()
    except Exception:
        return False
    return True


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], Path(sys.argv[2])))
