"""A SIMD lane group as a numba type: a kernel written for one scalar compiles for W matrices at once.

`Lanes(float32, 16)` is `<16 x float>` in LLVM; `Lanes(complex64, 16)` is a pair of them, real and imaginary parts.
A group of real parts always has 64 bytes, so the number of lanes is 16 in single and 8 in double precision, on
every machine: LLVM splits a group that is wider than the registers, and joins it on wider ones. Results
therefore do not depend on the machine's vector length.

Arithmetic, comparison, `abs` and `math.sqrt` are overloaded, a scalar operand is broadcast, and branches on data become
`select`; `any_lane` asks whether some lane still has work. Fused multiply-add is allowed, nothing else is: NaN, Inf and the order of sums
are kept.

Memory: `load(array, index)` and `store(array, index, group)` address a one-dimensional array in whole groups; a
complex group is stored as 64 bytes of real parts and then 64 bytes of imaginary parts.
"""

import math
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import (
    intrinsic,
    make_attribute_wrapper,
    overload,
    overload_attribute,
    overload_method,
    register_model,
)

GROUP_BYTES = 64
FLAGS = ("nsz", "contract")


class Lanes(types.Type):
    """A group of real numbers, one a lane."""

    def __init__(self, dtype):
        self.dtype, self.width = dtype, 8 * GROUP_BYTES // dtype.bitwidth
        super().__init__(name=f"Lanes({dtype}, {self.width})")


class ComplexLanes(types.Type):
    """A group of complex numbers, one a lane: two real groups."""

    def __init__(self, dtype):
        self.part = Lanes(dtype)
        self.dtype, self.width = dtype, self.part.width
        super().__init__(name=f"ComplexLanes({dtype}, {self.width})")


class Mask(types.Type):
    """A truth value a lane."""

    def __init__(self, width):
        self.width = width
        super().__init__(name=f"Mask({width})")


def llvm_type(ty):
    if isinstance(ty, Mask):
        return ir.VectorType(ir.IntType(1), ty.width)
    return ir.VectorType(ir.FloatType() if ty.dtype == types.float32 else ir.DoubleType(), ty.width)


def integer_vector(lanes):
    return ir.VectorType(ir.IntType(lanes.dtype.bitwidth), lanes.width)


def splat(vector, value):
    """The constant vector that holds `value` in every lane."""
    return ir.Constant(vector, [value] * vector.count)


@register_model(Lanes)
@register_model(Mask)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, ty):
        super().__init__(manager, ty, llvm_type(ty))


@register_model(ComplexLanes)
class ComplexModel(models.StructModel):
    def __init__(self, manager, ty):
        super().__init__(manager, ty, [("re", ty.part), ("im", ty.part)])


make_attribute_wrapper(ComplexLanes, "re", "real")
make_attribute_wrapper(ComplexLanes, "im", "imag")


def is_group(ty):
    return isinstance(ty, Lanes | ComplexLanes)


def broadcast(context, builder, value, source, lanes):
    """A scalar argument becomes a lane group; a lane group passes through."""
    if isinstance(source, Lanes):
        return value
    vector = llvm_type(lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    scalar = context.cast(builder, value, source, lanes.dtype)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, splat(ir.VectorType(ir.IntType(32), vector.count), 0))


# Real arithmetic and comparison.


def overload_binary(op, emit, compares=False):
    """`op` on two real groups, or a real group and a scalar, is what `emit(builder, x, y)` returns."""

    @intrinsic
    def implementation(typingctx, a, b):
        lanes = a if isinstance(a, Lanes) else b
        result = Mask(lanes.width) if compares else lanes

        def codegen(context, builder, signature, args):
            x, y = (broadcast(context, builder, v, t, lanes) for v, t in zip(args, signature.args, strict=True))
            return emit(builder, x, y)

        return result(a, b), codegen

    @overload(op)
    def choose(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes | types.Number):
            return lambda a, b: implementation(a, b)
        if isinstance(b, Lanes) and isinstance(a, types.Number):
            return lambda a, b: implementation(a, b)
        return None


