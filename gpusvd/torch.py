"""
The SVD of torch tensors, on the CPU and on a GPU, without copies, and its gradient.

Every function of `gpusvd` that takes plain arrays takes tensors as well and returns tensors, with gradients;
it can be called here, too, as ``gpusvd.torch.lstsq(A, b)``. `svd` and `svdvals` work under autograd,
`torch.func` (vmap, grad, jacrev) and `torch.compile`. The code for CUDA tensors has not run on a GPU yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import unwrap
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

import gpusvd
from gpusvd._base.arrays import (
    array_namespace,
    astype,
    common_floating,
    matrices,
    widened,
    without_gradient,
)
from gpusvd._base.checks import Device, Driver, Errors, checked_device
from gpusvd._base.install import install
from gpusvd._base.results import SVDExResult, SVDResult
from gpusvd._layer.solve import LstsqResult

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError(f"gpusvd.torch needs PyTorch: {install('torch')}") from error

__all__ = ["degenerate", "inv", "lstsq", "pinv", "svd", "svd_ex", "svd_product", "svdvals"]

_WITHOUT_TENSORS = {"explain", "stream", "svd_ragged", "truncate_ragged", "warmup"}


@overload
def svd(
    a: Tensor,
    full_matrices: bool = True,
    compute_uv: Literal[True] = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDResult[Tensor]: ...


@overload
def svd(
    a: Tensor,
    full_matrices: bool = True,
    *,
    compute_uv: Literal[False],
    hermitian: bool = False,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> Tensor: ...


@overload
def svd(
    a: Tensor,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDResult[Tensor] | Tensor: ...


def svd(
    a: Tensor,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDResult[Tensor] | Tensor:
    """
    Decompose every matrix of a tensor, differentiably.

    Parameters
    ----------
    a : (..., M, N) tensor
        Matrices of a dtype that `gpusvd.svd` takes, or bfloat16, with any strides, on the CPU or a CUDA
        device.
    full_matrices : bool, optional
        As in `gpusvd.svd`. The vectors that it adds have no gradient: pass False if you need one and the
        matrices are not square.
    compute_uv, hermitian, driver, errors, threads, device
        As in `gpusvd.svd`. The gradient ignores `hermitian`; to respect the symmetry, construct the matrix
        from its lower triangle before the call.
    out : None
        Not supported: a tensor that may carry a gradient is not written to.

    Returns
    -------
    SVDResult
        U, S and Vh as `gpusvd.svd` describes them, or S alone, as tensors on the device of `a`. float16 and
        bfloat16 are computed in float32, and so is their S.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.svd`; ValueError for a gradient of full matrices that are not square.

    See Also
    --------
    degenerate : The matrices at which the gradient is not defined.

    Notes
    -----
    With X = Uᴴ ∂U, Y = Vᴴ ∂V, where ∂ is the gradient of the loss, and their skew parts x = (X - Xᴴ) / 2 and
    y = (Y - Yᴴ) / 2, the gradient is

        U [(x + y) ∘ F + (x - y) ∘ G + diag(∂S)] Vᴴ + (1 - U Uᴴ) ∂U Σ⁻¹ Vᴴ + U Σ⁻¹ ∂Vᴴ (1 - V Vᴴ),

    F_ij = 1 / (σ_j - σ_i) off the diagonal and G_ij = 1 / (σ_j + σ_i). The usual factor 1 / (σ_j² - σ_i²),
    the product of the two, over- and underflows where they do not, and cancels where they do not.

    F is singular where two values coincide. Values that differ by at most max(M, N) eps σ₁ count as equal and
    their F as 0; the inverses of values up to that bound likewise count as 0. So the gradient is always
    finite, but at such a matrix it lacks the part that goes through F. It is right for the polar factor U Vᴴ
    of equal values and for `svdvals`, and wrong for other losses: for U diag(S) Vᴴ itself, and for any that
    depends on the choice of the vectors. `degenerate` tells which matrices these are. For complex matrices a
    loss must not depend on the phase of the vectors either.

    References
    ----------
    J. Townsend, "Differentiating the singular value decomposition", 2016. Z.-Q. Wan and S.-X. Zhang,
    "Automatic differentiation for complex valued SVD", arXiv:1909.02659, 2019.

    Examples
    --------
    ::

        a = torch.randn(1000, 8, 5, requires_grad=True)
        U, S, Vh = gpusvd.torch.svd(a, full_matrices=False)
        (U @ Vh).sum().backward()
    """
    if not compute_uv:
        return svdvals(
            a, hermitian=hermitian, driver=driver, out=out, errors=errors, threads=threads, device=device
        )
    options = driver, errors, threads, checked_device(device)
    a, wide = _matrices(a, out, hermitian)
    if full_matrices and a.shape[-1] != a.shape[-2] and _wants_gradient(a):
        raise ValueError("full U and Vh have no gradient: pass full_matrices=False, or a.detach()")
    U, S, Vh = _factors(wide, full_matrices, hermitian, *options)
    return SVDResult(U.to(a.dtype), S, Vh.to(a.dtype))


def svdvals(
    a: Tensor,
    *,
    hermitian: bool = False,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> Tensor:
    """
    Compute the singular values of every matrix of a tensor, differentiably.

    The gradient is ∂A = U diag(∂S) Vᴴ, defined also where values coincide; if it is required, the vectors are
    computed too.

    Parameters
    ----------
    a, hermitian, driver, out, errors, threads, device
        As in `svd`.

    Returns
    -------
    S : (..., K) tensor
        As `gpusvd.svdvals` returns them.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.svdvals`.
    """
    options = driver, errors, threads, checked_device(device)
    a, wide = _matrices(a, out, hermitian)
    if _wants_gradient(a):
        return _factors(wide, False, hermitian, *options)[1]
    return _values(wide, hermitian, *options)


def svd_ex(
    a: Tensor,
    full_matrices: bool = True,
    *,
    hermitian: bool = False,
    driver: Driver = "auto",
    out: None = None,
    errors: Errors = "nan",
    threads: int | None = None,
    device: Device | None = None,
) -> SVDExResult[Tensor]:
    """
    Decompose every matrix of a tensor, and say what happened to each; without a gradient.

    Parameters
    ----------
    a, full_matrices, hermitian, driver, out, errors, threads, device
        As in `svd`.

    Returns
    -------
    SVDExResult
        U, S, Vh and info, as `gpusvd.svd_ex` describes them, of tensors.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `svd`; ValueError for a tensor that requires a gradient.
    """
    a, wide = _matrices(a, out, hermitian)
    if _wants_gradient(a):
        raise ValueError("svd_ex has no gradient: pass a.detach(), or take gpusvd.torch.svd")
    options = _named(driver, errors, threads, device)
    U, S, Vh, info = _on_arrays("svd_ex", wide, full_matrices, hermitian=hermitian, **options)
    return SVDExResult(U.to(a.dtype), S, Vh.to(a.dtype), info)


def degenerate(S: Tensor, m: int, n: int) -> Tensor:
    """
    Return which matrices have singular vectors without a gradient.

    In these matrices two singular values differ by at most max(m, n) eps σ₁, or the smallest is at most that:
    the matrix does not determine the vectors within their space. Matrices with NaN are included.

    Parameters
    ----------
    S : (..., K) tensor
        All singular values in descending order.
    m, n : int
        Rows and columns.

    Returns
    -------
    (...) tensor of bool
        True for matrices whose gradient lacks the contribution of the vectors within that space; see `svd`.
    """
    if S.shape[-1] == 0:
        return torch.zeros(S.shape[:-1], dtype=torch.bool, device=S.device)
    least = _least(S, m, n)
    gaps = torch.cat([S[..., :-1] - S[..., 1:], S[..., -1:]], dim=-1)
    return ~(gaps > least).all(dim=-1)


# The operators gpusvd::svd and gpusvd::svdvals, which torch.compile leaves whole, and their gradient

_OPTIONS = "bool hermitian, str driver, str errors, int? threads, str? device"


@torch.library.custom_op(  # type: ignore[untyped-decorator]
    "gpusvd::svd",
    mutates_args=(),
    schema=f"(Tensor a, bool full_matrices, {_OPTIONS}) -> (Tensor, Tensor, Tensor)",
)
def _svd(a: Tensor, full_matrices: bool, hermitian: bool, *options: Any) -> Any:
    return tuple(_on_arrays("svd", a, full_matrices, True, hermitian, **_named(*options)))


@_svd.register_fake  # type: ignore[untyped-decorator]
def _(a: Tensor, full_matrices: bool, *options: Any) -> Any:
    *batch, m, n = a.shape
    k = min(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    return a.new_empty((*batch, m, rows)), _svdvals_like(a), a.new_empty((*batch, columns, n))


@torch.library.custom_op(  # type: ignore[untyped-decorator]
    "gpusvd::svdvals", mutates_args=(), schema=f"(Tensor a, {_OPTIONS}) -> Tensor"
)
def _svdvals(a: Tensor, hermitian: bool, *options: Any) -> Any:
    return _on_arrays("svdvals", a, hermitian=hermitian, **_named(*options))


@_svdvals.register_fake  # type: ignore[untyped-decorator]
def _svdvals_like(a: Tensor, *options: Any) -> Any:
    return a.new_empty((*a.shape[:-2], min(a.shape[-2:])), dtype=a.dtype.to_real())


def _named(driver: str, errors: str, threads: int | None, device: str | None) -> dict[str, Any]:
    return {"driver": driver, "errors": errors, "threads": threads, "device": device}


class _SVD(torch.autograd.Function):  # type: ignore[misc]
    """The operator gpusvd::svd for torch.func, which takes gradients of no operator."""

    @staticmethod
    def forward(a: Tensor, *options: Any) -> Any:
        return _svd(a, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        terms = _gradient(*ctx.saved_tensors, *gradients)
        return sum(left @ right for left, right in terms), *[None] * 6

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, *options: Any) -> Any:
        return _SVD.apply(a.movedim(in_dims[0], 0), *options), (0, 0, 0)


_svd.register_autograd(_SVD.backward, setup_context=_SVD.setup_context)


class _Values(torch.autograd.Function):  # type: ignore[misc]
    """The operator gpusvd::svdvals, which has no gradient; `_SVD` computes values with one."""

    @staticmethod
    def forward(a: Tensor, *options: Any) -> Any:
        return _svdvals(a, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, *options: Any) -> Any:
        return _Values.apply(a.movedim(in_dims[0], 0), *options), 0


def _factors(*arguments: Any) -> Any:
    return (_svd if torch.compiler.is_compiling() else _SVD.apply)(*arguments)


def _values(*arguments: Any) -> Any:
    return (_svdvals if torch.compiler.is_compiling() else _Values.apply)(*arguments)


def _gradient(
    u: Tensor, s: Tensor, vh: Tensor, du: Tensor, ds: Tensor, dvh: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Return the gradient by the formula of `svd`, as products to sum; each of `du`, `ds` and `dvh` may be
    None."""
    m, n = u.shape[-2], vh.shape[-1]
    least = _least(s, m, n) if s.shape[-1] else s
    core = torch.zeros_like(u[..., : s.shape[-1], :]) if ds is None else torch.diag_embed(ds).to(u.dtype)
    if du is not None or dvh is not None:
        zero = torch.zeros_like(core)
        x = zero if du is None else _skew(u.mH @ du)
        y = zero if dvh is None else _skew(vh @ dvh.mH)
        difference = s[..., None, :] - s[..., :, None]
        core = core + (x + y) * _inverse(difference, least[..., None])
        total = s[..., None, :] / 2 + s[..., :, None] / 2  # the sum of two large numbers may overflow
        core = core + (x - y) / 2 * _inverse(total, 0 * least[..., None])
    right, products = core @ vh, []
    inverse = _inverse(s, least)[..., None, :]
    if du is not None and m > s.shape[-1]:
        products.append((du - u @ (u.mH @ du), inverse.mT * vh))
    if dvh is not None and n > s.shape[-1]:
        right = right + inverse.mT * (dvh - (dvh @ vh.mH) @ vh)
    return [(u, right), *products]


