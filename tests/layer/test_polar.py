"""Polar factors, Procrustes rotations and superpositions: what they must be, and that nothing is better."""

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from numpy.linalg import LinAlgError
from scipy.spatial.transform import Rotation

import gpusvd
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
BATCHES = [(), (3,), (2, 1, 3)]
SHAPES = [(6, 4), (4, 6), (5, 5), (7, 1), (1, 7)]

by_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)
by_side = pytest.mark.parametrize("side", ["right", "left"])
seeds = st.integers(0, 2**32 - 1)


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def orthogonal(n, seed=0, dtype=np.float64):
    return gallery.orthonormal(np.random.default_rng(seed), n, n, np.dtype(dtype)).astype(dtype)


def rotation(n, seed=0):
    q = orthogonal(n, seed)
    q[:, 0] *= np.linalg.det(q)
    return q


def assert_orthonormal(u, bound):
    measures.assert_below(
        measures.loss_of_orthogonality(u if u.shape[-2] >= u.shape[-1] else measures.adjoint(u)), bound
    )


def assert_rotation(r, bound=1e-14):
    assert_orthonormal(r, bound)
    np.testing.assert_allclose(np.linalg.det(r.astype(float)), 1, atol=bound)


# polar


def assert_polar(a, U, P, side, bound):
    """U is orthonormal, P Hermitian and semidefinite, their product a: to within bound of its norm."""
    m, n = a.shape[-2:]
    k = n if side == "right" else m
    assert U.shape == a.shape
    assert P.shape == (*a.shape[:-2], k, k)
    assert_orthonormal(U, bound)
    exponent = -measures.binary_exponent(a)
    A, H = measures.scaled(a, exponent), measures.scaled(P, exponent)
    assert np.isfinite(H).all()
    product = U @ H if side == "right" else H @ U
    measures.assert_below(measures.norm(A - product), bound * measures.norm(A))
    measures.assert_below(measures.norm(H - measures.adjoint(H)), bound * measures.norm(A))
    lowest = np.linalg.eigvalsh(H).min(axis=-1, initial=0)
    measures.assert_below(-lowest, bound * measures.norm(A))


@by_side
@by_dtype
@by_shape
@by_batch
def test_polar(backend, batch, shape, char, side):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random((*batch, *shape), char)
    U, P = backend.numpy(gpusvd.polar(backend.array(a), side))
    assert U.dtype == P.dtype == a.dtype
    wide = a.astype(np.result_type(a, np.float32))
    assert_polar(wide, U.astype(wide.dtype), P.astype(wide.dtype), side, 50 * measures.eps(a.real.dtype))


@by_side
@by_dtype
@by_shape
def test_polar_is_that_of_scipy(shape, char, side):
    if char == "e":
        pytest.skip("LAPACK has no float16")
    a = random((4, *shape), char)
    U, P = gpusvd.polar(a, side)
    bound = 100 * measures.eps(a.real.dtype)
    for one, u, p in zip(a, U, P, strict=True):
        expected_u, expected_p = scipy.linalg.polar(one, side)
        np.testing.assert_allclose(u, expected_u, atol=bound)
        np.testing.assert_allclose(p, expected_p, atol=bound * np.linalg.norm(one))


@examples
@given(
    st.sampled_from(list(gallery.MATRICES)),
    st.sampled_from(gallery.DTYPES),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    seeds,
    st.sampled_from(["right", "left"]),
)
def test_polar_of_any_matrix_of_the_gallery(name, dtype, shape, seed, side):
    a = gallery.MATRICES[name](np.random.default_rng(seed), *shape, dtype).a
    U, P = gpusvd.polar(a, side)
    if not np.isfinite(P).all():  # an entry of P can be as large as the norm of a, which may overflow
        assert np.isfinite(U).all()
        a = a / np.finfo(dtype).max.astype(dtype)
        U, P = gpusvd.polar(a, side)
    bound = 20 * max(shape) * measures.eps(P.real.dtype)
    exponent = -measures.binary_exponent(a)
    smallest = float(np.finfo(dtype).smallest_subnormal)
    rounding = (
        20
        * max(shape)
        * measures.scaled(smallest, exponent).max()
        / max(measures.norm(measures.scaled(a, exponent)), 1e-300)
    )
    assert_polar(a, U, P, side, bound + (rounding if a.any() else 0))