overload_binary(operator.add, lambda b, x, y: b.fadd(x, y, flags=FLAGS))
overload_binary(operator.sub, lambda b, x, y: b.fsub(x, y, flags=FLAGS))
overload_binary(operator.mul, lambda b, x, y: b.fmul(x, y, flags=FLAGS))
overload_binary(operator.truediv, lambda b, x, y: b.fdiv(x, y, flags=FLAGS))
for _op, _name in ((operator.gt, ">"), (operator.lt, "<"), (operator.ge, ">="), (operator.le, "<="), (operator.eq, "==")):
    overload_binary(_op, lambda b, x, y, name=_name: b.fcmp_ordered(name, x, y), compares=True)
overload_binary(operator.ne, lambda b, x, y: b.fcmp_unordered("!=", x, y), compares=True)


def overload_unary(function, name):
    """`function` on a real group is LLVM's vector intrinsic of that name."""

    @intrinsic
    def implementation(typingctx, a):
        def codegen(context, builder, signature, args):
            vector = llvm_type(a)
            suffix = f"v{a.width}f{a.dtype.bitwidth}"
            callee = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector]), f"llvm.{name}.{suffix}"
            )
            return builder.call(callee, args)

        return a(a), codegen

    @overload(function)
    def choose(a):
        if isinstance(a, Lanes):
            return lambda a: implementation(a)
        return None


overload_unary(math.sqrt, "sqrt")
overload_unary(abs, "fabs")


# Complex arithmetic, from real arithmetic. A product of two complex groups is four multiply-adds.


@intrinsic
def complex_lanes(typingctx, real, imag):
    """The complex group with these parts."""

    def codegen(context, builder, signature, args):
        pair = cgutils.create_struct_proxy(signature.return_type)(context, builder)
        pair.re, pair.im = args
        return pair._getvalue()

    return ComplexLanes(real.dtype)(real, imag), codegen


@overload(operator.add)
def _add(a, b):
    if isinstance(a, ComplexLanes) and isinstance(b, ComplexLanes):
        return lambda a, b: complex_lanes(a.real + b.real, a.imag + b.imag)
    return None


@overload(operator.sub)
def _sub(a, b):
    if isinstance(a, ComplexLanes) and isinstance(b, ComplexLanes):
        return lambda a, b: complex_lanes(a.real - b.real, a.imag - b.imag)
    return None


@overload(operator.mul)
def _mul(a, b):
    if isinstance(a, ComplexLanes) and isinstance(b, ComplexLanes):
        return lambda a, b: complex_lanes(a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real)
    if isinstance(a, ComplexLanes) and isinstance(b, Lanes | types.Float):
        return lambda a, b: complex_lanes(a.real * b, a.imag * b)
    if isinstance(b, ComplexLanes) and isinstance(a, Lanes | types.Float):
        return lambda a, b: complex_lanes(a * b.real, a * b.imag)
    return None


# A real group answers like a complex one whose imaginary part is nothing: no work is spent on it.


@overload_attribute(Lanes, "real")
def _real(x):
    return lambda x: x


@overload_method(Lanes, "conjugate")
def _conjugate(x):
    return lambda x: x


@overload_method(ComplexLanes, "conjugate")
def _conjugate_complex(x):
    return lambda x: complex_lanes(x.real, 0.0 - x.imag)


def conjugate(x):
    """The complex conjugate of a number; a real number itself."""
    return x.conjugate()


@overload(conjugate)
def _conjugate_number(x):
    if isinstance(x, types.Complex):
        return lambda x: complex(x.real, -x.imag)
    if isinstance(x, types.Float):
        return lambda x: x
    return None


def abs2(x):
    """|x|²."""
    return x.real * x.real + x.imag * x.imag


@overload(abs2)
def _abs2(x):
    if isinstance(x, ComplexLanes):
        return lambda x: x.real * x.real + x.imag * x.imag
    if isinstance(x, types.Complex):
        return lambda x: x.real * x.real + x.imag * x.imag
    if isinstance(x, Lanes | types.Float):
        return lambda x: x * x
    return None


