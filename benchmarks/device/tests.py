"""The tests that need a GPU, and compute-sanitizer's memcheck and racecheck, each a command of its own, at
the same time.

compute-sanitizer watches this module itself, which runs every class of CUDA kernels on small batches:

    compute-sanitizer --tool memcheck python -m benchmarks.device.tests
    compute-sanitizer --tool racecheck python -m benchmarks.device.tests

Every array is an allocation of its own, so that any access beyond its end is reported. A line is printed for
each shape, and then the number of shapes that were wrong; the exit status is 1 if any was.
"""

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

import gpusvd
from benchmarks.device.check import factor_errors
from benchmarks.device.processes import Finished, run_commands
from gpusvd._base.threads import usable_cores
from gpusvd._cuda.arrays import cupy_with_device

TOOLS = ("memcheck", "racecheck")
MOST_PROCESSES = 8  # of pytest, where pytest-xdist is installed
# The few kernels of its tests are compiled in the time that this part has; all tests marked gpu take 121.
TESTS = "tests/cuda/test_gpu.py"
NAMED = 20  # failed tests whose names are kept
SHAPES = ((5, 3, 3), (3, 8, 8), (3, 33, 33), (2, 64, 64), (1, 192, 192), (3, 64, 8), (3, 8, 64), (2, 32, 32))
DTYPES = ("float32", "complex128", "float64", "complex64")

Row = dict[str, Any]


def run(seconds: float, *, quick: bool = False) -> list[Row]:
    sanitizer = find_sanitizer()
    with tempfile.TemporaryDirectory(prefix="gpusvd-tests-") as folder:
        report = Path(folder) / "junit.xml"
        commands = {"pytest": pytest_command(report, quick=quick)}
        if sanitizer is not None:
            commands |= {tool: sanitizer_command(sanitizer, tool) for tool in TOOLS}
        finished = run_commands(commands, seconds)
        rows = [{"what": "pytest", **ended(finished["pytest"]), **junit_counts(report)}]
    for tool in TOOLS:
        if sanitizer is None:
            rows.append({"what": tool, "error": "compute-sanitizer is not found"})
        else:
            rows.append({"what": tool, **ended(finished[tool]), **sanitizer_summary(finished[tool].output)})
    return rows


def pytest_command(report: Path, *, quick: bool) -> list[str]:
    command = [sys.executable, "-m", "pytest", TESTS, "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "no:benchmark", f"--junitxml={report}"]
    if quick:
        command.append("--maxfail=3")
    if importlib.util.find_spec("xdist") is not None:
        command += ["-n", str(max(1, min(MOST_PROCESSES, usable_cores() // 2)))]
    return command


def sanitizer_command(sanitizer: str, tool: str) -> list[str]:
    options = ["--tool", tool, "--error-exitcode", "9", "--print-limit", "20"]
    return [sanitizer, *options, sys.executable, "-m", "benchmarks.device.tests"]


def find_sanitizer() -> str | None:
    """Return compute-sanitizer's path: from PATH, or where the CUDA toolkit installs it."""
    name = "compute-sanitizer"
    found = shutil.which(name)
    if found is not None:
        return found
    return next((str(path) for path in _places(name) if path.is_file() and os.access(path, os.X_OK)), None)


def _places(name: str) -> Iterator[Path]:
    roots = [Path(os.environ[key]) for key in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(key)]
    roots += [Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]
    for root in roots:
        yield root / "bin" / name
        yield root / "compute-sanitizer" / name


def ended(finished: Finished) -> Row:
    """How a command ended; what it printed last, where that was not well."""
    row: Row = {"status": finished.status, "seconds": round(finished.seconds, 1), "in_time": finished.in_time}
    if finished.status != 0:
        row["output"] = finished.output[-3000:]
    return row


def junit_counts(report: Path) -> Row:
    """Return how many tests passed, failed and were skipped, and which failed, from pytest's report."""
    try:
        suites = list(ElementTree.parse(report).iter("testsuite"))
    except (OSError, ElementTree.ParseError) as error:
        return {"error": f"pytest wrote no report: {error}"}
    counts = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    failed = [
        f"{case.get('classname')}::{case.get('name')}: {problem.get('message', '')}"[:300]
        for suite in suites
        for case in suite.iter("testcase")
        for problem in (*case.iter("failure"), *case.iter("error"))
    ]
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    return {"passed": passed, **counts, "failed": failed[:NAMED]}


def sanitizer_summary(output: str) -> Row:
    """Return compute-sanitizer's own summary, and how many of the script's shapes were run and right."""
    summaries = re.findall(r"SUMMARY: (.*)", output)
    shapes = re.findall(r"^\w+ \([\d, ]+\): (right|wrong)", output, re.MULTILINE)
    return {
        "summary": summaries[-1].strip() if summaries else "",
        "clean": bool(summaries) and re.match(r"0 (errors|hazards)", summaries[-1]) is not None,
        "shapes": len(shapes),
        "shapes_right": shapes.count("right"),
    }


# What compute-sanitizer watches


def main() -> int:
    try:
        cupy = cupy_with_device()
    except (ImportError, RuntimeError) as error:
        print(f"benchmarks.device.tests: {error}", file=sys.stderr)
        return 2
    with cupy.cuda.using_allocator(None):
        wrong = wrong_shapes(cupy)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def wrong_shapes(cupy: Any) -> int:
    """Return how many shapes the kernels got wrong."""
    wrong = 0
    for dtype in DTYPES:
        for shape in SHAPES:
            host = np.random.default_rng(0).standard_normal(shape).astype(dtype)
            host[0, 0, 0] = np.nan
            host[-1, :, -1] = host[-1, :, 0]
            good = cupy.asarray(np.isfinite(host).all(axis=(1, 2)))
            a = cupy.asarray(host)
            U, S, Vh, info = gpusvd.svd_ex(a, full_matrices=False, driver="jacobi")
            gpusvd.svdvals(a, driver="jacobi")
            gpusvd.svd(a, driver="jacobi")
            errors = factor_errors(cupy, a, U, S, Vh, wanted=good)
            right = bool((info.converged == good).all()) and max(errors.values()) <= 10 * max(shape)
            wrong += not right
            print(f"{dtype} {shape}: {'right' if right else f'wrong, {errors}'}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
