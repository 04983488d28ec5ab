"""Values alone: the bidiagonal form, its values, and which matrices go through them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit

import gpusvd
from gpusvd.kernels.bidiagonal import bidiagonalise, triangularise
from gpusvd.kernels.lanes import fill, lane_count, load, section, select, store
from gpusvd.kernels.qd import bidiagonal_values
from tests.support import gallery, measures, reference

REAL = [np.dtype(np.float32), np.dtype(np.float64)]
by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
by_real_dtype = pytest.mark.parametrize("dtype", REAL, ids=str)


@njit(error_model="numpy")
def form(groups, squares, m, n, triangle):
    """q and e of a tile of matrices, which begin `groups`."""
    factor, w, product = section(groups, 0, m * n), section(groups, m * n, m), section(groups, m * n + m, m)
    row, right = section(groups, m * n + 2 * m, n), section(groups, m * n + 2 * m + n, n)
    q, e = section(squares, 0, n), section(squares, n, n)
    if triangle:
        triangularise(factor, m, n)
    bidiagonalise(factor, m, n, n if triangle else m, w, product, row, right, q, e)


@njit(error_model="numpy")
def values(room, n, sigma, alive, found):
    """Singular values of a tile of bidiagonal matrices, in the lanes where `alive` is not zero."""
    done = bidiagonal_values(room, n, load(alive, 0) != 0.0, sigma)
    store(found, 0, select(done, 1.0, fill(found, 0.0)))


def bidiagonal(batch, triangle=False):
    """q and e of as many matrices as a group has lanes, (lanes, n) each, by the kernel."""
    lanes, m, n = batch.shape
    real = batch.real.dtype
    groups = np.zeros(((m + 2) * n + 2 * m) * lanes, batch.dtype)
    assert lanes == lane_count(groups)
    parts = groups.view(real).reshape(-1, batch.dtype.itemsize // real.itemsize, lanes)
    columns = batch.transpose(2, 1, 0).reshape(m * n, lanes)
    parts[: m * n, 0] = columns.real
    if batch.dtype.kind == "c":
        parts[: m * n, 1] = columns.imag
    squares = np.zeros(2 * n * lanes, real)
    form(groups, squares, m, n, triangle)
    return squares.reshape(2, n, lanes).swapaxes(1, 2)


def values_of(q, e, alive=None):
    """Singular values of up to a tile of bidiagonal matrices, and where they were found, by the kernel."""
    count, n = q.shape
    lanes = 64 // q.itemsize
    room = np.zeros((6, n, lanes), q.dtype)
    room[0, :, :count], room[1, :, :count] = q.T, e.T
    sigma, mask, found = np.zeros((n, lanes), q.dtype), np.zeros(lanes, q.dtype), np.zeros(lanes, q.dtype)
    mask[:count] = 1 if alive is None else alive
    values(room.reshape(-1), n, sigma.reshape(-1), mask, found)
    return -np.sort(-sigma[:, :count].T), found[:count] > 0


def matrices(q, e):
    """The bidiagonal matrices in double precision."""
    n = q.shape[-1]
    b = np.zeros((*q.shape, n))
    b[..., range(n), range(n)] = np.sqrt(q.astype(float))
    b[..., range(n - 1), range(1, n)] = np.sqrt(e[..., :-1].astype(float))
    return b


def assert_values_of(q, e, units):
    """Found, and within so many eps of the largest, by NumPy in double precision."""
    S, found = values_of(q, e)
    assert found.all()
    expected = np.linalg.svd(matrices(q, e), compute_uv=False)
    slack = 4 * measures.eps(float) * len(q.T)  # NumPy's own error
    allowed = (units * measures.eps(q.dtype) + slack) * expected[:, :1]
    measures.assert_below(np.abs(S - expected), allowed)


def squares_of(n, dtype):
    """q and e of bidiagonal matrices that are hard in some way, by name."""
    rng = np.random.default_rng(n)
    one, zero, k = np.ones(n), np.zeros(n), np.arange(n)
    split, middle = np.ones(n), np.ones(n)
    split[n // 2], middle[n // 2] = 0, 1e-12
    hard = {
        "gaussian": (rng.chisquare(n - k), rng.chisquare(np.maximum(n - 1 - k, 1))),
        "diagonal": (one, zero),
        "descending": (2.0**-k, 2.0 ** -(k + 1)),
        "ascending": (2.0 ** (k - n), 2.0 ** (k - n)),
        "steep": (16.0**-k, 16.0**-k),
        "zero": (zero, zero),
        "nilpotent": (zero, one),
        "ones": (one, one),
        "almost decoupled": (one, 1e-10 * one),
        "split": (one, split),
        "split, the smaller part above": (np.where(k < n // 2, 1e-4, 1.0), split),
        "zero first": (np.where(k == 0, 0, one), one),
        "zero last": (np.where(k == n - 1, 0, one), one),
        "zero in the middle": (np.where(k == n // 2, 0, one), one),
        "small in the middle": (middle, one),
        "couplings above": (1e-6 * one, one),
    }
    inner = k < n - 1
    return {name: (np.array(q, dtype), np.array(inner * e, dtype)) for name, (q, e) in hard.items()}


# The bidiagonal form


@by_dtype
@pytest.mark.parametrize("triangle", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2), (5, 5), (7, 6), (8, 8), (13, 11), (40, 9)])
def test_the_form_has_the_singular_values(dtype, shape, triangle):
    lanes = 64 // np.empty(0, dtype).real.itemsize
    names = [name for name in gallery.MATRICES if "gaussian" in name or "rank" in name or "unitary" in name]
    every = [gallery.build(name, *shape, dtype).a for name in names]
    batch = np.stack([every[i % len(every)] for i in range(lanes)])
    q, e = bidiagonal(batch / np.abs(batch).max(axis=(1, 2), keepdims=True), triangle)
    wide = batch.astype(np.result_type(dtype, float))
    expected = np.linalg.svd(wide / np.abs(batch).max(axis=(1, 2), keepdims=True), compute_uv=False)
    S = np.linalg.svd(matrices(q, e), compute_uv=False)
    measures.assert_below(np.abs(S - expected), max(4, *shape) * measures.eps(dtype) * expected[:, :1])


@by_dtype
def test_the_form_is_that_of_the_reference(dtype):
    lanes = 64 // np.empty(0, dtype).real.itemsize
    batch = np.stack([gallery.gaussian_entries(np.random.default_rng(i), 6, 4, dtype) for i in range(lanes)])
    batch = batch.astype(dtype)
    q, e = bidiagonal(batch)
    for lane in range(lanes):
        diagonal, above = reference.bidiagonal(batch[lane])
        np.testing.assert_allclose(q[lane], np.abs(diagonal) ** 2, rtol=1e3 * measures.eps(dtype))
        np.testing.assert_allclose(e[lane, :-1], np.abs(above) ** 2, rtol=1e3 * measures.eps(dtype))


@by_dtype
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (9, 5)])
def test_the_reference_has_the_singular_values(dtype, shape):
    a = gallery.build("gaussian", *shape, dtype).a
    diagonal, above = reference.bidiagonal(a)
    b = np.diag(diagonal) + np.diag(above, 1)
    expected = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(b, compute_uv=False), expected, atol=50 * measures.eps(dtype))


# The values of the form


@by_real_dtype
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 20, 61])
def test_values_of_hard_bidiagonal_matrices(dtype, n):
    for q, e in squares_of(n, dtype).values():
        assert_values_of(q[None], e[None], max(4, n))


@by_real_dtype
@pytest.mark.parametrize("n", [2, 5, 20])
def test_lanes_do_not_disturb_each_other(dtype, n):
    pairs = list(squares_of(n, dtype).values())
    lanes = 64 // dtype.itemsize
    for first in range(0, len(pairs), lanes):
        tile = pairs[first : first + lanes]
        S, found = values_of(np.stack([q for q, _ in tile]), np.stack([e for _, e in tile]))
        assert found.all()
        for i, (q, e) in enumerate(tile):
            np.testing.assert_array_equal(S[i], values_of(q[None], e[None])[0][0])


@by_real_dtype
def test_lanes_that_are_off_are_left_alone(dtype):
    q, e = np.ones((3, 5), dtype), np.ones((3, 5), dtype)
    q[1], e[:, -1] = np.nan, 0
    S, found = values_of(q, e, alive=[1, 0, 1])
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(S[0], values_of(q[:1], e[:1])[0][0])


@pytest.mark.parametrize("dtype", REAL, ids=str)
@given(data=st.data())
def test_values_of_any_bidiagonal_matrix(dtype, data):
    n = data.draw(st.integers(1, 12))
    width = 8 * dtype.itemsize
    entry = st.floats(0, 1, width=width) | st.sampled_from([0.0, 1.0, 0.5, 2.0**-30, 2.0**-60])
    q, e = (data.draw(arrays(dtype, (1, n), elements=entry)) for _ in range(2))
    q[0, data.draw(st.integers(0, n - 1))] = 1  # the largest is to be near one
    e[:, -1] = 0
    assert_values_of(q, e, max(4, n))


# Which matrices go through it


@by_dtype
@pytest.mark.parametrize("shape", [(2, 2), (4, 4), (9, 5), (5, 9), (30, 30), (70, 66)])
def test_even_and_uneven_matrices_in_one_batch(dtype, shape):
    """Values are those of svd, small ones of uneven columns relative to their size, in the bits of each
    alone."""
    m, n = shape
    rng = np.random.default_rng(m)
    even = gallery.gaussian_entries(rng, 40 * m, n, dtype).reshape(40, m, n).astype(dtype)
    scales = np.array(2.0 ** -(6 * np.arange(min(m, n)) % 40), even.real.dtype)
    uneven = even * (scales if m >= n else scales[:, None])
    batch = np.where((np.arange(40) % 3 == 1)[:, None, None], uneven, even)
    S = gpusvd.svdvals(batch, driver="jacobi")
    expected = gpusvd.svd(batch, driver="jacobi").S
    measures.assert_below(
        np.abs(S - expected), max(4, m, n) * measures.eps(dtype) * expected.max(axis=1, keepdims=True)
    )
    units = 8 * max(m, n) * np.linalg.cond(even[1::3])[:, None]
    measures.assert_below(
        np.abs(S[1::3] - expected[1::3]), units * measures.eps(dtype) * np.abs(expected[1::3])
    )
    for i in range(4):
        np.testing.assert_array_equal(S[i], gpusvd.svdvals(batch[i], driver="jacobi"))


@by_dtype
@pytest.mark.parametrize("n", [2, 3, 4, 8])
@pytest.mark.parametrize("reach", [2, 3, 5, 9])
def test_one_larger_column(dtype, n, reach):
    """The worst for a bidiagonal form: orthogonal columns of equal length but the last."""
    rng = np.random.default_rng(n)
    b = np.stack([gallery.orthonormal(rng, n, n, dtype) for _ in range(200)]).astype(dtype)
    b[:, :, :-1] *= b.dtype.type(2.0**-reach)
    S = gpusvd.svdvals(b, driver="jacobi")
    exact = gpusvd.svd(b.astype(np.result_type(dtype, float)), driver="jacobi").S
    measures.assert_below(np.abs(S - exact), 4 * n * measures.eps(dtype) * exact)


@by_real_dtype
@pytest.mark.parametrize("spread", [1e-15, 1e-12, 1e-8, 1e-4])
def test_clusters_are_found(dtype, spread):
    """Where shifts fail again and again the steps must not repeat themselves."""
    rng = np.random.default_rng(0)
    for n in (3, 8, 20):
        for _ in range(10):
            e = (spread * rng.random((8, n))).astype(dtype)
            e[:, -1] = 0
            assert_values_of(np.ones((8, n), dtype), e, max(4, n))


@by_dtype
def test_zero_rows_do_not_matter(dtype):
    a = np.zeros((3, 20, 4), dtype)
    a[:, 7:12] = gallery.gaussian_entries(np.random.default_rng(0), 5, 4, dtype)
    S = gpusvd.svdvals(a, driver="jacobi")
    expected = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(S, expected, rtol=100 * measures.eps(dtype))


@by_dtype
def test_values_that_the_dtype_cannot_hold(dtype):
    """They are Inf, as with vectors."""
    largest = np.finfo(dtype).max
    a = np.full((2, 3, 3), largest, dtype)
    a[1] = largest * np.eye(3)
    S = gpusvd.svdvals(a, driver="jacobi")
    assert S[0, 0] == np.inf
    np.testing.assert_array_equal(S[1], largest)


def test_explain_names_the_kernel():
    values_kernel = gpusvd.explain((1000, 8, 8), compute_uv=False, driver="jacobi")
    assert values_kernel.kernel == "svdvals_tiles"
    assert values_kernel.tile_bytes < gpusvd.explain((1000, 8, 8), driver="jacobi").tile_bytes
    assert gpusvd.explain((1000, 600, 600), compute_uv=False, driver="jacobi").kernel == "svd_rows"
