"""BLAS and its threads: one on each matrix while a batch is shared, all of them before and after."""

import os
import threading

import numpy as np
import pytest

import gpusvd
from gpusvd import _blas, _vendor

BLAS = _blas._threads()
pytestmark = pytest.mark.skipif(BLAS is None, reason="this BLAS cannot be told how many threads to use")


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.fixture(autouse=True)
def two_threads():
    """BLAS with two threads, also on a single core."""
    before = BLAS.get()
    BLAS.set(2)
    assert BLAS.get() == 2
    yield
    assert BLAS.get() == 2
    BLAS.set(before)


@pytest.fixture
def seen(monkeypatch):
    """The threads that BLAS had, and the threads that called LAPACK, for each piece of a batch."""
    found = []
    lapack = _vendor._lapack

    def watched(*arguments):
        found.append((BLAS.get(), threading.get_ident()))
        return lapack(*arguments)

    monkeypatch.setattr(_vendor, "_lapack", watched)
    return found


def test_a_batch_has_one_on_each_matrix(seen):
    gpusvd.svd(random(20, 64, 64), driver="vendor", threads=2)
    assert [threads for threads, _ in seen] == [1] * 4
    assert gpusvd.explain((20, 64, 64), driver="vendor", threads=2).threads == 2


@pytest.mark.parametrize("shape", [(200, 200), (700, 800), (3, 700, 800), (3, 8, 8)], ids=str)
def test_others_are_left_to_blas(shape, seen):
    gpusvd.svdvals(random(*shape), driver="vendor", threads=2)
    assert {threads for threads, _ in seen} == {2}
    assert gpusvd.explain(shape, driver="vendor", threads=2).threads == (2 if shape == (3, 8, 8) else 1)


def test_a_blas_that_cannot_be_told(seen, monkeypatch):
    monkeypatch.setattr(_blas, "_threads", lambda: None)
    gpusvd.svd(random(20, 64, 64), driver="vendor", threads=2)
    assert set(seen) == {(2, threading.get_ident())}
    assert gpusvd.explain((20, 64, 64), driver="vendor", threads=2).threads == 1


def test_the_bits_do_not_depend_on_who_is_in_the_batch():
    a = random(12, 130, 130)
    whole = gpusvd.svd(a, driver="vendor", threads=2)
    for batch in (slice(3, 4), slice(3, 12)):
        for part, of_whole in zip(gpusvd.svd(a[batch], driver="vendor", threads=1), whole, strict=True):
            np.testing.assert_array_equal(part, of_whole[batch])


def test_the_last_one_to_leave_gives_the_threads_back():
    inside, go = threading.Event(), threading.Event()

    def stay():
        with _blas.shared((5,), 64, 64, 8, 2):
            inside.set()
            go.wait(10)

    other = threading.Thread(target=stay)
    other.start()
    inside.wait(10)
    with pytest.raises(ZeroDivisionError), _blas.shared((5,), 64, 64, 8, 2) as pool:
        pool // 0
    assert BLAS.get() == 1
    go.set()
    other.join()
    assert BLAS.get() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_starts_outside():
    with _blas.shared((5,), 64, 64, 8, 2):
        child = os.fork()
        if child == 0:
            os._exit(_blas._limit.within)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert _blas._limit.within == 1


def test_products_too(monkeypatch):
    u, s, vh = random(10, 200, 200), random(10, 200), random(10, 200, 200)
    found = []
    matmul = np.matmul
    monkeypatch.setattr(np, "matmul", lambda *x, **y: (found.append(BLAS.get()), matmul(*x, **y))[1])
    np.testing.assert_allclose(gpusvd.reconstruct(u, s, vh), (u * s[:, None]) @ vh)
    assert found
    assert found == [1] * len(found)
