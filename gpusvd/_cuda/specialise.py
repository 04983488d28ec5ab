"""Make of a kernel's source a function for scalars, for sizes that are known.

The sources in `kernels` are written for groups of SIMD lanes and any size. A CUDA thread, or a caller's own
loop, wants them for one matrix of a fixed size, with every loop unrolled: an array whose indices are all
constants lies in registers. `Specialiser` rewrites the syntax tree of a function and of all that it calls:

- operations on lanes are replaced by those of scalars, by name;
- parameters known to be whole numbers become constants, loops over constant ranges and tuples of values are
  unrolled, and branches on constants decided;
- floating-point literals and globals get the precision of the matrix, which for lanes they have by
  themselves, and `~` of a mask becomes `not`.

A loop to the value of a global name, `range(MAX_SWEEPS)` say, stays a loop, and one over a range becomes a
while loop, which numba compiles better. Lines keep their numbers and files, so that errors point at the
source.
"""

import ast
import copy
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

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
}
_BUILTINS: dict[str, Callable[..., int]] = {"min": min, "max": max}

Function = Callable[..., Any]


class Specialiser:
    """Functions for one kind of scalar, each specialised once for each set of constants.

    Parameters
    ----------
    names : mapping
        What stands for a global name of the sources: the operations on scalars and their constants.
    real : callable
        Makes a number of the matrix's real type: `numpy.float32` or `numpy.float64`.
    jit : callable
        Compiles a function, or returns it as it is.
    """

    def __init__(self, names: Mapping[str, Any], real: Function, jit: Callable[[Function], Function]):
        self._names, self._real, self._jit = names, real, jit
        self._made: dict[tuple[Any, ...], Function] = {}

    def __call__(self, function: Function, **constants: int) -> Function:
        """Return the function with these parameters constant; it still takes them, and ignores them."""
        function = getattr(function, "py_func", function)
        key = function, *sorted(constants.items())
        if key not in self._made:
            self._made[key] = self._jit(self.plain(function, **constants))
        return self._made[key]

    def plain(self, function: Function, **constants: int) -> Function:
        """Return the function so, not compiled itself but calling compiled ones."""
        definition = _definition(function)
        namespace = {**function.__globals__, **self._names, "_real": self._real}
        rewriter = _Rewriter(self, namespace)
        definition.body = rewriter.block(definition.body, dict(constants)) or [ast.Pass()]
        module = ast.Module([definition], [])
        code = compile(ast.fix_missing_locations(module), function.__code__.co_filename, "exec")
        exec(code, namespace)
        made: Function = namespace[function.__name__]
        return made

    def stands_for(self, name: str, value: Any) -> Function | None:
        """Return the source of what a global name calls, None for what is not from `kernels`."""
        value = getattr(self._names.get(name, value), "py_func", self._names.get(name, value))
        is_ours = inspect.isfunction(value) and (
            name in self._names or "kernels" in value.__module__.split(".")
        )
        return value if is_ours else None


