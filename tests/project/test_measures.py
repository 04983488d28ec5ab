"""The measures accept a good decomposition at every scale and refuse every kind of spoiled one."""

import numpy as np
import pytest

from tests.support import gallery, measures

SHAPES = [(6, 6), (9, 4), (4, 9)]


def decomposition(m, n, dtype, full_matrices=True):
    rng = np.random.default_rng(m * n)
    a = gallery.gaussian(rng, m, n, dtype).a
    return a, *np.linalg.svd(a, full_matrices)


def spoil_residual(U, S, Vh, by):
    S[0] *= 1 + by


def spoil_left(U, S, Vh, by):
    U[0, 0] += by


def spoil_right(U, S, Vh, by):
    Vh[0, 0] += by


def spoil_complement(U, S, Vh, by):
    longer = U if len(U) > len(Vh) else Vh.T
    longer[:, -1] *= 1 + by


def turn_left(U, S, Vh, by):
    """Keeps U orthonormal and spoils the residual alone."""
    U[:, 0], U[:, 1] = U[:, 0] - by * U[:, 1], U[:, 1] + by * U[:, 0]


@pytest.mark.parametrize("spoil", [spoil_residual, spoil_left, spoil_right, spoil_complement, turn_left])
@pytest.mark.parametrize(("m", "n"), SHAPES)
@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_an_error_above_the_bound_is_seen(dtype, m, n, spoil):
    a, U, S, Vh = decomposition(m, n, dtype)
    measures.assert_svd(a, U, S, Vh)
    spoil(U, S, Vh, 60 * max(m, n) * measures.eps(dtype))
    with pytest.raises(AssertionError):
        measures.assert_svd(a, U, S, Vh)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_what_is_not_a_decomposition_is_seen(dtype):
    a, U, S, Vh = decomposition(6, 6, dtype)
    nan = np.where(np.arange(6) == 3, np.nan, S).astype(S.dtype)
    zeros = np.zeros_like(a)
    spoiled = [
        (U, S, Vh.conj().T),
        (U[:, ::-1], S[::-1], Vh[::-1]),
        (-U, -S, Vh),
        (U, nan, Vh),
        (U * nan, S, Vh),
        (U, S, Vh * nan),
        (U, np.where(np.arange(6) == 0, np.inf, S).astype(S.dtype), Vh),
        (U, np.zeros_like(S), Vh),
        (U[:, :5], S, Vh),
        (U, S, Vh[:5]),
        (U, S[:5], Vh),
        (U, S.astype(np.float16), Vh),
        (zeros, S, zeros),
    ]
    for factors in spoiled:
        with pytest.raises(AssertionError):
            measures.assert_svd(a, *factors)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_one_bad_matrix_of_a_batch_is_seen(dtype):
    a, U, S, Vh = decomposition(6, 6, dtype)
    a, U, S, Vh = (np.stack([x] * 5) for x in (a, U, S, Vh))
    measures.assert_svd(a, U, S, Vh)
    U[3, :, 2] *= -1
    with pytest.raises(AssertionError, match=r"\[\[3\]\]"):
        measures.assert_svd(a, U, S, Vh)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_measures_do_not_depend_on_the_scale(dtype):
    a, U, S, Vh = decomposition(9, 4, dtype, full_matrices=False)
    info = np.finfo(dtype)
    expected = measures.residual(a, U, S, Vh)
    assert expected > 0
    for power in (info.minexp + info.nmant + 8, info.maxexp - 8):
        scaled = gallery.scaled(a, power), U, gallery.scaled(S, power), Vh
        measures.assert_svd(*scaled)
        assert measures.residual(*scaled) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
def test_overflow_and_subnormal_numbers_are_allowed_for(dtype):
    info = np.finfo(dtype)
    a = np.ones((6, 6), dtype)
    U, S, Vh = np.linalg.svd(a)
    with np.errstate(over="ignore"):
        huge = gallery.scaled(S, info.maxexp - 1)
    assert np.isinf(huge[0])
    measures.assert_svd(gallery.scaled(a, info.maxexp - 1), U, huge, Vh)
    tiny = np.diag(np.arange(6, 0, -1)).astype(dtype) * info.smallest_subnormal
    eye = np.eye(6, dtype=dtype)
    measures.assert_svd(tiny, eye, tiny.diagonal().real, eye)
    with pytest.raises(AssertionError):
        measures.assert_svd(tiny, eye, np.full(6, info.smallest_subnormal), eye)


def test_singular_values_are_held_to_the_exact_ones():
    S, unit = np.array([[2.0, 1.0]]), measures.eps(np.float64)
    measures.assert_singular_values(S, [[2.0, 1.0 + 3 * unit]], ulps=2)
    with pytest.raises(AssertionError):
        measures.assert_singular_values(S, [[2.0, 1.0 + 9 * unit]], ulps=2)
    with pytest.raises(AssertionError):
        measures.assert_singular_values(np.array([[np.nan, 1.0]]), S, ulps=2)
    measures.assert_singular_values(np.array([np.inf], np.float32), np.array([1e39]), ulps=2)
    with pytest.raises(AssertionError):
        measures.assert_singular_values(np.array([np.inf], np.float32), np.array([1e38]), ulps=2)
