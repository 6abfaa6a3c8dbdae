"""`python -m emoe_core host`: which ComfyUI this is, and whether it keeps what the pack relies on."""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..audit.source import find_comfyui
from ..errors import EMoEError

DESCRIPTION = (
    "Prints the versions of ComfyUI and of what it runs on, and checks everything that the pack relies on beyond ComfyUI's "
    "documented node API, with small random models. Attach what it prints to a bug report. It starts no server and writes "
    "nothing."
)
EPILOG = "exit codes: 0 all of it holds; 1 something does not; 2 no ComfyUI was found, or it does not start"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--comfyui", default="", metavar="DIR", help="ComfyUI's folder (COMFYUI_PATH, or the one this pack lies in)")
    add("--cpu", action="store_true", help="compute on the CPU")
    add("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""
    with _quiet():
        try:
            found = _looked_at(args.comfyui, ("--cpu",) if args.cpu else ())
        except EMoEError as error:
            raise EMoEError(short(str(error))) from error
    code = 1 if found["broken"] else 0
    text = json.dumps({**found, "exit_code": code}, indent=2) if args.json else "\n".join(lines(found))
    sys.stdout.write(short(text) + "\n")
    return code


def lines(found: dict[str, Any]) -> list[str]:
    """The report for a person."""
    packages = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    broken, total = found["broken"], len(found["holds"]) + len(found["broken"])
    kept = "all of it holds" if not broken else f"{len(broken)} of {total} do not hold"
    return [
        f"EMoE {found['emoe']} in ComfyUI {found['comfyui']} ({found['folder']})",
        packages,
        f"{found['system']}, computing on {found['device']}",
        f"What EMoE relies on: {kept}.",
        *(f"  holds   {name}" for name in found["holds"]),
        *(f"  BROKEN  {name}: {said}" for name, said in broken.items()),
    ]


def _looked_at(given: str, arguments: tuple[str, ...]) -> dict[str, Any]:

    tree = find_comfyui(given)
    if not tree:
        raise EMoEError("Where ComfyUI is, is not known: give --comfyui FOLDER or set COMFYUI_PATH.")
    from ..hosts.comfyui.contract.about import look

    return look(Path(tree), arguments)


def short(text: str) -> str:
    """The text with ~ for the user's home folder, which often contains the user's own name."""
    try:
        home = Path.home()
    except RuntimeError:  # there is no home folder
        return text
    if len(home.parts) < 2:
        return text
    for written in (json.dumps(str(home))[1:-1], str(home), home.as_posix()):
        text = text.replace(written, "~")
    return text


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps stdout for the report while ComfyUI starts: its prints go to stderr, and its hints are left out."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        root.setLevel(level)
