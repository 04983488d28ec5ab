"""Imports run one way, from the command line down to the kernels."""

import ast
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import gpusvd

PACKAGE = Path(gpusvd.__file__).parent
FILES = sorted({*PACKAGE.rglob("*.py"), *PACKAGE.glob("kernels/*.py")})  # kernels is a link

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


def imports_of(module, *, top=False):
    """Return the modules of the package that a module imports, at the top or also within functions."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree, names = ast.parse(path.read_text(encoding="utf-8")), []
    for node in tree.body if top else ast.walk(tree):
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
    assert all(len(path.relative_to(PACKAGE).parts) <= 2 for path in FILES)


def test_no_modules_import_each_other():
    above = {module: imports_of(module, top=True) - {"gpusvd"} for module in MODULES}
    list(TopologicalSorter(above).static_order())  # CycleError names a circle


def test_modules_are_imported_by_name_in_two_places():
    """Of what they import there, the order of the folders says nothing."""
    by_name = {module for module, path in MODULES.items() if "import_module(" in path.read_text("utf-8")}
    assert by_name == {"gpusvd", "gpusvd._base.dispatch", "gpusvd._commands.info", "gpusvd._cpu.bitcode"}


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
