"""The folder on disk for compiled machine code.

The folder's name contains a hash of all sources of the machine code, so stale code is never found. It lies in
the user's cache directory, or in ``NUMBA_CACHE_DIR`` if set, and never beside the sources, which may be
read-only.
"""

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_KERNELS = Path(__file__).parents[1] / "kernels"
_log = logging.getLogger("gpusvd")


def hash_of_sources(*compilers: Path, cuda: bool) -> str:
    """Return a hash of the kernels, those for CUDA alone if asked, and of the modules that compile them.

    It is the same for any ends of lines.
    """
    kernels = [path for path in sorted(_KERNELS.glob("*.py")) if cuda or not path.name.startswith("cuda_")]
    sources = hashlib.sha256()
    for path in (*compilers, *kernels):
        sources.update(f"{path.name}\0{path.read_text(encoding='utf-8')}\0".encode())
    return sources.hexdigest()[:16]


def cache_folder(sources: str) -> Path | None:
    """Return the folder for machine code of these sources, creating it if necessary.

    Returns None if no directory is writable, and warns of it once; machine code is then not kept.
    """
    for base in _bases():
        folder = base / "gpusvd" / sources
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    _warn_that_nothing_is_kept()
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file at once: another process finds all of it or nothing."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


@cache
def _warn_that_nothing_is_kept() -> None:
    _log.warning(
        "no cache folder is writable, so each process compiles its kernels again: "
        "name a writable one in NUMBA_CACHE_DIR"
    )


def _bases() -> Iterator[Path]:
    """Yield the directories that may hold the cache, in order of preference."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
    try:
        if sys.platform == "win32":
            yield Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
        elif sys.platform == "darwin":
            yield Path("~/Library/Caches").expanduser()
        else:
            yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        return  # the user has no home directory
