"""Fundamental subspaces of matrices, orthogonal projectors, and a convention for the signs of vectors."""

from typing import Any, Generic, NamedTuple

from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    adjoint,
    arange,
    array_namespace,
    astype,
    floating,
    in_c_order,
    is_complex,
    matrices,
    quiet,
    transpose,
    widened,
)
from gpusvd._base.checks import Driver, check_batch
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.factors import common_width
from gpusvd._layer.products import product
from gpusvd._layer.values import count, failed, not_zero, safe_divisor


class Subspace(NamedTuple, Generic[A]):
    """An orthonormal basis for each matrix of a batch.

    Attributes
    ----------
    basis : (..., N, D) array
        The basis vectors as columns, zero beyond the dimension of each subspace.
    dim : (...) array of integers
        The dimension of each subspace, at most D.
    """

    basis: A
    dim: A


@for_libraries
def orth(
    a: ArrayLike, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace:
    """
    Return an orthonormal basis of the column space (the range) of every matrix.

    The basis consists of the left singular vectors of the nonzero singular values. For one matrix it is that
    of `scipy.linalg.orth`; the dimension is returned as well.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    rtol : float or (...) array_like, optional
        σ counts as zero up to rtol σ₁. Default: max(M, N) eps of the dtype of `a`.
    max_dim : int, optional
        Return min(max_dim, K) columns, with K = min(M, N), whatever the ranks. Nothing is then read back
        from the device.
    driver : optional
        As in `svd`.

    Returns
    -------
    Subspace
        A named tuple of basis (..., M, D) and dim (...), the rank. D is the largest rank in the batch, which
        is read back from the device; a matrix of lower rank has zeros in the other columns. A matrix with NaN
        or Inf has rank 0 and NaN in all of its columns; D is then at least 1.

    Raises
    ------
    LinAlgError, TypeError
        As `svd`.
    ValueError
        If `max_dim` is not a non-negative int, or if `rtol` does not broadcast or, in host memory, is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> Q, dim = gpusvd.orth([np.eye(2), np.ones((2, 2))])
    >>> dim
    array([2, 1])
    >>> Q[1, :, 1]  # beyond the rank
    array([0., 0.])
    """
    xp = array_namespace(a, rtol)
    return _range(xp, matrices(xp, a), rtol, max_dim, driver)


@for_libraries
def row_space(
    a: ArrayLike, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace:
    """
    Return an orthonormal basis of the row space of every matrix, the range of its adjoint.

    The basis consists of the right singular vectors of the nonzero singular values.

    Parameters
    ----------
    a, rtol, max_dim, driver
        As in `orth`.

    Returns
    -------
    Subspace
        basis (..., N, D), with the vectors as columns, and dim (...), as in `orth`.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `orth`.

    Examples
    --------
    >>> import gpusvd
    >>> Q, dim = gpusvd.row_space([[0, 2], [0, 3]])
    >>> abs(Q).round(12)
    array([[0.],
           [1.]])
    """
    xp = array_namespace(a, rtol)
    return _range(xp, adjoint(xp, matrices(xp, a)), rtol, max_dim, driver)


@for_libraries
def null_space(
    a: ArrayLike, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace:
    """
    Return an orthonormal basis of the null space of every matrix, all x with A x = 0.

    The basis consists of the right singular vectors of the zero singular values, in reverse order. For one
    matrix the space is that of `scipy.linalg.null_space`; the dimension is returned as well.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    rtol : float or (...) array_like, optional
        σ counts as zero up to rtol σ₁. Default: max(M, N) eps of the dtype of `a`.
    max_dim : int, optional
        Return min(max_dim, N) columns, whatever the dimensions. Nothing is then read back from the device.
    driver : optional
        As in `svd`.

    Returns
    -------
    Subspace
        A named tuple of basis (..., N, D) and dim (...), N minus the rank. D is the largest dimension in the
        batch, which is read back from the device; a matrix with a smaller null space has zeros in the other
        columns. A matrix with NaN or Inf has dimension 0 and NaN in all of its columns; D is then at least 1.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `orth`.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.array([[1, 2, 3], [4, 5, 6]])
    >>> Q, dim = gpusvd.null_space(a)
    >>> Q.shape, np.allclose(a @ Q, 0)
    ((3, 1), True)
    """
    xp = array_namespace(a, rtol)
    return _kernel(xp, matrices(xp, a), rtol, max_dim, driver)


@for_libraries
def left_null_space(
    a: ArrayLike, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace:
    """
    Return an orthonormal basis of the left null space of every matrix, all y with yᴴ A = 0.

    It is the null space of the adjoint, the orthogonal complement of the column space.

    Parameters
    ----------
    a, rtol, max_dim, driver
        As in `null_space`, with M in place of N.

    Returns
    -------
    Subspace
        basis (..., M, D) and dim (...), M minus the rank, as in `null_space`.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `orth`.

    Examples
    --------
    >>> import gpusvd
    >>> Q, dim = gpusvd.left_null_space([[1, 0], [0, 0]])
    >>> abs(Q)
    array([[0.],
           [1.]])
    """
    xp = array_namespace(a, rtol)
    return _kernel(xp, adjoint(xp, matrices(xp, a)), rtol, max_dim, driver)


@for_libraries
def projector(a: ArrayLike, rtol: ArrayLike | None = None, *, driver: Driver = "auto") -> Array:
    """
    Return the orthogonal projector onto the column space of every matrix.

    P = Q Qᴴ = A A⁺, with Q an orthonormal basis of the column space. P = P² = Pᴴ and P A = A, and P b is the
    point of the space nearest to b. The projector onto a `Subspace` is ``projector(subspace.basis)``.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    rtol : float or (...) array_like, optional
        σ counts as zero up to rtol σ₁. Default: max(M, N) eps of the dtype of `a`.
    driver : optional
        As in `svd`.

    Returns
    -------
    (..., M, M) array
        The projectors, in the dtype of U; NaN for a matrix with NaN or Inf. Nothing is read back from the
        device.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `orth`.

    Examples
    --------
    >>> import gpusvd
    >>> gpusvd.projector([[1, 1], [1, 1]]).round(12)
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    xp = array_namespace(a, rtol)
    a = matrices(xp, a)
    u, s, _ = decompose(xp, widened(xp, a), driver)
    above = not_zero(xp, a, s, rtol)
    with quiet():
        return astype(xp, product(u, astype(xp, above, s.dtype), adjoint(xp, u)), a.dtype)


@for_libraries
def sign_flip(U: ArrayLike, Vh: ArrayLike, u_based_decision: bool = True) -> tuple[Array, Array]:
    """
    Return the singular vectors with signs that are determined by the vectors themselves.

    A pair uᵢ, vᵢ may be multiplied by -1, or by any phase if complex, without changing the product U S Vh.
    Here the entry of uᵢ that is largest in absolute value becomes positive, as in scikit-learn's `svd_flip`.

    Parameters
    ----------
    U, Vh : (..., M, K) and (..., K, N) array_like
        Singular vectors, as ``svd(a, full_matrices=False)`` returns them.
    u_based_decision : bool, optional
        If False, the largest entry of each row of Vh becomes positive instead.

    Returns
    -------
    U, Vh : (..., M, K) and (..., K, N) array
        The vectors, in their dtypes; U diag(S) Vh is unchanged. If entries tie, the first one decides, and
        rounding may break the tie. Zero vectors are unchanged.

    Raises
    ------
    ValueError
        If U does not have as many columns as Vh has rows, if their leading dimensions do not broadcast, or if
        one has fewer than two dimensions.
    TypeError
        For dtypes that `svd` does not take, and arrays of different libraries.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> rotation = np.array([[-0.6, 0.8], [-0.8, -0.6]])
    >>> U, Vh = gpusvd.sign_flip(rotation, rotation)
    >>> U
    array([[ 0.6,  0.8],
           [ 0.8, -0.6]])
    >>> Vh
    array([[ 0.6, -0.8],
           [-0.8, -0.6]])
    """
    xp = array_namespace(U, Vh)
    u, vh = (in_c_order(xp, floating(xp, x, name=name)) for x, name in ((U, "U"), (Vh, "Vh")))
    if u.ndim < 2 or vh.ndim < 2 or u.shape[-1] != vh.shape[-2]:
        raise ValueError(
            f"U {u.shape} and Vh {vh.shape} do not pair: expected (..., M, K) and (..., K, N), as "
            "svd(a, full_matrices=False) returns them"
        )
    check_batch("the batch of Vh", vh.shape[:-2], u.shape[:-2])
    with quiet():
        phase = _leading_phase(xp, transpose(u) if u_based_decision else vh)
        opposite = xp.conj(phase) if is_complex(xp, phase) else phase
        if not u_based_decision:
            phase, opposite = opposite, phase
        return u * opposite[..., None, :], phase[..., None] * vh


# Steps that the functions share


def _range(xp: Namespace, a: Array, rtol: Any, max_dim: int | None, driver: Driver) -> Subspace:
    u, s, _ = decompose(xp, a, driver)
    above = not_zero(xp, a, s, rtol)
    return _padded(xp, u, count(xp, above), s, max_dim)


def _kernel(xp: Namespace, a: Array, rtol: Any, max_dim: int | None, driver: Driver) -> Subspace:
    m, n = a.shape[-2:]
    _, s, vh = decompose(xp, a, driver, full_matrices=m < n)
    above = not_zero(xp, a, s, rtol)
    last_first = xp.flip(adjoint(xp, vh), axis=-1)
    return _padded(xp, last_first, n - count(xp, above), s, max_dim)


def _padded(xp: Namespace, vectors: Array, dim: Array, s: Array, max_dim: int | None) -> Subspace:
    """Return the first `dim` columns of each matrix, padded with zeros to the width of the widest."""
    bad = failed(xp, s)
    dim = xp.where(bad, 0, dim)
    width = common_width(xp, dim, bad, vectors.shape[-1], max_dim, "max_dim")
    inside = arange(xp, width, dim) < dim[..., None]
    basis = xp.where((inside | bad[..., None])[..., None, :], vectors[..., :width], 0)
    return Subspace(basis, xp.asarray(xp.minimum(dim, width)))


def _leading_phase(xp: Namespace, rows: Array) -> Array:
    """Return the sign, or complex phase, of the largest entry of each row; 1 for a row of zeros."""
    if rows.shape[-1] == 0:
        return xp.sum(rows, axis=-1) + 1
    largest = xp.argmax(xp.abs(rows), axis=-1)
    lead = xp.take_along_axis(rows, largest[..., None], axis=-1)[..., 0]
    return xp.where(lead == 0, 1, lead / safe_divisor(xp, xp.abs(lead)))