def _skew(x: Tensor) -> Tensor:
    return (x - x.mH) / 2


def _inverse(x: Tensor, least: Tensor) -> Tensor:
    """Return 1 / x, and 0 where x is within `least` of zero."""
    nonzero = ~(x.abs() <= least)  # true for NaN
    return torch.where(nonzero, 1 / torch.where(nonzero, x, torch.ones_like(x)), torch.zeros_like(x))


def _least(s: Tensor, m: int, n: int) -> Tensor:
    """Return the bound (..., 1) up to which a value counts as zero: max(m, n) eps σ₁."""
    return (max(m, n) * torch.finfo(s.dtype).eps * s[..., :1]).detach()


# Functions whose gradient is known where that of the vectors is not


def pinv(
    a: Tensor, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None, driver: Driver = "auto"
) -> Tensor:
    """
    Return the pseudo-inverse of every matrix, as `gpusvd.pinv`, differentiably.

    The gradient (Golub and Pereyra 1973) is right for equal singular values, too, and for changes that leave
    the rank as it is. With a tolerance, which may cut off more than rounding, it is that through `svd`.

    Parameters
    ----------
    a, rcond, hermitian, rtol, driver
        As in `gpusvd.pinv`. The gradient ignores `hermitian`, as that of `svd` does.

    Returns
    -------
    (..., N, M) tensor
        The pseudo-inverses.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.pinv`.

    References
    ----------
    G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems
    whose variables separate", SIAM Journal on Numerical Analysis 10(2), 1973, pp. 413-432.
    """
    a, _ = _matrices(a, None, hermitian)
    exact = rcond is None and rtol is None
    x = unwrap(gpusvd.pinv)(a.detach() if exact else a, rcond, hermitian, rtol=rtol, driver=driver)
    return _inverse_of(a, x) if exact else x