@examples
@given(seeds, st.tuples(st.integers(1, 5), st.integers(1, 5)), st.booleans())
def test_no_orthonormal_matrix_is_nearer(seed, shape, is_complex):
    dtype = np.dtype(complex if is_complex else float)
    rng = np.random.default_rng(seed)
    a = random(shape, dtype, seed)
    U = gpusvd.polar(a).U
    m, n = sorted(shape, reverse=True)
    others = np.stack([gallery.orthonormal(rng, m, n, dtype) for _ in range(20)])
    if shape[0] < shape[1]:
        others = measures.adjoint(others)
    assert (measures.norm(a - others) >= measures.norm(a - U) - 1e-12).all()


def test_polar_of_a_rotation_times_a_stretch():
    stretch = np.array([[2.0, 0.5, 0], [0.5, 1, 0.1], [0, 0.1, 3]])
    turn = rotation(3)
    U, P = gpusvd.polar([turn @ stretch, -turn @ stretch])
    np.testing.assert_allclose(U, [turn, -turn], atol=1e-14)
    np.testing.assert_allclose(P, [stretch, stretch], atol=1e-14)
    left = gpusvd.polar(turn @ stretch, "left").P
    np.testing.assert_allclose(left, turn @ stretch @ turn.T, atol=1e-14)


@by_side
@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (2, 0, 3), (0, 3, 2)])
def test_polar_without_entries(backend, shape, side):
    U, P = backend.numpy(gpusvd.polar(backend.array(np.zeros(shape)), side))
    k = shape[-1] if side == "right" else shape[-2]
    assert U.shape == shape
    np.testing.assert_array_equal(P, np.zeros((*shape[:-2], k, k)))


@by_side
def test_polar_of_zero(backend, side):
    U, P = backend.numpy(gpusvd.polar(backend.array(np.zeros((2, 4, 3))), side))
    assert_orthonormal(U, 1e-14)
    assert not P.any()


@by_side
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_polar_is_nan_for_its_own_matrix_alone(backend, bad, side):
    a = random((3, 4, 3))
    a[1, 0, 0] = bad
    U, P = backend.numpy(gpusvd.polar(backend.array(a), side))
    assert np.isnan(U[1]).all()
    assert np.isnan(P[1]).all()
    assert_polar(a[::2], U[::2], P[::2], side, 1e-14)


@pytest.mark.parametrize("char", "?bBhHiIlLqQ")
def test_polar_of_integers(char):
    a = (np.arange(12).reshape(2, 3, 2) % 5).astype(char)
    U, P = gpusvd.polar(a)
    assert U.dtype == P.dtype == np.float64
    assert_polar(a.astype(float), U, P, "right", 1e-14)


def test_polar_refuses():
    with pytest.raises(ValueError, match="side must be 'right' or 'left', not 'up'"):
        gpusvd.polar(np.eye(2), "up")
    with pytest.raises(LinAlgError, match="1-dimensional"):
        gpusvd.polar([1, 2])


# procrustes


