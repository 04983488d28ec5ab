"""What type checkers know of the layer in `gpusvd.torch`: its signatures, of tensors.

`python -m tests.support.tensor_stub` writes `gpusvd/_torch_layer.pyi`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gpusvd

PACKAGE = Path(gpusvd.__file__).parent
STUB = PACKAGE / "_torch_layer.pyi"
TAKEN = set(gpusvd.__all__) - {"truncate_ragged"}
RESULTS = {name for name in gpusvd.__all__ if name[0].isupper()}


def stub() -> str:
    """Return the text of the stub."""
    functions = [of_tensors(node) for node in public_functions()]
    names = {node.id for function in functions for node in ast.walk(function) if isinstance(node, ast.Name)}
    return "\n".join(
        [
            '"""The functions of the layer, of tensors; written by `python -m tests.support.tensor_stub`."""',
            "from typing import Literal, Unpack, overload",
            "import numpy as np",
            "from numpy.typing import ArrayLike",
            "from torch import Tensor",
            f"from gpusvd import {', '.join(sorted(names & RESULTS))}",
            "from gpusvd._base.checks import Driver",
            "from gpusvd._layer.truncate import Absorb, Rules",
            f"__all__ = {sorted({function.name for function in functions})}",
            *map(ast.unparse, functions),
        ]
    )


def public_functions() -> Iterator[ast.FunctionDef]:
    """Yield the functions of the layer that `gpusvd.torch` does not define anew, each overloaded one as its
    overloads."""
    module = ast.parse((PACKAGE / "torch.py").read_text(encoding="utf-8"))
    names = TAKEN - {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    for path in sorted(PACKAGE.glob("_layer/*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        public = (node for node in body if getattr(node, "name", None) in names)
        functions = [node for node in public if isinstance(node, ast.FunctionDef)]
        overloaded = {node.name for node in functions if is_overload(node)}
        yield from (node for node in functions if is_overload(node) or node.name not in overloaded)


def is_overload(node: ast.FunctionDef) -> bool:
    return [ast.unparse(decorator) for decorator in node.decorator_list] == ["overload"]


def of_tensors(node: ast.FunctionDef) -> ast.FunctionDef:
    """Make the first array that a function takes, and all that it returns, tensors."""
    first = next(a for a in node.args.args if ast.unparse(a.annotation) == "ArrayLike")
    first.annotation = ast.Name("Tensor")
    node.returns = ReturnsTensors().visit(node.returns)
    node.decorator_list = node.decorator_list if is_overload(node) else []
    node.body = [ast.Expr(ast.Constant(...))]
    return node


class ReturnsTensors(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in RESULTS:
            return ast.Subscript(node, ast.Name("Tensor"))
        return ast.Name("Tensor") if node.id == "Array" else node


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
    for command in (["check", "--fix", "--select=I"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, STUB], check=True)
