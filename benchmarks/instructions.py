"""What a matrix costs a GPU, computed from the instructions that the CUDA kernels execute: no GPU is needed.

The executor of `tests.ptx` runs the PTX of the kernels on Gaussian matrices and counts the instructions of
warps, by name, and the bytes of global memory that they access. Batches fill whole blocks of all kernels of a
shape.

The issue slots that an instruction takes are measured for each name: straight-line PTX with N and with 2 N of
it, each on numbers of its own, is linked by ptxas and disassembled, and the difference is divided by N, less
the loads and stores of those numbers. Divisions, reciprocals and roots count without their slow path. Moves
and loads of parameters, of which ptxas leaves few, count nothing; a branch counts one. In a whole kernel
ptxas merges more than in straight lines, an addition into an address for example: machine code of the kernels
for a matrix a thread has 0.91 to 0.98 of the instructions so counted.

A matrix takes at least as long as the busiest unit of an H200 whose multiprocessors all work all the time:

    issue       four instructions of warps a clock and multiprocessor
    single      128 lanes of float32
    double      64 lanes of float64
    special     16 lanes of reciprocals and roots
    memory      32 words of 4 bytes, through the path that shuffles, shared and global memory have in common
    bandwidth   4.3 TB/s of global memory, achievable of 4.8: each launch's arrays once, or what it accesses
                of them if that is less; whatever else it accesses may lie in a cache

The clock is 1.98 GHz, the boost clock behind the 67 Tflop/s of the H200's data sheet: 132 multiprocessors
with 128 lanes, two operations a clock each. Integer arithmetic has no limit of its own here: ptxas divides it
between two pipes.
"""

import heapq
import re
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from benchmarks.bounds import Ceilings, multiply_adds
from benchmarks.measure import DTYPES, WORK, Row, command, random_batch, recorded
from tests.cuda_compile import sass
from tests.cuda_compile.compiler import machine_code, version
from tests.cuda_compile.cost import LANES, PIPES
from tests.ptx import Counted, Device, Idle, svd_ex
from tests.ptx.counting import class_of
from tests.ptx.operations import OPERATIONS
from tests.ptx.parse import SIZES as BYTES
from tests.ptx.source import CAPABILITY
from tests.ptx.translate import ACCESS

SHAPES = [(n, n) for n in (2, 3, 4, 6, 8, 12, 16)] + [(64, 8), (300, 3), (1024, 3), (24, 24), (32, 32)]
SHAPES += [(48, 48), (64, 64), (784, 16), (96, 96), (128, 128)]
QUICK = [(2, 2), (4, 4)]
WORKS = ("thin", "values")
SLOTS = "of each instruction as ptxas makes it in straight lines, see weights; moves 0, branches 1"
MULTIPROCESSORS, CLOCK = 132, 1.98e9
BANDWIDTH = 4.3e12  # bytes a second
H200 = Ceilings(BANDWIDTH, *(MULTIPROCESSORS * CLOCK * LANES[kind] for kind in ("single", "double")))
UNITS = ("issue", "single", "double", "special", "memory")
FIXED = {"move": {}, "branch": {"issue": 1}}  # classes that are not calibrated
SECTION = re.compile(r"^\s*\.section\s+\.text\.(\w+)(.*?)(?=^\s*\.section|\Z)", re.MULTILINE | re.DOTALL)

Work = Counter[str]  # by unit: instructions of warps, those of memory times the words that they move
Weights = dict[str, Work]  # of an instruction of PTX, by its name


def main() -> None:
    arguments = parser().parse_args()
    shapes = QUICK if arguments.quick else [s for s in SHAPES if not arguments.n or s[1] in arguments.n]
    cases = [(*shape, dtype, work) for shape in shapes for dtype in arguments.dtype for work in WORKS]
    weights: Weights = {}
    more = {"ptxas": version("ptxas"), "clock": CLOCK, "bandwidth": BANDWIDTH, "slots": SLOTS}
    with recorded("instructions", saved=not arguments.quick, **more) as (ran_on, rows):
        print("\nA matrix: issue slots, launches, bytes of global memory; matrices a second at most")
        try:
            for case in cases:
                rows.append(measured(*case, weights))
                print_row(rows[-1])
        except KeyboardInterrupt:
            print("interrupted: what is done is kept")
        ran_on |= {"weights": weights, "left_out": cases[len(rows) :]}


