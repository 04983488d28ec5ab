"""A group of SIMD lanes as a numba type: a kernel written for one number compiles for W matrices at once.

A real group is W numbers and lies in LLVM's vector type: `Lanes(float32, 16)` is `<16 x float>`. A complex
group, `ComplexLanes(float32, 16)`, is two of them, real and imaginary parts. A vector has 64 bytes on every
machine, which makes 16 lanes in single and 8 in double precision: LLVM splits it where registers are
narrower. Results therefore do not depend on the length of the registers. They do depend, within rounding, on
whether the machine has a fused multiply-add.

From `x - s * y` to an instruction
----------------------------------
Let x and y be real groups in single precision and s a number. numba compiles the expression in four steps,
and this module adds to each what it has to know about groups:

1. Types. numba infers the type of each variable: `x = load(a, i)` is a `Lanes(float32, 16)`, since a is an
   array of float32. `register_model` says what LLVM type stands for it.
2. Typing templates. For `s * y` numba asks each template of `operator.mul` for the type of the result, given
   (float32, Lanes). The template made by `operation` calls the function `result` that it was given, here
   `arithmetic`, which answers `Lanes(float32, 16)`.
3. Lowering. `lower_builtin` registers functions that emit code, by the kinds of their operands: for
   `operator.mul` and (Number, Lanes) numba calls the function `emit` in `real_operation`.
4. The builder. `emit` gets the operands as LLVM values and appends instructions to the function under
   construction: `builder.fmul(...)` calculates nothing, it writes a line of LLVM's intermediate language.

The lines for the whole expression, and what LLVM makes of them for AVX-512:

    %x = load <16 x float>, ptr %a, align 4
    %y = load <16 x float>, ptr %b, align 4
    %first = insertelement <16 x float> poison, float %s, i64 0
    %all = shufflevector <16 x float> %first, <16 x float> poison, <16 x i32> zeroinitializer
    %product = fmul nsz contract <16 x float> %all, %y
    %difference = fsub nsz contract <16 x float> %x, %product

    vbroadcastss  %xmm0, %zmm0              s in every lane
    vmovups       (%rdx), %zmm1             y
    vfnmadd213ps  (%rcx), %zmm1, %zmm0      x - s * y: 16 multiply-adds in one instruction

With AVX2 the last line becomes two instructions on eight numbers each, and without fused multiply-add four
`mulps` and four `subps`. In a kernel's loop s stays in its register. A complex group takes the same
instructions twice, once for each part, as s is real.

Operations
----------
Operands: R is a real group, C a complex one, G either, M a mask; s is a real number, which goes to all lanes,
v any number, a an array, i the number of a group in it, k a real group of whole numbers. Most functions below
have a plain Python body on numbers, which says what each lane gets.

    operation                      operands               result

    a + b, a - b                   RR, Rs, sR, CC, CR, RC, Cs, sC    sum and difference
    a * b                          the same               product; a real factor multiplies both parts
    a / b                          RR, Rs, sR             quotient
    math.sqrt(x), abs(x)           R                      square root, absolute value
    root(x), inverse_root(x)       R                      sqrt(x), 1 / sqrt(x), on CUDA to about 2 units
    reciprocal(x)                  R                      1 / x, the same
    fine_root(x)                   R                      sqrt(x), to about half a unit
    fine_reciprocal(x)             R                      1 / x, to about half a unit
    rough_reciprocal(x)            R                      1 / x to 2 %, for positive x
    maximum(a, b)                  RR, Rs, sR             the larger; b where either is NaN
    greater(a, b)                  RR, Rs, sR             the larger; either where one is NaN
    with_sign(x, y)                RR                     |x| with the sign of y
    x.real, x.imag                 G; C                   parts; `.real` of a real group is itself
    conjugate(x)                   G                      conj(x)
    scaled(x, a)                   RR, Rs, CR, Cs         the product with a real number, part by part
    abs2(x)                        G                      |x|², a real group
    dot(x, y)                      RR, CC                 conj(x) y
    largest_part(x)                G                      the larger of |x.real| and |x.imag|
    direction(x)                   G                      x / |x|, and 1 for 0
    nothing_if_finite(x)           G                      0, or NaN for NaN and Inf
    unsigned_zero(x)               G                      x, with 0 for -0

    <  <=  >  >=  ==  !=           RR, Rs, sR             a mask; with NaN only != holds
    m & n, m | n, ~m               MM; M                  and, or, not
    select(m, a, b)                MGG, MsG, MGs          a where the mask holds, else b
    any_lane(m)                    M                      whether the mask holds in some lane, to branch on

    exponent(x)                    R                      the exponent of x > 0, as `math.frexp` has it
    log2_linear(x)                 R                      nearly log2(x), in the order of the x > 0
    power_of_two(k)                R                      2**k
    half_of(k)                     R                      k / 2, rounded towards zero
    lift(x, i, j)                  R                      2**k, k <= j, that brings x >= 0 just below 2**i
    inverse_power(x)               R                      1 / x for powers of two
    scale(x, k)                    RR, CR                 x 2**k
    small_square(x)                R                      sums of squares below this have lost digits
    widest_gap(x)                  R                      the largest difference of exponents in a rotation
    rounding(a)                    a                      half the distance from 1 to the next number

    load(a, i), store(a, i, x)                            read or write group i of an array
    get(a, i, j), put(a, i, j, v)                         read or write the number in lane j of group i
    section(a, i, n)                                      groups i to i + n - 1, as an array
    registers(i, v)                                       i variables, see `gpusvd._base.specialise`
    lane_count(a)                                         W
    fill(a, s)                                            the real group with s in every lane
    spread(a, v)                                          the group with v in every lane, complex if a is
    transpose_in(x, i, o, a, g)                           four groups of a from numbers o to o + 3 of matrices
    transpose_out(a, g, x, i, o)                          x[i], x[i + 1], ..., and back; parts of complex ones
                                                          are numbers, and are groups
    lane_numbers(a)                                       the real group 0, 1, 2, ...
    sum_lanes(x)                   G                      the sum over all lanes, a number
    max_lanes(x)                   R                      the largest over all lanes, a number
    swap_neighbours(x)             G                      lanes 0 and 1 exchanged, 2 and 3, and so on

Sums, products, quotients and square roots round as IEEE arithmetic does, but for what `FLAGS` allow.

Exponents are real groups that hold whole numbers: `exponent` returns one, and `half_of`, `power_of_two` and
`scale` take one. Whole numbers of this size are exact in either precision, so sums, comparisons, `select` and
the arrays of real numbers serve for exponents too, and a second kind of group, of integers, is not needed.

In memory a complex group is 64 bytes of real parts and then 64 bytes of imaginary parts. An array of complex
numbers is only storage for such groups: its own entries mean nothing.

`scalars` has these operations for a single number. `tests/kernels/test_lanes.py` holds them to each other.
"""

