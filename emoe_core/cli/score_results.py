"""The results file: a JSON line a prompt, on disk as soon as it is known, and what an earlier run left in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from ..errors import EMoEError
from ..io.files import lock_file

#: What tells one row under one setting and one gate from another.
Mark = tuple[str, str, str]


class Results:
    """A results file, open and locked for one command."""

    def __init__(self, path: Path) -> None:
        """Opens the file, repairs a last line that was cut short, and reads which rows are done.

        Raises:
            EMoEError: it cannot be written, another command has it, or it holds something else than results.
        """
        self.path = path
        self.done: dict[Mark, str] = {}
        try:
            self._file: IO[bytes] = open(path, "ab+")  # noqa: SIM115 (open, and so locked, as long as the run lasts)
        except OSError as error:
            raise EMoEError(f"The results file '{path}' cannot be written ({error.strerror}).") from error
        try:
            lock_file(self._file)
        except OSError as error:
            self._file.close()
            raise EMoEError(f"Another command is writing '{path}'; wait for it or give another --out.") from error
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> None:
        self._file.seek(0)
        size = 0
        for number, raw in enumerate(self._file, start=1):
            mark = _mark(raw)
            if mark is None and not raw.endswith(b"\n"):
                self._file.truncate(size)
                break
            if mark is None:
                raise EMoEError(
                    f"Line {number} of '{self.path}' is no result of this command; give another --out or mend that line."
                )
            size += len(raw)
            self.done[mark[:3]] = mark[3]
            if not raw.endswith(b"\n"):
                self._file.write(b"\n")
        self._file.seek(0, os.SEEK_END)

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row; when this returns it is on disk."""
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise EMoEError(
                f"'{self.path}' cannot be written ({error.strerror}); make room and start the same command again."
            ) from error

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()


def _mark(raw: bytes) -> tuple[str, str, str, str] | None:
    try:
        row = json.loads(raw)
        return str(row["key"]), str(row["fingerprint"]), str(row["gate"]), str(row["status"])
    except (ValueError, KeyError, TypeError):
        return None
