"""The calibration of the auto driver finds the batch where the faster one changes, and rewrites the table."""

import runpy
import shutil

import pytest

from benchmarks import calibrate
from gpusvd._svd import driver_table as _driver_table


@pytest.mark.parametrize(("changes_at", "found"), [(1, 2), (2, 2), (20, 32), (1024, 1024), (1025, None)])
def test_smallest_batch(changes_at, found, monkeypatch):
    def compare(calls, rounds):
        batch = len(calls["jacobi"]().S)
        return {"jacobi": {"p50": 1.0}, "vendor": {"p50": 2.0 if batch >= changes_at else 1.0}}

    monkeypatch.setattr(calibrate, "compare", compare)
    rows = []
    effort = calibrate.Effort(sizes=(1,), rounds=1, megabytes=4)
    assert calibrate.smallest_batch("float32", "thin", 1, 1, effort, rows) == found
    assert rows


def test_rewrite(tmp_path):
    path = tmp_path / "table.py"
    shutil.copy(_driver_table.__file__, path)
    table = {
        ("float32", "thin"): ((1, None, 1024), (2, 4, 8), (None, None, None)),
        ("float64", "hermitian"): ((16, None, 1),),
    }
    for machine in ("one", "another"):
        calibrate.rewrite(path, table, machine, keep=False)
        written = runpy.run_path(str(path))
        assert written["JACOBI_FROM"] == table
        assert written["SIZES"] == _driver_table.SIZES
        assert written["ASPECTS"] == _driver_table.ASPECTS
        assert written["__doc__"] == _driver_table.__doc__
        assert path.read_text().count("Measured on") == 1
    assert "Measured on another." in path.read_text()
    for _ in range(2):
        calibrate.rewrite(path, table, "a third", keep=True)
    assert "\n\n# Measured on another.\n# Measured on a third.\nJACOBI_FROM" in path.read_text()


def test_later():
    assert calibrate.later(((1, None, 8), (2, 4, 8)), ((2, 2, 8), (None, 1, 16))) == (
        (2, None, 8),
        (None, 4, 16),
    )
