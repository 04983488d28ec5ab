"""The commands: what they print and write, and what they say and leave behind when they cannot."""

import itertools
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

import gpusvd
from gpusvd.__main__ import main
from gpusvd._base.install import install
from gpusvd._commands import files, info, svd
from gpusvd._cpu import compile as cpu_compile
from tests.support.measures import residual

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def kernels():
    """What the commands run is compiled beforehand, so that they have nothing to say about it."""
    gpusvd.warmup([(6, 3)], ["float32"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a photograph, a batch of matrices and nothing else."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(3)).save("photo.png")
    np.save("batch.npy", np.random.default_rng(0).standard_normal((5, 4, 6, 3)).astype(np.float32))
    return tmp_path


def picture(colours, height=45, width=70):
    """Waves and a noisy corner; 16 divides neither side."""
    y, x, c = np.ogrid[:height, :width, :colours]
    pixels = 128 + 80 * np.sin(x / 9 + c) * np.cos(y / 7 - c)
    pixels[:16, :16] += np.random.default_rng(1).normal(0, 30, (16, 16, colours))
    return pixels.clip(0, 255).astype(np.uint8)


def gpusvd_process(*arguments, cwd, **options):
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-m", "gpusvd", *arguments],
        cwd=cwd,
        env={**buffered, "PYTHONPATH": os.pathsep.join(search)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def assert_refused(arguments, capsys, *parts, begun=False):
    """The command says one line on stderr, with these parts, and leaves every file as it was; it says nothing
    on stdout unless the work has begun."""
    before = contents()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert bool(out) == begun
    assert err.startswith("gpusvd: ")
    assert err.count("\n") == 1
    assert len(err) < 300
    for part in parts:
        assert part in err
    assert contents() == before


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


# compress and expand


def pieces(pixels, patch):
    """A picture's patches with the colours side by side, one at a time, from 0 to 1."""
    height, width, colours = pixels.shape
    rows, columns = -(-height // patch), -(-width // patch)
    whole = np.pad(
        pixels, ((0, rows * patch - height), (0, columns * patch - width), (0, 0)), mode="symmetric"
    )
    for row in range(rows):
        for column in range(columns):
            part = whole[row * patch :, column * patch :][:patch, :patch] / 255
            yield row, column, np.hstack([part[..., colour] for colour in range(colours)])


def compressed(pixels, patch, rank_of):
    """The picture and how many numbers it keeps, by LAPACK a patch at a time in double precision."""
    height, width, colours = pixels.shape
    result = np.zeros((height + patch, width + patch, colours))
    numbers = 0
    for row, column, a in pieces(pixels, patch):
        u, s, vh = np.linalg.svd(a, full_matrices=False)
        k = rank_of(s)
        numbers += k * (sum(a.shape) + 1)
        part = (u[:, :k] * s[:k]) @ vh[:k]
        at = slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch)
        result[at] = np.stack(np.split(part, colours, axis=1), axis=-1)
    return result[:height, :width].clip(0, 1) * 255, numbers


def fewest(s, share):
    """How many values leave at most this share of the energy to the rest."""
    squares = s**2
    return next(k for k in range(len(s) + 1) if squares[k:].sum() <= share * squares.sum())


RULES = {
    "--energy=0.99": lambda s: fewest(s, 0.01),
    "--error=0.05": lambda s: fewest(s, 0.0025),
    "--rank=3": lambda s: 3,
    "--rank=99": lambda s: len(s),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("patch", [5, 16])
def test_compress_truncates_every_patch(rule, patch, folder, capsys):
    pixels = picture(3)
    assert main(["compress", "photo.png", "-o", "out.png", "--patch", str(patch), rule]) == 0
    result = np.asarray(Image.open("out.png"))
    expected, numbers = compressed(pixels, patch, RULES[rule])
    assert np.abs(result - expected).max() < 0.51  # rounded

    text = capsys.readouterr().out
    error = np.mean((result.astype(float) - pixels) ** 2)
    if error:
        printed = float(re.search(r"^PSNR +([\d.]+) dB$", text, re.M)[1])
        assert printed == pytest.approx(10 * np.log10(255**2 / error), abs=0.006)
    else:
        assert "PSNR     inf dB" in text
    ratio, share = re.search(r"^ratio +([\d.]+) : 1, ([\d.]+)% of", text, re.M).groups()
    assert float(share) == pytest.approx(100 * numbers / pixels.size, abs=0.06)
    assert float(ratio) == pytest.approx(pixels.size / numbers, abs=0.006)
    assert re.search(r"^time +[\d.]+ s", text, re.M)
    assert f"gpusvd {gpusvd.__version__} on " in text
    assert set(os.listdir()) == {"photo.png", "batch.npy", "out.png"}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_expand_rebuilds_the_picture_of_every_mode(mode, folder, capsys):
    given = Image.fromarray(picture(4)).convert(mode if mode in ("RGBA", "LA") else "RGB").convert(mode)
    given.save("given.tif")
    assert main(["compress", "given.tif", "-o", "out.png", "--energy=.97", "--save", "factors.npz"]) == 0
    assert main(["expand", "factors.npz", "-o", "again.png"]) == 0
    assert main(["expand", "factors.npz", "-o", "again.bmp"]) == (2 if "A" in mode else 0)
    shown = Image.open("out.png")
    assert shown.mode == {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    np.testing.assert_array_equal(np.asarray(Image.open("again.png")), np.asarray(shown))
    if "A" in mode:
        np.testing.assert_array_equal(shown.getchannel("A"), given.getchannel("A"))
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


def test_factors_of_a_picture_are_as_documented(folder):
    main(["compress", "photo.png", "-o", "out.png", "--patch=16", "--energy=.98", "--save", "factors.npz"])
    with np.load("factors.npz") as kept:
        assert str(kept["format"]) == "gpusvd.picture"
        assert int(kept["version"]) == 1
        size, rank, U, S, Vh = (kept[name] for name in ("size", "rank", "U", "S", "Vh"))
        opacity = kept["opacity"]
    assert size.tolist() == [45, 70, 3]
    assert (opacity.shape, opacity.dtype) == ((45, 70, 0), np.uint8)
    assert rank.shape == (3, 5)
    start = 0
    for row, column, a in pieces(picture(3), 16):
        part = slice(start, start + rank[row, column])
        start = part.stop
        u, s, vh = np.linalg.svd(a)
        k = rank[row, column]
        np.testing.assert_allclose(S[part], s[:k], rtol=1e-5)
        terms = (U[part].T * S[part]) @ Vh[part]
        np.testing.assert_allclose(terms, (u[:, :k] * s[:k]) @ vh[:k], atol=1e-5)
    assert start == len(U) == len(S) == len(Vh)


def test_picture_is_turned_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is at the right
    Image.fromarray(picture(3)).save("turned.png", exif=exif)
    assert main(["compress", "turned.png", "-o", "out.png", "--rank=16"]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), np.rot90(picture(3), -1))


def test_black_picture_has_no_terms(folder, capsys):
    Image.new("RGB", (20, 20)).save("black.png")
    arguments = ["compress", "black.png", "-o", "out.png", "--energy=1", "--save=f.npz"]
    assert main(arguments) == 0
    assert "inf : 1" in capsys.readouterr().out
    assert main(["expand", "f.npz", "-o", "again.png"]) == 0
    assert not np.asarray(Image.open("again.png")).any()


def test_one_matrix_and_one_thread_are_counted_in_the_singular(folder, capsys):
    Image.new("L", (1, 1), 200).save("one.png")
    assert main(["compress", "one.png", "-o", "out.png", "--rank=1", "--save", "f.npz"]) == 0
    assert main(["expand", "f.npz", "-o", "again.png"]) == 0
    np.save("one.npy", np.eye(3, dtype=np.float32))
    assert main(["svd", "one.npy", "-o", "one.npz"]) == 0
    out = capsys.readouterr().out
    assert "1 x 1 pixels: 1 matrix of 1 x 1, float32\n" in out
    assert "grey, 1 term\n" in out
    assert "one.npy: 1 matrix of 3 x 3, float32\n" in out
    assert out.count("), 1 thread; ") == 2


def test_output_in_a_lossy_format_and_through_a_link(folder):
    Path("real.jpg").write_bytes(b"old")
    Path("link.jpg").symlink_to("real.jpg")
    assert main(["compress", "photo.png", "-o", "link.jpg", "--rank=16"]) == 0
    assert Path("link.jpg").is_symlink()
    with Image.open("real.jpg") as opened:
        assert opened.format == "JPEG"
        assert np.abs(np.asarray(opened).astype(int) - picture(3)).mean() < 8


def test_compress_in_a_process_of_its_own(folder):
    process = gpusvd_process("compress", "photo.png", "-o", "out.png", "--rank=2", cwd=folder)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert "rank     2.00 on average, 2 to 2" in out
    refused = gpusvd_process("compress", "absent.png", "-o", "other.png", "--rank=2", cwd=folder)
    out, err = refused.communicate(timeout=100)
    assert (refused.returncode, out) == (2, "")
    assert err == "gpusvd: cannot read the image absent.png: No such file or directory\n"
    assert not Path("other.png").exists()


def test_the_page_shows_what_compress_prints(folder, capsys):
    photo = get_sample_data("grace_hopper.jpg", asfileobj=False)
    assert main(["compress", photo, "-o", "out.png", "--patch=16", "--energy=0.99"]) == 0
    pattern = r"rank +([\d.]+) on .*\n *ratio +([\d.]+) : 1, ([\d.]+)% .*\n *PSNR +([\d.]+) dB"
    texts = capsys.readouterr().out, (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    printed, shown = (np.array(re.search(pattern, text).groups(), float) for text in texts)
    np.testing.assert_allclose(printed, shown, rtol=0.003)  # decoders of JPEG differ


def spoil(kind):
    path = Path("bad.png")
    if kind == "text":
        path.write_text("not a picture")
    elif kind == "cut short":
        path.write_bytes(Path("photo.png").read_bytes()[:900])
    elif kind == "16 bits":
        Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(path)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize("kind", ["missing", "text", "cut short", "16 bits", "folder"])
def test_unreadable_picture(kind, folder, capsys):
    spoil(kind)
    assert_refused(["compress", "bad.png", "-o", "out.png", "--rank=1"], capsys, "bad.png")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["-o", "absent/out.png"], ["cannot write absent/out.png", "No such file"]),
        (["-o", "photo.png"], ["the image and --output are the same file"]),
        (["-o", "../{here}/photo.png"], ["the same file"]),
        (["-o", "out.png", "--save", "photo.png"], ["the image and --save are the same file"]),
        (["-o", "out.png", "--save", "out.png"], ["--output and --save are the same file"]),
        (["-o", "out.png", "--save", "absent/f.npz"], ["cannot write absent/f.npz"]),
        (["-o", "out"], ["no file extension", ".png"]),
        (["-o", "out.npz"], ["an unknown file extension"]),
        (["-o", "out.png", "--patch=46"], ["--patch 46", "70 x 45"]),
        (["-o", "taken.png"], ["cannot write taken.png: it is a folder"]),
        (["-o", "taken.png/../photo.png/out.png"], ["cannot write"]),
    ],
)
def test_bad_outputs(arguments, parts, folder, capsys):
    Path("taken.png").mkdir()
    arguments = [argument.format(here=folder.name) for argument in arguments]
    assert_refused(["compress", "photo.png", "--energy=.9", *arguments], capsys, *parts)


@pytest.mark.skipif(os.name == "nt", reason="makes a pipe")
def test_a_device_is_not_replaced(folder, capsys):
    os.mkfifo("pipe")
    assert_refused(["svd", "batch.npy", "-o", "pipe"], capsys, "it is not a regular file")
    assert Path("pipe").is_fifo()


def test_picture_that_its_format_cannot_hold(folder, capsys):
    Image.fromarray(picture(4)).save("clear.png")
    Path("out.jpg").write_bytes(b"old")
    arguments = ["compress", "clear.png", "--rank=1", "-o"]
    assert_refused([*arguments, "out.jpg"], capsys, "out.jpg: JPEG does not keep opacity exactly", begun=True)
    assert_refused([*arguments, "out.gif"], capsys, "out.gif: GIF does not keep opacity exactly", begun=True)


def test_small_picture_has_smaller_patches(folder, capsys):
    Image.fromarray(picture(3)[:9, :12]).save("small.png")
    assert main(["compress", "small.png", "-o", "out.png", "--energy=1"]) == 0
    out, err = capsys.readouterr()
    assert "1 x 2 patches of 9 x 9 pixels: 2 matrices of 9 x 27" in out
    assert err == "gpusvd: the picture is only 12 x 9 pixels; using patches of 9 x 9\n"
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), picture(3)[:9, :12])


