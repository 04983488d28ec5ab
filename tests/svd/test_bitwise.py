"""With driver="jacobi" the bits of a result depend on the matrix alone."""

import numpy as np
import pytest

import gpusvd
from tests.support import gallery, measures

SHAPES = [(1, 1), (2, 2), (3, 3), (5, 5), (17, 17), (9, 4), (4, 9), (33, 33), (50, 50), (65, 49), (49, 65)]
by_dtype = pytest.mark.parametrize("dtype", gallery.DTYPES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


def decompose(a, **options):
    """Every array of the result, and the singular values without vectors."""
    U, S, Vh, info = gpusvd.svd_ex(a, driver="jacobi", **options)
    return U, S, Vh, *info, gpusvd.svdvals(a, driver="jacobi", **options)


def bits(x):
    return np.ascontiguousarray(x).view(np.uint8)


def assert_same_bits(result, expected):
    for x, y in zip(result, expected, strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        np.testing.assert_array_equal(bits(x[..., None]), bits(y[..., None]))


@pytest.fixture(scope="module")
def alone():
    """Each matrix of a gallery decomposed by itself, without a batch dimension."""
    known = {}

    def results(shape, dtype):
        if (shape, dtype) not in known:
            each = [decompose(a) for a in gallery.batch(*shape, dtype)]
            known[shape, dtype] = [np.stack(arrays) for arrays in zip(*each, strict=True)]
        return known[shape, dtype]

    return results


@by_dtype
@by_shape
@pytest.mark.parametrize(
    "count", [1, 3, 16, 17, *(pytest.param(count, marks=pytest.mark.exhaustive) for count in (2, 15))]
)  # one lane of a tile, some, all, and more than one tile
def test_batch_size(alone, dtype, shape, count):
    a = gallery.batch(*shape, dtype)[:count]
    assert_same_bits(decompose(a), [x[:count] for x in alone(shape, dtype)])


@by_dtype
@by_shape
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_place_and_threads(alone, dtype, shape, threads):
    a = gallery.batch(*shape, dtype)
    order = np.random.default_rng(threads).integers(len(a), size=(3, 23))
    assert_same_bits(decompose(a[order], threads=threads), [x[order] for x in alone(shape, dtype)])


@by_dtype
@by_shape
def test_neighbours(alone, dtype, shape):
    """NaN, Inf and zero matrices in between, and batches that differ all around one matrix."""
    a = gallery.batch(*shape, dtype)
    for neighbour in (np.nan, np.inf, 0, np.finfo(dtype).max):
        mixed = np.full((2 * len(a), *shape), neighbour, dtype)
        mixed[1::2] = a
        assert_same_bits([x[1::2] for x in decompose(mixed)], alone(shape, dtype))


@by_dtype
def test_an_ill_conditioned_neighbour(dtype):
    """Kahan's matrix needs its basis accumulated; those beside it in a tile keep the one they had."""
    n = 48
    kahan, gaussian = (gallery.build(name, n, n, dtype).a for name in ("kahan", "gaussian"))
    together = decompose(np.stack([gaussian, kahan, gaussian]))
    for matrix, index in ((gaussian, 0), (kahan, 1), (gaussian, 2)):
        assert_same_bits([x[index] for x in together], decompose(matrix))
        measures.assert_svd(matrix, *(x[index] for x in together[:3]))


@by_dtype
@by_shape
def test_layout(alone, dtype, shape):
    """Other strides and byte orders of the same numbers."""
    a = gallery.batch(*shape, dtype)[:17]
    expected = [x[:17] for x in alone(shape, dtype)]
    assert_same_bits(decompose(np.asfortranarray(a)), expected)
    assert_same_bits(decompose(a.swapaxes(1, 2).copy().swapaxes(1, 2)), expected)
    assert_same_bits(decompose(np.repeat(a, 2, axis=2)[..., ::2]), expected)
    assert_same_bits(decompose(a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]), expected)
    assert_same_bits(decompose(a.astype(dtype.newbyteorder())), expected)
    once = np.broadcast_to(a[0], (17, *shape))
    assert_same_bits(decompose(once), [np.broadcast_to(x[0], x.shape) for x in expected])


@by_dtype
def test_thin_is_full_cut(dtype):
    """The thin factors and the first columns of the full ones are the same bits."""
    for m, n in ((9, 4), (4, 9), (65, 49), (49, 65)):
        a, k = gallery.batch(m, n, dtype), min(m, n)
        thin, full = (gpusvd.svd(a, full, driver="jacobi") for full in (False, True))
        assert_same_bits(thin, (full.U[..., :k], full.S, full.Vh[..., :k, :]))
