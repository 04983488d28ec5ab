"""`gpusvd svd`: the factors of an array of matrices, from one file into another."""

import math
import time
from pathlib import Path

import numpy as np
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._check import Driver
from gpusvd._commands import factors
from gpusvd._commands.errors import CommandError, reason
from gpusvd._commands.files import check_apart, replacing, size
from gpusvd._commands.report import print_driver, print_machine
from gpusvd._results import Array


def run(
    source: Path,
    output: Path,
    *,
    full_matrices: bool,
    values_only: bool,
    driver: Driver,
    threads: int | None,
) -> None:
    """Decompose the matrices in a `.npy` file and write their factors as `.npz`.

    Raises CommandError, with status 1 and the file written, if some matrices have no factors.
    """
    check_apart({"the matrices": source, "--output": output})
    with replacing(output) as file:
        a = read(source)
        start = time.perf_counter()
        try:
            how = gpusvd.explain(
                a.shape,
                a.dtype,
                full_matrices=full_matrices,
                compute_uv=not values_only,
                driver=driver,
                threads=threads,
            )
            if values_only:
                arrays = {"S": gpusvd.svdvals(a, driver=driver, threads=threads)}
            else:
                arrays = gpusvd.svd(a, full_matrices, driver=driver, threads=threads)._asdict()
        except (LinAlgError, TypeError, ValueError) as error:
            raise CommandError(f"cannot decompose {source}: {reason(error)}") from error
        seconds = time.perf_counter() - start
        factors.write(file, factors.SVD, arrays)

    m, n = a.shape[-2:]
    count = math.prod(a.shape[:-2])
    print_machine()
    print(f"batch    {source}: {count} matrices of {m} x {n}, {a.dtype}")
    print_driver(how)
    print(f"factors  {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}, {how.dtype}")
    print(
        f"time     {seconds:.3f} s to decompose, loading or compiling kernels included; "
        f"{count / seconds:,.0f} matrices/s"
    )
    print(f"written  {output}, {size(output)}")
    failed = int(np.count_nonzero(np.isnan(arrays["S"]).any(axis=-1)))
    if failed:
        raise CommandError(
            f"{failed} of {count} matrices have a NaN or Inf, or did not converge: their factors in {output} "
            "are NaN",
            status=1,
        )


def read(source: Path) -> Array:
    """Return the array in a `.npy` file, mapped: it need not fit into memory."""
    try:
        with source.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it is not a .npy file, as numpy.save writes one array")
        mapped: Array = np.load(source, mmap_mode="r", allow_pickle=False)
        return mapped
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {source}: {reason(error)}") from error
