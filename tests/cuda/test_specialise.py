"""The rewriting of sources for scalars and known sizes."""

import ast
import functools
import inspect
import itertools
import linecache
import math
import re
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusvd._base import specialise as _specialise
from gpusvd._base.specialise import Specialiser, UnsupportedError
from gpusvd.kernels import qr, rotation, schedule, single
from gpusvd.kernels.lanes import dot, registers
from gpusvd.kernels.scalars import load, scalar_operations, store

LIMIT = 3
HALF = 0.5


def specialiser(kind="float64"):
    operations = scalar_operations(kind)
    return Specialiser(operations, operations["real"], lambda function: function)


def rewritten(function, **constants):
    """The source that the specialiser makes of a function."""
    rewriter = _specialise._Rewriter(specialiser(), function, dict(function.__globals__))
    return ast.unparse(ast.fix_missing_locations(rewriter.rewritten(constants)))


def defined(source, **names):
    """The function `f` of a source, as if it stood in a module of kernels."""
    file = f"<kernel {next(_files)}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    namespace = {"__name__": "kernels.example", "LIMIT": LIMIT, "HALF": HALF, **names}
    exec(compile(source, file, "exec"), namespace)
    return namespace["f"]


_files = itertools.count()


def body(source):
    """A function with this body."""
    return "def f(x, y, n, log):\n" + textwrap.indent(textwrap.dedent(source), "    ")


def outcome(function, *arguments):
    """What a function returns or raises, and what it has written to its list and its log."""
    x, *rest = arguments
    x, log = list(x) if isinstance(x, list) else x, []
    try:
        result = function(x, *rest, lambda value: log.append(value) or value)
    except Exception as error:
        result = type(error)
    return result, x, log


def nested(x, n):
    total = 0
    for i in range(n):
        for j in range(i + 1, n):
            total += x[i * n + j]
    return total


def test_nested_loops_over_constants_are_unrolled():
    source = rewritten(nested, n=3)
    assert "for" not in source
    assert [f"x[{k}]" in source for k in range(9)] == [k in (1, 2, 5) for k in range(9)]
    assert specialiser()(nested, n=3)(list(range(9)), 3) == 8


def branches(x, n):
    if n % 2 and n > 1:
        return x + 1
    if n == 2 or n < 0:
        return x + 2
    return x + (3 if n > 5 else 4)


@pytest.mark.parametrize("n", [-1, 1, 2, 3, 6])
def test_branches_on_constants_are_decided(n):
    source = rewritten(branches, n=n)
    assert "if" not in source
    assert specialiser()(branches, n=n)(10, n) == branches(10, n)


def until(x, n):
    q = 1
    while q + 2 <= n:
        x += q
        q += 2
    for k in range(q, n):
        x += 100 * k
    return x


@pytest.mark.parametrize("n", range(7))
def test_while_on_constants(n):
    assert "while" not in rewritten(until, n=n)
    assert specialiser()(until, n=n)(0, n) == until(0, n)


def doubled(x, n):
    q = n
    while q < x:
        q += q
        x -= n
        if x == 6:
            break
    return x + 100 * q


@pytest.mark.parametrize("x", [0, 4, 9, 12, 30])
def test_while_on_variables_stays_and_what_it_changes_is_not_constant(x):
    source = rewritten(doubled, n=3)
    assert source.count("while q < x") == 1
    assert specialiser()(doubled, n=3)(x, 3) == doubled(x, 3)


def stays(x, n):
    q = n
    for _ in range(LIMIT):
        q += 1
        x += q
    return x + q


def test_loop_to_a_global_stays_and_what_it_changes_is_not_constant():
    source = rewritten(stays, n=2)
    assert source.count("q + 1") == 1
    assert specialiser()(stays, n=2)(0, 2) == stays(0, 2)


def steps(x, n):
    total = 0
    for i in range(x, 3 * x, n):
        if i % 4 == 1:
            continue
        for _ in range(x):
            total += i
        i = 0  # does not change what comes next
        if total > 50:
            break
    for i in range(x, 0, -n):
        total += i
    return total


