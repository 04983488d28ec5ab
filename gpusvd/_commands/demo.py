"""`gpusvd demo`: every patch of a photograph decomposed in one call, truncated, and held against theory."""

import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import gpusvd
from gpusvd._base.measure import by_turns
from gpusvd._base.results import Array
from gpusvd._commands import pictures
from gpusvd._commands.errors import CommandError, need
from gpusvd._commands.files import check_apart, replacing
from gpusvd._commands.report import print_driver, print_machine

ENERGIES = (0.9, 0.99, 0.999)
CHUNK = 4096  # patches held in float64 at a time: a few MB at 8 x 8 pixels


class Truncation(NamedTuple):
    """All patches of a picture, each cut to the fewest singular values that hold a fraction of its energy."""

    energy: float
    rank: NDArray[np.intp]  # of each patch
    patches: Array  # the truncated matrices
    lost: Array  # ||A - A_k||, Frobenius, of each patch
    storage: float  # numbers kept, over numbers in the matrices
    error: float  # ||A - A_k|| / ||A|| over all patches: measured
    predicted: float  # the same, from the discarded singular values
    difference: float  # of the two, in the patch where it is largest, relative to that patch's norm


def run(image: Path | None, output: Path, patch: int, threads: int | None) -> None:
    """Decompose a picture's patches; print what it ran on, speed and accuracy; write the truncated pictures.

    Raises CommandError, with status 1, if a truncation error is not the one that theory predicts.
    """
    need("the demo", "matplotlib", "matplotlib")
    need("the demo", "pillow", "PIL")
    check_apart({"--image": image, "--output": output})
    from gpusvd._commands.demo_figure import draw

    with replacing(output) as file:
        picture, name = load(image)
        height, width, _ = picture.shape
        a = pictures.cut(picture, patch)
        print_machine()
        print_batch(a, name, threads)

        start = time.perf_counter()
        u, s, vh = gpusvd.svd(a, full_matrices=False, threads=threads)
        print_speed(a, time.perf_counter() - start, threads)
        print_accuracy(a, u, s, vh)
        truncations = [truncate(a, u, s, vh, energy) for energy in ENERGIES]
        print_truncations(truncations)
        check_truncations(truncations, allowed=10 * max(a.shape[-2:]) * float(np.finfo(a.dtype).eps))
        truncated = [pictures.assemble(t.patches, height, width) for t in truncations]
        draw(file, picture, truncated, truncations, s)
    print(f"\nPicture written to {output}")


def load(image: Path | None) -> tuple[Array, str]:
    """A picture as float32 (height, width, 3) from 0 to 1, and what to call it."""
    from matplotlib.cbook import get_sample_data

    path = image or Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
    name = str(image) if image else "grace_hopper.jpg, a photograph that comes with matplotlib"
    return pictures.to_float(pictures.read(path, "RGB")), name


# Truncation and what it costs


def truncate(a: Array, u: Array, s: Array, vh: Array, energy: float) -> Truncation:
    """Keep of every patch the fewest singular values whose squares sum to `energy` of the whole.

    By Eckart and Young nothing of that rank is nearer to the patch, and the distance is the root of the sum
    of the squares of the singular values discarded.
    """
    m, n = a.shape[-2:]
    terms = gpusvd.truncate(u, s, vh, energy=energy, max_rank=s.shape[-1])
    predicted = gpusvd.truncation_error(s.astype(np.float64), terms.rank)

    patches, lost = np.empty_like(a), np.empty(terms.rank.shape)
    for part, (exact, left, values, right) in chunks(a, terms.U, terms.S, terms.Vh):
        approximation = (left * values[:, None, :]) @ right
        lost.reshape(-1)[part] = np.linalg.norm(exact - approximation, axis=(-2, -1))
        patches.reshape(-1, m, n)[part] = approximation
    norm = np.linalg.norm(a.astype(np.float64), axis=(-2, -1))
    difference = np.abs(lost - predicted) / positive(norm)
    return Truncation(
        energy=energy,
        rank=terms.rank,
        patches=patches,
        lost=lost,
        storage=float(gpusvd.storage_ratio(m, n, terms.rank).mean()),
        error=float(np.linalg.norm(lost) / positive(np.linalg.norm(norm))),
        predicted=float(np.linalg.norm(predicted) / positive(np.linalg.norm(norm))),
        difference=float(difference.max()),
    )


