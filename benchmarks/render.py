"""Write what the runs under results/ say: the README's tables, the CPU's from `benchmarks.compare_numpy`
and the GPU's from `benchmarks.device`, those of benchmarks/README.md and the pictures in docs/benchmarks/.

A table stands between two comments and is never edited by hand. A picture carries the name of the file that
it was drawn from, and is redrawn when there is a newer run. A test fails where either is out of date.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import CONTENDERS, GROUPS, chosen, summary
from benchmarks.accuracy import DTYPES as ACCURACY_DTYPES
from benchmarks.ceilings import growth, rows_of
from benchmarks.device.table import markdown
from benchmarks.device.table import short as three_digits
from benchmarks.measure import DTYPES, HERE, count_filling, line, paragraph
from benchmarks.peers import FULL, best_peer

RESULTS = HERE / "results"
README = HERE.parent / "README.md"
PAGE = HERE / "README.md"
PICTURES = HERE.parent / "docs" / "benchmarks"
NOTHING = "Nothing has been measured."
LINES = [(dtype, work) for work in ("thin", "values") for dtype in DTYPES]
MACHINE = ("cpu", "cores", "gpusvd", "numpy", "blas", "numba", "python")
GROWTH = "![Time against n and against the batch, beside n³ and a line](../docs/benchmarks/growth.png)"
LOW = 0.03  # eps; what is below lies there
SOURCE = "Source"  # the key in a picture's metadata
COLOURS = dict(zip(CONTENDERS, ("black", "tab:red", "tab:green", "tab:blue", "tab:orange"), strict=True))

Row = dict[str, Any]
Document = Mapping[str, Any]


def main() -> int:
    for path, render in ((README, readme), (PAGE, page)):
        text = path.read_text(encoding="utf-8")
        new = render(text, RESULTS)
        if new != text:
            path.write_text(new, encoding="utf-8")
        print(f"{path} {'is written' if new != text else 'is as it should be'}")
    for path, source in stale_figures(RESULTS):
        draw(path, source.name, json.loads(source.read_text()))
        print(f"{path} is drawn")
    return 0


def readme(text: str, results: Path) -> str:
    """Return the README with the tables that the runs in a folder give."""
    text = replaced(text, cpu(documents(results, "compare_numpy")), "CPU")
    return replaced(text, markdown(documents(results, "device")), "")


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
    """Return the comments before and after a table; those of the GPU's have no kind."""
    words = f"{kind}, written by" if kind else "written by"
    return f"<!-- {words} python -m benchmarks.render: -->", f"<!-- :{words} python -m benchmarks.render -->"


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


def two_digits(ratio: float | None) -> str:
    """36, 8.0 and 0.95; nothing for nothing."""
    if ratio is None:
        return ""
    digits = next((d for d, limit in ((2, 0.995), (1, 9.95)) if ratio < limit), 0)
    return f"{ratio:.{digits}f}"


# The README's table of the CPU


def newest_of_each_dtype(found: Iterable[Document]) -> dict[str, Document]:
    """Return the newest run that has square matrices of each dtype, of the machine measured last.

    Runs on another machine, or of other versions, are left out: a table has one machine.
    """
    runs = sorted((run for run in found if dtypes(run)), key=lambda run: str(run["provenance"]["date"]))
    alike = [run for run in runs if machine(run) == machine(runs[-1])]
    return {dtype: run for run in alike for dtype in dtypes(run)}


def dtypes(run: Document) -> set[str]:
    return {row["dtype"] for row in run["rows"] if row["section"] == "square"}


def machine(run: Document) -> tuple[Any, ...]:
    return tuple(run["provenance"][name] for name in MACHINE)


def cpu(found: Sequence[Document]) -> str:
    """The README's table, of times as fast as NumPy."""
    runs = newest_of_each_dtype(found)
    if not runs:
        return NOTHING
    rows = [
        row
        for dtype, run in runs.items()
        for row in run["rows"]
        if row["section"] == "square" and row["dtype"] == dtype
    ]
    return f"{cpu_table(rows)}\n\n{cpu_footnote(list(runs.values()))}"


def cpu_table(rows: Sequence[Row]) -> str:
    """The ratios with driver="auto": sizes across, a line for a dtype and kind of work."""
    sizes = sorted({row["n"] for row in rows})
    lines = [line("n", sizes), line("---", ["---"] * len(sizes))]
    for dtype, work in LINES:
        ratios = {
            row["n"]: row["ratio"]["auto"] for row in rows if (row["dtype"], row["work"]) == (dtype, work)
        }
        if ratios:
            heading = dtype if work == "thin" else f"{dtype}, values only"
            lines.append(line(heading, (two_digits(ratios.get(n)) for n in sizes)))
    return "\n".join(lines)


