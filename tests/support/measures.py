"""How good a singular value decomposition is: residual, orthogonality and order, in units of eps.

Everything is measured in double precision after a scaling by powers of two, so that nothing overflows. For
double precision itself the rounding of the measurement, about sqrt(n) eps, counts against what is measured.
Functions take a matrix or a batch. Norms are Frobenius norms.
"""

import numpy as np

import gpusvd


def assert_svd(a, U, S, Vh):
    """U, S, Vh, thin or full, decompose a to within 10 max(m, n) eps."""
    *batch, m, n = a.shape
    k = min(m, n)
    assert S.shape == (*batch, k)
    assert U.shape in {(*batch, m, k), (*batch, m, m)}
    assert Vh.shape in {(*batch, k, n), (*batch, n, n)}
    assert (U.shape[-1], Vh.shape[-2]) in {(k, k), (m, n)}
    assert U.dtype == Vh.dtype
    assert S.dtype == (np.float32 if U.dtype == np.float16 else U.real.dtype)
    assert_order(S)
    bound = 10 * max(m, n) * eps(U.dtype)
    assert_below(residual(a.astype(U.dtype), U, S, Vh), bound)
    assert_below(loss_of_orthogonality(U), bound)
    assert_below(loss_of_orthogonality(adjoint(Vh)), bound)


def assert_order(S):
    assert (S >= 0).all()
    assert (S[..., 1:] <= S[..., :-1]).all()


def assert_singular_values(S, exact, ulps):
    """Every S is within ulps eps of the largest exact one; inf stands for anything out of range."""
    exact = np.asarray(exact)
    info = np.finfo(S.dtype)
    top = np.max(exact, axis=-1, keepdims=True)
    allowed = ulps * eps(S.dtype) * top + float(info.smallest_subnormal)
    assert_below(np.abs(np.where(np.isinf(S), np.maximum(exact, float(info.max)), S) - exact), allowed)


def assert_below(measured, bound):
    """Every measured value is at most bound, which NaN is not; the message names the worst."""
    good = measured <= bound
    assert good.all(), f"{measured[~good].max()} above {bound} at {np.argwhere(~good).tolist()[:10]}"


def residual(a, U, S, Vh):
    """‖A - U S Vh‖ / ‖A‖, and ‖S‖ itself for a zero matrix.

    A singular value that overflowed is taken from its vectors instead, and what rounding to subnormal numbers
    does to S is taken off.
    """
    k = S.shape[-1]
    exponent = -binary_exponent(a)
    A, u, v = scaled(a, exponent), scaled(U[..., :k]), scaled(Vh[..., :k, :])
    s = scaled(S, exponent[..., 0])
    if np.isinf(S).any():
        quotients = ((adjoint(u) @ A) * v.conj()).sum(axis=-1).real
        largest = scaled(np.finfo(S.dtype).max, exponent[..., 0])
        s = np.where(np.isinf(S), np.maximum(quotients, largest), s)
    rounding = np.sqrt(k) / 2 * scaled(np.finfo(S.dtype).smallest_subnormal, exponent[..., 0, 0])
    length = norm(A)
    return np.maximum(norm(A - (u * s[..., None, :]) @ v) - rounding, 0) / np.where(length > 0, length, 1)


def loss_of_orthogonality(q):
    """‖I - Qᴴ Q‖ of the columns of q."""
    q = scaled(q)
    return norm(adjoint(q) @ q - np.eye(q.shape[-1]))


def eps(dtype):
    return float(np.finfo(dtype).eps)


def norm(x):
    with np.errstate(over="ignore"):
        return np.sqrt((x.real * x.real + x.imag * x.imag).sum(axis=(-2, -1)))


def adjoint(x):
    return x.conj().swapaxes(-1, -2)


def binary_exponent(a):
    """The k with 2**(k-1) <= largest part of the matrix < 2**k, 0 for a zero one; shaped (*batch, 1, 1)."""
    return np.frexp(np.maximum(np.abs(a.real), np.abs(a.imag)).max(axis=(-2, -1), keepdims=True))[1]


def scaled(x, exponent=0):
    """x * 2**exponent in double precision."""
    x = np.asarray(x)
    if np.iscomplexobj(x):
        return scaled(x.real, exponent) + 1j * scaled(x.imag, exponent)
    half = np.asarray(exponent, np.intc) // 2
    with np.errstate(over="ignore"):
        return np.ldexp(np.ldexp(x.astype(float), half), exponent - half)


def assert_as_on_the_cpu(a, S, info, more_sweeps=3, **kwargs):
    """Values, and what is said about each matrix, from a GPU's kernels beside those from the CPU's."""
    cpu = gpusvd.svd_ex(a, driver="jacobi", **kwargs)
    np.testing.assert_array_equal(info.converged, cpu.info.converged)
    assert (info.sweeps - cpu.info.sweeps)[info.converged].max() <= more_sweeps  # of clusters often four less
    np.testing.assert_array_equal(np.isinf(S), np.isinf(cpu.S))
    top = np.minimum(cpu.S[:, :1], np.finfo(S.dtype).max)
    with np.errstate(invalid="ignore"):
        error = np.where(np.isinf(S), 0, np.abs(S - cpu.S))
    few = max(10, a.shape[1]) * eps(S.dtype)
    assert_below(error, few * top + np.finfo(S.dtype).smallest_subnormal)
