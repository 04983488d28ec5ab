"""Test files whose libraries are not installed, found by their imports."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]


def missing(path: Path) -> set[str]:
    """The libraries that are not installed and that a file of the tests imports at its top, or that other
    files import for it."""
    seen, files, libraries = {path}, [path], set()
    while files:
        for module in _imported(files.pop()):
            if module.split(".")[0] == "tests":
                more = _files_of(module) - seen
                seen |= more
                files += more
            else:
                libraries.add(module.split(".")[0])
    return {library for library in libraries if not _is_installed(library)}


@cache
def _imported(path: Path) -> set[str]:
    """Names of imported modules, and of what is imported from packages of the tests, which may be modules."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, [package if node.level else "", node.module]))
            names |= {
                module,
                *(f"{module}.{alias.name}" for alias in node.names if module.startswith("tests")),
            }
    return names


def _files_of(module: str) -> set[Path]:
    path = ROOT.joinpath(*module.split("."))
    return {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()}


@cache
def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:  # in `sys.modules` without a specification: __main__, or None where it is blocked
        return library == "__main__"
