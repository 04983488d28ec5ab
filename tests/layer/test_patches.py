"""Patches of images and their average, held against loops over patches; denoising, against known truth."""

import itertools
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.lib.stride_tricks import sliding_window_view

import gpusvd
from gpusvd import patches
from tests.support import stand_in

examples = settings(deadline=None, max_examples=60)
RULES = {"mppca": {}, "shrinkage": {"noise": 0.5}, "hard": {}, "svt": {"tau": 2.0}}
by_rule = pytest.mark.parametrize("rule", RULES)


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


@st.composite
def images(draw, overlapping=True):
    """An image of one to three axes and perhaps further ones, the size of patches, and their steps."""
    d = draw(st.integers(1, 3))
    shape = [draw(st.integers(1, 9 - 2 * d)) for _ in range(d)]
    size = [draw(st.integers(1, n)) for n in shape]
    step = [draw(st.integers(1, p if overlapping else 4)) for p in size]
    trailing = draw(st.sampled_from([(), (3,), (2, 2)]))
    return random((*shape, *trailing)), tuple(size), tuple(step)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(patches, "_PIECE_BYTES", 1)
    monkeypatch.setattr(patches, "_SHARE", 10**9)


def starts(n, p, step):
    """Where patches begin so that they reach the end."""
    even = list(range(0, n - p + 1, step))
    return even if even[-1] == n - p else [*even, n - p]


def by_loops(function, image, size, step, weights=None):
    total, sums = np.zeros(image.shape, complex), np.zeros(image.shape[: len(size)])
    weights = np.ones(size) if weights is None else weights
    beside = weights.reshape(weights.shape + (image.ndim - len(size)) * (1,))
    for corner in itertools.product(*map(starts, image.shape, size, step)):
        here = tuple(slice(i, i + p) for i, p in zip(corner, size, strict=True))
        total[here] += beside * function(image[here][None])[0]
        sums[here] += weights
    return total / sums.reshape(sums.shape + (image.ndim - len(size)) * (1,))


# Views


@examples
@given(images(overlapping=False))
def test_extract_is_a_view_of_all_patches(case):
    image, size, step = case
    d = len(size)
    view = patches.extract(image, size, step)
    windows = sliding_window_view(image, size, axis=tuple(range(d)))[
        tuple(slice(None, None, s) for s in step)
    ]
    trailing = image.ndim - d
    expected = np.moveaxis(windows, range(d, d + trailing), range(-trailing, 0))
    np.testing.assert_array_equal(view, expected)
    assert np.shares_memory(view, image)
    assert not view.flags.writeable


def test_extract_of_strided_images():
    image = random((20, 30, 2))[::-2, ::3, 1]
    np.testing.assert_array_equal(patches.extract(image, (3, 4), 2), patches.extract(image.copy(), (3, 4), 2))
    assert patches.extract([1, 2, 3], (2,)).tolist() == [[1, 2], [2, 3]]


@examples
@given(images(overlapping=False), st.booleans())
def test_average_takes_extract_back(case, weighted):
    image, size, step = case
    weights = np.random.default_rng(1).uniform(0.1, 2, size) if weighted else None
    shape = image.shape[: len(size)]
    back = patches.average(patches.extract(image, size, step), shape, step, weights=weights)
    covered = np.zeros(shape, bool)
    for corner in itertools.product(
        *(range(0, n - p + 1, s) for n, p, s in zip(shape, size, step, strict=True))
    ):
        covered[tuple(slice(i, i + p) for i, p in zip(corner, size, strict=True))] = True
    np.testing.assert_allclose(back[covered], image[covered], rtol=1e-13)
    assert np.isnan(back[~covered]).all()


def test_patches_side_by_side_come_back_bit_for_bit():
    image = random((12, 20, 3), np.float32)
    np.testing.assert_array_equal(
        patches.average(patches.extract(image, (4, 5), (4, 5)), (12, 20), (4, 5)), image
    )


# There and back


