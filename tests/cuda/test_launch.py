"""Compiling CUDA kernels and keeping their machine code, with no device; and the arguments of a launch."""

import re
import sys

import numpy as np
import pytest

from gpusvd._base.install import install
from gpusvd._cuda import jacobi as _cuda
from gpusvd._cuda import launch as _cuda_launch
from gpusvd._cuda import phases as _cuda_phases
from gpusvd._cuda.problem import Problem

needs_compiler = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")
PROBLEM = Problem(6, 5, "float32", 5, True)


def completion():
    """A kernel that compiles quickly, and types of its arguments."""
    kernel, _ = _cuda_phases.complete_step(PROBLEM)
    arrays = np.empty((1, 5, 5), np.float32), np.empty((1, 4, 5), np.float32), np.empty((1, 5), np.float32)
    return kernel, _cuda_launch._signature(kernel, "float32", arrays)


@needs_compiler
def test_machine_code_is_kept(tmp_path, monkeypatch):
    from tests.cuda_compile import compiler

    monkeypatch.setattr(_cuda_launch, "cache_folder", lambda sources: tmp_path)
    kernel, signature = completion()
    with compiler.device_of((9, 0)):
        path = _cuda_launch.cubin(kernel, "float32", signature, "90")
    assert path.read_bytes()[:4] == b"\x7fELF"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(_cuda_launch, "ptx", None)
    assert _cuda_launch.cubin(kernel, "float32", signature, "90") == path


@needs_compiler
def test_code_for_other_sizes_and_sources_is_other_code():
    kernel, signature = completion()
    hashes = {
        _cuda_launch._hash(kernel, signature),
        _cuda_launch._hash(kernel, signature[:-1]),
        _cuda_launch._hash(kernel._replace(constants=(("lanes", 1),)), signature),
        _cuda_launch._hash(kernel._replace(registers=kernel.registers + 8), signature),
    }
    assert len(hashes) == 4


@needs_compiler
def test_one_code_for_any_number_of_threads():
    kernel, signature = completion()
    another = kernel._replace(threads=kernel.threads * 2, shared=kernel.shared + 16)
    assert _cuda_launch._hash(kernel, signature) == _cuda_launch._hash(another, signature)
    assert kernel.compiled == another.compiled


@needs_compiler
def test_without_a_folder_code_is_kept_for_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(_cuda_launch, "cache_folder", lambda sources: None)
    monkeypatch.setattr(_cuda_launch, "ptx", lambda *given: "")
    monkeypatch.setattr(_cuda_launch, "_link", lambda *given: b"code")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _cuda_launch.cubin(*completion_of("float32"), "90").read_bytes() == b"code"


@needs_compiler
def test_on_a_full_disk_code_is_kept_for_the_process(tmp_path, monkeypatch):
    folder, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()  # and no folder to write into
    monkeypatch.setattr(_cuda_launch, "cache_folder", lambda sources: folder)
    monkeypatch.setattr(_cuda_launch, "ptx", lambda *given: "")
    monkeypatch.setattr(_cuda_launch, "_link", lambda *given: b"code")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    path = _cuda_launch.cubin(*completion_of("float32"), "90")
    assert path.read_bytes() == b"code"
    assert temporary in path.parents


def completion_of(kind):
    kernel, signature = completion()
    return kernel, kind, signature


@needs_compiler
def test_ptx_says_how_it_is_launched():
    from tests.cuda_compile import compiler

    kernel, signature = completion()
    with compiler.device_of((9, 0)):
        text = _cuda_launch.ptx(kernel, "float32", signature, "90")
    assert ".entry complete_batch(" in text
    assert f".maxnreg {kernel.registers}" in text
    assert ".maxntid" not in text


@needs_compiler
def test_code_of_another_toolchain_is_other_code(monkeypatch):
    """The same numba-cuda may come with CUDA 12 or 13."""
    from cuda.bindings import nvjitlink

    kernel, signature = completion()
    here = _cuda_launch._hash(kernel, signature)
    monkeypatch.setattr(nvjitlink, "version", lambda: (12, 4))
    monkeypatch.setattr(_cuda_launch, "_toolchain", _cuda_launch._toolchain.__wrapped__)
    assert _cuda_launch._hash(kernel, signature) != here


@needs_compiler
def test_ptx_that_the_linker_does_not_know_is_named():
    code = ".version 99.9\n.target sm_90\n.address_size 64\n"
    with pytest.raises(RuntimeError, match=rf"does not know PTX 99\.9.* {re.escape(install('cuda13'))}"):
        _cuda_launch._link(code, "90")


@needs_compiler
def test_a_numpy_that_numba_cuda_cannot_work_with_is_named(monkeypatch):
    from numba import cuda

    def compile_ptx(*given, **options):
        raise AttributeError("module 'numpy' has no attribute 'row_stack'")

    monkeypatch.setattr(cuda, "compile_ptx", compile_ptx)
    with pytest.raises(ImportError, match=r"does not work with NumPy .*: pip install 'numpy<2\.5'"):
        _cuda_launch.ptx(*completion_of("float32"), "90")


class OnDevice:
    """What a launch asks of a CuPy array."""

    def __init__(self, x):
        self.size, self.itemsize, self.shape, self.strides = x.size, x.itemsize, x.shape, x.strides
        self.data = type("Memory", (), {"ptr": x.ctypes.data})


def test_arguments_are_those_that_machine_code_takes():
    kernel = _cuda.tiny_kernel(Problem(3, 2, "float32", 2, True))
    a = np.zeros((7, 3, 2), np.float32)[::2, ::-1]
    x = np.zeros(7, np.float32)
    arguments = [OnDevice(a)] * 4 + [OnDevice(x)] * 3 + [True, False]
    flat = _cuda_launch._flattened(kernel, arguments)
    assert flat[:11] == (0, 0, 24, 4, a.ctypes.data, 4, 3, 2, *a.strides)
    assert flat[44:51] == (0, 0, 7, 4, x.ctypes.data, 7, 4)
    assert flat[65:] == (True, False, *dict(kernel.constants).values())
