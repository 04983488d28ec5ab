"""The rewriting of sources for scalars and known sizes."""

import ast
import inspect
import math

import numpy as np
import pytest

from gpusvd._cuda import specialise as _specialise
from gpusvd._cuda.specialise import Specialiser
from gpusvd.kernels import cuda_thread, qr, rotation, schedule
from gpusvd.kernels.scalars import scalar_operations

LIMIT = 3
HALF = 0.5


def specialiser(kind="float64"):
    operations = scalar_operations(kind)
    return Specialiser(operations, operations["real"], lambda function: function)


def rewritten(function, **constants):
    """The source that the specialiser makes of a function."""
    definition = _specialise._definition(function)
    rewriter = _specialise._Rewriter(specialiser(), dict(function.__globals__))
    definition.body = rewriter.block(definition.body, dict(constants))
    return ast.unparse(ast.fix_missing_locations(definition))


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


def endless(x, n):
    while x < n:
        x += 1
    return x


def test_while_on_variables_is_refused():
    with pytest.raises(NotImplementedError, match="x < n"):
        specialiser()(endless, n=3)


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
    specialise(cuda_thread.nonzero_columns, n=2)
    specialise(cuda_thread.nonzero_columns, n=2)
    assert made.count("nonzero_columns") == 1
    specialise(cuda_thread.nonzero_columns, n=3)
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