import math
import operator

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    make_attribute_wrapper,
    overload,
    overload_attribute,
    register_model,
)

from .layout import GROUP_BYTES

# The alignment that LLVM may assume, in bytes: that of the smallest number, as a caller's array may begin
# anywhere. Unaligned loads cost nothing unless they cross a cache line, and the workspaces are aligned to
# cache lines.
ALIGN = 4
# What LLVM may change about a sum, difference, product or quotient. `contract`: a product may enter a sum
# unrounded, as one fused multiply-add instead of two instructions. `nsz`: the sign of a zero does not matter,
# so that 0 - x may become -x, and x - (a b - c d) may become x + (c d - a b). Nothing else is allowed: sums
# keep their order, and NaN and Inf are what they are.
FLAGS = ("nsz", "contract")

# How kernels compile their functions, shared so that all of them compile alike. Without reference counts,
# which numba would keep atomically for every array at every call: they took as long as everything else at
# n = 2, and a quarter of the time at n = 8. And without the wrappers through which Python and C call a
# function: they took a sixth of the time to compile.
jit = njit(error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
inlined = njit(error_model="numpy", inline="always")


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


def is_complex(ty):
    return isinstance(ty, ComplexLanes | types.Complex)


def split(context, builder, ty, value):
    """The real vector of a real group, or the two of a complex one."""
    if isinstance(ty, ComplexLanes):
        pair = cgutils.create_struct_proxy(ty)(context, builder, value=value)
        return [pair.re, pair.im]
    return [value]


def join(context, builder, ty, parts):
    """The inverse of `split`."""
    if isinstance(ty, ComplexLanes):
        pair = cgutils.create_struct_proxy(ty)(context, builder)
        pair.re, pair.im = parts
        return pair._getvalue()
    return parts[0]


def broadcast(context, builder, value, source, lanes):
    """A scalar argument becomes a lane group; a lane group passes through."""
    if isinstance(source, Lanes):
        return value
    vector = llvm_type(lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    scalar = context.cast(builder, value, source, lanes.dtype)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, splat(ir.VectorType(ir.IntType(32), vector.count), 0))


# Operations are typed and emitted here, straight into the kernel that uses them. As overloads, in the sense
# of `numba.extending.overload`, each would be a function of its own, and a kernel would take twice as long to
# compile.


def operation(function, result, *accepted):
    """Return a decorator that registers what emits the code of `function` for lane groups.

    result : returns the type of the result for the types of the arguments, or None to refuse them
    accepted : the kinds of arguments that the code is for, a tuple each
    """

    def decorate(emit):
        class Template(AbstractTemplate):
            key = function

            def generic(self, args, kws):
                ty = None if kws else result(*args)
                return None if ty is None else signature(ty, *args)

        infer_global(function)(Template)
        for kinds in accepted:
            lower_builtin(function, *kinds)(emit)
        return emit

    return decorate


REAL = ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes))
COMPLEX = (
    (ComplexLanes, ComplexLanes),
    (ComplexLanes, Lanes),
    (Lanes, ComplexLanes),
    (ComplexLanes, types.Number),
    (types.Number, ComplexLanes),
)


def one_of(a, b, kinds):
    return any(isinstance(a, p) and isinstance(b, q) for p, q in kinds)


def arithmetic(a, b):
    """The type of a sum, product or quotient."""
    if one_of(a, b, REAL):
        return a if isinstance(a, Lanes) else b
    return None


def comparison(a, b):
    lanes = arithmetic(a, b)
    return None if lanes is None else Mask(lanes.width)


def real_operation(function, result, code):
    """`code(builder, x, y)` on two real vectors."""

    @operation(function, result, *REAL)
    def emit(context, builder, sig, args):
        lanes = arithmetic(*sig.args)
        x, y = (broadcast(context, builder, v, t, lanes) for v, t in zip(args, sig.args, strict=True))
        return code(builder, x, y)


def add(builder, x, y):
    return builder.fadd(x, y, flags=FLAGS)


def subtract(builder, x, y):
    return builder.fsub(x, y, flags=FLAGS)


def multiply(builder, x, y):
    return builder.fmul(x, y, flags=FLAGS)


