"""The machine code of the CPU kernels: where it comes from, its bits, and how Python calls it."""

import ctypes
import logging
import math
import os
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding as llvm
from numba import types

import gpusvd
from gpusvd._cpu import bitcode
from gpusvd._cpu import compile as cpu_compile
from tests.support.gallery import DTYPES

ROOT = Path(__file__).parents[2]
SOLVER, DTYPE = "svdvals_tiles", "float32"  # the quickest to compile


def python(*arguments, **environment):
    """What a process prints, and what it logs."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """What a release brings, of one solver and dtype."""
    path = tmp_path_factory.mktemp("release") / "bitcode.zip"
    python("-m", "gpusvd._cpu.bitcode", "-o", path, "--solver", SOLVER, "--dtype", DTYPE)
    return path


@pytest.fixture
def afresh(monkeypatch, tmp_path):
    """A process with nothing compiled yet, an empty cache, and no bitcode. Returns the cache."""
    monkeypatch.setattr(cpu_compile, "_compiled", {})
    monkeypatch.setattr(cpu_compile, "BITCODE", tmp_path / "absent.zip")
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr(cpu_compile, "cache_folder", lambda sources: cache)
    return cache


FIRST_CALL = """
import logging, sys
from pathlib import Path
import numpy as np
import gpusvd
from gpusvd._cpu import compile

logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
compile.BITCODE = Path(sys.argv[1])
print(*gpusvd.svdvals(np.diag(np.float32([3, 4, 5, 6, 7])), driver="jacobi"))
print("numba" in sys.modules)
"""


def test_first_call_with_a_release(release, tmp_path):
    for said in (
        ["INFO gpusvd compiling svdvals_tiles for float32 (once on this machine, about a second)"],
        [],
    ):
        printed, logged = python("-c", FIRST_CALL, release, NUMBA_CACHE_DIR=tmp_path)
        assert printed == ["7.0 6.0 5.0 4.0 3.0", "False"]
        assert logged == said


def test_first_call_without_a_release(tmp_path):
    printed, logged = python("-c", FIRST_CALL, tmp_path / "absent.zip", NUMBA_CACHE_DIR=tmp_path)
    assert printed == ["7.0 6.0 5.0 4.0 3.0", "True"]
    assert logged == ["INFO gpusvd compiling svdvals_tiles for float32 (once on this machine, about 10 s)"]


def test_of_a_release_only_bitcode_of_these_sources_is_taken(release, afresh, monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_compile, "BITCODE", release)
    assert cpu_compile._released(SOLVER, DTYPE) is not None
    assert cpu_compile._released(SOLVER, "float64") is None
    monkeypatch.setattr(cpu_compile, "SOURCES", "others")
    assert cpu_compile._released(SOLVER, DTYPE) is None


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[: len(content) // 2], bytes.upper]
)
def test_a_damaged_release_is_no_harm(release, afresh, monkeypatch, damage):
    cpu_compile.BITCODE.write_bytes(damage(release.read_bytes()))
    assert cpu_compile._released(SOLVER, DTYPE) is None


def test_the_release_is_installed():
    import tomllib

    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "gpusvd"
    ]
    assert str(cpu_compile.BITCODE.relative_to(ROOT / "gpusvd").as_posix()) in packaged


def test_every_solver_of_every_dtype_is_released(monkeypatch, tmp_path):
    monkeypatch.setattr(bitcode, "build", lambda solver, dtype: b"")
    monkeypatch.setattr(bitcode, "config", type("config", (), {}))
    monkeypatch.setattr(sys, "argv", ["bitcode", "-o", str(tmp_path / "bitcode.zip")])
    bitcode.main()
    with zipfile.ZipFile(tmp_path / "bitcode.zip") as archive:
        names = {cpu_compile.bitcode_name(*pair) for pair in product(cpu_compile.SOLVERS, map(str, DTYPES))}
        assert set(archive.namelist()) == names


def bitcode_is_missing(version, path):
    """Whether a version is a release without bitcode of these sources for every solver and dtype."""
    if "dev" in version:
        return False
    found = zipfile.ZipFile(path).namelist() if path.exists() else []
    count = sum(name.startswith(cpu_compile.SOURCES) for name in found)
    return count != len(cpu_compile.SOLVERS) * len(bitcode.DTYPES)


def test_a_released_version_has_its_bitcode(release):
    assert not bitcode_is_missing(gpusvd.__version__, cpu_compile.BITCODE)
    assert bitcode_is_missing("1.0.0", release)


# Bits

SAME_BITS = """
import sys
import numpy as np
import gpusvd
from gpusvd._cpu import bitcode, compile, jacobi
from tests.support import gallery

solver, dtype = sys.argv[1:]
own = bitcode.compile_by_numba(solver, dtype)
ran = []

def compiled(name, kind):
    ran.append(name)
    return own if by_numba and name == solver else compile.compiled(name, kind)

