"""Dask arrays: lazily, chunk by chunk, the numbers of the functions for NumPy arrays; and on real workers."""

import inspect
import os
import re
import signal
import sys
import time

import numpy as np
import pytest

import gpusvd
from gpusvd._base.install import install
from tests.support.calls import CALLS, inputs, named, parts

da = pytest.importorskip("dask.array", reason=f"Dask is not installed: {install('dask')}")

SHAPES = {(): (), (7,): (3,), (4, 3): (2, 2), (0,): (2,), (2, 1, 3): (1, 1, 3)}


def batch(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(shape)
    return a.astype(dtype)


def chunked(a, chunks=(3,)):
    return da.from_array(a, chunks=(*chunks, *a.shape[-2:]))


def check(lazy, expected, rtol=0.0):
    """Compare a result, an array or a tuple of them, and the shape and dtype that it declared."""
    if isinstance(expected, tuple):
        assert type(lazy).__name__ == type(expected).__name__
        assert len(lazy) == len(expected)
        for x, y in zip(lazy, expected, strict=True):
            check(x, y, rtol)
        return
    if isinstance(expected, int):
        assert lazy == expected
        return
    assert isinstance(lazy, da.Array)
    computed = lazy.compute(scheduler="sync")
    assert lazy.shape == computed.shape == expected.shape
    assert lazy.dtype == computed.dtype == expected.dtype
    np.testing.assert_allclose(computed, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("full_matrices", [True, False])
def test_svd(shape, full_matrices):
    for m, n, dtype in ((4, 3, np.float64), (2, 5, np.complex64), (3, 3, np.float16), (2, 3, np.int8)):
        a = batch((*shape, m, n), dtype)
        x = chunked(a, SHAPES[shape])
        options = {"full_matrices": full_matrices, "driver": "vendor"}
        lazy = gpusvd.svd(x, **options)
        assert all(factor.chunks[: len(shape)] == x.chunks[: len(shape)] for factor in lazy)
        check(lazy, gpusvd.svd(a, **options))
        values = gpusvd.svdvals(a, driver="vendor")
        check(gpusvd.svdvals(x, driver="vendor"), values)
        check(gpusvd.svd(x, compute_uv=False, driver="vendor"), values)


def test_svd_ex_says_what_happened_to_each():
    a = batch((5, 3, 3))
    a[4, 0, 0] = np.nan
    check(gpusvd.svd_ex(chunked(a), driver="jacobi"), gpusvd.svd_ex(a, driver="jacobi"))


def test_hermitian():
    a = batch((5, 3, 3))
    check(gpusvd.svd(chunked(a), hermitian=True), gpusvd.svd(a, hermitian=True))
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        gpusvd.svd(chunked(batch((5, 3, 2))), hermitian=True)


@pytest.mark.parametrize(
    "rule",
    [
        {"rank": 2},
        {"rank": 9},
        {"rank": 2, "max_rank": 1},
        {"rank": np.arange(7) % 4},
        {"rtol": 0.5},
        {"atol": np.linspace(0, 2, 7), "max_rank": 2},
        {"energy": 0.9},
        {"error": 0.4},
        {"error": 0.4, "rank": np.arange(7) % 4, "min_rank": 2, "ties": 0.3},
        {"rank": 2, "rtol": 0.5, "ties": np.linspace(0, 1, 7)},
    ],
    ids=str,
)
def test_truncate_and_reconstruct(rule):
    a = batch((7, 5, 3))
    a[2] = np.nan
    factors = gpusvd.svd(a, full_matrices=False, driver="jacobi")
    width = {} if isinstance(rule.get("rank"), int) else {"max_rank": 3}
    expected = gpusvd.truncate(*factors, **(width | rule))
    lazy = gpusvd.truncate(*gpusvd.svd(chunked(a), full_matrices=False, driver="jacobi"), **rule)
    check(lazy, expected)
    short = gpusvd.low_rank(chunked(a), **rule)
    check(short[1::2], expected[1::2], 1e-13)
    check(gpusvd.reconstruct(*short[:3]), gpusvd.reconstruct(*expected[:3]), 1e-13)
    check(gpusvd.reconstruct(*lazy[:3]), gpusvd.reconstruct(*expected[:3]), 1e-13)


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_absorb(side):
    a = batch((7, 4, 3))
    lazy = gpusvd.low_rank(chunked(a), energy=0.9, ties=0.01, absorb=side, driver="jacobi")
    check(lazy, gpusvd.low_rank(a, energy=0.9, max_rank=3, ties=0.01, absorb=side, driver="jacobi"))
    with pytest.raises(ValueError, match="absorb must be"):
        gpusvd.low_rank(chunked(a), energy=0.9, absorb=True)


def test_limits_may_be_dask_arrays_of_other_chunks():
    a = batch((7, 4, 3))
    rank = np.arange(7) % 3 + 1
    lazy_rank = da.from_array(rank, chunks=2)
    factors, lazy = gpusvd.svd(a, driver="jacobi"), gpusvd.svd(chunked(a), driver="jacobi")
    check(gpusvd.truncate(*lazy, rank=lazy_rank), gpusvd.truncate(*factors, rank=rank, max_rank=3))
    check(gpusvd.reconstruct(*lazy, lazy_rank), gpusvd.reconstruct(*factors, rank), 1e-13)
    check(gpusvd.pinv(chunked(a), rtol=lazy_rank / 10), gpusvd.pinv(a, rtol=rank / 10), 1e-13)


@pytest.mark.parametrize(
    "limit", [{}, {"rtol": 0.3}, {"rcond": 0.3}, {"rtol": np.linspace(0, 1, 7)}], ids=str
)
def test_pinv(limit):
    a = batch((7, 4, 3))
    check(gpusvd.pinv(chunked(a), **limit), gpusvd.pinv(a, **limit), 1e-13)


@pytest.mark.parametrize("side", ["right", "left"])
def test_polar(side):
    a = batch((7, 4, 3))
    check(gpusvd.polar(chunked(a), side), gpusvd.polar(a, side), 1e-13)


@pytest.mark.parametrize("options", [{}, {"whiten": True}, {"energy": np.linspace(0.2, 1, 7)}], ids=str)
def test_pca(options):
    x, more = batch((7, 6, 4)), batch((7, 3, 4), seed=1)
    expected = gpusvd.pca(x, 3, **options)
    lazy = gpusvd.pca(chunked(x), 3, **options)
    check(lazy, expected, 1e-12)
    check(lazy.transform(chunked(more, (2,))), expected.transform(more), 1e-12)
    check(lazy.inverse_transform(lazy.scores), expected.inverse_transform(expected.scores), 1e-12)
    with pytest.raises(ValueError, match=re.escape("x has shape (7, 3, 3), expected (..., 4)")):
        lazy.transform(more[..., :3])
    for first, second in ((lazy, expected), (expected, lazy)):
        with pytest.raises(TypeError, match=r"PCAResult\.merge takes no Dask array: pass"):
            first.merge(second)
    with pytest.raises(TypeError, match="weights must be None for a Dask array"):
        gpusvd.pca(chunked(x), weights=np.ones(6))


def test_nothing_is_computed_before_it_is_asked_for():
    def fail(block):
        raise AssertionError

    x = chunked(batch((6, 3, 2))).map_blocks(fail, dtype=np.float64, meta=np.empty((0, 0, 0)))
    lazy = gpusvd.svd(x, full_matrices=False)
    gpusvd.reconstruct(*gpusvd.truncate(*lazy, energy=0.9)[:3])
    gpusvd.pinv(x)
    gpusvd.polar(x)
    gpusvd.pca(x).transform(x)
    with pytest.raises(AssertionError):
        lazy[0].compute(scheduler="sync")


def test_unknown_batch():
    a = batch((6, 3, 2))
    x = chunked(a)[da.from_array(np.arange(6) % 2 == 0, chunks=3)]
    U, S, Vh = gpusvd.svd(x)
    np.testing.assert_allclose(S.compute(scheduler="sync"), gpusvd.svdvals(a[::2]), rtol=1e-13)
    with pytest.raises(ValueError, match="unknown shape: call compute_chunk_sizes"):
        gpusvd.reconstruct(U, S, Vh)


@pytest.mark.parametrize("function", [gpusvd.svd, gpusvd.svdvals, gpusvd.svd_ex, gpusvd.pinv, gpusvd.polar])
def test_a_matrix_cut_into_chunks_is_refused_with_the_call_that_mends_it(function):
    a = da.from_array(batch((4, 6, 4)), chunks=(2, 3, 4))
    message = "the matrices of a are split into chunks ((3, 3), (4,)): pass a.rechunk({-2: -1, -1: -1})"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(a)
    function(eval(message.rpartition("pass ")[2], {"a": a}))


def test_factors_and_sets_cut_into_chunks_are_refused():
    u, s, vh = gpusvd.svd(chunked(batch((4, 6, 4))), full_matrices=False)
    with pytest.raises(ValueError, match=r"the singular values of S .* pass S.rechunk\({-1: -1}\)"):
        gpusvd.truncate(u, s.rechunk({-1: 2}), vh, rank=1)
    with pytest.raises(ValueError, match=r"the matrices of x .* pass x.rechunk"):
        gpusvd.pca(chunked(batch((4, 6, 4))).rechunk({-2: 3}))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: gpusvd.svd(x, out=()), TypeError, "out must be None for a Dask array"),
        (lambda x: gpusvd.svd(x, driver="qr"), ValueError, "driver must be"),
        (lambda x: gpusvd.svd(x[0, 0]), np.linalg.LinAlgError, "1-dimensional array given"),
        (lambda x: gpusvd.svd(x.astype("M8[s]")), TypeError, "array type datetime64"),
        (lambda x: gpusvd.pinv(x, 0.1, rtol=0.1), ValueError, "not both"),
        (lambda x: gpusvd.polar(x, "up"), ValueError, "side must be"),
        (lambda x: gpusvd.low_rank(x, rank=-1), ValueError, "rank must be at least 0"),
        (lambda x: gpusvd.low_rank(x, rtol=[0.1, 0.2]), ValueError, "does not broadcast"),
        (lambda x: gpusvd.pca(x, 9), ValueError, "n_components"),
    ],
)
def test_errors_come_at_once(call, error, message):
    with pytest.raises(error, match=message):
        call(chunked(batch((6, 3, 2))))


