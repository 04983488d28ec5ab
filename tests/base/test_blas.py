"""BLAS and its threads: one on each matrix while a batch is shared, all of them before and after."""

import gc
import linecache
import os
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest

import gpusvd
from gpusvd._base import blas as _blas
from gpusvd._cpu import lapack
from gpusvd._layer import products as _product

BLAS = _blas._threads()
BATCH = _blas.Sizes(5, 64, 64, 8, 3 * 8 * 64 * 64)
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
    shipped = lapack._lapack

    def watched(*arguments):
        found.append((BLAS.get(), threading.get_ident()))
        return shipped(*arguments)

    monkeypatch.setattr(lapack, "_lapack", watched)
    return found


def test_a_batch_has_one_on_each_matrix(seen):
    gpusvd.svd(random(20, 64, 64), driver="vendor", threads=2)
    assert [threads for threads, _ in seen] == [1] * 4
    assert gpusvd.explain((20, 64, 64), driver="vendor", threads=2).threads == 2


@pytest.mark.parametrize("shape", [(200, 200), (1, 200, 200), (3, 1500, 1500), (3, 8, 8)], ids=str)
def test_others_are_left_to_blas(shape, seen):
    gpusvd.svdvals(random(*shape), driver="vendor", threads=2)
    assert {threads for threads, _ in seen} == {2}
    assert gpusvd.explain(shape, driver="vendor", threads=2).threads == (2 if shape == (3, 8, 8) else 1)


def test_a_blas_that_cannot_be_told(seen, monkeypatch):
    monkeypatch.setattr(_blas, "_threads", lambda: None)
    gpusvd.svd(random(20, 64, 64), driver="vendor", threads=2)
    assert set(seen) == {(2, threading.get_ident())}
    assert gpusvd.explain((20, 64, 64), driver="vendor", threads=2).threads == 1


def test_full_vectors_count(seen):
    gpusvd.svd(random(40, 100, 33), driver="vendor", threads=2)  # OpenBLAS takes two threads for U alone
    assert {threads for threads, _ in seen} == {1}
    assert gpusvd.explain((3, 3000, 48), driver="vendor", threads=2).threads == 1
    assert gpusvd.explain((3, 3000, 48), driver="vendor", full_matrices=False, threads=2).threads == 2


def test_the_bits_of_a_stream_do_not_depend_on_its_chunks(seen):
    a = random(5, 130, 130)
    whole = gpusvd.svd(a, driver="vendor", threads=2)
    for chunk in (1, 2, 4):
        results = [result for _, result in gpusvd.stream(a, chunk=chunk, driver="vendor")]
        for parts, of_whole in zip(zip(*results, strict=True), whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(parts), of_whole)
    assert {threads for threads, _ in seen} == {1}


def test_the_last_one_to_leave_gives_the_threads_back():
    inside, go = threading.Event(), threading.Event()

    def stay():
        with _blas.shared(BATCH, 2):
            inside.set()
            go.wait(10)

    other = threading.Thread(target=stay)
    other.start()
    inside.wait(10)
    with pytest.raises(ZeroDivisionError), _blas.shared(BATCH, 2) as pool:
        pool // 0
    assert BLAS.get() == 1
    go.set()
    other.join()
    assert BLAS.get() == 2


def test_ctrl_c_between_any_two_steps():
    """Raised after each line of what a call does, it leaves nothing behind."""
    gc.freeze()  # so that collecting what an interrupt left behind does not visit all that other tests hold
    for steps in range(40):
        left = iter(range(steps))

        def trace(frame, event, _, left=left):
            if frame.f_code.co_filename != _blas.__file__:
                return None
            # A signal is not handled between the body of a with statement and its end, where a line begins.
            line = linecache.getline(_blas.__file__, frame.f_lineno).strip()
            if event != "line" or line.startswith("with ") or frame.f_code.co_name == "__del__":
                return trace
            if next(left, None) is None:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        with suppress(KeyboardInterrupt):
            sys.settrace(trace)
            try:
                with _blas.one_thread():
                    pass
            finally:
                sys.settrace(None)
        gc.collect()
        assert BLAS.get() == 2, steps
    gc.unfreeze()
    assert _blas._Call.lock.acquire(blocking=False)
    _blas._Call.lock.release()
    other = threading.Thread(target=lambda: _blas._Call.lock.acquire() and _blas._Call.lock.release())
    other.start()
    other.join(5)
    assert not other.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_child_of_a_fork_has_the_threads_of_its_parent():
    with _blas.shared(BATCH, 2):
        child = os.fork()
        if child == 0:
            os._exit(BLAS.get())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        assert BLAS.get() == 1


def test_a_product_alone_is_made_once(monkeypatch):
    calls = []
    matmul = np.matmul
    monkeypatch.setattr(_product, "matmul", lambda x, y, out=None: (calls.append(x.shape), matmul(x, y))[1])
    gpusvd.reconstruct(random(1, 200, 200), random(1, 200), random(1, 200, 200))
    assert [shape for shape in calls if shape[0]] == [(1, 200, 200)]


def test_products_too(monkeypatch):
    u, s, vh = random(10, 200, 200), random(10, 200), random(10, 200, 200)
    found = []
    matmul = np.matmul
    monkeypatch.setattr(np, "matmul", lambda *x, **y: (found.append(BLAS.get()), matmul(*x, **y))[1])
    np.testing.assert_allclose(gpusvd.reconstruct(u, s, vh), (u * s[:, None]) @ vh)
    assert found
    assert found == [1] * len(found)
