"""The README's CPU table, from the runs of `benchmarks.compare_numpy`: of each dtype the newest."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.measure import DTYPES

WIDTH = 118  # of the README's lines
NOTHING = "Nothing has been measured."
LINES = [(dtype, work) for work in ("thin", "values") for dtype in DTYPES]
MACHINE = ("cpu", "cores", "gpusvd", "numpy", "blas", "numba", "python")

Row = dict[str, Any]
Document = Mapping[str, Any]


def newest(found: Iterable[Document]) -> dict[str, Document]:
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


def rendered(runs: Mapping[str, Document]) -> str:
    if not runs:
        return NOTHING
    rows = [
        row for dtype, run in runs.items() for row in run["rows"] if is_square(row) and row["dtype"] == dtype
    ]
    return f"{table(rows)}\n\n{footnote(list(runs.values()))}"


def is_square(row: Row) -> bool:
    return bool(row["section"] == "square")


def table(rows: Sequence[Row]) -> str:
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


def line(heading: object, cells: Iterable[object]) -> str:
    return f"| {' | '.join([str(heading), *map(str, cells)])} |"


def two_digits(ratio: float | None) -> str:
    """36, 8.0 and 0.95; nothing for nothing."""
    if ratio is None:
        return ""
    digits = next((d for d, limit in ((2, 0.995), (1, 9.95)) if ratio < limit), 0)
    return f"{ratio:.{digits}f}"


def footnote(runs: Sequence[Document]) -> str:
    ran_on = max((run["provenance"] for run in runs), key=lambda ran_on: str(ran_on["date"]))
    days = sorted({str(run["provenance"]["date"])[:10] for run in runs})
    commits = sorted({str(run["provenance"]["commit"]) for run in runs})
    blas = str(ran_on["blas"]).removeprefix("scipy-").replace("openblas", "OpenBLAS")
    parts = [
        'Medians of calls made by turns in one process with `driver="auto"`,',
        f"on {ran_on['cores']} cores of an {ran_on['cpu']} on {' and '.join(days)},",
        f"gpusvd {ran_on['gpusvd']} ({', '.join(commits)}), NumPy {ran_on['numpy']} with {blas},",
        f"numba {ran_on['numba']}, Python {ran_on['python']}, by `python -m benchmarks.compare_numpy`.",
    ]
    return textwrap.fill(" ".join(parts), WIDTH, break_long_words=False, break_on_hyphens=False)