def parser() -> ArgumentParser:
    made = command("instructions", __doc__, quick="two small sizes", dtypes=DTYPES)
    made.set_defaults(dtype=DTYPES[:2])
    made.add_argument("--n", nargs="+", type=int, metavar="N", help="only matrices with so many columns")
    return made


def print_row(row: Row) -> None:
    print(
        f"{row['dtype']:11}{row['m']:5} x {row['n']:<4}{row['work']:7}{row['slots']:12.5g}{row['launches']:3}"
        f"{row['global_bytes']:12.5g}{row['rate']:12.3g}, by {row['bound_by']}, "
        f"{row['of_arithmetic']:.1%} of the arithmetic's",
        flush=True,
    )


def measured(m: int, n: int, dtype: str, work: str, weights: Weights) -> Row:
    """What a matrix costs: executed instructions by kernel and class, their issue slots, and the bounds."""
    count = whole_blocks(m, n, dtype, work)
    device = _Measured()
    info = svd_ex(random_batch(count, m, n, dtype), device=device, **WORK[work])[-1]
    sweeps = float(info.sweeps.mean())
    units: Work = Counter()
    for launch in device.launches:
        calibrate(weights, launch.executed)
        units += work_of(launch.executed, weights)
    accessed = [launch.bytes_loaded + launch.bytes_stored for launch in device.launches]
    moved = sum(map(min, accessed, device.bytes_given))
    seconds = {unit: time / count for unit, time in least_seconds(units, moved).items()}
    bound_by = max(seconds, key=seconds.__getitem__)
    arithmetic = multiply_adds(m, n, dtype, work, sweeps) / H200.multiply_adds(dtype)
    return {
        "dtype": dtype,
        "m": m,
        "n": n,
        "work": work,
        "batch": count,
        "sweeps": sweeps,
        "slots": units["issue"] / count,
        "launches": len(device.launches),
        "global_bytes": sum(accessed) / count,
        "least_global_bytes": moved / count,
        "seconds": seconds,
        "rate": 1 / seconds[bound_by],
        "bound_by": bound_by,
        "of_arithmetic": arithmetic / seconds[bound_by],
        "kernels": [of_kernel(launch, count, weights) for launch in device.launches],
    }


def of_kernel(launch: Counted, count: int, weights: Weights) -> Row:
    """Of a launch for so many matrices, a matrix's share: instructions and issue slots by class."""
    slots: Counter[str] = Counter()
    for name, times in launch.executed.items():
        slots[class_of(name)] += times * weights[name]["issue"]
    return {
        "name": launch.name,
        "slots": slots.total() / count,
        "instructions": {kind: times / count for kind, times in launch.instructions.most_common()},
        "slots_by_class": {kind: times / count for kind, times in slots.most_common()},
        "executed": {name: times / count for name, times in launch.executed.most_common()},
    }


def work_of(executed: Counter[str], weights: Weights) -> Work:
    """What executed instructions ask of the units."""
    total: Work = Counter()
    for name, times in executed.items():
        for unit, amount in weights[name].items():
            total[unit] += amount * times
    return total


def least_seconds(units: Work, moved: int) -> dict[str, float]:
    """By limit: seconds that an H200 takes at least for work and for bytes of global memory."""
    clocks = {unit: 32 * units[unit] / LANES[unit] / MULTIPROCESSORS for unit in UNITS}
    return {unit: count / CLOCK for unit, count in clocks.items()} | {"bandwidth": moved / BANDWIDTH}


