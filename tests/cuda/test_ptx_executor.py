"""The executor of PTX computes what PTX's manual says, and reports what it leaves undefined."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpusvd._cuda.jacobi import tiny_kernel
from gpusvd._cuda.problem import Problem
from tests.ptx import Device, source
from tests.ptx.device import Function, packed
from tests.ptx.faults import (
    AlignmentError,
    BoundsError,
    DivergenceError,
    KernelError,
    LaneError,
    LaunchError,
    RaceError,
    UnwrittenError,
)
from tests.ptx.memory import Global
from tests.ptx.operations import DTYPES, OPERATIONS
from tests.ptx.parse import Parameter, parse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")

NAN, INF = float("nan"), float("inf")
LEAST, MOST = -(2**63), 2**63 - 1


def text_of(body, parameters=0, declarations="", limits=""):
    """A module whose parameters are addresses, in %rd1 and so on, with the thread in %r0 and %rd0."""
    names = [f"p_{i}" for i in range(1, parameters + 1)]
    loads = "\n".join(f"ld.param.u64 %rd{i}, [{name}];" for i, name in enumerate(names, 1))
    return f"""
.version 9.0
.target sm_90
.address_size 64
{declarations}
.visible .entry example({", ".join(f".param .u64 {name}" for name in names)}) {limits}
{{
    .reg .pred %p<9>;
    .reg .b16 %rs<9>;
    .reg .b32 %r<30>;
    .reg .b64 %rd<30>;
    .reg .f32 %f<9>;
    .reg .f64 %fd<9>;
    {loads}
    mov.u32 %r0, %tid.x;
    cvt.u64.u32 %rd0, %r0;
    {body}
    ret;
}}
"""


def run(body, *arrays, threads=32, blocks=1, shared=0, declarations="", device=None):
    """Run a program, whose parameters are these arrays, on a device; what it has executed."""
    device, memory = device or Device(), Global()
    parameters = {f"p_{i}": np.uint64(memory.place(x)).tobytes() for i, x in enumerate(arrays, 1)}
    text = text_of(body, len(arrays), declarations)
    device.execute(text, "float32", blocks, threads, parameters, memory, shared)
    return device.launches[-1]


# What instructions compute

COMPUTED = [
    ("mov.f64", [-0.0], -0.0),
    ("mov.pred", [True], True),
    ("cvta.to.global.u64", [2**40], 2**40),
    ("add.s32", [2**31 - 1, 1], -(2**31)),
    ("add.u16", [2**16 - 1, 1], 0),
    ("add.s64", [MOST, 1], LEAST),
    ("add.f32", [1.0, 2.0**-24], 1.0),
    ("add.f32", [1.0, 2.0**-23], 1.0 + 2.0**-23),
    ("add.rn.f64", [INF, -INF], NAN),
    ("sub.u32", [0, 1], 2**32 - 1),
    ("sub.rn.f32", [1.0, 2.0**-24], 1.0 - 2.0**-24),
    ("mul.f32", [2.0**-100, 2.0**-49], 2.0**-149),
    ("mul.rn.f64", [1 + 2.0**-30, 1 + 2.0**-30], 1 + 2.0**-29),
    ("fma.rn.f64", [1 + 2.0**-30, 1 + 2.0**-30, -1.0], 2.0**-29 + 2.0**-60),
    ("fma.rn.f32", [1 + 2.0**-12, 1 + 2.0**-12, -1.0], 2.0**-11 + 2.0**-24),
    ("fma.rn.f32", [1.0, 2.0**-24, 1 + 2.0**-23], 1 + 2.0**-22),
    ("div.rn.f32", [1.0, 3.0], float(np.float32(1) / np.float32(3))),
    ("rcp.rn.f64", [-0.0], -INF),
    ("sqrt.rn.f64", [2.0], 2**0.5),
    ("sqrt.rn.f32", [-1.0], NAN),
    ("rcp.approx.ftz.f32", [-(2.0**-140)], -INF),
    ("copysign.f32", [-1.0, 3.0], -3.0),
    ("max.f32", [NAN, 1.0], 1.0),
    ("max.f64", [-0.0, 0.0], 0.0),
    ("min.f64", [0.0, -0.0], -0.0),
    ("min.f32", [2.0, -INF], -INF),
    ("neg.f32", [0.0], -0.0),
    ("neg.s64", [LEAST], LEAST),
    ("abs.f64", [-0.0], 0.0),
    ("abs.s32", [-5], 5),
    ("mul.lo.s32", [2**16, 2**16 + 3], 3 * 2**16),
    ("mad.lo.s32", [-3, 5, 1], -14),
    ("mul.hi.u64", [2**64 - 1, 2**64 - 1], 2**64 - 2),
    ("mul.hi.s64", [LEAST, 3], -2),
    ("mul.hi.s64", [-1, 1], -1),
    ("mul.wide.s32", [-(2**31), 2], -(2**32)),
    ("mul.wide.u32", [2**31, 2], 2**32),
    ("mul.wide.u16", [2**15, 2], 2**16),
    ("mad.wide.s32", [-(2**31), 2, 1], 1 - 2**32),
    ("div.s32", [-7, 2], -3),
    ("div.u64", [2**64 - 1, 10], (2**64 - 1) // 10),
    ("rem.s32", [-7, 2], -1),
    ("rem.u32", [2**32 - 1, 10], 5),
    ("max.s32", [-1, 0], 0),
    ("min.u32", [2**32 - 1, 0], 0),
    ("and.b32", [12, 10], 8),
    ("or.b64", [12, 10], 14),
    ("xor.pred", [True, True], False),
    ("not.b32", [0], 2**32 - 1),
    ("popc.b32", [2**31 + 5], 3),
    ("not.pred", [False], True),
    ("shl.b32", [3, 31], 2**31),
    ("shl.b32", [3, 32], 0),
    ("shl.b64", [1, 63], 2**63),
    ("shr.s32", [-8, 1], -4),
    ("shr.s32", [-8, 40], -1),
    ("shr.s64", [LEAST, 63], -1),
    ("shr.u64", [2**63, 64], 0),
    ("bfi.b64", [2**20 + 5, 2**64 - 1, 32, 4], 2**64 - 1 - (10 << 32)),
    ("bfi.b32", [7, 0, 30, 8], 3 * 2**30),
    ("bfi.b64", [5, 9, 0, 64], 5),
    ("prmt.b32", [0x33221100, 0x77665544, 0x2104], 0x22110044),
    ("prmt.b32", [0x80, 0x7F, 0x0C84], 0x8000FF7F),
    ("setp.eq.s64", [LEAST, LEAST], True),
    ("setp.lt.s32", [-1, 0], True),
    ("setp.lt.u32", [2**32 - 1, 0], False),
    ("setp.le.s32", [1, 1], True),
    ("setp.gt.f32", [NAN, 1.0], False),
    ("setp.ge.f64", [1.0, 1.0], True),
    ("setp.ne.s32", [1, 2], True),
    ("setp.ne.f32", [NAN, 1.0], False),
    ("setp.neu.f32", [NAN, 1.0], True),
    ("setp.equ.f64", [NAN, 1.0], True),
    ("setp.ltu.f64", [2.0, 1.0], False),
    ("setp.leu.f64", [NAN, 1.0], True),
    ("setp.gtu.f32", [1.0, 1.0], False),
    ("setp.geu.f32", [1.0, 1.0], True),
    ("setp.num.f32", [1.0, NAN], False),
    ("setp.nan.f32", [1.0, NAN], True),
    ("selp.f32", [1.0, 2.0, True], 1.0),
    ("selp.b64", [1, 2, False], 2),
    ("cvt.s64.s32", [-1], -1),
    ("cvt.u64.u32", [2**32 - 1], 2**32 - 1),
    ("cvt.u32.u64", [2**32 + 7], 7),
    ("cvt.rn.f32.s64", [2**24 + 1], 2.0**24),
    ("cvt.rn.f64.s32", [-7], -7.0),
    ("cvt.rn.f32.f64", [1 + 2.0**-24 + 2.0**-50], 1 + 2.0**-23),
    ("cvt.f64.f32", [2.0**-149], 2.0**-149),
    ("cvt.rzi.s64.f64", [-2.9], -2),
    ("cvt.rzi.s64.f32", [1e30], MOST),
    ("cvt.rzi.s64.f32", [NAN], LEAST),
    ("cvt.rzi.s32.f32", [-1e30], -(2**31)),
    ("cvt.rzi.s32.f32", [NAN], 0),
    ("cvt.rzi.u32.f32", [-3.0], 0),
    ("cvt.rzi.f64.f64", [-2.9], -2.0),
]


def family(name):
    """An instruction's name without its types."""
    return ".".join(part for part in name.split(".") if part not in DTYPES)


