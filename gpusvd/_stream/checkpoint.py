"""The file from which a broken stream goes on.

JSON: `format`, `version`, the `stream` it belongs to (shape, dtype, options, a checksum of its data), how
many `chunks` are finished, where the `last` of them is, and `written`, a checksum of its results, if they
were written to arrays.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from gpusvd._stream.source import Where, checksum, release

FORMAT = "gpusvd.stream"
VERSION = 1
_SECONDS = 1.0  # how much work a process that is killed may lose; one that raises loses none


class Checkpoint:
    """How many chunks of a stream are finished, in a file that is replaced as a whole."""

    def __init__(self, path: Any, stream: dict[str, Any], targets: tuple[Any, ...]) -> None:
        self.path = Path(path)
        self.stream = stream
        self.targets = targets
        self.last: Where | None = None
        self.chunks, self._last, self._written = self._read()
        self._saved, self._when = -1, -_SECONDS
        if self.chunks == 0:
            self.save()  # tells now whether the file can be written

    def resume_at(self, last: Where) -> None:
        """Take up after this chunk; raise ValueError unless it is the one, and its results are there."""
        self.last, self._saved = last, self.chunks
        if self._last != str(last):
            raise ValueError(
                f"resume: {self.path} belongs to another stream: its last finished chunk is at {self._last}, "
                f"that of this source at {last}. Pass the same chunks, or delete the file to begin anew"
            )
        if self.targets and self._written != self._checksum():
            raise ValueError(
                f"out does not hold the results that {self.path} says are finished: pass the same arrays, "
                "memory maps opened with mode 'r+', or delete the file to begin anew"
            )

    def finished(self, where: Where) -> None:
        """Count a chunk; note it in the file unless that was done a moment ago."""
        self.chunks, self.last = self.chunks + 1, where
        if time.monotonic() - self._when >= _SECONDS:
            self.save()

    def save(self) -> None:
        """Bring results and file to the disk, in this order, unless the file is another stream's by now."""
        if self._saved == self.chunks or (self._saved >= 0 and self._finished() != self._saved):
            return
        self._flush()
        written = self._checksum() if self.targets and self.last is not None else None
        kept = {
            "format": FORMAT,
            "version": VERSION,
            "stream": self.stream,
            "chunks": self.chunks,
            "last": str(self.last),
            "written": written,
        }
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)  # of a process that was killed
        try:
            with beside.open("x", encoding="utf-8") as file:
                json.dump(kept, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)
        self._saved, self._when = self.chunks, time.monotonic()

    def remove(self) -> None:
        """Forget a stream that has come to its end."""
        self._flush()
        if self._finished() == self._saved:
            self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        for target in self.targets:
            # A dataset of HDF5 leaves what its file says of it unwritten, without which it cannot be opened.
            for owner in (target, getattr(target, "file", None)):
                if callable(flush := getattr(owner, "flush", None)):
                    flush()

    def _checksum(self) -> int:
        value = checksum([target[self.last] for target in self.targets])
        for target in self.targets:
            release(target)
        return value

    def _finished(self) -> int | None:
        """Return how many chunks the file says are finished; None if it is not there or no longer one."""
        try:
            finished: int = json.loads(self.path.read_text(encoding="utf-8"))["chunks"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return finished

    def _read(self) -> tuple[int, str, int | None]:
        """Return what the file says: chunks finished, where the last is, and its checksum."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0, "", None
        except UnicodeDecodeError:
            text = ""
        try:
            kept = json.loads(text)
            form, version, stream = kept["format"], kept["version"], kept["stream"]
            chunks, last, written = kept["chunks"], kept["last"], kept["written"]
            sound = form == FORMAT and type(version) is int and isinstance(stream, dict)
            sound = sound and type(chunks) is int and chunks >= 0
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise ValueError(
                f"resume: {self.path} is not a checkpoint of gpusvd.stream, and is left as it is"
            )
        if version > VERSION:
            raise ValueError(
                f"resume: {self.path} is of version {version}, and this gpusvd reads {VERSION}: "
                "pip install --upgrade gpusvd"
            )
        other = [
            f"{name} was {stream.get(name)} and is {value}"
            for name, value in self.stream.items()
            if stream.get(name) != value
        ]
        if other:
            raise ValueError(
                f"resume: {self.path} belongs to another stream: {'; '.join(other)}. Delete it to begin anew"
            )
        return chunks, last, written
