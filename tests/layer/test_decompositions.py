"""The SVD of arrays of every library, in arrays of that library."""

import numpy as np
import pytest

import gpusvd
from gpusvd._layer.decompositions import decompose, singular_values
from tests.support import measures


@pytest.mark.parametrize("full_matrices", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 0, 3), (0, 3, 3)])
def test_decompose(backend, shape, full_matrices):
    a = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    U, S, Vh = backend.numpy(decompose(backend.xp, backend.array(a), "auto", full_matrices=full_matrices))
    for x, y in zip((U, S, Vh), gpusvd.svd(a, full_matrices), strict=True):
        assert x.shape == y.shape
        assert x.dtype == y.dtype
    if a.size:
        measures.assert_svd(a, U, S, Vh)
        values = backend.numpy(singular_values(backend.xp, backend.array(a), "auto"))
        np.testing.assert_allclose(values, S, rtol=1e-5)


@pytest.mark.parametrize("char", "fdF")
@pytest.mark.parametrize("rows", [300, 1000, 200_001])
def test_sums_over_long_columns(rows, char):
    """Of equal numbers, whose rounding errors have one sign: they do not grow with the columns."""
    close = {"rtol": 40 * np.finfo(char).eps}
    number = np.array(0.1, char)
    square = float(number.real) ** 2
    constant = np.full((rows, 3), number)
    steps = np.stack([np.ones(rows), np.arange(rows) % 2], axis=1).astype(char)
    for x in (gpusvd.lstsq(steps, constant).x, gpusvd.ridge(steps, constant, 0)):
        np.testing.assert_allclose(x[0], number, **close)
    many = np.full((min(rows, 1000), 500), number)  # right-hand sides, more than there are rows in a part
    np.testing.assert_allclose(gpusvd.lstsq(steps[:1000], many).x[0], number, **close)
    residuals = gpusvd.lstsq(np.eye(rows, 2, dtype=char), constant).residuals
    np.testing.assert_allclose(residuals, square * (rows - 2), **close)
    np.testing.assert_allclose(gpusvd.norm(constant, 1), float(number.real) * rows, **close)
    np.testing.assert_allclose(gpusvd.procrustes(constant, constant).scale, 3 * square * rows, **close)
    for a, side in ((constant, "right"), (constant.T, "left")):
        np.testing.assert_allclose(gpusvd.polar(a, side).P, np.sqrt(square * rows / 3), **close)


@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [300, 200_001])
def test_motions_of_long_sets_of_points(rows, weighted, n):
    signs = np.where(np.random.default_rng(0).random((rows, n)) < 0.5, -1, 1)
    x = (0.1 * np.arange(1, n + 1) * signs).astype(np.float32)
    rotation = np.roll(np.eye(n, dtype=np.float32), 1, axis=0) * ([1, 1, 1] if n == 3 else [1, 1, 1, -1])
    y = (2 * x @ rotation.T).astype(np.float32)
    y[::2] += 0.02
    y[1::2] -= 0.02
    motion = gpusvd.kabsch(x, y, np.full(rows, 0.1) if weighted else None, scale=True)
    exact = gpusvd.kabsch(x.astype(float), y.astype(float), scale=True)
    np.testing.assert_allclose(motion.scale, exact.scale, rtol=4e-6)
    np.testing.assert_allclose(motion.rmsd, exact.rmsd, rtol=4e-6)
    np.testing.assert_allclose(motion.rotation, exact.rotation, atol=4e-6)
