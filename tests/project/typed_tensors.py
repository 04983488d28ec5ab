"""A user's script with torch, as type checkers see it: `test_types.py` runs mypy and pyright on it."""

from typing import assert_type

import torch
from torch import Tensor

import gpusvd


def script(a: Tensor, with_vectors: bool) -> None:
    assert_type(gpusvd.torch.svd(a), gpusvd.SVDResult[Tensor])
    assert_type(gpusvd.torch.svd(a, full_matrices=False).U, Tensor)
    assert_type(gpusvd.torch.svd(a, compute_uv=False), Tensor)
    assert_type(gpusvd.torch.svd(a, compute_uv=with_vectors), gpusvd.SVDResult[Tensor] | Tensor)
    assert_type(gpusvd.torch.svdvals(a), Tensor)
    assert_type(gpusvd.torch.degenerate(torch.ones(4, 2), 3, 2), Tensor)
    assert_type(gpusvd.torch.lstsq(a, a).x, Tensor)
    assert_type(gpusvd.torch.polar(a).P, Tensor)
    assert_type(gpusvd.torch.kabsch(a, a, scale=True).scale, Tensor)
    assert_type(gpusvd.torch.pca(a).transform(a), Tensor)
    assert_type(gpusvd.torch.reconstruct(*gpusvd.torch.truncate(*gpusvd.torch.svd(a), rank=2)), Tensor)
    assert_type(gpusvd.torch.low_rank(a, rank=2, absorb="left").right, Tensor)
    assert_type(gpusvd.torch.norm(a, "nuc"), Tensor)
