"""How accurate gpusvd and its peers are on the hard matrices of `tests.support.gallery`.

Of every matrix the residual and the orthogonality of the factors, in units of eps, and the relative error
of every singular value that is not zero, against mpmath's of the same floating-point matrix. Many matrices
of the gallery do not determine their small singular values to a relative accuracy, and nobody's are right
there. Hence a second group, the same ones whose columns are then graded by powers of two: as far as the
columns were well conditioned, these do, and one-sided Jacobi finds them. Matrices whose largest singular
value overflows are left out. It measures no time: any machine will do.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import mpmath
import numpy as np

from benchmarks import contenders
from benchmarks.measure import Row, command, recorded
from tests.support import gallery, measures

DTYPES = ("float32", "float64")
SHAPES = ((8, 8), (16, 6), (16, 16))
GROUPS = ("gallery", "graded columns")
CONTENDERS = ("jacobi", "scipy gesdd", "gejsv", "torch", "jax")
GRADING = {"float32": 60, "float64": 400}  # columns are graded by up to two to this power
GUARD = 200  # bits beyond what the range of the entries asks for


def main() -> None:
    arguments = command("accuracy", __doc__, quick="one shape", dtypes=DTYPES).parse_args()
    shapes = SHAPES[:1] if arguments.quick else SHAPES
    versions = {"mpmath": mpmath.__version__, "peers": contenders.versions()}
    with recorded("accuracy", saved=not arguments.quick, **versions) as (_, rows):
        for dtype, (m, n), group in product(arguments.dtype, shapes, GROUPS):
            for name in gallery.MATRICES:
                rows += of_matrix(group, name, m, n, dtype)
        for dtype, group in product(arguments.dtype, GROUPS):
            print_summary(f"{dtype}, {group}", chosen(rows, dtype, group))


def chosen(rows: Sequence[Row], dtype: str, group: str) -> list[Row]:
    return [row for row in rows if (row["dtype"], row["group"]) == (dtype, group)]


def matrix(group: str, name: str, m: int, n: int, dtype: str) -> np.ndarray:
    """The named one of the gallery; graded, with columns of at most n times powers of two, shuffled."""
    a = gallery.build(name, m, n, dtype).a
    if group == "gallery":
        return a
    length = np.abs(a).max(axis=0)
    exponent = np.linspace(-GRADING[dtype], GRADING[dtype], n).astype(np.intc)
    shuffled = np.random.default_rng([m, n]).permutation(exponent)
    with np.errstate(over="ignore"):
        return gallery.scaled(a, shuffled - np.frexp(length)[1])


def of_matrix(group: str, name: str, m: int, n: int, dtype: str) -> list[Row]:
    """A row for each contender that takes the matrix; none where its singular values overflow."""
    a = matrix(group, name, m, n, dtype)
    exact = singular_values(a)
    if max(exact) > float(np.finfo(dtype).max):
        return []
    rows = []
    for contender in CONTENDERS:
        row = {"group": group, "matrix": name, "dtype": dtype, "m": m, "n": n, "contender": contender}
        make = (contenders.OURS | contenders.PEERS)[contender]
        try:
            u, s, vh = (factor[0] for factor in contenders.factors(make(a[np.newaxis], "thin")()))
        except contenders.Refused:
            continue
        except np.linalg.LinAlgError as error:
            rows.append(row | {"failed": str(error)})
            continue
        rows.append(row | errors(a, u, s, vh, exact))
    return rows


def errors(a: np.ndarray, u: np.ndarray, s: np.ndarray, vh: np.ndarray, exact: Sequence[Any]) -> Row:
    """Residual, orthogonality and relative errors in units of eps; None for what is not finite."""
    eps = measures.eps(a.dtype)
    if not all(np.isfinite(factor).all() for factor in (u, s, vh)):
        return {"failed": "not finite"}
    orthogonality = max(measures.loss_of_orthogonality(q) for q in (u, measures.adjoint(vh)))
    return {
        "residual": rounded(measures.residual(a, u, s, vh) / eps),
        "orthogonality": rounded(orthogonality / eps),
        "relative": [rounded(error) for error in relative_errors(s, exact, eps)],
    }


def rounded(x: float) -> float:
    """To three digits, which is all that an error needs, for smaller files."""
    return float(f"{x:.3g}")


def relative_errors(s: np.ndarray, exact: Sequence[Any], eps: float) -> list[float]:
    """|s - σ| / (σ eps) for every σ that is not zero, nor below the smallest normal number."""
    smallest = float(np.finfo(s.dtype).smallest_normal)
    return [
        float(abs(mpmath.mpf(float(x)) - sigma) / sigma / eps)
        for x, sigma in zip(s, exact, strict=True)
        if sigma >= smallest
    ]


def singular_values(a: np.ndarray) -> list[Any]:
    """Those of a real matrix as mpmath's numbers, in descending order; what is zero but for rounding is 0."""
    used = a[a != 0]
    if not len(used):
        return [mpmath.mpf(0)] * min(a.shape)
    magnitudes = np.frexp(used.astype(float))[1]
    precision = 2 * int(np.ptp(magnitudes)) + 60 * min(a.shape) + GUARD
    with mpmath.workprec(precision):
        found = mpmath.svd_r(mpmath.matrix(a.astype(float).tolist()), compute_uv=False)
        values = sorted(found, reverse=True)
        nothing = mpmath.ldexp(values[0], 100 - precision)
        return [value if value > nothing else mpmath.mpf(0) for value in values]


# What is printed


def summary(rows: Sequence[Row]) -> list[Row]:
    """For each contender quantiles over the matrices, and over all singular values of all of them."""
    found = []
    for contender in CONTENDERS:
        mine = [row for row in rows if row["contender"] == contender]
        good = [row for row in mine if "failed" not in row]
        if not good:
            continue
        relative = [error for row in good for error in row["relative"]]
        found.append(
            {
                "contender": contender,
                "matrices": len(mine),
                "failed": len(mine) - len(good),
                "residual": quantiles([row["residual"] for row in good]),
                "orthogonality": quantiles([row["orthogonality"] for row in good]),
                "relative": quantiles(relative),
                "right": float(np.mean(np.array(relative) <= 100)),
            }
        )
    return found


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """The 20th, 50th and 80th percentile, and the worst."""
    return {f"p{p}": float(np.percentile(values, p)) for p in (20, 50, 80)} | {"worst": max(values)}


def print_summary(heading: str, rows: Sequence[Row]) -> None:
    print(f"\n{heading}, in units of eps: 50th and 80th percentile, and the worst")
    print(f"{'':12}{'residual':>27}{'orthogonality':>27}{'relative error':>27}  within 100 eps  failed")
    for found in summary(rows):
        cells = "".join(
            "".join(f"{found[what][p]:9.3g}" for p in ("p50", "p80", "worst"))
            for what in ("residual", "orthogonality", "relative")
        )
        failed = f"{found['failed']} of {found['matrices']}"
        print(f"{found['contender']:12}{cells}{math.floor(1000 * found['right']) / 10:15.1f}%  {failed}")


if __name__ == "__main__":
    main()
