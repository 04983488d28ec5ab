"""Truncation of blocks of several sizes, each by itself or all by one rule."""

from collections.abc import Iterable
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike

from gpusvd._base.arrays import array_namespace, device_of, to_host
from gpusvd._base.dispatch import for_libraries, refuse_dask
from gpusvd._base.results import Array, SVDResult
from gpusvd._layer.factors import checked_factors
from gpusvd._layer.truncate import (
    Absorb,
    CommonRules,
    Selection,
    TruncatedProduct,
    TruncatedSVD,
    absorbed,
    check_absorb,
    checked_selection,
    given_rules,
)
from gpusvd._layer.values import failed
from gpusvd._svd.ragged import RaggedResult

Blocks = RaggedResult[SVDResult] | Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]]


class _Rules(CommonRules, total=False):
    """The keywords that no overload of `truncate_ragged` depends on."""

    across: bool


@overload
def truncate_ragged(
    blocks: Blocks, *, absorb: None = None, **rules: Unpack[_Rules]
) -> list[TruncatedSVD]: ...


@overload
def truncate_ragged(blocks: Blocks, *, absorb: Absorb, **rules: Unpack[_Rules]) -> list[TruncatedProduct]: ...


@for_libraries
def truncate_ragged(
    blocks: Blocks,
    *,
    across: bool = False,
    rank: ArrayLike | None = None,
    rtol: ArrayLike | None = None,
    atol: ArrayLike | None = None,
    energy: ArrayLike | None = None,
    error: ArrayLike | None = None,
    min_rank: int = 0,
    ties: ArrayLike | None = None,
    absorb: Absorb | None = None,
) -> list[TruncatedSVD] | list[TruncatedProduct]:
    """
    Keep the leading singular values of blocks of several sizes, of each block or of all together.

    With ``across=True`` the blocks count as one block-diagonal matrix, such as a tensor with conserved
    quantum numbers has: the largest singular values of all are kept, whichever block they are in, `error` is
    the relative error of the whole, and `rank` the sum of all ranks. The result is the best approximation of
    the whole. Otherwise every block is truncated by itself, as by `truncate`.

    Parameters
    ----------
    blocks : RaggedResult or iterable of (U, S, Vh)
        The factors of every block, as `svd_ragged` or `svd` returns them, full or thin.
    across : bool, optional
        Whether the rules are for all blocks together.
    rank, rtol, atol, energy, error, ties : optional
        Rules, at least one, and the width of multiplets, as in `truncate`: a number for all blocks, or,
        unless ``across=True``, one for each. With ``across=True`` a multiplet may lie in several blocks.
    min_rank, absorb : optional
        As in `truncate`.

    Returns
    -------
    list of TruncatedSVD, or of TruncatedProduct with `absorb`
        For each block U (M, R), S (R,), Vh (R, N), as views without `absorb`, and its rank, the int R, which
        may be 0. A block whose singular values are NaN has rank 0 and one column of NaN, and counts for
        nothing with ``across=True``.

    Raises
    ------
    ValueError, TypeError
        As `truncate`; errors in a block name it by its index. TypeError also for results of
        ``svd_ragged(..., compute_uv=False)``.

    Notes
    -----
    The rules compare the singular values in host memory, in the common dtype of all blocks.

    References
    ----------
    S. Singh, R. N. C. Pfeifer and G. Vidal, "Tensor network states and algorithms in the presence of a global
    U(1) symmetry", Physical Review B 83, 2011, 115125.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> blocks = gpusvd.svd_ragged([np.diag([8.0, 1.0]), np.diag([4.0, 2.0, 0.5])])
    >>> [t.rank for t in gpusvd.truncate_ragged(blocks, rank=3, across=True)]
    [1, 2]
    >>> [t.S for t in gpusvd.truncate_ragged(blocks, error=0.15)]
    [array([8.]), array([4., 2.])]
    """
    given = given_rules(rank=rank, rtol=rtol, atol=atol, energy=energy, error=error)
    check_absorb(absorb)
    factors, counts, values = _collected(blocks)
    for name, value in (given | {"ties": ties}).items():
        if np.ndim(value) > (0 if across else 1):
            expected = "a number" if across else "a number, or one for each block"
            raise ValueError(f"{name} of shape {np.shape(value)} must be {expected}")
    selection = checked_selection(np, given, min_rank, ties, () if across else (len(factors),), None)
    bad = failed(np, values)
    ranks_of = _ranks_across if across else _ranks_by_block
    ranks = ranks_of(values, np.where(bad, 0, counts), selection)
    widths = np.where(bad, np.minimum(1, counts), ranks)
    truncated = [
        TruncatedSVD(u[:, :width], s[:width], vh[:width, :], rank)
        for (u, s, vh), width, rank in zip(factors, widths.tolist(), ranks.tolist(), strict=True)
    ]
    return truncated if absorb is None else [_absorbed(t, absorb) for t in truncated]