real_operation(operator.add, arithmetic, add)
real_operation(operator.sub, arithmetic, subtract)
real_operation(operator.mul, arithmetic, multiply)
real_operation(operator.truediv, arithmetic, lambda builder, x, y: builder.fdiv(x, y, flags=FLAGS))
for _op, _name in (
    (operator.gt, ">"),
    (operator.lt, "<"),
    (operator.ge, ">="),
    (operator.le, "<="),
    (operator.eq, "=="),
):
    real_operation(_op, comparison, lambda builder, x, y, name=_name: builder.fcmp_ordered(name, x, y))
real_operation(operator.ne, comparison, lambda builder, x, y: builder.fcmp_unordered("!=", x, y))


def real_function(function, name):
    """`function` on a real group is LLVM's vector intrinsic of that name."""

    @operation(function, lambda x: x if isinstance(x, Lanes) else None, (Lanes,))
    def emit(context, builder, sig, args):
        (lanes,) = sig.args
        vector = llvm_type(lanes)
        suffix = f"v{lanes.width}f{lanes.dtype.bitwidth}"
        callee = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector]), f"llvm.{name}.{suffix}"
        )
        return builder.call(callee, args)


real_function(math.sqrt, "sqrt")
real_function(abs, "fabs")


def root(x):
    """sqrt(x); on CUDA by an instruction that approximates it."""
    return math.sqrt(x)


def fine_root(x):
    """sqrt(x); on CUDA refined once more."""
    return math.sqrt(x)


def inverse_root(x):
    """1 / sqrt(x); on CUDA by an instruction that approximates it."""
    return 1.0 / math.sqrt(x)


def reciprocal(x):
    """1 / x; on CUDA by an instruction that approximates it."""
    return 1.0 / x


def fine_reciprocal(x):
    """1 / x; on CUDA refined once more."""
    return 1.0 / x


def rough_reciprocal(x):
    """1 / x to 2 % at least, for positive x."""
    return 1.0 / x


def emit_root(context, builder, sig, args):
    vector = llvm_type(sig.args[0])
    name = f"llvm.sqrt.v{vector.count}f{sig.args[0].dtype.bitwidth}"
    callee = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
    return builder.call(callee, args)


def emit_reciprocal(builder, x):
    return builder.fdiv(splat(x.type, 1.0), x, flags=FLAGS)


@operation(root, lambda x: real_or_none(x), (Lanes,))
def _emit_root(context, builder, sig, args):
    return emit_root(context, builder, sig, args)


@operation(fine_root, lambda x: real_or_none(x), (Lanes,))
def _emit_fine_root(context, builder, sig, args):
    return emit_root(context, builder, sig, args)


@operation(inverse_root, lambda x: real_or_none(x), (Lanes,))
def _emit_inverse_root(context, builder, sig, args):
    return emit_reciprocal(builder, emit_root(context, builder, sig, args))


@operation(reciprocal, lambda x: real_or_none(x), (Lanes,))
def _emit_reciprocal(context, builder, sig, args):
    return emit_reciprocal(builder, args[0])


@operation(fine_reciprocal, lambda x: real_or_none(x), (Lanes,))
def _emit_fine_reciprocal(context, builder, sig, args):
    return emit_reciprocal(builder, args[0])


@operation(rough_reciprocal, lambda x: real_or_none(x), (Lanes,))
def _emit_rough_reciprocal(context, builder, sig, args):
    """The bits of a number are nearly its logarithm; a Newton step follows."""
    (x,), whole = args, integer_vector(sig.args[0])
    magic = splat(whole, 0x7EF311C7 if whole.element.width == 32 else 0x7FDE623822FC16E6)
    guess = builder.bitcast(builder.sub(magic, builder.bitcast(x, whole)), x.type)
    return multiply(builder, guess, subtract(builder, splat(x.type, 2.0), multiply(builder, x, guess)))


# Complex groups. A product of two is four multiply-adds. Real factors are spared the imaginary part.


def complex_result(a, b):
    if one_of(a, b, COMPLEX):
        return a if isinstance(a, ComplexLanes) else b
    return None


def complex_parts(context, builder, group, ty, value):
    """The parts of an operand as those of a complex group."""
    if isinstance(ty, ComplexLanes):
        return split(context, builder, ty, value)
    return [broadcast(context, builder, value, ty, group.part), splat(llvm_type(group.part), 0.0)]


for _op, _code in ((operator.add, add), (operator.sub, subtract)):

    @operation(_op, complex_result, *COMPLEX)
    def _emit_sum(context, builder, sig, args, code=_code):
        group = sig.return_type
        x, y = (complex_parts(context, builder, group, ty, v) for ty, v in zip(sig.args, args, strict=True))
        return join(context, builder, group, [code(builder, p, q) for p, q in zip(x, y, strict=True)])


def multiply_parts(builder, x, y):
    """The parts of a complex product."""
    real = subtract(builder, multiply(builder, x[0], y[0]), multiply(builder, x[1], y[1]))
    imag = add(builder, multiply(builder, x[0], y[1]), multiply(builder, x[1], y[0]))
    return [real, imag]


def scaled(x, factor):
    """x times a real number. For single complex numbers `*` makes a complex one of the factor."""
    return x * factor


@operation(
    scaled,
    lambda x, factor: None if is_complex(factor) else group_or_none(x),
    *((group, factor) for group in (Lanes, ComplexLanes) for factor in (Lanes, types.Number)),
)
def _emit_scaled(context, builder, sig, args):
    parts = split(context, builder, sig.return_type, args[0])
    factor = broadcast(context, builder, args[1], sig.args[1], part_or_none(sig.return_type))
    return join(context, builder, sig.return_type, [multiply(builder, part, factor) for part in parts])


