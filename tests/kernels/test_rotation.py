"""The rotation and the schedule as plain Python: what the kernels compile, on single numbers."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from gpusvd.kernels import rotation, schedule
from tests.support import gallery

EPS = float(np.finfo(float).eps)
by_dtype = pytest.mark.parametrize("dtype", [np.dtype(float), np.dtype(complex)], ids=str)


def two_columns(dtype, cosine):
    rng = np.random.default_rng(3)
    x, z = gallery.orthonormal(rng, 6, 2, dtype).T
    return 1.5 * x, (1j if dtype.kind == "c" else -1) * (cosine * x + math.sqrt(1 - cosine**2) * z)


def rotate(alpha, beta, gamma, weight_p, weight_q, alive=True):
    """The rotation in NumPy's arithmetic, where as in the kernels a division by zero is no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return rotation.rotation(
            *np.array([alpha, beta]), np.array(gamma)[()], *np.array([weight_p, weight_q]), EPS**2, alive
        )


def squared_length(x):
    return float(np.vdot(x, x).real)


@pytest.mark.parametrize("gap", [-60, -30, -1, 0, 1, 30, 60])
@pytest.mark.parametrize("cosine", [1e-12, 1e-5, 0.3, 0.9])
@by_dtype
def test_a_rotation_makes_columns_orthogonal(dtype, cosine, gap):
    weights = 2.0**-gap, 2.0**gap
    weight = 4.0**gap
    x, y = two_columns(dtype, cosine)
    alpha, beta, gamma = squared_length(x), squared_length(y), np.vdot(x, y).item()
    a, b, after_p, after_q, sin2, cos2, active = rotation.rotation(alpha, beta, gamma, *weights, EPS**2, True)
    assert active
    assert cos2 == pytest.approx(cosine**2, rel=1e-3 if cosine < 1e-9 else 1e-9)
    u, v = x - a * y, y + b * x
    assert abs(np.vdot(u, v)) <= 20 * EPS * math.sqrt(squared_length(u) * squared_length(v))
    assert after_p == pytest.approx(squared_length(u), rel=60 * EPS)
    assert after_q == pytest.approx(squared_length(v), rel=60 * EPS)
    assert 0 <= sin2 <= 0.5 + EPS
    # Scaled by the cosine it is unitary: the sum of squares stays, and the longer column gets no shorter.
    long_before, short_before = sorted((alpha, weight * beta), reverse=True)
    p, q = (1 - sin2) * after_p, (1 - sin2) * weight * after_q
    assert p + q == pytest.approx(alpha + weight * beta, rel=10 * EPS)
    assert (p if alpha > weight * beta else q) >= long_before * (1 - 10 * EPS)
    assert min(p, q) <= short_before * (1 + 10 * EPS)


@by_dtype
def test_equal_lengths_rotate_by_45_degrees(dtype):
    gamma = 0.5j if dtype.kind == "c" else -0.5
    a, b, after_p, after_q, sin2, cos2, active = rotate(1.0, 1.0, gamma, 1.0, 1.0)
    assert active
    assert sin2 == pytest.approx(0.5, rel=4 * EPS)
    assert cos2 == pytest.approx(0.25, rel=4 * EPS)
    assert abs(a) == pytest.approx(1, rel=4 * EPS)
    assert abs(b) == pytest.approx(1, rel=4 * EPS)
    assert sorted((after_p / 2, after_q / 2)) == pytest.approx([0.5, 1.5], rel=8 * EPS)


@pytest.mark.parametrize(
    ("alpha", "gamma", "alive"),
    [(1.0, 1e-20, True), (1.0, 0.0, True), (0.0, 0.0, True), (1.0, 0.5, False)],
    ids=["orthogonal", "exactly orthogonal", "zero column", "converged lane"],
)
@by_dtype
def test_nothing_rotates_that_need_not(dtype, alpha, gamma, alive):
    number = complex if dtype.kind == "c" else float
    a, b, after_p, after_q, sin2, _, active = rotate(alpha, 2.0, number(gamma), 1.0, 1.0, alive)
    assert not active
    assert a == b == sin2 == 0
    assert (after_p, after_q) == (alpha, 2.0)


@by_dtype
def test_crossed_inner_products(dtype):
    x, y, u, v = gallery.gaussian_entries(np.random.default_rng(0), 4, 5, dtype)
    a, b = (0.3 - 0.2j, -0.1 + 0.7j) if dtype.kind == "c" else (0.3, -0.1)
    before = (np.vdot(*pair).item() for pair in ((x, v), (y, u), (x, y), (u, v)))
    after = np.vdot(x - a * u, v + b * y)
    assert rotation.crossed(*before, a, b) == pytest.approx(after, rel=1e-13)


def test_scales_keep_what_rounding_drops():
    rng = np.random.default_rng(0)
    scale, rest, exact = 1.0, 0.0, Fraction(1)
    for sin2 in rng.uniform(0, 0.01, 10000).tolist():
        scale, rest = rotation.shrink(scale, rest, sin2)
        exact *= 1 - Fraction(sin2)
        exact = Fraction(round(exact * 2**200), 2**200)
    assert abs(Fraction(scale) + Fraction(rest) - exact) <= 4 * Fraction(EPS) * exact


def test_gaps_are_held_to_the_range():
    assert rotation.held_gap(2.0) == 2
    assert rotation.held_gap(-2.0) == -2
    widest = rotation.held_gap(1e5)
    assert rotation.held_gap(-1e5) == -widest
    assert 53 <= widest < 128  # below eps², and the eighth power of 2**gap in range


@pytest.mark.parametrize(
    ("cosine", "sine", "expected"),
    [
        (0.0, 0.0, False),
        (1e-9, 1e-9, False),
        (1e-5, 1e-5, True),
        (0.5, 1e-17, True),  # a tiny column along a large one
        (1e-9, 0.7, True),  # a cluster
    ],
)
def test_the_stopping_rule(cosine, sine, expected):
    n = 16
    assert rotation.needs_another_sweep(n, cosine**2, sine**2, n * EPS**2 / 4) == expected


@pytest.mark.parametrize("players", [2, 3, 4, 5, 8, 9, 16, 31, 32, 33])
def test_everyone_meets_everyone_once(players):
    met = []
    for number in range(schedule.rounds(players)):
        pairs = [schedule.meeting(players, number, i) for i in range(players // 2)]
        assert len({player for pair in pairs for player in pair}) == 2 * len(pairs)
        met += pairs
    assert sorted(met) == list(itertools.combinations(range(players), 2))
