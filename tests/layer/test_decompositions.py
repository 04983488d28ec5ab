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