@operation(operator.mul, complex_result, *COMPLEX)
def _emit_product(context, builder, sig, args):
    result = sig.return_type
    if all(isinstance(ty, ComplexLanes) for ty in sig.args):
        x, y = (split(context, builder, result, value) for value in args)
        return join(context, builder, result, multiply_parts(builder, x, y))
    k = 0 if isinstance(sig.args[0], ComplexLanes) else 1
    factor = broadcast(context, builder, args[1 - k], sig.args[1 - k], result.part)
    parts = [multiply(builder, part, factor) for part in split(context, builder, result, args[k])]
    return join(context, builder, result, parts)


def negate(builder, x):
    return builder.fneg(x)


# A real group answers `.real` too, and takes every operation of a complex one: sources need not tell them
# apart.


@overload_attribute(Lanes, "real", inline="always")
def _real(x):
    return lambda x: x


def group_or_none(x):
    return x if isinstance(x, Lanes | ComplexLanes) else None


def part_or_none(x):
    return x.part if isinstance(x, ComplexLanes) else x if isinstance(x, Lanes) else None


def conjugate(x):
    """The complex conjugate of a group or a number; a real one itself."""
    return x.conjugate()


@operation(conjugate, group_or_none, (Lanes,), (ComplexLanes,))
def _emit_conjugate(context, builder, sig, args):
    real, *imag = split(context, builder, sig.return_type, args[0])
    return join(context, builder, sig.return_type, [real, *(negate(builder, part) for part in imag)])


@overload(conjugate, inline="always")
def _conjugate_number(x):
    if isinstance(x, types.Complex):
        return lambda x: complex(x.real, -x.imag)
    if isinstance(x, types.Float):
        return lambda x: x
    return None


def abs2(x):
    """|x|²."""
    return x.real * x.real + x.imag * x.imag


@operation(abs2, part_or_none, (Lanes,), (ComplexLanes,))
def _emit_abs2(context, builder, sig, args):
    squares = [multiply(builder, part, part) for part in split(context, builder, sig.args[0], args[0])]
    return squares[0] if len(squares) == 1 else add(builder, *squares)


@overload(abs2)
def _abs2_number(x):
    if isinstance(x, types.Complex):
        return lambda x: x.real * x.real + x.imag * x.imag
    if isinstance(x, types.Float):
        return lambda x: x * x
    return None


def dot(x, y):
    """conj(x) y, the term of an inner product."""
    return x.conjugate() * y


@operation(dot, lambda x, y: group_or_none(x), (Lanes, Lanes), (ComplexLanes, ComplexLanes))
def _emit_dot(context, builder, sig, args):
    x, y = (split(context, builder, sig.return_type, value) for value in args)
    if len(x) == 1:
        return multiply(builder, x[0], y[0])
    real = add(builder, multiply(builder, x[0], y[0]), multiply(builder, x[1], y[1]))
    imag = subtract(builder, multiply(builder, x[0], y[1]), multiply(builder, x[1], y[0]))
    return join(context, builder, sig.return_type, [real, imag])


@overload(dot)
def _dot_number(x, y):
    if isinstance(x, types.Complex):
        return lambda x, y: complex(x.real, -x.imag) * y
    if isinstance(x, types.Float):
        return lambda x, y: x * y
    return None


