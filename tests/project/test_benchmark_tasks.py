"""The benchmark of tasks: what is timed beside each other does the same."""

import numpy as np
import pytest

import gpusvd
from benchmarks import tasks
from benchmarks.measure import random_batch


def test_other_ways_do_the_same():
    x, y = random_batch(20, 10, 3, "float64"), random_batch(20, 10, 3, "float64")[::-1] + 1
    fit = gpusvd.kabsch(x, y)
    for mine, other in zip(fit, tasks.kabsch(x, y), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-12)
    np.testing.assert_allclose(fit.rotation, tasks.align_vectors(x, y), atol=1e-12)
    rng = np.random.default_rng(0)
    series = rng.standard_normal((12, 15, 2)) @ rng.standard_normal((2, 60))
    series += 0.1 * rng.standard_normal(series.shape)
    np.testing.assert_allclose(
        gpusvd.patches.denoise(series, (6, 6), 3), tasks.mppca(series, 6, 3), atol=1e-12
    )
    blocks = gpusvd.svd_ragged([rng.standard_normal((m, n)) for m, n in ((3, 5), (6, 4), (3, 5))])
    cut = gpusvd.truncate_ragged(blocks, error=0.2, across=True)
    for mine, other in zip(cut, tasks.truncate_blocks(blocks, 0.2), strict=True):
        np.testing.assert_array_equal(mine.S, other[1])
    task = tasks.penalties(200)
    for fit, share in task.others.values():
        np.testing.assert_allclose(task.call(), fit().coef_.T, atol=1e-12)
        assert share == 1
    parts = np.split(rng.standard_normal((200, 5)), 20)
    mine, other = tasks.merged(parts), tasks.incremental(parts)
    np.testing.assert_allclose(mine.explained_variance, other.explained_variance_)
    for task in (
        tasks.nearest(3, 20),
        tasks.top(128, 3, 1),
        tasks.product(50, 4, 2),
        tasks.truncation(5),
        tasks.in_parts(2000),
    ):
        task.call()
        for call, share in task.others.values():
            call()
            assert share == 1


def test_a_part_of_a_loop_counts_for_the_whole(capsys):
    task = tasks.superposition(1000)
    assert task.others["a loop of Rotation.align_vectors"][1] == 0.5
    assert tasks.denoising(24).others["a loop of NumPy"][1] == pytest.approx(3 / 7)
    row = {"task": "this", "seconds": {"gpusvd": 0.1, "svd": 0.05, "a loop": 0.3}}
    tasks.print_row(row)
    assert "100.0 ms; a loop 3.0 times; 2.00 of its SVDs" in capsys.readouterr().out
