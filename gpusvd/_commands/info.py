"""`gpusvd info`: versions, processor, devices, cache folder, and on request the kernel for each size."""

import importlib
import importlib.util
from functools import partial
from typing import Any

import gpusvd
from gpusvd._commands.errors import reason
from gpusvd._commands.report import print_cache, print_machine

SIZES = (2, 3, 4, 8, 16, 32, 48, 64, 96, 128, 256, 512)
DTYPES = ("float32", "float64", "complex64", "complex128")
BATCH = 10_000


def run(kernels: bool) -> None:
    """Print what gpusvd runs on, and on request the kernels that it would choose for square matrices."""
    print_machine()
    first, *rest = devices()
    print(f"GPU      {first}", *(f"         {line}" for line in rest), sep="\n")
    print_cache()
    if kernels:
        print_kernels()


def devices() -> list[str]:
    """Describe the CUDA devices that CuPy finds, or say why there are none."""
    if importlib.util.find_spec("cupy") is None:
        return ["none: CuPy is not installed"]
    try:
        cupy: Any = importlib.import_module("cupy")
        runtime = cupy.cuda.runtime
        found = [runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount())]
    except Exception as error:  # CuPy's own errors, and the loader's for missing libraries
        return [f"none that CuPy can use: {reason(error)}"]
    named = [
        f"{device['name'].decode()}, {device['totalGlobalMem'] / 2**30:.0f} GiB, compute capability "
        f"{device['major']}.{device['minor']}"
        for device in found
    ]
    return [*named, f"CuPy {cupy.__version__}"]


def print_kernels() -> None:
    """Print the kernel for square matrices of each size and dtype, on the CPU and on a GPU."""
    targets = {"NumPy arrays": None, "arrays in GPU memory": "cuda"}
    for where, device in targets.items():
        print(f"\nThin SVD of {BATCH} matrices of n x n, {where}: the kernel that takes them")
        table = [["n", *DTYPES]]
        for n in SIZES:
            of_size = partial(gpusvd.explain, (BATCH, n, n), full_matrices=False, device=device)
            table.append([str(n), *(of_size(dtype).kernel for dtype in DTYPES)])
        for size, *kernels in table:
            print(f"{size:>3}  {''.join(f'{kernel:22}' for kernel in kernels)}".rstrip())
