"""Tasks of the array layer beside what people use for them: SciPy, scikit-learn, torch, and plain NumPy.

Medians of interleaved calls in one process. Of a loop in Python a part is timed, and its time scaled to the
whole. The last column is the time over that of the SVDs inside, for the goals that are set in such terms.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation
from sklearn.decomposition import IncrementalPCA
from sklearn.linear_model import Ridge
from sklearn.utils.extmath import randomized_svd

import gpusvd
from benchmarks.measure import Row, command, compare, random_batch, recorded

Call = Callable[[], Any]


class Task(NamedTuple):
    """A task on a batch: the call, the SVDs inside, and other ways with the part of the batch they take."""

    name: str
    call: Call
    svd: Call | None
    others: dict[str, tuple[Call, float]]


def main() -> None:
    arguments = command("tasks", __doc__, quick="small batches, few rounds").parse_args()
    part, rounds = (20, 3) if arguments.quick else (1, 9)
    with recorded("tasks", saved=not arguments.quick) as (_, rows):
        for task in tasks(part):
            rows.append(measured(task, rounds))
            print_row(rows[-1])


def measured(task: Task, rounds: int) -> Row:
    calls = {"gpusvd": task.call} | ({"svd": task.svd} if task.svd else {})
    calls |= {name: call for name, (call, _) in task.others.items()}
    seconds = {name: times["p50"] for name, times in compare(calls, rounds=rounds).items()}
    for name, (_, share) in task.others.items():
        seconds[name] /= share
    return {"task": task.name, "seconds": seconds}


def print_row(row: Row) -> None:
    seconds = row["seconds"]
    mine = seconds["gpusvd"]
    others = (
        f"{name} {time / mine:.1f} times" for name, time in seconds.items() if name not in ("gpusvd", "svd")
    )
    of_svd = f"; {mine / seconds['svd']:.2f} of its SVDs" if "svd" in seconds else ""
    print(f"{row['task']:50}{mine * 1e3:9.1f} ms; {', '.join(others)}{of_svd}", flush=True)


def tasks(part: int) -> Iterator[Task]:
    """All tasks, on batches of one in so many parts."""
    yield from (
        superposition(200_000 // part),
        *map(nearest, (3, 8, 32), (200_000 // part, 50_000 // part, 5000 // part)),
    )
    yield from (
        top(n, k, max(1, count // part)) for n, k, count in ((128, 8, 64), (256, 8, 16), (1000, 20, 2))
    )
    yield product(2048, 16, max(1, 16 // part))
    yield denoising(max(24, 96 // part))
    yield truncation(3000 // part)
    yield penalties(20_000 // part)
    yield in_parts(20_000 // part)


def superposition(count: int) -> Task:
    """Sets of 10 points in space, laid onto others."""
    x, y = random_batch(count, 10, 3, "float32"), random_batch(count, 10, 3, "float32")[::-1] + 1
    covariance = np.ascontiguousarray(x.mT @ y)
    some = min(count, 500)
    return Task(
        f"kabsch, {count} sets of 10 points",
        lambda: gpusvd.kabsch(x, y),
        lambda: gpusvd.svd(covariance),
        {
            "a loop of Rotation.align_vectors": (partial(align_vectors, x[:some], y[:some]), some / count),
            "NumPy": (lambda: kabsch(x, y), 1),
        },
    )


def align_vectors(x: np.ndarray, y: np.ndarray) -> list[Any]:
    return [
        Rotation.align_vectors(b - b.mean(axis=0), a - a.mean(axis=0))[0].as_matrix()
        for a, b in zip(x, y, strict=True)
    ]


def kabsch(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """The textbook's formula, for a batch."""
    x_mean, y_mean = x.mean(axis=-2, keepdims=True), y.mean(axis=-2, keepdims=True)
    x, y = x - x_mean, y - y_mean
    U, _, Vh = np.linalg.svd(x.mT @ y)
    U[..., -1] *= np.linalg.det(U @ Vh)[:, None]
    R = (U @ Vh).mT
    rmsd = np.sqrt(np.mean(np.sum((x @ R.mT - y) ** 2, axis=-1), axis=-1))
    return R, (y_mean - x_mean @ R.mT)[:, 0], rmsd


def nearest(n: int, count: int) -> Task:
    a = random_batch(count, n, n, "float32")

    def numpy() -> np.ndarray:
        U, _, Vh = np.linalg.svd(a)
        return U @ Vh

    return Task(
        f"nearest_orthogonal, {count} matrices of {n} x {n}",
        lambda: gpusvd.nearest_orthogonal(a),
        lambda: gpusvd.svd(a),
        {"NumPy": (numpy, 1)},
    )


def top(n: int, k: int, count: int) -> Task:
    """The largest values of matrices whose values fall like those of a random one."""
    a = random_batch(count, n, n, "float32")
    others: dict[str, tuple[Call, float]] = {
        "svd and truncate": (lambda: gpusvd.truncate(*gpusvd.svd(a, full_matrices=False), rank=k), 1),
        "a loop of randomized_svd": (lambda: [randomized_svd(x, k, n_iter=4, random_state=0) for x in a], 1),
    }
    if importlib.util.find_spec("torch"):
        import torch

        tensor = torch.from_numpy(a)
        others["torch.svd_lowrank"] = (lambda: torch.svd_lowrank(tensor, k + 10, niter=4), 1)
    return Task(
        f"svd_top, k = {k}, {count} matrices of {n} x {n}", lambda: gpusvd.svd_top(a, k), None, others
    )