class _Measured(Device):
    """A device that also notes how many bytes the arrays of each launch have."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes_given: list[int] = []

    def launch(self, kernel: Any, kind: str, blocks: int, arguments: Any) -> None:
        self.bytes_given.append(sum(x.nbytes for x in arguments if isinstance(x, np.ndarray)))
        super().launch(kernel, kind, blocks, arguments)


# Batches


def whole_blocks(m: int, n: int, dtype: str, work: str) -> int:
    """The smallest batch that leaves no block of any kernel partly empty, as often as it takes for four
    matrices of at most 64 columns."""

    def blocks(count: int) -> list[int]:
        device = Idle()
        svd_ex(np.empty((count, m, n), dtype), device=device, **WORK[work])
        return [blocks for _, _, blocks, _ in device.asked]

    count, now, after = 1, blocks(1), blocks(2)
    while any(some == more for some, more in zip(now, after, strict=True)):
        count += 1
        now, after = after, blocks(count + 1)
    return count * -(-4 // count) if n <= 64 else count


# What ptxas makes of an instruction


class Example(NamedTuple):
    """How an instruction is written: the types of its results and operands, and what stands behind its name,
    with `{d0}` and so on for results, `{s0}` for operands, `{at}` for an offset in memory of its own."""

    results: tuple[str, ...]
    operands: tuple[str, ...]
    text: str


WAITING = {
    "shfl.": Example(("b32",), ("b32", "b32"), "{d0}|%inside, {s0}, {s1}, 31, -1"),
    "vote.sync.ballot.": Example(("b32",), ("pred",), "{d0}, {s0}, -1"),
    "vote.": Example(("pred",), ("pred",), "{d0}, {s0}, -1"),
    "bar.red.": Example(("pred",), ("pred",), "{d0}, 0, {s0}"),
    "bar.sync": Example((), (), "0"),
    "bar.warp.sync": Example((), (), "-1"),
}
LITERALS = {"shl": ("3",), "shr": ("3",), "bfi": ("32", "32")}  # operands that are mostly known
MODULE = f".version 8.0\n.target sm_{CAPABILITY}\n.address_size 64\n"
ENTRY = """
.visible .entry {entry}(.param .u64 from, .param .u64 to)
{{
.shared .align 16 .b8 room[{size}];
.reg .b32 %thread;
.reg .b64 %from, %to;
mov.u32 %thread, %tid.x;
ld.param.u64 %from, [from];
ld.param.u64 %to, [to];
mad.wide.u32 %from, %thread, 16, %from;
mad.wide.u32 %to, %thread, 16, %to;
{lines}
ret;
}}
"""
ROOM = 256  # bytes for the numbers of an instruction
TIMES = 16


def calibrate(weights: Weights, names: Iterable[str]) -> None:
    """Add what instructions ask of the units, of those names that are not known yet."""
    missing = sorted(set(names) - weights.keys())
    weights.update({name: Counter(FIXED[class_of(name)]) for name in missing if class_of(name) in FIXED})
    unknown = [name for name in missing if name not in weights]
    if not unknown:
        return
    entries = [
        straight_line(f"k{i}_{times}", name, times)
        for i, name in enumerate(unknown)
        for times in (TIMES, 2 * TIMES)
    ]
    _, text = machine_code(lambda _: MODULE + "".join(entries), CAPABILITY)
    found = {of_entry[1]: work_of_code(of_entry[2]) for of_entry in SECTION.finditer(text)}
    for i, name in enumerate(unknown):
        few, many, around = found[f"k{i}_{TIMES}"], found[f"k{i}_{2 * TIMES}"], work_around(example_of(name))
        one = {unit: (many[unit] - few[unit]) / TIMES - around[unit] for unit in UNITS}
        # Less than nothing: a load of which ptxas leaves out the half that is not used.
        weights[name] = Counter({unit: amount for unit, amount in one.items() if amount > 0})


def example_of(name: str) -> Example:
    """How an instruction of that name is written."""
    operator, kind = name.partition(".")[0], name.rpartition(".")[2]
    if access := ACCESS.fullmatch(name):
        kinds = (kind,) * int(access[3] or 1)
        place = "[room+{at}]" if access[2] == "shared" else "[%from+{at}]"
        if operator == "ld":
            return Example(kinds, (), f"{vector('d', len(kinds))}, {place}")
        return Example((), kinds, f"{place}, {vector('s', len(kinds))}")
    if name in OPERATIONS:
        result, operands, _ = OPERATIONS[name]
        known = LITERALS.get(operator, ())
        operands = operands[: len(operands) - len(known)]
        words = ("{d0}", *(f"{{s{i}}}" for i in range(len(operands))), *known)
        return Example((result,), operands, ", ".join(words))
    return next(example for beginning, example in WAITING.items() if name.startswith(beginning))


def vector(letter: str, count: int) -> str:
    names = ", ".join(f"{{{letter}{i}}}" for i in range(count))
    return names if count == 1 else f"{{{{{names}}}}}"


def straight_line(entry: str, name: str, times: int) -> str:
    """An entry that executes an instruction so often, loads its operands and stores its results.

    The loads are volatile, each thread's from elsewhere, so that ptxas can leave none out."""
    example, lines = example_of(name), []
    named = {f"d{i}": kind for i, kind in enumerate(example.results)}
    named |= {f"s{i}": kind for i, kind in enumerate(example.operands)}
    for at in range(0, times * ROOM, ROOM):
        lines += ["{", ".reg .pred %inside;", ".reg .b32 %is;"]
        lines += [f".reg .{register_type(kind)} %{register};" for register, kind in named.items()]
        lines += chain.from_iterable(
            loaded(f"%s{i}", kind, at + 16 * i) for i, kind in enumerate(example.operands)
        )
        lines.append(f"{name} {example.text.format(at=at, **{r: f'%{r}' for r in named})};")
        lines += chain.from_iterable(
            stored(f"%d{i}", kind, at + 16 * i) for i, kind in enumerate(example.results)
        )
        lines.append("}")
    return ENTRY.format(entry=entry, size=times * ROOM, lines="\n".join(lines))


