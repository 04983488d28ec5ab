"""Tensors: in and out without a copy, and gradients, in every function."""

import math

import numpy as np
import pytest

import gpusvd
from gpusvd._base.install import install
from tests.support.calls import CALLS, CASES, depends_on_numbers, inputs, named, parts

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
def test_svd_of_tensors(dtype):
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


def tensors(arguments, dtype):
    return [torch.from_numpy(inputs(dtype)[x]) for x in arguments.split()]


@pytest.mark.parametrize(("name", "arguments", "options", "dtype"), CASES)
def test_every_function_takes_and_gives_tensors(name, arguments, options, dtype):
    found = parts(named(name)(*tensors(arguments, dtype), **options))
    expected = parts(named(name)(*(inputs(dtype)[x] for x in arguments.split()), **options))
    for x, y in zip(found, expected, strict=True):
        assert isinstance(x, torch.Tensor)
        assert str(x.dtype) == f"torch.{y.dtype}"
        assert x.shape == y.shape
        np.testing.assert_allclose(abs(x.numpy()), abs(y), rtol=1e-3, atol=1e-3)  # vectors have any sign


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("name", "arguments", "options"), CALLS)
def test_half_precision_is_computed_in_single(name, arguments, options, dtype):
    given = tensors(arguments, "float32")
    half = [x if x.dtype == torch.int64 else x.to(dtype) for x in given]
    found = parts(named(name)(*half, **options))
    single = [x if x.dtype == torch.int64 else x.float() for x in half]
    for x, y in zip(found, parts(named(name)(*single, **options)), strict=True):
        if y.dtype != torch.float32:
            assert x.dtype == y.dtype
            continue
        assert x.dtype in (dtype, torch.float32)
        torch.testing.assert_close(x, y.to(x.dtype), rtol=torch.finfo(dtype).eps, atol=1e-3)


def test_which_results_come_back_in_half_precision():
    a = batch(3, 4, 2).bfloat16()
    assert [x.dtype for x in gpusvd.svd(a)] == [torch.bfloat16, torch.float32, torch.bfloat16]
    for result in (
        gpusvd.pinv(a),
        gpusvd.svt(a, 0.1),
        gpusvd.norm(a),
        *gpusvd.polar(a),
        *gpusvd.kabsch(a, a),
    ):
        assert result.dtype == torch.bfloat16


def test_devices_of_torch():
    a = batch(3, 4, 2)
    for given in (a, a.numpy()):
        values = gpusvd.svdvals(given, device=torch.device("cpu"))
        np.testing.assert_array_equal(values, gpusvd.svdvals(a.numpy()))
    with pytest.raises(ValueError, match="not device\\(type='meta'\\)"):
        gpusvd.svd(a, device=torch.device("meta"))


def test_patches_want_numpy_arrays():
    with pytest.raises(TypeError, match="patches of torch are not supported: pass a NumPy or CuPy array"):
        gpusvd.patches.extract(batch(4, 4), (2, 2))


def test_libraries_do_not_mix():
    with pytest.raises(TypeError, match="arrays of numpy and torch in one call"):
        gpusvd.lstsq(batch(4, 2), np.ones(4))


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


def test_principal_components_map_and_merge():
    x, more = batch(5, 20, 4), batch(5, 6, 4, seed=1)
    for whiten in (False, True):
        p, expected = (gpusvd.pca(a, 2, whiten=whiten) for a in (x, x.numpy()))
        scores = p.transform(x)
        torch.testing.assert_close(scores, torch.from_numpy(expected.transform(x.numpy())))
        back = p.inverse_transform(scores)
        torch.testing.assert_close(back, torch.from_numpy(expected.inverse_transform(scores.numpy())))
        merged = p.merge(gpusvd.pca(more, 2, whiten=whiten), 3)
        expected = expected.merge(gpusvd.pca(more.numpy(), 2, whiten=whiten), 3)
        torch.testing.assert_close(merged.transform(x), torch.from_numpy(expected.transform(x.numpy())))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch's own
def test_a_tangent_is_not_lost():
    with torch.autograd.forward_ad.dual_level():
        a = torch.autograd.forward_ad.make_dual(batch(3, 3), batch(3, 3, seed=1))
        for function in (gpusvd.svd, gpusvd.svdvals, gpusvd.pinv, gpusvd.svd_ex):
            with pytest.raises((NotImplementedError, ValueError)):
                function(a)


