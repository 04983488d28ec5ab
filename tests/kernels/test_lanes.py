"""Every operation on groups of lanes against the same operation on single numbers, lane by lane.

An operation is tested as an expression. It is compiled once on groups, and evaluated in Python on the numbers
in their lanes with the operations of `scalars`, with the plain bodies in `lanes`, or both. Groups and numbers
agree to the last bit, but for what `lanes` allows:

- a sum, difference, product or quotient may have a zero of either sign, and NaN any payload;
- in a sum of two products either may enter unrounded (fused multiply-add);
- a real factor multiplies the parts of a complex group, but becomes complex beside a complex number: there
  NaN and Inf, overflow included, make NaN of the other part;
- `log2_linear` and `direction` round several times, in different orders: each is held to its error bound.

What an operation makes of numbers that its docstring excludes is not tested.
"""

import math
import operator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numba.core import imputils, types

from gpusvd._base.specialise import Specialiser
from gpusvd.kernels import lanes, scalars
from gpusvd.kernels.lanes import (
    any_lane,
    get,
    lane_count,
    lane_numbers,
    load,
    max_lanes,
    put,
    section,
    store,
    sum_lanes,
    swap_neighbours,
    transpose_in,
    transpose_out,
)
from tests.support import gallery

by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)

# The variables of the expressions. In each lane: numbers x and y; real numbers r and t; p, positive or zero
# and finite; n, positive and normal; k, whole. In each group: a real number s and a number c.
IN_LANES, IN_GROUPS = "xyrtpnk", "sc"

# Exact, or IEEE's square root, and nothing that LLVM may change: the same bits.
EXACT_REAL = [
    *(f"select(r {relation} t, r, t)" for relation in ("<", "<=", ">", ">=", "==", "!=")),
    *(f"select(r {relation} s, r, t)" for relation in ("<", "<=", ">", ">=", "==", "!=")),
    *(f"select(s {relation} r, r, t)" for relation in ("<", "<=", ">", ">=", "==", "!=")),
    *("select(r < 3, r, t)", "select(0.1 >= r, r, t)"),
    *("select((r < t) | (t < s), r, t)", "select((r < t) & (t < s), r, t)", "select(~(r < t), r, t)"),
    *("select(r < t, r, s)", "select(r < t, s, r)", "select(r < t, r, 2)", "select(r < t, 0.1, r)"),
    *("maximum(r, t)", "maximum(r, s)", "maximum(s, r)", "maximum(r, 0.1)", "maximum(3, r)"),
    *("greater(r, t)", "greater(r, s)", "greater(s, r)", "greater(r, 0.1)", "greater(3, r)"),
    *("abs(r)", "math.sqrt(abs(r))", "root(abs(r))", "fine_root(abs(r))", "with_sign(r, t)"),
    *("r.real", "x.real"),
    *("largest_part(x)", "nothing_if_finite(x)"),
    *("exponent(p)", "half_of(k)", "power_of_two(k)", "small_square(r)", "widest_gap(r)"),
    *("lift(p, 20, 100)", "inverse_power(power_of_two(k))", "unsigned_zero(r)"),
    *("fill(array, s)", "fill(array, 3)", "fill(array, rounding(array))"),
]
EXACT = [
    *("conjugate(x)", "unsigned_zero(x)"),
    *("select(r < t, x, y)", "select(r < t, x, r)", "select(r < t, r, x)"),
    *("select(r < t, x, s)", "select(r < t, s, x)", "select(r < t, 0.1, x)", "select(r < t, x, 3)"),
    *("spread(array, s)", "spread(array, c)", "spread(array, 3)"),
]

# One rounding, and zeros of either sign: the same value.
ROUNDED_REAL = [
    *(f"r {sign} {other}" for sign in "+-*/" for other in ("t", "s", "3", "0.1")),
    *(f"{other} {sign} r" for sign in "+-*/" for other in ("s", "3", "0.1")),
    *("reciprocal(r)", "fine_reciprocal(r)", "inverse_root(abs(r))"),
]
ROUNDED = ["x + y", "x - y"]
ROUNDED += [f"{pair} {sign} {other}" for sign in "+-" for pair, other in ("xr", "rx", "xs", "sx")]

