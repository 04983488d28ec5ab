"""`gpusvd compress`: keep the leading singular values and vectors of a picture's patches."""

import math
import time
from contextlib import nullcontext
from pathlib import Path

import gpusvd
from gpusvd._commands import factors, pictures
from gpusvd._commands.errors import need
from gpusvd._commands.files import check_apart, replacing, size
from gpusvd._commands.report import print_driver, print_machine, print_patches
from gpusvd._layer.truncate import TruncatedSVD

PATCH = 16  # pixels per side


def run(
    image: Path,
    output: Path,
    *,
    rule: str,
    limit: float,
    patch: int | None,
    save: Path | None,
    threads: int | None,
) -> None:
    """Truncate a picture's patches by one rule of `gpusvd.truncate` and write the result and its factors."""
    begin = time.perf_counter()
    need("compress", "pillow", "PIL")
    check_apart({"the image": image, "--output": output, "--save": save})
    form = pictures.format_of(output)
    with replacing(output) as file, replacing(save) if save else nullcontext() as factors_file:
        pixels = pictures.read(image)
        colours, _ = pictures.split_opacity(pixels)
        patch = pictures.side(patch, PATCH, pixels)
        a = pictures.cut(pictures.to_float(colours), patch)
        print_machine()
        print(f"picture  {image}: {pictures.described(pixels.shape)}")
        print_patches(a)
        print_driver(gpusvd.explain(a.shape, a.dtype, full_matrices=False, threads=threads))
        start = time.perf_counter()
        u, s, vh = gpusvd.svd(a, full_matrices=False, errors="raise", threads=threads)
        seconds = time.perf_counter() - start
        terms = gpusvd.truncate(u, s, vh, **{rule: limit})  # type: ignore[call-overload]
        packed = factors.PictureFactors.of(pixels, terms)
        compressed = packed.pixels()
        pictures.write(file, compressed, form, output)
        if factors_file is not None:
            factors.write(factors_file, factors.PICTURE, packed._asdict())

    print_result(terms, f"{rule} {limit:g}", packed.numbers / pixels.size)
    print(f"PSNR     {pictures.psnr(colours, pictures.split_opacity(compressed)[0]):.2f} dB")
    print(
        f"time     {seconds:.2f} s to decompose, loading or compiling kernels included; "
        f"{time.perf_counter() - begin:.2f} s in all"
    )
    for path in filter(None, (output, save)):
        print(f"written  {path}, {size(path)}")


def print_result(terms: TruncatedSVD, rule: str, share: float) -> None:
    rank = terms.rank
    print(f"rank     {rank.mean():.2f} on average, {rank.min()} to {rank.max()}, for {rule}")
    print(
        f"ratio    {1 / share if share else math.inf:.2f} : 1, {share:.1%} of the picture's numbers are kept"
    )
