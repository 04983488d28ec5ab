"""Similarities, weighted Procrustes problems, nearest rotations, and the same for many tiny sets at once."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._layer import products
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def rotations(count, n, seed=0):
    q = np.stack(
        [gallery.orthonormal(np.random.default_rng([seed, i]), n, n, np.dtype(float)) for i in range(count)]
    )
    q[..., 0] *= np.linalg.det(q)[:, None]
    return q


def squares(x, y, weights=1.0):
    return np.sum(weights * np.sum(np.abs(x - y) ** 2, axis=-1), axis=-1)


# Similarities


@pytest.mark.parametrize("char", "efd")
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [(), (3,), (4, 5)], ids=str)
def test_scale_finds_a_similarity(backend, batch, n, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    count = int(np.prod(batch))
    x = random((*batch, 9, n))
    turn, shift = rotations(count, n).reshape(*batch, n, n), random((*batch, n), seed=1)
    factor = np.random.default_rng(2).uniform(0.2, 3, batch)
    y = factor[..., None, None] * x @ turn.swapaxes(-1, -2) + shift[..., None, :]
    x, y = (backend.array(points.astype(char)) for points in (x, y))
    result = gpusvd.kabsch(x, y, scale=True)
    assert type(result) is gpusvd.SimilarityResult
    R, t, rmsd, scale = backend.numpy(result)
    assert R.dtype == t.dtype == rmsd.dtype == scale.dtype == np.dtype(char)
    assert rmsd.shape == scale.shape == batch
    bound = 100 * measures.eps(char)
    np.testing.assert_allclose(R, turn, atol=bound)
    np.testing.assert_allclose(t, shift, atol=bound)
    np.testing.assert_allclose(scale, factor, rtol=bound)
    assert (rmsd <= bound).all()
    rigid = gpusvd.kabsch(x, y)
    assert type(rigid) is gpusvd.KabschResult
    np.testing.assert_allclose(backend.numpy(rigid.rotation), R, atol=bound)


@examples
@given(seeds, st.integers(2, 8), st.integers(1, 4), st.booleans(), st.booleans())
def test_no_similarity_is_better(seed, points, n, weighted, mirrored):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, points, n))
    y = x * [-1 if mirrored else 1, *[1] * (n - 1)] + 0.3 * y
    w = rng.uniform(0.1, 1, points) if weighted else np.ones(points)
    R, t, rmsd, c = gpusvd.kabsch(x, y, w if weighted else None, scale=True)
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-13)
    assert c >= 0
    best = squares(c * x @ R.T + t, y, w)
    np.testing.assert_allclose(rmsd, np.sqrt(best / w.sum()), atol=1e-13)
    assert (
        best
        <= squares(x @ gpusvd.kabsch(x, y, w).rotation.T + gpusvd.kabsch(x, y, w).translation, y, w) + 1e-12
    )
    for size in (1e-3, 0.1, 1):
        for _ in range(8):
            generator = size * rng.standard_normal((n, n))
            turned = scipy.linalg.expm(generator - generator.T) @ R
            shifted, scaled = t + size * rng.standard_normal(n), c * np.exp(size * rng.standard_normal())
            for other in (c * x @ turned.T + t, c * x @ R.T + shifted, scaled * x @ turned.T + shifted):
                assert squares(other, y, w) >= best - 1e-12


def test_scale_of_coinciding_points_and_of_nan(backend):
    x, y = random((2, 3, 6, 3))
    x[1] = x[1, :1]
    x[2, 0, 0] = np.nan
    R, t, rmsd, scale = backend.numpy(gpusvd.kabsch(backend.array(x), backend.array(y), scale=True))
    for part in (R, t, rmsd, scale):
        assert np.isfinite(part[:2]).all()
        assert np.isnan(part[2]).all()
    np.testing.assert_allclose(
        scale[1] * x[1] @ R[1].T + t[1], np.tile(y[1].mean(axis=0), (6, 1)), atol=1e-13
    )


@pytest.mark.parametrize("powers", [(1000, 900), (-1000, -980), (-900, 50), (300, -300)])
def test_similarities_at_any_scale(powers):
    x, y = random((2, 8, 3))
    expected = gpusvd.kabsch(x, y, scale=True)
    R, t, rmsd, c = gpusvd.kabsch(np.ldexp(x, powers[0]), np.ldexp(y, powers[1]), scale=True)
    np.testing.assert_allclose(R, expected.rotation, atol=1e-14)
    np.testing.assert_allclose(np.ldexp(c, powers[0] - powers[1]), expected.scale, rtol=1e-13)
    np.testing.assert_allclose(np.ldexp(t, -powers[1]), expected.translation, atol=1e-14)
    np.testing.assert_allclose(np.ldexp(rmsd, -powers[1]), expected.rmsd, rtol=1e-13)


# Many tiny sets, whose batch lies innermost in memory


@pytest.mark.parametrize("char", "efd")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alone", ["none", "x", "y"])
@pytest.mark.parametrize("piece", [2**20, 1000])
def test_many_sets_are_as_each_alone(monkeypatch, char, n, weighted, alone, piece):
    monkeypatch.setattr(products, "_PIECE_BYTES", piece)
    x, y = (2 + random((7, n), seed=1) + 0.2 * random((2, 50, 7, n))).astype(char)
    w = np.random.default_rng(1).uniform(0.1, 1, (50, 7)) if weighted else None
    if weighted:
        w[:, 3] = 0
        x[:, 3] = np.nan
    x[11, 2, 0] = np.inf
    x, y = (x[0] if alone == "x" else x), (y[0] if alone == "y" else y)
    many = gpusvd.kabsch(x, y, w, scale=True)
    assert n > products.TINY or all(part.flags.c_contiguous for part in many)
    for i in range(50):
        sets = (x if alone == "x" else x[i], y if alone == "y" else y[i], w if w is None else w[i])
        for part, expected in zip(many, gpusvd.kabsch(*sets, scale=True), strict=True):
            np.testing.assert_allclose(part[i], expected, rtol=0, atol=200 * np.finfo(char).eps)
    assert np.isnan(many.rmsd[11]) == (alone != "x")
    assert np.isfinite(np.delete(many.rmsd, 11)).all()


@pytest.mark.parametrize("count", [1, 2, 100])
def test_products_along_the_batch(count):
    x, y = random((2, count, 5, 3))
    z = random((count, 3, 3), seed=1)
    a, b, c = map(products.along_batch, (x, y, z))
    along = [products.is_along_batch(array) for array in (x, a, products.along_batch(a))]
    assert along == [False, count > 1, count > 1]
    np.testing.assert_array_equal(a, x)
    np.testing.assert_allclose(products.times(a, c), x @ z, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(products.inner(np, a, b), x.mT @ y, rtol=1e-13, atol=1e-14)


# Weights


@by_dtype
@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
def test_weights_count_rows_several_times(backend, batch, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    x, y = random((*batch, 4, 3), char), random((4, 3), char, seed=1)
    times = [1, 0, 3, 2]
    R, scale = backend.numpy(
        gpusvd.procrustes(backend.array(x), backend.array(y), backend.array(np.array(times)))
    )
    expected = gpusvd.procrustes(np.repeat(x, times, axis=-2), np.repeat(y, times, axis=-2))
    bound = 100 * np.finfo(char).eps
    assert (R.dtype, scale.dtype) == (x.dtype, x.real.dtype)
    np.testing.assert_allclose(R, expected.R, atol=bound)
    np.testing.assert_allclose(scale, expected.scale, rtol=bound)


@examples
@given(seeds, st.integers(1, 6), st.integers(1, 4), st.booleans())
def test_no_orthogonal_matrix_is_better(seed, points, n, is_complex):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(complex if is_complex else float)
    x, y = random((2, points, n), dtype, seed)
    w = rng.uniform(0, 2, points) + 1e-3
    R, scale = gpusvd.procrustes(x, y, w)
    best = squares(x @ R, y, w)
    np.testing.assert_allclose(best, squares(x, 0, w) + squares(y, 0, w) - 2 * scale, atol=1e-11)
    for i in range(20):
        other = gallery.orthonormal(np.random.default_rng([seed, i]), n, n, dtype)
        assert squares(x @ other, y, w) >= best - 1e-12


def test_weight_zero_leaves_out_nan():
    x, y = random((2, 5, 3))
    expected = gpusvd.procrustes(x[1:], y[1:])
    x[0, 0] = np.nan
    R, scale = gpusvd.procrustes(x, y, [0, 1, 1, 1, 1])
    np.testing.assert_allclose(R, expected.R, atol=1e-14)
    np.testing.assert_allclose(scale, expected.scale, rtol=1e-13)
    with pytest.raises(ValueError, match="weights must be finite and not negative, but one is -1"):
        gpusvd.procrustes(x, y, [-1, 1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"weights has shape \(2,\), expected \(..., 5\)"):
        gpusvd.procrustes(x, y, [1, 1])
    with pytest.raises(TypeError, match="weights has dtype complex128"):
        gpusvd.procrustes(x, y, [1j, 1, 1, 1, 1])


# Nearest matrices


@by_dtype
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (4, 4), (8, 8), (9, 1)], ids=str)
@pytest.mark.parametrize("batch", [(), (2, 3), (40,)], ids=str)
def test_nearest_orthogonal_is_the_polar_factor(backend, batch, shape, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random((*batch, *shape), char)
    result = backend.numpy(gpusvd.nearest_orthogonal(backend.array(a)))
    assert result.dtype == a.dtype
    bound = 100 * measures.eps(a.real.dtype)
    np.testing.assert_allclose(result, gpusvd.polar(a).U, atol=bound)
    wide = result.astype(np.result_type(a, np.float32))
    tall = wide if shape[0] >= shape[1] else wide.conj().mT
    measures.assert_below(measures.loss_of_orthogonality(tall), bound)


@pytest.mark.parametrize("char", "efd")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("batch", [(), (2, 3), (40,)], ids=str)
def test_nearest_rotation(backend, batch, n, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random((*batch, n, n), char)
    R = backend.numpy(gpusvd.nearest_rotation(backend.array(a)))
    assert R.dtype == a.dtype
    bound = 100 * measures.eps(char)
    wide = R.astype(float)
    measures.assert_below(measures.loss_of_orthogonality(wide), bound)
    np.testing.assert_allclose(np.linalg.det(wide), 1, atol=bound)
    positive = np.linalg.det(a.astype(float)) > 0
    np.testing.assert_allclose(R[positive], gpusvd.polar(a).U[positive], atol=bound)


@examples
@given(seeds, st.integers(1, 5), st.booleans())
def test_no_rotation_is_nearer(seed, n, singular):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n))
    if singular:
        a[:, 0] = 0
    R = gpusvd.nearest_rotation(a)
    distance = np.linalg.norm(a - R)
    for other in rotations(20, n, seed % 1000):
        assert np.linalg.norm(a - other) >= distance - 1e-13
    for size in (1e-4, 1e-2, 0.3):
        generator = size * rng.standard_normal((10, n, n))
        nearby = scipy.linalg.expm(generator - generator.mT) @ R
        assert (np.linalg.norm(a - nearby, axis=(-2, -1)) >= distance - 1e-13).all()


@pytest.mark.parametrize("function", [gpusvd.nearest_orthogonal, gpusvd.nearest_rotation])
def test_nearest_of_nan_and_of_nothing(backend, function):
    for count, n in ((3, 3), (40, 3), (3, 7)):
        a = random((count, n, n))
        a[1, 0, 0] = np.nan
        result = backend.numpy(function(backend.array(a)))
        assert np.isnan(result[1]).all()
        assert np.isfinite(np.delete(result, 1, axis=0)).all()
    for shape in ((0, 3, 3), (2, 0, 0), (0, 0)):
        assert backend.numpy(function(backend.array(np.zeros(shape)))).shape == shape
    assert function(np.eye(3, dtype=int)).dtype == np.float64
    with pytest.raises(LinAlgError, match="1-dimensional"):
        function([1, 2])
    with pytest.raises(ValueError, match="driver must be"):
        function(np.eye(2), driver="magic")


def test_nearest_rotation_refuses():
    with pytest.raises(LinAlgError, match="square"):
        gpusvd.nearest_rotation(np.ones((2, 3)))
    with pytest.raises(TypeError, match="a has dtype complex128, expected real"):
        gpusvd.nearest_rotation(1j * np.eye(2))


@pytest.mark.parametrize("function", ["procrustes", "kabsch"])
def test_weights_in_float32_lose_no_digits_of_float64_points(function):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 40, 3))
    weights = rng.random(40).astype(np.float32)
    found = getattr(gpusvd, function)(x, y, weights)
    exact = getattr(gpusvd, function)(x, y, weights.astype(float))
    for part, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-14)
