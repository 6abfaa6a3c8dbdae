"""`prove page`: what a trial shows, as a page and as JSON."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...io.console import out, out_json
from ...records.message import LANGUAGES
from ...trial.evidence import JUDGE, MARKS, Evidence, evidence, sources
from ...trial.page import record, write
from ...trial.pictures import INPUT, OUTPUT, TEMP, NoPicture, fetch, find, load
from ...trial.store import Contents, Picture, Trial
from .place import HELP, comfyui, trial_path

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


def add_trial(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which trial, and who said good or bad."""
    parser.add_argument("--trial", required=True, metavar="NAME", help=HELP)
    parser.add_argument(
        "--labels",
        metavar="WHOSE",
        help=f"who says good or bad: {MARKS}, or {JUDGE}NAME; when not given, the marks, or else the only judge",
    )


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


def read(args: argparse.Namespace) -> tuple[Path, Contents, str]:
    """The trial's file, what it holds, and whose labels are taken."""
    path = trial_path(args.trial)
    contents = Trial(path).contents()
    known = sources(contents)
    alone = known[0] if known and (known[0] == MARKS or len(known) == 1) else MARKS
    return path, contents, args.labels or alone


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
    silent: dict[str, NoPicture] = {}

    def see(picture: Picture) -> "Image":
        if folder is None and picture.server:
            if picture.server in silent:
                raise silent[picture.server]
            try:
                return load(fetch(picture))
            except NoPicture as error:
                if "does not answer" in str(error):
                    silent[picture.server] = error
                raise
        base = comfyui()
        places = {OUTPUT: base / "output", TEMP: base / "temp", INPUT: base / "input"}
        path = find(picture, places if folder is None else dict.fromkeys(places, Path(folder)))
        if path.stat().st_size > _LARGEST:
            raise NoPicture("their files are too large")
        return load(path)

    return see