def larger(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def largest_part(x):
    """The larger of |real part| and |imaginary part|: within sqrt(2) of |x|, and free of overflow. If
    a part is NaN, either may be returned."""
    return max(abs(x.real), abs(x.imag))


@operation(largest_part, part_or_none, (Lanes,), (ComplexLanes,))
def _emit_largest_part(context, builder, sig, args):
    sizes = [magnitude(builder, part) for part in split(context, builder, sig.args[0], args[0])]
    return sizes[0] if len(sizes) == 1 else larger(builder, *sizes)


def magnitude(builder, x):
    """|x|, by its sign bit."""
    bits = ir.VectorType(ir.IntType(32 if x.type.element == ir.FloatType() else 64), x.type.count)
    mask = splat(bits, 2 ** (bits.element.width - 1) - 1)
    return builder.bitcast(builder.and_(builder.bitcast(x, bits), mask), x.type)


def nothing_if_finite(x):
    """0 for a finite number, else NaN."""
    return 0.0 * x.real + 0.0 * x.imag


@operation(nothing_if_finite, part_or_none, (Lanes,), (ComplexLanes,))
def _emit_nothing_if_finite(context, builder, sig, args):
    products = [
        builder.fmul(part, splat(part.type, 0.0)) for part in split(context, builder, sig.args[0], args[0])
    ]
    return products[0] if len(products) == 1 else builder.fadd(*products)


def unsigned_zero(x):
    """x, with 0 for -0."""
    return x + 0.0


def without_sign_of_zero(builder, x):
    """By its bits: LLVM leaves out a sum with 0 after an operation that may have a zero of either sign."""
    whole = ir.VectorType(ir.IntType(32 if x.type.element == ir.FloatType() else 64), x.type.count)
    bits, sign = builder.bitcast(x, whole), splat(whole, 1 << (whole.element.width - 1))
    kept = builder.select(builder.icmp_unsigned("==", bits, sign), splat(whole, 0), bits)
    return builder.bitcast(kept, x.type)


@operation(unsigned_zero, group_or_none, (Lanes,), (ComplexLanes,))
def _emit_unsigned_zero(context, builder, sig, args):
    parts = split(context, builder, sig.return_type, args[0])
    return join(context, builder, sig.return_type, [without_sign_of_zero(builder, part) for part in parts])


# Masks and choices.


def both_masks(a, b):
    return a if isinstance(a, Mask) and isinstance(b, Mask) else None


@operation(operator.or_, both_masks, (Mask, Mask))
def _emit_or(context, builder, sig, args):
    return builder.or_(*args)


@operation(operator.and_, both_masks, (Mask, Mask))
def _emit_and(context, builder, sig, args):
    return builder.and_(*args)


@operation(operator.invert, lambda mask: mask if isinstance(mask, Mask) else None, (Mask,))
def _emit_invert(context, builder, sig, args):
    return builder.not_(args[0])


def select(mask, a, b):
    """`a` where the mask holds, else `b`; `a` may be a real number beside a complex group. On scalars, a
    plain conditional."""
    return a if mask else b


def selected(mask, a, b):
    if not isinstance(mask, Mask):
        return None
    return b if isinstance(b, ComplexLanes) else a if isinstance(a, Lanes | ComplexLanes) else b


@operation(select, selected, (Mask, types.Any, types.Any))
def _emit_select(context, builder, sig, args):
    result = sig.return_type
    part = result.part if isinstance(result, ComplexLanes) else result
    sides = []
    for value, ty in zip(args[1:], sig.args[1:], strict=True):
        if isinstance(ty, ComplexLanes):
            sides.append(split(context, builder, ty, value))
        else:
            real = broadcast(context, builder, value, ty, part)
            sides.append([real, splat(llvm_type(part), 0.0)] if isinstance(result, ComplexLanes) else [real])
    return join(
        context, builder, result, [builder.select(args[0], p, q) for p, q in zip(*sides, strict=True)]
    )


def maximum(a, b):
    """The larger of two numbers; `b` where either is NaN."""
    return select(a > b, a, b)


def greater(a, b):
    """The larger of two numbers, either where one is NaN."""
    return a if a > b else b


real_operation(maximum, arithmetic, larger)
real_operation(greater, arithmetic, larger)


@overload(maximum)
def _maximum_number(a, b):
    if isinstance(a, types.Float) and isinstance(b, types.Float):
        return lambda a, b: a if a > b else b
    return None


def any_lane(mask):
    """Whether the mask holds in some lane; on a scalar, the scalar."""
    return mask


@operation(any_lane, lambda mask: types.boolean if isinstance(mask, Mask) else None, (Mask,))
def _emit_any(context, builder, sig, args):
    bits = ir.IntType(sig.args[0].width)
    return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0))


# Powers of two, exactly. Exponents are real groups that hold whole numbers, see above.


def layout(lanes):
    """Bits of the fraction, and the exponent's bias."""
    return (23, 127) if lanes.dtype == types.float32 else (52, 1023)


def smallest_normal(lanes):
    return 2.0 ** (1 - layout(lanes)[1])


def real_or_none(x):
    return x if isinstance(x, Lanes) else None


def with_sign(x, sign):
    """|x| with the sign of `sign`."""
    return math.copysign(x, sign)


@operation(with_sign, lambda x, sign: x if isinstance(x, Lanes) and x == sign else None, (Lanes, Lanes))
def _emit_with_sign(context, builder, sig, args):
    vector = llvm_type(sig.args[0])
    name = f"llvm.copysign.v{vector.count}f{sig.args[0].dtype.bitwidth}"
    callee = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector, vector]), name)
    return builder.call(callee, args)


def direction(x):
    """x / |x|; 1 for a zero of either sign, and NaN in some part where x is not finite."""
    return x / abs(x) if x else 1.0


@overload(direction, inline="always")
def _direction(x):
    if isinstance(x, Lanes):
        return lambda x: select(x == 0.0, 1.0, with_sign(0.0 * x + 1.0, x))
    if isinstance(x, ComplexLanes):
        return _complex_direction
    return None


def _complex_direction(x):
    # The largest part near one: x may be so small that its square is nothing.
    near_one = scale(x, 0.0 - exponent(largest_part(x)))
    size = math.sqrt(abs2(near_one))
    return select(size == 0.0, 1.0, near_one * (1.0 / select(size > 0.0, size, 1.0)))


def log2_linear(x):
    """log2 of positive normal x, made linear between powers of two: a sort key, for it keeps the order."""
    fraction, e = math.frexp(x)
    return e + 2.0 * fraction - 2.0


@operation(log2_linear, real_or_none, (Lanes,))
def _emit_log2_linear(context, builder, sig, args):
    (lanes,) = sig.args
    fraction, bias = layout(lanes)
    vector = llvm_type(lanes)
    number = builder.sitofp(builder.bitcast(args[0], integer_vector(lanes)), vector)
    return builder.fsub(builder.fmul(number, splat(vector, 2.0**-fraction)), splat(vector, float(bias)))


@overload(log2_linear)
def _log2_linear_number(x):
    return log2_linear if isinstance(x, types.Float) else None


def exponent(x):
    """The whole number e with 2**(e-1) <= x < 2**e, for positive x, subnormal ones too; 0 for 0."""
    return math.frexp(x)[1]


@operation(exponent, real_or_none, (Lanes,))
def _emit_exponent(context, builder, sig, args):
    (lanes,), (x,) = sig.args, args
    fraction, bias = layout(lanes)
    vector = llvm_type(lanes)
    lift = 64  # brings every subnormal into the normal range
    subnormal = builder.fcmp_ordered("<", x, splat(vector, smallest_normal(lanes)))
    normal = builder.select(subnormal, builder.fmul(x, splat(vector, 2.0**lift)), x)
    bits = builder.lshr(
        builder.bitcast(normal, integer_vector(lanes)), splat(integer_vector(lanes), fraction)
    )
    offset = builder.select(subnormal, splat(vector, bias - 1.0 + lift), splat(vector, bias - 1.0))
    e = builder.fsub(builder.sitofp(bits, vector), offset)
    return builder.select(builder.fcmp_ordered(">", x, splat(vector, 0.0)), e, splat(vector, 0.0))


