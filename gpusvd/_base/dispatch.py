"""Send each call where its arrays are: to gpusvd.dask, torch or jax, and to the GPU of CuPy arrays."""

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from gpusvd._base.arrays import device_of

P = ParamSpec("P")
R = TypeVar("R")

_MODULES = {"dask.array": ("Array", "gpusvd.dask"), "torch": ("Tensor", "gpusvd.torch")}


def for_libraries(function: Callable[P, R]) -> Callable[P, R]:
    """
    Hand a call with a Dask array or a tensor among its arguments to `gpusvd.dask` or `gpusvd.torch`.

    There the function of the same name takes it. If the module defines none, `function` itself takes a
    tensor, and a Dask array is refused, which it would load into memory at once. With a CuPy array the
    function runs on the device of that array, whichever is the current one.
    """

    @functools.wraps(function)
    def dispatched(*args: P.args, **kwargs: P.kwargs) -> R:
        if not ("torch" in sys.modules or "cupy" in sys.modules or "dask.array" in sys.modules):
            return function(*args, **kwargs)
        module = _module_for(*args, *kwargs.values())
        if module is None:
            with device_of(*args, *kwargs.values()):
                return function(*args, **kwargs)
        counterpart: Callable[P, R] = module.__dict__.get(function.__name__, function)
        if counterpart is function:
            refuse_dask(function.__name__, *args, *kwargs.values())
        return counterpart(*args, **kwargs)

    return dispatched


def refuse_dask(name: str, *arguments: object) -> None:
    """Raise TypeError for a Dask array among the arguments of the function `name`, with the call to make."""
    module = _module_for(*arguments)
    if module is not None and module.__name__ == "gpusvd.dask":
        raise TypeError(f"{name} takes no Dask array: pass x.compute(), which loads x into memory")


def svd_of_jax(a: Any, *args: Any, **options: Any) -> Any:
    """Return what `gpusvd.jax.svd` does."""
    return importlib.import_module("gpusvd.jax").svd(a, *args, **options)


def on_the_device_of_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function on the device of the first CuPy array among its arguments, whichever is the current
    one."""

    @functools.wraps(function)
    def placed(*args: P.args, **kwargs: P.kwargs) -> R:
        with device_of(*args, *kwargs.values()):
            return function(*args, **kwargs)

    return placed


def _module_for(*arguments: object) -> ModuleType | None:
    """
    Return the module of this package for the first library that has an array among the arguments, or None.

    The libraries are not imported: a caller that passes an array has already imported its library.
    """
    for library, (array, module) in _MODULES.items():
        imported = sys.modules.get(library)
        if imported is not None:
            kind = getattr(imported, array, ())  # not there yet while the library is being imported
            if any(isinstance(argument, kind) for argument in arguments):
                return sys.modules.get(module) or importlib.import_module(module)
    return None
