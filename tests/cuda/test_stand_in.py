"""The stand-in for CuPy itself: it has no more than CuPy, and refuses what a GPU would not do."""

import inspect
import warnings

import numpy as np
import pytest

from tests.support import stand_in
from tests.support.stand_in import api, functions

CLASSES = {
    "cupy.ndarray": "ndarray",
    "cupy.RawKernel": "RawKernel",
    "cupy.RawModule": "RawModule",
    "cupy.random.RandomState": "random.RandomState",
    "cupy.cuda.Device": "cuda.Device",
    "cupy.cuda.Event": "cuda.Event",
    "cupy.cuda.ExternalStream": "cuda.ExternalStream",
    "cupy.cuda.Graph": "cuda.Graph",
    "cupy.cuda.MemoryPointer": "cuda.MemoryPointer",
    "cupy.cuda.MemoryPool": "cuda.MemoryPool",
    "cupy.cuda.PinnedMemoryPointer": "cuda.PinnedMemoryPointer",
    "cupy.cuda.Stream": "cuda.Stream",
}


def parameters(function):
    kinds = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    found = inspect.signature(function).parameters.values()
    return [x.name for x in found if x.kind not in kinds and x.name not in ("self", "cls")]


def assert_of_cupy(version, owner, name, value):
    names = api.Api(version)
    assert names.has(owner, name), (owner, name)
    if callable(value) and not isinstance(value, type):
        theirs = names.parameters(owner, name)
        assert theirs is None or set(parameters(value)) <= set(theirs), (owner, name, theirs)


@pytest.mark.parametrize("version", ["13.6", "14.2", "both"])
def test_it_has_only_what_cupy_has(version):
    cupy = stand_in.module(version)
    for owner, path in CLASSES.items():
        described = cupy
        for part in path.split("."):
            described = getattr(described, part)
        own = {name for base in described.__mro__ for name in vars(base) if "support" in base.__module__}
        for name in own:
            if not name.startswith("_"):
                assert_of_cupy(version, owner, name, inspect.getattr_static(described, name))
        if described.__module__.startswith("tests") and path != "cuda.PinnedMemoryPointer":
            assert_of_cupy(version, owner, "__init__", described)
    for name in functions.OWN:
        assert_of_cupy(version, "cupy", name, getattr(cupy, name))
    for owner, module in (("cupy.cuda", cupy.cuda), ("cupy.cuda.runtime", cupy.cuda.runtime)):
        for name, value in vars(module).items():
            assert_of_cupy(version, owner, name, value)


def test_names_and_arguments_that_cupy_lacks():
    cupy = stand_in.module()
    x = cupy.ones((2, 2), np.float32)
    for name in ("mT", "vecdot", "not_there", "astype_of"):
        with pytest.raises(AttributeError, match=name):
            getattr(x, name)
    for name in ("isdtype", "astype", "matrix_transpose", "not_there"):
        with pytest.raises(AttributeError, match=name):
            getattr(cupy, name)
    with pytest.raises(TypeError, match="where"):
        cupy.sum(x, where=x > 0)
    with pytest.raises(TypeError, match="initial"):
        x.max(initial=0)
    with pytest.raises(TypeError, match="hermitian"):
        cupy.linalg.svd(x, hermitian=True)
    assert hasattr(stand_in.module("14.2").ones(2), "size")
    assert hasattr(stand_in.module("14.2").ones((2, 2)), "mT")


def test_nothing_becomes_numpys_by_itself():
    cupy = stand_in.module()
    x, host = cupy.ones(3), np.ones(3)
    for call in (
        lambda: np.asarray(x),
        lambda: np.sqrt(x),
        lambda: np.sum(x),
        lambda: np.linalg.norm(x),
        lambda: x + host,
        lambda: host + x,
        lambda: x == host,
        lambda: cupy.sqrt(host),
        lambda: cupy.concatenate([x, host]),
        lambda: cupy.sqrt([1.0]),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="cannot be used for fill"):
        x[...] = host
    assert cupy.asnumpy(2 * x + np.float64(1)).tolist() == [3, 3, 3]
    with pytest.raises(TypeError, match="different dtypes"):
        np.float64(2) * x.astype(np.float32)
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cupy.asarray(host.astype(">f8"))


def test_arrays_know_their_device():
    cupy = stand_in.module(devices=2)
    with cupy.cuda.Device(1):
        x = cupy.ones(3)
        y = x + x
    assert y.device == cupy.cuda.Device(1) != cupy.ones(1).device
    assert cupy.asnumpy(y).tolist() == [2, 2, 2]
    assert y[1:].shape == (2,)
    for call in (lambda: x + y, lambda: cupy.sum(x), lambda: x.copy(), lambda: x.fill(0)):
        with pytest.raises(ValueError, match="different from the current device"):
            call()
    with pytest.raises(stand_in.CUDARuntimeError), cupy.cuda.Device(2):
        pass


def test_streams_belong_to_a_device():
    cupy = stand_in.module(devices=2)
    with cupy.cuda.Device(1):
        stream = cupy.cuda.Stream()
    with pytest.raises(RuntimeError, match="does not match with the current device"), stream:
        pass
    with cupy.cuda.ExternalStream(stream.ptr), pytest.raises(stand_in.CUDARuntimeError, match="Resource"):
        cupy.ones(3)
    with cupy.cuda.Device(1), stream:
        assert cupy.cuda.get_current_stream() == stream
        assert cupy.cuda.get_current_stream(0).ptr == 0


