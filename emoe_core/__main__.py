"""The command line: `python -m emoe_core COMMAND`. A command's module is imported when it is asked for."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Sequence

from . import __version__
from .errors import EMoEError

# Name, and the module that has SUMMARY, add_arguments(parser) and run(args) -> exit code, and imports nothing heavy.
COMMANDS: dict[str, str] = {
    "audit": ".audit.command",
    "batch": ".batch.command",
    "decisions": ".decisions.command",
    "host": ".hosts.command",
    "ledger": ".ledger.command",
    "prompts": ".prompts.command",
    "score": ".offline.command",
}


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    top = argparse.ArgumentParser(
        prog="python -m emoe_core",
        description="Scores prompts before their images are made: tools for the command line.",
    )
    top.add_argument("--version", action="version", version=f"emoe {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name, __package__)
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=getattr(module, "DESCRIPTION", module.SUMMARY),
            epilog=getattr(module, "EPILOG", None),
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; 0 done, 1 rejected where that was asked for, 2 when something could not be done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(
            AttributeError, ValueError
        ):  # a console of another code page shows ? for what it lacks
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except EMoEError as error:
        sys.stderr.write(f"error: {error}\n")
        if getattr(args, "json", False):
            sys.stdout.write(json.dumps({"error": str(error), "exit_code": 2}) + "\n")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