@overload(exponent)
def _exponent_number(x):
    return exponent if isinstance(x, types.Float) else None


def small_square(x):
    """A sum of squares below this may have lost digits to underflow: the smallest normal number over
    `rounding` squared."""
    return 2.0**-916


@operation(small_square, real_or_none, (Lanes,))
def _emit_small_square(context, builder, sig, args):
    (lanes,) = sig.args
    digits = layout(lanes)[0] + 1
    return splat(llvm_type(lanes), smallest_normal(lanes) * 4.0**digits)


def widest_gap(x):
    """Exponents further apart than this count as this far in a rotation.

    By then the smaller column cannot change the larger one, as 4**-gap is far below eps; and the fourth power
    of 2**gap is still in range.
    """
    return 60.0


@operation(widest_gap, real_or_none, (Lanes,))
def _emit_widest_gap(context, builder, sig, args):
    (lanes,) = sig.args
    return splat(llvm_type(lanes), 20.0 if lanes.dtype == types.float32 else 60.0)


def two_to_the(builder, lanes, k):
    """2**k for a vector of whole numbers, each held to the range of `power_of_two`."""
    fraction, bias = layout(lanes)
    vector, whole = llvm_type(lanes), integer_vector(lanes)
    limit = splat(vector, float(bias - 1))
    held = larger(
        builder, builder.fneg(limit), builder.fneg(larger(builder, builder.fneg(k), builder.fneg(limit)))
    )
    biased = builder.add(builder.fptosi(held, whole), splat(whole, bias))
    return builder.bitcast(builder.shl(biased, splat(whole, fraction)), vector)


def half(builder, lanes, k):
    """Half of a vector of whole numbers, rounded towards zero."""
    vector = llvm_type(lanes)
    return builder.sitofp(builder.fptosi(builder.fmul(k, splat(vector, 0.5)), integer_vector(lanes)), vector)


def power_of_two(k):
    """2**k for whole k; lanes hold k to ±126 or ±1022, by precision, where 2**k and 2**-k are normal."""
    return math.ldexp(1.0, k)


@operation(power_of_two, real_or_none, (Lanes,))
def _emit_power_of_two(context, builder, sig, args):
    return two_to_the(builder, sig.args[0], args[0])


def lift(x, target, highest):
    """The power of two, 2**highest at most, that brings x to at least 2**(target - 1) and below 2**target."""
    return math.ldexp(1.0, min(target - math.frexp(x)[1], highest))


@operation(lift, lambda x, target, highest: real_or_none(x), (Lanes, types.Number, types.Number))
def _emit_lift(context, builder, sig, args):
    lanes = sig.args[0]
    target, highest = (
        broadcast(context, builder, value, ty, lanes)
        for value, ty in zip(args[1:], sig.args[1:], strict=True)
    )
    e = _emit_exponent(context, builder, lanes(lanes), args[:1])
    shift = larger(builder, subtract(builder, e, target), builder.fneg(highest))
    return two_to_the(builder, lanes, builder.fneg(shift))


def inverse_power(x):
    """1 / x for a power of two, exactly."""
    return 1.0 / x


@operation(inverse_power, real_or_none, (Lanes,))
def _emit_inverse_power(context, builder, sig, args):
    (lanes,) = sig.args
    fraction, bias = layout(lanes)
    whole = integer_vector(lanes)
    bits = builder.sub(splat(whole, (2 * bias) << fraction), builder.bitcast(args[0], whole))
    return builder.bitcast(bits, llvm_type(lanes))


def half_of(k):
    """Half of a whole number, rounded towards zero."""
    return math.trunc(k / 2)


@operation(half_of, real_or_none, (Lanes,))
def _emit_half_of(context, builder, sig, args):
    return half(builder, sig.args[0], args[0])


def scale(x, k):
    """x 2**k for whole k, in lanes up to ±252 or ±2044: exact if the result is normal."""
    return x * 2.0 ** half_of(k) * 2.0 ** (k - half_of(k))


@operation(scale, lambda x, k: group_or_none(x), (Lanes, Lanes), (ComplexLanes, Lanes))
def _emit_scale(context, builder, sig, args):
    lanes = sig.args[1]
    first = half(builder, lanes, args[1])
    factors = two_to_the(builder, lanes, first), two_to_the(builder, lanes, builder.fsub(args[1], first))
    parts = split(context, builder, sig.return_type, args[0])
    for factor in factors:
        parts = [builder.fmul(part, factor) for part in parts]
    return join(context, builder, sig.return_type, parts)


# Memory.


def group_of(array):
    """The lane type that an array of this dtype holds."""
    dtype = array.dtype
    return ComplexLanes(dtype.underlying_float) if isinstance(dtype, types.Complex) else Lanes(dtype)


def group_pointers(context, builder, array_type, array, index):
    """The addresses of the parts of a group."""
    data = context.make_array(array_type)(context, builder, array).data
    group = group_of(array_type)
    parts = 2 if isinstance(group, ComplexLanes) else 1
    base = builder.bitcast(data, llvm_type(part_or_none(group)).as_pointer())
    first = builder.mul(index, ir.Constant(index.type, parts))
    return [builder.gep(base, [builder.add(first, ir.Constant(index.type, k))]) for k in range(parts)]


