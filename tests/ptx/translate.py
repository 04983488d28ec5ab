"""From PTX to Python: a function for each segment, on arrays with an entry for each thread.

    def segment_7(R, K, run, mask): ...

R holds the registers that outlive a segment, K numbers; other registers are local variables. `run` is a
`tests.ptx.execution.Run`, and `mask` says which threads are at work, None for all. A segment that ends with a
branch under a predicate returns the predicate."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .memory import Shared
from .operations import DTYPES, FUNCTIONS, OPERATIONS
from .parse import SIZES, parse
from .program import SPECIAL, check_registers, contract, literals, local_registers, segments_of

ACCESS = re.compile(r"(ld|st)(?:\.(shared|global))?(?:\.v([24]))?\.(\w+)")
ADDRESS = re.compile(r"\[([%\w$]+)(?:\+(-?\d+))?\]")
EVERYONE = ("-1", "4294967295")


class Result(NamedTuple):
    """What an instruction gives a register."""

    register: str
    kind: str
    expression: str


class Members(NamedTuple):
    """Lanes that a thread waits for: whether they are always all, and their mask as a function of R and K."""

    is_everyone: bool
    named: Callable[[list[Any], list[Any]], Any]


class Program:
    """A module that can run.

    Parameters
    ----------
    text : str
    contraction : {"ptx", "none", "all"}
        Of products and sums: as the text says; none, so that the product of an fma is rounded; all, so
        that those without a rounding modifier are fused too, as ptxas may.
    """

    def __init__(self, text, contraction="ptx"):
        self.module = parse(text)
        self.name = self.module.name
        self.segments = segments_of(self.module)
        if contraction == "all":
            self.fused = contract(self.segments)
        translator = _Translator(self.module, self.segments)
        lines = [line for segment in self.segments for line in translator.function(segment)]
        check_registers(self.segments, self.name)
        self.members = [translator.members(segment) for segment in self.segments]
        self.constants, self.slots = list(translator.constants), list(translator.slots)
        namespace = dict(FUNCTIONS)
        if contraction == "none":
            namespace["fma"] = lambda a, b, c: a * b + c
        exec(compile("\n".join(lines), f"<{self.name}>", "exec"), namespace)
        self.functions = [namespace[f"segment_{segment.number}"] for segment in self.segments]


class _Translator:
    def __init__(self, module, segments):
        self._module = module
        self._addresses = Shared(module.shared, 0, 0).addresses
        self._locals, self._literals = local_registers(segments), literals(segments)
        self.slots, self.constants = {}, {}  # places of registers in R and of numbers in K

    def function(self, segment):
        """The lines of the function of a segment."""
        body = [line for at in segment.code for line in self._instruction(at)]
        return [f"def segment_{segment.number}(R, K, run, mask):", *(f"  {line}" for line in body)]

    def members(self, segment):
        """Whom a segment's threads wait for: None unless it is for lanes of their warp."""
        last = segment.last
        if last.name not in WARP_WAITS:
            return None
        mask = last.operands[-1]
        is_everyone = self._literals.get(mask, mask) in EVERYONE
        return Members(is_everyone, eval(f"lambda R, K: {self._read(mask, 'u32')}"))

    def _instruction(self, at):
        """The lines of one instruction."""
        try:
            if at.name in ("bra", "bra.uni", "ret", "exit"):
                return [f"return {self._read(at.guard, 'pred')}"] if at.guard else ["pass"]
            if at.guard:
                raise NotImplementedError(f"{at.name} under a predicate")
            if at.name in OPERATIONS:
                return self._computed(at)
            if at.name in WAITS:
                return WAITS[at.name](self, at)
            if at.name.startswith("ld.param."):
                return self._parameter(at)
            access = ACCESS.fullmatch(at.name)
            if access:
                return self._access(at, *access.groups())
            raise NotImplementedError(at.name)
        except (NotImplementedError, KeyError, ValueError) as error:
            words = f"{error}: {at.name} {', '.join(at.operands)}, line {at.line} of {self._module.name}"
            raise NotImplementedError(words) from error

    # Operands

    def _read(self, operand, kind):
        """An operand as an expression of a type."""
        dtype = DTYPES[kind]
        if operand.startswith("!"):
            return f"~{self._read(operand[1:], kind)}"
        operand = self._literals.get(operand, operand)
        if operand.startswith("-") and not operand[1:].isdigit():
            return f"(-{self._read(operand[1:], kind)})"
        if operand in SPECIAL:
            return f"run.special[{operand!r}].astype({dtype!r})"
        if operand in self._module.registers:
            return _seen_as(self._name(operand), DTYPES[self._module.registers[operand]], dtype)
        if operand in self._addresses:
            return self._constant(self._addresses[operand], dtype)
        if operand[:2] in ("0f", "0d"):
            bits = np.array(int(operand[2:], 16), "u4" if operand[1] == "f" else "u8")
            return self._constant(bits.view(f"f{bits.itemsize}")[()], dtype)
        size = 8 * np.dtype(dtype).itemsize
        bits = int(operand.removesuffix("U"), 0) % (1 << size)
        return self._constant(bits - (1 << size) if dtype[0] == "i" and bits >> (size - 1) else bits, dtype)

    def _name(self, register):
        if register in self._locals:
            return "r" + register.replace("%", "_")
        return f"R[{self.slots.setdefault(register, len(self.slots))}]"

    def _constant(self, value, dtype):
        key = np.asarray(value, dtype).tobytes(), dtype
        return f"K[{self.constants.setdefault(key, len(self.constants))}]"

    def _assigned(self, result):
        """The line that gives a register its result."""
        register, kind, expression = result
        held = DTYPES[self._module.registers[register]]
        value, name = _seen_as(f"({expression})", DTYPES[kind], held), self._name(register)
        if register in self._locals:
            return f"{name} = {value}"
        return f"{name} = {value} if mask is None else np.where(mask, {value}, {name})"

    # Instructions

    def _computed(self, at):
        if at.name in ("mov.b64", "mov.b32") and "{" in at.operands[0] + at.operands[1]:
            return [self._assigned(result) for result in self._halves(at)]
        operation = OPERATIONS[at.name]
        to, *sources = at.operands
        operands = [self._read(x, kind) for x, kind in zip(sources, operation.operands, strict=True)]
        return [self._assigned(Result(to, operation.result, operation.expression.format(*operands)))]

    def _halves(self, at):
        """What a move to or from two registers gives."""
        (to, source), whole = at.operands, at.name.partition(".")[2]
        half, shift = f"b{SIZES[whole] * 4}", self._constant(SIZES[whole] * 4, DTYPES[whole])
        if to.startswith("{"):
            low, high = _several(to)
            value, narrow = self._read(source, whole), f".astype({DTYPES[half]!r})"
            return [Result(low, half, value + narrow), Result(high, half, f"({value} >> {shift}){narrow}")]
        low, high = (f"{self._read(x, half)}.astype({DTYPES[whole]!r})" for x in _several(source))
        return [Result(to, whole, f"{low} | ({high} << {shift})")]

    def _parameter(self, at):
        kind = at.name.removeprefix("ld.param.")
        name = re.fullmatch(r"\[(\w+)\]", at.operands[1])[1]
        return [self._assigned(Result(at.operands[0], kind, f"run.parameter({name!r}, {DTYPES[kind]!r})"))]

    def _access(self, at, operator, space, vector, kind):
        register, place = at.operands if operator == "ld" else reversed(at.operands)
        base, offset = ADDRESS.fullmatch(place).groups()
        registers = _several(register)
        if len(registers) != int(vector or 1):
            raise ValueError("as many registers as numbers")
        where = f"{space or 'global'!r}, {self._read(base, 's64')}, {int(offset or 0)}"
        if operator == "st":
            values = ", ".join(self._read(x, kind) for x in registers)
            return [f"run.store({where}, [{values}], mask, {at.line})"]
        load = f"got = run.load({where}, {DTYPES[kind]!r}, {len(registers)}, {at.used}, mask, {at.line})"
        return [load, *(self._assigned(Result(x, kind, f"got[{i}]")) for i, x in enumerate(registers))]

    def _shuffle(self, at):
        value, _, is_inside = at.operands[0].partition("|")
        mode = at.name.split(".")[2]
        given = [self._read(x, kind) for x, kind in zip(at.operands[1:4], ("b32", "s32", "s32"), strict=True)]
        results = [Result(value, "b32", "got[0]")]
        results += [Result(is_inside, "pred", "got[1]")] if is_inside else []
        line = f"got = run.shuffle({mode!r}, {', '.join(given)}, mask, {at.line})"
        return [line, *map(self._assigned, results)]

    def _vote(self, at):
        to, predicate, _ = at.operands
        vote = f"run.vote({at.name.split('.')[2]!r}, {self._read(predicate, 'pred')}, mask)"
        return [self._assigned(Result(to, "pred", vote))]

    def _ballot(self, at):
        to, predicate, _ = at.operands
        return [self._assigned(Result(to, "b32", f"run.ballot({self._read(predicate, 'pred')}, mask)"))]

    def _barrier(self, at):
        if at.operands != ["0"]:
            raise NotImplementedError("a barrier other than the first, or of some threads")
        return ["run.barrier(mask)"]

    def _reduction(self, at):
        to, barrier, predicate = at.operands
        line = f"run.reduction({at.name.split('.')[2]!r}, {self._read(predicate, 'pred')}, mask)"
        return [*self._barrier(at._replace(operands=[barrier])), self._assigned(Result(to, "pred", line))]

    def _warp_barrier(self, at):
        return ["run.warp_barrier(mask)"]


