"""The module `math` as numba compiles it: results have the precision of the arguments, and nothing raises."""

import math
from fractions import Fraction

import numpy as np

UFUNCS = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atan2": np.arctan2, "atanh": np.arctanh, "copysign": np.copysign, "cos": np.cos, "cosh": np.cosh,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "fabs": np.fabs, "fmod": np.fmod, "frexp": np.frexp,
    "hypot": np.hypot, "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan, "ldexp": np.ldexp,
    "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "modf": np.modf,
    "nextafter": np.nextafter, "pow": np.power, "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt,
    "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip
ROUNDED = {"ceil": np.ceil, "floor": np.floor, "trunc": np.trunc}


class Mathematics:
    """What stands for `math` in an emulated kernel."""

    e, inf, nan, pi, tau = math.e, math.inf, math.nan, math.pi, math.tau

    def __getattr__(self, name):
        if name in UFUNCS:
            return UFUNCS[name]
        if name in ROUNDED:
            return lambda x: int(ROUNDED[name](x))
        raise AttributeError(f"the emulator does not know math.{name}")


def fma(a, b, c):
    """a b + c, rounded once.

    In single precision: the product is exact in double, and the sum is rounded to odd there, so that the
    second rounding sees on which side it lies (Boldo and Melquiond 2008).
    """
    if not all(isinstance(x, np.float32) for x in (a, b, c)):
        return exact_fma(float(a), float(b), float(c))
    product, addend = np.float64(a) * np.float64(b), np.float64(c)
    total = product + addend
    back = total - product
    error = (product - (total - back)) + (addend - back)
    if np.isfinite(total) and error != 0 and not total.view(np.int64) & 1:
        total = np.nextafter(total, np.copysign(np.inf, error))
    return np.float32(total)


def exact_fma(a, b, c):
    """a b + c of doubles, by fractions: `math.fma` came with Python 3.13."""
    if not all(map(math.isfinite, (a, b, c))):
        return np.float64(a * b + c)
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return np.float64(a * b + c)  # has the right sign
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.copysign(math.inf, exact))