def _absorbed(truncated: TruncatedSVD, absorb: Absorb) -> TruncatedProduct:
    with device_of(truncated.U):
        return absorbed(array_namespace(truncated.U), truncated, absorb)


def _ranks_by_block(values: Array, counts: Array, selection: Selection) -> Array:
    """Return the ranks (B,) of blocks with `counts` singular values each, padded to (B, K)."""
    ranks = np.zeros_like(counts)
    for k in np.unique(counts):
        rows = np.flatnonzero(counts == k)
        ranks[rows] = selection.of(rows).ranks(np, values[rows, :k], int(k))
    return ranks


def _ranks_across(values: Array, counts: Array, selection: Selection) -> Array:
    """Return the ranks of the same blocks if the rules are for all their values together."""
    inside = np.arange(values.shape[1]) < counts[:, np.newaxis]
    merged = values[inside]
    order = np.argsort(-merged, kind="stable")
    total = selection.ranks(np, merged[order], merged.size)
    return np.bincount(np.nonzero(inside)[0][order[:total]], minlength=len(values))


def _collected(blocks: Any) -> tuple[list[SVDResult], Array, Array]:
    """Return the factors of all blocks, the numbers of their values (B,), and the values padded to (B, K)."""
    parts: list[tuple[Any, Any]]  # indices of blocks, and their singular values
    if isinstance(blocks, RaggedResult):
        factors, buckets = list(blocks), blocks.buckets
        if not all(isinstance(batch, SVDResult) for _, batch in buckets):
            raise TypeError("blocks are singular values alone, expected U, S and Vh of each")
        parts = [(indices, batch[1]) for indices, batch in buckets]
    elif not isinstance(blocks, Iterable):
        raise TypeError(f"blocks is a {type(blocks).__name__}, expected what svd_ragged returns, or a list")
    else:
        factors = [_block(index, block) for index, block in enumerate(blocks)]
        parts = [(index, block.S) for index, block in enumerate(factors)]
    parts = [(which, to_host(array_namespace(s), s)) for which, s in parts]
    counts = np.zeros(len(factors), np.int64)
    for which, s in parts:
        counts[which] = s.shape[-1]
    dtype = np.result_type(np.float16, *(s.dtype for _, s in parts))
    values = np.zeros((len(factors), counts.max(initial=0)), dtype)
    for which, s in parts:
        values[which, : s.shape[-1]] = s
    return factors, counts, values


def _block(index: int, block: Any) -> SVDResult:
    """Return the thin factors of a block; errors name it by its index."""
    try:
        u, s, vh = block
    except (TypeError, ValueError):
        raise TypeError(f"blocks[{index}] is no tuple of U, S and Vh; a batch goes to truncate") from None
    refuse_dask("truncate_ragged", u, s, vh)
    xp = array_namespace(u, s, vh)
    try:
        with device_of(u, s, vh):
            factors = SVDResult(*checked_factors(xp, u, s, vh))
    except (TypeError, ValueError) as error:
        raise type(error)(f"blocks[{index}]: {error}") from None
    if factors.U.ndim != 2 or factors.S.ndim != 1 or factors.Vh.ndim != 2:
        raise ValueError(
            f"blocks[{index}] is a batch, which truncate takes; expected the factors of one matrix"
        )
    return factors