def dot(x, y):
    """conj(x) y, the term of an inner product."""
    return x.conjugate() * y


@overload(dot)
def _dot(x, y):
    if isinstance(x, ComplexLanes):
        return lambda x, y: complex_lanes(x.real * y.real + x.imag * y.imag, x.real * y.imag - x.imag * y.real)
    if isinstance(x, types.Complex):
        return lambda x, y: conjugate(x) * y
    if isinstance(x, Lanes | types.Float):
        return lambda x, y: x * y
    return None


def largest_part(x):
    """The larger of |real part| and |imaginary part|: within sqrt(2) of |x|, and free of overflow."""
    return max(abs(x.real), abs(x.imag))


@overload(largest_part)
def _largest_part(x):
    if isinstance(x, ComplexLanes):
        return lambda x: maximum(abs(x.real), abs(x.imag))
    if isinstance(x, Lanes):
        return lambda x: abs(x)
    return None


# Masks and choices.


def overload_mask(op, emit):
    @intrinsic
    def implementation(typingctx, a, b):
        return a(a, b), lambda context, builder, signature, args: emit(builder, *args)

    @overload(op)
    def choose(a, b):
        if isinstance(a, Mask) and isinstance(b, Mask):
            return lambda a, b: implementation(a, b)
        return None


overload_mask(operator.or_, lambda b, x, y: b.or_(x, y))
overload_mask(operator.and_, lambda b, x, y: b.and_(x, y))


@intrinsic
def _invert(typingctx, mask):
    return mask(mask), lambda context, builder, signature, args: builder.not_(args[0])


@overload(operator.invert)
def _invert_mask(mask):
    if isinstance(mask, Mask):
        return lambda mask: _invert(mask)
    return None


def select(mask, a, b):
    """`a` where the mask holds, else `b`; `a` may be a real number beside a complex group. On scalars, a plain conditional."""
    return a if mask else b


@intrinsic
def _select(typingctx, mask, a, b):
    lanes = a if isinstance(a, Lanes) else b

    def codegen(context, builder, signature, args):
        x = broadcast(context, builder, args[1], signature.args[1], lanes)
        y = broadcast(context, builder, args[2], signature.args[2], lanes)
        return builder.select(args[0], x, y)

    return lanes(mask, a, b), codegen


@overload(select)
def _select_overload(mask, a, b):
    if not isinstance(mask, Mask):
        return lambda mask, a, b: a if mask else b
    if isinstance(a, ComplexLanes) and isinstance(b, ComplexLanes):
        return lambda mask, a, b: complex_lanes(_select(mask, a.real, b.real), _select(mask, a.imag, b.imag))
    if isinstance(b, ComplexLanes):
        return lambda mask, a, b: complex_lanes(_select(mask, a, b.real), _select(mask, 0.0, b.imag))
    return lambda mask, a, b: _select(mask, a, b)


def one(x):
    """The number one, of the kind of x."""
    return x * 0.0 + 1.0


@overload(one)
def _one(x):
    if isinstance(x, ComplexLanes):
        return lambda x: complex_lanes(x.real * 0.0 + 1.0, x.imag * 0.0)
    return lambda x: x * 0.0 + 1.0


def maximum(a, b):
    """The larger of two numbers; `b` where `a` is NaN."""
    return select(a > b, a, b)


@overload(maximum)
def _maximum(a, b):
    return lambda a, b: select(a > b, a, b)


def any_lane(mask):
    """Whether the mask holds in some lane; on a scalar, the scalar."""
    return mask


@intrinsic
def _any_lane(typingctx, mask):
    def codegen(context, builder, signature, args):
        bits = ir.IntType(mask.width)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0))

    return types.boolean(mask), codegen


@overload(any_lane)
def _any_lane_overload(mask):
    if isinstance(mask, Mask):
        return lambda mask: _any_lane(mask)
    return lambda mask: mask


