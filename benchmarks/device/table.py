"""What runs on a GPU found: a run as text, ``python -m benchmarks.device.table JSON``, and the newest of each
GPU as the README's tables."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.device.cases import COMPLEX, ONE_CALL, OTHERS, REAL, times_cupy, verdicts
from benchmarks.measure import Document, paragraph

Row = dict[str, Any]

NOTHING = "Nothing has been measured on a GPU."
SHORT = {"float32": "f32", "float64": "f64", "complex64": "c64", "complex128": "c128"}


def table(run: Mapping[str, Any]) -> str:
    rows: list[Row] = run["rows"]
    by_part = {part: [row for row in rows if row["part"] == part] for part in PARTS}
    lines = [*parts_lines(run)]
    for part, written in PARTS.items():
        if by_part[part]:
            lines += ["", *written(by_part[part])]
    return "\n".join(lines)


def parts_lines(run: Mapping[str, Any]) -> list[str]:
    ran_on = run["provenance"]
    machine = ran_on.get("machine", {})
    lines = [
        f"{machine.get('gpu', 'GPU unknown')}, driver {machine.get('driver')}, "
        f"CUDA {machine.get('cuda_runtime')}, commit {ran_on['commit'] or 'unknown'}, {ran_on['date']}"
    ]
    for name, part in run["parts"].items():
        left_out = f", {len(part['left_out'])} left out" if part.get("left_out") else ""
        failed = sum(row["part"] == name and "error" in row for row in run["rows"])
        errors = f", {failed} failed" if failed else ""
        note = f": {part['error']}" if part.get("error") else ""
        lines.append(f"  {name:12}{part['seconds']:6.0f} s, {part['rows']} rows{errors}{left_out}{note}")
    return lines


def errors_of(rows: Iterable[Row], label: str, most: int = 6) -> list[str]:
    failed = [row for row in rows if "error" in row]
    lines = [f"  {label} FAILED {name(row)}: {row['error'][:200]}" for row in failed[:most]]
    return lines + ([f"  and {len(failed) - most} more"] if len(failed) > most else [])


def name(row: Mapping[str, Any]) -> str:
    if "what" in row:
        return str(row["what"])
    batch = f" x {row['batch']}" if row.get("batch") else ""
    return f"{row['m']}x{row['n']}{batch} {row['dtype']} {row.get('work', '')}".strip()


def ceilings_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["Ceilings"]
    for row in rows:
        if "bytes_a_second" in row:
            lines.append(f"  copy, bytes read and written: {row['bytes_a_second'] / 1e12:.2f} TB/s")
        elif "multiply_adds_a_second" in row:
            rate = 2 * row["multiply_adds_a_second"] / 1e12
            lines.append(f"  {row['what']}: {rate:.1f} TFLOP/s, {row['clock_under_load']}")
    return lines + errors_of(rows, "ceiling")


def first_calls_lines(title: str) -> Any:
    def lines(rows: Sequence[Row]) -> list[str]:
        timed = sorted((row for row in rows if "first" in row), key=lambda row: row["first"])
        found = [f"{title}: {len(timed)}"]
        if timed:
            total = sum(row["first"] for row in timed)
            middle = timed[len(timed) // 2]["first"]
            found[0] += f", median {middle:.2f} s, together {total:.0f} s; the longest:"
            found += [f"  {row['first']:6.2f} s {name(row)}, {row['device']}" for row in timed[:-4:-1]]
        return found + errors_of(rows, "first call")

    return lines


def tests_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["Tests"]
    for row in rows:
        if row["what"] == "pytest" and "passed" in row:
            what = f"{row['passed']} passed, {row['failures']} failed, {row['errors']} errors, "
            lines.append(f"  pytest -m gpu: {what}{row['skipped']} skipped in {row['seconds']} s{late(row)}")
            lines += [f"    {failed[:160]}" for failed in row["failed"][:5]]
        elif "summary" in row:
            state = "clean" if row["clean"] and row["in_time"] and row["status"] == 0 else "NOT CLEAN"
            lines.append(
                f"  {row['what']}: {state}, {row['summary'] or 'no summary'}; "
                f"{row['shapes_right']} of {row['shapes']} shapes right in {row['seconds']} s{late(row)}"
            )
    return lines + errors_of(rows, "tests")


def late(row: Mapping[str, Any]) -> str:
    return "" if row["in_time"] else ", INTERRUPTED: the time was up"


def check_lines(rows: Sequence[Row]) -> list[str]:
    done = [row for row in rows if "passed" in row]
    lines = [f"Large check: {sum(row['passed'] for row in done)} of {len(done)} passed"]
    lines.append("  worst by dtype, in eps; residual and orthogonality over max(m, n)")
    for dtype in REAL + COMPLEX:
        chosen = [row for row in done if row["dtype"] == dtype]
        if not chosen:
            continue
        worst = {
            key: most(number(row["errors"][key]) / max(row["m"], row["n"]) for row in chosen)
            for key in ("residual", "orthogonality U", "orthogonality V")
        }
        values = most(number(row["cpu_values"]) for row in chosen)
        against_numpy = most(number(row["numpy_values"]) for row in chosen)
        sweeps = min(row["sweeps_as_cpu"] for row in chosen)
        lines.append(
            f"  {dtype:11}{sum(row['checked'] for row in chosen):9} matrices: residual "
            f"{worst['residual']:.2f}, U {worst['orthogonality U']:.2f}, V {worst['orthogonality V']:.2f}, "
            f"S from CPU {values:.1f}, from NumPy {against_numpy:.1f}, sweeps as CPU's {100 * sweeps:.0f}%"
        )
    for row in [row for row in done if not row["passed"]][:8]:
        bits = [key for key, same in row["same_bits"].items() if not same]
        lines.append(
            f"  FAILED {name(row)}: {row['errors']}, info wrong {row['wrong_info']}, "
            f"as CPU {row['info_as_cpu']}, bits differ {bits or 'nowhere'}, S {row['cpu_values']}"
        )
    return lines + errors_of(rows, "check")


def number(x: float | None) -> float:
    """NaN is written as null."""
    return math.inf if x is None else x


def most(values: Iterable[float]) -> float:
    return max(values, default=0.0)


def assumptions_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["Assumptions"]
    for row in rows:
        if "error" in row:
            continue
        passed = {True: "yes", False: "NO", None: ""}[row.get("passed")]
        detail = ""
        if row["what"] == "overhead":
            host = {key: 1e6 * row[key]["host"]["p50"] for key in row if isinstance(row[key], dict)}
            detail = ", ".join(f"{key} {us:.0f}" for key, us in host.items()) + " us"
        elif "passed" not in row or row["passed"] is False:
            detail = str({key: value for key, value in row.items() if key not in ("part", "what", "passed")})
        lines.append(f"  {row['what']:20} {passed} {detail[:400]}".rstrip())
    return lines + errors_of(rows, "assumption")


def speed_lines(rows: Sequence[Row]) -> list[str]:
    """Filling batches, a line a shape; small ones, a line a size; then the others."""
    done = [row for row in rows if "rate" in row]
    lines = []
    for work in ("thin", "values"):
        for heading, within in (("up to 32", True), ("beyond 32", False)):
            chosen = [
                row for row in done if row["work"] == work and not row["batch"] and in_one_call(row) == within
            ]
            chosen = [row for row in chosen if "gpusvd" in row["rate"]]
            if chosen:
                lines.append(
                    f"Filling batches, {work}, {heading}: matrices a second, times CuPy's, of the bound"
                )
                lines += shape_lines(chosen)
    small = [row for row in done if row["batch"]]
    if small:
        lines.append("Small batches, thin: times as fast as CuPy")
        lines += small_lines(small)
    others = [row for row in done if "gpusvd" not in row["rate"]]
    others += [row for row in rows if "rate" not in row and "refused" in row]
    if others:
        lines.append("Others, thin, matrices a second; gpusvd's is above")
        lines += other_lines(others)
    lines += errors_of(rows, "speed")
    return lines + goals_lines(rows)


def goals_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["Goals: rows that reach it, and the one that is farthest from it"]
    for goal, met, count, worst, value in verdicts(rows):
        lines.append(f"  {goal.what:32}{goal.least:5g}: {met:3} of {count:3}, {value:.3g} at {name(worst)}")
    return lines


def in_one_call(row: Mapping[str, Any]) -> bool:
    """Whether CuPy hands cuSOLVER the whole batch."""
    return bool(max(row["m"], row["n"]) <= ONE_CALL)


def shape_lines(rows: Sequence[Row]) -> list[str]:
    lines = []
    for shape in dict.fromkeys((row["m"], row["n"]) for row in rows):
        cells = []
        for dtype in REAL + COMPLEX:
            found = [row for row in rows if (row["m"], row["n"], row["dtype"]) == (*shape, dtype)]
            cells.append(f"{SHORT[dtype]} {cell(found[-1])}" if found else "")
        lines.append(f"  {shape[0]:4}x{shape[1]:<4}" + "".join(f"{c:24}" for c in cells).rstrip())
    return lines


def cell(row: Row) -> str:
    part = f"{100 * row['of_bound']:.0f}%" if row.get("of_bound") is not None else "-"
    return f"{short(row['rate']['gpusvd'])} {ratio(row)} {part}"


def ratio(row: Row) -> str:
    times = times_cupy(row)
    return "-" if times is None else f"{times:.3g}x"


def short(x: float) -> str:
    """Three digits and a letter: 12.3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= 0.9995 * size:
            return f"{x / size:.3g}{letter}"
    return f"{x:.3g}"