@pytest.mark.parametrize("x", [0, 1, 5, 9])
def test_loops_that_stay_count_as_ranges_do(x):
    source = rewritten(steps, n=2)
    assert source.count("while") == 2
    assert source.count("for") == 1  # downwards
    assert specialiser()(steps, n=2)(x, 2) == steps(x, 2)


def one_side(x, n):
    q = n
    if x > 0:
        q = 7
    return q * x


@pytest.mark.parametrize("x", [-1, 1])
def test_what_one_branch_changes_is_not_constant(x):
    assert specialiser()(one_side, n=2)(x, 2) == one_side(x, 2)


def over_tuple(x, p, q):
    total = 0
    for j in (p, p + 1, q):
        total += x[j]
    return total


def test_loop_over_a_tuple():
    assert "for" not in rewritten(over_tuple, p=1)
    assert specialiser()(over_tuple, p=1)([1, 2, 4, 8], 1, 3) == 14


def literals(x):
    return 2.0 * x + HALF


def test_literals_and_globals_have_the_precision_of_the_scalars():
    assert specialiser("float32")(literals)(np.float32(1)).dtype == np.float32
    assert "_real(2.0)" in rewritten(literals)
    assert "_real(HALF)" in rewritten(literals)


def test_lines_keep_their_numbers_and_files():
    made = specialiser().plain(qr.reflector.py_func)
    _, first = inspect.getsourcelines(qr.reflector.py_func)
    lines = [line for _, _, line in made.__code__.co_lines() if line]
    assert first <= min(lines)
    assert max(lines) < first + 30
    assert made.__code__.co_filename == qr.__file__


def test_a_callee_is_made_once_for_its_constants():
    made = []
    operations = scalar_operations("float64")
    specialise = Specialiser(operations, operations["real"], lambda f: made.append(f.__name__) or f)
    specialise(single.nonzero_columns, n=2)
    specialise(single.nonzero_columns, n=2)
    assert made.count("nonzero_columns") == 1
    specialise(single.nonzero_columns, n=3)
    assert made.count("nonzero_columns") == 2


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64", "complex128"])
def test_rotation_on_scalars_makes_columns_orthogonal(kind):
    rng = np.random.default_rng(0)
    dtype = np.dtype(kind)
    real = np.empty(0, dtype).real.dtype.type
    x, y = (rng.standard_normal(5) + 1j * rng.standard_normal(5) * (dtype.kind == "c") for _ in range(2))
    x, y = (v.astype(dtype) if dtype.kind == "c" else v.real.astype(dtype) for v in (x, y))
    one = real(1)
    a, b, *_ = specialiser(kind)(rotation.rotation)(
        real(np.vdot(x, x).real), real(np.vdot(y, y).real), np.vdot(x, y), one, one, real(0), True
    )
    x, y = x - a * y, y + b * x
    assert a.dtype == dtype
    assert abs(np.vdot(x, y)) <= 8 * np.finfo(real).eps * np.linalg.norm(x) * np.linalg.norm(y)


def test_schedule_unrolled_is_the_schedule():
    meeting = specialiser()(schedule.meeting, players=5, number=2, i=1)
    assert meeting(5, 2, 1) == schedule.meeting(5, 2, 1)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_scalar_operations_are_those_of_lanes(kind):
    names = scalar_operations(kind)
    of = specialiser(kind)
    real = np.dtype(kind).type
    smallest = np.finfo(real).smallest_subnormal
    assert of(names["exponent"])(smallest) == math.frexp(smallest)[1]
    assert of(names["exponent"])(real(0)) == 0
    assert of(names["power_of_two"])(real(10_000)) == 2.0 ** (126 if real == np.float32 else 1022)
    assert of(names["scale"])(real(1.5), real(-3)) == real(1.5) / 8
    assert of(names["scale"])(smallest, real(-math.frexp(smallest)[1])) == 0.5
    assert of(names["half_of"])(real(-3)) == -1
    assert of(names["with_sign"])(real(2), real(-0.0)) == -2
    assert of(names["log2_linear"])(real(8)) == 3
    assert of(names["maximum"])(real(math.nan), real(1)) == 1


