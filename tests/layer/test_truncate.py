"""Truncation: the ranks that the rules give, the optimality of what is kept, and what is lost."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import gpusvd
from gpusvd._base.threads import usable_cores
from gpusvd._layer import products as _product
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
BATCHES = [(), (3,), (2, 1, 3)]
SHAPES = [(6, 4), (4, 6), (5, 5), (7, 1), (1, 7)]

by_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
by_dtype = pytest.mark.parametrize("char", "efdFD", ids=lambda char: np.dtype(char).name)

spectra = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 7)),
    elements=st.one_of(st.just(0.0), st.just(1.0), st.floats(1e-300, 1e300)),
).map(lambda s: -np.sort(-s, axis=-1))


def random(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def thin(a):
    return gpusvd.svd(a, full_matrices=False)


def diagonal(S):
    """Factors with the singular values S."""
    S = np.asarray(S)
    identity = np.broadcast_to(np.eye(S.shape[-1], dtype=S.dtype), (*S.shape, S.shape[-1]))
    return identity, S, identity


def ranks(S, **rule):
    return gpusvd.truncate(*diagonal(S), **rule).rank


# The rules


@pytest.mark.parametrize(
    ("S", "rule", "rank"),
    [
        ([3.0, 2.0, 1.0], {"rank": 2}, 2),
        ([3.0, 2.0, 1.0], {"rank": 0}, 0),
        ([3.0, 2.0, 1.0], {"rank": 9}, 3),
        ([10.0, 1.0, 0.1], {"rtol": 0.1}, 1),  # a tie is not above
        ([10.0, 1.0, 0.1], {"rtol": 0.099}, 2),
        ([10.0, 1.0, 0.0], {"rtol": 0.0}, 2),
        ([10.0, 1.0, 0.1], {"atol": 1.0}, 1),
        ([10.0, 1.0, 0.1], {"atol": 0.0}, 3),
        ([10.0, 1.0, 0.1], {"atol": np.inf}, 0),
        ([np.sqrt(45), np.sqrt(5)], {"energy": 0.9}, 1),
        ([np.sqrt(45), np.sqrt(5)], {"energy": 0.9001}, 2),
        ([10.0, 4.0, 1.5, 0.5, 0.1], {"energy": 0.99}, 3),
        ([10.0, 4.0, 1.5, 0.5, 0.1], {"energy": 0.9978}, 3),
        ([10.0, 4.0, 1.5, 0.5, 0.1], {"energy": 0.998}, 4),
        ([2.0, 2.0, 0.0], {"energy": 1}, 2),
        ([2.0, 1e-170, 0.0], {"energy": 1.0}, 2),  # whose square is 0
        ([2.0, 1.0], {"energy": 0.0}, 0),
        ([10.0, 3.0, 1.0], {"error": np.sqrt(10 / 110)}, 1),
        ([10.0, 3.0, 1.0], {"error": np.sqrt(9.9 / 110)}, 2),
        ([10.0, 1e-170, 0.0], {"error": 0}, 2),
        ([10.0, 3.0, 1.0], {"error": 1.0}, 0),
        ([10.0, 3.0, 1.0], {"error": 1e200}, 0),
        ([0.0, 0.0], {"energy": 1.0}, 0),
        ([0.0, 0.0], {"error": 0.5}, 0),
        ([0.0, 0.0], {"rtol": 0.0}, 0),
        ([1e-200, 1e-201], {"energy": 0.99}, 1),
        ([1e300, 1e299], {"error": 0.1}, 1),
        ([np.inf, 1e307, 1.0], {"energy": 0.9}, 1),  # as if it were the largest number
        ([np.inf, np.inf, 1.0], {"energy": 0.9}, 2),
        ([np.inf, 1e308, 1.0], {"rtol": 1e-3}, 2),
        ([5e-324, 5e-324], {"rtol": 1e-16}, 2),
    ],
)
def test_rules(backend, S, rule, rank):
    factors = map(backend.array, diagonal(S))
    t = backend.numpy(gpusvd.truncate(*factors, **rule))
    assert t.rank == rank
    assert t.rank.shape == ()
    assert t.U.shape == (len(S), rank)
    np.testing.assert_array_equal(t.S, S[:rank])
    assert t.Vh.shape == (rank, len(S))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.999])
def test_energy_that_is_held_exactly_up_to_rounding(dtype, energy):
    S = np.sqrt(np.array([energy, 1 - energy])).astype(dtype)
    assert ranks(S, energy=energy) == 1
    assert ranks(S, error=np.sqrt(1 - energy)) == 1


@examples
@given(spectra, st.floats(0, 1), st.sampled_from(["energy", "error"]))
def test_energy_and_error_keep_the_fewest_that_do(S, share, rule):
    scaled = S / np.where(S[:, :1] > 0, S[:, :1], 1)
    total = (scaled**2).sum(axis=-1)
    lost = (1 - share) * total if rule == "energy" else share**2 * total
    rank = ranks(S, **{rule: share})
    for values, limit, k in zip(scaled, lost, rank, strict=True):
        assert (values[k:] ** 2).sum() <= limit * (1 + 1e-14) + 3e-16 * values[:1].sum()
        assert k == 0 or (values[k - 1 :] ** 2).sum() > limit or share in (0, 1) or limit == 0


@examples
@given(spectra, st.integers(-300, 280))
def test_ranks_do_not_depend_on_scale(S, exponent):
    S = S / np.where(S[:, :1] > 0, S[:, :1], 1)
    moved = S * 10.0**exponent
    near = S[(S > 0) & (S * 10.0**exponent < 1e-290)]
    if near.size == 0:
        for rule in ("energy", "error", "rtol"):
            np.testing.assert_array_equal(ranks(S, **{rule: 0.3}), ranks(moved, **{rule: 0.3}))


@pytest.mark.parametrize(
    ("rule", "value", "rank"),
    [
        ("rank", [0, 1, 5], [0, 1, 3]),
        ("rtol", [0.5, 0.0, 0.9], [1, 3, 1]),
        ("atol", [0.5, 0.0, 2.0], [2, 3, 1]),
        ("energy", [0.5, 1.0, 0.0], [1, 3, 0]),
        ("error", [0.5, 0.0, 1.0], [1, 3, 0]),
    ],
)
def test_a_value_for_each_matrix(backend, rule, value, rank):
    S = np.array([[4.0, 1.0, 0.25]] * 3)
    factors = [backend.array(x) for x in diagonal(S)]
    for given_value in (value, backend.array(value)):
        t = backend.numpy(gpusvd.truncate(*factors, **{rule: given_value}))
        np.testing.assert_array_equal(t.rank, rank)


# What comes out


@by_batch
@by_shape
@by_dtype
def test_shapes_dtypes_and_masks(backend, char, shape, batch):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random((*batch, *shape), char)
    k = min(shape)
    rank = np.arange(np.prod(batch, dtype=int)).reshape(batch) % (k + 1)
    for U, S, Vh in (thin(a), gpusvd.svd(a)):
        t = gpusvd.truncate(*map(backend.array, (U, S, Vh)), rank=backend.array(rank))
        t = backend.numpy(t)
        width = rank.max()
        assert t.U.shape == (*batch, shape[0], width)
        assert t.S.shape == (*batch, width)
        assert t.Vh.shape == (*batch, width, shape[1])
        assert [x.dtype for x in t[:3]] == [x.dtype for x in (U, S, Vh)]
        np.testing.assert_array_equal(t.rank, rank)
        inside = np.arange(width) < rank[..., None]
        np.testing.assert_array_equal(t.S, np.where(inside, S[..., :width], 0))
        np.testing.assert_array_equal(t.U, np.where(inside[..., None, :], U[..., :width], 0))
        np.testing.assert_array_equal(t.Vh, np.where(inside[..., None], Vh[..., :width, :], 0))


def test_inputs_are_left_alone(backend):
    factors = thin(random((3, 5, 4)))
    before = [x.copy() for x in factors]
    given_factors = [backend.array(x) for x in factors]
    gpusvd.reconstruct(*gpusvd.truncate(*given_factors, energy=0.7))
    for x, y in zip(given_factors, before, strict=True):
        np.testing.assert_array_equal(backend.numpy(x), y)


def test_a_fixed_rank_copies_nothing():
    U, S, Vh = thin(random((3, 5, 4)))
    t = gpusvd.truncate(U, S, Vh, rank=2)
    assert np.shares_memory(t.U, U)
    assert np.shares_memory(t.Vh, Vh)
    np.testing.assert_array_equal(t.rank, [2, 2, 2])


@pytest.mark.parametrize("rule", [{"rank": 3}, {"rank": [3, 1]}, {"atol": 0.0}])
def test_max_rank(backend, rule):
    factors = [backend.array(x) for x in thin(random((2, 5, 4)))]
    t = backend.numpy(gpusvd.truncate(*factors, **rule, max_rank=2))
    assert t.U.shape == (2, 5, 2)
    np.testing.assert_array_equal(t.rank, np.minimum(rule.get("rank", [4, 4]), 2))
    t = gpusvd.truncate(*factors, atol=1e9, max_rank=np.int64(9))
    assert t.U.shape == (2, 5, 4)
    assert not backend.numpy(t.U).any()


@pytest.mark.parametrize(
    ("rule", "rank"),
    [
        ({"rtol": 0.05, "rank": 4}, 4),
        ({"rtol": 0.5, "rank": 4}, 1),
        ({"rtol": 0.5, "atol": 0.1, "error": 1e-9, "energy": 0.0}, 0),
        ({"atol": 0.1, "min_rank": 2}, 6),
        ({"atol": 100.0, "min_rank": 2}, 2),
        ({"atol": 100.0, "min_rank": 9}, 6),
        ({"atol": 100.0, "min_rank": 5, "rank": 3}, 3),
        ({"atol": 100.0, "min_rank": 5, "max_rank": 3}, 3),
        ({"rank": [1], "min_rank": 5}, 1),
        ({"rank": 2, "ties": 1e-3}, 1),  # S is 9 and two multiplets, of 3 and of 2
        ({"rank": 4, "ties": 1e-3}, 4),
        ({"rank": 5, "ties": 1e-3}, 4),
        ({"rank": 5, "ties": 1e-6}, 5),  # which are not so near
        ({"atol": 3.0, "ties": 1e-3}, 4),
        ({"atol": 3.0, "ties": 1e-3, "max_rank": 3}, 1),
        ({"atol": 3.0, "ties": 1e-3, "rank": [3]}, 1),
        ({"atol": 3.0, "ties": 1e-3, "max_rank": 3, "min_rank": 2}, 2),
        ({"atol": 9.0, "ties": 1e-3}, 0),
        ({"atol": 1.0, "ties": 1e-3}, 6),
        ({"rank": 3, "ties": 0.7}, 3),  # one multiplet: nothing else can be done
        ({"rank": 0, "ties": 0.7}, 0),
        ({"atol": 3.0, "ties": np.inf}, 6),
    ],
)
def test_rules_together(backend, rule, rank):
    S = np.array([9.0, 3.001, 3.0, 3.0, 1.0001, 1.0])
    assert backend.numpy(gpusvd.truncate(*map(backend.array, diagonal(S)), **rule).rank) == rank
    S = np.array([S, 2 * S, S * np.nan])
    if "atol" not in rule:
        several = gpusvd.truncate(*map(backend.array, diagonal(S)), **rule).rank
        np.testing.assert_array_equal(backend.numpy(several), [rank, rank, 0])


@examples
@given(spectra, st.floats(0, 1), st.floats(0, 1), st.integers(0, 8), st.integers(0, 8))
def test_ties_cut_no_multiplet_that_fits(S, error, ties, min_rank, cap):
    plain = ranks(S, error=error, rank=cap, min_rank=min_rank)
    whole = ranks(S, error=error, rank=cap, min_rank=min_rank, ties=ties)
    assert (plain >= np.minimum(min_rank, np.minimum(cap, S.shape[1]))).all()
    for s, before, after in zip(S, plain, whole, strict=True):
        assert after <= cap
        if after not in (0, len(s)) and not s[after - 1] - s[after] > ties * s[after - 1]:
            assert after == before  # it is as long as all that may be kept, or needed for the least rank
            first = next(i for i in range(after, -1, -1) if i == 0 or s[i - 1] - s[i] > ties * s[i - 1])
            assert first < max(1, min_rank)
        elif after > before:
            assert not (s[before - 1 : after - 1] - s[before:after] > ties * s[before - 1 : after - 1]).any()


@by_dtype
@pytest.mark.parametrize("rule", [{"rank": 2}, {"rank": [1, 3, 2]}])
def test_absorb(backend, char, rule):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    factors = [backend.array(x) for x in thin(random((3, 5, 4), char))]
    t = backend.numpy(gpusvd.truncate(*factors, **rule))
    wide = t.S.astype(np.result_type(t.S.dtype, np.float32))[:, None]
    for side, left, right in (
        ("left", t.U * wide, t.Vh),
        ("right", t.U, wide.mT * t.Vh),
        ("both", t.U * np.sqrt(wide), np.sqrt(wide).mT * t.Vh),
    ):
        product = backend.numpy(gpusvd.truncate(*factors, **rule, absorb=side))
        np.testing.assert_allclose(product.left, left, rtol=8 * np.finfo(char).eps)
        np.testing.assert_allclose(product.right, right, rtol=8 * np.finfo(char).eps)
        assert product.left.dtype == product.right.dtype == char
        np.testing.assert_array_equal(product.S, t.S)
        np.testing.assert_array_equal(product.rank, t.rank)


@pytest.mark.parametrize(
    "rule", [{"rank": 2}, {"rank": [1, 2, 1]}, {"rtol": 0.1}, {"atol": 0.1}, {"energy": 0.9}, {"error": 0.1}]
)
def test_nan_stays_with_its_matrix(backend, rule):
    a = random((3, 5, 4))
    a[1, 2, 3] = np.nan
    t = backend.numpy(gpusvd.low_rank(backend.array(a), **rule))
    assert t.rank[1] == 0
    assert all(np.isnan(x[1]).all() for x in t[:3])
    rebuilt = backend.numpy(gpusvd.reconstruct(*map(backend.array, t)))
    assert np.isnan(rebuilt[1]).all()
    alone = gpusvd.low_rank(a[[0, 2]], **{k: v if np.ndim(v) == 0 else [1, 1] for k, v in rule.items()})
    np.testing.assert_allclose(rebuilt[[0, 2]], gpusvd.reconstruct(*alone), atol=1e-14)


def test_nan_stays_nan_where_nothing_else_is_kept(backend):
    a = np.stack([np.zeros((3, 2)), np.full((3, 2), np.nan)])
    t = gpusvd.low_rank(backend.array(a), rtol=0.1)
    np.testing.assert_array_equal(backend.numpy(t.rank), [0, 0])
    rebuilt = backend.numpy(gpusvd.reconstruct(*t))
    np.testing.assert_array_equal(rebuilt[0], 0)
    assert np.isnan(rebuilt[1]).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3), (2, 3, 0), (0, 3, 2), (0, 0, 2)])
@pytest.mark.parametrize("rule", [{"rank": 1}, {"rtol": 0.1}, {"energy": 0.9}, {"error": 0.1}])
def test_matrices_without_entries(backend, shape, rule):
    a = backend.array(np.zeros(shape))
    t = backend.numpy(gpusvd.low_rank(a, **rule))
    *batch, m, n = shape
    assert t.rank.shape == tuple(batch)
    assert not t.rank.any()
    np.testing.assert_array_equal(gpusvd.reconstruct(*t), np.zeros(shape))
    assert gpusvd.rank_one_terms(*t).shape == (*batch, t.S.shape[-1], m, n)
    np.testing.assert_array_equal(gpusvd.truncation_error(t.S, 0), np.zeros(batch))


# Errors


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "give at least one of rank, rtol, atol, energy and error"),
        ({"max_rank": 1, "min_rank": 1, "ties": 0.1}, "give at least one of rank, rtol"),
        ({"rank": -1}, "rank must be at least 0, not -1"),
        ({"rank": [1, -1]}, "rank must be at least 0"),
        ({"rtol": -0.1}, "rtol must be at least 0"),
        ({"atol": np.nan}, "atol must be at least 0"),
        ({"energy": 1.1}, "energy must be from 0 to 1, not 1.1"),
        ({"error": [-1.0, 0.0]}, "error must be at least 0"),
        ({"rank": [1, 2, 3]}, r"rank of shape \(3,\) does not broadcast against a batch of \(2,\)"),
        ({"rtol": 0.1, "max_rank": -1}, "max_rank must be None or a non-negative int, not -1"),
        ({"rank": 1, "max_rank": 1.5}, "max_rank must be None or a non-negative int, not 1.5"),
        ({"rtol": 0.1, "error": -1}, "error must be at least 0"),
        ({"rtol": 0.1, "min_rank": -1}, "min_rank must be a non-negative int, not -1"),
        ({"rtol": 0.1, "ties": -1e-9}, "ties must be at least 0"),
        (
            {"rtol": 0.1, "ties": [0.1] * 3},
            r"ties of shape \(3,\) does not broadcast against a batch of \(2,\)",
        ),
        ({"rtol": 0.1, "absorb": "middle"}, "absorb must be None, 'left', 'right' or 'both', not 'middle'"),
    ],
)
def test_wrong_rules(rule, message):
    a = random((2, 4, 3))
    with pytest.raises(ValueError, match=message):
        gpusvd.truncate(*thin(a), **rule)
    with pytest.raises(ValueError, match=message):
        gpusvd.low_rank(a, **rule)


@pytest.mark.parametrize("rank", [1.0, True, "1", [0.5]])
def test_ranks_are_integers(rank):
    U, S, Vh = thin(random((4, 3)))
    for call in (
        lambda: gpusvd.truncate(U, S, Vh, rank=rank),
        lambda: gpusvd.reconstruct(U, S, Vh, rank),
        lambda: gpusvd.truncation_error(S, rank),
        lambda: gpusvd.storage_ratio(4, 3, rank),
    ):
        with pytest.raises(TypeError, match="rank must be integers, not"):
            call()


def test_factors_that_do_not_belong_together():
    U, S, Vh = thin(random((2, 4, 3)))
    for factors in ((U[..., :2], S, Vh), (U, S, Vh[:, :2]), (U[0, 0], S, Vh), (U, S, Vh[0, 0])):
        with pytest.raises(ValueError, match="do not belong together"):
            gpusvd.truncate(*factors, rank=1)
    with pytest.raises(ValueError, match="do not belong together"):
        gpusvd.reconstruct(U, np.ones((3, 3)), Vh)
    with pytest.raises(TypeError, match="expected real singular values"):
        gpusvd.reconstruct(U, S + 0j, Vh)
    with pytest.raises(ValueError, match="S is a number"):
        gpusvd.reconstruct(U, 1.0, Vh)


# Reconstruction


@by_batch
@by_shape
@by_dtype
def test_reconstruct(backend, char, shape, batch):
    if not backend.has(char):
        pytest.skip(f"{backend.name} has no {np.dtype(char)}")
    a = random((*batch, *shape), char)
    factors = [backend.array(x) for x in gpusvd.svd(a)]
    whole = backend.numpy(gpusvd.reconstruct(*factors))
    assert whole.dtype == a.dtype
    np.testing.assert_allclose(whole, a, atol=50 * np.finfo(char).eps)
    terms = backend.numpy(gpusvd.rank_one_terms(*factors))
    k = min(shape)
    assert terms.shape == (*batch, k, *shape)
    assert terms.dtype == a.dtype
    for rank in range(k + 2):
        part = backend.numpy(gpusvd.reconstruct(*factors, rank))
        same = backend.numpy(gpusvd.reconstruct(*factors, backend.array(np.full(batch, rank))))
        np.testing.assert_allclose(part, same, atol=50 * np.finfo(char).eps)
        np.testing.assert_allclose(part, terms[..., :rank, :, :].sum(axis=-3), atol=50 * np.finfo(char).eps)


def test_a_rank_for_each_matrix(backend):
    U, S, Vh = thin(random((3, 5, 4)))
    factors = [backend.array(x) for x in (U, S, Vh)]
    ranks = [0, 2, 7]
    for rank in (ranks, backend.array(ranks)):
        part = backend.numpy(gpusvd.reconstruct(*factors, rank))
        terms = backend.numpy(gpusvd.rank_one_terms(*factors, rank))
        for i, k in enumerate(ranks):
            np.testing.assert_allclose(part[i], (U[i, :, :k] * S[i, :k]) @ Vh[i, :k], atol=1e-14)
            np.testing.assert_allclose(terms[i].sum(axis=0), part[i], atol=1e-14)
            assert not terms[i, k:].any()


@pytest.mark.parametrize("shape", [(40, 1000, 10), (5, 8, 10, 1000), (20_000, 8, 8), (20, 100, 500, 2)])
def test_reconstruct_needs_little_beside_the_result(shape, monkeypatch):
    piece = 2**16
    monkeypatch.setattr(_product, "_PIECE_BYTES", piece)
    U, S, Vh = thin(random(shape))
    for rank in (None, 2, np.full(shape[:-2], 2)):
        gpusvd.reconstruct(U[:1], S[:1], Vh[:1])  # NumPy imports on first use
        tracemalloc.start()
        result = gpusvd.reconstruct(U, S, Vh, rank)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - result.nbytes < S.nbytes * 1.5 + usable_cores() * 2 * piece
        assert peak - result.nbytes < result.nbytes / 2


# Optimality


@examples
@given(
    st.sampled_from(list(gallery.MATRICES)),
    st.sampled_from(gallery.DTYPES),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 9),
)
def test_eckart_young_mirsky(name, dtype, shape, rank):
    """The errors are those said, and no other matrix of that rank does better."""
    a = gallery.build(name, *shape, dtype).a
    a = gallery.scaled(a, -measures.binary_exponent(a[None])[0])
    U, S, Vh = thin(a)
    rest = (a - gpusvd.reconstruct(U, S, Vh, rank)).astype(complex)
    lost = np.linalg.svd(rest, compute_uv=False)
    rng = np.random.default_rng(0)
    k = min(rank, *shape)
    other = (U[:, :k] * S[:k]) @ (Vh[:k] + 0.1 * rng.standard_normal((k, shape[1])))
    for norm, order in (("fro", "fro"), ("spectral", 2), ("nuclear", "nuc")):
        error = float(gpusvd.truncation_error(S, rank, norm))
        slack = 40 * max(shape) * measures.eps(dtype)
        assert abs(error - np.linalg.norm(lost, {"fro": 2, "spectral": np.inf, "nuclear": 1}[norm])) < slack
        assert error < np.linalg.norm(a.astype(complex) - other, order) + slack


def test_the_errors_of_the_textbook(backend):
    S = backend.array([10.0, 3.0, 1.0])
    for norm, expected in (
        ("fro", np.sqrt([110, 10, 1, 0, 0])),
        ("spectral", [10, 3, 1, 0, 0]),
        ("nuclear", [14, 4, 1, 0, 0]),
    ):
        errors = backend.numpy(gpusvd.truncation_error(S, backend.array(np.arange(5)), norm))
        np.testing.assert_allclose(errors, expected, rtol=1e-15)


def test_truncation_error_over_a_batch(backend):
    S = np.array([[3e-200, 4e-200, 4e-200], [4e300, 3e300, 3e300], [0, 0, 0], [np.nan] * 3])[:, [1, 0, 0]]
    S[0] = [4e-200, 4e-200, 3e-200]
    S[1] = [4e300, 4e300, 3e300]
    S[2], S[3] = 0, np.nan
    errors = backend.numpy(gpusvd.truncation_error(backend.array(S), 1))
    np.testing.assert_allclose(errors, [5e-200, 5e300, 0, np.nan], rtol=1e-15)
    per_matrix = backend.numpy(gpusvd.truncation_error(backend.array(S), [0, 1, 2, 3], "spectral"))
    np.testing.assert_array_equal(per_matrix, [4e-200, 4e300, 0, np.nan])
    curves = gpusvd.truncation_error(S, np.arange(4)[:, None])
    assert curves.shape == (4, 4)
    assert gpusvd.truncation_error(np.ones(3, np.float16), 1).dtype == np.float16
    with pytest.raises(ValueError, match="norm must be 'fro', 'spectral' or 'nuclear', not 2"):
        gpusvd.truncation_error(S, 1, 2)


def test_low_rank_is_the_truncated_svd(backend):
    a = random((3, 6, 4))
    t = backend.numpy(gpusvd.low_rank(backend.array(a), error=0.3))
    S = np.linalg.svd(a, compute_uv=False)
    rest = np.linalg.norm(a - gpusvd.reconstruct(*t), axis=(-2, -1))
    assert (rest <= 0.3 * np.linalg.norm(S, axis=-1)).all()
    np.testing.assert_allclose(rest, gpusvd.truncation_error(S, t.rank), atol=1e-13)


def test_low_rank_of_lists_and_integers():
    t = gpusvd.low_rank([[2, 2], [2, 2]], rtol=1e-9)
    assert t.rank == 1
    assert t.U.dtype == np.float64


def test_storage_ratio(backend):
    assert gpusvd.storage_ratio(8, 24, 2) == 2 * 33 / (8 * 24)
    ratios = backend.numpy(gpusvd.storage_ratio(8, 24, backend.array([[0], [8]])))
    np.testing.assert_allclose(ratios, [[0], [8 * 33 / 192]])
    assert gpusvd.storage_ratio(0, 5, 0) == 0
    assert gpusvd.storage_ratio(np.int8(100), np.int32(2**30), 1) == gpusvd.storage_ratio(100, 2**30, 1)
    with pytest.raises(ValueError, match="m must be a non-negative int, not -1"):
        gpusvd.storage_ratio(-1, 5, 0)
    with pytest.raises(ValueError, match=r"n must be a non-negative int, not 2\.5"):
        gpusvd.storage_ratio(1, 2.5, 0)
