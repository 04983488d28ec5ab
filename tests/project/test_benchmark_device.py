"""The benchmark for GPUs: cases, bounds, processes that crash or hang, tables; and its tasks, with a stand-in
for CuPy and the kernels in the emulator, or on a device where there is one."""

import itertools
import json
import math
import re
import signal
import sys
import time
import types
from contextlib import nullcontext

import numpy as np
import pytest

import gpusvd
from benchmarks import bounds
from benchmarks.bounds import Ceilings
from benchmarks.device import __main__ as device
from benchmarks.device import (
    assumptions,
    cases,
    check,
    machine,
    processes,
    speed,
    table,
    tests,
)
from benchmarks.device.cases import Case
from gpusvd._base.cache import cache_folder, hash_of_sources
from tests.support import device_benchmark
from tests.support.device_benchmark import made_up_run

# Cases


def test_every_case_of_the_benchmark_is_there_once():
    filling = cases.filling_cases()
    assert len(filling) == len(set(filling)) == (20 + 4) * 4 * 2
    tasks = cases.speed_tasks()
    against_cupy = [
        (t["m"], t["n"], t["dtype"], t["work"], t["batch"]) for t in tasks if "gpusvd" in t["contenders"]
    ]
    assert len(against_cupy) == len(set(against_cupy))
    assert set(filling) <= {Case(*case) for case in against_cupy}
    for n in cases.SQUARES:
        for batch in (1, 10, 100):
            assert (n, n, "float32", "thin", batch) in against_cupy
    assert {name for t in tasks for name in t["contenders"]} == set(speed.CONTENDERS)


def test_what_matters_most_comes_first():
    tasks = cases.speed_tasks()
    first = tasks[: 2 * len(cases.SQUARES)]
    assert {t["dtype"] for t in first} == {"float32", "float64"}
    assert all(t["work"] == "thin" and t["batch"] is None for t in first)


def test_batches():
    assert Case(2, 2, "float32", "thin").count() == 62_500_000
    assert Case(512, 512, "complex128", "thin").count() == 238
    assert Case(1, 1, "float32", "thin", 7).count() == 7
    assert Case(512, 512, "complex128", "thin").count(filling=1) == 1
    assert all(case.count() < 1000 for case in cases.batches((512,), ("float64",), (1, 1000, 100)))


def test_first_calls_and_checks_cover_classes_and_dtypes():
    compiled = cases.compile_tasks()
    assert {t["dtype"] for t in compiled if t["device"] == "cpu"} == {str(d) for d in map(np.dtype, "fdFD")}
    loaded = cases.load_tasks()
    assert len(loaded) == 4 * len(cases.REPRESENTATIVES)
    assert all(task in compiled for task in loaded)
    checked = cases.check_tasks(100)
    assert sum(t["seconds"] for t in checked) == pytest.approx(100)
    assert min(t["seconds"] for t in cases.check_tasks(1)) == cases.LEAST_CHECK


# Bounds


def test_traffic_is_every_entry_once():
    a, s, u, vh = 5 * 3 * 8, 3 * 4, 5 * 3 * 8, 3 * 3 * 8
    assert bounds.traffic(5, 3, "complex64", "thin") == a + s + u + vh
    assert bounds.traffic(3, 5, "complex64", "thin") == a + s + u + vh
    assert bounds.traffic(5, 3, "complex64", "values") == a + s


def test_the_bounds_of_the_design():
    """Copy bandwidth bounds n = 2, 3, 4 by 77, 36 and 21 G matrices a second in float32 and half in
    float64."""
    h200 = Ceilings(copy=4.3e12, single=33.5e12, double=16.7e12)
    for n, most in ((2, 77e9), (3, 36e9), (4, 21e9)):
        assert bounds.bound(n, n, "float32", "thin", 5, h200) == pytest.approx(most, rel=0.03)
        assert bounds.bound(n, n, "float64", "thin", 5, h200) == pytest.approx(most / 2, rel=0.03)
    # and arithmetic, with 4 to 9 sweeps, the larger ones
    for n, most in ((16, 250e6), (32, 29e6), (64, 3.4e6), (128, 384e3)):
        least, largest = (bounds.bound(n, n, "float32", "thin", sweeps, h200) for sweeps in (9, 4))
        assert least < most < largest


