"""Truncation: choose the singular values to keep, rebuild the matrices, and measure the error."""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, Generic, Literal, NamedTuple, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike

from gpusvd._base.arrays import (
    Namespace,
    arange,
    array_namespace,
    astype,
    cumulative_sum,
    eps,
    in_c_order,
    is_integer,
    limits,
    matrices,
    numbers,
    on_host,
    quiet,
    transpose,
    widened,
    without_gradient,
)
from gpusvd._base.checks import Driver, checked_int, checked_size, is_one_of
from gpusvd._base.dispatch import for_libraries
from gpusvd._base.results import A, Array
from gpusvd._layer.decompositions import decompose
from gpusvd._layer.factors import batch_of, checked_factors, checked_width, common_width
from gpusvd._layer.products import product
from gpusvd._layer.values import (
    apart,
    checked_values,
    count,
    failed,
    leading,
    relative_squares,
    root,
    significant,
)


class TruncatedSVD(NamedTuple, Generic[A]):
    """The leading singular values and vectors of each matrix, zero beyond its rank.

    Attributes
    ----------
    U : (..., M, R) array
        Left singular vectors.
    S : (..., R) array
        Singular values.
    Vh : (..., R, N) array
        Conjugate transposes of the right singular vectors.
    rank : (...) array of integers
        Number of singular values kept for each matrix, at most R.
    """

    U: A
    S: A
    Vh: A
    rank: A


class TruncatedProduct(NamedTuple, Generic[A]):
    """The truncated matrices as products of two factors, into which the singular values are multiplied.

    Attributes
    ----------
    left : (..., M, R) array
        U diag(S), U, or U diag(S)^½.
    right : (..., R, N) array
        Vh, diag(S) Vh, or diag(S)^½ Vh.
    S : (..., R) array
        Singular values, zero beyond the rank.
    rank : (...) array of integers
        Number of singular values kept for each matrix, at most R.
    """

    left: A
    right: A
    S: A
    rank: A


Absorb = Literal["left", "right", "both"]


class CommonRules(TypedDict, total=False):
    """The keywords that no overload of `truncate` or `truncate_ragged` depends on."""

    rank: ArrayLike | None
    rtol: ArrayLike | None
    atol: ArrayLike | None
    energy: ArrayLike | None
    error: ArrayLike | None
    min_rank: int
    ties: ArrayLike | None


class Rules(CommonRules, total=False):
    """Those of `truncate` and `low_rank`."""

    max_rank: int | None


@overload
def truncate(
    U: ArrayLike, S: ArrayLike, Vh: ArrayLike, *, absorb: None = None, **rules: Unpack[Rules]
) -> TruncatedSVD: ...


@overload
def truncate(
    U: ArrayLike, S: ArrayLike, Vh: ArrayLike, *, absorb: Absorb, **rules: Unpack[Rules]
) -> TruncatedProduct: ...