@pytest.mark.parametrize("name", ["moving.gif", "pages.tif"])
def test_the_first_of_several_pictures_is_used(name, folder, capsys):
    first, *others = (Image.fromarray(np.full((20, 20, 3), grey, np.uint8)) for grey in (0, 100, 200))
    first.save(name, save_all=True, append_images=others)
    assert main(["compress", name, "-o", "out.png", "--rank=1"]) == 0
    assert capsys.readouterr().err == f"gpusvd: {name} has 3 frames or pages; using the first\n"
    assert not np.asarray(Image.open("out.png")).any()


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--energy=1.1", "argument --energy: '1.1' is not a number from 0 to 1"),
        ("--energy=nan", "argument --energy: 'nan' is not a number from 0 to 1"),
        ("--error=-1", "argument --error: '-1' is not a number of at least 0"),
        ("--error=inf", "argument --error: 'inf' is not a number of at least 0"),
        ("--rank=0", "argument --rank: '0' is not a whole number of at least 1"),
        ("--rank=1.5", "argument --rank: '1.5' is not a whole number of at least 1"),
        ("--rank=x", "argument --rank: 'x' is not a whole number of at least 1"),
        ("", "is required"),
    ],
)
def test_rules_out_of_range_and_none(argument, said, folder, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["compress", "photo.png", "-o", "out.png", *filter(None, [argument])])
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_two_rules(folder, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["compress", "photo.png", "-o", "out.png", "--rank=1", "--energy=.9"])
    assert exit_.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def change(arrays, kind):
    """Spoil the entries of a file of factors."""
    if kind == "later version":
        arrays["version"] = np.array(2)
    elif kind == "no version":
        del arrays["version"]
    elif kind == "no U":
        del arrays["U"]
    elif kind == "other format":
        arrays["format"] = np.array("gpusvd.svd")
    elif kind == "nothing of ours":
        arrays.clear()
        arrays["x"] = np.ones(3)
    elif kind == "objects":
        arrays["S"] = np.array([None])
    elif kind == "double":
        arrays["S"] = arrays["S"].astype(float)
    elif kind == "dimensions":
        arrays["rank"] = arrays["rank"].ravel()
    elif kind == "few terms":
        arrays["S"] = arrays["S"][1:]
    elif kind == "rank":
        arrays["rank"][0, 0] += 1
    elif kind == "negative rank":
        arrays["rank"][0, 1] += arrays["rank"][2, 4] + 1
        arrays["rank"][2, 4] = -1
    elif kind == "colours":
        arrays["size"][2] = 2
        arrays["Vh"] = np.ones((len(arrays["S"]), 2 * 16), np.float32)
    elif kind == "opacity":
        arrays["opacity"] = np.zeros((45, 69, 1), np.uint8)
    elif kind == "no size":
        arrays["size"][0] = 0
    elif kind == "larger":
        arrays["size"][1] += 16
    elif kind == "NaN":
        arrays["U"][3, 3] = np.nan


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("later version", "version 2 of its format, and this gpusvd reads 1: update gpusvd"),
        ("no version", "version"),
        ("no U", "U"),
        ("other format", "it is gpusvd.svd, expected gpusvd.picture"),
        ("nothing of ours", "expected gpusvd.picture"),
        ("objects", "Object arrays"),
        *((kind, "do not belong together") for kind in ("double", "dimensions", "few terms", "rank")),
        *((kind, "do not belong together") for kind in ("negative rank", "colours", "opacity")),
        *((kind, "do not belong together") for kind in ("no size", "larger")),
        ("NaN", "do not belong together"),
    ],
)
def test_damaged_factors(kind, part, folder, capsys):
    main(["compress", "photo.png", "-o", "out.png", "--energy=.98", "--save", "factors.npz"])
    with np.load("factors.npz") as kept:
        arrays = dict(kept)
    change(arrays, kind)
    np.savez("factors.npz", **arrays)
    capsys.readouterr()
    assert_refused(["expand", "factors.npz", "-o", "new.png"], capsys, "factors.npz", part)


