"""Several devices, streams, every option and dtype: on the stand-in for CuPy, which says what a GPU would not
do, and with the kernels in the emulator."""

import sys
import types

import numpy as np
import pytest

import gpusvd
from gpusvd._cuda import jacobi
from tests.support import measures, stand_in


def gaussian(*shape, dtype="float32"):
    rng = np.random.default_rng(0)
    x = 10 * rng.standard_normal(shape)
    x = x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x
    return x.astype(dtype)


@pytest.fixture
def two(monkeypatch):
    """CuPy with two devices."""
    return stand_in.install(monkeypatch, devices=2)


def on(cupy, device, host):
    """A copy of a NumPy array on a device."""
    with cupy.cuda.Device(device):
        return cupy.asarray(host)


def hosts(cupy, arrays):
    return [cupy.asnumpy(x) for x in arrays]


# Several devices


@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
@pytest.mark.parametrize("options", [{}, {"hermitian": True}, {"errors": "raise"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "complex64"])
def test_on_a_device_that_is_not_the_current_one(two, driver, options, dtype):
    a = gaussian(4, 3, 3, dtype=dtype)
    result = gpusvd.svd_ex(on(two, 1, a), driver=driver, **options)
    assert two.cuda.Device().id == 0
    for x in (*result[:3], *result.info):
        assert x.device.id == 1
    expected = gpusvd.svd_ex(a, driver=driver, **options)
    for x, y in zip((*result[:3], result.info.converged), (*expected[:3], expected.info[0]), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(abs(two.asnumpy(x)), abs(y), rtol=0.01, atol=0.01)


def test_values_and_out_on_a_device_that_is_not_the_current_one(two):
    a = on(two, 1, gaussian(4, 3, 2))
    expected = np.linalg.svdvals(two.asnumpy(a))
    with two.cuda.Device(1):
        S = two.empty((4, 2), np.float32)
    assert gpusvd.svdvals(a, out=S) is S
    np.testing.assert_allclose(two.asnumpy(S), expected, rtol=1e-5)
    here = two.empty((4, 2), np.float32)
    with pytest.raises(
        ValueError, match=r"S in out is on <CUDA Device 0>, expected on <CUDA Device 1> as the input"
    ):
        gpusvd.svdvals(a, out=here)


def test_a_numpy_array_is_decomposed_on_the_current_device(two):
    a = gaussian(4, 3, 2)
    with two.cuda.Device(1):
        S = gpusvd.svdvals(a, device="cuda")
    assert {memory().device for memory in stand_in.MACHINE.memory if memory() is not None} <= {1}
    np.testing.assert_allclose(S, np.linalg.svdvals(a), rtol=1e-5)


class TorchDevice:
    """Stands in for torch.device."""

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name


TorchDevice.__module__ = "torch"


@pytest.mark.parametrize("name", ["cuda:1", TorchDevice("cuda:1")], ids=str)
def test_a_numpy_array_is_decomposed_on_the_device_of_a_number(two, name):
    a = gaussian(4, 3, 2)
    out = np.empty((4, 2), np.float32)
    assert gpusvd.svdvals(a, device=name, out=out) is out
    assert two.cuda.Device().id == 0
    assert {memory().device for memory in stand_in.MACHINE.memory if memory() is not None} <= {1}
    np.testing.assert_allclose(out, np.linalg.svdvals(a), rtol=1e-5)
    assert gpusvd.explain(a, device=name).kernel == gpusvd.explain(a, device="cuda").kernel
    (_, S), *_ = gpusvd.stream(a, compute_uv=False, device=name)
    np.testing.assert_array_equal(S, out)


def test_the_device_of_an_array_decides(two):
    a = on(two, 1, gaussian(4, 3, 2))
    for name in ("cuda", "cuda:1"):
        assert gpusvd.svdvals(a, device=name).device.id == 1
    with pytest.raises(ValueError, match="a is on GPU 1, not on 0"):
        gpusvd.svdvals(a, device="cuda:0")
    with pytest.raises(ValueError, match="a is in GPU memory: for device='cpu'"):
        gpusvd.svdvals(a, device="cpu")
    for call in (gpusvd.svdvals, gpusvd.stream):
        with pytest.raises(RuntimeError, match="there is no CUDA device 2, only 0 to 1"):
            call(gaussian(4, 3, 2), device="cuda:2")


@pytest.mark.parametrize("name", ["cpu", TorchDevice("cpu")], ids=str)
def test_the_cpu_needs_no_gpu(name):
    a = gaussian(4, 3, 2)
    expected = gpusvd.svdvals(a)
    np.testing.assert_array_equal(gpusvd.svdvals(a, device=name), expected)
    ((_, S),) = gpusvd.stream(a, compute_uv=False, device=name)
    np.testing.assert_array_equal(S, expected)
    np.testing.assert_array_equal(gpusvd.svd_ragged(list(a), compute_uv=False, device=name)[3], expected[3])
    assert gpusvd.explain(a, device=name) == gpusvd.explain(a)
    gpusvd.warmup(a, device=name)


@pytest.mark.parametrize(
    "name", ["tpu", "cuda:", "cuda:x", "cuda:-1", "CPU", 0, True, TorchDevice("mps"), ["cpu"]]
)
def test_other_devices_are_refused(name):
    for call in (gpusvd.svd, gpusvd.explain, gpusvd.stream):
        with pytest.raises(ValueError, match="device must be None, 'cpu', 'cuda', 'cuda:1'"):
            call(gaussian(2, 2, 2), device=name)


def test_matrices_of_several_devices_and_sizes(two):
    host = [gaussian(3, 2), gaussian(2, 2), gaussian(3, 2) + 1, gaussian(2, 2) - 1, gaussian(3, 2) - 2]
    where = [0, 1, 1, 1, None]
    given = [x if i is None else on(two, i, x) for x, i in zip(host, where, strict=True)]
    results = gpusvd.svd_ragged(given, errors="raise")
    for x, i, result in zip(host, where, results, strict=True):
        assert (None if i is None else result.S.device.id) == i
        S = result.S if i is None else two.asnumpy(result.S)
        np.testing.assert_allclose(S, np.linalg.svdvals(x), rtol=1e-5)


class Foreign:
    """Another library's array, with the one protocol that everyone has."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


def test_arrays_of_other_libraries_on_a_device_that_is_not_the_current_one(two):
    a = gaussian(4, 3, 2, dtype="int32")
    given = Foreign(on(two, 1, a))
    for S in (gpusvd.svdvals(given), gpusvd.svd_ex(given).S):
        assert S.device.id == 1
        np.testing.assert_allclose(two.asnumpy(S), np.linalg.svdvals(a), rtol=1e-12)
    (S,) = gpusvd.svd_ragged([Foreign(on(two, 1, a[0]))], compute_uv=False)
    assert S.device.id == 1


@pytest.mark.parametrize("device", ["cuda", "cuda:all"])
def test_a_stream_leaves_the_current_device(two, device):
    a = gaussian(10, 3, 2)
    with two.cuda.Device(1):
        values = list(gpusvd.stream(a, compute_uv=False, chunk=3, device=device))
        assert two.cuda.Device().id == 1
    np.testing.assert_allclose(np.concatenate([S for _, S in values]), np.linalg.svdvals(a), rtol=1e-5)


# Dtypes, strides, sizes


@pytest.mark.parametrize("full_matrices", [False, True])
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "complex64", "complex128", "int8", "bool"]
)
@pytest.mark.parametrize("shape", [(3, 2), (2, 4)], ids=str)
def test_dtypes(two, shape, dtype, full_matrices):
    a = gaussian(3, *shape, dtype=dtype)
    U, S, Vh = hosts(two, gpusvd.svd(two.asarray(a), full_matrices))
    measures.assert_svd(a, U, S, Vh)


STRIDED = {
    "every second": lambda x: x[::2],
    "backwards": lambda x: x[::-1],
    "transposed": lambda x: x.swapaxes(-1, -2),
    "a part of each": lambda x: x[:, 1:, ::2],
    "axes of the batch": lambda x: x.reshape(2, 3, 4, 3).swapaxes(0, 1),
    "one repeated": lambda x: x[:1].repeat(3, axis=0),
}


@pytest.mark.parametrize("how", STRIDED)
def test_strides(two, how):
    a = gaussian(6, 4, 3)
    x = STRIDED[how](two.asarray(a))
    a = np.ascontiguousarray(STRIDED[how](a))
    U, S, Vh = (y.reshape(-1, *y.shape[a.ndim - 2 :]) for y in hosts(two, gpusvd.svd(x, full_matrices=False)))
    measures.assert_svd(a.reshape(-1, *a.shape[-2:]), U, S, Vh)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
@pytest.mark.parametrize("overlapping", [False, True], ids=["apart", "overlapping"])
def test_strided_out(two, driver, overlapping, dtype):
    a = gaussian(2, 3, 3, 3, dtype=dtype)
    x = two.asarray(a)
    U, S, Vh = (
        two.zeros((3, 2, *core), kind).swapaxes(0, 1)
        for core, kind in (((3, 3), dtype), ((3,), "float32"), ((3, 3), dtype))
    )
    U = x if overlapping else U
    assert gpusvd.svd(x, driver=driver, out=(U, S, Vh)).U is U
    if not overlapping:
        np.testing.assert_array_equal(two.asnumpy(x), a)
    u, s, vh = (y.reshape(6, *y.shape[2:]) for y in hosts(two, (U, S, Vh)))
    measures.assert_svd(a.reshape(6, 3, 3), u, s, vh)


@pytest.mark.parametrize("shape", [(9, 3, 2), (3, 7, 2)], ids=str)
@pytest.mark.parametrize("options", [{}, {"full_matrices": False}, {"compute_uv": False}], ids=str)
def test_several_chunks_have_the_bits_of_one(two, monkeypatch, shape, options):
    a = two.asarray(gaussian(*shape))

    def results():
        found = gpusvd.svd(a, **options)
        return hosts(two, found if isinstance(found, tuple) else (found,))

    whole = results()
    monkeypatch.setattr(jacobi, "_CHUNK_BYTES", 1000)
    for x, y in zip(results(), whole, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
def test_nothing_is_waited_for(two, driver):
    a, h = two.asarray(gaussian(4, 3, 2)), two.asarray(gaussian(4, 5, 5, dtype="complex64"))
    with stand_in.MACHINE.forbidding_synchronization():
        gpusvd.svd(a, driver=driver)
        gpusvd.svdvals(a.astype(np.float16), driver=driver)
        gpusvd.svd_ex(h[::2], hermitian=True, driver=driver)
        gpusvd.svd_ragged([a[0], a[1]], driver=driver)
        with pytest.raises(stand_in.SynchronizationError):
            gpusvd.svd(a, driver=driver, errors="raise")


# Streams


def test_work_goes_to_the_current_stream(two):
    host = gaussian(4, 3, 2)
    stream = two.cuda.Stream(non_blocking=True)
    with stream:
        a = two.asarray(host)
        S = gpusvd.svdvals(a)
        event = stream.record()
    with pytest.raises(stand_in.RaceError):
        S + 1
    with pytest.raises(stand_in.RaceError):
        gpusvd.svdvals(a)
    event.synchronize()
    np.testing.assert_allclose(two.asnumpy(S + 1), 1 + np.linalg.svdvals(host), rtol=1e-5)


@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
def test_values_that_are_awaited_cannot_be_captured(two, driver):
    a = two.asarray(gaussian(4, 3, 2))
    stream = two.cuda.Stream(non_blocking=True)
    two.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        with pytest.raises(stand_in.CUDARuntimeError, match="Capture"):
            gpusvd.svd(a, driver=driver, errors="raise")
        stream.end_capture()


# Tensors: what `gpusvd.torch` asks of torch, on memory of the stand-in


class Tensor:
    """A CUDA tensor."""

    requires_grad = False

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.device = types.SimpleNamespace(type="cuda", index=array.device.id)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream):
        current = torch_streams[self.device.index]
        with sys.modules["cupy"].cuda.Device(self.device.index):
            if current.pointer != stream:  # torch's work comes first
                stand_in.MACHINE.queue(stream).merge(current.clock)
        return self.array

    def detach(self):
        return self

    resolve_conj = resolve_neg = detach

    def to(self, dtype):
        assert dtype == self.dtype
        return self


torch_streams = {}


class Function:
    """`torch.autograd.Function` without a gradient."""

    @classmethod
    def apply(cls, *args):
        return cls.forward(*args)


def custom_op(name, **options):
    """`torch.library.custom_op` of a function that is called as it is."""

    def operator(function):
        function.register_fake = function.register_autograd = lambda other, **options: other
        return function

    return operator


def standard():
    """Torch under the names of the standard that an SVD needs."""
    names = types.ModuleType("array_api_compat.torch")
    vars(names).update({name: np.dtype(name) for name in ("float32", "float64", "complex64", "complex128")})
    names.float16, names.bfloat16 = np.dtype("float16"), "bfloat16"
    names.isdtype = lambda dtype, kind: False
    return types.SimpleNamespace(torch=names)


@pytest.fixture(params=["13.6", "14.2"])
def torch(request, monkeypatch):
    """A module in the place of torch, with a current stream of its own on each of two devices."""
    cupy = stand_in.install(monkeypatch, devices=2, version=request.param)
    for index in range(2):
        with cupy.cuda.Device(index):
            torch_streams[index] = stand_in.MACHINE.new_queue(non_blocking=True)
    forget_torch()
    module = types.ModuleType("torch")
    module.Tensor = module.from_dlpack = Tensor
    module.library = types.SimpleNamespace(custom_op=custom_op)
    module.compiler = types.SimpleNamespace(is_compiling=lambda: False)
    module.is_grad_enabled = lambda: False
    module.device = lambda kind: types.SimpleNamespace(type=kind)
    module.cuda = types.SimpleNamespace(
        current_stream=lambda device: types.SimpleNamespace(
            cuda_stream=torch_streams[device.index].pointer, device_index=device.index
        )
    )
    dual = types.SimpleNamespace(tangent=None)
    module.autograd = types.SimpleNamespace(
        Function=Function, forward_ad=types.SimpleNamespace(unpack_dual=lambda a: dual)
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    compat = standard()
    monkeypatch.setitem(sys.modules, "array_api_compat", compat)
    monkeypatch.setitem(sys.modules, "array_api_compat.torch", compat.torch)
    yield module
    forget_torch()


def forget_torch():
    """Let the next use of `gpusvd.torch` import it anew."""
    sys.modules.pop("gpusvd.torch", None)
    vars(gpusvd).pop("torch", None)


@pytest.mark.parametrize("device", [0, 1])
def test_tensors_are_taken_on_their_device_and_torchs_stream(torch, device):
    cupy = sys.modules["cupy"]
    host = gaussian(4, 3, 2)
    with cupy.cuda.Device(device):
        a = cupy.asarray(host)
        cupy.cuda.Device().synchronize()
        with external(cupy, torch_streams[device].pointer):
            a += 1  # which torch's stream alone knows
    tensor = Tensor(a)
    U, S, Vh = gpusvd.svd(tensor, full_matrices=False)
    values, told = gpusvd.svdvals(tensor), gpusvd.svd_ex(tensor)
    for x in (U, S, Vh, values, *told[:3], *told.info):
        assert isinstance(x, Tensor)
        assert x.device.index == device
    with pytest.raises(stand_in.RaceError), cupy.cuda.Device(device):
        values.array + 1  # on CuPy's own stream
    with cupy.cuda.Device(device):
        cupy.cuda.runtime.deviceSynchronize()
    measures.assert_svd(host + 1, *hosts(cupy, (U.array, S.array, Vh.array)))
    assert cupy.cuda.Device().id == 0
    assert cupy.cuda.get_current_stream().ptr == 0


def external(cupy, pointer):
    """The stream of another library as each version of CuPy takes it."""
    if cupy.__version__ < "14":
        return cupy.cuda.ExternalStream(pointer)  # deprecated in CuPy 14
    return cupy.cuda.Stream.from_external(types.SimpleNamespace(__cuda_stream__=lambda: (0, pointer)))
