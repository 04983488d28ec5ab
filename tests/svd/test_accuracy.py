"""Small singular values to high relative accuracy, against mpmath.

For A = B D with B well conditioned and D diagonal, anything over the whole exponent range, one-sided Jacobi
finds every singular value to an error of eps times the condition of B. The entries of B are small integers
and those of D powers of two, so A is exact. A Hadamard matrix H makes a large dense matrix, exactly, of small
blocks that mpmath can afford: H diag(B_1 D_1, ...) has sqrt(order) times the singular values of the blocks.
"""

import math
from functools import cache

import mpmath
import numpy as np
import pytest
from scipy.linalg import block_diag, hadamard

import gpusvd
from tests.support import gallery, measures, reference

LARGEST_ENTRY = 64  # of B, in magnitude
GRADINGS = ["ascending", "descending", "shuffled", "two heights"]


def grading(rng, name, dtype, n, bits):
    """n exponents from the smallest subnormal to where `bits` more bits of singular values still fit."""
    info = np.finfo(dtype)
    low, high = int(info.minexp) - info.nmant, int(info.maxexp) - bits
    if name == "two heights":
        return rng.permutation(np.where(np.arange(n) < n // 2, low, high))
    exponent = np.linspace(low, high, n).astype(np.intc)
    return {"ascending": exponent, "descending": exponent[::-1], "shuffled": rng.permutation(exponent)}[name]


def integer_matrix(rng, m, n, dtype):
    """Orthonormal columns rounded to integers, perturbed so that the condition is not one."""
    b = gallery.orthonormal(rng, m, n, dtype) + 0.2 * gallery.gaussian_entries(rng, m, n, dtype)
    return np.round(b * (LARGEST_ENTRY / max(np.abs(b.real).max(), np.abs(b.imag).max())))


def singular_values(b, exponent):
    """Those of b with columns times 2**exponent, as mpmath numbers."""
    m, n = b.shape
    compute = mpmath.svd_c if np.iscomplexobj(b) else mpmath.svd_r
    number = mpmath.mpc if np.iscomplexobj(b) else mpmath.mpf
    with mpmath.workprec(int(np.ptp(exponent)) + 100):
        powers = [mpmath.ldexp(1, int(k)) for k in exponent]
        a = mpmath.matrix([[number(b[i, j].item()) * powers[j] for j in range(n)] for i in range(m)])
        return list(compute(a, compute_uv=False))


@cache
def graded(m, n, dtype, name):
    """A = B D, its exact singular values and the condition of B."""
    rng = np.random.default_rng([m, n])
    b = integer_matrix(rng, m, n, dtype)
    exponent = grading(rng, name, dtype, n, bits=8 + math.ceil(math.log2(m * n)))
    condition = np.linalg.cond(b / np.linalg.norm(b, axis=0))
    return gallery.scaled(b.astype(dtype), exponent), singular_values(b, exponent), condition


@cache
def graded_blocks(order, blocks, size, dtype, name):
    """The same of H diag(B_1 D_1, ...), order x (blocks * size), its columns shuffled."""
    rng = np.random.default_rng([order, blocks, size])
    rows = order // blocks
    bs = [integer_matrix(rng, rows, size, dtype) for _ in range(blocks)]
    exponent = grading(rng, name, dtype, blocks * size, bits=8 + math.ceil(math.log2(order * size)))
    columns = rng.permutation(blocks * size)
    # Entries of H B are below 2**12 and exact in every dtype.
    b = hadamard(order) @ block_diag(*bs)
    a = gallery.scaled(b.astype(dtype), exponent)[:, columns]
    values = [
        s for b, e in zip(bs, exponent.reshape(blocks, size), strict=True) for s in singular_values(b, e)
    ]
    condition = np.linalg.cond(b / np.linalg.norm(b, axis=0))
    with mpmath.workprec(200):
        exact = sorted((s * mpmath.sqrt(order) for s in values), reverse=True)
    return a, exact, condition


def relative_errors(S, exact):
    """|S - exact| / exact of every singular value, but for what rounding to subnormal numbers does."""
    tiny = mpmath.mpf(float(np.finfo(S.dtype).smallest_subnormal))
    with mpmath.workprec(200):
        return [
            float(max(abs(mpmath.mpf(float(s)) - e) - tiny, 0) / e) for s, e in zip(S, exact, strict=True)
        ]


def bound(a, condition):
    return max(a.shape) * measures.eps(a.dtype) * condition


CASES = [
    *(
        (graded, shape)
        for shape in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (8, 8), (12, 7), (16, 16), (20, 2)]
    ),
    *((graded_blocks, sizes) for sizes in [(16, 4, 4), (32, 8, 4), (64, 8, 6), (64, 8, 8), (128, 16, 4)]),
]


def case_id(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else getattr(value, "__name__", str(value))


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize(("build", "sizes"), CASES, ids=case_id)
def test_every_singular_value_has_small_relative_error(build, sizes, dtype):
    cases = [build(*sizes, dtype, name) for name in GRADINGS]
    batch = np.stack([a for a, _, _ in cases])
    results = [
        gpusvd.svd(batch, full_matrices=False, driver="jacobi").S,
        gpusvd.svdvals(batch, driver="jacobi"),
    ]
    m, n = batch.shape[1:]
    if m > n:  # a wide matrix goes through its adjoint; a square one is not turned round
        results.append(gpusvd.svdvals(batch.conj().swapaxes(1, 2), driver="jacobi"))
    for S in results:
        for name, s, (a, exact, condition) in zip(GRADINGS, S, cases, strict=True):
            assert max(relative_errors(s, exact)) <= bound(a, condition), name


@pytest.mark.parametrize("name", GRADINGS)
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (8, 8), (12, 7)], ids=case_id)
def test_the_reference_has_small_relative_error(shape, dtype, name):
    a, exact, condition = graded(*shape, dtype, name)
    for matrix in (a, a.conj().T) if len(a) > len(a.T) else (a,):
        result = reference.svd(matrix)
        measures.assert_svd(matrix, *result[:3])
        assert max(relative_errors(result.S, exact)) <= bound(a, condition)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(8, 8), (16, 16)], ids=case_id)
