"""Whole columns in the registers of a CUDA thread: an operation on all of their entries is one instruction of
numba's intermediate language.

A column is a numba type whose LLVM type is a vector, real parts before imaginary ones. A GPU has no vector
registers: LLVM takes a vector apart, and each entry gets a register of its own, but numba and LLVM handle one
value where they would handle as many as a column has entries: a kernel compiles in seconds instead of a
minute. Entries are therefore reached by operations with constant positions only.

Arguments: `x`, `y` are columns, or numbers where an operation says so; those in `LITERALS` are literals; an
index is that of a number in an array of one dimension, or in a row of memory.
Products enter sums unrounded: each `x + a y` is one instruction. Approximate operations are those of PTX.
"""

import inspect

from llvmlite import ir
from numba.core import cgutils
from numba.cuda.extending import intrinsic
from numba.cuda.models import models, register_model, types

LITERALS = {"first", "n", "aligned", "width", "step", "place", "target", "highest", "lanes", "along"}
WORD, WIDE = ir.IntType(32), ir.IntType(64)
ACCESS_BYTES = 16  # at most, of an access to memory


class Column(types.Type):
    """A column of `count` numbers."""

    def __init__(self, dtype, count):
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Column({dtype}, {count})")


@register_model(Column)
class ColumnModel(models.PrimitiveModel):
    def __init__(self, manager, ty):
        super().__init__(manager, ty, vector(real_type(ty.dtype), parts_of(ty) * ty.count))


def parts_of(ty):
    """How many real numbers make a number of a type, or of a column of them."""
    return 2 if isinstance(getattr(ty, "dtype", ty), types.Complex) else 1


def real_type(dtype):
    """The LLVM type of the parts of a number."""
    real = dtype.underlying_float if isinstance(dtype, types.Complex) else dtype
    return ir.FloatType() if real == types.float32 else ir.DoubleType()


def real_of(ty):
    """The numba type of the parts of a number or of a column."""
    dtype = getattr(ty, "dtype", ty)
    return dtype.underlying_float if isinstance(dtype, types.Complex) else dtype


def vector(element, count):
    return ir.VectorType(element, count)


def index(i):
    return ir.Constant(WORD, i)


class Memory:
    """An array argument: where its numbers begin, how far they are apart in bytes, and their type."""

    def __init__(self, pointer, strides, dtype):
        self.pointer, self.strides, self.dtype = pointer, strides, dtype


def operation(result):
    """Return a decorator that makes an intrinsic of the function `code(builder, ...)`, which emits it.

    `result` gives the type of the result for those of the arguments. The code gets and returns columns, reals
    and complex numbers as lists of their parts, literals as numbers of Python, tuples as lists.
    """

    def decorate(code):
        names = list(inspect.signature(code).parameters)[1:]

        def typed(context, *given):
            for name, ty in zip(names, given, strict=True):
                if name in LITERALS and not isinstance(ty, types.IntegerLiteral):
                    return None  # numba asks again, with literals
            plain = [
                ty.literal_value if name in LITERALS else ty for name, ty in zip(names, given, strict=True)
            ]
            ty = result(*plain)

            def emit(context, builder, signature, args):
                values = [
                    taken_apart(context, builder, *pair) for pair in zip(signature.args, args, strict=True)
                ]
                values = [p if n in LITERALS else v for n, p, v in zip(names, plain, values, strict=True)]
                return put_together(context, builder, signature.return_type, code(builder, *values))

            return ty(*given), emit

        parameters = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("context", *names)
        ]
        typed.__signature__ = inspect.Signature(parameters)
        typed.__name__, typed.__doc__ = code.__name__, code.__doc__
        return intrinsic(typed)

    return decorate