@by_dtype
@pytest.mark.parametrize("shape", [(6, 3), (3, 3), (2, 4), (5, 1)])
@by_batch
def test_procrustes(backend, batch, shape, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    x, y = random((*batch, *shape), char), random(shape, char, seed=1)
    R, scale = backend.numpy(gpusvd.procrustes(backend.array(x), backend.array(y)))
    assert R.dtype == x.dtype
    assert scale.dtype == x.real.dtype
    assert R.shape == (*batch, shape[1], shape[1])
    assert scale.shape == batch
    bound = 50 * measures.eps(scale.dtype)
    wide = np.result_type(x, np.float32)
    assert_orthonormal(R.astype(wide), bound)
    x, y = x.astype(wide), y.astype(wide)
    for index in np.ndindex(batch):
        expected, expected_scale = scipy.linalg.orthogonal_procrustes(x[index], y)
        np.testing.assert_allclose(scale[index], expected_scale, rtol=bound)
        if shape[0] >= shape[1]:  # else it is one of many
            np.testing.assert_allclose(R[index], expected, atol=10 * bound)


@examples
@given(seeds, st.integers(0, 6), st.integers(1, 4), st.booleans())
def test_no_orthogonal_matrix_brings_nearer(seed, points, n, is_complex):
    dtype = np.dtype(complex if is_complex else float)
    x, y = random((2, points, n), dtype, seed)
    R, scale = gpusvd.procrustes(x, y)
    distance = np.linalg.norm(x @ R - y)
    others = np.stack([orthogonal(n, (seed, i), dtype) for i in range(20)])
    assert (measures.norm(x @ others - y) >= distance - 1e-12).all()
    np.testing.assert_allclose(
        distance**2, np.linalg.norm(x) ** 2 + np.linalg.norm(y) ** 2 - 2 * scale, atol=1e-11
    )


def test_procrustes_finds_the_map_and_the_factor():
    x = random((8, 3))
    Q = orthogonal(3, 1)
    R, scale = gpusvd.procrustes(x, 2.5 * x @ Q)
    np.testing.assert_allclose(R, Q, atol=1e-14)
    np.testing.assert_allclose(scale / np.linalg.norm(x) ** 2, 2.5, rtol=1e-14)


@pytest.mark.parametrize("powers", [(1020, 1019), (-1022, -1020), (-1022, 1020), (600, 500)])
def test_procrustes_at_any_scale(powers):
    x, y = random((2, 8, 3)) / 8
    expected = gpusvd.procrustes(x, y)
    R, scale = gpusvd.procrustes(np.ldexp(x, powers[0]), np.ldexp(y, powers[1]))
    np.testing.assert_allclose(R, expected.R, atol=1e-14)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(scale, np.ldexp(expected.scale, sum(powers)), rtol=1e-14)


def test_procrustes_of_nan_and_of_nothing(backend):
    x = random((3, 5, 2))
    x[1, 0, 0] = np.nan
    R, scale = backend.numpy(gpusvd.procrustes(backend.array(x), backend.array(x[0])))
    assert np.isnan(R[1]).all()
    assert np.isnan(scale).tolist() == [False, True, False]
    assert_orthonormal(R[::2], 1e-14)
    R, scale = backend.numpy(gpusvd.procrustes(*[backend.array(np.zeros((4, 0, 3)))] * 2))
    np.testing.assert_array_equal(R, np.broadcast_to(np.eye(3), (4, 3, 3)))
    assert not scale.any()
    R, scale = backend.numpy(gpusvd.procrustes(*[backend.array(np.zeros((0, 4, 3)))] * 2))
    assert R.shape == (0, 3, 3)


@pytest.mark.parametrize("function", [gpusvd.procrustes, gpusvd.kabsch])
@pytest.mark.parametrize("shapes", [((4, 3), (3, 3)), ((4, 3), (4, 2)), ((3,), (3,))])
def test_points_that_do_not_pair_are_refused(function, shapes):
    with pytest.raises(ValueError, match="do not pair"):
        function(*map(np.ones, shapes))
    with pytest.raises(ValueError, match=r"y of shape \(3,\) does not broadcast against a batch of \(2,\)"):
        function(np.ones((2, 4, 3)), np.ones((3, 4, 3)))


# kabsch


def move(x, R, t):
    return x @ R.swapaxes(-1, -2) + t[..., None, :]


def rms(x, y, weights=None):
    squares = ((x - y) ** 2).sum(axis=-1)
    return np.sqrt(np.average(squares, axis=-1, weights=weights))


@pytest.mark.parametrize("char", "efd")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@by_batch
def test_kabsch_finds_a_rigid_motion(backend, batch, n, char):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    x = random((*batch, 9, n))
    turn = np.stack([rotation(n, seed) for seed in range(int(np.prod(batch)))]).reshape(*batch, n, n)
    shift = random((*batch, n), seed=1)
    y = move(x, turn, shift)
    R, t, rmsd = backend.numpy(gpusvd.kabsch(backend.array(x.astype(char)), backend.array(y.astype(char))))
    assert R.dtype == t.dtype == rmsd.dtype == np.dtype(char)
    assert rmsd.shape == batch
    bound = 50 * measures.eps(char)
    assert_rotation(R.astype(float), bound)
    np.testing.assert_allclose(R, turn, atol=bound)
    np.testing.assert_allclose(t, shift, atol=bound)
    assert (rmsd <= bound).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_kabsch_agrees_with_align_vectors(backend, weighted):
    x, y = random((2, 20, 7, 3))
    weights = np.random.default_rng(1).uniform(0, 2, (20, 7)) if weighted else None
    given_weights = None if weights is None else backend.array(weights)
    R, t, rmsd = backend.numpy(gpusvd.kabsch(backend.array(x), backend.array(y), given_weights))
    for i in range(20):
        w = None if weights is None else weights[i]
        x_mean, y_mean = np.average(x[i], axis=0, weights=w), np.average(y[i], axis=0, weights=w)
        expected, rssd = Rotation.align_vectors(y[i] - y_mean, x[i] - x_mean, weights=w)
        np.testing.assert_allclose(R[i], expected.as_matrix(), atol=1e-13)
        np.testing.assert_allclose(t[i], y_mean - R[i] @ x_mean, atol=1e-14)
        np.testing.assert_allclose(rmsd[i], rssd / np.sqrt(7 if w is None else w.sum()), rtol=1e-12)
    np.testing.assert_allclose(rmsd, [rms(*p) for p in zip(move(x, R, t), y, *_rows(weights), strict=True)])


def _rows(weights):
    return [] if weights is None else [weights]


@examples
@given(seeds, st.integers(1, 8), st.integers(1, 5), st.integers(0, 5), st.booleans())
def test_no_rigid_motion_is_better(seed, points, n, rank, weighted):
    """Neither far away nor nearby; for points in a space of any dimension, whether mirrored or not."""
    rng = np.random.default_rng(seed)
    flat = rng.standard_normal((rank, n))
    x = rng.standard_normal((points, rank)) @ flat
    y = x * [-1, *[1] * (n - 1)] + rng.choice([0, 0.1, 1]) * rng.standard_normal((points, n))
    weights = rng.uniform(0.1, 1, points) if weighted else None
    R, t, rmsd = gpusvd.kabsch(x, y, weights)
    assert_rotation(R)
    scale = 1 + np.abs(x).max() + np.abs(y).max()
    np.testing.assert_allclose(rms(move(x, R, t), y, weights), rmsd, atol=1e-14 * scale)
    for size in (1e-3, 0.1, 3):
        for _ in range(10):
            generator = size * rng.standard_normal((n, n))
            turned = scipy.linalg.expm(generator - generator.T) @ R
            for shift in (t, t + size * rng.standard_normal(n)):
                assert rms(move(x, turned, shift), y, weights) >= rmsd - 1e-14 * scale


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("dimension", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("mirrored", [False, True])
def test_kabsch_of_degenerate_points(n, dimension, mirrored):
    """Points in a line or plane fit exactly, mirrored or not, and by a rotation."""
    if dimension > n:
        pytest.skip("no such space")
    basis = orthogonal(n)[:, :dimension]
    x = random((50, 6, dimension)) @ basis.T
    y = x @ orthogonal(n, 7).T
    if mirrored:
        y = y * [-1, *[1] * (n - 1)]
    R, _t, rmsd = gpusvd.kabsch(x, y + 5)
    assert_rotation(R)
    if dimension < n:
        assert (rmsd < 1e-14).all()
    else:
        proper = np.linalg.det(orthogonal(n, 7)) > 0
        assert (rmsd > 1e-3).all() if proper == mirrored else (rmsd < 1e-14).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_kabsch_of_coinciding_points_is_a_translation(backend, n):
    x, y = np.full((2, 5, n), 3.0), np.full((2, 5, n), 4.0)
    R, t, rmsd = backend.numpy(gpusvd.kabsch(backend.array(x), backend.array(y)))
    np.testing.assert_array_equal(R, np.broadcast_to(np.eye(n), (2, n, n)))
    np.testing.assert_array_equal(t, np.ones((2, n)))
    np.testing.assert_array_equal(rmsd, 0)


def test_kabsch_of_a_symmetric_set_mirrored():
    """All singular values are equal: any axis may be left the wrong way round, and one must be."""
    x = np.concatenate([np.eye(3), -np.eye(3)])
    for mirror in (-x, x[:, ::-1]):
        R, _, rmsd = gpusvd.kabsch(x, mirror)
        assert_rotation(R)
        np.testing.assert_allclose(rmsd, np.sqrt(4 / 3), rtol=1e-14)


@pytest.mark.parametrize(("char", "powers"), [("d", (1020, 900)), ("d", (-1070, -1060)), ("d", (-900, 1021))])
def test_kabsch_at_any_scale(char, powers):
    x, y = random((2, 8, 3)) / 8
    expected = gpusvd.kabsch(x, y)
    R, _t, rmsd = gpusvd.kabsch(np.ldexp(x, powers[0]), np.ldexp(y, powers[1]))
    if min(powers) > -1022:
        np.testing.assert_allclose(R, expected.rotation, atol=1e-14)
    assert_rotation(R)
    larger = np.ldexp(x if powers[0] > powers[1] else y, max(powers))
    difference = larger - larger.mean(axis=0)
    measured = np.ldexp(np.linalg.norm(np.ldexp(difference, -max(powers))) / np.sqrt(8), max(powers))
    np.testing.assert_allclose(rmsd, measured, rtol=1e-2)


def test_kabsch_far_from_the_origin():
    x = random((9, 3))
    R, _t, rmsd = gpusvd.kabsch(x + 1e8, move(x, rotation(3), np.ones(3)))
    np.testing.assert_allclose(R, rotation(3), atol=1e-7)
    assert rmsd < 1e-7


def test_weights(backend):
    x, y = random((2, 6, 3)), random((2, 6, 3), seed=1)
    some = gpusvd.kabsch(x[:, :4], y[:, :4])
    weights = backend.array(np.array([1, 1, 1, 1, 0, 0]))
    of_zero = backend.numpy(gpusvd.kabsch(backend.array(x), backend.array(y), weights))
    for name in some._fields:
        np.testing.assert_allclose(getattr(of_zero, name), getattr(some, name), atol=1e-14)
    for padding in (1e300, np.nan, np.inf):
        x[4:], y[4:] = padding, -padding
        padded = backend.numpy(gpusvd.kabsch(backend.array(x), backend.array(y), weights))
        for name in some._fields:
            np.testing.assert_array_equal(getattr(padded, name), getattr(of_zero, name))
    x, y = random((2, 6, 3)), random((2, 6, 3), seed=1)
    for factor in (1e-320, 1e300):  # only ratios count
        scaled = gpusvd.kabsch(x, y, np.full(6, factor))
        np.testing.assert_allclose(scaled.rmsd, gpusvd.kabsch(x, y).rmsd, rtol=1e-13)
    twice = gpusvd.kabsch(x[:, [0, 1, 1, 2, 3]], y[:, [0, 1, 1, 2, 3]])
    doubled = gpusvd.kabsch(x[:, :4], y[:, :4], [1, 2, 1, 1])
    np.testing.assert_allclose(doubled.rotation, twice.rotation, atol=1e-14)
    np.testing.assert_allclose(doubled.rmsd, twice.rmsd, rtol=1e-13)


def test_float32_with_weights_in_float64():
    x = random((6, 3), np.float32)
    R, _t, _rmsd = gpusvd.kabsch(x, x, np.linspace(1e299, 1e300, 6))
    assert R.dtype == np.float32
    np.testing.assert_allclose(R, np.eye(3), atol=50 * measures.eps(np.float32))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, -1, 1, 1], "finite and not negative, but one is -1"),
        ([1, np.nan, 1, 1], "finite and not negative, but one is nan"),
        ([1, np.inf, 1, 1], "finite and not negative, but one is inf"),
        ([0, 0, 0, 0], "weights are all zero, expected a positive sum"),
        ([[1, 1, 1, 1], [0, 0, 0, 0]], r"weights of the set \(1,\) are all zero"),
        ([1, 1, 1], r"shape \(3,\), expected \(..., 4\)"),
        (1.0, r"shape \(\), expected \(..., 4\)"),
        (np.ones((3, 4)), r"weights of shape \(3,\) does not broadcast against a batch of \(2,\)"),
    ],
)
def test_bad_weights_are_refused(weights, said):
    x = random((2, 4, 3))
    with pytest.raises(ValueError, match=said):
        gpusvd.kabsch(x, x, weights)


