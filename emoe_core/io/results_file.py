"""A results file of JSON lines: locked for one command, repaired where the last one died, on disk line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..errors import EMoEError
from .files import write_whole

_LOCK_OFFSET = 1 << 40  # far behind any line: on Windows a locked range cannot be read by others


class ResultsFile:
    """The file, open and locked as long as it is in use."""

    def __init__(self, path: Path, read: Callable[[bytes], bool], of: str) -> None:
        """Opens it, reads what is there, and cuts off a last line that was left half-written.

        Args:
            read: takes in a line of an earlier run; whether it is one.
            of: what writes it, for messages: "batch" or "command".

        Raises:
            EMoEError: it cannot be written, another command has it, or a line is no result.
        """
        self.path = path
        self._of = of
        self._file = self._open()
        try:
            self._take_up(read)
        except BaseException:
            self.close()
            raise

    def append(self, row: dict[str, Any]) -> None:
        """Adds a line; when this returns it is on disk.

        Raises:
            EMoEError: there is no room.
        """
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise EMoEError(
                f"'{self.path}' cannot be written ({error.strerror}); make room and start the same command again."
            ) from error

    def keep(self, wanted: Callable[[bytes], bool]) -> None:
        """Drops the other lines, all at once."""
        self._file.seek(0)
        content = b"".join(line for line in self._file if wanted(line))
        self.close()
        write_whole(self.path, content)
        self._file = self._open()

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        if self.path.exists() and not self.path.is_file():  # a device may be read until memory ends
            raise EMoEError(f"The results file '{self.path}' is no regular file; give another --out.")
        try:
            file = open(self.path, "ab+")  # noqa: SIM115 (open, and so locked, as long as it is in use)
        except OSError as error:
            raise EMoEError(f"The results file '{self.path}' cannot be written ({error.strerror}).") from error
        try:
            _lock(file)
        except OSError as error:
            file.close()
            raise EMoEError(
                f"Another {self._of} is writing '{self.path}'; wait for it or give another --out."
            ) from error
        return file

    def _take_up(self, read: Callable[[bytes], bool]) -> None:
        self._file.seek(0)
        size = 0
        for number, raw in enumerate(self._file, start=1):
            known = read(raw)
            if not known and not raw.endswith(b"\n"):  # cut off when the command was killed
                self._file.truncate(size)
                break
            if not known:
                raise EMoEError(
                    f"Line {number} of '{self.path}' is no result of a {self._of}; give another --out or mend that line."
                )
            size += len(raw)
            if not raw.endswith(b"\n"):
                self._file.write(b"\n")
        self._file.seek(0, os.SEEK_END)


def _lock(file: IO[bytes]) -> None:
    """Locks a file for this process; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        file.seek(_LOCK_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