def weighted(x, n, mask):
    total = 0.0
    for i in range(n):
        if i % 2 == 0:
            total += x[i * n]
        elif ~mask:
            total += 0.5 * min(i, n)
    return total


def test_the_example_in_the_documentation():
    documented = textwrap.dedent(_specialise.__doc__.replace("\n    ", "\n"))
    assert inspect.getsource(weighted) in documented
    assert rewritten(weighted, n=2) in documented


REFUSED = {
    "break": ("for i in range(n):\n    if x > i:\n        break", 4, "`break` in an unrolled loop"),
    "continue": ("for i in (1, n):\n    if x > i:\n        continue", 4, "`continue` in an unrolled loop"),
    "break in a kept one": (
        "for _ in range(LIMIT):\n    for i in range(n):\n        if x > i: break\n    y += 1",
        4,
        "`break` in an unrolled loop",
    ),
    "break after a kept one": (
        "for i in range(n):\n    for _ in range(x): pass\n    if x: break",
        4,
        "`break` in an unrolled loop",
    ),
    "break in while": ("q = 0\nwhile q < n:\n    q += 1\n    if x: break", 5, "`break` in an unrolled loop"),
    "for else": ("for i in range(n):\n    y += 1\nelse:\n    y = 0", 2, "`else` of a loop"),
    "kept for else": ("for i in range(x):\n    y += 1\nelse:\n    y = 0", 2, "`else` of a loop"),
    "while else": ("while n < 0:\n    y += 1\nelse:\n    y = 0", 2, "`else` of a loop"),
    "while that turns": ("q = 0\nwhile q < n:\n    q += 1\n    if q > 1: q = x", 3, "`while q < n`"),
    "while forever": (
        "while n > 0:\n    if x > y: return y\n    y += 1",
        2,
        "a loop of more than 1000 turns",
    ),
    "long for": ("for i in range(1001):\n    y += i", 2, "a loop of more than 1000 turns"),
    "array +=": ("x[0] = 1\nx += y", 3, r"`x \+= y`"),
    "slice +=": ("z = x[0:2]\nz += 1.0", 3, r"`z \+= 1.0`"),
    "range without a step": ("for i in range(0, n, 0):\n    y += 1", 2, r"`range\(0, n, 0\)`"),
    "+= with call": ("x[log(0)] += y", 2, r"`x\[log\(0\)\] \+= y`"),
    "try": ("try:\n    y = 1 // x\nfinally:\n    y = 1", 2, "`try:`"),
    "with": ("with x as y:\n    pass", 2, "`with x as y:`"),
    "def": ("def g(n): return n\nreturn g(1)", 2, r"`def g\(n\):`"),
    "lambda": ("return (lambda n: n)(1)", 2, "`lambda n: n`"),
    "list comprehension": ("return [n for n in range(3)]", 2, r"`\[n for n in range\(3\)\]`"),
    "set comprehension": ("return {n for n in x}", 2, "`{n for n in x}`"),
    "dict comprehension": ("return {n: 1 for n in x}", 2, "`{n: 1 for n in x}`"),
    "generator": ("return sum(n for n in x)", 2, r"`\(n for n in x\)`"),
    "walrus": ("if (n := x) > 1:\n    return n", 2, r"`\(n := x\)`"),
    "del": ("del n", 2, "`del n`"),
    "global": ("global LIMIT\nLIMIT = 7", 2, "`global LIMIT`"),
    "annotation": ("q: int = 3\nreturn q", 2, "`q: int = 3`"),
    "starred target": ("q, *n = x", 2, r"`\*n`"),
    "starred argument": ("return log(*x)", 2, r"`\*x`"),
    "double starred argument": ("return log(**x)", 2, r"`log\(\*\*x\)`"),
    "list": ("return [n]", 2, r"`\[n\]`"),
    "f-string": ("return f'{n}'", 2, "`f'{n}'`"),
    "is": ("return n is None", 2, "`n is None`"),
    "in": ("return n in (1, 2)", 2, "`n in "),
    "matrix product": ("return x @ y", 2, "`x @ y`"),
    "matrix product in place": ("x @= y", 2, "`x @= y`"),
    "complex literal": ("return 1j * n", 2, "`1j`"),
    "assert": ("assert n", 2, "`assert n`"),
    "raise": ("raise ValueError", 2, "`raise ValueError`"),
    "import": ("import math as n", 2, "`import math as n`"),
    "match": ("match x:\n    case n:\n        return n", 2, "`match x:`"),
    "yield": ("yield n", 2, r"`\(yield n\)`"),
    "function as a value": ("g = scale\nreturn g(x, n)", 2, "`scale` as a value"),
    "function through its module": ("return qr.reflect(x, n)", 2, "`qr` as a value"),
    "reserved": ("_place1 = n\nreturn _place1", 1, "the reserved name `_place1`"),
    "range": ("range = log\nreturn range(n)", 1, "the reserved name `range`"),
    "min": ("min = log\nreturn min(n, 2)", 1, "the reserved name `min`"),
    "recursion": ("return f(x, y, n, log) if x else 0", 1, "recursion of `f`"),
    "recursion that ends": ("if n == 0: return x\nreturn f(x + n, y, n - 1, log)", 1, "recursion of `f`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_translated_is_refused(case):
    source, line, message = REFUSED[case]
    function = defined(body(source), qr=qr)
    with pytest.raises(UnsupportedError, match=rf":{line}: {message}") as error:
        specialiser()(function, n=2)
    assert str(error.value).startswith(function.__code__.co_filename)
    assert "cannot be specialised (" in str(error.value)


def add_one(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments) + 1

    return wrapper


def closed_over(step):
    def f(x, n):
        return x + n * step

    return f


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("def f(x, n=3):\n    return x", 1, "a default in `f`"),
        ("def f(x, *n):\n    return x", 1, "the special parameter `n`"),
        ("def f(x, *, n):\n    return x", 1, "the special parameter `n`"),
        ("def f(x, n, /):\n    return x", 1, "the special parameter `n, x`"),
        ("def f(n, **x):\n    return x", 1, "the special parameter `x`"),
        ("@add_one\ndef f(x, n):\n    return x", 2, "the decorator `add_one`"),
        ("async def f(n):\n    return n", 1, "`f`"),
        ("f = lambda n: n", 1, "a lambda"),
        ("def f(x):\n    return x", 1, "`f` for n"),
    ],
)
def test_functions_that_are_refused(source, line, message):
    function = defined(source, add_one=add_one)
    with pytest.raises(UnsupportedError, match=f":{line}: {message}"):
        specialiser()(inspect.unwrap(function), n=2)


