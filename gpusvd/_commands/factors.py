"""Files of factors: `.npz` files that `numpy.load` opens.

Two entries identify each file: `format`, a string, and `version`, an integer that grows when the layout
changes. A file of a later version is refused.

`gpusvd.svd`, version 1, written by `gpusvd svd`:
    U, S, Vh    as `gpusvd.svd` returns them; S alone if only values were asked for

`gpusvd.picture`, version 1, written by `gpusvd compress --save`:
    size        int64 (3,): height, width and colours of the picture (1: grey; 3: red, green and blue)
    opacity     uint8 (height, width, 1), or (height, width, 0) for a picture without
    rank        int32 (rows, columns): number of terms of each patch
    U           float32 (T, patch): left singular vectors of all T = rank.sum() terms; patches follow each
                other row by row from the top left, and a patch's largest terms come first
    S           float32 (T,): their singular values
    Vh          float32 (T, colours * patch): their right singular vectors, one colour after the other

The terms sigma u v of a patch add up to its pixels, from 0 to 1. Patches begin at the top left; pixels beyond
the right and bottom edges of the picture are cut off.
"""

import math
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpusvd._base.results import Array
from gpusvd._commands import pictures
from gpusvd._commands.errors import CommandError, reason
from gpusvd._layer.truncate import TruncatedSVD

SVD = "gpusvd.svd"
PICTURE = "gpusvd.picture"
VERSION = 1


def write(file: IO[bytes], form: str, arrays: Mapping[str, Array]) -> None:
    """Write arrays to a file of the given format."""
    entries: dict[str, Any] = {"format": np.array(form), "version": np.array(VERSION), **arrays}
    np.savez(file, **entries)


def write_parts(
    file: IO[bytes], form: str, parts: Mapping[str, tuple[tuple[int, ...], np.dtype[Any], IO[bytes]]]
) -> None:
    """Write a file of the given format from files that hold the entries of each array in C order."""
    write(file, form, {})
    with zipfile.ZipFile(file, "a") as archive:
        for name, (shape, dtype, part) in parts.items():
            part.seek(0)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(entry, header)
                shutil.copyfileobj(part, entry, 2**20)


class PictureFactors(NamedTuple):
    """A picture as the terms of its patches; the fields are the entries of the file."""

    size: NDArray[np.int64]
    opacity: NDArray[np.uint8]
    rank: NDArray[np.int32]
    U: NDArray[np.float32]
    S: NDArray[np.float32]
    Vh: NDArray[np.float32]

    @classmethod
    def of(cls, pixels: pictures.Pixels, terms: TruncatedSVD) -> "PictureFactors":
        """Pack the terms that each patch of a picture keeps, and its opacity."""
        colours, opacity = pictures.split_opacity(pixels)
        kept = np.arange(terms.S.shape[-1]) < terms.rank[..., np.newaxis]
        size, rank = np.array(colours.shape), terms.rank.astype(np.int32)
        return cls(size, opacity, rank, terms.U.mT[kept], terms.S[kept], terms.Vh[kept])

    @property
    def numbers(self) -> int:
        """Count of the numbers in all terms and of the opacity."""
        return self.opacity.size + self.U.size + self.S.size + self.Vh.size

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and colours of the picture, opacity included."""
        height, width, colours = self.size.tolist()
        return height, width, colours + self.opacity.shape[-1]

    def pixels(self) -> pictures.Pixels:
        """Return the picture.

        The terms are added one by one, the largest first, and without BLAS, whose order of summation depends
        on the machine: the picture is the same everywhere, bit for bit.
        """
        rank = self.rank.ravel()
        start = np.cumsum(rank) - rank
        patches = np.zeros((rank.size, self.U.shape[1], self.Vh.shape[1]), np.float32)
        for k in range(rank.max(initial=0)):
            (which,) = np.nonzero(rank > k)
            term = start[which] + k
            rows = self.S[term, np.newaxis] * self.Vh[term]
            patches[which] += self.U[term, :, np.newaxis] * rows[:, np.newaxis]
        height, width, _ = self.size.tolist()
        picture = pictures.assemble(patches.reshape(*self.rank.shape, *patches.shape[1:]), height, width)
        return np.concatenate([pictures.to_pixels(picture), self.opacity], axis=-1)


def read_picture(path: Path) -> PictureFactors:
    """Return the factors in a file; raise CommandError if they are missing or inconsistent."""
    arrays = _read(path, PICTURE, PictureFactors._fields)
    factors = PictureFactors(**arrays)
    if not _fits(factors):
        raise CommandError(f"cannot expand {path}: it is damaged, its arrays do not belong together")
    return factors


def _read(path: Path, form: str, names: tuple[str, ...]) -> dict[str, Array]:
    """Return the named arrays of a file; raise CommandError unless it has this format and a known version."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not a whole .npz file")
        with np.load(path, allow_pickle=False) as entries:
            found = str(entries["format"]) if "format" in entries else "a file of something else"
            if found != form:
                raise ValueError(f"it is {found}, expected {form}, as gpusvd compress --save writes it")
            version = int(entries["version"])
            if version > VERSION:
                raise ValueError(
                    f"it has version {version} of its format, and this gpusvd reads {VERSION}: update gpusvd"
                )
            return {name: entries[name] for name in names}
    except KeyError as error:
        raise CommandError(f"cannot read {path}: it is damaged, {error.args[0]}") from error
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise CommandError(f"cannot read {path}: {reason(error)}") from error


def _fits(factors: PictureFactors) -> bool:
    """Return whether the arrays have the dtypes and shapes of the layout, and finite entries."""
    size, opacity, rank, U, S, Vh = factors
    dtypes = [array.dtype for array in factors]
    if dtypes != [np.int64, np.uint8, np.int32, np.float32, np.float32, np.float32]:
        return False
    if [array.ndim for array in factors] != [1, 3, 2, 2, 1, 2] or len(size) != 3:
        return False
    height, width, colours = size.tolist()
    terms, patch = U.shape
    return (
        height > 0
        and width > 0
        and colours in (1, 3)
        and opacity.shape in ((height, width, 0), (height, width, 1))
        and 0 < patch <= min(height, width)
        and rank.shape == (math.ceil(height / patch), math.ceil(width / patch))
        and bool((rank >= 0).all() and (rank <= patch).all())
        and int(rank.sum()) == terms
        and S.shape == (terms,)
        and Vh.shape == (terms, colours * patch)
        and all(bool(np.isfinite(array).all()) for array in (U, S, Vh))
    )
