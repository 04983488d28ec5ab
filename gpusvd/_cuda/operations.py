"""Operations of `kernels.scalars` that a CUDA thread does in other ways: by instructions that approximate,
and by the bits of numbers.

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

from gpusvd.kernels.cuda_columns import WORD, exponent_fields, negative, plain

Emit = Callable[[Any, Any], Any]  # a builder and a number


def _letter(x: Any) -> str:
    """Return "f" for a number in single precision, "d" for one in double."""
    return "f" if x.type == ir.FloatType() else "d"


def _number(x: Any, value: float) -> ir.Constant:
    return ir.Constant(x.type, value)


def _reciprocal(builder: Any, x: Any) -> Any:
    y = plain(builder, "rcp.approx.ftz", x)
    if _letter(x) == "f":
        return y
    error = builder.fma(negative(builder, x), y, _number(x, 1.0))  # of 20 bits, here with its square
    return builder.fma(y, builder.fma(error, error, error), y)


def _fine_reciprocal(builder: Any, x: Any) -> Any:
    y = _reciprocal(builder, x)
    if _letter(x) == "d":
        return y
    return builder.fma(builder.fma(negative(builder, x), y, _number(x, 1.0)), y, y)


def _rough_reciprocal(builder: Any, x: Any) -> Any:
    return plain(builder, "rcp.approx.ftz", x)


def _inverse_root_and_error(builder: Any, x: Any) -> tuple[Any, Any]:
    """Return y near 1 / sqrt(x), and 1 - x y²."""
    y = plain(builder, "rsqrt.approx.ftz", x)
    return y, builder.fma(negative(builder, builder.fmul(x, y)), y, _number(x, 1.0))


def _inverse_root(builder: Any, x: Any) -> Any:
    y, error = _inverse_root_and_error(builder, x)
    if _letter(x) == "f":
        return builder.fma(builder.fmul(_number(x, 0.5), y), error, y)
    step = builder.fma(_number(x, 0.375), error, _number(x, 0.5))
    return builder.fma(builder.fmul(y, error), step, y)


def _root(builder: Any, x: Any) -> Any:
    if _letter(x) == "f":
        return plain(builder, "sqrt.approx.ftz", x)
    return _fine_root(builder, x)


def _fine_root(builder: Any, x: Any) -> Any:
    if _letter(x) == "f":
        y = plain(builder, "rsqrt.approx.ftz", _greater(builder, x, _number(x, 2.0**-126)))
        z = builder.fmul(x, y)
        return builder.fma(builder.fma(negative(builder, z), z, x), builder.fmul(_number(x, 0.5), y), z)
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


def _fields(x: Any) -> tuple[int, int]:
    """Return the bits of the fraction in the upper word, and the exponent's bias."""
    whole, fraction, bias = exponent_fields(x)
    return fraction - (whole.width - WORD.width), bias


def _with_upper_word(builder: Any, x: Any, word: Any) -> Any:
    """The number of the type of x that has this upper word and no other bits."""
    if _letter(x) == "f":
        return builder.bitcast(word, x.type)
    wide = builder.zext(word, ir.IntType(64))
    return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(64), 32)), x.type)


def _inverse_power(builder: Any, x: Any) -> Any:
    fraction, bias = _fields(x)
    word = builder.sub(ir.Constant(WORD, 2 * bias << fraction), _upper_word(builder, x))
    return _with_upper_word(builder, x, word)


def _power_of_two(builder: Any, x: Any) -> Any:
    fraction, bias = _fields(x)
    held = _greater(builder, x, _number(x, 1.0 - bias))
    held = negative(builder, _greater(builder, negative(builder, held), _number(x, 1.0 - bias)))
    field = builder.add(builder.fptosi(held, WORD), ir.Constant(WORD, bias))
    return _with_upper_word(builder, x, builder.shl(field, ir.Constant(WORD, fraction)))


def _log2_linear(builder: Any, x: Any) -> Any:
    """Of positive numbers, rounded as `scalars.log2_linear` does: e + 2 fraction - 2."""
    fraction, bias = _fields(x)
    field = builder.lshr(_upper_word(builder, x), ir.Constant(WORD, fraction))
    exponent = builder.sitofp(builder.sub(field, ir.Constant(WORD, bias - 1)), x.type)
    whole, digits, _ = exponent_fields(x)
    bits = builder.and_(builder.bitcast(x, whole), ir.Constant(whole, (1 << digits) - 1))
    twice = builder.bitcast(builder.or_(bits, ir.Constant(whole, bias << digits)), x.type)
    return builder.fadd(builder.fadd(exponent, twice), _number(x, -2.0))


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
        fraction, bias = _fields(args[0])
        aim, most = (builder.fptosi(value, WORD) for value in args[1:])
        field = builder.lshr(_upper_word(builder, args[0]), ir.Constant(WORD, fraction))
        power = builder.sub(builder.add(aim, ir.Constant(WORD, bias - 1)), field)
        power = builder.select(builder.icmp_signed("<", power, most), power, most)
        least = ir.Constant(WORD, 1 - bias)
        power = builder.select(builder.icmp_signed(">", power, least), power, least)
        field = builder.shl(builder.add(power, ir.Constant(WORD, bias)), ir.Constant(WORD, fraction))
        return _with_upper_word(builder, args[0], field)

    return x(x, target, highest), codegen


@cache
def cuda_operations() -> dict[str, Any]:
    """Return these operations by name."""
    return {
        "reciprocal": _of_one(_reciprocal),
        "fine_reciprocal": _of_one(_fine_reciprocal),
        "rough_reciprocal": _of_one(_rough_reciprocal),
        "inverse_root": _of_one(_inverse_root),
        "root": _of_one(_root),
        "fine_root": _of_one(_fine_root),
        "inverse_power": _of_one(_inverse_power),
        "power_of_two": _of_one(_power_of_two),
        "log2_linear": _of_one(_log2_linear),
        "greater": intrinsic(_typed_greater),
        "lift": intrinsic(_typed_lift),
    }
