"""What is installed, what importing it costs, and what imports what."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gpusvd
from gpusvd import kernels

ROOT = Path(__file__).parents[2]
KERNELS = sorted(Path(kernels.__file__).parent.glob("*.py"))
# Lane groups and columns as numba types, and the named tuple that says how a kernel is launched.
ALSO_ALLOWED = {
    "lanes.py": {"llvmlite", "operator"},
    "cuda_columns.py": {"inspect", "llvmlite"},
    "cuda_warp.py": {"typing"},
}


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout.split()


@pytest.mark.alone
def test_import_is_quick_and_light(tmp_path):
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}  # as pip installs it
    code = """
import sys, time
begin = time.process_time()
import numpy
middle = time.process_time()
import gpusvd
print((time.process_time() - middle) / (middle - begin))
print(*sys.modules)
"""
    times_numpy, modules = zip(
        *((float(out[0]), set(out[1:])) for out in (run(code, **compiled) for _ in range(6))), strict=True
    )
    assert min(times_numpy) < 1
    assert not modules[0] & {"numba", "llvmlite", "cupy", "dask", "jax", "matplotlib", "PIL", "torch"}


def test_neither_lapack_nor_explain_need_numba():
    code = """
import sys, gpusvd
gpusvd.svd([[1, 2], [3, 4]], driver="vendor")
gpusvd.svd([[1, 2], [3, 4]])
gpusvd.explain((100, 8, 8))
print("numba" in sys.modules)
"""
    assert run(code) == ["False"]


def imported(path):
    """The modules that a kernel imports, other kernels as '.'."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level == 1 else "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_import_math_numba_and_each_other(path):
    allowed = {".", "math", "numba"} | ALSO_ALLOWED.get(path.name, set())
    assert {name.split(".")[0] or "." for name in imported(path)} <= allowed


def test_there_are_kernels():
    assert len(KERNELS) > 1


def test_metadata():
    assert importlib.metadata.version("gpusvd") == gpusvd.__version__
    names = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="console_scripts")}
    assert names["gpusvd"] == "gpusvd.__main__:main"
    base = [line for line in importlib.metadata.requires("gpusvd") if "extra ==" not in line]
    assert sorted(line.split(">")[0] for line in base) == ["numba", "numpy"]
    assert Path(gpusvd.__file__).with_name("py.typed").exists()


def test_the_latest_release_has_one_version_and_date():
    cited = dict(re.findall(r"^(version|date-released): (.*)$", text("CITATION.cff"), re.MULTILINE))
    version, date = re.search(r"^## \[(.+)\] - (.+)$", text("CHANGELOG.md"), re.MULTILINE).groups()
    assert cited == {"version": version, "date-released": date}
    assert "dev" in gpusvd.__version__ or gpusvd.__version__ == version


def test_one_place_says_how_to_install():
    """So that a release changes one line; and the extras that are named exist."""
    sources = [
        path for folder in ("gpusvd", "tests", "docs", "examples") for path in (ROOT / folder).rglob("*")
    ]
    texts = {path: text(path) for path in [*sources, ROOT / "README.md"] if path.suffix in (".py", ".md")}
    told = [path.name for path, words in texts.items() if re.search(r"pip install ['\"]?gpusvd", words)]
    assert told == ["install.py"]
    extras = {name for words in texts.values() for name in re.findall(r"\binstall\(['\"](\w+)['\"]\)", words)}
    assert {"demo", "torch"} <= extras <= set(importlib.metadata.metadata("gpusvd").get_all("Provides-Extra"))
