"""What a matrix costs in instructions: counts and weights of known code, the rows, and the table of them."""

import sys
from collections import Counter

import numpy as np
import pytest

from benchmarks import render

if sys.platform != "linux":
    pytest.skip("numba-cuda is for tests on Linux", allow_module_level=True)

from benchmarks import instructions
from tests.cuda_compile import sass
from tests.cuda_compile.compiler import machine_code
from tests.ptx import Device, svd_ex
from tests.ptx.memory import Global
from tests.ptx.parse import parse
from tests.ptx.source import source

KERNEL = """
.version 8.0
.target sm_90
.address_size 64
.visible .entry example(.param .u64 p)
{
.reg .pred %p;
.reg .b32 %r<3>;
.reg .b64 %rd<4>;
.reg .f32 %f<4>;
.reg .f64 %fd<4>;
ld.param.u64 %rd0, [p];
mov.u32 %r0, %tid.x;
mul.wide.u32 %rd1, %r0, 8;
add.s64 %rd2, %rd0, %rd1;
ld.global.f64 %fd0, [%rd2];
fma.rn.f64 %fd1, %fd0, %fd0, %fd0;
add.f64 %fd2, %fd1, %fd0;
cvt.rn.f32.f64 %f0, %fd2;
fma.rn.f32 %f1, %f0, %f0, %f0;
shfl.sync.bfly.b32 %r1|%p, %r0, 1, 31, -1;
bar.sync 0;
st.global.f64 [%rd2], %fd2;
ret;
}
"""
SLOTS = {"int64": 3, "global": 2, "fma.f64": 1, "add.f64": 1, "fma.f32": 1, "shuffle": 1, "barrier": 1}


def test_counts_and_slots_of_a_known_kernel():
    x, device, memory = np.ones(64), Device(), Global()
    parameters = {"p": np.uint64(memory.place(x)).tobytes()}
    device.execute(KERNEL, "float64", 1, 64, parameters, memory)
    (launch,), weights = device.launches, {}
    instructions.calibrate(weights, launch.executed)
    found = instructions.of_kernel(launch, 2, weights)  # two warps for two matrices
    assert found["instructions"] == {
        "move": 2,
        "int64": 2,
        "global": 2,
        "fma.f64": 1,
        "add.f64": 1,
        "select": 1,
        "fma.f32": 1,
        "shuffle": 1,
        "barrier": 1,
        "branch": 1,
    }
    slots = dict(found["slots_by_class"])
    assert slots.pop("select") == weights["cvt.rn.f32.f64"]["issue"] >= 1
    assert slots == SLOTS | {"move": 0, "branch": 1}
    assert found["slots"] == sum(slots.values()) + weights["cvt.rn.f32.f64"]["issue"]
    units = instructions.work_of(launch.executed, weights)
    assert (units["single"], units["double"], units["memory"]) == (2, 4, 2 * (2 + 2 + 1))
    assert (launch.bytes_loaded, launch.bytes_stored) == (512, 512)


def test_weights():
    weights = {}
    names = ["fma.rn.f32", "rcp.rn.f32", "div.u32", "add.s64", "mul.lo.s64", "selp.f64", "mov.b64", "div.s64"]
    names += ["ld.shared.v2.f64", "st.shared.v4.f32", "and.pred", "bra", "vote.sync.any.pred", "shl.b64"]
    instructions.calibrate(weights, names)
    assert weights["fma.rn.f32"] == Counter(issue=1, single=1)
    assert weights["rcp.rn.f32"]["special"] == weights["div.u32"]["special"] == 1
    assert 4 <= weights["rcp.rn.f32"]["issue"] <= 12  # without its slow path
    assert {weights[name]["issue"] for name in ("add.s64", "selp.f64", "shl.b64")} == {2}
    assert 60 <= weights["div.s64"]["issue"] <= 110  # a function's
    assert 3 <= weights["mul.lo.s64"]["issue"] <= 5
    assert weights["ld.shared.v2.f64"] == weights["st.shared.v4.f32"] == Counter(issue=1, memory=4)
    assert weights["bra"] == weights["vote.sync.any.pred"] == Counter(issue=1)
    assert not weights["mov.b64"] + weights["and.pred"]


def test_slots_of_a_whole_kernel_are_those_of_its_machine_code():
    """As far as ptxas unrolls no loop."""
    texts, weights = [], {}
    device = Device(source=lambda *kernel: texts.append(source(*kernel)) or texts[-1])
    svd_ex(np.ones((1, 3, 3), np.float32), device=device)
    names = [at.name for at in parse(texts[0]).instructions]
    instructions.calibrate(weights, names)
    _, code = machine_code(lambda _: texts[0], "90")
    found = sum(at.opcode != "NOP" for at in sass.parsed(code)[0])
    assert sum(weights[name]["issue"] for name in names) == pytest.approx(found, rel=0.15)


