"""Run the Jacobi kernels on a GPU: choose the kernels for a shape, cut the batch, and give them their memory.

The array module (`xp`) and the function that launches a kernel are parameters, CuPy and
`_cuda.launch.launch` on a GPU, so that the same code runs in an emulator. It waits for nothing and reads
nothing back.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from gpusvd._base.arrays import from_lower_triangles
from gpusvd._base.checks import factor_dtype, working_dtype
from gpusvd._base.results import Array, Info
from gpusvd._cuda.launch import STATIC_SHARED, Kernel
from gpusvd._cuda.phases import Step, bytes_of_phases, orthogonalise_step, solve_in_phases, step_of
from gpusvd._cuda.problem import Chunk, Launch, Problem
from gpusvd.kernels import cuda_fused, cuda_tall
from gpusvd.kernels.cuda_tiny import MOST_COLUMNS, MOST_ROWS, padded, svd_tiny
from gpusvd.kernels.cuda_warp import SHARED_BYTES

_THREADS = 128  # of a block of tiny matrices, fewer where its static shared memory would be too large
_MOST_REGISTERS = 255  # of a thread, on any GPU
_TOGETHER = 16  # bytes that a thread moves at once

# What a chunk of the batch may take for its workspace and for copies that convert.
_CHUNK_BYTES = 256 * 1024 * 1024


def tiny_kernel(problem: Problem) -> Kernel:
    """Return the kernel for a matrix a thread."""
    m, n, kind, columns, vectors = problem[:5]
    itemsize = np.dtype(kind).itemsize
    vector = _TOGETHER // itemsize
    strides = [padded(m * n, vector), padded(m * columns, vector), padded(n * n, vector)]
    stride, threads = max(strides if vectors else strides[:1]), _THREADS
    while threads * stride * itemsize > STATIC_SHARED:
        threads //= 2
    constants = {
        "m": m,
        "n": n,
        "columns": columns,
        "vectors": int(vectors),
        "parts": 2 if kind.startswith("complex") else 1,
        "a_stride": strides[0],
        "left_stride": strides[1],
        "right_stride": strides[2],
        "stride": stride,
        "vector": vector,
        "threads": threads,
    }
    return Kernel(svd_tiny, tuple(constants.items()), "AAAACCC", threads, 0, _MOST_REGISTERS)


def is_tiny(problem: Problem) -> bool:
    """Return whether a thread's registers hold the matrix."""
    most_rows: int = MOST_ROWS[problem.kind]
    most_columns: int = MOST_COLUMNS[problem.kind]
    return problem.n <= most_columns and problem.m <= most_rows


@lru_cache(maxsize=1024)
def fused_step(problem: Problem) -> Step | None:
    """Return the one kernel for matrices whose columns, or rows of tall ones, are in the registers of lanes;
    None where they are not."""
    m, n, kind, columns, vectors, shared = problem
    if vectors and columns > n:
        return None
    if m == n:
        shape, function = cuda_fused.fused_shape(n, kind, vectors, shared), cuda_fused.svd_fused
    else:
        shape, function = cuda_tall.tall_shape(m, n, kind, vectors, shared), cuda_tall.svd_tall
    return None if shape is None else step_of(function, "AAAACCC", shape)


def plan(
    shape: Sequence[int], dtype: np.dtype[Any], full_matrices: bool, compute_uv: bool
) -> tuple[str, str, int, int, int]:
    """Return the kernel that rotates matrices of a shape, its class, the threads that share a pair of
    columns, the bytes of workspace of a matrix, and the threads of a block."""
    m, n = max(shape[-2:]), min(shape[-2:])
    kind = working_dtype(dtype).name
    problem = Problem(m, n, kind, m if full_matrices else n, compute_uv)
    if is_tiny(problem):
        kernel = tiny_kernel(problem)
        return (
            kernel.function.__name__,
            "tiny: a matrix a thread, in straight-line code",
            1,
            0,
            kernel.threads,
        )
    fused = fused_step(problem)
    if fused is not None:
        name, threads = fused[0].function.__name__, fused[0].threads
        is_tall = fused[0].function is cuda_tall.svd_tall
        size_class = "tall: a row in a lane" if is_tall else "fused: a matrix in a few lanes of a warp"
        return name, size_class, 1, 0, threads
    kernel, _ = orthogonalise_step(problem)
    name, workspace = kernel.function.__name__, bytes_of_phases(problem)
    if name == "orthogonalise_groups":
        lanes = dict(kernel.constants)["lanes"]
        return name, "group: a matrix in the registers of a block", lanes, workspace, kernel.threads
    return name, "blocked: blocks of columns in shared memory", 1, workspace, kernel.threads


