import importlib
import importlib.util
import sys

import pytest

from tests.support import backends


def pytest_addoption(parser):
    parser.addoption("--exhaustive", action="store_true", help="run the tests marked exhaustive too")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked exhaustive unless it is asked for."""
    if not config.getoption("exhaustive"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


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
    from gpusvd._cuda import jacobi, launch
    from tests.support import stand_in_cupy

    module = stand_in_cupy.module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(launch, "launch", stand_in_cupy.launch)
    monkeypatch.setattr(jacobi, "_THREADS", 8)
    return module
