"""The accuracy benchmark judges rightly."""

import numpy as np
import pytest

from benchmarks import accuracy
from tests.support import gallery


def test_exact_singular_values():
    known = gallery.build("lauchli eps^2.0", 5, 3, "float64")
    np.testing.assert_allclose([float(s) for s in accuracy.singular_values(known.a)], known.s, rtol=1e-14)
    assert [float(s) for s in accuracy.singular_values(np.ones((4, 4)))] == [4, 0, 0, 0]
    assert accuracy.singular_values(np.zeros((2, 3))) == [0, 0]


def test_relative_errors():
    eps = 2.0**-52
    found = np.array([1 + eps, 0.5, 0.0, 3e-320])
    assert accuracy.relative_errors(found, [1, 0.25, 1e-9, 1e-320], eps) == pytest.approx([1, 2**52, 2**52])


def test_a_factor_that_is_wrong_shows():
    a = np.diag([3.0, 2.0, 1.0])
    exact = accuracy.singular_values(a)
    good = accuracy.errors(a, np.eye(3), np.array([3.0, 2, 1]), np.eye(3), exact)
    assert good == {"residual": 0, "orthogonality": 0, "relative": [0, 0, 0]}
    bad = accuracy.errors(a, 1.5 * np.eye(3), np.array([3.0, 2, 1]), np.eye(3), exact)
    assert min(bad["residual"], bad["orthogonality"]) > 1e15
    nothing = np.full(3, np.nan)
    assert accuracy.errors(a, np.eye(3), nothing, np.eye(3), exact) == {"failed": "not finite"}


def test_a_matrix_and_the_summary():
    rows = accuracy.of_matrix("graded columns", "gaussian", 5, 3, "float64")
    (ours,) = (found for found in accuracy.summary(rows) if found["contender"] == "jacobi")
    assert ours["relative"]["worst"] < 100
    assert (ours["right"], ours["failed"], ours["matrices"]) == (1, 0, 1)
    (gesdd,) = (found for found in accuracy.summary(rows) if found["contender"] == "scipy gesdd")
    assert gesdd["relative"]["worst"] > 1e6
    assert accuracy.of_matrix("gallery", "overflowing", 3, 3, "float32") == []
    failed = accuracy.summary([{"contender": "jax", "failed": "not finite"}, rows[0] | {"contender": "jax"}])
    assert [(found["failed"], found["matrices"]) for found in failed] == [(1, 2)]
