"""What holds for every matrix, whatever its shape, dtype, scale and layout in memory."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

import gpusvd
from tests.support import gallery, measures

examples = settings(deadline=None, max_examples=100)
dtypes = st.sampled_from(gallery.DTYPES)
small = st.tuples(st.integers(1, 6), st.integers(1, 6))
shapes = st.one_of(st.tuples(st.integers(1, 20), st.integers(1, 20)), st.sampled_from([(49, 50), (60, 49)]))
names = st.sampled_from(list(gallery.MATRICES))
seeds = st.integers(0, 2**32 - 1)


def matrix(name, shape, dtype, seed):
    return gallery.MATRICES[name](np.random.default_rng(seed), *shape, dtype).a


def jacobi(a, full_matrices=True):
    return gpusvd.svd(a, full_matrices, driver="jacobi")


def singular_values(a):
    return gpusvd.svdvals(a, driver="jacobi")


def safe_range(a):
    """The powers of two that bring no part of a near over- or underflow, as a pair."""
    parts = np.abs(np.stack([a.real, a.imag]))
    exponent = np.frexp(parts[parts > 0])[1] if parts.any() else np.zeros(1, int)
    info = np.finfo(a.dtype)
    return int(info.minexp - exponent.min() + 1), int(info.maxexp - exponent.max() - a.size.bit_length())


@examples
@given(st.data(), dtypes, small, st.booleans())
def test_any_finite_numbers(data, dtype, shape, full_matrices):
    numbers = {"f": st.floats, "c": st.complex_numbers}[dtype.kind](
        width=8 * dtype.itemsize, allow_nan=False, allow_infinity=False
    )
    batch = data.draw(st.lists(arrays(dtype, shape, elements=numbers), min_size=1, max_size=3))
    measures.assert_svd(np.stack(batch), *jacobi(np.stack(batch), full_matrices))


@examples
@given(names, dtypes, shapes, seeds, st.booleans())
def test_any_matrix_of_the_gallery(name, dtype, shape, seed, full_matrices):
    a = matrix(name, shape, dtype, seed)
    measures.assert_svd(a, *jacobi(a, full_matrices))


@examples
@given(st.data(), names, dtypes, shapes, seeds)
def test_powers_of_two_pass_through(data, name, dtype, shape, seed):
    """The factors of 2**k A are those of A to the last bit, but for the exponents of S."""
    a = matrix(name, shape, dtype, seed)
    low, high = safe_range(a)
    k = data.draw(st.integers(min(low, 0), max(high, 0)))
    a, k = (a, k) if low <= k <= high else (a, 0)
    U, S, Vh = jacobi(a)
    scaled = jacobi(gallery.scaled(a, k))
    np.testing.assert_array_equal(scaled.U, U)
    np.testing.assert_array_equal(scaled.Vh, Vh)
    # What leaves the normal range on either side has lost its digits there.
    normal = np.minimum(S, scaled.S) >= np.finfo(S.dtype).smallest_normal
    normal &= np.isfinite(S) & np.isfinite(scaled.S)
    np.testing.assert_array_equal(scaled.S[normal], gallery.scaled(S, k)[normal])


@examples
@given(names, dtypes, shapes, seeds)
def test_adjoint_permutation_and_sign(name, dtype, shape, seed):
    a = matrix(name, shape, dtype, seed)
    S = singular_values(a).astype(float)
    shuffled = a[np.random.default_rng(seed).permutation(len(a))]
    for other in (a.conj().T, shuffled, -a):
        T = singular_values(other)
        finite = np.isfinite(S) & np.isfinite(T)
        top = np.minimum(S[0], float(np.finfo(dtype).max))
        allowed = 4 * max(shape) * measures.eps(dtype) * top + float(np.finfo(dtype).smallest_subnormal)
        measures.assert_below(np.abs(T[finite] - S[finite]), allowed)


@examples
@given(names, dtypes, shapes, seeds)
def test_frobenius_norm(name, dtype, shape, seed):
    a = matrix(name, shape, dtype, seed)
    exponent = -measures.binary_exponent(a)
    S = measures.scaled(singular_values(a), exponent[0])
    if np.isfinite(S).all():
        length = measures.norm(measures.scaled(a, exponent))
        rounding = measures.scaled(np.finfo(a.dtype).smallest_subnormal, exponent[0, 0]) * max(shape)
        error = abs(np.sqrt((S * S).sum()) - length)
        measures.assert_below(error, 4 * max(shape) * measures.eps(dtype) * length + rounding)


LAYOUTS = {
    "C order": lambda a: a,
    "Fortran order": np.asfortranarray,
    "transposed": lambda a: a.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "batch last": lambda a: np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0),
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[..., ::-1, ::-1].copy()[..., ::-1, ::-1],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}


@examples
@given(
    st.sampled_from(["?", *"bBhHiIlLqQefdFD"]),
    st.sampled_from(list(LAYOUTS)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    shapes,
    st.booleans(),
    seeds,
)
def test_layouts_and_dtypes(char, layout, batch, shape, full_matrices, seed):
    x = np.random.default_rng(seed).integers(-99, 100, size=(*batch, *shape))
    a = LAYOUTS[layout]((x if char not in "BHILQ" else abs(x)).astype(char))
    before = a.copy()
    result = jacobi(a, full_matrices)
    assert result.U.dtype == (char if char in "efdFD" else "d")
    measures.assert_svd(a, *result)
    np.testing.assert_array_equal(a, before)
