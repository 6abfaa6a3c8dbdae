"""SHA-256 of files, remembered by path, size and modification time so that a 7 GB checkpoint is read once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

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
