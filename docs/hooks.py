"""What mkdocs calls while it builds the site: parts of pages that have their source elsewhere.

`<!-- render: NAME ARGUMENT -->` on a page is replaced by what the function NAME returns: tables and charts
from the runs under benchmarks/results/, the help of the command line, the list of examples, the first lines
of docstrings. In the text of all pages the names of public functions become links to the reference.
"""

import ast
import json
import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the builder may run from anywhere

import gpusvd.device  # noqa: E402
import gpusvd.patches  # noqa: E402
import gpusvd.plot  # noqa: E402
from benchmarks import readme, render  # noqa: E402
from benchmarks.device.table import markdown  # noqa: E402
from benchmarks.measure import DTYPES, Row, table, two_digits  # noqa: E402
from benchmarks.peers import NOISE  # noqa: E402
from gpusvd.__main__ import parser  # noqa: E402

# A function, loop or other block in a session, with more input after it: Python's shell, into which readers
# paste it, wants an empty line in between, which ruff removes from the sources of the pages.
UNENDED = r"^ *>>> (?:@|(?:class|def|for|if|try|while|with)\b).*\n(?: *\.\.\. .*\n)+(?= *>>> )"


def on_page_markdown(markdown: str, **_: Any) -> str:
    ended = re.sub(UNENDED, r"\g<0>...\n", markdown, flags=re.MULTILINE)
    return re.sub(r"<!-- render: (\w+) ?(.*?) -->", lambda mark: RENDERERS[mark[1]](mark[2]), ended)


def on_page_content(html: str, **_: Any) -> str:
    return linked(html)


# Names of functions


@cache
def documented() -> tuple[str, ...]:
    """What the reference has, without `gpusvd.`, longer names first."""
    pages = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "api").glob("*.md"))]
    names = re.findall(r"^::: gpusvd\.([a-zA-Z]\S*)$", "\n".join(pages), re.MULTILINE)
    return tuple(sorted(names, key=len, reverse=True))


def linked(html: str) -> str:
    """Make the names of public functions links, but not in headings, links and code blocks."""
    names = "|".join(map(re.escape, documented()))
    apart = r"<(pre|a|h[1-6]|autoref)\b.*?</\1>"

    def link(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None or (name in PARAMETERS and not found["prefix"]):
            return found[0]
        return f'<autoref identifier="gpusvd.{name}" optional>{found[0]}</autoref>'

    pattern = rf"{apart}|<code>(?P<prefix>gpusvd\.)?(?P<name>{names})</code>"
    return re.sub(pattern, link, html, flags=re.DOTALL)


PARAMETERS = {"energy"}  # functions whose name is a parameter's too


def summaries(page: str) -> str:
    """The first lines of docstrings on a page of the reference: of its functions, or else of its modules."""
    text = (ROOT / "docs" / "api" / f"{page}.md").read_text(encoding="utf-8")
    lines = []
    for name in re.findall(r"^::: gpusvd\.([a-z]\S*)$", text, re.MULTILINE):
        source = ROOT / "gpusvd" / f"{name}.py"
        if name == "patches":
            members = [f"patches.{member}" for member in gpusvd.patches.__all__]
            lines += [[f"`{member}`", first_line(attrgetter(member)(gpusvd).__doc__)] for member in members]
        elif source.exists():  # not imported: the library that it is for may be missing
            docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))
            lines.append([f"`gpusvd.{name}`", first_line(docstring)])
        elif not name.startswith("_"):
            lines.append([f"`{name}`", first_line(attrgetter(name)(gpusvd).__doc__)])
    return table(["", ""], lines)


def first_line(docstring: str) -> str:
    line = docstring.strip().partition("\n")[0].removeprefix("Return ").rstrip(".")
    return (line[0].upper() + line[1:]).replace("|", "\\|")


# Measurements


@cache
def rows(kind: str) -> tuple[Row, ...]:
    """Rows of the newest run of each benchmark and dtype, with their provenance."""
    found: dict[str, list[Row]] = {}
    for path in sorted(render.RESULTS.glob(f"{kind}-*.json"), key=date):
        document = json.loads(path.read_text(encoding="utf-8"))
        by_dtype: dict[str, list[Row]] = {}
        for row in document["rows"]:
            from_file = {**row, "file": path.name, "provenance": document["provenance"]}
            by_dtype.setdefault(row.get("dtype", ""), []).append(from_file)
        found.update(by_dtype)
    return tuple(row for of_dtype in found.values() for row in of_dtype)


