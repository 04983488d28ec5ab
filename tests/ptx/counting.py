"""Which instructions a launch has executed: each once for a warp, however many of its threads took part."""

from collections import Counter
from typing import NamedTuple

from .program import operation
from .translate import ACCESS

SPECIAL = ("rcp", "sqrt", "div", "rem")
SELECTIONS = ("selp", "setp", "cvt", "min", "max", "abs", "neg", "copysign")
CLASSES = {"shfl": "shuffle", "vote": "shuffle", "bar": "barrier", "bra": "branch", "ret": "branch"}
CLASSES |= {"exit": "branch", "mov": "move", "cvta": "move"}


class Counted(NamedTuple):
    """What a launch has done.

    Attributes
    ----------
    name, kind : of the kernel, and the dtype of the matrices
    blocks, warps : of the launch
    instructions : Counter
        Instructions executed by warps, by class: "fma", "add" (and sub) and "mul", each with ".f32" or
        ".f64"; "special" (reciprocals, roots, divisions) with ".f32", ".f64" or ".int"; "int32" and
        "int64"; "select" (also comparisons, conversions, min, max, abs, neg); "shuffle" (and votes);
        "shared" and "global" loads and stores; "branch"; "barrier"; "move" (also of parameters), which
        machine code mostly does without.
    bytes_loaded, bytes_stored : int
        Of global memory, by all threads.
    """

    name: str
    kind: str
    blocks: int
    warps: int
    instructions: Counter[str]
    bytes_loaded: int
    bytes_stored: int


def class_of(instruction):
    """The class in which an instruction is counted."""
    operator, kind = operation(instruction), instruction.name.rpartition(".")[2]
    if operator in CLASSES or instruction.name.startswith("ld.param"):
        return CLASSES.get(operator, "move")
    if operator in ("ld", "st"):
        return ACCESS.fullmatch(instruction.name)[2] or "global"
    if operator in SPECIAL:
        return f"special.{kind if kind[0] == 'f' else 'int'}"
    if operator in SELECTIONS:
        return "select"
    if kind[0] == "f":
        return f"{'add' if operator == 'sub' else operator}.{kind}"
    return "int64" if kind.endswith("64") or ".wide." in instruction.name else "int32"


def count(run, kind, warps):
    """What a run has done."""
    instructions = Counter()
    for segment, times in zip(run.program.segments, run.executed.tolist(), strict=True):
        for instruction in segment.code if times else ():
            instructions[class_of(instruction)] += times
    return Counted(
        run.program.name, kind, run.blocks, warps, instructions, run.bytes_loaded, run.bytes_stored
    )