def cpu_footnote(runs: Sequence[Document]) -> str:
    ran_on = max((run["provenance"] for run in runs), key=lambda ran_on: str(ran_on["date"]))
    days = sorted({str(run["provenance"]["date"])[:10] for run in runs})
    commits = sorted({str(run["provenance"]["commit"]) for run in runs})
    blas = str(ran_on["blas"]).removeprefix("scipy-").replace("openblas", "OpenBLAS")
    parts = [
        'Medians of interleaved calls in one process with `driver="auto"`,',
        f"on {ran_on['cores']} cores of an {ran_on['cpu']} on {' and '.join(days)},",
        f"gpusvd {ran_on['gpusvd']} ({', '.join(commits)}), NumPy {ran_on['numpy']} with {blas},",
        f"numba {ran_on['numba']}, Python {ran_on['python']}, by `python -m benchmarks.compare_numpy`.",
    ]
    return paragraph(" ".join(parts))


# Peers


def peers(found: Sequence[Document]) -> str:
    """The best peer's time over ours, of square matrices in batches of 10 MB; of each case the newest."""
    cases: dict[tuple[Any, ...], Row] = {}
    runs = sorted(found, key=lambda run: str(run["provenance"]["date"]))
    for run in runs:
        for row in run["rows"]:
            key = tuple(row[name] for name in ("threads", "dtype", "m", "n", "work", "batch"))
            cases[key] = row
    filling: dict[tuple[Any, ...], Row] = {}
    for row in cases.values():
        fills = row["batch"] == count_filling(FULL.megabytes, row["m"], row["n"], row["dtype"], row["work"])
        if fills and row["m"] == row["n"] and best_peer(row)[0]:
            filling[row["threads"], row["dtype"], row["work"], row["n"]] = row
    if not filling:
        return NOTHING
    sizes = sorted({n for *_, n in filling})
    lines = [line("best peer's time over gpusvd's, n", sizes), line("---", ["---"] * len(sizes))]
    for threads, dtype, work in sorted({key[:3] for key in filling}, key=order):
        cells = [against_best(filling.get((threads, dtype, work, n))) for n in sizes]
        kind = "" if work == "thin" else ", values only"
        lines.append(line(f"{dtype}{kind}, {threads} thread{'s' * (threads > 1)}", cells))
    return "\n\n".join(["\n".join(lines), *(measured_on(run) for run in runs)])


def order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    threads, dtype, work = key
    return threads, ("thin", "values").index(work), DTYPES.index(dtype)


def against_best(row: Row | None) -> str:
    if row is None:
        return ""
    name, ratio = best_peer(row)
    return f"{two_digits(ratio)} {name}"


# Ceilings


def ceilings(found: Sequence[Document]) -> str:
    run = newest(found)
    if run is None:
        return NOTHING
    rows = [row for row in run["rows"] if row["section"] == "size"]
    sizes = sorted({row["n"] for row in rows})
    lines = [
        line("n", [*sizes, "growth"]),
        line("---", ["---"] * (len(sizes) + 1)),
    ]
    for dtype, work in product(DTYPES, ("thin", "values")):
        mine = {row["n"]: row for row in rows if (row["dtype"], row["work"]) == (dtype, work)}
        if not mine:
            continue
        kind = dtype if work == "thin" else f"{dtype}, values only"
        for what, name in (("of_multiply_adds", "of multiply-adds"), ("of_bytes", "of bandwidth")):
            cells = [f"{100 * mine[n][what]:.0f}%" if n in mine else "" for n in sizes]
            exponent = (
                f"n^{growth(rows_of(rows, dtype, work), 'n'):.2f}" if name == "of multiply-adds" else ""
            )
            lines.append(line(f"{kind}, {name}", [*cells, exponent]))
    peaks = []
    for dtype in DTYPES[:2]:
        mine = [row["ceilings"]["multiply_adds"] for row in rows if row["dtype"] == dtype]
        if mine:
            peaks.append(f"{2e-9 * statistics.median(mine):.0f} Gflop/s in {dtype}")
    copied = 1e-9 * statistics.median(row["ceilings"]["bytes"] for row in rows)
    said = f"Ceilings: {', '.join(peaks)}; {copied:.1f} GB/s copied, read and written."
    return "\n\n".join([GROWTH, "\n".join(lines), said, measured_on(run)])


# Accuracy


