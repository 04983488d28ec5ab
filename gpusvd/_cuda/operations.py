"""Operations of `kernels.scalars` that a CUDA thread does in other ways: by instructions that approximate, by
the bits of numbers, and by accesses of 16 bytes.

Approximations of single precision are within 2 units; those of double precision have 20 bits and are refined.
Their arguments are in a range in which nothing over- or underflows.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.cuda import types
from numba.cuda.extending import intrinsic

Emit = Callable[[Any, Any], Any]  # a builder and a number

WORD = ir.IntType(32)
FIELDS = {"f": (23, 127), "d": (20, 1023)}  # bits of the fraction in the upper word, and the exponent's bias


def _letter(x: Any) -> str:
    """Return "f" for a number in single precision, "d" for one in double."""
    return "f" if x.type == ir.FloatType() else "d"


def _number(x: Any, value: float) -> ir.Constant:
    return ir.Constant(x.type, value)


def _negative(builder: Any, x: Any) -> Any:
    return builder.fsub(_number(x, -0.0), x)  # NVVM does not take `fneg`


def _instruction(name: str) -> Emit:
    """An instruction with one operand and one result."""

    def emit(builder: Any, x: Any) -> Any:
        letter = _letter(x)
        suffix = "f32" if letter == "f" else "f64"
        code = ir.InlineAsm(
            ir.FunctionType(x.type, [x.type]), f"{name}.{suffix} $0, $1;", f"={letter},{letter}"
        )
        return builder.call(code, [x])

    return emit


_approximate_reciprocal = _instruction("rcp.approx.ftz")
_approximate_inverse_root = _instruction("rsqrt.approx.ftz")
_approximate_root = _instruction("sqrt.approx.ftz")


def _reciprocal(builder: Any, x: Any) -> Any:
    y = _approximate_reciprocal(builder, x)
    if _letter(x) == "f":
        return y
    error = builder.fma(_negative(builder, x), y, _number(x, 1.0))  # of 20 bits, here with its square
    return builder.fma(y, builder.fma(error, error, error), y)


def _fine_reciprocal(builder: Any, x: Any) -> Any:
    y = _reciprocal(builder, x)
    if _letter(x) == "d":
        return y
    return builder.fma(builder.fma(_negative(builder, x), y, _number(x, 1.0)), y, y)


def _rough_reciprocal(builder: Any, x: Any) -> Any:
    return _approximate_reciprocal(builder, x)


def _inverse_root_and_error(builder: Any, x: Any) -> tuple[Any, Any]:
    """Return y near 1 / sqrt(x), and 1 - x y²."""
    y = _approximate_inverse_root(builder, x)
    return y, builder.fma(_negative(builder, builder.fmul(x, y)), y, _number(x, 1.0))


def _inverse_root(builder: Any, x: Any) -> Any:
    y, error = _inverse_root_and_error(builder, x)
    if _letter(x) == "f":
        return builder.fma(builder.fmul(_number(x, 0.5), y), error, y)
    step = builder.fma(_number(x, 0.375), error, _number(x, 0.5))
    return builder.fma(builder.fmul(y, error), step, y)


def _root(builder: Any, x: Any) -> Any:
    if _letter(x) == "f":
        return _approximate_root(builder, x)
    x = _greater(builder, x, _number(x, 2.0**-1020))  # not 0 times infinity
    y, error = _inverse_root_and_error(builder, x)
    z = builder.fmul(x, y)
    step = builder.fma(_number(x, 0.375), error, _number(x, 0.5))
    return builder.fma(builder.fmul(z, error), step, z)


def _greater(builder: Any, x: Any, y: Any) -> Any:
    """The larger one: `max.f64` takes seven instructions of the machine, a comparison and a choice three."""
    if _letter(x) == "d":
        return builder.select(builder.fcmp_ordered(">", x, y), x, y)
    pair = ir.FunctionType(x.type, [x.type, x.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, pair, "llvm.maxnum.f32"), [x, y])


def _upper_word(builder: Any, x: Any) -> Any:
    """The 32 bits with sign and exponent."""
    if _letter(x) == "f":
        return builder.bitcast(x, WORD)
    return builder.trunc(
        builder.lshr(builder.bitcast(x, ir.IntType(64)), ir.Constant(ir.IntType(64), 32)), WORD
    )


def _with_upper_word(builder: Any, x: Any, word: Any) -> Any:
    """The number of the type of x that has this upper word and no other bits."""
    if _letter(x) == "f":
        return builder.bitcast(word, x.type)
    wide = builder.zext(word, ir.IntType(64))
    return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(64), 32)), x.type)


def _inverse_power(builder: Any, x: Any) -> Any:
    fraction, bias = FIELDS[_letter(x)]
    word = builder.sub(ir.Constant(WORD, 2 * bias << fraction), _upper_word(builder, x))
    return _with_upper_word(builder, x, word)


def _of_one(emit: Emit) -> Any:
    """An operation on one real number."""

    def typed(typingctx: Any, x: Any) -> Any:
        return x(x), lambda context, builder, sig, args: emit(builder, args[0])

    return intrinsic(typed)


def _typed_greater(typingctx: Any, x: Any, y: Any) -> Any:
    """As `lanes.greater`."""
    kind = x if isinstance(x, types.Float) else y

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, second = (context.cast(builder, v, t, kind) for v, t in zip(args, (x, y), strict=True))
        return _greater(builder, first, second)

    return kind(x, y), codegen


def _typed_lift(typingctx: Any, x: Any, target: Any, highest: Any) -> Any:
    """As `lanes.lift`, for numbers that are not subnormal; those get 2**highest."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        fraction, bias = FIELDS[_letter(args[0])]
        aim, most = (builder.fptosi(value, WORD) for value in args[1:])
        field = builder.lshr(_upper_word(builder, args[0]), ir.Constant(WORD, fraction))
        power = builder.sub(builder.add(aim, ir.Constant(WORD, bias - 1)), field)
        power = builder.select(builder.icmp_signed("<", power, most), power, most)
        least = ir.Constant(WORD, 1 - bias)
        power = builder.select(builder.icmp_signed(">", power, least), power, least)
        field = builder.shl(builder.add(power, ir.Constant(WORD, bias)), ir.Constant(WORD, fraction))
        return _with_upper_word(builder, args[0], field)

    return x(x, target, highest), codegen


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """The address of a number of an array, in the order of memory."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _move(context: Any, builder: Any, source: Any, target: Any) -> Any:
    """Copy 16 bytes."""
    source, target = (
        builder.bitcast(x, ir.VectorType(WORD, 4).as_pointer(x.type.addrspace)) for x in (source, target)
    )
    builder.store(builder.load(source, align=16), target, align=16)
    return context.get_dummy_value()


def _typed_move_bytes_in(
    typingctx: Any, x: Any, e: Any, by_columns: Any, room: Any, k: Any, count: Any
) -> Any:
    """As `scalars.move_bytes_in`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = _address(context, builder, x, args[0], args[1])
        return _move(context, builder, source, _address(context, builder, room, args[3], args[4]))

    return types.none(x, types.int64, by_columns, room, types.int64, count), codegen


