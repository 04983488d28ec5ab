"""The array libraries that the layer over arrays is tested with.

A test takes the fixture `backend`, makes its arrays by `backend.array`, and gets its results back by
`backend.numpy`, which also holds that they are arrays of that library.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

NAMES = ["numpy", "read-only", "array-api-strict", pytest.param("cupy", marks=pytest.mark.gpu)]


@dataclass
class Backend:
    name: str
    xp: ModuleType

    def array(self, a: Any) -> Any:
        """A copy of `a` in this library; in a memory that is not the default one, where there are several."""
        device = {"device": self.xp.Device("device1")} if self.name == "array-api-strict" else {}
        copy = self.xp.asarray(np.array(a), **device)
        if self.name == "read-only":
            copy.flags.writeable = False
        return copy

    def numpy(self, x: Any) -> np.ndarray:
        """A result of this library, or a tuple of them, in NumPy; an int remains one."""
        if isinstance(x, tuple):
            return type(x)(*map(self.numpy, x)) if hasattr(x, "_fields") else tuple(map(self.numpy, x))
        if isinstance(x, int):
            return x
        if self.xp is np:
            assert isinstance(x, np.ndarray | np.generic), type(x)
            return np.asarray(x)
        assert isinstance(x, type(self.xp.zeros(1))), type(x)
        return self.xp.asnumpy(x) if self.name == "cupy" else np.from_dlpack(x, device="cpu")

    def has(self, dtype: Any) -> bool:
        """Whether this library has a dtype of NumPy's."""
        return hasattr(self.xp, np.dtype(dtype).name)


def make(name: str) -> Backend:
    """The backend of this name; skips the test if it is not there."""
    if name == "cupy":
        cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            pytest.skip(f"no CUDA device: {error}")
        return Backend(name, cupy)
    if name == "array-api-strict":
        return Backend(name, pytest.importorskip("array_api_strict"))
    return Backend(name, np)