jacobi.compiled = compiled
tiles = [(3, 3), (8, 8), (9, 7), (5, 12), (40, 33), (2, 400)]
for m, n in [(400, 150), (150, 300)] if solver == "svd_rows" else tiles:
    a = gallery.batch(m, n, dtype)
    for options in ({"full_matrices": True}, {"full_matrices": False}, {"compute_uv": False}):
        results = []
        for by_numba in (True, False):
            result = gpusvd.svd(a[::-1], driver="jacobi", **options)
            results.append([x.tobytes() for x in (result if isinstance(result, tuple) else [result])])
        assert results[0] == results[1], (m, n, options)
assert solver in ran
"""


QUICK = [(SOLVER, DTYPE), ("svd_tiny_3x3", "complex64")]
SLOW = [pair for pair in product(cpu_compile.SOLVERS, bitcode.DTYPES) if pair not in QUICK]


@pytest.mark.parametrize(
    ("solver", "dtype"), [*QUICK, *(pytest.param(*pair, marks=pytest.mark.exhaustive) for pair in SLOW)]
)
def test_the_bits_are_those_of_numba(solver, dtype):
    """For one processor on both ways: numba's optimiser may fuse other complex products for another one."""
    python("-c", SAME_BITS, solver, dtype, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")


def jit(assembly, *names):
    """The addresses of functions in LLVM assembly, and what keeps them alive."""
    machine = cpu_compile._machine()
    module = llvm.parse_assembly(assembly)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine, *map(engine.get_function_address, names)


EXTREMES = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    math.pi,
    -1e300,
    5e-324,
    -3e-310,
    2.0**-1022,
    2.0**1023,
    1.7e308,
    math.inf,
    -math.inf,
]


def test_frexp_and_ldexp_are_those_of_math():
    _engine, *places = jit(bitcode._HELPERS, "numba_frexp", "numba_frexpf", "numba_ldexp")
    number = ctypes.c_double
    frexp = ctypes.CFUNCTYPE(number, number, ctypes.POINTER(ctypes.c_int))(places[0])
    frexpf = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float, ctypes.POINTER(ctypes.c_int))(places[1])
    ldexp = ctypes.CFUNCTYPE(number, number, ctypes.c_int)(places[2])
    exponent = ctypes.c_int()
    for x in EXTREMES:
        assert (frexp(x, exponent), exponent.value) == math.frexp(x)
        assert math.copysign(1, frexp(x, exponent)) == math.copysign(1, x)
    for x in (0.0, 1.0, -3.5, 1e-45, 2.0**-126, 2.0**127, math.inf):
        assert (frexpf(x, exponent), exponent.value) == math.frexp(ctypes.c_float(x).value)
    assert math.isnan(frexp(math.nan, exponent))
    assert exponent.value == 0
    for k in range(-1100, 1024):
        assert ldexp(1.0, k) == math.ldexp(1.0, k)
    assert ldexp(1.0, 5000) == math.inf
    assert ldexp(1.0, -5000) == 0.0


# The entry

ARRAY, VECTOR = types.Array(types.float64, 2, "A"), types.Array(types.boolean, 1, "C")


def entry(kernel):
    """The built-in function that runs `kernel`, LLVM assembly, with a matrix, a vector and two flags."""
    machine = cpu_compile._machine()
    text = bitcode._entry("kernel", (ARRAY, VECTOR, types.boolean, types.boolean))
    module = llvm.parse_assembly(text)
    module.link_in(llvm.parse_assembly(kernel))
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    return cpu_compile._function("kernel", machine.emit_object(module))


PARAMETERS = (
    "ptr %result, ptr %raised, "
    "ptr %m0, ptr %p0, i64 %count0, i64 %size0, ptr %data0, i64 %rows, i64 %columns, i64 %down, i64 %right, "
    "ptr %m1, ptr %p1, i64 %count1, i64 %size1, ptr %data1, i64 %length, i64 %step, i8 %first, i8 %second"
)


def test_the_entry_hands_on_arrays_and_flags():
    """The kernel writes what it was given into the matrix, which has room for it."""
    values = ["count0", "size0", "rows", "columns", "down", "right", "count1", "size1", "length", "step"]
    lines = [
        line
        for i, value in enumerate(values)
        for line in (f"%t{i} = getelementptr i64, ptr %data0, i64 {i}", f"store i64 %{value}, ptr %t{i}")
    ]
    for i, flag in enumerate(("first", "second"), start=len(values)):
        lines += [f"%w{i} = zext i8 %{flag} to i64", f"%t{i} = getelementptr i64, ptr %data0, i64 {i}"]
        lines += [f"store i64 %w{i}, ptr %t{i}"]
    body = "\n".join(lines)
    function = entry(f"define i32 @kernel({PARAMETERS}) {{\n{body}\nret i32 0\n}}")
    memory, flags = np.zeros((4, 10)), np.zeros(7, bool)
    references = sys.getrefcount(None), sys.getrefcount(memory)
    for _ in range(1000):
        assert function(memory[:, ::2], flags, True, False) is None
    assert abs(sys.getrefcount(None) - references[0]) < 100
    assert sys.getrefcount(memory) == references[1]
    assert memory.view(np.int64).flat[:12].tolist() == [20, 8, 4, 5, 80, 16, 7, 1, 7, 1, 1, 0]


