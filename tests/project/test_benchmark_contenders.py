"""The peers in the benchmarks are called rightly: what they return decomposes what they got."""

import numpy as np
import pytest

from benchmarks import contenders
from benchmarks.measure import random_batch
from tests.support import measures


@pytest.mark.parametrize("dtype", ["float32", "complex128", "float64"])
@pytest.mark.parametrize("name", contenders.OURS | contenders.PEERS)
def test_what_a_contender_returns(name, dtype):
    make = (contenders.OURS | contenders.PEERS)[name]
    refused = []
    for m, n in ((3, 3), (6, 2), (2, 6)):
        a = random_batch(3, m, n, dtype)
        exact = np.linalg.svd(a.astype(np.result_type(a, np.float64)), compute_uv=False)
        for work in ("thin", "full", "values"):
            try:
                call = make(a, work)
            except contenders.Refused as reason:
                refused.append(str(reason))
                continue
            for _ in range(2):  # nothing is overwritten
                *vectors, S = (found := contenders.factors(call()))[:2]
                assert S.dtype == a.real.dtype
                measures.assert_singular_values(S, exact, 100)
                assert len(vectors) == (work != "values")
                if work != "values":
                    measures.assert_svd(a, *found)
                    assert found[0].shape[-1] == (m if work == "full" else min(m, n))
    if len(refused) == 9:
        pytest.skip(refused[0])