@pytest.mark.parametrize("call", [gpusvd.svd, gpusvd.svdvals, gpusvd.svd_ex])
def test_errors_raise_when_computed_and_name_the_matrix_of_the_whole_array(call):
    a = batch((7, 3, 2))
    lazy = call(chunked(a), errors="raise")
    first = lazy if isinstance(lazy, da.Array) else lazy[0]
    assert first.compute(scheduler="sync").shape[0] == 7
    a[4] = np.nan
    said = "1 of 3 matrices of a chunk has a NaN or Inf, .*; batch indices: 4$"
    lazy = call(chunked(a), errors="raise")
    with pytest.raises(np.linalg.LinAlgError, match=said):
        (lazy if isinstance(lazy, da.Array) else lazy[0]).compute(scheduler="sync")


def test_errors_name_matrices_of_any_batch():
    a = batch((4, 5, 3, 2))
    a[3, 4, 0, 0] = a[2, 4, 1, 1] = np.inf
    lazy = gpusvd.svdvals(chunked(a, (2, 3)), errors="raise")
    with pytest.raises(np.linalg.LinAlgError, match=r"batch indices: \(2, 4\), \(3, 4\)$"):
        lazy.compute(scheduler="sync")
    with pytest.raises(np.linalg.LinAlgError, match="The matrix has a NaN"):
        gpusvd.svdvals(chunked(a[3, 4], ()), errors="raise").compute(scheduler="sync")
    part = chunked(a[:, 4], (2,))
    unknown = part[da.from_array(np.arange(4) > 1, chunks=2)]
    with pytest.raises(np.linalg.LinAlgError, match=r"matrices have a NaN .* batch indices: 0, 1$"):
        gpusvd.svdvals(unknown, errors="raise").compute(scheduler="sync")