def taken_apart(context, builder, ty, value):
    """What the code of an operation gets of an argument."""
    if isinstance(ty, types.Array):
        made = context.make_array(ty)(context, builder, value)
        return Memory(made.data, cgutils.unpack_tuple(builder, made.strides, ty.ndim), ty.dtype)
    if isinstance(ty, types.BaseTuple):
        return [taken_apart(context, builder, t, builder.extract_value(value, i)) for i, t in enumerate(ty)]
    if isinstance(ty, types.Complex):
        return [builder.extract_value(value, i) for i in range(2)]
    if isinstance(ty, Column) and parts_of(ty) == 2:
        n = ty.count
        return [part(builder, value, range(first, first + n)) for first in (0, n)]
    return [value] if isinstance(ty, Column | types.Float) else value


def put_together(context, builder, ty, value):
    """The inverse of `taken_apart`."""
    if isinstance(ty, types.BaseTuple):
        return context.make_tuple(
            builder, ty, [put_together(context, builder, *x) for x in zip(ty, value, strict=True)]
        )
    if isinstance(ty, types.Complex):
        return cgutils.pack_struct(builder, value)
    if isinstance(ty, Column):
        return value[0] if len(value) == 1 else builder.shuffle_vector(*value, places(range(2 * ty.count)))
    if ty == types.none:
        return context.get_dummy_value()
    return value[0] if isinstance(ty, types.Float) else value


def places(numbers):
    numbers = list(numbers)
    return ir.Constant(vector(WORD, len(numbers)), numbers)


def part(builder, x, numbers):
    """Some entries of a vector."""
    return builder.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), places(numbers))


def spread(builder, value, count):
    """The vector with a value in every entry."""
    undefined = ir.Constant(vector(value.type, count), ir.Undefined)
    return part(builder, builder.insert_element(undefined, value, index(0)), [0] * count)


def fused(builder, a, x, y):
    """a x + y, of vectors or numbers; `a` may be a number for vectors."""
    if isinstance(x.type, ir.VectorType) and not isinstance(a.type, ir.VectorType):
        a = spread(builder, a, x.type.count)
    kind = x.type
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    suffix = "f32" if isinstance(element, ir.FloatType) else "f64"
    name = f"llvm.fma.v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else f"llvm.fma.{suffix}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
    return builder.call(function, [a, x, y])


def plus_product(builder, x, a, y):
    """x + a y of lists of parts."""
    total = [fused(builder, a[0], q, p) for p, q in zip(x, y, strict=True)]
    if len(a) == 2:
        real = fused(builder, negative(builder, a[1]), y[1], total[0])
        total = [real, fused(builder, a[1], y[0], total[1])]
    return total


def negative(builder, x):
    """-x; the NVVM of older GPUs lacks LLVM's instruction for it."""
    zero = [-0.0] * x.type.count if isinstance(x.type, ir.VectorType) else -0.0
    return builder.fsub(ir.Constant(x.type, zero), x)


def entries(builder, x):
    """The entries of a vector as numbers."""
    return [builder.extract_element(x, index(i)) for i in range(x.type.count)]


def collected(builder, numbers):
    """The inverse of `entries`."""
    x = ir.Constant(vector(numbers[0].type, len(numbers)), ir.Undefined)
    for i, number in enumerate(numbers):
        x = builder.insert_element(x, number, index(i))
    return x


def assembly(builder, text, kind, args, effects=False):
    """An instruction of PTX with a result of a type."""
    letters = {"float": "f", "double": "d", "i32": "r", "i64": "l"}
    constraints = ",".join(
        "=" * (i == 0) + letters[str(t)] for i, t in enumerate([kind, *(a.type for a in args)])
    )
    function = ir.FunctionType(kind, [a.type for a in args])
    return builder.call(ir.InlineAsm(function, text, constraints, effects), args)


def plain(builder, name, *args):
    """An instruction whose operands and result are of one type."""
    suffix = {"float": "f32", "double": "f64", "i32": "s32"}[str(args[0].type)]
    operands = ", ".join(f"${i}" for i in range(len(args) + 1))
    return assembly(builder, f"{name}.{suffix} {operands};", args[0].type, args)


# Columns


@operation(lambda number, n: Column(number, n))
def zeros(builder, number, n):
    """The column of n zeros of the type of `number`."""
    return [ir.Constant(vector(x.type, n), [0.0] * n) for x in number]