@examples
@given(images(), st.booleans(), st.sampled_from([1, 2**20]))
def test_apply_is_the_mean_of_all_patches(case, weighted, piece):
    image, size, step = case
    weights = np.random.default_rng(1).uniform(0.1, 2, size) if weighted else None

    def function(x):
        return x * x.mean(axis=tuple(range(1, x.ndim)), keepdims=True) + 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "_PIECE_BYTES", piece)
        patch.setattr(patches, "_SHARE", 10**9)
        result = patches.apply(function, image, size, step, weights=weights)
    np.testing.assert_allclose(result, by_loops(function, image, size, step, weights), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("char", "efdFDBi", ids=lambda char: np.dtype(char).name)
def test_dtypes(char):
    image = (100 * random((9, 8, 3))).astype(char) if char in "Bi" else random((9, 8, 3), char)
    result = patches.apply(lambda x: x, image, (3, 3), 2)
    expected = np.dtype(char if char in "efdFD" else "d")
    assert result.dtype == expected
    np.testing.assert_allclose(result, image, rtol=4 * np.finfo(expected).eps)
    freed = patches.denoise(image, (3, 3), rule="svt", tau=0)
    assert freed.dtype == expected
    np.testing.assert_allclose(freed, image, atol=100 * float(np.abs(image).max()) * np.finfo(expected).eps)


def test_an_image_is_not_written_to(small_pieces):
    image = random((9, 8))
    image.flags.writeable = False
    calls = []

    def function(x):
        calls.append(len(x))
        return 2 * x

    np.testing.assert_allclose(patches.apply(function, image, (3, 3)), 2 * image, rtol=1e-14)
    assert calls == 42 * [1]


def test_progress(capsys, small_pieces):
    told = []
    patches.apply(
        lambda x: x, random((9, 8)), (3, 3), 2, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(done, 16) for done in range(1, 17)]
    patches.denoise(random((9, 8)), (3, 3), progress=True)
    assert "100%" in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress must be"):
        patches.denoise(random((9, 8)), (3, 3), progress=3)


def peak(call):
    """Bytes that are allocated at most during a call, its result included."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "size", "dtype"),
    [((1500, 1400), (8, 8), "f"), ((300, 200, 40), (5, 5), "F"), ((48, 48, 40, 24), (4, 4, 4), "f")],
    ids=str,
)
def test_memory_stays_within_twice_the_image(shape, size, dtype):
    image = np.ones(shape, dtype)
    for step in (4, 3):
        assert (
            peak(lambda step=step: patches.denoise(image, size, step, rule="svt", tau=1)) < 2 * image.nbytes
        )


# Denoising


def by_numpy(rule, a):
    """A matrix after a rule, by the SVD of NumPy."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    m, n = a.shape
    if rule == "svt":
        s = np.maximum(s - 2, 0)
    elif rule == "hard":
        s = np.where(s > gpusvd.optimal_threshold(s, m, n), s, 0)
    elif rule == "shrinkage":
        s = gpusvd.optimal_shrinkage(s, m, n, 0.5)
    else:
        s = np.where(np.arange(len(s)) < gpusvd.mppca_rank(s, m, n).rank, s, 0)
    return u * s @ vh


@by_rule
@pytest.mark.parametrize(
    ("shape", "size", "step"),
    [((9, 11, 14), (4, 3), (2, 1)), ((12, 10), (5, 7), (3, 3)), ((6, 5, 7, 3, 4), (3, 3, 3), (2, 1, 3))],
)
@pytest.mark.parametrize("dtype", ["f", "D"])
def test_denoise_by_loops(rule, shape, size, step, dtype):
    rng = np.random.default_rng(4)
    image = random(shape, dtype) + 5 * rng.standard_normal(shape[-1]).astype(dtype)

    def function(x):
        rows = np.prod(size if len(shape) > len(size) else size[:-1])
        return by_numpy(rule, x.astype(np.result_type(x, "d")).reshape(rows, -1)).reshape(x.shape)

    result = patches.denoise(image, size, step, rule=rule, **RULES[rule])
    assert result.dtype == image.dtype
    expected = by_loops(function, image, size, step)
    np.testing.assert_allclose(result, expected, atol=1e3 * np.finfo(dtype).eps)
    default = patches.denoise(image, size, rule=rule, **RULES[rule])
    half = tuple(p // 2 for p in size)
    np.testing.assert_array_equal(default, patches.denoise(image, size, half, rule=rule, **RULES[rule]))


@by_rule
@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
def test_denoise_nears_the_truth(rule, dtype, driver):
    truth = (random((24, 24, 2), dtype) @ random((2, 40), dtype, seed=1)).astype(dtype)
    noise = random(truth.shape, dtype, seed=2)
    options = {"shrinkage": {"noise": float(np.std(noise))}, "svt": {"tau": 12.0}}.get(rule, {})
    result = patches.denoise(truth + noise, (8, 8), 4, rule=rule, driver=driver, **options)
    bound = (0.45 if rule == "svt" else 0.35) * np.std(noise)  # a soft threshold takes from the signal too
    assert np.std(result - truth) < bound
    window = np.outer(np.hanning(10)[1:-1], np.hanning(10)[1:-1])
    weighted = patches.denoise(truth + noise, (8, 8), 2, rule=rule, weights=window, driver=driver, **options)
    assert np.std(weighted - truth) < bound


@by_rule
def test_nan_stays_where_it_is(rule):
    image = random((20, 20, 9))
    clean = patches.denoise(image, (4, 4), 2, rule=rule, **RULES[rule])
    image[10, 10, 0] = np.nan
    result = patches.denoise(image, (4, 4), 2, rule=rule, **RULES[rule])
    bad = np.zeros((20, 20), bool)
    bad[8:14, 8:14] = True
    assert np.isnan(result[bad]).all()
    np.testing.assert_allclose(result[~bad], clean[~bad], atol=1e-12)


def test_images_without_entries():
    assert patches.denoise(np.zeros((5, 5, 0)), (2, 2)).shape == (5, 5, 0)
    assert patches.extract(np.zeros((5, 5, 0)), (2, 2)).shape == (4, 4, 2, 2, 0)
    with pytest.raises(ValueError, match=r"size must be from 1 to \(0, 5\), not \(1, 1\)"):
        patches.denoise(np.zeros((0, 5)), (1, 1))


def test_wrong_arguments():
    image = np.ones((5, 6, 3))
    for size in ((0, 2), (6, 2), (2, 7), (2.0, 2)):
        with pytest.raises(ValueError, match=r"size must be from 1 to \(5, 6\), not "):
            patches.extract(image, size)
    with pytest.raises(ValueError, match=r"size \(\) has 0 axes, expected 1 to 3"):
        patches.extract(image, ())
    with pytest.raises(ValueError, match="has 4 axes, expected 1 to 3"):
        patches.extract(image, (1, 1, 1, 1))
    for step in (0, (1, -1)):
        with pytest.raises(ValueError, match="step must be positive ints"):
            patches.extract(image, (2, 2), step)
    with pytest.raises(ValueError, match=r"step \(1,\) has 1 axes, expected 2"):
        patches.extract(image, (2, 2), (1,))
    with pytest.raises(ValueError, match=r"step \(3, 3\) is larger than the patches of \(2, 2\)"):
        patches.denoise(image, (2, 2), 3)
    with pytest.raises(ValueError, match=r"patches has a grid of \(4, 5\), expected \(2, 3\) for \(5, 6\)"):
        patches.average(patches.extract(image, (2, 2)), (5, 6), 2)
    with pytest.raises(ValueError, match="patches has 3 axes, expected at least 4 for 2 of the image"):
        patches.average(image, (5, 6))
    with pytest.raises(ValueError, match=r"weights has shape \(2,\), expected \(2, 2\)"):
        patches.denoise(image, (2, 2), weights=[1, 2])
    for weight in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="weights must be positive and finite"):
            patches.denoise(image, (2, 2), weights=[[1, 2], [3, weight]])
    with pytest.raises(ValueError, match=r"the function made \(20, 2\) of patches \(20, 2, 2, 3\)"):
        patches.apply(lambda x: x[:, :, 0, 0], image, (2, 2))
    with pytest.raises(ValueError, match="rule must be 'mppca', 'shrinkage', 'hard' or 'svt', not 'soft'"):
        patches.denoise(image, (2, 2), rule="soft")
    for options in ({"rule": "svt"}, {"rule": "hard", "tau": 1}, {"tau": 1}):
        with pytest.raises(ValueError, match="rule 'svt' needs tau, and no other rule takes it"):
            patches.denoise(image, (2, 2), **options)
    for options in ({"rule": "svt", "tau": 1, "noise": 1}, {"noise": 1}):
        with pytest.raises(ValueError, match="noise is for the rules 'shrinkage' and 'hard'"):
            patches.denoise(image, (2, 2), **options)
    for rule, name, level in (("svt", "tau", -1), ("hard", "noise", np.nan), ("shrinkage", "noise", [1])):
        with pytest.raises(ValueError, match="must be a number of at least 0, not "):
            patches.denoise(image, (2, 2), rule=rule, **{name: level})
    with pytest.raises(ValueError, match="driver must be"):
        patches.denoise(image, (2, 2), driver="magic")
    strict = pytest.importorskip("array_api_strict")
    for call in (patches.extract, patches.denoise):
        with pytest.raises(TypeError, match=r"patches of array_api_strict.* are not supported"):
            call(strict.asarray(image), (2, 2))
    with pytest.raises(TypeError, match="unsupported in svd"):
        patches.denoise(image.astype(np.longdouble), (2, 2))


# On a GPU


@by_rule
def test_as_on_the_cpu(monkeypatch, rule):
    image = random((9, 8, 6), np.complex64) + 3
    weights = np.random.default_rng(0).uniform(0.5, 1, (3, 4))
    expected = patches.denoise(image, (3, 4), 2, rule=rule, weights=weights, **RULES[rule])
    cupy = stand_in.install(monkeypatch, devices=2)
    with cupy.cuda.Device(1):
        there, window = cupy.asarray(image), cupy.asarray(weights)
    result = patches.denoise(there, (3, 4), 2, rule=rule, weights=window, **RULES[rule])
    assert cupy.cuda.Device().id == 0
    assert isinstance(result, cupy.ndarray)
    assert result.device.id == 1
    np.testing.assert_allclose(cupy.asnumpy(result), expected, atol=1e-4)
    view = patches.extract(there, (3, 4), 2)
    assert cupy.may_share_memory(view, there)
    back = patches.average(view, (9, 8), 2)
    np.testing.assert_allclose(cupy.asnumpy(back), image, rtol=1e-6)
