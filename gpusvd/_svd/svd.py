"""The singular value decomposition of a batch: svd, svdvals and svd_ex."""

from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from gpusvd._base.checks import Device, Driver, Errors
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array, SVDExResult, SVDResult
from gpusvd._svd.decompose import decompose
from gpusvd._svd.options import checked_options


@overload
def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: Literal[True] = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: tuple[Array, Array, Array] | None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDResult: ...


@overload
def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    *,
    compute_uv: Literal[False],
    hermitian: bool = False,
    driver: Driver = "auto",
    out: Array | None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> Array: ...


@overload
def svd(
    a: ArrayLike,
    full_matrices: bool,
    compute_uv: Literal[False],
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: Array | None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> Array: ...


@overload
def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: tuple[Array, Array, Array] | Array | None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDResult | Array: ...


@for_libraries
def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: Any = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDResult | Array:
    """
    Decompose every matrix of a batch into its singular values and vectors.

    A drop-in for `numpy.linalg.svd`: ``a = U @ diag(S) @ Vh`` for each matrix, with the columns of U and
    the rows of Vh orthonormal and the singular values in descending order.

    Parameters
    ----------
    a : (..., M, N) array_like
        A matrix, or a batch of them in any leading dimensions: float16, float32, float64, complex64,
        complex128, any integer type or bool, of any strides and byte order. It is never written to. The
        mask of a masked array is ignored. An array in GPU memory, CuPy's or any with ``__dlpack__``
        or ``__cuda_array_interface__`` (JAX), is taken without a copy. A torch tensor goes to
        `gpusvd.torch.svd` and gives tensors, a Dask array to `gpusvd.dask.svd` and gives Dask arrays.
    full_matrices : bool, optional
        If True (default), U is (..., M, M) and Vh (..., N, N). Otherwise they are (..., M, K) and (..., K,
        N), with K = min(M, N).
    compute_uv : bool, optional
        Whether to compute U and Vh too (default), or S alone.
    hermitian : bool, optional
        If True, each matrix is taken to be Hermitian (symmetric if real): only its lower triangle is used.
    driver : {"auto", "jacobi", "vendor"}, optional
        "jacobi" is one-sided Jacobi, which gives every singular value to high relative accuracy and whose
        results are bitwise independent of the batch, the position in it and the number of threads. "vendor"
        is LAPACK through NumPy. "auto" (default) is the faster of the two for batches of about eight matrices
        or more. The choice depends on M, N, the dtype and what is asked for, never on the batch or its
        values, so that a matrix always has the same answer; `explain` tells which it is.
    out : tuple of ndarray (U, S, Vh), or ndarray S with ``compute_uv=False``, optional
        Arrays to write the results into, of their exact shapes and dtypes, in any strides and byte order;
        the call returns them. They must not share memory with each other. An output may overlap
        `a`; the call then uses temporary arrays.
    errors : {"nan", "raise"}, optional
        A matrix with NaN or Inf, or one that does not converge, gets NaN factors (default), and other
        matrices are not affected; or LinAlgError is raised after the batch is done, with nothing written to
        `out`.
    threads : int, optional
        The most CPU threads to use. Default: the number of cores available to this process. LAPACK uses its
        own threads for a single matrix, and for matrices of more than 4 MiB.
    device : {None, "cpu", "cuda", "cuda:1"} or torch.device, optional
        Where to compute: where the array is (default), on the CPU, on the current CUDA device, or on the one
        of that number. The results of a NumPy array are copied back from there; an array in GPU memory
        is computed on its own device only.

    Returns
    -------
    SVDResult
        A named tuple of

        U : (..., M, M) or (..., M, K) ndarray
            Left singular vectors, in the dtype of `a`; float64 for integers and bool. float16 is computed
            in float32.
        S : (..., K) ndarray
            Singular values in descending order, in the real dtype of the same precision; of float16 in
            float32, since they may be too large for it.
        Vh : (..., N, N) or (..., K, N) ndarray
            Conjugate transposes of the right singular vectors, in the dtype of U.

        With ``compute_uv=False``, S alone. The results for an array in GPU memory are CuPy arrays on its
        device; those for a tensor are tensors.

    Raises
    ------
    LinAlgError
        If `a` has fewer than two dimensions; if it is not square and `hermitian` is True; with
        ``errors="raise"``, for matrices with NaN or Inf or without convergence: it names the first ones by
        their indices in the batch.
    TypeError
        For dtypes not listed above, and for an `out` of the wrong dtype or that is no array.
    ValueError
        For an unknown `driver`, `errors`, `threads` or `device`, and for an `out` that has the wrong
        shape, is read-only or shares memory.
    ImportError, RuntimeError
        For arrays in GPU memory and ``device="cuda"``, if CuPy or a CUDA device is missing.

    See Also
    --------
    svdvals : Singular values alone.
    svd_ex : The same, and what happened to each matrix.
    explain : Which driver and kernel a call takes.

    Notes
    -----
    Beyond its input and results a call needs a few MiB of workspace per thread, whatever the batch: up to
    4 MiB for matrices of 128 x 128, and for complex128 of 512 x 512 13 MiB, or 32 MiB with LAPACK. Matrices
    that must be converted are copied a few at a time. While the cores share a batch for LAPACK, NumPy's BLAS
    is limited to one thread in the whole process; afterwards its number of threads is restored.

    On a GPU a call is queued on CuPy's current stream, takes its memory from CuPy's pool and reads nothing
    back. After a first call, which compiles and loads the kernels, it can be captured in a CUDA graph; the
    graph then owns its workspace, and the results, or `out`, must live as long as the graph. Only
    ``errors="raise"`` and the copies of a NumPy array wait for the result. ``driver="vendor"`` is
    `cupy.linalg.svd`, and "auto" takes Jacobi up to 512 columns; beyond, Jacobi is refused. **No GPU has run
    the CUDA kernels yet: the tests run them in an emulator, compile them and execute their PTX.**

    References
    ----------
    Z. Drmač and K. Veselić, "New fast and accurate Jacobi SVD algorithm. I", SIAM Journal on Matrix
    Analysis and Applications 29(4), 2008, pp. 1322-1342.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.random.default_rng(0).standard_normal((1000, 8, 5))
    >>> U, S, Vh = gpusvd.svd(a, full_matrices=False)
    >>> U.shape, S.shape, Vh.shape
    ((1000, 8, 5), (1000, 5), (1000, 5, 5))
    >>> np.allclose(U * S[:, np.newaxis, :] @ Vh, a)
    True
    """
    options = checked_options(full_matrices, compute_uv, hermitian, driver, errors, threads, device)
    u, s, vh, _ = decompose(a, options, out)
    return s if u is None or vh is None else SVDResult(u, s, vh)


@for_libraries
def svdvals(
    a: ArrayLike,
    *,
    hermitian: bool = False,
    driver: Driver = "auto",
    out: Array | None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> Array:
    """
    Compute the singular values of every matrix of a batch.

    The same as ``svd(a, compute_uv=False)``; vectors are not computed. With Jacobi on the CPU, a matrix whose
    rows and columns are all of similar size is reduced to a bidiagonal form, which is faster and nearly as
    accurate for such matrices. Its singular values may then differ from those of `svd` in the last digits.
    By default all matrices of more than 32 rows and columns are reduced to that form, or, where that is
    faster, left to LAPACK: their singular values are then accurate to eps of the largest. ``driver="jacobi"``
    keeps each singular value accurate relative to itself at any size.

    Parameters
    ----------
    a : (..., M, N) array_like
        A matrix or a batch of them, as in `svd`.
    hermitian, driver, errors, threads, device : optional
        As in `svd`.
    out : (..., K) ndarray, optional
        Array to write the singular values into, as in `svd`.

    Returns
    -------
    S : (..., K) ndarray
        The K = min(M, N) singular values of each matrix, in descending order.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As in `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.svdvals([[[3, 0], [0, 4]], [[0, 2], [0, 0]]])
    array([[4., 3.],
           [2., 0.]])
    """
    options = checked_options(False, False, hermitian, driver, errors, threads, device)
    return decompose(a, options, out)[1]


@for_libraries
def svd_ex(
    a: ArrayLike,
    full_matrices: bool = True,
    *,
    hermitian: bool = False,
    driver: Driver = "auto",
    out: tuple[Array, Array, Array] | None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDExResult:
    """
    Decompose every matrix of a batch, and say what happened to each.

    Parameters
    ----------
    a, full_matrices, hermitian, driver, out, errors, threads, device
        As in `svd`.

    Returns
    -------
    SVDExResult
        A named tuple of U, S and Vh, as `svd` returns them, and

        info : Info
            A named tuple of arrays with the shape of the batch: `converged` (bool); `sweeps` (int32), how
            many times Jacobi went over all pairs of columns; and `off` (dtype of S), the largest cosine
            between two columns in the last sweep. LAPACK reports neither: with ``driver="vendor"`` `sweeps`
            is 0 and `off` NaN. For a matrix with NaN or Inf `converged` is False, `sweeps` 0 and `off`
            NaN.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As in `svd`.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.stack([np.eye(2), np.full((2, 2), np.nan)])
    >>> U, S, Vh, info = gpusvd.svd_ex(a)
    >>> S
    array([[ 1.,  1.],
           [nan, nan]])
    >>> info.converged
    array([ True, False])
    """
    options = checked_options(full_matrices, True, hermitian, driver, errors, threads, device)
    u, s, vh, info = decompose(a, options, out, with_info=True)
    assert u is not None
    assert vh is not None
    assert info is not None
    return SVDExResult(u, s, vh, info)