# Powers of two, exactly. Exponents travel as floating-point lanes that hold whole numbers.


def layout(lanes):
    """Bits of the fraction, and the exponent's bias."""
    return (23, 127) if lanes.dtype == types.float32 else (52, 1023)


@intrinsic
def _bits_over_fraction(typingctx, x):
    def codegen(context, builder, signature, args):
        fraction, bias = layout(x)
        bits = builder.bitcast(args[0], integer_vector(x))
        number = builder.sitofp(bits, llvm_type(x))
        scaled = builder.fmul(number, splat(llvm_type(x), 2.0**-fraction))
        return builder.fsub(scaled, splat(llvm_type(x), float(bias)))

    return x(x), codegen


@intrinsic
def _biased_exponent(typingctx, x):
    def codegen(context, builder, signature, args):
        fraction, bias = layout(x)
        bits = builder.bitcast(args[0], integer_vector(x))
        shifted = builder.lshr(bits, splat(integer_vector(x), fraction))
        number = builder.sitofp(shifted, llvm_type(x))
        return builder.fsub(number, splat(llvm_type(x), float(bias - 1)))

    return x(x), codegen


@intrinsic
def _from_exponent(typingctx, k):
    def codegen(context, builder, signature, args):
        fraction, bias = layout(k)
        whole = builder.fptosi(args[0], integer_vector(k))
        biased = builder.add(whole, splat(integer_vector(k), bias))
        return builder.bitcast(builder.shl(biased, splat(integer_vector(k), fraction)), llvm_type(k))

    return k(k), codegen


@intrinsic
def _largest_exponent(typingctx, k):
    def codegen(context, builder, signature, args):
        return ir.Constant(llvm_type(k).element, float(layout(k)[1] - 1))

    return k.dtype(k), codegen


def log2_linear(x):
    """log2 of positive normal x, linear between powers of two: the order of the x is kept, a sort key."""
    fraction, e = math.frexp(x)
    return e + 2.0 * fraction - 2.0


@overload(log2_linear)
def _log2_linear(x):
    if isinstance(x, types.Float):
        return log2_linear
    return lambda x: _bits_over_fraction(x)


def exponent(x):
    """The whole number e with 2**(e-1) <= x < 2**e, for positive x, subnormal ones too; 0 for 0."""
    return math.frexp(x)[1]


@overload(exponent)
def _exponent(x):
    if isinstance(x, types.Float):
        return lambda x: math.frexp(x)[1]

    def implementation(x):
        normal = x * 18446744073709551616.0  # 2**64 lifts every subnormal double or float into the normal range
        subnormal = x < _smallest_normal(x)
        e = _biased_exponent(select(subnormal, normal, x)) - select(subnormal, 64.0, 0.0 * x)
        return select(x > 0.0, e, 0.0 * x)

    return implementation


@intrinsic
def _smallest_normal(typingctx, x):
    def codegen(context, builder, signature, args):
        return ir.Constant(llvm_type(x).element, 2.0 ** (1 - layout(x)[1]))

    return x.dtype(x), codegen


def small_square(x):
    """A sum of squares below this may have lost digits to underflow: the smallest normal number over eps²."""
    return 2.0**-916


@overload(small_square)
def _small_square(x):
    factor = 2.0**48 if x.dtype == types.float32 else 2.0**106
    return lambda x: _smallest_normal(x) * factor


def widest_gap(x):
    """Exponents further apart than this count as this far: 4**gap stays in range and 2**-gap is far below eps."""
    return 400.0


@overload(widest_gap)
def _widest_gap(x):
    gap = 30.0 if x.dtype == types.float32 else 400.0
    return lambda x: gap


def power_of_two(k):
    """2**k for whole k, held to the normal range."""
    return math.ldexp(1.0, k)