def inv(a: Tensor, *, errors: Errors = "nan", driver: Driver = "auto") -> Tensor:
    """
    Return the inverse of every matrix, as `gpusvd.inv`, differentiably, also for equal singular values.

    Parameters
    ----------
    a, errors, driver
        As in `gpusvd.inv`.

    Returns
    -------
    (..., N, N) tensor
        The inverses.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.inv`.
    """
    a, _ = _matrices(a, None, True)
    return _inverse_of(a, unwrap(gpusvd.inv)(a.detach(), errors=errors, driver=driver))


def lstsq(a: Tensor, b: Tensor, rcond: Any = None, *, driver: Driver = "auto") -> LstsqResult[Tensor]:
    """
    Return the least-squares solution of A x = b for every matrix, as `gpusvd.lstsq`, differentiably.

    The gradient of x is right under the conditions of `pinv`.

    Parameters
    ----------
    a, b, rcond, driver
        As in `gpusvd.lstsq`.

    Returns
    -------
    LstsqResult
        x, residuals, rank and s, as `gpusvd.lstsq` describes them.

    Raises
    ------
    LinAlgError, TypeError, ValueError
        As `gpusvd.lstsq`.
    """
    result: LstsqResult[Tensor] = unwrap(gpusvd.lstsq)(a, b, rcond, driver=driver)
    xp = array_namespace(a, b)
    a, b = common_floating(xp, a=a, b=b)
    if rcond is not None or not (_wants_gradient(a) or _wants_gradient(b)):
        return result
    vector, x = b.ndim == 1, without_gradient(result.x)
    b, x = (b[:, None], x[..., None]) if vector else (b, x)
    x = _Solution.apply(*(widened(xp, t) for t in (a, b, pinv(a, driver=driver), x)))
    return result._replace(x=astype(xp, x[..., 0] if vector else x, a.dtype))


