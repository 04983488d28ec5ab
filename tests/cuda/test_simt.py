"""The emulator: right kernels give what they should, and each planted fault is reported where it is."""

import inspect
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numba import cuda, float32, float64, int32

from tests import simt

EVERYONE = 0xFFFFFFFF
device = cuda.jit(device=True)


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(7).integers(-50, 50, shape).astype(dtype)


# Kernels that are right


@device
def over_warp(x):
    step = 16
    while step:
        x += cuda.shfl_xor_sync(EVERYONE, x, step)
        step //= 2
    return x


def sum_kernel(a, total):
    partial = cuda.shared.array(32, float64)
    x = over_warp(a[cuda.grid(1)])
    warp = cuda.threadIdx.x // cuda.warpsize
    if cuda.laneid == 0:
        partial[warp] = x
    cuda.syncthreads()
    if warp == 0:
        warps = cuda.blockDim.x // cuda.warpsize
        x = over_warp(partial[cuda.laneid] if cuda.laneid < warps else float64(0))
        if cuda.laneid == 0:
            total[cuda.blockIdx.x] = x


@pytest.mark.parametrize("kernel", [sum_kernel, cuda.jit(sum_kernel)], ids=["function", "dispatcher"])
def test_sum_over_a_block_of_several_warps(kernel):
    a, total = numbers(3, 128, dtype=np.float64), np.zeros(3)
    simt.launch(kernel, 3, 128, a.ravel(), total)
    np.testing.assert_array_equal(total, a.sum(axis=1))


def transpose_kernel(a, out):
    tile = cuda.shared.array((8, 9), float32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    row, column = cuda.blockIdx.y * 8 + y, cuda.blockIdx.x * 8 + x
    tile[y, x] = a[row, column]
    cuda.syncthreads()
    out[cuda.blockIdx.x * 8 + y, cuda.blockIdx.y * 8 + x] = tile[x, y]


def test_transpose_by_tiles_on_a_grid_of_two_dimensions():
    a = numbers(16, 24)
    out = np.zeros((24, 16), np.float32)
    simt.launch(transpose_kernel, (3, 2), (8, 8), a, out)
    np.testing.assert_array_equal(out, a.T)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.float32, np.float64])
def test_scan_of_a_warp(dtype):
    def kernel(a):
        x = a[cuda.laneid]
        for k in range(5):
            before = cuda.shfl_up_sync(EVERYONE, x, 1 << k)
            if cuda.laneid >= 1 << k:
                x += before
        a[cuda.laneid] = x

    a = numbers(32).astype(dtype)
    expected = np.cumsum(a, dtype=dtype)
    simt.launch(kernel, 1, 32, a)
    np.testing.assert_array_equal(a, expected)


def test_parts_of_a_warp_go_their_own_ways():
    def kernel(out):
        part = cuda.laneid // 8
        mask, x = 0xFF << (8 * part), int32(cuda.laneid % 8)
        for _ in range(3 * part):  # a different number of times in each part
            x = cuda.shfl_sync(mask, x, 8 * part + (cuda.laneid + 1) % 8)
        if part != 2:
            out[cuda.laneid] = x + 100 * cuda.any_sync(mask, part == 1)

    out = np.zeros(32, np.int32)
    simt.launch(kernel, 1, 32, out)
    place, part = np.arange(32) % 8, np.arange(32) // 8
    np.testing.assert_array_equal(out, np.where(part == 2, 0, (place + 3 * part) % 8 + 100 * (part == 1)))


def test_shuffles_beyond_the_warp_give_what_the_lane_has():
    def kernel(up, down):
        up[cuda.laneid] = cuda.shfl_up_sync(EVERYONE, int32(cuda.laneid), 4)
        down[cuda.laneid] = cuda.shfl_down_sync(EVERYONE, int32(cuda.laneid), 4)

    lanes = np.arange(32)
    up, down = np.zeros((2, 32), np.int32)
    simt.launch(kernel, 1, 32, up, down)
    np.testing.assert_array_equal(up, np.where(lanes >= 4, lanes - 4, lanes))
    np.testing.assert_array_equal(down, np.where(lanes < 28, lanes + 4, lanes))


