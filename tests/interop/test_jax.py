"""JAX: the SVD under jit, vmap and derivatives."""

import numpy as np
import pytest

import gpusvd
from gpusvd._base.install import install
from tests.support.calls import CALLS, depends_on_numbers, inputs, named, parts

jax = pytest.importorskip("jax", reason=f"JAX is not installed: {install('jax')}")
jnp = jax.numpy


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def batch(*shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(shape)
    return jnp.asarray(a.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("full_matrices", [True, False])
def test_the_same_numbers_under_jit_and_vmap(dtype, full_matrices):
    a = batch(3, 4, 2, dtype=dtype)

    def svd(a):
        return gpusvd.jax.svd(a, full_matrices, driver="jacobi")

    expected = gpusvd.svd(np.asarray(a), full_matrices, driver="jacobi")
    for call in (svd, jax.jit(svd), jax.vmap(svd), jax.jit(jax.vmap(svd)), jax.vmap(jax.jit(svd))):
        result = call(a)
        assert type(result) is type(expected)
        for x, y in zip(result, expected, strict=True):
            assert isinstance(x, jax.Array)
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def test_vmap_over_another_axis_is_one_call(monkeypatch):
    shapes = []
    original = gpusvd.svdvals
    monkeypatch.setattr(gpusvd, "svdvals", lambda a, **options: (shapes.append(a.shape), original(a))[1])
    a = batch(4, 5, 2)
    values = jax.vmap(gpusvd.jax.svdvals, in_axes=1)(a)
    np.testing.assert_allclose(values, original(np.asarray(a).swapaxes(0, 1)), rtol=1e-13)
    assert shapes == [(5, 4, 2)]


def test_other_inputs():
    assert gpusvd.jax.svdvals([[3, 0], [0, 4]]).tolist() == pytest.approx([4, 3])
    U, S, Vh = gpusvd.jax.svd(jnp.zeros((2, 0, 3)))
    assert (U.shape, S.shape, Vh.shape) == ((2, 0, 0), (2, 0), (2, 3, 3))
    a = batch(2, 3, 3).at[1, 0, 0].set(jnp.nan)
    assert jnp.isnan(gpusvd.jax.svd(a).U).all(axis=(1, 2)).tolist() == [False, True]
    with pytest.raises(np.linalg.LinAlgError, match="1-dimensional"):
        gpusvd.jax.svd(jnp.zeros(3))
    with pytest.raises(ValueError, match="driver must be"):
        gpusvd.jax.svd(jnp.eye(2), driver="qr")
    with pytest.raises(ValueError, match="full_matrices=False"):
        jax.grad(lambda a: gpusvd.jax.svd(a).U.sum())(batch(3, 2))


def loss(svd, a):
    """A number that neither the signs nor the phases of the vectors change, and every factor does."""
    U, S, Vh = svd(a)
    rows = batch(*a.shape[-2:], dtype=a.dtype, seed=1)
    top = (U[..., :, :1] * S[..., None, :1]) @ Vh[..., :1, :]
    squares = (jnp.abs(U) ** 2).sum(axis=-1) * jnp.arange(U.shape[-2])
    return (S**3).sum() + jnp.real(rows * (U @ Vh)).sum() + jnp.real(rows * top).sum() + squares.sum()


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 4, 2)], ids=str)
def test_derivatives(shape, dtype):
    a = batch(*shape, dtype=dtype)
    da = batch(*shape, dtype=dtype, seed=3)

    def ours(a):
        return loss(lambda a: gpusvd.jax.svd(a, full_matrices=False), a)

    h = 1e-6
    numeric = (ours(a + h * da) - ours(a - h * da)) / (2 * h)
    _, forward = jax.jvp(ours, (a,), (da,))
    gradient = jax.jit(jax.grad(ours))(a)
    np.testing.assert_allclose(forward, numeric, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jnp.real(gradient * da).sum(), numeric, rtol=1e-6, atol=1e-6)
    values = jax.grad(lambda a: (gpusvd.jax.svdvals(a) ** 2).sum())(a)
    np.testing.assert_allclose(values, 2 * jnp.conj(a), rtol=1e-10, atol=1e-10)


