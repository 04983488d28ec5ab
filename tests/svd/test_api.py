"""What the functions refuse, and in which words; which driver is taken; what info says."""

import inspect
import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.linalg import LinAlgError

import gpusvd
from gpusvd._base.install import install
from gpusvd._cpu import lapack
from gpusvd._svd import driver as _driver
from gpusvd._svd import driver_table as _driver_table
from tests.support import stand_in

FUNCTIONS = [gpusvd.svd, gpusvd.svdvals, gpusvd.svd_ex]
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def test_exports():
    assert all(hasattr(gpusvd, name) for name in gpusvd.__all__)


def test_signature_begins_as_numpys():
    ours, numpys = (list(inspect.signature(svd).parameters.values()) for svd in (gpusvd.svd, np.linalg.svd))
    assert [(p.name, p.default, p.kind) for p in ours[:4]] == [(p.name, p.default, p.kind) for p in numpys]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[4:])


def test_named_tuples():
    result = gpusvd.svd(random(3, 3))
    assert result._fields == np.linalg.svd(random(3, 3))._fields
    assert gpusvd.svd_ex(random(3, 3))._fields == ("U", "S", "Vh", "info")


@every_function
@pytest.mark.parametrize("a", [3.0, [1.0, 2.0], []], ids=str)
@pytest.mark.parametrize("hermitian", [False, True])
def test_too_few_dimensions(function, a, hermitian, driver):
    with pytest.raises(LinAlgError) as numpys:
        np.linalg.svd(a, hermitian=hermitian)
    with pytest.raises(LinAlgError) as ours:
        function(a, hermitian=hermitian, driver=driver)
    assert str(ours.value) == str(numpys.value)


@every_function
def test_hermitian_must_be_square(function, driver):
    with pytest.raises(LinAlgError, match="Last 2 dimensions of the array must be square"):
        function(random(2, 3), hermitian=True, driver=driver)


@every_function
@pytest.mark.parametrize(
    ("a", "name"),
    [
        (np.ones((2, 2), object), "object"),
        (np.array([["a", "b"]]), "<U1"),
        (np.array([[b"a"]]), r"\|S1"),
        (np.ones((2, 2), "M8[s]"), r"datetime64\[s\]"),
        (np.ones((2, 2), "m8[s]"), r"timedelta64\[s\]"),
        (np.zeros((2, 2), [("x", "f8")]), r"\[\('x', '<f8'\)\]"),
        (np.zeros((2, 2), "V4"), "V4"),
        (np.ones((2, 2), "g"), "float"),
        (np.ones((2, 2), "G"), "complex"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsupported_dtypes(function, a, name, driver):
    with pytest.raises(TypeError, match=f"array type .*{name}.* is unsupported in svd; it may be float16"):
        function(a, driver=driver)


def test_ragged_lists():
    with pytest.raises(ValueError, match="inhomogeneous"):
        gpusvd.svd([[1, 2], [3]])


@every_function
def test_gpu_arrays_need_cupy(function, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    array = SimpleNamespace(__cuda_array_interface__={"shape": (2, 2)})
    with pytest.raises(ImportError, match=re.escape(install("cuda13"))):
        function(array)


@every_function
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"driver": "gesvd"}, "driver must be 'auto', 'jacobi' or 'vendor', not 'gesvd'"),
        ({"driver": None}, "driver must be 'auto', 'jacobi' or 'vendor', not None"),
        ({"errors": "ignore"}, "errors must be 'nan' or 'raise', not 'ignore'"),
        ({"threads": 0}, "threads must be None .* or a positive int, not 0"),
        ({"threads": -1}, "threads must be None .* or a positive int, not -1"),
        ({"threads": True}, "threads must be None .* or a positive int, not True"),
        ({"threads": 1.0}, "threads must be None .* or a positive int, not 1.0"),
        ({"threads": "all"}, "threads must be None .* or a positive int, not 'all'"),
    ],
    ids=str,
)
def test_unknown_options(function, option, said):
    with pytest.raises(ValueError, match=said):
        function(random(3, 3), **option)


