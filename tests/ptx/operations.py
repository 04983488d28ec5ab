"""What instructions compute that neither touch memory nor wait: an entry of OPERATIONS for each name with all
its modifiers and types. What is not there is not modelled."""

from typing import NamedTuple

import numba
import numpy as np
from numba.extending import intrinsic

DTYPES = {"pred": "?", "f32": "f4", "f64": "f8"}
DTYPES |= {f"{letter}{bits}": f"u{bits // 8}" for letter in "bu" for bits in (8, 16, 32, 64)}
DTYPES |= {f"s{bits}": f"i{bits // 8}" for bits in (8, 16, 32, 64)}

REALS = ("f32", "f64")
INTEGERS = ("u16", "s16", "u32", "s32", "u64", "s64")
BITS = ("pred", "b16", "b32", "b64")


class Operation(NamedTuple):
    """The type of the result, those of the operands, and the result as an expression of the operands."""

    result: str
    operands: tuple[str, ...]
    expression: str


@intrinsic
def _fused(context, a, b, c):
    return a(a, a, a), lambda context, builder, signature, args: builder.fma(*args)


@numba.vectorize(["f4(f4, f4, f4)", "f8(f8, f8, f8)"])
def fma(a, b, c):
    """a b + c, rounded once."""
    return _fused(a, b, c)


def fmax(a, b):
    """The larger one, a number rather than NaN; of zeros +0, which NumPy leaves open."""
    bits = a.dtype.str.replace("f", "u")
    return np.where(a == b, (a.view(bits) & b.view(bits)).view(a.dtype), np.fmax(a, b))


def fmin(a, b):
    """The smaller one, a number rather than NaN; of zeros -0."""
    bits = a.dtype.str.replace("f", "u")
    return np.where(a == b, (a.view(bits) | b.view(bits)).view(a.dtype), np.fmin(a, b))


def truncated(a, dtype):
    """The nearest integer towards zero that there is; of NaN, 0 in 32 bits and the top bit in 64."""
    info, whole = np.iinfo(dtype), np.trunc(a)
    limit = 2.0 ** (info.bits - (info.min < 0))
    inside = (whole >= info.min) & (whole < limit)
    outside = np.where(whole >= limit, info.max, info.min).astype(dtype)
    is_wide = max(info.bits, 8 * a.itemsize) == 64
    of_nan = np.array(1 << (info.bits - 1) if is_wide else 0, f"u{info.bits // 8}")
    converted = np.where(inside, np.where(inside, whole, 0).astype(dtype), outside)
    return np.where(np.isnan(a), of_nan.view(dtype), converted)


def quotient(a, b):
    """Of integers, towards zero."""
    return (a - np.fmod(a, b)) // b


def high_product(a, b):
    """The upper half of the product of two integers of 64 bits."""
    x, y = a.view("u8"), b.view("u8")
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
    middle = x1 * y0 + (x0 * y0 >> half)
    high = x1 * y1 + (middle >> half) + ((middle & low) + x0 * y1 >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, 0).astype("u8") - np.where(b < 0, x, 0).astype("u8")
    return high.view(a.dtype)


def insert_bits(a, b, position, length):
    """b with the low `length` bits of a from `position` on."""
    number = b.dtype.type
    position, length = (np.minimum(x & np.uint32(255), 64).astype(b.dtype) for x in (position, length))
    mask = ((number(1) << length) - number(1)) << position
    return (b & ~mask) | ((a << position) & mask)


def permuted_bytes(a, b, selector):
    """Four of the bytes of a and b: each digit of the selector names one, or with 8 added its sign."""
    bytes_, result = a.astype("u8") | b.astype("u8") << 32, np.uint64(0)
    for place in range(4):
        digit = (selector >> 4 * place & 15).astype("u8")
        byte = bytes_ >> 8 * (digit & 7) & 255
        byte = np.where(digit & 8, np.where(byte & 128, np.uint64(255), np.uint64(0)), byte)
        result = result | byte << 8 * place
    return result.astype("u4")


def flushed(x):
    """Zeros for subnormal numbers."""
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, np.copysign(x.dtype.type(0), x), x)


def approximate(exact, bits):
    """A result that is off by a share, which its own bits decide, of what one with so many bits may be off.
    In double precision it has the upper half of its bits alone."""
    whole = exact.view(exact.dtype.str.replace("f", "i"))
    share = (whole * 40503 >> 4 & 255) / 127.5 - 1
    off = np.ldexp(share, -bits).astype(exact.dtype)
    result = flushed(exact + exact * off)
    if result.itemsize == 8:
        result = (result.view("i8") & -(1 << 32)).view("f8")
    return np.where(np.isfinite(exact) & (exact != 0), result, exact)


def approximate_inverse(x):
    return approximate(1 / flushed(x), 23 if x.itemsize == 4 else 20)


def approximate_inverse_root(x):
    return approximate(1 / np.sqrt(flushed(x)), 22 if x.itemsize == 4 else 20)


def approximate_root(x):
    return approximate(np.sqrt(flushed(x)), 22)


FUNCTIONS = {f.__name__: f for f in (fma, fmax, fmin, truncated, quotient, high_product)} | {
    "np": np,
    **{f.__name__: f for f in (insert_bits, permuted_bytes)},
    **{f.__name__: f for f in (approximate_inverse, approximate_inverse_root, approximate_root)},
}


def _each(name, kinds, expression, operands=2, result=None):
    """An operation whose operands are of one type, in several."""
    return {f"{name}.{kind}": Operation(result or kind, (kind,) * operands, expression) for kind in kinds}


