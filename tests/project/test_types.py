"""What editors and type checkers see of an editable install, and what completion sees."""

import ast
import os
import rlcompleter
import shutil
import subprocess
import sys
import sysconfig
import venv
import warnings
import zipfile
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path

import mypy
import numpy as np
import pyright
import pytest
from setuptools import build_meta

import gpusvd
from gpusvd._base.install import install
from tests.support import tensor_stub

ROOT = Path(__file__).parents[2]
CHECKERS = {mypy: ["--strict", "--cache-dir=cache", "--python-executable"], pyright: ["--pythonpath"]}
LIBRARIES = {"dask": "dask", "jax": "jax", "plot": "matplotlib", "torch": "torch"}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with an editable install of this checkout, beside what is here."""
    folder = tmp_path_factory.mktemp("environment")
    with chdir(ROOT), warnings.catch_warnings(action="ignore"):  # of setuptools itself
        wheel = build_meta.build_editable(folder)
    venv.create(folder / "venv", with_pip=False)
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    with zipfile.ZipFile(folder / wheel) as archive:
        archive.extractall(site)
    (site / "others.pth").write_text(f"{Path(np.__file__).parents[1]}\n", encoding="utf-8")
    return Path(sysconfig.get_path("scripts", "venv", paths)) / Path(sys.executable).name


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
@pytest.mark.parametrize("script", ["typed_script.py", "typed_tensors.py"])
def test_a_script_is_typed(script, checker, python, tmp_path):
    if script == "typed_tensors.py":
        pytest.importorskip("torch", reason=f"PyTorch is not installed: {install('torch')}")
    shutil.copy(Path(__file__).with_name(script), tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", checker.__name__, *CHECKERS[checker], python, script],
        cwd=tmp_path,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_of_the_layer_with_tensors_are_those_of_the_layer():
    def functions(text):
        return [ast.unparse(node) for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]

    assert functions(tensor_stub.STUB.read_text(encoding="utf-8")) == functions(tensor_stub.stub())


def test_dir_lists_what_is_public():
    """Every name can be had: a shell that completes names asks for all of them."""
    modules = {path.stem for path in Path(gpusvd.__file__).parent.glob("[a-z]*.py")}
    found = set(dir(gpusvd)) - set(gpusvd.__all__)
    assert found == {name for name in modules if name not in LIBRARIES or find_spec(LIBRARIES[name])}
    assert {"linalg", "patches", "plot"} <= found
    completed = rlcompleter.Completer({"gpusvd": gpusvd}).attr_matches("gpusvd.")
    public = found | set(gpusvd.__all__) - {"__version__"}
    assert {name.removeprefix("gpusvd.").rstrip("()") for name in completed} == public
