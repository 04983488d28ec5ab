"""The checkpoint file from which an interrupted stream resumes.

It is JSON: `format`, `version`, the `stream` it belongs to (shape, dtype, options, a checksum of its data),
the number of finished `chunks`, the index of the `last` of them, and `written`, a checksum of that chunk's
results if they were written to arrays.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from gpusvd._stream.source import Where, checksum, release

FORMAT = "gpusvd.stream"
VERSION = 1
_SECONDS = 1.0  # of work that a killed process may lose; one that raises loses none


class Checkpoint:
    """The progress of a stream, kept in a file that is replaced as a whole."""

    def __init__(self, path: Any, stream: dict[str, Any], targets: tuple[Any, ...]) -> None:
        self.path = Path(path)
        self.stream = stream
        self.targets = targets
        self.last: Where | None = None
        self.chunks, self._last, self._written = self._read()
        self._saved, self._when = -1, -_SECONDS
        if self.chunks == 0:
            self.save()  # raises now if the file cannot be written

    def resume_at(self, last: Where) -> None:
        """Resume after the chunk at `last`; raise ValueError unless file and results agree with it."""
        self.last, self._saved = last, self.chunks
        if self._last != str(last):
            raise ValueError(
                f"resume: {self.path} belongs to another stream: its last finished chunk is at {self._last}, "
                f"that of this source at {last}. Pass the same chunks, or delete the file to start over"
            )
        if self.targets and self._written != self._checksum():
            raise ValueError(
                f"out does not hold the results that {self.path} says are finished: pass the same arrays, "
                "memory maps opened with mode 'r+', or delete the file to start over"
            )

    def finished(self, where: Where) -> None:
        """Count a finished chunk, and save unless the last save is less than a second ago."""
        self.chunks, self.last = self.chunks + 1, where
        if time.monotonic() - self._when >= _SECONDS:
            self.save()

    def save(self) -> None:
        """Write results and then the file to disk, unless another stream has taken over the file."""
        if self._saved == self.chunks or (self._saved >= 0 and self._finished() != self._saved):
            return
        self._flush()
        written = self._checksum() if self.targets and self.last is not None else None
        content = {
            "format": FORMAT,
            "version": VERSION,
            "stream": self.stream,
            "chunks": self.chunks,
            "last": str(self.last),
            "written": written,
        }
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)  # left by a process that was killed
        try:
            with beside.open("x", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)
        self._saved, self._when = self.chunks, time.monotonic()

    def remove(self) -> None:
        """Flush the results of a finished stream and delete the file."""
        self._flush()
        if self._finished() == self._saved:
            self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        for target in self.targets:
            # An HDF5 file cannot be opened without its metadata, which flushing a dataset does not write.
            for owner in (target, getattr(target, "file", None)):
                if callable(flush := getattr(owner, "flush", None)):
                    flush()

    def _checksum(self) -> int:
        value = checksum([target[self.last] for target in self.targets])
        for target in self.targets:
            release(target)
        return value

    def _finished(self) -> int | None:
        """Return the number of finished chunks in the file; None if it is missing or not a checkpoint."""
        try:
            finished: int = json.loads(self.path.read_text(encoding="utf-8"))["chunks"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return finished

    def _read(self) -> tuple[int, str, int | None]:
        """Return the number of finished chunks, the index of the last, and its checksum, from the file."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0, "", None
        except UnicodeDecodeError:
            text = ""
        try:
            content = json.loads(text)
            form, version, stream = content["format"], content["version"], content["stream"]
            chunks, last, written = content["chunks"], content["last"], content["written"]
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
                f"resume: {self.path} is of version {version}, and this gpusvd reads {VERSION}: update gpusvd"
            )
        other = [
            f"{name} was {stream.get(name)} and is {value}"
            for name, value in self.stream.items()
            if stream.get(name) != value
        ]
        if other:
            raise ValueError(
                f"resume: {self.path} belongs to another stream: {'; '.join(other)}. Delete it to start over"
            )
        return chunks, last, written
