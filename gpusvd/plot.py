"""
Plots of singular values and of their effects, drawn with matplotlib.

Each function draws into the Axes that it is given, or into a new pyplot figure, and changes nothing else of
pyplot's state. Arrays in GPU memory are copied to the host. Needs the extra ``plot``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpusvd._base.arrays import array_namespace, floating, to_host, widened
from gpusvd._base.checks import checked_int
from gpusvd._base.install import install
from gpusvd._base.results import Array
from gpusvd._layer.spectrum import energy as energy_fractions
from gpusvd._layer.subspaces import sign_flip
from gpusvd._layer.truncate import reconstruct, storage_ratio, truncation_error
from gpusvd._layer.values import checked_values as singular_values
from gpusvd._svd.svd import svd

try:
    from matplotlib import rcParams
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator, PercentFormatter
except ImportError as error:
    raise ImportError(f"gpusvd.plot needs matplotlib, which is not installed: {install('plot')}") from error

__all__ = ["ellipse", "energy", "rank_strip", "spectrum"]

_BAND = (10, 90)  # percentiles of a batch
_PANEL = 2.6  # width of a panel in inches


def spectrum(S: ArrayLike, *, ax: Axes | None = None, **line: Any) -> Axes:
    """
    Draw singular values on a logarithmic scale.

    For one matrix the singular values themselves; for a batch their medians, with a band from the 10th to the
    90th percentile.

    Parameters
    ----------
    S : (..., K) array_like
        Singular values in descending order, as `svdvals` returns them. Zeros, and medians that are zero, are
        drawn as open triangles at the lower edge; matrices with NaN are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    **line : optional
        What `Axes.plot` takes for the line, such as `label` or `color`.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError, TypeError
        If S is a number, or its dtype is not one of singular values.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> S = gpusvd.svdvals(np.random.default_rng(0).standard_normal((1000, 8, 8)))
    >>> ax = gpusvd.plot.spectrum(S, label="noise")
    >>> ax.get_yscale()
    'log'
    """
    values = _spectra(S)
    ax = _axes(ax)
    middle, low, high = _percentiles(values)
    index = np.arange(1, values.shape[-1] + 1)
    positive = np.where(middle > 0, middle, np.nan)
    (drawn,) = ax.plot(index, positive, **{"marker": "o", "markersize": 4, **line})
    ax.set_yscale("log")
    if len(values) > 1:
        smallest = positive[middle > 0].min(initial=np.inf)
        # A band down to zero has no lower end on this scale: it ends below all medians.
        bottom = np.where(low > 0, low, min(smallest, high[high > 0].min(initial=np.inf)) / 10)
        ax.fill_between(index, bottom, high, where=high > 0, color=drawn.get_color(), alpha=0.2, linewidth=0)
    zeros = index[middle == 0]
    if len(zeros):
        ax.plot(
            zeros,
            np.full(len(zeros), 0.02),
            linestyle="none",
            marker="v",
            markerfacecolor="none",
            color=drawn.get_color(),
            transform=ax.get_xaxis_transform(),
            clip_on=False,
        )
    _label_index(ax, "index i", "singular value σᵢ" + _of_batch(values))
    return ax


def energy(
    S: ArrayLike, *, levels: Sequence[float] = (0.9, 0.99), ax: Axes | None = None, **line: Any
) -> Axes:
    """
    Draw the fraction of the energy in the leading singular values, and mark where it reaches given levels.

    For one matrix E_k = (σ₁² + ... + σₖ²) / Σ σᵢ²; for a batch the medians of E_k, with a band from the 10th
    to the 90th percentile.

    Parameters
    ----------
    S : (..., K) array_like
        All singular values in descending order, as `svdvals` returns them. Matrices with NaN are left out.
    levels : sequence of float, from 0 to 1, optional
        Fractions to mark, each at the smallest k that reaches it.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.
    **line : optional
        What `Axes.plot` takes for the line, such as `label` or `color`.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError, TypeError
        For `levels` out of range; and as `spectrum`.

    Examples
    --------
    >>> import gpusvd
    >>> ax = gpusvd.plot.energy([10, 4, 1.5, 0.5, 0.1])
    >>> ax.get_xlabel()
    'number of singular values k'
    """
    if not all(0 <= level <= 1 for level in levels):
        raise ValueError(f"levels must be from 0 to 1, not {levels!r}")
    values = energy_fractions(_spectra(S))
    ax = _axes(ax)
    middle, low, high = _percentiles(values)
    count = np.arange(1, values.shape[-1] + 1)
    (drawn,) = ax.plot(count, middle, **{"marker": "o", "markersize": 4, **line})
    if len(values) > 1:
        ax.fill_between(count, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    for level in levels:
        reached = count[middle >= level - 8 * np.finfo(values.dtype).eps]
        if len(reached):
            _mark_level(ax, level, int(reached[0]))
    _label_index(ax, "number of singular values k", "energy" + _of_batch(values))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return ax


def rank_strip(
    a: ArrayLike,
    ranks: Sequence[int] | None = None,
    *,
    axes: Sequence[Axes] | None = None,
    cmap: str = "gray",
) -> NDArray[np.object_]:
    """
    Show a matrix or an image beside its best low-rank approximations.

    Titles give the rank, the storage as a fraction of the original's, and the relative error ‖A - A_k‖ / ‖A‖
    in the Frobenius norm.

    Parameters
    ----------
    a : (M, N), (M, N, 3) or (M, N, 4) array_like
        A real matrix, or an image whose colours are decomposed separately, with integers from 0 to 255 or
        other numbers from 0 to 1. Opacity, as a fourth colour, is ignored.
    ranks : sequence of int, optional
        The ranks to show. Default: four ranks from 1 to half of min(M, N), evenly spaced on a logarithmic
        scale.
    axes : sequence of matplotlib.axes.Axes, optional
        Where to draw, one for the original and one for each rank. Default: a new figure.
    cmap : str, optional
        Name of the colour map for a matrix. It spans the range of the original in all panels.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        The Axes, with the original first.

    Raises
    ------
    ValueError
        For arrays of another shape, without entries or not finite, ranks outside 0 to min(M, N), and a wrong
        number of `axes`.
    TypeError
        For complex numbers, and dtypes that `svd` does not take.

    Examples
    --------
    >>> import numpy as np
    >>> import gpusvd
    >>> x = np.linspace(-1, 1, 50)
    >>> axes = gpusvd.plot.rank_strip(np.exp(-x * x[:, np.newaxis]), [1, 2])
    >>> len(axes), axes[1].get_title()
    (3, 'rank 1\\nstorage 4.04%\\nerror 33.1%')
    """
    image = _on_host(a)
    channels = _channels(image)
    m, n = channels.shape[-2:]
    if ranks is None:
        ranks = _default_ranks(min(m, n))
    elif np.ndim(ranks) != 1:
        raise ValueError(f"ranks must be a sequence of integers, not {ranks!r}")
    chosen = [_checked_rank(k, min(m, n)) for k in ranks]
    panels = _panels(axes, 1 + len(chosen), n / m)
    u, s, vh = svd(channels, full_matrices=False)
    everything = float(np.linalg.norm(truncation_error(s, 0)))
    shown = {"cmap": cmap, "vmin": channels.min(), "vmax": channels.max()} if image.ndim == 2 else {}
    _show(panels[0], channels, shown, f"{m} × {n}\nrank {min(m, n)}\n")
    for panel, k in zip(panels[1:], chosen, strict=True):
        lost = float(np.linalg.norm(truncation_error(s, k)))
        error = lost / everything if everything > 0 else 0.0
        title = f"rank {k}\nstorage {_percent(float(storage_ratio(m, n, k)))}\nerror {_percent(error)}"
        _show(panel, reconstruct(u, s, vh, k), shown, title)
    return panels


def ellipse(a: ArrayLike, *, axes: Sequence[Axes] | None = None) -> NDArray[np.object_]:
    """
    Show how a 2 x 2 matrix maps the unit circle to an ellipse: it rotates, stretches and rotates again.

    There are four panels: the circle with the right singular vectors v₁ and v₂; its image under Vᴴ, which
    rotates these onto the axes; then under Σ, which stretches the axes by σ₁ and σ₂; and then under U, which
    rotates the axes onto the left singular vectors u₁ and u₂ (or reflects them, if the determinant is
    negative), so that σ₁ u₁ and σ₂ u₂ are the semi-axes of the ellipse. A filled and an open dot follow the
    points (1, 0) and (0, 1), and end at the columns of `a`.

    Parameters
    ----------
    a : (2, 2) array_like
        A finite real matrix.
    axes : sequence of 4 matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    ndarray of 4 matplotlib.axes.Axes
        The Axes. All have one scale, unless σ₁ is below 0.2 or above 5: then the last two have another.

    Raises
    ------
    ValueError
        For matrices of another shape or not finite, and a wrong number of `axes`.
    TypeError
        For complex numbers, and dtypes that `svd` does not take.

    Examples
    --------
    >>> import gpusvd
    >>> axes = gpusvd.plot.ellipse([[3, 0], [4, 5]])
    >>> [ax.get_title() for ax in axes[1:]]
    ['Vᴴ x\\nrotated by -45°', 'Σ Vᴴ x\\nσ₁ = 6.71, σ₂ = 2.24', 'U Σ Vᴴ x\\nrotated by 72°']
    """
    matrix = _real(_on_host(a))
    if matrix.shape != (2, 2):
        raise ValueError(f"a has shape {matrix.shape}, expected a 2 x 2 matrix")
    panels = _panels(axes, 4, 1.0)
    u, s, vh = _rotations(matrix)
    captions = [
        ("x", "the unit circle", ("v₁", "v₂")),
        ("Vᴴ x", _turn(vh), ("", "")),
        ("Σ Vᴴ x", f"σ₁ = {s[0]:.3g}, σ₂ = {s[1]:.3g}", ("σ₁", "σ₂")),
        ("U Σ Vᴴ x", _turn(u), ("σ₁ u₁", "σ₂ u₂")),
    ]
    steps = [np.eye(2), vh, s[:, None] * vh, (u * s) @ vh]
    length = float(s[0]) or 1.0
    common = max(1.0, length) if 0.2 <= length <= 5 else None
    for panel, step, caption, scale in zip(panels, steps, captions, (1.0, 1.0, length, length), strict=True):
        _draw_ellipse(panel, step, step @ vh.T, caption, 1.55 * (common or scale))
    return panels


# Arrays to draw


def _on_host(a: Any) -> Array:
    return to_host(array_namespace(a), a)


def _real(a: Any) -> Array:
    """Return finite real numbers, in single or double precision."""
    x = widened(np, floating(np, a))
    if np.iscomplexobj(x):
        raise TypeError(f"a has dtype {x.dtype}, expected real numbers")
    if not np.isfinite(x).all():
        raise ValueError("a has a NaN or Inf, expected finite numbers")
    return x


def _spectra(S: Any) -> Array:
    """Return the spectra (B, K) of a batch, without those that have a NaN or Inf."""
    values = widened(np, singular_values(np, _on_host(S)))
    flat = values.reshape(-1, values.shape[-1]) if values.size else values.reshape(0, values.shape[-1])
    return flat[np.isfinite(flat).all(axis=-1)]


def _percentiles(values: Array) -> tuple[Array, Array, Array]:
    """Return the median and both ends of the band over a batch; NaN for an empty batch."""
    if not len(values):
        return (np.full(values.shape[-1], np.nan),) * 3
    low, middle, high = np.percentile(values, [_BAND[0], 50, _BAND[1]], axis=0)
    return middle, low, high


def _channels(image: Array) -> Array:
    """Return an image as matrices (C, M, N), one per colour."""
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] in (3, 4))) or image.size == 0:
        raise ValueError(f"a has shape {image.shape}, expected a matrix (M, N) or an image (M, N, 3)")
    if image.ndim == 2:
        return _real(image)[None]
    depth = 255 if image.dtype.kind in "iu" else 1
    return np.moveaxis(_real(image[..., :3]) / depth, -1, 0)


def _default_ranks(most: int) -> list[int]:
    return sorted({round(float(rank)) for rank in np.geomspace(1, max(most // 2, 1), 4)})


def _checked_rank(rank: object, most: int) -> int:
    message = f"ranks must be integers from 0 to min(M, N) = {most}, but one is {rank!r}"
    return checked_int(rank, message, most=most)


def _rotations(a: Array) -> tuple[Array, Array, Array]:
    """Return the SVD of a 2 x 2 matrix in which Vh, though not always U, rotates by less than a half-turn."""
    u, s, vh = svd(a)
    u, vh = sign_flip(u, vh, u_based_decision=False)
    sign = np.array([1, np.sign(np.linalg.det(vh))])
    return u * sign, s, sign[:, None] * vh


def _of_batch(values: Array) -> str:
    return f" (median, {_BAND[0]}–{_BAND[1]}%)" if len(values) > 1 else ""


# Axes to draw on


def _axes(ax: Axes | None) -> Axes:
    """Return these Axes, or new ones."""
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib Axes, not {ax!r}")
    return ax


def _panels(axes: Sequence[Axes] | None, count: int, aspect: float) -> NDArray[np.object_]:
    """Return `count` Axes side by side for pictures of this aspect, width over height."""
    if axes is None:
        from matplotlib import pyplot

        height = float(np.clip(_PANEL / aspect, _PANEL / 3, 2 * _PANEL))
        size = (count * _PANEL, height + 1.0)
        return np.ravel(pyplot.subplots(1, count, figsize=size, layout="compressed", squeeze=False)[1])
    panels = np.ravel(np.asarray(axes, dtype=object))
    if len(panels) != count:
        raise ValueError(f"axes are {len(panels)}, expected {count}: one for each picture")
    for panel in panels:
        _axes(panel)
    return panels


def _label_index(ax: Axes, label: str, title: str) -> None:
    ax.set_xlabel(label)
    ax.set_ylabel(title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(visible=True, alpha=0.3)


def _mark_level(ax: Axes, level: float, count: int) -> None:
    ax.axhline(level, color="0.5", linestyle=":", linewidth=1)
    ax.annotate(
        f"{_percent(level)} at k = {count}",
        (1, level),
        xycoords=ax.get_yaxis_transform(),
        xytext=(-4, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        color="0.5",
        fontsize="small",
    )


def _show(ax: Axes, channels: Array, shown: dict[str, Any], title: str) -> None:
    picture = channels[0] if shown else np.moveaxis(channels, 0, -1).clip(0, 1)
    ax.imshow(picture, interpolation="nearest", **shown)
    ax.set_title(title)
    ax.set_axis_off()


def _draw_ellipse(
    ax: Axes, step: Array, vectors: Array, caption: tuple[str, str, tuple[str, str]], reach: float
) -> None:
    """Draw the images of the circle, the singular vectors, (1, 0) and (0, 1) under the matrix `step`."""
    angle = np.linspace(0, 2 * np.pi, 201)
    x, y = step @ np.stack([np.cos(angle), np.sin(angle)])
    title, subtitle, names = caption
    ax.fill(x, y, color="0.5", alpha=0.15, linewidth=0)
    ax.plot(x, y, color="0.5", linewidth=1)
    for vector, name, color in zip(vectors.T, names, ("tab:red", "tab:blue"), strict=True):
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", vector, (0, 0), arrowprops=arrow)
        across, up = (_side(part / max(float(np.abs(vector).max()), 1e-300)) for part in vector)
        ax.annotate(
            name,
            vector,
            (4 * across, 4 * up),
            textcoords="offset points",
            ha=("right", "center", "left")[across + 1],
            va=("top", "center", "bottom")[up + 1],
            color=color,
        )
    ink = rcParams["text.color"]
    for point, face, size in zip(step.T, (ink, ax.get_facecolor()), (6, 4), strict=True):
        ax.plot(*point, marker="o", markersize=size, markerfacecolor=face, color=ink, zorder=3)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=f"{title}\n{subtitle}")
    ax.grid(visible=True, alpha=0.3)


def _side(part: float) -> int:
    return 0 if abs(part) < 0.4 else int(np.sign(part))


def _turn(q: Array) -> str:
    """Describe the effect of an orthogonal 2 x 2 matrix."""
    degrees = round(float(np.degrees(np.arctan2(q[1, 0], q[0, 0]))))
    return f"rotated by {degrees}°" if np.linalg.det(q) > 0 else "mirrored"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}%"
