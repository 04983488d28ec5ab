"""What the pictures show: the data of their artists, and the pixels."""

import subprocess
import sys

import hypothesis.strategies as st
import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gpusvd
from gpusvd._base.install import install
from tests.support import measures

mpl.use("agg")

DRAWINGS = {
    "spectrum": lambda **ax: [gpusvd.plot.spectrum([3.0, 1.0], **ax)],
    "energy": lambda **ax: [gpusvd.plot.energy([3.0, 1.0], **ax)],
    "rank_strip": lambda **axes: gpusvd.plot.rank_strip(np.eye(4), [1, 2], **axes),
    "ellipse": lambda **axes: gpusvd.plot.ellipse([[3, 0], [4, 5]], **axes),
}


@pytest.fixture
def ax():
    return Figure().subplots()


def strip(count):
    return Figure(figsize=(3 * count, 3)).subplots(1, count)


def pixels(figure):
    """The picture of a figure, drawn to its end, as (height, width, RGB)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def within(ax, picture):
    """The pixels inside of an Axes, its frame left out."""
    box = ax.get_window_extent()
    rows = slice(int(len(picture) - box.y1) + 3, int(len(picture) - box.y0) - 3)
    return picture[rows, int(box.x0) + 3 : int(box.x1) - 3]


def texts(ax):
    return [text.get_text() for text in ax.texts]


# spectrum


def test_spectrum_of_one_matrix(backend, ax):
    S = np.array([10, 4, 1.5, 0.5])
    assert gpusvd.plot.spectrum(backend.array(S), ax=ax, label="mine", color="red", marker="s") is ax
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([[1, 2, 3, 4], S]))
    assert (line.get_label(), line.get_color(), line.get_marker()) == ("mine", "red", "s")
    assert ax.get_yscale() == "log"
    assert not ax.collections
    assert ax.get_ylabel() == "singular value σᵢ"
    pixels(ax.figure)


def test_spectrum_of_a_batch(backend, ax):
    S = -np.sort(-np.random.default_rng(0).uniform(1, 2, (3, 7, 5)), axis=-1)
    S[0, 0] = np.nan  # left out
    gpusvd.plot.spectrum(backend.array(S), ax=ax)
    flat = S.reshape(-1, 5)[1:]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(flat, axis=0), rtol=1e-15)
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    for index in range(1, 6):
        ends = corners[corners[:, 0] == index, 1]
        expected = np.percentile(flat[:, index - 1], [10, 90])
        np.testing.assert_allclose([ends.min(), ends.max()], expected, rtol=1e-15)
    assert ax.get_ylabel() == "singular value σᵢ (median, 10–90%)"
    pixels(ax.figure)


def test_zeros_are_shown_at_the_edge(ax):
    gpusvd.plot.spectrum([10, 1, 0, 0], ax=ax)
    line, zeros = ax.lines
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True, True]
    assert zeros.get_xdata().tolist() == [3, 4]
    assert zeros.get_marker() == "v"
    pixels(ax.figure)
    heights = ax.transAxes.inverted().transform(zeros.get_transform().transform(zeros.get_xydata()))[:, 1]
    assert ((heights > 0) & (heights < 0.05)).all()
    assert ax.get_xlim()[1] > 4


def test_two_spectra_in_one_axes(ax):
    for S in ([3.0, 2.0], [2.0, 1.0]):
        gpusvd.plot.spectrum(S, ax=ax)
    assert len({line.get_color() for line in ax.lines}) == 2


@pytest.mark.parametrize("drawn", [gpusvd.plot.spectrum, gpusvd.plot.energy])
@pytest.mark.parametrize(
    "S",
    [
        np.zeros(3),
        np.zeros((2, 3)),
        np.full(3, np.nan),
        np.full((2, 3), np.inf),
        np.zeros(0),
        np.zeros((0, 3)),
    ],
)
@pytest.mark.parametrize("char", "efd")
def test_spectra_of_nothing_are_drawn(drawn, S, char, ax):
    drawn(S.astype(char), ax=ax)
    pixels(ax.figure)


@settings(deadline=None, max_examples=20)
@given(arrays(float, (4, 5), elements=st.one_of(st.just(0.0), st.floats(1e-100, 1e100))))
def test_any_spectra_are_drawn(values):
    axes = strip(2)
    S = -np.sort(-values, axis=-1)
    gpusvd.plot.spectrum(S, ax=axes[0])
    gpusvd.plot.energy(S, ax=axes[1])
    pixels(axes[0].figure)


# energy


def test_energy_of_one_matrix(backend, ax):
    gpusvd.plot.energy(backend.array([10, 4, 1.5, 0.5, 0.1]), levels=(0.9, 0.99, 0.998), ax=ax, label="mine")
    S = np.array([10, 4, 1.5, 0.5, 0.1])
    line = ax.lines[0]
    # Squares, two sums of five and a quotient: six roundings of half an eps each on either side.
    np.testing.assert_allclose(
        line.get_ydata(), np.cumsum(S**2) / np.sum(S**2), rtol=12 * measures.eps(float)
    )
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert texts(ax) == ["90% at k = 2", "99% at k = 3", "99.8% at k = 4"]
    assert [level.get_ydata()[0] for level in ax.lines[1:]] == [0.9, 0.99, 0.998]
    assert not ax.collections
    pixels(ax.figure)


def test_energy_of_a_batch(ax):
    S = gpusvd.svdvals(np.random.default_rng(0).standard_normal((50, 6, 6)))
    gpusvd.plot.energy(S, ax=ax)
    held = np.cumsum(S**2, axis=-1) / np.sum(S**2, axis=-1, keepdims=True)
    middle = np.median(held, axis=0)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), middle, rtol=1e-12)
    assert texts(ax)[0] == f"90% at k = {np.argmax(middle >= 0.9) + 1}"
    assert len(ax.collections) == 1
    assert ax.get_ylabel() == "energy (median, 10–90%)"
    pixels(ax.figure)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_level_reached_to_rounding_is_reached(dtype, ax):
    S = np.sqrt([45.0, 5.0]).astype(dtype)  # of [[3, 0], [4, 5]]
    gpusvd.plot.energy(S, levels=[0.9], ax=ax)
    assert texts(ax) == ["90% at k = 1"]


def test_energy_refuses(ax):
    with pytest.raises(ValueError, match=r"levels must be from 0 to 1, not \[90\]"):
        gpusvd.plot.energy([1.0], levels=[90], ax=ax)


@pytest.mark.parametrize("drawn", [gpusvd.plot.spectrum, gpusvd.plot.energy])
def test_spectra_refuse(drawn):
    before = pyplot.get_fignums()
    with pytest.raises(ValueError, match="S is a number"):
        drawn(1.0)
    with pytest.raises(TypeError, match="expected real singular values"):
        drawn([1j])
    with pytest.raises(TypeError, match="ax must be matplotlib Axes, not 3"):
        drawn([1.0], ax=3)
    assert pyplot.get_fignums() == before


# rank_strip


def shown(ax):
    (image,) = ax.images
    return np.asarray(image.get_array())


def test_strip_of_a_matrix(backend):
    a = np.random.default_rng(0).standard_normal((12, 8))
    axes = gpusvd.plot.rank_strip(backend.array(a), [0, 1, 3, 8], axes=strip(5), cmap="viridis")
    assert axes.shape == (5,)
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    np.testing.assert_array_equal(shown(axes[0]), a)
    assert axes[0].get_title().split("\n")[:2] == ["12 × 8", "rank 8"]
    for panel, k in zip(axes[1:], [0, 1, 3, 8], strict=True):
        cut = (u[:, :k] * s[:k]) @ vh[:k]
        np.testing.assert_allclose(shown(panel), cut, atol=1e-14)
        title = panel.get_title().split("\n")
        assert title[0] == f"rank {k}"
        assert float(title[1].removeprefix("storage ").rstrip("%")) == pytest.approx(k * 21 / 0.96, rel=5e-3)
        error = np.linalg.norm(a - cut) / np.linalg.norm(a)
        assert float(title[2].removeprefix("error ").rstrip("%")) == pytest.approx(
            100 * error, rel=5e-3, abs=1e-9
        )
    assert {panel.images[0].get_clim() for panel in axes} == {(a.min(), a.max())}
    assert {panel.images[0].get_cmap().name for panel in axes} == {"viridis"}
    pixels(axes[0].figure)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint8, 4), (np.float32, 3), (float, 4)])
def test_strip_of_a_photograph(dtype, channels):
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (9, 7, channels))
    image = (255 * image).round().astype(dtype) if dtype == np.uint8 else image.astype(dtype)
    axes = gpusvd.plot.rank_strip(image, [2, 7], axes=strip(3))
    colours = image[..., :3] / (255 if dtype == np.uint8 else 1)
    np.testing.assert_allclose(shown(axes[0]), colours, atol=1e-6)
    np.testing.assert_allclose(shown(axes[2]), colours, atol=1e-5)
    lost = 0
    for c in range(3):
        u, s, vh = np.linalg.svd(colours[..., c].astype(float))
        cut = (u[:, :2] * s[:2]) @ vh[:2]
        np.testing.assert_allclose(shown(axes[1])[..., c], cut.clip(0, 1), atol=1e-5)
        lost += np.sum(s[2:] ** 2)
    error = float(axes[1].get_title().split("error ")[1].rstrip("%"))
    assert error == pytest.approx(100 * np.sqrt(lost) / np.linalg.norm(colours), rel=5e-3)


def test_pixels_of_a_strip():
    """Full rank looks like the original to the last pixel, and a stripe of rank 1 at every rank."""
    stripes = np.outer(np.ones(8), [0, 1, 0, 1])
    figure = Figure(figsize=(8, 4))
    axes = gpusvd.plot.rank_strip(np.vstack([stripes, np.eye(4)]), [1, 4], axes=figure.subplots(1, 3))
    picture = pixels(figure)
    original, one, full = (within(panel, picture).astype(int) for panel in axes)
    width = min(part.shape[1] for part in (original, one, full))
    difference = np.abs(original[:, :width] - full[:, :width])
    assert (difference > 2).mean() < 0.03  # cells end within a pixel of each other
    assert (np.abs(original[:, :width] - one[:, :width]) > 50).mean() > 0.1
    assert {0, 255} <= set(np.unique(original))  # grey, over the whole range
    assert (original == original[..., :1]).all()


def test_default_ranks():
    titles = [ax.get_title().split("\n")[0] for ax in gpusvd.plot.rank_strip(np.eye(64), axes=strip(5))]
    assert titles[1:] == ["rank 1", "rank 3", "rank 10", "rank 32"]
    assert len(gpusvd.plot.rank_strip(np.eye(1), axes=strip(2))) == 2


def test_strip_of_zeros_and_integers():
    axes = gpusvd.plot.rank_strip(np.zeros((3, 4), int), [1], axes=strip(2))
    assert axes[1].get_title().endswith("error 0%")
    pixels(axes[0].figure)


def test_rank_strip_refuses():
    before = pyplot.get_fignums()
    for shape in ((4,), (4, 3, 2), (0, 3), (2, 3, 3, 3)):
        with pytest.raises(ValueError, match="expected a matrix"):
            gpusvd.plot.rank_strip(np.ones(shape))
    for ranks in ([5], [-1], [1.0], [True]):
        with pytest.raises(ValueError, match=r"ranks must be integers from 0 to min\(M, N\) = 3, but one is"):
            gpusvd.plot.rank_strip(np.ones((4, 3)), ranks)
    with pytest.raises(ValueError, match="ranks must be a sequence of integers, not 2"):
        gpusvd.plot.rank_strip(np.ones((4, 3)), 2)
    with pytest.raises(ValueError, match="a has a NaN or Inf"):
        gpusvd.plot.rank_strip([[np.nan]])
    with pytest.raises(TypeError, match="a has dtype complex128"):
        gpusvd.plot.rank_strip([[1j]])
    with pytest.raises(ValueError, match="axes are 3, expected 2"):
        gpusvd.plot.rank_strip(np.eye(2), [1], axes=strip(3))
    assert pyplot.get_fignums() == before


# ellipse

MATRICES = [
    [[3, 0], [4, 5]],
    [[2, 0], [0, -1]],
    [[1, 1], [1, 1]],
    [[0, 1], [-1, 0]],
    [[0, 0], [0, 0]],
    [[1, 0], [0, 1]],
    [[1e6, 2e6], [0, 1e6]],
    [[1e-6, 2e-6], [0, 1e-6]],
]


def arrows(ax):
    """Where the arrows from the origin end."""
    return np.array([text.xy for text in ax.texts if text.arrow_patch is not None])


def dots(ax):
    return np.array([line.get_xydata()[0] for line in ax.lines[1:]])


@pytest.mark.parametrize("a", MATRICES, ids=str)
def test_ellipse(backend, a):
    a = np.array(a, float)
    axes = gpusvd.plot.ellipse(backend.array(a), axes=strip(4))
    size = max(np.abs(a).max(), 1e-300)
    s = np.linalg.svd(a, compute_uv=False)
    curves = [ax.lines[0].get_xydata().T for ax in axes]
    np.testing.assert_allclose(np.hypot(*curves[0]), 1, rtol=1e-14)
    np.testing.assert_allclose(np.hypot(*curves[1]), 1, rtol=1e-14)
    np.testing.assert_allclose(np.abs(curves[2]).max(axis=1), s, atol=1e-3 * size)
    np.testing.assert_allclose(curves[3], a @ curves[0], atol=1e-14 * size)
    np.testing.assert_allclose(dots(axes[0]), np.eye(2), atol=1e-15)
    np.testing.assert_allclose(dots(axes[3]), a.T, atol=1e-14 * size)
    v, e, se, su = (arrows(ax) for ax in axes)
    np.testing.assert_allclose(v @ v.T, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(e, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(se, np.diag(s), atol=1e-14 * size)
    np.testing.assert_allclose(su, v @ a.T, atol=1e-14 * size)
    for ax in axes:
        assert ax.get_aspect() == 1
        corners = ax.lines[0].get_xydata()
        assert np.abs(corners).max() < ax.get_xlim()[1]
    pixels(axes[0].figure)


@settings(deadline=None, max_examples=20)
@given(arrays(float, (2, 2), elements=st.floats(-10, 10)))
def test_the_first_turn_is_a_rotation(a):
    axes = gpusvd.plot.ellipse(a, axes=strip(4))
    assert axes[1].get_title().startswith("Vᴴ x\nrotated by ")
    np.testing.assert_allclose(np.linalg.det(dots(axes[1])), 1, atol=1e-12)
    mirrored = axes[3].get_title() == "U Σ Vᴴ x\nmirrored"
    if abs(np.linalg.det(a)) > 1e-9:
        assert mirrored == (np.linalg.det(a) < 0)


def test_pixels_of_an_ellipse():
    """The grey area is π σ₁ σ₂, as seen on the axes' scale."""
    figure = Figure(figsize=(16, 4))
    axes = gpusvd.plot.ellipse([[2, 1], [0, 1.5]], axes=figure.subplots(1, 4))
    for ax in axes:
        ax.grid(visible=False)
    picture = pixels(figure).astype(int)
    for ax, area in zip(axes, np.pi * np.array([1, 1, 3, 3]), strict=True):
        inside = within(ax, picture)
        share = (inside < 250).any(axis=-1).mean()
        left, right = ax.get_xlim()
        expected = area / (right - left) ** 2
        assert expected < share < expected + 0.05  # arrows' heads, dots and names are outside, and not grey