def test_closures_are_refused():
    with pytest.raises(UnsupportedError, match="a closure over `step`"):
        specialiser()(closed_over(2), n=2)


TRANSLATED = {
    "loop variable afterwards": "i = 7\nfor i in range(n):\n    y += i\nreturn i, y",
    "loop variable assigned": "for i in range(n):\n    y += i\n    i = x\n    y += i\nreturn i, y",
    "bound assigned": "m = n\nfor i in range(m):\n    m = x\n    y += m\nreturn m, y",
    "kept loop with break": (
        "for i in range(n):\n    for j in range(LIMIT):\n        if j > x: break\n        y += j\nreturn y"
    ),
    "kept loop with continue": (
        "for i in range(LIMIT):\n    if i == x: continue\n    for j in range(n): y += j\nreturn y"
    ),
    "kept loop assigns": "q = n\nfor i in range(x):\n    y += q\n    q = i\nreturn q, y",
    "return in an unrolled loop": "for i in range(n):\n    if i == x: return i\nreturn -1",
    "break that is never met": "for i in range(n):\n    if i > 9: break\n    y += i\nreturn y",
    "tuple of what is assigned": "p, q = n, x\nfor j in (p, p + 1, q):\n    p, q = 7, 8\n    y += j",
    "tuple with its own variable": "i = 1\nfor i in (i, i + 1, i + 2):\n    y += i\nreturn y",
    "tuple of entries": "x = (x, y)\nfor j in (x[0], x[1]):\n    x = (5, 6)\n    y += j\nreturn y",
    "tuple of calls": "for j in (log(1), log(2)):\n    log(j + n)\nreturn y",
    "loop over pairs": "for i, j in ((n, 1), (2, x)):\n    y += i * j\nreturn y, i, j",
    "loop over a number": "for i in n:\n    y += i\nreturn y",
    "one branch": "q = n\nif x > 1:\n    q += 1\nfor i in range(q): y += i\nreturn q, y",
    "both branches": "if x > 1:\n    q = 2\nelse:\n    q = 3\nreturn q * n",
    "assigned known": "n += 1\nn *= 2\nn //= 3\nn **= 2\nreturn n",
    "chain": "p = q = r = n\np += 1\nreturn p, q, r",
    "nested targets": "(p, q), r = (n, x), 3\nreturn p, q, r",
    "swap": "p, q = n, 5\np, q = q, p\nreturn p, q * x",
    "and with a value": "return x and n, n and x, x and n and y, x and 0, 0 and x",
    "or with a value": "return x or n, n or x, x or 0, 0 or x, x or 0 or y",
    "and for its calls": "if log(x) and n > 5:\n    y += 1\nreturn y",
    "or for its calls": "if log(x) or n > 0:\n    y += 1\nreturn y",
    "not for its calls": "return not (log(x) and n > 5), not (x and n)",
    "if for its calls": "if log(x):\n    for i in range(n - n): y += 1\nreturn y",
    "short circuit": "return (n > 2 and 1 // (n - 2)), (x > 0 and y % (n - n)), (1 if n else 1 // n)",
    "division by zero": "if x > 0:\n    y = 1 // (n - 2) + 1 % (n - 2) + (1 << (1 - n))\nreturn y",
    "chained comparison": "return 0 < n < 3, 0 < x < n, n < x < 0, 3 > n >= n != 5",
    "floor and remainder": "return -7 // n, -7 % n, 7 // -n, 7 % -n, -n ** 2, n ** 3, 7 / n, n ** -1",
    "bits": "return n << 3, -9 >> n, n | 4, n & 3, n ^ 7, +n, +(n > 1), -(n > 1), not n, ~n",
    "min and max": "return min(n, 1), max(n, x), min(n, 5, 3), max((n, 7)), max(n, -n, key=abs)",
    "integer global": "for i in range(n * LIMIT): y += LIMIT - i\nreturn y + LIMIT // n",
    "local with the name of a global": "LIMIT = x\nHALF = n\nreturn LIMIT + n, n * LIMIT + HALF * x",
    "slices": "x = (1, 2, 3, 4)\nreturn x[n:], x[: n + 1], x[::n], x[-n]",
    "attributes": "return x.real + n.real",
    "while with an end": "q = 1\nwhile q < n:\n    q *= 2\n    y += q\nreturn q, y",
}


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", TRANSLATED)
def test_what_is_translated_means_the_same(case, n):
    function = defined(body(TRANSLATED[case]))
    made = specialiser()(function, n=n)
    for x in (0, 1, 2, 5):
        assert outcome(made, x, 3, n) == outcome(function, x, 3, n)