def accuracy(found: Sequence[Document]) -> str:
    run = newest(found)
    if run is None:
        return NOTHING
    columns = ["residual", "orthogonality", "relative error", "within 100 eps", "failed"]
    lines = [line("", columns), line("---", ["---"] * len(columns))]
    for dtype, group in product(ACCURACY_DTYPES, GROUPS):
        for found_of in summary(chosen(run["rows"], dtype, group)):
            cells = [
                " / ".join(short(found_of[what][p]) for p in ("p50", "p80", "worst"))
                for what in ("residual", "orthogonality", "relative")
            ]
            failed = f"{found_of['failed']} of {found_of['matrices']}"
            cells += [f"{100 * found_of['right']:.1f}%", failed]
            lines.append(line(f"{dtype}, {group}: {found_of['contender']}", cells))
    return f"{chr(10).join(lines)}\n\n{measured_on(run)}"


def short(x: float) -> str:
    return f"{x:.2g}" if x < 100 else f"{x:.0f}" if x < 10_000 else f"{x:.0e}".replace("e+", "e")


# First use


def first_use(found: Sequence[Document]) -> str:
    run = newest(found)
    if run is None:
        return NOTHING
    rows = run["rows"]
    columns = [*FIRST_CALLS, "memory of a later Jacobi call beyond input and outputs, at most"]
    lines = [line("", columns), line("---", ["---"] * len(columns))]
    for dtype, *seconds in first_calls(rows):
        memory = [r["mebibytes"] for r in rows if r["what"] == "memory" and r["dtype"] == dtype]
        lines.append(line(dtype, [*seconds, f"{max(memory):.1f} MiB" if memory else ""]))
    seconds = next(row["seconds"] for row in rows if row["what"] == "import")
    said = f"`import gpusvd` takes {seconds:.2f} s."
    return "\n\n".join(["\n".join(lines), said, measured_on(run)])


FIRST_CALLS = (
    "svd, release",
    "svd, other sources",
    "svd, filled cache",
    "svdvals, release",
    "svdvals, other sources",
    "svdvals, filled cache",
    "of graded columns then, release",
    "of graded columns then, other sources",
)


def first_calls(rows: Sequence[Any]) -> list[list[str]]:
    """For each dtype the cells of its first calls, as `FIRST_CALLS` names them."""
    calls = {(row["dtype"], row["work"]): row for row in rows if row["what"] == "first call"}
    lines = []
    for dtype in dict.fromkeys(dtype for dtype, _ in calls):
        thin, values = calls[dtype, "thin"], calls[dtype, "values"]
        first = [first_call(row, state, 0) for row in (thin, values) for state in ("release", "cold", "warm")]
        lines.append([dtype, *first, *(first_call(values, state, 1) for state in ("release", "cold"))])
    return lines


def first_call(row: Row, state: str, call: int) -> str:
    """The seconds of one of a row's calls; nothing in runs from before there was bitcode."""
    return f"{row[state][call]:.2f} s" if state in row else ""


# Instructions


def instructions(found: Sequence[Document]) -> str:
    """What a matrix costs a GPU by the instructions that kernels execute; of each case the newest."""
    runs = sorted(found, key=lambda run: str(run["provenance"]["date"]))
    cases = {
        (row["dtype"], row["work"], row["m"], row["n"]): (row, run) for run in runs for row in run["rows"]
    }
    if not cases:
        return NOTHING
    shapes = sorted({key[2:] for key in cases}, key=lambda shape: (shape[0] != shape[1], shape))
    names = [n if m == n else f"{m} x {n}" for m, n in shapes]
    lines = [line("n", names), line("---", ["---"] * len(names))]
    for dtype, work in LINES:
        rows = [cases.get((dtype, work, *shape), (None,))[0] for shape in shapes]
        kind = dtype if work == "thin" else f"{dtype}, values only"
        for what, cell in INSTRUCTION_CELLS.items() if any(rows) else ():
            lines.append(line(f"{kind}, {what}", ("" if row is None else cell(row) for row in rows)))
    used = [run for run in runs if any(source is run for _, source in cases.values())]
    return "\n\n".join([COMPUTED, "\n".join(lines), *map(computed_by, used)])


COMPUTED = "**Computed from executed instructions, not measured**:"
INSTRUCTION_CELLS: dict[str, Callable[[Row], str]] = {
    "issue slots": lambda row: three_digits(row["slots"]),
    "matrices a second at most": lambda row: (
        three_digits(row["rate"]) + ("" if row["bound_by"] == "issue" else f" {row['bound_by']}")
    ),
    "of the bound of arithmetic": lambda row: f"{100 * row['of_arithmetic']:.0f}%",
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


# Pictures


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
