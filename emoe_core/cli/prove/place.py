"""Which trial is meant, whose labels are taken, and where its pictures are."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...hosts.comfyui.user_files import named_file
from ...trial.labels import JUDGE, MARKS, sources
from ...trial.pictures import INPUT, OUTPUT, TEMP, NoPicture, fetch, find, load
from ...trial.store import Contents, Picture, Trial
from ..ledger import default_path

if TYPE_CHECKING:
    from PIL.Image import Image

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


def add_trial(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which trial, and who said good or bad."""
    parser.add_argument("--trial", required=True, metavar="NAME", help=HELP)
    parser.add_argument(
        "--labels",
        metavar="WHOSE",
        help=f"who says good or bad: {MARKS}, or {JUDGE}NAME; when not given, the marks, or else the only judge",
    )


def read(args: argparse.Namespace) -> tuple[Path, Contents, str]:
    """The trial's file, what it holds, and whose labels are taken."""
    path = trial_path(args.trial)
    contents = Trial(path).contents()
    known = sources(contents)
    alone = known[0] if known and (known[0] == MARKS or len(known) == 1) else MARKS
    return path, contents, args.labels or alone


def open_picture(picture: Picture, folder: str | None, largest: int | None = None) -> "Image":
    """A picture from the folder that was named; else from the server that drew it, since names repeat from server to server.

    Args:
        largest: bytes of a file that is still opened; None for any.

    Raises:
        NoPicture: it cannot be had.
    """
    if folder is None and picture.server:
        return load(fetch(picture))
    base = comfyui()
    places = {OUTPUT: base / "output", TEMP: base / "temp", INPUT: base / "input"}
    path = find(picture, places if folder is None else dict.fromkeys(places, Path(folder)))
    if largest is not None and path.stat().st_size > largest:
        raise NoPicture("their files are too large")
    return load(path)
