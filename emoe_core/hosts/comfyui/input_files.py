"""The files that a graph may name: those in ComfyUI's input folder. Whoever may queue a graph is not whoever owns the disk."""

import os
from pathlib import Path
from typing import Any

import folder_paths

from ...errors import EMoEError
from ...io.files import state_of

#: Set to 1 by whoever starts the server: full paths are allowed, and links and `..` may lead out of the folder.
ALLOW = "EMOE_ALLOW_PATHS"


def input_file(name: Any, node: str) -> Path:
    """The file of a name that a client gave to a node.

    Args:
        node: the node and its input, for the error.

    Raises:
        EMoEError: it is no file, or none in the input folder.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise EMoEError(f"{node} is no file name; write the name of a file in ComfyUI's input folder.")
    base = Path(folder_paths.get_input_directory()).resolve()
    free = os.environ.get(ALLOW) == "1"
    try:
        path = base / Path(name.strip()).expanduser() if free else (base / name.strip()).resolve()
        found = (free or path.is_relative_to(base)) and path.is_file()  # outside of the folder, nothing is looked at
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, no such user, half a surrogate pair
        raise EMoEError(f"{node} is '{name}', which is no file name; mend it.") from None
    if not found:
        raise EMoEError(
            f"{node} is '{name}', which is not in ComfyUI's input folder; put the file there. (Full paths are for "
            f"servers that were started with {ALLOW}=1.)"
        )
    return path


def state(name: Any, node: str) -> str:
    """Changes when the file does; "missing" where there is none that may be read."""
    return state_of(lambda one: input_file(one, node), name)


def state_if_named(name: str | None, node: str) -> str:
    """The same for an input that may be empty; None: another node gives the name, and has not run yet."""
    named = (name or "").strip()
    return state(named, node) if named else ""
