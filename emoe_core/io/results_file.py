"""A results file of JSON lines: locked by one command, repaired after a crash, on disk line by line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..errors import EMoEError
from .files import explained, write_whole

_LOCK_OFFSET = 1 << 40  # far beyond any line: on Windows others cannot read a locked range


class ResultsFile:
    """The file, open and locked while it is in use."""

    def __init__(
        self, path: Path, read: Callable[[bytes], bool], of: str, other: str = "give another --out", name: str = ""
    ) -> None:
        """Opens it, reads its lines, and cuts off a half-written last line.

        Args:
            read: takes a line of an earlier run; says whether it is a result.
            of: what writes the file, for messages: "batch" or "choice".
            other: how a user names another file.
            name: what messages call it; its path where not given, which a server does not tell its clients.

        Raises:
            EMoEError: the file cannot be written, another command has it, or a line is no result.
        """
        self.path = path
        self._of, self._other, self._name = of, other, name or str(path)
        self._file = self._open()
        try:
            self._take_up(read)
        except BaseException:
            self.close()
            raise

    def append(self, row: dict[str, Any]) -> None:
        """Adds a line, which is on disk when this returns.

        Raises:
            EMoEError: there is no room.
        """
        with explained(f"'{self._name}' cannot be written", "make room and start the same command again"):
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def keep(self, wanted: Callable[[bytes], bool]) -> None:
        """Drops all other lines at once."""
        self._file.seek(0)
        content = b"".join(line for line in self._file if wanted(line))
        self.close()
        write_whole(self.path, content)
        self._file = self._open()

    def close(self) -> None:
        """Closes and unlocks the file."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        if self.path.exists() and not self.path.is_file():  # a device may be read until memory ends
            raise EMoEError(f"The results file '{self._name}' is no regular file; {self._other}.")
        try:
            file = open(self.path, "ab+")  # noqa: SIM115 (open, and so locked, while it is in use)
        except OSError as error:
            raise EMoEError(f"The results file '{self._name}' cannot be written ({error.strerror}).") from error
        try:
            lock(file)
        except OSError as error:
            file.close()
            raise EMoEError(f"Another {self._of} is writing '{self._name}'; wait for it or {self._other}.") from error
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
                    f"Line {number} of '{self._name}' is no result of a {self._of}; {self._other} or mend that line."
                )
            size += len(raw)
            if not raw.endswith(b"\n"):
                self._file.write(b"\n")
        self._file.seek(0, os.SEEK_END)


def lock(file: IO[bytes]) -> None:
    """Locks a file for this process; the system unlocks it however the process ends."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        file.seek(_LOCK_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
