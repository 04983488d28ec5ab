"""Specialise a kernel's source for scalars and for known sizes.

The sources in `kernels` are written for groups of SIMD lanes and for any size. A CUDA thread, or a caller's
own loop, needs them for one matrix of a fixed size with every loop unrolled: an array whose indices are all
constants stays in registers. The smallest matrices need the same of SIMD lanes. `Specialiser` rewrites the
syntax tree of a function and of every function in `kernels` that it calls. With the constant n=2 it turns

    def weighted(x, n, mask):
        total = 0.0
        for i in range(n):
            if i % 2 == 0:
                total += x[i * n]
            elif ~mask:
                total += 0.5 * min(i, n)
        return total

into

    def weighted(x, n, mask):
        total = _real(0.0)
        i = 0
        total = total + x[0]
        i = 1
        if not mask:
            total = total + _real(0.5) * 1
        return total

It translates

- operations on lanes into the scalar operations of the same name, and `~` of anything but a constant, a mask
  therefore, into `not`; floating-point literals and globals get the precision of the matrix;
- parameters given as constants, and local names while they hold constants, into their values; it evaluates
  integer arithmetic (other than `/` and `**`), bitwise operations, comparisons, `not`, `and`, `or`, `min` and
  `max` of constants, and arithmetic of constants and integer globals;
- `if` and conditional expressions on constants into the branch that is taken;
- `for` over a `range` of constants, `for` over a tuple of constants and of names that the loop does not
  assign, and `while` on constants into their turns one after the other. Any other loop stays one, for
  example `for` over `range(MAX_SWEEPS)`, a global; it may use `break` and `continue`. Upwards over a range it
  becomes a `while`, which numba compiles better;
- `x += y` into `x = x + y`, which is the same for numbers but not for arrays.

Straight-line code comes of `registers`. In

    def rotate(x, n, sine):
        for i in range(n):
            store(x, i, load(x, i) - sine * load(x, n + i))

    def rotated(a, n):
        x = registers(2 * n, a)
        for i in range(n):
            store(x, i, load(a, i))
            store(x, n + i, 0.0)
        store(x, n, 1.0)
        rotate(x, n, load(a, n))
        return load(x, 0)

each value of an entry of x becomes a variable, what is stored as a literal is known until it is overwritten,
and a function that is given x is put in the place of its call. With n=2 there remains

    def rotated(a, n):
        x_0__1 = load(a, 0)
        x_1__2 = load(a, 1)
        sine__1 = load(a, 2)
        x_0__3 = x_0__1 - sine__1
        return x_0__3

as a sum with a known zero, a product with it and a product with a known one need no instruction. That a
product with zero is zero is not so for Inf and NaN: sources must not rely on these. Where a loop or a branch
stays, what is known is written down in front of it, in the type that the array given to `registers` has.

Assignments, calls, entries, slices, attributes and `return` stay. Everything else raises `UnsupportedError`
with the file and line:

- `break` and `continue` in an unrolled loop, `else` of a loop, `while` that is constant in its first turns
  alone;
- `+=` and its like on a name that is indexed or is a slice, or at an index that calls a function;
- functions of `kernels` as values or through their module, and recursion;
- entries of registers at anything but constants, or read before they are written; registers as values, other
  than arguments of a call that is all that an expression, an assignment or a `return` has on its right, of a
  function that returns at its end alone;
- parameters with defaults or stars, closures, and decorators other than numba's;
- any other statement, expression or operator: `with`, `try`, `del`, `global`, nested functions, `lambda`,
  comprehensions, `:=`, starred names, `is`, `in`, `@` and so on.

Lines keep their numbers and files, so that errors point at the source.
"""

import ast
import copy
import inspect
import operator
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

_FOLDED: dict[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_BUILTINS: dict[str, Callable[..., int]] = {"min": min, "max": max}

# Nodes that are translated, besides those of which `_is_translated` looks at the parts.
_TRANSLATED = (
    ast.Assign, ast.For, ast.While, ast.If, ast.Break, ast.Continue, ast.Return, ast.Expr, ast.Pass,
    ast.Name, ast.Tuple, ast.Attribute, ast.Subscript, ast.Slice, ast.UnaryOp, ast.BoolOp, ast.IfExp,
)  # fmt: skip
_INSTEAD: dict[type[ast.AST], str] = {
    ast.AnnAssign: "assign without the annotation",
    ast.NamedExpr: "assign in a statement of its own",
    ast.FunctionDef: "define the function at module level",
    ast.Lambda: "define a function at module level",
    ast.Starred: "write the elements one by one",
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), "write a loop"),
}
_DECORATORS = {"jit", "njit", "inlined"}
_OWN_NAMES = re.compile(r"_real|_(place|end)\d+|.*__\d+")
_OPERATIONS = (
    ".lanes",
    ".scalars",
    ".cuda_warp",
)  # the modules whose functions are replaced by others of the same name
_MOST_TURNS = 1000  # of an unrolled loop