@pytest.mark.parametrize("kind", ["missing", "text", "picture", "cut short", "flipped", "folder", "matrices"])
def test_files_that_are_no_factors(kind, folder, capsys):
    main(["compress", "photo.png", "-o", "out.png", "--energy=.98", "--save", "factors.npz"])
    path = Path("bad.npz")
    whole = bytearray(Path("factors.npz").read_bytes())
    if kind == "text":
        path.write_text("not factors")
    elif kind == "picture":
        path.write_bytes(Path("photo.png").read_bytes())
    elif kind == "cut short":
        path.write_bytes(whole[:-500])
    elif kind == "flipped":
        whole[len(whole) // 2] ^= 255
        path.write_bytes(whole)
    elif kind == "folder":
        path.mkdir()
    elif kind == "matrices":
        main(["svd", "batch.npy", "-o", "bad.npz"])
    capsys.readouterr()
    assert_refused(["expand", "bad.npz", "-o", "new.png"], capsys, "bad.npz")


def test_factors_are_not_overwritten_by_their_picture(folder, capsys):
    main(["compress", "photo.png", "-o", "out.png", "--rank=1", "--save", "factors.png"])
    capsys.readouterr()
    assert_refused(["expand", "factors.png", "-o", "factors.png"], capsys, "the same file")


@pytest.mark.parametrize("command", ["compress", "expand"])
def test_without_pillow_and_matplotlib(command, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    rule = ["--rank=1"] if command == "compress" else []
    assert_refused(
        [command, "photo.png", "-o", "out.png", *rule],
        capsys,
        f"{command} needs pillow, which is not installed: {install('demo')}",
    )
    assert main(["svd", "batch.npy", "-o", "factors.npz"]) == 0
    assert main(["info"]) == 0


# svd


@pytest.mark.parametrize("option", [None, "--thin", "--full", "--values-only"])
@pytest.mark.parametrize("driver", ["auto", "jacobi", "vendor"])
def test_svd_writes_the_factors(option, driver, folder, capsys):
    a = np.load("batch.npy")
    options = ["--driver", driver, "--threads", "1", *filter(None, [option])]
    assert main(["svd", "batch.npy", "-o", "out.npz", *options]) == 0
    with np.load("out.npz") as kept:
        assert str(kept["format"]) == "gpusvd.svd"
        assert int(kept["version"]) == 1
        arrays = {name: kept[name] for name in kept if name not in ("format", "version")}
    assert arrays["S"].shape == (5, 4, 3)
    np.testing.assert_allclose(arrays["S"], np.linalg.svdvals(a), rtol=1e-5)
    if option == "--values-only":
        assert set(arrays) == {"S"}
    else:
        assert set(arrays) == {"U", "S", "Vh"}
        assert arrays["U"].shape == (5, 4, 6, 6 if option == "--full" else 3)
        assert residual(a, arrays["U"][..., :3], arrays["S"], arrays["Vh"]).max() < 1e-5
    text = capsys.readouterr().out
    assert "batch    batch.npy: 20 matrices of 6 x 3, float32" in text
    assert driver == "auto" or f"driver   {driver}: " in text
    assert "S (5, 4, 3)" in text
    assert re.search(r"^time +[\d.]+ s .*; [\d,]+ matrices/s$", text, re.M)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (3, 4)])
