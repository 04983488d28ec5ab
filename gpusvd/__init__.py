"""Singular value decompositions of many small matrices at once."""

from gpusvd._driver import explain
from gpusvd._results import SVDExResult, SVDResult
from gpusvd._svd import svd, svd_ex, svdvals
from gpusvd._warmup import warmup

__version__ = "0.1.0.dev0"

__all__ = ["SVDExResult", "SVDResult", "__version__", "explain", "svd", "svd_ex", "svdvals", "warmup"]
