import pytest


@pytest.fixture(params=["jacobi", "vendor"])
def driver(request):
    """The name of each driver by turns."""
    return request.param