def lane_count(array):
    """The number of lanes of the groups that an array of this dtype holds."""
    return GROUP_BYTES // array.real.itemsize


@overload(lane_count)
def _lane_count(array):
    width = group_of(array).width
    return lambda array: width


@intrinsic
def section(typingctx, array, first, count):
    """`count` groups of a one-dimensional array from group `first` on, in the same memory.

    A slice would say the same, but it counts references, and takes a tenth of a second to compile.
    """

    def codegen(context, builder, sig, args):
        whole = context.make_array(array)(context, builder, args[0])
        lanes = ir.Constant(args[1].type, group_of(array).width)
        part = context.make_array(array)(context, builder)
        context.populate_array(
            part,
            data=builder.gep(whole.data, [builder.mul(args[1], lanes)]),
            shape=[builder.mul(args[2], lanes)],
            strides=[whole.itemsize],
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return part._getvalue()

    return array(array, types.intp, types.intp), codegen


def exchange_lanes(builder, x, distance):
    """The vector whose lane i holds lane i ^ distance of x."""
    order = [i ^ distance for i in range(x.type.count)]
    return builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(ir.IntType(32), x.type.count), order))


def fold(builder, x, combine):
    """All lanes of a vector into one number, half onto half."""
    distance = x.type.count // 2
    while distance:
        x = combine(builder, x, exchange_lanes(builder, x, distance))
        distance //= 2
    return builder.extract_element(x, ir.Constant(ir.IntType(32), 0))


@intrinsic
def sum_lanes(typingctx, x):
    """The sum over the lanes of a group, half added onto half."""
    number = (
        types.Complex("complex64" if x.dtype == types.float32 else "complex128", x.dtype)
        if is_complex(x)
        else x.dtype
    )

    def codegen(context, builder, sig, args):
        totals = [fold(builder, part, add) for part in split(context, builder, x, args[0])]
        if len(totals) == 1:
            return totals[0]
        result = cgutils.create_struct_proxy(number)(context, builder)
        result.real, result.imag = totals
        return result._getvalue()

    return number(x), codegen


@intrinsic
def max_lanes(typingctx, x):
    """The largest over the lanes of a real group; a NaN may be returned or lost."""
    return x.dtype(x), lambda context, builder, sig, args: fold(builder, args[0], larger)


@intrinsic
def swap_neighbours(typingctx, x):
    """The group with lanes 0 and 1 exchanged, 2 and 3, and so on."""

    def codegen(context, builder, sig, args):
        return join(
            context,
            builder,
            x,
            [exchange_lanes(builder, part, 1) for part in split(context, builder, x, args[0])],
        )

    return x(x), codegen


@intrinsic
def lane_numbers(typingctx, array):
    """The real group 0, 1, 2, ... in the precision of an array."""
    lanes = part_or_none(group_of(array))

    def codegen(context, builder, sig, args):
        return ir.Constant(llvm_type(lanes), [float(i) for i in range(lanes.width)])

    return lanes(array), codegen


@intrinsic
def spread(typingctx, array, value):
    """The group with `value` in every lane, complex if the array is."""
    group = group_of(array)
    part = part_or_none(group)

    def codegen(context, builder, sig, args):
        number = getattr(value, "underlying_float", value)
        numbers = number_parts(context, builder, value, args[1])
        parts = [broadcast(context, builder, x, number, part) for x in numbers]
        return join(context, builder, group, [*parts, splat(llvm_type(part), 0.0)][:2])

    return group(array, value), codegen


def registers(count, zero):
    """An array of so many values of the type of `zero`, which a specialiser makes variables of."""
    return [zero] * count


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

    def codegen(context, builder, sig, args):
        pointers = group_pointers(context, builder, array, *args)
        return join(context, builder, lanes, [builder.load(pointer, align=ALIGN) for pointer in pointers])

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, group):
    """Write a group as number `index` of a one-dimensional array."""
    lanes = group_of(array)

    def codegen(context, builder, sig, args):
        pointers = group_pointers(context, builder, array, *args[:2])
        for part, pointer in zip(split(context, builder, lanes, args[2]), pointers, strict=True):
            builder.store(part, pointer, align=ALIGN)
        return context.get_dummy_value()

    return types.none(array, types.intp, lanes), codegen


@intrinsic
def fill(typingctx, array, value):
    """The real group with `value` in every lane, in the precision of an array."""
    lanes = part_or_none(group_of(array))

    def codegen(context, builder, sig, args):
        return broadcast(context, builder, args[1], value, lanes)

    return lanes(array, value), codegen


def lane_pointer(context, builder, array_type, args, part):
    """The address of one number: args are the array, the number of its group and the lane."""
    lanes = group_of(array_type)
    parts = 2 if isinstance(lanes, ComplexLanes) else 1
    data = context.make_array(array_type)(context, builder, args[0]).data
    base = builder.bitcast(data, llvm_type(lanes).element.as_pointer())
    width = ir.Constant(args[1].type, lanes.width)
    group = builder.add(
        builder.mul(args[1], ir.Constant(args[1].type, parts)), ir.Constant(args[1].type, part)
    )
    return builder.gep(base, [builder.add(builder.mul(group, width), args[2])])


def number_parts(context, builder, ty, value):
    """The real and imaginary parts of a number, or the real number alone."""
    if isinstance(ty, types.Complex):
        number = cgutils.create_struct_proxy(ty)(context, builder, value=value)
        return [number.real, number.imag]
    return [value]


