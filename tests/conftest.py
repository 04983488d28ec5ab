import pytest

from tests import backends


@pytest.fixture(params=["jacobi", "vendor"])
def driver(request):
    """The name of each driver by turns."""
    return request.param


@pytest.fixture(params=backends.NAMES)
def backend(request):
    """Each array library by turns, a `tests.backends.Backend`."""
    return backends.make(request.param)
