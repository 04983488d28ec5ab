"""gpusvd and numpy.linalg.svd in small batches of many shapes: ``pytest benchmarks/``."""

import numpy as np
import pytest

import gpusvd
from benchmarks.measure import DTYPES, WORK, count_filling, random_batch

SQUARES = [(n, n) for n in (2, 3, 4, 8, 16, 32, 64, 128, 256)]
RECTANGLES = [(64, 8), (8, 64), (1000, 3)]
CASES = [(work, *shape) for work in ("thin", "values") for shape in SQUARES + RECTANGLES]
CASES += [("full", *shape) for shape in RECTANGLES]  # of square matrices it is the thin one
IMPLEMENTATIONS = {
    "numpy": lambda a, **options: np.linalg.svd(a, **options),
    "jacobi": lambda a, **options: gpusvd.svd(a, driver="jacobi", **options),
    "auto": lambda a, **options: gpusvd.svd(a, **options),
}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("work", "m", "n"), CASES)
def test_svd(benchmark, work, m, n, dtype, implementation):
    count = count_filling(0.5, m, n, dtype, work)
    a = random_batch(count, m, n, dtype)
    benchmark.group = f"{work}, {dtype}, {count} matrices of {m} x {n}"
    benchmark.extra_info["batch"] = count
    benchmark.pedantic(IMPLEMENTATIONS[implementation], (a,), WORK[work], rounds=5, warmup_rounds=1)
