"""Decompose one chunk of a stream."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from numpy.linalg import LinAlgError

from gpusvd._base.blas import shared
from gpusvd._base.results import Array, SVDResult, failures
from gpusvd._cpu.lapack import sizes_of
from gpusvd._stream.source import Where
from gpusvd._svd.decompose import Factors, decompose
from gpusvd._svd.options import Options

Result = SVDResult | Array


def decompose_chunk(a: Any, options: Options, out: Any = None) -> Factors:
    """Return the factors of a chunk, and what happened if `errors` asks for it.

    Without `out`, matrices without factors raise nothing here: `checked_result` does, once the chunk is back
    from the device.
    """
    with_info = options.errors == "raise" and out is None
    return decompose(a, options._replace(errors="nan") if with_info else options, out, with_info)


def blas_as_in_a_batch(a: Array, options: Options) -> AbstractContextManager[object]:
    """Limit BLAS as for a batch, so that the bits of the results do not depend on a chunk's length."""
    if options.driver != "vendor":
        return nullcontext()
    full = options.full_matrices if options.compute_uv else None
    return shared(sizes_of((2, *a.shape[-2:]), a.dtype, full), 1)


def checked_result(where: Where, factors: Factors, options: Options) -> Result:
    """Return what `svd` returns; raise LinAlgError for matrices without factors if the options say so."""
    u, s, vh, info = factors
    if info is not None and options.errors == "raise" and not info.converged.all():
        with naming(where):
            raise LinAlgError(failures(info.converged))
    return s if u is None or vh is None else SVDResult(u, s, vh)


@contextmanager
def naming(where: Where) -> Iterator[None]:
    """Name the chunk in a LinAlgError raised in this context."""
    try:
        yield
    except LinAlgError as error:
        parts = where if isinstance(where, tuple) else (where,)
        index = ", ".join(f"{p.start}:{p.stop}" if isinstance(p, slice) else str(p) for p in parts)
        raise LinAlgError(f"in source[{index}]: {error}") from error
