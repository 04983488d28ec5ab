"""Every kind of array that svd takes, and every place it can write to."""

import math
import warnings

import numpy as np
import pytest

import gpusvd
from tests.support import measures

SHAPES = [(4, 4), (7, 3), (3, 7), (1, 5), (60, 49)]
BATCHES = [(), (1,), (2, 1, 3)]
INTEGERS = "?bBhHiIlLqQ"
EMPTY = [
    (0, 3),
    (3, 0),
    (0, 0),
    (2, 0, 3),
    (2, 3, 0),
    (0, 3, 3),
    (0, 0, 3),
    (2, 3, 0, 0),
    (0, 2, 3),
    (1, 0, 4, 2),
]

by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)
by_vectors = pytest.mark.parametrize("full_matrices", [True, False], ids=["full", "thin"])

LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "transposed matrices": lambda a: a.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "batch last": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: unaligned(a),
    "read-only": lambda a: read_only(a),
}


def unaligned(a):
    copy = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def read_only(a):
    copy = a.copy()
    copy.flags.writeable = False
    return copy


def random(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def assert_same(result, expected):
    for x, y in zip(result, expected, strict=True):
        np.testing.assert_array_equal(x, y, strict=True)


@pytest.mark.parametrize("batch", BATCHES, ids=str)
@by_vectors
@by_shape
@by_dtype
def test_shapes_and_dtypes(driver, char, shape, full_matrices, batch):
    a = random((*batch, *shape), char)
    U, S, Vh = gpusvd.svd(a, full_matrices, driver=driver)
    measures.assert_svd(a, U, S, Vh)
    assert U.dtype == np.dtype(char)
    assert all(type(x) is np.ndarray and x.flags.c_contiguous and x.flags.writeable for x in (U, S, Vh))
    k = max(shape) if full_matrices else min(shape)
    assert max(U.shape[-1], Vh.shape[-2]) == k
    values = gpusvd.svdvals(a, driver=driver)
    assert values.dtype == S.dtype
    np.testing.assert_allclose(values, S, atol=max(shape) * 2 * np.finfo(char).eps * S.max(), rtol=0)
    np.testing.assert_array_equal(gpusvd.svd(a, full_matrices, False, driver=driver), values)


@pytest.mark.parametrize("layout", LAYOUTS)
@by_shape
@by_dtype
def test_layouts(driver, char, shape, layout):
    a = random((5, *shape), char)
    view = LAYOUTS[layout](a)
    before = view.tobytes()
    assert_same(gpusvd.svd(view, driver=driver), gpusvd.svd(a, driver=driver))
    assert_same([gpusvd.svdvals(view, driver=driver)], [gpusvd.svdvals(a, driver=driver)])
    assert view.tobytes() == before


def test_broadcast_batch(driver):
    a = random((6, 4), "d")
    many = np.broadcast_to(a, (3, 2, 6, 4))
    once = gpusvd.svd(a, driver=driver)
    assert_same(gpusvd.svd(many, driver=driver), [np.broadcast_to(x, (3, 2, *x.shape)) for x in once])


@pytest.mark.parametrize("char", INTEGERS)
def test_integers_become_float64(driver, char):
    a = (10 * random((3, 5, 4), "d")).astype("b").astype(char)
    assert_same(gpusvd.svd(a, driver=driver), gpusvd.svd(a.astype("d"), driver=driver))
    swapped = a.astype(a.dtype.newbyteorder()).swapaxes(-1, -2)
    assert_same(gpusvd.svd(swapped, driver=driver), gpusvd.svd(a.astype("d").swapaxes(-1, -2), driver=driver))


def test_large_integers(driver):
    a = np.array([[2**64 - 1, 0], [0, 2**63]], np.uint64)
    np.testing.assert_allclose(gpusvd.svdvals(a, driver=driver), [2.0**64, 2.0**63], rtol=1e-14)


def test_nested_lists(driver):
    a = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert_same(gpusvd.svd(a, driver=driver), gpusvd.svd(np.array(a, "d"), driver=driver))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_give_plain_arrays(driver):
    a = random((4, 4), "d")
    masked = np.ma.masked_array(a, a > 0)
    for kind in (np.matrix(a), masked):
        result = gpusvd.svd(kind, driver=driver)
        assert all(type(x) is np.ndarray for x in result)
        assert_same(result, gpusvd.svd(a, driver=driver))


@pytest.mark.parametrize(("shape", "value"), [((2, 2), 60000), ((300, 300), 300), ((3, 7, 40), -65504)])
def test_float16_that_cannot_hold_its_singular_values(driver, shape, value):
    """They are float32, and all that is computed from them is right."""
    a = np.full(shape, value, np.float16)
    U, S, Vh, info = gpusvd.svd_ex(a, full_matrices=False, driver=driver, errors="raise")
    assert (U.dtype, S.dtype, Vh.dtype) == (np.float16, np.float32, np.float16)
    largest = abs(value) * math.sqrt(math.prod(shape[-2:]))
    np.testing.assert_allclose(S[..., 0], largest, rtol=1e-5)
    np.testing.assert_array_equal(S, gpusvd.svd_ex(a.astype(np.float32), False, driver=driver).S)
    assert info.converged.all()
    np.testing.assert_allclose(gpusvd.svdvals(a, driver=driver)[..., 0], largest, rtol=1e-5)
    for rule in ({"rank": 1}, {"energy": 0.9}, {"rtol": 0.1}):
        t = gpusvd.low_rank(a, driver=driver, **rule)
        assert (t.U.dtype, t.S.dtype, t.Vh.dtype) == (np.float16, np.float32, np.float16)
        back = gpusvd.reconstruct(*t[:3])
        assert back.dtype == np.float16
        np.testing.assert_allclose(back, a, rtol=4e-3)
    np.testing.assert_allclose(gpusvd.svt(a, 0.0, driver=driver), a, rtol=2e-3)
    U, P = gpusvd.polar(a, driver=driver)
    scaled = U.astype(float) @ P
    np.testing.assert_allclose(scaled, a, rtol=4e-3)
    inverse = gpusvd.pinv(a, driver=driver)
    expected = 1 / (value * math.prod(shape[-2:]))
    np.testing.assert_allclose(inverse, expected, rtol=2e-3, atol=1e-7)


def test_results_that_float16_cannot_hold_are_inf():
    """And there is no warning, which would name neither the matrix nor the argument."""
    large, small = np.full((6, 4), 6e4, np.float16), np.diag(np.full(3, 1e-7, np.float16))
    points = np.random.default_rng(0).integers(-9, 9, (3, 3)).astype(np.float16)
    results = {
        "pinv": gpusvd.pinv(small),
        "inv": gpusvd.inv(small),
        "lstsq": gpusvd.lstsq(small, large[0, :3]).x,
        "ridge": gpusvd.ridge(small, large[0, :3], 0),
        "polar": gpusvd.polar(large).P,
        "kabsch": gpusvd.kabsch(small, 1000 * points, scale=True).scale,
        "procrustes": gpusvd.procrustes(large, large).scale,
        "norm": gpusvd.norm(large),
        "cond": gpusvd.cond(np.diag(np.array([6e4, 1e-7], np.float16))),
        "optimal_threshold": gpusvd.optimal_threshold(large[0], 4, 4),
    }
    for name, result in results.items():
        assert result.dtype == np.float16, name
        assert np.isinf(result).any(), name


@by_vectors
@pytest.mark.parametrize("shape", EMPTY, ids=str)
@pytest.mark.parametrize("char", "fdFD")
def test_empty(driver, shape, char, full_matrices):
    a = np.empty(shape, char)
    expected = np.linalg.svd(a, full_matrices)
    assert_same(gpusvd.svd(a, full_matrices, driver=driver), expected)
    assert_same([gpusvd.svdvals(a, driver=driver)], [expected.S])
    U, S, Vh, info = gpusvd.svd_ex(a, full_matrices, driver=driver, errors="raise")
    assert_same((U, S, Vh), expected)
    assert all(field.shape == shape[:-2] for field in info)
    assert info.converged.all()
    out = tuple(np.full_like(x, 7) for x in expected)
    gpusvd.svd(a, full_matrices, driver=driver, out=out)
    assert_same(out, expected)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3)], ids=str)
