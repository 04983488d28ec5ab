"""Streams: the same bits as in memory, from every source, into every target, whatever breaks."""

import errno
import json
import os
import re
import subprocess
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._base.install import install
from gpusvd._stream import checkpoint as _checkpoint
from tests.support import stand_in


def random(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture
def a():
    return random(50, 4, 3)


def joined(pairs, compute_uv=True):
    results = [result if compute_uv else (result,) for _, result in pairs]
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def empty_like(a, **options):
    """Arrays for the results of a stream, full of what no result is."""
    return tuple(np.full_like(x, 7) for x in gpusvd.svd(a, **options))


def zarr_arrays(path, expected):
    """Arrays of Zarr for the results of a stream."""
    group = pytest.importorskip("zarr").open_group(path, mode="w")
    return tuple(
        group.create_array(str(i), shape=x.shape, dtype=x.dtype, chunks=(7, *x.shape[1:]))
        for i, x in enumerate(expected)
    )


def assert_same(results, expected):
    for result, x in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, x, strict=True)


# Sources


def sources(a, folder):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    path = folder / "a.npy"
    np.save(path, a)
    file = h5py.File(folder / "a.h5", "w")
    yield a
    yield a.tolist()
    yield np.load(path, mmap_mode="r")
    yield path
    yield str(path)
    yield file.create_dataset("plain", data=a)
    yield file.create_dataset("chunked", data=a, chunks=(7, *a.shape[1:]))
    yield zarr.create_array(folder / "a.zarr", data=a, chunks=(7, *a.shape[1:]))
    yield (a[i : i + 9] for i in range(0, len(a), 9))
    file.close()


@pytest.mark.parametrize("driver", ["auto", "jacobi"])
def test_every_source_gives_the_bits_of_svd(driver, a, tmp_path):
    for source in sources(a.astype(np.float64), tmp_path):
        chunk = "auto" if hasattr(source, "__next__") else 8
        pairs = list(gpusvd.stream(source, driver=driver, chunk=chunk))
        assert len(pairs) > 1
        where = "jacobi" if driver == "auto" and hasattr(source, "__next__") else driver
        assert_same(joined(pairs), gpusvd.svd(a.astype(np.float64), driver=where))


@pytest.mark.parametrize("chunk", [1, 5, 6, 7, 42, 43, 1000, "auto"])
def test_batches_of_several_dimensions(chunk):
    a = random(2, 3, 7, 3, 3)
    whole = np.full((2, 3, 7, 3), np.nan, np.float32)
    for where, S in gpusvd.stream(a, compute_uv=False, chunk=chunk):
        assert S.shape == a[where].shape[:-1]
        if chunk != "auto":
            assert S[..., 0].size <= chunk
        assert np.isnan(whole[where]).all()
        whole[where] = S
    assert_same([whole], [gpusvd.svdvals(a)])


@pytest.mark.parametrize("shape", [(0, 3, 3), (5, 0, 3), (5, 0, 3, 3), (0, 5, 3, 3)], ids=str)
def test_without_entries(shape):
    out = empty_like(np.zeros(shape))
    assert gpusvd.stream(np.zeros(shape), out=out) is out
    assert_same(out, gpusvd.svd(np.zeros(shape)))


def test_no_chunks_at_all():
    assert list(gpusvd.stream(iter([]))) == []


@pytest.mark.parametrize("dtype", [">f4", "i2", "?", "F", "e"])
def test_dtypes(dtype):
    a = (5 * random(9, 3, 2)).astype(dtype)
    assert_same(joined(gpusvd.stream(a, chunk=4, driver="jacobi")), gpusvd.svd(a, driver="jacobi"))


@pytest.mark.parametrize(
    ("source", "error", "part"),
    [
        (np.eye(3), ValueError, r"source has shape \(3, 3\), expected \(count, ..., M, N\)"),
        (3, TypeError, "source must be an array, the path of a .npy file, .* not int"),
        ("absent.npy", FileNotFoundError, "absent.npy"),
        (__file__, ValueError, "is not a .npy file"),
        ([np.eye(2), np.eye(3)], ValueError, "svd_ragged"),
        (np.zeros((2, 2, 2), "O"), TypeError, "array type object of source"),
        (iter([np.eye(3)]), ValueError, "the first chunk of source has shape"),
        (iter([np.zeros((2, 2, 2)), np.zeros((2, 3, 2))]), ValueError, "a chunk of source has shape"),
        (iter([np.zeros((2, 2, 2)), np.zeros((2, 2, 2), "f")]), ValueError, "a chunk .* dtype float32"),
    ],
)
def test_sources_that_are_none(source, error, part):
    with pytest.raises(error, match=part):
        list(gpusvd.stream(source))


