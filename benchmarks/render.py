"""Write what the runs under results/ say: the figures in README.md, the tables of benchmarks/README.md, and
the charts and pictures in docs/benchmarks/.

Rendered text stands between two comments and is never edited by hand. A chart is text too. A picture carries
the name of the file that it was drawn from, and is redrawn when there is a newer run. A test fails where any
of them is out of date.
"""

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import CONTENDERS, GROUPS, chosen, summary
from benchmarks.accuracy import DTYPES as ACCURACY_DTYPES
from benchmarks.ceilings import growth, rows_of
from benchmarks.charts import charts
from benchmarks.device.table import short as three_digits
from benchmarks.measure import DTYPES, HERE, Document, Row, paragraph, table, two_digits
from benchmarks.peers import best_peer, filling
from benchmarks.readme import NOTHING, losses, speed

RESULTS = HERE / "results"
README = HERE.parent / "README.md"
PAGE = HERE / "README.md"
PICTURES = HERE.parent / "docs" / "benchmarks"
KINDS = [(dtype, work) for work in ("thin", "values") for dtype in DTYPES]
GROWTH = "![Time against n and against the batch, beside n³ and a line](../docs/benchmarks/growth.png)"
LOW = 0.03  # eps; what is below lies there
Cell = Callable[[Row], str]
SOURCE = "Source"  # the key in a picture's metadata
COLOURS = dict(zip(CONTENDERS, ("black", "tab:red", "tab:green", "tab:blue", "tab:orange"), strict=True))


def main() -> int:
    for path, render in ((README, readme), (PAGE, page)):
        text = path.read_text(encoding="utf-8")
        new = render(text, RESULTS)
        if new != text:
            path.write_text(new, encoding="utf-8")
        print(f"{path} {'is written' if new != text else 'is as it should be'}")
    for path, chart in rendered_charts(RESULTS).items():
        path.write_text(chart, encoding="utf-8")
    for path, source in stale_figures(RESULTS):
        draw(path, source.name, json.loads(source.read_text()))
        print(f"{path} is drawn")
    return 0


def readme(text: str, results: Path) -> str:
    """Return the README with the figures that the runs in a folder give."""
    found, beside = documents(results, "compare_numpy"), documents(results, "peers")
    text = replaced(text, speed(found), "speed")
    return replaced(text, losses(found, beside), "losses")


def page(text: str, results: Path) -> str:
    """Return benchmarks/README.md with the tables that the runs in a folder give."""
    for kind, table_of in TABLES.items():
        text = replaced(text, table_of(documents(results, kind)), kind)
    return text


def documents(folder: Path, kind: str) -> list[Document]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{kind}-*.json"))]


def replaced(text: str, block: str, kind: str) -> str:
    """Return the text with another block between the two comments of a kind."""
    begin, end = marks(kind)
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the README lacks the comments {begin} and {end}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def marks(kind: str) -> tuple[str, str]:
    """Return the comments before and after a rendered part."""
    words = f"{kind}, written by python -m benchmarks.render"
    return f"<!-- {words}: -->", f"<!-- :{words} -->"


def newest(found: Sequence[Document]) -> Document | None:
    return max(found, key=lambda run: str(run["provenance"]["date"]), default=None)


def measured_on(run: Document) -> str:
    """Where, when and of what: the line below a table."""
    ran_on = run["provenance"]
    versions = {"NumPy": ran_on["numpy"], "numba": ran_on["numba"], **ran_on.get("peers", {})}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = (
        f"{str(ran_on['date'])[:10]}, `python {ran_on['command']}`, commit {ran_on['commit']}, "
        f"{ran_on['cores']} cores of an {ran_on['cpu']}, {ran_on['blas']}, {listed}."
    )
    return paragraph(text)


def by_kind(sizes: Mapping[Any, object], rows: Mapping[tuple[str, str, Any], Row], cell: Cell) -> str:
    """A table of sizes, by their names, down, and of dtypes and kinds of work across."""
    kinds = [kind for kind in KINDS if any((*kind, size) in rows for size in sizes)]
    lines = [
        [name, *(cell(rows[*kind, size]) if (*kind, size) in rows else "" for kind in kinds)]
        for size, name in sizes.items()
    ]
    heading = [dtype if work == "thin" else f"{dtype}, values only" for dtype, work in kinds]
    return table(["n", *heading], lines)