@pytest.mark.parametrize(("name", "operands", "expected"), COMPUTED, ids=str)
def test_computes(name, operands, expected):
    operation = OPERATIONS[name]
    given = [np.array([x], DTYPES[kind]) for x, kind in zip(operands, operation.operands, strict=True)]
    if name.startswith(("shl", "shr")):
        given[1] = given[1].astype("u4")
    out = np.zeros(1, DTYPES[operation.result])
    loads = [load(i + 2, x) for i, x in enumerate(given)]
    registers = [register_of(x.dtype, i + 2) for i, x in enumerate(given)]
    to = register_of(out.dtype, 1)
    body = "\n".join([*loads, f"{name} {to}, {', '.join(registers)};", store(to, out)])
    run(body, out, *given, threads=1)
    assert repr(out.item()) == repr(np.array(expected, out.dtype).item())  # tells zeros apart, not NaN


APPROXIMATE = [
    ("rcp.approx.ftz.f32", lambda x: 1 / x, 22),
    ("rsqrt.approx.ftz.f32", lambda x: x**-0.5, 21),
    ("sqrt.approx.ftz.f32", np.sqrt, 21),
    ("rcp.approx.ftz.f64", lambda x: 1 / x, 19),
    ("rsqrt.approx.ftz.f64", lambda x: x**-0.5, 19),
]


