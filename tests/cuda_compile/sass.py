"""Machine code: instructions by class, loops, and the path through a loop."""

import re
from collections import Counter
from typing import NamedTuple

CLASSES = {
    "single": r"FFMA2?|FADD2?|FMUL2?|FCHK|HFMA2|HADD2|HMUL2",
    "double": r"D(FMA|ADD|MUL|SETP|MNMX)",
    "special": r"MUFU",
    "shuffle": r"SHFL",
    "shared": r"LDS|STS|ATOMS|LDSM|STSM",
    "local": r"LDL|STL",
    "global": r"LDG|STG|LD|ST|ATOMG?|RED|REDG|LDGSTS",
    "barrier": r"BAR",
    "vote": r"VOTE|VOTEU|MATCH|REDUX|CREDUX",
    "conversion": r"F2F|F2FP|F2I|I2F|I2FP|FRND",
    "control": r"BRA|BRX|BRXU|JMP|EXIT|CALL|RET|BSSY|BSYNC|BREAK|BMOV|NOP|WARPSYNC|YIELD|DEPBAR|KILL|ERRBAR"
    r"|CCTL|MEMBAR|FENCE|PREEXIT|ACQBULK|ENDCOLLECTIVE|WARPSYNC\w*|NANOSLEEP",
}
PATTERN = re.compile("|".join(f"(?P<{name}>(?:{codes})$)" for name, codes in CLASSES.items()))
INSTRUCTION = re.compile(r"/\*([0-9a-f]+)\*/\s+(?:\{\s*)?(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)(.*?);")
LABEL = re.compile(r"^(\.L_x_\d+):")
CONDITION = re.compile(r"\bU?P\d")
TARGET = re.compile(r"\(\.L_x_\d+\)")
LINE = re.compile(r'//## File "([^"]*)", line (\d+)')
MEMORY = {"shared", "local", "global"}
WIDTH = re.compile(r"\.(64|128)\b")


class Instruction(NamedTuple):
    code: str  # with its modifiers: LDS.128
    is_conditional: bool
    target: str | None  # the label that it branches to
    place: tuple[str, int] | None  # file and line

    @property
    def opcode(self):
        return self.code.partition(".")[0]

    @property
    def kind(self):
        """Its class; "integer" for all the rest: integers, comparisons, moves, constants."""
        match = PATTERN.match(self.opcode)
        return match.lastgroup if match else "integer"

    @property
    def weight(self):
        """How much longer it keeps its unit busy than the least of its class: by the words of 32 bits that it
        moves, and conversions from and to 64 bits four times."""
        if self.kind == "conversion":
            return 4 if "64" in self.code else 1
        width = WIDTH.search(self.code)
        return int(width[1]) // 32 if width and self.kind in MEMORY else 1


class Block(NamedTuple):
    """Instructions without a branch between, and the blocks that may follow."""

    instructions: list
    successors: list


class Loop(NamedTuple):
    header: int
    body: frozenset  # of block numbers


def parsed(text):
    """The instructions of the first function in a disassembly, and the index that each label stands at."""
    instructions, labels, place = [], {}, None
    for line in text.splitlines():
        if match := LINE.search(line):
            place = match[1], int(match[2])
        elif match := LABEL.match(line):
            labels[match[1]] = len(instructions)
        elif match := INSTRUCTION.search(line):
            target = TARGET.search(match[4])
            label = target[0][1:-1] if target else None
            # A branch names its condition before or behind its name: @P0 BRA, BRA.U !UP0.
            is_conditional = match[2] is not None or bool(label and CONDITION.search(match[4]))
            instructions.append(Instruction(match[3], is_conditional, label, place))
    return instructions, labels


def blocks_of(instructions, labels):
    """The graph of basic blocks. Paths that only threads of a diverged warp take (BRA.DIV) are left out, and
    so are functions: a call goes on behind it."""
    jumps = {i for i, at in enumerate(instructions) if at.opcode in ("BRA", "EXIT", "RET", "BRX", "JMP")}
    starts = sorted({0, *(i + 1 for i in jumps), *labels.values()} - {len(instructions)})
    number = {start: k for k, start in enumerate(starts)}
    blocks = []
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        last = instructions[end - 1]
        goes_on = end - 1 not in jumps or last.is_conditional or ".DIV" in last.code
        successors = [number[end]] if goes_on and end in number else []
        if last.opcode == "BRA" and last.target in labels and ".DIV" not in last.code:
            successors.append(number[labels[last.target]])
        blocks.append(Block(instructions[start:end], successors))
    return blocks


def dominators(blocks):
    """For each block that can be reached: the blocks that every way to it goes through."""
    reached, stack = set(), [0]
    while stack:
        block = stack.pop()
        if block not in reached:
            reached.add(block)
            stack += blocks[block].successors
    before = {block: [] for block in reached}
    for block in reached:
        for successor in blocks[block].successors:
            before[successor].append(block)
    found = {block: set(reached) for block in reached} | {0: {0}}
    changed = True
    while changed:
        changed = False
        for block in sorted(reached - {0}):
            new = set.intersection(*(found[other] for other in before[block])) | {block}
            changed, found[block] = changed or new != found[block], new
    return found, before


def loops_of(blocks):
    """Natural loops, those of one header joined."""
    found, before = dominators(blocks)
    bodies = {}
    for block in found:
        for header in blocks[block].successors:
            if header in found[block]:
                body, stack = bodies.setdefault(header, {header}), [block]
                while stack:
                    inside = stack.pop()
                    if inside not in body:
                        body.add(inside)
                        stack += before[inside]
    return [Loop(header, frozenset(body)) for header, body in sorted(bodies.items())]


def innermost(blocks, loops, kind):
    """Return the innermost loop with instructions of a kind, the one with most instructions if there are
    several; None if there is none."""
    holding = [loop for loop in loops if counts(blocks, loop.body)[kind]]
    inner = [loop for loop in holding if not any(other.body < loop.body for other in holding)]
    return max(inner, key=lambda loop: counts(blocks, loop.body).total(), default=None)


def main_loop(blocks, loops):
    """The innermost loop with shuffles, or without any with most arithmetic."""
    for kind in ("shuffle", "single", "double"):
        if (loop := innermost(blocks, loops, kind)) is not None:
            return loop
    return None


def counts(blocks, numbers):
    return Counter(at.kind for number in numbers for at in blocks[number].instructions)


def path(blocks, loop):
    """The blocks of the longest way once around a loop: without a barrier, if there is such a way.

    Loops inside are gone through once.
    """
    quiet = {n for n in loop.body if all(at.kind != "barrier" for at in blocks[n].instructions)}
    return longest(blocks, loop, quiet) or longest(blocks, loop, loop.body)


def longest(blocks, loop, allowed):
    """The longest way from the header back to it through allowed blocks, None if there is none."""
    best, open_blocks = {}, set()

    def behind(number):
        """Length and blocks of the longest rest of the way."""
        if number not in best:
            open_blocks.add(number)
            rests = []
            for successor in blocks[number].successors:
                if successor == loop.header:
                    rests.append((0, ()))
                elif successor in allowed and successor not in open_blocks:
                    rests.append(behind(successor))
            open_blocks.discard(number)
            rest = max((rest for rest in rests if rest is not None), default=None)
            own = len(blocks[number].instructions)
            best[number] = None if rest is None else (own + rest[0], (number, *rest[1]))
        return best[number]

    found = behind(loop.header) if loop.header in allowed else None
    return found and found[1]
