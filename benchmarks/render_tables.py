"""The tables of benchmarks/README.md: peers, ceilings, accuracy and first use, each from the newest runs."""

import statistics
import textwrap
from collections.abc import Sequence
from itertools import product
from typing import Any

from benchmarks.accuracy import DTYPES as ACCURACY_DTYPES
from benchmarks.accuracy import GROUPS, chosen, summary
from benchmarks.ceilings import growth, rows_of
from benchmarks.measure import DTYPES, count_filling
from benchmarks.peers import FULL, best_peer
from benchmarks.render_cpu import NOTHING, WIDTH, Document, line, two_digits

GROWTH = "![Time against n and against the batch, beside n³ and a line](../docs/benchmarks/growth.png)"

Row = dict[str, Any]


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
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


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
    "svd, empty cache",
    "filled cache",
    "svdvals, empty cache",
    "filled cache",
    "of graded columns then, empty cache",
)


def first_calls(rows: Sequence[Any]) -> list[list[str]]:
    """For each dtype the cells of its first calls, as `FIRST_CALLS` names them."""
    calls = {(row["dtype"], row["work"]): row for row in rows if row["what"] == "first call"}
    lines = []
    for dtype in dict.fromkeys(dtype for dtype, _ in calls):
        thin, values = calls[dtype, "thin"], calls[dtype, "values"]
        pairs = [
            f"{cell} s"
            for row in (thin, values)
            for cell in (f"{row['cold'][0]:.1f}", f"{row['warm'][0]:.2f}")
        ]
        lines.append([dtype, *pairs, f"{values['cold'][1]:.1f} s"])
    return lines


TABLES = {"peers": peers, "ceilings": ceilings, "accuracy": accuracy, "first_use": first_use}
