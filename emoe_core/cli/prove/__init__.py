"""`python -m emoe_core prove`: whether the score foresees bad pictures on one's own checkpoints. Each action is a module."""

import argparse
import importlib

DESCRIPTION = (
    "Draws prompts through a saved workflow with every reading of the score, and says from marks or judges whether the score "
    "foresees bad pictures on these models."
)
EPILOG = "exit codes: 0 done; 2 it could not be done; 130 stopped by Ctrl-C"
#: Each action's module has add_arguments(parser) and run(args) -> exit code.
ACTIONS: dict[str, str] = {
    "look": "score known and unknown prompts, and say how well the score tells them apart; nothing is drawn",
    "draw": "score every prompt of a file in every way and draw it, through a saved workflow",
    "judge": "take what a table, or the demo experts' known pictures, say of a trial's pictures",
    "page": "write what a trial shows as a page, by a rule that is fixed beforehand",
    "finish": "write the calibrations that a trial leaves, and its workflow with the advised settings",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    for name, text in ACTIONS.items():
        module = importlib.import_module(f".{name}", __package__)
        made = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
        module.add_arguments(made)
        made.set_defaults(act=module.run)


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    done: int = args.act(args)
    return done
