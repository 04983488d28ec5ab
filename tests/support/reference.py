"""The algorithm of the kernels in plain NumPy, one matrix at a time, written for reading.

    A P = Q R             Householder QR with full column pivoting, of the column-scaled matrix
    L = Rᴴ = X Σ Wᴴ       one-sided Jacobi: rotate the columns of L until they are orthogonal
    A = (Q W) Σ (P X)ᴴ    the rotations accumulated on the identity give W, the reflectors then Q W

A column is held as a mantissa vector times a power of two of its own, so that nothing over- or underflows
over the whole exponent range and small singular values keep their relative accuracy. Every operation runs in
the dtype of the matrix: float32, float64, complex64 or complex128.
"""

from typing import NamedTuple

import numpy as np

MAX_SWEEPS = 30


class Decomposition(NamedTuple):
    U: np.ndarray
    S: np.ndarray
    Vh: np.ndarray
    converged: bool
    sweeps: int
    off: float  # largest |cosine| of two columns that remains


class Rotation(NamedTuple):
    sine: np.floating
    tau: np.floating  # sine / (1 + cosine)
    into_p: np.floating  # sine as it applies to the mantissas: p -= into_p * q
    into_q: np.floating  # and q += into_q * p


def svd(a, full_matrices=True):
    """A = U diag(S) Vh of one matrix with at least one entry, S descending."""
    m, n = a.shape
    if m < n:
        tall = svd(a.conj().T, full_matrices)
        return tall._replace(U=tall.Vh.conj().T, Vh=tall.U.conj().T)
    width = m if full_matrices else n
    if not np.isfinite(a).all():
        nan = a.real.dtype.type(np.nan)
        U, S, Vh = np.full((m, width), nan, a.dtype), np.full(n, nan), np.full((n, n), nan, a.dtype)
        return Decomposition(U, S, Vh, converged=False, sweeps=0, off=nan)

    columns, exponent = normalised(a, np.zeros(n, np.intc))
    reflectors, beta, columns, exponent, permutation = pivoted_qr(columns, exponent)
    L, exponent = conjugate_rows(columns[:n], exponent)
    W = np.eye(n, dtype=a.dtype)
    L, exponent, W, converged, sweeps = jacobi(L, exponent, W)

    L, exponent = normalised(L, exponent)
    length = norms(L)
    X = L / np.where(length > 0, length, 1)
    order = descending(length, exponent)
    S = scaled(length, exponent)[order]
    X = complete(X[:, order], np.count_nonzero(length))
    W = W[:, order]
    U = np.eye(m, width, dtype=a.dtype)
    U[:n, :n] = W
    for j in reversed(range(n)):  # U = H_1 ... H_n [W; 0]
        U = reflect(U, reflectors[:, j], beta[j])
    Vh = np.empty_like(X)
    Vh[:, permutation] = X.conj().T
    off = largest_cosine(X[:, : np.count_nonzero(length)])
    return Decomposition(U, S, Vh, converged and bool(S[0] < np.inf), sweeps, off)


def bidiagonal(a):
    """The diagonal of Uᴴ A V and what is above it, for m >= n: all else is zero."""
    n = a.shape[1]
    for j in range(n):
        v, beta, _ = reflector(a[j:, j])
        a = np.vstack([a[:j], reflect(a[j:], v, beta)])
        if j < n - 2:
            x, gamma, _ = reflector(a[j, j + 1 :].conj())
            rest = reflect(a[:, j + 1 :].conj().T, x, gamma).conj().T
            a = np.hstack([a[:, : j + 1], rest])
    return np.diagonal(a), np.diagonal(a, 1)[: n - 1]


def scaled(x, exponent):
    """x * 2**exponent, exact where the result is normal; in two steps, for exponents of twice the range."""
    half = exponent // 2
    if np.iscomplexobj(x):
        return (scaled(x.real, exponent) + 1j * scaled(x.imag, exponent)).astype(x.dtype)
    with np.errstate(over="ignore"):
        return np.ldexp(np.ldexp(x, half), exponent - half)