def _inverse_of(a: Tensor, x: Tensor) -> Tensor:
    """Return the pseudo-inverses x of matrices with their gradient."""
    if not _wants_gradient(a):
        return x
    xp = array_namespace(a)
    wide = widened(xp, a)
    identity = torch.eye(a.shape[-2], dtype=wide.dtype, device=a.device)
    return _Solution.apply(wide, identity, None, widened(xp, x)).to(a.dtype)


class _Solution(torch.autograd.Function):  # type: ignore[misc]
    """X = A⁺ B with its gradient, from X and the pseudo-inverse A⁺, or X alone if B is the identity."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, inverse: Tensor | None, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:3], output)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Any:
        a, b, inverse, x = ctx.saved_tensors
        if inverse is None:
            inverse = x
        db = inverse.mH @ dx
        da = (b - a @ x) @ (inverse @ db).mH - db @ x.mH + (inverse.mH @ x) @ (dx - a.mH @ db).mH
        return da.sum_to_size(a.shape), db.sum_to_size(b.shape), None, None


def svd_product(x: Tensor, y: Tensor, *, driver: Driver = "auto") -> SVDResult[Tensor]:
    """
    Return the SVD of every product x y from its factors, as `gpusvd.svd_product`, differentiably.

    The gradient is that of `svd` for the product, which is not formed.

    Parameters
    ----------
    x, y, driver
        As in `gpusvd.svd_product`.

    Returns
    -------
    SVDResult
        U, S and Vh, as `gpusvd.svd_product` describes them.

    Raises
    ------
    TypeError, ValueError
        As `gpusvd.svd_product`.
    """
    xp = array_namespace(x, y)
    x, y = common_floating(xp, x=x, y=y)
    U, S, Vh = _Product.apply(widened(xp, x), widened(xp, y), driver)
    return SVDResult(U.to(x.dtype), S, Vh.to(x.dtype))


class _Product(torch.autograd.Function):  # type: ignore[misc]
    """The SVD of x y from its factors, with its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor, driver: Driver) -> Any:
        return tuple(unwrap(gpusvd.svd_product)(x, y, driver=driver))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:2], *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        x, y, *factors = ctx.saved_tensors
        terms = _gradient(*factors, *gradients)
        dx = sum(left @ (right @ y.mH) for left, right in terms)
        dy = sum((x.mH @ left) @ right for left, right in terms)
        return dx.sum_to_size(x.shape), dy.sum_to_size(y.shape), None