def test_multiply_adds():
    pairs, rows = 28, 8
    sweep = pairs * rows * (1 + 4 + 4)
    more = bounds.multiply_adds(8, 8, "float32", "thin", 3)
    assert more - bounds.multiply_adds(8, 8, "float32", "thin", 2) == pytest.approx(sweep)
    without = [bounds.multiply_adds(8, 8, "float32", "thin", s, with_cosine=False) for s in (2, 3)]
    assert without[1] - without[0] == pytest.approx(pairs * rows * (1 + 2 + 2))
    for shape in ((8, 64), (64, 8)):
        assert bounds.multiply_adds(*shape, "complex64", "thin", 3) > 2 * more
    assert bounds.multiply_adds(8, 8, "float32", "values", 3) < 2 / 3 * more


def test_the_bound_is_the_slower_of_both():
    slow_copy, slow_adds = Ceilings(1e9, 1e15, 1e15), Ceilings(1e15, 1e9, 1e8)
    what = (32, 32, "float32", "thin", 6)
    assert bounds.bound(*what, slow_copy) == pytest.approx(1e9 / bounds.traffic(*what[:4]))
    assert bounds.bound(*what, slow_adds) == pytest.approx(1e9 / bounds.multiply_adds(*what))
    copy, adds = bounds.of_peak(1e5, *what, slow_adds)
    assert copy < 1e-3 < adds


# Time


def test_budget():
    now = [100.0]
    budget = processes.Budget(2, clock=lambda: now[0])
    assert budget.left() == 120
    assert budget.share(0.25) == 30
    now[0] += 100
    assert budget.share(0.25) == 20
    now[0] += 100
    assert budget.left() == 0


@pytest.mark.parametrize("each", [1e-9, 1e-5, 1e-3, 0.02, 0.5, 3.0])
def test_a_loop_gets_what_it_can_do_in_the_limit(each):
    count = speed.affordable(lambda count: count * each, 10**7, 1.0)
    assert count in (1, 4, 10**7) or 0.25 <= count * each <= 1


@pytest.mark.parametrize("delay", [1e-4, 0.1, 0.3, 0.9])
def test_a_batch_grows_until_it_fills_the_device(delay):
    def seconds_of(count):
        return max(delay, 1e-5 * count)

    count = speed.affordable(seconds_of, 10**7, 1.0)
    assert seconds_of(count) / count < 1.5e-5
    assert speed.affordable(seconds_of, 100, 1.0) == 100


def test_samples_are_taken_by_turns():
    order = []
    samplers = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    times = speed.sample_by_turns(samplers, rounds=5, seconds=1e3)
    assert order == list("ab" * 5)
    assert times == {"a": [1.0] * 5, "b": [1.0] * 5}
    few = speed.sample_by_turns(samplers, rounds=5, seconds=0)
    assert len(few["a"]) == speed.LEAST_ROUNDS


