"""What stands for numba-cuda and the linker: machine code that names its kernel, which others execute."""

import ast
import inspect
import pickle
import textwrap
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .memory import memory_at

MAGIC = b"\x7fELF"
SHARED = 48 * 1024  # bytes of shared memory of a block that does not ask for more


class Image(NamedTuple):
    """Machine code: of a kernel, for a dtype, with parameters, arrays as (dtype, dimensions) and numbers as
    their type; and its bytes of static shared memory."""

    kernel: Any
    kind: str
    parameters: list
    static: int


def compiled(kernel, kind, signature, capability):
    """As `gpusvd._cuda.launch.ptx`, but not text."""
    from numba import types
    from numba.np.numpy_support import as_dtype

    parameters = [
        (as_dtype(x.dtype).str, x.ndim)
        if isinstance(x, types.Array)
        else "bool"
        if x == types.boolean
        else "int"
        for x in signature
    ]
    return pickle.dumps(Image(kernel, kind, parameters, static_bytes(kernel, kind)))


def linked(code, capability):
    """As `gpusvd._cuda.launch._link`."""
    return MAGIC + code


def loaded(path):
    """The image in a file; None if it is damaged."""
    code = Path(path).read_bytes()
    try:
        return pickle.loads(code.removeprefix(MAGIC)) if code.startswith(MAGIC) else None
    except (pickle.UnpicklingError, EOFError):
        return None


def static_bytes(kernel, kind):
    """The shared memory of the arrays of fixed size that a kernel declares."""
    return _static_bytes(kernel.function, kernel.constants, kind)


@cache
def _static_bytes(function, constants, kind):
    sizes = {"number": np.dtype(kind).itemsize, "real": np.empty(0, kind).real.itemsize, "int32": 4}
    declared = 0
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cuda.shared.array":
            length, element = node.args
            declared += eval(ast.unparse(length), dict(constants)) * sizes[ast.unparse(element)]
    return declared


def unpacked(image, packed):
    """The arrays among the arguments of machine code, and all arguments without the kernel's constants."""
    rest, arrays, arguments = list(packed), [], []
    constants = dict(image.kernel.constants)
    names = inspect.signature(image.kernel.function).parameters
    for name, parameter in zip(names, image.parameters, strict=True):
        if isinstance(parameter, tuple):
            dtype, dimensions = parameter
            fields, rest = rest[: 5 + 2 * dimensions], rest[5 + 2 * dimensions :]
            value = array_at(np.dtype(dtype), fields)
            arrays.append(value)
        else:
            value, *rest = rest
            assert type(value).__name__ == parameter, (name, value)
        if name in constants:
            assert value == constants[name], name
        else:
            arguments.append(value)
    assert not rest, "more arguments than parameters"
    return arrays, arguments


def array_at(dtype, fields):
    """The array that numba's five numbers, a shape and strides describe."""
    meminfo, parent, size, itemsize, address, *extents = fields
    assert all(type(field) is int for field in fields)
    shape, strides = extents[: len(extents) // 2], extents[len(extents) // 2 :]
    assert (meminfo, parent, size, itemsize) == (0, 0, int(np.prod(shape)), dtype.itemsize)
    memory = memory_at(address)
    return np.ndarray(shape, dtype, memory.bytes, address - memory.ptr, strides)
