"""Every launch that the library makes is one that every GPU accepts, with the constants of the product."""

import sys
from functools import cache

import numpy as np
import pytest

from gpusvd._cuda import jacobi, launch
from gpusvd._cuda.launch import _RESERVED, STATIC_SHARED
from gpusvd._cuda.phases import assemble_step, complete_step, factor_step, orthogonalise_step
from gpusvd._cuda.problem import Problem
from gpusvd._svd.driver import JACOBI_COLUMNS
from gpusvd.kernels.cuda_warp import SHARED_BYTES, WARP
from tests.cuda_compile import compiler
from tests.ptx import Idle, svd_ex
from tests.ptx.source import CAPABILITY, source
from tests.support.stand_in.compiler import static_bytes

KINDS = ("float32", "float64", "complex64", "complex128")
# KiB of shared memory of a block that asks for it, by compute capability: CUDA C++ Programming Guide, table
# "Technical Specifications per Compute Capability".
SHARED = {"7.5": 64, "8.0": 163, "8.6": 99, "8.9": 99, "9.0": 227, "10.0": 227, "12.0": 99}
REGISTERS, THREADS, BLOCKS = 65536, 1024, 2**31 - 1  # of a block, of a block, of a grid, on all of them


def heights(n):
    """Numbers of rows that lead to different launches of matrices with n columns."""
    further = (1, 2, 3, 5, 8, 13, 30, 64, 100, 255, 256, 1000, 4096, 10**6)
    return [n, *(n + more for more in further)]


def problems(kind, shared):
    """What dispatch makes of all shapes: thin, full and values alone."""
    for n in range(1, JACOBI_COLUMNS + 1):
        for m in heights(n):
            for columns, vectors in {(n, True), (m, True), (n, False)}:
                yield Problem(m, n, kind, columns, vectors, shared)


def kernels(problem):
    """The kernels that decompose matrices of a problem, each with the matrices that a block takes."""
    if jacobi.is_tiny(problem):
        kernel = jacobi.tiny_kernel(problem)
        return [(kernel, kernel.threads)]
    if (fused := jacobi.fused_step(problem)) is not None:
        return [fused]
    steps = [factor_step(problem), orthogonalise_step(problem), assemble_step(problem)]
    return [*steps, complete_step(problem)] if problem.vectors else steps


@cache
def launches(kind, shared):
    """All launches, each with a problem that leads to it and the most blocks that it has."""
    found = {}
    for problem in problems(kind, shared):
        count = max(1, jacobi._CHUNK_BYTES // jacobi._bytes_of_one(problem))
        for kernel, matrices in kernels(problem):
            blocks = -(-count // matrices)
            if kernel not in found or found[kernel][1] < blocks:
                found[kernel] = problem, blocks
    return found


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("kind", KINDS)
def test_every_launch_fits(kind, capability):
    largest = SHARED[capability] * 1024
    for kernel, (problem, blocks) in launches(kind, min(SHARED_BYTES, largest - _RESERVED)).items():
        static = static_bytes(kernel, kind)
        assert kernel.shared + static <= largest, (problem, kernel)
        assert static <= (_RESERVED if kernel.shared else STATIC_SHARED), (problem, kernel)
        assert 0 < kernel.threads <= THREADS, (problem, kernel)
        assert kernel.threads % WARP == 0, (problem, kernel)
        allocated = -(-kernel.registers // 8) * 8  # the hardware hands out registers by eights
        assert kernel.threads * allocated <= REGISTERS, (problem, kernel)
        assert 0 < blocks <= BLOCKS, (problem, kernel)


def test_a_gpu_with_little_shared_memory_gets_smaller_launches():
    small = Problem(512, 512, "complex128", 512, True, 63 * 1024)
    usual = small._replace(shared=SHARED_BYTES)
    assert orthogonalise_step(small)[0].shared <= 63 * 1024 < orthogonalise_step(usual)[0].shared
    assert orthogonalise_step(small)[0].threads < orthogonalise_step(usual)[0].threads


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's compilers are packaged for Linux")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), [(m, n) for n in range(1, 5) for m in range(n, 9)])
@pytest.mark.parametrize("wanted", ["full", "thin", "values"])
def test_every_kernel_of_a_matrix_a_thread_links(m, n, kind, wanted):
    """ptxas refuses more static shared memory than a block has."""
    if not jacobi.is_tiny(Problem(m, n, kind, m if wanted == "full" else n, wanted != "values")):
        pytest.skip("not for one thread")
    device = Idle()
    svd_ex(np.empty((1, m, n), kind), wanted == "full", wanted != "values", device=device)
    ((kernel, _, _, arguments),) = device.asked
    signature = launch._signature(kernel, kind, arguments)
    _, code = compiler.machine_code(
        lambda _: source(kernel.compiled, kind, signature), CAPABILITY, kernel.registers
    )
    assert "svd_tiny" in code
