"""Compile before the first call."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from gpusvd._base.checks import Device
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
    Compile the kernels for shapes and dtypes now, so that no later call waits for it.

    Machine code is kept on disk, so in a later process it is loaded, not compiled. On the CPU a dtype has
    three kernels: for small matrices, for large ones, and for values alone. On a GPU it has about fifty for
    all sizes from 5 to 128, and a call takes up to four of them; up to 4 columns and 6 rows there is one for
    each shape.

    Parameters
    ----------
    shapes : iterable of (..., M, N)
        Shapes of the arrays to come; only M and N count.
    dtypes : iterable of dtype, optional
        Their dtypes.
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
    wanted = list(dtypes)
    for shape in shapes:
        for dtype in wanted:
            svd(np.zeros(tuple(shape)[-2:], dtype), full_matrices, compute_uv, driver="jacobi", device=device)
