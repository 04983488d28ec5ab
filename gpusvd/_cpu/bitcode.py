"""Make LLVM bitcode of the CPU kernels with numba, and pack that of all of them for a release.

    python -m gpusvd._cpu.bitcode

writes `gpusvd/_cpu/bitcode.zip` in some ten minutes: every solver for every dtype, optimised for no
particular processor, so that only LLVM's back end is left to run. Optimising for a certain processor gains no
speed, but may fuse other complex products with their sums, which changes last bits.

The bitcode of a solver contains its kernel, the functions that the kernel calls, and the entry that Python
calls. Apart from what LLVM itself calls, such as memset, no symbol has to be found when it is loaded.
"""

import argparse
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import ZIP_LZMA, ZipFile

import numba
import numpy as np
from llvmlite import binding as llvm
from numba import types
from numba.core import config

from gpusvd._base.specialise import Specialiser
from gpusvd._cpu.compile import BITCODE, ENTRY, PYTHON, SOLVERS, TINY, bitcode_name
from gpusvd.kernels import lanes, tiny
from gpusvd.kernels.lanes import jit

DTYPES = ("float32", "float64", "complex64", "complex128")

# Functions that numba has in C, and the square roots of the C library.
_HELPERS = """
declare double @llvm.sqrt.f64(double)
declare float @llvm.sqrt.f32(float)
declare i32 @llvm.smax.i32(i32, i32)
declare i32 @llvm.smin.i32(i32, i32)

define double @gpusvd_sqrt(double %x) alwaysinline {
  %root = call double @llvm.sqrt.f64(double %x)
  ret double %root
}

define float @gpusvd_sqrtf(float %x) alwaysinline {
  %root = call float @llvm.sqrt.f32(float %x)
  ret float %root
}

define i32 @gpusvd_exponent_field(double %x) {
  %bits = bitcast double %x to i64
  %shifted = lshr i64 %bits, 52
  %masked = and i64 %shifted, 2047
  %field = trunc i64 %masked to i32
  ret i32 %field
}

; Subnormal numbers are multiplied by 2^64 first. 0, Inf and NaN are their own fractions, with exponent 0.
define double @numba_frexp(double %x, ptr %exponent) {
  %field = call i32 @gpusvd_exponent_field(double %x)
  %subnormal = icmp eq i32 %field, 0
  %larger = fmul double %x, 0x43F0000000000000
  %normal = select i1 %subnormal, double %larger, double %x
  %bias = select i1 %subnormal, i32 1086, i32 1022
  %normal_field = call i32 @gpusvd_exponent_field(double %normal)
  %power = sub i32 %normal_field, %bias
  %bits = bitcast double %normal to i64
  %without = and i64 %bits, -9218868437227405313
  %with_that_of_half = or i64 %without, 4602678819172646912
  %fraction = bitcast i64 %with_that_of_half to double
  %not_finite = icmp eq i32 %field, 2047
  %zero = fcmp oeq double %x, 0.0
  %special = or i1 %not_finite, %zero
  %stored = select i1 %special, i32 0, i32 %power
  store i32 %stored, ptr %exponent, align 4
  %result = select i1 %special, double %x, double %fraction
  ret double %result
}

define float @numba_frexpf(float %x, ptr %exponent) {
  %double = fpext float %x to double
  %fraction = call double @numba_frexp(double %double, ptr %exponent)
  %result = fptrunc double %fraction to float
  ret float %result
}

define double @gpusvd_power_of_two(i32 %k) {
  %field = add i32 %k, 1023
  %wide = zext i32 %field to i64
  %bits = shl i64 %wide, 52
  %result = bitcast i64 %bits to double
  ret double %result
}

; In two steps, each a normal number. That is exact for powers of two, the only numbers that kernels pass.
define double @numba_ldexp(double %x, i32 %k) {
  %not_less = call i32 @llvm.smax.i32(i32 %k, i32 -2044)
  %within = call i32 @llvm.smin.i32(i32 %not_less, i32 2046)
  %first = sdiv i32 %within, 2
  %second = sub i32 %within, %first
  %p = call double @gpusvd_power_of_two(i32 %first)
  %q = call double @gpusvd_power_of_two(i32 %second)
  %once = fmul double %x, %p
  %result = fmul double %once, %q
  ret double %result
}
"""