# Peers


def peers(found: Sequence[Document]) -> str:
    """The best peer's time over ours, a table for each number of threads."""
    rows = filling(found)
    if not rows:
        return NOTHING
    sizes = {n: n for n in sorted({n for *_, n in rows})}
    parts = []
    for threads in sorted({threads for threads, *_ in rows}):
        of_threads = {tuple(case): row for (count, *case), row in rows.items() if count == threads}
        parts += [f"With {threads} thread{'s' * (threads > 1)}:", by_kind(sizes, of_threads, against_best)]
    runs = sorted(found, key=lambda run: str(run["provenance"]["date"]))
    return "\n\n".join([*parts, *(measured_on(run) for run in runs)])


def against_best(row: Row) -> str:
    name, ratio = best_peer(row)
    return f"{two_digits(ratio)} {name}"


# Ceilings


def ceilings(found: Sequence[Document]) -> str:
    run = newest(found)
    if run is None:
        return NOTHING
    rows = [row for row in run["rows"] if row["section"] == "size"]
    sizes = {n: n for n in sorted({row["n"] for row in rows})}
    cases = {(row["dtype"], row["work"], row["n"]): row for row in rows}
    peaks = []
    for dtype in DTYPES[:2]:
        mine = [row["ceilings"]["multiply_adds"] for row in rows if row["dtype"] == dtype]
        if mine:
            peaks.append(f"{2e-9 * statistics.median(mine):.0f} Gflop/s in {dtype}")
    copied = 1e-9 * statistics.median(row["ceilings"]["bytes"] for row in rows)
    said = f"Ceilings: {', '.join(peaks)}; {copied:.1f} GB/s copied, read and written."
    return "\n\n".join(
        [
            GROWTH,
            "Percent of the machine's multiply-adds:",
            by_kind(sizes, cases, lambda row: f"{100 * row['of_multiply_adds']:.0f}"),
            "Percent of its copy bandwidth:",
            by_kind(sizes, cases, lambda row: f"{100 * row['of_bytes']:.0f}"),
            said,
            growths(rows),
            measured_on(run),
        ]
    )


def growths(rows: Sequence[Row]) -> str:
    """The powers of n with which times grow."""
    powers = []
    for dtype, work in KINDS:
        if found := rows_of(rows, dtype, work):
            powers.append(f"n^{growth(found, 'n'):.2f} ({dtype}{', values only' * (work == 'values')})")
    return paragraph(f"From n = 16 on, time grows as {', '.join(powers)}.")


# Accuracy


def accuracy(found: Sequence[Document]) -> str:
    run = newest(found)
    if run is None:
        return NOTHING
    lines = []
    for dtype, group in product(ACCURACY_DTYPES, GROUPS):
        for found_of in summary(chosen(run["rows"], dtype, group)):
            cells = [
                " / ".join(short(found_of[what][p]) for p in ("p50", "p80", "worst"))
                for what in ("residual", "orthogonality", "relative")
            ]
            failed = f"{found_of['failed']} of {found_of['matrices']}"
            cells += [f"{100 * found_of['right']:.1f}%", failed]
            lines.append([f"{dtype}, {group}: {found_of['contender']}", *cells])
    heading = ["", "residual", "orthogonality", "relative error", "within 100 eps", "failed"]
    return f"{table(heading, lines)}\n\n{measured_on(run)}"


def short(x: float) -> str:
    return f"{x:.2g}" if x < 100 else f"{x:.0f}" if x < 10_000 else f"{x:.0e}".replace("e+", "e")


# First use


def first_use(found: Sequence[Document]) -> str:
    run = newest(found)
    if run is None:
        return NOTHING
    rows = run["rows"]
    memory = ["memory of a later Jacobi call beyond input and outputs, at most"]
    for dtype in first_call_dtypes(rows):
        found_of = [row["mebibytes"] for row in rows if row["what"] == "memory" and row["dtype"] == dtype]
        memory.append(f"{max(found_of):.1f} MiB" if found_of else "")
    seconds = next(row["seconds"] for row in rows if row["what"] == "import")
    said = f"`import gpusvd` takes {seconds:.2f} s."
    return "\n\n".join([first_calls(rows, memory), said, measured_on(run)])