@pytest.mark.parametrize("dtype", ["float16", "complex64", ">f8", "int8", "bool"])
def test_svd_of_any_shape_and_dtype(shape, dtype, folder, capsys):
    a = np.random.default_rng(2).integers(0, 2, shape).astype(dtype)
    np.save("a.npy", a)
    assert main(["svd", "a.npy", "-o", "out.npz"]) == 0
    with np.load("out.npz") as kept:
        for name, factor in gpusvd.svd(a, full_matrices=False)._asdict().items():
            assert kept[name].dtype == factor.dtype
            np.testing.assert_array_equal(kept[name], factor)


def test_svd_of_matrices_without_factors(folder, capsys):
    a = np.load("batch.npy")
    a[1, 2, 0, 0] = np.nan
    a[4, 3, 5, 2] = np.inf
    np.save("batch.npy", a)
    assert main(["svd", "batch.npy", "-o", "out.npz"]) == 1
    out, err = capsys.readouterr()
    assert "20 matrices" in out
    assert err.startswith("gpusvd: 2 of 20 matrices contained NaN or Inf")
    with np.load("out.npz") as kept:
        assert np.argwhere(np.isnan(kept["S"]).any(axis=-1)).tolist() == [[1, 2], [4, 3]]


def write_wrong(kind):
    path = Path("bad.npy")
    if kind == "text":
        path.write_text("1 2\n3 4\n")
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pickle":
        path.write_bytes(b"\x80\x04N.")
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, a=np.eye(3))
    elif kind == "cut short":
        path.write_bytes(Path("batch.npy").read_bytes()[:-1])
    elif kind == "no header":
        path.write_bytes(Path("batch.npy").read_bytes()[:50])
    elif kind != "missing":
        array = {
            "objects": np.array([[1, None]], dtype=object),
            "vector": np.ones(3),
            "number": np.array(1.0),
            "strings": np.array([["a", "b"]]),
            "dates": np.zeros((2, 2), "M8[s]"),
            "records": np.zeros((2, 2), [("x", float)]),
            "long double": np.ones((2, 2), np.longdouble),
        }[kind]
        np.save(path, array)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("missing", "No such file"),
        ("text", "it is not a .npy file"),
        ("empty", "it is not a .npy file"),
        ("folder", "directory"),
        ("pickle", "it is not a .npy file"),
        ("npz", "it is not a .npy file"),
        ("cut short", "file size"),
        ("no header", "header"),
        ("objects", "Python objects"),
        ("vector", "at least two-dimensional"),
        ("number", "at least two-dimensional"),
        ("strings", "<U1 is unsupported"),
        ("dates", "unsupported"),
        ("records", "unsupported"),
        ("long double", "unsupported"),
    ],
)
def test_wrong_arrays(kind, part, folder, capsys):
    write_wrong(kind)
    Path("out.npz").write_bytes(b"old")
    assert_refused(["svd", "bad.npy", "-o", "out.npz"], capsys, "bad.npy", part)