def accuracy(a: Array, u: Array, s: Array, vh: Array) -> tuple[float, float]:
    """Largest ||A - U S Vh|| / ||A||, and largest ||Uh U - I|| or ||Vh V - I||, of any patch, Frobenius."""
    residuals, losses = [], []
    identity = np.eye(s.shape[-1])
    for _, (exact, left, values, right) in chunks(a, u, s, vh):
        norm = positive(np.linalg.norm(exact, axis=(-2, -1)))
        residual = np.linalg.norm(exact - (left * values[:, None, :]) @ right, axis=(-2, -1))
        residuals.append(np.max(residual / norm))
        for gram in (left.mT @ left, right @ right.mT):
            losses.append(np.max(np.linalg.norm(gram - identity, axis=(-2, -1))))
    return float(np.max(residuals)), float(np.max(losses))


def positive(norm: Any) -> Any:
    """A norm to divide by: nothing of a black patch is lost, and 0 / 1 says so."""
    return np.where(norm > 0, norm, 1.0)


def chunks(*stacks: Array) -> Iterator[tuple[slice, list[NDArray[np.float64]]]]:
    """The same few patches of every (rows, columns, ...) stack, in float64, and which ones they are."""
    flat = [stack.reshape(-1, *stack.shape[2:]) for stack in stacks]
    for start in range(0, len(flat[0]), CHUNK):
        part = slice(start, start + CHUNK)
        yield part, [stack[part].astype(np.float64) for stack in flat]


# What it prints


def print_batch(a: Array, name: str, threads: int | None) -> None:
    rows, columns, patch, _ = a.shape
    print(f"picture  {name}")
    print(
        f"batch    {rows} x {columns} patches of {patch} x {patch} pixels in 3 colours: "
        f"{rows * columns} matrices of {patch} x {3 * patch}, {a.dtype}"
    )
    print_driver(gpusvd.explain(a.shape, a.dtype, full_matrices=False, threads=threads))


def print_speed(a: Array, first: float, threads: int | None) -> None:
    times = by_turns(
        {
            "gpusvd.svd": lambda: gpusvd.svd(a, full_matrices=False, threads=threads),
            "numpy.linalg.svd": lambda: np.linalg.svd(a, full_matrices=False),
        },
        rounds=3,
        seconds=1.0,
    )
    count = math.prod(a.shape[:-2])
    print(
        f"\nThe whole batch, median of {len(times['gpusvd.svd'])} by turns; the first call took {first:.2f} s"
    )
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:18}{1e3 * median:9.1f} ms {count / median:13,.0f} matrices/s")
    ratio = statistics.median(times["numpy.linalg.svd"]) / statistics.median(times["gpusvd.svd"])
    print(f"gpusvd is {ratio:.1f} times as fast")


def print_accuracy(a: Array, u: Array, s: Array, vh: Array) -> None:
    eps = float(np.finfo(a.dtype).eps)
    residual, loss = accuracy(a, u, s, vh)
    print("\nWorst of all patches")
    print(f"residual  ||A - U S Vh|| / ||A||                       {residual:.1e} = {residual / eps:.1f} eps")
    print(f"loss of orthogonality  ||Uh U - I|| or ||Vh V - I||    {loss:.1e} = {loss / eps:.1f} eps")


def print_truncations(truncations: list[Truncation]) -> None:
    print("\nEvery patch cut to the fewest singular values that hold the energy")
    print("energy  mean rank   storage   error measured   error predicted   largest difference")
    for t in truncations:
        print(
            f"{t.energy:<6} {t.rank.mean():10.2f} {t.storage:9.1%} {t.error:16.5%} {t.predicted:17.5%} "
            f"{t.difference:20.1e}"
        )


def check_truncations(truncations: list[Truncation], allowed: float) -> None:
    """Say that every error is the one predicted, or raise."""
    largest = float(np.max([t.difference for t in truncations]))
    if not largest <= allowed:
        raise CommandError(
            f"Eckart-Young does not hold: the error of a patch is {largest:.1e} of its norm away from what "
            f"is predicted, where rounding explains {allowed:.1e}",
            status=1,
        )
    print(
        "Eckart-Young holds: the error of every patch is the root of the sum of the squares of the singular\n"
        f"values discarded, to {largest:.1e} of the patch's norm ({allowed:.1e} is allowed for rounding)."
    )