def binary_exponent(x):
    """The k with 2**(k-1) <= largest part < 2**k of every column of x, and 0 for a zero column."""
    return np.frexp(np.maximum(np.abs(x.real), np.abs(x.imag)).max(axis=0))[1]


def normalised(x, exponent):
    """The columns x * 2**exponent with mantissas whose largest part is in [1/2, 1)."""
    shift = binary_exponent(x)
    return scaled(x, -shift), exponent + shift


def norms(x):
    """The lengths of the columns of x, whose mantissas may be anywhere in the range."""
    shift = binary_exponent(x)
    y = scaled(x, -shift)
    return scaled(np.sqrt((y.real * y.real + y.imag * y.imag).sum(axis=0)), shift)


def pivoted_qr(A, exponent):
    """A P = Q R. Returns the reflectors, their factors, R with the exponents of its columns, and P.

    The pivot is the longest remaining column at every step: sorting once instead fails on duplicate columns,
    where the dependent one then shrinks for ever.
    """
    n = A.shape[1]
    A, exponent, permutation = A.copy(), exponent.copy(), np.arange(n)
    reflectors, beta = np.zeros_like(A), np.zeros(n, A.real.dtype)
    for j in range(n):
        pivot = j + longest(A[j:, j:], exponent[j:])
        for x in (A.T, exponent, permutation):
            x[[j, pivot]] = x[[pivot, j]]
        reflectors[j:, j], beta[j], A[j, j] = reflector(A[j:, j])
        A[j + 1 :, j] = 0
        A[:, j + 1 :] = reflect(A[:, j + 1 :], reflectors[:, j], beta[j])
    return reflectors, beta, A, exponent, permutation


def longest(x, exponent):
    """The place of the longest of the columns x * 2**exponent; the first of equals."""
    x, exponent = normalised(x, exponent)
    return descending(norms(x), exponent)[0]


def reflector(x):
    """v, beta and r so that (I - beta v vᴴ) x = (r, 0, ..., 0); v starts with 1, beta is 0 for x = 0.

    x is scaled before it is squared: the reflector of an unscaled tiny remainder is not unitary.
    """
    zero = x.real.dtype.type(0)
    shift = binary_exponent(x)
    v = scaled(x, -shift)
    length, head = norms(v), np.abs(v[0])
    if length == 0:
        return v, zero, zero
    negligible = head < np.finfo(v.dtype).eps * length  # and perhaps subnormal, with no phase to speak of
    phase = v.dtype.type(1) if negligible else v[0] / head
    v = v / (v[0] + phase * length)
    v[0] = 1
    return v, 2 / norms(v) ** 2, scaled(-phase * length, shift)


def reflect(x, v, beta):
    """(I - beta v vᴴ) x."""
    return x - np.outer(v, beta * (v.conj() @ x))


def conjugate_rows(R, exponent):
    """Rᴴ for R with the columns R * 2**exponent, again as mantissa columns with exponents."""
    parts = np.maximum(np.abs(R.real), np.abs(R.imag))
    reach = np.where(parts > 0, np.frexp(parts)[1] + exponent, np.iinfo(np.int16).min)
    row_exponent = reach.max(axis=1).astype(np.intc)
    return scaled(R, exponent - row_exponent[:, None]).conj().T.copy(), row_exponent


