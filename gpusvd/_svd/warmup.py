"""Compile kernels before the first call."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from gpusvd._base.checks import Device, check_dimensions
from gpusvd._svd.svd import svd


def warmup(
    shapes: Iterable[Sequence[int]],
    dtypes: Iterable[DTypeLike] = ("float32", "float64"),
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    device: Device | None = None,
) -> None:
    """
    Compile the kernels for given shapes and dtypes now, so that no later call has to wait.

    Machine code is kept on disk, so later processes load it instead of compiling. On the CPU a dtype has
    three kernels, for small matrices, for large ones, and for singular values alone; and with vectors and
    without, for each of 2, 3 and 4 columns, one for square matrices and one for up to 8 rows. On a GPU it has
    about fifty for all sizes from 5 to 128, of which a call uses up to four; up to 4 columns and 8 rows each
    shape has its own.

    Parameters
    ----------
    shapes : iterable of (..., M, N)
        Shapes of the arrays to come; only M and N count.
    dtypes : iterable of dtype, optional
        Dtypes of those arrays.
    full_matrices, compute_uv, device : optional
        As in `svd`.

    Raises
    ------
    LinAlgError, TypeError, ValueError, ImportError, RuntimeError
        As in `svd`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.warmup([(8, 8), (3, 3)], ["float32"])
    """
    dtypes = list(dtypes)
    for shape in map(tuple, shapes):
        check_dimensions(shape, hermitian=False)
        for dtype in dtypes:
            a = np.zeros((2, *shape[-2:]), dtype)
            if a.dtype.kind in "fc":
                a[1] = np.nan  # for the kernel that takes what the one for most matrices leaves
            svd(a, full_matrices, compute_uv, driver="jacobi", device=device)
