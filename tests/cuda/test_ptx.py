"""The CUDA path as a GPU is given it: PTX, launched with the library's own constants. The gallery is held to
mathematics, to the kernels of the CPU and, bit by bit, to the emulator of the sources."""

import sys

import numpy as np
import pytest

import gpusvd
from gpusvd._cuda import jacobi, phases
from gpusvd._cuda.problem import Problem
from tests.ptx import Device, svd_ex
from tests.support import cuda_emulated, gallery, measures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="numba-cuda is for tests on Linux")

KINDS = ["float32", "float64", "complex64", "complex128"]
# What runs every time takes few kernels: sizes that share them, and not each size in each dtype.
CASES = [(3, 3, "float32"), (2, 2, "float64"), (1, 1, "complex64"), (2, 2, "complex128")]
CASES += [(m, n, kind) for kind in KINDS for m, n in ((8, 8), (6, 6))]
CASES += [
    (7, 7, "float32"),  # one column of eight is not there
    (9, 8, "float32"),
    (64, 8, "float32"),
    (33, 33, "float64"),
    (31, 31, "float64"),
]
SIZES = (1, 2, 3, 4, 5, 6, 8, 13, 17, 24, 31, 33, 64, 65)
ALL_CASES = [(n, n, kind) for n in SIZES for kind in KINDS]
ALL_CASES += [(m, n, kind) for m, n in ((8, 9), (64, 8), (300, 3), (8, 64), (2, 6)) for kind in KINDS]
LONG = pytest.mark.exhaustive


def also(few, more):
    """Cases that run every time, and more that do not."""
    return [*few, *(pytest.param(*case, marks=LONG) for case in more if case not in few)]


def matrices(m, n, kind):
    """The gallery, of large matrices a part."""
    return gallery.batch(m, n, np.dtype(kind))[:: 1 if max(m, n) < 32 else 6 if max(m, n) < 64 else 16].copy()


def check(a, device=None, more_sweeps=3, **kwargs):
    """Decompose matrices, and hold the factors and what is said about them to all that is known."""
    a.flags.writeable = False
    U, S, Vh, info = svd_ex(a, device=device, **kwargs)
    measures.assert_svd(whole(a) if kwargs.get("hermitian") else a, U, S, Vh)
    measures.assert_as_on_the_cpu(a, S, info, more_sweeps, **kwargs)
    return U, S, Vh, info


def whole(a):
    """Hermitian matrices of lower triangles."""
    lower = np.tril(a, -1)
    return lower + lower.conj().swapaxes(1, 2) + np.eye(a.shape[1], dtype=a.dtype) * a.real


@pytest.mark.parametrize(("m", "n", "kind"), also(CASES, ALL_CASES))
def test_gallery(m, n, kind):
    # One sweep more for some matrices of low or doubtful rank in a few lanes, two for rank one in complex128.
    check(matrices(m, n, kind), full_matrices=False, more_sweeps=5)


@LONG
@pytest.mark.parametrize(
    ("n", "kind"),
    [(n, k) for k in KINDS for n in range(4, 33) if jacobi.fused_step(Problem(n, n, k, n, True))],
)
def test_every_size_in_a_few_lanes(n, kind):
    a = np.stack([gallery.build(name, n, n, kind).a for name in ("gaussian", "shift", "geometric 1e30")])
    check(a, full_matrices=False, more_sweeps=4)


@pytest.mark.parametrize(
    ("m", "n", "kind"),
    also(
        [(9, 8, "float32"), (8, 9, "float64")],
        [(m, n, k) for k in KINDS for m, n in ((4, 2), (2, 4), (12, 5))],
    ),
)
def test_full_factors(m, n, kind):
    U, _, Vh, _ = check(matrices(m, n, kind), full_matrices=True)
    assert (U.shape[-1], Vh.shape[-2]) == (m, n)


