"""The site has what it should: every public name, every picture, and tables as their sources have them."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import gpusvd
from gpusvd.__main__ import parser

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
API = {page.name: page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md")}


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_names():
    """By module: what `__all__` of gpusvd and of its public modules lists, read without importing these."""
    for path in sorted(Path(gpusvd.__file__).parent.glob("*.py")):
        if path.stem == "__init__" or not path.stem.startswith("_"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                    module = "gpusvd" if path.stem == "__init__" else f"gpusvd.{path.stem}"
                    yield module, set(ast.literal_eval(node.value)) - {"__version__"}


def test_the_reference_has_every_public_name_once(hooks):
    """By itself, or with the whole of its module."""
    public = dict(public_names())
    assert {"gpusvd", "gpusvd.plot", "gpusvd.device"} <= public.keys()
    found = [name for text in API.values() for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    assert len(found) == len(set(found))
    names = {f"{module}.{name}" for module, of_module in public.items() for name in of_module}
    assert [name for name in sorted(names) if not {name, name.rpartition(".")[0]} & set(found)] == []
    assert {name for name in found if "._" not in name} <= names | public.keys()
    functions = {name for name in public["gpusvd"] if not name[0].isupper()}
    assert functions <= set(re.findall(r"`([a-z0-9_.]+)`", hooks.on_page_markdown(API["index.md"])))


def test_a_whole_module_is_shown_without_what_it_keeps_to_itself():
    shown = [found for text in API.values() for found in re.findall(r"members: [^\[].*", text)]
    assert len(shown) >= 4
    assert [found for found in shown if not found.startswith("members: null, filters: public,")] == []


def test_an_empty_line_ends_what_is_indented(hooks):
    """So that an example can be pasted into Python's shell."""
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(len(re.findall(hooks.UNENDED, page, re.MULTILINE)) for page in pages) > 3
    sources = [path.read_text(encoding="utf-8") for path in Path(gpusvd.__file__).parent.rglob("*.py")]
    for text in [*map(hooks.on_page_markdown, pages), *sources]:
        assert re.findall(hooks.UNENDED, text, re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_nothing_is_missing(page, hooks):
    rendered = hooks.on_page_markdown(page.read_text(encoding="utf-8"))
    assert "<!-- render" not in rendered
    for picture in re.findall(r"!\[[^]]*\]\(([^)#]+)", rendered):
        assert (page.parent / picture).is_file()


def test_tables_say_what_the_runs_say(hooks):
    lines = hooks.speed("thin").splitlines()
    assert lines[0].split(" | ")[:3] == ["| n", "2", "3"]
    (row,) = [
        row
        for row in hooks.rows("compare_numpy")
        if (row["section"], row["dtype"], row["work"], row["n"]) == ("square", "float64", "thin", 2)
    ]
    assert lines[3].split(" | ")[:2] == ["| float64", hooks.two_digits(row["ratio"]["auto"])]
    assert row["file"] in lines[-1]
    assert row["provenance"]["cpu"] in lines[-1]


def test_the_help_of_every_command_is_there():
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    (commands,) = [action.choices for action in parser()._actions if isinstance(action.choices, dict)]
    assert sorted(re.findall(r"render: command_help (\w+)", page)) == sorted(commands)


def test_all_examples_are_there(hooks):
    page = hooks.examples("")
    scripts = [path.name for path in (DOCS.parent / "examples").glob("*.py") if path.name[0] != "_"]
    assert all(f'??? note "examples/{name}"' in page for name in scripts)


def test_names_become_links_outside_code_and_headings(hooks):
    def link(name):
        return f'<autoref identifier="gpusvd.{name}" optional>'

    assert link("svd") in hooks.linked("<p>as <code>svd</code> does</p>")
    assert link("svdvals") in hooks.linked("<p><code>gpusvd.svdvals</code></p>")
    assert link("plot.spectrum") in hooks.linked("<p><code>plot.spectrum</code></p>")
    assert link("energy") in hooks.linked("<p><code>gpusvd.energy</code></p>")
    for html in (
        "<h2><code>svd</code></h2>",
        "<pre><code>svd</code></pre>",
        '<a href="x"><code>svd</code></a>',
        "<p><code>energy</code> is a parameter</p>",
        "<p><code>svd(a)</code></p>",
    ):
        assert hooks.linked(html) == html