ENTRIES = {
    "index assigned before it": "i = 0\ni, x[i] = n, 5\nreturn i",
    "index assigned in a chain": "i = 0\ni = x[i] = n\nreturn i",
    "entries in place": "for i in range(n):\n    x[i] += y\n    x[i - 1] *= x[i]",
    "slice in place": "x[1:n] += x[:n]",
    "a loop to an entry": "for x[0] in range(n): log(x[0])",
    "entries that the loop changes": "for e in (x[0], x[1]):\n    x[1] = 9\n    log(e)",
}


@pytest.mark.parametrize("case", ENTRIES)
def test_entries_mean_the_same(case):
    function = defined(body(ENTRIES[case]))
    assert outcome(specialiser()(function, n=2), [1, 2, 3, 4], 3, 2) == outcome(function, [1, 2, 3, 4], 3, 2)


NAMES = st.sampled_from(["a", "b", "c", "i", "j", "n", "x"])
OPERATORS = st.sampled_from(["+", "-", "*", "//", "%", "&", "|", "^", "/"])
COMPARISONS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
ATOMS = st.one_of(NAMES, st.sampled_from(["0", "1", "2", "LIMIT", "True"]))


def combined(parts):
    """Expressions made of expressions."""
    several = st.lists(parts, min_size=2, max_size=3)
    joined = st.builds(str.join, st.sampled_from([" and ", " or "]), several)
    return st.one_of(
        st.builds("({} {} {})".format, parts, OPERATORS, parts),
        st.builds("({} {} {})".format, parts, COMPARISONS, parts),
        st.builds("({} {} {} {} {})".format, parts, COMPARISONS, parts, COMPARISONS, parts),
        st.builds("({})".format, joined),
        st.builds("({}({}))".format, st.sampled_from(["not ", "-", "+"]), parts),
        st.builds("({} if {} else {})".format, parts, parts, parts),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts),
        st.builds("log({})".format, parts),
    )


