import importlib
import importlib.util
import signal
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.support import backends, optional

try:
    import fcntl
except ImportError:  # on Windows the marker `alone` has no effect
    fcntl = None


LEFT_OUT = pytest.StashKey()


@pytest.fixture(params=["jacobi", "vendor"])
def driver(request):
    """The name of each driver by turns."""
    return request.param


@pytest.fixture(params=backends.NAMES)
def backend(request):
    """Each array library by turns, a `tests.support.backends.Backend`."""
    return backends.make(request.param)


def has_device():
    """Whether CuPy finds a CUDA device."""
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    try:
        return cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


@pytest.fixture(
    params=["stand-in", pytest.param("device", marks=pytest.mark.gpu)],
)
def cupy(request, monkeypatch):
    """CuPy on a device, or what stands in for it, with few threads a block."""
    if request.param == "device":
        if not has_device():
            pytest.skip("there is no CuPy, or no CUDA device")
        return importlib.import_module("cupy")
    from tests.support.stand_in import install

    return install(monkeypatch)


def pytest_configure():
    # A shell has what it starts in the background ignore Ctrl-C, which the processes of tests would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Which tests run, and in which order


def pytest_ignore_collect(collection_path, config):
    """Leave out files whose libraries are not installed; `pytest_terminal_summary` names them."""
    if collection_path.suffix == ".py" and (missing := optional.missing(collection_path)):
        config.stash.setdefault(LEFT_OUT, {})[collection_path] = missing
        return True
    return None


def pytest_terminal_summary(terminalreporter, config):
    for path, libraries in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.line(f"not collected: {path.name}, for lack of {', '.join(sorted(libraries))}")


def pytest_addoption(parser):
    parser.addoption("--exhaustive", action="store_true", help="run the tests marked `exhaustive` too")


def pytest_collection_modifyitems(config, items):
    """Leave the exhaustive tests out unless they are asked for, and put those marked `alone` last."""
    if not config.option.exhaustive and "exhaustive" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("exhaustive")])
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


# Tests that need the machine for themselves, under pytest-xdist


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    several = fcntl is not None and hasattr(item.config, "workerinput")
    with machine(item.get_closest_marker("alone") is not None) if several else nullcontext():
        return (yield)


@contextmanager
def machine(alone):
    """Hold the machine, together with other processes or alone: locks on two files that every process has.

    All come through the gate, and a test that is to be alone keeps it shut while it waits for the others.
    """
    with Path(__file__).open() as gate, Path(backends.__file__).open() as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
