"""The operations of `gpusvd.kernels.cuda_columns` as Python runs them: a column is an array of NumPy.

In the order in which the compiled ones add. Products are rounded before they enter sums, as everywhere in the
emulator."""

import numpy as np
from numba import cuda

from tests.ptx import operations

EVERYONE = 0xFFFFFFFF


def parts(x):
    """Of numbers or columns, complex ones two."""
    return (x.real, x.imag) if np.iscomplexobj(x) else (x,)


def summed(products, kind):
    """The sum of products of pairs, in two sums."""
    totals = []
    for chain in (products[::2], products[1::2]):
        if chain:
            total = chain[0][0] * chain[0][1]
            for x, y in chain[1:]:
                total = x * y + total
            totals.append(total)
    return totals[0] + totals[1] if len(totals) == 2 else totals[0] if totals else kind(0)


def zeros(number, n):
    return np.zeros(n, type(number))


def axis(x, k):
    return (np.arange(x.size) == k).astype(x.dtype)


def inner(x, y, first):
    kind = x.real.dtype.type
    a, *b = (list(part[first:]) for part in parts(x))
    c, *d = (list(part[first:]) for part in parts(y))
    if not b:
        return summed(list(zip(a, c, strict=True)), kind)
    (b,), (d,) = b, d
    minus = [-v for v in b]
    real = summed([*zip(a, c, strict=True), *zip(b, d, strict=True)], kind)
    imag = summed([*zip(a, d, strict=True), *zip(minus, c, strict=True)], kind)
    return x.dtype.type(complex(real, imag))


def length2(x, first):
    numbers = [number for part in parts(x) for number in part[first:]]
    return summed([(number, number) for number in numbers], x.real.dtype.type)


def plus_product(x, a, y):
    if not np.iscomplexobj(x):
        return a * y + x
    real = -a.imag * y.imag + (a.real * y.real + x.real)
    imag = a.imag * y.real + (a.real * y.imag + x.imag)
    made = np.empty_like(x)
    made.real, made.imag = real, imag
    return made


def plus_times(x, a, y, first):
    return np.where(np.arange(x.size) >= first, plus_product(x, a, y), x)


def turn(x, y, a, b):
    return plus_product(x, a, y), plus_product(y, b, x)


def stretched(x, factor):
    return (x.view(x.real.dtype) * factor + x.real.dtype.type(0)).view(x.dtype)


def conjugated(x, negated):
    positive = (x.view(x.real.dtype) + x.real.dtype.type(0)).view(x.dtype)
    if negated and np.iscomplexobj(x):
        positive.imag = x.real.dtype.type(0) - x.imag
    return positive


def chosen(mask, x, y):
    return x if mask else y


def largest(x):
    return np.fmax.reduce([np.fmax.reduce(np.abs(part)) for part in parts(x)])


def larger_parts(most, x):
    return np.fmax.reduce([most, *(np.abs(part) for part in parts(x))])


def entry(x, j, first, width):
    return x[j]


def without_entry(x, j, first, width):
    return np.where(np.arange(x.size) == j, x.dtype.type(0), x)


def with_entry(x, j, value, first, width):
    return np.where(np.arange(x.size) == j, value, x)


def parted(x, k):
    zeros, later = np.zeros_like(x), np.arange(x.size) > k
    return np.where(later, zeros, x), np.where(later, x, zeros)


def sum_of_lanes(x, lane, lanes):
    found = [over_lanes(part, lane, lanes, np.add) for part in parts(x)]
    return x.dtype.type(complex(*found)) if len(found) == 2 else found[0]


def largest_of_entries(x, lane, lanes):
    return over_lanes(x, lane, lanes, np.fmax)


def over_lanes(x, lane, lanes, combined):
    values, fold = list(x), 1 << (x.size - 1).bit_length()
    step = fold // 2
    while step:
        is_upper = bool(lane & step)
        for i in range(len(values[:step])):
            pair = values[i], values[i + step] if i + step < len(values) else values[i]
            values[i] = combined(pair[is_upper], cuda.shfl_xor_sync(EVERYONE, pair[not is_upper], step))
        values, step = values[:step], step // 2
    while fold < lanes:
        values, fold = [combined(values[0], cuda.shfl_xor_sync(EVERYONE, values[0], fold))], 2 * fold
    return values[0]