def main() -> None:
    parser = argparse.ArgumentParser("python -m gpusvd._cpu.bitcode", description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=BITCODE, help="default: %(default)s")
    parser.add_argument("--solver", nargs="+", choices=SOLVERS, default=list(SOLVERS), help="default: all")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES, help="default: all")
    arguments = parser.parse_args()
    config.CPU_NAME, config.CPU_FEATURES = "generic", ""
    with ZipFile(arguments.output, "w", ZIP_LZMA) as archive:
        for solver, dtype in product(arguments.solver, arguments.dtype):
            archive.writestr(name := bitcode_name(solver, dtype), build(solver, dtype))
            print(f"{name}: {archive.getinfo(name).compress_size} bytes", flush=True)


def build(solver: str, dtype: str) -> bytes:
    """Return the bitcode of a solver for a dtype, optimised for the processor that numba is set to."""
    kernel = _kernel(solver, dtype)
    argument_types = signature(kernel, dtype)
    dispatcher = jit(kernel)
    with _quiet_numba():
        dispatcher.compile(argument_types)
    module = llvm.parse_assembly(dispatcher.inspect_llvm(argument_types))
    defined = [f for f in module.functions if not f.is_declaration]
    (solve,) = [f.name for f in defined if f.linkage == llvm.Linkage.external]
    for function in module.functions:
        if function.name in ("sqrt", "sqrtf"):
            function.name = f"gpusvd_{function.name}"
    head = f'target datalayout = "{module.data_layout}"\ntarget triple = "{module.triple}"\n'
    module.link_in(llvm.parse_assembly(head + _HELPERS))
    module.link_in(llvm.parse_assembly(head + _entry(solve, argument_types)))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in (ENTRY, PYTHON):
            value.linkage = "internal"
    _inline_helpers(module)
    missing = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if missing:
        raise NotImplementedError(f"{solver} calls {missing}, which has no definition in {__name__}")
    bitcode: bytes = module.as_bitcode()
    return bitcode


def compile_by_numba(solver: str, dtype: str) -> Callable[..., None]:
    """Return a solver as numba compiles and calls it, with nothing kept on disk."""
    kernel = _kernel(solver, dtype)
    dispatcher = numba.njit(error_model="numpy", nogil=True)(kernel)
    with _quiet_numba():
        function: Callable[..., None] = dispatcher.compile(signature(kernel, dtype))
    return function


def signature(kernel: Callable[..., None], dtype: str) -> tuple[types.Type, ...]:
    """Return numba's types of a kernel's arguments for matrices of a dtype, by the names of the arguments."""
    number, real = (numba.from_dtype(x.dtype) for x in (np.empty(0, dtype), np.empty(0, dtype).real))
    matrices = types.Array(number, 3, "A")
    by_name = {
        **dict.fromkeys(("a", "left", "right"), matrices),
        "s": types.Array(real, 2, "A"),
        **dict.fromkeys(("converged", "found"), types.Array(types.boolean, 1, "C")),
        "sweeps": types.Array(types.int32, 1, "C"),
        **dict.fromkeys(("off", "reals"), types.Array(real, 1, "C")),
        **dict.fromkeys(("adjoint", "relative", "vectors"), types.boolean),
        "stop": types.Array(types.uint8, 1, "C"),
        "numbers": types.Array(number, 1, "C"),
    }
    return tuple(by_name[name] for name in inspect.signature(kernel).parameters)


def _kernel(solver: str, dtype: str) -> Callable[..., None]:
    """Return the function to compile: of straight-line code one for the size and the dtype."""
    module = import_module(f"gpusvd.kernels.{SOLVERS[solver]}")
    if solver not in TINY:
        kernel: Callable[..., None] = getattr(module, solver)
        return kernel
    rows, n, vectors = TINY[solver]
    limits = tiny.limits(dtype in ("float32", "complex64"))
    specialiser = Specialiser(limits, None, jit, frozenset(vars(lanes)))
    parts = 2 if dtype.startswith("complex") else 1
    return specialiser.without(module.svd_tiny, rows=rows, n=n, vectors=int(vectors), parts=parts)


