"""How good factors in GPU memory are, measured there on all of a batch; `xp` is CuPy, or NumPy in tests.

In units of eps, in double precision. Norms are Frobenius norms. The measures are those of
`tests/support/measures.py`, without its care for the ends of the exponent range.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

CHUNK_BYTES = 256e6  # of matrices in double precision that are measured at a time
CHUNK_MATRICES = 50_000
SAMPLE_WORK = 2e7  # m n min(m, n) of the matrices together that NumPy decomposes for comparison


def chunks(count: int, m: int, n: int) -> Iterator[slice]:
    step = max(1, min(CHUNK_MATRICES, int(CHUNK_BYTES / (16 * m * n))))
    return (slice(first, first + step) for first in range(0, count, step))


def factor_errors(xp: Any, a: Any, u: Any, s: Any, vh: Any, wanted: Any = None) -> dict[str, float]:
    """Return the worst residual ‖A - U S Vh‖ / ‖A‖ and loss of orthogonality ‖I - Qᴴ Q‖ of U and Vh, in
    eps, and the number of matrices whose S is not in descending order.

    Only the matrices count that are True in `wanted`, if that is given. NaN is worse than anything.
    """
    double = np.result_type(a.dtype, np.float64)
    worst = {"residual": 0.0, "orthogonality U": 0.0, "orthogonality V": 0.0}
    unordered = 0
    for part in chunks(a.shape[0], *a.shape[1:]):
        A, U, Vh = (x[part].astype(double) for x in (a, u, vh))
        S = s[part].astype(np.float64)
        length = norm(xp, A)
        difference = norm(xp, A - (U * S[:, np.newaxis, :]) @ Vh)
        measured = {
            "residual": difference / xp.where(length > 0, length, 1),
            "orthogonality U": loss_of_orthogonality(xp, U),
            "orthogonality V": loss_of_orthogonality(xp, Vh.conj().swapaxes(1, 2)),
        }
        disorder = ~((S[:, 1:] <= S[:, :-1]).all(axis=1) & (S >= 0).all(axis=1))
        if wanted is not None:
            measured = {name: xp.where(wanted[part], x, 0) for name, x in measured.items()}
            disorder = disorder & wanted[part]
        unordered += disorder.sum().item()
        for name, x in measured.items():
            worst[name] = worse(worst[name], x.max().item() / eps(s.dtype))
    return {**worst, "unordered": unordered}


def worse(x: float, y: float) -> float:
    return x if x != x or x > y else y


def loss_of_orthogonality(xp: Any, q: Any) -> Any:
    return norm(xp, q.conj().swapaxes(1, 2) @ q - xp.eye(q.shape[2]))


def norm(xp: Any, x: Any) -> Any:
    return xp.sqrt((xp.abs(x) ** 2).sum(axis=(1, 2)))


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def sample_size(m: int, n: int, most: int = 64, work: float = SAMPLE_WORK) -> int:
    return int(min(most, max(1, work // (m * n * min(m, n)))))


def value_error(a: np.ndarray, s: np.ndarray) -> float:
    """Return the largest distance of S, of host arrays, from NumPy's in double precision, in eps of each
    matrix's largest value."""
    exact = np.linalg.svd(a.astype(np.result_type(a.dtype, np.float64)), compute_uv=False)
    return float((np.abs(s - exact) / exact[:, :1]).max() / eps(s.dtype))


def random_matrices(cupy: Any, seed: int, count: int, m: int, n: int, dtype: str) -> Any:
    """Standard normal matrices (count, m, n), the same in every run, filled in parts that need little memory
    beside."""
    rng = cupy.random.RandomState(seed)
    a = cupy.empty((count, m, n), dtype)
    parts = (a.real, a.imag) if a.dtype.kind == "c" else (a,)
    step = max(1, 2**27 // (m * n))
    for part in parts:
        for first in range(0, count, step):
            room = part[first : first + step]
            room[...] = rng.standard_normal(room.shape, dtype=room.dtype)
    return a
