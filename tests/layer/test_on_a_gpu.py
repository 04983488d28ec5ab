"""Every function of the layer for arrays of a GPU that is not the current one: with the stand-in for CuPy."""

import numpy as np
import pytest

import gpusvd
import gpusvd.linalg
from tests.support import stand_in
from tests.support.calls import CALLS, CASES, HANDED_ON, inputs, named, parts, public


def test_every_function_is_there():
    called = {name for name, _, _ in CALLS}
    assert called == (public(gpusvd) | public(gpusvd.linalg, "linalg.")) - HANDED_ON


@pytest.mark.parametrize(("name", "arguments", "options", "dtype"), CASES)
def test_as_on_the_cpu(monkeypatch, name, arguments, options, dtype):
    given = [inputs(dtype)[x] for x in arguments.split()]
    expected = parts(named(name)(*given, **options))
    cupy = stand_in.install(monkeypatch, devices=2)
    with cupy.cuda.Device(1):
        arrays = [cupy.asarray(x) for x in given]
    found = parts(named(name)(*arrays, **options))
    assert cupy.cuda.Device().id == 0
    for x, y in zip(found, expected, strict=True):
        assert isinstance(x, cupy.ndarray), type(x)
        assert x.device.id == 1
        assert x.dtype == y.dtype
        host = cupy.asnumpy(x)
        assert host.shape == np.shape(y)
        np.testing.assert_allclose(abs(host), abs(y), rtol=1e-3, atol=1e-3)  # vectors have any sign


def test_further_samples_for_principal_components(monkeypatch):
    x = inputs("int64")["x"]
    expected = gpusvd.pca(x, whiten=True)
    cupy = stand_in.install(monkeypatch, devices=2)
    with cupy.cuda.Device(1):
        samples = cupy.asarray(x)
    found = gpusvd.pca(samples, whiten=True)
    for given in (samples, x.tolist()):
        merged = found.merge(found)
        assert merged.scores.device.id == 1
        np.testing.assert_allclose(cupy.asnumpy(merged.mean), expected.mean)
        scores = found.transform(given)
        back = found.inverse_transform(scores)
        assert scores.device.id == back.device.id == 1
        np.testing.assert_allclose(abs(cupy.asnumpy(scores)), abs(expected.transform(x)), atol=1e-9)
        np.testing.assert_allclose(cupy.asnumpy(back), x, atol=1e-9)


def test_blocks_of_several_sizes(monkeypatch):
    blocks = [inputs("float64")[name][0] for name in ("a", "q")]
    options = {"rank": 3, "across": True, "absorb": "left"}
    expected = gpusvd.truncate_ragged(gpusvd.svd_ragged(blocks), **options)
    cupy = stand_in.install(monkeypatch, devices=2)
    with cupy.cuda.Device(1):
        results = gpusvd.svd_ragged([cupy.asarray(block) for block in blocks])
    for given in (results, list(results)):
        for block, on_the_cpu in zip(gpusvd.truncate_ragged(given, **options), expected, strict=True):
            assert block.rank == on_the_cpu.rank
            assert block.left.device.id == 1
            product = cupy.asnumpy(block.left) @ cupy.asnumpy(block.right)
            np.testing.assert_allclose(product, on_the_cpu.left @ on_the_cpu.right, atol=1e-12)
