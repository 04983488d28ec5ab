"""What a stream does with a chunk: decompose it, or apply a function to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from gpusvd._base.blas import shared
from gpusvd._base.checks import Expected, expected_results
from gpusvd._base.results import Array, SVDResult, failures
from gpusvd._cpu.lapack import sizes_of
from gpusvd._stream.source import Where
from gpusvd._svd.decompose import Factors, decompose
from gpusvd._svd.options import Options

Result = SVDResult | Array


class Decomposition:
    """The SVD of a chunk."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def __call__(self, a: Any, out: Any = None) -> Factors:
        """
        Return the factors of a chunk, and what happened if `errors` asks for it.

        Without `out`, matrices without factors raise nothing here: `result` does, once the chunk is back from
        the device.
        """
        options = self.options
        with_info = options.errors == "raise" and out is None
        return decompose(a, options._replace(errors="nan") if with_info else options, out, with_info)

    def result(self, where: Where, factors: Factors) -> Result:
        """Return what `svd` returns; raise LinAlgError for matrices without factors if asked to."""
        u, s, vh, info = factors
        if info is not None and self.options.errors == "raise" and not info.converged.all():
            with naming(where):
                raise LinAlgError(failures(info.converged))
        return s if u is None or vh is None else SVDResult(u, s, vh)

    def blas(self, a: Array) -> AbstractContextManager[object]:
        """Limit BLAS as for a batch, so that the bits of the results do not depend on a chunk's length."""
        options = self.options
        if options.driver != "vendor":
            return nullcontext()
        full = options.full_matrices if options.compute_uv else None
        return shared(sizes_of((2, *a.shape[-2:]), a.dtype, full), 1)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint remembers of it."""
        options = self.options
        return {
            "full_matrices": options.full_matrices,
            "compute_uv": options.compute_uv,
            "hermitian": options.hermitian,
            "driver": options.driver,
        }

    def room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Sequence[Expected]:
        """Return the results, which are known beforehand."""
        return expected_results(shape, dtype, self.options.full_matrices, self.options.compute_uv)


class Application:
    """A function of a chunk, on the CPU or a GPU, whose results are arrays with the batch of the chunk."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, a: Any, out: Any = None) -> Any:
        """Return what the function returns; `out` is written when it is known to fit."""
        return self.function(a)

    def result(self, where: Where, result: Any) -> Any:
        """Return the result as it is."""
        return result

    def blas(self, a: Array) -> AbstractContextManager[object]:
        """Limit BLAS as for a batch."""
        return shared(sizes_of((2, *a.shape[-2:]), a.dtype, False), 1)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint remembers of it: the name and plain options, since functions cannot be
        compared."""
        function, options = self.function, {}
        if isinstance(function, partial):
            given = {str(i): x for i, x in enumerate(function.args)} | function.keywords
            plain = bool | int | float | complex | str | None
            options = {name: repr(x) for name, x in given.items() if isinstance(x, plain)}
            function = function.func
        name = getattr(function, "__qualname__", type(function).__name__)
        return {"function": name, "options of function": options}

    def room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Sequence[Expected]:
        """Return a guess of what takes memory: factors, a result of the chunk's size, and twice as much."""
        return 2 * [*expected_results(shape, dtype, False, True), ("result", shape, dtype)]


Task = Decomposition | Application


@contextmanager
def naming(where: Where) -> Iterator[None]:
    """Name the chunk in a LinAlgError raised in this context."""
    try:
        yield
    except LinAlgError as error:
        raise LinAlgError(f"in source[{name_of(where)}]: {error}") from error


def name_of(where: Where) -> str:
    """Return the index of a chunk as it is written in brackets."""
    parts = where if isinstance(where, tuple) else (where,)
    return ", ".join(f"{p.start}:{p.stop}" if isinstance(p, slice) else str(p) for p in parts)