def test_votes():
    def kernel(out):
        lane = cuda.laneid
        out[0, lane] = cuda.all_sync(EVERYONE, lane < 32)
        out[1, lane] = cuda.all_sync(EVERYONE, lane < 31)
        out[2, lane] = cuda.any_sync(EVERYONE, lane == 5)
        out[3, lane] = cuda.any_sync(EVERYONE, lane > 31)
        out[4, lane] = cuda.eq_sync(EVERYONE, lane >= 0)
        out[5, lane] = cuda.eq_sync(EVERYONE, lane > 0)
        out[6, lane] = cuda.ballot_sync(EVERYONE, lane % 2 == 1)
        out[7, lane] = cuda.match_any_sync(EVERYONE, lane % 4)
        out[8, lane] = cuda.match_all_sync(EVERYONE, lane % 4)[1]
        out[9, lane] = cuda.syncthreads_count(lane < 7)
        out[10, lane] = cuda.syncthreads_or(lane == 7) + 2 * cuda.syncthreads_and(lane == 7)

    out = np.zeros((11, 32), np.int32)
    simt.launch(kernel, 1, 32, out)
    np.testing.assert_array_equal(out[:6, 0], [1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(out[6].astype(np.uint32), 0xAAAAAAAA)
    groups = 0x11111111 << (np.arange(32, dtype=np.uint64) % 4)
    np.testing.assert_array_equal(out[7].astype(np.uint32), groups.astype(np.uint32))
    np.testing.assert_array_equal(out[8:, 0], [0, 7, 1])


def test_dynamic_shared_arrays_lie_in_the_same_memory():
    def kernel(a, out):
        thread = cuda.threadIdx.x
        doubles = cuda.shared.array(shape=0, dtype=float64)[:32]
        flags = cuda.shared.array(shape=0, dtype=int32)[64:]
        doubles[thread] = a[thread]
        flags[thread] = thread
        cuda.syncthreads()
        out[thread] = doubles[31 - thread] + flags[31 - thread]
        cuda.syncthreads()
        words = cuda.shared.array(shape=0, dtype=int32)
        words[2 * thread] = 0  # the lower half of a double
        out[thread] += words[2 * thread + 1] * 0

    a, out = numbers(32, dtype=np.float64), np.zeros(32)
    simt.launch(kernel, 1, 32, a, out, shared_bytes=32 * 12)
    np.testing.assert_array_equal(out, a[::-1] + np.arange(32)[::-1])


def test_syncwarp_orders_accesses_of_its_threads():
    def kernel(out):
        thread, half = cuda.threadIdx.x, cuda.laneid // 16
        staged = cuda.shared.array(64, float32)
        staged[thread] = float32(thread)
        cuda.syncwarp(0xFFFF << 16 * half)
        x = staged[thread ^ 15]
        cuda.syncwarp()
        staged[thread ^ 16] = x
        cuda.syncwarp()
        out[thread] = staged[thread]

    out = np.zeros(64, np.float32)
    simt.launch(kernel, 1, 64, out)
    np.testing.assert_array_equal(out, np.arange(64) ^ 31)


def test_atomic_operations():
    def kernel(a, counts, extremes, order, turn):
        shared = cuda.shared.array(4, int32)
        if cuda.threadIdx.x < 4:
            shared[cuda.threadIdx.x] = 0
        cuda.syncthreads()
        x = a[cuda.grid(1)]
        cuda.atomic.add(shared, x % 4, 1)
        cuda.atomic.max(extremes, 0, x)
        cuda.atomic.min(extremes, 1, x)
        cuda.syncthreads()
        if cuda.threadIdx.x < 4:
            cuda.atomic.add(counts, cuda.threadIdx.x, shared[cuda.threadIdx.x])
        while cuda.atomic.cas(turn, 0, 63 - cuda.threadIdx.x, -1) != 63 - cuda.threadIdx.x:
            cuda.nanosleep(10)
        order[cuda.grid(1)] = cuda.blockIdx.x * 64 + cuda.threadIdx.x
        cuda.atomic.exch(turn, 0, (64 - cuda.threadIdx.x) % 64)

    a, counts = numbers(128, dtype=np.int32), np.zeros(4, np.int32)
    extremes, order, turn = np.array([-99, 99], np.int32), np.zeros(128, np.int32), np.zeros(1, np.int32)
    simt.launch(kernel, 2, 64, a, counts, extremes, order, turn)
    np.testing.assert_array_equal(counts, np.bincount(a % 4))
    np.testing.assert_array_equal(extremes, [a.max(), a.min()])
    np.testing.assert_array_equal(order, np.arange(128))


def test_the_last_block_reads_what_others_published():
    def kernel(a, partial, done, total):
        last = cuda.shared.array(1, int32)
        x = over_warp(a[cuda.grid(1)])
        if cuda.laneid == 0:
            partial[cuda.blockIdx.x] = x
            cuda.threadfence()
            last[0] = cuda.atomic.add(done, 0, 1) == cuda.gridDim.x - 1
        cuda.syncthreads()
        if last[0] and cuda.laneid == 0:
            for block in range(cuda.gridDim.x):
                total[0] += partial[block]

    a, total = numbers(4 * 32), np.zeros(1, np.float32)
    simt.launch(kernel, 4, 32, a, np.zeros(4, np.float32), np.zeros(1, np.int32), total)
    assert total[0] == a.sum()


def test_arithmetic_has_the_precision_of_its_arguments():
    def kernel(a, out):
        x = cuda.local.array(2, float32)
        x[0] = a[0]
        x[1] = 2.0 * x[0] + float32(1) / float32(3)
        out[0] = x[1] * x[1]
        out[1] = math.sqrt(x[1])
        out[2] = math.hypot(x[0], x[1]) / x[1]
        out[3] = float32(1) / (x[0] - x[0])
        out[4] = math.ldexp(x[1], 200)
        out[5] = math.floor(x[1])

    a, out = np.array([1.1], np.float32), np.zeros(6)
    simt.launch(kernel, 1, 1, a, out)
    x = np.float32(2) * a[0] + np.float32(1) / np.float32(3)
    assert [x * x, np.sqrt(x), np.hypot(a[0], x) / x, math.inf, math.inf, 2] == list(out)
    assert all(isinstance(value, np.float32) for value in (x * x, np.sqrt(x)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_multiply_add_rounds_once(dtype):
    def kernel(a, b, c, out):
        i = cuda.grid(1)
        out[i] = cuda.fma(a[i], b[i], c[i])

    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 64)).astype(dtype)
    c = -(a * b)  # all but the rounding error cancels
    c[::3] *= dtype(1e-7)
    out = np.zeros(64, dtype)
    simt.launch(kernel, 2, 32, a, b, c, out)
    exact = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)
    ]
    error = [abs(Fraction(float(x)) - y) for x, y in zip(out, exact, strict=True)]
    half_ulp = np.spacing(np.abs(out)).astype(float) / 2
    assert all(e <= Fraction(limit) for e, limit in zip(error, half_ulp, strict=True))


