"""One matrix has one answer: alone, in a batch of one, and anywhere in any batch, by every public function.

Where the default driver is Jacobi, or the bidiagonal form, the bits are the same; where it is LAPACK, whose
BLAS may use several threads for a matrix alone, the driver is.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import gpusvd

SIDES = {"lstsq", "ridge", "ridge weighted"}  # take right-hand sides
PAIRS = {
    "procrustes",
    "kabsch",
    "kabsch scale",
    "pca.transform",
    "pca.merge",
    "svd_product",
}  # and another of its shape
REAL = {"kabsch", "kabsch scale", "nearest_rotation"}
VALUES = ["energy", "spectral_entropy", "effective_rank", "participation_ratio"]
# Names that decompose nothing, or take whole batches in another form.
OTHERS = {"explain", "warmup", "storage_ratio", "stream", "svd_ragged", "truncate_ragged", "__version__"}


def thin(a):
    return gpusvd.svd(a, full_matrices=False)


def of_values(name, a):
    return getattr(gpusvd, name)(gpusvd.svdvals(a))


CALLS: dict[str, Callable] = {
    **{name: getattr(gpusvd, name) for name in ("svd", "svd_ex", "svdvals", "matrix_rank", "cond", "norm")},
    **{name: getattr(gpusvd, name) for name in ("projector", "pinv", "lstsq", "polar", "procrustes", "pca")},
    **{name: partial(of_values, name) for name in VALUES},
    "svd thin": thin,
    "low_rank": lambda a: gpusvd.low_rank(a, energy=0.9, max_rank=3),
    "truncate": lambda a: gpusvd.truncate(*thin(a), rank=1),
    "reconstruct": lambda a: gpusvd.reconstruct(*thin(a)),
    "rank_one_terms": lambda a: gpusvd.rank_one_terms(*thin(a)),
    "sign_flip": lambda a: gpusvd.sign_flip(*thin(a)[::2]),
    "truncation_error": lambda a: gpusvd.truncation_error(gpusvd.svdvals(a), 1),
    "optimal_threshold": lambda a: gpusvd.optimal_threshold(gpusvd.svdvals(a), *a.shape[-2:]),
    **{f"norm {p}": lambda a, p=p: gpusvd.norm(a, p) for p in ("nuc", 2, -2, 1, -1, math.inf, -math.inf)},
    **{
        name: partial(getattr(gpusvd, name), max_dim=3)
        for name in ("orth", "row_space", "null_space", "left_null_space")
    },
    "ridge": lambda a, b: gpusvd.ridge(a, b, 0.1),
    "ridge weighted": lambda a, b: gpusvd.ridge(a, b, [0.1, 1], np.arange(a.shape[-2]) + 1, per_rhs=True),
    "truncate ties": lambda a: gpusvd.low_rank(a, error=0.3, rank=3, ties=0.2, max_rank=3, absorb="both"),
    "svt": lambda a: gpusvd.svt(a, 0.5),
    "optimal_shrinkage": lambda a: gpusvd.optimal_shrinkage(gpusvd.svdvals(a), *a.shape[-2:]),
    "mppca_rank": lambda a: gpusvd.mppca_rank(gpusvd.svdvals(a), *a.shape[-2:]),
    "svd_top": lambda a: gpusvd.svd_top(a, 1),
    "svd_product": lambda a, c: gpusvd.svd_product(a, c.mT),
    "nearest_orthogonal": gpusvd.nearest_orthogonal,
    "kabsch": gpusvd.kabsch,
    "kabsch scale": partial(gpusvd.kabsch, scale=True),
    "pca whitened": lambda a: gpusvd.pca(a, 1, whiten=True),
    "pca weighted": lambda a: gpusvd.pca(a, 1, weights=np.arange(a.shape[-2]) + 1),
    "pca.merge": lambda a, c: gpusvd.pca(a).merge(gpusvd.pca(c)),
    "pca.transform": lambda a, c: gpusvd.pca(a).transform(c),
    "best_fit_subspace": lambda a: gpusvd.best_fit_subspace(a, 1),
    "linalg.svd": gpusvd.linalg.svd,
    "linalg.svdvals": gpusvd.linalg.svdvals,
    "linalg.matrix_norm": gpusvd.linalg.matrix_norm,
    "linalg.matrix_rank": gpusvd.linalg.matrix_rank,
    "linalg.pinv": gpusvd.linalg.pinv,
}
SQUARE: dict[str, Callable] = {
    "inv": gpusvd.inv,
    "linalg.inv": gpusvd.linalg.inv,
    "nearest_rotation": gpusvd.nearest_rotation,
    **{f"cond {p}": lambda a, p=p: gpusvd.cond(a, p) for p in ("fro", "nuc", -2, 1, -math.inf)},
    **{
        f"{name} hermitian": partial(getattr(gpusvd, name), hermitian=True)
        for name in ("svd", "svdvals", "pinv", "matrix_rank")
    },
}
SHAPES = [(1, 1), (2, 2), (3, 3), (8, 8), (9, 4), (4, 9), (17, 17), (60, 40), (300, 5), (48, 190)]


def batch(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((18, *shape))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(a.shape)
    a[3], a[5] = 0, 1e-3 * a[5]
    a[7, :, -1] *= 1e-6
    return a.astype(dtype)


def arrays(result):
    if isinstance(result, tuple):
        return [array for part in result for array in arrays(part)]
    return [np.asarray(result)]


def assert_one_answer(name, call, *batches):
    together = arrays(call(*batches))
    for i in (0, 3, 5, 7, 17):
        one = arrays(call(*(x[i : i + 1] for x in batches)))
        alone = arrays(call(*(x[i] for x in batches)))
        for whole, first, single in zip(together, one, alone, strict=True):
            if whole.shape[:1] != (18,):  # an option that the result repeats
                continue
            np.testing.assert_array_equal(first[0], whole[i], err_msg=name)
            if name != "lstsq" or single.shape == whole[i].shape:  # NumPy's residuals may be empty
                np.testing.assert_array_equal(single, whole[i], err_msg=name)


def test_every_public_function_is_held_to_it():
    names = {name.split()[0].split(".")[0] for name in (*CALLS, *SQUARE)}
    types = {name for name in gpusvd.__all__ if isinstance(getattr(gpusvd, name), type)}
    assert set(gpusvd.__all__) - types - OTHERS <= names
    assert {f"linalg.{name}" for name in gpusvd.linalg.__all__} <= {
        *CALLS,
        *SQUARE,
        "linalg.matrix_transpose",
    }


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.complex64, np.complex128], ids=lambda d: d.__name__
)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_alone_and_anywhere_in_a_batch(shape, dtype):
    a, b, c = batch(shape, dtype, 0), batch((shape[0], 2), dtype, 1), batch(shape, dtype, 2)
    for name, call in (CALLS | SQUARE if shape[0] == shape[1] else CALLS).items():
        if name in REAL and np.dtype(dtype).kind == "c":
            continue
        full = name in ("svd", "svd_ex", "null_space", "left_null_space")
        if gpusvd.explain(shape, dtype, full_matrices=full).driver == "vendor":
            continue
        assert_one_answer(name, call, *([a, b] if name in SIDES else [a, c] if name in PAIRS else [a]))


LAYOUTS: dict[str, Callable] = {
    "batch innermost": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "transposed": lambda x: x.mT.copy().mT,
    "every other number, backwards": lambda x: np.repeat(x, 2, axis=-1)[..., ::-1].copy()[..., ::-2],
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("dtype", [np.float64, np.complex64], ids=lambda d: d.__name__)
@pytest.mark.parametrize(
    "shape", [(1, 5), (3, 3), (5, 1), (20, 9)], ids=lambda shape: "x".join(map(str, shape))
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_any_layout(layout, shape, dtype):
    """However the numbers of a batch lie in memory; alone, a matrix has the strides of the batch."""
    sets = [batch(shape, dtype, 0), batch((shape[0], 2), dtype, 1), batch(shape, dtype, 2)]
    laid_out = [LAYOUTS[layout](x) for x in sets]
    for name, call in (CALLS | SQUARE if shape[0] == shape[1] else CALLS).items():
        if name in REAL and np.dtype(dtype).kind == "c":
            continue
        a, b, c = laid_out
        batches = [a, b] if name in SIDES else [a, c] if name in PAIRS else [a]
        assert_one_answer(name, call, *batches)
        in_order = call(*(sets[0 if x is a else 1 if x is b else 2] for x in batches))
        for given, expected in zip(arrays(call(*batches)), arrays(in_order), strict=True):
            np.testing.assert_array_equal(given, expected, err_msg=name)


@pytest.mark.parametrize("layout", ["batch innermost", "every other number, backwards"])
def test_singular_values_and_vectors_in_any_layout(layout):
    U, S, Vh = (LAYOUTS[layout](x) for x in thin(batch((20, 12), np.complex64, 6)))
    calls: dict[str, Callable] = {
        **{name: lambda i, name=name: getattr(gpusvd, name)(S[i]) for name in VALUES},
        "truncation_error": lambda i: gpusvd.truncation_error(S[i], 2, norm="nuclear"),
        "mppca_rank": lambda i: gpusvd.mppca_rank(S[i], 20, 12),
        "reconstruct": lambda i: gpusvd.reconstruct(U[i], S[i], Vh[i]),
        "rank_one_terms": lambda i: gpusvd.rank_one_terms(U[i], S[i], Vh[i]),
        "sign_flip": lambda i: gpusvd.sign_flip(U[i], Vh[i]),
    }
    for name, call in calls.items():
        for i in range(len(S)):
            for together, alone in zip(arrays(call(slice(None))), arrays(call(i)), strict=True):
                np.testing.assert_array_equal(alone, together[i], err_msg=name)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("scaled", [None, False, True])
def test_one_set_of_points_for_many(scaled, n):
    """Points or weights that many pairs share give each pair the answer that it has alone."""
    call = gpusvd.procrustes if scaled is None else partial(gpusvd.kabsch, scale=scaled)
    x, y = batch((12, n), np.float64, 7)[:4], batch((12, n), np.float64, 8)[:4]
    w = np.random.default_rng(9).random((4, 12))
    shared = [x[1], y], [x, y[1]], [x[:, None], y], [x, y, w[1]], [x[1], y, w[1]], [x[1], y[1], w]
    for p, q, *weights in (*shared, [x[:, None], y, w]):
        together = call(p, q, *weights)
        over = np.broadcast_shapes(p.shape[:-2], q.shape[:-2], *(w.shape[:-1] for w in weights))
        sets = [np.broadcast_to(points, (*over, 12, n)) for points in (p, q)]
        sets += [np.broadcast_to(w, (*over, 12)) for w in weights]
        for i in np.ndindex(over):
            alone = call(*(each[i] for each in sets))
            for whole, single in zip(together, alone, strict=True):
                np.testing.assert_array_equal(single, whole[i])


@pytest.mark.parametrize("n", [33, 100, 150])
def test_values_from_the_bidiagonal_form(n):
    """Of any matrix: columns and rows far below the others, rank deficient, sparse, zero."""
    a = batch((n, n), np.float64, 4)[:8]
    a[0, :, 3] *= 1e-9
    a[1, :, 3] = a[1, 5] = 0
    a[2] = a[2, :, :4] @ a[2, :4]
    a[4] = np.where(np.abs(a[4]) < 1.9, 0, a[4])
    assert gpusvd.explain(a.shape, compute_uv=False).driver == "bidiagonal"
    S = gpusvd.svdvals(a)
    expected = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(S, expected, atol=10 * n * np.finfo(float).eps * expected.max())
    for i in range(len(a)):
        np.testing.assert_array_equal(gpusvd.svdvals(a[i]), S[i])
        np.testing.assert_array_equal(gpusvd.svdvals(a[i : i + 1])[0], S[i])


def test_where_auto_is_lapack_it_is_for_any_batch():
    a = batch((100, 100), np.float64, 5)
    assert gpusvd.explain(a.shape).driver == gpusvd.explain(a.shape[1:]).driver == "vendor"
    together = gpusvd.svd(a).S
    alone = np.stack([gpusvd.svd(x).S for x in a])
    np.testing.assert_allclose(alone, together, atol=1e-13 * together.max())


@pytest.mark.parametrize("n", [20, 26, 30])
def test_condition_number_of_a_graded_companion_matrix(n):
    """That of the exponential series, whose condition numbers mpmath gives: alone as in a batch."""
    mpmath = pytest.importorskip("mpmath")
    coefficients = np.concatenate([[1], 1 / np.cumprod(np.arange(1, n + 1.0))])[::-1]
    a = np.diag(np.ones(n - 1), -1)
    a[0] = -coefficients[1:] / coefficients[0]
    with mpmath.workdps(80):
        s = mpmath.svd_r(mpmath.matrix(a.tolist()), compute_uv=False)
        right = float(s[0] / s[n - 1])
    for numbers in (gpusvd.cond(a), gpusvd.cond(np.stack([a] * 100))):
        np.testing.assert_allclose(numbers, right, rtol=1e-6)


@pytest.mark.parametrize("driver", ["jacobi", "vendor"])
def test_driver_is_passed_on(driver, monkeypatch):
    """By every function that decomposes: only the driver asked for is run."""
    from gpusvd._svd import places

    taken = []
    run = places.Cpu.run

    def watched(self, driver, *arguments):
        taken.append(driver)
        return run(self, driver, *arguments)

    monkeypatch.setattr(places.Cpu, "run", watched)
    a, b = batch((5, 5), np.float64, 0), batch((5, 2), np.float64, 1)
    calls = {
        **dict.fromkeys(("svd", "svdvals", "svd_ex", "matrix_rank", "cond", "orth", "row_space"), ()),
        **dict.fromkeys(("null_space", "left_null_space", "projector", "pinv", "inv", "polar", "pca"), ()),
        "norm": (2,),
        "lstsq": (b,),
        "ridge": (b, 0.1),
        "procrustes": (a,),
        "kabsch": (a,),
        "svt": (0.1,),
        "svd_top": (1,),
        "svd_product": (a,),
        "nearest_orthogonal": (),
        "nearest_rotation": (),
        "best_fit_subspace": (1,),
    }
    for name, more in calls.items():
        taken.clear()
        getattr(gpusvd, name)(a, *more, driver=driver)
        assert set(taken) == {driver}, name
        with pytest.raises(ValueError, match="driver must be"):
            getattr(gpusvd, name)(a, *more, driver="qr")
    taken.clear()
    gpusvd.low_rank(a, rank=1, driver=driver)
    gpusvd.cond(a, 1, driver=driver)
    gpusvd.norm(a, "nuc", driver=driver)
    assert set(taken) == {driver}