# Processes


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of tasks that do as they are told."""
    (tmp_path / "obedient.py").write_text(
        "import os, time\n"
        "def run(task):\n"
        "    if task['do'] == 'raise': raise ValueError('as told')\n"
        "    if task['do'] == 'die': os._exit(7)\n"
        "    if task['do'] == 'hang': time.sleep(60)\n"
        "    return {'process': os.getpid()}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "obedient"


def outcomes(module, does, **options):
    found = {}
    wanted = {"seconds": 30, "patience": 20} | options
    left_out = processes.run_tasks(module, [{"do": do} for do in does], found.__setitem__, **wanted)
    return found, left_out


def test_tasks_share_a_process(module):
    found, left_out = outcomes(module, ["work", "raise", "work"])
    assert not left_out
    assert found[0] == found[2]
    assert found[1] == {"error": "ValueError: as told"}


def test_a_task_that_crashes_costs_itself_alone(module):
    found, left_out = outcomes(module, ["work", "die", "work"])
    assert not left_out
    assert "ended with status 7" in found[1]["error"]
    assert found[0]["process"] != found[2]["process"]


def test_a_task_that_hangs_costs_itself_alone(module):
    found, left_out = outcomes(module, ["hang", "work"], patience=1)
    assert not left_out
    assert "took more than 1 s" in found[0]["error"]
    assert "process" in found[1]


@pytest.mark.alone
def test_what_is_not_reached_is_said(module):
    found, left_out = outcomes(module, ["work", "hang", "work"], seconds=3)
    assert set(found) == {0}
    assert left_out == [1, 2]


def test_several_processes(module):
    found, _ = outcomes(module, ["work"] * 4, workers=2)
    assert found[0] == found[2] != found[1] == found[3]


def test_a_module_that_cannot_be_imported():
    found, left_out = outcomes("benchmarks.not_there", ["work"] * 3)
    assert all("No module named" in outcome["error"] for outcome in found.values())
    assert len(found) + len(left_out) == 3


def test_a_spoilt_context_ends_the_process(monkeypatch, tmp_path):
    class Works:
        def __init__(self, error):
            self.error = error

        def deviceSynchronize(self):
            if self.error:
                raise RuntimeError("an illegal memory access was encountered")

    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    for error in (False, True):
        cuda = types.SimpleNamespace(runtime=Works(error))
        stand_in = types.SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)
        monkeypatch.setitem(sys.modules, "cupy", stand_in)
        assert processes._context_works() == (not error)


@pytest.mark.alone
def test_commands_run_at_the_same_time_and_are_interrupted():
    wait = "import time\ntry:\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    raise SystemExit(5)"
    start = time.monotonic()
    finished = processes.run_commands(
        {"short": [sys.executable, "-c", "print('done')"], "long": [sys.executable, "-c", wait]}, seconds=2
    )
    assert time.monotonic() - start < 20
    assert finished["short"][0] == 0
    assert finished["short"].output == "done\n"
    assert finished["short"].in_time
    assert not finished["long"].in_time
    assert finished["long"].status in (5, -signal.SIGINT)


# What the tests and the sanitizer said


def test_junit_counts(tmp_path):
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1">'
        '<testcase classname="t" name="a"/>'
        '<testcase classname="t" name="b"><failure message="no"/></testcase>'
        '<testcase classname="t" name="c"><error message="oh"/></testcase>'
        '<testcase classname="t" name="d"><skipped/></testcase></testsuite></testsuites>'
    )
    counts = tests.junit_counts(report)
    assert (counts["passed"], counts["failures"], counts["errors"], counts["skipped"]) == (1, 1, 1, 1)
    assert counts["failed"] == ["t::b: no", "t::c: oh"]
    assert "no report" in tests.junit_counts(tmp_path / "none")["error"]


def test_sanitizer_summary():
    shapes = "float32 (5, 3, 3): right\nfloat32 (3, 8, 8): wrong, {}\n"
    clean = tests.sanitizer_summary(f"{shapes}========= ERROR SUMMARY: 0 errors\n")
    assert clean == {"summary": "0 errors", "clean": True, "shapes": 2, "shapes_right": 1}
    race = "========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)\n"
    assert not tests.sanitizer_summary(race)["clean"]
    assert not tests.sanitizer_summary("killed")["clean"]


# Accuracy


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_factor_errors(dtype):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 5, 3)).astype(dtype)
    if dtype == "complex128":
        a += 1j * rng.standard_normal((30, 5, 3))
    U, S, Vh = np.linalg.svd(a, full_matrices=False)
    assert max(check.factor_errors(np, a, U, S, Vh).values()) < 20
    U[7] *= 1 + 1e-3
    errors = check.factor_errors(np, a, U, S, Vh)
    assert min(errors["residual"], errors["orthogonality U"]) > 1e3
    wanted = np.arange(30) != 7
    assert max(check.factor_errors(np, a, U, S, Vh, wanted).values()) < 20
    S[3] = S[3][::-1]
    assert check.factor_errors(np, a, U, S, Vh, wanted)["unordered"] == 1
    Vh[5, 0, 0] = np.nan
    assert math.isnan(check.factor_errors(np, a, U, S, Vh)["residual"])


def test_value_error():
    a = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)
    S = np.linalg.svd(a, compute_uv=False)
    assert check.value_error(a, S) < 10
    S[2, 2] += S[2, 0] * 100 * np.finfo(np.float32).eps
    assert 80 < check.value_error(a, S) < 120


def test_chunks_cover_a_batch():
    parts = list(check.chunks(120_001, 3, 3))
    assert len(parts) > 1
    assert list(itertools.chain(*(range(120_001)[part] for part in parts))) == list(range(120_001))
    assert check.sample_size(512, 512) == 1
    assert check.sample_size(3, 3) == 64


# Tasks


@pytest.fixture
def on_device(cupy, monkeypatch):
    """CuPy on a device, or the stand-in and few matrices."""
    if isinstance(cupy.cuda, types.SimpleNamespace):
        monkeypatch.setattr(check, "STEP_BYTES", 0)
    return cupy


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4)], ids=str)
def test_the_large_check(on_device, shape, dtype):
    m, n = shape
    row = check.run({"m": m, "n": n, "dtype": dtype, "matrices": 12, "seconds": 1e3})
    assert row["passed"]
    assert row["checked"] >= 12
    assert row["same_bits"] == {"again": True, "backwards": True, "in parts": True}
    assert row["sweeps_apart"] <= 1


@pytest.mark.parametrize("fault", ["residual", "info", "bits"])
def test_the_large_check_finds_faults(on_device, monkeypatch, fault):
    calls = itertools.count()
    right = gpusvd.svd_ex

    def svd_ex(a, **options):
        result = right(a, **options)
        if isinstance(a, np.ndarray):
            return result
        if fault == "info":
            result.info.converged[0] = False
        elif fault == "residual":
            result.U[0] = result.U[0] * 1.01
        else:
            result.S[0, 0] = result.S[0, 0] * (1 + 1e-7 * (next(calls) % 2))
        return result

    monkeypatch.setattr(gpusvd, "svd_ex", svd_ex)
    assert not check.run({"m": 3, "n": 3, "dtype": "float32", "matrices": 8, "seconds": 1})["passed"]


@pytest.mark.parametrize("work", ["thin", "values"])
def test_the_benchmark(on_device, monkeypatch, work):
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "SAMPLE", 1e-6)
    monkeypatch.setattr(speed, "OWN_CALL", 1e6)
    case = {"m": 3, "n": 3, "dtype": "float32", "work": work, "batch": 9, "filling": 1.0}
    row = speed.run({**case, "contenders": ["gpusvd", "cupy", "jax"]})
    assert row["batches"]["gpusvd"] == row["asked"] == 9
    assert row["rate"].keys() == {"gpusvd", "cupy"}
    assert row["seconds"]["gpusvd"]["p20"] <= row["seconds"]["gpusvd"]["p80"]
    assert max(row["accuracy"]["gpusvd"].values()) < 30
    assert 1 <= row["sweeps"] <= 10
    if not row["refused"].get("jax"):
        pytest.skip("JAX is installed")
    complete = device.with_bound({**case, **row}, Ceilings(1e12, 1e13, 1e13))
    assert 0 < complete["of_bound"] < 1
    json.dumps(complete)


def test_first_calls(on_device):
    row = machine.run({"device": "cuda", "m": 3, "n": 2, "dtype": "float32", "work": "thin"})
    assert row["first"] > 0 < row["second"]


def test_sanitize(on_device, monkeypatch, capsys):
    monkeypatch.setattr(tests, "SHAPES", ((2, 3, 3),))
    assert tests.main() == 0
    lines = capsys.readouterr().out
    assert lines.count("right\n") == 4
    assert tests.sanitizer_summary(lines)["shapes"] == 4


@pytest.mark.parametrize("cupy", ["stand-in"], indirect=True)
@pytest.mark.parametrize("what", [name for name in assumptions.CHECKS if name != "numpy"])
def test_every_assumption_is_looked_at(on_device, monkeypatch, what):
    """Names, calls and comparisons are right, as far as a stand-in tells; "numpy" is below."""
    for name, value in device_benchmark.SMALL.items():
        monkeypatch.setattr(assumptions, name, value)
    monkeypatch.setattr(assumptions, "event_seconds", device_benchmark.once)
    for library, stand_in in device_benchmark.OTHERS.items():
        monkeypatch.setitem(sys.modules, library, stand_in)
    row = assumptions.run({"what": what})
    json.dumps(row)
    if what in ("own stream", "graph", "torch", "jax"):
        assert row["passed"]
    elif what == "overhead":
        assert row["ratio"] > 0
    elif what == "gesvdj beyond 32":
        assert row["64"] == "ValueError: too large"
    else:
        assert "0 GB are free" in row["skipped"]


def test_numpy_there_and_back(on_device, monkeypatch):
    monkeypatch.setattr(assumptions, "ON_HOST", device_benchmark.SMALL["ON_HOST"])
    assert assumptions.run({"what": "numpy"})["passed"]


# The run and its table


def test_without_a_device_it_says_so(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device.main(["--output", str(tmp_path / "run.json")]) == 2
    assert not list(tmp_path.iterdir())
    said = capfd.readouterr().err
    assert "CUDA device" in said or "CuPy" in said
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert tests.main() == 2


CUPY_ELSEWHERE = """
from gpusvd._base.cache import cache_folder, hash_of_sources
from tests.support import device_benchmark

