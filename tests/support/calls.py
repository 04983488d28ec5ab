"""A call or more of every public function that takes arrays, to make with the arrays of any library."""

import inspect

import numpy as np
import pytest

import gpusvd
import gpusvd.linalg

# These take no arrays, or lists of them.
HANDED_ON = {"explain", "storage_ratio", "stream", "svd_ragged", "truncate_ragged", "warmup"}


def inputs(dtype):
    """Matrices (a, large), square ones (q), factors of a, right-hand sides (b), points (x, y), ranks (r)."""
    rng = np.random.default_rng(0)

    def random(*shape):
        x = 10 * rng.standard_normal(shape)
        return (x + 10j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)

    a, q, b, x = random(2, 4, 3), random(2, 3, 3), random(2, 4, 1), random(2, 5, 3)
    U, S, Vh = np.linalg.svd(a, full_matrices=False)
    large = 1e-3 * random(100, 2) @ random(2, 101)
    factors = {"U": U, "S": S, "Vh": Vh, "r": np.array([1, 2])}
    return {"a": a, "q": q, "b": b, "x": x, "y": x @ q, "large": large, **factors}


CALLS = [
    ("best_fit_subspace", "x", {"k": 2}),
    ("cond", "q", {}),
    ("cond", "q", {"p": "nuc"}),
    ("effective_rank", "S", {}),
    ("energy", "S", {}),
    ("inv", "q", {}),
    ("inv", "q", {"errors": "raise"}),
    ("kabsch", "x y", {"weights": [1, 2, 1, 1, 1]}),
    ("kabsch", "x y", {"scale": True}),
    ("left_null_space", "a", {}),
    ("low_rank", "a", {"rank": 1}),
    ("low_rank", "a", {"energy": 0.9, "max_rank": 2}),
    ("lstsq", "a b", {}),
    ("matrix_rank", "a", {}),
    ("matrix_rank", "q", {"hermitian": True}),
    ("mppca_rank", "S", {"m": 4, "n": 3}),
    ("nearest_orthogonal", "a", {}),
    ("nearest_rotation", "q", {}),
    ("norm", "a", {"ord": "nuc"}),
    ("norm", "a", {"ord": 2}),
    ("null_space", "a", {"max_dim": 2}),
    ("optimal_shrinkage", "S", {"m": 4, "n": 3}),
    ("optimal_shrinkage", "S", {"m": 4, "n": 3, "noise": 0.1, "loss": "nuclear"}),
    ("optimal_threshold", "S", {"m": 4, "n": 3}),
    ("optimal_threshold", "S", {"m": 4, "n": 3, "noise": 0.1}),
    ("orth", "a", {}),
    ("participation_ratio", "S", {}),
    ("pca", "x", {}),
    ("pca", "x", {"weights": [1, 2, 1, 1, 1], "n_components": 2}),
    ("pca", "x", {"energy": 0.8, "whiten": True}),
    ("pinv", "a", {}),
    ("pinv", "q", {"hermitian": True}),
    ("polar", "a", {}),
    ("polar", "q", {"side": "left"}),
    ("procrustes", "x y", {}),
    ("procrustes", "x y", {"weights": [1, 2, 1, 1, 1]}),
    ("projector", "a", {}),
    ("rank_one_terms", "U S Vh", {"rank": 2}),
    ("reconstruct", "U S Vh", {}),
    ("ridge", "a b", {"alpha": 0.1}),
    ("ridge", "a b", {"alpha": [0.1], "per_rhs": True, "weights": [1, 2, 0, 1]}),
    ("row_space", "a", {}),
    ("sign_flip", "U Vh", {}),
    ("spectral_entropy", "S", {}),
    ("svd", "a", {}),
    ("svd_ex", "a", {"full_matrices": False}),
    ("svd_product", "a q", {}),
    ("svd_top", "a", {"k": 2}),
    ("svd_top", "large", {"k": 1}),
    ("svdvals", "a", {}),
    ("svt", "a", {"tau": 0.5}),
    ("truncate", "U S Vh", {"rank": 2}),
    ("truncate", "U S Vh", {"error": 0.1}),
    ("truncate", "U S Vh", {"atol": 0.1}),
    ("truncate", "U S Vh", {"error": 0.1, "rank": 1, "min_rank": 1, "ties": 0.1}),
    ("truncate", "U S Vh", {"rank": 2, "absorb": "both"}),
    ("truncation_error", "S r", {}),
    ("linalg.inv", "q", {}),
    ("linalg.matrix_norm", "a", {"ord": 1}),
    ("linalg.matrix_norm", "a", {"ord": "nuc", "keepdims": True}),
    ("linalg.matrix_rank", "a", {}),
    ("linalg.matrix_transpose", "a", {}),
    ("linalg.pinv", "a", {}),
    ("linalg.svd", "a", {}),
    ("linalg.svdvals", "a", {}),
]


def public(module, prefix=""):
    return {prefix + name for name in module.__all__ if inspect.isfunction(getattr(module, name))}


def named(name):
    return getattr(gpusvd.linalg, name.removeprefix("linalg.")) if "." in name else getattr(gpusvd, name)


def parts(result):
    """The arrays of a result, which may hold others."""
    if isinstance(result, tuple):
        return [x for part in result for x in parts(part)]
    return [] if isinstance(result, int) else [result]


def depends_on_numbers(name, options):
    """Whether a branch or the shape of a result does, which a function that is traced cannot have."""
    if name in ("inv", "pinv", "lstsq", "linalg.inv", "linalg.pinv"):
        return "hermitian" not in options
    widths = {"max_rank", "n_components"} & options.keys()
    if {"energy", "error", "atol"} & options.keys() and not widths:
        return True
    return "max_dim" in inspect.signature(named(name)).parameters and "max_dim" not in options


CASES = [
    pytest.param(name, arguments, options, dtype, id="-".join((name, *options, dtype)))
    for name, arguments, options in CALLS
    for dtype in ("float32", "complex128", "int64")
    if dtype != "complex128" or name not in ("kabsch", "nearest_rotation")  # there are no complex rotations
]
