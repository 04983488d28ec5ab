"""The folder on disk for compiled machine code.

numba's cache checks only the file of the cached function and misses changes in the files of its callees.
Here the folder's name contains a hash of all sources of the machine code, so stale code is never found. The
folder lies in the user's cache directory, or in ``NUMBA_CACHE_DIR`` if set, and never beside the sources,
which may be read-only.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import numba
from numba.core import config

_KERNELS = Path(__file__).parents[1] / "kernels"


def hash_of_sources(*compilers: Path) -> str:
    """Return a hash of the kernels, the modules that compile them, and the versions of numba and LLVM."""
    sources = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in (*compilers, *sorted(_KERNELS.glob("*.py"))):
        sources.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sources.hexdigest()[:16]


def cache_folder(sources: str | None) -> Path | None:
    """Return the folder for machine code of these sources, creating it if necessary.

    Returns None if `sources` is None or no directory is writable; machine code is then not kept.
    """
    if sources is None:
        return None
    for base in _bases():
        folder = base / "gpusvd" / sources
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def _bases() -> Iterator[Path]:
    """Yield the directories that may hold the cache, in order of preference."""
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    try:
        if sys.platform == "win32":
            yield Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
        elif sys.platform == "darwin":
            yield Path("~/Library/Caches").expanduser()
        else:
            yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        return  # the user has no home directory
