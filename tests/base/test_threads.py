"""Many threads at once, forked children, Ctrl-C, and how much memory a call takes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpusvd
from gpusvd._base.threads import for_each
from gpusvd._cpu import compile as cpu_compile
from gpusvd._cuda import launch as cuda_launch

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and signals")


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def assert_same(result, expected):
    for x, y in zip(result, expected, strict=True):
        np.testing.assert_array_equal(x, y, strict=True)


def test_many_threads_at_once(driver):
    arguments = [(random(1000 + i, 8, 8 - i % 4), 1 + i % 3) for i in range(12)]
    expected = [gpusvd.svd(a, driver=driver, threads=1) for a, _ in arguments]
    with ThreadPoolExecutor(6) as pool:
        results = list(
            pool.map(lambda given: gpusvd.svd(given[0], driver=driver, threads=given[1]), arguments)
        )
    for result, wanted in zip(results, expected, strict=True):
        assert_same(result, wanted)


def in_child(a, driver, connection):
    connection.send(gpusvd.svd(a, driver=driver, threads=2).S)
    connection.close()


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_after_use_in_the_parent(driver):
    a = random(5000, 8, 8)
    expected = gpusvd.svd(a, driver=driver, threads=2).S
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=in_child, args=(a, driver, theirs))
    child.start()
    try:
        assert ours.poll(60)
        np.testing.assert_array_equal(ours.recv(), expected)
    finally:
        child.join(10)
        child.kill()
    assert child.exitcode == 0


@posix
@pytest.mark.parametrize("module", [cpu_compile, cuda_launch], ids=["cpu", "cuda"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_forked_child_while_another_thread_compiles(module):
    holds = threading.Event()

    def compile_slowly():
        with module._lock:
            holds.set()
            time.sleep(0.2)

    other = threading.Thread(target=compile_slowly)
    other.start()
    assert holds.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if module._lock.acquire(timeout=5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other.join()
    assert not module._lock.locked()


LONG_CALL = """
import sys
import numpy as np
import gpusvd

driver, threads, n, batch = sys.argv[1], *map(int, sys.argv[2:])
one = np.random.default_rng(0).standard_normal((n, n))
gpusvd.svdvals(one, driver=driver)
print("ready", flush=True)
try:
    gpusvd.svdvals(np.broadcast_to(one, (batch, n, n)), driver=driver, threads=threads)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@posix
@pytest.mark.alone
@pytest.mark.parametrize(("n", "batch"), [(8, 10**7), (64, 10**5), (500, 40)])
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_stops_a_long_call(driver, threads, n, batch):
    child = subprocess.Popen(
        [sys.executable, "-c", LONG_CALL, driver, *map(str, (threads, n, batch))],
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        assert child.poll() is None
        begin = time.perf_counter()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "stopped\n"
        assert time.perf_counter() - begin < 1
    assert child.returncode == 0


def test_for_each_does_every_piece_once():
    for threads in (1, 2, 5):
        for count in (0, 1, 2, 100):
            done = []
            for_each(done.append, range(count), threads)
            assert sorted(done) == list(range(count))


@pytest.mark.parametrize("threads", [1, 3])
def test_for_each_passes_errors_on_and_drops_the_rest(threads):
    done = []

    def task(piece):
        done.append(piece)
        time.sleep(0.001)
        if piece == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each(task, range(10000), threads)
    assert threads > 1 or done == [0, 1, 2, 3]
    assert len(done) < 10000


PEAK = """
import sys
import numpy as np
import gpusvd

driver, layout = sys.argv[1:]
rng = np.random.default_rng(0)
layouts = {
    "contiguous": lambda a: a,
    "transposed": lambda a: a.swapaxes(-1, -2),
    "batch last": lambda a: np.moveaxis(a.reshape(8, 8, -1), -1, 0),
    "many dimensions": lambda a: a.reshape(100, -1, 2, 8, 8).swapaxes(0, 1),
    "integer": lambda a: (100 * a).astype(np.int8),
    "big-endian": lambda a: a.astype(">f8"),
    "float32": lambda a: a.astype("f"),
    "float16": lambda a: a.astype("e"),
}
a = layouts[layout](rng.standard_normal((100_000, 8, 8)))
first = gpusvd.svd(a[:2], driver=driver)
batch = a.shape[:-2]
out = tuple(np.ones((*batch, *core), x.dtype) for core, x in zip([(8, 8), (8,), (8, 8)], first))


def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # begin to look for the peak anew
before = status("VmRSS")
gpusvd.svd(a, driver=driver, threads=2, out=out)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize(
    "layout",
    [
        "contiguous",
        "transposed",
        "batch last",
        "many dimensions",
        "integer",
        "big-endian",
        "float32",
        "float16",
    ],
)
def test_memory_does_not_grow_with_the_batch(driver, layout):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, driver, layout], capture_output=True, text=True, check=True, timeout=100
    )
    assert float(done.stdout) < 32
