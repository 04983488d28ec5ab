"""Tensors: in and out without a copy, and the gradient of the SVD."""

import numpy as np
import pytest

import gpusvd
from gpusvd._base.install import install

torch = pytest.importorskip("torch", reason=f"PyTorch is not installed: {install('torch')}")

DTYPES = [torch.float64, torch.complex128]


def batch(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def loss(svd, a):
    """A number that neither the signs nor the phases of the vectors change, and every factor does."""
    U, S, Vh = svd(a, full_matrices=False)
    w = batch(*U.shape[-2:], dtype=U.dtype, seed=1)
    polar = U @ Vh
    top = (U[..., :, :1] * S[..., None, :1]) @ Vh[..., :1, :]
    weights = torch.arange(1, S.shape[-1] + 1, dtype=S.dtype)
    rows = batch(*polar.shape[-2:], dtype=U.dtype, seed=2)
    return (
        (S**2 * weights).sum()
        + (rows * polar).real.sum()
        + (rows * top).real.sum()
        + ((U.abs() ** 2) * w.real).sum()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.float16, torch.int32])
def test_tensors_in_tensors_out(dtype):
    a = batch(3, 4, 2).mul(4).to(dtype)
    for full_matrices in (True, False):
        result = gpusvd.svd(a, full_matrices)
        expected = gpusvd.svd(a.numpy(), full_matrices)
        assert type(result) is type(expected)
        for x, y in zip(result, expected, strict=True):
            assert isinstance(x, torch.Tensor)
            np.testing.assert_array_equal(x.numpy(), y)
    np.testing.assert_array_equal(gpusvd.svdvals(a).numpy(), gpusvd.svdvals(a.numpy()))
    np.testing.assert_array_equal(gpusvd.svd(a, compute_uv=False).numpy(), gpusvd.svdvals(a.numpy()))
    told = gpusvd.svd_ex(a)
    assert told.info.converged.dtype == torch.bool
    assert told.info.converged.shape == (3,)


def test_no_copy():
    a = batch(5, 4, 3)
    array = gpusvd.torch._array(a)
    assert array.ctypes.data == a.data_ptr()
    back = gpusvd.torch._tensors(array, a.device)
    assert back.data_ptr() == a.data_ptr()
    assert gpusvd.torch._array(a.mT).ctypes.data == a.data_ptr()


def test_lazy_conjugates_are_resolved():
    a = batch(4, 3, dtype=torch.complex128)
    U, S, Vh = gpusvd.svd(a.mH, full_matrices=False)
    torch.testing.assert_close(U @ torch.diag(S).to(a.dtype) @ Vh, a.mH)


def test_the_layer():
    a = batch(3, 4, 2)
    b = batch(3, 4, 1, seed=1)
    U, S, Vh = gpusvd.svd(a, full_matrices=False)
    torch.testing.assert_close(gpusvd.reconstruct(*gpusvd.truncate(U, S, Vh, rank=2)[:3]), a)
    torch.testing.assert_close(gpusvd.reconstruct(*gpusvd.low_rank(a, energy=1.0)[:3]), a)
    torch.testing.assert_close(gpusvd.pinv(a), torch.linalg.pinv(a))
    torch.testing.assert_close(gpusvd.polar(a).U, U @ Vh)
    x = gpusvd.torch.lstsq(a, b).x
    assert isinstance(x, torch.Tensor)
    torch.testing.assert_close(x, torch.linalg.lstsq(a, b).solution)
    p = gpusvd.pca(a)
    torch.testing.assert_close(p.mean, a.mean(dim=-2))
    assert isinstance(gpusvd.torch.matrix_rank(a), torch.Tensor)


def test_pca_of_tensors_takes_tensors():
    x = batch(5, 20, 4)
    for whiten in (False, True):
        p = gpusvd.pca(x, 2, whiten=whiten)
        scores = p.transform(x)
        expected = gpusvd.pca(x.numpy(), 2, whiten=whiten)
        assert isinstance(scores, torch.Tensor)
        torch.testing.assert_close(scores, torch.from_numpy(expected.transform(x.numpy())))
        back = p.inverse_transform(scores)
        torch.testing.assert_close(back, torch.from_numpy(expected.inverse_transform(scores.numpy())))
        more = batch(5, 6, 4, seed=1)
        merged = p.merge(gpusvd.pca(more, 2, whiten=whiten), 3)
        expected = expected.merge(gpusvd.pca(more.numpy(), 2, whiten=whiten), 3)
        assert isinstance(merged, gpusvd.torch.PCAResult)
        torch.testing.assert_close(merged.transform(x), torch.from_numpy(expected.transform(x.numpy())))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch's own
def test_a_tangent_is_not_lost():
    with torch.autograd.forward_ad.dual_level():
        a = torch.autograd.forward_ad.make_dual(batch(3, 3), batch(3, 3, seed=1))
        with pytest.raises(ValueError, match="pinv has no gradient"):
            gpusvd.pinv(a)


