"""The bytes and multiply-adds that an SVD needs at least, and the rate that a machine's ceilings allow.

A call reads each matrix once and writes its factors once, and it multiplies and adds. The slower of the two
sets the bound, in matrices a second: on a GPU the copy bandwidth for real matrices up to 4 x 4 and for tall
ones with few columns, the arithmetic for all others.

The multiply-adds are those of the one-sided Jacobi method on n x n, n <= m, after a QR factorisation with
column pivoting. A sweep meets n (n - 1) / 2 pairs of columns, each of which costs, for a row,

    1    for the inner product,
    4    for the rotation of two entries of L (x - s (y + tau x), y + s (x - tau y)),
    4    for those of W, with vectors;

two instead of four where rotations are applied without their cosine, as `kernels/rotation.py` does. What is
not counted is what grows slower: norms, the rotations' divisions and square roots, sorting. A complex
multiply-add is four real ones; the rotation of two complex entries is a real one of two numbers each, after
four multiply-adds for the phase, or, without the cosine, two complex multiply-adds.
"""

from typing import NamedTuple

import numpy as np

ROTATION = {(False, True): 4, (False, False): 2, (True, True): 12, (True, False): 8}  # of two entries
COPY_LIMITED = 4  # columns; up to here the design's bound is the copy bandwidth alone


class Ceilings(NamedTuple):
    """What the machine can do, as measured."""

    copy: float  # bytes read and written in a second
    single: float  # multiply-adds of float32 in a second
    double: float

    def multiply_adds(self, dtype: str) -> float:
        return self.single if np.dtype(dtype).char in "fF" else self.double


def traffic(m: int, n: int, dtype: str, work: str) -> int:
    """Bytes to read and to write for a matrix: A, S, and thin U and Vh with vectors."""
    k = min(m, n)
    element = np.dtype(dtype).itemsize
    real = np.empty(0, dtype).real.itemsize
    vectors = (m + n) * k * element if work == "thin" else 0
    return m * n * element + k * real + vectors


def multiply_adds(m: int, n: int, dtype: str, work: str, sweeps: float, *, with_cosine: bool = True) -> float:
    """Return the real multiply-adds for a matrix, with the cosine of each rotation applied or not."""
    m, n = max(m, n), min(m, n)
    is_complex = np.dtype(dtype).kind == "c"
    product = 4 if is_complex else 1
    rotation = ROTATION[is_complex, with_cosine]
    vectors = work == "thin"
    sweep = n * (n - 1) / 2 * n * (product + rotation * (2 if vectors else 1))
    factorisation = product * n**2 * (m - n / 3)
    basis = product * 2 * n * (m * n - n**2 / 2) if vectors else 0.0
    return sweeps * sweep + factorisation + basis


def bound(m: int, n: int, dtype: str, work: str, sweeps: float, ceilings: Ceilings) -> float:
    """Matrices a second that the copy bandwidth allows up to 4 columns, and beyond that the slower of
    bandwidth and arithmetic."""
    moving = traffic(m, n, dtype, work) / ceilings.copy
    if min(m, n) <= COPY_LIMITED:
        return 1 / moving
    computing = multiply_adds(m, n, dtype, work, sweeps) / ceilings.multiply_adds(dtype)
    return 1 / max(moving, computing)


def of_peak(
    rate: float, m: int, n: int, dtype: str, work: str, sweeps: float, ceilings: Ceilings
) -> tuple[float, float]:
    """Return the fractions of the copy bandwidth and of the multiply-adds that a rate of matrices uses, with
    rotations that are applied without their cosine."""
    needed = multiply_adds(m, n, dtype, work, sweeps, with_cosine=False)
    return (
        rate * traffic(m, n, dtype, work) / ceilings.copy,
        rate * needed / ceilings.multiply_adds(dtype),
    )
