"""Matrices too large for a thread, on a GPU: a kernel for each phase, and the buffers they pass on.

factor        A P = Q R, L = Rᴴ                     `cuda_qr`
orthogonalise L = X Σ Wᴴ                            `cuda_group` in registers, `cuda_blocked` beyond
complete      unit vectors for columns of X that are zero
assemble      U = Q W, S, V = P X, in order         `cuda_finish`
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from gpusvd._cuda.launch import Kernel
from gpusvd._cuda.problem import Chunk, Launch, Problem
from gpusvd.kernels import cuda_blocked, cuda_finish, cuda_group, cuda_qr
from gpusvd.kernels.cuda_buffers import HEADER, REALS
from gpusvd.kernels.cuda_warp import LaunchShape, padded_rows

Step = tuple[Kernel, int]  # a kernel, and how many matrices a block of it takes


def step_of(function: Callable[..., None], layouts: str, shape: LaunchShape) -> Step:
    """Return a kernel that is launched like this."""
    constants = tuple(shape.constants.items())
    return Kernel(function, constants, layouts, shape.threads, shape.shared, shape.registers), shape.matrices


@lru_cache(maxsize=1024)
def factor_step(problem: Problem) -> Step:
    """Return the kernel of the first phase."""
    shape = cuda_qr.qr_shape(problem.m, problem.n, problem.kind, problem.vectors, problem.shared)
    return step_of(cuda_qr.factor_batch, "ACCCC", shape)


@lru_cache(maxsize=1024)
def orthogonalise_step(problem: Problem) -> Step:
    """Return the kernel of the second phase: in registers, if they hold the matrix."""
    shape = cuda_group.group_shape(problem.n, problem.kind, problem.vectors)
    if shape is None:
        blocked = cuda_blocked.blocked_shape(
            problem.n, problem.kind, problem.vectors, shared_bytes=problem.shared
        )
        return step_of(cuda_blocked.orthogonalise_blocks, "CCCC", blocked)
    return step_of(cuda_group.orthogonalise_groups, "CCCC", shape)


@lru_cache(maxsize=1024)
def complete_step(problem: Problem) -> Step:
    """Return the kernel that completes X where the matrix is rank deficient."""
    return step_of(cuda_finish.complete_batch, "CCC", cuda_finish.complete_shape(problem.n, problem.kind))


@lru_cache(maxsize=1024)
def assemble_step(problem: Problem) -> Step:
    """Return the kernel of the last phase."""
    m, n, kind, columns, vectors, shared = problem
    shape = cuda_finish.finish_shape(m, n, columns, kind, vectors, shared)
    return step_of(cuda_finish.assemble_batch, "CCCCCAAACCC", shape)


def bytes_of_phases(problem: Problem) -> int:
    """Return what the phases keep of a matrix."""
    numbers: int = padded_rows(problem.m, problem.kind) * problem.n + 2 * problem.n**2
    reals: int = REALS * problem.n + HEADER
    return numbers * np.dtype(problem.kind).itemsize + reals * np.empty(0, problem.kind).real.itemsize


def solve_in_phases(xp: Any, launch: Launch, problem: Problem, chunk: Chunk) -> None:
    """Decompose a chunk, one kernel after the other on one stream."""
    m, n, kind, vectors = problem.m, problem.n, problem.kind, problem.vectors
    count = chunk.a.shape[0]
    work, real = np.dtype(kind), np.empty(0, kind).real.dtype
    factor, triangle = xp.empty((count, n * padded_rows(m, kind)), work), xp.empty((count, n, n), work)
    basis = xp.empty((count, n, n) if vectors else (1, 1, 1), work)
    reals, header = xp.empty((count, REALS, n), real), xp.empty((count, HEADER), real)

    def run(step: Step, *arguments: Any) -> None:
        kernel, matrices = step
        launch(kernel, kind, -(-count // matrices), arguments)

    run(factor_step(problem), chunk.a, factor, triangle, reals, header, chunk.adjoint)
    run(orthogonalise_step(problem), triangle, basis, reals, header)
    if vectors:
        run(complete_step(problem), triangle, reals, header)
    run(assemble_step(problem), factor, triangle, basis, reals, header, *chunk[1:])