# Sums of two products, for each part of the result.
NOTHING = (0, 0)
PRODUCTS_REAL = {"abs2(x)": lambda x, **_: [((x.real, x.real), (x.imag, x.imag))]}
PRODUCTS = {
    "x * y": lambda x, y, **_: [
        ((x.real, y.real), (-x.imag, y.imag)),
        ((x.real, y.imag), (x.imag, y.real)),
    ],
    "dot(x, y)": lambda x, y, **_: [
        ((x.real, y.real), (x.imag, y.imag)),
        ((x.real, y.imag), (-x.imag, y.real)),
    ],
    "x - s * y": lambda x, y, s, **_: [((x.real, 1), (-s, y.real)), ((x.imag, 1), (-s, y.imag))],
    "x + y * r": lambda x, y, r, **_: [((x.real, 1), (r, y.real)), ((x.imag, 1), (r, y.imag))],
    **dict.fromkeys(
        ("x * r", "r * x", "scaled(x, r)"), lambda x, r, **_: [((x.real, r), NOTHING), ((x.imag, r), NOTHING)]
    ),
    **dict.fromkeys(
        ("x * s", "s * x", "scaled(x, s)"), lambda x, s, **_: [((x.real, s), NOTHING), ((x.imag, s), NOTHING)]
    ),
    "3 * x": lambda x, **_: [((x.real, 3), NOTHING), ((x.imag, 3), NOTHING)],
}

# Each with tests of its own.
OTHER_REAL = ["log2_linear(n)", "math.sqrt(r)", "rough_reciprocal(n)"]
OTHER = ["direction(x)", "scale(x, k)"]

REAL = [*EXACT_REAL, *ROUNDED_REAL, *PRODUCTS_REAL, *OTHER_REAL]
NUMBER = [*EXACT, *ROUNDED, *PRODUCTS, *OTHER]
ONLY_COMPLEX = ["x.imag"]
# What is overloaded for compiled numbers too.
REAL_ON_NUMBERS = ["maximum(r, t)", "maximum(r, s)", "exponent(p)", "log2_linear(n)", "abs2(x)"]
ON_NUMBERS = ["conjugate(x)", "dot(x, y)"]


# Inputs


class Format(NamedTuple):
    """What there is to know about a dtype: its real type, digits, and range of exponents as `math.frexp` has
    them."""

    real: np.dtype
    digits: int
    lowest: int
    highest: int

    @property
    def unit(self):
        return Fraction(1, 2**self.digits)

    @property
    def subnormal(self):
        return Fraction(1, 2 ** (self.digits - self.lowest))


def format_of(dtype):
    real = np.empty(0, dtype).real.dtype
    info = np.finfo(real)
    return Format(real, info.nmant + 1, int(info.minexp) + 1, int(info.maxexp))