@overload(power_of_two)
def _power_of_two(k):
    if not isinstance(k, Lanes):
        return None

    def implementation(k):
        limit = _largest_exponent(k)
        return _from_exponent(maximum(0.0 - limit, 0.0 - maximum(0.0 - k, 0.0 - limit)))

    return implementation


def scale(x, k):
    """x 2**k for whole k up to twice the exponent range: exact as long as the result is normal."""
    half = half_of(k)
    return x * power_of_two(half) * power_of_two(k - half)


@overload(scale)
def _scale(x, k):
    return scale


def half_of(k):
    """Half of a whole number, rounded towards zero."""
    return k // 2


@overload(half_of)
def _half_of(k):
    if isinstance(k, Lanes):
        return lambda k: _truncate(k * 0.5)
    return None


@intrinsic
def _truncate(typingctx, k):
    def codegen(context, builder, signature, args):
        return builder.sitofp(builder.fptosi(args[0], integer_vector(k)), llvm_type(k))

    return k(k), codegen


# Memory.


def group_of(array):
    """The lane type that an array of this dtype holds."""
    dtype = array.dtype
    return ComplexLanes(dtype.underlying_float) if isinstance(dtype, types.Complex) else Lanes(dtype)


def group_pointer(context, builder, array_type, array, index, parts):
    data = context.make_array(array_type)(context, builder, array).data
    vector = llvm_type(Lanes(getattr(array_type.dtype, "underlying_float", array_type.dtype)))
    base = builder.bitcast(data, vector.as_pointer())
    return builder.gep(base, [builder.mul(index, ir.Constant(index.type, parts))])


def lane_count(array):
    """The number of lanes of the groups that an array of this dtype holds."""
    return GROUP_BYTES // array.real.itemsize


@overload(lane_count)
def _lane_count(array):
    width = group_of(array).width
    return lambda array: width


def exchange_lanes(builder, x, distance):
    """The vector whose lane i holds lane i ^ distance of x."""
    order = [i ^ distance for i in range(x.type.count)]
    return builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(ir.IntType(32), x.type.count), order))


def reduction(combine):
    """An intrinsic that folds the lanes of a real group into one number, half onto half."""

    @intrinsic
    def reduce(typingctx, x):
        def codegen(context, builder, signature, args):
            total, distance = args[0], x.width // 2
            while distance:
                total = combine(builder, total, exchange_lanes(builder, total, distance))
                distance //= 2
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return x.dtype(x), codegen

    return reduce


