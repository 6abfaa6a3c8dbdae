"""Where trials are, and which file --trial names."""

from pathlib import Path

from ...hosts.comfyui.user_files import named_file
from ..ledger import default_path

ENDING = ".sqlite3"
HELP = (
    "the trial: a name, for a file in user/emoe/trials of the ComfyUI around this pack, or the path of a file that ends with "
    f"{ENDING}"
)


def comfyui() -> Path:
    """The folder of the ComfyUI whose `custom_nodes` holds this pack."""
    return default_path().parents[2]


def trial_path(text: str) -> Path:
    """The file of a trial; an `EMoEError` for a name that is no plain file name."""
    if text.endswith(ENDING):
        return Path(text)
    return named_file(comfyui() / "user" / "emoe" / "trials", text, ENDING, "trial")