def jacobi(L, exponent, W):
    """Rotate the columns L * 2**exponent until they are orthogonal, and the columns of W with them."""
    n = len(L)
    eps = np.finfo(L.dtype).eps / 2
    tolerance = eps * np.sqrt(eps.dtype.type(n))
    for sweep in range(1, MAX_SWEEPS + 1):
        L, exponent = normalised(L, exponent)
        norm = norms(L)
        max_cosine = max_sine = eps * 0
        rotated = False
        for p in range(n - 1):
            for q in range(p + 1, n):
                if norm[p] == 0 or norm[q] == 0:
                    continue
                inner = np.vdot(L[:, p], L[:, q])
                cosine = np.abs(inner) / norm[p] / norm[q]
                if cosine <= tolerance:
                    continue
                rotated, max_cosine = True, max(max_cosine, cosine)
                rotation = jacobi_rotation(cosine, norm[p], norm[q], exponent[q] - exponent[p])
                max_sine = max(max_sine, np.abs(rotation.sine))
                phase = (inner / np.abs(inner)).conj()
                rotate_mantissas(L, p, q, phase, rotation)
                rotate(W, p, q, phase, rotation)
                norm[[p, q]] = norms(L[:, [p, q]])
        # The next sweep would only confirm. Weaker rules fail: n cos sin misses a tiny column that lies along
        # a large one (cosine large, sine tiny), n cos² misses clusters (cosine small, angle 45 degrees).
        if not rotated or n * max_cosine * max(max_cosine, max_sine) < tolerance:
            return L, exponent, W, True, sweep
    return L, exponent, W, False, MAX_SWEEPS


def jacobi_rotation(cosine, norm_p, norm_q, gap):
    """The rotation that makes columns p and q orthogonal, their lengths norm_p and norm_q * 2**gap.

    From the cosine and the ratio r of the shorter to the longer, which may be below the range,
    tan = 2 cos r / (1-r² + sqrt((1-r²)² + (2 cos r)²)). Equal lengths rotate by 45 degrees.
    """
    one = cosine / cosine
    q_is_longer = scaled(norm_q, gap) >= norm_p
    ratio = norm_p / norm_q if q_is_longer else norm_q / norm_p  # of the mantissas
    longer_to_shorter = -gap if q_is_longer else gap
    r = scaled(ratio, longer_to_shorter)
    distance = (one - r) * (one + r)
    tangent_over_r = 2 * cosine / (distance + np.hypot(distance, 2 * cosine * r))
    tangent = tangent_over_r * r
    c = one / np.sqrt(one + tangent * tangent)
    sign = one if q_is_longer else -one
    sine = sign * c * tangent
    into_longer = scaled(sine, longer_to_shorter)
    into_shorter = sign * c * tangent_over_r * ratio  # sine / 2**longer_to_shorter, which may overflow
    into_p, into_q = (into_shorter, into_longer) if q_is_longer else (into_longer, into_shorter)
    return Rotation(sine, sine / (one + c), into_p, into_q)


def rotate(W, p, q, phase, rotation):
    """Rutishauser's form of a rotation of columns p and q: several times more accurate than c x - s y."""
    sine, tau = rotation.sine, rotation.tau
    x, y = W[:, p].copy(), W[:, q] * phase
    W[:, p] = x - sine * (y + tau * x)
    W[:, q] = y + sine * (x - tau * y)


def rotate_mantissas(L, p, q, phase, rotation):
    """The same rotation of columns whose exponents differ."""
    shrink = rotation.sine * rotation.tau
    x, y = L[:, p].copy(), L[:, q] * phase
    L[:, p] = x - (rotation.into_p * y + shrink * x)
    L[:, q] = y + (rotation.into_q * x - shrink * y)


def largest_cosine(X):
    """The largest |cosine| of two different columns of length one."""
    return np.abs(np.triu(X.conj().T @ X, 1)).max(initial=0)


def descending(length, exponent):
    """The stable order of length * 2**exponent, longest first, also beyond the range; exact zeros last."""
    mantissa, shift = np.frexp(length)
    return np.lexsort((-mantissa, -(shift + exponent), length == 0))


def complete(X, rank):
    """X with its columns from rank on replaced by orthonormal ones; those before are orthonormal already."""
    n = len(X)
    X = X.copy()
    for j in range(rank, n):
        # The unit vector farthest from the span of the columns so far; at least sqrt(1 - j/n) is outside.
        k = np.argmin((X[:, :j].real ** 2 + X[:, :j].imag ** 2).sum(axis=1))
        v = np.eye(n, dtype=X.dtype)[k]
        for _ in range(2):
            v = v - X[:, :j] @ (X[:, :j].conj().T @ v)
        X[:, j] = v / norms(v)
    return X