@operation(lambda x, k: x)
def axis(builder, x, k):
    """The column like x that is one in entry k, and zero elsewhere."""
    kind = x[0].type
    count = vector(k.type, kind.count)
    here = builder.icmp_signed(
        "==", spread(builder, k, kind.count), ir.Constant(count, list(range(kind.count)))
    )
    zero, one = (ir.Constant(kind, [value] * kind.count) for value in (0.0, 1.0))
    return [builder.select(here, one, zero), *[zero for _ in x[1:]]]


@operation(lambda x, y, first: x.dtype)
def inner(builder, x, y, first):
    """x^H y of the entries from `first` on; in two sums, as additions wait for each other."""
    pairs = [(x[0], y[0], 1)] if len(x) == 1 else None
    if pairs:
        return [
            summed(
                builder,
                [(p, q) for p, q in zip(*(entries(builder, v)[first:] for v in (x[0], y[0])), strict=True)],
                x[0].type.element,
            )
        ]
    a, b = (entries(builder, v)[first:] for v in x)
    c, d = (entries(builder, v)[first:] for v in y)
    minus = [negative(builder, v) for v in b]
    element = x[0].type.element
    real = summed(builder, [*zip(a, c, strict=True), *zip(b, d, strict=True)], element)
    imag = summed(builder, [*zip(a, d, strict=True), *zip(minus, c, strict=True)], element)
    return [real, imag]


def summed(builder, products, element):
    """The sum of products of pairs, in two sums."""
    totals = []
    for chain in (products[::2], products[1::2]):
        total = None
        for x, y in chain:
            total = builder.fmul(x, y) if total is None else fused(builder, x, y, total)
        totals += [] if total is None else [total]
    return builder.fadd(*totals) if len(totals) == 2 else totals[0] if totals else ir.Constant(element, 0.0)


@operation(lambda x, first: real_of(x))
def length2(builder, x, first):
    """|x|^2 of the entries from `first` on."""
    numbers = [number for v in x for number in entries(builder, v)[first:]]
    return [summed(builder, [(number, number) for number in numbers], x[0].type.element)]


@operation(lambda x, a, y, first: x)
def plus_times(builder, x, a, y, first):
    """x + a y in the entries from `first` on."""
    changed = plus_product(builder, x, a, y)
    n = x[0].type.count
    chosen = [*range(first), *range(n + first, 2 * n)]
    return [builder.shuffle_vector(*pair, places(chosen)) for pair in zip(x, changed, strict=True)]


@operation(lambda x, y, a, b: types.UniTuple(x, 2))
def turn(builder, x, y, a, b):
    """x + a y and y + b x."""
    return [plus_product(builder, x, a, y), plus_product(builder, y, b, x)]


@operation(lambda x, factor: x)
def stretched(builder, x, factor):
    """x times a real number; its zeros are positive."""
    count = x[0].type.count
    zero = ir.Constant(x[0].type, [0.0] * count)
    return [fused(builder, factor[0], v, zero) for v in x]


@operation(lambda x, negated: x)
def conjugated(builder, x, negated):
    """The complex conjugate of x where the mask holds; a real column itself. Its zeros are positive."""
    positive = [builder.fadd(v, ir.Constant(v.type, [0.0] * v.type.count)) for v in x]
    if len(x) == 2:
        opposite = builder.fsub(ir.Constant(x[1].type, [0.0] * x[1].type.count), x[1])
        positive[1] = builder.select(negated, opposite, positive[1])
    return positive


@operation(lambda mask, x, y: x)
def chosen(builder, mask, x, y):
    """x where the mask holds, else y."""
    return [builder.select(mask, p, q) for p, q in zip(x, y, strict=True)]


@operation(real_of)
def largest(builder, x):
    """The largest part of all entries, in absolute value."""
    numbers = [plain(builder, "abs", number) for v in x for number in entries(builder, v)]
    found = numbers[0]
    for number in numbers[1:]:
        found = plain(builder, "max", found, number)
    return [found]