def special_numbers(dtype):
    real, digits, lowest, highest = format_of(dtype)
    info = np.finfo(real)
    eps, below_normal = float(info.eps), 1 - 2.0 ** (1 - digits)
    signed = [0.0, math.inf, float(info.smallest_subnormal), float(info.tiny), float(info.max), 1]
    signed += [float(info.tiny) * below_normal, 2.0**digits - 1]
    rest = [math.nan, 1 + eps, 1 - eps / 2, 3, 1 / 3, -0.1, 1.5 * 2.0 ** (lowest // 2), 2.0 ** (highest // 2)]
    return np.array([*signed, *(-x for x in signed), *rest], real)


def random_numbers(rng, exponent, real):
    """Random fractions times 2**exponent, of both signs."""
    fraction = rng.uniform(0.5, 1, exponent.size) * rng.choice([-1, 1], exponent.size)
    return np.array([math.ldexp(f, int(e)) for f, e in zip(fraction, exponent, strict=True)]).astype(real)


@cache
def inputs(dtype):
    """The variables of the expressions by name: every pair of special numbers, then random ones of exponents
    from the whole range, in the second half of them close to each other."""
    rng = np.random.default_rng(1)
    real, digits, lowest, highest = format_of(dtype)
    special = special_numbers(dtype)
    pairs = special.size**2
    count = 1024 - pairs
    common = rng.integers(lowest // 2 + 2, highest // 2 - 2, count)

    def random_part():
        anywhere = rng.integers(lowest - digits + 1, highest, count, endpoint=True)
        close = common + rng.integers(-2, 3, count)
        return random_numbers(rng, np.where(np.arange(count) < count // 2, anywhere, close), real)

    r = np.concatenate([np.repeat(special, special.size), random_part()])
    t = np.concatenate([np.tile(special, special.size), random_part()])
    x, y = r, t
    if dtype.kind == "c":
        x, y = np.empty((2, r.size), dtype)
        x.real, y.real = r, t
        x.imag = np.concatenate([rng.permutation(t[:pairs]), random_part()])
        y.imag = np.concatenate([rng.permutation(r[:pairs]), random_part()])
    p = np.where(np.isfinite(r), np.abs(r), 1).astype(real)
    n = np.where(p < np.finfo(real).tiny, 1.5, p).astype(real)
    most = 2 * (highest - 2)
    k = rng.integers(-most, most, r.size, endpoint=True)
    k[::4] //= 32
    k[:6] = 0, 1, -1, -3, most, -most
    width = 64 // real.itemsize
    groups = r.size // width
    s = np.concatenate([special, random_part()])[:groups]
    return {"x": x, "y": y, "r": r, "t": t, "p": p, "n": n, "k": k.astype(real)} | {
        "s": np.repeat(s, width), "c": np.repeat(x[rng.permutation(r.size)[:groups]], width),
    }  # fmt: skip


def to_groups(x):
    """Numbers in order as memory holds them in groups: real parts, then imaginary parts, 64 bytes of each."""
    if x.dtype.kind != "c":
        return x.copy()
    parts = np.stack([x.real, x.imag]).reshape(2, -1, 64 // x.real.itemsize)
    return np.ascontiguousarray(parts.swapaxes(0, 1)).reshape(-1).view(x.dtype)


def from_groups(x):
    """The inverse of `to_groups`."""
    if x.dtype.kind != "c":
        return x
    real = x.view(x.real.dtype)
    parts = real.reshape(-1, 2, 64 // real.itemsize)
    out = np.empty(x.size, x.dtype)
    out.real, out.imag = parts[:, 0].reshape(-1), parts[:, 1].reshape(-1)
    return out


# Evaluation


def compiled(real, number, read, write):
    """The function that writes each expression of `real` to its stretch of `reals`, and each of `number` to
    its stretch of `numbers`."""
    arrays = ", ".join(f"{name}s" for name in IN_LANES + IN_GROUPS)
    lines = [f"def kernel({arrays}, reals, numbers, count):", " array = xs", " for g in range(count):"]
    lines += [f"  {name} = {read.format(f'{name}s', 'g')}" for name in IN_LANES]
    lines += [f"  {name} = {name}s[g]" for name in IN_GROUPS]
    for out, expressions in (("reals", real), ("numbers", number)):
        lines += [f"  {write.format(out, f'{i} * count + g', text)}" for i, text in enumerate(expressions)]
    namespace = vars(lanes) | {"math": math}
    exec("\n".join(lines), namespace)
    return numba.njit(error_model="numpy")(namespace["kernel"])


@cache
def kernel_on_groups(is_complex):
    real = REAL + ONLY_COMPLEX * is_complex
    return compiled(real, NUMBER, "load({}, {})", "store({}, {}, {})"), real


@cache
def on_groups(dtype):
    """The values of the expressions in every lane."""
    values, width = inputs(dtype), 64 // format_of(dtype).real.itemsize
    kernel, real = kernel_on_groups(dtype.kind == "c")
    count = values["r"].size // width
    reals = np.empty((len(real), count * width), format_of(dtype).real)
    numbers = np.empty((len(NUMBER), count * width), dtype)
    arguments = [to_groups(values[name]) for name in IN_LANES]
    arguments += [values[name][::width].copy() for name in IN_GROUPS]
    kernel(*arguments, reals.reshape(-1), numbers.reshape(-1), count)
    return dict(zip(real, reals, strict=True)) | dict(zip(NUMBER, map(from_groups, numbers), strict=True))


@cache
def kernel_on_numbers():
    return compiled(REAL_ON_NUMBERS, ON_NUMBERS, "{}[{}]", "{}[{}] = {}")


@cache
def on_numbers(dtype):
    """The values of the expressions that are overloaded for compiled numbers."""
    values = inputs(dtype)
    count = values["r"].size
    reals = np.empty((len(REAL_ON_NUMBERS), count), format_of(dtype).real)
    numbers = np.empty((len(ON_NUMBERS), count), dtype)
    kernel_on_numbers()(*values.values(), reals.reshape(-1), numbers.reshape(-1), count)
    return dict(zip(REAL_ON_NUMBERS, reals, strict=True)) | dict(zip(ON_NUMBERS, numbers, strict=True))


@cache
def scalar_names(dtype):
    """The operations of `scalars` in the precision of a dtype, in plain Python."""
    operations = scalars.scalar_operations(dtype.name)
    specialise = Specialiser(operations, operations["real"], lambda function: function)
    made = {name: specialise(value) for name, value in operations.items() if name in dir(lanes)}
    return made | {"math": math, "abs": abs, "array": None}


def in_python(expression, names, dtype, where, convert=None):
    """The values of an expression by numbers; those not wanted are left zero."""
    values = inputs(dtype)
    code = compile(expression, expression, "eval")
    used = [name for name in values if name in code.co_names]
    out = np.zeros(values["r"].size, dtype if expression in NUMBER else format_of(dtype).real)
    with np.errstate(all="ignore"):
        for i in np.flatnonzero(np.broadcast_to(where, out.size)):
            numbers = {name: values[name][i] for name in used}
            out[i] = eval(code, names | (numbers if convert is None else convert(numbers)))
    return out


def by_scalars(expression, dtype, where=True):
    return in_python(expression, scalar_names(dtype), dtype, where)


def by_plain_bodies(expression, dtype, where=True):
    def whole_k(numbers):
        return {name: int(value) if name == "k" else value for name, value in numbers.items()}

    return in_python(expression, {**vars(lanes), "math": math, "abs": abs}, dtype, where, whole_k)


def parts(x):
    return (x.real, x.imag) if x.dtype.kind == "c" else (x,)


def all_finite(expression, dtype):
    """Where all that enters an expression is finite."""
    names = compile(expression, expression, "eval").co_names
    return np.all([np.isfinite(value) for name, value in inputs(dtype).items() if name in names], axis=0)


def assert_same_bits(actual, expected):
    for one, other in zip(parts(actual), parts(expected), strict=True):
        np.testing.assert_array_equal(one, other)
        zero = other == 0
        np.testing.assert_array_equal(np.signbit(one[zero]), np.signbit(other[zero]))


# At most one rounding


@by_dtype
@pytest.mark.parametrize("expression", EXACT_REAL + EXACT)
def test_operations_that_leave_llvm_no_choice_agree_to_the_last_bit(expression, dtype):
    assert_same_bits(on_groups(dtype)[expression], by_scalars(expression, dtype))


@by_dtype
@pytest.mark.parametrize("expression", ROUNDED_REAL + ROUNDED)
def test_operations_that_round_once_agree_but_for_signs_of_zeros(expression, dtype):
    np.testing.assert_array_equal(on_groups(dtype)[expression], by_scalars(expression, dtype))


@pytest.mark.parametrize("dtype", [d for d in gallery.DTYPES if d.kind == "c"], ids=str)
def test_imaginary_parts(dtype):
    assert_same_bits(on_groups(dtype)["x.imag"], inputs(dtype)["x"].imag)


@by_dtype
def test_square_roots_of_negative_numbers_are_nan(dtype):
    r, roots = inputs(dtype)["r"], on_groups(dtype)["math.sqrt(r)"]
    np.testing.assert_array_equal(np.isnan(roots), (r < 0) | np.isnan(r))
    assert np.signbit(roots[(r == 0) & np.signbit(r)]).all()


@by_dtype
def test_constants_are_those_of_the_precision(dtype):
    real, digits, _, highest = format_of(dtype)
    results = on_groups(dtype)
    assert (results["small_square(r)"] == np.finfo(real).tiny * 4.0**digits).all()
    assert (results["fill(array, rounding(array))"] == 2.0**-digits).all()
    gap = results["widest_gap(r)"]
    assert (2 * gap > digits + 10).all()
    assert (4 * gap < highest).all()


@by_dtype
def test_exponents_are_those_of_frexp(dtype):
    p = inputs(dtype)["p"]
    np.testing.assert_array_equal(on_groups(dtype)["exponent(p)"], [math.frexp(x)[1] for x in p])


@by_dtype
def test_powers_of_two_are_held_to_the_normal_range(dtype):
    most = format_of(dtype).highest - 2
    k = inputs(dtype)["k"].astype(int)
    assert (np.abs(k) > most).any()
    expected = [math.ldexp(1.0, max(-most, min(x, most))) for x in k.tolist()]
    np.testing.assert_array_equal(on_groups(dtype)["power_of_two(k)"], expected)


# Sums of products


def rounded(x, dtype):
    """The number of a dtype nearest to a rational one, of two equally near the even one."""
    real, digits, lowest, highest = format_of(dtype)
    if not x:
        return real.type(0)
    top = abs(x.numerator).bit_length() - x.denominator.bit_length()  # |x| / 2**top is between 1/2 and 2
    top += abs(x) >= Fraction(2) ** top
    quantum = Fraction(2) ** (max(top, lowest) - digits)
    nearest = round(x / quantum) * quantum
    return real.type(math.copysign(math.inf, x) if abs(nearest) >= 2**highest else float(nearest))


def fused(a, b, c, dtype):
    """a b + c, rounded once."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c
    return rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)), dtype)


def is_sum_of_products(value, first, second, dtype):
    """Whether a value is that of two products and their sum, of which one may be fused into the sum."""
    (a, b), (c, d) = first, second
    if equal(value, a * b + c * d):
        return True
    return equal(value, fused(a, b, c * d, dtype)) or equal(value, fused(c, d, a * b, dtype))


def equal(a, b):
    return a == b or (a != a and b != b)


def assert_sums_of_products(actual, expression, dtype, where=True):
    values = inputs(dtype)
    terms = (PRODUCTS_REAL | PRODUCTS)[expression]
    with np.errstate(all="ignore"):
        for i in np.flatnonzero(np.broadcast_to(where, actual.size)):
            numbers = {name: value[i] for name, value in values.items()}
            for part, products in zip(parts(actual[i]), terms(**numbers), strict=False):
                assert is_sum_of_products(part, *products, dtype), (part, products)


@by_dtype
@pytest.mark.parametrize("expression", [*PRODUCTS_REAL, *PRODUCTS])
def test_sums_of_products_round_each_step_or_are_fused(expression, dtype):
    assert_sums_of_products(on_groups(dtype)[expression], expression, dtype)
    finite = all_finite(expression, dtype)
    assert finite.sum() > 500
    assert_sums_of_products(by_scalars(expression, dtype, finite), expression, dtype, finite)


# Several roundings


def error_of_keys(keys, n, dtype):
    """How far the keys are from the exact ones, in units of the bound: one rounding of a first sum (the bits
    as a number in lanes, e + 2 f in `scalars`) and one of its difference from a constant."""
    form = format_of(dtype)
    worst = 0
    for key, x in zip(keys.tolist(), n.tolist(), strict=True):
        fraction, e = math.frexp(x)
        exact = e + 2 * Fraction(fraction) - 2
        first = max(abs(exact + 2 - form.lowest), abs(exact + 2))
        bound = form.unit * (first + abs(exact)) * (1 + form.unit)
        worst = max(worst, abs(Fraction(key) - exact) / bound)
    return worst


@by_dtype
def test_sort_keys_are_logarithms_linear_between_powers_of_two(dtype):
    n = inputs(dtype)["n"]
    order = np.argsort(n)
    scalar = by_scalars("log2_linear(n)", dtype)
    for keys in (on_groups(dtype)["log2_linear(n)"], on_numbers(dtype)["log2_linear(n)"], scalar):
        assert (np.diff(keys[order]) >= 0).all()
        assert error_of_keys(keys, n, dtype) <= 1


@by_dtype
def test_scaling_is_exact_up_to_one_rounding_of_subnormal_results(dtype):
    form = format_of(dtype)
    values = inputs(dtype)
    actual, scalar = on_groups(dtype)["scale(x, k)"], by_scalars("scale(x, k)", dtype)
    finite, in_range = np.isfinite(values["x"]), np.isfinite(actual)
    np.testing.assert_array_equal(actual[in_range], scalar[in_range])
    for results, x in zip(parts(actual), parts(values["x"]), strict=True):
        np.testing.assert_array_equal(results[~np.isfinite(x)], x[~np.isfinite(x)])
        for result, number, k in zip(
            results[finite].tolist(), x[finite].tolist(), values["k"][finite], strict=True
        ):
            exact = Fraction(number) * Fraction(2) ** int(k)
            if abs(exact) >= Fraction(2) ** form.highest:
                assert result == math.copysign(math.inf, number)
            elif abs(exact) >= Fraction(2) ** (form.lowest - 1):
                assert Fraction(result) == exact
            else:
                assert abs(Fraction(result) - exact) <= form.subnormal
            assert math.copysign(1, result) == math.copysign(1, number)


def exact_direction(*parts):
    """x / |x| as rational numbers, to 200 bits."""
    scaled = [Fraction(float(part)) / Fraction(float(max(map(abs, parts)))) for part in parts]
    length = Fraction(math.isqrt(int(sum(part**2 for part in scaled) * 4**200)), 2**200)
    return [part / length for part in scaled]


def assert_directions(actual, dtype, where):
    """Within four roundings of x / |x| (square root of the sum of squares: two; reciprocal; product) but for
    their products, and the underflow of the smaller part: when scaled, and when it is multiplied."""
    form = format_of(dtype)
    for result, x in zip(actual[where], inputs(dtype)["x"][where], strict=True):
        for part, exact in zip(parts(result), exact_direction(*parts(x)), strict=True):
            assert abs(Fraction(float(part)) - exact) <= 5 * form.unit * abs(exact) + 2 * form.subnormal


@by_dtype
def test_directions_have_length_one(dtype):
    x, actual = inputs(dtype)["x"], on_groups(dtype)["direction(x)"]
    proper = np.isfinite(x) & (x != 0)
    for results in (actual, by_scalars("direction(x)", dtype, proper)):
        assert_directions(results, dtype, proper)
        if dtype.kind == "f":
            np.testing.assert_array_equal(results[proper], np.sign(x[proper]))
    np.testing.assert_array_equal(actual[x == 0], 1)
    np.testing.assert_array_equal(np.isnan(actual), ~np.isfinite(x))


@by_dtype
def test_only_for_single_real_numbers_the_direction_of_zero_is_its_sign(dtype):
    x = inputs(dtype)["x"]
    expected = np.copysign(1, x[x == 0]) if dtype.kind == "f" else 1
    np.testing.assert_array_equal(by_scalars("direction(x)", dtype, x == 0)[x == 0], expected)


@by_dtype
def test_rough_reciprocals_are_within_two_percent(dtype):
    n = inputs(dtype)["n"]
    moderate = (n > 2.0**-100) & (n < 2.0**100)
    assert moderate.sum() > 100
    product = on_groups(dtype)["rough_reciprocal(n)"][moderate].astype(float) * n[moderate]
    assert np.abs(product - 1).max() < 0.02


def test_plain_bodies_of_roots_and_reciprocals():
    assert lanes.root(4.0) == lanes.fine_root(4.0) == 1 / lanes.inverse_root(4.0) == 2
    assert lanes.reciprocal(2.0) == lanes.fine_reciprocal(2.0) == 0.5
    assert lanes.rough_reciprocal(2.0) == lanes.inverse_power(2.0) == 0.5
    assert lanes.lift(3.0, 4, 8) == 4
    assert lanes.lift(2.0**-9, 4, 8) == 256
    assert lanes.registers(2, 0.0) == [0, 0]
    assert math.copysign(1, lanes.unsigned_zero(-0.0)) == 1


# Plain bodies, and compiled numbers

PLAIN = [
    *("select(r < t, r, t)", "maximum(r, t)", "greater(r, t)", "with_sign(r, t)", "nothing_if_finite(x)"),
    *("exponent(p)", "half_of(k)", "conjugate(x)", "select(r < t, x, y)"),
]


@by_dtype
@pytest.mark.parametrize("expression", PLAIN)
def test_plain_bodies_give_what_the_lanes_give(expression, dtype):
    np.testing.assert_array_equal(on_groups(dtype)[expression], by_plain_bodies(expression, dtype))


@by_dtype
@pytest.mark.parametrize("expression", ["abs2(x)", "dot(x, y)"])
def test_plain_bodies_are_sums_of_products(expression, dtype):
    finite = all_finite(expression, dtype)
    assert_sums_of_products(by_plain_bodies(expression, dtype, finite), expression, dtype, finite)


@by_dtype
@pytest.mark.parametrize("expression", ["largest_part(x)", "power_of_two(k)", "scale(x, k)"])
def test_plain_bodies_give_what_the_lanes_give_within_the_range_of_numbers(expression, dtype):
    values, actual = inputs(dtype), on_groups(dtype)[expression]
    where = np.isfinite(values["x"]) & np.isfinite(actual)
    if expression == "power_of_two(k)":
        where &= np.abs(values["k"]) <= format_of(dtype).highest - 2
    assert where.sum() > 200
    np.testing.assert_array_equal(actual[where], by_plain_bodies(expression, dtype, where)[where])


@by_dtype
def test_plain_bodies_of_directions_and_sort_keys(dtype):
    size = np.abs(inputs(dtype)["x"])
    moderate = (size > 2.0**-60) & (size < 2.0**60)
    assert moderate.sum() > 100
    assert_directions(by_plain_bodies("direction(x)", dtype, moderate), dtype, moderate)
    keys = by_plain_bodies("log2_linear(n)", dtype)
    assert error_of_keys(keys, inputs(dtype)["n"], dtype) <= 1
    assert lanes.direction(0.0) == lanes.direction(-0.0) == lanes.direction(0j) == 1


@pytest.mark.parametrize("name", ["small_square", "widest_gap"])
def test_plain_constants_are_those_of_double_precision(name):
    assert (on_groups(np.dtype(float))[f"{name}(r)"] == getattr(lanes, name)(1.0)).all()


@by_dtype
@pytest.mark.parametrize("expression", ["maximum(r, t)", "maximum(r, s)", "exponent(p)", "conjugate(x)"])
def test_overloads_for_compiled_numbers_agree_with_groups(expression, dtype):
    assert_same_bits(on_numbers(dtype)[expression], on_groups(dtype)[expression])


@by_dtype
@pytest.mark.parametrize("expression", ["abs2(x)", "dot(x, y)"])
def test_overloads_for_compiled_numbers_are_sums_of_products(expression, dtype):
    finite = all_finite(expression, dtype)
    assert_sums_of_products(on_numbers(dtype)[expression], expression, dtype, finite)


# Memory, and what goes across lanes


@numba.njit(error_model="numpy")
def move(a, b, out, c):
    """Groups 0 and 1 of a exchanged, then a section of it from group 2 on, written through a section of out.
    The number c to lane 1 of group 0 of b, and what is in lane 2 of group 1 to lane 0 of group 1."""
    store(out, 0, load(a, 1))
    store(out, 1, load(a, 0))
    source, target = section(a, 2, 2), section(out, 2, 2)
    store(target, 0, load(source, 1))
    store(target, 1, load(source, 0))
    put(b, 0, 1, c)
    put(b, 1, 0, get(b, 1, 2))
    return lane_count(a), source.size


@numba.njit(error_model="numpy")
def across(a, r, numbered, swapped, sums, largest, positive):
    """For each group its lanes exchanged, the sum, the largest of the real group r and whether one of r is
    positive."""
    store(numbered, 0, lane_numbers(a))
    for g in range(sums.size):
        store(swapped, g, swap_neighbours(load(a, g)))
        sums[g] = sum_lanes(load(a, g))
        largest[g] = max_lanes(load(r, g))
        positive[g] = any_lane(load(r, g) > 0.0)


@cache
def moved(dtype):
    width = 64 // format_of(dtype).real.itemsize
    a, b = inputs(dtype)["x"][: 4 * width], inputs(dtype)["y"][: 2 * width]
    before, groups, out = to_groups(a), to_groups(b), np.zeros(4 * width, dtype)
    count, size = move(before, groups, out, dtype.type(3 - 2j if dtype.kind == "c" else 3))
    assert (count, size) == (width, 2 * width)
    return (
        a.reshape(4, -1),
        b.reshape(2, -1),
        from_groups(groups).reshape(2, -1),
        from_groups(out).reshape(4, -1),
    )


@by_dtype
def test_a_group_is_64_bytes_of_real_parts_then_64_of_imaginary_parts(dtype):
    a, _, _, out = moved(dtype)
    assert_same_bits(out[:2], a[[1, 0]])


@by_dtype
def test_sections_share_memory(dtype):
    a, _, _, out = moved(dtype)
    assert_same_bits(out[2:], a[[3, 2]])


@by_dtype
def test_single_numbers_are_read_and_written_in_their_lane(dtype):
    _, before, after, _ = moved(dtype)
    expected = before.copy()
    expected[0, 1] = 3 - 2j if dtype.kind == "c" else 3
    expected[1, 0] = before[1, 2]
    assert_same_bits(after, expected)


@by_dtype
def test_groups_may_begin_at_any_number(dtype):
    width = 64 // format_of(dtype).real.itemsize
    x = inputs(dtype)["x"][: 4 * width]
    a, out = np.zeros((2, x.size + 1), dtype)
    a[1:] = to_groups(x)
    move(a[1:], np.zeros(2 * width, dtype), out[1:], dtype.type(0))
    assert_same_bits(from_groups(out[1:].copy()).reshape(4, -1), x.reshape(4, -1)[[1, 0, 3, 2]])


@numba.njit(error_model="numpy")
def there_and_back(x, groups, y):
    """The numbers of the matrices x to groups, and those of y from there, by fours."""
    for e in (0, 2):
        transpose_in(x, 1, e, groups, e)
        transpose_out(groups, e, y, 1, e)


@by_dtype
def test_transposes_move_matrices_to_lanes_and_back(dtype):
    width, parts = 64 // format_of(dtype).real.itemsize, 2 if dtype.kind == "c" else 1
    numbers = 6 // parts
    x = np.random.default_rng(0).standard_normal((2 * width + 2, numbers * parts)).view(dtype)
    x = x.astype(dtype)[:, np.newaxis, :numbers][::2]
    y, groups = np.zeros((width + 2, 1, numbers + 1), dtype)[:, :, 1:], np.zeros(6 * width // parts, dtype)
    there_and_back(x, groups, y)
    matrices = np.ascontiguousarray(x[1 : width + 1, 0])
    assert_same_bits(groups.view(groups.real.dtype).reshape(6, width), matrices.view(groups.real.dtype).T)
    np.testing.assert_array_equal(y[1:-1], x[1 : width + 1])
    assert not y[[0, -1]].any()


@cache
def results_across(dtype):
    real, values = format_of(dtype).real, inputs(dtype)
    width = 64 // real.itemsize
    count = values["r"].size // width
    numbered, swapped = np.empty(width, real), np.empty(values["x"].size, dtype)
    sums, largest, positive = np.empty(count, dtype), np.empty(count, real), np.empty(count, bool)
    across(to_groups(values["x"]), values["r"], numbered, swapped, sums, largest, positive)
    return numbered, from_groups(swapped), sums, largest, positive


def fold(x, combine):
    """The lanes of each group into one number, the first half with the second until one is left."""
    while x.shape[1] > 1:
        first, second = np.split(x, 2, axis=1)
        x = combine(first, second)
    return x[:, 0]


@by_dtype
def test_lanes_are_numbered_from_zero(dtype):
    numbered = results_across(dtype)[0]
    np.testing.assert_array_equal(numbered, np.arange(numbered.size))


@by_dtype
def test_neighbours_change_places(dtype):
    x = inputs(dtype)["x"]
    assert_same_bits(results_across(dtype)[1], x.reshape(-1, 2)[:, ::-1].reshape(-1))


@by_dtype
def test_sums_over_lanes_add_half_onto_half(dtype):
    x = inputs(dtype)["x"].reshape(-1, 64 // format_of(dtype).real.itemsize)
    with np.errstate(all="ignore"):
        expected = fold(x, operator.add)
    np.testing.assert_array_equal(results_across(dtype)[2], expected)


@by_dtype
def test_the_largest_lane(dtype):
    r = inputs(dtype)["r"].reshape(-1, 64 // format_of(dtype).real.itemsize)
    largest = results_across(dtype)[3]
    np.testing.assert_array_equal(largest, fold(r, lambda a, b: np.where(a > b, a, b)))
    numbers = ~np.isnan(r).any(axis=1)
    assert numbers.any()
    np.testing.assert_array_equal(largest[numbers], r[numbers].max(axis=1))


@by_dtype
def test_any_lane_sees_every_lane(dtype):
    real = format_of(dtype).real
    width = 64 // real.itemsize
    r = np.concatenate([np.eye(width), np.zeros((1, width)), -np.ones((1, width)), np.ones((1, width))])
    r = r.astype(real)
    count = r.shape[0]
    outputs = np.empty(width, real), np.empty(r.size, dtype), np.empty(count, dtype), np.empty(count, real)
    positive = np.empty(count, bool)
    across(np.zeros(r.size, dtype), r.reshape(-1), *outputs, positive)
    np.testing.assert_array_equal(positive, [*[True] * width, False, False, True])
    assert lanes.any_lane(True)
    assert not lanes.any_lane(False)


def test_memory_of_single_numbers():
    """A group is a number there: what `scalars` has of these operations."""
    names = scalar_names(np.dtype("complex64"))
    a = np.arange(4, dtype="complex64")
    names["store"](a, 1, names["load"](a, 3))
    names["put"](a, 2, 0, names["get"](a, 0, 0))
    assert a.tolist() == [0, 3, 0, 3]
    assert names["lane_count"](a) == 1
    assert names["any_lane"](True)


def test_plain_bodies_of_what_arrays_hold():
    assert [lanes.lane_count(np.empty(0, dtype)) for dtype in gallery.DTYPES] == [16, 8, 16, 8]
    assert lanes.rounding(np.empty(0)) == 2.0**-53


# Nothing is left out


def is_from_lanes(value):
    return getattr(value, "__module__", None) == lanes.__name__


def names_of_operations():
    """The public names of `lanes` that numba takes for functions to call."""
    context = numba.core.registry.cpu_target.typing_context
    return [
        name
        for name, value in vars(lanes).items()
        if is_from_lanes(value) and not isinstance(value, type) and not name.startswith("_")
        if is_known(context, value)
    ]


def is_known(context, value):
    try:
        return context.resolve_value_type(value) is not None
    except ValueError:
        return False


def emitted():
    """What `lanes` emits code for, operators included, and for which kinds of operands."""
    return [
        (function, kinds)
        for _, function, kinds in imputils.builtin_registry.functions
        if any(is_from_lanes(kind) for kind in kinds)
    ]


def attributes():
    """The attributes of groups by name."""
    return {
        name
        for _, name, kinds in imputils.builtin_registry.getattrs
        if any(is_from_lanes(kind) for kind in kinds)
    }


def calls(kernel):
    """Every call in a compiled kernel: what is called, and with what types."""
    for version in kernel.overloads.values():
        annotation = version.type_annotation
        for expression, signature in annotation.calltypes.items():
            kind = getattr(expression, "op", None)
            if kind in ("binop", "unary"):
                yield expression.fn, signature.args
            elif kind == "call":
                yield annotation.typemap[expression.func.name].typing_key, signature.args


def test_every_operation_is_tested_for_every_kind_of_operand():
    kernels = [kernel_on_groups(False)[0], kernel_on_groups(True)[0], kernel_on_numbers(), move, across]
    kernels.append(there_and_back)
    for dtype in gallery.DTYPES:
        for compile_for in (on_groups, on_numbers, moved, results_across):
            compile_for(dtype)
        test_transposes_move_matrices_to_lanes_and_back(dtype)
    tested = {call for kernel in kernels for call in calls(kernel)}
    functions = {function for function, _ in tested}
    operations = names_of_operations()
    assert {"load", "abs2", "direction", "rounding"} <= {
        *operations
    }  # an intrinsic, an operation, two overloads
    assert [name for name in operations if getattr(lanes, name) not in functions] == []

    def is_tested(function, kinds):
        return any(function == called and all(map(fits, arguments, kinds)) for called, arguments in tested)

    assert len(emitted()) > 50
    assert [operation for operation in emitted() if not is_tested(*operation)] == []
    assert attributes() == {"real", "imag"}


def fits(argument, kind):
    return kind is types.Any or isinstance(argument, kind)
