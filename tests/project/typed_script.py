"""A user's script, as type checkers see it: `test_types.py` runs mypy and pyright on it."""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Iterator
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import gpusvd

Array = NDArray[Any]
Where = slice | tuple[int | slice, ...]


def one_batch(a: NDArray[np.float64], with_vectors: bool) -> None:
    assert_type(gpusvd.svd(a), gpusvd.SVDResult)
    assert_type(gpusvd.svd(a, False, out=None), gpusvd.SVDResult)
    assert_type(gpusvd.svd(a, compute_uv=False), Array)
    assert_type(gpusvd.svd(a, False, False), Array)
    assert_type(gpusvd.svd(a, compute_uv=with_vectors), gpusvd.SVDResult | Array)
    assert_type(gpusvd.svd(a, False, with_vectors), gpusvd.SVDResult | Array)
    assert_type(gpusvd.svd([[3, 0], [0, 4]]).U, Array)
    assert_type(gpusvd.svdvals(a), Array)
    assert_type(gpusvd.svd_ex(a).info.converged, Array)
    assert_type(gpusvd.explain(a.shape, a.dtype, driver="jacobi").why, str)
    assert_type(gpusvd.explain(a, threads=2).lanes, int)
    assert_type(gpusvd.explain([a, (3, 3)], device="cuda")[0].driver, str)
    gpusvd.warmup([(8, 8), (3, 3)], "float32")
    gpusvd.warmup(a)


def chunks(a: NDArray[np.float64], out: NDArray[np.float64], with_vectors: bool) -> None:
    for where, factors in gpusvd.stream(a, full_matrices=False, chunk=2):
        assert_type(where, Where)
        assert_type(factors, gpusvd.SVDResult)
    assert_type(gpusvd.stream("batch.npy", compute_uv=False), Iterator[tuple[Where, Array]])
    assert_type(gpusvd.stream(a, compute_uv=with_vectors), Iterator[tuple[Where, gpusvd.SVDResult | Array]])
    assert_type(gpusvd.stream(iter([a, a])), Iterator[tuple[Where, gpusvd.SVDResult]])
    assert_type(gpusvd.stream(a, compute_uv=False, out=out), NDArray[np.float64])

    largest: list[float] = []

    def keep(where: Where, result: gpusvd.SVDResult) -> None:
        largest.append(float(result.S.max()))

    gpusvd.stream(a, keep, progress=True)
    assert_type(gpusvd.stream(a, function=gpusvd.polar), Iterator[tuple[Where, gpusvd.PolarResult]])
    assert_type(gpusvd.stream(a, function=gpusvd.nearest_orthogonal, out=out), NDArray[np.float64])
    gpusvd.stream(a, keep, function=gpusvd.svd, chunk=3)
    gpusvd.stream(a, lambda where, S: largest.append(float(S.max())), compute_uv=False)


def several_sizes(matrices: list[NDArray[np.float64]], with_vectors: bool) -> None:
    for factors in gpusvd.svd_ragged(matrices):
        assert_type(factors, gpusvd.SVDResult)
    values = gpusvd.svd_ragged(matrices, compute_uv=False)
    assert_type(values, gpusvd.RaggedResult[Array])
    assert_type(values[0], Array)
    assert_type(gpusvd.svd_ragged(matrices, compute_uv=with_vectors)[0], gpusvd.SVDResult | Array)
    blocks = gpusvd.svd_ragged(matrices)
    assert_type(gpusvd.truncate_ragged(blocks, across=True, rank=9), list[gpusvd.TruncatedSVD])
    assert_type(gpusvd.truncate_ragged(list(blocks), rtol=0.1, absorb="left")[0].left, Array)


def layer(a: NDArray[np.float64], with_scale: bool) -> None:
    assert_type(gpusvd.low_rank(a, energy=0.9).rank, Array)
    assert_type(gpusvd.low_rank(a, energy=0.9, absorb="both").left, Array)
    f = gpusvd.svd(a)
    assert_type(gpusvd.truncate(f.U, f.S, f.Vh, rank=2, ties=1e-6), gpusvd.TruncatedSVD)
    assert_type(gpusvd.reconstruct(*gpusvd.truncate(*f, energy=0.9)), Array)
    assert_type(gpusvd.lstsq(a, np.ones(3)).x, Array)
    assert_type(gpusvd.kabsch(a, a), gpusvd.KabschResult)
    assert_type(gpusvd.kabsch(a, a, scale=True).scale, Array)
    assert_type(gpusvd.kabsch(a, a, scale=with_scale), gpusvd.KabschResult | gpusvd.SimilarityResult)
    assert_type(gpusvd.pca(a).transform(a), Array)
    assert_type(gpusvd.pca(a).merge(gpusvd.pca(a)).mean, Array)


def submodules(a: NDArray[np.float64]) -> None:
    assert_type(gpusvd.linalg.svdvals(a), Array)
    assert_type(gpusvd.patches.extract(a, (2, 2)), Array)
    assert_type(gpusvd.device.svd_function(2, 2, "float64", target="cpu")(a, a, a[0], a), bool)
    gpusvd.svd_of_everything(a)  # type: ignore[attr-defined]
