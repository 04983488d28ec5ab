"""The site has what it should: every public name, every picture, and tables as their sources have them."""

import importlib.util
import re
from pathlib import Path

import pytest

import gpusvd
import gpusvd.device
import gpusvd.plot
from gpusvd.__main__ import parser

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
API = {page.name: page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md")}


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_public_name_once():
    public = {f"gpusvd.{name}" for name in gpusvd.__all__ if name != "__version__"}
    for module in (gpusvd.plot, gpusvd.device):
        public |= {f"{module.__name__}.{name}" for name in module.__all__}
    found = [name for text in API.values() for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    assert len(found) == len(set(found))
    assert {name for name in found if "._" not in name} == public
    functions = {name.removeprefix("gpusvd.") for name in public if not name.rpartition(".")[2][0].isupper()}
    assert set(re.findall(r"`([a-z_.]+)`", API["index.md"].partition("Conventions")[0])) >= functions


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_nothing_is_missing(page, hooks):
    rendered = hooks.on_page_markdown(page.read_text(encoding="utf-8"))
    assert "<!-- render" not in rendered
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", rendered):
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
    numbers = {0.947: "0.95", 0.996: "1.0", 8.04: "8.0", 9.96: "10", 123.4: "123"}
    assert {x: hooks.two_digits(x) for x in numbers} == numbers


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
    assert link("energy") in hooks.linked("<p><code>gpusvd.energy</code></p>")
    for html in (
        "<h2><code>svd</code></h2>",
        "<pre><code>svd</code></pre>",
        '<a href="x"><code>svd</code></a>',
        "<p><code>energy</code> is a parameter</p>",
        "<p><code>svd(a)</code></p>",
    ):
        assert hooks.linked(html) == html
