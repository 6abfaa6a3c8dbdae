"""The command line: `python -m emoe_core COMMAND`. Only the requested command's module is imported."""

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import EMoEError

#: Each command's module has DESCRIPTION, EPILOG, add_arguments(parser) and run(args) -> exit code.
COMMANDS: dict[str, str] = {
    "audit": "score a file of prompts in groups, and tell which of them the models know too little",
    "batch": "queue a saved workflow for every row of a prompt file, and write a line for each",
    "decisions": "what a labelled calibration says about passing, blocking and the seconds saved",
    "host": "what ComfyUI this is, and what of it the pack relies on holds: for a bug report",
    "ledger": "what the Gates decided: figures, export, marks, drift, and a calibration made of it",
    "prompts": "list the built-in prompt sets, or write one to a file",
    "prove": "draw prompts, judge the pictures, and say whether the score foresees bad ones on your models",
    "score": "score prompts with diffusers models, without ComfyUI",
}


def parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of one command; the others are only listed."""
    top = argparse.ArgumentParser(
        prog="python -m emoe_core",
        description="Scores prompts before their images are made: tools for the command line.",
    )
    top.add_argument("--version", action="version", version=f"emoe {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == chosen:
            module = importlib.import_module(f".{name}", __package__)
            command.description, command.epilog = module.DESCRIPTION, module.EPILOG
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0 when done, 1 for rejected prompts if requested, 2 when something could not be done."""
    for stream in (sys.stdout, sys.stderr):
        # A console with another code page shows ? for letters that it lacks.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    words = sys.argv[1:] if argv is None else argv
    args = parser(next((word for word in words if word in COMMANDS), None)).parse_args(words)
    try:
        return int(args.run(args))
    except EMoEError as error:
        sys.stderr.write(f"error: {error}\n")
        if getattr(args, "json", False):
            sys.stdout.write(json.dumps({"error": str(error), "exit_code": 2}) + "\n")
        return 2
    except KeyboardInterrupt:
        return 130
