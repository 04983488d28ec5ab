"""Output files, which are written whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gpusvd._commands.errors import CommandError, reason


@contextmanager
def replacing(output: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces `output` when the block ends, and is removed if it raises."""
    target = Path(os.path.realpath(output))  # a link stays a link
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if target.exists() and not target.is_file():
            raise OSError("it is a folder" if target.is_dir() else "it is not a regular file")
        file = beside.open("x+b")
        try:
            with file:
                yield file
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except BrokenPipeError:  # of standard output
        raise
    except OSError as error:
        raise CommandError(f"cannot write {output}: {reason(error)}") from error


def check_apart(paths: Mapping[str, Path | None]) -> None:
    """Raise CommandError if two of a command's files are the same; the keys name them in the message."""
    seen: dict[str, str] = {}
    for name, path in paths.items():
        if path is not None:
            other = seen.setdefault(os.path.normcase(os.path.realpath(path)), name)
            if other != name:
                raise CommandError(f"{other} and {name} are the same file, {path}: choose another for {name}")


def size(path: Path) -> str:
    """Return the size of a file with its unit."""
    count = float(path.stat().st_size)
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:  # from there three digits round to 1000
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
