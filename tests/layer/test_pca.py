"""Principal components are those of scikit-learn, for every set of a batch; flat spaces fit best."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.decomposition import PCA

import gpusvd
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
SHAPES = [(9, 4), (4, 9), (5, 5), (30, 1), (2, 6)]
BATCHES = [(), (3,), (2, 1, 3)]

by_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)
by_whiten = pytest.mark.parametrize("whiten", [False, True])
seeds = st.integers(0, 2**32 - 1)


def random(shape, dtype=np.float64, seed=0):
    """Samples around a mean of some size."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) + 3 * rng.standard_normal(shape[-1])
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def host(backend, p):
    """A PCAResult with arrays of NumPy."""
    return p._replace(**{name: backend.numpy(x) for name, x in p._asdict().items() if name != "whiten"})


def assert_pca(x, p, bound):
    """Mean, orthonormal components, and scores that are uncorrelated and give the data back."""
    scale = np.abs(x).max(initial=1)
    np.testing.assert_allclose(p.mean, x.mean(axis=-2), atol=bound * scale)
    c = p.components
    np.testing.assert_allclose(
        c @ measures.adjoint(c),
        np.broadcast_to(np.eye(c.shape[-2]), (*c.shape[:-1], c.shape[-2])),
        atol=bound,
    )
    gram = measures.adjoint(p.scores) @ p.scores
    variances = p.explained_variance[..., None] * np.eye(c.shape[-2]) * (x.shape[-2] - 1)
    np.testing.assert_allclose(gram, variances, atol=bound * scale**2 * x.shape[-2])
    measures.assert_order(p.singular_values)
    np.testing.assert_allclose(p.scores @ c + p.mean[..., None, :], x, atol=bound * scale)


# Against scikit-learn


@by_whiten
@by_shape
@pytest.mark.parametrize("char", "fd")
def test_agrees_with_scikit_learn(backend, shape, char, whiten):
    x = random((5, *shape), char)
    new = random((5, 3, shape[1]), char, seed=1)
    most = min(shape)
    bound = 1000 * measures.eps(char)
    for kept in {1, most - (shape[0] <= shape[1]), most}:
        if whiten and kept == shape[0] <= shape[1]:
            continue  # the last component has no variance, and scikit-learn scales its rounding to one
        p = gpusvd.pca(backend.array(x), kept, whiten=whiten)
        transformed = p.transform(backend.array(new))
        back = backend.numpy(p.inverse_transform(transformed))
        transformed, p = backend.numpy(transformed), host(backend, p)
        for i, one in enumerate(x):
            expected = PCA(kept, svd_solver="full", whiten=whiten)
            scores = expected.fit_transform(one.copy())
            signed = slice(0, kept if kept < shape[0] else kept - 1)  # the last one is any direction
            np.testing.assert_allclose(p.components[i, signed], expected.components_[signed], atol=bound)
            np.testing.assert_allclose(p.explained_variance[i], expected.explained_variance_, atol=bound)
            np.testing.assert_allclose(
                p.explained_variance_ratio[i], expected.explained_variance_ratio_, atol=bound
            )
            np.testing.assert_allclose(p.singular_values[i], expected.singular_values_, atol=bound)
            np.testing.assert_allclose(p.mean[i], expected.mean_, atol=bound)
            np.testing.assert_allclose(p.scores[i], scores, atol=bound)
            np.testing.assert_allclose(
                transformed[i][:, signed], expected.transform(new[i])[:, signed], atol=bound
            )
            if kept < shape[0]:
                again = expected.inverse_transform(expected.transform(new[i]))
                np.testing.assert_allclose(back[i], again, atol=bound)


@pytest.mark.parametrize("energy", [0.3, 0.6, 0.9])
def test_energy_agrees_with_scikit_learn(backend, energy):
    x = random((20, 12, 6))
    p = host(backend, gpusvd.pca(backend.array(x), energy=energy))
    expected = [PCA(energy, svd_solver="full").fit(one).n_components_ for one in x]
    np.testing.assert_array_equal(p.n_components, expected)
    assert p.components.shape == (20, max(expected), 6)
    for i, n in enumerate(expected):
        held = p.explained_variance_ratio[i]
        assert held[:n].sum() >= energy > held[: n - 1].sum()
        for name in ("components", "singular_values", "explained_variance", "explained_variance_ratio"):
            assert not getattr(p, name)[i, n:].any()
            assert getattr(p, name)[i, :n].any()
        assert not p.scores[i, :, n:].any()


