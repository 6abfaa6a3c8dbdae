"""Trials in ComfyUI's user directory."""

from pathlib import Path

import folder_paths

from ...trial.store import Trial
from .user_files import named_file


def folder() -> Path:
    """The trials' folder: `emoe/trials` in ComfyUI's user directory."""
    return Path(folder_paths.get_user_directory()) / "emoe" / "trials"


def names() -> list[str]:
    """Names of the trials, sorted."""
    return sorted(path.stem for path in folder().glob("*.sqlite3"))


def trial(name: str) -> Trial:
    """The trial of a name, which need not be there yet; an `EMoEError` for a name that is no plain file name."""
    return Trial(named_file(folder(), name, ".sqlite3", "trial"))
