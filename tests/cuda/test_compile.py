"""The costs that are read from machine code are those of kernels whose costs are known."""

import sys
from functools import partial

import pytest
from numba import float32, float64

from tests.cuda_compile import ARCHITECTURES, Kernel, cost, examples, sass, table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NVIDIA's compilers are packaged for Linux")


def kernel(function, real, **properties):
    return Kernel("example", partial(examples.ptx, function, real), **properties)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("real", [float32, float64], ids=str)
def test_a_loop_in_registers(real, arch):
    rows = 8
    rounds = cost(kernel(examples.make_rounds(rows, real), real), arch)
    assert (rounds.spill_stores, rounds.spill_loads, rounds.local, rounds.shared) == (0, 0, 0, 0)
    words = real.bitwidth // 32
    assert 2 * rows * words < rounds.registers < 2 * rows * words + 40
    assert rounds.loop["shuffle"] == rows * words
    arithmetic = rounds.loop["single" if real is float32 else "double"]
    assert 5 * rows < arithmetic < 5 * rows + 32  # three inner products, a rotation, its tangent
    assert ("double" in rounds.loop) == (real is float64)
    assert rounds.code["global"] == 4 * rows
    assert "global" not in rounds.loop
    assert rounds.place.startswith("examples.py:")
    # A multiprocessor issues four instructions of a warp a clock.
    assert rounds.clocks >= sum(rounds.loop.values()) / 4


def test_a_literal_makes_single_precision_double():
    plain = kernel(examples.make_rounds(8, float32), float32, is_single=True)
    dear = kernel(examples.make_rounds(8, float32, float64(2)), float32, is_single=True)
    assert table.broken_promises(plain, table.row(plain, "sm_90"), "sm_90") == []
    (words,) = table.broken_promises(dear, table.row(dear, "sm_90"), "sm_90")
    assert "in double precision" in words


def test_spills():
    rounds = examples.make_rounds(24, float32)
    held = cost(kernel(rounds, float32, max_registers=40), "sm_90")
    assert held.registers <= 40
    assert held.spill_stores > 0
    assert held.spill_loads > 0
    assert held.loop["local"] > 0
    free = cost(kernel(rounds, float32), "sm_90")
    assert free.spill_stores == 0
    assert held.clocks > free.clocks


def test_local_memory():
    lookup = kernel(examples.make_lookup(float32), float32)
    row = table.row(lookup, "sm_90")
    assert row["local"] == 256
    assert row["spill_stores"] == 0
    assert row["code"]["local"] > 1
    assert table.broken_promises(lookup, row, "sm_90") == ["local 256"]


@pytest.mark.parametrize("real", [float32, float64], ids=str)
def test_shared_memory_and_barriers(real):
    exchange = cost(kernel(examples.make_exchange(real), real), "sm_90")
    assert exchange.shared == 128 * real.bitwidth // 8
    assert exchange.code["shared"] >= 2
    assert exchange.code["barrier"] >= 2
    assert exchange.loop["shared"] == exchange.loop["barrier"] > 0


def test_worse_than_the_table():
    allowed = {
        "registers": 64,
        "spill_stores": 0,
        "spill_loads": 0,
        "local": 0,
        "shared": 512,
        "code": {"all": 1000, "single": 500},
        "loop": {"all": 100, "single": 50},
    }
    assert table.worse(allowed, allowed) == []
    assert table.worse({**allowed, "registers": 72, "loop": {"all": 113}}, allowed) == []
    for change, words in (
        ({"registers": 73}, "registers 73 > 72"),
        ({"spill_loads": 4}, "spill_loads 4 > 0"),
        ({"shared": 516}, "shared 516 > 512"),
        ({"loop": {"all": 114}}, "instructions in the loop: 114 > 113"),
        ({"code": {"all": 900, "double": 1}}, "double instructions in the code: 1, none in the table"),
    ):
        assert table.worse({**allowed, **change}, allowed) == [words]


LISTING = """
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
	//## File "/a/kernel.py", line 7
        /*0010*/                   FADD R2, R2, R3 ;
.L_x_2:
        /*0020*/                   SHFL.BFLY PT, R4, R5, 0x1, 0x1f ;
        /*0030*/                   BRA.DIV UR5, `(.L_x_9) ;
.L_x_3:
        /*0040*/              @!P0 BRA `(.L_x_5) ;
        /*0050*/                   STS.128 [R1], R4 ;
        /*0060*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0070*/                   LDS R4, [R2] ;
        /*0080*/                   BRA `(.L_x_6) ;
.L_x_5:
        /*0090*/                   FFMA R2, R2, R3, R4 ;
        /*00a0*/                   LDS.64 R6, [R2] ;
.L_x_6:
        /*00b0*/                   BRA.U !UP0, `(.L_x_2) ;
        /*00c0*/               @P1 BRA `(.L_x_1) ;
        /*00d0*/                   EXIT ;
.L_x_9:
        /*00e0*/                   WARPSYNC.COLLECTIVE R8, `(.L_x_10) ;
.L_x_10:
        /*00f0*/                   SHFL.BFLY PT, R4, R5, 0x1, 0x1f ;
        /*0100*/                   BRA `(.L_x_3) ;
"""


def test_loops_and_the_way_around_them():
    instructions, labels = sass.parsed(LISTING)
    assert len(instructions) == 17
    blocks = sass.blocks_of(instructions, labels)
    loops = sass.loops_of(blocks)
    assert len(loops) == 2  # and none by way of what only a diverged warp runs
    inner = sass.main_loop(blocks, loops)
    around = [at for number in sass.path(blocks, inner) for at in blocks[number].instructions]
    assert [at.code for at in around] == ["SHFL.BFLY", "BRA.DIV", "BRA", "FFMA", "LDS.64", "BRA.U"]
    assert [at.kind for at in around] == ["shuffle", "control", "control", "single", "shared", "control"]
    assert [at.weight for at in around] == [1, 1, 1, 1, 2, 1]
    assert around[0].place == ("/a/kernel.py", 7)
