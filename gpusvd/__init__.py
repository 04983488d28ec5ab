"""Singular value decompositions of many small matrices at once."""

from typing import TYPE_CHECKING

from gpusvd._base.results import SVDExResult, SVDResult
from gpusvd._base.version import __version__
from gpusvd._layer.noise import MPPCAResult, mppca_rank, optimal_shrinkage
from gpusvd._layer.partial import TopSVDResult, svd_product, svd_top
from gpusvd._layer.pca import AffineSubspace, PCAResult, best_fit_subspace, pca
from gpusvd._layer.polar import (
    KabschResult,
    PolarResult,
    ProcrustesResult,
    SimilarityResult,
    kabsch,
    nearest_orthogonal,
    nearest_rotation,
    polar,
    procrustes,
)
from gpusvd._layer.ragged import truncate_ragged
from gpusvd._layer.solve import LstsqResult, inv, lstsq, pinv, ridge
from gpusvd._layer.spectrum import (
    cond,
    effective_rank,
    energy,
    matrix_rank,
    norm,
    optimal_threshold,
    participation_ratio,
    spectral_entropy,
)
from gpusvd._layer.subspaces import (
    Subspace,
    left_null_space,
    null_space,
    orth,
    projector,
    row_space,
    sign_flip,
)
from gpusvd._layer.svt import svt
from gpusvd._layer.truncate import (
    TruncatedProduct,
    TruncatedSVD,
    low_rank,
    rank_one_terms,
    reconstruct,
    storage_ratio,
    truncate,
    truncation_error,
)
from gpusvd._stream.stream import stream
from gpusvd._svd.explain import explain
from gpusvd._svd.ragged import RaggedResult, svd_ragged
from gpusvd._svd.svd import svd, svd_ex, svdvals
from gpusvd._svd.warmup import warmup

if TYPE_CHECKING:
    from gpusvd import dask as dask
    from gpusvd import device as device
    from gpusvd import jax as jax
    from gpusvd import linalg as linalg
    from gpusvd import patches as patches
    from gpusvd import plot as plot
    from gpusvd import torch as torch

__all__ = [
    "AffineSubspace",
    "KabschResult",
    "LstsqResult",
    "MPPCAResult",
    "PCAResult",
    "PolarResult",
    "ProcrustesResult",
    "RaggedResult",
    "SVDExResult",
    "SVDResult",
    "SimilarityResult",
    "Subspace",
    "TopSVDResult",
    "TruncatedProduct",
    "TruncatedSVD",
    "__version__",
    "best_fit_subspace",
    "cond",
    "effective_rank",
    "energy",
    "explain",
    "inv",
    "kabsch",
    "left_null_space",
    "low_rank",
    "lstsq",
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
    "pinv",
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
    "stream",
    "svd",
    "svd_ex",
    "svd_product",
    "svd_ragged",
    "svd_top",
    "svdvals",
    "svt",
    "truncate",
    "truncate_ragged",
    "truncation_error",
    "warmup",
]


# The modules beside these names, and the library that each needs.
_SUBMODULES = {
    "dask": "dask",
    "device": "numba",
    "jax": "jax",
    "linalg": "numpy",
    "patches": "numpy",
    "plot": "matplotlib",
    "torch": "torch",
}

if not TYPE_CHECKING:  # a type checker that saw this would accept any attribute

    def __getattr__(name):
        # Imported on access: these need optional packages, or are slow to import.
        if name in _SUBMODULES:
            import importlib

            return importlib.import_module(f"gpusvd.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # A shell that completes names evaluates each, so modules whose library is missing are left out.
    from importlib.util import find_spec

    return [*__all__, *(name for name, library in _SUBMODULES.items() if find_spec(library))]