@for_libraries
def truncate(
    U: ArrayLike,
    S: ArrayLike,
    Vh: ArrayLike,
    *,
    rank: ArrayLike | None = None,
    rtol: ArrayLike | None = None,
    atol: ArrayLike | None = None,
    energy: ArrayLike | None = None,
    error: ArrayLike | None = None,
    max_rank: int | None = None,
    min_rank: int = 0,
    ties: ArrayLike | None = None,
    absorb: Absorb | None = None,
) -> TruncatedSVD | TruncatedProduct:
    """
    Keep the leading singular values of every matrix, as many as the rules select.

    The result is the best approximation of its rank in every unitarily invariant norm. Give at least one of
    `rank`, `rtol`, `atol`, `energy` and `error`: a number for all matrices, or an array that broadcasts
    against the batch. Of several rules the one that keeps the fewest values decides.

    Parameters
    ----------
    U, S, Vh : (..., M, K), (..., K) and (..., K, N) array_like
        The factors as `svd` returns them, S in descending order; full or thin U and Vh.
    rank : int or (...) array_like of integers
        Keep this many values, or all if there are fewer.
    rtol : float or (...) array_like
        Keep the values σ > rtol σ₁.
    atol : float or (...) array_like
        Keep the values σ > atol.
    energy : float or (...) array_like, from 0 to 1
        Keep the fewest values that hold this fraction of Σ σ². 1 keeps all nonzero values.
    error : float or (...) array_like
        Keep the fewest values that leave a relative error of at most `error` in the Frobenius norm. 0 keeps
        all nonzero values.
    max_rank : int, optional
        Upper limit of the rank. Unless an int `rank` is the only rule, the result then has min(max_rank, K)
        columns, whatever the ranks.
    min_rank : int, optional
        Least rank: keep this many values even if a tolerance keeps fewer. `rank` and `max_rank` take
        precedence.
    ties : float or (...) array_like, optional
        Keep multiplets whole: neighbours with σᵢ - σᵢ₊₁ <= ties σᵢ stay together. A multiplet that the rules
        would cut is kept; if `rank` or `max_rank` forbids that, it is left out; if fewer values than
        `min_rank`, or none, would then remain, it is cut after all.
    absorb : {None, "left", "right", "both"}, optional
        Return two factors instead, with S multiplied in: U diag(S) and Vh for "left", U and diag(S) Vh for
        "right", U diag(S)^½ and diag(S)^½ Vh for "both".

    Returns
    -------
    TruncatedSVD, or TruncatedProduct with `absorb`
        A named tuple of U (..., M, R), S (..., R), Vh (..., R, N) and rank (...), or of left (..., M, R),
        right (..., R, N), S and rank, in the dtypes of the arguments. R is the largest rank in the batch; the
        factors of a matrix are zero beyond its own rank. If an int `rank` is the only rule, without `ties`
        and `absorb`, U, S and Vh are views of the arguments.

    Raises
    ------
    ValueError
        If no rule is given, if a value is out of range or does not broadcast, if the shapes of U, S and Vh
        do not match, and for another `absorb`. Values in device memory are not checked for their range.
    TypeError
        For ranks that are not integers, limits that are not real, dtypes that `svd` does not take, and arrays
        of different libraries.

    See Also
    --------
    truncate_ragged : Blocks of several sizes, each by itself or all by one rule.

    Notes
    -----
    Unless an int `rank` is the only rule or `max_rank` is given, one number, R, is read back from the device.
    In terms of tensor networks `rank`, beside another rule, is the largest bond dimension (quimb's max_bond,
    ITensor's maxdim), `rtol` a relative cutoff, `error` squared the discarded weight, and `ties` TeNPy's
    degeneracy_tol; `max_rank` also fixes the width of a batch. `energy` and `error` allow for rounding: the
    discarded share may exceed its limit by 8 eps of the dtype of S, relative, so that with σ² = 45 and 5 the
    first value holds an energy of 0.9. A matrix whose singular values are NaN has rank 0 and NaN in all of
    its columns; R is then at least 1, unless `max_rank`, or an int `rank` alone, is 0.

    References
    ----------
    L. Mirsky, "Symmetric gauge functions and unitarily invariant norms", The Quarterly Journal of Mathematics
    11(1), 1960, pp. 50-59.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> a = np.array([np.diag([10.0, 3.0, 1.0]), np.diag([10.0, 4.0, 4.0])])
    >>> t = gpusvd.truncate(*gpusvd.svd(a), energy=0.9)
    >>> t.rank
    array([1, 3])
    >>> t.S
    array([[10.,  0.,  0.],
           [10.,  4.,  4.]])

    The pair of values is kept whole within a rank of 3, and left out within 2:

    >>> gpusvd.truncate(*gpusvd.svd(a[1]), rtol=0.1, max_rank=2, ties=1e-8).rank
    array(1)
    """
    given = given_rules(rank=rank, rtol=rtol, atol=atol, energy=energy, error=error)
    xp = array_namespace(U, S, Vh, *given.values(), ties)
    check_absorb(absorb)
    u, s, vh = checked_factors(xp, U, S, Vh)
    k = s.shape[-1]
    selection = checked_selection(xp, given, min_rank, ties, batch_of(u, s, vh), s)
    most = k if max_rank is None else checked_width("max_rank", max_rank, k)
    bad = failed(xp, s)
    if list(given) == ["rank"] and isinstance(rank, int | np.integer) and ties is None:
        width = min(int(rank), most)
        ranks = xp.asarray(astype(xp, ~bad, xp.int64) * width)
        truncated = TruncatedSVD(u[..., :width], s[..., :width], vh[..., :width, :], ranks)
    else:
        ranks = xp.where(bad, 0, selection.ranks(xp, s, most))
        width = common_width(xp, ranks, bad, k, max_rank)
        mask = (arange(xp, width, s) < ranks[..., None]) | bad[..., None]
        truncated = TruncatedSVD(
            xp.where(mask[..., None, :], u[..., :width], 0),
            xp.where(mask, s[..., :width], 0),
            xp.where(mask[..., None], vh[..., :width, :], 0),
            xp.asarray(ranks),
        )
    return truncated if absorb is None else absorbed(xp, truncated, absorb)