# Single numbers are read and written by atomic instructions. These are plain moves, but LLVM does not join
# them into vector scatters, with which unpacking float32 took three times as long (Zen 4).


@intrinsic
def get(typingctx, array, index, lane):
    """The number in one lane of group `index`."""

    def codegen(context, builder, sig, args):
        parts = [
            builder.load_atomic(
                lane_pointer(context, builder, array, args, k),
                "monotonic",
                part_or_none(group_of(array)).dtype.bitwidth // 8,
            )
            for k in range(2 if isinstance(array.dtype, types.Complex) else 1)
        ]
        if len(parts) == 1:
            return parts[0]
        number = cgutils.create_struct_proxy(array.dtype)(context, builder)
        number.real, number.imag = parts
        return number._getvalue()

    return array.dtype(array, types.intp, types.intp), codegen


@intrinsic
def put(typingctx, array, index, lane, value):
    """Write a number into one lane of group `index`."""

    def codegen(context, builder, sig, args):
        for k, part in enumerate(number_parts(context, builder, array.dtype, args[3])):
            pointer = lane_pointer(context, builder, array, args, k)
            builder.store_atomic(
                part, pointer, "monotonic", part_or_none(group_of(array)).dtype.bitwidth // 8
            )
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, array.dtype), codegen


# Four neighbouring numbers of as many matrices as there are lanes, from and to as many groups: transposes of
# 4 x 4 within parts of 32 bytes, of which none crosses between the halves of a register of AVX.


def shuffled(builder, x, y, order):
    """Elements of two vectors in an order."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


def transposed(builder, rows):
    """Four vectors of 4 x 4 numbers, or of two such blocks side by side, transposed."""
    blocks = range(0, rows[0].type.count, 4)
    width = rows[0].type.count
    pairs = [[b + i for b in blocks for i in order] for order in ((0, 1), (2, 3))]
    mixed = [
        [
            shuffled(builder, rows[j], rows[j + 1], [i + side for i in pair for side in (0, width)])
            for j in (0, 2)
        ]
        for pair in pairs
    ]
    halves = [
        [b + i + side for b in blocks for side in (0, width) for i in order] for order in ((0, 1), (2, 3))
    ]
    return [shuffled(builder, *mixed[k], halves[i]) for k in (0, 1) for i in (0, 1)]


def four_numbers(context, builder, x_type, args, lane):
    """The address of the numbers of one lane: args are the array of matrices, the first of them, and the
    first number."""
    x = context.make_array(x_type)(context, builder, args[0])
    part = part_or_none(group_of(x_type))
    stride = cgutils.unpack_tuple(builder, x.strides, x_type.ndim)[0]
    number = builder.mul(args[2], ir.Constant(args[2].type, part.dtype.bitwidth // 8))
    matrix = builder.mul(builder.add(args[1], ir.Constant(args[1].type, lane)), stride)
    data = builder.bitcast(x.data, ir.IntType(8).as_pointer())
    place = builder.gep(data, [builder.add(matrix, number)])
    return builder.bitcast(place, ir.VectorType(llvm_type(part).element, 4).as_pointer())


def group_pointer(context, builder, array_type, array, index):
    """The address of a real group, of which complex ones have two."""
    vector = llvm_type(part_or_none(group_of(array_type)))
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, vector.as_pointer()), [index])


@intrinsic
def transpose_in(typingctx, x, first, number, array, group):
    """Read numbers `number` to `number` + 3 of the matrices x[first], x[first + 1], ... to four groups.

    Numbers follow each other within a matrix. The parts of complex numbers are numbers here, and real groups.
    """

    def codegen(context, builder, sig, args):
        lanes = part_or_none(group_of(array))
        width, found = 32 // (lanes.dtype.bitwidth // 8), []
        for lane in range(0, lanes.width, width):
            pointers = [four_numbers(context, builder, x, args, lane + i) for i in range(width)]
            rows = [builder.load(pointer, align=ALIGN) for pointer in pointers]
            if width == 8:
                rows = [shuffled(builder, rows[i], rows[i + 4], list(range(8))) for i in range(4)]
            found.append(transposed(builder, rows))
        for k, halves in enumerate(zip(*found, strict=True)):
            place = builder.add(args[4], ir.Constant(args[4].type, k))
            pointer = group_pointer(context, builder, array, args[3], place)
            builder.store(shuffled(builder, *halves, list(range(lanes.width))), pointer, align=ALIGN)
        return context.get_dummy_value()

    return types.none(x, types.intp, types.intp, array, types.intp), codegen


@intrinsic
def transpose_out(typingctx, array, group, x, first, number):
    """The inverse of `transpose_in`."""

    def codegen(context, builder, sig, args):
        lanes = part_or_none(group_of(array))
        width, groups = 32 // (lanes.dtype.bitwidth // 8), []
        for k in range(4):
            place = builder.add(args[1], ir.Constant(args[1].type, k))
            pointer = group_pointer(context, builder, array, args[0], place)
            groups.append(builder.load(pointer, align=ALIGN))
        for lane in range(0, lanes.width, width):
            part = list(range(lane, lane + width))
            rows = transposed(builder, [shuffled(builder, x, x, part) for x in groups])
            if width == 8:
                rows = [shuffled(builder, x, x, list(range(k, k + 4))) for k in (0, 4) for x in rows]
            for i, row in enumerate(rows):
                builder.store(row, four_numbers(context, builder, x, args[2:], lane + i), align=ALIGN)
        return context.get_dummy_value()

    return types.none(array, types.intp, x, types.intp, types.intp), codegen