@contextmanager
def _quiet_numba() -> Iterator[None]:
    """Keep back the thousands of lines that numba logs for its developers, unless its level has been set."""
    log = logging.getLogger("numba")
    before = log.level
    log.setLevel(before or logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def _inline_helpers(module: Any) -> None:
    """Inline what must be, and remove functions that nothing calls: LLVM's level 0, which does no more."""
    machine = llvm.Target.from_triple(module.triple).create_target_machine()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(0))
    manager = passes.getModulePassManager()
    manager.add_global_dead_code_eliminate_pass()
    manager.run(module, passes)


# The entry


def _entry(solve: str, argument_types: tuple[types.Type, ...]) -> str:
    """Return LLVM assembly of the function that Python calls, ``PyObject *(self, arguments, count)``.

    It hands on what numba's functions take: of an array two unused pointers, its element count, item size,
    address, shape and strides. They are read from the array, a PyArrayObject, whose first fields belong to
    NumPy's stable ABI: after the object's head ``char *data; int nd; npy_intp *dimensions, *strides``. If the
    kernel fails, which none does, the entry returns NULL, of which Python makes a SystemError.
    """
    code = _Lines()
    head, none, true, save, restore, incref = code.loads(f"@{PYTHON}", 6, "ptr")
    length = code.line(f"ptrtoint ptr {head} to i64")
    passed = ["ptr %result", "ptr %raised"]
    arguments = code.loads("%arguments", len(argument_types), "ptr")
    for argument, ty in zip(arguments, argument_types, strict=True):
        if isinstance(ty, types.Array):
            fields = code.line(f"getelementptr i8, ptr {argument}, i64 {length}")
            data, _, dimensions, strides = code.loads(fields, 4, "ptr")
            shape = code.loads(dimensions, ty.ndim, "i64")
            count = shape[0]
            for size in shape[1:]:
                count = code.line(f"mul i64 {count}, {size}")
            passed += ["ptr null", "ptr null", f"i64 {count}", f"i64 {_itemsize(ty.dtype)}", f"ptr {data}"]
            passed += [f"i64 {x}" for x in (*shape, *code.loads(strides, ty.ndim, "i64"))]
        else:
            flag = code.line(f"icmp eq ptr {argument}, {true}")
            passed.append("i8 " + code.line(f"zext i1 {flag} to i8"))
    parameters = ", ".join(value.split()[0] for value in passed)
    return f"""
@{PYTHON} = global [6 x ptr] zeroinitializer
declare i32 @"{solve}"({parameters})
define ptr @{ENTRY}(ptr %self, ptr %arguments, i64 %count) {{
  %result = alloca ptr
  %raised = alloca ptr
{code}
  %thread = call ptr {save}()
  %status = call i32 @"{solve}"({", ".join(passed)})
  call void {restore}(ptr %thread)
  %success = icmp eq i32 %status, 0
  %returned = select i1 %success, ptr {none}, ptr null
  call void {incref}(ptr {none})
  ret ptr %returned
}}
"""


class _Lines:
    """Lines of LLVM assembly, each with a value of its own."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, code: str) -> str:
        """Append an instruction, and return its value."""
        value = f"%v{len(self.lines)}"
        self.lines.append(f"  {value} = {code}")
        return value

    def loads(self, address: str, count: int, kind: str) -> list[str]:
        """Append loads of that many values of 8 bytes, and return them."""
        places = [self.line(f"getelementptr i64, ptr {address}, i64 {i}") for i in range(count)]
        return [self.line(f"load {kind}, ptr {place}") for place in places]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _itemsize(ty: types.Type) -> int:
    return 1 if ty == types.boolean else int(ty.bitwidth) // 8


if __name__ == "__main__":
    main()
