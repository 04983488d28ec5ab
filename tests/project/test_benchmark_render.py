"""The README's tables are what the committed runs say."""

import copy
import json

import pytest

from benchmarks import render
from benchmarks.device import table
from tests.support.device_benchmark import made_up_run


def test_the_readme_is_as_rendered():
    text = render.README.read_text()
    assert render.readme(text, render.RESULTS) == text, "run python -m benchmarks.render"


def test_the_page_and_the_pictures_are_as_rendered():
    text = render.PAGE.read_text(encoding="utf-8")
    assert render.page(text, render.RESULTS) == text, "run python -m benchmarks.render"
    assert render.stale_figures(render.RESULTS) == [], "run python -m benchmarks.render"


def test_without_a_run():
    assert table.markdown([]) == "Nothing has been measured on a GPU."
    failed = made_up_run()
    failed["rows"] = [row for row in failed["rows"] if row["part"] != "speed"]
    assert table.newest_of_each_gpu([failed]) == []


def test_a_table():
    text = table.markdown([made_up_run()])
    assert "fill an **Made Up 1**" in text
    up_to_32, beyond = text.split("Beyond 32 x 32")
    assert "| n | 3 | 8 |\n| --- | --- | --- |\n" in up_to_32
    assert "| float32, matrices a second | 14.8M | 781k |" in up_to_32
    assert "| float64, times `cupy.linalg.svd` | 20 | 20 |" in up_to_32
    assert "| n | 64 |" in beyond
    assert "complex64" not in text
    footnote = text.split("\n\n")[-1].replace("\n", " ")
    assert "commit abc, CuPy 14.0, CUDA 13.0, driver 1.2." in footnote
    assert "CuPy got a part of the larger batches" in footnote
    for line in text.splitlines():
        if line.startswith("| float32, of the bound"):
            cells = [cell.strip() for cell in line.split("|")[2:-1]]
            assert all(cell.endswith("%") for cell in cells)


def test_the_newest_run_of_each_gpu(tmp_path):
    old, new, other = (copy.deepcopy(made_up_run()) for _ in range(3))
    new["provenance"] |= {"date": "2026-02-01T00:00:00+00:00", "commit": "new"}
    other["provenance"]["machine"]["gpu"] = "Another"
    for name, run in (("z", old), ("a", new), ("m", other)):
        (tmp_path / f"device-{name}.json").write_text(json.dumps(run))
    (tmp_path / "compare_numpy-1.json").write_text("{}")
    runs = table.newest_of_each_gpu(render.documents(tmp_path, "device"))
    assert [table.gpu(run) for run in runs] == ["Another", "Made Up 1"]
    assert runs[1]["provenance"]["commit"] == "new"


def test_what_is_missing_stays_empty():
    run = made_up_run()
    for row in run["rows"]:
        if row["part"] == "speed" and row["n"] == 3:
            row["rate"].pop("cupy", None)
            row.pop("of_bound", None)
    text = table.markdown([run])
    assert "| float32, times `cupy.linalg.svd` |  | 20 |" in text


def test_the_block_is_replaced_and_nothing_else():
    begin, end = render.marks("CPU")
    others = "".join(render.marks(""))
    text = f"{others} before {begin} old {end} after"
    assert render.replaced(text, "new", "CPU") == f"{others} before {begin}\n\nnew\n\n{end} after"
    with pytest.raises(ValueError, match="lacks the comments"):
        render.replaced("no comments", "new", "CPU")


# The CPU's table


def cpu_run(date, dtype, ratios, cores="2", section="square"):
    """A run of `benchmarks.compare_numpy` with square matrices of these sizes."""
    ran_on = dict.fromkeys(render.MACHINE, "1.0") | {"cpu": "Made Up", "cores": cores, "blas": "mkl 1"}
    ran_on |= {"date": f"{date}T00:00:00+00:00", "commit": f"of {date}"}
    rows = [
        {"section": section, "dtype": dtype, "n": n, "work": "thin", "ratio": {"auto": ratio, "jacobi": 0.1}}
        for n, ratio in ratios.items()
    ]
    return {"provenance": ran_on, "rows": rows}


def test_the_newest_cpu_run_of_each_dtype():
    runs = [
        cpu_run("2026-01-03", "float32", {2: 36.4, 8: 9.96}),
        cpu_run("2026-01-01", "float32", {2: 1.0}),
        cpu_run("2026-01-02", "float64", {2: 0.949, 4: 8.0}),
        cpu_run("2026-01-01", "complex64", {2: 5.0}, cores="64"),
        cpu_run("2026-01-04", "complex64", {2: 5.0}, section="sweep"),
    ]
    text = render.cpu(runs)
    assert text.startswith("| n | 2 | 4 | 8 |\n| --- | --- | --- | --- |\n")
    assert "| float32 | 36 |  | 10 |\n" in text
    assert "| float64 | 0.95 | 8.0 |  |\n" in text
    assert "complex64" not in text
    assert "on 2026-01-02 and 2026-01-03" in text.replace("\n", " ")


def test_without_a_cpu_run():
    assert render.cpu([]) == render.NOTHING


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, ""), (0.994, "0.99"), (0.996, "1.0"), (9.94, "9.9"), (9.96, "10"), (123.4, "123")],
)
def test_two_digits(ratio, text):
    assert render.two_digits(ratio) == text