device_benchmark.stand_in_for_this_process()
"""


def test_from_the_first_part_to_the_last(tmp_path, monkeypatch, capsys):
    """At toy size; the tasks run in processes of their own, where the stand-in is what `cupy` imports."""
    (tmp_path / "cupy.py").write_text(CUPY_ELSEWHERE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    kept = str(cache_folder(hash_of_sources(cuda=False)).parents[1])  # nothing is compiled that was before
    monkeypatch.setenv("NUMBA_CACHE_DIR", kept)
    folder = types.SimpleNamespace(TemporaryDirectory=lambda prefix: nullcontext(kept))
    monkeypatch.setattr(device, "tempfile", folder)
    size = {"m": 3, "n": 3, "dtype": "float32"}
    calls = [{"device": where, **size, "work": "thin"} for where in ("cpu", "cuda")]
    speeds = {**size, "contenders": ["gpusvd", "cupy", "torch gesvdj", "cuSOLVER gesvda"], "filling": 72.0}
    speeds = [{**speeds, "work": work, "batch": None} for work in ("thin", "values")]
    checks = [{**size, "matrices": 12, "seconds": 1e3}]
    monkeypatch.setattr(cases, "compile_tasks", lambda quick: calls)
    monkeypatch.setattr(cases, "load_tasks", lambda quick: calls[1:])
    monkeypatch.setattr(cases, "check_tasks", lambda seconds, quick: checks)
    monkeypatch.setattr(cases, "speed_tasks", lambda quick: speeds)
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    command = [sys.executable, "-m", "pytest", str(tmp_path), "-p", "no:cacheprovider"]
    monkeypatch.setattr(tests, "pytest_command", lambda report, quick: [*command, f"--junitxml={report}"])
    monkeypatch.setattr(tests, "find_sanitizer", lambda: None)

    path = tmp_path / "run.json"
    assert device.main(["--quick", "--minutes", "20", "--output", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["provenance"]["machine"]["gpu"] == "A device that is not there"
    assert list(written["parts"]) == list(device.parts())
    assert not any(part.get("error") or part["left_out"] for part in written["parts"].values())
    rows = {name: [row for row in written["rows"] if row["part"] == name] for name in written["parts"]}
    assert {row["what"] for row in rows["ceilings"] if "error" not in row} >= {"copy", "float32", "float64"}
    assert all(row["first"] > 0 for row in rows["compile"] + rows["load"])
    assert [row["passed"] for row in rows["check"]] == [True]
    assert rows["tests"][0]["passed"] == 1
    assumed = {row["what"]: row for row in rows["assumptions"]}
    assert assumed.keys() == assumptions.CHECKS.keys()
    assert all(assumed[what]["passed"] for what in ("own stream", "graph", "numpy"))
    assert all("error" in assumed[what] for what in ("torch", "jax"))  # not there, or on no such device
    for row in rows["speed"]:
        assert row["rate"].keys() == {"gpusvd", "cupy"}
        assert 0 < row["of_bound"] < 1
        assert row["refused"].keys() == {"torch gesvdj", "cuSOLVER gesvda"}
    said = capsys.readouterr().out
    assert table.table(written) in said
    assert set(re.findall(r"FAILED (\w+)", said)) <= {"memcheck", "racecheck", "torch", "jax", "gesvdj"}
    assert "A device that is not there" in table.markdown([written])


def test_a_part_that_fails_loses_nothing(tmp_path, monkeypatch):
    def fails(seconds, quick):
        raise ValueError("planted")

    def no_tests(seconds, quick):
        return [{"what": "pytest", "error": "none"}]

    monkeypatch.setattr(tests, "run", no_tests)
    run = device.Run(tmp_path / "run.json", "abc", quick=True)
    budget = processes.Budget(1)
    run.do("check", device.Part(0.5, 1, fails, "check"), budget)
    run.do("tests", device.Part(0.5, 1, fails, None), budget)
    run.do("speed", device.Part(0.01, 1, fails, "speed"), budget)
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["provenance"]["commit"] == "abc"
    assert written["parts"]["check"]["error"] == "ValueError: planted"
    assert written["parts"]["speed"]["error"] == "no time was left"
    assert written["rows"] == [{"part": "tests", "what": "pytest", "error": "none"}]
    text = table.table(written)
    assert "planted" in text
    assert "FAILED pytest: none" in text


def test_rows_are_written_as_they_come(tmp_path, module):
    run = device.Run(tmp_path / "run.json", None, quick=True)
    run._saved = -math.inf
    report = run.reporter("check", [{"m": 1}])
    report(0, {"error": math.nan})
    assert json.loads((tmp_path / "run.json").read_text())["rows"] == [
        {"part": "check", "m": 1, "error": None}
    ]


def test_shares_leave_time_for_the_benchmark():
    shares = [part.share for name, part in device.parts().items() if name != "speed"]
    assert sum(shares) < 0.85
    assert list(device.parts())[-1] == "speed"


def test_numbers_of_the_table():
    assert [table.short(x) for x in (0.5, 999.9, 1000, 12_345_678, 4.5e10)] == [
        "0.5",
        "1k",
        "1k",
        "12.3M",
        "45G",
    ]


def test_the_table_shows_what_was_found():
    text = table.table(made_up_run())
    assert "copy, bytes read and written: 4.00 TB/s" in text
    assert "8x8" in text
    assert "20x" in text
    assert "thin, up to 32" in text
    assert "thin, beyond 32" in text
    assert "jax not installed, cuSOLVER gesvdj refused" in text
    assert "1 left out" in text
    assert "FAILED 3x3 float32" in text
    assert len(text) < 12_000


def test_goals():
    rows = [row for row in made_up_run()["rows"] if row["part"] == "speed"]
    found = {verdict.goal.what: verdict for verdict in cases.verdicts(rows)}
    up_to_32 = found["times CuPy, n <= 32"]
    assert (up_to_32.met, up_to_32.rows, up_to_32.value) == (4, 4, pytest.approx(20))
    assert found["times CuPy, n = 33..128"].met == 0
    assert "times CuPy, n = 129..512" not in found
    assert found["of the bound, n = 4..32"].worst["n"] == 8
    assert found["times CuPy, batch 1..100"].rows == 6
    assert found["values only, times with vectors"].value == pytest.approx(1)
    lines = table.table(made_up_run()).splitlines()
    assert any(line.endswith("50:   0 of   2, 20 at 64x64 float32 thin") for line in lines)


def test_versions():
    assert machine.version(13020) == "13.2"
    assert machine.packages()["cuda-core"]
    assert isinstance(machine.query("name"), str)
