"""What several CUDA kernels share: how they are launched, and what the threads of a warp do together.

A group of lanes, a power of two of them and all of one warp, holds a column, see `padded_rows`.
`parts` is 2 for complex numbers and 1 for real ones. Both are constants in every call, parameters of the
kernel or literals, so that loops over lanes are unrolled.
"""

from typing import NamedTuple

from numba import cuda, uint64

from .cuda_columns import copy_numbers
from .lanes import maximum
from .scalars import number

WARP = 32
EVERYONE = 0xFFFFFFFF  # the mask of all lanes of a warp
SHARED_BYTES = 96 * 1024  # what a block takes at most; two fit a multiprocessor of 227 KB, one that of 99 KB
BLOCK_THREADS = 128
THREAD_REGISTERS = 128  # of a thread of the QR and of the last launch: with 80 they spill
SIZES = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}  # bytes of a number


class LaunchShape(NamedTuple):
    """How a kernel is launched.

    constants : values of its parameters that are known when it is compiled
    threads : of a block
    matrices : that a block takes
    shared : bytes of dynamic shared memory of a block
    registers : that a thread may have
    """

    constants: dict
    threads: int
    matrices: int
    shared: int
    registers: int


def size_and_parts(kind):
    """The bytes of a number of a dtype, and how many real numbers it consists of."""
    return SIZES[kind], 2 if kind.startswith("complex") else 1


def lanes_of(m):
    """Threads of a column of m rows: few lanes waste few instructions on sums over them."""
    lanes = 1
    while lanes < WARP and 8 * lanes * lanes <= m:
        lanes *= 2
    return lanes


def lanes_and_groups(m, columns):
    """Threads of a column of m rows, and how many columns at once, few enough to keep most of them busy near
    the end."""
    groups = 1
    while groups < 16 and 6 * groups <= columns:
        groups *= 2
    return lanes_of(m), groups


def quantum_of(kind):
    """The numbers that are loaded at once."""
    return 16 // SIZES[kind]


def padded_rows(m, kind):
    """The rows of a column with those that fill its last tile, zeros: a lane takes two runs of `quantum_of`
    rows of a tile, neighbouring lanes neighbouring runs."""
    tile = 2 * lanes_of(m) * quantum_of(kind)
    return (m + tile - 1) // tile * tile


def spaced_rows(m, kind):
    """How far columns are apart in shared memory: so that groups of few lanes use different banks."""
    lanes = lanes_of(m)
    return padded_rows(m, kind) + (lanes * quantum_of(kind) if lanes < 8 else 0)


def at(index):
    """An index that is not negative: numba counts others from the end, at five instructions an access."""
    return uint64(index)


def complex_of(x, y):
    return number(complex(x, y))


def aligned(array):
    """The array, of which the compiler may assume that it begins at a multiple of 16 bytes."""
    return array


def shuffle_real(x, lane):
    """x of another lane of the warp, on a GPU by `gpusvd._cuda.instructions`; so is the next."""
    return cuda.shfl_sync(EVERYONE, x, lane)


def shuffle_real_across(x, step):
    """x of the lane whose number differs in the bits of `step`."""
    return cuda.shfl_xor_sync(EVERYONE, x, step)


def plus_product(x, a, y, parts):
    """x + a y, in multiply-adds alone, which NVVM makes of sums with products and not of differences."""
    if parts == 2:
        first = (x.real + a.real * y.real) + (0.0 - a.imag) * y.imag
        return complex_of(first, (x.imag + a.real * y.imag) + a.imag * y.real)
    return x + a * y


def plus_dot(total, x, y, parts):
    """total + conj(x) y, likewise."""
    if parts == 2:
        first = (total.real + x.real * y.real) + x.imag * y.imag
        return complex_of(first, (total.imag + x.real * y.imag) + (0.0 - x.imag) * y.real)
    return total + x * y


def shuffled(x, lane, parts):
    """x of another lane of the warp."""
    if parts == 2:
        return complex_of(shuffle_real(x.real, lane), shuffle_real(x.imag, lane))
    return shuffle_real(x, lane)


def sum_real(x, lanes):
    """The sum over the lanes of a group. All lanes of the warp call it, as they do the next two."""
    step = 1
    while step < lanes:
        x = x + shuffle_real_across(x, step)
        step = 2 * step
    return x


def sum_number(x, lanes, parts):
    if parts == 2:
        return complex_of(sum_real(x.real, lanes), sum_real(x.imag, lanes))
    return sum_real(x, lanes)


def largest_real(x, lanes):
    step = 1
    while step < lanes:
        x = maximum(shuffle_real_across(x, step), x)
        step = 2 * step
    return x


def copy_whole(array, first, room, base, lane, matrices, size, skew, vector, into):
    """Copy a warp's matrices, of `size` numbers each, from an array to shared memory, where they are `skew`
    further apart, or back."""
    lift = lane * vector // size * skew if skew else 0
    near, far = base + lane * vector + lift, first * size + lane * vector
    for e in range(0, matrices * size, WARP * vector):
        step = e + e // size * skew
        if e + WARP * vector <= matrices * size or e + lane * vector < matrices * size:
            if into:
                copy_numbers(array, far + e, room, near + step, vector)
            else:
                copy_numbers(room, near + step, array, far + e, vector)
