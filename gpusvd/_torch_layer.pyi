"""The functions of the layer, of tensors; written by `python -m tests.support.tensor_stub`."""

from typing import Literal, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from gpusvd import (
    AffineSubspace,
    KabschResult,
    MPPCAResult,
    PCAResult,
    PolarResult,
    ProcrustesResult,
    SimilarityResult,
    Subspace,
    TopSVDResult,
    TruncatedProduct,
    TruncatedSVD,
)
from gpusvd._base.checks import Driver
from gpusvd._layer.truncate import Absorb, Rules

__all__ = [
    "best_fit_subspace",
    "cond",
    "effective_rank",
    "energy",
    "kabsch",
    "left_null_space",
    "low_rank",
    "matrix_rank",
    "mppca_rank",
    "nearest_orthogonal",
    "nearest_rotation",
    "norm",
    "null_space",
    "optimal_shrinkage",
    "optimal_threshold",
    "orth",
    "participation_ratio",
    "pca",
    "polar",
    "procrustes",
    "projector",
    "rank_one_terms",
    "reconstruct",
    "ridge",
    "row_space",
    "sign_flip",
    "spectral_entropy",
    "storage_ratio",
    "svd_top",
    "svt",
    "truncate",
    "truncation_error",
]

def optimal_shrinkage(
    S: Tensor,
    m: int,
    n: int,
    noise: ArrayLike | None = None,
    loss: Literal["frobenius", "spectral", "nuclear"] = "frobenius",
) -> Tensor: ...
def mppca_rank(S: Tensor, m: int, n: int) -> MPPCAResult[Tensor]: ...
def svd_top(
    a: Tensor,
    k: int,
    *,
    n_oversamples: int = 10,
    n_iter: int = 4,
    rng: "int | np.random.Generator" = 0,
    driver: Driver = "auto",
) -> TopSVDResult[Tensor]: ...
def pca(
    x: Tensor,
    n_components: int | None = None,
    energy: ArrayLike | None = None,
    whiten: bool = False,
    *,
    weights: ArrayLike | None = None,
    driver: Driver = "auto",
) -> PCAResult[Tensor]: ...
def best_fit_subspace(x: Tensor, k: int, *, driver: Driver = "auto") -> AffineSubspace[Tensor]: ...
def polar(
    a: Tensor, side: Literal["right", "left"] = "right", *, driver: Driver = "auto"
) -> PolarResult[Tensor]: ...
def nearest_orthogonal(a: Tensor, *, driver: Driver = "auto") -> Tensor: ...
def nearest_rotation(a: Tensor, *, driver: Driver = "auto") -> Tensor: ...
def procrustes(
    x: Tensor, y: ArrayLike, weights: ArrayLike | None = None, *, driver: Driver = "auto"
) -> ProcrustesResult[Tensor]: ...
@overload
def kabsch(
    x: Tensor,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    scale: Literal[False] = False,
    driver: Driver = "auto",
) -> KabschResult[Tensor]: ...
@overload
def kabsch(
    x: Tensor,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    scale: Literal[True],
    driver: Driver = "auto",
) -> SimilarityResult[Tensor]: ...
@overload
def kabsch(
    x: Tensor, y: ArrayLike, weights: ArrayLike | None = None, *, scale: bool = False, driver: Driver = "auto"
) -> KabschResult[Tensor] | SimilarityResult[Tensor]: ...
def ridge(
    a: Tensor,
    b: ArrayLike,
    alpha: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    per_rhs: bool = False,
    driver: Driver = "auto",
) -> Tensor: ...
def energy(S: Tensor) -> Tensor: ...
def spectral_entropy(S: Tensor) -> Tensor: ...
def effective_rank(S: Tensor) -> Tensor: ...
def participation_ratio(S: Tensor) -> Tensor: ...
def matrix_rank(
    a: Tensor,
    tol: ArrayLike | None = None,
    hermitian: bool = False,
    *,
    rtol: ArrayLike | None = None,
    driver: Driver = "auto",
) -> Tensor: ...
def cond(
    a: Tensor, p: Literal["fro", "nuc", 1, -1, 2, -2] | float | None = None, *, driver: Driver = "auto"
) -> Tensor: ...
def norm(
    a: Tensor, ord: Literal["fro", "nuc", 1, -1, 2, -2] | float | None = "fro", *, driver: Driver = "auto"
) -> Tensor: ...
def optimal_threshold(S: Tensor, m: int, n: int, noise: ArrayLike | None = None) -> Tensor: ...
def orth(
    a: Tensor, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace[Tensor]: ...
def row_space(
    a: Tensor, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace[Tensor]: ...
def null_space(
    a: Tensor, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace[Tensor]: ...
def left_null_space(
    a: Tensor, rtol: ArrayLike | None = None, *, max_dim: int | None = None, driver: Driver = "auto"
) -> Subspace[Tensor]: ...
def projector(a: Tensor, rtol: ArrayLike | None = None, *, driver: Driver = "auto") -> Tensor: ...
def sign_flip(U: Tensor, Vh: ArrayLike, u_based_decision: bool = True) -> tuple[Tensor, Tensor]: ...
def svt(a: Tensor, tau: ArrayLike, *, driver: Driver = "auto") -> Tensor: ...
@overload
def truncate(
    U: Tensor, S: ArrayLike, Vh: ArrayLike, *, absorb: None = None, **rules: Unpack[Rules]
) -> TruncatedSVD[Tensor]: ...
@overload
def truncate(
    U: Tensor, S: ArrayLike, Vh: ArrayLike, *, absorb: Absorb, **rules: Unpack[Rules]
) -> TruncatedProduct[Tensor]: ...
@overload
def low_rank(
    a: Tensor, *, absorb: None = None, driver: Driver = "auto", **rules: Unpack[Rules]
) -> TruncatedSVD[Tensor]: ...
@overload
def low_rank(
    a: Tensor, *, absorb: Absorb, driver: Driver = "auto", **rules: Unpack[Rules]
) -> TruncatedProduct[Tensor]: ...
def reconstruct(U: Tensor, S: ArrayLike, Vh: ArrayLike, rank: ArrayLike | None = None) -> Tensor: ...
def rank_one_terms(U: Tensor, S: ArrayLike, Vh: ArrayLike, rank: ArrayLike | None = None) -> Tensor: ...
def truncation_error(
    S: Tensor, rank: ArrayLike, norm: Literal["fro", "spectral", "nuclear"] = "fro"
) -> Tensor: ...
def storage_ratio(m: int, n: int, rank: Tensor) -> Tensor: ...