def decompose(
    xp: Any,
    launch: Launch,
    a: Array,
    u: Array | None,
    s: Array,
    vh: Array | None,
    info: Info,
    *,
    hermitian: bool,
    shared: int = SHARED_BYTES,
) -> None:
    """Write the factors of every matrix of `a` into `u`, `s` and `vh`, and into `info` what happened.

    As `_cpu.jacobi.decompose`, for arrays of `xp`. Integers, float16 and Hermitian matrices are converted
    chunk by chunk; results for arrays whose batch is no run of equal strides are computed in an array of
    their own.
    """
    m, n = a.shape[-2:]
    wide = m < n
    kind = working_dtype(factor_dtype(a.dtype)).name
    vectors = u is not None and vh is not None
    factors = [] if u is None or vh is None else [u, vh]
    left_columns = n if wide else m
    if factors:
        left_columns = factors[1].shape[-2] if wide else factors[0].shape[-1]
    problem = Problem(max(m, n), min(m, n), kind, left_columns, vectors, shared)

    work, real = np.dtype(kind), np.empty(0, kind).real.dtype
    source = _flat(a, 2)
    results = [*((x, 2, work) for x in factors), (s, 1, real), (info.converged, 0, np.dtype(np.bool_))]
    results += [(info.sweeps, 0, np.dtype(np.int32)), (info.off, 0, real)]
    in_place = [x.dtype == dtype and _has_one_stride(x, core) for x, core, dtype in results]
    targets = [
        _flat(x if direct else xp.empty(x.shape, dtype), core)
        for (x, core, dtype), direct in zip(results, in_place, strict=True)
    ]
    nothing = xp.empty((1, 1, 1), work)

    count = math.prod(a.shape[:-2])
    step = min(count, max(1, _CHUNK_BYTES // _bytes_of_one(problem)))
    for first in range(0, count, step):
        block = source[first : first + step].astype(work, copy=False)
        if hermitian:
            block = from_lower_triangles(xp, block)
        outputs = [x[first : first + step] for x in targets]
        left, right = (outputs[0], outputs[1].swapaxes(1, 2)) if factors else (nothing, nothing)
        if wide:
            block, left, right = block.swapaxes(1, 2), right, left
        sigma, converged, sweeps, off = outputs[-4:]
        _solve(xp, launch, problem, Chunk(block, left, sigma, right, converged, sweeps, off, wide))
    for (array, _, _), target, direct in zip(results, targets, in_place, strict=True):
        if not direct:
            array[...] = target.reshape(array.shape)


def _flat(array: Array, core: int) -> Array:
    """Return an array as a flat batch: a view where its batch has one stride, else a copy."""
    return array.reshape((-1, *array.shape[array.ndim - core :]))


def _has_one_stride(array: Array, core: int) -> bool:
    """Return whether the matrices of a batch follow each other at equal distances, in C order."""
    batch = array.ndim - core
    axes = zip(array.shape[:batch], array.strides[:batch], strict=True)
    long = [(length, stride) for length, stride in axes if length > 1]
    return all(outer == length * inner for (_, outer), (length, inner) in pairwise(long))


def _bytes_of_one(problem: Problem) -> int:
    """Return what a matrix takes of a chunk's memory."""
    copies = (problem.m * problem.n + problem.m * problem.columns) * np.dtype(problem.kind).itemsize
    if is_tiny(problem) or fused_step(problem) is not None:
        return copies
    return copies + bytes_of_phases(problem)


def _solve(xp: Any, launch: Launch, problem: Problem, chunk: Chunk) -> None:
    """Decompose a chunk by the kernels for its shape."""
    if is_tiny(problem):
        kernel = tiny_kernel(problem)
        launch(
            kernel, problem.kind, -(-chunk.a.shape[0] // kernel.threads), (*chunk, _is_dense(problem, chunk))
        )
    elif (fused := fused_step(problem)) is not None:
        kernel, matrices = fused
        launch(kernel, problem.kind, -(-chunk.a.shape[0] // matrices), chunk)
    else:
        solve_in_phases(xp, launch, problem, chunk)


def _is_dense(problem: Problem, chunk: Chunk) -> bool:
    """Return whether the matrices and factors of a chunk follow each other without gaps, each in the order of
    the array that `decompose` was given, from an address on that accesses of many bytes need."""
    arrays = [(chunk.a, chunk.adjoint)]
    if problem.vectors:
        arrays += [(chunk.left, chunk.adjoint), (chunk.right, not chunk.adjoint)]
    return chunk.s.flags.c_contiguous and all(
        (x.swapaxes(1, 2) if by_columns else x).flags.c_contiguous and _address(x) % _TOGETHER == 0
        for x, by_columns in arrays
    )


def _address(array: Array) -> int:
    """Return where an array of NumPy or CuPy begins."""
    pointer: int = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return pointer
