"""The library's own launch on the stand-in for CuPy: what it loads, asks a device for and packs."""

import sys

import numpy as np
import pytest

import gpusvd
from gpusvd._cuda import jacobi, launch
from tests.support import measures, stand_in


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for machine code."""
    monkeypatch.setattr(launch, "cache_folder", lambda sources: tmp_path)
    return tmp_path


def gaussian(*shape, dtype="float32"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def assert_decomposes(cupy, a, **options):
    U, S, Vh = (cupy.asnumpy(x) for x in gpusvd.svd(cupy.asarray(a), **options))
    measures.assert_svd(a, U, S, Vh)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("shape", [(9, 3, 2), (2, 7, 3), (2, 2, 8)], ids=str)
def test_kernels_get_what_they_are_compiled_for(monkeypatch, folder, shape, dtype):
    """A kernel a matrix, and those of the phases; contiguous, strided and converted arrays."""
    cupy = stand_in.install(monkeypatch, machine_code=True)
    assert_decomposes(cupy, gaussian(*shape, dtype=dtype))
    assert_decomposes(cupy, gaussian(*shape, dtype=dtype)[::-1, ::-1], full_matrices=False)
    before = sorted(folder.iterdir())
    x = cupy.asarray(gaussian(*shape, dtype=dtype))[::2].swapaxes(1, 2)
    result = gpusvd.svd_ex(x, full_matrices=False)
    measures.assert_svd(cupy.asnumpy(x), *map(cupy.asnumpy, result[:3]))
    assert cupy.asnumpy(result.info.converged).all()
    assert {path.name.split("-")[2] for path in before} == {"sm_90"}


@pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")
@pytest.mark.parametrize(
    ("m", "n", "dtype"),
    [(3, 3, "float32"), (8, 8, "float32"), (33, 33, "float64")]
    + [
        pytest.param(m, n, kind, marks=pytest.mark.exhaustive)
        for kind in ("float32", "float64", "complex64", "complex128")
        for m, n in ((2, 2), (4, 3), (3, 4), (6, 6), (9, 8), (8, 13), (33, 33), (300, 3))
    ],
)
def test_executed_from_end_to_end(monkeypatch, folder, m, n, dtype):
    """From arrays of CuPy to factors by the library's own launch, with PTX that takes its parameters:
    contiguous, strided, converted, into arrays that are given, on another stream, and in chunks."""
    cupy = stand_in.install(monkeypatch, machine_code=True, executed=True)
    a = gaussian(5, m, n, dtype=dtype)
    x = cupy.asarray(a)
    U, S, Vh = gpusvd.svd(x, full_matrices=False)
    measures.assert_svd(a, *map(cupy.asnumpy, (U, S, Vh)))

    order = gpusvd.svd(x[::-1], full_matrices=False)
    out = tuple(cupy.empty(y.shape, y.dtype) for y in (U, S, Vh))
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        info = gpusvd.svd_ex(x, full_matrices=False, out=out).info
    stream.synchronize()
    monkeypatch.setattr(jacobi, "_CHUNK_BYTES", 1)
    chunks = gpusvd.svd(x, full_matrices=False)
    assert cupy.asnumpy(info.converged).all()
    for y, backwards, given, alone in zip((U, S, Vh), order, out, chunks, strict=True):
        for other in (backwards[::-1], given, alone):
            np.testing.assert_array_equal(cupy.asnumpy(other), cupy.asnumpy(y))
    if dtype == "float32":
        halves = a.astype(np.float16)
        measures.assert_svd(halves, *map(cupy.asnumpy, gpusvd.svd(cupy.asarray(halves), full_matrices=False)))


def test_each_device_loads_its_own(monkeypatch, folder):
    cupy = stand_in.install(monkeypatch, machine_code=True, devices=2)
    a = gaussian(4, 3, 3)
    for device in (0, 1, 0):
        with cupy.cuda.Device(device):
            x = cupy.asarray(a)
        S = gpusvd.svdvals(x)
        np.testing.assert_allclose(cupy.asnumpy(S), np.linalg.svdvals(a), rtol=1e-5)
    assert launch._load.cache_info().misses == 2
    assert len(list(folder.iterdir())) == 1


def test_replayed(monkeypatch, folder):
    cupy = stand_in.install(monkeypatch, machine_code=True)
    a = cupy.asarray(gaussian(4, 3, 3))
    S = cupy.empty((4, 3), np.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        gpusvd.svdvals(a, out=S)
        captured = stream.end_capture()
        a *= 2
        captured.launch()
        np.testing.assert_allclose(cupy.asnumpy(S), 2 * np.linalg.svdvals(gaussian(4, 3, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    "damage", [lambda code: code[: len(code) // 2], lambda code: b"", lambda code: b"?" + code]
)
def test_damaged_machine_code_is_made_anew(monkeypatch, folder, damage):
    cupy = stand_in.install(monkeypatch, machine_code=True)
    assert_decomposes(cupy, gaussian(4, 3, 3))
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    launch._load.cache_clear()  # as in another process
    assert_decomposes(cupy, gaussian(4, 3, 3))
    assert path.read_bytes() == whole


def test_machine_code_that_nobody_can_load_is_an_error(monkeypatch, folder):
    cupy = stand_in.install(monkeypatch, machine_code=True)
    monkeypatch.setattr(launch, "_link", lambda code, capability: b"of another age")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="INVALID_IMAGE"):
        gpusvd.svdvals(cupy.asarray(gaussian(4, 3, 3)))


@pytest.fixture
def launches(monkeypatch, folder):
    """The launches for a shape on a GPU with so much shared memory a block, where they do nothing."""

    def of(shape, kibibytes, capability, dtype="float32", believed=None):
        attributes = {"MaxSharedMemoryPerBlockOptin": kibibytes * 1024}
        options = {"attributes": attributes, "capability": capability}
        cupy = stand_in.install(monkeypatch, machine_code=True, **options)
        found = []

        def record(kernel, kind, blocks, arguments):
            found.append(kernel)

        monkeypatch.setattr("tests.support.stand_in.kernels.emulated", record)
        if believed is not None:
            monkeypatch.setattr(launch, "shared_bytes", lambda device: believed)
        gpusvd.svd(cupy.asarray(np.zeros(shape, dtype)), driver="jacobi")
        return found

    return of


def test_a_gpu_with_little_shared_memory_gets_smaller_launches(launches):
    usual = launches((1, 512, 512), 227, "90", "complex128")
    small = launches((1, 512, 512), 64, "75", "complex128")
    assert [kernel.function for kernel in usual] == [kernel.function for kernel in small]
    assert max(kernel.shared for kernel in small) < 64 * 1024 < max(kernel.shared for kernel in usual)


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_static_shared_memory_counts(launches, dtype):
    """Just below 48 KiB of dynamic shared memory, which the driver gives without being asked."""
    for n in {"float64": (169, 172), "complex64": (361, 368)}[dtype]:
        assert launches((1, n, n), 227, "90", dtype)


def test_a_kernel_that_wants_more_shared_memory_than_there_is(launches):
    message = r"takes \d+ bytes .* a block, of which <CUDA Device 0> has \d+: use driver='vendor'"
    with pytest.raises(RuntimeError, match=message):
        launches((1, 512, 512), 64, "75", "complex128", believed=200 * 1024)
