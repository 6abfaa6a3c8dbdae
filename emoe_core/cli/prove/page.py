"""`prove page`: what a trial shows, as a page and as JSON."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...io.console import out, out_json
from ...records.message import LANGUAGES
from ...trial.evidence import Evidence, evidence
from ...trial.page import record, write
from ...trial.pictures import NoAnswer
from ...trial.store import Picture
from .place import add_trial, open_picture, read

if TYPE_CHECKING:
    from PIL.Image import Image

_LARGEST = 1 << 26  # bytes of a picture's file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_trial(parser)
    add = parser.add_argument
    add(
        "--pictures",
        metavar="FOLDER",
        help="the pictures' folder; ComfyUI's own, or the server that drew them, when not given",
    )
    add("--out", default=".", metavar="DIR", help="where trial.html and trial.json go (the current folder)")
    add("--language", choices=LANGUAGES, default=LANGUAGES[0], help="the language that is shown first")
    add("--json", action="store_true", help="print what trial.json holds")


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    path, contents, labels = read(args)
    shown = evidence(contents, labels, path.stem)
    page, _ = write(shown, args.out, opener(args.pictures), args.language)
    if args.json:
        out_json(record(shown))
    else:
        out("\n".join([*lines(shown), f"The page is '{page}'."]))
    return 0


def lines(shown: Evidence) -> list[str]:
    """What the page says first, for the console."""
    said = record(shown)
    return [
        said["sentence"],
        f"{said['rule']}: {said['pictures']} pictures of {said['prompts']} prompts, {said['bad']} bad",
    ]


def opener(folder: str | None) -> "Callable[[Picture], Image]":
    """Opens pictures from a folder; without one from ComfyUI's own, or from the server that drew them.

    A server that does not answer is asked once.
    """
    silent: dict[str, NoAnswer] = {}

    def see(picture: Picture) -> "Image":
        if folder is None and picture.server in silent:
            raise silent[picture.server]
        try:
            return open_picture(picture, folder, _LARGEST)
        except NoAnswer as error:
            silent[picture.server] = error
            raise

    return see
