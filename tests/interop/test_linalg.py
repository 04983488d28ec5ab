"""`gpusvd.linalg` by the text of the array API standard's extension `linalg`, with a strict library of it."""

import inspect
import math

import array_api_strict
import numpy as np
import pytest

import gpusvd
from gpusvd import linalg

SHAPES = [(3, 3), (4, 2), (2, 5), (2, 3, 4), (2, 1, 3, 3), (0, 3, 2), (1, 1)]
DTYPES = ["float32", "float64", "complex64", "complex128"]


@pytest.fixture(params=[array_api_strict, np], ids=lambda xp: xp.__name__)
def xp(request):
    return request.param


def batch(xp, shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        a = a + 1j * rng.standard_normal(shape)
    return xp.asarray(a.astype(dtype))


def host(x):
    return np.from_dlpack(x)


def real(dtype):
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


def close(x, expected, dtype):
    tolerance = 1e-4 if real(dtype) == "float32" else 1e-11
    np.testing.assert_allclose(host(x), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", linalg.__all__)
def test_names_and_kinds_of_arguments_are_the_standards(name):
    ours = inspect.signature(getattr(linalg, name)).parameters
    theirs = inspect.signature(getattr(array_api_strict.linalg, name)).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("full_matrices", [True, False])
def test_svd(xp, shape, dtype, full_matrices):
    x = batch(xp, shape, dtype)
    result = linalg.svd(x, full_matrices=full_matrices)
    U, S, Vh = result
    *stack, m, n = shape
    k = min(m, n)
    assert result._fields == ("U", "S", "Vh")
    assert all(type(factor) is type(x) for factor in result)
    assert U.shape == (*stack, m, m if full_matrices else k)
    assert S.shape == (*stack, k)
    assert Vh.shape == (*stack, n if full_matrices else k, n)
    assert (U.dtype, S.dtype, Vh.dtype) == (x.dtype, getattr(xp, real(dtype)), x.dtype)
    s = host(S)
    assert (s >= 0).all()
    assert (np.diff(s, axis=-1) <= 0).all()
    u, vh = host(U), host(Vh)
    close(xp.asarray(u[..., :k] * s[..., None, :] @ vh[..., :k, :]), host(x), dtype)
    for q in (u, vh.conj().swapaxes(-1, -2)):
        identity = np.broadcast_to(np.eye(q.shape[-1]), (*stack, q.shape[-1], q.shape[-1]))
        close(xp.asarray(q.conj().swapaxes(-1, -2) @ q), identity, dtype)
    values = linalg.svdvals(x)
    assert (type(values), values.shape, values.dtype) == (type(x), S.shape, S.dtype)
    close(values, s, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pinv(xp, shape, dtype):
    x = batch(xp, shape, dtype)
    result = linalg.pinv(x)
    assert (type(result), result.dtype) == (type(x), x.dtype)
    close(result, np.linalg.pinv(host(x)), dtype)


def test_pinv_and_rank_by_a_tolerance_for_each_matrix(xp):
    x = xp.asarray(np.array([np.diag([4.0, 1.0])] * 3))
    rtol = xp.asarray(np.array([0.1, 0.5, 0.26]))
    assert host(linalg.matrix_rank(x, rtol=rtol)).tolist() == [2, 1, 1]
    assert host(linalg.matrix_rank(x, rtol=0.5)).tolist() == [1, 1, 1]
    close(linalg.pinv(x, rtol=rtol)[:, 1, 1], [1, 0, 0], "float64")


@pytest.mark.parametrize("shape", [s for s in SHAPES if 0 not in s], ids=str)
def test_matrix_rank(xp, shape):
    x = batch(xp, shape)
    rank = linalg.matrix_rank(x)
    assert rank.shape == shape[:-2]
    assert xp.isdtype(rank.dtype, "integral")
    assert (host(rank) == min(shape[-2:])).all()
    with pytest.raises(np.linalg.LinAlgError):
        linalg.matrix_rank(batch(xp, (3,)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_inv(xp, dtype):
    x = batch(xp, (2, 3, 3), dtype)
    result = linalg.inv(x)
    assert (type(result), result.dtype) == (type(x), x.dtype)
    close(result, np.linalg.inv(host(x)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_matrix_norm(xp, dtype, keepdims, order):
    for shape in SHAPES:
        x = batch(xp, shape, dtype)
        result = linalg.matrix_norm(x, keepdims=keepdims, ord=order)
        expected = np.linalg.matrix_norm(host(x), keepdims=keepdims, ord=order)
        assert (type(result), result.shape, result.dtype) == (
            type(x),
            expected.shape,
            getattr(xp, real(dtype)),
        )
        close(result, expected, dtype)


def test_matrix_norm_refuses_what_it_cannot(xp):
    with pytest.raises(ValueError, match="ord must be"):
        linalg.matrix_norm(batch(xp, (2, 2)), ord=3)
    with pytest.raises(ValueError, match="ord -1 is not defined"):
        linalg.matrix_norm(batch(xp, (2, 0)), ord=-1)
    assert float(linalg.matrix_norm(batch(xp, (2, 0)), ord=1)) == 0


def test_matrix_transpose(xp):
    x = batch(xp, (2, 3, 4), "complex64")
    result = linalg.matrix_transpose(x)
    assert (type(result), result.dtype) == (type(x), x.dtype)
    np.testing.assert_array_equal(host(result), host(x).swapaxes(-1, -2))


def test_it_is_a_part_of_gpusvd():
    assert gpusvd.linalg is linalg