EXPRESSIONS = st.recursive(ATOMS, combined, max_leaves=5)


@st.composite
def statements(draw, depth, may_break):
    """Lines of statements; with `may_break` they are inside a loop that stays."""
    kinds = ["assign", "augment", "pair", "return", "if", "kept", "down", "range", "tuple", "while"]
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds if depth else kinds[:4]))
        name, other, value, number = draw(NAMES), draw(NAMES), draw(EXPRESSIONS), draw(ATOMS)
        inside = kind in ("kept", "down") or (kind == "if" and may_break)
        block = [f"    {line}" for line in draw(statements(depth - 1, inside))] if depth else []
        counter = f"w{depth}"
        lines += {
            "assign": [f"{name} = ({value}) % 97"],
            "augment": [f"{name} += ({value}) % 97"],
            "pair": [f"{name}, {other} = {other} % 97, ({value}) % 97"],
            "return": [f"if {value}:", f"    return {name}, {other}"],
            "if": [f"if {value}:", *block, "else:", f"    {name} = {number}"],
            "kept": [f"for {name} in range(LIMIT):", *block],
            "down": [f"for {name} in range(y, -2, -2):", *block],
            "range": [f"for {name} in range(m):", *block],
            "tuple": [f"for {name} in ({other}, {number}, m):", *block],
            "while": [f"{counter} = 0", f"while {counter} < m:", f"    {counter} += 1", *block],
        }[kind]
        if may_break and draw(st.booleans()):
            lines += [f"if {value}:", f"    {draw(st.sampled_from(['break', 'continue']))}"]
    return lines


@settings(deadline=None, max_examples=100)
@given(
    statements(3, may_break=False),
    st.integers(-1, 3),
    st.integers(0, 3),
    st.integers(-2, 5),
    st.integers(0, 4),
)
def test_any_nest_of_loops_and_branches_means_the_same(lines, n, m, x, y):
    source = "\n".join(["a, b, c, i, j = 1, n, x, 0, y", *lines, "return a, b, c, i, j, n, x"])
    function = defined(f"def f(x, y, n, m, log):\n{textwrap.indent(source, '    ')}")
    made = specialiser()(function, n=n, m=m)
    assert repr(outcome(made, x, y, n, m)) == repr(outcome(function, x, y, n, m))


