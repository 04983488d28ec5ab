"""Tests that need a GPU are found where other libraries of the tests are missing."""

import os
import subprocess
import sys

import pytest

from tests.support import optional

RUN = """
import sys
for library in {blocked!r}:
    sys.modules[library] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-m", "gpu", *{paths!r}]))
"""


def collect(*paths, blocked):
    code = RUN.format(blocked=blocked, paths=paths)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=optional.ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("blocked", [("array_api_strict",), ("greenlet", "mpmath", "scipy", "sklearn")])
def test_gpu_tests_are_collected_without(blocked):
    done = collect("tests/cuda/test_gpu.py", "tests/base", "tests/interop", "tests/layer", blocked=blocked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_gpu.py" in done.stdout
    assert f"for lack of {blocked[0]}" in done.stdout


def test_nothing_is_left_out_where_everything_is_installed():
    left_out = {path.name: optional.missing(path) for path in (optional.ROOT / "tests").rglob("*.py")}
    assert set().union(*left_out.values()) <= {"cupy", "jax", "torch"}