def test_integer_functions():
    def kernel(a, out):
        x = a[cuda.laneid]
        out[cuda.laneid, 0] = cuda.popc(x)
        out[cuda.laneid, 1] = cuda.clz(x)
        out[cuda.laneid, 2] = cuda.ffs(x)
        out[cuda.laneid, 3] = cuda.brev(x)
        out[cuda.laneid, 4] = cuda.selp(x > 1, 7, 8)

    out = np.zeros((2, 5), np.int64)
    simt.launch(kernel, 1, 2, np.array([12, 1], np.int32), out)
    np.testing.assert_array_equal(out, [[2, 28, 3, 3 << 28, 7], [1, 31, 1, 1 << 31, 8]])


def make_power(n, real):
    """A kernel with what a factory captures: a size, a type, and device functions, one of which recurs."""

    @device
    def power(x, k):
        return real(1) if k == 0 else x * power(x, k - 1)

    @device
    def twice(x):
        return math.sqrt(power(x, n)) * weights[1]

    def kernel(a):
        a[cuda.grid(1)] = twice(a[cuda.grid(1)])

    return kernel


weights = np.array([1, 2])


def test_captured_functions_types_and_constants():
    a = np.arange(32, dtype=np.float32)
    simt.launch(make_power(4, float32), 1, 32, a)
    np.testing.assert_array_equal(a, 2 * np.arange(32, dtype=np.float32) ** 2)


def test_parts_of_arrays():
    def kernel(pair, column):
        local = cuda.local.array((2, 3), float32)
        for i in range(2):
            for j in range(3):
                local[i, j] = pair[0][i, j]
        row, middle = local[1], local[:, 1]
        row[2] = middle[0]
        for i in range(len(row)):
            column[i] = row[i] + pair[1][0]

    a, column = numbers(2, 3), np.zeros((3, 2), np.float32)[:, 1]
    simt.launch(kernel, 1, 1, (a, a[1]), column)
    np.testing.assert_array_equal(column, [a[1, 0], a[1, 1], a[0, 1]] + a[1, 0])