def test_least_seconds():
    clock = 132 * 1.98e9  # of all multiprocessors
    units = Counter(issue=400, single=30, double=20, special=10, memory=50)
    assert instructions.least_seconds(units, 43) == pytest.approx(
        {
            "issue": 100 / clock,
            "single": 7.5 / clock,
            "double": 10 / clock,
            "special": 20 / clock,
            "memory": 50 / clock,
            "bandwidth": 1e-11,
        }
    )


def test_batches_of_whole_blocks():
    assert instructions.whole_blocks(2, 2, "float32", "thin") == 128
    assert instructions.whole_blocks(2, 2, "float32", "values") == 128
    assert instructions.whole_blocks(128, 128, "float64", "thin") == 1
    assert instructions.whole_blocks(64, 64, "float64", "thin") % 4 == 0


def test_a_row(capsys):
    weights = {}
    thin, values = (instructions.measured(2, 2, "float32", work, weights) for work in ("thin", "values"))
    assert (thin["dtype"], thin["m"], thin["n"], thin["work"], thin["launches"]) == (
        "float32",
        2,
        2,
        "thin",
        1,
    )
    assert thin["global_bytes"] == thin["least_global_bytes"] == 4 * (4 + 4 + 2 + 4) + 9  # A, U, S, V, info
    assert thin["seconds"]["bandwidth"] == pytest.approx(65 / 4.3e12)
    assert values["slots"] < thin["slots"]
    (kernel,) = thin["kernels"]
    assert kernel["name"] == "svd_tiny"
    assert kernel["slots"] == pytest.approx(thin["slots"])
    assert kernel["instructions"]["fma.f32"] > 0
    assert thin["rate"] == pytest.approx(1 / max(thin["seconds"].values()))
    assert thin["seconds"][thin["bound_by"]] == max(thin["seconds"].values())
    assert 0 < thin["of_arithmetic"] < 1
    instructions.print_row(thin)
    assert "2 x 2" in capsys.readouterr().out


def test_the_command_line(capsys, monkeypatch):
    given = instructions.parser().parse_args(["--n", "2", "3"])
    assert given.dtype == ("float32", "float64")
    monkeypatch.setattr(sys, "argv", ["instructions", "--n", "2", "--dtype", "float32"])
    saved = []
    monkeypatch.setattr("benchmarks.measure.save", lambda *run: saved.append(run))
    instructions.main()
    ((name, ran_on, rows),) = saved
    assert name == "instructions"
    assert ran_on["weights"]["fma.rn.f32"]["issue"] == 1
    assert ran_on["left_out"] == []
    assert [(row["m"], row["n"], row["work"]) for row in rows] == [(2, 2, "thin"), (2, 2, "values")]
    assert "2 x 2" in capsys.readouterr().out


# The table


def run_of(date, *rows):
    ran_on = {"date": date, "commit": f"of {date}", "command": "-m benchmarks.instructions", "ptxas": "13.5"}
    return {"provenance": ran_on, "rows": rows}


def row(n, slots, rate, bound_by="issue", work="thin", m=None):
    case = {"dtype": "float32", "m": m or n, "n": n, "work": work}
    return case | {"slots": slots, "rate": rate, "bound_by": bound_by, "of_arithmetic": 0.123}


def test_the_table_takes_the_newest_of_each_case():
    old = run_of("2026-01-01", row(2, 1.0, 9e9), row(8, 3683.2, 2.84e8))
    new = run_of("2026-01-02", row(2, 78.04, 1.3e10, "bandwidth"), row(3, 5e6, 2e5, m=1024))
    text = render.instructions([new, old])
    assert text.startswith("**Computed from executed instructions, not measured")
    assert "| n | float32 |\n| --- | --- |\n| 2 | 78 |\n| 8 | 3.68k |\n| 1024 x 3 | 5M |" in text
    assert "| 2 | 13G bandwidth |\n| 8 | 284M |\n| 1024 x 3 | 200k |" in text
    assert "| 2 | 12 |\n| 8 | 12 |\n| 1024 x 3 | 12 |" in text
    assert "2026-01-01" in text
    assert "2026-01-02" in text
    assert "values" not in text
    assert render.instructions([]) == render.NOTHING
