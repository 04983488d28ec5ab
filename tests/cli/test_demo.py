"""The demo: what it prints, the picture it writes, and that it leaves nothing behind when it cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpusvd
from gpusvd.__main__ import main
from gpusvd._base.install import install
from gpusvd._commands import demo as demo_command
from gpusvd._commands import demo_figure, pictures, truncation

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo as a user runs it, where there is no display and another backend is asked for."""
    folder = tmp_path_factory.mktemp("demo")
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env |= {"PYTHONPATH": os.pathsep.join(search), "MPLBACKEND": "TkAgg"}
    command = [sys.executable, "-m", "gpusvd", "demo", "-o", "out.png"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["out.png"]
    return done.stdout, np.asarray(Image.open(folder / "out.png").convert("RGB")).astype(float)


@pytest.fixture
def photo(tmp_path):
    """A picture whose sides 8 does not divide, smooth but for one noisy corner."""
    y, x = np.mgrid[0:43, 0:61] / 61
    pixels = np.stack([x, y, (x + y) / 2], axis=-1) * 255
    pixels[:20, :20] = np.random.default_rng(0).uniform(0, 255, (20, 20, 3))
    path = tmp_path / "photo.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def bands(blank, at_least=100):
    """Runs of at least so many places that are not blank, as slices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], blank, [True]]).astype(int)))
    return [slice(a, b) for a, b in edges.reshape(-1, 2) if b - a >= at_least]


def test_demo_says_what_it_ran_on_and_how_fast(demo):
    text, _ = demo
    assert f"gpusvd {gpusvd.__version__} on " in text
    assert f"NumPy {np.__version__}" in text
    assert "4800 matrices of 8 x 24, float32" in text
    assert re.search(r"driver +(jacobi|vendor): \S+", text)
    for name in ("gpusvd.svd", "numpy.linalg.svd"):
        assert re.search(rf"{re.escape(name)} +[\d.]+ ms +[\d,]+ matrices/s", text)


def test_demo_is_accurate(demo):
    text, _ = demo
    residual, loss = (float(eps) for eps in re.findall(r"= ([\d.]+) eps", text))
    assert 0 < residual < 240  # 10 max(m, n) eps
    assert 0 < loss < 240


def test_demo_measures_the_error_that_eckart_and_young_predict(demo):
    text, _ = demo
    rows = re.findall(r"^(0\.\d+) +([\d.]+) +([\d.]+)% +([\d.]+)% +([\d.]+)% +(\S+)$", text, re.MULTILINE)
    energy, rank, storage, error, predicted, difference = np.array(rows, float).T
    assert tuple(energy) == demo_command.ENERGIES
    # No patch is farther off than the largest difference, so neither are all; printed to 1e-5 %, and to 5 %.
    assert (np.abs(error - predicted) <= 105 * difference + 1.1e-5).all()
    assert (error <= 100 * np.sqrt(1 - energy)).all()  # in every patch, so in all of them
    assert (np.diff(error) < 0).all()
    assert (difference < 1e-6).all()
    np.testing.assert_allclose(storage, 100 * rank * (8 + 24 + 1) / (8 * 24), atol=0.2)
    assert "Eckart-Young holds" in text


def test_demo_draws_every_panel(demo):
    _, pixels = demo
    white = (pixels == 255).all(axis=-1)
    whole, detail, spectrum = bands(white.all(axis=1))
    for row in (whole, detail):
        panels = [pixels[row, columns] for columns in bands(white[row].all(axis=0))]
        assert len(panels) == 4
        assert all(panel.std() > 20 for panel in panels)
        width = min(panel.shape[1] for panel in panels)
        away = [np.abs(panel[:, :width] - panels[0][:, :width]).mean() for panel in panels[1:]]
        assert away[0] > away[1] > away[2] > 0
    assert pixels[spectrum].std() > 20


def test_picture_of_any_size_and_output_of_any_name(photo, capsys):
    output = photo.with_name("drawn")
    assert main(["demo", "--image", str(photo), "-o", str(output), "--patch", "16", "--threads", "1"]) == 0
    assert "12 matrices of 16 x 48" in capsys.readouterr().out
    with Image.open(output) as drawn:
        assert drawn.format == "PNG"
    assert {path.name for path in photo.parent.iterdir()} == {"photo.png", "drawn"}


def test_small_picture_has_smaller_patches(tmp_path, capsys):
    image = tmp_path / "small.png"
    Image.new("L", (9, 5)).save(image)
    assert main(["demo", "--image", str(image), "-o", str(tmp_path / "out.png")]) == 0
    out, err = capsys.readouterr()
    assert "1 x 2 patches of 5 x 5 pixels" in out
    assert err.startswith("gpusvd: the picture is only 9 x 5 pixels; using patches of 5 x 5\n")


@pytest.mark.parametrize("patch", ["1", "8"])
def test_black_picture(patch, tmp_path, capsys):
    image = tmp_path / "black.png"
    Image.new("L", (9, 8)).save(image)
    assert main(["demo", "--image", str(image), "-o", str(tmp_path / "out.png"), "--patch", patch]) == 0
    assert "Eckart-Young holds" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(16, 24, 3), (17, 23, 3), (8, 9, 3)])
def test_assemble_undoes_cut(shape):
    picture = np.random.default_rng(1).random(shape, np.float32)
    patches = pictures.cut(picture, 8)
    assert patches.shape == (-(-shape[0] // 8), -(-shape[1] // 8), 8, 24)
    np.testing.assert_array_equal(patches[0, 0], np.hstack([picture[:8, :8, colour] for colour in range(3)]))
    np.testing.assert_array_equal(pictures.assemble(patches, *shape[:2]), picture)


def test_truncation_keeps_the_fewest_values_that_hold_the_energy():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((3, 5, 6, 18)).astype(np.float32)
    a[0, 0] = 0
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    cut = truncation.truncate(a, u, s, vh, 0.8)
    for place in np.ndindex(3, 5):
        kept = np.concatenate([[0], np.cumsum(s[place].astype(float) ** 2)])
        rank = cut.rank[place]
        assert kept[rank] >= 0.8 * kept[-1]
        assert rank == 0 or kept[rank - 1] < 0.8 * kept[-1]
    assert cut.rank[0, 0] == 0
    assert cut.storage == pytest.approx(cut.rank.sum() * (6 + 18 + 1) / a.size)
    assert cut.error == pytest.approx(np.linalg.norm(a - cut.patches) / np.linalg.norm(a), rel=1e-5)
    assert cut.difference < 1e-6


def test_accuracy_sees_errors():
    a = np.random.default_rng(3).standard_normal((2, 3, 4, 12)).astype(np.float32)
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    assert max(truncation.accuracy(a, u, s, vh)) < 1e-5
    scaled = u.copy()
    scaled[1, 2] *= 1.01
    assert min(truncation.accuracy(a, scaled, s, vh)) > 5e-3
    scaled[1, 2] = np.nan
    assert np.isnan(truncation.accuracy(a, scaled, s, vh)).all()


@pytest.mark.parametrize("wrong", [np.nan, 1.01])
def test_wrong_factors_are_found_out(wrong, photo, monkeypatch, capsys):
    svd = gpusvd.svd

    def spoiled(a, **options):
        u, s, vh = svd(a, **options)
        s[0, 0] *= wrong
        return u, s, vh

    monkeypatch.setattr(gpusvd, "svd", spoiled)
    assert main(["demo", "--image", str(photo), "-o", str(photo.with_name("out.png"))]) == 1
    out, err = capsys.readouterr()
    assert "error predicted" in out
    assert "holds" not in out
    assert err.startswith("gpusvd: Eckart-Young does not hold")
    assert list(photo.parent.iterdir()) == [photo]


def unreadable(folder, kind):
    path = folder / "image.png"
    if kind == "text":
        path.write_text("not a picture")
    elif kind == "cut short":
        Image.fromarray(np.random.default_rng(4).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "16 bits":
        Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(path)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "cut short", "16 bits", "folder"])
def test_unreadable_image(kind, tmp_path, capsys):
    image = unreadable(tmp_path, kind)
    before = set(tmp_path.iterdir())
    assert main(["demo", "--image", str(image), "-o", str(tmp_path / "out.png")]) == 2
    assert_one_line(capsys, str(image))
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("output", "patch", "said"),
    [
        ("absent/out.png", "8", "absent"),
        (".", "8", "cannot write"),
        ("out.png", "44", "--patch 44"),
        ("photo.png", "8", "the same file"),
        ("out.jpg", "8", "out.jpg: the demo writes a PNG; name it out.png"),
    ],
)
def test_bad_output_or_patch(output, patch, said, photo, capsys):
    before = set(photo.parent.iterdir())
    target = photo.parent / output
    assert main(["demo", "--image", str(photo), "-o", str(target), "--patch", patch]) == 2
    assert_one_line(capsys, said)
    assert set(photo.parent.iterdir()) == before


@pytest.mark.parametrize(("package", "module"), [("matplotlib", "matplotlib"), ("pillow", "PIL")])
def test_missing_package(package, module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo", "-o", str(tmp_path / "out.png")]) == 2
    assert_one_line(capsys, f"needs {package}", install("demo"))
    assert not list(tmp_path.iterdir())


def assert_one_line(capsys, *parts):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gpusvd: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts)


@pytest.mark.parametrize("argument", ["--patch=0", "--patch=x", "--threads=0"])
def test_bad_argument(argument, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["demo", argument])
    assert exit_.value.code == 2
    assert argument.partition("=")[0] in capsys.readouterr().err


def test_interrupt_keeps_the_old_picture(photo, monkeypatch):
    def interrupted(file, *_):
        file.write(b"half")
        raise KeyboardInterrupt

    output = photo.with_name("out.png")
    output.write_bytes(b"old")
    monkeypatch.setattr(demo_figure, "draw", interrupted)
    assert main(["demo", "--image", str(photo), "-o", str(output)]) == 130
    assert output.read_bytes() == b"old"
    assert set(photo.parent.iterdir()) == {photo, output}
