"""The places where a batch is decomposed, the CPU and a GPU: their arrays, memory and drivers."""

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np

from gpusvd._base.checks import Expected, Taken, check_out, device_index, share_memory
from gpusvd._base.results import Array, Info
from gpusvd._cpu import lapack
from gpusvd._cuda import cusolver
from gpusvd._cuda.arrays import (
    check_device_out,
    cupy_with_device,
    is_on_gpu,
    memory_of_the_call,
    on_device,
)
from gpusvd._svd.driver import choose_driver, choose_on_gpu
from gpusvd._svd.options import Options

_NOTHING: AbstractContextManager[None] = nullcontext()


class Cpu:
    """The cores of this process, for NumPy arrays and what NumPy converts."""

    xp: Any = np

    def asarray(self, a: Any) -> Array:
        """Return the matrices as an array of this place."""
        return np.asarray(a)

    def checked_out(self, out: Any, expected: Sequence[Expected], matrices: Array) -> list[Array]:
        """Return the arrays of `out`; raise unless the results fit into them."""
        return check_out(out, expected)

    def is_apart(self, matrices: Array, outputs: Sequence[Array]) -> bool:
        """Return whether the results can be written while the matrices are read."""
        return not any(share_memory(matrices, output) for output in outputs)

    def choose_driver(self, options: Options, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Taken:
        """Return the driver that "auto" stands for."""
        return choose_driver(options, shape, dtype)

    def device_of(self, matrices: Array) -> AbstractContextManager[object]:
        """Return the context in which arrays are allocated beside the matrices."""
        return _NOTHING

    def memory_of_the_call(self) -> AbstractContextManager[object]:
        """Return the context for memory that is given back before the call ends."""
        return _NOTHING

    def run(
        self,
        driver: Taken,
        options: Options,
        matrices: Array,
        u: Array | None,
        s: Array,
        vh: Array | None,
        info: Info | None,
    ) -> None:
        """Write the factors, and what happened into `info` if it is given."""
        hermitian, threads = options.hermitian, options.threads
        if driver == "vendor":
            lapack.decompose(matrices, u, s, vh, info, hermitian=hermitian, threads=threads)
            return
        assert info is not None
        relative = driver == "jacobi"
        _jacobi().decompose(matrices, u, s, vh, info, hermitian=hermitian, relative=relative, threads=threads)

    def to_host(self, x: Array) -> Array:
        """Return an array of this place as NumPy's."""
        return x

    def bring_home(self, results: list[Array]) -> list[Array]:
        """Return results where the caller's matrices are."""
        return results


class Gpu:
    """A CUDA device, for CuPy arrays, other arrays in its memory and, by copies there and back, NumPy's."""

    def __init__(self, from_host: bool, index: int | None) -> None:
        self.xp = cupy_with_device(index)
        self.from_host, self.index = from_host, index

    def asarray(self, a: Any) -> Any:
        with nullcontext() if self.index is None else self.xp.cuda.Device(self.index):
            matrices = on_device(self.xp, a)
        if self.index is not None and matrices.device.id != self.index:
            raise ValueError(f"a is on GPU {matrices.device.id}, not on {self.index}: bring it there first")
        return matrices

    def checked_out(self, out: Any, expected: Sequence[Expected], matrices: Any) -> list[Any]:
        if self.from_host:
            return check_out(out, expected)
        return check_device_out(self.xp, out, expected, matrices.device)

    def is_apart(self, matrices: Any, outputs: Sequence[Any]) -> bool:
        return not (self.from_host or any(self.xp.may_share_memory(matrices, x) for x in outputs))

    def choose_driver(self, options: Options, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Taken:
        return choose_on_gpu(shape, options.driver)

    def device_of(self, matrices: Any) -> AbstractContextManager[object]:
        device: AbstractContextManager[object] = matrices.device
        return device

    def memory_of_the_call(self) -> AbstractContextManager[object]:
        return memory_of_the_call(self.xp)

    def run(
        self, driver: Taken, options: Options, matrices: Any, u: Any, s: Any, vh: Any, info: Info | None
    ) -> None:
        if driver == "vendor":
            cusolver.decompose(self.xp, matrices, u, s, vh, info, hermitian=options.hermitian)
            return
        from gpusvd._cuda import jacobi, launch

        assert info is not None
        jacobi.decompose(
            self.xp,
            launch.launch,
            matrices,
            u,
            s,
            vh,
            info,
            hermitian=options.hermitian,
            shared=launch.shared_bytes(matrices.device.id),
        )

    def to_host(self, x: Any) -> Array:
        host: Array = self.xp.asnumpy(x)
        return host

    def bring_home(self, results: list[Any]) -> list[Any]:
        return [self.xp.asnumpy(result) for result in results] if self.from_host else results


@cache
def _jacobi() -> Any:
    """Return the module that runs the CPU's kernels. It imports llvmlite, which takes long."""
    return importlib.import_module("gpusvd._cpu.jacobi")


Place = Cpu | Gpu

_CPU = Cpu()


def place_of(a: Any, device: str | None) -> Place:
    """Return the place where matrices are decomposed: where they are, or on the device asked for."""
    on_gpu = is_on_gpu(a)
    if on_gpu and device == "cpu":
        raise ValueError("a is in GPU memory: for device='cpu' pass it as a NumPy array, by cupy.asnumpy(a)")
    if on_gpu or device not in (None, "cpu"):
        return Gpu(not on_gpu, device_index(device))
    return _CPU
