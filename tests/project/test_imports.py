"""Imports run one way, from the command line down to the kernels."""

import ast
from importlib.util import resolve_name
from pathlib import Path

import pytest

import gpusvd

PACKAGE = Path(gpusvd.__file__).parent
FILES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py")])

# A folder imports itself and the folders below its level. "public" is what lies beside the folders.
LEVELS = {
    "kernels": 0,
    "_base": 1,
    "_cpu": 2,
    "_cuda": 2,
    "_svd": 3,
    "_layer": 4,
    "_stream": 4,
    "public": 5,
    "_commands": 6,
    "__main__": 7,
}


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def folder_of(module):
    _, part, *_ = [*module.split("."), "public"]
    return part if part in LEVELS else "public"


def imports_of(module):
    """Return the modules of the package that a module imports, at the top or within a function."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            inner = [f"{origin}.{alias.name}" for alias in node.names]
            names += [name if name in MODULES else origin for name in inner]
    return set(names) & set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_no_import_goes_up(module):
    here = folder_of(module)
    others = {name: folder_of(name) for name in imports_of(module) if folder_of(name) != here}
    assert not [name for name, folder in others.items() if LEVELS[folder] >= LEVELS[here]]


def test_every_folder_has_a_level():
    assert {path.parent.name for path in FILES} - {PACKAGE.name} == set(LEVELS) - {"public", "__main__"}


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("gpusvd", "gpusvd.dask"),  # for type checkers alone
        ("gpusvd.dask", "gpusvd"),
        ("gpusvd.torch", "gpusvd._cuda.arrays"),  # within a function
        ("gpusvd._svd.places", "gpusvd._cpu.lapack"),  # by the name of its package
        ("gpusvd.kernels.single", "gpusvd.kernels.qr"),  # relative
    ],
)
def test_imports_are_found(module, imported):
    assert imported in imports_of(module)