def date(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8"))["provenance"]["date"])


def ratio(row: Row | None) -> str:
    return "" if row is None else two_digits(row["ratio"]["auto"])


def speed(work: str) -> str:
    """Square matrices, n across and dtypes down: NumPy's time over gpusvd's."""
    chosen = [row for row in rows("compare_numpy") if row["section"] == "square" and row["work"] == work]
    by_place = {(row["dtype"], row["n"]): row for row in chosen}
    sizes = sorted({n for _, n in by_place})
    lines = [[dtype, *(ratio(by_place.get((dtype, n))) for n in sizes)] for dtype in DTYPES]
    return f"{table(['n', *map(str, sizes)], lines)}\n\n{sources(chosen)}"


def rectangular(_: str) -> str:
    chosen = [row for row in rows("compare_numpy") if row["section"] == "rectangular"]
    places = list(dict.fromkeys((row["m"], row["n"], row["work"]) for row in chosen))
    by_place = {(row["dtype"], row["m"], row["n"], row["work"]): row for row in chosen}
    lines = [
        [f"{m}&nbsp;x&nbsp;{n}, {work}", *(ratio(by_place.get((dtype, m, n, work))) for dtype in DTYPES)]
        for m, n, work in places
    ]
    return f"{table(['', *DTYPES], lines)}\n\n{sources(chosen)}"


def slower(_: str) -> str:
    """How much of the sweep of shapes and batches is slower than NumPy, and the worst of it."""
    lines = []
    chosen = [row for row in rows("compare_numpy") if row["section"] in ("sweep", "rectangular")]
    for dtype in DTYPES:
        ratios = [(row["ratio"]["auto"], row) for row in chosen if row["dtype"] == dtype]
        below = sorted((pair for pair in ratios if pair[0] < NOISE), key=lambda pair: pair[0])
        worst = "; ".join(
            f"{row['m']} x {row['n']} {row['work']}, batch of {row['batch']}: {ratio(row)}"
            for _, row in below[:2]
        )
        lines.append([dtype, f"{len(below)} of {len(ratios)}", worst])
    return f"{table(['', f'below {NOISE}', 'the worst'], lines)}\n\n{sources(chosen)}"


def losses(_: str) -> str:
    return readme.losses(*(render.documents(render.RESULTS, kind) for kind in ("compare_numpy", "peers")))


def headline(_: str) -> str:
    return readme.headline(render.documents(render.RESULTS, "compare_numpy"))


def chart(arguments: str) -> str:
    """A chart for light and for dark pages: the name of its file, and what it shows."""
    name, shown = arguments.split(" ", 1)
    return "\n".join(
        f"![{shown}](benchmarks/{name}-{theme}.svg#only-{theme}){{ .chart }}" for theme in ("light", "dark")
    )


def beyond_memory(_: str) -> str:
    """The stream of a memory map under a limit of memory, in a sentence."""
    (row,) = rows("beyond_memory")
    gib = {name: row[name] / 2**30 for name in ("bytes", "limit")}
    return (
        f"With a limit of {gib['limit']:.0f} GiB of memory, `stream` decomposed a memory map of "
        f"{gib['bytes']:.0f} GiB, {row['count'] / 1e6:.1f} million matrices of 8 x 8 in float32, in "
        f"{row['seconds']:.0f} seconds, and wrote all factors into memory maps. "
        f"At most {row['peak_mebibytes']:.0f} MiB were resident, "
        f"{row['start_mebibytes']:.0f} of them before the call.\n\n{sources([row])}"
    )


def layer(_: str) -> str:
    """Time of functions of the layer, without the SVD, over that of the SVD."""
    chosen = rows("layer")
    calls = list(dict.fromkeys(row["call"] for row in chosen))
    by_place = {(row["call"], row["dtype"]): row for row in chosen}
    lines = [
        [call, *(f"{by_place[call, t]['share']:.2f}" if (call, t) in by_place else "" for t in DTYPES)]
        for call in calls
    ]
    return f"{table(['', *DTYPES], lines)}\n\n{sources(chosen)}"


def first_use(_: str) -> str:
    chosen = rows("first_use")
    (imported,) = [row["seconds"] for row in chosen if row["what"] == "import"]
    return f"`import gpusvd` takes {imported:.2f} s.\n\n{render.first_calls(chosen)}\n\n{sources(chosen)}"


def measured(kind: str) -> str:
    """A table of benchmarks/README.md, with its picture at its place here."""
    found = render.documents(render.RESULTS, kind)
    return render.TABLES[kind](found).replace("../docs/benchmarks/", "benchmarks/")


def gpu(_: str) -> str:
    return markdown(render.documents(render.RESULTS, "device"))


def instructions(_: str) -> str:
    return render.instructions(render.documents(render.RESULTS, "instructions"))


def accuracy(_: str) -> str:
    """Residual and loss of orthogonality in units of eps, as `docs/figures.py` measured them."""
    document = json.loads((ROOT / "docs" / "figures" / "accuracy.json").read_text(encoding="utf-8"))
    columns = [(what, driver) for what in ("residual", "orthogonality") for driver in ("jacobi", "LAPACK")]
    lines = [
        [row["dtype"], str(row["n"]), *(two_digits(row[driver][what]) for what, driver in columns)]
        for row in document["rows"]
    ]
    run = document["provenance"]
    made = f"`python {run['command']}`, commit {run['commit']}, {ran_on(run)}"
    return f"{table(['', 'n', *map(', '.join, columns)], lines)}\n\n<small>{made}</small>"


def budgets(_: str) -> str:
    """What some CUDA kernels cost on sm_90, from the table that the tests compare with."""
    kernels = json.loads((ROOT / "tests" / "cuda_budgets.json").read_text(encoding="utf-8"))["kernels"]
    numbers = ("registers", "spill_stores", "local", "shared")
    lines = [[f"`{name}`", *(str(kernels[name]["sm_90"][n]) for n in numbers)] for name in BUDGETS]
    heading = [
        "kernel, size and dtype on sm_90",
        "registers",
        "bytes of spill stores",
        "of local memory",
        "of shared memory",
    ]
    return table(heading, lines)


BUDGETS = (
    "svd_tiny 3x3 float32",
    "svd_tiny 2x2 complex128",
    "svd_fused 8x8 float32",
    "svd_fused 32x32 float32",
    "svd_tall 64x8 float32",
    "factor_batch 64x64 float64",
    "orthogonalise_groups 64x64 float32",
    "orthogonalise_groups 128x128 float32",
    "orthogonalise_blocks 128x128 complex64",
    "assemble_batch 64x64 complex64",
)


def sources(chosen: Iterable[Row]) -> str:
    """Where numbers come from: the machine and versions, and the files, which name command and commit."""
    files: dict[str, set[str]] = {}
    for row in chosen:
        files.setdefault(ran_on(row["provenance"]), set()).add(row["file"])
    lines = [f"{run} {', '.join(f'`{name}`' for name in sorted(names))}" for run, names in files.items()]
    return f"<small>{'<br>'.join(lines)}</small>"


def ran_on(run: Row) -> str:
    return (
        f"{run['date'][:10]}, gpusvd {run['gpusvd']}, {run['cpu']}, {run['cores']} cores, "
        f"Python {run['python']}, NumPy {run['numpy']} ({run['blas']}), numba {run['numba']}."
    )


# The command line and the examples


def command_help(command: str) -> str:
    os.environ["COLUMNS"] = "88"
    top = parser()
    if not command:
        return fenced(top.format_help(), "text")
    (commands,) = [action.choices for action in top._actions if isinstance(action.choices, dict)]
    return fenced(commands[command].format_help(), "text")


def examples(_: str) -> str:
    """The table of examples/README.md, a section for each script, with its source."""
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    row = r"^\| \[!\[\]\(\.\./docs/(\S+?)\)\]\(\S+\) \| \[(\w+)\.py\]\(\S+\): (.*?) \| (.*?) \|$"
    parts = []
    for picture, name, text, functions in re.findall(row, page, re.MULTILINE):
        source = fenced((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"), "python")
        indented = "".join(f"    {line}\n" if line else "\n" for line in source.splitlines())
        title = name.replace("_", " ").capitalize().replace("pca", "PCA")
        parts.append(
            f"## {title}\n\n{text[0].upper()}{text[1:]}.\n\n"
            f"![{name.replace('_', ' ')}]({picture})\n\nUses {functions}.\n\n"
            f'??? note "examples/{name}.py"\n\n{indented}'
        )
    return "\n\n".join(parts)


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


RENDERERS = {
    "accuracy": accuracy,
    "beyond_memory": beyond_memory,
    "chart": chart,
    "examples": examples,
    "first_use": first_use,
    "gpu": gpu,
    "headline": headline,
    "budgets": budgets,
    "command_help": command_help,
    "instructions": instructions,
    "layer": layer,
    "losses": losses,
    "measured": measured,
    "rectangular": rectangular,
    "slower": slower,
    "speed": speed,
    "summaries": summaries,
}