@pytest.mark.parametrize(("name", "function", "bits"), APPROXIMATE)
def test_approximations_are_as_far_off_as_they_may_be(name, function, bits):
    """Not exact, so that nothing rests on it, and of double precision the upper half alone."""
    real = DTYPES[name.rpartition(".")[2]]
    x = np.random.default_rng(0).uniform(0.5, 8, 64).astype(real)
    out = np.zeros_like(x)
    from_, to = register_of(x.dtype, 2), register_of(out.dtype, 1)
    for i in range(len(x)):
        one, given = out[i : i + 1], x[i : i + 1]
        run("\n".join([load(2, given), f"{name} {to}, {from_};", store(to, one)]), one, given, threads=1)
    error = np.abs(out / function(x.astype(float)) - 1)
    assert 2.0 ** -(bits + 3) < error.max() < 2.0**-bits
    if out.itemsize == 8:
        assert not (out.view("u8") & np.uint64(0xFFFFFFFF)).any()


def register_of(dtype, number):
    """A register for numbers of a dtype."""
    names = {"?": "%p", "u2": "%rs", "i2": "%rs", "u4": "%r", "i4": "%r", "f4": "%f", "f8": "%fd"}
    name = names.get(dtype.str[1:].replace("b1", "?"), "%rd")
    return f"{name}{number + 10 if name == '%rd' else number}"


def load(number, x):
    """Code that loads an array's first number into the register of the same number."""
    if x.dtype == bool:
        return f"ld.global.u8 %rs{number}, [%rd{number}]; setp.ne.s16 %p{number}, %rs{number}, 0;"
    return f"ld.global.b{8 * x.itemsize} {register_of(x.dtype, number)}, [%rd{number}];"


def store(register, x):
    if x.dtype == bool:
        return f"selp.u16 %rs1, 1, 0, {register}; st.global.u8 [%rd1], %rs1;"
    return f"st.global.b{8 * x.itemsize} [%rd1], {register};"


def test_every_operation_is_tested():
    assert {family(name) for name in OPERATIONS} == {family(name) for name, _, _ in COMPUTED + APPROXIMATE}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fma_rounds_once(dtype):
    import mpmath

    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(200).astype(dtype) for _ in range(3))
    c = -(a * b) * (1 + rng.integers(-2, 3, 200) * np.finfo(dtype).eps).astype(dtype)
    out = np.zeros(200, dtype)
    kind, letter = f"f{8 * out.itemsize}", "f" if dtype == "f4" else "fd"
    loads = "".join(
        f"add.s64 %rd{i + 10}, %rd{i}, %rd9; ld.global.{kind} %{letter}{i}, [%rd{i + 10}];" for i in (1, 2, 3)
    )
    body = f"""shl.b64 %rd9, %rd0, {2 if dtype == "f4" else 3}; {loads}
    fma.rn.{kind} %{letter}4, %{letter}1, %{letter}2, %{letter}3;
    add.s64 %rd14, %rd4, %rd9; st.global.{kind} [%rd14], %{letter}4;"""
    run(body, a, b, c, out, threads=200)
    with mpmath.workprec(200):
        exact = [mpmath.mpf(float(x)) * float(y) + float(z) for x, y, z in zip(a, b, c, strict=True)]
    with mpmath.workprec(np.finfo(dtype).nmant + 1):
        assert out.tolist() == [float(+x) for x in exact]
    assert (out != a * b + c).any()


def test_moves_between_halves():
    out = np.zeros(2, "u8")
    body = """mov.b64 %rd5, 0x1234567890ABCDEF;
    { .reg .b32 %low; mov.b64 {%low, %r5}, %rd5; mov.u32 %r6, %low; }
    mov.b64 %rd6, {%r5, %r6}; st.global.u64 [%rd1], %rd6;
    mov.b64 %fd1, {%r6, %r5}; st.global.f64 [%rd1+8], %fd1;"""
    run(body, out, threads=1)
    assert [hex(x) for x in out] == ["0x90abcdef12345678", "0x1234567890abcdef"]


def test_registers_of_an_inner_scope_are_others():
    out = np.zeros(1, "u4")
    run("mov.u32 %r1, 1; { .reg .b32 %r1; mov.u32 %r1, 2; } st.global.u32 [%rd1], %r1;", out, threads=1)
    assert out[0] == 1