def test_lapack_has_not(shape, dtype):
    """The matrices are hard: numpy.linalg.svd is wrong in every digit of some singular value."""
    for name in ("ascending", "shuffled", "two heights"):
        a, exact, _ = graded(*shape, dtype, name)
        assert max(relative_errors(np.linalg.svd(a, compute_uv=False), exact)) > 0.9, name


# Long columns


def long_columns(name, m, n, dtype):
    """Columns of equal entries, whose sums all round one way, and the exact largest singular value."""
    if name == "constant":
        a = np.full((m, n), 0.1, dtype)
        return a, math.sqrt(m * n) * abs(complex(a[0, 0]))
    a = np.repeat(gallery.gaussian_entries(np.random.default_rng(m), 4, n, dtype), m // 4, axis=0)
    a = a.astype(dtype)
    return a, np.linalg.svd(a[:: m // 4].astype(np.result_type(dtype, float))).S[0] * math.sqrt(m // 4)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(512, 8), (4096, 5), (6000, 9), (200_000, 2)], ids=lambda s: f"{s[0]}x{s[1]}"
)
@pytest.mark.parametrize("name", ["constant", "steps"])
def test_rounding_does_not_grow_with_the_rows(name, shape, dtype):
    """It may not grow in kernels that sum lane by lane, nor in those with lanes along the rows."""
    a, largest = long_columns(name, *shape, dtype)
    eps = float(np.finfo(dtype).eps)
    for x in (a, a.T):
        U, S, Vh = gpusvd.svd(x, full_matrices=False, driver="jacobi")
        values = gpusvd.svdvals(x, driver="jacobi")
        assert max(abs(float(S[0]) / largest - 1), abs(float(values[0]) / largest - 1)) < 20 * eps
        columns = np.ascontiguousarray(U.T if x is a else Vh)
        wide = columns.astype(np.result_type(dtype, np.longdouble))
        gram = np.array([[np.sum(u.conj() * v) for v in wide] for u in wide])
        assert np.abs(gram - np.eye(len(gram))).max() < 20 * eps
