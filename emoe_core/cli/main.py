"""The command line: `python -m emoe_core COMMAND`. Only the requested command's module is imported."""

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Mapping, Sequence

from .. import __version__
from ..errors import EMoEError

#: Each command's module has DESCRIPTION, EPILOG, and either add_arguments(parser) and run(args) -> exit code, or ACTIONS, which
#: are commands again.
COMMANDS: dict[str, str] = {
    "audit": "score a file of prompts in groups, and tell which of them the models know too little",
    "batch": "queue a saved workflow for every row of a prompt file, and write a line for each",
    "choose": "which checkpoints to take as experts, at which price, and the cheapest settings",
    "decisions": "what a labelled calibration says about passing, blocking and the seconds saved",
    "host": "what ComfyUI this is, and what of it the pack relies on holds: for a bug report",
    "ledger": "what the Gates decided: figures, export, marks, drift, and a calibration made of it",
    "prompts": "list the built-in prompt sets, or write one to a file",
    "prove": "draw prompts, judge the pictures, and say whether the score foresees bad ones on your models",
    "score": "score prompts with diffusers models, without ComfyUI",
}


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the arguments of the command that the words name; the others are only listed."""
    top = argparse.ArgumentParser(
        prog="python -m emoe_core",
        description="Scores prompts before their images are made: tools for the command line.",
    )
    top.add_argument("--version", action="version", version=f"emoe {__version__}")
    _add_commands(top, "command", COMMANDS, __package__, words)
    return top


def _add_commands(
    above: argparse.ArgumentParser, dest: str, commands: Mapping[str, str], package: str, words: Sequence[str]
) -> None:
    """Lists commands. Of the first that the words name, the module is imported and asked for its arguments or its actions."""
    chosen = next((place for place, word in enumerate(words) if word in commands), None)
    listed = above.add_subparsers(dest=dest, metavar=dest, required=True)
    for name, summary in commands.items():
        command = listed.add_parser(name, help=summary)
        if chosen is None or name != words[chosen]:
            continue
        module = importlib.import_module(f".{name}", package)
        command.description = getattr(module, "DESCRIPTION", f"{summary[0].upper()}{summary[1:]}.")
        command.epilog = getattr(module, "EPILOG", above.epilog)
        if actions := getattr(module, "ACTIONS", None):
            _add_commands(command, "action", actions, module.__name__, words[chosen + 1 :])
        else:
            module.add_arguments(command)
            command.set_defaults(run=module.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0 when done, 1 for rejected prompts if requested, 2 when something could not be done."""
    for stream in (sys.stdout, sys.stderr):
        # A console with another code page shows ? for letters that it lacks.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    words = sys.argv[1:] if argv is None else argv
    args = parser(words).parse_args(words)
    try:
        return int(args.run(args))
    except EMoEError as error:
        sys.stderr.write(f"error: {error}\n")
        if getattr(args, "json", False):
            sys.stdout.write(json.dumps({"error": str(error), "exit_code": 2}) + "\n")
        return 2
    except KeyboardInterrupt:
        return 130