def test_numbers_as_ptx_writes_them():
    out = np.zeros(4, "f4")
    body = """mov.f32 %f1, 0f3F800000; mov.f64 %fd1, 0dBFF0000000000000; cvt.rn.f32.f64 %f2, %fd1;
    mov.u32 %r1, -1; cvt.rn.f32.s32 %f3, %r1; cvt.rn.f32.u32 %f4, 4294967295U;
    st.global.v4.f32 [%rd1], {%f1, %f2, %f3, %f4};"""
    run(body, out, threads=1)
    assert out.tolist() == [1, -1, -1, 2.0**32]


def test_special_registers():
    out = np.zeros((3, 64, 5), "u4")
    body = """mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mad.lo.s32 %r3, %r1, %r2, %r0;
    mov.u32 %r4, %laneid; mov.u32 %r5, %nctaid.x; mul.wide.s32 %rd5, %r3, 20; add.s64 %rd6, %rd1, %rd5;
    st.global.u32 [%rd6], %r0; st.global.u32 [%rd6+4], %r1; st.global.u32 [%rd6+8], %r2;
    st.global.u32 [%rd6+12], %r4; st.global.u32 [%rd6+16], %r5;"""
    run(body, out, threads=64, blocks=3)
    thread = np.arange(64)
    for block in range(3):
        expected = np.stack(np.broadcast_arrays(thread, block, 64, thread % 32, 3), 1)
        np.testing.assert_array_equal(out[block], expected)


# Memory


def test_loads_and_stores_of_all_widths():
    a = np.arange(-8, 8, dtype="i1")
    out = np.zeros(5, "i8")
    body = """ld.global.s8 %rs1, [%rd1]; cvt.s64.s16 %rd3, %rs1; st.global.u64 [%rd2], %rd3;
    ld.global.u8 %rs2, [%rd1+1]; cvt.s64.s16 %rd4, %rs2; st.global.u64 [%rd2+8], %rd4;
    ld.global.s16 %r3, [%rd1+2]; cvt.s64.s32 %rd5, %r3; st.global.u64 [%rd2+16], %rd5;
    ld.global.v2.u32 {%r4, %r5}, [%rd1+8]; cvt.u64.u32 %rd6, %r5; st.u64 [%rd2+24], %rd6;
    add.s64 %rd7, %rd2, 40; ld.u64 %rd8, [%rd1+8]; st.global.u64 [%rd7+-8], %rd8;"""
    run(body, a, out, threads=1)
    expected = [-8, 249, a[2:4].view("i2")[0], a[12:].view("u4")[0], a[8:].view("i8")[0]]
    assert out.tolist() == [int(x) for x in expected]


STATIC = ".shared .align 4 .b8 static[256];"
DYNAMIC = ".extern .shared .align 16 .b8 dynamic[];"
EXCHANGE = """mov.u32 %r1, {memory}; shl.b32 %r2, %r0, 2; add.s32 %r3, %r1, %r2; st.shared.u32 [%r3], %r0;
    {order} xor.b32 %r4, %r2, {other}; add.s32 %r5, %r1, %r4; ld.shared.u32 %r6, [%r5];
    cvt.u64.u32 %rd2, %r2; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r6;"""


def exchange(order, other=4, threads=64, declarations=STATIC, memory="static", shared=0):
    """Numbers that threads exchange through shared memory."""
    out = np.zeros(threads, "u4")
    body = EXCHANGE.format(order=order, other=other, memory=memory)
    run(body, out, threads=threads, declarations=declarations, shared=shared)
    return out.tolist()


@pytest.mark.parametrize(
    ("declarations", "memory", "shared"), [(STATIC, "static", 0), (STATIC + DYNAMIC, "dynamic", 256)]
)
def test_shared_memory(declarations, memory, shared):
    got = exchange("bar.sync 0;", 128, 64, declarations, memory, shared)
    assert got == [i ^ 32 for i in range(64)]


def test_blocks_have_shared_memory_of_their_own():
    out = np.zeros(2, "u4")
    body = """mov.u32 %r1, %ctaid.x; st.shared.u32 [static], %r1; ld.shared.u32 %r2, [static];
    mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r2;"""
    run(body, out, threads=1, blocks=2, declarations=STATIC)
    assert out.tolist() == [0, 1]


def test_views_and_negative_strides():
    x = np.arange(10, dtype="f4")
    run("ld.global.f32 %f1, [%rd1+-8]; st.global.f32 [%rd1], %f1;", x[8:2:-2], threads=1)
    assert x[8] == 6