def small_lines(rows: Sequence[Row]) -> list[str]:
    counts = sorted({row["batch"] for row in rows})
    lines = []
    for dtype in REAL + COMPLEX:
        for n in sorted({row["n"] for row in rows if row["dtype"] == dtype}):
            cells = []
            for count in counts:
                found = [row for row in rows if (row["n"], row["dtype"], row["batch"]) == (n, dtype, count)]
                cells.append(f"{count}: {ratio(found[-1])}" if found else "")
            lines.append(f"  {SHORT[dtype]:5}{n:4} " + "".join(f"{c:16}" for c in cells).rstrip())
    return lines


def said(error: str) -> str:
    return "not installed" if error.startswith(("ImportError", "ModuleNotFoundError")) else "refused"


def other_lines(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in rows:
        each = [f"{key} {short(row['rate'][key])}" for key in OTHERS if key in row["rate"]]
        missing = [f"{key} {said(error)}" for key, error in row["refused"].items()]
        lines.append(f"  {name(row):24}" + ", ".join(each + missing))
    return lines


PARTS = {
    "ceilings": ceilings_lines,
    "compile": first_calls_lines("First calls, empty cache"),
    "load": first_calls_lines("First calls, filled cache"),
    "tests": tests_lines,
    "check": check_lines,
    "assumptions": assumptions_lines,
    "speed": speed_lines,
}


# The README's


def markdown(found: Iterable[Document]) -> str:
    """The README's tables, from the newest run of each GPU."""
    parts = [part for run in newest_of_each_gpu(found) for part in of_gpu(run)]
    return "\n\n".join(parts) if parts else NOTHING


def newest_of_each_gpu(found: Iterable[Document]) -> list[Document]:
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


def of_gpu(run: Document) -> list[str]:
    rows = square_rows(run)
    parts = [f"Thin SVD of random n x n matrices in batches that fill an **{gpu(run)}**:"]
    for heading, within in (
        ("Up to 32 x 32, where CuPy hands cuSOLVER the whole batch:", True),
        ("Beyond 32 x 32, where CuPy goes through the batch one matrix after the other:", False),
    ):
        chosen = [row for row in rows if in_one_call(row) == within]
        if chosen:
            parts += [heading, markdown_table(chosen)]
    return [*parts, footnote(run, rows)]


def gpu(run: Document) -> str:
    return str(run["provenance"]["machine"]["gpu"])


def markdown_table(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n"] for row in rows})
    lines: list[list[object]] = []
    for dtype in REAL + COMPLEX:
        by_size = {row["n"]: row for row in rows if row["dtype"] == dtype}
        if by_size:
            found = [by_size.get(n) for n in sizes]
            lines.append([f"{dtype}, matrices a second", *map(rate_cell, found)])
            lines.append([f"{dtype}, times `cupy.linalg.svd`", *map(ratio_cell, found)])
            lines.append([f"{dtype}, of the bound", *map(bound_cell, found)])
    return measure.table(["n", *sizes], lines)


def rate_cell(row: Row | None) -> str:
    return "" if row is None else short(row["rate"]["gpusvd"])


def ratio_cell(row: Row | None) -> str:
    times = None if row is None else times_cupy(row)
    return "" if times is None else f"{times:.2g}" if times < 100 else f"{times:.0f}"


def bound_cell(row: Row | None) -> str:
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
    return paragraph(" ".join(parts))


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())))