def test_equal_values_leave_the_gradient_of_the_polar_factor():
    def polar(a):
        U, _, Vh = gpusvd.jax.svd(a, full_matrices=False)
        return (batch(3, 3, seed=1) * (U @ Vh)).sum()

    w = np.asarray(batch(3, 3, seed=1))
    np.testing.assert_allclose(jax.grad(polar)(2 * jnp.eye(3)), (w - w.T) / 4, atol=1e-12)


@pytest.mark.parametrize("driver", ["jacobi", "auto"])
def test_tiny_and_subnormal_entries(driver):
    """In the threads of XLA, which flush subnormal numbers to zero otherwise."""
    a = np.random.default_rng(5).standard_normal((40, 5, 3)).astype(np.float32)
    tiny = np.concatenate([a * np.float32(1e-37), a * np.float32(1e-41)])
    tiny[3] = 0
    for x in (tiny, np.diag(np.array([1, 0.01, 1e-43], np.float32))):
        expected = gpusvd.svd(x, full_matrices=False, driver=driver)
        result = jax.jit(lambda x: gpusvd.jax.svd(x, full_matrices=False, driver=driver))(jnp.asarray(x))
        for ours, wanted in zip(result, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), wanted)
        values = gpusvd.jax.svdvals(jnp.asarray(x), driver=driver)
        np.testing.assert_array_equal(np.asarray(values), gpusvd.svdvals(x, driver=driver))


# The layer

LAYER = [call for call in CALLS if call[0] not in ("svd", "svdvals", "svd_ex")]  # those are in gpusvd.jax
WITHOUT = {"matrix_rank", "linalg.matrix_rank", "left_null_space", "linalg.svd"}  # ranks, and full matrices


def arrays(arguments):
    return [jnp.asarray(inputs("float64")[x]) for x in arguments.split()]


@pytest.mark.parametrize(("name", "arguments", "options"), LAYER)
def test_the_layer_under_jit(name, arguments, options):
    expected = parts(named(name)(*(inputs("float64")[x] for x in arguments.split()), **options))

    def function(*given):
        return parts(named(name)(*given, **options))

    results = [function(*arrays(arguments))]
    if depends_on_numbers(name, options):
        with pytest.raises(jax.errors.ConcretizationTypeError):
            jax.jit(function)(*arrays(arguments))
    else:
        results.append(jax.jit(function)(*arrays(arguments)))
    for result in results:
        for x, y in zip(result, expected, strict=True):
            assert isinstance(x, jax.Array)
            np.testing.assert_allclose(abs(x), abs(y), rtol=1e-9, atol=1e-9)  # vectors have any sign


@pytest.mark.parametrize(("name", "arguments", "options"), [call for call in LAYER if call[0] not in WITHOUT])
def test_derivatives_of_the_layer(name, arguments, options):
    a, *others = arrays(arguments)
    direction = batch(*a.shape, seed=3)

    def loss(a):
        results = parts(named(name)(a, *others, **options))
        return sum((jnp.abs(x) * batch(*x.shape, seed=4)).sum() for x in results if x.dtype == a.dtype)

    h = 1e-5
    numeric = (loss(a + h * direction) - loss(a - h * direction)) / (2 * h)
    np.testing.assert_allclose((jax.grad(loss)(a) * direction).sum(), numeric, rtol=1e-5, atol=1e-7)


def test_a_second_call_outside_of_jit_compiles_nothing():
    a, compiled = batch(3, 4, 2), []
    for function in (gpusvd.jax.svd, gpusvd.jax.svdvals):
        function(a)

    def listener(event, duration, **_):
        if "compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        for function in (gpusvd.jax.svd, gpusvd.jax.svdvals):
            function(a)
        assert not compiled
        jax.jit(lambda x: x + 1.5)(a)
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_derivatives_without_promotion_of_real_numbers(shape):
    a = batch(*shape, dtype=np.complex64)
    with jax.numpy_dtype_promotion("strict"):
        for function in (lambda x: gpusvd.jax.svd(x, full_matrices=False), gpusvd.jax.svdvals):
            _, tangents = jax.jvp(function, (a,), (a,))
    np.testing.assert_allclose(tangents, gpusvd.svdvals(np.asarray(a)), rtol=1e-5)
