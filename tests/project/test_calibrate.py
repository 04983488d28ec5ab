"""The calibration of the auto driver finds the size where the faster one changes, and rewrites the table."""

import runpy
import shutil

import pytest

from benchmarks import calibrate
from gpusvd._svd import driver_table as _driver_table


@pytest.mark.parametrize(
    ("slower", "found"),
    [
        ({}, 48),
        ({(32, 8)}, 16),
        ({(32, 1), (16, 4)}, 48),  # one matrix and four decide nothing
        ({(48, "many")}, 32),
        ({(16, 8), (32, "many")}, 8),
    ],
)
def test_largest_size(slower, found, monkeypatch):
    sizes = []

    def random_batch(count, m, n, dtype, hermitian):
        sizes.append((n, count))
        return range(count)

    def compare(calls, rounds):
        (n, many), batch = sizes[-1], len(calls["jacobi"])
        is_slower = (n, batch) in slower or ((n, "many") in slower and batch == many)
        return {"jacobi": {"p50": 1.1 if is_slower else 1.0}, "vendor": {"p50": 1.0}}

    monkeypatch.setattr(calibrate, "random_batch", random_batch)
    monkeypatch.setattr(calibrate, "compare", compare)
    monkeypatch.setattr(calibrate, "call", lambda a, driver, options: a)
    rows = []
    effort = calibrate.Effort(sizes=(16, 32, 48), rounds=1, megabytes=4)
    assert calibrate.largest_size("float32", "thin", 1, effort, rows) == found
    assert {row["batch"] for row in rows} >= {1, 4, 8}


def test_rewrite(tmp_path):
    path = tmp_path / "table.py"
    shutil.copy(_driver_table.__file__, path)
    table = {("float32", "thin"): (64, 16, 8), ("float64", "hermitian"): (16,)}
    for machine in ("one", "another"):
        calibrate.rewrite(path, table, machine, keep=False)
        written = runpy.run_path(str(path))
        assert written["JACOBI_UP_TO"] == table
        for name in ("SIZES", "ASPECTS", "LEAST", "RELATIVE"):
            assert written[name] == getattr(_driver_table, name)
        assert written["__doc__"] == _driver_table.__doc__
        assert path.read_text().count("Measured on") == 1
    assert "Measured on another." in path.read_text()
    for _ in range(2):
        calibrate.rewrite(path, table, "a third", keep=True)
    assert "\n\n# Measured on another.\n# Measured on a third.\nJACOBI_UP_TO" in path.read_text()


def test_smaller():
    assert calibrate.smaller((64, 16, 8), (32, 48, 8)) == (32, 16, 8)