def test_errors():
    a = batch(3, 4, 2).requires_grad_()
    with pytest.raises(ValueError, match="full_matrices=False"):
        gpusvd.svd(a)
    with pytest.raises(ValueError, match="pinv has no gradient"):
        gpusvd.pinv(a)
    with pytest.raises(TypeError, match="out must be None"):
        gpusvd.svd(a, out=())
    with pytest.raises(TypeError, match="expected a tensor"):
        gpusvd.torch.svd(np.eye(2))
    with pytest.raises(TypeError, match="bfloat16"):
        gpusvd.svd(torch.eye(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="device meta"):
        gpusvd.svdvals(torch.empty(2, 2, device="meta"))
    with pytest.raises(AttributeError):
        gpusvd.torch.nothing  # noqa: B018
    with torch.no_grad():
        assert not gpusvd.svd(a).U.requires_grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 4, 2), (1, 1), (2, 0, 3)], ids=str)
def test_gradient(shape, dtype):
    a = batch(*shape, dtype=dtype).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: gpusvd.svdvals(a), a)
    if 0 in shape:
        gpusvd.svd(a, full_matrices=False).S.sum().backward()
        assert a.grad.shape == a.shape
        return
    assert torch.autograd.gradcheck(lambda a: loss(gpusvd.svd, a), a)
    ours, theirs = (torch.autograd.grad(loss(svd, a), a)[0] for svd in (gpusvd.svd, torch.linalg.svd))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factor", range(3))
def test_gradient_of_each_factor_alone(factor):
    a = batch(5, 3).requires_grad_()
    b = batch(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: gpusvd.svd(a, full_matrices=False)[factor], a)
    assert torch.autograd.gradcheck(lambda b: gpusvd.svd(b, full_matrices=False)[factor], b)


def test_second_derivative():
    a = batch(4, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda a: loss(gpusvd.svd, a), a)


def test_vmap_is_one_call(monkeypatch):
    shapes = []
    svdvals = gpusvd.svdvals
    monkeypatch.setattr(gpusvd, "svdvals", lambda a, **options: (shapes.append(a.shape), svdvals(a))[1])
    a = batch(4, 5, 2)
    values = torch.func.vmap(gpusvd.torch.svdvals, in_dims=1)(a)
    torch.testing.assert_close(values, torch.linalg.svdvals(a.swapaxes(0, 1)))
    assert shapes == [(5, 4, 2)]


def test_transforms_of_torch_func():
    a = batch(5, 4, 3)

    def ours(a):
        return loss(gpusvd.torch.svd, a)

    gradients = torch.func.vmap(torch.func.grad(ours), randomness="same")(a)
    b = a.clone().requires_grad_()
    ours(b).backward()
    torch.testing.assert_close(gradients, b.grad)
    jacobian = torch.func.jacrev(gpusvd.torch.svdvals)(a[0])
    torch.testing.assert_close(jacobian, torch.func.jacrev(torch.linalg.svdvals)(a[0]))
    hessian = torch.func.jacrev(torch.func.grad(ours))(a[0])
    torch.testing.assert_close(hessian, hessian.permute(2, 3, 0, 1))


@pytest.mark.parametrize("scale", [1e-200, 1e200, 1e-307, 1e307])
def test_no_factor_over_or_underflows(scale):
    a = batch(4, 3)
    gradients = []
    for factor in (1.0, scale):
        x = (a * factor).requires_grad_()
        U, _, Vh = gpusvd.svd(x, full_matrices=False)
        (U[:, 0] @ batch(4, seed=1) + Vh[1] @ batch(3, seed=2)).backward()
        gradients.append(x.grad * factor)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_leave_the_gradient_of_the_polar_factor(dtype):
    q = torch.linalg.qr(batch(3, 3, dtype=dtype)).Q
    w = batch(3, 3, dtype=dtype, seed=1)
    a = (2 * q).requires_grad_()
    U, S, Vh = gpusvd.svd(a, full_matrices=False)
    assert bool(gpusvd.torch.degenerate(S.detach(), 3, 3))
    (w.conj() * (U @ Vh)).real.sum().backward()
    expected = q @ (q.mH @ w - w.mH @ q) / 4  # of Re tr(wᴴ Q): the skew part over σ_i + σ_j
    torch.testing.assert_close(a.grad, expected, rtol=1e-12, atol=1e-12)


def test_degenerate():
    a = torch.stack(
        [
            torch.diag(torch.tensor(d, dtype=torch.float64))
            for d in ([3.0, 2.0, 1.0], [3.0, 3.0, 1.0], [3.0, 1.0, 0.0], [np.nan] * 3, [3.0, 1 + 1e-9, 1.0])
        ]
    ).requires_grad_()
    U, S, Vh = gpusvd.svd(a)
    assert gpusvd.torch.degenerate(S, 3, 3).tolist() == [False, True, True, True, False]
    (U.sum() + Vh.sum()).backward()
    finite = torch.isfinite(a.grad).all(dim=-1).all(dim=-1)
    assert finite.tolist() == [True, True, True, False, True]