def brought(x, lane):
    return cuda.shfl_sync(EVERYONE, x, lane)


def rank_of(values, value, c, first, width):
    place = np.arange(values.size)
    return np.int32(np.count_nonzero((values > value) | ((values == value) & (place < c))))


def repeated(value, n):
    return (value,) * n


def replaced(values, place, value):
    return (*values[:place], value, *values[place + 1 :])


def load_row(array, i, first, n, aligned):
    column = np.zeros(n, array.dtype)
    for k in range(first, n):
        column[k] = array[int(i) + k]
    return column


def store_row(array, i, x, first, aligned):
    for k in range(first, x.size):
        array[int(i) + k] = x[k]


def load_strided(array, i, step, n):
    column = np.zeros(n, array.dtype)
    for k in range(n):
        column[k] = array[int(i) + step * k]
    return column


def store_strided(array, i, step, x):
    for k in range(x.size):
        array[int(i) + step * k] = x[k]


def line_at(array, b, i, along):
    return int(b), int(i)


def line_after(array, line, step, along):
    return line[0], line[1] + step


def numbers_of(line, along, n):
    """The indices of the numbers of a line."""
    b, i = line
    return [(b, i, k) if along == 2 else (b, k, i) for k in range(n)]


def load_line(array, line, along, n, aligned):
    return np.array([array[at] for at in numbers_of(line, along, n)], array.dtype)


def store_line(array, line, along, x, aligned):
    for k, at in enumerate(numbers_of(line, along, x.size)):
        array[at] = x[k]


def copy_numbers(source, i, sink, k, n):
    for e in range(n):
        sink[place_in(sink, int(k) + e)] = source[place_in(source, int(i) + e)]


def store_number(array, i, x):
    array[place_in(array, int(i))] = x


def place_in(array, i):
    """The indices of number i of a whole array."""
    if array.ndim == 1:
        return i
    order = np.argsort([-stride for stride in array.strides], kind="stable")
    extents = [array.shape[axis] for axis in order]
    indices = [0] * array.ndim
    for axis, index in zip(order, np.unravel_index(i, extents), strict=True):
        indices[axis] = int(index)
    return tuple(indices)


def hidden(step):
    return step


def is_aligned(array):
    return array.values.ctypes.data % 16 == 0


def multiply_add(x, y, z):
    return x * y + z


def larger(x, y):
    return np.fmax(x, y)


def smaller(x, y):
    return np.fmin(x, y)


def approximate_inverse(x):
    return x.dtype.type(operations.approximate_inverse(x))


def approximate_inverse_root(x):
    return x.dtype.type(operations.approximate_inverse_root(x))


def approximate_root(x):
    return x.dtype.type(operations.approximate_root(x))


def bits_of(x):
    """The bits of a number as an integer, those of its fraction, and its bias."""
    single = x.dtype == np.float32
    return int(x.view(np.int32 if single else np.int64)), 23 if single else 52, 127 if single else 1023


def number_of(field, kind):
    """The number with these bits."""
    size = 4 if kind is np.float32 else 8
    return np.frombuffer((field % (1 << 8 * size)).to_bytes(size, "little"), kind)[0]


def leading_bits(x):
    bits, fraction, _ = bits_of(x)
    return np.int32(bits if fraction == 23 else bits >> 32)


def powers_to(big, target, highest):
    bits, fraction, bias = bits_of(big)
    up = ((2 * bias - 1) << fraction) - (bits & ((2 * bias + 1) << fraction))
    field = min(up, (bias + highest - target) << fraction) + (target << fraction)
    return number_of(field, type(big)), number_of((2 * bias << fraction) - field, type(big))


def halved_power(scale):
    bits, fraction, bias = bits_of(scale)
    field = bits & (2 * bias << fraction)
    half = (field >> 1) + ((bias + 1) // 2 << fraction)
    return number_of(half, type(scale)), scale * number_of(((2 * bias - 1) << fraction) - field, type(scale))