# Conversion between tensors and arrays


if TYPE_CHECKING:  # what `__getattr__` finds
    from gpusvd import _torch_layer
    from gpusvd._torch_layer import *  # noqa: F403

    __all__ += _torch_layer.__all__  # type: ignore[has-type]


def __getattr__(name: str) -> Any:
    function = getattr(gpusvd, name) if name in gpusvd.__all__ and name not in _WITHOUT_TENSORS else None
    if not callable(function) or isinstance(function, type):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return function


def _matrices(a: Any, out: Any, hermitian: bool) -> tuple[Tensor, Tensor]:
    """Return floating-point matrices, and the same in the precision to compute in; raise for other
    arguments."""
    if not isinstance(a, torch.Tensor):
        raise TypeError(f"a is a {type(a).__name__}, expected a tensor")
    if out is not None:
        raise TypeError("out must be None for a tensor")
    xp = array_namespace(a)
    a = matrices(xp, a, hermitian)
    return a, widened(xp, a)


def _wants_gradient(a: Tensor) -> bool:
    tangent = torch.autograd.forward_ad.unpack_dual(a).tangent
    return tangent is not None or bool(torch.is_grad_enabled() and a.requires_grad)


def _on_arrays(name: str, a: Tensor, *args: Any, **options: Any) -> Any:
    """Return what a function of this package makes of the array in the memory of a tensor, as tensors."""
    with _current_stream(a.device):
        return _tensors(getattr(gpusvd, name)(_array(a), *args, **options), a.device)


@contextmanager
def _current_stream(device: Any) -> Iterator[None]:
    """Let CuPy use torch's current stream on a device, and that device, within this context."""
    if device.type != "cuda":
        yield
        return
    from gpusvd._cuda.arrays import cupy_with_device

    cupy = cupy_with_device()
    stream = torch.cuda.current_stream(device)
    index = stream.device_index
    with cupy.cuda.Device(index), _external_stream(cupy, stream.cuda_stream, index):
        yield


class _Handle(NamedTuple):
    """A CUDA stream as CuPy takes it, by the CUDA stream protocol of cuda-core."""

    pointer: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer  # the version of the protocol comes first


def _external_stream(cupy: Any, pointer: int, index: int) -> Any:
    """Return CuPy's stream for a stream of another library; CuPy 14 made `ExternalStream` obsolete."""
    if hasattr(cupy.cuda.Stream, "from_external"):
        return cupy.cuda.Stream.from_external(_Handle(pointer))
    return cupy.cuda.ExternalStream(pointer, index)


def _array(x: Tensor) -> Any:
    """Return a tensor as a NumPy or CuPy array of the same memory."""
    x = x.detach().resolve_conj().resolve_neg()
    if x.device.type == "cpu":
        return x.numpy()
    if x.device.type != "cuda":
        raise TypeError(f"a is on the device {x.device}, expected the CPU or CUDA: pass a.cpu()")
    from gpusvd._cuda.arrays import cupy_with_device

    return cupy_with_device().from_dlpack(x)


def _tensors(x: Any, device: Any) -> Any:
    """Return an array, or a named tuple of them, as tensors of the same memory."""
    if isinstance(x, tuple):
        return type(x)(*(_tensors(part, device) for part in x))
    return torch.from_numpy(x).to(device) if isinstance(x, np.ndarray) else torch.from_dlpack(x)