def test_errors():
    a = batch(3, 4, 2).requires_grad_()
    with pytest.raises(ValueError, match="full_matrices=False"):
        gpusvd.svd(a)
    with pytest.raises(ValueError, match="svd_ex has no gradient"):
        gpusvd.svd_ex(a)
    with pytest.raises(TypeError, match="out must be None"):
        gpusvd.svd(a, out=())
    with pytest.raises(TypeError, match="expected a tensor"):
        gpusvd.torch.svd(np.eye(2))
    with pytest.raises(TypeError, match="float8_e5m2 is unsupported"):
        gpusvd.svd(torch.eye(2).to(torch.float8_e5m2))
    with pytest.raises(AttributeError):
        gpusvd.torch.nothing  # noqa: B018
    with torch.no_grad():
        assert not gpusvd.svd(a).U.requires_grad


def test_shapes_without_numbers():
    a = torch.empty(5, 4, 3, dtype=torch.complex64, device="meta")
    U, S, Vh = gpusvd.svd(a)
    assert (U.shape, S.shape, Vh.shape) == ((5, 4, 4), (5, 3), (5, 3, 3))
    assert (U.dtype, S.dtype) == (torch.complex64, torch.float32)
    assert gpusvd.svdvals(a).shape == (5, 3)


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


# The gradient of every function


def whole(U, S, Vh, *others):
    """What does not depend on the phases of the vectors."""
    return S, (U * S[..., None, :]) @ Vh, U @ U.mH, Vh.mH @ Vh


def absorbed(a, side):
    left, right, S, _ = gpusvd.low_rank(a, rank=2, absorb=side)
    return left @ right, left @ left.mH, right.mH @ right, S


def span(basis):
    return basis @ basis.mH


def principal(p):
    scores, ratio = p.scores @ p.components, p.explained_variance_ratio
    return p.explained_variance, ratio, p.mean, scores, p.components.abs()


def solution(a, b):
    x, residuals, _, s = gpusvd.lstsq(a, b)
    return x, residuals, s


WEIGHTS = torch.tensor([1.0, 2, 0.5, 1], dtype=torch.float64)
OF_VALUES = {
    "energy": gpusvd.energy,
    "spectral_entropy": gpusvd.spectral_entropy,
    "effective_rank": gpusvd.effective_rank,
    "participation_ratio": gpusvd.participation_ratio,
    "truncation_error": lambda S: gpusvd.truncation_error(S, 1),
    "truncation_error nuclear": lambda S: gpusvd.truncation_error(S, 1, "nuclear"),
    "optimal_threshold": lambda S: gpusvd.optimal_threshold(S, 4, 3),
    "mppca_rank": lambda S: gpusvd.mppca_rank(S, 4, 3).noise,
    **{
        f"optimal_shrinkage {loss}": lambda S, loss=loss: gpusvd.optimal_shrinkage(S, 4, 3, 0.1, loss)
        for loss in ("frobenius", "spectral", "nuclear")
    },
}
OF_MATRICES = {
    "svd": lambda a: whole(*gpusvd.svd(a, full_matrices=False)),
    "svdvals": gpusvd.svdvals,
    **{f"norm {p}": lambda a, p=p: gpusvd.norm(a, p) for p in ("fro", "nuc", 2, -2, 1, -math.inf)},
    "cond": gpusvd.cond,
    "polar": gpusvd.polar,
    "polar left": lambda a: gpusvd.polar(a, "left"),
    "nearest_orthogonal": gpusvd.nearest_orthogonal,
    "pinv": gpusvd.pinv,
    "pinv rtol": lambda a: gpusvd.pinv(a, rtol=0.5),
    "projector": lambda a: gpusvd.projector(a, 0.5),
    "orth": lambda a: span(gpusvd.orth(a, 0.5).basis),
    "row_space": lambda a: span(gpusvd.row_space(a, 0.5).basis),
    "svt": lambda a: gpusvd.svt(a, 0.5),
    "low_rank": lambda a: whole(*gpusvd.low_rank(a, rank=2)),
    **{f"low_rank {side}": lambda a, side=side: absorbed(a, side) for side in ("left", "right", "both")},
    "low_rank energy": lambda a: whole(*gpusvd.low_rank(a, energy=0.8)),
    "truncate": lambda a: whole(*gpusvd.truncate(*gpusvd.svd(a, False), atol=0.5)),
    "svd_top": lambda a: whole(*gpusvd.svd_top(a, 2)),
    "reconstruct": lambda a: gpusvd.reconstruct(*gpusvd.svd(a, False), 2),
    "rank_one_terms": lambda a: gpusvd.rank_one_terms(*gpusvd.svd(a, False)),
    "sign_flip": lambda a: tuple(x.abs() for x in gpusvd.sign_flip(*gpusvd.svd(a, False)[::2])),
    "pca": lambda a: principal(gpusvd.pca(a, 2)),
    "pca whiten": lambda a: principal(gpusvd.pca(a, 1, whiten=True)),
    "pca weights": lambda a: principal(gpusvd.pca(a, 1, weights=WEIGHTS[: a.shape[-2]])),
    "pca.merge": lambda a: principal(gpusvd.pca(a, 1).merge(gpusvd.pca(2 * a, 1), 1)),
    "pca.transform": lambda a: gpusvd.pca(a, 1).inverse_transform(gpusvd.pca(a, 1).transform(2 * a)),
    "best_fit_subspace": lambda a: gpusvd.best_fit_subspace(a, 1)[::2],
    **{name: lambda a, f=f: f(gpusvd.svdvals(a)) for name, f in OF_VALUES.items()},
}
OF_SQUARE = {
    "inv": gpusvd.inv,
    "cond 1": lambda a: gpusvd.cond(a, 1),
    "cond nuc": lambda a: gpusvd.cond(a, "nuc"),
    "nearest_rotation": gpusvd.nearest_rotation,
}
OF_PAIRS = {
    "lstsq": solution,
    "ridge": lambda a, b: gpusvd.ridge(a, b, 0.1),
    "ridge weights": lambda a, b: gpusvd.ridge(a, b, WEIGHTS[:3], WEIGHTS, per_rhs=True),
    "procrustes": gpusvd.procrustes,
    "procrustes weights": lambda a, b: gpusvd.procrustes(a, b, WEIGHTS),
    "kabsch": gpusvd.kabsch,
    "kabsch weights": lambda a, b: gpusvd.kabsch(a, b, WEIGHTS),
    "kabsch scale": lambda a, b: gpusvd.kabsch(a, b, scale=True),
    "svd_product": lambda a, b: whole(*gpusvd.svd_product(a, b.mT)),
}
REAL = ("kabsch", "nearest_rotation")
WITHOUT = {"matrix_rank", "svd_ex", "null_space", "left_null_space"}
WITH_ADDED_VECTORS = {"svd", "linalg.svd", "svd_ex", "left_null_space"}  # of tall matrices