# Kernels with a fault. The comment "here" marks the line that the error has to name.

FAULTS = []


def faulty(error, words, block=64, grid=1):
    """Collect a kernel with the error it has to give, and a part of its message."""

    def collect(kernel):
        FAULTS.append(pytest.param(kernel, error, words, grid, block, id=kernel.__name__))
        return kernel

    return collect


@faulty(simt.DivergenceError, "threads 32..35 wait at syncwarp")
def different_primitives(a):
    if cuda.threadIdx.x < 32 or cuda.laneid < 4:
        cuda.syncwarp()
    else:
        cuda.any_sync(EVERYONE, True)  # here


@faulty(simt.DivergenceError, "thread 31 comes to shfl_xor_sync")
def one_primitive_on_different_lines(a):
    if cuda.laneid < 31:
        a[cuda.threadIdx.x] = cuda.shfl_xor_sync(EVERYONE, float32(1), 1)
    else:
        a[cuda.threadIdx.x] = cuda.shfl_xor_sync(EVERYONE, float32(1), 1)  # here


@faulty(simt.DivergenceError, "called from")
def one_function_called_on_different_lines(a):
    if cuda.laneid < 31:
        over_warp(float32(1))
    else:
        over_warp(float32(1))  # here


@faulty(simt.DivergenceError, "thread 40 of block 2 returned", grid=4)
def a_thread_that_returned_before_a_vote(a):
    if cuda.blockIdx.x == 2 and cuda.threadIdx.x == 40:
        return
    cuda.all_sync(EVERYONE, True)  # here


@faulty(simt.DivergenceError, "thread 63 of block 0 returned")
def a_thread_that_returned_before_a_barrier(a):
    if cuda.threadIdx.x == 63:
        return
    cuda.syncthreads()  # here


@faulty(simt.DivergenceError, "thread 0 of block 0 returned, but syncthreads")
def a_thread_that_returns_while_others_wait(a):
    if cuda.threadIdx.x == 0:
        cuda.syncwarp(1)
        cuda.threadfence()
    else:
        cuda.syncthreads()  # here


@faulty(simt.DivergenceError, "threads 0..31 wait at syncthreads")
def barriers_on_different_lines(a):
    if cuda.threadIdx.x < 32:
        cuda.syncthreads()
    else:
        cuda.syncthreads()  # here


@faulty(simt.DivergenceError, "threads wait for each other: threads 0..7 at ballot_sync of mask 0x0000ffff")
def a_mask_of_threads_that_wait_elsewhere(a):
    if cuda.laneid < 8:
        cuda.ballot_sync(0xFFFF, True)  # here
    elif cuda.laneid < 16:
        cuda.ballot_sync(0xFF00, True)
        cuda.syncwarp(0xFFFFFF00)
    else:
        cuda.syncthreads()


@faulty(simt.DivergenceError, "thread 63 of block 0 returned, but syncthreads at")
def a_warp_that_leaves_a_loop_over_a_barrier(a):
    while cuda.any_sync(EVERYONE, cuda.threadIdx.x == 0):
        cuda.syncthreads()  # here


@faulty(simt.LaneError, "lane 9 is not in its own mask 0x000000ff")
def a_thread_outside_its_mask(a):
    if cuda.laneid == 9:
        cuda.syncwarp(0xFF)  # here


@faulty(
    simt.LaneError, "names lanes 16..31, which the last warp of a block of 48 threads does not have", block=48
)
def a_mask_beyond_the_block(a):
    cuda.syncwarp()  # here


@faulty(simt.LaneError, "reads from lane 8, which is not in the mask, in thread 7 of block 0")
def a_shuffle_from_outside_the_mask(a):
    if cuda.laneid < 8:
        cuda.shfl_down_sync(0xFF, float32(1), 1)  # here


@faulty(simt.LaneError, "is given 32, beyond the lanes of a warp")
def a_shuffle_from_beyond_the_warp(a):
    cuda.shfl_xor_sync(EVERYONE, float32(1), 32)  # here


@faulty(simt.LaneError, "is given 33, beyond the lanes of a warp")
def a_shuffle_from_far_below_the_warp(a):
    cuda.shfl_up_sync(EVERYONE, float32(1), 33)  # here


