"""Jacobi with a matrix in the registers of several CUDA threads, in the emulator: on triangles from the QR of
the reference implementation, held to mathematics and to its Jacobi."""

import numpy as np
import pytest

from gpusvd.kernels import cuda_group
from gpusvd.kernels.cuda_buffers import BAD, CONVERGED, HEADER, OFF, POWERS, REALS, SIGMA, SWEEPS
from gpusvd.kernels.cuda_warp import LaunchShape
from gpusvd.kernels.qr import LOWEST
from tests.support import gallery, measures, reference
from tests.support.cuda_emulated import specialised
from tests.support.cuda_phases import run

by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)


@pytest.fixture
def at_most(monkeypatch):
    """Set how many sweeps there may be."""
    specialised.cache_clear()
    yield lambda sweeps: monkeypatch.setattr(cuda_group, "MAX_SWEEPS", sweeps)
    specialised.cache_clear()


def triangles(a):
    """What the kernel is handed of a batch of square matrices."""
    batch, n, _ = a.shape
    triangle = np.full((batch, n, n), np.nan, a.dtype)
    reals = np.full((batch, REALS, n), np.nan, a.real.dtype)
    header = np.full((batch, HEADER), np.nan, a.real.dtype)
    header[:, BAD] = ~np.isfinite(a).all(axis=(1, 2))
    for b in np.flatnonzero(header[:, BAD] == 0):
        columns, exponent = reference.normalised(a[b], np.zeros(n, np.intc))
        _, _, columns, exponent, _ = reference.pivoted_qr(columns, exponent)
        L, exponent = reference.conjugate_rows(columns, exponent)
        triangle[b], reals[b, POWERS] = L.T, exponent
    return triangle, reals, header