@overload
def low_rank(
    a: ArrayLike, *, absorb: None = None, driver: Driver = "auto", **rules: Unpack[Rules]
) -> TruncatedSVD: ...


@overload
def low_rank(
    a: ArrayLike, *, absorb: Absorb, driver: Driver = "auto", **rules: Unpack[Rules]
) -> TruncatedProduct: ...


@for_libraries
def low_rank(
    a: ArrayLike,
    *,
    rank: ArrayLike | None = None,
    rtol: ArrayLike | None = None,
    atol: ArrayLike | None = None,
    energy: ArrayLike | None = None,
    error: ArrayLike | None = None,
    max_rank: int | None = None,
    min_rank: int = 0,
    ties: ArrayLike | None = None,
    absorb: Absorb | None = None,
    driver: Driver = "auto",
) -> TruncatedSVD | TruncatedProduct:
    """
    Return the best low-rank approximation of every matrix, as its truncated SVD.

    Equivalent to ``truncate(*svd(a, full_matrices=False), ...)``. `reconstruct` returns the matrices.

    Parameters
    ----------
    a : (..., M, N) array_like
        Matrices, as `svd` takes them.
    rank, rtol, atol, energy, error, max_rank, min_rank, ties, absorb : optional
        At least one rule, and the rest, as in `truncate`.
    driver : optional
        As in `svd`.

    Returns
    -------
    TruncatedSVD, or TruncatedProduct with `absorb`
        As `truncate` returns them.

    Raises
    ------
    LinAlgError
        If `a` has fewer than two dimensions.
    ValueError, TypeError
        As `truncate`.

    Examples
    --------
    >>> import gpusvd
    >>> t = gpusvd.low_rank([[1, 1], [1, 1]], rtol=1e-6)
    >>> gpusvd.reconstruct(*t).round(12)
    array([[1., 1.],
           [1., 1.]])
    >>> t.U.shape, t.rank
    ((2, 1), array(1))
    """
    given = given_rules(rank=rank, rtol=rtol, atol=atol, energy=energy, error=error)
    xp = array_namespace(a, *given.values(), ties)
    a = matrices(xp, a)
    checked_selection(xp, given, min_rank, ties, a.shape[:-2], a)  # before the work is done
    check_absorb(absorb)
    u, s, vh = decompose(xp, a, driver)
    rules: Any = given | {"max_rank": max_rank, "min_rank": min_rank, "ties": ties}
    truncated = truncate(u, s, vh, **rules)
    return truncated if absorb is None else absorbed(xp, truncated, absorb)


@for_libraries
def reconstruct(U: ArrayLike, S: ArrayLike, Vh: ArrayLike, rank: ArrayLike | None = None) -> Array:
    """
    Return U diag(S) Vh of every matrix, or of its leading `rank` singular values.

    Σ σᵢ uᵢ vᵢᴴ is computed as one product, after the smaller of U and Vh has been scaled by S. That takes
    min(M, N) R numbers of workspace for each matrix of rank R; with NumPy, for 1 MiB of matrices at a time.

    Parameters
    ----------
    U, S, Vh : (..., M, K), (..., K) and (..., K, N) array_like
        The factors as `svd`, `truncate` or `low_rank` return them; full or thin U and Vh.
    rank : int or (...) array_like of integers, optional
        Number of singular values to use: a number for all matrices, or an array that broadcasts against the
        batch. Default: all. An int reduces the work; an array does not.

    Returns
    -------
    (..., M, N) array
        The matrices, in the dtype of U and Vh; float16 is computed in float32. NaN factors give a NaN
        matrix and leave the others alone. With an int rank of 0 all matrices are zero, even those.

    Raises
    ------
    ValueError
        For a rank that does not broadcast, a negative rank in host memory, and U, S and Vh whose shapes do
        not match.
    TypeError
        For ranks that are not integers, dtypes that `svd` does not take, and arrays of different libraries.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> U, S, Vh = gpusvd.svd(np.diag([10.0, 3.0, 1.0]))
    >>> gpusvd.reconstruct(U, S, Vh, rank=2)
    array([[10.,  0.,  0.],
           [ 0.,  3.,  0.],
           [ 0.,  0.,  0.]])
    """
    xp = array_namespace(U, S, Vh, rank)
    u, s, vh = checked_factors(xp, U, S, Vh)
    dtype = xp.result_type(u.dtype, vh.dtype)
    u, s, vh = _cut(xp, u, s, vh, rank)
    with quiet():
        return astype(xp, product(widened(xp, u), widened(xp, s), widened(xp, vh)), dtype)