def test_empty_hermitian(driver, shape):
    assert_same(gpusvd.svd(np.empty(shape), hermitian=True, driver=driver), np.linalg.svd(np.empty(shape)))


@by_dtype
@pytest.mark.parametrize("n", [1, 4, 50])
def test_hermitian(driver, char, n):
    """The lower triangle alone counts, whatever stands above it."""
    a = random((3, n, n), char)
    whole = np.tril(a) + np.tril(a, -1).conj().swapaxes(-1, -2)
    whole[..., range(n), range(n)] = whole[..., range(n), range(n)].real
    given = np.where(np.tri(n, dtype=bool), whole, np.nan).astype(char)
    U, S, Vh, info = gpusvd.svd_ex(given, hermitian=True, driver=driver)
    measures.assert_svd(whole, U, S, Vh)
    assert info.converged.all()
    values = gpusvd.svdvals(given, hermitian=True, driver=driver)
    np.testing.assert_allclose(values, S, atol=2 * n * np.finfo(char).eps * S.max(), rtol=0)


@by_dtype
def test_hermitian_nan_in_the_lower_triangle(driver, char):
    a = np.stack([np.eye(3), np.eye(3)]).astype(char)
    a[0, 2, 0] = np.nan
    U, S, Vh, info = gpusvd.svd_ex(a, hermitian=True, driver=driver)
    assert info.converged.tolist() == [False, True]
    assert all(np.isnan(x[0]).all() and np.isfinite(x[1]).all() for x in (U, S, Vh))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@by_vectors
