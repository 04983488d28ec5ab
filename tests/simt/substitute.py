"""A kernel and all that it calls, with `cuda`, `math` and numba's number types replaced."""

import dis
import math
from types import CellType, CodeType, FunctionType, ModuleType

import numba
import numba.cuda
import numpy as np

from gpusvd.kernels import cuda_columns as compiled

from . import columns
from .arrays import as_dtype
from .mathematics import Mathematics

INTRINSIC = type(compiled.inner)


class Substitution:
    """Makes functions run as Python does, on an emulated `cuda`."""

    def __init__(self, cuda):
        self.cuda, self.mathematics = cuda, Mathematics()
        self.made = {}

    def __call__(self, value):
        """What stands for a global or a captured variable."""
        if isinstance(value, ModuleType):
            return {numba.cuda: self.cuda, math: self.mathematics}.get(value, value)
        if isinstance(value, numba.types.Number | numba.types.Boolean):
            return as_dtype(value).type
        if isinstance(value, INTRINSIC):
            return self.function(getattr(columns, value.__name__))
        if isinstance(value, np.ndarray):
            return self.cuda.const.array_like(value)
        function = getattr(value, "py_func", value)
        return self.function(function) if isinstance(function, FunctionType) else value

    def function(self, function):
        """A function with the same code and all that it names replaced."""
        if function not in self.made:
            names = named(function.__code__) & function.__globals__.keys()
            namespace = {name: function.__globals__[name] for name in ("__name__", "__builtins__")}
            cells = None if function.__closure__ is None else tuple(CellType() for _ in function.__closure__)
            copy = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, cells)
            copy.__kwdefaults__ = function.__kwdefaults__
            self.made[function] = copy  # before what it names, which may be itself
            namespace.update({name: self(function.__globals__[name]) for name in names})
            for cell, original in zip(cells or (), function.__closure__ or (), strict=True):
                cell.cell_contents = self(original.cell_contents)
        return self.made[function]


def named(code):
    """The global names of a function and of those defined inside."""
    names = {at.argval for at in dis.get_instructions(code) if at.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= named(constant)
    return names