@operation(lambda most, x: most)
def larger_parts(builder, most, x):
    """The larger one of each entry of a real column and the largest part of that of x."""
    found = entries(builder, most[0])
    for v in x:
        sizes = [plain(builder, "abs", number) for number in entries(builder, v)]
        found = [plain(builder, "max", *pair) for pair in zip(found, sizes, strict=True)]
    return [collected(builder, found)]


@operation(lambda x, j, first, width: x.dtype)
def entry(builder, x, j, first, width):
    """Entry j, which is one of `width` from `first` on."""
    return [picked(builder, v, j, first, width) for v in x]


def picked(builder, x, j, first, width):
    found = builder.extract_element(x, index(first))
    for i in range(first + 1, first + width):
        here = builder.icmp_signed("==", j, ir.Constant(j.type, i))
        found = builder.select(here, builder.extract_element(x, index(i)), found)
    return found


@operation(lambda x, j, first, width: x)
def without_entry(builder, x, j, first, width):
    """x with zero for entry j, which is one of `width` from `first` on."""
    return put_entry(builder, x, j, [ir.Constant(v.type.element, 0.0) for v in x], first, width)


@operation(lambda x, j, value, first, width: x)
def with_entry(builder, x, j, value, first, width):
    """x with another value for entry j, which is one of `width` from `first` on."""
    return put_entry(builder, x, j, value, first, width)


def put_entry(builder, x, j, value, first, width):
    made = list(x)
    for i in range(first, first + width):
        here = builder.icmp_signed("==", j, ir.Constant(j.type, i))
        for k, v in enumerate(made):
            held = builder.select(here, value[k], builder.extract_element(v, index(i)))
            made[k] = builder.insert_element(v, held, index(i))
    return made


@operation(lambda x, k: types.UniTuple(x, 2))
def parted(builder, x, k):
    """x with zeros for its entries after number k, and x with zeros for the others."""
    count = x[0].type.count
    kind = vector(k.type, count)
    later = builder.icmp_signed("<", spread(builder, k, count), ir.Constant(kind, list(range(count))))
    zeros = [ir.Constant(v.type, [0.0] * count) for v in x]
    first = [builder.select(later, *pair) for pair in zip(zeros, x, strict=True)]
    return [first, [builder.select(later, *pair) for pair in zip(x, zeros, strict=True)]]


@operation(lambda x, lane: x)
def brought(builder, x, lane):
    """x, a column or a number, of another lane of the warp, by its number."""
    if not isinstance(x, list):
        return shuffled(builder, x, lane)
    if not isinstance(x[0].type, ir.VectorType):
        return [shuffled(builder, v, lane) for v in x]
    return [
        collected(builder, [shuffled(builder, number, lane) for number in entries(builder, v)]) for v in x
    ]


def shuffled(builder, x, lane):
    text = "shfl.sync.idx.b32 $0, $1, $2, 31, -1;"
    lane = builder.trunc(lane, WORD) if lane.type.width > 32 else lane
    if str(x.type) != "double":
        return assembly(builder, text, x.type, [x, lane], effects=True)
    words = builder.bitcast(x, vector(WORD, 2))
    moved = [assembly(builder, text, WORD, [word, lane], effects=True) for word in entries(builder, words)]
    return builder.bitcast(collected(builder, moved), x.type)


@operation(lambda x, lane, lanes: x.dtype)
def sum_of_lanes(builder, x, lane, lanes):
    """For lane k the sum of entry k of x over so many lanes, a power of two of them and no fewer than x has
    entries; for lanes beyond, modulo the least such power, the same or nothing of use."""
    return [over_lanes(builder, v, lane, lanes, builder.fadd) for v in x]


@operation(lambda x, lane, lanes: x.dtype)
def largest_of_entries(builder, x, lane, lanes):
    """As `sum_of_lanes` the largest entry k."""
    return [over_lanes(builder, v, lane, lanes, lambda *pair: plain(builder, "max", *pair)) for v in x]