def test_source_in_gpu_memory():
    with pytest.raises(TypeError, match="source is in GPU memory"):
        gpusvd.stream(stand_in.module().zeros((2, 2, 2)))


# Options


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"chunk": 0}, ValueError, "chunk must be 'auto' or a positive int"),
        ({"chunk": True}, ValueError, "chunk must"),
        ({"chunk": "big"}, ValueError, "chunk must"),
        ({"device": "gpu"}, ValueError, "device must be None, 'cpu', .* 'cuda:all' or"),
        ({"consume": 3}, TypeError, "consume must be a callable"),
        ({"consume": print, "out": 3}, ValueError, "consume and out"),
        ({"progress": "yes"}, TypeError, "progress must be"),
        ({"out": 3}, TypeError, "out must be a tuple of 3 arrays"),
        ({"out": (1, 2, 3)}, TypeError, "U in out is a int"),
        ({"out": np.zeros((50, 4)), "compute_uv": False}, ValueError, "S in out has shape"),
        ({"out": np.zeros((50, 3)), "compute_uv": False}, TypeError, "S in out has dtype float64"),
        ({"driver": "best"}, ValueError, "driver must"),
        ({"errors": "ignore"}, ValueError, "errors must"),
        ({"threads": 0}, ValueError, "threads must"),
        ({"hermitian": True}, LinAlgError, "must be square"),
    ],
)
def test_options_that_are_none(options, error, part, a):
    with pytest.raises(error, match=part):
        gpusvd.stream(a, **options)


def test_iterators_have_chunks_of_their_own(a):
    with pytest.raises(ValueError, match="chunk must be 'auto' for an iterator"):
        gpusvd.stream(iter([a]), chunk=3)


def test_out_apart_from_source():
    a = random(9, 3, 3)
    with pytest.raises(ValueError, match="U in out shares memory with source"):
        gpusvd.stream(a, out=(a, np.empty((9, 3), "f"), np.empty((9, 3, 3), "f")))