def lazily(arguments, prepare=lambda x: x):
    """The arguments of a call, a chunk for every matrix; `prepare` is applied when they are computed."""
    arrays = [inputs("float64")[name] for name in arguments.split()]
    single = "large" in arguments
    return [
        da.from_array(x, chunks=x.shape if single else (1, *x.shape[1:])).map_blocks(prepare, meta=x[:0])
        for x in arrays
    ]


@pytest.mark.parametrize(("name", "arguments", "options"), CALLS)
def test_every_function_is_lazy_or_says_what_to_call(name, arguments, options):
    def fail(block):
        raise AssertionError

    width = {} if "max_dim" not in inspect.signature(named(name)).parameters else {"max_dim": 3}
    options = width | options
    if name == "pca" and "weights" in options:
        with pytest.raises(TypeError, match=r"weights must be None for a Dask array: pass x\.compute\(\)"):
            named(name)(*lazily(arguments, fail), **options)
        return
    if name.startswith("linalg.") and name not in ("linalg.inv", "linalg.pinv"):
        with pytest.raises(TypeError, match=r"pass x\.compute\(\), which loads x into memory"):
            named(name)(*lazily(arguments, fail), **options)
        return
    named(name)(*lazily(arguments, fail), **options)
    found = parts(named(name)(*lazily(arguments), **options))
    expected = parts(named(name)(*(inputs("float64")[x] for x in arguments.split()), **options))
    for x, y in zip(found, expected, strict=True):
        assert isinstance(x, da.Array)
        values = x.compute(scheduler="sync")
        assert values.shape == x.shape
        assert values.dtype == x.dtype == y.dtype
        if name == "pca" and "energy" in options:  # is as wide as it may be
            values = values[tuple(map(slice, y.shape))]
        np.testing.assert_allclose(values, y, rtol=1e-9, atol=1e-9)