def over_lanes(builder, x, lane, lanes, combined):
    """Two lanes exchange halves of the entries until each has one, then that one."""
    values, step = entries(builder, x), 1
    while step < len(values):
        step *= 2
    fold, step = step, step // 2
    while step:
        other = builder.xor(lane, ir.Constant(lane.type, step))
        is_upper = builder.icmp_signed(">", lane, other)
        for i in range(len(values[:step])):
            kept = sent = values[i]
            if i + step < len(values):
                kept = builder.select(is_upper, values[i + step], values[i])
                sent = builder.select(is_upper, values[i], values[i + step])
            values[i] = combined(kept, shuffled(builder, sent, other))
        values, step = values[:step], step // 2
    while fold < lanes:
        other = builder.xor(lane, ir.Constant(lane.type, fold))
        values, fold = [combined(values[0], shuffled(builder, values[0], other))], 2 * fold
    return values[0]


@operation(lambda values, value, c, first, width: types.int32)
def rank_of(builder, values, value, c, first, width):
    """How many of all values are larger than the one that is number c, or equal and before it; c is one of
    `width` from `first` on."""
    rank = index(0)
    for i, other in enumerate(entries(builder, values[0])):
        counts = builder.fcmp_ordered(">=" if i < first else ">", other, value[0])
        if first <= i < first + width:
            before = builder.icmp_signed("<", ir.Constant(c.type, i), c)
            equal = builder.fcmp_ordered("==", other, value[0])
            counts = builder.or_(counts, builder.and_(equal, before))
        rank = builder.add(rank, builder.zext(counts, WORD))
    return rank


@operation(lambda value, n: types.UniTuple(types.unliteral(value), n))  # else numba drops branches on True
def repeated(builder, value, n):
    """The tuple of n equal values."""
    return [value] * n


@operation(lambda values, place, value: values)
def replaced(builder, values, place, value):
    """The tuple with another value in one place."""
    return [value if i == place else old for i, old in enumerate(values)]


# Memory


