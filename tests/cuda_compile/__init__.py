"""Compile CUDA kernels for GPUs that are not there, and read from the machine code what they cost.

numba-cuda makes PTX, and `ptxas` and `nvdisasm` of the extra `test` turn it into machine code and back into
text: no GPU and no driver. Only on Linux, where the extra brings them.

    python -m tests.cuda_compile [--arch sm_90] [word ...]     prints what kernels of these names cost
    python -m tests.cuda_compile --write [word ...]            writes it to tests/cuda_budgets.json

`registry.cuda_kernels` names the kernels; `tests/cuda/test_budgets.py` holds them to the table.
"""

from . import examples, sass, table
from .cost import ARCHITECTURES, Cost, cost
from .registry import Kernel, cuda_kernels

__all__ = ["ARCHITECTURES", "Cost", "Kernel", "cost", "cuda_kernels", "examples", "sass", "table"]