def test_energy_and_a_most(backend):
    x = random((20, 12, 6))
    free = host(backend, gpusvd.pca(backend.array(x), energy=0.6))
    p = host(backend, gpusvd.pca(backend.array(x), 2, energy=backend.array(np.full(20, 0.6))))
    assert p.components.shape == (20, 2, 6)
    np.testing.assert_array_equal(p.n_components, np.minimum(free.n_components, 2))
    np.testing.assert_array_equal(p.explained_variance_ratio, free.explained_variance_ratio[:, :2])


# What it must be


@by_dtype
@by_shape
@by_batch
def test_pca(backend, batch, shape, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    x = random((*batch, *shape), char)
    p = host(backend, gpusvd.pca(backend.array(x)))
    points, features = shape
    k = min(shape)
    expected = {
        "components": (k, features),
        "singular_values": (k,),
        "explained_variance": (k,),
        "explained_variance_ratio": (k,),
        "mean": (features,),
        "scores": (points, k),
        "n_components": (),
    }
    for name, tail in expected.items():
        assert getattr(p, name).shape == (*batch, *tail), name
    for name in ("components", "mean", "scores"):
        assert getattr(p, name).dtype == x.dtype, name
    for name in ("singular_values", "explained_variance", "explained_variance_ratio"):
        assert getattr(p, name).dtype == (np.float32 if x.dtype == np.float16 else x.real.dtype), name
    assert (p.n_components == k).all()
    wide = np.result_type(x, np.float64)
    doubled = {
        name: getattr(p, name).astype(wide if np.iscomplexobj(getattr(p, name)) else float)
        for name in expected
        if name != "n_components"
    }
    assert_pca(
        x.astype(wide),
        type(p)(**doubled, n_components=p.n_components, whiten=False, n_samples=points),
        200 * measures.eps(x.real.dtype),
    )
    np.testing.assert_allclose(
        doubled["explained_variance_ratio"].sum(axis=-1), 1, rtol=50 * measures.eps(x.real.dtype)
    )


def assert_same(p, expected, bound, scale=1.0):
    """The same principal components, up to the signs of those without variance."""
    for name in ("singular_values", "explained_variance", "explained_variance_ratio", "mean"):
        tolerance = bound * (1 if name.endswith("ratio") else scale**2)
        np.testing.assert_allclose(getattr(p, name), getattr(expected, name), atol=tolerance)
    values = np.where(p.singular_values > bound * scale, p.singular_values, 0)[..., None, :]
    for x, y in ((p, expected), (expected, p)):
        covariance = measures.adjoint(x.components) * values @ x.components
        np.testing.assert_allclose(
            covariance, measures.adjoint(y.components) * values @ y.components, atol=bound * scale
        )


@by_batch
@by_whiten
@by_dtype
def test_a_weight_counts_a_sample_several_times(backend, char, whiten, batch):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    x = random((*batch, 8, 3), char)
    weights = np.array([1, 3, 0, 2, 1, 1, 0, 4], np.float32)
    padded = x.copy()
    padded[..., 2, 1] = np.nan
    counts = backend.array(np.broadcast_to(weights, (*batch, 8)))
    p = host(backend, gpusvd.pca(backend.array(padded), 2, whiten=whiten, weights=counts))
    repeated = np.repeat(x, weights.astype(int), axis=-2)
    expected = host(backend, gpusvd.pca(backend.array(repeated), 2, whiten=whiten))
    bound = 300 * measures.eps(x.real.dtype)
    assert_same(p, expected, bound, np.abs(x).max())
    assert (p.n_samples == 12).all()
    assert p.n_samples.shape == batch
    scores = backend.numpy(gpusvd.pca(backend.array(x), 2, whiten=whiten, weights=weights.tolist()).scores)
    kept = weights > 0
    np.testing.assert_allclose(p.scores[..., kept, :], scores[..., kept, :], atol=bound)
    np.testing.assert_allclose(
        np.repeat(scores, weights.astype(int), axis=-2), expected.scores, atol=bound * 20
    )
    assert np.isnan(p.scores[..., 2, :]).all()
    assert p.scores.dtype == x.dtype


def test_weights_in_float32_lose_no_digits_of_float64_data():
    x = random((50, 3))
    weights = np.random.default_rng(1).random(50).astype(np.float32)
    p, exact = gpusvd.pca(x, weights=weights), np.cov(x.T, aweights=weights.astype(float), ddof=0)
    scatter = (p.components.T * p.singular_values**2) @ p.components / weights.astype(float).sum()
    np.testing.assert_allclose(scatter, exact, rtol=1e-12)
    np.testing.assert_allclose(p.mean, np.average(x, axis=0, weights=weights.astype(float)), rtol=1e-14)


def test_wrong_weights():
    x = random((4, 3))
    for weights, error, message in (
        ([1, 2], ValueError, r"weights has shape \(2,\), expected \(..., 4\)"),
        ([1, 1, 1, -1], ValueError, "weights must be finite and not negative, but one is -1"),
        ([0, 0, 0, 0], ValueError, "weights are all zero"),
        ([1j, 0, 0, 0], TypeError, "weights has dtype complex128, expected real numbers"),
        (np.ones((3, 4)), ValueError, "does not broadcast"),
    ):
        with pytest.raises(error, match=message):
            gpusvd.pca(np.stack([x, x]), weights=weights)
    assert np.isnan(gpusvd.pca(x, weights=[0.25] * 4).explained_variance).all()


# Merged


@by_batch
@by_whiten
@by_dtype
@pytest.mark.parametrize("sizes", [(9, 7, 5), (1, 6, 5), (2, 2, 6), (30, 1, 1)], ids=str)
def test_merged_are_those_of_all_samples(backend, sizes, char, whiten, batch):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    first, second, features = sizes
    x = random((*batch, first + second, features), char)
    x[..., first:, :] += 1
    parts = [gpusvd.pca(backend.array(part), whiten=whiten) for part in np.split(x, [first], axis=-2)]
    p = host(backend, parts[0].merge(parts[1]))
    expected = host(backend, gpusvd.pca(backend.array(x), whiten=whiten))
    bound, scale = 300 * measures.eps(x.real.dtype), np.abs(x).max()
    assert [part.dtype for part in p[:6]] == [part.dtype for part in expected[:6]]
    assert [np.shape(part) for part in p] == [np.shape(part) for part in expected]
    assert_same(p, expected, bound, scale)
    assert p.n_samples == first + second
    if not whiten:
        rebuilt = p.scores @ p.components + p.mean[..., None, :]
        np.testing.assert_allclose(rebuilt, x, atol=bound * scale)


@examples
@given(seeds, st.lists(st.integers(1, 7), min_size=2, max_size=5), st.integers(1, 6))
def test_parts_in_any_number(seed, sizes, features):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((sum(sizes), features)) * 10.0 ** rng.integers(-3, 3, features)
    weights = rng.integers(1, 4, sum(sizes))
    ends = np.cumsum(sizes)[:-1]
    parts = [
        gpusvd.pca(*some, weights=w)
        for *some, w in zip(np.split(x, ends), np.split(weights, ends), strict=True)
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert_same(merged, gpusvd.pca(x, weights=weights), 1e-11, np.abs(x).max())


def test_merged_keeps_the_variance_of_what_was_left_out():
    x = random((40, 6))
    merged = gpusvd.pca(x[:25], 3).merge(gpusvd.pca(x[25:], 3), 2)
    everything = gpusvd.pca(x)
    total = everything.explained_variance.sum()
    assert merged.components.shape == (2, 6)
    np.testing.assert_allclose(merged.explained_variance / merged.explained_variance_ratio, total)
    nothing = merged._replace(scores=merged.scores[:0])
    assert nothing.merge(nothing).scores.shape == (0, 4)
    assert nothing.merge(nothing).n_samples == 80


def test_merged_of_extreme_data_and_nan(backend):
    x = random((3, 8, 4)) * np.array([1e-200, 1.0, 1e200])[:, None, None]
    x[1, 6] = np.nan
    first, second = (gpusvd.pca(backend.array(part)) for part in (x[:, :5], x[:, 5:]))
    p = host(backend, first.merge(second))
    expected = gpusvd.pca(x)
    for i in (0, 2):
        np.testing.assert_allclose(p.singular_values[i], expected.singular_values[i], rtol=1e-12)
        np.testing.assert_allclose(p.components[i], expected.components[i], atol=1e-12)
    assert all(np.isnan(part[1]).all() for part in p[:6])
    np.testing.assert_array_equal(p.n_components, [4, 0, 4])


def test_what_cannot_be_merged():
    p = gpusvd.pca(random((8, 4)))
    for other, error, message in (
        (p.components, TypeError, "other is a ndarray, expected a PCAResult"),
        (gpusvd.pca(random((8, 3))), ValueError, r"means have shapes \(4,\) and \(3,\)"),
        (gpusvd.pca(random((8, 4)), whiten=True), ValueError, "one has whitened scores"),
    ):
        with pytest.raises(error, match=message):
            p.merge(other)
    with pytest.raises(ValueError, match="n_components must be from 0 to"):
        p.merge(p, 5)


@examples
@given(
    seeds,
    st.tuples(st.integers(2, 12), st.integers(1, 6)),
    st.integers(0, 6),
    st.booleans(),
    st.sampled_from("fdFD"),
)
def test_transform_and_back(seed, shape, rank, whiten, char):
    """The scores are the transform of the data, which the inverse gives back, whatever the rank."""
    rng = np.random.default_rng(seed)
    low = rng.standard_normal((shape[0], rank)) @ random((rank, shape[1]), "D" if char in "FD" else "d", seed)
    x = (low + rng.standard_normal(shape[1])).astype(char)
    p = gpusvd.pca(x, whiten=whiten)
    scale = np.abs(x).max()
    bound = 500 * measures.eps(x.real.dtype)
    np.testing.assert_allclose(p.inverse_transform(p.scores), x, atol=bound * scale)
    np.testing.assert_allclose(p.inverse_transform(p.transform(x)), x, atol=bound * scale)
    spread = p.singular_values.max(initial=0) / np.sqrt(shape[0])
    trusted = p.singular_values > 1e-2 * spread  # the rest may be rounding, which whitening scales up
    np.testing.assert_allclose(
        p.transform(x)[:, trusted],
        p.scores[:, trusted],
        atol=bound * (100 * scale / max(spread, 1e-30) if whiten else scale),
    )


@by_whiten
def test_whitened_scores_have_variance_one(backend, whiten):
    x = random((4, 50, 3)) * [1, 100, 1e-3]
    p = host(backend, gpusvd.pca(backend.array(x), whiten=whiten))
    variance = p.scores.var(axis=1, ddof=1)
    np.testing.assert_allclose(variance, 1 if whiten else p.explained_variance, rtol=1e-9)
    np.testing.assert_allclose(p.transform(x), p.scores, rtol=1e-6, atol=1e-9)


def test_whitening_leaves_out_what_does_not_vary(backend):
    x = random((3, 5, 8))  # the mean takes one of five
    x[1] = x[1, 0]
    p = gpusvd.pca(backend.array(x), whiten=True)
    transformed = backend.numpy(p.transform(backend.array(x)))
    p = host(backend, p)
    for scores in (p.scores, transformed):
        assert (np.abs(scores[[0, 2], :, :4]).max(axis=-2) > 0.1).all()
        assert not scores[..., 4].any()
        assert not scores[1].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_variances_are_not_those_of_a_covariance(dtype):
    """The smallest standard deviation is far below the square root of eps of the largest."""
    rng = np.random.default_rng(0)
    deviations = np.array([1, 1e-2, 100 * np.finfo(dtype).eps])
    x = rng.standard_normal((200, 3)) * deviations
    p = gpusvd.pca(x.astype(dtype))
    exact = np.linalg.svd((x - x.mean(axis=0)) / deviations.min(), compute_uv=False) * deviations.min()
    np.testing.assert_allclose(p.singular_values, exact, rtol=0.05)


def test_a_mean_far_from_zero():
    """The sum of many float32 numbers is rounded, and the mean of the centred data is still zero."""
    rng = np.random.default_rng(0)
    middle = np.array([3e4, -2e4, 1e4])
    x = (rng.standard_normal((100_000, 3)) + middle).astype(np.float32)
    p = gpusvd.pca(x)
    exact = x.astype(float).mean(axis=0)
    np.testing.assert_allclose(p.mean, exact, rtol=2e-7)
    centred = np.linalg.svd(x.astype(float) - exact, compute_uv=False)
    np.testing.assert_allclose(p.singular_values, centred, rtol=1e-4)


@pytest.mark.parametrize("power", [-1070, -1020, -600, 600, 1020])
@by_whiten
def test_pca_at_any_scale(power, whiten):
    x = random((9, 4)) / 16
    expected = gpusvd.pca(x, whiten=whiten)
    p = gpusvd.pca(np.ldexp(x, power), whiten=whiten)
    bound = 1e-13 + np.ldexp(1.0, -1068 - power)
    np.testing.assert_allclose(p.components, expected.components, atol=10 * bound)
    np.testing.assert_allclose(p.explained_variance_ratio, expected.explained_variance_ratio, atol=bound)
    np.testing.assert_allclose(np.ldexp(p.mean, -power), expected.mean, atol=bound)
    np.testing.assert_allclose(np.ldexp(p.singular_values, -power), expected.singular_values, atol=bound)
    with np.errstate(over="ignore"):
        variance = np.ldexp(expected.explained_variance, 2 * power)
    np.testing.assert_allclose(p.explained_variance, variance, rtol=1e-12)
    scores = p.scores if whiten else np.ldexp(p.scores, -power)
    np.testing.assert_allclose(scores, expected.scores, atol=100 * bound)
    if power > -1022:
        np.testing.assert_allclose(p.transform(np.ldexp(x, power)), p.scores, rtol=1e-9)


def test_signs_do_not_depend_on_who_computed_the_vectors():
    x = random((6, 9, 4))
    p = gpusvd.pca(x)
    largest = np.take_along_axis(p.components, np.abs(p.components).argmax(axis=-1)[..., None], axis=-1)
    assert (largest > 0).all()
    mirrored = gpusvd.pca(-x)
    np.testing.assert_allclose(mirrored.components, p.components, atol=1e-13)
    np.testing.assert_allclose(mirrored.scores, -p.scores, atol=1e-13)


# What is nothing or not a number


@by_whiten
@pytest.mark.parametrize("choice", [{}, {"n_components": 2}, {"energy": 0.5}])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pca_is_nan_for_its_own_set_alone(backend, whiten, choice, bad):
    x = random((3, 6, 4))
    x[1, 0, 0] = bad
    p = gpusvd.pca(backend.array(x), whiten=whiten, **choice)
    transformed = backend.numpy(p.transform(backend.array(x)))
    back = backend.numpy(p.inverse_transform(p.scores))
    p = host(backend, p)
    assert p.n_components[1] == 0
    for name in set(p._fields) - {"n_components", "whiten", "n_samples"}:
        assert np.isnan(getattr(p, name)[1]).all(), name
        assert np.isfinite(getattr(p, name)[::2]).all(), name
    for mapped in (transformed, back):
        assert np.isnan(mapped[1]).all()
        assert np.isfinite(mapped[::2]).all()


@by_whiten
def test_constant_data(backend, whiten):
    x = np.full((2, 5, 3), 0.1)
    p = host(backend, gpusvd.pca(backend.array(x), whiten=whiten))
    np.testing.assert_array_equal(p.mean, 0.1)
    assert not p.explained_variance.any()
    assert not p.explained_variance_ratio.any()
    assert not p.scores.any()
    np.testing.assert_array_equal(p.inverse_transform(p.scores), x)
    assert gpusvd.pca(x, energy=0.9).components.shape == (2, 0, 3)


@by_whiten
def test_a_single_sample(backend, whiten):
    x = random((2, 1, 3))
    p = gpusvd.pca(backend.array(x), whiten=whiten)
    transformed = backend.numpy(p.transform(backend.array(x)))
    p = host(backend, p)
    np.testing.assert_array_equal(p.mean, x[:, 0])
    assert np.isnan(p.explained_variance).all()
    assert not p.explained_variance_ratio.any()
    assert not p.scores.any()
    assert not transformed.any()


@by_whiten
@pytest.mark.parametrize("shape", [(4, 0), (0, 4, 3), (2, 4, 0)])
def test_pca_of_nothing(backend, shape, whiten):
    x = backend.array(np.zeros(shape))
    p = gpusvd.pca(x, whiten=whiten)
    assert backend.numpy(p.inverse_transform(p.transform(x))).shape == shape
    assert host(backend, p).mean.shape == (*shape[:-2], shape[-1])


def test_integers():
    p = gpusvd.pca(np.arange(12).reshape(4, 3))
    assert p.components.dtype == np.float64
    np.testing.assert_allclose(p.mean, [4.5, 5.5, 6.5])
    assert p.transform([[1, 2, 3]]).dtype == np.float64


def test_pca_refuses():
    x = random((6, 4))
    for kept, kind in (
        (0.9, TypeError),
        (True, TypeError),
        ("mle", TypeError),
        (5, ValueError),
        (-1, ValueError),
    ):
        with pytest.raises(kind, match="n_components must be "):
            gpusvd.pca(x, kept)
    with pytest.raises(TypeError, match="a fraction of the variance is energy="):
        gpusvd.pca(x, 0.9)
    with pytest.raises(ValueError, match="energy must be from 0 to 1"):
        gpusvd.pca(x, energy=2)
    with pytest.raises(ValueError, match=r"x has shape \(0, 4\): sets without points"):
        gpusvd.pca(x[:0])
    with pytest.raises(ValueError, match=r"x has shape \(4,\), expected \(..., P, N\)"):
        gpusvd.pca(x[0])
    p = gpusvd.pca(x, 2)
    for wrong in (x[0], x[:, :3]):
        with pytest.raises(ValueError, match=r"x has shape .* with N = 4"):
            p.transform(wrong)
    several = gpusvd.pca(random((3, 6, 4)))
    for map_ in (several.transform, several.inverse_transform):
        with pytest.raises(ValueError, match=r"of shape \(2,\) does not broadcast against a batch of \(3,\)"):
            map_(random((2, 6, 4)))
    with pytest.raises(ValueError, match=r"scores has shape \(6, 4\), expected \(..., Q, C\) with C = 2"):
        p.inverse_transform(x)


# best_fit_subspace


@by_dtype
@pytest.mark.parametrize("k", [0, 1, 2, 3])
@by_batch
def test_points_of_a_flat_space(backend, batch, k, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    dtype = np.result_type(np.dtype(char), np.float64)
    basis = gallery.orthonormal(np.random.default_rng(0), 3, 3, dtype)[:, :k]
    x = random((*batch, 8, max(k, 1)), dtype)[..., :k] @ basis.T + [1, 2, 3]
    point, directions, residual = backend.numpy(gpusvd.best_fit_subspace(backend.array(x.astype(char)), k))
    assert point.dtype == directions.dtype == np.dtype(char)
    assert residual.dtype == point.real.dtype
    assert point.shape == (*batch, 3)
    assert directions.shape == (*batch, k, 3)
    assert residual.shape == batch
    bound = 50 * measures.eps(residual.dtype)
    assert (residual <= bound).all()
    np.testing.assert_allclose(point, x.mean(axis=-2), atol=bound)
    d = directions.astype(dtype)
    np.testing.assert_allclose(
        d.mT @ d.conj(), np.broadcast_to(basis @ basis.conj().T, (*batch, 3, 3)), atol=bound
    )


@examples
@given(seeds, st.integers(1, 8), st.integers(1, 5), st.data())
def test_no_flat_space_is_nearer(seed, points, n, data):
    k = data.draw(st.integers(0, min(points, n)))
    x = random((points, n), seed=seed)
    point, directions, residual = gpusvd.best_fit_subspace(x, k)

    def distance(point, directions):
        rest = x - point
        rest = rest - rest @ directions.T @ directions
        return np.sqrt((rest**2).sum(axis=-1).mean())

    np.testing.assert_allclose(distance(point, directions), residual, atol=1e-13)
    rng = np.random.default_rng(seed)
    for size in (1e-3, 0.1, 10):
        for _ in range(10):
            turned = np.linalg.qr((directions + size * rng.standard_normal((k, n))).T)[0].T
            assert distance(point, turned) >= residual - 1e-13
            assert distance(point + size * rng.standard_normal(n), turned) >= residual - 1e-13


def test_normals_of_planes(backend):
    normals = np.array([[0, 0, 1], [0.6, 0.8, 0], [1, 0, 0]])
    x = random((3, 10, 3))
    x = x - (x @ normals[..., None]) * normals[:, None]
    plane = gpusvd.best_fit_subspace(backend.array(x), 2)
    normal = backend.numpy(gpusvd.null_space(plane.directions).basis)[..., 0]
    np.testing.assert_allclose(np.abs(normal), np.abs(normals), atol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_flat_spaces_of_nan_and_of_nothing(backend, bad):
    x = random((3, 6, 3))
    x[1, 0, 0] = bad
    for k in (0, 1):
        point, directions, residual = backend.numpy(gpusvd.best_fit_subspace(backend.array(x), k))
        assert np.isnan(point[1]).all()
        assert np.isnan(directions[1]).all()
        assert np.isnan(residual).tolist() == [False, True, False]
    shapes = [y.shape for y in backend.numpy(gpusvd.best_fit_subspace(backend.array(x[:0]), 2))]
    assert shapes == [(0, 3), (0, 2, 3), (0,)]


def test_best_fit_subspace_refuses():
    x = random((6, 3))
    for k, kind in ((4, ValueError), (-1, ValueError), (1.0, TypeError), (None, TypeError)):
        with pytest.raises(kind, match="k must be "):
            gpusvd.best_fit_subspace(x, k)
    with pytest.raises(ValueError, match=r"x has shape \(0, 3\): sets without points"):
        gpusvd.best_fit_subspace(x[:0], 0)
