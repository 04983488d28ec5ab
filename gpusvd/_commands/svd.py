"""`gpusvd svd`: decompose the matrices in one file and write their factors to another."""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._base.checks import Driver, expected_results, factor_dtype
from gpusvd._base.results import Array
from gpusvd._commands import factors
from gpusvd._commands.errors import CommandError, reason
from gpusvd._commands.files import check_apart, replacing, size
from gpusvd._commands.report import counted, print_driver, print_machine


def run(
    source: Path,
    output: Path,
    *,
    full_matrices: bool,
    values_only: bool,
    driver: Driver,
    threads: int | None,
) -> None:
    """Decompose the matrices in a `.npy` file and write their factors as `.npz`, chunk by chunk.

    Raises CommandError with status 1, after writing the file, if some matrices have no factors.
    """
    check_apart({"the matrices": source, "--output": output})
    if output.suffix.lower() == ".npy":
        raise CommandError(f"cannot write {output}: factors are written as .npz; name it {output.stem}.npz")
    with replacing(output) as file, ExitStack() as stack:
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
        except (LinAlgError, TypeError, ValueError) as error:
            raise CommandError(f"cannot decompose {source}: {reason(error)}") from error
        results = expected_results(a.shape, factor_dtype(a.dtype), full_matrices, not values_only)
        m, n = a.shape[-2:]
        count = math.prod(a.shape[:-2])
        print_machine()
        print(f"batch    {source}: {counted(count, 'matrix', 'matrices')} of {m} x {n}, {a.dtype}")
        print(f"factors  {', '.join(f'{name} {shape}' for name, shape, _ in results)}, {how.dtype}")
        print_driver(how)
        # An .npz file stores its arrays one after another, but each chunk yields a piece of every array.
        parts = [stack.enter_context(tempfile.TemporaryFile(dir=output.resolve().parent)) for _ in results]
        failed = 0

        def keep(_: object, result: Any) -> None:
            nonlocal failed
            arrays = result if isinstance(result, tuple) else (result,)
            for part, array in zip(parts, arrays, strict=True):
                part.write(np.ascontiguousarray(array).data if array.size else b"")
            failed += int(np.count_nonzero(np.isnan(arrays[-2 if len(arrays) == 3 else 0]).any(axis=-1)))

        with bar() as progress:
            gpusvd.stream(
                a if a.ndim > 2 else a[np.newaxis],
                keep,
                full_matrices=full_matrices,
                compute_uv=not values_only,
                driver=driver,
                threads=threads,
                progress=progress,
            )
        entries = {
            name: (shape, dtype, part) for (name, shape, dtype), part in zip(results, parts, strict=True)
        }
        factors.write_parts(file, factors.SVD, entries)
        seconds = time.perf_counter() - start

    print(
        f"time     {seconds:.3f} s to read, decompose and write, loading or compiling kernels included; "
        f"{count / seconds:,.0f} matrices/s"
    )
    print(f"written  {output}, {size(output)}")
    if failed:
        raise CommandError(
            f"{failed} of {count} matrices contained NaN or Inf, or did not converge; their factors in "
            f"{output} are NaN",
            status=1,
        )


@contextmanager
def bar(width: int = 40) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield a callback that draws a progress bar after half a second; None if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    begin = time.monotonic()
    shown = False

    def show(done: int, total: int | None) -> None:
        nonlocal shown
        passed = time.monotonic() - begin
        if not total or (passed < 0.5 and not shown):
            return
        shown = True
        left = passed / done * (total - done)
        full = width * done // total
        print(
            f"\r[{'#' * full}{'.' * (width - full)}] {done / total:4.0%}, {left:.0f} s left ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    try:
        yield show
    finally:
        if shown:
            print(f"\r{' ' * (width + 30)}\r", end="", file=sys.stderr, flush=True)


def read(source: Path) -> Array:
    """Return the array in a `.npy` file as a memory map, which need not fit into memory."""
    try:
        with source.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it is not a .npy file; numpy.save writes one")
        mapped: Array = np.load(source, mmap_mode="r", allow_pickle=False)
        return mapped
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {source}: {reason(error)}") from error
