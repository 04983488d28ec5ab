"""Write what the runs under results/ say: the README's tables, the CPU's from `benchmarks.compare_numpy`
and the GPU's from `benchmarks.device`, those of benchmarks/README.md and the pictures in docs/benchmarks/.

A table stands between two comments, and nobody types into it: a test holds that it is what this module
writes, and that each picture is of the newest run.
"""

import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures, render_cpu, render_tables
from benchmarks.device.cases import COMPLEX, REAL, times_cupy
from benchmarks.device.table import in_one_call, short
from benchmarks.measure import HERE

README = HERE.parent / "README.md"
PAGE = HERE / "README.md"
PICTURES = HERE.parent / "docs" / "benchmarks"
BEGIN = "<!-- written by python -m benchmarks.render: -->"
END = "<!-- :written by python -m benchmarks.render -->"
CPU_BEGIN = "<!-- CPU, written by python -m benchmarks.render: -->"
CPU_END = "<!-- :CPU, written by python -m benchmarks.render -->"
NOTHING = "Nothing has been measured on a GPU."
WIDTH = 118  # of the README's lines

Row = dict[str, Any]
Document = Mapping[str, Any]


def main() -> int:
    results = HERE / "results"
    for path, render in ((README, readme), (PAGE, page)):
        text = path.read_text(encoding="utf-8")
        new = render(text, results)
        if new != text:
            path.write_text(new, encoding="utf-8")
        print(f"{path} {'is written' if new != text else 'is as it should be'}")
    for path, source in stale_figures(results):
        figures.draw(path, source.name, json.loads(source.read_text()))
        print(f"{path} is drawn")
    return 0


def page(text: str, results: Path) -> str:
    """Return benchmarks/README.md with the tables that the runs in a folder give."""
    for kind, table_of in render_tables.TABLES.items():
        begin, end = (mark.replace("CPU", kind) for mark in (CPU_BEGIN, CPU_END))
        text = replaced(text, table_of(documents(results, kind)), begin, end)
    return text


def stale_figures(results: Path) -> list[tuple[Path, Path]]:
    """Return the pictures that are not of the newest run, each with the file of that."""
    stale = []
    for name, (kind, _) in figures.FIGURES.items():
        runs = sorted(results.glob(f"{kind}-*.json"), key=date)
        if runs and figures.drawn_from(PICTURES / name) != runs[-1].name:
            stale.append((PICTURES / name, runs[-1]))
    return stale


def date(path: Path) -> str:
    return str(json.loads(path.read_text())["provenance"]["date"])


def readme(text: str, results: Path) -> str:
    """Return the README with the tables that the runs in a folder give."""
    cpu = render_cpu.newest(documents(results, "compare_numpy"))
    text = replaced(text, render_cpu.rendered(cpu), CPU_BEGIN, CPU_END)
    return replaced(text, rendered(newest(documents(results))))


def documents(folder: Path, kind: str = "device") -> list[Document]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{kind}-*.json"))]


def newest(found: Iterable[Document]) -> list[Document]:
    """Return the newest run of each GPU that has rows for the table, by the name of the GPU."""
    by_gpu: dict[str, Document] = {}
    for document in sorted(found, key=lambda document: str(document["provenance"]["date"])):
        if square_rows(document):
            by_gpu[document["provenance"]["machine"]["gpu"]] = document
    return [by_gpu[gpu] for gpu in sorted(by_gpu)]


def square_rows(document: Document) -> list[Row]:
    """Square matrices, thin, in batches that fill the card."""
    return [
        row
        for row in document["rows"]
        if row["part"] == "speed"
        and row["m"] == row["n"]
        and row["work"] == "thin"
        and not row["batch"]
        and "gpusvd" in row.get("rate", {})
    ]


def rendered(runs: Sequence[Document]) -> str:
    return "\n\n".join(part for run in runs for part in of_gpu(run)) if runs else NOTHING


def of_gpu(run: Document) -> list[str]:
    rows = square_rows(run)
    parts = [f"Thin SVD of random n x n matrices in batches that fill an **{gpu(run)}**:"]
    for heading, within in (
        ("Up to 32 x 32, where CuPy hands cuSOLVER the whole batch:", True),
        ("Beyond 32 x 32, where CuPy goes through the batch one matrix after the other:", False),
    ):
        chosen = [row for row in rows if in_one_call(row) == within]
        if chosen:
            parts += [heading, table(chosen)]
    return [*parts, footnote(run, rows)]


def gpu(run: Document) -> str:
    return str(run["provenance"]["machine"]["gpu"])


def table(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n"] for row in rows})
    lines = [line("n", sizes), line("---", ["---"] * len(sizes))]
    for dtype in REAL + COMPLEX:
        by_size = {row["n"]: row for row in rows if row["dtype"] == dtype}
        if by_size:
            found = [by_size.get(n) for n in sizes]
            lines.append(line(f"{dtype}, matrices a second", map(rate, found)))
            lines.append(line(f"{dtype}, times `cupy.linalg.svd`", map(ratio, found)))
            lines.append(line(f"{dtype}, of the bound", map(part_of_bound, found)))
    return "\n".join(lines)


def line(heading: str, cells: Iterable[object]) -> str:
    return f"| {' | '.join([heading, *map(str, cells)])} |"


def rate(row: Row | None) -> str:
    return "" if row is None else short(row["rate"]["gpusvd"])


def ratio(row: Row | None) -> str:
    times = None if row is None else times_cupy(row)
    return "" if times is None else f"{times:.2g}" if times < 100 else f"{times:.0f}"


def part_of_bound(row: Row | None) -> str:
    part = None if row is None else row.get("of_bound")
    return "" if part is None else f"{100 * part:.0f}%"


def footnote(run: Document, rows: Sequence[Row]) -> str:
    ran_on = run["provenance"]
    machine = ran_on["machine"]
    packages = machine.get("packages", {})
    cupy = next((f"CuPy {packages[name]}, " for name in sorted(packages) if name.startswith("cupy")), "")
    scaled = any(row["batches"].get("cupy", row["asked"]) < row["batches"]["gpusvd"] for row in rows)
    parts = [
        f"Medians on {str(ran_on['date'])[:10]} by `python -m benchmarks.device`, gpusvd {ran_on['gpusvd']},",
        f"commit {ran_on['commit'] or 'unknown'}, {cupy}CUDA {machine['cuda_runtime']},",
        f"driver {machine['driver']}.",
    ]
    if scaled:
        parts.append("CuPy got a part of the larger batches, and its time is scaled.")
    parts.append("The bound is that of `benchmarks/bounds.py`: bandwidth or arithmetic.")
    return textwrap.fill(" ".join(parts), WIDTH, break_long_words=False, break_on_hyphens=False)


def replaced(text: str, block: str, begin: str = BEGIN, end: str = END) -> str:
    """Return the text with another block between two comments."""
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the README lacks the comments {begin} and {end}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