def test_a_kernel_that_fails_is_an_error():
    function = entry(f"define i32 @kernel({PARAMETERS}) {{ ret i32 1 }}")
    with pytest.raises(SystemError):
        function(np.zeros((1, 1)), np.zeros(1, bool), True, False)


def test_the_entry_lets_the_gil_go():
    """A kernel answers a number that only another thread can write, for which it waits some seconds."""
    function = entry(
        f"""define i32 @kernel({PARAMETERS}) {{
        start:
        br label %wait
        wait:
        %turn = phi i64 [0, %start], [%next, %on]
        %seen = load volatile double, ptr %data0
        %written = fcmp oeq double %seen, 1.0
        br i1 %written, label %answer, label %on
        on:
        %next = add i64 %turn, 1
        %last = icmp eq i64 %next, 4000000000
        br i1 %last, label %end, label %wait
        answer:
        store double 2.0, ptr %data0
        br label %end
        end:
        ret i32 0
        }}"""
    )
    signal = np.zeros((1, 1))
    waiting = threading.Thread(target=function, args=(signal, np.zeros(1, bool), True, False))
    waiting.start()
    signal[0, 0] = 1
    waiting.join()
    assert signal[0, 0] == 2


# Threads, failures, and what is said


def test_threads_compile_a_kernel_once(afresh, monkeypatch):
    loaded, together = [], threading.Barrier(6)

    def load(solver, dtype):
        loaded.append((solver, dtype))
        return print

    def ask(_):
        together.wait(10)
        return cpu_compile.compiled(SOLVER, np.dtype(DTYPE))

    monkeypatch.setattr(cpu_compile, "_load", load)
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(ask, range(6))) == {print}
    assert loaded == [(SOLVER, DTYPE)]


@pytest.mark.parametrize("step", ["_machine_code", "_function"])
def test_whatever_fails_numba_is_left(afresh, monkeypatch, caplog, step):
    def fail(*_):
        raise RuntimeError("LLVM has changed")

    monkeypatch.setattr(bitcode, "build", lambda solver, dtype: llvm.parse_assembly("").as_bitcode())
    monkeypatch.setattr(cpu_compile, step, fail)
    monkeypatch.setattr(bitcode, "compile_by_numba", lambda solver, dtype: (solver, dtype))
    assert cpu_compile.compiled(SOLVER, np.dtype(DTYPE)) == (SOLVER, DTYPE)
    assert "left to numba" in caplog.text
    assert "LLVM has changed" in caplog.text


def test_a_function_that_would_be_missing_is_named(monkeypatch):
    def kernel(s):
        s[0, 0] = math.sinh(s[0, 0])

    monkeypatch.setattr(bitcode, "_kernel", lambda solver, dtype: kernel)
    with pytest.raises(NotImplementedError, match="sinh"):
        bitcode.build(SOLVER, "float64")


def test_what_has_been_edited_meanwhile_is_not_kept(afresh, monkeypatch):
    monkeypatch.setattr(bitcode, "build", lambda solver, dtype: llvm.parse_assembly("").as_bitcode())
    monkeypatch.setattr(cpu_compile, "sources", lambda: "others")
    cpu_compile._machine_code(SOLVER, DTYPE)
    assert list(afresh.iterdir()) == []
    monkeypatch.setattr(cpu_compile, "sources", lambda: cpu_compile.SOURCES)
    cpu_compile._machine_code(SOLVER, DTYPE)
    assert len(list(afresh.iterdir())) == 1


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:-1], lambda content: content[:-1] + b"x"]
)
def test_damaged_machine_code_is_made_anew(afresh, monkeypatch, damage):
    monkeypatch.setattr(bitcode, "build", lambda solver, dtype: llvm.parse_assembly("").as_bitcode())
    code = cpu_compile._machine_code(SOLVER, DTYPE)
    (path,) = afresh.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert cpu_compile._machine_code(SOLVER, DTYPE) == code
    assert path.read_bytes() == content


def test_without_a_folder_it_is_said_that_each_process_compiles(afresh, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "gpusvd")
    monkeypatch.setattr(bitcode, "build", lambda solver, dtype: llvm.parse_assembly("").as_bitcode())
    monkeypatch.setattr(cpu_compile, "cache_folder", lambda sources: None)
    cpu_compile._machine_code(SOLVER, DTYPE)
    assert caplog.messages == ["compiling svdvals_tiles for float32 (in each process, about 10 s)"]


def test_other_processors_have_machine_code_of_their_own(monkeypatch):
    here = cpu_compile._target()
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    assert cpu_compile._processor() == ("generic", "")
    assert cpu_compile._target() != here


def test_numba_logs_nothing_unless_asked_to(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    outer, inner = logging.getLogger("numba"), logging.getLogger("numba.core.byteflow")
    before = outer.level
    try:
        for level, debugged in ((logging.NOTSET, False), (logging.DEBUG, True)):
            outer.setLevel(level)
            with bitcode._quiet_numba():
                assert inner.isEnabledFor(logging.DEBUG) == debugged
            assert outer.level == level
    finally:
        outer.setLevel(before)
