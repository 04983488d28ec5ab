"""The launches for a matrix of several threads, one by one, in the emulator, and Jacobi by NumPy between
them."""

from typing import NamedTuple

import numpy as np

from gpusvd._cuda.launch import Kernel
from gpusvd.kernels import cuda_finish, cuda_qr
from gpusvd.kernels.cuda_buffers import (
    BAD,
    BETAS,
    CONVERGED,
    HEADER,
    HIGHEST,
    OFF,
    PERMUTATION,
    POWERS,
    REALS,
    SIGMA,
    SWEEPS,
)
from gpusvd.kernels.cuda_warp import LaunchShape, padded_rows
from gpusvd.kernels.qr import LOWEST
from tests.support import reference
from tests.support.cuda_emulated import launch


class Factored(NamedTuple):
    """What `cuda_buffers` describes, of a batch."""

    factor: np.ndarray
    triangle: np.ndarray
    reals: np.ndarray
    header: np.ndarray


def run(function, shape, kind, layouts, arguments, batch):
    """Launch a kernel as its shape function says."""
    constants = tuple(shape.constants.items())
    kernel = Kernel(function, constants, layouts, shape.threads, shape.shared, shape.registers)
    launch(kernel, kind, -(-batch // shape.matrices), arguments)


def factor(a, adjoint=False, vectors=True, shape=None):
    """Phase 1."""
    batch, m, n = a.shape
    shape = shape or cuda_qr.qr_shape(m, n, a.dtype.name, vectors)
    out = Factored(
        np.full((batch, n * padded_rows(m, a.dtype.name)), np.nan, a.dtype),
        np.full((batch, n, n), np.nan, a.dtype),
        np.full((batch, REALS, n), np.nan, a.real.dtype),
        np.full((batch, HEADER), np.nan, a.real.dtype),
    )
    run(cuda_qr.factor_batch, shape, a.dtype.name, "ACCCC", (a, *out, adjoint), batch)
    return out


def in_global_memory(shape, m, n, kind):
    """A launch shape with columns in global memory instead of shared memory."""
    constants = shape.constants
    size = np.dtype(kind).itemsize
    threads = max(32, constants["lanes"] * constants["groups"])
    groups = threads // constants["lanes"]
    constants = constants | {"shares": False, "groups": groups}
    return LaunchShape(constants, threads, matrices=1, shared=n * size + 5 * n * size, registers=1)


def orthogonalise(factored):
    """Phase 2 by the reference implementation; the basis."""
    basis = np.full_like(factored.triangle, np.nan)
    for b, (triangle, reals, header) in enumerate(zip(*factored[1:], strict=True)):
        if not header[BAD]:
            n = len(triangle)
            L, exponent, W, converged, sweeps = reference.jacobi(
                triangle.T.copy(), reals[POWERS].astype(np.intc), np.eye(n, dtype=triangle.dtype)
            )
            L, exponent = reference.normalised(L, exponent)
            length = reference.norms(L)
            reals[SIGMA], shift = np.frexp(length)
            reals[POWERS] = np.where(length > 0, exponent + shift, LOWEST)
            triangle[...] = (L / np.where(length > 0, length, 1)).T
            basis[b] = (W / reference.norms(W)).T
            header[[CONVERGED, SWEEPS, OFF]] = converged, sweeps, 0.0
    return basis


def assemble(factored, basis, left, right, adjoint=False, shape=None):
    """Phase 3 into `left` and `right`, values only without them; S, converged, sweeps, off."""
    batch, _, n = factored.reals.shape
    kind, real = factored.triangle.dtype.name, factored.reals.dtype
    s, off = np.full((batch, n), np.nan, real), np.full(batch, np.nan, real)
    converged, sweeps = np.zeros(batch, np.bool_), np.full(batch, -1, np.int32)
    vectors = left is not None
    if vectors:
        complete = factored.triangle, factored.reals, factored.header
        run(cuda_finish.complete_batch, cuda_finish.complete_shape(n, kind), kind, "CCC", complete, batch)
    else:
        left = right = np.zeros((1, 1, 1), factored.triangle.dtype)
    shape = shape or cuda_finish.finish_shape(left.shape[1], n, left.shape[2], kind, vectors)
    factor, triangle, reals, header = factored
    arguments = factor, triangle, basis, reals, header, left, s, right, converged, sweeps, off, adjoint
    run(cuda_finish.assemble_batch, shape, kind, "CCCCCAAACCC", arguments, batch)
    return s, converged, sweeps, off


def reflectors(factored, b, m):
    """H_1 ... H_n of matrix b, thin, of m rows, in double precision."""
    reals = factored.reals[b]
    n = reals.shape[1]
    v = factored.factor[b].reshape(n, -1)
    assert (v[:, m:] == 0).all()
    v = v[:, :m]
    q = np.eye(v.shape[1], n, dtype=np.result_type(v, np.float64))
    for j in reversed(range(n)):
        column = v[int(reals[PERMUTATION, j])].astype(q.dtype)
        assert (column[:j] == 0).all()
        assert column[j] == 1
        q -= float(reals[BETAS, j]) * np.outer(column, column.conj() @ q)
    return q


def exponents(factored, b):
    """The power of two of each column of L."""
    return (factored.reals[b, POWERS] + factored.header[b, HIGHEST]).astype(np.intc)