def pieces(first, n, aligned, size):
    """(offset, count) of accesses to numbers `first` to n of a row: of 16 bytes, or less where numbers are
    fewer or a row begins at a multiple of `aligned` numbers only."""
    offset = first
    while offset < n:
        count = max(1, ACCESS_BYTES // size)
        while count > 1 and (offset % count or aligned % count or offset + count > n):
            count //= 2
        yield offset, count
        offset += count


def place_of(builder, memory, i, offset, parts, count):
    """The address of `count` numbers from index i + offset on, as that of a vector of their parts."""
    element = memory.pointer.type.pointee
    number = builder.gep(builder.gep(memory.pointer, [i]), [index(offset)])
    real = element.elements[0] if isinstance(element, ir.LiteralStructType) else element
    return builder.bitcast(number, vector(real, parts * count).as_pointer())


def got(builder, memory, i, offset, count):
    """Numbers of memory: for each part those of all."""
    parts = parts_of(memory.dtype)
    size = memory.dtype.bitwidth // 8
    x = builder.load(place_of(builder, memory, i, offset, parts, count), align=count * size)
    numbers = entries(builder, x)
    return [numbers[k::parts] for k in range(parts)]


def put(builder, memory, i, offset, numbers):
    """Write numbers, lists of their parts."""
    parts, count = len(numbers), len(numbers[0])
    mixed = [part for number in zip(*numbers, strict=True) for part in number]
    address = place_of(builder, memory, i, offset, parts, count)
    builder.store(collected(builder, mixed), address, align=count * memory.dtype.bitwidth // 8)


@operation(lambda array, i, first, n, aligned: Column(array.dtype, n))
def load_row(builder, array, i, first, n, aligned):
    """The column of n numbers of memory from index i on, which is a multiple of `aligned`; zeros before
    `first`."""
    element = real_type(array.dtype)
    found = [[ir.Constant(element, 0.0)] * first for _ in range(parts_of(array.dtype))]
    for offset, count in pieces(first, n, aligned, array.dtype.bitwidth // 8):
        for part, numbers in zip(found, got(builder, array, i, offset, count), strict=True):
            part += numbers
    return [collected(builder, part) for part in found]


@operation(lambda array, i, x, first, aligned: types.none)
def store_row(builder, array, i, x, first, aligned):
    """Write the entries of x from `first` on to index i + first and so on; i is a multiple of `aligned`."""
    numbers = [entries(builder, v) for v in x]
    for offset, count in pieces(first, len(numbers[0]), aligned, array.dtype.bitwidth // 8):
        put(builder, array, i, offset, [part[offset : offset + count] for part in numbers])


@operation(lambda array, i, step, n: Column(array.dtype, n))
def load_strided(builder, array, i, step, n):
    """The column of n numbers of memory from index i on, a step apart."""
    found = [got(builder, array, i, step * k, 1) for k in range(n)]
    return [collected(builder, [number[k][0] for number in found]) for k in range(parts_of(array.dtype))]


@operation(lambda array, i, step, x: types.none)
def store_strided(builder, array, i, step, x):
    """Write x to memory from index i on, its entries a step apart."""
    numbers = [entries(builder, v) for v in x]
    for k in range(len(numbers[0])):
        put(builder, array, i, step * k, [[part[k]] for part in numbers])


@operation(lambda array, b, i, along: types.int64)
def line_at(builder, array, b, i, along):
    """Where row i of matrix b of a batch begins, for `along` 2, or column i, for 1."""
    wide = [builder.sext(x, WIDE) if x.type.width < 64 else x for x in (b, i)]
    return builder.add(builder.mul(wide[0], array.strides[0]), builder.mul(wide[1], array.strides[3 - along]))


@operation(lambda array, line, step, along: types.int64)
def line_after(builder, array, line, step, along):
    """Where the line so many after this one begins."""
    return builder.add(line, builder.mul(array.strides[3 - along], ir.Constant(WIDE, step)))


def accesses_to(builder, array, line, along, aligned, n):
    """(address, first, count, alignment in bytes) of accesses to n numbers of a line."""
    size, parts = array.dtype.bitwidth // 8, parts_of(array.dtype)
    begin = builder.gep(builder.bitcast(array.pointer, ir.IntType(8).as_pointer()), [line])
    for first, count in pieces(0, n, max(1, aligned), size):
        far = ir.Constant(WIDE, first * (size if aligned else 1))
        far = far if aligned else builder.mul(array.strides[along], far)
        kind = vector(real_type(array.dtype), parts * count)
        address = builder.bitcast(builder.gep(begin, [far]), kind.as_pointer())
        yield address, first, count, count * size if aligned else size // parts


@operation(lambda array, line, along, n, aligned: Column(array.dtype, n))
def load_line(builder, array, line, along, n, aligned):
    """The column of n numbers of a row, for `along` 2, or a column, for 1, of a matrix. Unless `aligned` is 0
    they follow each other, and lines begin at multiples of so many."""
    found = [[] for _ in range(parts_of(array.dtype))]
    for address, _, _, bytes_ in accesses_to(builder, array, line, along, aligned, n):
        x = builder.load(address, align=bytes_)
        for k, part in enumerate(found):
            part += entries(builder, x)[k :: len(found)]
    return [collected(builder, part) for part in found]


@operation(lambda array, line, along, x, aligned: types.none)
def store_line(builder, array, line, along, x, aligned):
    """The inverse of `load_line`."""
    numbers = list(zip(*(entries(builder, v) for v in x), strict=True))
    for address, first, count, bytes_ in accesses_to(builder, array, line, along, aligned, len(numbers)):
        mixed = [part for number in numbers[first : first + count] for part in number]
        builder.store(collected(builder, mixed), address, align=bytes_)


@operation(lambda source, i, sink, k, n: types.none)
def copy_numbers(builder, source, i, sink, k, n):
    """Copy n numbers, at most 16 bytes, from index i of an array to index k of another one, both at a
    multiple of so many bytes."""
    put(builder, sink, k, 0, got(builder, source, i, 0, n))


@operation(lambda array, i, x: types.none)
def store_number(builder, array, i, x):
    """Write a number to index i of an array of any dimensions without gaps, in the order of memory."""
    put(builder, array, i, 0, [[part] for part in x])


@operation(lambda array: types.boolean)
def is_aligned(builder, array):
    """Whether an array begins at a multiple of 16 bytes."""
    address = builder.ptrtoint(array.pointer, ir.IntType(64))
    return builder.icmp_signed(
        "==", builder.and_(address, ir.Constant(address.type, ACCESS_BYTES - 1)), ir.Constant(address.type, 0)
    )


# Numbers


@operation(lambda x, y, z: x)
def multiply_add(builder, x, y, z):
    """x y + z, rounded once."""
    return [fused(builder, x[0], y[0], z[0])]


@operation(lambda x, y: x)
def larger(builder, x, y):
    """The larger one of two numbers or integers, a number rather than NaN."""
    return [plain(builder, "max", x[0], y[0])] if isinstance(x, list) else plain(builder, "max", x, y)


@operation(lambda x, y: x)
def smaller(builder, x, y):
    """The smaller one of two numbers, a number rather than NaN."""
    return [plain(builder, "min", x[0], y[0])]


@operation(lambda step: types.int64)
def hidden(builder, step):
    """A literal as a number that LLVM does not know: it does not unroll loops in such steps, which for few
    turns costs more than the turns."""
    step = ir.Constant(WIDE, step)
    return assembly(builder, "mov.b64 $0, $1;", WIDE, [step])


@operation(lambda x: x)
def approximate_inverse(builder, x):
    """1 / x to the last bits in single precision, to 20 bits in double; subnormal numbers are zeros."""
    return [plain(builder, "rcp.approx.ftz", x[0])]


@operation(lambda x: x)
def approximate_inverse_root(builder, x):
    """1 / sqrt(x), likewise."""
    return [plain(builder, "rsqrt.approx.ftz", x[0])]


@operation(lambda x: x)
def approximate_root(builder, x):
    """sqrt(x) to the last bits in single precision, which alone has it."""
    return [plain(builder, "sqrt.approx.ftz", x[0])]


@operation(lambda x: types.int32)
def leading_bits(builder, x):
    """The first 32 bits of a number, which for positive ones have their order."""
    if str(x[0].type) == "float":
        return builder.bitcast(x[0], WORD)
    return builder.extract_element(builder.bitcast(x[0], vector(WORD, 2)), index(1))


def exponent_fields(x):
    """The integer type of a number's bits, the bits of its fraction, and its bias."""
    single = str(x.type) == "float"
    return ir.IntType(32 if single else 64), 23 if single else 52, 127 if single else 1023


@operation(lambda big, target, highest: types.UniTuple(big, 2))
def powers_to(builder, big, target, highest):
    """The power of two that brings a number `big` to 2**target, or 2**highest if that is smaller, and its
    inverse."""
    whole, fraction, bias = exponent_fields(big[0])

    def constant(value):
        return ir.Constant(whole, value << fraction)

    exponent = builder.and_(builder.bitcast(big[0], whole), constant(2 * bias + 1))
    up = builder.sub(constant(2 * bias - 1), exponent)
    most = constant(bias + highest - target)
    up = builder.select(builder.icmp_signed("<", up, most), up, most)
    field = builder.add(up, constant(target))
    return [[builder.bitcast(x, big[0].type)] for x in (field, builder.sub(constant(2 * bias), field))]


@operation(lambda scale: types.UniTuple(scale, 2))
def halved_power(builder, scale):
    """A power of two f near the root of `scale`, and scale / f^2."""
    whole, fraction, bias = exponent_fields(scale[0])

    def constant(value):
        return ir.Constant(whole, value << fraction)

    field = builder.and_(builder.bitcast(scale[0], whole), constant(2 * bias))
    half = builder.add(builder.lshr(field, ir.Constant(whole, 1)), constant((bias + 1) // 2))
    square = builder.bitcast(builder.sub(constant(2 * bias - 1), field), scale[0].type)
    return [[builder.bitcast(half, scale[0].type)], [builder.fmul(scale[0], square)]]
