"""
The functions for torch tensors, on the CPU and on a GPU, without copies, and the gradient of the SVD.

`svd` and `svdvals` support autograd and `torch.func` (vmap, grad, jacrev). Every other function of `gpusvd`
that takes plain arrays is available here under the same name and takes tensors instead, such as
``gpusvd.torch.lstsq(A, b)``; it has no gradient, and raises if one is required. `gpusvd.svd`, `svdvals`,
`svd_ex`, `truncate`, `low_rank`, `reconstruct`, `pinv`, `polar` and `pca` pass tensors on to this module. The
code for CUDA tensors has not run on a GPU yet.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

import gpusvd
from gpusvd._base.checks import Device, Driver, Errors
from gpusvd._base.install import install
from gpusvd._base.results import SVDResult
from gpusvd._layer import pca as _pca

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError(f"gpusvd.torch needs PyTorch: {install('torch')}") from error

__all__ = ["PCAResult", "degenerate", "svd", "svdvals"]

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
        Matrices of a dtype that `gpusvd.svd` takes, with any strides, on the CPU or a CUDA device.
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
        U, S and Vh as `gpusvd.svd` describes them, or S alone, as tensors on the device of `a`.

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
    _check(a, out)
    thin = not full_matrices or a.shape[-1:] == a.shape[-2:-1]
    if not thin and _wants_gradient(a):
        raise ValueError("full U and Vh have no gradient: pass full_matrices=False")
    options = {"driver": driver, "errors": errors, "threads": threads, "device": device}
    return SVDResult(*_SVD.apply(a, full_matrices, hermitian, options))


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
    options: dict[str, Any] = {"driver": driver, "errors": errors, "threads": threads, "device": device}
    _check(a, out)
    if _wants_gradient(a):
        return svd(a, False, True, hermitian, **options).S
    return _Values.apply(a, hermitian, options)


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


class _SVD(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(a: Tensor, full_matrices: bool, hermitian: bool, options: Any) -> Any:
        return tuple(_through(gpusvd.svd)(a.detach(), full_matrices, True, hermitian, **options))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        u = ctx.saved_tensors[0]
        tensors = [x if x is None else _widened(x) for x in (*ctx.saved_tensors, *gradients)]
        return _gradient(*tensors).to(u.dtype), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, *options: Any) -> Any:
        return _SVD.apply(a.movedim(in_dims[0], 0), *options), (0, 0, 0)


class _Values(torch.autograd.Function):  # type: ignore[misc]
    """The singular values without a gradient; `_SVD` computes those with one."""

    @staticmethod
    def forward(a: Tensor, hermitian: bool, options: Any) -> Any:
        return _through(gpusvd.svdvals)(a.detach(), hermitian=hermitian, **options)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, *options: Any) -> Any:
        return _Values.apply(a.movedim(in_dims[0], 0), *options), 0


def _gradient(u: Tensor, s: Tensor, vh: Tensor, du: Tensor, ds: Tensor, dvh: Tensor) -> Tensor:
    """Return the gradient by the formula of `svd`; each of `du`, `ds` and `dvh` may be None."""
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
    a = u @ core @ vh
    inverse = _inverse(s, least)[..., None, :]
    if du is not None and m > s.shape[-1]:
        rest = du - u @ (u.mH @ du)
        a = a + (rest * inverse) @ vh
    if dvh is not None and n > s.shape[-1]:
        rest = dvh - (dvh @ vh.mH) @ vh
        a = a + u @ (inverse.mT * rest)
    return a


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.float16 else x


def _skew(x: Tensor) -> Tensor:
    return (x - x.mH) / 2


def _inverse(x: Tensor, least: Tensor) -> Tensor:
    """Return 1 / x, and 0 where x is within `least` of zero."""
    nonzero = ~(x.abs() <= least)  # true for NaN
    return torch.where(nonzero, 1 / torch.where(nonzero, x, torch.ones_like(x)), torch.zeros_like(x))


def _least(s: Tensor, m: int, n: int) -> Tensor:
    """Return the bound (..., 1) up to which a value counts as zero: max(m, n) eps σ₁."""
    return (max(m, n) * torch.finfo(s.dtype).eps * s[..., :1]).detach()


# Conversion between tensors and arrays


class PCAResult(_pca.PCAResult):
    """The principal components of each set of data, as `gpusvd.PCAResult`, of tensors."""

    def transform(self, x: Tensor) -> Tensor:
        """Return the scores (..., Q, C) of samples (..., Q, N)."""
        return self._map("transform", x)

    def inverse_transform(self, scores: Tensor) -> Tensor:
        """Return the samples (..., Q, N) with given scores (..., Q, C)."""
        return self._map("inverse_transform", scores)

    def merge(self, other: Any, n_components: int | None = None, *, driver: Driver = "auto") -> Any:
        """Return the principal components of the samples of both together."""
        this, that = (_pca.PCAResult(*map(_array, p)) for p in (self, other))
        return _tensors(this.merge(that, n_components, driver=driver), self.components.device)

    def _map(self, method: str, x: Tensor) -> Tensor:
        arrays = _pca.PCAResult(*map(_array, self))
        return _through(getattr(arrays, method))(x)


if TYPE_CHECKING:  # what `__getattr__` finds
    from gpusvd import _torch_layer
    from gpusvd._torch_layer import *  # noqa: F403

    __all__ += _torch_layer.__all__  # type: ignore[has-type]


def __getattr__(name: str) -> Any:
    function = getattr(gpusvd, name) if name in gpusvd.__all__ and name not in _WITHOUT_TENSORS else None
    if not callable(function) or isinstance(function, type):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _through(function)


def _through(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function of arrays so that it takes and returns tensors."""

    @functools.wraps(function)
    def with_tensors(*args: Any, **options: Any) -> Any:
        tensors = [x for x in (*args, *options.values()) if isinstance(x, torch.Tensor)]
        if any(_wants_gradient(x) for x in tensors):
            raise ValueError(
                f"{function.__name__} has no gradient: pass a.detach(), or build it from gpusvd.torch.svd"
            )
        device = next((x.device for x in tensors), torch.device("cpu"))
        with _current_stream(device):
            arrays = [_array(x) for x in args]
            return _tensors(function(*arrays, **{name: _array(x) for name, x in options.items()}), device)

    return with_tensors


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


