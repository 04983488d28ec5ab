"""Machine code kept on disk: found again, never stale, and not needed."""

import logging
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
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.relative_to(tmp_path).as_posix().startswith(f"gpusvd/{SOURCES}/svdvals_tiny_2x2-float64-")
    written, content = path.stat().st_mtime_ns, path.read_bytes()

    assert run(f"{ONE_CALL}; import sys; print('numba' in sys.modules)", tmp_path) == "[4. 3.]\nFalse"
    assert path.stat().st_mtime_ns == written

    path.write_bytes(content[:1000])
    assert run(ONE_CALL, tmp_path) == "[4. 3.]"
    assert path.read_bytes() == content


@pytest.mark.parametrize("changed", ["kernels/rotation.py", "_cpu/compile.py", "_cpu/bitcode.py"])
def test_other_sources_have_another_folder(tmp_path, changed):
    copy = tmp_path / "gpusvd"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    rotation = copy / "kernels/rotation.py"
    rotation.write_bytes(rotation.read_bytes().replace(b"\n", b"\r\n"))  # as Git may check it out on Windows
    assert run(HASH, tmp_path, tmp_path) == SOURCES
    with (copy / changed).open("a") as source:
        source.write("# changed\n")
    assert run(HASH, tmp_path, tmp_path) != SOURCES


def test_without_a_home_nothing_is_kept(monkeypatch):
    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert cache.cache_folder("sources") is None


def test_where_nothing_can_be_written_nothing_is_kept_and_that_is_said_once(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "_bases", lambda: iter([tmp_path / "file"]))
    cache._warn_that_nothing_is_kept.cache_clear()
    for _ in range(2):
        assert cache.cache_folder("sources") is None
    assert [(record.name, record.levelno) for record in caplog.records] == [("gpusvd", logging.WARNING)]
    assert "NUMBA_CACHE_DIR" in caplog.text