def register_type(kind: str) -> str:
    """That of a register for numbers of a type, at least 16 bits."""
    return kind if kind in ("pred", "f32", "f64") else f"b{max(16, int(kind[1:]))}"


def loaded(register: str, kind: str, at: int) -> list[str]:
    if kind == "pred":
        return [f"ld.volatile.global.u32 %is, [%from+{at}];", f"setp.ne.u32 {register}, %is, 0;"]
    return [f"ld.volatile.global.{kind} {register}, [%from+{at}];"]


def stored(register: str, kind: str, at: int) -> list[str]:
    if kind == "pred":
        return [f"selp.u32 %is, 1, 0, {register};", f"st.global.u32 [%to+{at}], %is;"]
    return [f"st.global.{kind} [%to+{at}], {register};"]


def work_around(example: Example) -> Work:
    """Of the loads and stores around an instruction."""
    total: Work = Counter()
    for kind in (*example.results, *example.operands):
        is_predicate = kind == "pred"  # compared with zero, or selected by
        total += Counter(issue=1 + is_predicate, memory=1 if is_predicate else max(1, BYTES[kind] // 4))
    return total


def work_of_code(text: str) -> Work:
    """What disassembled straight-line code asks of the units, on its way without slow paths."""
    blocks = sass.blocks_of(*sass.parsed(text))
    way = shortest_way(blocks, 0, avoid=("CALL",)) or shortest_way(blocks, 0)
    instructions = [at for number in way for at in blocks[number].instructions]
    calls = sum(at.opcode == "CALL" for at in instructions)
    if calls:  # of the one function, behind the end: a division of long integers
        function = shortest_way(blocks, way[-1] + 1)
        instructions += calls * [at for number in function for at in blocks[number].instructions]
    total: Work = Counter(issue=len(instructions))
    for at in instructions:
        total[PIPES.get(at.kind, "")] += at.weight
    return total


def shortest_way(blocks: list[sass.Block], first: int, avoid: tuple[str, ...] = ()) -> tuple[int, ...]:
    """The blocks from the first one to an end, with the fewest instructions and none of those to avoid;
    nothing if there is no such way."""
    ways, seen = [(0, first, ())], set()
    while ways:
        length, number, before = heapq.heappop(ways)
        block, way = blocks[number], (*before, number)
        if number in seen or any(at.opcode in avoid for at in block.instructions):
            continue
        seen.add(number)
        if not block.successors:
            return way
        for after in block.successors:
            heapq.heappush(ways, (length + len(block.instructions), after, way))
    return ()


if __name__ == "__main__":
    main()