@for_libraries
def rank_one_terms(U: ArrayLike, S: ArrayLike, Vh: ArrayLike, rank: ArrayLike | None = None) -> Array:
    """
    Return the rank-one terms σᵢ uᵢ vᵢᴴ that sum to each matrix.

    Parameters
    ----------
    U, S, Vh : (..., M, K), (..., K) and (..., K, N) array_like
        The factors, as in `reconstruct`.
    rank : int or (...) array_like of integers, optional
        Number of terms, as in `reconstruct`. With an array, the terms of a matrix beyond its rank are zero.

    Returns
    -------
    (..., R, M, N) array
        The terms, largest first: R times as many numbers as the matrices. Their sum over axis -3 is
        ``reconstruct(U, S, Vh, rank)``.

    Raises
    ------
    ValueError, TypeError
        As `reconstruct`.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> terms = gpusvd.rank_one_terms(*gpusvd.svd(np.diag([10.0, 3.0])))
    >>> terms[1] + 0
    array([[0., 0.],
           [0., 3.]])
    """
    xp = array_namespace(U, S, Vh, rank)
    u, s, vh = checked_factors(xp, U, S, Vh)
    dtype = xp.result_type(u.dtype, vh.dtype)
    u, s, vh = _cut(xp, u, s, vh, rank)
    with quiet():
        u, vh = in_c_order(xp, widened(xp, u)), in_c_order(xp, widened(xp, vh))
        columns = transpose(u * widened(xp, s)[..., None, :])
        return astype(xp, columns[..., None] * vh[..., None, :], dtype)


@for_libraries
def truncation_error(
    S: ArrayLike, rank: ArrayLike, norm: Literal["fro", "spectral", "nuclear"] = "fro"
) -> Array:
    """
    Return the error of the best rank-k approximation of every matrix, from its singular values.

    By Eckart, Young and Mirsky ‖A - A_k‖ is (σ²ₖ₊₁ + ... + σ²_K)^½ in the Frobenius norm, σₖ₊₁ in the
    spectral norm, and σₖ₊₁ + ... + σ_K in the nuclear norm.

    Parameters
    ----------
    S : (..., K) array_like
        All singular values in descending order, as `svdvals` returns them.
    rank : int or (...) array_like of integers
        The rank k: a number for all matrices, or an array that broadcasts against the batch.
    norm : {"fro", "spectral", "nuclear"}, optional
        The norm in which the error is measured.

    Returns
    -------
    (...) array
        The errors, in the dtype of S; 0 if k >= K, NaN where S is NaN. Squares do not over- or underflow.

    Raises
    ------
    ValueError
        For another `norm`, a rank that does not broadcast, and a negative rank in host memory.
    TypeError
        For ranks that are not integers.

    References
    ----------
    C. Eckart and G. Young, "The approximation of one matrix by another of lower rank", Psychometrika 1(3),
    1936, pp. 211-218. L. Mirsky as in `truncate`.

    Examples
    --------
    >>> import gpusvd
    >>> S = [10.0, 3.0, 1.0]
    >>> float(gpusvd.truncation_error(S, 1)) ** 2
    10.000000000000002
    >>> gpusvd.truncation_error(S, [0, 1, 2, 3], norm="spectral")
    array([10.,  3.,  1.,  0.])
    """
    if norm not in ("fro", "spectral", "nuclear"):
        raise ValueError(f"norm must be 'fro', 'spectral' or 'nuclear', not {norm!r}")
    xp = array_namespace(S, rank)
    values = checked_values(xp, S)
    k = checked_rule(xp, "rank", rank, values.shape[:-1], values)
    rest = widened(xp, values)
    rest = xp.where(_within_rank(xp, rest, k[..., None]) & ~xp.isnan(rest), 0, rest)
    with quiet():  # the sum may overflow
        if norm == "fro":
            top = _largest(xp, without_gradient(rest))
            scale = xp.where((top > 0) & (top < math.inf), top, 1)
            error = root(xp, xp.sum((rest / scale[..., None]) ** 2, axis=-1)) * scale
        else:
            error = _largest(xp, rest) if norm == "spectral" else xp.sum(rest, axis=-1)
        return astype(xp, error, values.dtype)


