"""Read and write pictures with Pillow, cut them into patches, and reassemble them."""

import logging
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpusvd import patches
from gpusvd._base.results import Array
from gpusvd._commands.errors import CommandError, reason

Pixels = NDArray[np.uint8]  # (height, width, colours): grey or RGB, with or without opacity

_COLOURS = {1: "grey", 2: "grey and opacity", 3: "3 colours", 4: "3 colours and opacity"}
_log = logging.getLogger("gpusvd")


def read(path: Path, mode: str | None = None) -> Pixels:
    """Return a picture's pixels, upright, in a given mode of Pillow's.

    By default the mode is the simplest of L, LA, RGB and RGBA that holds the picture. If the file has
    several frames or pages, the first is returned.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            if opened.mode.startswith(("I", "F")):
                raise CommandError(
                    f"{path} has more than 8 bits a colour: save it as an 8-bit PNG or JPEG first"
                )
            if (frames := getattr(opened, "n_frames", 1)) > 1:
                _log.info("%s has %d frames or pages; using the first", path, frames)
            pixels = np.asarray(ImageOps.exif_transpose(opened).convert(mode or _mode(opened)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CommandError(f"cannot read the image {path}: {reason(error)}") from error
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _mode(image: Any) -> str:
    """Return the simplest of the modes L, LA, RGB and RGBA that holds the colours of an image."""
    bands = image.getbands()
    opacity = "A" if "A" in bands or "a" in bands or "transparency" in image.info else ""
    return ("L" if bands[0] in "1L" else "RGB") + opacity


def format_of(output: Path) -> str:
    """Return Pillow's name for the format of a file name; raise CommandError if it has none."""
    from PIL import Image

    Image.init()
    known = Image.EXTENSION.get(output.suffix.lower())
    if known not in Image.SAVE:
        raise CommandError(
            f"cannot write {output}: it has {'an unknown' if output.suffix else 'no'} file extension; "
            "use .png, .jpg, .webp or .tif"
        )
    return str(known)


def write(file: IO[bytes], pixels: Pixels, form: str, output: Path) -> None:
    """Write pixels to a file in one of Pillow's formats."""
    from PIL import Image

    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    opacity = split_opacity(pixels)[1].squeeze(-1) if "A" in image.mode else None
    lossy = f"{form} does not keep opacity exactly; use .png, .webp or .tif"
    try:
        image.save(file, format=form, quality=95)
        if opacity is not None:
            with Image.open(file) as written:
                kept = np.asarray(written.convert("RGBA"))[..., -1]
            if not np.array_equal(kept, opacity):
                raise ValueError(lossy)
    except (OSError, ValueError, KeyError) as error:
        refused = opacity is not None and f"mode {image.mode}" in str(error)  # by JPEG, for one
        raise CommandError(f"cannot write {output}: {lossy if refused else reason(error)}") from error


# Into colours and opacity, into patches, and back


def split_opacity(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """Return a picture's colours (height, width, 1 or 3), and its opacity (height, width, 0 or 1)."""
    colours = 3 if pixels.shape[-1] > 2 else 1
    return pixels[..., :colours], pixels[..., colours:]


def described(shape: tuple[int, ...]) -> str:
    """Describe a picture of a shape (height, width, colours)."""
    height, width, colours = shape
    return f"{width} x {height} pixels, {_COLOURS[colours]}"


def side(patch: int | None, default: int, picture: Array) -> int:
    """Return the side of patches: `patch` if it is given, else the default, or less for a smaller picture."""
    height, width = picture.shape[:2]
    shorter = min(height, width)
    if patch is not None and patch > shorter:
        raise CommandError(f"--patch {patch} is larger than the picture, which has {width} x {height} pixels")
    if patch is None and default > shorter:
        _log.info(
            "the picture is only %d x %d pixels; using patches of %d x %d", width, height, shorter, shorter
        )
    return patch or min(default, shorter)


def cut(picture: Array, patch: int) -> Array:
    """Return a picture's patches as matrices (rows, columns, patch, colours x patch), colours side by side.

    Edges are common to all colours, so one matrix of all colours needs fewer terms than a matrix per colour:
    on the demo's photograph 31% of the picture's numbers instead of 50%, at energy 0.99. A picture that the
    patches do not divide is extended by its mirror image.
    """
    height, width, colours = picture.shape
    whole = np.pad(picture, ((0, -height % patch), (0, -width % patch), (0, 0)), mode="symmetric")
    split = patches.extract(whole, (patch, patch), patch)
    return split.swapaxes(-1, -2).reshape(*split.shape[:3], colours * patch)


def assemble(matrices: Array, height: int, width: int) -> Array:
    """Return the picture from the matrices of its patches: the inverse of `cut`."""
    rows, columns, patch, wide = matrices.shape
    split = matrices.reshape(rows, columns, patch, wide // patch, patch).swapaxes(-1, -2)
    return patches.average(split, (rows * patch, columns * patch), patch)[:height, :width]


# Conversion between bytes and numbers from 0 to 1


def to_float(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)


def to_pixels(picture: Array) -> Pixels:
    pixels: Pixels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def psnr(original: Pixels, changed: Pixels) -> float:
    """Return the peak signal-to-noise ratio 10 log10(255² / mean squared error), in dB; inf if equal."""
    rows = zip(original.astype(np.int32), changed, strict=True)
    squares = sum(int(np.sum((before - after) ** 2)) for before, after in rows)
    return 10 * math.log10(255**2 * original.size / squares) if squares else math.inf
