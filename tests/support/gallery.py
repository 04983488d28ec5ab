"""Matrices that are hard to decompose, and their singular values where they are known.

Every function in MATRICES builds an m x n matrix of a dtype for any m, n >= 1. The singular values of a Case
are those of the formula: building the matrix may round its entries, by eps of its norm.
"""

import math
import zlib
from functools import partial
from typing import NamedTuple

import numpy as np

DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.complex64, np.complex128)]
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 48, 49, 50, 64, 65, 100]
SQUARE = [(n, n) for n in SIZES]
TALL = [(2, 1), (7, 1), (100, 1), (3, 2), (9, 2), (17, 4), (9, 8), (64, 8), (33, 32), (100, 17), (65, 50)]
WIDE = [(n, m) for m, n in TALL]


class Case(NamedTuple):
    a: np.ndarray
    s: np.ndarray | None = None


def gaussian_entries(rng, m, n, dtype):
    """Standard normal entries in double precision."""
    x = rng.standard_normal((m, n))
    return x + 1j * rng.standard_normal((m, n)) if dtype.kind == "c" else x


def orthonormal(rng, m, n, dtype):
    """A random m x n matrix with orthonormal columns, m >= n, in double precision."""
    return np.linalg.qr(gaussian_entries(rng, m, n, dtype))[0]


def phases(rng, x, dtype):
    """x in dtype; if complex, rows and columns turned by powers of i, which leaves the singular values."""
    if dtype.kind == "c":
        x = x * 1j ** rng.integers(4, size=(x.shape[0], 1)) * 1j ** rng.integers(4, size=x.shape[1])
    return x.astype(dtype)


def scaled(x, exponent):
    """x * 2**exponent, entry by entry."""
    if np.iscomplexobj(x):
        return (scaled(x.real, exponent) + 1j * scaled(x.imag, exponent)).astype(x.dtype)
    half = np.asarray(exponent, np.intc) // 2
    return np.ldexp(np.ldexp(x, half), exponent - half)


def exponents(rng, dtype, count):
    """count powers of two over the whole range of a dtype, shuffled; Gaussian numbers do not overflow."""
    info = np.finfo(dtype)
    return rng.permutation(np.linspace(info.minexp - info.nmant, info.maxexp - 8, count).astype(np.intc))


# Random, or from a chosen spectrum


def gaussian(rng, m, n, dtype):
    return Case(gaussian_entries(rng, m, n, dtype).astype(dtype))


def from_spectrum(rng, m, n, dtype, spectrum):
    k = min(m, n)
    s = spectrum(k, np.finfo(dtype).eps)
    a = orthonormal(rng, m, k, dtype) * s @ orthonormal(rng, n, k, dtype).conj().T
    return Case(a.astype(dtype), s)


