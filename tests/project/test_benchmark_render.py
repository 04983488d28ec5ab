"""What README.md, benchmarks/README.md and the charts show is what the committed runs say."""

import copy
import json
import re

import pytest

from benchmarks import charts, readme, render
from benchmarks.device import table
from benchmarks.measure import count_filling, two_digits
from tests.support.device_benchmark import made_up_run


def test_the_readme_is_as_rendered():
    text = render.README.read_text(encoding="utf-8")
    assert render.readme(text, render.RESULTS) == text, "run python -m benchmarks.render"


def test_the_charts_are_as_rendered():
    drawn = render.rendered_charts(render.RESULTS)
    assert {path.name for path in drawn} == {path.name for path in render.PICTURES.glob("*.svg")}
    stale = [path.name for path, chart in drawn.items() if path.read_text(encoding="utf-8") != chart]
    assert stale == [], "run python -m benchmarks.render"


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
    begin, end = render.marks("speed")
    others = "".join(render.marks("losses"))
    text = f"{others} before {begin} old {end} after"
    assert render.replaced(text, "new", "speed") == f"{others} before {begin}\n\nnew\n\n{end} after"
    with pytest.raises(ValueError, match="lacks the comments"):
        render.replaced("no comments", "new", "speed")


# Against NumPy


def cpu_run(date, dtype, ratios, cores="2", section="square", **more):
    """A run of `benchmarks.compare_numpy` with square matrices of these sizes."""
    ran_on = dict.fromkeys(readme.MACHINE, "1.0") | {"cpu": "Made Up", "cores": cores, "blas": "mkl 1"}
    ran_on |= {"date": f"{date}T00:00:00+00:00", "commit": f"of {date}"}
    row = {"section": section, "dtype": dtype, "work": "thin"}
    rows = [
        row | {"n": n, "m": n, "ratio": {"auto": ratio, "jacobi": ratio / 3}} | more
        for n, ratio in ratios.items()
    ]
    return {"provenance": ran_on, "rows": rows}


def test_the_newest_cpu_run_of_each_dtype():
    runs = [
        cpu_run("2026-01-03", "float32", {2: 36.4, 8: 9.96, 16: 3.0, 32: 1.25}),
        cpu_run("2026-01-01", "float32", {2: 1.0}),
        cpu_run("2026-01-02", "float64", {2: 0.949, 4: 8.0}),
        cpu_run("2026-01-01", "complex64", {2: 5.0}, cores="64"),
        cpu_run("2026-01-04", "complex64", {2: 5.0}, section="sweep"),
    ]
    ratios = readme.square_ratios(runs)
    assert ratios == {"float32": {2: 36.4, 8: 9.96, 16: 3.0, 32: 1.25}, "float64": {2: 0.949, 4: 8.0}}
    text = readme.speed(runs)
    small = "0.95 to 36 times as fast as `numpy.linalg.svd` for n × n matrices with n = 2 to 8"
    assert text.startswith(f"**{small}, 1.2 to 3.0 times with n = 16 to 32.**")
    assert "on 2026-01-02 and 2026-01-03" in text.replace("\n", " ")


def test_without_a_cpu_run():
    assert readme.speed([]) == readme.losses([], []) == readme.NOTHING


def test_where_it_loses():
    seconds = {"numpy": {"p50": 5e-6}, "auto": {"p50": 25e-6}}
    run = cpu_run("2026-01-01", "float64", {2: 9.0})
    for section, n, ratio in (("single", 2, 0.2), ("sweep", 4, 0.5), ("sweep", 256, 2.0)):
        more = cpu_run("", "float64", {n: ratio}, section=section, seconds=seconds, batch=16)
        run["rows"] += more["rows"]
    counts = {t: count_filling(10, 128, 128, t, "thin") for t in ("float32", "float64")}
    case = {"threads": 1, "m": 128, "n": 128, "work": "thin"}
    beside = [
        {
            "provenance": run["provenance"],
            "rows": [
                case
                | {"dtype": dtype, "batch": counts[dtype], "seconds": seconds | {"torch": {"p50": torch}}}
                for dtype, torch in (("float32", 1e-5), ("float64", 2e-5))
            ],
        }
    ]
    text = readme.losses([run], beside).replace("\n ", "")
    assert "about 20 µs longer" in text
    assert "16 matrices of 4 × 4 (float64), takes 2.0 times" in text
    assert "gpusvd used all 2." in text
    assert "up to 2.5 times as fast in single precision" in text
    assert "up to 1.2 times in double" in text
    assert "takes 3.0 times as long at 256 × 256 (float64)" in text


def test_a_chart_has_a_bar_for_every_ratio():
    series = {"float32": {2: 4.0, 8: 0.5}, "float64": {2: 1.5}}
    chart = charts.bars("Speed-up", series, charts.DTYPE_COLOURS, "dark")
    assert chart.count("<rect") == 3 + 2  # and two in the legend
    heights = {
        text: float(height)
        for height, text in re.findall(
            r'height="([\d.]+)" fill="#\w+"/>\n<text class="value".*?>(.*?)<', chart
        )
    }
    assert heights.keys() == {"4.0", "0.50", "1.5"}
    assert heights["4.0"] == pytest.approx(2 * heights["0.50"], abs=0.2)  # on a scale of logarithms


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, ""), (0.994, "0.99"), (0.996, "1.0"), (9.94, "9.9"), (9.96, "10"), (123.4, "123")],
)
def test_two_digits(ratio, text):
    assert two_digits(ratio) == text
