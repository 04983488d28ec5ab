"""The comparison of two commits: its interval, and its verdict with processes that really run."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compare

ROOT = Path(__file__).parents[2]


def test_the_interval_holds_the_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        busy = rng.lognormal(0, 0.5, 25)  # of the machine, for both of a pair
        a, b = busy * rng.lognormal(0, 0.05, 25), 1.3 * busy * rng.lognormal(0, 0.05, 25)
        ratio, (low, high) = compare.ratio_and_interval(a, b, draws=300)
        assert low <= ratio <= high
        held += low <= 1.3 <= high
    assert held >= 88


def test_outliers_do_not_make_a_loss():
    a = np.ones(9)
    b = np.ones(9)
    b[:3] = 100
    assert compare.ratio_and_interval(a, b)[1][0] == 1


@pytest.mark.alone
@pytest.mark.skipif(shutil.which("git") is None, reason="needs Git")
def test_commits_by_turns(tmp_path):
    """Two packages, of which one takes longer."""
    for name, seconds in (("a", 0.001), ("b", 0.01)):
        package = tmp_path / name / "gpusvd"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(
            f"import time\ndef svd(a, **options):\n    time.sleep({seconds})\n"
        )
    case = compare.Case("complex64", 2, 2, "thin", 3)
    (row,) = compare.measured([tmp_path / "a", tmp_path / "b"], [case], pairs=5, limit=2.0)
    assert row["interval"][0] > 2
    assert row["seconds"][1]["p50"] > 0.01


@pytest.mark.skipif(shutil.which("git") is None, reason="needs Git")
def test_worktrees_are_gone_afterwards(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one")
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    commit = compare.git("rev-parse", "HEAD")
    with compare.worktrees([commit, commit]) as folders:
        assert [(folder / "file").read_text() for folder in folders] == ["one", "one"]
        assert len(compare.git("worktree", "list").splitlines()) == 3
    assert not any(folder.exists() for folder in folders)
    assert len(compare.git("worktree", "list").splitlines()) == 1