FIRST_CALLS = {
    "svd, from a release": ("thin", "release", 0),
    "svd, from other sources": ("thin", "cold", 0),
    "svd, from the cache": ("thin", "warm", 0),
    "svdvals, from a release": ("values", "release", 0),
    "svdvals, from other sources": ("values", "cold", 0),
    "svdvals, from the cache": ("values", "warm", 0),
    "then svdvals of graded columns, from a release": ("values", "release", 1),
    "then svdvals of graded columns, from other sources": ("values", "cold", 1),
}


def first_calls(rows: Sequence[Row], *more: Sequence[str]) -> str:
    """A table of the seconds of first calls, dtypes across, with more lines below."""
    calls = {(row["dtype"], row["work"]): row for row in rows if row["what"] == "first call"}
    dtypes = first_call_dtypes(rows)
    lines = [
        [name, *(first_call(calls[dtype, work], state, call) for dtype in dtypes)]
        for name, (work, state, call) in FIRST_CALLS.items()
    ]
    return table(["", *dtypes], [*lines, *more])


def first_call_dtypes(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["dtype"] for row in rows if row["what"] == "first call"))


def first_call(row: Row, state: str, call: int) -> str:
    """The seconds of one of a row's calls; nothing in runs from before there was bitcode."""
    return f"{row[state][call]:.2f} s" if state in row else ""


# Instructions


def instructions(found: Sequence[Document]) -> str:
    """What a matrix costs a GPU by the instructions that kernels execute; of each case the newest."""
    runs = sorted(found, key=lambda run: str(run["provenance"]["date"]))
    sources = {
        (row["dtype"], row["work"], (row["m"], row["n"])): (row, run) for run in runs for row in run["rows"]
    }
    if not sources:
        return NOTHING
    cases = {case: row for case, (row, _) in sources.items()}
    shapes = sorted({shape for *_, shape in cases}, key=lambda shape: (shape[0] != shape[1], shape))
    names = {(m, n): n if m == n else f"{m} x {n}" for m, n in shapes}
    parts = [part for what, cell in INSTRUCTION_CELLS.items() for part in (what, by_kind(names, cases, cell))]
    used = [run for run in runs if any(source is run for _, source in sources.values())]
    return "\n\n".join([COMPUTED, *parts, *map(computed_by, used)])


COMPUTED = "**Computed from executed instructions, not measured.**"
INSTRUCTION_CELLS: dict[str, Callable[[Row], str]] = {
    "Issue slots a matrix:": lambda row: three_digits(row["slots"]),
    "Matrices a second at most:": lambda row: (
        three_digits(row["rate"]) + ("" if row["bound_by"] == "issue" else f" {row['bound_by']}")
    ),
    "Percent of the bound of arithmetic:": lambda row: f"{100 * row['of_arithmetic']:.0f}",
}


def computed_by(run: Document) -> str:
    ran_on = run["provenance"]
    return paragraph(
        f"{str(ran_on['date'])[:10]}, `python {ran_on['command']}`, commit {ran_on['commit']}, "
        f"ptxas {ran_on['ptxas']}."
    )


TABLES: dict[str, Callable[[Sequence[Document]], str]] = {
    "peers": peers,
    "ceilings": ceilings,
    "accuracy": accuracy,
    "first_use": first_use,
}


# Charts and pictures


def rendered_charts(results: Path) -> dict[Path, str]:
    drawn = charts(documents(results, "compare_numpy"), documents(results, "peers"))
    return {PICTURES / name: chart for name, chart in drawn.items()}


def stale_figures(results: Path) -> list[tuple[Path, Path]]:
    """Return the pictures that are not of the newest run, each with the file of that."""
    stale = []
    for name, (kind, _) in FIGURES.items():
        runs = sorted(results.glob(f"{kind}-*.json"), key=date)
        if runs and drawn_from(PICTURES / name) != runs[-1].name:
            stale.append((PICTURES / name, runs[-1]))
    return stale