def test_svd_does_not_overwrite_its_input(folder, capsys):
    Path("link.npy").symlink_to("batch.npy")
    for output in ("batch.npy", "./batch.npy", "link.npy"):
        assert_refused(["svd", "batch.npy", "-o", output], capsys, "the same file")


def test_factors_are_no_single_array(folder, capsys):
    assert_refused(["svd", "batch.npy", "-o", "out.npy"], capsys, "cannot write out.npy", "name it out.npz")


def test_output_is_replaced_as_a_whole(folder):
    Path("out.npz").write_bytes(b"old")
    os.link("out.npz", "open elsewhere")
    assert main(["svd", "batch.npy", "-o", "out.npz"]) == 0
    assert Path("open elsewhere").read_bytes() == b"old"
    np.load("out.npz").close()


def test_full_disk(folder, monkeypatch, capsys):
    def full(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    Path("out.npz").write_bytes(b"old")
    arguments = ["svd", "batch.npy", "-o", "out.npz"]
    assert_refused(arguments, capsys, "cannot write out.npz", "No space left", begun=True)


def test_out_of_memory(folder, monkeypatch, capsys):
    def large(*_, **__):
        raise MemoryError("Unable to allocate 8.00 TiB")

    monkeypatch.setattr(gpusvd, "stream", large)
    arguments = ["svd", "batch.npy", "-o", "out.npz"]
    assert_refused(arguments, capsys, "out of memory. Unable to allocate", begun=True)


def test_svd_shows_a_bar_on_a_terminal(folder, monkeypatch, capsys):
    clock = itertools.count(0.0, 0.6)
    monkeypatch.setattr(svd.time, "monotonic", lambda: next(clock))
    assert main(["svd", "batch.npy", "-o", "out.npz"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with svd.bar() as show:
        show(1, 4)
        show(4, 4)
    err = capsys.readouterr().err
    assert "\r[##########" + 30 * "." + "]  25%, 2 s left" in err
    assert "100%" in err
    assert err.endswith(" \r")


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_svd_into_a_full_disk(folder):
    import resource

    np.save("large.npy", np.ones((2000, 8, 8)))
    process = gpusvd_process(
        "svd",
        "large.npy",
        "-o",
        "out.npz",
        cwd=folder,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)),
        ),
    )
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "gpusvd: cannot write out.npz: File too large\n")
    assert set(os.listdir()) == {"photo.png", "batch.npy", "large.npy"}


