"""Which instructions a launch has executed: each once for a warp, however many of its threads took part."""

from collections import Counter
from typing import NamedTuple

from .translate import ACCESS

SPECIAL = ("rcp", "sqrt", "rsqrt", "div", "rem")
SELECTIONS = ("selp", "setp", "cvt", "min", "max", "abs", "neg", "copysign")
CLASSES = {"shfl": "shuffle", "vote": "shuffle", "bar": "barrier", "bra": "branch", "ret": "branch"}
CLASSES |= {"exit": "branch", "mov": "move", "cvta": "move"}


class Counted(NamedTuple):
    """What a launch has done.

    Attributes
    ----------
    name, kind : of the kernel, and the dtype of the matrices
    blocks, warps : of the launch
    executed : Counter
        Instructions executed by warps, by their names in PTX, modifiers and types included.
    instructions : Counter
        The same by class: "fma", "add" (and sub) and "mul", each with ".f32" or
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
    executed: Counter[str]
    bytes_loaded: int
    bytes_stored: int

    @property
    def instructions(self):
        by_class = Counter()
        for name, times in self.executed.items():
            by_class[class_of(name)] += times
        return by_class


def class_of(name):
    """The class in which an instruction of that name is counted."""
    operator, kind = name.partition(".")[0], name.rpartition(".")[2]
    if operator in CLASSES or name.startswith("ld.param"):
        return CLASSES.get(operator, "move")
    if operator in ("ld", "st"):
        return ACCESS.fullmatch(name)[2] or "global"
    if operator in SPECIAL:
        return f"special.{kind if kind[0] == 'f' else 'int'}"
    if operator in SELECTIONS:
        return "select"
    if kind[0] == "f":
        return f"{'add' if operator == 'sub' else operator}.{kind}"
    return "int64" if kind.endswith("64") or ".wide." in name else "int32"


def count(run, kind, warps):
    """What a run has done."""
    executed = Counter()
    for segment, times in zip(run.program.segments, run.executed.tolist(), strict=True):
        for instruction in segment.code if times else ():
            executed[instruction.name] += times
    return Counted(run.program.name, kind, run.blocks, warps, executed, run.bytes_loaded, run.bytes_stored)