def date(path: Path) -> str:
    return str(json.loads(path.read_text())["provenance"]["date"])


def drawn_from(path: Path) -> str:
    """The name of the run that a picture was drawn from; nothing where there is no picture."""
    from PIL import Image

    if not path.exists():
        return ""
    with Image.open(path) as picture:
        return str(picture.info.get(SOURCE, ""))


def draw(path: Path, source: str, run: Document) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    FIGURES[path.name][1](run).savefig(path, dpi=90, metadata={SOURCE: source, "Software": None})


def growth_figure(run: Document) -> Any:
    """Microseconds of a matrix against n beside n³, and seconds of a batch against its size beside a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_size, by_batch = figure.subplots(1, 2)
    sizes = [row for row in run["rows"] if row["section"] == "size" and row["work"] == "thin"]
    for dtype in dict.fromkeys(row["dtype"] for row in sizes):
        mine = [row for row in sizes if row["dtype"] == dtype]
        n = np.array([row["n"] for row in mine])
        times = [1e6 * row["seconds"]["jacobi"]["p50"] / row["batch"] for row in mine]
        by_size.loglog(n, times, "o-", markersize=3, label=dtype)
        if dtype == mine[-1]["dtype"] == sizes[-1]["dtype"]:
            by_size.loglog(n, times[-1] * (n / n[-1]) ** 3.0, "k:", label="n³")
    by_size.set(xlabel="n", ylabel="microseconds a matrix", title='thin SVD of n × n, driver="jacobi"')
    batches = [row for row in run["rows"] if row["section"] == "batch" and row["dtype"] == "float32"]
    for size in dict.fromkeys(row["n"] for row in batches):
        mine = [row for row in batches if row["n"] == size]
        count = np.array([row["batch"] for row in mine])
        times = [row["seconds"]["jacobi"]["p50"] for row in mine]
        by_batch.loglog(count, times, "o-", markersize=3, label=f"{size} × {size}")
        by_batch.loglog(count, times[-1] * count / count[-1], "k:", linewidth=1)
    by_batch.set(xlabel="matrices", ylabel="seconds", title="float32; dotted: linear")
    for axes in (by_size, by_batch):
        axes.legend()
        axes.grid(alpha=0.3)
    return figure


def accuracy_figure(run: Document) -> Any:
    """Errors in ascending order: the share of matrices, or of singular values, that are below a height.

    What is wrong altogether is cut at 10 / eps; an error of a singular value taken for zero is 1 / eps.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True)
    kinds = [
        ("residual", GROUPS[0]),
        ("orthogonality", GROUPS[0]),
        *(("relative", group) for group in GROUPS),
    ]
    for (row, dtype), (column, (what, group)) in product(enumerate(ACCURACY_DTYPES), enumerate(kinds)):
        axes = panels[row, column]
        wrong = 10 / float(np.finfo(dtype).eps)  # no digit is right from 1 / eps on
        for contender in CONTENDERS:
            good = [
                r
                for r in chosen(run["rows"], dtype, group)
                if r["contender"] == contender and "failed" not in r
            ]
            if good:
                errors = np.sort(np.hstack([r[what] for r in good]))
                share = (np.arange(len(errors)) + 0.5) / len(errors)
                label = 'gpusvd, driver="jacobi"' if contender == "jacobi" else contender
                axes.semilogy(share, np.clip(errors, LOW, wrong), color=COLOURS[contender], label=label)
        axes.grid(alpha=0.3)
        name = "relative error of singular values" if what == "relative" else what
        axes.set_title(f"{dtype}: {name},\n{group}", fontsize=9)
    for axes in panels[1]:
        axes.set_xlabel("share")
    for axes in panels[:, 0]:
        axes.set_ylabel("eps")
    panels[0, 0].legend(fontsize=7)
    return figure


FIGURES: dict[str, tuple[str, Callable[[Document], Any]]] = {
    "growth.png": ("ceilings", growth_figure),
    "accuracy.png": ("accuracy", accuracy_figure),
}


if __name__ == "__main__":
    sys.exit(main())