@for_libraries
def storage_ratio(m: int, n: int, rank: ArrayLike) -> Array:
    """
    Return the storage of rank-k factors relative to that of the m x n matrix.

    The ratio k (m + n + 1) / (m n) is below 1 if k < m n / (m + n + 1).

    Parameters
    ----------
    m, n : int
        Rows and columns.
    rank : int or (...) array_like of integers
        The rank k.

    Returns
    -------
    (...) array of float64
        The ratios; 0 for empty matrices.

    Raises
    ------
    ValueError
        For negative sizes, and a negative rank in host memory.
    TypeError
        For ranks that are not integers.

    Examples
    --------
    >>> import gpusvd
    >>> float(gpusvd.storage_ratio(100, 50, 5))
    0.151
    """
    m, n = checked_size("m", m), checked_size("n", n)
    xp = array_namespace(rank)
    k = astype(xp, checked_rule(xp, "rank", rank, (), None), xp.float64)
    return k * ((m + n + 1) / (m * n) if m * n else 0.0)


# The rules: each takes a limit (..., 1) and returns a mask (..., K) of the singular values to keep.


def _within_rank(xp: Namespace, S: Array, rank: Array) -> Array:
    return arange(xp, S.shape[-1], S) < rank


def _above_share(xp: Namespace, S: Array, share: Array) -> Array:
    """Keep σₖ if it and all smaller values together hold more than a share of the energy."""
    squares = relative_squares(xp, S)
    from_here = xp.flip(cumulative_sum(xp, xp.flip(squares, axis=-1)), axis=-1)
    share = share * (1 + 8 * eps(xp, S))
    # Squares far below the largest underflow; with a share of 0 they must be kept all the same.
    return xp.where(share > 0, from_here > share * leading(from_here), S > 0)


def _energy(xp: Namespace, S: Array, energy: Array) -> Array:
    # 1 - energy is exact but inherits the rounding error of energy, half an ulp.
    share = xp.where(energy < 1, 1 - energy + float(xp.finfo(energy.dtype).eps) / 2, 0)
    return _above_share(xp, S, share)


_RULES: dict[str, Callable[[Namespace, Array, Array], Array]] = {
    "rank": _within_rank,
    "rtol": lambda xp, S, rtol: significant(xp, S, rtol[..., 0]),
    "atol": lambda xp, S, atol: atol < S,
    "energy": _energy,
    "error": lambda xp, S, error: _above_share(xp, S, xp.where(error < 1, error, 1) ** 2),
}


def given_rules(**rules: Any) -> dict[str, Any]:
    """Return the rules that are not None, by name; raise ValueError if there is none."""
    given = {rule: value for rule, value in rules.items() if value is not None}
    if not given:
        raise ValueError("give at least one of rank, rtol, atol, energy and error")
    return given


class Selection(NamedTuple):
    """The checked limits (...) of all rules, the least rank, and the relative width (...) of multiplets."""

    limits: dict[str, Array]
    min_rank: int
    ties: Array | None

    def ranks(self, xp: Namespace, S: Array, most: int) -> Array:
        """Return how many values (...) to keep of each matrix, at most `most`."""
        kept = {rule: count(xp, _RULES[rule](xp, S, limit[..., None])) for rule, limit in self.limits.items()}
        cap = xp.minimum(kept.pop("rank"), most) if "rank" in kept else most
        ranks = reduce(xp.minimum, kept.values()) if kept else cap
        ranks = xp.minimum(xp.maximum(ranks, min(self.min_rank, most)), cap)
        if self.ties is None or S.shape[-1] < 2:
            return ranks
        return _beside_multiplets(xp, S, ranks, cap, self.min_rank, self.ties)

    def of(self, rows: Array) -> "Selection":
        """Return the selection for some matrices of a batch (B,)."""

        def some(limit: Array) -> Array:
            return limit[rows] if limit.ndim else limit

        ties = None if self.ties is None else some(self.ties)
        return Selection({name: some(limit) for name, limit in self.limits.items()}, self.min_rank, ties)


