"""Lines that several commands print."""

import gpusvd
from gpusvd._base.cache import cache_folder
from gpusvd._base.measure import machine
from gpusvd._base.results import Array
from gpusvd._svd.explain import Explanation


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count and its noun: "1 thread", "2 threads"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def print_machine() -> None:
    """Print the versions and the processor that the command ran on."""
    ran_on = machine()
    cores = counted(int(ran_on["cores"]), "core")
    print(f"gpusvd {gpusvd.__version__} on {ran_on['cpu']}, {cores}, {ran_on['system']}")
    print("Python {python}, NumPy {numpy} ({blas}), numba {numba}".format(**ran_on))


def print_patches(a: Array) -> None:
    """Print number and size of a picture's patches, and of their matrices, as `pictures.cut` returns them."""
    rows, columns, patch, n = a.shape
    matrices = counted(rows * columns, "matrix", "matrices")
    print(
        f"batch    {rows} x {columns} patches of {patch} x {patch} pixels: "
        f"{matrices} of {patch} x {n}, {a.dtype}"
    )


def print_driver(how: Explanation) -> None:
    """Print the driver and kernel that take the batch, before they do."""
    threads = counted(how.threads, "thread")
    print(f"driver   {how.driver}: {how.kernel} ({how.size_class}), {threads}; {how.why}", flush=True)


def print_cache() -> None:
    """Print the folder for the machine code of the CPU kernels."""
    from gpusvd._cpu.compile import SOURCES  # imports LLVM

    folder = cache_folder(SOURCES)
    print(f"cache    {folder or 'none: no folder is writable, so kernels are compiled in each process'}")
