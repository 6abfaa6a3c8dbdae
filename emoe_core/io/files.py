"""Files that are whole or absent, and their digests."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import EMoEError

_known: dict[tuple[str, int, int], str] = {}


@contextlib.contextmanager
def explained(what: str, advice: str) -> Iterator[None]:
    """Turns an error of the system inside the block into a sentence: what cannot be done, why, and what to do."""
    try:
        yield
    except OSError as error:
        raise EMoEError(f"{what} ({error.strerror}); {advice}.") from error


def file_sha256(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes, cached by path, size and time, so that a checkpoint of 7 GB is read once.

    Raises:
        EMoEError: the file cannot be read.
    """
    with explained(f"The file '{path}' cannot be read", "check that it exists"):
        stat = os.stat(path)
        key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
        if key not in _known:
            with open(path, "rb") as file:
                digest = hashlib.sha256()
                while block := file.read(1 << 22):
                    digest.update(block)
            _known[key] = digest.hexdigest()
        return _known[key]


def state_of(find: Callable[[Any], Path], name: Any) -> str:
    """Changes when the file that `find` gives for a name does; "missing" where there is none."""
    try:
        stat = find(name).stat()
    except (EMoEError, OSError, ValueError):
        return "missing"
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def read_regular(path: Path, encoding: str = "utf-8") -> str:
    """The text of a regular file: a device or a pipe may never end.

    Raises:
        OSError: it cannot be read, or is none.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path.read_text(encoding=encoding)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it replaces `path` when the block ends, and an error leaves the old file as it was."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):  # what went wrong before is the error
            part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Replaces a file so that a power cut leaves either the old or the new one.

    Text is written as UTF-8. A lone surrogate, which JSON may hold, is written as its escape.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path) as part, open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
