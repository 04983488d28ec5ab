"""
The SVD for use inside `jax.jit`, `jax.vmap`, `jax.jvp` and `jax.grad`, computed on the CPU by a callback.

A call leaves the compiled program, decomposes on the host and returns; arrays on a GPU are copied to the host
and back. Outside of compiled programs `gpusvd.svd` takes JAX arrays too, those in GPU memory without a copy.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import gpusvd
from gpusvd._base import subnormals
from gpusvd._base.arrays import from_lower_triangles
from gpusvd._base.checks import Driver, check_dimensions, check_driver, factor_dtype, values_dtype
from gpusvd._base.install import install
from gpusvd._base.results import SVDResult

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError(f"gpusvd.jax needs JAX: {install('jax')}") from error

__all__ = ["svd", "svdvals"]

JaxArray = Any  # jax.Array, whose types would require JAX to type-check this package


def svd(
    a: JaxArray,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
) -> Any:
    """
    Decompose every matrix of a JAX array, differentiably, also under jit and vmap.

    Parameters
    ----------
    a : (..., M, N) array
        Matrices; integers and bool become JAX's default floating-point dtype, which is float32 unless
        configured otherwise. Under `jax.vmap` the mapped axis joins the batch, which takes one call.
    full_matrices, compute_uv, hermitian, driver
        As in `gpusvd.svd`. The vectors that full matrices add have no derivative.

    Returns
    -------
    SVDResult
        U, S and Vh, or S alone, as `gpusvd.svd` describes them. A matrix with NaN or Inf has NaN factors and
        does not affect the others.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.svd`; ValueError for the derivative of full matrices that are not square.

    Notes
    -----
    The derivative of the vectors is dU = U (sym(P) ∘ F + skew(P) ∘ G) + (1 - U Uᴴ) dA V Σ⁻¹, P = Uᴴ dA V,
    with the factors F and G of `gpusvd.torch.svd`. As there, F is 0 where singular values coincide, and the
    derivative lacks the contribution of the vectors there. `jax.grad` transposes it.

    Examples
    --------
    ::

        polar = jax.jit(lambda a: (lambda U, S, Vh: U @ Vh)(*gpusvd.jax.svd(a, full_matrices=False)))
        jax.grad(lambda a: polar(a).sum())(jnp.eye(3))
    """
    check_driver(driver)
    a = jnp.asarray(a)
    check_dimensions(a.shape, hermitian)
    factor_dtype(np.dtype(a.dtype))
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        a = a.astype(jnp.result_type(float))
    if hermitian:
        a = from_lower_triangles(jnp, a)
    if not compute_uv:
        return _svdvals(a, driver)
    return SVDResult(*_svd(a, bool(full_matrices), driver))


def svdvals(a: JaxArray, *, driver: Driver = "auto") -> JaxArray:
    """
    Compute the singular values of every matrix of a JAX array, as ``svd(a, compute_uv=False)``.

    Parameters
    ----------
    a, driver
        As in `svd`.

    Returns
    -------
    S : (..., K) array
        As `gpusvd.svdvals` returns them; their derivative is defined also where they coincide.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `svd`.
    """
    return svd(a, compute_uv=False, driver=driver)


@functools.cache  # JAX compiles a call outside of jit anew for each new function
def _on_the_host(full_matrices: bool | None, driver: Driver) -> Callable[[Any], Any]:
    """Return the function that decomposes arrays on the host; singular values alone for None."""

    def decompose(host: Any) -> Any:
        with subnormals.kept():  # XLA's threads flush them to zero
            if full_matrices is None:
                return gpusvd.svdvals(np.asarray(host), driver=driver)
            return tuple(gpusvd.svd(np.asarray(host), full_matrices, driver=driver))

    return decompose


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _svd(a: JaxArray, full_matrices: bool, driver: Driver) -> tuple[JaxArray, JaxArray, JaxArray]:
    *batch, m, n = a.shape
    k = min(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    shapes = (*batch, m, rows), (*batch, k), (*batch, columns, n)
    dtypes = a.dtype, _real(a), a.dtype
    results = tuple(jax.ShapeDtypeStruct(*result) for result in zip(shapes, dtypes, strict=True))
    factors: tuple[JaxArray, JaxArray, JaxArray] = jax.pure_callback(
        _on_the_host(full_matrices, driver), results, a, vmap_method="expand_dims"
    )
    return factors


@_svd.defjvp  # type: ignore[untyped-decorator]
def _svd_jvp(full_matrices: bool, driver: Driver, primals: Any, tangents: Any) -> Any:
    (a,), (da,) = primals, tangents
    m, n = a.shape[-2:]
    if full_matrices and m != n:
        raise ValueError("full U and Vh have no derivative: pass full_matrices=False")
    u, s, vh = _svd(a, full_matrices, driver)
    k = s.shape[-1]
    if not k:
        return (u, s, vh), (jnp.zeros_like(u), jnp.zeros_like(s), jnp.zeros_like(vh))
    uh, v = _adjoint(u), _adjoint(vh)
    least = max(m, n) * jnp.finfo(s.dtype).eps * s[..., :1]
    p = uh @ da @ v
    f = _inverse(s[..., None, :] - s[..., :, None], least[..., None])
    g = _inverse(s[..., None, :] / 2 + s[..., :, None] / 2, 0 * least[..., None]) / 2
    # JAX may have been told not to promote real numbers to complex ones.
    f, g, inverse = (x.astype(p.dtype) for x in (f, g, _inverse(s, least)[..., None, :]))
    even, odd = (p + _adjoint(p)) / 2 * f, (p - _adjoint(p)) / 2 * g
    du, dv = u @ (even + odd), v @ (even - odd)
    if m > k:
        du = du + (da @ v - u @ p) * inverse
    if n > k:
        dv = dv + (_adjoint(da) @ u - v @ _adjoint(p)) * inverse
    ds = jnp.real(jnp.diagonal(p, axis1=-2, axis2=-1))
    return (u, s, vh), (du.astype(u.dtype), ds.astype(s.dtype), _adjoint(dv).astype(vh.dtype))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _svdvals(a: JaxArray, driver: Driver) -> JaxArray:
    result = jax.ShapeDtypeStruct((*a.shape[:-2], min(a.shape[-2:])), _real(a))
    return jax.pure_callback(_on_the_host(None, driver), result, a, vmap_method="expand_dims")


@_svdvals.defjvp  # type: ignore[untyped-decorator]
def _svdvals_jvp(driver: Driver, primals: Any, tangents: Any) -> Any:
    u, s, vh = _svd(primals[0], False, driver)
    p = _adjoint(u) @ tangents[0] @ _adjoint(vh)
    return s, jnp.real(jnp.diagonal(p, axis1=-2, axis2=-1)).astype(s.dtype)


def _real(a: JaxArray) -> Any:
    return values_dtype(np.dtype(a.dtype))


def _adjoint(x: JaxArray) -> JaxArray:
    return jnp.conj(jnp.swapaxes(x, -1, -2))


def _inverse(x: JaxArray, least: JaxArray) -> JaxArray:
    """Return 1 / x, and 0 where x is within `least` of zero."""
    nonzero = ~(jnp.abs(x) <= least)  # true for NaN
    return jnp.where(nonzero, 1 / jnp.where(nonzero, x, 1), 0)