# Ctrl-C, SIGTERM, and a closed pipe


@pytest.mark.parametrize(
    "arguments", [["svd", "batch.npy", "-o", "out"], ["compress", "photo.png", "--rank=1", "-o", "out.png"]]
)
def test_interrupt_leaves_nothing_behind(arguments, folder, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpusvd, "svd", interrupted)
    monkeypatch.setattr(gpusvd, "stream", interrupted)
    before = contents()
    assert main(arguments) == 130
    assert capsys.readouterr().err == ""
    assert contents() == before


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_to_a_process(number, status, folder):
    np.save("long.npy", np.random.default_rng(3).standard_normal((500, 300, 300)))
    arguments = ["svd", "long.npy", "-o", "out.npz", "--driver=vendor", "--threads=1"]
    process = gpusvd_process(*arguments, cwd=folder)
    said = "".join(process.stdout.readline() for _ in range(5))
    assert "batch    long.npy: 500 matrices of 300 x 300, float64\n" in said  # before the work
    assert list(folder.glob(".out.npz.*"))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (status, "", "")
    assert set(os.listdir()) == {"photo.png", "batch.npy", "long.npy"}


@pytest.mark.skipif(os.name == "nt", reason="closes a pipe")
@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["svd", "batch.npy", "-o", "out.npz"]])
def test_closed_pipe(arguments, folder):
    process = gpusvd_process(*arguments, cwd=folder)
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
    assert not list(folder.glob(".*"))


