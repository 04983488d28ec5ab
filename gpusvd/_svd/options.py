"""The options of a decomposition, made and checked once by the public functions."""

from functools import lru_cache
from typing import Any, NamedTuple

from gpusvd._base.checks import (
    Device,
    Driver,
    Errors,
    Taken,
    check_driver,
    check_errors,
    check_threads,
    checked_device,
)


class Options(NamedTuple):
    """How each matrix of a batch is decomposed: the parameters of `svd`."""

    full_matrices: bool
    compute_uv: bool
    hermitian: bool
    driver: Driver | Taken
    errors: Errors
    threads: int | None
    device: str | None


def checked_options(
    full_matrices: bool,
    compute_uv: bool,
    hermitian: bool,
    driver: Driver,
    errors: Errors,
    threads: int | None,
    device: Device | None,
) -> Options:
    """Return the options; raise ValueError for one that does not exist."""
    given = full_matrices, compute_uv, hermitian, driver, errors, threads, device
    try:
        return _checked(*given)
    except TypeError:  # one that cannot be hashed
        return _checked.__wrapped__(*given)


@lru_cache(maxsize=1024, typed=True)
def _checked(*given: Any) -> Options:
    full_matrices, compute_uv, hermitian, driver, errors, threads, device = given
    check_driver(driver)
    check_errors(errors)
    check_threads(threads)
    place = checked_device(device)
    return Options(bool(full_matrices), bool(compute_uv), bool(hermitian), driver, errors, threads, place)
