"""`svd`, `svd_ragged`, `stream` and the command line on inputs that hypothesis generates: no crash, no hang,
and only documented errors, with messages that name the argument."""

import argparse
import contextlib
import faulthandler
import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd.__main__ import main as command_line

HANG = 60  # seconds for one example
DTYPES = (*"?bhilqBHILQefdFD", ">f4", ">c16", "g", "G", "O", "U3", "M8[s]", "V4")
# What an error is to say: the name of an argument, or in NumPy's words what is wrong with the array.
NAMES = set(
    """driver errors threads device out full_matrices compute_uv hermitian chunk consume resume progress
    source matrices array matrix dimension square NaN""".split()  # noqa: SIM905
)

odd: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.floats(), st.text(max_size=4), st.just([1]), st.just(())
)
lengths = st.integers(0, 9)
shapes = st.one_of(
    st.tuples(lengths, lengths),
    st.tuples(lengths, lengths, lengths),
    st.lists(st.integers(0, 4), max_size=5).map(tuple),
)
outcomes: Counter[str] = Counter()


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays of any dtype, shape and strides, of bits that may be NaN, Inf or subnormal."""
    shape, dtype = draw(shapes), np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind in "OU":
        a = np.zeros(shape, dtype)
    elif draw(st.booleans()):
        a = np.array(9 * rng.standard_normal(shape))
        with np.errstate(all="ignore"):
            a = a.astype(dtype) if dtype.kind in "?biufc" else np.zeros(shape, dtype)
    else:
        count = int(np.prod(shape))
        bits = rng.integers(0, 256, count * dtype.itemsize, np.uint8)
        a = (bits % 2).view(dtype).reshape(shape) if dtype.kind == "b" else bits.view(dtype).reshape(shape)
    a = np.asarray(a)
    if a.ndim > 1 and draw(st.booleans()):
        a = a.swapaxes(-1, -2)
    if a.ndim and draw(st.booleans()):
        a = a[::-1]
    if a.ndim and draw(st.booleans()):
        a = a[..., ::2]
    if draw(st.integers(0, 9)) == 0:
        a.flags.writeable = False
    return a


def option(*values: Any) -> st.SearchStrategy[Any]:
    """Mostly what an option may be, at times something odd."""
    return st.integers(0, 19).flatmap(lambda chance: st.sampled_from(values) if chance else odd)


options = st.fixed_dictionaries(
    {},
    optional={
        "full_matrices": st.booleans(),
        "compute_uv": st.booleans(),
        "hermitian": st.booleans(),
        "driver": option("auto", "jacobi", "vendor"),
        "errors": option("nan", "raise"),
        "threads": option(None, 1, 2, 7),
        "device": option(None, None, None, "cuda"),
    },
)
inputs = st.one_of(arrays(), arrays(), arrays(), st.recursive(odd, lambda x: st.lists(x, max_size=3)))


def documented(call: Callable[[], object]) -> None:
    """Call, and let pass only documented errors that say what they are about."""
    faulthandler.dump_traceback_later(HANG, exit=True)
    try:
        call()
        outcomes["results"] += 1
    except (ImportError, LinAlgError, RuntimeError, TypeError, ValueError, OSError) as error:
        outcomes[type(error).__name__] += 1
        if not is_clear(error):
            raise AssertionError(f"unclear: {error!r}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()


def is_clear(error: Exception) -> bool:
    """Whether an error says what it is about."""
    said = str(error)
    if isinstance(error, ImportError | RuntimeError):
        return "CuPy" in said or "CUDA" in said
    return isinstance(error, OSError) or any(name in said for name in NAMES)


@given(inputs, options, st.one_of(st.none(), st.just("right"), odd, arrays(), st.tuples(arrays(), arrays())))
def fuzz_svd(a: Any, options: dict[str, Any], out: Any) -> None:
    def call() -> None:
        results = gpusvd.svd(a, **options)
        if out is not None:
            given = out
            if isinstance(out, str) and out == "right":
                given = tuple(map(np.empty_like, results)) if isinstance(results, tuple) else results.copy()
            gpusvd.svd(a, out=given, **options)

    documented(call)


@given(st.lists(inputs, max_size=6), options)
def fuzz_ragged(matrices: list[Any], options: dict[str, Any]) -> None:
    documented(lambda: list(gpusvd.svd_ragged(matrices, **options)))


@given(
    inputs,
    options,
    st.fixed_dictionaries(
        {},
        optional={
            "chunk": option("auto", 1, 3, 100),
            "progress": option(None, False, print_nothing := (lambda *_: None)),
            "consume": option(None, print_nothing),
        },
    ),
    st.booleans(),
)
def fuzz_stream(a: Any, options: dict[str, Any], more: dict[str, Any], iterate: bool) -> None:
    def call() -> None:
        source = iter([a, a]) if iterate else a
        for _ in gpusvd.stream(source, **options, **more) or ():
            pass

    documented(call)


WORDS = """svd compress expand info --help -o --output out.npz a.npy a.npy b.png /dev/null . --thin --full
--values-only --driver jacobi vendor auto --threads 1 2 0 -1 x --rank --energy 0.5 --patch 4 --save"""
words = st.one_of(
    st.sampled_from(WORDS.split()),
    st.text(max_size=5).filter(lambda text: not text.startswith("/")),
)


@given(
    st.one_of(arrays(), st.binary(max_size=200)),
    st.one_of(
        st.lists(words, max_size=7),
        st.lists(words, max_size=3).map(lambda more: ["svd", "a.npy", "-o", "out.npz", *more]),
    ),
)
def fuzz_command_line(contents: Any, arguments: list[str]) -> None:
    """Whatever the arguments and the file: a status of the four, one line of error, nothing left behind."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if isinstance(contents, bytes):
            Path("a.npy").write_bytes(contents)
        else:
            with contextlib.suppress(ValueError):
                np.save("a.npy", contents, allow_pickle=contents.dtype == object)
        said, wrong = io.StringIO(), io.StringIO()
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
                try:
                    status: Any = command_line(arguments)
                except SystemExit as end:  # argparse's
                    status = end.code
        finally:
            faulthandler.cancel_dump_traceback_later()
        outcomes[f"status {status}"] += 1
        assert status in (0, 1, 2), status
        assert (status == 0) == (wrong.getvalue() == ""), wrong.getvalue()
        assert "Traceback" not in wrong.getvalue()
        assert not [name for name in os.listdir() if name.startswith(".out")], os.listdir()


QUIETLY = settings(
    max_examples=200,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
    print_blob=False,
)
TARGETS = [QUIETLY(target) for target in (fuzz_svd, fuzz_ragged, fuzz_stream, fuzz_command_line)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round")
    arguments = parser.parse_args()
    begin, first = time.monotonic(), arguments.seed
    while time.monotonic() - begin < 60 * arguments.minutes:
        for target in TARGETS:
            seed(first)(target)()  # a fault is shrunk, and raised with its example
        print(
            f"{time.monotonic() - begin:6.0f} s, seed {first}: {dict(sorted(outcomes.items()))}", flush=True
        )
        first += 1
    print(f"{sum(outcomes.values())} calls, and no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
