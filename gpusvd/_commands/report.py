"""Lines that several commands print."""

import gpusvd
from gpusvd._base.cache import cache_folder
from gpusvd._base.measure import machine
from gpusvd._svd.explain import Explanation


def print_machine() -> None:
    """Print the versions and the processor that the command ran on."""
    ran_on = machine()
    print(f"gpusvd {gpusvd.__version__} on {ran_on['cpu']}, {ran_on['cores']} cores, {ran_on['system']}")
    print("Python {python}, NumPy {numpy} ({blas}), numba {numba}".format(**ran_on))


def print_driver(how: Explanation) -> None:
    """Print the driver and kernel that take the batch, before they do."""
    print(
        f"driver   {how.driver}: {how.kernel} ({how.size_class}), {how.threads} threads; {how.why}",
        flush=True,
    )


def print_cache() -> None:
    """Print the folder for the machine code of the CPU kernels."""
    from gpusvd._cpu.compile import SOURCES  # imports LLVM

    folder = cache_folder(SOURCES)
    print(f"cache    {folder or 'none: no folder is writable, so kernels are compiled in each process'}")
