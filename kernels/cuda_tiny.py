"""One matrix of at most four columns a CUDA thread, in straight-line code: `tiny` from loading to storing.

The matrices of a warp come and go together, 16 bytes a thread and step, through the warp's own part of shared
memory, where all arrays are without gaps, begin at multiples of 16 bytes (`dense`) and have a matrix for each
thread of the warp. Otherwise each thread reads and writes its own. At the end the warp decomposes anew,
together and one after the other, the matrices that `tiny` flags (`cuda_rescue`).

Shared memory: 32 `stride` numbers a warp. Flops: as `jacobi`.
"""

from numba import cuda

from .cuda_columns import store_number
from .cuda_rescue import rescue, rescue_numbers
from .cuda_warp import EVERYONE, WARP, at, copy_whole
from .lanes import conjugate, load, registers, store, unsigned_zero
from .scalars import number, real
from .tiny import decompose

# The largest matrices that a thread's registers hold, with vectors.
MOST_COLUMNS = {"float32": 4, "float64": 4, "complex64": 4, "complex128": 3}
MOST_ROWS = {"float32": 8, "float64": 8, "complex64": 8, "complex128": 6}


def padded(size, vector):
    """How far matrices of so many numbers are apart in shared memory.

    Where they are runs of `vector` numbers, 16 bytes, an odd number of runs, so that threads use different
    banks; if that takes a gap, only where the runs are a power of two, for their places to be a shift.
    """
    runs = size // vector
    needs_gap = vector > 1 and size % vector == 0 and runs > 1 and runs & (runs - 1) == 0
    return size + vector if needs_gap else size


def svd_tiny(
    a, left, s, right, converged, sweeps, off, adjoint, dense, m, n, columns, vectors, parts, a_stride,
    left_stride, right_stride, stride, vector, threads,
):  # fmt: skip
    """Thin or full SVD of a batch of matrices with m >= n >= 1, one a thread.

    a : (batch, m, n), any strides. For wide matrices their transposes, with `adjoint` true: then the
        conjugates are decomposed.
    left, s, right : (batch, m, columns), (batch, n), (batch, n, n), any strides; `left` holds U and
        `right` conj(V), or for `adjoint` conj(U) and V. Columns in descending order of s.
    converged, sweeps, off : (batch,); what happened to each matrix.
    dense : whether a, left, s and right are without gaps and aligned: in C order, or by columns for
        `adjoint`, and `right` the other way round.
    m, n, columns, vectors, parts, vector, threads : constants, as are what `padded` says for the three arrays
        and the largest of that
    """
    room = cuda.shared.array(stride * threads, number, alignment=16)
    lane = cuda.threadIdx.x % WARP
    base = (cuda.threadIdx.x - lane) * stride
    which = cuda.blockIdx.x * threads + cuda.threadIdx.x
    first = which - lane
    together = dense and first + WARP <= a.shape[0]
    nothing, zero = real(0.0), number(0.0)
    matrix, u = registers(m * n, zero), registers(m * columns, zero)
    values, x = registers(n, nothing), registers(n * n, zero)

    if together:
        copy_whole(a, first, room, base, lane, WARP, m * n, a_stride - m * n, vector, True)
        own = base + lane * a_stride
        cuda.syncwarp()
        if adjoint:
            for i in range(m):
                for j in range(n):
                    store(matrix, i * n + j, conjugate(room[at(own + j * m + i)]))
        else:
            for k in range(m * n):
                store(matrix, k, room[at(own + k)])
    else:
        for i in range(m):
            for j in range(n):
                entry = a[at(which), i, j] if which < a.shape[0] else zero
                store(matrix, i * n + j, conjugate(entry) if adjoint else entry)
    odd, count, cosine = decompose(
        matrix, u, values, x, m, n, columns, vectors, parts, nothing, zero, real(n)
    )
    if which < a.shape[0]:
        converged[at(which)] = True
        sweeps[at(which)] = int(count)
        off[at(which)] = cosine
        if together:
            for k in range(n):
                store_number(s, which * n + k, load(values, k))
        else:
            for k in range(n):
                s[at(which), k] = load(values, k)
    if vectors:
        if together:
            cuda.syncwarp()
            own = base + lane * left_stride
            for i in range(m):
                for k in range(columns):
                    entry = load(u, i * columns + k)
                    if adjoint:
                        room[at(own + k * m + i)] = unsigned_zero(conjugate(entry))
                    else:
                        room[at(own + i * columns + k)] = unsigned_zero(entry)
            cuda.syncwarp()
            skew = left_stride - m * columns
            copy_whole(left, first, room, base, lane, WARP, m * columns, skew, vector, False)
            cuda.syncwarp()
            own = base + lane * right_stride
            for i in range(n):
                for k in range(n):
                    entry = load(x, k * n + i)
                    if adjoint:
                        room[at(own + i * n + k)] = unsigned_zero(entry)
                    else:
                        room[at(own + k * n + i)] = unsigned_zero(conjugate(entry))
            cuda.syncwarp()
            copy_whole(right, first, room, base, lane, WARP, n * n, right_stride - n * n, vector, False)
        elif which < a.shape[0]:
            for i in range(m):
                for k in range(columns):
                    entry = load(u, i * columns + k)
                    left[at(which), i, k] = unsigned_zero(conjugate(entry) if adjoint else entry)
            for i in range(n):
                for k in range(n):
                    entry = load(x, k * n + i)
                    right[at(which), i, k] = unsigned_zero(entry if adjoint else conjugate(entry))
    flagged = cuda.ballot_sync(EVERYONE, odd and which < a.shape[0])
    if flagged != 0:
        rescue_flagged(
            a,
            left,
            s,
            right,
            converged,
            sweeps,
            off,
            adjoint,
            first,
            flagged,
            room,
            base,
            m,
            n,
            parts,
            vectors,
        )


def rescue_flagged(
    a, left, s, right, converged, sweeps, off, adjoint, first, flagged, room, base, m, n, parts, vectors
):
    """Decompose the matrices of a warp whose bit is set."""
    cuda.syncwarp()
    for k in range(WARP):
        if (flagged >> k) & 1 != 0:
            rescue(
                a, left, s, right, converged, sweeps, off, adjoint, first + k,
                room[base : base + rescue_numbers(m, n)], parts, vectors,
            )  # fmt: skip
