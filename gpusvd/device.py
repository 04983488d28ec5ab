"""The SVD of one small matrix as a function for your own `numba.cuda` kernels and `numba.njit` code."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from gpusvd._base.checks import checked_int, factor_dtype
from gpusvd._base.results import Array
from gpusvd._cuda.arrays import INSTALL

_LARGEST = 6

SVDFunction = Callable[[Array, Array, Array, Array], bool]  # svd(a, u, s, vh)

__all__ = ["svd_function"]


def svd_function(m: int, n: int, dtype: DTypeLike, target: Literal["cuda", "cpu"]) -> SVDFunction:
    """
    Return a function that decomposes one m x n matrix, for use in your own compiled code.

    The function is ``svd(a, u, s, vh)``: it reads the matrix `a` and writes its thin SVD,
    ``a = u @ diag(s) @ vh``, by the one-sided Jacobi method of `gpusvd.svd` and with the same accuracy. All
    loops are unrolled for the size, so on a GPU arrays made by `numba.cuda.local.array` stay in registers.

    Parameters
    ----------
    m, n : int
        Rows and columns of the matrix, 1 to 6.
    dtype : dtype
        float32, float64, complex64 or complex128.
    target : {"cuda", "cpu"}
        "cuda" for `numba.cuda.jit` kernels, which needs the package numba-cuda; "cpu" for `numba.njit`
        functions.

    Returns
    -------
    function
        ``svd(a, u, s, vh) -> bool``, with

        a : (M, N) array of `dtype`
            Any strides. It is not written to, and may be the same array as `u` or `vh`.
        u : (M, K) array of `dtype`, K = min(M, N)
            Receives the left singular vectors, in columns.
        s : (K,) array of the real type of the same precision
            Receives the singular values in descending order.
        vh : (K, N) array of `dtype`
            Receives the conjugate transposes of the right singular vectors, in rows.

        It returns whether the iteration converged. With a NaN or Inf in `a` it does not, and the factors are
        all NaN.

    Raises
    ------
    TypeError
        If `dtype` is not one of these four.
    ValueError
        If m or n is not 1 to 6, or `target` unknown.
    ImportError
        For "cuda" without numba-cuda.

    Notes
    -----
    The first call in every process compiles, which takes ten seconds or more for 3 x 3. On a GPU 3 x 3 in
    float32 takes about 70 registers per thread (compiled for sm_90); so far it has run in an emulation only,
    not on a GPU.

    Examples
    --------
    The rotation of the polar decomposition of deformation gradients in a plane, on the CPU:

    >>> import numba
    >>> import numpy as np
    >>> import gpusvd.device
    >>> svd = gpusvd.device.svd_function(2, 2, "float64", target="cpu")
    >>> @numba.njit
    ... def rotations(gradients, out):
    ...     u, s, vh = np.empty((2, 2)), np.empty(2), np.empty((2, 2))
    ...     for b in range(gradients.shape[0]):
    ...         svd(gradients[b], u, s, vh)
    ...         for i in range(2):
    ...             for j in range(2):
    ...                 out[b, i, j] = u[i, 0] * vh[0, j] + u[i, 1] * vh[1, j]
    ...
    >>> gradients = np.eye(2) + 0.1 * np.random.default_rng(0).standard_normal((1000, 2, 2))
    >>> out = np.empty_like(gradients)
    >>> rotations(gradients, out)
    >>> np.allclose(out @ out.swapaxes(1, 2), np.eye(2))
    True

    and of 3 x 3 gradients in a kernel of your own, with one thread per matrix::

        svd = gpusvd.device.svd_function(3, 3, "float32", target="cuda")

        @cuda.jit
        def rotations(gradients, out):
            b = cuda.grid(1)
            if b < gradients.shape[0]:
                u = cuda.local.array((3, 3), numba.float32)
                s = cuda.local.array(3, numba.float32)
                vh = cuda.local.array((3, 3), numba.float32)
                svd(gradients[b], u, s, vh)
                for i in range(3):
                    for j in range(3):
                        out[b, i, j] = u[i, 0] * vh[0, j] + u[i, 1] * vh[1, j] + u[i, 2] * vh[2, j]
    """
    m, n = (
        checked_int(size, f"{name} must be an int from 1 to {_LARGEST}, not {size!r}", 1, _LARGEST)
        for name, size in (("m", m), ("n", n))
    )
    if target not in ("cuda", "cpu"):
        raise ValueError(f"target must be 'cuda' or 'cpu', not {target!r}")
    factors = factor_dtype(np.dtype(dtype))
    if factors != np.dtype(dtype) or factors == np.float16:
        raise TypeError(f"dtype must be float32, float64, complex64 or complex128, not {np.dtype(dtype)}")
    return (_on_cuda if target == "cuda" else _on_cpu)(m, n, factors.name)


@cache
def _on_cuda(m: int, n: int, kind: str) -> SVDFunction:
    if find_spec("numba_cuda") is None:  # numba alone brings an older numba.cuda
        raise ImportError(f"target='cuda' needs the package numba-cuda: {INSTALL}")
    from numba import cuda

    from gpusvd._cuda.launch import specialiser
    from gpusvd.kernels.single import svd_in_thread

    solve = specialiser(kind)(svd_in_thread, m=max(m, n), n=min(m, n), wide=int(m < n))
    rows, columns, wide = max(m, n), min(m, n), m < n

    def svd(a, u, s, vh):  # type: ignore[no-untyped-def]
        return solve(a, u, s, vh, rows, columns, wide)

    function: SVDFunction = cuda.jit(device=True, forceinline=True)(svd)
    return function


@cache
def _on_cpu(m: int, n: int, kind: str) -> SVDFunction:
    import numba

    from gpusvd._base.specialise import Specialiser
    from gpusvd.kernels.scalars import scalar_operations
    from gpusvd.kernels.single import svd_into

    operations = scalar_operations(kind)
    jit: Any = numba.njit(error_model="numpy", forceinline=True)
    inner: Any = numba.njit(error_model="numpy", forceinline=True, _nrt=False)  # no reference counts
    solve = Specialiser(operations, operations["real"], inner)(
        svd_into, m=max(m, n), n=min(m, n), wide=int(m < n)
    )
    rows, columns, wide = max(m, n), min(m, n), m < n
    number, real = np.dtype(kind), np.empty(0, kind).real.dtype

    def svd(a, u, s, vh):  # type: ignore[no-untyped-def]
        factor, stack = np.empty(rows * columns, number), np.empty(2 * columns * columns, number)
        left, right = np.empty(rows * columns, number), np.empty(columns * columns, number)
        r = np.empty((13, columns), real)
        column_arrays = (r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9:].ravel())
        return solve(a, u, s, vh, factor, stack, left, right, column_arrays, rows, columns, wide)

    function: SVDFunction = jit(svd)
    return function
