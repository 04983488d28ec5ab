"""Soft thresholding of singular values, the proximal operator of the nuclear norm."""

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    array_namespace,
    astype,
    limits,
    matrices,
    widened,
)
from gpusvd._base.checks import Driver
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import Array
from gpusvd._layer.decompositions import rebuilt
from gpusvd._layer.products import matmul, with_values


@for_libraries
def svt(a: ArrayLike, tau: ArrayLike, *, driver: Driver = "auto") -> Array:
    """
    Return every matrix with its singular values soft-thresholded: σᵢ becomes max(σᵢ - τ, 0).

    X = U diag(max(σᵢ - τ, 0)) Vᴴ minimises ‖X - A‖² / 2 + τ ‖X‖_*. It is the proximal operator of the nuclear
    norm ‖X‖_* = Σ σᵢ, a building block of matrix completion and robust PCA.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    tau : float or (...) array_like
        The threshold τ >= 0: a number for all matrices, or an array that broadcasts against the batch.
    driver : optional
        As in `svd`.

    Returns
    -------
    (..., M, N) array
        The matrices X, in the dtype that `svd` gives U; float16 is computed in float32. A matrix whose
        singular values are all at most τ becomes zero. A matrix with NaN or Inf becomes NaN and does not
        affect the others. Nothing is read back from the device.

    Raises
    ------
    ValueError
        If `tau` does not broadcast, or if it is negative or NaN, which is checked in host memory only.
    LinAlgError, TypeError
        As `svd`; TypeError also for a complex `tau`.

    References
    ----------
    J.-F. Cai, E. J. Candès and Z. Shen, "A singular value thresholding algorithm for matrix completion",
    SIAM Journal on Optimization 20(4), 2010, pp. 1956-1982.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> gpusvd.svt(np.diag([10.0, 3.0, 1.0]), 2)
    array([[8., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]])
    """
    xp = array_namespace(a, tau)
    a = matrices(xp, a)
    limit = limits(xp, "tau", tau, a.shape[:-2], a)

    def shrink(u: Array, s: Array, vh: Array, limit: Array, out: Array | None = None) -> tuple[Array]:
        limit = astype(xp, limit, s.dtype)  # which may overflow
        shrunk = xp.where(s > limit, s - limit, 0)
        return (matmul(*with_values(u, shrunk[..., 0], vh), out),)

    return astype(xp, rebuilt(xp, widened(xp, a), driver, shrink, limit[..., None, None]), a.dtype)