def half(x, n):
    for _ in range(n):
        x = x - 1 if ~(x > 0) else x // 2
    return x


half.__module__ = "kernels.example"


def test_arguments_by_keyword_are_constants_too():
    function = defined("def f(x, n):\n    return half(x, n=n) + half(n=n + 1, x=x)", half=half)
    source = rewritten(function, n=2)
    assert "_half_n_2(x, n=2)" in source
    assert "_half_n_3(n=3, x=x)" in source


def test_callees_of_one_name_stay_apart():
    one, two = (defined(f"def f(x):\n    return x + {step}") for step in (1, 2))
    source = "def f(x, _g):\n    _f = one(x)\n    return two(_f), one(two(_f)), _g"
    function = defined(source, one=one, two=two)
    assert specialiser()(function)(10, 0) == function(10, 0) == (13, 14, 0)


def test_a_callee_does_not_know_what_its_caller_knows():
    callee = defined("def f(x):\n    q = x + n\n    return q", n=100)
    function = defined("def f(n, q):\n    x = g(7)\n    return n, q, x", g=callee)
    assert specialiser()(function, n=2, q=3)(2, 3) == function(2, 3) == (2, 3, 107)


def test_truths_and_numbers_are_constants_apart():
    function = defined("def f(n):\n    return n")
    specialise = specialiser()
    assert specialise(function, n=1)(1) is not True
    assert specialise(function, n=True)(True) is True


def test_a_mask_is_negated_by_not():
    function = defined("def f(x, n):\n    return ~x, ~(x > n), ~(n > 1), ~n")
    assert specialiser()(function, n=2)(True, 2) == (False, True, False, ~2)


def test_the_largest_matrix_of_a_thread():
    n = 6
    a = np.random.default_rng(n).standard_normal((6, n))
    solve = specialiser()(single.svd_into, m=6, n=n, wide=0)
    u, s, vh, r = np.empty((6, n)), np.empty(n), np.empty((n, n)), np.empty((13, n))
    work = np.empty(6 * n), np.empty(2 * n * n), np.empty(6 * n), np.empty(n * n)
    assert solve(a, u, s, vh, *work, (*r[:9], r[9:].ravel()), 6, n, 0)
    np.testing.assert_allclose(u * s @ vh, a, atol=1e-14)
    np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False), rtol=1e-13)


# Registers


def rotate(x, n, sine):
    for i in range(n):
        store(x, i, load(x, i) - sine * load(x, n + i))


def rotated(a, n):
    zero = load(a, 0) * 0.0
    x = registers(2 * n, zero)
    for i in range(n):
        store(x, i, load(a, i))
        store(x, n + i, 0.0)
    store(x, n, 1.0)
    rotate(x, n, load(a, n))
    return load(x, 0), load(x, 1), load(x, n)


def finished(function, of_lanes=False, **constants):
    """The source that a specialiser makes in the end."""
    real = None if of_lanes else scalar_operations("float64")["real"]
    names = {} if of_lanes else scalar_operations("float64")
    specialise = Specialiser(names, real, lambda function: function, {"load"} if of_lanes else ())
    rewriter = _specialise._Rewriter(specialise, function, specialise.namespace(function))
    definition = rewriter.rewritten(constants)
    return ast.unparse(ast.fix_missing_locations(_specialise._Finish(definition, of_lanes).visit(definition)))


def of_kernels(*functions):
    """Let functions be taken for some of a module of kernels."""
    for function in functions:
        function.__module__ = "kernels.example"


of_kernels(rotate)


def test_registers_are_variables_and_what_is_known_costs_nothing():
    lines = finished(rotated, n=2).splitlines()[2:]
    stays = [re.sub(r"__\d+", "", line.strip()) for line in lines if not re.fullmatch(r" *\w+ = \d+", line)]
    assert stays == [
        "x_0 = _load(a, 0)",
        "x_1 = _load(a, 1)",
        "sine = _load(a, 2)",
        "x_0 = x_0 - sine",
        "return (x_0, x_1, _real(1.0))",
    ]
    assigned = [line.split(" = ")[0] for line in lines if "__" in line.split(" = ")[0] and " = " in line]
    assert len(assigned) == len({*assigned}) == 4  # each has one value
    assert specialiser()(rotated, n=2)([2.0, 3.0, 5.0], 2) == rotated([2.0, 3.0, 5.0], 2) == (-3.0, 3.0, 1.0)