def _array(x: Any) -> Any:
    """Return a tensor as a NumPy or CuPy array of the same memory, and anything else unchanged."""
    if not isinstance(x, torch.Tensor):
        return x
    if x.dtype == torch.bfloat16:
        raise TypeError("array type bfloat16 is unsupported in svd: pass a.float()")
    x = x.detach().resolve_conj().resolve_neg()
    if x.device.type == "cpu":
        return x.numpy()
    if x.device.type != "cuda":
        raise TypeError(f"a is on the device {x.device}, expected the CPU or CUDA: pass a.cpu()")
    from gpusvd._cuda.arrays import cupy_with_device

    return cupy_with_device().from_dlpack(x)


def _tensors(x: Any, device: Any) -> Any:
    """Return an array, or a tuple of arrays, as tensors of the same memory."""
    if isinstance(x, tuple):
        parts = [_tensors(part, device) for part in x]
        if isinstance(x, _pca.PCAResult):
            return PCAResult(*parts)
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, np.ndarray | np.generic):
        return torch.from_numpy(np.asarray(x)).to(device)
    return torch.from_dlpack(x) if hasattr(x, "__dlpack__") else x


def _wants_gradient(a: Tensor) -> bool:
    tangent = torch.autograd.forward_ad.unpack_dual(a).tangent
    return tangent is not None or bool(torch.is_grad_enabled() and a.requires_grad)


def _check(a: Any, out: Any) -> None:
    if not isinstance(a, torch.Tensor):
        raise TypeError(f"a is a {type(a).__name__}, expected a tensor")
    if out is not None:
        raise TypeError("out must be None for a tensor")


# `gpusvd` hands tensors to these by itself, and not to those that `__getattr__` makes.
for _name in ("low_rank", "pca", "pinv", "polar", "reconstruct", "svd_ex", "truncate"):
    globals()[_name] = _through(getattr(gpusvd, _name))
