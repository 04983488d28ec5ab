"""Matrices of several sizes: what `svd` gives for each, in the order given."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._svd import ragged as _ragged
from tests.support import stand_in

SHAPES = [(3, 3), (4, 2), (2, 4), (1, 1), (0, 3), (3, 0), (3, 3)]
DTYPES = ["f", "d", ">f8", "i4", "?", "e"]


def matrix(number, shape, dtype):
    return (5 * np.random.default_rng(number).standard_normal(shape)).astype(dtype)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(DTYPES)), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_each_as_by_itself(kinds, full_matrices, compute_uv):
    matrices = [matrix(i, *kind) for i, kind in enumerate(kinds)]
    options = {"driver": "jacobi", "full_matrices": full_matrices, "compute_uv": compute_uv}
    results = gpusvd.svd_ragged(matrices, **options)
    assert len(results) == len(matrices)
    for a, item, again in zip(matrices, results, (results[i] for i in range(len(results))), strict=True):
        expected = gpusvd.svd(a, **options)
        assert type(item) is type(again) is type(expected)
        for x, y, z in zip(item, again, expected, strict=True):
            np.testing.assert_array_equal(x, z, strict=True)
            np.testing.assert_array_equal(y, z, strict=True)


def test_one_call_for_each_size(monkeypatch):
    calls = []
    decompose = _ragged.decompose

    def counted(a, *options, **named):
        calls.append(a.shape)
        return decompose(a, *options, **named)

    monkeypatch.setattr(_ragged, "decompose", counted)
    results = gpusvd.svd_ragged([np.eye(2), np.eye(3), np.eye(2), np.eye(2, dtype="f"), np.eye(2)])
    assert Counter(calls) == {(3, 2, 2): 1, (1, 3, 3): 1, (1, 2, 2): 1}
    assert [indices.tolist() for indices, _ in results.buckets] == [[0, 2, 4], [1], [3]]
    assert [factors.S.shape for _, factors in results.buckets] == [(3, 2), (1, 3), (1, 2)]


def test_what_a_sequence_does():
    results = gpusvd.svd_ragged((n * np.eye(n) for n in (1, 2, 3)), compute_uv=False)
    assert results[-1].tolist() == pytest.approx([3, 3, 3])
    three, two, one = map(pytest.approx, ([3, 3, 3], [2, 2], [1]))
    assert [S.tolist() for S in results[::-2]] == [three, one]
    assert [S.tolist() for S in reversed(results)] == [three, two, one]
    assert repr(results) == "<RaggedResult of 3 matrices in 3 sizes>"
    with pytest.raises(IndexError, match="index 3 is out of range: there are 3 results"):
        results[3]
    assert list(gpusvd.svd_ragged([])) == []


def test_lists_and_batches():
    results = gpusvd.svd_ragged([[[3, 4]], 2 * np.eye(1)], compute_uv=False)
    assert [S.item() for S in results] == pytest.approx([5, 2])
    ones = gpusvd.svd_ragged(np.ones((2, 1, 1)), compute_uv=False)
    assert [S.item() for S in ones] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("matrices", "options", "error", "part"),
    [
        (3, {}, TypeError, "matrices must be a list of matrices, not int"),
        ([np.eye(2), np.ones(3)], {}, LinAlgError, r"matrices\[1\] has shape \(3,\)"),
        ([np.eye(2), np.ones((1, 2, 3))], {}, LinAlgError, r"matrices\[1\] has shape \(1, 2, 3\)"),
        ([np.eye(2), np.ones((2, 3))], {"hermitian": True}, LinAlgError, r"matrices\[1\] .* be square"),
        ([np.eye(2), np.eye(2, dtype="g")], {}, TypeError, r"of matrices\[1\] is unsupported"),
        ([np.eye(2), [[1, 2], [3]]], {}, ValueError, r"matrices\[1\] cannot be converted to an array"),
        ([], {"driver": "best"}, ValueError, "driver must"),
        ([], {"errors": "best"}, ValueError, "errors must"),
        ([], {"threads": 0}, ValueError, "threads must"),
        ([], {"device": "gpu"}, ValueError, "device must"),
    ],
)
def test_refusals(matrices, options, error, part):
    with pytest.raises(error, match=part):
        gpusvd.svd_ragged(matrices, **options)


def test_bad_matrices_by_their_index_in_the_list():
    matrices = [np.eye(2), np.eye(3), np.full((2, 2), np.nan), np.full((3, 3), np.inf)]
    results = gpusvd.svd_ragged(matrices, compute_uv=False)
    assert [bool(np.isnan(S).any()) for S in results] == [False, False, True, True]
    with pytest.raises(LinAlgError, match=r"^2 of 4 matrices have a NaN .* indices: 2, 3$"):
        gpusvd.svd_ragged(matrices, errors="raise")


def test_in_gpu_memory(monkeypatch):
    cupy = stand_in.install(monkeypatch)
    matrices = [matrix(i, shape, "f") for i, shape in enumerate([(2, 2), (3, 1), (2, 2)])]
    on_device = [cupy.asarray(a) for a in matrices]
    for mixed in (on_device, [on_device[0], matrices[1], on_device[2]]):
        for a, item, given_ in zip(matrices, gpusvd.svd_ragged(mixed), mixed, strict=True):
            assert type(item.S) is type(given_)
            np.testing.assert_allclose(cupy.asnumpy(item.S), np.linalg.svdvals(a), rtol=1e-5)
    bad = [*on_device, cupy.asarray(np.full((2, 2), np.nan, "f"))]
    with pytest.raises(LinAlgError, match=r"1 of 4 matrices .* 3$"):
        gpusvd.svd_ragged(bad, errors="raise")


def test_an_error_of_the_generator_is_its_own():
    def matrices():
        yield np.eye(2)
        raise TypeError("of the generator")

    with pytest.raises(TypeError, match="of the generator"):
        gpusvd.svd_ragged(matrices())
