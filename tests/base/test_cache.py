"""Machine code kept on disk: found again, never stale, and not needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gpusvd
from gpusvd._base import cache
from gpusvd._cpu.compile import SOURCES

PACKAGE = Path(gpusvd.__file__).parent
ONE_CALL = "import gpusvd; print(gpusvd.svdvals([[3.0, 0.0], [0.0, 4.0]], driver='jacobi'))"
HASH = "from gpusvd._cpu.compile import SOURCES; print(SOURCES)"


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
    assert all(f"gpusvd/{SOURCES}/" in path.as_posix() for path in kept)

    assert run(ONE_CALL, tmp_path) == "[4. 3.]"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")} == kept

    for path in kept:
        path.write_bytes(b"")
    assert run(ONE_CALL, tmp_path) == "[4. 3.]"


@pytest.mark.parametrize("changed", ["kernels/rotation.py", "kernels/lanes.py", "_cpu/compile.py"])
def test_other_sources_have_another_folder(tmp_path, changed):
    copy = tmp_path / "gpusvd"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(HASH, tmp_path, tmp_path) == SOURCES
    with (copy / changed).open("a") as source:
        source.write("# changed\n")
    assert run(HASH, tmp_path, tmp_path) != SOURCES


def test_without_a_home_nothing_is_kept(monkeypatch):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    monkeypatch.setattr(cache.config, "CACHE_DIR", "")
    assert cache.cache_folder("sources") is None


def test_where_nothing_can_be_written_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "_bases", lambda: iter([tmp_path / "file"]))
    assert cache.cache_folder("sources") is None