def test_other_streams_do_not_wait_by_themselves():
    cupy = stand_in.module()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    with streams[0]:
        x = cupy.ones(3)
        event = streams[0].record()
    with streams[1]:
        with pytest.raises(stand_in.RaceError):
            x + 1
        with pytest.raises(stand_in.RaceError):
            x.get()
        streams[1].wait_event(event)
        y = x + 1
    with streams[0], pytest.raises(stand_in.RaceError):
        x += 1  # which the other one reads
    with pytest.raises(stand_in.RaceError):
        y + 1
    assert not streams[1].done
    streams[1].synchronize()
    assert streams[1].done
    assert (y + 1).tolist() == [3, 3, 3]


def test_the_default_stream_waits_for_others_and_they_for_it():
    cupy = stand_in.module()
    with cupy.cuda.Stream():
        x = cupy.ones(3)
    y = x + 1
    with cupy.cuda.Stream():
        assert (y + 1).tolist() == [3, 3, 3]


def test_copies_that_nobody_waits_for():
    cupy = stand_in.module()
    room = np.frombuffer(cupy.cuda.alloc_pinned_memory(24), np.float64, 3)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        x = cupy.ones(3)
        with pytest.raises(stand_in.RaceError, match="not page-locked"):
            x.get(out=np.empty(3), blocking=False)
        x.get(out=room, blocking=False)
        assert np.isnan(room).all()
        stream.synchronize()
        assert room.tolist() == [1, 1, 1]
        x.set(room)
        room[0] = 2
        with pytest.raises(stand_in.RaceError, match="while it was copied from"):
            stream.synchronize()


def test_waiting_can_be_forbidden():
    cupy = stand_in.module()
    x = cupy.ones(3)
    with stand_in.MACHINE.forbidding_synchronization():
        y = cupy.where(x > 0, x, 0) + x.sum()
        for call in (lambda: float(x[0]), lambda: bool(x.all()), lambda: x[x > 0], lambda: cupy.asnumpy(x)):
            with pytest.raises(stand_in.SynchronizationError):
                call()
    assert y.tolist() == [4, 4, 4]


def test_times_of_events():
    cupy = stand_in.module()
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    stop.record()
    with pytest.raises(stand_in.CUDARuntimeError, match="NotReady"):
        cupy.cuda.get_elapsed_time(start, stop)
    stop.synchronize()
    assert cupy.cuda.get_elapsed_time(start, stop) > 0


# Graphs


def captured(cupy, work):
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.runtime.deviceSynchronize()
    with stream:
        stream.begin_capture()
        try:
            result = work()
        finally:
            graph = stream.end_capture()
    return stream, graph, result


def test_a_graph_does_its_work_again():
    cupy = stand_in.module()
    x, y, z = cupy.ones(3), cupy.zeros(3), cupy.empty(3)

    def work():
        z[...] = x
        z.__iadd__(1)
        y[::-1] = z

    stream, graph, _ = captured(cupy, work)
    assert y.tolist() == [0, 0, 0]
    with stream:
        graph.launch()
        x[1:] = 5
        graph.launch()
        assert y.tolist() == [6, 6, 2]


def test_memory_that_was_given_back_to_the_pool():
    cupy = stand_in.module()
    x, y = cupy.ones(3), cupy.zeros(3)
    stream, graph, _ = captured(cupy, lambda: y.__setitem__(..., x + 1))
    with stream, pytest.raises(stand_in.GraphError, match="given back to the pool"):
        graph.launch()

    def with_its_own():
        with cupy.cuda.using_allocator(cupy.cuda.malloc_async):
            y[...] = x + 1

    stream, graph, _ = captured(cupy, with_its_own)
    with stream:
        graph.launch()
        graph.launch()
        assert y.tolist() == [2, 2, 2]


def test_memory_of_a_graph_is_freed_in_it():
    cupy = stand_in.module()

    def work():
        with cupy.cuda.using_allocator(cupy.cuda.malloc_async):
            return cupy.empty(3)

    stream, graph, _kept = captured(cupy, work)
    with stream:
        graph.launch()
        with pytest.raises(stand_in.GraphError, match="must be freed"):
            graph.launch()


def test_what_cannot_be_captured():
    cupy = stand_in.module()
    x = cupy.ones(3)
    for work in (
        lambda: float(x[0]),
        lambda: cupy.asarray(np.ones(3)),
        lambda: cupy.cuda.Device().synchronize(),
    ):
        with pytest.raises(stand_in.CUDARuntimeError):
            captured(cupy, work)
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.get_current_stream().begin_capture()


# Two versions


def test_external_streams():
    for version in ("13.6", "14.2"):
        cupy = stand_in.module(version)
        pointer = stand_in.MACHINE.new_queue().pointer
        assert hasattr(cupy.cuda.Stream, "from_external") == (version == "14.2")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            cupy.cuda.ExternalStream(pointer)
        assert len(said) == (version == "14.2")
