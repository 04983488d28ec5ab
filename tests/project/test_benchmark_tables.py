"""Peers and ceilings: which cases there are, what wins, how time grows, and the tables and pictures of it."""

import json

import numpy as np
import pytest

from benchmarks import ceilings, peers, render
from benchmarks.measure import count_filling

RAN_ON = dict.fromkeys(("commit", "cores", "cpu", "blas", "numpy", "numba", "command"), "x")


def run_of(rows, date="2026-01-01T00:00:00+00:00"):
    return {"provenance": RAN_ON | {"date": date}, "rows": rows}


def timed(**seconds):
    return {name: dict.fromkeys(("p20", "p50", "p80"), time) for name, time in seconds.items()}


def peer_row(n, auto, batch=None, **others):
    filling = count_filling(peers.FULL.megabytes, n, n, "float32", "thin")
    case = {"dtype": "float32", "m": n, "n": n, "work": "thin", "batch": batch or filling}
    return {"threads": 1, **case, "seconds": timed(jacobi=0.1, auto=auto, **others)}


def ceiling_row(section, n, batch, seconds):
    row = {"section": section, "dtype": "float32", "n": n, "work": "thin", "batch": batch}
    row |= {"ceilings": {"multiply_adds": 1e9, "bytes": 2e9}, "of_multiply_adds": 0.254, "of_bytes": 0.016}
    return row | {"seconds": timed(jacobi=seconds)}


GROWING = [ceiling_row("size", n, 7, 7e-9 * n**3) for n in (8, 16, 32, 64)]
GROWING += [ceiling_row("batch", 4, count, 1e-6 * count) for count in (1, 10, 100)]


def test_the_cases_of_peers():
    cases = list(peers.cases(("float32", "complex128"), None, peers.FULL))
    assert len(set(cases)) == len(cases)
    assert {case.n for case in cases} >= set(peers.SIZES)
    assert max(case.batch for case in cases) == 1_000_000
    assert {case.work for case in cases if case.m > case.n} == {"thin", "full", "values"}
    assert all(case.m == case.n == 8 for case in peers.cases(("float64",), [8], peers.QUICK))


def test_the_table_of_peers_takes_the_newest_of_each_case(capsys):
    old = run_of([peer_row(2, 1.0, numpy=9.0), peer_row(4, 1.0, numpy=4.0)])
    new = run_of([peer_row(2, 2.0, numpy=7.0, jax=1.0)], "2026-02-01T00:00:00+00:00")
    text = render.peers([new, old])
    assert "With 1 thread:" in text
    assert "| n | float32 |\n| --- | --- |\n| 2 | 0.50 jax |\n| 4 | 4.0 numpy |\n" in text
    assert "2026-01-01" in text
    assert "2026-02-01" in text
    assert render.peers([]) == render.NOTHING
    peers.print_losses(old["rows"] + new["rows"])
    assert "behind the best peer in 1 of 3 cases" in capsys.readouterr().out


def test_a_case_of_peers_is_measured():
    effort = peers.QUICK._replace(seconds=1e-4)
    row = peers.measured(
        peers.Case("complex64", 3, 2, "thin", 40),
        {k: peers.contenders.PEERS[k] for k in ("numpy", "gejsv")},
        effort,
    )
    assert set(row["seconds"]) == {"jacobi", "auto", "numpy"}
    assert "gejsv" in row["refused"]
    assert 2 <= row["batches"]["numpy"] <= 40 == row["batches"]["auto"]
    assert peers.best_peer(row)[0] == "numpy"


def test_growth():
    assert ceilings.growth([row for row in GROWING if row["section"] == "size"], "n") == pytest.approx(3)
    assert ceilings.growth([row for row in GROWING if row["section"] == "batch"], "batch") == pytest.approx(1)


def test_the_multiply_adds_that_are_needed():
    values, thin = (ceilings.needed(8, "float64", work, 5.0) for work in ("values", "thin"))
    assert values == pytest.approx(4 / 3 * 512)
    assert thin == pytest.approx(5 * 28 * 8 * 5 + 2 / 3 * 512 + 512)
    assert ceilings.needed(64, "complex64", "thin", 5.0) > 3.9 * ceilings.needed(64, "float32", "thin", 5.0)


def test_the_table_of_ceilings():
    text = render.ceilings([run_of(GROWING)])
    assert "multiply-adds:\n\n| n | float32 |\n| --- | --- |\n| 8 | 25 |\n| 16 | 25 |" in text
    assert "copy bandwidth:\n\n| n | float32 |\n| --- | --- |\n| 8 | 2 |\n| 16 | 2 |" in text
    assert "time grows as n^3.00 (float32)." in text
    assert "2 Gflop/s in float32; 2.0 GB/s copied" in text
    assert render.ceilings([]) == render.NOTHING


@pytest.mark.parametrize("loop", ceilings.LOOPS.values())
def test_a_loop_of_multiply_adds_leaves_its_room_alone(loop):
    room = np.full(16, 0.5)
    loop(room, 1000)
    assert (room == 0.5).all()


def test_a_picture_is_drawn_once_for_a_run(tmp_path, monkeypatch):
    results, pictures = tmp_path / "results", tmp_path / "pictures"
    results.mkdir()
    monkeypatch.setattr(render, "PICTURES", pictures)
    (results / "ceilings-z.json").write_text(json.dumps(run_of(GROWING)))
    ((path, source),) = render.stale_figures(results)
    render.draw(path, source.name, json.loads(source.read_text()))
    assert render.stale_figures(results) == []
    (results / "ceilings-a.json").write_text(json.dumps(run_of(GROWING, "2026-02-01T00:00:00+00:00")))
    assert [source.name for _, source in render.stale_figures(results)] == ["ceilings-a.json"]


def test_the_table_of_first_use():
    call = {"what": "first call", "dtype": "float64"}
    thin = call | {"work": "thin", "cold": [9.04, 1.0], "release": [1.25, 0.9], "warm": [0.456, 0.1]}
    values = call | {"work": "values", "cold": [4.51, 8.96], "release": [0.5, 0.75], "warm": [0.32, 0.2]}
    memory = {"what": "memory", "dtype": "float64", "mebibytes": 3.21}
    import_ = {"what": "import", "seconds": 0.123}
    text = render.first_use([run_of([import_, thin, values, memory])])
    cells = ("1.25 s", "9.04 s", "0.46 s", "0.50 s", "4.51 s", "0.32 s", "0.75 s", "8.96 s", "3.2 MiB")
    assert tuple(line.split(" | ")[1].rstrip(" |") for line in text.splitlines()[2:11]) == cells
    del thin["release"]
    assert "| svd, from a release |  |" in render.first_use([run_of([import_, thin, values, memory])])
    assert "takes 0.12 s" in text