def test_every_function_has_its_gradient_checked():
    names = {name.split()[0].split(".")[0] for name in (*OF_MATRICES, *OF_SQUARE, *OF_PAIRS)}
    assert names | WITHOUT == {name for name, _, _ in CALLS if "." not in name}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 4, 3), (3, 3), (3, 4)], ids=str)
@pytest.mark.parametrize("name", OF_MATRICES)
def test_gradients(name, shape, dtype):
    assert torch.autograd.gradcheck(OF_MATRICES[name], batch(*shape, dtype=dtype).requires_grad_())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*OF_SQUARE, *OF_PAIRS])
def test_gradients_of_square_matrices_and_pairs(name, dtype):
    if dtype.is_complex and name.split()[0] in REAL:
        return
    if name in OF_SQUARE:
        assert torch.autograd.gradcheck(OF_SQUARE[name], batch(2, 3, 3, dtype=dtype).requires_grad_())
        return
    pair = [batch(2, 4, 3, dtype=dtype, seed=seed).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(OF_PAIRS[name], pair)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_inverses_at_equal_singular_values(dtype):
    q = torch.linalg.qr(batch(4, 3, dtype=dtype)).Q
    wide, b = (2 * q.mH).requires_grad_(), batch(4, 2, dtype=dtype, seed=1).requires_grad_()
    square = torch.eye(3, dtype=dtype).requires_grad_()
    assert torch.autograd.gradcheck(gpusvd.pinv, wide)
    assert torch.autograd.gradcheck(gpusvd.inv, square)
    assert torch.autograd.gradcheck(lambda q, b: solution(q, b)[:2], (q.requires_grad_(), b))
    assert torch.autograd.gradgradcheck(gpusvd.pinv, wide)
    assert torch.autograd.gradgradcheck(lambda q, b: gpusvd.lstsq(q, b).x, (q, b))
    assert torch.autograd.gradcheck(lambda q: gpusvd.lstsq(q, b[:, 0].detach()).x, q)


def test_the_few_largest_values_have_the_gradient_of_the_whole_decomposition():
    a = torch.from_numpy(inputs("float64")["large"])
    assert not gpusvd.svd_top(a, 1).exact
    gradients = []
    for function in (lambda a: gpusvd.svd_top(a, 1), lambda a: gpusvd.low_rank(a, rank=1)):
        b = a.clone().requires_grad_()
        U, S, Vh, *_ = function(b)
        ((U * S) @ Vh)[:5].square().sum().backward()
        gradients.append(b.grad)
    torch.testing.assert_close(*gradients)


def test_gradients_of_a_product_that_broadcasts():
    x, y = batch(3, 4, 2).requires_grad_(), batch(2, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: whole(*gpusvd.svd_product(x, y)), (x, y))
    assert torch.autograd.gradgradcheck(lambda x, y: gpusvd.svd_product(x, y).S, (x, y))


DEGENERATE = {
    "identity": torch.eye(4, 3),
    "zero": torch.zeros(4, 3),
    "ones": torch.ones(4, 3),
    "equal values": 2 * torch.linalg.qr(batch(4, 3)).Q,
    "rank 2": batch(4, 2) @ batch(2, 3, seed=1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_gradients_of_degenerate_matrices_are_finite(kind, dtype):
    a = DEGENERATE[kind].to(dtype)
    calls = [(name, f, [a]) for name, f in OF_MATRICES.items()]
    calls += [(name, f, [a[:3]]) for name, f in OF_SQUARE.items()]
    calls += [(name, f, x) for name, f in OF_PAIRS.items() for x in ([a, a], [a, batch(4, 3).to(dtype)])]
    for name, function, given in calls:
        if dtype.is_complex and name.split()[0] in REAL:
            continue
        given = [x.clone().requires_grad_() for x in given]
        results = function(*given)
        results = [x for x in (results if isinstance(results, tuple) else [results]) if x.isfinite().all()]
        if results:  # a condition number may be infinite
            gradients = torch.autograd.grad([x.abs().sum() for x in results], given, materialize_grads=True)
            assert all(x.isfinite().all() for x in gradients), name


@pytest.mark.parametrize(("name", "arguments", "options"), CALLS)
def test_parameters_of_modules(name, arguments, options):
    given = tensors(arguments, "float64")
    expected = parts(named(name)(*given, **options))
    parameters = [torch.nn.Parameter(x, requires_grad=x.is_floating_point()) for x in given]
    if name in WITH_ADDED_VECTORS:
        with pytest.raises(ValueError, match="no gradient"):
            named(name)(*parameters, **options)
        return
    for x, y in zip(parts(named(name)(*parameters, **options)), expected, strict=True):
        torch.testing.assert_close(x.detach().abs(), y.abs())


BATCHES = [call for call in CALLS if call[0] != "svd_ex" and "large" not in call[1]]


@pytest.mark.parametrize(("name", "arguments", "options"), BATCHES)
def test_vmap_of_every_function(name, arguments, options):
    given = tensors(arguments, "float64")

    def function(*arrays):
        return tuple(parts(named(name)(*arrays, **options)))

    if depends_on_numbers(name, options):
        with pytest.raises(RuntimeError, match="vmap"):
            torch.func.vmap(function)(*given)
        return
    for x, y in zip(torch.func.vmap(function)(*given), function(*given), strict=True):
        torch.testing.assert_close(x.abs(), y.abs().expand_as(x))  # common weights are no batch


# Compiled


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64, torch.bfloat16])
def test_compilation_does_not_break_the_graph(compiler, dtype):
    def function(a):
        U, S, Vh = gpusvd.svd(a, full_matrices=False)
        return (U @ Vh).abs().sum() + S.sum() + gpusvd.svdvals(a).square().sum()

    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend=compiler)
    a = batch(5, 4, 3).to(dtype)
    torch.testing.assert_close(compiled(a), function(a))
    gradients = []
    for call in (compiled, function):
        b = a.clone().requires_grad_()
        call(b).backward()
        gradients.append(b.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (0, 3, 3)], ids=str)
def test_operators(shape):
    options = (False, "auto", "nan", None, None)
    for dtype in DTYPES:
        a = batch(*shape, dtype=dtype)
        torch.library.opcheck(torch.ops.gpusvd.svd, (a, True, *options))
        torch.library.opcheck(torch.ops.gpusvd.svd, (a.requires_grad_(), False, *options))
        torch.library.opcheck(torch.ops.gpusvd.svdvals, (a.detach(), *options))