Function = Callable[..., Any]
_Constants = dict[str, Any]  # whole numbers, and what entries of registers are known to be


class UnsupportedError(NotImplementedError):
    """Raised for a source that the specialiser cannot translate faithfully."""


def _refusal(function: Function, line: int, what: str, instead: str) -> UnsupportedError:
    return UnsupportedError(
        f"{function.__code__.co_filename}:{line}: {what} cannot be specialised ({instead})"
    )


class Specialiser:
    """Functions for one kind of scalar, each specialised once for each set of constants.

    Parameters
    ----------
    names : mapping
        What stands for a global name of the sources: the operations on scalars and their constants.
    real : callable or None
        Converts a number to the matrix's real type: `numpy.float32` or `numpy.float64`. None for lanes,
        whose operations take numbers of any type.
    jit : callable
        Compiles a function, or returns it unchanged.
    operations : collection of str
        Names of functions in `kernels` that the compiler knows as they are, as those of `lanes`.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        real: Function | None,
        jit: Callable[[Function], Function],
        operations: Collection[str] = (),
    ):
        self._names, self._real, self._jit, self._operations = names, real, jit, operations
        self.of_lanes = real is None
        self._made: dict[tuple[Any, ...], Function] = {}
        self._making: list[Function] = []

    def __call__(self, function: Function, **constants: int) -> Function:
        """Return the compiled function with these parameters constant; callers still pass the same values."""
        function = getattr(function, "py_func", function)
        key = function, *sorted((name, value, type(value)) for name, value in constants.items())
        if key not in self._made:
            if function in self._making:
                what = f"recursion of `{function.__name__}`"
                raise _refusal(function, function.__code__.co_firstlineno, what, "write a loop")
            self._making.append(function)
            try:
                self._made[key] = self._jit(self.plain(function, **constants))
            finally:
                self._making.pop()
        return self._made[key]

    def plain(self, function: Function, **constants: int) -> Function:
        """Return the function with these parameters constant, not compiled but calling compiled ones."""
        return self._defined(function, constants, ())

    def without(self, function: Function, **constants: int) -> Function:
        """Return the same without these parameters."""
        return self._defined(function, constants, constants)

    def _defined(
        self, function: Function, constants: Mapping[str, int], left_out: Collection[str]
    ) -> Function:
        namespace = self.namespace(function)
        definition = _Rewriter(self, function, namespace).rewritten(constants)
        arguments = definition.args
        arguments.args = [argument for argument in arguments.args if argument.arg not in left_out]
        definition = _Finish(definition, self.of_lanes).visit(definition)
        module = ast.fix_missing_locations(ast.Module([definition], []))
        exec(compile(module, function.__code__.co_filename, "exec"), namespace)
        made: Function = namespace[function.__name__]
        return made

    def namespace(self, function: Function) -> dict[str, Any]:
        """Return what the global names of a function stand for."""
        given = function.__globals__
        replaced = {k: v for k, v in self._names.items() if k not in given or self.replaces(k, given[k])}
        return {**given, **replaced, "_real": self._real}

    def replaces(self, name: str, value: Any) -> bool:
        """Return whether one of `names` takes the place of a global: not of a function of `kernels` that
        happens to have the name of an operation."""
        value = getattr(value, "py_func", value)
        is_another = inspect.isfunction(value) and _is_kernels(value.__module__)
        return name in self._names and (not is_another or value.__module__.endswith(_OPERATIONS))

    def stands_for(self, name: str, value: Any) -> Function | None:
        """Return the source of the function that a global name calls, None if it is not from `kernels`."""
        if name in self._operations:
            return None
        is_operation = value is self._names.get(name, self)
        value = getattr(value, "py_func", value)
        is_ours = inspect.isfunction(value) and (is_operation or _is_kernels(value.__module__))
        return value if is_ours else None


def _is_kernels(module: str) -> bool:
    return "kernels" in module.split(".")


def _definition(function: Function) -> ast.FunctionDef:
    """Return the syntax tree of a function, with its own line numbers and without decorators and
    docstring."""
    lines, first = inspect.getsourcelines(function)
    if function.__name__ == "<lambda>":
        raise _refusal(function, first, "a lambda", "define the function by `def`")
    definition = ast.parse(textwrap.dedent("".join(lines))).body[0]
    ast.increment_lineno(definition, first - 1)
    if not isinstance(definition, ast.FunctionDef):
        what = f"`{function.__name__}`"
        raise _refusal(function, definition.lineno, what, "define the function by `def`")
    _check_signature(definition, function)
    if ast.get_docstring(definition) is not None:
        del definition.body[0]
    for statement in definition.body:
        _check_statement(statement, function)
    definition.decorator_list = []
    definition.returns = None
    return definition


def _check_signature(definition: ast.FunctionDef, function: Function) -> None:
    """Refuse a function that depends on more than its parameters and globals, or uses reserved names."""
    code, arguments = function.__code__, definition.args
    special = [*arguments.posonlyargs, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    decorators = {ast.unparse(node).split("(")[0].split(".")[-1] for node in definition.decorator_list}
    reserved = {name for name in (*code.co_varnames, *code.co_names) if _OWN_NAMES.fullmatch(name)}
    reserved |= {"range", *_BUILTINS} & {*code.co_varnames, *function.__globals__}
    starred = {argument.arg for argument in special if argument}
    for what, names, instead in (
        ("a default in", {definition.name} if arguments.defaults else set(), "pass every argument"),
        ("the special parameter", starred, "make it a plain one"),
        ("the decorator", decorators - _DECORATORS, "specialise the function that it decorates"),
        ("a closure over", set(code.co_freevars), "pass it as a parameter"),
        ("the reserved name", reserved, "rename it"),
    ):
        if names:
            raise _refusal(function, definition.lineno, f"{what} `{', '.join(sorted(names))}`", instead)


def _check_statement(statement: ast.stmt, function: Function) -> None:
    """Refuse what is not in the language."""
    for node in ast.walk(statement):
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        if isinstance(node, ast.For | ast.While) and node.orelse:
            raise _refusal(function, node.lineno, "`else` of a loop", "test a flag after the loop")
        if not _is_translated(node):
            instead = _INSTEAD.get(type(node), "see the language in gpusvd._base.specialise")
            raise _refusal(function, node.lineno, f"`{ast.unparse(node).splitlines()[0]}`", instead)


def _is_translated(node: ast.stmt | ast.expr) -> bool:
    """Return whether a node by itself is in the language."""
    match node:
        case ast.Call():
            return all(keyword.arg is not None for keyword in node.keywords)
        case ast.Constant():
            return not isinstance(node.value, complex)
        case ast.Compare():
            return all(type(comparison) in _FOLDED for comparison in node.ops)
        case ast.BinOp() | ast.AugAssign():
            return not isinstance(node.op, ast.MatMult)
    return isinstance(node, _TRANSLATED)


def _constant(node: ast.AST) -> int | None:
    """Return the whole number (or truth) that an expression is, None for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    return None