def test_weights_on_a_device_that_sum_to_zero_give_nan():
    xp = pytest.importorskip("array_api_strict")
    x = xp.asarray(random((2, 4, 3)))
    result = gpusvd.kabsch(x, x, xp.asarray([[1.0, 1, 1, 1], [0, 0, 0, 0]]))
    assert np.isnan(np.from_dlpack(result.rmsd)).tolist() == [False, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_kabsch_is_nan_for_its_own_pair_alone(backend, bad):
    x, y = random((2, 3, 5, 3))
    x[1, 0, 0] = bad
    result = backend.numpy(gpusvd.kabsch(backend.array(x), backend.array(y)))
    for field in result:
        assert np.isnan(field[1]).all()
        assert np.isfinite(field[::2]).all()


def test_kabsch_of_no_sets(backend):
    R, t, rmsd = backend.numpy(gpusvd.kabsch(*[backend.array(np.zeros((0, 4, 3)))] * 2))
    assert (R.shape, t.shape, rmsd.shape) == ((0, 3, 3), (0, 3), (0,))


def test_kabsch_broadcasts():
    x, y = random((4, 1, 6, 3)), random((5, 6, 3), seed=1)
    R, t, rmsd = gpusvd.kabsch(x, y, random((6,)) ** 2)
    assert (R.shape, t.shape, rmsd.shape) == ((4, 5, 3, 3), (4, 5, 3), (4, 5))
    R, t, rmsd = gpusvd.kabsch(x[0, 0], y[0], random((2, 6)) ** 2)
    assert (R.shape, t.shape, rmsd.shape) == ((2, 3, 3), (2, 3), (2,))


def test_kabsch_refuses():
    with pytest.raises(ValueError, match=r"x has shape \(0, 3\): sets without points"):
        gpusvd.kabsch(np.ones((0, 3)), np.ones((0, 3)))
    with pytest.raises(TypeError, match="procrustes takes complex"):
        gpusvd.kabsch(np.ones((4, 3), complex), np.ones((4, 3)))
    with pytest.raises(TypeError, match=r"array type .* of weights is unsupported"):
        gpusvd.kabsch(np.ones((4, 3)), np.ones((4, 3)), ["a"] * 4)
    with pytest.raises(TypeError, match="weights has dtype complex128"):
        gpusvd.kabsch(np.ones((4, 3)), np.ones((4, 3)), np.ones(4, complex))
