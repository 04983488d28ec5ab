"""Draw the figure of `gpusvd demo`."""

from typing import IO

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.lib.stride_tricks import sliding_window_view

from gpusvd._base.results import Array
from gpusvd._commands.truncation import Truncation

COLUMN = 3.4  # inches
SPECTRUM = 3.0


def draw(
    file: IO[bytes], picture: Array, pictures: list[Array], truncations: list[Truncation], s: Array
) -> None:
    """Draw the picture and its truncations, whole and in detail, and the mean spectrum, as one PNG.

    It needs no display and ignores the user's style: the Figure is its own, and Agg draws it.
    """
    height, width, _ = picture.shape
    patch = s.shape[-1]
    titles = ["Original", *(f"Energy {t.energy}" for t in truncations)]
    subtitles = [
        f"{width} × {height} pixels",
        *(f"storage {t.storage:.1%}, error {t.error:.2%}" for t in truncations),
    ]
    detail = worst(truncations[0].lost, patch, height, width)
    heights = [min(max(COLUMN * height / width, 1.5), 6.0), COLUMN, SPECTRUM]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(
            figsize=(len(titles) * COLUMN, sum(heights) + 1.2),
            layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
        )
        figure.suptitle(
            f"{s[..., 0].size} patches of {patch} × {patch} pixels, all decomposed in one call of gpusvd.svd",
            fontsize=15,
        )
        grid = figure.add_gridspec(3, len(titles), height_ratios=heights)
        for column, image in enumerate([picture, *pictures]):
            whole, part = (figure.add_subplot(grid[row, column]) for row in (0, 1))
            whole.set_title(f"{titles[column]}\n{subtitles[column]}", fontsize=12)
            draw_image(whole, part, image, detail)
        spectrum, legend = figure.add_subplot(grid[2, :-1]), figure.add_subplot(grid[2, -1])
        draw_spectrum(spectrum, s, truncations)
        legend.legend(*spectrum.get_legend_handles_labels(), loc="center left", frameon=False)
        legend.set_axis_off()
        figure.savefig(file, format="png", dpi=150)


def draw_image(whole: Axes, part: Axes, image: Array, detail: tuple[slice, slice]) -> None:
    """Draw an image with a frame around its detail, and the detail."""
    rows, columns = detail
    corner = (columns.start - 0.5, rows.start - 0.5)
    frame = Rectangle(corner, columns.stop - columns.start, rows.stop - rows.start, fill=False, color="white")
    whole.imshow(image.clip(0, 1))
    whole.add_patch(frame)
    part.imshow(image[detail].clip(0, 1), interpolation="nearest")
    for axes in (whole, part):
        axes.set_axis_off()


def worst(lost: Array, patch: int, height: int, width: int) -> tuple[slice, slice]:
    """Return the square that lost the most; its side is a third of the picture's shorter side."""
    side = max(min(lost.shape) // 3, 1)
    in_square = sliding_window_view(lost**2, (side, side)).sum(axis=(-2, -1))
    row, column = np.unravel_index(in_square.argmax(), in_square.shape)
    top, left = int(row) * patch, int(column) * patch
    return slice(top, min(top + side * patch, height)), slice(left, min(left + side * patch, width))


def draw_spectrum(axes: Axes, s: Array, truncations: list[Truncation]) -> None:
    """Draw the mean spectrum, a band that holds the middle 80% of the patches, and the mean ranks."""
    flat = s.reshape(-1, s.shape[-1]).astype(np.float64)
    floor = np.finfo(s.dtype).eps * max(flat.max(), 1.0)
    low, high = np.maximum(np.percentile(flat, (10, 90), axis=0), floor)
    mean = np.maximum(flat.mean(axis=0), floor)
    index = np.arange(1, len(mean) + 1)
    axes.fill_between(index, low, high, color="tab:blue", alpha=0.2, lw=0, label="middle 80% of the patches")
    axes.semilogy(index, mean, "o-", color="tab:blue", label="mean over the patches")
    for t, color in zip(truncations, ("tab:red", "tab:orange", "tab:green"), strict=True):
        mean_rank = t.rank.mean()
        axes.axvline(mean_rank, color=color, ls="--", label=f"mean rank {mean_rank:.2f} at energy {t.energy}")
    axes.set_title("Mean spectrum", fontsize=12)
    axes.set_xlabel("index i")
    axes.set_ylabel("singular value σᵢ (pixels from 0 to 1)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=mean.min() / 10)
