"""Files in ComfyUI's user directory that a user names: a name is a plain file name, and leads nowhere else."""

import re
from pathlib import Path

from ...errors import EMoEError

#: What file systems take of a name, less the endings that are put behind it.
_NAME_BYTES = 240
_NAME = re.compile(r"[\w][\w .,()+-]{0,99}")


def named_file(folder: Path, name: str, ending: str, kind: str) -> Path:
    """The file for a name; an `EMoEError` for a name that is no plain file name.

    Args:
        kind: what it is, for messages, such as "calibration".
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name.encode()) > _NAME_BYTES:
        shown = f"'{name}'" if isinstance(name, str) else f"A {type(name).__name__}"
        raise EMoEError(
            f"{shown} cannot be a {kind}'s name; use letters, digits, spaces and . , ( ) + - _, at most 100, and of "
            f"letters beyond a to z fewer (at most {_NAME_BYTES} bytes)."
        )
    path = folder / f"{name}{ending}"
    if path.resolve().parent != folder.resolve():
        raise EMoEError(f"The {kind} '{name}' is a link that leads out of its folder; put the file itself there.")
    return path