def checked_selection(
    xp: Namespace,
    given: dict[str, Any],
    min_rank: int,
    ties: Any,
    batch: tuple[int, ...],
    beside: Array | None,
) -> Selection:
    """Return the rules with their values as arrays; raise, with the name of the argument, for a wrong one."""
    limits_of = {rule: checked_rule(xp, rule, value, batch, beside) for rule, value in given.items()}
    least = checked_int(min_rank, f"min_rank must be a non-negative int, not {min_rank!r}")
    return Selection(limits_of, least, None if ties is None else limits(xp, "ties", ties, batch, beside))


def _beside_multiplets(
    xp: Namespace, S: Array, ranks: Array, cap: Array | int, min_rank: int, ties: Array
) -> Array:
    """Return the ranks moved to where no multiplet is cut: up if `cap` allows it, otherwise down, unless too
    few values would remain."""
    k = S.shape[-1]
    places = arange(xp, k, S)[1:]
    uncut = apart(xp, S, ties[..., None])
    up = xp.min(xp.where(uncut & (places >= ranks[..., None]), places, k), axis=-1)
    down = xp.max(xp.where(uncut & (places <= ranks[..., None]), places, 0), axis=-1)
    moved = xp.where(up <= cap, up, xp.where(down >= max(1, min_rank), down, ranks))
    return xp.where(ranks == 0, 0, moved)


def check_absorb(absorb: Any) -> None:
    """Raise ValueError unless `absorb` is None or the name of a side."""
    if not is_one_of(absorb, (None, "left", "right", "both")):
        raise ValueError(f"absorb must be None, 'left', 'right' or 'both', not {absorb!r}")


def absorbed(xp: Namespace, truncated: TruncatedSVD, absorb: Absorb) -> TruncatedProduct:
    """Return the two factors, with the singular values multiplied into one or their roots into both."""
    u, s, vh, rank = truncated
    left, right, values = widened(xp, u), widened(xp, vh), widened(xp, s)
    if absorb == "both":
        values = root(xp, values)
    with quiet():
        if absorb != "right":
            left = left * values[..., None, :]
        if absorb != "left":
            right = values[..., None] * right
        return TruncatedProduct(astype(xp, left, u.dtype), astype(xp, right, vh.dtype), s, rank)


def checked_rule(xp: Namespace, rule: str, value: Any, batch: tuple[int, ...], beside: Array | None) -> Array:
    """Return the value of a rule as an array, of integers for `rank`; raise if it is out of range."""
    array = numbers(xp, value, beside)
    if rule == "rank" and not is_integer(xp, array):
        raise TypeError(f"rank must be integers, not {array.dtype}")
    limit = limits(xp, rule, value, batch, beside)
    if rule == "energy" and on_host(value) and not (np.asarray(value) <= 1).all():
        raise ValueError(f"energy must be from 0 to 1, not {value!r}")
    return array if rule == "rank" else limit


def _cut(xp: Namespace, u: Array, s: Array, vh: Array, rank: Any) -> tuple[Array, Array, Array]:
    """Return the factors cut to an int rank, or with S set to zero beyond the rank of each matrix."""
    if rank is None:
        return u, s, vh
    k = checked_rule(xp, "rank", rank, batch_of(u, s, vh), s)
    if isinstance(rank, int | np.integer):
        width = min(int(rank), s.shape[-1])
        return u[..., :width], s[..., :width], vh[..., :width, :]
    return u, xp.where(_within_rank(xp, s, k[..., None]) | xp.isnan(s), s, 0), vh


def _largest(xp: Namespace, x: Array) -> Array:
    """Return the maximum along the last axis, 0 if that is empty."""
    return xp.max(x, axis=-1) if x.shape[-1] else xp.sum(x, axis=-1)
