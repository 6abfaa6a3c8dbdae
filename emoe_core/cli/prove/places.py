"""Where the trials of the ComfyUI around this pack are, and its pictures."""

from pathlib import Path

from ..ledger import default_path

_ENDING = ".sqlite3"


def comfyui() -> Path:
    """The folder of the ComfyUI whose `custom_nodes` holds this pack."""
    return default_path().parents[2]


def trial_path(text: str) -> Path:
    """The file of a trial: a plain name is in `user/emoe/trials` of that ComfyUI, and anything else is a path."""
    path = Path(text)
    if path.name == text and path.suffix != _ENDING:
        return comfyui() / "user" / "emoe" / "trials" / f"{text}{_ENDING}"
    return path
