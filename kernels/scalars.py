"""The operations of `lanes` for a single number, as CUDA threads and other compiled loops use them.

Each has the name of its counterpart in `lanes`, and where real and complex numbers differ, the kind of number
after it. `scalar_operations` gives them for one kind, and `gpusvd._base.specialise` puts them where the
sources name the operations on lanes. They are plain functions: numba compiles them for CPU or CUDA, and
Python runs them as they are. A group is a number here, a mask a truth value, and group `index` of an array
its entry.

For finite numbers and results in range they return what the lanes do, but for rounding and signs of zeros.
"""

import math

import numba

from . import lanes

# Stand-ins, which `scalar_operations` replaces by the number types of the matrix and the limits of its
# precision.
real, number, SMALL_SQUARE, WIDEST_GAP, ROUNDING, LARGEST_EXPONENT = (
    numba.float64, numba.float64, 0.0, 0.0, 0.0, 0,
)  # fmt: skip
# Of kernels that scale a matrix once: the largest entry is brought to 2**TARGET, by 2**MOST_SHIFT at most.
# Squared lengths above HUGE, and columns and singular values below LOW, are out of range. A column is zero
# once NOISE of its squared length is left; TAU stands for a zero on R's diagonal, which cannot change
# NONZERO. A column below FLOOR has lost digits before it is scaled.
TARGET, MOST_SHIFT, LOW, HUGE, NOISE, TAU, NONZERO, FLOOR = 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
ONE_SCALE = {
    "single": (25, 126, 2.0**-19, 2.0**62, 2.0**-44, 2.0**-14, 2.0**-2, 2.0**-102),
    "double": (200, 1022, 2.0**-220, 2.0**420, 2.0**-102, 2.0**-200, 2.0**-170, 2.0**-1000),
}


def conjugate_real(x):
    return x


def conjugate_complex(x):
    return number(complex(x.real, -x.imag))


def scaled_real(x, factor):
    return x * factor


def scaled_complex(x, factor):
    return number(complex(x.real * factor, x.imag * factor))


def abs2_real(x):
    return x * x


def abs2_complex(x):
    return x.real * x.real + x.imag * x.imag


def dot_real(x, y):
    return x * y


def dot_complex(x, y):
    return number(complex(x.real * y.real + x.imag * y.imag, x.real * y.imag - x.imag * y.real))


def largest_part_real(x):
    return abs(x)


def largest_part_complex(x):
    return maximum(abs(x.real), abs(x.imag))


def nothing_if_finite_real(x):
    return 0.0 * x


def nothing_if_finite_complex(x):
    return 0.0 * x.real + 0.0 * x.imag


def root(x):
    return math.sqrt(x)


def fine_root(x):
    return math.sqrt(x)


def inverse_root(x):
    return 1.0 / math.sqrt(x)


def reciprocal(x):
    return 1.0 / x


def fine_reciprocal(x):
    return 1.0 / x


def rough_reciprocal(x):
    return 1.0 / x


def unsigned_zero(x):
    return x + 0.0


def direction_real(x):
    """The sign of x, even of a zero: -1 for -0, where lanes have 1. Sources must not pass NaN or Inf, for
    which it is ±1 here and NaN in lanes."""
    return real(math.copysign(1.0, x))


def direction_complex(x):
    """x / |x|, and 1 for 0. Sources must not pass NaN, for which it is 1 here and NaN in lanes."""
    # The largest part near one: x may be so small that its square is nothing.
    near_one = scale(x, -exponent(largest_part_complex(x)))
    size = math.sqrt(abs2_complex(near_one))
    return near_one * (1.0 / size) if size > 0.0 else number(1.0)


def scale(x, k):
    """x 2**k for whole k. If one part of a complex number overflows, the other becomes NaN: not in lanes."""
    first = half_of(k)
    return x * power_of_two(first) * power_of_two(k - first)


def select(mask, a, b):
    return a if mask else b


def maximum(a, b):
    return a if a > b else b


def greater(a, b):
    return a if a > b else b


def any_lane(mask):
    return mask


def with_sign(x, sign):
    return real(math.copysign(x, sign))


def exponent(x):
    return real(math.frexp(x)[1])


def log2_linear(x):
    fraction, e = math.frexp(x)
    return real(e) + 2.0 * real(fraction) - 2.0


def power_of_two(k):
    held = maximum(real(-LARGEST_EXPONENT), -maximum(-k, real(-LARGEST_EXPONENT)))
    return real(math.ldexp(1.0, int(held)))


def lift(x, target, highest):
    shift = min(int(target) - math.frexp(x)[1], int(highest))
    return real(math.ldexp(1.0, shift))


def inverse_power(x):
    return 1.0 / x


def half_of(k):
    return real(int(0.5 * k))


def small_square(x):
    return real(SMALL_SQUARE)


def widest_gap(x):
    return real(WIDEST_GAP)


def rounding(array):
    return real(ROUNDING)


def lane_count(array):
    return 1


def load(array, index):
    return array[index]


def store(array, index, group):
    array[index] = group


def fill(array, value):
    return real(value)


def spread(array, value):
    return number(value)


def get(array, index, lane):
    return array[index]


def put(array, index, lane, value):
    array[index] = value


def scalar_operations(kind):
    """Operations and constants by name, for "float32", "float64", "complex64" or "complex128"."""
    single, is_complex = kind in ("float32", "complex64"), kind.startswith("complex")
    suffix = "_complex" if is_complex else "_real"
    operations = {
        name.removesuffix(suffix): value
        for name, value in globals().items()
        if callable(value) and hasattr(lanes, name.removesuffix(suffix))
    }
    digits, lowest = (24, -126) if single else (53, -1022)
    names = "TARGET", "MOST_SHIFT", "LOW", "HUGE", "NOISE", "TAU", "NONZERO", "FLOOR"
    limits = zip(names, ONE_SCALE["single" if single else "double"], strict=True)
    return (
        operations
        | dict(limits)
        | {
            "real": numba.float32 if single else numba.float64,
            "number": getattr(numba, kind),
            "SMALL_SQUARE": 2.0 ** (lowest + 2 * digits),
            "WIDEST_GAP": 20.0 if single else 60.0,
            "ROUNDING": 2.0**-digits,
            "LARGEST_EXPONENT": -lowest,
        }
    )
