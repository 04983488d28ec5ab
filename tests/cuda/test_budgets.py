"""No kernel costs more than the table says, and none breaks its promise.

Representative kernels on sm_90; with GPUSVD_ALL_BUDGETS=1 all kernels on all architectures.
"""

import os
import sys

import pytest

from tests.cuda_compile import ARCHITECTURES, cuda_kernels, table

ALL = bool(os.environ.get("GPUSVD_ALL_BUDGETS"))
CHECKED = [
    pytest.param(kernel, arch, id=f"{kernel.name} {arch}")
    for kernel in cuda_kernels()
    for arch in ARCHITECTURES
    if ALL or (kernel.is_representative and arch == "sm_90")
]
needs_tools = pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's compilers are packaged for Linux")


def test_the_table_has_all_kernels():
    rows = [(name, arch) for name, of_kernel in table.read()["kernels"].items() for arch in of_kernel]
    assert rows == [(kernel.name, arch) for kernel in cuda_kernels() for arch in ARCHITECTURES], (
        "python -m tests.cuda_compile --write"
    )


def test_some_kernels_are_representative():
    assert CHECKED


@needs_tools
@pytest.mark.parametrize(("kernel", "arch"), CHECKED)
def test_cost(kernel, arch):
    measured = table.row(kernel, arch)
    assert table.worse(measured, table.read()["kernels"][kernel.name][arch]) == []
    assert table.broken_promises(kernel, measured, arch) == []


@pytest.mark.parametrize("kernel", cuda_kernels(), ids=lambda kernel: kernel.name)
def test_the_table_keeps_promises(kernel):
    for arch, row in table.read()["kernels"][kernel.name].items():
        assert table.broken_promises(kernel, row, arch) == []
