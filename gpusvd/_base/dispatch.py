"""Arrays that another module of this package computes with: Dask's and torch's."""

import importlib
import sys
from typing import Any

_HOMES = {"dask.array": ("Array", "gpusvd.dask"), "torch": ("Tensor", "gpusvd.torch")}


def home_of(*arrays: Any) -> Any:
    """
    Return the module of this package for the first library that one of the arrays belongs to, or None.

    Nothing is imported for other arrays: who passes a Dask array or a tensor has imported its library.
    """
    for library, (kind, home) in _HOMES.items():
        imported = sys.modules.get(library)
        if imported is not None:
            array = getattr(imported, kind, ())  # not there yet, while the library is being imported
            if any(isinstance(a, array) for a in arrays):
                return importlib.import_module(home)
    return None
