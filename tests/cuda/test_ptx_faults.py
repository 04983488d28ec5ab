"""Faults planted in the PTX of the kernels, or in their launches, are seen."""

import re
import sys

import numpy as np
import pytest

from gpusvd._cuda import jacobi, launch
from tests.ptx import Device, svd_ex
from tests.ptx.faults import (
    AlignmentError,
    BoundsError,
    DivergenceError,
    LaneError,
    LaunchError,
    RaceError,
    UnwrittenError,
)
from tests.ptx.source import source
from tests.support import measures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")

FACTOR, ROTATE, ASSEMBLE = "factor_batch", "orthogonalise_groups", "assemble_batch"
SMALL, CROSSING = (8, "float32"), (33, "float64")  # a warp a matrix, and several, whose columns go by memory


@pytest.fixture(autouse=True)
def in_phases(monkeypatch):
    """Small matrices too have a kernel for each phase."""
    monkeypatch.setattr(jacobi, "fused_step", lambda problem: None)


def matrices(n, kind):
    return np.random.default_rng(1).standard_normal((3, n, n)).astype(kind)


def changed(name, change):
    """What returns PTX, changed for the kernel of a name."""

    def text_of(kernel, kind, signature):
        text = source(kernel, kind, signature)
        if kernel.function.__name__ != name:
            return text
        new = change(text)
        assert new != text
        return new

    return text_of


def nth(pattern, replacement, which):
    """What replaces one match of a pattern in a text."""

    def change(text):
        match = list(re.finditer(pattern, text))[which]
        return text[: match.start()] + match.expand(replacement) + text[match.end() :]

    return change


def every(pattern, replacement):
    """What replaces all matches."""
    return lambda text: re.sub(pattern, replacement, text)


BARRIER = r"\tbar\.sync \t0;\n"
VECTOR_LOAD = r"(ld\.shared\.v2\.[uf]64 .*?\[%\w+)(?:\+\d+)?\]"
ODD_ALONE = r"""
    mov.u32 %r1, %tid.x; and.b32 %r1, %r1, 1; setp.eq.s32 %p1, %r1, 0; @%p1 bra $L_odd; bar.sync 0; $L_odd:
"""
PLANTED = {
    "columns move without a barrier": (CROSSING, ROTATE, nth(BARRIER, "", 0), RaceError),
    "QR without its first barrier": (SMALL, FACTOR, nth(BARRIER, "", 0), RaceError),
    "QR without its last barrier": (SMALL, FACTOR, nth(BARRIER, "", -1), RaceError),
    "assembly without a barrier": (SMALL, ASSEMBLE, nth(BARRIER, "", 0), RaceError),
    "a barrier for odd threads": (SMALL, FACTOR, nth(BARRIER, ODD_ALONE, 0), (DivergenceError, RaceError)),
    "half of a warp is named": (SMALL, ROTATE, every(r"(mov\.\w32 \t%r\d+, )-1;", r"\g<1>65535;"), LaneError),
    "a load that is misaligned": (CROSSING, ROTATE, nth(VECTOR_LOAD, r"\g<1>+8]", 0), AlignmentError),
    "a load outside": (CROSSING, ROTATE, nth(VECTOR_LOAD, r"\g<1>+160000]", 0), BoundsError),
    "memory is aligned to less": (
        CROSSING,
        ROTATE,
        every(r"shared \.align 16", "shared .align 8"),
        AlignmentError,
    ),
    "more registers than there are": (CROSSING, ROTATE, every(r"\.maxnreg \d+", ".maxnreg 256"), LaunchError),
    "a move that is missing": (
        CROSSING,
        ROTATE,
        nth(r"\tmov\.[uf]64 \t%f?[rd]+\d+, %f?[rd]+\d+;\n", "", 5),
        UnwrittenError,
    ),
    # Of equal ranks.
    "minus for a root": (SMALL, ROTATE, nth(r"rsqrt\.approx\.ftz\.f32", "neg.f32", 0), RaceError),
    "an approximate reciprocal": (SMALL, ROTATE, every(r"rcp\.rn", "rcp.approx"), NotImplementedError),
    "a local variable": (SMALL, ROTATE, nth(r"ld\.shared\.", "ld.local.", 0), NotImplementedError),
}
WRONG = {
    "minus for plus": (
        SMALL,
        ROTATE,
        nth(r"fma\.rn\.f32 \t(%f\d+), (%f\d+)", r"neg.f32 \t\g<1>, \g<2>;\n\tfma.rn.f32 \t\g<1>, \g<1>", 30),
    ),
    "a shuffle from another lane": (
        SMALL,
        ROTATE,
        nth(r"(shfl\.sync\.idx\.b32 \t%r\d+\|%p\d+, %r\d+, )%r\d+", r"\g<1>0", 7),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_is_seen(name):
    (n, kind), kernel, change, error = PLANTED[name]
    with pytest.raises(error):
        svd_ex(matrices(n, kind), full_matrices=False, device=Device(source=changed(kernel, change)))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_result_is_seen(name):
    (n, kind), kernel, change = WRONG[name]
    a = matrices(n, kind)
    U, S, Vh, _ = svd_ex(a, full_matrices=False, device=Device(source=changed(kernel, change)))
    with pytest.raises(AssertionError):
        measures.assert_svd(a, U, S, Vh)


@pytest.mark.parametrize(
    "change",
    [
        lambda flat: tuple(int(value) if isinstance(value, bool) else value for value in flat),
        lambda flat: flat[:-1],
        lambda flat: (*flat, 0),
    ],
    ids=["a truth as a number", "one less", "one more"],
)
def test_other_parameters_are_seen(change, monkeypatch):
    flattened = launch._flattened
    monkeypatch.setattr(launch, "_flattened", lambda *given: change(flattened(*given)))
    with pytest.raises(LaunchError):
        svd_ex(matrices(*SMALL), full_matrices=False)


def test_too_little_shared_memory_is_seen():
    class Less(Device):
        def launch(self, kernel, *rest):
            super().launch(kernel._replace(shared=max(0, kernel.shared - 16)), *rest)

    with pytest.raises(BoundsError):
        svd_ex(matrices(*CROSSING), full_matrices=False, device=Less())


@pytest.mark.parametrize("case", [SMALL, CROSSING], ids=str)
def test_nothing_is_seen_where_nothing_is_wrong(case):
    a = matrices(*case)
    U, S, Vh, _ = svd_ex(a, full_matrices=False)
    measures.assert_svd(a, U, S, Vh)