@faulty(simt.LaneError, "does not take complex64")
def a_shuffle_of_complex_numbers(a):
    cuda.shfl_xor_sync(EVERYONE, np.complex64(a[0]), 1)  # here


@faulty(simt.LaneError, "is given float and float32 by different lanes")
def a_shuffle_of_different_types(a):
    cuda.shfl_xor_sync(EVERYONE, a[0] if cuda.laneid else 0.0, 1)  # here


@faulty(simt.UnwrittenError, "[3] that was never written, by thread 63 of block 0")
def a_read_of_shared_memory_never_written(a):
    shared = cuda.shared.array(64, float32)
    if cuda.threadIdx.x != 3:
        shared[cuda.threadIdx.x] = a[cuda.threadIdx.x]
    cuda.syncthreads()
    a[cuda.threadIdx.x] = shared[3]  # here


@faulty(simt.UnwrittenError, "dynamic shared array[1] that was never written")
def a_read_of_dynamic_memory_half_written(a):
    words = cuda.shared.array(0, int32)
    if cuda.threadIdx.x == 0:
        words[0], words[1], words[2] = 1, 2, 3
        a[0] = cuda.shared.array(0, float64)[1]  # here


@faulty(simt.UnwrittenError, "by thread 0 of block 1 ", block=32, grid=2)
def shared_memory_of_an_earlier_block(a):
    shared = cuda.shared.array(1, float32)
    if cuda.blockIdx.x == 0 and cuda.threadIdx.x == 0:
        shared[0] = a[0]
    if cuda.threadIdx.x == 0:
        a[cuda.blockIdx.x] = shared[0]  # here


@faulty(simt.UnwrittenError, "local array[2, 1] that was never written, by thread 5")
def a_read_of_local_memory_never_written(a):
    local = cuda.local.array((3, 3), float32)
    for i in range(3):
        for j in range(3):
            if i == j or cuda.threadIdx.x != 5:
                local[i, j] = a[i]
    cuda.syncthreads()
    local[0, 0] = local[2, 1]  # here


@faulty(
    simt.BoundsError,
    "index 64 is out of bounds for axis 0 of a, of shape (64,), in thread 0 of block 1",
    grid=2,
)
def an_index_beyond_global_memory(a):
    a[cuda.grid(1)] = 0  # here


@faulty(simt.BoundsError, "index -1 is out of bounds for axis 0 of a, of shape (64,), in thread 0")
def a_negative_index_to_global_memory(a):
    a[cuda.threadIdx.x - 1] = 0  # here


@faulty(simt.BoundsError, "index -1 is out of bounds for axis 1 of shared array of line")
def a_negative_index_to_shared_memory(a):
    shared = cuda.shared.array((64, 2), float32)
    shared[cuda.threadIdx.x, int32(-1)] = 0  # here


@faulty(simt.BoundsError, "index 2 is out of bounds for axis 0 of local array")
def an_index_beyond_a_local_array(a):
    local = cuda.local.array(2, float32)
    for i in range(3):
        local[i] = 0  # here


@faulty(simt.BoundsError, "index -2 is out of bounds for axis 0 of local array")
def a_negative_index_to_a_local_array(a):
    local = cuda.local.array((2, 2), float32)
    local[0, 0] = local[-2, 0]  # here


@faulty(simt.BoundsError, "index 4 is out of bounds for axis 0 of shared array")
def an_index_beyond_a_part(a):
    part = cuda.shared.array(64, float32)[:4]
    part[cuda.threadIdx.x] = 0  # here


@faulty(simt.BoundsError, "index 16 is out of bounds for axis 0 of dynamic shared array")
def an_index_beyond_dynamic_memory(a):
    doubles = cuda.shared.array(0, float64)
    doubles[cuda.threadIdx.x] = 0  # here


@faulty(simt.RaceError, "read by thread 63 of block 0")
def a_barrier_left_out(a):
    shared = cuda.shared.array(64, float32)
    if cuda.threadIdx.x == 0:
        shared[0] = a[0]
    cuda.syncwarp()
    a[cuda.threadIdx.x] = 0 if cuda.threadIdx.x < 63 else shared[0]  # here