@pytest.mark.parametrize(
    ("m", "n", "kind"), also([(8, 8, "float32")], [(n, n, kind) for kind in KINDS for n in (3, 8, 33)])
)
def test_values_only(m, n, kind):
    a = matrices(m, n, kind)
    S, info = svd_ex(a, compute_uv=False)
    measures.assert_order(S)
    measures.assert_as_on_the_cpu(a, S, info, more_sweeps=4)  # one more for graded rows in complex128


@pytest.mark.parametrize(
    ("m", "n", "kind"),
    also([(8, 8, "complex64")], [(n, n, kind) for kind in KINDS for n in (3, 5, 8)]),
)
def test_hermitian(m, n, kind):
    check(matrices(m, n, kind), full_matrices=False, hermitian=True)


@pytest.mark.parametrize(
    ("n", "kind"),
    also([(8, "float32"), (33, "float64")], [(n, kind) for kind in KINDS for n in (8, 33, 65, 70)]),
)
def test_blocks_of_columns(n, kind, monkeypatch):
    monkeypatch.setattr(jacobi, "fused_step", lambda problem: None)
    monkeypatch.setattr(phases.cuda_group, "group_shape", lambda *given: None)
    # The cache neither answers with another class nor keeps this one for other tests.
    monkeypatch.setattr(phases, "orthogonalise_step", phases.orthogonalise_step.__wrapped__)
    check(matrices(n, n, kind)[:: 1 if n < 32 else 4], full_matrices=False)


@pytest.mark.parametrize(
    ("n", "kind"),
    also([(98, "float64")], [(129, "float32"), (97, "complex64"), (65, "complex128"), (130, "float64")]),
)
def test_matrices_beyond_registers(n, kind):
    assert (
        phases.orthogonalise_step(Problem(n, n, kind, n, True))[0].function.__name__ == "orthogonalise_blocks"
    )
    check(gallery.build("gaussian", n, n, kind).a[np.newaxis], full_matrices=False)


@pytest.mark.parametrize(
    ("m", "n", "kind"), also([(3, 3, "float32"), (8, 8, "float32"), (8, 8, "complex128")], ALL_CASES)
)
def test_what_ptxas_may_fuse(m, n, kind):
    # Other rounding costs graded rows one sweep more, and rank one in complex128 two.
    check(matrices(m, n, kind), Device(contraction="all"), more_sweeps=5, full_matrices=False)


@pytest.mark.parametrize(
    ("m", "n", "kind"),
    also(
        [(8, 8, "float32")],
        [(n, n, kind) for n in range(5, 9) for kind in KINDS],
    ),
)
def test_bit_by_bit_as_the_emulator(m, n, kind):
    a = matrices(m, n, kind)[:: 1 if n < 4 else 8]
    got = svd_ex(a, full_matrices=False, device=Device(contraction="none"))
    expected = cuda_emulated.svd_ex(a, full_matrices=False)
    for x, y in zip((*got[:3], *got.info), (*expected[:3], *expected.info), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("m", "n", "kind"),
    also(
        [(3, 3, "float32"), (2, 2, "complex64"), (8, 8, "float64")],
        [(17, 17, "float32"), (33, 33, "complex64")],
    ),
)
def test_nothing_depends_on_the_place_in_the_batch(m, n, kind):
    a = matrices(m, n, kind)
    a = np.concatenate([a] * 3)  # more than a block takes
    whole = svd_ex(a, full_matrices=False)
    order = np.random.default_rng(0).permutation(len(a))
    for chosen in (order, slice(20, 21), slice(5, 40, 7)):
        part = svd_ex(a[chosen], full_matrices=False)
        for x, y in zip((*part[:3], *part.info), (*whole[:3], *whole.info), strict=True):
            assert x.tobytes() == y[chosen].tobytes()  # signs of zeros, too


