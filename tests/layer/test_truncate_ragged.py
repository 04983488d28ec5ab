"""Truncation of blocks of several sizes, each as `truncate` does or all as one block-diagonal matrix."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import gpusvd

examples = settings(deadline=None, max_examples=60)
RULES = [
    {"rank": 4},
    {"rtol": 0.2},
    {"atol": 1.0},
    {"energy": 0.8},
    {"error": 0.3},
    {"error": 0.1, "rank": 5, "min_rank": 2},
    {"rtol": 0.3, "ties": 0.2},
]
by_rule = pytest.mark.parametrize("rule", RULES, ids=str)

shapes = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6)


def blocks_of(sizes, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(size).astype(dtype) for size in sizes]


def diagonal(blocks):
    """The block-diagonal matrix of all blocks."""
    whole = np.zeros(np.sum([b.shape for b in blocks], axis=0, dtype=int))
    row = column = 0
    for block in blocks:
        m, n = block.shape
        whole[row : row + m, column : column + n] = block
        row, column = row + m, column + n
    return whole


@by_rule
@pytest.mark.parametrize("dtype", "efdF")
def test_by_block_as_each_by_itself(dtype, rule):
    blocks = blocks_of([(5, 3), (2, 6), (5, 3), (1, 1), (0, 4)], dtype)
    results = gpusvd.svd_ragged(blocks)
    for given_blocks in (results, list(results), iter(list(results))):
        truncated = gpusvd.truncate_ragged(given_blocks, **rule)
        for t, factors in zip(truncated, results, strict=True):
            expected = gpusvd.truncate(*factors, **rule)
            assert t.rank == expected.rank
            for x, y in zip(t[:3], expected[:3], strict=True):
                np.testing.assert_array_equal(x, y)
                assert x.dtype == y.dtype


@examples
@given(shapes, st.sampled_from(RULES))
def test_across_is_the_block_diagonal_matrix(sizes, rule):
    blocks = blocks_of(sizes)
    truncated = gpusvd.truncate_ragged(gpusvd.svd_ragged(blocks), across=True, **rule)
    if not blocks:
        assert truncated == []
        return
    whole = gpusvd.low_rank(diagonal(blocks), **rule)
    kept = np.concatenate([t.S for t in truncated])  # of zeros the whole has more
    assert (kept > 1e-12).sum() == (whole.S > 1e-12).sum()
    rebuilt = diagonal([gpusvd.reconstruct(*t) for t in truncated])
    np.testing.assert_allclose(rebuilt, gpusvd.reconstruct(*whole), atol=1e-13)


def test_multiplets_across_blocks():
    blocks = gpusvd.svd_ragged([np.diag([4.0, 1.0]), np.diag([1.0, 1.0, 0.1]), [[1.0]]])
    cut = gpusvd.truncate_ragged(blocks, across=True, rank=3)
    whole = gpusvd.truncate_ragged(blocks, across=True, rank=3, ties=1e-9)
    kept = gpusvd.truncate_ragged(blocks, across=True, error=0.4, ties=1e-9)
    assert [int(t.rank) for t in cut] == [2, 1, 0]
    assert [int(t.rank) for t in whole] == [1, 0, 0]
    assert [int(t.rank) for t in kept] == [2, 2, 1]


def test_zeros_are_no_longer_a_multiplet_than_their_block():
    blocks = [np.diag([1.0, 0.0]), np.diag([5.0, 4.0, 3.0, 2.0, 1.0])]
    truncated = gpusvd.truncate_ragged(gpusvd.svd_ragged(blocks), rank=3, ties=[1e-9, 0.0])
    assert [t.rank for t in truncated] == [2, 3]


def test_a_limit_for_each_block():
    blocks = gpusvd.svd_ragged(blocks_of([(4, 3), (5, 5), (4, 3)]))
    truncated = gpusvd.truncate_ragged(blocks, rank=[1, 4, 9], rtol=[0.0, 0.0, 0.999])
    assert [t.S.shape for t in truncated] == [(1,), (4,), (1,)]
    with pytest.raises(ValueError, match=r"rank of shape \(3,\) must be a number$"):
        gpusvd.truncate_ragged(blocks, rank=[1, 4, 9], across=True)
    with pytest.raises(ValueError, match=r"ties of shape \(1, 3\) must be a number, or one for each block"):
        gpusvd.truncate_ragged(blocks, rank=1, ties=[[1, 4, 9]])


@pytest.mark.parametrize("across", [False, True])
def test_nan_stays_with_its_block(across):
    blocks = blocks_of([(4, 3), (4, 3), (2, 5)])
    blocks[1][0, 0] = np.nan
    results = gpusvd.svd_ragged(blocks)
    a, bad, b = gpusvd.truncate_ragged(results, error=0.3, across=across)
    assert bad.rank == 0
    assert bad.U.shape == (4, 1)
    assert all(np.isnan(x).all() for x in bad[:3])
    others = gpusvd.truncate_ragged([results[0], results[2]], error=0.3, across=across)
    for t, expected in zip((a, b), others, strict=True):
        np.testing.assert_array_equal(t.S, expected.S)


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_absorb(backend, side):
    results = [
        tuple(map(backend.array, factors)) for factors in gpusvd.svd_ragged(blocks_of([(4, 3), (2, 5)]))
    ]
    products = gpusvd.truncate_ragged(results, rank=3, across=True, absorb=side)
    for product, t in zip(products, gpusvd.truncate_ragged(results, rank=3, across=True), strict=True):
        product, t = backend.numpy(product), backend.numpy(t)
        np.testing.assert_allclose(product.left @ product.right, gpusvd.reconstruct(*t), atol=1e-14)
        assert product.rank == t.rank


def test_results_are_views():
    blocks = gpusvd.svd_ragged(blocks_of([(4, 3), (4, 3)]))
    (t, _) = gpusvd.truncate_ragged(blocks, rank=2)
    assert np.shares_memory(t.U, blocks.buckets[0][1].U)


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ([1.0], TypeError, r"blocks\[0\] is no tuple of U, S and Vh"),
        (gpusvd.svd(np.ones((4, 2, 2))), TypeError, "a batch goes to truncate"),
        (None, TypeError, "blocks is a NoneType, expected what svd_ragged returns, or a list"),
        (gpusvd.svd_ragged([np.eye(2)], compute_uv=False), TypeError, "expected U, S and Vh of each"),
        ([gpusvd.svd(np.eye(2)), gpusvd.svd(np.ones((1, 2, 2)))], ValueError, r"blocks\[1\] is a batch"),
        ([(np.eye(2), [1.0, 0, 0], np.eye(2))], ValueError, r"blocks\[0\]: U \(2, 2\), S \(3,\)"),
    ],
)
def test_what_is_no_block(blocks, error, message):
    with pytest.raises(error, match=message):
        gpusvd.truncate_ragged(blocks, rank=1)


def test_no_rule():
    with pytest.raises(ValueError, match="give at least one of rank"):
        gpusvd.truncate_ragged([], ties=0.1)


def test_dask_blocks_are_refused():
    da = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match="truncate_ragged takes no Dask array: pass"):
        gpusvd.truncate_ragged([(da.eye(2), da.ones(2), da.eye(2))], rank=1)