def _arithmetic():
    numbers = (*INTEGERS, *REALS)
    signed = ("s32", "s64", *REALS)
    table = _each("add", numbers, "{0} + {1}") | _each("sub", numbers, "{0} - {1}")
    table |= _each("neg", signed, "-{0}", 1) | _each("abs", signed, "np.abs({0})", 1)
    for rounding in ("", ".rn"):
        for name, symbol in (("add", "+"), ("sub", "-"), ("mul", "*")):
            table |= _each(name + rounding, REALS, f"{{0}} {symbol} {{1}}")
    table |= _each("fma.rn", REALS, "fma({0}, {1}, {2})", 3)
    table |= _each("div.rn", REALS, "{0} / {1}")
    table |= _each("rcp.rn", REALS, "1 / {0}", 1)
    table |= _each("sqrt.rn", REALS, "np.sqrt({0})", 1)
    table |= _each("rcp.approx.ftz", REALS, "approximate_inverse({0})", 1)
    table |= _each("rsqrt.approx.ftz", REALS, "approximate_inverse_root({0})", 1)
    table |= _each("sqrt.approx.ftz", ("f32",), "approximate_root({0})", 1)
    table |= _each("copysign", REALS, "np.copysign({1}, {0})")
    table |= _each("max", REALS, "fmax({0}, {1})") | _each("min", REALS, "fmin({0}, {1})")
    table |= _each("max", INTEGERS, "np.maximum({0}, {1})") | _each("min", INTEGERS, "np.minimum({0}, {1})")
    table |= _each("mul.lo", INTEGERS, "{0} * {1}") | _each("mad.lo", INTEGERS, "{0} * {1} + {2}", 3)
    table |= _each("mul.hi", ("u64", "s64"), "high_product({0}, {1})")
    table |= _each("div", INTEGERS, "quotient({0}, {1})") | _each("rem", INTEGERS, "np.fmod({0}, {1})")
    for kind, wide in (("s32", "s64"), ("u32", "u64"), ("s16", "s32"), ("u16", "u32")):
        product = f"{{0}}.astype({DTYPES[wide]!r}) * {{1}}"
        table[f"mul.wide.{kind}"] = Operation(wide, (kind, kind), product)
        table[f"mad.wide.{kind}"] = Operation(wide, (kind, kind, wide), product + " + {2}")
    return table


def _bits():
    table = _each("not", BITS, "~{0}", 1)
    table |= {"popc.b32": Operation("u32", ("b32",), "np.bitwise_count({0}).astype('u4')")}
    for name, symbol in (("and", "&"), ("or", "|"), ("xor", "^")):
        table |= _each(name, BITS, f"{{0}} {symbol} {{1}}")
    table |= _each("shl", ("b32", "b64"), "{0} << {1}")
    table |= _each("shr", INTEGERS, "{0} >> {1}")
    table["prmt.b32"] = Operation("b32", ("b32", "b32", "b32"), "permuted_bytes({0}, {1}, {2})")
    for kind in ("b32", "b64"):
        table[f"bfi.{kind}"] = Operation(kind, (kind, kind, "u32", "u32"), "insert_bits({0}, {1}, {2}, {3})")
    return table


def _comparisons():
    """Comparisons, of which those that end with u are true for NaN."""
    whole, table = (*BITS[1:], *INTEGERS), {}
    differ, ordered = "({0} < {1}) | ({0} > {1})", "({0} < {1}) | ({0} >= {1})"
    for name, symbol, opposite in (
        ("lt", "<", ">="),
        ("le", "<=", ">"),
        ("gt", ">", "<="),
        ("ge", ">=", "<"),
    ):
        table |= _each(f"setp.{name}", (*whole, *REALS), f"{{0}} {symbol} {{1}}", result="pred")
        table |= _each(f"setp.{name}u", REALS, f"~({{0}} {opposite} {{1}})", result="pred")
    table |= _each("setp.eq", (*whole, *REALS), "{0} == {1}", result="pred")
    table |= _each("setp.equ", REALS, f"~({differ})", result="pred")
    table |= _each("setp.ne", whole, "{0} != {1}", result="pred")
    table |= _each("setp.ne", REALS, differ, result="pred")
    table |= _each("setp.neu", REALS, "{0} != {1}", result="pred")
    table |= _each("setp.num", REALS, ordered, result="pred")
    table |= _each("setp.nan", REALS, f"~({ordered})", result="pred")
    for kind in (*whole, *REALS):
        table[f"selp.{kind}"] = Operation(kind, (kind, kind, "pred"), "np.where({2}, {0}, {1})")
    return table


def _conversions():
    table = _each("mov", (*BITS, *INTEGERS, *REALS), "{0}", 1) | _each("cvta.to.global", ["u64"], "{0}", 1)
    whole = [kind for kind in DTYPES if kind[0] in "us"]
    for to in (*whole, *REALS):
        for source in whole:
            rounding = ".rn" if to in REALS else ""
            table[f"cvt{rounding}.{to}.{source}"] = Operation(to, (source,), f"{{0}}.astype({DTYPES[to]!r})")
    for source in REALS:
        for to in ("s32", "u32", "s64", "u64"):
            table[f"cvt.rzi.{to}.{source}"] = Operation(to, (source,), f"truncated({{0}}, {DTYPES[to]!r})")
        table[f"cvt.rzi.{source}.{source}"] = Operation(source, (source,), "np.trunc({0})")
    table["cvt.rn.f32.f64"] = Operation("f32", ("f64",), "{0}.astype('f4')")
    table["cvt.f64.f32"] = Operation("f64", ("f32",), "{0}.astype('f8')")
    return table


OPERATIONS = _arithmetic() | _bits() | _comparisons() | _conversions()
