"""What the examples share: the photograph, and the place of their pictures."""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data
from matplotlib.figure import Figure
from PIL import Image


def figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, drawn to a file and never to a screen."""
    return Figure(figsize=(width, height), layout="constrained")


def output() -> Path:
    """The path of the running script's picture: the argument -o, or one in the system's temporary folder."""
    script = argparse.ArgumentParser()
    default = Path(tempfile.gettempdir()) / f"gpusvd-{Path(script.prog).stem}.png"
    script.add_argument(
        "-o", "--output", type=Path, metavar="PNG", default=default, help="default: %(default)s"
    )
    path: Path = script.parse_args().output
    return path


def save(drawing: Figure, path: Path) -> None:
    drawing.savefig(path, dpi=110)
    print(f"Picture written to {path}")


def photograph(mode: str) -> np.ndarray:
    """Grace Hopper's portrait, which comes with matplotlib, in a mode of Pillow, as float32 from 0 to 1."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return np.asarray(image.convert(mode), np.float32) / 255


def psnr(exact: np.ndarray, x: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of pixels from 0 to 1."""
    return float(-10 * np.log10(np.mean((x.astype(float) - exact) ** 2)))