def counted_with_registers(a, n):
    zero = load(a, 0) * 0.0
    x = registers(2, zero)
    store(x, 0, 1.0)
    store(x, 1, 0.0)
    for _ in range(LIMIT):
        if load(a, 1) > load(x, 1):
            store(x, 0, load(x, 0) + load(x, 0))
        else:
            store(x, 0, 7.0)
        store(x, 1, load(x, 1) + 1.0)
    return load(x, 0), load(x, 1)


@pytest.mark.parametrize("bound", [0.0, 2.0, 9.0])
def test_what_is_known_is_written_down_before_loops_and_branches(bound):
    specialised = specialiser()(counted_with_registers, n=2)
    assert specialised([0.0, bound], 2) == counted_with_registers([0.0, bound], 2)


def fixed_products(a, n):
    zero = load(a, 0) * 0.0
    x = registers(3, zero)
    store(x, 0, 0.0)
    store(x, 1, 1.0)
    store(x, 2, load(a, 0))
    total = dot(load(x, 0), load(x, 2))
    total = total + load(x, 1) * load(x, 2)
    return total - load(x, 0), dot(load(x, 1), load(x, 2)), load(x, 0) - load(x, 2)


def test_sums_and_products_with_known_zeros_and_ones():
    source = rewritten(fixed_products, n=2)
    assert source.count("*") == 1  # that of zero
    assert "_dot" not in source
    assert specialiser()(fixed_products, n=2)([3.0], 2) == (3.0, 3.0, -3.0)


def shadowed(x, n, i):
    store(x, 0, load(x, 0) * i + HALF)
    i = i + 1
    return i, load(x, 0)


def around(a, n):
    i, HALF = 5, 2.0
    x = registers(1, a[0])
    store(x, 0, a[0])
    i, value = shadowed(x, n, i + n)
    return i, value, HALF


of_kernels(shadowed)


def test_names_of_replaced_functions_do_not_meet_those_around():
    assert specialiser()(around, n=1)([3.0], 1) == (7, 18.5, 2.0)


def several_returns(x):
    if load(x, 0) > 0:
        return 1
    return 2


of_kernels(several_returns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = registers(n, y)\nreturn load(x, 0)", "holds nothing"),
        ("x = registers(n, y)\nreturn x", "`x` as a value"),
        ("x = registers(n, y)\nstore(x, n, y)", "entry `n` of the 2 registers `x`"),
        ("x = registers(n, y)\nstore(x, int(y), y)", r"entry `int\(y\)`"),
        ("x = registers(int(y), y)", "registers"),
        ("x = registers(n, y)\nstore(x, 0, y)\nreturn 1 + f(x, y, n, log)", "`x` as a value"),
        ("x = registers(n, y)\nstore(x, 0, y)\nreturn f(x, y, n, log)", "recursion of `f`"),
        ("x = registers(n, y)\nreturn several_returns(x)", "return at the end alone"),
    ],
)
def test_what_registers_cannot_do(text, message):
    names = {"load": load, "store": store, "registers": registers, "several_returns": several_returns}
    with pytest.raises(UnsupportedError, match=message):
        specialiser()(defined(body(text), **names), n=2)


def test_functions_without_their_constants():
    function = specialiser().without(nested, n=3)
    assert function(list(range(9))) == nested(list(range(9)), 3) == 8


def masked(a, n):
    return ~(load(a, 0) > 0.5)


def test_lanes_take_numbers_of_any_type_and_masks_stay():
    assert "return ~(load(a, 0) > 0.5)" in finished(masked, of_lanes=True, n=2)