def test_threads_may_be_a_numpy_integer(driver):
    a = random(40, 3, 3)
    for x, y in zip(
        gpusvd.svd(a, driver=driver, threads=np.int64(2)), gpusvd.svd(a, driver=driver), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def wrong_outs():
    """An array that does not fit, the error and how it is called."""
    read_only = np.empty((5, 4, 4))
    read_only.flags.writeable = False
    return {
        "shape": (np.empty((5, 4, 3)), ValueError, r"has shape \(5, 4, 3\), expected \(5, 4, 4\)"),
        "dimensions": (np.empty((1, 5, 4, 4)), ValueError, r"has shape \(1, 5, 4, 4\), expected \(5, 4, 4\)"),
        "dtype": (np.empty((5, 4, 4), "f"), TypeError, "has dtype float32, expected float64"),
        "kind": (np.empty((5, 4, 4), complex), TypeError, "has dtype complex128, expected float64"),
        "list": ([[0.0] * 4] * 4, TypeError, "is a list, expected a NumPy array"),
        "None": (None, TypeError, "is a NoneType, expected a NumPy array"),
        "read-only": (read_only, ValueError, "is read-only, expected a writable array"),
        "zero stride": (
            np.lib.stride_tricks.as_strided(np.empty((4, 4)), (5, 4, 4), (0, 32, 8)),
            ValueError,
            r"has strides \(0, 32, 8\)",
        ),
    }


@pytest.mark.parametrize("wrong", wrong_outs())
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("function", [gpusvd.svd, gpusvd.svd_ex], ids=["svd", "svd_ex"])
def test_wrong_out(function, place, wrong, driver):
    array, error, said = wrong_outs()[wrong]
    out = [np.full(shape, 7.0) for shape in ((5, 4, 4), (5, 4), (5, 4, 4))]
    untouched = [x for i, x in enumerate(out) if i != place]
    out[place] = array
    with pytest.raises(error, match=f"^{('U', 'S', 'Vh')[place]} in out {said}"):
        function(random(5, 4, 4), driver=driver, out=tuple(out))
    assert all((x == 7).all() for x in untouched)


@pytest.mark.parametrize(
    ("out", "error", "said"),
    [
        (np.empty((5, 3)), ValueError, r"S in out has shape \(5, 3\), expected \(5, 4\)"),
        (np.empty((5, 4), "f"), TypeError, "S in out has dtype float32, expected float64"),
        ((np.empty((5, 4)),), TypeError, "S in out is a tuple of 1, expected a NumPy array"),
    ],
    ids=["shape", "dtype", "tuple"],
)
def test_wrong_out_of_values(out, error, said, driver):
    with pytest.raises(error, match=said):
        gpusvd.svdvals(random(5, 4, 4), driver=driver, out=out)


@pytest.mark.parametrize(
    "out", [np.empty((4, 4)), (), (None, None), [None] * 3], ids=["array", "0", "2", "list"]
)
def test_out_must_be_three_arrays(out, driver):
    with pytest.raises(TypeError, match=r"out must be a tuple of 3 arrays, \(U, S, Vh\), not a"):
        gpusvd.svd(random(4, 4), driver=driver, out=out)


def test_out_must_not_overlap_itself(driver):
    room = np.full((6, 4, 4), 7.0)
    with pytest.raises(ValueError, match="U and Vh in out share memory"):
        gpusvd.svd(random(5, 4, 4), driver=driver, out=(room[:5], np.empty((5, 4)), room[1:]))
    assert (room == 7).all()


def spoilt(*indices):
    a = random(3, 4, 5, 5)
    for index in indices:
        a[index][0, 0] = np.nan
    return a


@every_function
def test_errors_raise_names_the_bad_matrices(function, driver):
    with pytest.raises(LinAlgError, match=r"^2 of 12 matrices .* batch indices: \(1, 2\), \(2, 0\)$"):
        function(spoilt((2, 0), (1, 2)), driver=driver, errors="raise")
    with pytest.raises(LinAlgError, match=r"^1 of 12 matrices .* batch indices: 7$"):
        function(spoilt((1, 3)).reshape(12, 5, 5), driver=driver, errors="raise")
    with pytest.raises(LinAlgError, match=r"^12 of 12 matrices .* batch indices: 0, 1, 2, 3, 4, \.\.\.$"):
        function(np.full((12, 5, 5), np.inf), driver=driver, errors="raise")
    with pytest.raises(LinAlgError, match=r"^The matrix has a NaN or Inf"):
        function(np.full((5, 5), np.inf), driver=driver, errors="raise")


def test_errors_raise_writes_nothing(driver):
    out = tuple(np.full(shape, 7.0) for shape in ((3, 4, 5, 5), (3, 4, 5), (3, 4, 5, 5)))
    with pytest.raises(LinAlgError):
        gpusvd.svd(spoilt((0, 0)), driver=driver, errors="raise", out=out)
    assert all((x == 7).all() for x in out)
    result = gpusvd.svd(spoilt(), driver=driver, errors="raise", out=out)
    assert all(x is y for x, y in zip(result, out, strict=True))
    np.testing.assert_array_equal(out[1], gpusvd.svd(spoilt(), driver=driver).S)


def test_info(driver):
    a = spoilt((1, 1))
    info = gpusvd.svd_ex(a, driver=driver).info
    assert [x.dtype for x in info] == [np.bool_, np.int32, np.float64]
    assert all(x.shape == (3, 4) for x in info)
    if driver == "jacobi":
        assert (info.sweeps > 0).sum() == 11
        assert np.nanmax(info.off) < 5 * np.finfo("d").eps ** 0.5
        assert np.isfinite(info.off).sum() == 11
    else:
        assert not info.sweeps.any()
        assert np.isnan(info.off).all()
    single = gpusvd.svd_ex(a[0, 0].astype("F"), driver=driver).info
    assert [(x.dtype, x.shape) for x in single] == [(np.bool_, ()), (np.int32, ()), (np.float32, ())]


def test_lapack_failure_is_one_matrixs_own(monkeypatch):
    """Where LAPACK fails to converge NumPy gives the batch up; only the matrix in question may suffer."""
    numpys = np.linalg.svd

    def failing(a, *arguments):
        if (a[..., 0, 0] == 666).any():
            raise LinAlgError("SVD did not converge")
        return numpys(a, *arguments)

    a = random(2, 4, 5, 3)
    expected = gpusvd.svd_ex(a, driver="vendor")
    a[1, 2, 0, 0] = 666
    monkeypatch.setattr(np.linalg, "svd", failing)
    U, S, Vh, info = gpusvd.svd_ex(a, driver="vendor")
    fine = np.ones((2, 4), bool)
    fine[1, 2] = False
    np.testing.assert_array_equal(info.converged, fine)
    for x, y in zip((U, S, Vh), expected, strict=False):
        assert np.isnan(x[~fine]).all()
        np.testing.assert_array_equal(x[fine], y[fine])
    single = gpusvd.svd_ex(a[1, 2], driver="vendor")
    assert np.isnan(single.U).all()
    assert not single.info.converged
    np.testing.assert_array_equal(np.isnan(gpusvd.svdvals(a, driver="vendor"))[..., 0], ~fine)


@pytest.mark.parametrize("n", [2, 3])
def test_lapack_sees_no_inf(monkeypatch, n):
    """With an Inf it may hang."""
    numpys = np.linalg.svd
    seen = []

    def watching(a, *arguments):
        seen.append(np.isfinite(a).all())
        return numpys(a, *arguments)

    monkeypatch.setattr(np.linalg, "svd", watching)
    gpusvd.svd(np.full((3, n, n), np.inf), driver="vendor")
    assert seen == [True]


def test_auto_takes_what_the_table_says(monkeypatch):
    _driver.choose.cache_clear()
    monkeypatch.setitem(_driver_table.JACOBI_UP_TO, ("float64", "thin"), (16, 16, 16))
    for n, driver in ((16, "jacobi"), (17, "vendor")):
        a = random(1, n + 1, n)
        explanation = gpusvd.explain(a.shape, full_matrices=False)
        assert explanation.driver == driver
        assert "is faster for" in explanation.why
        sweeps = gpusvd.svd_ex(a, full_matrices=False).info.sweeps
        assert sweeps.all() == (driver == "jacobi")
    monkeypatch.undo()
    _driver.choose.cache_clear()


@pytest.mark.parametrize("dtype", ["e", "f", "d", "F", "D", "i"])
@pytest.mark.parametrize(
    "options",
    [{}, {"full_matrices": False}, {"compute_uv": False}, {"hermitian": True}],
    ids=["full", "thin", "values", "hermitian"],
)
def test_auto_does_not_depend_on_the_batch(dtype, options):
    for m, n in ((1, 1), (3, 3), (8, 8), (40, 40), (64, 64), (100, 100), (200, 200), (500, 500)):
        m = n if options.get("hermitian") else 3 * m
        drivers = {
            gpusvd.explain((*batch, m, n), dtype, **options).driver
            for batch in ((), (1,), (8,), (7, 9), (10**6,))
        }
        assert len(drivers) == 1
        if n <= 8:
            assert drivers == {"jacobi"}


@pytest.mark.parametrize("option", ["full_matrices", "compute_uv", "hermitian"])
def test_options_may_be_arrays_of_one_bool(option):
    for value in (True, False):
        given, plain = ({option: flag} for flag in (np.array(value), value))
        assert gpusvd.explain((5, 4, 4), **given) == gpusvd.explain((5, 4, 4), **plain)
        for x, y in zip(gpusvd.svd(np.eye(3), **given), gpusvd.svd(np.eye(3), **plain), strict=True):
            np.testing.assert_array_equal(x, y)


def test_accuracy_of_values_is_said():
    """That of Jacobi up to 32 columns, beyond that of LAPACK."""
    for n, driver, accuracy in (
        (32, "jacobi", "each"),
        (33, "bidiagonal", "largest"),
        (999, "vendor", "largest"),
    ):
        explanation = gpusvd.explain((10, n, n), compute_uv=False)
        assert explanation.driver == driver
        assert accuracy in explanation.accuracy
    assert "each" in gpusvd.explain((10, 99, 99), compute_uv=False, driver="jacobi").accuracy
    assert gpusvd.explain((10, 99, 99), compute_uv=False).kernel == "svdvals_tiles"


def test_table_is_whole():
    sizes, aspects = _driver_table.SIZES, _driver_table.ASPECTS
    assert list(sizes) == sorted(set(sizes))
    assert list(aspects) == sorted(set(aspects))
    for dtype in ("float32", "float64", "complex64", "complex128"):
        for work in ("full", "thin", "values", "hermitian", "hermitian values"):
            row = _driver_table.JACOBI_UP_TO[dtype, work]
            assert len(row) == (1 if "hermitian" in work else len(aspects))
            assert set(row) <= {_driver_table.LEAST, *sizes}


def test_between_the_aspects_the_neighbour_in_favour_of_lapack_counts(monkeypatch):
    monkeypatch.setattr(_driver, "ASPECTS", (1, 4))
    monkeypatch.setitem(_driver.JACOBI_UP_TO, ("float64", "full"), (32, 16))
    monkeypatch.setitem(_driver.JACOBI_UP_TO, ("float64", "hermitian"), (24,))

    def most(m, n, hermitian=False):
        return _driver.jacobi_up_to(m, n, np.dtype("d"), True, True, hermitian)

    assert [most(4, n) for n in (4, 8, 16, 100)] == [32, 16, 16, 16]
    assert most(100, 4) == most(100, 99) == 16
    assert most(9, 9, hermitian=True) == 24
    assert most(0, 9) >= 0
    monkeypatch.undo()


def test_explain_says_what_runs():
    explanation = gpusvd.explain((1000, 8, 8), np.float32, driver="jacobi", threads=3)
    assert explanation.shape == (1000, 8, 8)
    assert (explanation.dtype, explanation.driver, explanation.threads) == ("float32", "jacobi", 3)
    assert explanation.lanes > 1
    assert explanation.accuracy == "relative to each singular value"
    assert explanation.tile_bytes > 0
    for value in (explanation.kernel, explanation.size_class, "asked for"):
        assert value in str(explanation)
    assert gpusvd.explain((1000, 8, 8), "F", driver="vendor").kernel == "LAPACK gesdd"
    assert gpusvd.explain((1000, 8, 8), "F", driver="vendor", hermitian=True).kernel == "LAPACK heevd"
    assert gpusvd.explain((1000, 8, 8), driver="vendor", threads=4).threads == 4
    assert gpusvd.explain((2, 8, 8), driver="jacobi", threads=4).threads == 2
    assert gpusvd.explain((1000, 1500, 1500), driver="vendor", threads=4).threads == 1
    assert gpusvd.explain((1000, 0, 8)).kernel == "none"
    assert gpusvd.explain((10, 8, 8), np.int8).dtype == "float64"


def test_explain_takes_arrays_shapes_and_lists_of_them(monkeypatch):
    shape, a = (5, 4, 3), np.zeros((5, 4, 3), np.float32)
    assert gpusvd.explain(a) == gpusvd.explain(shape, "float32")
    assert gpusvd.explain(a, "complex64") == gpusvd.explain(list(shape), "complex64")
    assert gpusvd.explain([a, shape]) == [gpusvd.explain(a), gpusvd.explain(shape)]
    assert gpusvd.explain(iter([shape])) == [gpusvd.explain(shape)]
    cupy = stand_in.install(monkeypatch)
    assert gpusvd.explain(cupy.asarray(a)) == gpusvd.explain(shape, "float32", device="cuda")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (3, "arrays must be an array, a shape .* or a list of these, not 3"),
        (None, "not None"),
        ([(3, 4), "a"], r"arrays\[1\] is 'a': arrays must be an array"),
    ],
)
def test_explain_says_what_is_no_array(arrays, message):
    with pytest.raises(TypeError, match=message):
        gpusvd.explain(arrays)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (((3,),), {}, LinAlgError),
        (((3, 4),), {"hermitian": True}, LinAlgError),
        (((3, 4), object), {}, TypeError),
        (((3, 4.5),), {}, TypeError),
        (((3, -4),), {}, ValueError),
        (((3, 4),), {"driver": "gesvd"}, ValueError),
        (((3, 4),), {"threads": 0}, ValueError),
    ],
    ids=str,
)
def test_explain_refuses_what_svd_does(arguments, options, error):
    with pytest.raises(error):
        gpusvd.explain(*arguments, **options)


def test_pieces_cover_the_batch(monkeypatch):
    """A batch cut into many pieces, of any leading shape, is the same as in one."""
    a = random(7, 11, 6, 4)
    whole = gpusvd.svd_ex(a, driver="vendor")
    monkeypatch.setattr(lapack, "_PIECE_BYTES", 3 * 8 * (24 + 36 + 4 + 16))
    for threads in (1, 3):
        for batch in ((7, 11), (77,)):
            pieces = gpusvd.svd_ex(a.reshape(*batch, 6, 4), driver="vendor", threads=threads)
            for x, y in zip([*pieces[:3], *pieces.info], [*whole[:3], *whole.info], strict=True):
                np.testing.assert_array_equal(x.reshape(y.shape), y)
    assert math.prod(whole.S.shape[:-1]) == 77
