"""The one path of every decomposition: check, allocate, run a driver, hand back."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError

from gpusvd._base.checks import (
    Expected,
    Taken,
    check_dimensions,
    expected_results,
    factor_dtype,
    outputs_of,
)
from gpusvd._base.results import Array, Info, failures
from gpusvd._svd.options import Options
from gpusvd._svd.places import Place, place_of

_BOOL, _INT32 = np.dtype(np.bool_), np.dtype(np.int32)

Factors = tuple[Array | None, Array, Array | None, Info | None]  # U, S, Vh and Info; None if not asked for


def decompose(a: Any, options: Options, out: Any = None, with_info: bool = False) -> Factors:
    """Return U, S and Vh of every matrix of `a`, as `svd` does, and on request what happened to each."""
    place = place_of(a, options.device)
    matrices = place.asarray(a)
    check_dimensions(matrices.shape, options.hermitian)
    dtype = factor_dtype(matrices.dtype)
    expected = expected_results(matrices.shape, dtype, options.full_matrices, options.compute_uv)
    outputs = None if out is None else place.checked_out(out, expected, matrices)
    driver = place.choose_driver(options, matrices.shape, dtype)
    write_in_place = options.errors == "nan" and outputs is not None and place.is_apart(matrices, outputs)

    with place.device_of(matrices):
        if outputs is not None and write_in_place:
            results = outputs
        else:  # in memory of the call if they are then copied into `out`
            with nullcontext() if outputs is None else place.memory_of_the_call():
                results = [place.xp.empty(shape, kind) for _, shape, kind in expected]
        info = _run(place, driver, options, matrices, results, expected, with_info)
        if outputs is not None and not write_in_place:
            for output, result in zip(outputs, results, strict=True):
                (output[...],) = place.bring_home([result])

    results = place.bring_home(results) if out is None else [*outputs_of(out, expected)]
    if info is not None:
        info = Info(*place.bring_home([*info]))
    u, s, vh = results if options.compute_uv else (None, results[0], None)
    return u, s, vh, info


def _run(
    place: Place,
    driver: Taken,
    options: Options,
    matrices: Any,
    results: list[Any],
    expected: Sequence[Expected],
    with_info: bool,
) -> Info | None:
    """Write the factors into `results`; return what happened, on request.

    Raise LinAlgError for matrices without factors, if the options say so.
    """
    batch = matrices.shape[:-2]
    asked = _empty_info(place.xp, batch, expected) if with_info else None
    with place.memory_of_the_call():
        info = asked
        if info is None and (options.errors == "raise" or driver != "vendor"):
            info = _empty_info(place.xp, batch, expected)
        u, s, vh = results if options.compute_uv else (None, results[0], None)
        if matrices.size == 0:
            _fill_empty(place.xp, u, vh, info)
        else:
            place.run(driver, options, matrices, u, s, vh, info)
        if options.errors == "raise" and info is not None and not bool(info.converged.all()):
            raise LinAlgError(failures(place.to_host(info.converged)))
    return asked


def _empty_info(xp: Any, batch: tuple[int, ...], expected: Sequence[Expected]) -> Info:
    _, _, real = expected[len(expected) // 2]  # S
    return Info(xp.empty(batch, _BOOL), xp.empty(batch, _INT32), xp.empty(batch, real))


def _fill_empty(xp: Any, u: Array | None, vh: Array | None, info: Info | None) -> None:
    """Write the factors of matrices without entries: identities, if anything."""
    for vectors in (u, vh):
        if vectors is not None:
            vectors[...] = xp.eye(*vectors.shape[-2:])
    if info is not None:
        for field, value in zip(info, (True, 0, 0), strict=True):
            field[...] = value
