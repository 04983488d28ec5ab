"""Read a PTX module that has one entry, into which everything is inlined."""

import re
from bisect import bisect
from typing import NamedTuple

SIZES = {f"{letter}{bits}": bits // 8 for letter in "bus" for bits in (8, 16, 32, 64)}
SIZES |= {"f32": 4, "f64": 8, "pred": 1}

TOKEN = re.compile(r"\s*(?:(?P<brace>[{}])|(?P<label>[\w$]+):|(?P<statement>[^;]+);)")
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*")
PARAMETER = re.compile(r"\s*\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(\w+)\s*")
MEMORY = re.compile(
    r"\.(shared|local|global|const)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)(?:\[(\d*)\])?"
)


class Instruction(NamedTuple):
    """An instruction, its guard "%p1" or "!%p1" if it has one, and of a load how many bytes are of use."""

    name: str
    operands: list[str]
    guard: str | None
    line: int
    used: int | None = None


class Parameter(NamedTuple):
    name: str
    kind: str


class Variable(NamedTuple):
    """Shared memory; `size` is None where the launch says it."""

    name: str
    alignment: int
    size: int | None


class Module(NamedTuple):
    name: str
    parameters: list[Parameter]
    registers: dict[str, str]  # their types
    shared: list[Variable]
    limits: dict[str, int]  # as maxnreg
    instructions: list[Instruction]
    labels: dict[str, int]  # the instructions that they stand before


def parse(text):
    """The module of a text."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)
    entries = list(re.finditer(r"\.entry\s+(\w+)\s*\((.*?)\)([^{]*)", text, re.DOTALL))
    if len(entries) != 1 or re.search(r"\.func\b", text):
        raise NotImplementedError("a module with other than one entry, or with functions")
    (entry,) = entries
    limits = {name: int(value) for name, value in re.findall(r"\.(\w+)\s+(\d+)", entry[3])}
    if not limits.keys() <= {"maxnreg", "maxntid"}:
        raise NotImplementedError(f"limits of a launch {limits}")
    body = Body(text, entry.end())
    shared = variables(text, body.instructions)
    return Module(
        entry[1], parameters(entry[2]), body.registers, shared, limits, body.instructions, body.labels
    )


def parameters(text):
    """The parameters of an entry."""
    found = [(PARAMETER.fullmatch(each), each) for each in text.split(",") if each.strip()]
    for match, each in found:
        if match is None:
            raise NotImplementedError(f"parameter {each.strip()}")
    return [Parameter(match[2], match[1]) for match, _ in found]


def variables(text, instructions):
    """The variables in shared memory; NotImplementedError if a variable elsewhere is used."""
    words = {
        word for at in instructions for operand in at.operands for word in re.findall(r"[\w$]+", operand)
    }
    shared = []
    for space, alignment, kind, name, length in MEMORY.findall(text):
        if space == "shared":
            size = int(length) * SIZES[kind] if length else None
            shared.append(Variable(name, int(alignment or SIZES[kind]), size))
        elif name in words:
            raise NotImplementedError(f"{name} in {space} memory")
    return shared


class Body:
    """Registers, instructions and labels of what stands between the braces that open at `position`."""

    def __init__(self, text, position):
        self.registers, self.instructions, self.labels = {}, [], {}
        self._scopes, self._used = [], None  # names of registers of inner scopes; of a load to come
        newlines = [match.start() for match in re.finditer("\n", text)]
        while True:
            token = TOKEN.match(text, position)
            position = token.end()
            if token["brace"] == "{":
                self._scopes.append({})
            elif token["brace"]:
                self._scopes.pop()
                if not self._scopes:
                    return
            elif token["label"]:
                self.labels[token["label"]] = len(self.instructions)
            else:
                words = " ".join(token["statement"].split())
                self._statement(words, bisect(newlines, token.start("statement")) + 1)

    def _statement(self, words, line):
        if words.startswith(".reg "):
            self._declare(*re.fullmatch(r"\.reg \.(\w+) (.*)", words).groups())
        elif words.startswith(".pragma"):
            mask = re.search(r"used_bytes_mask (\w+)", words)
            self._used = int(mask[1], 0).bit_length() if mask else self._used
        elif not MEMORY.match(words):
            words = re.sub(r"%\w+", lambda match: self._unique(match[0]), words)
            guard, name, rest = re.fullmatch(r"(?:@(!?%\w+) )?(\S+) ?(.*)", words).groups()
            operands = [operand.strip() for operand in OPERAND.findall(rest)]
            self.instructions.append(Instruction(name, operands, guard, line, self._used))
            self._used = None

    def _declare(self, kind, names):
        """Registers: `%r<3>` stands for %r0, %r1 and %r2."""
        for name in names.split(", "):
            several = re.fullmatch(r"(%\w+)<(\d+)>", name)
            for each in [f"{several[1]}{i}" for i in range(int(several[2]))] if several else [name]:
                if len(self._scopes) > 1:
                    self._scopes[-1][each] = f"{each}_{len(self.registers)}"
                self.registers[self._unique(each)] = kind

    def _unique(self, name):
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), name)