def test_out_may_lie_between_the_matrices_of_the_source():
    memory = random(18, 3, 3)
    a = memory[::2].copy()
    memory[::2] = a
    S, Vh = np.empty((9, 3), "f"), np.empty((9, 3, 3), "f")
    gpusvd.stream(memory[::2], out=(memory[1::2], S, Vh))
    np.testing.assert_array_equal(memory[::2], a)
    for result, expected in zip((memory[1::2], S, Vh), gpusvd.svd(a), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_hermitian_and_thin(a):
    h = a.mT @ a
    assert_same(joined(gpusvd.stream(h, hermitian=True, chunk=20)), gpusvd.svd(h, hermitian=True))
    assert_same(joined(gpusvd.stream(a, full_matrices=False, chunk=20)), gpusvd.svd(a, False))


def test_consume(a):
    seen = []
    assert gpusvd.stream(a, lambda *pair: seen.append(pair), chunk=20) is None
    assert [where for where, _ in seen] == [slice(0, 20), slice(20, 40), slice(40, 50)]
    assert_same(joined(seen), gpusvd.svd(a))


# Targets


def test_out_arrays_maps_and_datasets(a, tmp_path):
    h5py = pytest.importorskip("h5py")
    expected = gpusvd.svd(a)
    maps = tuple(
        np.lib.format.open_memmap(tmp_path / f"{i}.npy", "w+", x.dtype, x.shape)
        for i, x in enumerate(expected)
    )
    with h5py.File(tmp_path / "out.h5", "w") as file:
        datasets = tuple(file.create_dataset(str(i), x.shape, x.dtype) for i, x in enumerate(expected))
        zarrs = zarr_arrays(tmp_path / "out.zarr", expected)
        for out in (empty_like(a), maps, datasets, zarrs):
            assert gpusvd.stream(a, out=out, chunk=8) is out
            assert_same([x[...] for x in out], expected)
    assert_same([np.load(tmp_path / f"{i}.npy") for i in range(3)], expected)


def test_out_of_an_iterator(a):
    out = empty_like(a)
    gpusvd.stream((a[i : i + 9] for i in range(0, 50, 9)), out=out)
    assert_same(out, gpusvd.svd(a))
    with pytest.raises(ValueError, match="source had 41 matrices, and out has room for 50"):
        gpusvd.stream(iter([a[:41]]), out=out)
    with pytest.raises(ValueError, match=r"source has at least 51 matrices .* room for 50"):
        gpusvd.stream(iter([a, a[:1]]), out=out)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot claim room on a disk")
def test_full_disk_is_told_before_it_kills(a, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    S = np.lib.format.open_memmap(tmp_path / "S.npy", "w+", np.float32, (50, 3))
    with pytest.raises(OSError, match="No space left"):
        gpusvd.stream(a, compute_uv=False, out=S)


# Matrices without factors


def test_bad_matrices(a):
    a[[3, 44]] = np.nan
    assert_same(joined(gpusvd.stream(a, chunk=10)), gpusvd.svd(a))
    chunks = gpusvd.stream(a[5:], chunk=10, errors="raise")
    for _ in range(3):
        next(chunks)
    with pytest.raises(LinAlgError, match=r"in source\[30:40\]: 1 of 10 matrices .* batch indices: 9$"):
        next(chunks)
    out = np.full((50, 3), 7, np.float32)
    with pytest.raises(LinAlgError, match=r"in source\[0:10\]: .* indices: 3$"):
        gpusvd.stream(a, chunk=10, errors="raise", compute_uv=False, out=out)
    assert (out == 7).all()


# Checkpoints


class BrokenError(Exception):
    pass


def breaks(after):
    """A callable that raises at its call number `after`."""
    calls = iter(range(after + 1))

    def call(*_):
        if next(calls) == after:
            raise BrokenError

    return call


@pytest.mark.parametrize("kind", ["arrays", "maps", "datasets", "zarr"])
@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("driver", ["auto", "vendor"])
def test_resume_into_out(kind, after, driver, a, tmp_path):
    expected = gpusvd.svd(a, driver=driver)
    if kind == "arrays":
        out = empty_like(a)
    elif kind == "maps":
        out = tuple(
            np.lib.format.open_memmap(tmp_path / f"{i}.npy", "w+", x.dtype, x.shape)
            for i, x in enumerate(expected)
        )
    elif kind == "zarr":
        out = zarr_arrays(tmp_path / "out.zarr", expected)
    else:
        file = pytest.importorskip("h5py").File(tmp_path / "out.h5", "w")
        out = tuple(file.create_dataset(str(i), x.shape, x.dtype) for i, x in enumerate(expected))
    path = tmp_path / "checkpoint"
    options = {"out": out, "chunk": 8, "resume": path, "driver": driver}
    with pytest.raises(BrokenError):
        gpusvd.stream(a, progress=breaks(after), **options)
    assert json.loads(path.read_text())["chunks"] == after + 1
    seen = []
    gpusvd.stream(a, progress=lambda *pair: seen.append(pair), **options)
    assert seen[0] == (8 * (after + 1), 50)
    assert seen[-1] == (50, 50)
    assert_same([x[...] for x in out], expected)
    assert not path.exists()
    if kind == "datasets":
        file.close()


def test_resume_of_consume_and_of_an_iterator(a, tmp_path):
    path = tmp_path / "checkpoint"
    kept = []

    def consume(where, result):
        if len(kept) == 2 and not path.with_name("mended").exists():
            path.with_name("mended").touch()
            raise BrokenError
        kept.append((where, result))

    with pytest.raises(BrokenError):
        gpusvd.stream(a, consume, chunk=8, resume=path)
    gpusvd.stream(a, consume, chunk=8, resume=path)
    assert_same(joined(kept), gpusvd.svd(a))

    def chunks():
        return (a[i : i + 9] for i in range(0, 50, 9))

    first = []
    for pair in gpusvd.stream(chunks(), resume=path):
        if len(first) == 2:
            break  # the third is not finished
        first.append(pair)
    rest = list(gpusvd.stream(chunks(), resume=path))
    assert rest[0][0] == slice(18, 27)
    assert_same(joined([*first, *rest]), gpusvd.svd(a, driver=gpusvd.explain((9, 4, 3), "f").driver))


def test_bad_chunk_then_mended(a, tmp_path):
    bad, path, out = a.copy(), tmp_path / "checkpoint", empty_like(a)
    bad[33] = np.inf
    options = {"chunk": 8, "resume": path, "out": out}
    with pytest.raises(LinAlgError, match="32:40"):
        gpusvd.stream(bad, errors="raise", **options)
    assert json.loads(path.read_text())["chunks"] == 4
    gpusvd.stream(a, **options)
    assert_same(out, gpusvd.svd(a))


def test_checkpoints_of_something_else(a, tmp_path):
    path, out = tmp_path / "checkpoint", empty_like(a)
    options = {"chunk": 8, "resume": path, "out": out}
    with pytest.raises(BrokenError):
        gpusvd.stream(a, progress=breaks(2), **options)
    kept = path.read_bytes()
    for source, changed, part in [
        (a, {"chunk": 9}, "chunk was 8 and is 9"),
        (a, {"driver": "vendor"}, "driver was jacobi and is vendor"),
        (a + 1, {}, "checksum of the first and last matrix was"),
        (a, {"out": empty_like(a)}, "out does not hold the results"),
    ]:
        with pytest.raises(ValueError, match=part):
            gpusvd.stream(source, **(options | changed))
        assert path.read_bytes() == kept
    for text, part in [
        ("nonsense", "is not a checkpoint"),
        ("[]", "is not a checkpoint"),
        ('{"format": "gpusvd.stream"}', "is not a checkpoint"),
        (json.dumps(json.loads(kept) | {"version": 2}), "version 2, and this gpusvd reads 1"),
        (json.dumps(json.loads(kept) | {"chunks": 99}), "says that 99 chunks are finished"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=part):
            gpusvd.stream(a, **options)
        assert path.read_text() == text
    with pytest.raises(FileNotFoundError):
        gpusvd.stream(a, out=out, resume=tmp_path / "absent" / "checkpoint")


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_killed_process_goes_on(a, tmp_path):
    """Killed without a word: what was flushed before the checkpoint is there, and the rest is done again."""
    np.save(tmp_path / "a.npy", a)
    code = """
        import os, signal, numpy as np, gpusvd
        from gpusvd._stream import checkpoint as _checkpoint
        _checkpoint._SECONDS = 0
        S = np.lib.format.open_memmap("S.npy", "w+", np.float32, (50, 3))
        kill = lambda done, _: done >= 24 and os.kill(os.getpid(), signal.SIGKILL)
        gpusvd.stream("a.npy", compute_uv=False, out=S, chunk=8, resume="checkpoint", progress=kill)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, env=environment())
    assert done.returncode == -9
    assert json.loads((tmp_path / "checkpoint").read_text())["chunks"] == 3
    S = np.lib.format.open_memmap(tmp_path / "S.npy", "r+")
    gpusvd.stream(tmp_path / "a.npy", compute_uv=False, out=S, chunk=8, resume=tmp_path / "checkpoint")
    assert_same([S], [gpusvd.svdvals(a)])


def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_checkpoints_are_not_written_all_the_time(a, tmp_path, monkeypatch):
    saved = []
    replace = _checkpoint.os.fsync
    monkeypatch.setattr(_checkpoint.os, "fsync", lambda file: (saved.append(file), replace(file)))
    list(gpusvd.stream(a, chunk=1, resume=tmp_path / "checkpoint"))
    assert 1 <= len(saved) < 10


# Progress


def test_progress(a, capsys):
    seen = []
    gpusvd.stream(iter([a[:9], a[9:]]), print, progress=lambda *pair: seen.append(pair))
    assert seen == [(9, None), (50, None)]
    capsys.readouterr()
    gpusvd.stream(a, lambda *_: None, chunk=20, progress=True)
    assert "50.0/50.0" in capsys.readouterr().err


def test_progress_without_tqdm(a, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=re.escape(install("progress"))):
        gpusvd.stream(a, progress=True)


# Memory


def peak_of(code, folder):
    """The MB that a process prints, which may ask for its peak."""
    head = """
        import numpy as np, gpusvd
        def peak():
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) / 1024
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_source(tmp_path):
    """From map to map, three times as large as what the process may take beyond its start."""
    shape = (1_500_000, 4, 4)
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, shape)[::1000] = 1
    done = peak_of(
        f"""
        gpusvd.svdvals(np.stack([np.ones((4, 4), "f"), np.zeros((4, 4), "f")]), driver="jacobi")
        start = peak()  # both kernels are compiled
        S = np.lib.format.open_memmap("S.npy", "w+", np.float32, {shape[:2]})
        gpusvd.stream("a.npy", compute_uv=False, out=S, chunk=50_000)
        print(peak() - start)
        """,
        tmp_path,
    )
    assert done < 40  # of 96 + 24 MB


def test_none_is_no_end_of_an_iterator(a):
    with pytest.raises(ValueError, match="a chunk of source has shape"):
        list(gpusvd.stream(iter([a[:5], None, a[5:]])))
    with pytest.raises(ValueError, match="the first chunk of source has shape"):
        gpusvd.stream(iter([None, a]))


@pytest.mark.parametrize(("before", "after"), [(5, 10), (20, 5)])
def test_an_iterator_of_other_chunks_does_not_resume(before, after, a, tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(BrokenError):
        gpusvd.stream(chunks_of(a, before), breaks(2), resume=path)
    with pytest.raises(ValueError, match="belongs to another stream: its last finished chunk is at"):
        gpusvd.stream(chunks_of(a, after), breaks(99), resume=path)
    gpusvd.stream(chunks_of(a, before), lambda *_: None, resume=path)
    assert not path.exists()


def chunks_of(a, size):
    return (a[i : i + size] for i in range(0, len(a), size))


def test_a_stream_left_behind_does_not_touch_the_checkpoint_of_the_next(a, tmp_path):
    path = tmp_path / "checkpoint"
    behind = gpusvd.stream(a, chunk=10, resume=path)
    next(behind)
    next(behind)
    assert len(list(gpusvd.stream(a, chunk=10, resume=path))) == 5
    behind.close()
    assert not path.exists()


def test_a_file_of_hdf5_survives_a_kill(tmp_path):
    pytest.importorskip("h5py")
    code = """
        import os, signal, sys, h5py, numpy as np, gpusvd
        from gpusvd._stream import checkpoint as _checkpoint
        _checkpoint._SECONDS = 0
        a = np.random.default_rng(0).standard_normal((50, 4, 3))
        new = not os.path.exists("out.h5")
        file = h5py.File("out.h5", "w" if new else "r+")
        S = file.create_dataset("S", (50, 3), "f8", chunks=(7, 3)) if new else file["S"]
        def progress(done, total):
            if new and done == 30:
                os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        gpusvd.stream(a, compute_uv=False, out=S, chunk=10, resume="checkpoint", progress=progress)
        assert (S[...] == gpusvd.svdvals(a)).all()
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    codes = [subprocess.run(run, cwd=tmp_path, env=environment, check=False).returncode for _ in range(2)]
    assert codes[0] != 0
    assert codes[1] == 0


def test_targets_beside_datasets_are_checked(a, tmp_path):
    h5py = pytest.importorskip("h5py")
    U, S, Vh = empty_like(np.zeros((50, 3, 3)))
    a = a[:, :3].astype(float)
    with h5py.File(tmp_path / "out.h5", "w") as file:
        one, s = file.create_dataset("U", U.shape, "f8"), file.create_dataset("S", S.shape, "f8")
        for out, part in (
            ((one, S, one), "the same array or dataset twice"),
            ((U, s, U), "share memory"),
            ((one, np.broadcast_to(S[:1], S.shape), Vh), "S in out is read-only"),
        ):
            with pytest.raises(ValueError, match=part):
                gpusvd.stream(a, out=out)


def test_room_is_not_claimed_where_it_cannot_be(a, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    S = np.lib.format.open_memmap(tmp_path / "S.npy", "w+", np.float32, (50, 3))
    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    gpusvd.stream(a, compute_uv=False, out=S)
    if os.name == "posix":
        (tmp_path / "S.npy").unlink()
        gpusvd.stream(a, compute_uv=False, out=S)


def test_sources_of_other_libraries(a):
    da = pytest.importorskip("dask.array")
    assert_same(joined(gpusvd.stream(da.from_array(a, chunks=(20, 4, 3)))), gpusvd.svd(a))

    class Strange:
        shape, dtype = (3, 2, 2), "no dtype"

        def __getitem__(self, _):
            return None

    with pytest.raises(TypeError, match=r"source has shape .* and dtype no dtype, expected those of NumPy"):
        gpusvd.stream(Strange())


# Functions


def shrunk(a):
    return gpusvd.svt(a, 0.5)


FUNCTIONS = [
    shrunk,
    gpusvd.polar,
    partial(gpusvd.low_rank, rtol=0.3, max_rank=2),
    lambda a: (a.sum(axis=(-2, -1)), np.sort(a, axis=-1)[..., 1:]),
]
by_function = pytest.mark.parametrize("function", FUNCTIONS, ids=["svt", "polar", "low_rank", "own"])


def parts_of(result):
    return result if isinstance(result, tuple) else (result,)


@by_function
@pytest.mark.parametrize("shape", [(50, 4, 3), (5, 10, 4, 3), (9, 70, 60)], ids=str)
def test_a_function_as_in_memory(function, shape):
    a = random(*shape)
    expected = function(a)
    for chunk in (1, 4, "auto"):
        pairs = list(gpusvd.stream(a, function=function, chunk=chunk))
        for where, result in pairs:
            assert type(result) is type(expected)
            assert_same(parts_of(result), [x[where] for x in parts_of(expected)])
        out = tuple(np.full_like(x, 7) for x in parts_of(expected))
        out = out if isinstance(expected, tuple) else out[0]
        assert gpusvd.stream(a, function=function, chunk=chunk, out=out) is out
        assert_same(parts_of(out), parts_of(expected))


@by_function
def test_a_function_from_every_source_into_maps_and_datasets(function, a, tmp_path):
    expected = parts_of(function(a))
    for number, source in enumerate(sources(a, tmp_path)):
        if isinstance(source, list):
            continue  # of float64
        file = pytest.importorskip("h5py").File(tmp_path / f"out{number}.h5", "w")
        for out in (
            tuple(
                np.lib.format.open_memmap(tmp_path / f"{i}.npy", "w+", x.dtype, x.shape)
                for i, x in enumerate(expected)
            ),
            tuple(file.create_dataset(str(i), x.shape, x.dtype) for i, x in enumerate(expected)),
        )[: 1 if hasattr(source, "__next__") else 2]:
            gpusvd.stream(source, function=function, out=out if len(out) > 1 else out[0])
            assert_same([x[...] for x in out], expected)


def test_resume_with_other_options_of_a_function(a, tmp_path):
    options = {"out": np.empty_like(a), "chunk": 8, "resume": tmp_path / "checkpoint"}
    with pytest.raises(BrokenError):
        gpusvd.stream(a, function=partial(gpusvd.svt, tau=0.5), progress=breaks(1), **options)
    with pytest.raises(ValueError, match=r"options of function was .*0\.5.* and is .*2"):
        gpusvd.stream(a, function=partial(gpusvd.svt, tau=2), **options)
    gpusvd.stream(a, function=partial(gpusvd.svt, tau=0.5), **options)
    assert_same([options["out"]], [gpusvd.svt(a, 0.5)])


def test_a_function_in_the_place_of_consume(a):
    with pytest.raises(ValueError, match="pass a function of a chunk as function="):
        gpusvd.stream(a, gpusvd.svdvals, out=np.empty(5))


@pytest.mark.parametrize("after", [0, 3])
def test_resume_of_a_function(after, a, tmp_path):
    path, out = tmp_path / "checkpoint", np.empty_like(a)
    options = {"function": shrunk, "out": out, "chunk": 8, "resume": path}
    with pytest.raises(BrokenError):
        gpusvd.stream(a, progress=breaks(after), **options)
    with pytest.raises(ValueError, match="function was shrunk and is polar"):
        gpusvd.stream(a, **options | {"function": partial(gpusvd.polar, side="left"), "out": None})
    with pytest.raises(ValueError, match="full_matrices was None and is True"):
        gpusvd.stream(a, resume=path)
    seen = []
    gpusvd.stream(a, progress=lambda *pair: seen.append(pair), **options)
    assert seen[0] == (8 * (after + 1), 50)
    assert_same([out], [shrunk(a)])
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"function": "svt"}, TypeError, "function must be a callable of a chunk or None, not str"),
        ({"driver": "jacobi"}, ValueError, "driver is an option of svd, and function is called with a chunk"),
        ({"compute_uv": False}, ValueError, "compute_uv is an option of svd"),
        (
            {"out": np.empty((49, 4, 3), "f")},
            ValueError,
            r"array 0 in out has shape \(49, 4, 3\), expected \(50,",
        ),
        (
            {"out": np.empty((50, 3, 4), "f")},
            ValueError,
            r"returns float32 of shape \(50, 4, 3\) for source\[0:50\]",
        ),
        ({"out": np.empty((50, 4, 3))}, ValueError, "out has room for float64 of shape"),
        ({"out": (np.empty((50, 4, 3)),) * 2}, ValueError, "share memory"),
        (
            {"out": (np.empty((50, 4, 3)), np.empty(50))},
            ValueError,
            "function returns 1 arrays, and out has 2",
        ),
        ({"out": [1, 2]}, TypeError, "array 0 in out is a list, expected an array"),
        ({"function": np.linalg.inv}, LinAlgError, r"in source\[0:50\]: .*square"),
    ],
)
def test_functions_that_are_none_and_results_that_do_not_fit(options, error, part, a):
    with pytest.raises(error, match=part):
        list(gpusvd.stream(a, **{"function": shrunk} | options))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_function(tmp_path):
    """From map to map, of 86 MB each."""
    shape = (600_000, 6, 6)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal(shape, np.float32))
    done = peak_of(
        f"""
        gpusvd.svt(np.load("a.npy", mmap_mode="r")[:100], 0.5)
        start = peak()  # the kernel is compiled
        out = np.lib.format.open_memmap("out.npy", "w+", np.float32, {shape})
        gpusvd.stream("a.npy", function=lambda a: gpusvd.svt(a, 0.5), out=out)
        print(peak() - start)
        """,
        tmp_path,
    )
    assert done < 60


# GPUs


@pytest.mark.parametrize(("device", "devices"), [("cuda", 1), ("cuda:all", 3)])
@pytest.mark.parametrize("driver", ["auto", "vendor"])
def test_on_gpus(device, devices, driver, a, monkeypatch):
    stand_in.install(monkeypatch, devices=devices)
    a = a[:20].astype(">f4")
    expected = gpusvd.svd(a, device="cuda", driver=driver)
    pairs = list(gpusvd.stream(a, chunk=3, device=device, driver=driver))
    assert_same(joined(pairs), expected)
    out = empty_like(a)
    gpusvd.stream(iter([a[:9], a[9:]]), device=device, driver=driver, out=out)
    assert_same(out, expected)
    a[7] = np.nan
    with pytest.raises(LinAlgError, match=r"in source\[6:9\]: 1 of 3 .* indices: 1$"):
        list(gpusvd.stream(a, chunk=3, device=device, driver=driver, errors="raise"))


@pytest.mark.parametrize(("device", "devices"), [("cuda", 1), ("cuda:all", 3)])
def test_functions_on_gpus(device, devices, a, monkeypatch):
    cupy = stand_in.install(monkeypatch, devices=devices)
    expected = gpusvd.low_rank(cupy.asarray(a[:20]), rank=2)
    kinds = set()

    def function(chunk):
        kinds.add(type(chunk))
        return gpusvd.low_rank(chunk, rank=2)

    expected = [cupy.asnumpy(x) for x in expected]
    pairs = list(gpusvd.stream(a[:20], function=function, chunk=3, device=device))
    assert kinds == {cupy.ndarray}
    assert all(type(result) is gpusvd.TruncatedSVD for _, result in pairs)
    assert_same(joined(pairs), expected)
    out = tuple(np.full_like(x, 7) for x in expected)
    gpusvd.stream(a[:20], function=function, chunk=3, device=device, out=out)
    assert_same(out, expected)


def test_no_copy_is_under_way_after_a_stream_on_a_gpu_is_left(a, monkeypatch):
    stand_in.install(monkeypatch)
    chunks = gpusvd.stream(a, chunk=5, device="cuda", driver="vendor")
    next(chunks)
    assert stand_in.MACHINE.has_copies()
    chunks.close()
    assert not stand_in.MACHINE.has_copies()


def test_no_gpu(a, monkeypatch):
    stand_in.install(monkeypatch, devices=0)
    with pytest.raises(RuntimeError, match="no CUDA device"):
        gpusvd.stream(a, device="cuda")