SPECTRA = {
    "geometric 1e3": lambda k, eps: np.geomspace(1, 1e-3, k),
    "geometric 1/eps": lambda k, eps: np.geomspace(1, eps, k),
    "geometric 1e30": lambda k, eps: np.geomspace(1, 1e-30, k),
    "arithmetic": lambda k, eps: np.arange(k, 0.0, -1),
    "one large": lambda k, eps: np.where(np.arange(k) == 0, 1, eps),
    "one small": lambda k, eps: np.where(np.arange(k) == k - 1, eps if k > 1 else 1, 1),
    "clustered": lambda k, eps: np.sort(2.0 ** -(np.arange(k) % 3) * (1 + eps * np.arange(k)))[::-1],
    "repeated": lambda k, eps: 3.0 - np.arange(k) * 3 // k,
    "rank deficient": lambda k, eps: np.where(np.arange(k) < (k + 1) // 2, np.linspace(2, 1, k), 0),
}


def unitary(rng, m, n, dtype):
    q = orthonormal(rng, max(m, n), min(m, n), dtype)
    return Case((q if m >= n else q.conj().T).astype(dtype), np.ones(min(m, n)))


def upper_triangular(rng, m, n, dtype):
    a = np.triu(gaussian_entries(rng, m, n, dtype))
    np.fill_diagonal(a, np.geomspace(1, np.finfo(dtype).eps, min(m, n)))
    return Case(a.astype(dtype))


# Rank deficient exactly


def zero(rng, m, n, dtype):
    return Case(np.zeros((m, n), dtype), np.zeros(min(m, n)))


def ones(rng, m, n, dtype):
    s = np.zeros(min(m, n))
    s[0] = math.sqrt(m * n)
    return Case(phases(rng, np.ones((m, n)), dtype), s)


def integer_rank(rng, m, n, dtype, rank):
    factors = rng.integers(-3, 4, size=(m, rank)), rng.integers(-3, 4, size=(rank, n))
    return Case(phases(rng, factors[0] @ factors[1], dtype))


def duplicate_columns(rng, m, n, dtype):
    return Case(gaussian(rng, m, n, dtype).a[:, rng.permutation(n) // 2])


def multiple_columns(rng, m, n, dtype):
    a = gaussian(rng, m, 1, dtype).a
    return Case(scaled(np.repeat(a, n, axis=1), rng.integers(-9, 9, n)))


def zero_columns(rng, m, n, dtype):
    return Case(gaussian(rng, m, n, dtype).a * (rng.permutation(n) % 2).astype(dtype))


def zero_rows(rng, m, n, dtype):
    return Case(gaussian(rng, m, n, dtype).a * (rng.permutation(m) % 2).astype(dtype)[:, None])


def shift(rng, m, n, dtype):
    return Case(phases(rng, np.eye(m, n, k=1), dtype), 1.0 * (np.arange(min(m, n)) < n - 1))


def single_entry(rng, m, n, dtype):
    a, s = np.zeros((m, n)), np.zeros(min(m, n))
    s[0] = a[rng.integers(m), rng.integers(n)] = 0.7
    return Case(phases(rng, a, dtype), s)


# Ties, and columns that are nearly dependent


def identity(rng, m, n, dtype):
    return Case(phases(rng, np.eye(m, n), dtype), np.ones(min(m, n)))


def permutation(rng, m, n, dtype):
    a = np.eye(m, n)[rng.permutation(m)][:, rng.permutation(n)]
    return Case(phases(rng, a, dtype), np.ones(min(m, n)))


def half_off_diagonal(rng, m, n, dtype):
    """[[1, .5], [.5, 1]] and the identity: equal norms, rotated by 45 degrees."""
    a, s = np.eye(m, n), np.ones(min(m, n))
    if min(m, n) > 1:
        a[0, 1] = a[1, 0] = 0.5
        s[0], s[-1] = 1.5, 0.5
    return Case(phases(rng, a, dtype), s)


def signs(rng, m, n, dtype):
    return Case(phases(rng, rng.choice([-1, 1], size=(m, n)), dtype))


def equal_norms(rng, m, n, dtype):
    a = gaussian_entries(rng, m, n, dtype)
    return Case((a / np.linalg.norm(a, axis=0)).astype(dtype))


def nearly_parallel(rng, m, n, dtype):
    a = gaussian_entries(rng, m, 1, dtype) + np.finfo(dtype).eps * gaussian_entries(rng, m, n, dtype)
    return Case(a.astype(dtype))


def tiny_along_large(rng, m, n, dtype):
    """Columns that lie along the first, shorter by more than 1/eps each."""
    angle = np.sqrt(np.finfo(dtype).eps)
    a = gaussian_entries(rng, m, 1, dtype) + angle * gaussian_entries(rng, m, n, dtype)
    return Case(scaled(a.astype(dtype), -np.minimum(np.arange(n, dtype=np.intc) * 60, 100)))


def lauchli(rng, m, n, dtype, power):
    """A row of ones above mu times the identity, mu = eps**power; its transpose where it is wide."""
    rows, columns = max(m, n), min(m, n)
    mu, s = float(np.finfo(dtype).eps) ** power, None
    a = np.vstack([np.ones(columns), mu * np.eye(rows - 1, columns)])
    if rows > columns:
        s = np.r_[math.sqrt(columns + mu * mu), np.full(columns - 1, mu)]
    return Case(phases(rng, a if m >= n else a.T, dtype), s)


# From the textbook


def hilbert(rng, m, n, dtype):
    return Case(phases(rng, 1 / (1.0 + np.arange(m)[:, None] + np.arange(n)), dtype))


def kahan(rng, m, n, dtype):
    sine, cosine = math.sin(1.2), math.cos(1.2)
    a = np.eye(m, n) - cosine * np.triu(np.ones((m, n)), 1)
    return Case(phases(rng, sine ** np.arange(m)[:, None] * a, dtype))


def vandermonde(rng, m, n, dtype):
    return Case(phases(rng, np.vander(np.linspace(0, 1, m), n), dtype))


def companion(rng, m, n, dtype):
    a = np.eye(m, n, k=-1)
    a[0] = rng.integers(-9, 10, n)
    return Case(phases(rng, a, dtype))


def circulant(rng, m, n, dtype):
    size = max(m, n)
    c = rng.integers(-4, 5, size)
    a = c[(np.arange(size)[:, None] - np.arange(size)) % size]
    s = -np.sort(-np.abs(np.fft.fft(c))) if m == n else None
    return Case(phases(rng, a[:m, :n], dtype), s)


# Over the whole exponent range


def graded_columns(rng, m, n, dtype):
    return Case(scaled(gaussian(rng, m, n, dtype).a, exponents(rng, dtype, n)))


def graded_rows(rng, m, n, dtype):
    return Case(scaled(gaussian(rng, m, n, dtype).a, exponents(rng, dtype, m)[:, None]))


def graded_both(rng, m, n, dtype):
    rows, columns = exponents(rng, dtype, m) // 2, exponents(rng, dtype, n) // 2
    return Case(scaled(gaussian(rng, m, n, dtype).a, rows[:, None] + columns))


def diagonal(rng, m, n, dtype):
    a, k = np.zeros((m, n), dtype), np.arange(min(m, n))
    a[k, k] = scaled(np.ones(len(k)), exponents(rng, dtype, len(k)))
    return Case(a, -np.sort(-np.abs(a[k, k]).astype(float)))


def any_exponent(rng, m, n, dtype):
    """Every entry of a magnitude of its own, from the smallest subnormal to the largest number."""
    info = np.finfo(dtype)
    exponent = rng.integers(info.minexp - info.nmant, info.maxexp - 1, size=(m, n), dtype=np.intc)
    return Case(scaled(phases(rng, rng.uniform(1, 2, (m, n)), dtype), exponent))


def subnormal(rng, m, n, dtype):
    info = np.finfo(dtype)
    return Case(scaled(phases(rng, rng.integers(-9, 10, (m, n)), dtype), info.minexp - info.nmant))


def huge(rng, m, n, dtype):
    """Entries up to the largest number; beyond a few columns the largest singular value overflows."""
    a = rng.choice([-1, 1], size=(m, n)) * rng.uniform(0.5, 1, (m, n)) * float(np.finfo(dtype).max)
    return Case(phases(rng, a, dtype))


def overflowing(rng, m, n, dtype):
    return Case(np.full((m, n), np.finfo(dtype).max, dtype))


MATRICES = {
    f.__name__.replace("_", " "): f
    for f in (
        *(gaussian, unitary, upper_triangular),
        *(zero, ones, duplicate_columns, multiple_columns, zero_columns, zero_rows, shift, single_entry),
        *(identity, permutation, half_off_diagonal, signs, equal_norms, nearly_parallel, tiny_along_large),
        *(hilbert, kahan, vandermonde, companion, circulant),
        *(graded_columns, graded_rows, graded_both, diagonal, any_exponent, subnormal, huge, overflowing),
    )
}
MATRICES |= {name: partial(from_spectrum, spectrum=spectrum) for name, spectrum in SPECTRA.items()}
MATRICES |= {f"rank {rank} of integers": partial(integer_rank, rank=rank) for rank in (1, 2, 5)}
MATRICES |= {f"lauchli eps^{power}": partial(lauchli, power=power) for power in (0.5, 1.0, 2.0)}


def build(name, m, n, dtype):
    """The named case, the same at every call."""
    return MATRICES[name](np.random.default_rng([zlib.crc32(name.encode()), m, n]), m, n, np.dtype(dtype))


def batch(m, n, dtype):
    """Every matrix of the gallery of one shape and dtype, in the order of MATRICES."""
    return np.stack([build(name, m, n, dtype).a for name in MATRICES])