@faulty(simt.RaceError, "with nothing that orders them")
def a_barrier_before_a_write_left_out(a):
    shared = cuda.shared.array(64, float32)
    shared[cuda.threadIdx.x] = a[cuda.threadIdx.x]
    cuda.syncthreads()
    x = shared[cuda.threadIdx.x ^ 32]
    shared[cuda.threadIdx.x] = x  # here


@faulty(simt.RaceError, "write by thread 1 of block 0")
def two_that_write_the_same(a):
    shared = cuda.shared.array(1, float32)
    shared[0] = float32(1)  # here


@faulty(simt.RaceError, "read by thread 16 of block 0")
def a_syncwarp_without_the_writer(a):
    shared = cuda.shared.array(64, float32)
    shared[cuda.threadIdx.x] = a[cuda.threadIdx.x]
    cuda.syncwarp(0xFFFF << 16 * (cuda.laneid // 16))
    if cuda.threadIdx.x == 16:
        a[0] = shared[15]  # here


@faulty(simt.RaceError, "read by thread 0 of block 0")
def a_shuffle_for_a_barrier(a):
    shared = cuda.shared.array(64, float32)
    shared[cuda.threadIdx.x] = a[cuda.threadIdx.x]
    cuda.shfl_xor_sync(EVERYONE, float32(0), 1)
    cuda.any_sync(EVERYONE, True)
    if cuda.threadIdx.x == 0:
        a[0] = shared[1]  # here


@faulty(simt.RaceError, "and atomic operation by thread 32 of block 0")
def an_atomic_operation_and_a_write(a):
    cuda.atomic.add(a, 0, float32(1))
    cuda.syncwarp()
    if cuda.threadIdx.x == 0:
        a[0] = 0  # here


@faulty(simt.RaceError, "write by thread 0 of block 1", grid=2)
def blocks_that_write_the_same(a):
    a[cuda.threadIdx.x] = cuda.blockIdx.x  # here


@faulty(simt.RaceError, "write by thread 0 of block 1 ", grid=2)
def a_block_that_overwrites_what_another_reads(a):
    if cuda.blockIdx.x == 1:
        a[cuda.threadIdx.x] = 1  # here
    else:
        cuda.any_sync(EVERYONE, a[63 - cuda.threadIdx.x] > 0)


@faulty(simt.KernelError, "write to constant array, which is read-only")
def a_write_to_a_constant(a):
    weights[cuda.threadIdx.x % 2] = 1  # here


@faulty(simt.KernelError, "bytes of static shared memory")
def too_much_static_memory(a):
    cuda.shared.array(8192, float64)  # here


@pytest.mark.parametrize(("kernel", "error", "words", "grid", "block"), FAULTS)
def test_a_fault_is_reported_where_it_is(kernel, error, words, grid, block):
    with pytest.raises(error) as raised:
        simt.launch(kernel, grid, block, np.zeros(64, np.float32), shared_bytes=128)
    assert words in str(raised.value)
    lines, first = inspect.getsourcelines(kernel)
    (marked,) = [first + i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    assert f"{Path(__file__).name}:{marked} in {kernel.__name__}" in str(raised.value)


def test_every_race_names_both_lines():
    with pytest.raises(simt.RaceError) as raised:
        simt.launch(a_barrier_left_out, 1, 64, np.zeros(64, np.float32))
    _, first = inspect.getsourcelines(a_barrier_left_out)
    assert f"write by thread 0 of block 0 at {Path(__file__).name}:{first + 4}" in str(raised.value)


def test_what_the_emulator_does_not_know():
    def kernel():
        cuda.cg.this_grid().sync()

    with pytest.raises(AttributeError, match=r"does not know cuda\.cg"):
        simt.launch(kernel, 1, 1)


def test_an_error_of_python_names_the_thread():
    def kernel():
        return 1 // (cuda.threadIdx.x - 5)

    with pytest.raises(ZeroDivisionError) as raised:
        simt.launch(kernel, 1, 32)
    assert raised.value.__notes__ == ["in thread 5 of block 0"]


@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes", "words"),
    [
        (0, 32, 0, "at least 1"),
        (1, 2048, 0, "at most 1024"),
        (1, 32, 1 << 20, "shared_bytes"),
        ((1, 1, 1, 1), 1, 0, "three"),
    ],
)
def test_a_launch_that_a_device_refuses(grid, block, shared_bytes, words):
    with pytest.raises(ValueError, match=words):
        simt.launch(two_that_write_the_same, grid, block, np.zeros(1), shared_bytes=shared_bytes)
