"""`gpusvd warmup`: compile the CPU kernels ahead of the first call."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from gpusvd._commands.report import print_cache


def run(dtypes: Sequence[str]) -> None:
    """Compile every CPU kernel for these dtypes, and print the folder that keeps them."""
    from gpusvd._cpu.compile import SOLVERS, compiled  # imports LLVM

    for dtype, solver in product(dtypes, SOLVERS):
        compiled(solver, np.dtype(dtype))
    print_cache()