# info, help and the rest


def test_info(folder, capsys):
    assert main(["info"]) == 0
    screen = capsys.readouterr().out
    assert len(screen.splitlines()) < 20
    assert main(["info", "--kernels"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(screen)
    assert f"gpusvd {gpusvd.__version__} on " in text
    assert f"NumPy {np.__version__}" in text
    assert re.search(r"^cache +\S", text, re.M)
    assert re.search(r"^GPU +\S", text, re.M)
    _, on_cpu, on_gpu = text.split("\n\n")
    for table, device in ((on_cpu, None), (on_gpu, "cuda")):
        _, header, *rows = table.splitlines()
        assert header.split() == ["n", "float32", "float64", "complex64", "complex128"]
        assert [int(row.split()[0]) for row in rows] == list(info.SIZES)
        for row in rows:
            n, kernels = int(row[:3]), [row[5 + 22 * i : 27 + 22 * i].strip() for i in range(4)]
            for dtype, kernel in zip(info.DTYPES, kernels, strict=True):
                how = gpusvd.explain((10_000, n, n), dtype, full_matrices=False, device=device)
                assert kernel == how.kernel


def test_info_lists_devices(monkeypatch):
    properties = {"name": b"NVIDIA X", "totalGlobalMem": 80 * 2**30, "major": 9, "minor": 0}
    runtime = SimpleNamespace(getDeviceCount=lambda: 2, getDeviceProperties=lambda i: properties)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), __version__="14.0", __spec__=object())
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    lines = info.devices()
    assert lines[:2] == ["NVIDIA X, 80 GiB, compute capability 9.0"] * 2
    assert lines[2].startswith("CuPy 14.0")
    monkeypatch.setattr(runtime, "getDeviceCount", lambda: 1 / 0)
    assert info.devices() == ["none that CuPy can use: division by zero"]
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert info.devices() == ["none: CuPy is not installed"]


@pytest.mark.parametrize(
    ("options", "dtypes"),
    [([], info.DTYPES), (["--dtype", "complex64", "float32"], ("complex64", "float32"))],
)
def test_warmup_compiles_every_kernel_and_says_so(monkeypatch, capsys, options, dtypes):
    log, compiled = logging.getLogger("gpusvd"), []

    def compile_loudly(solver, dtype):
        compiled.append((solver, dtype.name))
        log.info("compiling %s", solver)

    monkeypatch.setattr(cpu_compile, "compiled", compile_loudly)
    before = log.level, list(log.handlers)
    assert main(["warmup", *options]) == 0
    assert (log.level, list(log.handlers)) == before
    assert sorted(compiled) == sorted(itertools.product(cpu_compile.SOLVERS, dtypes))
    out, err = capsys.readouterr()
    assert re.fullmatch(r"cache +\S.*\n", out)
    assert err.splitlines() == [f"gpusvd: compiling {solver}" for solver, _ in compiled]


def test_warmup_refuses_other_dtypes(capsys):
    with pytest.raises(SystemExit):
        main(["warmup", "--dtype", "float16"])
    assert "float16" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["svd", "compress", "expand", "info", "warmup", "demo"])
def test_help_shows_an_example_that_parses(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    example = re.search(r"^example: gpusvd (.+)$", capsys.readouterr().out, re.M)[1]
    from gpusvd.__main__ import parser

    assert parser().parse_args(example.split()).run.__module__ == f"gpusvd._commands.{command}"


def test_no_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "{svd,compress,expand,info,warmup,demo}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (123_456, "123 kB"), (999_600, "1 MB")],
)
def test_size_in_words(count, said, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(count))
    assert files.size(path) == said