OUTSIDE = [
    ("ld.global.u32 %r1, [%rd1+8];", BoundsError),
    ("ld.global.u32 %r1, [%rd1+-4];", BoundsError),
    ("ld.global.u32 %r1, [%rd1+2];", AlignmentError),
    ("ld.global.v2.u32 {%r1, %r2}, [%rd1+4];", AlignmentError),
    ("mov.u64 %rd2, 64; ld.global.u32 %r1, [%rd2];", BoundsError),
    ("mov.u32 %r1, static; st.shared.u32 [%r1+256], %r0;", BoundsError),
    ("mov.u32 %r1, static; st.shared.u32 [%r1+-4], %r0;", BoundsError),
    ("mov.u32 %r1, static; st.shared.u64 [%r1+4], %rd0;", AlignmentError),
    ("mov.u32 %r1, static; ld.shared.u32 %r2, [%r1];", UnwrittenError),
    ("st.shared.u16 [static], %rs0; ld.shared.u64 %rd2, [static];", UnwrittenError),
]


@pytest.mark.parametrize(("body", "error"), OUTSIDE)
def test_accesses_that_are_undefined(body, error):
    declarations = STATIC.replace(".align 4", ".align 8")
    with pytest.raises(error, match="line 18 of example"):
        run(f"mov.u16 %rs0, 0;\n{body}", np.zeros(2, "u4"), threads=1, declarations=declarations)


def test_dynamic_shared_memory_is_no_better_aligned_than_declared():
    with pytest.raises(AlignmentError):
        run("st.shared.u64 [dynamic], %rd0;", threads=1, shared=64, declarations=DYNAMIC.replace("16", "4"))


def test_only_bytes_of_use_need_be_written():
    device = Device()
    a, out = device.empty(4, "f4"), np.zeros(1, "f4")
    body = """mov.f32 %f1, 0f40000000; st.global.f32 [%rd1], %f1; st.global.f32 [%rd1+4], %f1; {pragma}
    ld.global.v4.f32 {{%f1, %f2, %f3, %f4}}, [%rd1]; st.global.f32 [%rd2], %f2;"""
    memory = Global({id(a): device._made[id(a)][1]})
    parameters = {f"p_{i}": np.uint64(memory.place(x)).tobytes() for i, x in ((1, a), (2, out))}
    with pytest.raises(UnwrittenError):
        device.execute(text_of(body.format(pragma=""), 2), "", 1, 1, parameters, memory)
    pragma = '.pragma "used_bytes_mask 255";'
    device.execute(text_of(body.format(pragma=pragma), 2), "", 1, 1, parameters, memory)
    assert out[0] == 2
    with pytest.raises(UnwrittenError, match="not all written"):
        device.check_written(a)


def test_an_argument_that_is_only_read():
    a = np.zeros(1, "u4")
    a.flags.writeable = False
    with pytest.raises(KernelError, match="only read"):
        run("st.global.u32 [%rd1], %r0;", a, threads=1)


# Races