def _literal(node: ast.AST) -> int | float | None:
    """Return the number that an expression is known to be: a whole one, or an entry of registers."""
    return node.value if isinstance(node, Known) else _constant(node)


def _range_arguments(node: ast.expr) -> list[ast.expr] | None:
    """Return where a range begins, where it ends, and its step; None for anything else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
        return None
    if not 1 <= len(node.args) <= 3:
        return None
    first, last = ([ast.Constant(0), *node.args] if len(node.args) == 1 else node.args)[:2]
    return [first, last, node.args[2] if len(node.args) == 3 else ast.Constant(1)]


def _assigned(node: ast.AST) -> set[str]:
    """Return the names that a statement or its target may change."""
    return {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}


def _calls(node: ast.AST) -> bool:
    """Return whether an expression calls anything, and so may have side effects."""
    return any(isinstance(x, ast.Call) and ast.unparse(x.func) != "_real" for x in ast.walk(node))


def _real(node: ast.expr) -> ast.Call:
    return ast.Call(ast.Name("_real", ast.Load()), [node], [])


def _forget(known: _Constants, names: Iterable[str]) -> None:
    for name in names:
        known.pop(name, None)


def _arrays(definition: ast.FunctionDef) -> set[str]:
    """Return the names that are indexed, or assigned from a slice."""
    indexed = {
        node.value.id
        for node in ast.walk(definition)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    }
    slices = {
        name
        for node in ast.walk(definition)
        if isinstance(node, ast.Assign) and any(isinstance(part, ast.Slice) for part in ast.walk(node.value))
        for name in _assigned(node)
    }
    return indexed | slices


class _Registers(NamedTuple):
    """An array whose entries are variables: what their names begin with, and how many there are."""

    prefix: str
    size: int

    def names(self) -> list[str]:
        return [f"{self.prefix}_{k}" for k in range(self.size)]


class Known(ast.Constant):
    """A number that an entry of registers is known to be."""

    value: float


class _Rewriter:
    """Rewrites one function; `known` holds the constants at each point of it.

    What takes the place of a call has a rewriter of its own, whose `root` is that of the function around it.
    """

    def __init__(
        self,
        specialiser: Specialiser,
        function: Function,
        namespace: dict[str, Any],
        root: "_Rewriter | None" = None,
    ):
        self._specialise, self._namespace, self._root = specialiser, namespace, root or self
        self.of_lanes = specialiser.of_lanes
        self._replaced = 0  # calls so far, in the root, for the names of variables
        if root is not None:
            root._replaced += 1
        self._suffix = f"__{root._replaced}" if root else ""
        self._within: list[Function] = []  # the functions around, in the root, whose calls are replaced
        self._renamed: dict[str, str] = {}
        self.registers: dict[str, _Registers] = {}
        # Of the root, by the name of an entry: the number that it is known to be, or the variable that has
        # its value; and what a zero of its type is.
        self._entries: dict[str, float | str] = {}
        self._zeros: dict[str, ast.expr] = {}
        # Each value gets a variable of its own, where no loop or branch is in the way: the compiler looks
        # through all of a function for each variable that has several.
        self._made: dict[str, None] = {}  # such variables, in the root
        self._variables: dict[str, str] = {}  # by local name, of what takes the place of a call
        self._kept_around = 0  # loops and branches
        self._definition, code = _definition(function), function.__code__
        self._function, self._locals = function, set(code.co_varnames)
        self._parameters = code.co_varnames[: code.co_argcount]
        self._arrays = _arrays(self._definition)
        # The callee of each name that cannot be an alias any more; None for names of the source.
        self._callees: dict[str, Function | None] = dict.fromkeys(
            [function.__name__, *code.co_names, *code.co_varnames]
        )
        self._loops = 0  # so far, for the names of their counters
        self._in_unrolled = False  # whether the innermost loop around is unrolled

    def rewritten(self, constants: Mapping[str, int]) -> ast.FunctionDef:
        """Return the definition for these constants."""
        definition = self._definition
        if unknown := [name for name in constants if name not in self._parameters]:
            what = f"`{definition.name}` for {', '.join(unknown)}"
            raise self.refusal(definition, what, "constants must be parameters")
        definition.body = self._block(definition.body, dict(constants)) or [ast.Pass()]
        return definition

    def refusal(self, node: ast.stmt | ast.expr, what: str, instead: str) -> UnsupportedError:
        return _refusal(self._function, node.lineno, what, instead)

    def _block(self, statements: Sequence[ast.stmt], known: _Constants) -> list[ast.stmt]:
        return [new for statement in statements for new in self._statement(statement, known)]

    def _statement(self, statement: ast.stmt, known: _Constants) -> list[ast.stmt]:
        match statement:
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name("registers"), [count, zero])):
                return self._declaration(name, count, zero, known)
            case ast.Assign([ast.Tuple(names)], ast.Tuple([ast.Call(ast.Name("registers")), *_] as values)):
                parts = [ast.Assign([name], value) for name, value in zip(names, values, strict=True)]
                return self._block([ast.copy_location(part, statement) for part in parts], known)
            case ast.Expr(ast.Call(ast.Name("store"), [ast.Name(name), index, value])) if (
                name in self.registers
            ):
                return self._stored(self.entry(name, index, known), value, known)
            case ast.Expr() | ast.Return(ast.expr()):
                return self._used(statement, known)
            case ast.For():
                return self._for(statement, known)
            case ast.While():
                return self._while(statement, known)
            case ast.If():
                return self._if(statement, known)
            case ast.AugAssign():
                return self._assignment(self._expanded(statement), known)
            case ast.Assign():
                return self._assignment(statement, known)
            case ast.Break() | ast.Continue() if self._in_unrolled:
                what = f"`{ast.unparse(statement)}` in an unrolled loop"
                raise self.refusal(statement, what, "guard the rest of the body by an `if`")
            case ast.Break() | ast.Continue():
                return [*self._written_down(), statement]
        return [_Expressions(self, known).visit(copy.deepcopy(statement))]

    def _expression(self, node: ast.expr, known: _Constants) -> Any:
        return _Expressions(self, known).visit(copy.deepcopy(node))

    def _test(self, node: ast.expr, known: _Constants) -> Any:
        return _Expressions(self, known).truth(copy.deepcopy(node))

    def _body(self, statements: Sequence[ast.stmt], known: _Constants, *, unrolled: bool) -> list[ast.stmt]:
        """Rewrite the body of a loop for one iteration."""
        around, self._in_unrolled = self._in_unrolled, unrolled
        body = self._block(statements, known)
        self._in_unrolled = around
        return body

    def _for(self, loop: ast.For, known: _Constants) -> list[ast.stmt]:
        values = self._values(loop, known)
        if values is None:
            return self._kept(loop, known)
        unrolled: list[ast.stmt] = []
        for value in values:
            binding = ast.copy_location(ast.Assign([loop.target], value), loop)
            unrolled += self._body([binding, *loop.body], known, unrolled=True)
        return unrolled

    def _values(self, loop: ast.For, known: _Constants) -> Sequence[ast.expr] | None:
        """Return the values of the variable of an unrolled loop, None for a loop that stays."""
        if isinstance(loop.iter, ast.Tuple):
            is_fixed = all(self._is_fixed(value, loop, known) for value in loop.iter.elts)
            return loop.iter.elts if is_fixed and isinstance(loop.target, ast.Name) else None
        arguments = _range_arguments(self._expression(loop.iter, known))
        bounds = [_constant(argument) for argument in arguments or []]
        if not bounds or None in bounds or not isinstance(loop.target, ast.Name):
            return None
        if bounds[2] == 0:
            raise self.refusal(loop, f"`{ast.unparse(loop.iter)}`", "a step must not be zero")
        places = range(*bounds)  # type: ignore[arg-type]
        if len(places) > _MOST_TURNS:
            raise self._endless(loop)
        return [ast.copy_location(ast.Constant(i), loop.iter) for i in places]

    def _is_fixed(self, value: ast.expr, loop: ast.For, known: _Constants) -> bool:
        """Return whether an element of a tuple means the same in each turn of a loop over it."""
        names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
        return names.isdisjoint(_assigned(loop)) and (isinstance(value, ast.Name) or names <= known.keys())

    def _endless(self, loop: ast.stmt) -> UnsupportedError:
        return self.refusal(loop, f"a loop of more than {_MOST_TURNS} turns", "loop to the value of a global")

    def _kept(self, loop: ast.For, known: _Constants) -> list[ast.stmt]:
        _forget(known, _assigned(loop))
        before = self._written_down(loop)
        self._kept_around += 1
        iterable, target = self._expression(loop.iter, known), self._expression(loop.target, known)
        body = self._body(loop.body, dict(known), unrolled=False) + self._written_down()
        self._kept_around -= 1
        counted = self._counted(target, iterable, body)
        kept = counted or [ast.For(target, iterable, body or [ast.Pass()], [])]
        return before + [ast.copy_location(statement, loop) for statement in kept]

    def _counted(self, target: ast.expr, iterable: ast.expr, body: list[ast.stmt]) -> list[ast.stmt] | None:
        """Return a loop over a range upwards as a while loop, None for any other loop: on CUDA, numba's
        iterator of a range costs ten instructions a turn."""
        bounds = _range_arguments(iterable)
        if bounds is None or not self._is_positive(bounds[2]):
            return None
        self._root._loops += 1
        place, end = f"_place{self._root._loops}", f"_end{self._root._loops}"
        (loop,) = ast.parse(f"while {place} < {end}: pass").body
        assert isinstance(loop, ast.While)
        first, last, step = bounds
        advance = ast.AugAssign(ast.Name(place, ast.Store()), ast.Add(), step)
        loop.body = [ast.Assign([target], ast.Name(place, ast.Load())), advance, *body]
        return [
            ast.Assign([ast.Name(place, ast.Store())], first),
            ast.Assign([ast.Name(end, ast.Store())], last),
            loop,
        ]

    def _is_positive(self, step: ast.expr) -> bool:
        """Return whether a step is a positive constant, or a global that is."""
        value = self.value_of(step.id) if isinstance(step, ast.Name) else _constant(step)
        return isinstance(value, int) and value > 0

    def _while(self, loop: ast.While, known: _Constants) -> list[ast.stmt]:
        unrolled: list[ast.stmt] = []
        for _ in range(_MOST_TURNS + 1):
            test = _constant(self._test(loop.test, known))
            if test is None and not unrolled:
                return self._kept_while(loop, known)
            if test is None:
                what = f"`while {ast.unparse(loop.test)}`, which is constant in its first turns alone,"
                raise self.refusal(loop, what, "write `for` with `break` over a range to a global")
            if not test:
                return unrolled
            unrolled += self._body(loop.body, known, unrolled=True)
        raise self._endless(loop)

    def _kept_while(self, loop: ast.While, known: _Constants) -> list[ast.stmt]:
        _forget(known, _assigned(loop))
        before = self._written_down(loop)
        self._kept_around += 1
        test = self._test(loop.test, known)
        body = self._body(loop.body, dict(known), unrolled=False) + self._written_down()
        self._kept_around -= 1
        return [*before, ast.copy_location(ast.While(test, body or [ast.Pass()], []), loop)]

    def _if(self, branch: ast.If, known: _Constants) -> list[ast.stmt]:
        test = self._test(branch.test, known)
        decided = _constant(test)
        if decided is not None:
            return self._block(branch.body if decided else branch.orelse, known)
        before = self._written_down(branch)
        self._kept_around += 1
        body, orelse = (
            self._block(statements, dict(known)) + self._written_down()
            for statements in (branch.body, branch.orelse)
        )
        self._kept_around -= 1
        _forget(known, _assigned(branch))
        if body or orelse:
            return [*before, ast.copy_location(ast.If(test, body or [ast.Pass()], orelse), branch)]
        return before + ([ast.copy_location(ast.Expr(test), branch)] if _calls(test) else [])

    def _expanded(self, statement: ast.AugAssign) -> ast.Assign:
        """Return `x += y` as `x = x + y`."""
        target = statement.target
        if _assigned(target) & self._arrays or _calls(target):
            instead = "assign to entries of an array, at an index that calls nothing"
            raise self.refusal(statement, f"`{ast.unparse(statement)}`", instead)
        operand = copy.deepcopy(target)
        operand.ctx = ast.Load()
        value = ast.BinOp(operand, statement.op, statement.value)
        return ast.copy_location(ast.Assign([target], value), statement)

    def _assignment(self, statement: ast.Assign, known: _Constants) -> list[ast.stmt]:
        before, value = self._value(statement.value, known)
        _forget(known, _assigned(statement))  # before the targets: `i, x[i] = ...` assigns i first
        targets = [self._expression(target, known) for target in statement.targets]
        for target in statement.targets:
            pairs: list[tuple[ast.expr, ast.expr]] = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=False))
            for part, new_value in pairs:
                _forget(known, _assigned(part))  # `a, a = 1, x`
                if isinstance(part, ast.Name) and (number := _literal(new_value)) is not None:
                    known[part.id] = number
        return [*before, ast.copy_location(ast.Assign(targets, value), statement)]

    # Registers, and functions that are given some.

    def _declaration(self, name: str, count: ast.expr, zero: ast.expr, known: _Constants) -> list[ast.stmt]:
        """Make a name stand for variables that hold nothing yet."""
        size = _constant(self._expression(count, known))
        if size is None:
            raise self.refusal(count, f"`{ast.unparse(count)}` registers", "give a constant number")
        self.registers[name] = made = _Registers(self.emitted(name), size)
        for entry in made.names():
            self._root._entries.pop(entry, None)
            self._root._zeros[entry] = self._expression(zero, known)
        return []

    def entry(self, name: str, index: ast.expr, known: _Constants) -> str:
        """Return the variable that an entry of registers is."""
        place, registers = _constant(self._expression(index, known)), self.registers[name]
        if place is None or not 0 <= place < registers.size:
            what = f"entry `{ast.unparse(index)}` of the {registers.size} registers `{name}`"
            raise self.refusal(index, what, "index by constants in range")
        return registers.names()[place]

    def loaded(self, node: ast.expr, name: str, index: ast.expr, known: _Constants) -> ast.expr:
        """Return the value of an entry of registers."""
        variable = self.entry(name, index, known)
        if variable not in self._root._entries:
            raise self.refusal(node, f"`{ast.unparse(node)}`, which holds nothing,", "store a value first")
        value = self._root._entries[variable]
        new = ast.Name(value, ast.Load()) if isinstance(value, str) else Known(value)
        return ast.copy_location(new, node)

    def _stored(self, variable: str, value: ast.expr, known: _Constants) -> list[ast.stmt]:
        """Give an entry a new variable, or remember the number that it is."""
        before, new = ([], value) if isinstance(value, ast.Constant) else self._value(value, known)
        if isinstance(new, ast.Constant) and isinstance(new.value, float):
            self._root._entries[variable] = new.value
            return before
        if isinstance(new, ast.Name) and new.id in self._root._made:
            self._root._entries[variable] = new.id
            return before
        self._root._entries[variable] = name = self._new(variable)
        return [*before, ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], new), value)]

    def _new(self, variable: str) -> str:
        """Return a name that has not been used."""
        made = self._root._made
        name = f"{variable}__{len(made)}"
        made[name] = None
        return name

    def _written_down(self, kept: ast.stmt | None = None) -> list[ast.stmt]:
        """Give every entry the variable of its name, in front of a loop or branch that is kept, and at its
        end; and in front of it every local name that it assigns."""
        pairs: list[tuple[str, ast.expr]] = []
        for variable, value in self._root._entries.items():
            if isinstance(value, float):
                zero = self._root._zeros[variable]
                pairs.append((variable, ast.BinOp(zero, ast.Add(), Known(value)) if value else zero))
            elif value != variable:
                pairs.append((variable, ast.Name(value, ast.Load())))
            self._root._entries[variable] = variable
        for name in sorted(_assigned(kept) & self._variables.keys()) if kept else ():
            pairs.append((name + self._suffix, ast.Name(self._variables.pop(name), ast.Load())))
        statements = [ast.Assign([ast.Name(variable, ast.Store())], value) for variable, value in pairs]
        return [ast.copy_location(statement, self._root._definition) for statement in statements]

    def _used(self, statement: ast.Expr | ast.Return, known: _Constants) -> list[ast.stmt]:
        """Rewrite a statement that is one value."""
        assert statement.value is not None
        before, value = self._value(statement.value, known)
        if isinstance(statement, ast.Return):
            return [*before, ast.copy_location(ast.Return(value), statement)]
        return before + (
            [ast.copy_location(ast.Expr(value), statement)] if not before or _calls(value) else []
        )

    def _value(self, node: ast.expr, known: _Constants) -> tuple[list[ast.stmt], Any]:
        """Return the statements that take the place of a call that is given registers, and the value."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            source = self.stands_for(node.func.id)
            if source is not None and node.func.id != "load" and self._is_given_registers(node):
                return self._in_place(node, source, known)
        return [], self._expression(node, known)

    def _is_given_registers(self, call: ast.Call) -> bool:
        return any(isinstance(argument, ast.Name) and argument.id in self.registers for argument in call.args)

    def _in_place(
        self, call: ast.Call, source: Function, known: _Constants
    ) -> tuple[list[ast.stmt], ast.expr]:
        """Return what a function does, with variables of its own, and the value that it returns."""
        if source in self._root._within:
            raise self.refusal(call, f"recursion of `{source.__name__}`", "write a loop")
        self._root._within.append(source)
        inner = _Rewriter(self._specialise, source, self._specialise.namespace(source), self._root)
        body, result = inner._definition.body, None
        if isinstance(last := body[-1], ast.Return):
            body, result = body[:-1], last.value
        returns = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Return)]
        if returns or call.keywords or len(call.args) != len(inner._parameters):
            what = f"`{ast.unparse(call)}`, which is given registers,"
            raise self.refusal(call, what, "pass every argument by its place, and return at the end alone")
        statements: list[ast.stmt] = []
        constants: _Constants = {}
        for parameter, argument in zip(inner._parameters, call.args, strict=True):
            if isinstance(argument, ast.Name) and argument.id in self.registers:
                inner.registers[parameter] = self.registers[argument.id]
                continue
            value = self._expression(argument, known)
            if (number := _literal(value)) is not None:
                constants[parameter] = number
            is_fixed = isinstance(value, ast.Name) and value.id not in self._root._entries
            if is_fixed and not any(parameter in _assigned(statement) for statement in body):
                inner._renamed[parameter] = value.id
            else:
                target = ast.Name(inner.emitted(parameter), ast.Store())
                statements.append(ast.copy_location(ast.Assign([target], value), call))
        statements += inner._block(body, constants)
        more, value = inner._value(result or ast.copy_location(ast.Constant(None), call), constants)
        self._root._within.pop()
        return statements + more, value

    def emitted(self, name: str) -> str:
        """Return what a name of the source is called in the function that is made."""
        if name in self._locals:
            return self._variables.get(name) or self._renamed.get(name, name + self._suffix)
        return self._bound(name) if self is not self._root and name in self._namespace else name

    def assigned(self, name: str) -> str:
        """Return the variable for a new value of a local name."""
        if self is self._root or self._kept_around:
            return name + self._suffix
        self._variables[name] = variable = self._new(name + self._suffix)
        return variable

    def _bound(self, name: str) -> str:
        """Return a name for a global of the source among those of the function around."""
        value, alias = self._namespace[name], name
        while alias in self._root._locals or self._root._namespace.setdefault(alias, value) is not value:
            alias += "_"
        self._namespace[alias] = value
        return alias

    def value_of(self, name: str) -> Any:
        """Return what a global name stands for, None for a local one."""
        return None if name in self._locals else self._namespace.get(name)

    def stands_for(self, name: str) -> Function | None:
        """Return the source of what a name calls, None if it is not from `kernels`."""
        return None if name in self._locals else self._specialise.stands_for(name, self._namespace.get(name))

    def callee(self, call: ast.Call, name: str) -> str:
        """Return the name under which a function, specialised for its constant arguments, is called."""
        source = self.stands_for(name)
        if source is None:
            return self.emitted(name)
        is_operation = self._namespace.get(name) is self._specialise._names.get(name, self)
        parameters = source.__code__.co_varnames[: source.__code__.co_argcount]
        by_name = [(str(keyword.arg), keyword.value) for keyword in call.keywords]
        constants = {
            parameter: value
            for parameter, argument in (*zip(parameters, call.args, strict=False), *by_name)
            if (value := _constant(argument)) is not None and not is_operation
        }
        alias = "_".join(["", source.__name__, *(str(value) for item in constants.items() for value in item)])
        alias = alias.replace("-", "minus")
        made = self._specialise(source, **constants)
        while self._root._callees.setdefault(alias, made) is not made:
            alias += "_"
        self._root._namespace[alias] = made
        return alias