def few_matrices(n, kind, vectors=True, matrices=None, lanes=None):
    """What `group_shape` says, with the warps of so many matrices a block or other lanes: the shape."""
    shape = cuda_group.group_shape(n, kind, vectors)
    constants = shape.constants
    if lanes:
        constants = constants | {"lanes": lanes, "rows": max(-(-n // lanes), constants["rows"])}
    groups = (n + 1) // 2
    span = groups * constants["lanes"]
    warps = -(-(matrices or min(shape.matrices, 2)) * span // 32)
    matrices = warps * 32 // span
    constants = constants | {"crossing": warps > 1}
    shared = cuda_group.shared_bytes(groups, matrices, warps, **constants)
    return LaunchShape(constants, warps * 32, matrices, shared, shape.registers)


def orthogonalise(factored, shape):
    """X, W, reals and header, columns in columns."""
    triangle, reals, header = (x.copy() for x in factored)
    batch = len(triangle)
    basis = np.full_like(triangle, np.nan)
    arguments = triangle, basis, reals, header
    run(cuda_group.orthogonalise_groups, shape, triangle.dtype.name, "CCCC", arguments, batch)
    return triangle.swapaxes(1, 2), basis.swapaxes(1, 2), reals, header


def ascending(x, exponent):
    """The numbers x 2**exponent in order, as mantissas in [1/2, 1), or zero, and exponents."""
    mantissa, shift = np.frexp(x.astype(float))
    exponent = np.where(mantissa > 0, exponent + shift, LOWEST).astype(np.intc)
    order = np.lexsort((mantissa, exponent))
    return mantissa[order], exponent[order]


def assert_relatively_close(measured, expected, bound):
    """Pairs as `ascending` returns them: zero at the same places, and else within bound of the expected."""
    (x, power), (y, shift) = measured, expected
    zero = y == 0
    np.testing.assert_array_equal(x == 0, zero)
    quotients = reference.scaled(x[~zero], (power - shift)[~zero]) / y[~zero]
    measures.assert_below(np.abs(quotients - 1), bound)


def assert_orthogonalised(factored, X, W, reals, header):
    """L W = X Σ, W unitary, X orthonormal but for its zero columns, for every matrix; the singular values are
    the reference's, each to few eps."""
    triangle, before, _ = factored
    batch, n, _ = X.shape
    eps = measures.eps(X.real.dtype)
    assert (header[:, CONVERGED] == 1).all()
    measures.assert_below(header[:, OFF], np.sqrt(n) * eps)
    measures.assert_below(measures.loss_of_orthogonality(W), 10 * n * eps)
    for b in range(batch):
        sigma, powers = reals[b, SIGMA], reals[b, POWERS]
        zero = sigma == 0
        assert (((sigma >= 0.5) & (sigma < 1)) | zero).all()
        assert ((powers == LOWEST) == zero).all()
        assert (X[b][:, zero] == 0).all()
        kept = X[b][:, ~zero].astype(np.complex128)
        assert np.linalg.norm(kept.conj().T @ kept - np.eye(kept.shape[1])) <= 10 * n * eps
        top = before[b, POWERS].max()
        L = reference.scaled(triangle[b].T.astype(np.complex128), (before[b, POWERS] - top).astype(np.intc))
        S = reference.scaled(sigma.astype(float), (np.maximum(powers, -4000) - top).astype(np.intc))
        assert np.linalg.norm(L @ W[b] - X[b] * S) <= 10 * n * eps * np.linalg.norm(L)
        L, exponent, _, _, sweeps = reference.jacobi(
            triangle[b].T.copy(), before[b, POWERS].astype(np.intc), np.eye(n, dtype=X.dtype)
        )
        L, exponent = reference.normalised(L, exponent)
        expected = ascending(reference.norms(L), exponent)
        assert_relatively_close(ascending(sigma, powers), expected, 10 * n * eps)
        assert header[b, SWEEPS] <= sweeps + 3  # another order: it takes longer where columns are graded


@by_dtype
@pytest.mark.parametrize("n", [5, 8])
def test_gallery(dtype, n):
    factored = triangles(gallery.batch(n, n, dtype)[:: n // 4])
    assert_orthogonalised(factored, *orthogonalise(factored, few_matrices(n, dtype.name, matrices=5)))


@pytest.mark.parametrize(
    ("n", "dtype", "lanes"),
    [
        (6, "float32", 1),
        (7, "float64", 2),
        (9, "complex128", 2),
        (16, "complex64", 1),
        (17, "float32", 1),
        (17, "complex128", 4),
        (22, "float64", 2),
        pytest.param(31, "float32", 1, marks=pytest.mark.exhaustive),  # fills its warp, as 16 does
        pytest.param(32, "float32", 2, marks=pytest.mark.exhaustive),  # crosses warps, as 22 does
        (33, "float32", 1),
    ],
)
def test_sizes(n, dtype, lanes):
    """Within a warp and across warps, lanes that divide n and that do not, blocks with idle threads."""
    rng = np.random.default_rng(n)
    dtype = np.dtype(dtype)
    cases = gallery.gaussian(rng, n, n, dtype).a, gallery.build("rank deficient", n, n, dtype).a
    factored = triangles(np.stack(cases))
    shape = few_matrices(n, dtype.name, matrices=2, lanes=lanes)
    assert_orthogonalised(factored, *orthogonalise(factored, shape))


def nearly_diagonal(rng, n):
    """Two sweeps are enough."""
    return np.tril(np.diag(np.linspace(2, 1, n)) + 1e-5 * rng.standard_normal((n, n))).astype(np.float32)


def test_several_warps_a_matrix():
    n = 64
    L = nearly_diagonal(np.random.default_rng(0), n)
    reals, header = np.zeros((1, REALS, n), np.float32), np.zeros((1, HEADER), np.float32)
    X, W, reals, header = orthogonalise(
        (L.T[None].copy(), reals, header), few_matrices(n, "float32", matrices=1)
    )
    assert header[0, CONVERGED] == 1
    eps = measures.eps(np.float32)
    residual = L.astype(float) @ W[0] - X[0] * np.ldexp(reals[0, SIGMA], reals[0, POWERS].astype(int))
    assert np.linalg.norm(residual) <= 10 * n * eps
    measures.assert_below(measures.loss_of_orthogonality(np.concatenate([X, W])), 10 * n * eps)


def test_largest_matrix(at_most):
    """One sweep meets every pair: cosines of 1e-5 become second-order small. Values only."""
    at_most(1)
    n = 128
    L = nearly_diagonal(np.random.default_rng(1), n)
    reals, header = np.zeros((1, REALS, n), np.float32), np.zeros((1, HEADER), np.float32)
    shape = few_matrices(n, "float32", vectors=False, matrices=1)
    X, _, reals, _ = orthogonalise((L.T[None].copy(), reals, header), shape)
    cosines = X[0].T.astype(float) @ X[0] - np.eye(n)
    assert np.abs(L.T.astype(float) @ L - np.diag(np.sum(L.astype(float) ** 2, axis=0))).max() > 1e-5
    assert np.abs(cosines).max() <= 1e-6
    S = np.ldexp(reals[0, SIGMA], reals[0, POWERS].astype(int))
    assert np.isclose(np.linalg.norm(S), np.linalg.norm(L.astype(float)), rtol=1e-6)


@by_dtype
@pytest.mark.parametrize("matrices", [pytest.param(3, marks=pytest.mark.exhaustive), 7])
def test_neighbours_and_place_change_nothing(dtype, matrices):
    n = 9
    rng = np.random.default_rng(1)
    a = np.stack([gallery.gaussian(rng, n, n, dtype).a for _ in range(5)])
    a[1] = gallery.build("geometric 1/eps", n, n, dtype).a
    a[3, 2, 4] = np.nan
    a[4] = 0
    factored = triangles(a)
    together = orthogonalise(factored, few_matrices(n, dtype.name, matrices=matrices))
    for order in ([0], [1], [4, 0, 1, 2]):
        part = tuple(x[order] for x in factored)
        alone = orthogonalise(part, few_matrices(n, dtype.name, matrices=2))
        for x, y in zip(alone, together, strict=True):
            assert x.tobytes() == y[order].tobytes()
    X, W, _, header = together
    np.testing.assert_array_equal(X[3].T, factored[0][3])  # NaN: left alone
    assert np.isnan(W[3]).all()
    assert (header[[0, 1, 2, 4], CONVERGED] == 1).all()


@by_dtype
def test_values_only_are_those_with_vectors(dtype):
    factored = triangles(gallery.batch(6, 6, dtype)[::3])
    with_vectors = orthogonalise(factored, few_matrices(6, dtype.name, lanes=2))
    X, W, *values = orthogonalise(factored, few_matrices(6, dtype.name, vectors=False, lanes=2))
    np.testing.assert_array_equal(X, with_vectors[0])
    assert np.isnan(W).all()
    for x, y in zip(values, with_vectors[2:], strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("n", [6, 7])
def test_every_pair_meets_once_a_sweep(n, at_most):
    """One pair of columns that are not orthogonal, any one, is found in a single sweep."""
    at_most(1)
    pairs = [(p, q) for p in range(n) for q in range(p)]
    triangle = np.tile(np.diag(np.arange(1.0, n + 1)), (len(pairs), 1, 1))
    for b, (p, q) in enumerate(pairs):
        triangle[b, q, p] = 1e-3
    reals, header = np.zeros((len(pairs), REALS, n)), np.zeros((len(pairs), HEADER))
    X, _, _, header = orthogonalise((triangle, reals, header), few_matrices(n, "float64"))
    measures.assert_below(measures.loss_of_orthogonality(X), 4 * measures.eps(np.float64))
    assert (header[:, OFF] > 0).all()


def test_too_few_sweeps(at_most):
    """That is said, and L W = X Σ nevertheless."""
    at_most(2)
    n, rng = 7, np.random.default_rng(3)
    factored = triangles(gallery.gaussian(rng, n, n, np.dtype(np.float64)).a[None])
    X, W, reals, header = orthogonalise(factored, few_matrices(n, "float64"))
    assert header[0, [CONVERGED, SWEEPS]].tolist() == [0, 2]
    assert header[0, OFF] > 1e-9
    L = reference.scaled(factored[0][0].T, factored[1][0, POWERS].astype(int))
    S = np.ldexp(reals[0, SIGMA], reals[0, POWERS].astype(int))
    assert np.linalg.norm(L @ W[0] - X[0] * S) <= 1e-14 * np.linalg.norm(L)


@by_dtype
def test_relative_accuracy_of_graded_columns(dtype):
    """A well-conditioned matrix times powers of two over most of the exponent range: every singular value to
    few eps, by twice the precision for single precision."""
    n, rng = 6, np.random.default_rng(4)
    info = np.finfo(dtype)
    a = gallery.gaussian_entries(rng, n, n, dtype).astype(dtype)
    powers = np.linspace(info.minexp + 30, info.maxexp - 30, n).astype(np.intc)
    factored = triangles(gallery.scaled(a, powers)[None])
    _, _, reals, header = orthogonalise(factored, few_matrices(n, dtype.name))
    exact = reference.svd(gallery.scaled(a.astype(np.result_type(dtype, float)), powers))
    measured = ascending(reals[0, SIGMA], reals[0, POWERS])
    assert_relatively_close(measured, ascending(exact.S, 0), 10 * n * measures.eps(dtype))
    assert header[0, CONVERGED] == 1


@by_dtype
@pytest.mark.parametrize("vectors", [True, False])
def test_shapes(dtype, vectors):
    """Blocks that a GPU can launch, with few idle lanes and rows, up to what registers hold."""
    words = dtype.itemsize // 4
    largest = 128 if words < 2 or (words == 2 and not vectors) else 64 if words == 4 and vectors else 96
    for n in range(5, 130):
        shape = cuda_group.group_shape(n, dtype.name, vectors)
        assert (shape is not None) == (n <= largest)
        if shape is None:
            continue
        constants, threads, matrices, shared, registers = shape
        lanes, pairs, rows = constants["lanes"], (n + 1) // 2, constants["rows"]
        assert lanes in {1, 2, 4, 8}
        assert matrices == threads // (pairs * lanes)
        assert 1 <= matrices <= threads <= 512
        assert threads % 32 == 0
        assert shared <= 99 * 1024  # what any GPU from compute capability 8.0 on gives a block
        assert registers % 8 == 0 or registers == 255
        assert -(-threads // 128) * 128 * -(-registers // 8) * 8 <= 2**16
        assert n <= lanes * rows
        assert rows * words * (4 if vectors else 2) <= 144
        assert matrices * pairs * n / (threads * rows) >= 0.6


def padding(n, kind, vectors):
    """How much longer the rows of `group_shape` make a round, by its estimate, than those that are needed."""
    constants = cuda_group.group_shape(n, kind, vectors).constants
    row = cuda_group.ROW[kind] * (1 if vectors else 0.6)
    taken, needed = constants["rows"], -(-n // constants["lanes"])
    return (taken * row + cuda_group.ROUND[kind]) / (needed * row + cuda_group.ROUND[kind])


@by_dtype
def test_few_kernels(dtype):
    """Sizes share a kernel with those that have about as many rows a lane."""
    for vectors in (True, False):
        sizes = [n for n in range(5, 129) if cuda_group.group_shape(n, dtype.name, vectors)]
        assert max(padding(n, dtype.name, vectors) for n in sizes) <= 9 / 8
        shapes = [cuda_group.group_shape(n, dtype.name, vectors) for n in sizes]
        assert len({(*shape.constants.values(), shape.registers) for shape in shapes}) <= 32