def test_other_functions_refuse_dask_arrays():
    x = da.ones((6, 5, 4), chunks=(2, 5, 4))
    for call in (
        lambda: gpusvd.svd_ragged(x),
        lambda: gpusvd.svd_ragged([np.ones((5, 4)), x[0]]),
        lambda: gpusvd.patches.extract(x, (2, 2)),
        lambda: gpusvd.patches.denoise(x, (2, 2)),
        lambda: gpusvd.plot.spectrum(x),
    ):
        with pytest.raises(TypeError, match=r"Dask array: pass .*\.compute\(\)"):
            list(call())


def test_a_stream_reads_slices_when_it_is_asked_for_them():
    a = batch((6, 4, 3))
    read = []
    x = chunked(a, (2,)).map_blocks(lambda block: (read.append(len(block)), block)[1], meta=a[:0])
    read.clear()
    chunks = gpusvd.stream(x, compute_uv=False, chunk=2)
    assert not read
    np.testing.assert_array_equal(next(chunks)[1], gpusvd.svdvals(a[:2]))


def test_single_matrices_weights_and_common_right_hand_sides():
    a, b = batch((7, 4, 3)), batch((4,), seed=1)
    x = da.from_array(a, chunks=(3, 4, 3))
    check(gpusvd.lstsq(x, b), gpusvd.lstsq(a, b), 1e-12)
    check(gpusvd.norm(x[0]), gpusvd.norm(a[0]), 1e-12)
    weights = np.arange(28.0).reshape(7, 4) + 1
    for given in (weights, da.from_array(weights, chunks=(2, 4))):
        check(gpusvd.kabsch(x, x[:1] + 1, given), gpusvd.kabsch(a, a[:1] + 1, weights), 1e-9)
    check(gpusvd.svt(x, da.arange(7, chunks=2) / 7), gpusvd.svt(a, np.arange(7) / 7), 1e-12)
    with pytest.raises(TypeError, match="orth of a Dask array needs max_dim"):
        gpusvd.orth(x)
    with pytest.raises(ValueError, match=r"the vectors of weights .* pass weights.rechunk\({-1: -1}\)"):
        gpusvd.kabsch(x, x, da.from_array(weights, chunks=(2, 2)))


def test_a_task_uses_one_core():
    from gpusvd._base.threads import at_most, usable_cores

    with at_most(1):
        assert usable_cores() == 1
    x = chunked(batch((6, 3, 2)))
    cores = x.map_blocks(lambda block: gpusvd.dask._on_one_core(usable_cores) + 0 * block[:, :1, :1])
    assert (cores.compute(scheduler="threads") == 1).all()


# Workers


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip(
        "distributed", reason=f"dask.distributed is not installed: {install('dask')}"
    )
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    client = distributed.Client(cluster)
    yield client
    client.close()
    cluster.close()


@pytest.mark.alone
def test_two_workers(client):
    a = batch((12, 5, 4))
    x = chunked(a)
    lazy = gpusvd.svd(x, full_matrices=False, driver="jacobi")
    expected = gpusvd.svd(a, full_matrices=False, driver="jacobi")
    for factor, wanted in zip(client.gather(client.compute(list(lazy))), expected, strict=True):
        np.testing.assert_array_equal(factor, wanted)
    np.testing.assert_array_equal(gpusvd.pca(x).scores.compute(), gpusvd.pca(a).scores)


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_worker_killed_midway(client):
    def slow(block):
        time.sleep(0.05)
        return block

    a = batch((40, 5, 4))
    x = chunked(a, (1,)).map_blocks(slow, dtype=a.dtype)
    lazy = [factor.persist() for factor in [gpusvd.svd(x, full_matrices=False, driver="jacobi").U]]
    futures = client.futures_of(lazy)
    while sum(future.done() for future in futures) < 5:
        time.sleep(0.01)
    victim, held = max(client.has_what().items(), key=lambda item: len(item[1]))
    assert held
    processes = client.run(os.getpid)
    os.kill(processes[victim], signal.SIGKILL)
    assert not all(future.done() for future in futures)
    np.testing.assert_array_equal(lazy[0].compute(), gpusvd.svd(a, full_matrices=False, driver="jacobi").U)
    assert victim not in client.scheduler_info()["workers"]


def test_truncation_of_factors_that_broadcast():
    L = gpusvd.svd(da.from_array(batch((6, 3, 3)), chunks=(4, 3, 3)))
    for rank in (1, 2):
        t = gpusvd.truncate(L.U, da.ones(3), da.ones((1, 3, 3)), rank=rank)
        for part in t:
            assert part.shape == part.compute().shape