_sum_lanes = reduction(lambda b, x, y: b.fadd(x, y, flags=FLAGS))
max_lanes = reduction(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


def sum_lanes(x):
    """The sum over the lanes of a group."""
    return x


@overload(sum_lanes)
def _sum_lanes_overload(x):
    if isinstance(x, ComplexLanes):
        return lambda x: complex(_sum_lanes(x.real), _sum_lanes(x.imag))
    return lambda x: _sum_lanes(x)


@intrinsic
def _swap_neighbours(typingctx, x):
    return x(x), lambda context, builder, signature, args: exchange_lanes(builder, args[0], 1)


def swap_neighbours(x):
    """Lanes 0 and 1 exchanged, 2 and 3, and so on."""
    return x


@overload(swap_neighbours)
def _swap_neighbours_overload(x):
    if isinstance(x, ComplexLanes):
        return lambda x: complex_lanes(_swap_neighbours(x.real), _swap_neighbours(x.imag))
    return lambda x: _swap_neighbours(x)


@intrinsic
def lane_numbers(typingctx, array):
    """The real group 0, 1, 2, ... of the precision that an array holds."""
    lanes = Lanes(getattr(array.dtype, "underlying_float", array.dtype))

    def codegen(context, builder, signature, args):
        return ir.Constant(llvm_type(lanes), [float(i) for i in range(lanes.width)])

    return lanes(array), codegen


def spread(array, value):
    """The group with `value`, real or complex as the array is, in every lane."""
    return value


@overload(spread)
def _spread(array, value):
    if isinstance(array.dtype, types.Complex):
        return lambda array, value: complex_lanes(fill(array, value.real), fill(array, value.imag))
    return lambda array, value: fill(array, value)


def rounding(array):
    """Half the distance from one to the next number, in the precision of an array."""
    return 2.0**-53


@overload(rounding)
def _rounding(array):
    unit = 2.0**-24 if group_of(array).dtype == types.float32 else 2.0**-53
    return lambda array: unit


@intrinsic
def load(typingctx, array, index):
    """The group number `index` of a one-dimensional array."""
    lanes = group_of(array)
    align = array.dtype.bitwidth // 8

    def codegen(context, builder, signature, args):
        parts = 2 if isinstance(lanes, ComplexLanes) else 1
        pointer = group_pointer(context, builder, array, *args, parts)
        if parts == 1:
            return builder.load(pointer, align=align)
        pair = cgutils.create_struct_proxy(lanes)(context, builder)
        pair.re = builder.load(pointer, align=align)
        pair.im = builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), 1)]), align=align)
        return pair._getvalue()

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, group):
    """Write a group as number `index` of a one-dimensional array."""
    lanes = group_of(array)
    align = array.dtype.bitwidth // 8

    def codegen(context, builder, signature, args):
        parts = 2 if isinstance(lanes, ComplexLanes) else 1
        pointer = group_pointer(context, builder, array, args[0], args[1], parts)
        if parts == 1:
            value = broadcast(context, builder, args[2], signature.args[2], lanes)
            builder.store(value, pointer, align=align)
        else:
            pair = cgutils.create_struct_proxy(lanes)(context, builder, value=args[2])
            builder.store(pair.re, pointer, align=align)
            builder.store(pair.im, builder.gep(pointer, [ir.Constant(ir.IntType(64), 1)]), align=align)
        return context.get_dummy_value()

    accepted = group if is_group(group) else lanes.dtype
    return types.none(array, types.intp, accepted), codegen


@intrinsic
def fill(typingctx, array, value):
    """The real group with `value` in every lane, of the precision that the array holds."""
    lanes = Lanes(getattr(array.dtype, "underlying_float", array.dtype))

    def codegen(context, builder, signature, args):
        return broadcast(context, builder, args[1], signature.args[1], lanes)

    return lanes(array, value), codegen


def lane_pointer(context, builder, array_type, args, part):
    """The address of one number: args are the array, the number of its group and the lane."""
    lanes = group_of(array_type)
    parts = 2 if isinstance(lanes, ComplexLanes) else 1
    data = context.make_array(array_type)(context, builder, args[0]).data
    base = builder.bitcast(data, llvm_type(lanes).element.as_pointer())
    width = ir.Constant(args[1].type, lanes.width)
    group = builder.add(builder.mul(args[1], ir.Constant(args[1].type, parts)), ir.Constant(args[1].type, part))
    return builder.gep(base, [builder.add(builder.mul(group, width), args[2])])


@intrinsic
def get(typingctx, array, index, lane):
    """The number in one lane of group `index`."""

    def codegen(context, builder, signature, args):
        if not isinstance(array.dtype, types.Complex):
            return builder.load(lane_pointer(context, builder, array, args, 0))
        number = cgutils.create_struct_proxy(array.dtype)(context, builder)
        number.real = builder.load(lane_pointer(context, builder, array, args, 0))
        number.imag = builder.load(lane_pointer(context, builder, array, args, 1))
        return number._getvalue()

    return array.dtype(array, types.intp, types.intp), codegen


@intrinsic
def put(typingctx, array, index, lane, value):
    """Write a number into one lane of group `index`."""

    def codegen(context, builder, signature, args):
        if not isinstance(array.dtype, types.Complex):
            builder.store(args[3], lane_pointer(context, builder, array, args, 0))
        else:
            number = cgutils.create_struct_proxy(array.dtype)(context, builder, value=args[3])
            builder.store(number.real, lane_pointer(context, builder, array, args, 0))
            builder.store(number.imag, lane_pointer(context, builder, array, args, 1))
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, array.dtype), codegen
