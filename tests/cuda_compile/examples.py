"""Kernels to try the tools on: small, each with a cost that is known."""

import math

from numba import cuda

from . import compiler

EVERYONE = 0xFFFFFFFF
device = cuda.jit(device=True, inline="always")


def make_rounds(rows, real, literal=None):
    """A lane a pair of columns of `rows` numbers, in registers: rotate, pass one on, 31 times.

    `literal` is a factor of the tangent; in double precision it makes a kernel for single precision dear.
    """
    factor = real(1) if literal is None else literal

    @device
    def dot(x, y):
        total = real(0)
        for i in range(rows):
            total += x[i] * y[i]
        return total

    def rounds(a, out):
        x, y = cuda.local.array(rows, real), cuda.local.array(rows, real)
        lane, b = cuda.threadIdx.x, cuda.blockIdx.x
        for i in range(rows):
            x[i], y[i] = a[b, i, lane], a[b, i, lane + 32]
        for _ in range(31):
            t = factor * dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))
            for i in range(rows):
                u, v = x[i], y[i]
                x[i] = real(u - t * v)
                y[i] = cuda.shfl_xor_sync(EVERYONE, real(v + t * u), 1)
        for i in range(rows):
            out[b, i, lane], out[b, i, lane + 32] = x[i], y[i]

    return rounds


def make_lookup(real):
    """A table of 64 in local memory: the places in it are known only when it runs."""

    def lookup(a, out):
        table = cuda.local.array(64, real)
        for i in range(64):
            table[i] = a[i]
        for i in range(a.shape[0]):
            table[int(a[i]) % 64] += a[i]
        out[cuda.grid(1)] = table[cuda.threadIdx.x % 64]

    return lookup


def make_exchange(real):
    """Through static shared memory, between barriers."""

    def exchange(a, out):
        staged = cuda.shared.array(128, real)
        thread = cuda.threadIdx.x
        x = a[thread]
        for k in range(out.shape[1]):
            staged[thread] = x
            cuda.syncthreads()
            x = x * staged[thread ^ 1] + real(k)
            cuda.syncthreads()
        out[thread, 0] = x

    return exchange


def ptx(kernel, real, capability):
    """PTX of one of these kernels."""
    cube, table, line = real[:, :, ::1], real[:, ::1], real[::1]
    signature = {"rounds": (cube, cube), "lookup": (line, line), "exchange": (line, table)}[kernel.__name__]
    return compiler.ptx(kernel, signature, capability)