def product(n: int, rank: int, count: int) -> Task:
    """Low-rank adapters B A of square layers."""
    b, a = random_batch(count, n, rank, "float32"), random_batch(count, rank, n, "float32")
    return Task(
        f"svd_product, {count} of {n} x {rank} x {n}",
        lambda: gpusvd.svd_product(b, a),
        None,
        {
            "randomized_svd of the product": (
                lambda: [randomized_svd(x, rank, random_state=0) for x in b @ a],
                1,
            )
        },
    )


def denoising(size: int) -> Task:
    """A series of 60 frames, in patches of 6 x 6 pixels."""
    image = random_batch(size, size, 60, "float32")
    rows = min(size, 12)  # of pixels for the loop
    return Task(
        f"patches.denoise by MP-PCA, {size} x {size} x 60",
        lambda: gpusvd.patches.denoise(image, (6, 6), 3),
        None,
        {
            "a loop of NumPy": (
                lambda: mppca(image[:rows], 6, 3),
                ((rows - 6) // 3 + 1) / ((size - 6) // 3 + 1),
            )
        },
    )


def truncation(count: int) -> Task:
    """The blocks of a tensor with conserved quantum numbers, truncated by one error for all."""
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal(size) for size in rng.integers(4, 40, (count, 2))]
    factors = gpusvd.svd_ragged(blocks, full_matrices=False)
    return Task(
        f"truncate_ragged across {count} blocks",
        lambda: gpusvd.truncate_ragged(factors, error=0.1, across=True),
        lambda: gpusvd.svd_ragged(blocks, full_matrices=False),
        {"a loop of NumPy": (lambda: truncate_blocks(factors, 0.1), 1)},
    )


def truncate_blocks(factors: Iterable[Any], error: float) -> list[Any]:
    """Find the smallest square to keep among those of all blocks, and cut each block there."""
    factors = list(factors)
    squares = np.sort(np.concatenate([S**2 for _, S, _ in factors]))
    least = squares[np.cumsum(squares) > error**2 * squares.sum()][0]
    ranks = [np.count_nonzero(least <= S**2) for _, S, _ in factors]
    return [(U[:, :k], S[:k], Vh[:k]) for (U, S, Vh), k in zip(factors, ranks, strict=True)]


def penalties(samples: int) -> Task:
    """Ridge regression for 20 targets, each with a penalty of its own."""
    a, b = random_batch(1, samples, 100, "float64")[0], random_batch(1, samples, 20, "float64")[0]
    alpha = np.geomspace(0.1, 100, 20)
    return Task(
        f"ridge, {samples} samples of 100 features, 20 targets",
        lambda: gpusvd.ridge(a, b, alpha, per_rhs=True),
        lambda: gpusvd.svd(a, full_matrices=False),
        {
            f"scikit-learn's Ridge by {solver}": (
                partial(Ridge(alpha=alpha, fit_intercept=False, solver=solver).fit, a, b),
                1,
            )
            for solver in ("svd", "cholesky")
        },
    )


def in_parts(samples: int) -> Task:
    """Principal components of data that come in 20 parts."""
    parts = list(random_batch(20, samples // 20, 50, "float64"))
    return Task(
        f"pca and merge of 20 parts, {samples} samples of 50 features",
        lambda: merged(parts),
        None,
        {"scikit-learn's IncrementalPCA": (lambda: incremental(parts), 1)},
    )


def merged(parts: list[np.ndarray]) -> gpusvd.PCAResult:
    fits = (gpusvd.pca(part) for part in parts)
    return reduce(gpusvd.PCAResult.merge, (fit._replace(scores=fit.scores[:0]) for fit in fits))


def incremental(parts: list[np.ndarray]) -> IncrementalPCA:
    fit = IncrementalPCA()
    for part in parts:
        fit.partial_fit(part)
    return fit


def mppca(image: np.ndarray, patch: int, step: int) -> np.ndarray:
    """Veraart's rule, patch by patch."""
    total, count = np.zeros_like(image), np.zeros((*image.shape[:2], 1), image.dtype)
    for top in range(0, image.shape[0] - patch + 1, step):
        for left in range(0, image.shape[1] - patch + 1, step):
            here = np.s_[top : top + patch, left : left + patch]
            a = image[here].reshape(patch**2, -1)
            U, S, Vh = np.linalg.svd(a, full_matrices=False)
            values, large = S**2 / max(a.shape), max(a.shape)
            rest = np.arange(len(S), 0, -1)
            mean = np.cumsum(values[::-1])[::-1] / rest
            rank = np.argmax(values - values[-1] <= 4 * np.sqrt(rest / large) * mean)
            total[here] += ((U[:, :rank] * S[:rank]) @ Vh[:rank]).reshape(patch, patch, -1)
            count[here] += 1
    return total / count


if __name__ == "__main__":
    main()