class _Expressions(ast.NodeTransformer):
    """Rewrites one expression, by what is known."""

    def __init__(self, rewriter: _Rewriter, known: _Constants):
        self._rewriter, self._known = rewriter, known

    def truth(self, node: ast.expr) -> Any:
        """Rewrite an expression of which only the truth matters."""
        if isinstance(node, ast.BoolOp):
            return self._joined(node, [self.truth(value) for value in node.values], is_test=True)
        return self.visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._known:
            number = self._known[node.id]
            kind = Known if isinstance(number, float) else ast.Constant
            return ast.copy_location(kind(number), node)
        if node.id in self._rewriter.registers:
            raise self._rewriter.refusal(node, f"`{node.id}` as a value", "call a function with it alone")
        value, source = self._rewriter.value_of(node.id), node.id
        is_read = isinstance(node.ctx, ast.Load)
        node.id = self._rewriter.emitted(source) if is_read else self._rewriter.assigned(source)
        if isinstance(value, float):
            return ast.copy_location(_real(node), node)
        is_module = isinstance(value, ModuleType) and _is_kernels(value.__name__)
        if is_module or self._rewriter.stands_for(source):
            instead = "call the function by its own name"
            raise self._rewriter.refusal(node, f"`{source}` as a value", instead)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, float):
            return ast.copy_location(_real(node), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if (simpler := _spared(node.op, node.left, node.right)) is not None:
            return simpler
        operands = [self._global_constant(operand) for operand in (node.left, node.right)]
        return _fold(node, _FOLDED.get(type(node.op)), operands)

    def _global_constant(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and type(value := self._rewriter.value_of(node.id)) is int:
            return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        is_not = isinstance(node.op, ast.Not)
        node.operand = self.truth(node.operand) if is_not else self.visit(node.operand)
        is_mask = type(_constant(node.operand)) is not int
        if isinstance(node.op, ast.Invert) and is_mask and not self._rewriter.of_lanes:
            node.op = ast.Not()
        return _fold(node, _FOLDED.get(type(node.op)), [node.operand])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        return self._joined(node, [self.visit(value) for value in node.values], is_test=False)

    def _joined(self, node: ast.BoolOp, values: Sequence[ast.expr], *, is_test: bool) -> ast.expr:
        """Return `and` or `or` of values without the constants that do not matter, and without what follows
        one that decides."""
        ends, left = isinstance(node.op, ast.Or), list[ast.expr]()
        for value in values:
            number = _constant(value)
            decides = number is not None and bool(number) == ends
            if decides and is_test and not any(map(_calls, left)):
                return ast.copy_location(ast.Constant(ends), node)
            if number is None or decides or (value is values[-1] and not is_test):
                left.append(value)
            if decides:
                break
        if not left:
            return ast.copy_location(ast.Constant(not ends), node)
        node.values = left
        return node if len(left) > 1 else left[0]

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        comparisons = [_FOLDED[type(x)] for x in node.ops]

        def chained(*values: int) -> int:
            return all(f(*pair) for f, pair in zip(comparisons, pairwise(values), strict=True))

        return _fold(node, chained, [node.left, *node.comparators])

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self.truth(node.test)
        decided = _constant(node.test)
        if decided is not None:
            result: ast.AST = self.visit(node.body if decided else node.orelse)
            return result
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(ast.Name("load"), [ast.Name(name), index]) if name in self._rewriter.registers:
                return self._rewriter.loaded(node, name, index, self._known)
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        if not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
            return node
        values = [_constant(argument) for argument in node.args]
        if node.func.id in _BUILTINS and len(values) > 1 and None not in values and not node.keywords:
            return ast.copy_location(ast.Constant(_BUILTINS[node.func.id](*values)), node)
        if (simpler := _spared_call(node)) is not None:
            return simpler
        node.func.id = self._rewriter.callee(node, node.func.id)
        return node


def _fold(node: ast.expr, operation: Function | None, operands: Sequence[ast.expr]) -> ast.expr:
    """Return the constant that an operation gives on constants; on others, and where it fails, `node`."""
    values = [_constant(operand) for operand in operands]
    if None in values or operation is None:
        return node
    try:
        return ast.copy_location(ast.Constant(operation(*values)), node)
    except (ArithmeticError, ValueError):  # an error, if at all, only when this is executed
        return node


def _spared(operator: ast.operator, left: ast.expr, right: ast.expr) -> ast.expr | None:
    """Return what is left of a sum, difference or product with entries that are known: None if all is."""
    numbers = [node.value if isinstance(node, Known) else None for node in (left, right)]
    match operator, numbers:
        case ((ast.Add() | ast.Sub() | ast.Mult()), [float(x), float(y)]):
            return ast.copy_location(Known(float(_FOLDED[type(operator)](x, y))), left)
        case (ast.Add(), [0.0, _]) | (ast.Mult(), [1.0, _]) | (ast.Mult(), [_, 0.0]):
            return right
        case ((ast.Add() | ast.Sub()), [_, 0.0]) | (ast.Mult(), [_, 1.0]) | (ast.Mult(), [0.0, _]):
            return left
    return None


def _spared_call(node: ast.Call) -> ast.expr | None:
    """The same for the operations that are products for real numbers: dot, abs2 and conjugate."""
    match node:
        case ast.Call(ast.Name("conjugate"), [Known() as x]):
            return x
        case ast.Call(ast.Name("abs2"), [Known() as x]):
            return _spared(ast.Mult(), x, x)
        case ast.Call(ast.Name("dot"), [Known() as x, y]):
            return _spared(ast.Mult(), x, y)
        case ast.Call(ast.Name("dot"), [_, Known(0.0) as x]):
            return x
    return None


class _Finish(ast.NodeTransformer):
    """Leaves out constants that nothing reads, of functions in the place of calls, and gives numbers that are
    known the type of the matrix. Lanes take numbers of any type."""

    def __init__(self, definition: ast.FunctionDef, any_type: bool):
        self._any_type = any_type
        self._read = {
            node.id
            for node in ast.walk(definition)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        match node:
            case ast.Assign([ast.Name(name)], ast.Constant()) if "__" in name and name not in self._read:
                return None
        return self.generic_visit(node)

    def visit_Known(self, node: Known) -> ast.expr:
        number = ast.copy_location(ast.Constant(node.value), node)
        return number if self._any_type else ast.copy_location(_real(number), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        is_conversion = isinstance(node.func, ast.Name) and node.func.id == "_real"
        return node.args[0] if is_conversion and self._any_type else node
