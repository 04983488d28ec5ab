"""A program in segments: straight pieces of code that end where threads may part (branches), meet (labels)
or wait for each other (barriers, shuffles, votes)."""

import re
from collections import Counter, defaultdict
from typing import NamedTuple

from .faults import UnwrittenError
from .parse import Instruction

SPECIAL = ("%tid.x", "%ntid.x", "%ctaid.x", "%nctaid.x", "%laneid", "%dynamic_smem_size")
WAITS = ("shfl", "vote", "bar")
BRANCHES = ("bra", "ret", "exit")
NO_RESULT = ("st", "bra", "ret", "exit", "bar.sync", "bar.warp")


class Segment(NamedTuple):
    """Instructions of which the last one may be a branch, or what waits; `target` is where a branch goes."""

    number: int
    code: list[Instruction]
    is_branch: bool
    is_wait: bool
    target: int | None

    @property
    def last(self):
        return self.code[-1]


def operation(instruction):
    """The first word of its name."""
    return instruction.name.partition(".")[0]


def registers_of(operand):
    """The registers that an operand names, other than special ones."""
    return [register for register in re.findall(r"%[\w.]+", operand) if register not in SPECIAL]


def results_of(instruction):
    """The registers that it writes."""
    first = [] if instruction.name.startswith(NO_RESULT) else instruction.operands[:1]
    return [register for x in first for register in registers_of(x)]


def sources_of(instruction):
    """The registers that it reads."""
    sources = instruction.operands[0 if instruction.name.startswith(NO_RESULT) else 1 :]
    return [register for x in (*sources, instruction.guard or "") for register in registers_of(x)]


def segments_of(module):
    """The segments of a module."""
    starts = {0, *module.labels.values()}
    for i, instruction in enumerate(module.instructions):
        if operation(instruction) in WAITS:
            starts |= {i, i + 1}
        elif operation(instruction) in BRANCHES:
            starts.add(i + 1)
    bounds = [
        *sorted(start for start in starts if start < len(module.instructions)),
        len(module.instructions),
    ]
    number = {start: k for k, start in enumerate(bounds)}
    segments = []
    for k, start in enumerate(bounds[:-1]):
        code = module.instructions[start : bounds[k + 1]]
        last = operation(code[-1])
        target = number[module.labels[code[-1].operands[0]]] if last == "bra" else None
        segments.append(Segment(k, code, last in BRANCHES, last in WAITS, target))
    return segments


def successors(segment):
    """The numbers of the segments that may follow."""
    after = [segment.number + 1] if segment.last.guard or not segment.is_branch else []
    return after if segment.target is None else [segment.target, *after]


def check_registers(segments, name):
    """Raise UnwrittenError if on some path a register is read before it is written."""
    written = [{register for at in segment.code for register in results_of(at)} for segment in segments]
    known = [None] * len(segments)  # what is written on every path to a segment, None before one is found
    known[0], left = set(), [0]
    while left:
        number = left.pop()
        after = known[number] | written[number]
        for following in successors(segments[number]):
            new = after if known[following] is None else known[following] & after
            if new != known[following]:
                known[following] = new
                left.append(following)
    for segment in segments:
        now = set(known[segment.number] or ())
        for at in segment.code if known[segment.number] is not None else ():
            missing = set(sources_of(at)) - now
            if missing:
                raise UnwrittenError(f"read of {', '.join(sorted(missing))}, line {at.line} of {name}")
            now.update(results_of(at))


def local_registers(segments):
    """Registers that are of no use outside the one segment that writes them first."""
    places, begins_written = defaultdict(set), {}
    for segment in segments:
        for at in segment.code:
            for registers, is_result in ((sources_of(at), False), (results_of(at), True)):
                for register in registers:
                    places[register].add(segment.number)
                    begins_written.setdefault(register, is_result)
    return {register for register, where in places.items() if len(where) == 1 and begins_written[register]}


def literals(segments):
    """Registers that hold one number from their only definition on, and the number as it is written."""
    code = [at for segment in segments for at in segment.code]
    definitions = Counter(register for at in code for register in results_of(at))
    return {
        at.operands[0]: at.operands[1]
        for at in code
        if at.name in ("mov.u32", "mov.b32", "mov.u64", "mov.b64", "mov.f32", "mov.f64")
        and definitions[at.operands[0]] == 1
        and re.fullmatch(r"-?\d+|0[fd][0-9a-fA-F]+", at.operands[1])
    }


def contract(segments):
    """Fuse products and sums without a rounding modifier, as ptxas may: every sum whose operand is such a
    product of the same segment; the number of fused sums."""
    definitions = Counter(r for segment in segments for at in segment.code for r in results_of(at))
    fused = 0
    for segment in segments:
        products = {}
        for i, at in enumerate(segment.code):
            operator, _, kind = at.name.partition(".")
            if kind not in ("f32", "f64"):
                continue
            if operator == "mul" and all(definitions[r] == 1 for x in at.operands for r in registers_of(x)):
                products[at.operands[0]] = at.operands[1:]
            elif operator in ("add", "sub"):
                operands = fused_operands(operator, at.operands, products)
                if operands:
                    segment.code[i] = at._replace(name=f"fma.rn.{kind}", operands=operands)
                    fused += 1
    return fused


def fused_operands(operator, operands, products):
    """The operands of `fma` for d = a ± b where a or b is a product, None where neither is."""
    d, a, b = operands
    sign = "-" if operator == "sub" else ""
    if a in products:
        x, y = products[a]
        return [d, x, y, sign + b]
    if b in products:
        x, y = products[b]
        return [d, sign + x, y, a]
    return None
