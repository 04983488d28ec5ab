"""`gpusvd demo`: decompose and truncate all patches of a photograph, and compare the errors with theory."""

import math
import statistics
import time
from pathlib import Path

import numpy as np

import gpusvd
from gpusvd._base.measure import by_turns
from gpusvd._base.results import Array
from gpusvd._commands import pictures
from gpusvd._commands.errors import CommandError, need
from gpusvd._commands.files import check_apart, replacing
from gpusvd._commands.report import print_driver, print_machine, print_patches
from gpusvd._commands.truncation import Truncation, accuracy, truncate

PATCH = 8  # pixels per side
ENERGIES = (0.9, 0.99, 0.999)


def run(image: Path | None, output: Path, patch: int | None, threads: int | None) -> None:
    """Decompose a picture's patches; print the machine, speed and accuracy; draw the truncated pictures.

    Raises CommandError with status 1 if a truncation error differs from the prediction.
    """
    need("the demo", "matplotlib", "matplotlib")
    need("the demo", "pillow", "PIL")
    check_apart({"--image": image, "--output": output})
    if output.suffix.lower() not in ("", ".png"):
        raise CommandError(f"cannot write {output}: the demo writes a PNG; name it {output.stem}.png")
    from gpusvd._commands.demo_figure import draw

    with replacing(output) as file:
        picture, name = load(image)
        height, width, _ = picture.shape
        a = pictures.cut(picture, pictures.side(patch, PATCH, picture))
        print_machine()
        print(f"picture  {name}: {pictures.described(picture.shape)}")
        print_patches(a)
        print_driver(gpusvd.explain(a.shape, a.dtype, full_matrices=False, threads=threads))

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
    """Return a picture as float32 (height, width, 3) from 0 to 1, and its name."""
    from matplotlib.cbook import get_sample_data

    path = image or Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
    name = str(image) if image else "grace_hopper.jpg, a photograph that comes with matplotlib"
    return pictures.to_float(pictures.read(path, "RGB")), name


# Printing


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
    calls = len(times["gpusvd.svd"])
    print(f"\nThe whole batch, median of {calls} interleaved calls; the first call took {first:.2f} s")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:18}{1e3 * median:9.1f} ms {count / median:13,.0f} matrices/s")
    ratio = statistics.median(times["numpy.linalg.svd"]) / statistics.median(times["gpusvd.svd"])
    print(f"gpusvd is {ratio:.1f} times as fast")


def print_accuracy(a: Array, u: Array, s: Array, vh: Array) -> None:
    eps = float(np.finfo(a.dtype).eps)
    residual, loss = accuracy(a, u, s, vh)
    print("\nThe worst patch")
    print(f"residual  ||A - U S Vh|| / ||A||                       {residual:.1e} = {residual / eps:.1f} eps")
    print(f"loss of orthogonality  ||Uh U - I|| or ||Vh V - I||    {loss:.1e} = {loss / eps:.1f} eps")


def print_truncations(truncations: list[Truncation]) -> None:
    print("\nEach patch truncated to the fewest singular values that keep this fraction of its energy")
    print("energy  mean rank   storage   error measured   error predicted   largest difference")
    for t in truncations:
        print(
            f"{t.energy:<6} {t.rank.mean():10.2f} {t.storage:9.1%} {t.error:16.5%} {t.predicted:17.5%} "
            f"{t.difference:20.1e}"
        )


def check_truncations(truncations: list[Truncation], allowed: float) -> None:
    """Print that every error agrees with the prediction; raise CommandError if one does not."""
    largest = float(np.max([t.difference for t in truncations]))
    if not largest <= allowed:
        raise CommandError(
            f"Eckart-Young does not hold: the error of a patch differs from the prediction by {largest:.1e} "
            f"of its norm; rounding explains at most {allowed:.1e}",
            status=1,
        )
    print(
        "Eckart-Young holds: the error of every patch is the root of the sum of the squares of the\n"
        f"discarded singular values, to within {largest:.1e} of its norm (rounding explains {allowed:.1e})."
    )
