"""What a kernel costs on an architecture: resources, instructions, and a bound on its speed."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import sass
from .compiler import machine_code

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")

# Lanes a clock and multiprocessor of compute capability 9.0: CUDA C++ Programming Guide, "Throughput of
# Native Arithmetic Instructions". Shuffles and all memory share a path of 32 words a clock, and four
# schedulers issue one instruction of a warp each.
LANES = {
    "single": 128,
    "double": 64,
    "special": 16,
    "memory": 32,
    "integer": 64,
    "conversion": 64,
    "issue": 128,
}
PIPES = {
    "single": "single",
    "double": "double",
    "special": "special",
    "shuffle": "memory",
    "shared": "memory",
    "local": "memory",
    "global": "memory",
    "vote": "integer",
    "integer": "integer",
    "conversion": "conversion",
}


@dataclass(frozen=True)
class Cost:
    """Of a thread, but for `shared`: bytes a block.

    `loop` counts the instructions of one way around the main loop, the innermost with shuffles: the longest
    without a barrier. `clocks` is what it takes a warp at least on a multiprocessor of sm_90, by its
    busiest unit `bound`; `place` is the line that the loop begins at.
    """

    registers: int
    spill_stores: int
    spill_loads: int
    local: int
    shared: int
    code: dict[str, int] = field(default_factory=dict)
    loop: dict[str, int] = field(default_factory=dict)
    clocks: float = 0.0
    bound: str = ""
    place: str = ""


def cost(kernel, arch):
    """Compile a kernel of the registry for an architecture and count."""
    resources, text = machine_code(kernel.ptx, arch.removeprefix("sm_"), kernel.max_registers)
    instructions, labels = sass.parsed(text)
    blocks = sass.blocks_of(instructions, labels)
    loop = sass.main_loop(blocks, sass.loops_of(blocks))
    code = dict(Counter(at.kind for at in instructions))
    if loop is None:
        return Cost(*resources, code)
    around = [at for number in sass.path(blocks, loop) for at in blocks[number].instructions]
    clocks = clocks_of(around)
    bound = max(clocks, key=clocks.get)
    place = next(
        (f"{Path(file).name}:{line}" for file, line in filter(None, (at.place for at in around))), ""
    )
    return Cost(*resources, code, dict(Counter(at.kind for at in around)), clocks[bound], bound, place)


def clocks_of(instructions):
    """Clocks that each unit of a multiprocessor is busy with the instructions of a warp."""
    lanes = Counter({"issue": len(instructions)})
    for at in instructions:
        if at.kind in PIPES:
            lanes[PIPES[at.kind]] += at.weight
    return {unit: 32 * count / LANES[unit] for unit, count in lanes.items()}