def test_ellipse_refuses():
    before = pyplot.get_fignums()
    for shape in ((2,), (3, 3), (1, 2, 2)):
        with pytest.raises(ValueError, match="expected a 2 x 2 matrix"):
            gpusvd.plot.ellipse(np.ones(shape))
    with pytest.raises(ValueError, match="a has a NaN or Inf"):
        gpusvd.plot.ellipse([[1, np.inf], [0, 1]])
    with pytest.raises(TypeError, match="a has dtype complex128"):
        gpusvd.plot.ellipse(np.eye(2) * 1j)
    with pytest.raises(ValueError, match="axes are 3, expected 4"):
        gpusvd.plot.ellipse(np.eye(2), axes=strip(3))
    assert pyplot.get_fignums() == before


# pyplot, and no matplotlib


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_new_figure_by_default(name):
    before, settings_before = pyplot.get_fignums(), dict(mpl.rcParams)
    axes = DRAWINGS[name]()
    figure = axes[0].figure
    try:
        assert set(pyplot.get_fignums()) - set(before) == {figure.number}
        assert figure.axes == list(axes)
        assert dict(mpl.rcParams) == settings_before
        picture = pixels(figure)
        assert (picture < 250).any()
        for border in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
            assert (border == 255).all()  # nothing is cut off
    finally:
        pyplot.close(figure)