@by_shape
@by_dtype
def test_a_bad_matrix_spoils_no_other(driver, char, shape, full_matrices, bad):
    a = random((2, 9, *shape), char)
    a[0, 0] = 0
    expected = gpusvd.svd_ex(a, full_matrices, driver=driver)
    spoilt = a.copy()
    spoilt[0, 4, -1, 0] = bad
    spoilt[1, 8, 0, -1] = bad
    where = np.ones((2, 9), bool)
    where[[0, 1], [4, 8]] = False
    *factors, info = gpusvd.svd_ex(spoilt, full_matrices, driver=driver)
    for x, y in zip([*factors, *info], [*expected[:3], *expected.info], strict=True):
        np.testing.assert_array_equal(x[where], y[where], strict=True)
    assert all(np.isnan(x[~where]).all() for x in (*factors, info.off))
    np.testing.assert_array_equal(info.converged, where)
    assert not info.sweeps[~where].any()
    values = gpusvd.svdvals(spoilt, driver=driver)
    np.testing.assert_array_equal(np.isnan(values), ~where[..., np.newaxis] & np.ones(values.shape, bool))


def strided(x, order):
    """An array like x, of another layout, and what must stay as it is around it."""
    if order == "swapped":
        return np.full(x.shape, 7, x.dtype.newbyteorder())
    if order == "Fortran":
        return np.asfortranarray(np.full(x.shape, 7, x.dtype))
    if order == "reversed":
        return np.full(x.shape, 7, x.dtype)[::-1, ..., ::-1]
    return np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, x.dtype)[..., ::2]


@pytest.mark.parametrize("order", ["swapped", "Fortran", "reversed", "spread"])
@by_vectors
@by_shape
@by_dtype
def test_out(driver, char, shape, full_matrices, order):
    a = random((2, 3, *shape), char)
    expected = gpusvd.svd_ex(a, full_matrices, driver=driver)
    out = tuple(strided(x, order) for x in expected[:3])
    result = gpusvd.svd(a, full_matrices, driver=driver, out=out)
    assert all(x is y for x, y in zip(result, out, strict=True))
    for x, y in zip(out, expected[:3], strict=True):
        np.testing.assert_array_equal(x, y)
    if order == "spread":
        assert all((x.base[..., 1::2] == 7).all() for x in out)
    again = tuple(strided(x, order) for x in out)
    info = gpusvd.svd_ex(a, full_matrices, driver=driver, out=again).info
    assert_same(info, expected.info)
    np.testing.assert_array_equal(again[1], expected.S)
    values = strided(expected.S, order)
    assert gpusvd.svdvals(a, driver=driver, out=values) is values
    np.testing.assert_array_equal(values, gpusvd.svdvals(a, driver=driver))
    assert gpusvd.svd(a, compute_uv=False, driver=driver, out=values) is values


def test_out_of_a_single_matrix(driver):
    a = random((4, 3), "d")
    expected = gpusvd.svd(a, driver=driver)
    out = tuple(np.empty_like(x) for x in expected)
    gpusvd.svd(a, driver=driver, out=out)
    assert_same(out, expected)


@pytest.mark.parametrize("place", [0, 2])
def test_out_over_the_input(driver, place):
    a = random((40, 6, 6), "d")
    expected = gpusvd.svd(a, driver=driver)
    out = [np.empty_like(x) for x in expected]
    out[place] = a[::-1]
    assert_same(gpusvd.svd(a, driver=driver, out=tuple(out)), expected)


def test_out_values_over_the_input(driver):
    a = random((40, 6, 6), "d")
    expected = gpusvd.svdvals(a, driver=driver)
    assert_same([gpusvd.svdvals(a, driver=driver, out=a[::-1, 0])], [expected])


def test_interleaved_out(driver):
    """Arrays that lie within each other without sharing a byte are fine."""
    a = random((5, 4, 4), "d")
    both = np.empty((5, 4, 4, 2))
    result = gpusvd.svd(a, driver=driver, out=(both[..., 0], np.empty((5, 4)), both[..., 1]))
    assert_same(result, gpusvd.svd(a, driver=driver))


def test_no_warnings_whatever_the_errstate(driver):
    a = random((4, 5, 5), "f")
    a[0] = 3e38
    a[1] = np.nan
    a[2] = 1e-45
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        S = gpusvd.svd(a, driver=driver).S
    assert S[0, 0] == np.inf
    assert np.isnan(S[1]).all()
    assert np.isfinite(S[2:]).all()