def _typed_move_bytes_out(
    typingctx: Any, x: Any, e: Any, by_columns: Any, room: Any, k: Any, count: Any
) -> Any:
    """As `scalars.move_bytes_out`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = _address(context, builder, room, args[3], args[4])
        return _move(context, builder, source, _address(context, builder, x, args[0], args[1]))

    return types.none(x, types.int64, by_columns, room, types.int64, count), codegen


def _typed_place_value(typingctx: Any, s: Any, e: Any, value: Any) -> Any:
    """As `scalars.place_value`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, s, *args[:2]))
        return context.get_dummy_value()

    return types.none(s, types.int64, s.dtype), codegen


@cache
def cuda_operations() -> dict[str, Any]:
    """Return these operations by name."""
    return {
        "reciprocal": _of_one(_reciprocal),
        "fine_reciprocal": _of_one(_fine_reciprocal),
        "rough_reciprocal": _of_one(_rough_reciprocal),
        "inverse_root": _of_one(_inverse_root),
        "root": _of_one(_root),
        "inverse_power": _of_one(_inverse_power),
        "greater": intrinsic(_typed_greater),
        "lift": intrinsic(_typed_lift),
        "move_bytes_in": intrinsic(_typed_move_bytes_in),
        "move_bytes_out": intrinsic(_typed_move_bytes_out),
        "place_value": intrinsic(_typed_place_value),
    }