@pytest.mark.parametrize("shape", [(60, 51, 3), (20, 60), (60, 20)])
def test_titles_of_a_new_strip_are_whole(shape):
    axes = gpusvd.plot.rank_strip(np.random.default_rng(0).uniform(0, 1, shape))
    figure = axes[0].figure
    try:
        pixels(figure)
        for panel in axes:
            box = panel.title.get_window_extent()
            assert box.y1 <= figure.bbox.y1
            assert box.y0 >= panel.get_window_extent().y1
    finally:
        pyplot.close(figure)


@pytest.mark.parametrize("name", DRAWINGS)
def test_axes_given_leave_pyplot_alone(name):
    current = pyplot.figure()
    try:
        before = pyplot.get_fignums()
        axes = strip(4)[: {"spectrum": 1, "energy": 1, "rank_strip": 3, "ellipse": 4}[name]]
        given = {"ax": axes[0]} if len(axes) == 1 else {"axes": list(axes)}
        assert list(DRAWINGS[name](**given)) == list(axes)
        assert pyplot.get_fignums() == before
        assert pyplot.gcf() is current
        assert not current.axes
    finally:
        pyplot.close(current)


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100
    )
    return done.returncode, done.stdout + done.stderr


def test_pyplot_is_imported_for_a_new_figure_only():
    code = """
import sys, gpusvd, numpy as np
from matplotlib.figure import Figure
gpusvd.plot.spectrum([2.0, 1.0], ax=Figure().subplots())
gpusvd.plot.ellipse(np.eye(2), axes=Figure().subplots(2, 2))
print("matplotlib.pyplot" in sys.modules)
"""
    assert run(code) == (0, "False\n")


def test_without_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import gpusvd; gpusvd.svt([[1.0]], 0); gpusvd.plot"
    status, said = run(code)
    assert status == 1
    assert said.splitlines()[-1] == (
        f"ImportError: gpusvd.plot needs matplotlib, which is not installed: {install('plot')}"
    )


def test_no_other_attribute_is_made_up():
    with pytest.raises(AttributeError, match="module 'gpusvd' has no attribute 'plots'"):
        gpusvd.plots  # noqa: B018


def test_reconstructions_agree_with_the_measure():
    """The error in a title is that of the picture shown."""
    a = np.random.default_rng(1).standard_normal((20, 15))
    axes = gpusvd.plot.rank_strip(a, [5], axes=strip(2))
    error = measures.norm(a - shown(axes[1])) / measures.norm(a)
    assert axes[1].get_title().endswith(f"error {100 * error:.3g}%")