@pytest.mark.parametrize(
    ("order", "other", "is_ordered"),
    [
        ("", 4, False),
        ("bar.warp.sync -1;", 4, True),
        ("bar.warp.sync -1;", 128, False),
        ("bar.sync 0;", 128, True),
        ("mov.u32 %r9, -1; mov.u32 %r8, 31; shfl.sync.idx.b32 %r7|%p1, %r0, %r0, %r8, %r9;", 4, False),
        ("setp.eq.s32 %p1, %r0, %r0; bar.red.or.pred %p2, 0, %p1;", 128, True),
    ],
)
def test_order_of_a_write_and_a_read(order, other, is_ordered):
    if is_ordered:
        assert exchange(order, other) == [i ^ (other // 4) for i in range(64)]
    else:
        with pytest.raises(RaceError):
            exchange(order, other)


RACES = [
    "st.global.u32 [%rd1], %r0;",  # two writes at once
    "ld.global.u32 %r1, [%rd1]; setp.ne.s32 %p1, %r0, 5; @%p1 bra $L; st.global.u32 [%rd1], %r0; $L:",
    "setp.ne.s32 %p1, %r0, 5; @%p1 bra $L; st.global.u32 [%rd1], %r0; $L: ld.global.u32 %r1, [%rd1];",
]


@pytest.mark.parametrize("body", RACES)
def test_races(body):
    with pytest.raises(RaceError):
        run(body, np.zeros(1, "u4"))
    run(body, np.zeros(1, "u4"), threads=1)


def test_reads_are_no_race():
    run("ld.global.u32 %r1, [%rd1]; ld.global.u32 %r2, [%rd1];", np.zeros(1, "u4"), blocks=2)


def test_nothing_orders_blocks():
    body = "setp.ne.s32 %p1, %r0, 0; @%p1 bra $L; st.global.u32 [%rd1], %r0; $L: bar.sync 0;"
    run(body, np.zeros(1, "u4"))
    with pytest.raises(RaceError):
        run(body, np.zeros(1, "u4"), blocks=2)


# Threads that part, and meet


def per_thread(body, threads=32, given=()):
    """What each thread leaves in %r9."""
    out = np.zeros(threads, "u4")
    number = len(given) + 1
    store = f"shl.b64 %rd20, %rd0, 2; add.s64 %rd21, %rd{number}, %rd20; st.global.u32 [%rd21], %r9;"
    counted = run(body + store, *given, out, threads=threads)
    return out.tolist(), counted


def test_branches():
    body = """setp.lt.s32 %p1, %r0, 5; @%p1 bra $few; @!%p1 bra $many; $few: mov.u32 %r9, 1; bra.uni $end;
    $many: mov.u32 %r9, 2; $end:"""
    got, _ = per_thread(body)
    assert got == [1] * 5 + [2] * 27


def test_a_loop_of_other_lengths():
    body = """mov.u32 %r9, 0; $loop: add.s32 %r9, %r9, 1; setp.le.s32 %p1, %r9, %r0; @%p1 bra $loop;"""
    got, counted = per_thread(body, 64)
    assert got == list(range(1, 65))
    assert counted.instructions["int32"] == 32 + 64


def test_threads_return_one_by_one():
    out = np.zeros(32, "u4")
    body = """setp.lt.s32 %p1, %r0, 30; @%p1 ret; shl.b64 %rd2, %rd0, 2; add.s64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r0;"""
    run(body, out)
    assert out.tolist() == [0] * 30 + [30, 31]


SHUFFLES = [
    ("idx", 3, 31, [3] * 32),
    ("bfly", 1, 31, [i ^ 1 for i in range(32)]),
    ("up", 1, 0, [0, *range(31)]),
    ("down", 2, 31, [*range(2, 32), 30, 31]),
    ("bfly", 4, 31 + (24 << 8), [i ^ 4 for i in range(32)]),
    ("idx", 1, 31 + (24 << 8), [i // 8 * 8 + 1 for i in range(32)]),
    ("down", 6, 31 + (24 << 8), [i + 6 if i % 8 < 2 else i for i in range(32)]),
    ("up", 6, 24 << 8, [i - 6 if i % 8 >= 6 else i for i in range(32)]),
]


@pytest.mark.parametrize(("mode", "by", "segments", "expected"), SHUFFLES)
def test_shuffles(mode, by, segments, expected):
    body = f"mov.u32 %r1, {by}; mov.u32 %r2, {segments}; shfl.sync.{mode}.b32 %r9|%p1, %r0, %r1, %r2, -1;"
    got, _ = per_thread(body)
    assert got == expected
    got, _ = per_thread(body + "selp.b32 %r9, 1, 0, %p1;")
    assert got == [int(mode == "idx" or source != i) for i, source in enumerate(expected)]


def test_votes():
    body = "setp.eq.s32 %p1, %r0, 40; vote.sync.{0}.pred %p2, %p1, -1; selp.b32 %r9, 1, 0, %p2;"
    assert per_thread(body.format("any"), 64)[0] == [0] * 32 + [1] * 32
    assert per_thread(body.format("all").replace("eq", "ne"), 64)[0] == [1] * 32 + [0] * 32
    ballot = "setp.ge.s32 %p1, %r0, 40; vote.sync.ballot.b32 %r9, %p1, -1;"
    assert per_thread(ballot, 64)[0] == [0] * 32 + [0xFFFFFF00] * 32


def test_reductions_over_a_block():
    body = "setp.{1}.s32 %p1, %r0, 40; bar.red.{0}.pred %p2, 0, %p1; selp.b32 %r9, 1, 0, %p2;"
    assert per_thread(body.format("or", "eq"), 64)[0] == [1] * 64
    assert per_thread(body.format("and", "ne"), 64)[0] == [0] * 64
    assert per_thread(body.format("and", "ne"), 32)[0] == [1] * 32


def test_parts_of_a_warp_wait_for_themselves():
    body = """setp.lt.s32 %p1, %r0, 16; selp.b32 %r1, 65535, -65536, %p1;
    shfl.sync.bfly.b32 %r9|%p2, %r0, 3, 31, %r1; @%p1 bra $L;
    shfl.sync.bfly.b32 %r9|%p2, %r0, 1, 31, -65536; $L:"""
    got, _ = per_thread(body)
    assert got == [i ^ 3 for i in range(16)] + [i ^ 1 for i in range(16, 32)]


HALF = "setp.lt.s32 %p1, %r0, 16; @%p1 bra $L;"
UNDEFINED = [
    (HALF + "bar.sync 0; $L:", DivergenceError),
    (HALF + "bar.warp.sync -1; $L:", DivergenceError),
    (HALF + "bar.sync 0; bra $M; $L: bar.sync 0; $M:", DivergenceError),
    (HALF + "vote.sync.any.pred %p2, %p1, -1; $L:", DivergenceError),
    (HALF + "bar.warp.sync 65535; $L:", LaneError),
    (HALF + "shfl.sync.idx.b32 %r1|%p2, %r0, 0, 31, -65536; $L:", LaneError),
    ("setp.lt.s32 %p1, %r0, 1; @%p1 ret; bar.sync 0;", DivergenceError),
]


@pytest.mark.parametrize(("body", "error"), UNDEFINED)
def test_divergence(body, error):
    with pytest.raises(error, match="of example"):
        run(body)


def test_a_block_without_a_full_warp():
    run("bar.sync 0; bar.warp.sync 255;", threads=8)
    with pytest.raises(DivergenceError):
        run("bar.warp.sync -1;", threads=8)


@pytest.mark.parametrize(
    "body",
    [
        "add.s32 %r1, %r2, 1;",
        "setp.lt.s32 %p1, %r0, 5; @%p1 bra $L; mov.u32 %r1, 1; $L: add.s32 %r2, %r1, 1;",
        "@%p1 bra $L; $L:",
        "st.global.u32 [%rd1], %r1;",
    ],
)
def test_registers_that_may_not_be_written(body):
    with pytest.raises(UnwrittenError, match="read of %"):
        run(body, np.zeros(1, "u4"))


def test_registers_that_are_written_on_every_path():
    body = """setp.lt.s32 %p1, %r0, 5; @%p1 bra $L; mov.u32 %r9, 1; bra $M; $L: mov.u32 %r9, 2;
    $M: add.s32 %r9, %r9, 1;"""
    assert per_thread(body)[0] == [3] * 5 + [2] * 27


# Contraction


@pytest.mark.parametrize(
    ("contraction", "body", "exact"),
    [
        ("ptx", "mul.f32 %f4, %f1, %f2; sub.f32 %f5, %f4, %f3;", False),
        ("all", "mul.f32 %f4, %f1, %f2; sub.f32 %f5, %f4, %f3;", True),
        ("all", "mul.f32 %f4, %f1, %f2; sub.f32 %f6, %f3, %f4; neg.f32 %f5, %f6;", True),
        ("all", "neg.f32 %f6, %f3; mul.f32 %f4, %f1, %f2; add.f32 %f5, %f6, %f4;", True),
        ("all", "mul.rn.f32 %f4, %f1, %f2; sub.f32 %f5, %f4, %f3;", False),
        ("all", "mul.f32 %f4, %f1, %f2; sub.rn.f32 %f5, %f4, %f3;", False),
        ("ptx", "neg.f32 %f6, %f3; fma.rn.f32 %f5, %f1, %f2, %f6;", True),
        ("none", "neg.f32 %f6, %f3; fma.rn.f32 %f5, %f1, %f2, %f6;", False),
    ],
)
def test_contraction(contraction, body, exact):
    a, out = np.array([1 + 2.0**-12, 1 + 2.0**-12, 1 + 2.0**-11], "f4"), np.zeros(1, "f4")
    loads = "".join(f"ld.global.f32 %f{i + 1}, [%rd1+{4 * i}];" for i in range(3))
    run(f"{loads} {body} st.global.f32 [%rd2], %f5;", a, out, threads=1, device=Device(contraction))
    assert out[0] == (2.0**-24 if exact else 0)


# What is not modelled


@pytest.mark.parametrize(
    "body",
    [
        "add.ftz.f32 %f1, %f1, %f1;",
        "add.sat.s32 %r1, %r0, %r0;",
        "add.rz.f32 %f1, %f1, %f1;",
        "fma.rn.ftz.f32 %f1, %f1, %f1, %f1;",
        "rcp.approx.f32 %f1, %f1;",
        "div.full.f32 %f1, %f1, %f1;",
        "sqrt.approx.f32 %f1, %f1;",
        "cvt.rni.s32.f32 %r1, %f1;",
        "cvt.rzi.ftz.s32.f32 %r1, %f1;",
        "mul.hi.s32 %r1, %r0, %r0;",
        "atom.global.add.u32 %r1, [%rd1], 1;",
        "ld.volatile.global.u32 %r1, [%rd1];",
        "ld.global.nc.u32 %r1, [%rd1];",
        "ld.local.u32 %r1, [%rd1];",
        "ld.const.u32 %r1, [table];",
        "mov.u64 %rd2, table;",
        "setp.lt.and.s32 %p1, %r0, 1, %p1;",
        "setp.lt.s32 %p1|%p2, %r0, 1;",
        "setp.lt.s32 %p1, %r0, 1; @%p1 mov.u32 %r1, 1;",
        "bar.sync 1;",
        "bar.sync 0, 64;",
        "barrier.cluster.arrive;",
        "match.any.sync.b32 %r1, %r0, -1;",
        "redux.sync.add.s32 %r1, %r0, -1;",
        "vote.sync.uni.pred %p2, %p1, -1;",
        "activemask.b32 %r1;",
        "membar.gl;",
        "mov.u32 %r1, %clock;",
        "mov.u32 %r1, %tid.y;",
        "call.uni other;",
        "clz.b32 %r1, %r0;",
    ],
)
def test_refuses_what_is_not_modelled(body):
    defined = "mov.f32 %f1, 0f00000000; setp.ne.s32 %p1, %r0, 0;"
    with pytest.raises(NotImplementedError):
        run(defined + body, np.zeros(1, "u4"), declarations=".const .align 4 .u32 table[2];")


def test_refuses_other_modules():
    text = text_of("")
    with pytest.raises(NotImplementedError, match="entry"):
        parse(text + text)
    with pytest.raises(NotImplementedError, match="functions"):
        parse(text + ".func f() { ret; }")
    with pytest.raises(NotImplementedError, match="parameter"):
        parse(text.replace("example()", "example(.param .align 8 .b8 x[24])"))
    with pytest.raises(NotImplementedError, match="reqntid"):
        parse(text_of("", limits=".reqntid 32"))


# Launches


def function(declarations="", limits="", body=""):
    return Function(Device(), text_of(body, 0, declarations, limits), "float32", Global())


def test_shared_memory_of_a_launch():
    ours = function(STATIC)
    assert ours.shared_size_bytes == 256
    ours((1,), (32,), (), shared_mem=48 * 1024 - 256)
    with pytest.raises(LaunchError, match="asks for more"):
        ours((1,), (32,), (), shared_mem=48 * 1024 - 255)
    ours.max_dynamic_shared_size_bytes = 64 * 1024
    ours((1,), (32,), (), shared_mem=64 * 1024)
    with pytest.raises(LaunchError, match="static"):
        ours.max_dynamic_shared_size_bytes = 227 * 1024 - 255
    with pytest.raises(LaunchError, match="ptxas"):
        function(STATIC.replace("256", "50000"))


def test_registers_and_threads_of_a_launch():
    function(limits=".maxnreg 64")((1,), (1024,), ())
    function(limits=".maxnreg 255")((1,), (256,), ())
    for limits, blocks, threads in (
        (".maxnreg 72", 1, 1024),
        (".maxnreg 255", 1, 288),
        (".maxnreg 256", 1, 32),
        (".maxntid 64", 1, 96),
        (".maxnreg 32", 1, 1056),
        ("", 0, 32),
        ("", 2**31, 32),
    ):
        with pytest.raises(LaunchError):
            function(limits=limits)((blocks,), (threads,), ())


def test_parameters_as_cupy_packs_them():
    kinds = [Parameter("a", "u64"), Parameter("b", "u8"), Parameter("c", "f64"), Parameter("d", "u64")]
    made = packed(kinds, (-1, True, 0.5, 2**64 - 1))
    assert made["a"] == made["d"] == b"\xff" * 8
    assert made["b"] == b"\1"
    assert np.frombuffer(made["c"])[0] == 0.5
    for arguments in (
        (1, True, 0.5),
        (1, 1, 0.5, 1),
        (True, True, 0.5, 1),
        (1, True, 1, 1),
        (0.5, True, 0.5, 1),
    ):
        with pytest.raises(LaunchError):
            packed(kinds, arguments)


def test_ptx_is_made_once(tmp_path, monkeypatch):
    made = []

    def slow(kernel, *rest):
        time.sleep(0.2)
        made.append(kernel.threads)
        return "text"

    monkeypatch.setattr(source, "cache_folder", lambda sources: tmp_path)
    monkeypatch.setattr(source, "ptx", slow)
    kernel = tiny_kernel(Problem(1, 1, "float32", 1, True))
    with ThreadPoolExecutor() as pool:
        texts = list(pool.map(lambda _: source.source(kernel, "float32", ()), range(4)))
    assert texts == ["text"] * 4
    assert made == [0]  # for any number of threads


# Counting


def test_counts_instructions_of_warps():
    out = np.zeros(64, "f4")
    body = """shl.b64 %rd2, %rd0, 2; add.s64 %rd3, %rd1, %rd2; ld.global.f32 %f1, [%rd3];
    add.f32 %f2, %f1, %f1; mul.f32 %f3, %f2, %f2; fma.rn.f32 %f4, %f3, %f2, %f1; rcp.rn.f32 %f5, %f4;
    cvt.f64.f32 %fd1, %f5;
    sub.f64 %fd2, %fd1, %fd1; setp.ge.s32 %p1, %r0, 32; vote.sync.any.pred %p2, %p1, -1; bar.sync 0;
    @%p1 bra $L; mad.lo.s32 %r1, %r0, %r0, %r0; st.global.f32 [%rd3], %f5; $L:"""
    counted = run(body, out, threads=64)
    assert counted.instructions == {
        "move": 4,  # tid, and the parameter
        "select": 6,  # two conversions and a comparison
        "int64": 4,
        "int32": 1,
        "global": 3,
        "add.f32": 2,
        "mul.f32": 2,
        "fma.f32": 2,
        "special.f32": 2,
        "add.f64": 2,
        "shuffle": 2,
        "barrier": 2,
        "branch": 4,
    }
    assert (counted.name, counted.blocks, counted.warps) == ("example", 1, 2)
    assert (counted.bytes_loaded, counted.bytes_stored) == (256, 128)
