"""SHA-256 of files, remembered by path, size and modification time so that a 7 GB checkpoint is read once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from ..errors import EMoEError

_known: dict[tuple[str, int, int], str] = {}


def file_sha256(path: str | Path) -> str:
    """SHA-256 (hex) of the file's bytes; an `EMoEError` when it cannot be read."""
    try:
        stat = os.stat(path)
        key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
        if key not in _known:
            with open(path, "rb") as file:
                digest = hashlib.sha256()
                while block := file.read(1 << 22):
                    digest.update(block)
            _known[key] = digest.hexdigest()
        return _known[key]
    except OSError as error:
        raise EMoEError(f"The file '{path}' cannot be read ({error.strerror}); check that it exists.") from error


_LOCK_OFFSET = 1 << 40  # far behind any line: on Windows a locked range cannot be read by others


def lock_file(file: IO[bytes]) -> None:
    """Locks a file for this process; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        file.seek(_LOCK_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