def _definition(function: Function) -> ast.FunctionDef:
    """Return the syntax tree of a function, with its own line numbers and without decorators and
    docstring."""
    lines, first = inspect.getsourcelines(function)
    definition = ast.parse(textwrap.dedent("".join(lines))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    ast.increment_lineno(definition, first - 1)
    definition.decorator_list = []
    definition.returns = None
    if ast.get_docstring(definition) is not None:
        del definition.body[0]
    return definition


def _constant(node: ast.AST) -> int | None:
    """Return the whole number (or truth) that an expression is, None for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    return None


def _range_arguments(node: ast.expr) -> list[ast.expr] | None:
    """Return where a range begins, where it ends, and its step; None for anything else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
        return None
    first, last = ([ast.Constant(0), *node.args] if len(node.args) == 1 else node.args)[:2]
    return [first, last, node.args[2] if len(node.args) == 3 else ast.Constant(1)]


def _assigned(statements: Iterable[ast.stmt]) -> set[str]:
    """Return the names that statements may change."""
    return {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _forget(known: dict[str, int], names: Iterable[str]) -> None:
    for name in names:
        known.pop(name, None)


class _Rewriter:
    """Rewrites the statements of one function; `known` holds the constants at each point of it."""

    def __init__(self, specialiser: Specialiser, namespace: dict[str, Any]):
        self._specialise, self._namespace = specialiser, namespace
        self._loops = 0  # so far, for the names of their counters

    def block(self, statements: Sequence[ast.stmt], known: dict[str, int]) -> list[ast.stmt]:
        return [new for statement in statements for new in self._statement(statement, known)]

    def _statement(self, statement: ast.stmt, known: dict[str, int]) -> list[ast.stmt]:
        match statement:
            case ast.For():
                return self._for(statement, known)
            case ast.While():
                return self._while(statement, known)
            case ast.If():
                return self._if(statement, known)
            case ast.Assign() | ast.AugAssign():
                return self._assignment(statement, known)
        return [_Expressions(self, known).visit(copy.deepcopy(statement))]

    def expression(self, node: ast.expr, known: dict[str, int]) -> Any:
        return _Expressions(self, known).visit(copy.deepcopy(node))

    def _for(self, loop: ast.For, known: dict[str, int]) -> list[ast.stmt]:
        values = self._values(loop.iter, known)
        if values is None or not isinstance(loop.target, ast.Name):
            _forget(known, _assigned([loop]))
            iterable, body = self.expression(loop.iter, known), self.block(loop.body, dict(known))
            counted = self._counted(loop.target, iterable, body)
            rest = counted or [ast.For(loop.target, iterable, body or [ast.Pass()], [])]
            return [ast.copy_location(statement, loop) for statement in rest]
        unrolled: list[ast.stmt] = []
        for value in values:
            binding = ast.copy_location(ast.Assign([loop.target], value), loop)
            unrolled += self.block([binding, *loop.body], known)
        return unrolled

    def _counted(self, target: ast.expr, iterable: ast.expr, body: list[ast.stmt]) -> list[ast.stmt] | None:
        """Return a loop over a range upwards as a while loop, None for any other loop: on CUDA, numba's
        iterator of a range costs ten instructions a turn."""
        bounds = _range_arguments(iterable)
        if bounds is None or not ((_constant(bounds[2]) or 0) > 0):
            return None
        self._loops += 1
        place, end = f"_place{self._loops}", f"_end{self._loops}"
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

    def _values(self, iterable: ast.expr, known: dict[str, int]) -> list[ast.expr] | None:
        """Return what an unrolled loop goes through, None for a loop that stays."""
        if isinstance(iterable, ast.Tuple):
            return iterable.elts
        new = self.expression(iterable, known)
        bounds = [_constant(argument) for argument in _range_arguments(new) or [new]]
        if None in bounds:
            return None
        return [ast.copy_location(ast.Constant(i), iterable) for i in range(*bounds)]  # type: ignore[arg-type]

    def _while(self, loop: ast.While, known: dict[str, int]) -> list[ast.stmt]:
        unrolled: list[ast.stmt] = []
        while (test := _constant(self.expression(loop.test, known))) is not None:
            if not test:
                return unrolled
            unrolled += self.block(loop.body, known)
        raise NotImplementedError(f"a while loop on what is not constant: {ast.unparse(loop.test)}")

    def _if(self, branch: ast.If, known: dict[str, int]) -> list[ast.stmt]:
        test = self.expression(branch.test, known)
        decided = _constant(test)
        if decided is not None:
            return self.block(branch.body if decided else branch.orelse, known)
        yes, no = dict(known), dict(known)
        body, orelse = self.block(branch.body, yes), self.block(branch.orelse, no)
        _forget(known, _assigned([branch]))
        if not body and not orelse:
            return []
        return [ast.copy_location(ast.If(test, body or [ast.Pass()], orelse), branch)]

    def _assignment(self, statement: ast.Assign | ast.AugAssign, known: dict[str, int]) -> list[ast.stmt]:
        if isinstance(statement, ast.AugAssign):
            operands = copy.deepcopy(statement.target)
            for node in ast.walk(operands):
                if hasattr(node, "ctx"):
                    node.ctx = ast.Load()
            value = ast.BinOp(operands, statement.op, statement.value)
            statement = ast.copy_location(ast.Assign([statement.target], value), statement)
        new = ast.copy_location(
            ast.Assign(
                [_Expressions(self, known).visit(copy.deepcopy(target)) for target in statement.targets],
                self.expression(statement.value, known),
            ),
            statement,
        )
        _forget(known, _assigned([statement]))
        (target,) = statement.targets
        pairs: list[tuple[ast.expr, ast.expr]] = [(target, new.value)]
        if isinstance(target, ast.Tuple) and isinstance(new.value, ast.Tuple):
            pairs = list(zip(target.elts, new.value.elts, strict=True))
        for name, new_value in pairs:
            if isinstance(name, ast.Name) and (number := _constant(new_value)) is not None:
                known[name.id] = number
        return [new]

    def value_of(self, name: str) -> Any:
        """Return what a global name stands for."""
        return self._namespace.get(name)

    def callee(self, name: str, arguments: Sequence[ast.expr]) -> str:
        """Return the name under which a function, specialised for its constant arguments, is called."""
        source = self._specialise.stands_for(name, self._namespace.get(name))
        if source is None:
            return name
        parameters = source.__code__.co_varnames[: source.__code__.co_argcount]
        constants = {
            parameter: value
            for parameter, argument in zip(parameters, arguments, strict=False)
            if (value := _constant(argument)) is not None and name not in self._specialise._names
        }
        alias = "_".join(["", source.__name__, *(str(value) for item in constants.items() for value in item)])
        alias = alias.replace("-", "minus")
        self._namespace[alias] = self._specialise(source, **constants)
        return alias


class _Expressions(ast.NodeTransformer):
    """Rewrites one expression, by what is known."""

    def __init__(self, rewriter: _Rewriter, known: dict[str, int]):
        self._rewriter, self._known = rewriter, known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._known:
            return ast.copy_location(ast.Constant(self._known[node.id]), node)
        if isinstance(self._rewriter.value_of(node.id), float):
            return ast.copy_location(ast.Call(ast.Name("_real", ast.Load()), [node], []), node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, float):
            return ast.copy_location(ast.Call(ast.Name("_real", ast.Load()), [node], []), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        operands = [self._global_constant(operand) for operand in (node.left, node.right)]
        return _fold(node, type(node.op), operands)

    def _global_constant(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and type(value := self._rewriter.value_of(node.id)) is int:
            return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Invert):  # of a mask
            node.op = ast.Not()
        value = _constant(node.operand)
        if value is None or not isinstance(node.op, ast.USub | ast.Not):
            return node
        return ast.copy_location(ast.Constant(not value if isinstance(node.op, ast.Not) else -value), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        ends = isinstance(node.op, ast.Or)
        open_values = [value for value in node.values if _constant(value) is None]
        if any(_constant(value) not in (None, 0) if ends else _constant(value) == 0 for value in node.values):
            return ast.copy_location(ast.Constant(ends), node)
        if not open_values:
            return ast.copy_location(ast.Constant(not ends), node)
        node.values = open_values
        return node if len(open_values) > 1 else open_values[0]

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) > 1:
            return node
        return _fold(node, type(node.ops[0]), [node.left, *node.comparators])

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test = _constant(self.visit(node.test))
        if test is not None:
            result: ast.AST = self.visit(node.body if test else node.orelse)
            return result
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name):
            return node
        if node.func.id in _BUILTINS and (values := [_constant(x) for x in node.args]) and None not in values:
            return ast.copy_location(ast.Constant(_BUILTINS[node.func.id](*values)), node)
        node.func.id = self._rewriter.callee(node.func.id, node.args)
        return node


def _fold(node: ast.expr, operation: type[ast.AST], operands: Sequence[ast.expr]) -> ast.expr:
    """Return the constant that an operation on constants gives, the operation itself on others."""
    values = [_constant(operand) for operand in operands]
    if None in values or operation not in _FOLDED:
        return node
    return ast.copy_location(ast.Constant(_FOLDED[operation](*values)), node)