@pytest.mark.parametrize(("n", "kind"), [(3, "float32"), (8, "float32")])
def test_matrices_that_are_not_finite(n, kind):
    a = matrices(n, n, kind)
    expected = svd_ex(a, full_matrices=False)
    a[3, 0, 1], a[7, n - 1, 0] = np.nan, -np.inf
    got = svd_ex(a, full_matrices=False)
    bad = np.isin(np.arange(len(a)), (3, 7))
    for x, y in zip(got[:3], expected[:3], strict=True):
        assert np.isnan(x[bad]).all()
        np.testing.assert_array_equal(x[~bad], y[~bad])
    np.testing.assert_array_equal(got.info.converged[bad], False)
    assert (got.info.sweeps[bad] == 0).all()
    assert np.isnan(got.info.off[bad]).all()


def test_every_byte_is_read_and_written_once_by_a_matrix_a_thread():
    a = np.random.default_rng(0).standard_normal((70, 3, 3)).astype(np.float32)  # none is decomposed again
    device = Device()
    result = svd_ex(a, device=device)
    (counted,) = device.launches
    assert counted.bytes_loaded == a.nbytes
    assert counted.bytes_stored == sum(x.nbytes for x in (*result[:3], *result.info))
    assert (counted.name, counted.blocks, counted.warps) == ("svd_tiny", 1, 4)
    assert counted.instructions["fma.f32"] > 0
    assert counted.instructions.keys().isdisjoint({"fma.f64", "add.f64", "mul.f64", "special.f64"})


@pytest.mark.parametrize(("n", "dtype"), [(3, np.float16), (2, np.int8), (2, np.bool_)])
def test_other_dtypes_and_batches(n, dtype):
    a = np.random.default_rng(0).integers(2, size=(2, 3, n, n)).astype(dtype)
    U, S, Vh, info = svd_ex(a)
    assert info.converged.all()
    few = 4 * measures.eps(U.dtype)
    np.testing.assert_allclose((U * S[..., np.newaxis, :]) @ Vh, a, rtol=0, atol=few)
    np.testing.assert_allclose(S, gpusvd.svdvals(a, driver="jacobi"), rtol=0, atol=few)


# Launches alone: nothing is computed


class Launched(Device):
    """A device that refuses launches, and executes none."""

    def execute(self, *launch):
        pass


def launch_all(m, n, kind, columns, vectors=True):
    """Launch the kernels for a matrix."""
    device = Launched()
    a, real = np.zeros((1, m, n), kind), np.empty(0, kind).real.dtype
    left, right = np.empty((1, m, columns), kind), np.empty((1, n, n), kind)
    info = jacobi.Info(np.empty(1, np.bool_), np.empty(1, np.int32), np.empty(1, real))
    u, vh = (left, right) if vectors else (None, None)
    jacobi.decompose(device, device.launch, a, u, np.empty((1, n), real), vh, info, hermitian=False)


@pytest.mark.parametrize(("m", "n"), also([(5, 1)], [(5, 2), (5, 3), (6, 1), (6, 2), (6, 3)]))
def test_full_factors_of_tall_matrices_a_thread(m, n):
    launch_all(m, n, "complex128", m)


@pytest.mark.parametrize(
    ("n", "kind", "vectors"),
    also(
        [(169, "float64", True), (172, "float64", True)],
        [(361, "complex64", True), (417, "float64", False), (860, "complex64", False)],
    ),
)
def test_shared_memory_just_below_what_needs_no_asking(n, kind, vectors):
    launch_all(n, n, kind, n, vectors)


@LONG
@pytest.mark.parametrize("kind", KINDS)
def test_every_class_can_be_launched(kind):
    for n in (1, 2, 3, 4, 5, 6, 8, 13, 17, 24, 31, 33, 48, 65, 97, 129, 200, 250):
        for m, columns, vectors in ((n, n, True), (n, n, False), (n + 3, n + 3, True), (300, n, True)):
            launch_all(m, n, kind, columns, vectors)
