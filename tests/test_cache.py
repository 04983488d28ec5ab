"""Machine code kept on disk: found again, never stale, and not needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpusvd import _compile

PACKAGE = Path(_compile.__file__).parent
ONE_CALL = "import gpusvd; print(gpusvd.svdvals([[3.0, 0.0], [0.0, 4.0]], driver='jacobi'))"
HASH = "from gpusvd import _compile; print(_compile._HASH)"


def run(code, cache, path=PACKAGE.parent):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_code_is_kept_and_a_damaged_file_is_no_harm(tmp_path):
    assert run(ONE_CALL, tmp_path) == "[4. 3.]"
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")}
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    assert all(f"gpusvd/{_compile._HASH}/" in path.as_posix() for path in kept)

    assert run(ONE_CALL, tmp_path) == "[4. 3.]"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")} == kept

    for path in kept:
        path.write_bytes(b"")
    assert run(ONE_CALL, tmp_path) == "[4. 3.]"


@pytest.mark.parametrize("changed", ["kernels/rotation.py", "kernels/lanes.py", "_compile.py"])
def test_other_sources_have_another_folder(tmp_path, changed):
    copy = tmp_path / "gpusvd"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(HASH, tmp_path, tmp_path) == _compile._HASH
    with (copy / changed).open("a") as source:
        source.write("# changed\n")
    assert run(HASH, tmp_path, tmp_path) != _compile._HASH


def test_without_a_home_nothing_is_kept(monkeypatch):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    monkeypatch.setattr(_compile.config, "CACHE_DIR", "")
    assert _compile.cache_folder() is None


def test_where_nothing_can_be_written_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(_compile, "_bases", lambda: iter([tmp_path / "file"]))
    assert _compile.cache_folder() is None