WARP_WAITS = {f"shfl.sync.{mode}.b32": _Translator._shuffle for mode in ("idx", "bfly", "up", "down")}
WARP_WAITS["vote.sync.ballot.b32"] = _Translator._ballot
WARP_WAITS |= {f"vote.sync.{mode}.pred": _Translator._vote for mode in ("any", "all")}
WARP_WAITS |= {"vote.sync.ballot.b32": _Translator._ballot}
WARP_WAITS |= {"bar.warp.sync": _Translator._warp_barrier}
WAITS = WARP_WAITS | {f"bar.red.{mode}.pred": _Translator._reduction for mode in ("or", "and")}
WAITS |= {"bar.sync": _Translator._barrier}


def _seen_as(expression, held, dtype):
    """An expression of a dtype as one of another: its bits where they are as many, else the low ones, or
    extended by its sign."""
    if held == dtype:
        return expression
    if "?" in (held, dtype):
        raise NotImplementedError("a predicate for a number")
    if np.dtype(held).itemsize == np.dtype(dtype).itemsize:
        return f"{expression}.view({dtype!r})"
    if "f" in held + dtype:
        raise NotImplementedError("a part of a float")
    return f"{expression}.astype({dtype!r})"


def _several(operand):
    """The registers of a vector, or the one that it is."""
    return [register.strip() for register in operand.strip("{}").split(",")]
