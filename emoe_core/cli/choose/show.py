"""`choose show`: a saved choice once more, without a server."""

import argparse
from pathlib import Path

from ...choosing.record import ENDING, read
from ...choosing.result import choose
from ...errors import EMoEError
from ...remote.workflow import load_workflow
from ...trial.store import Trial
from ..prove.place import HELP, trial_path
from . import shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=f"what Choose Experts or 'choose run' left: NAME{ENDING}")
    add(
        "--trial",
        metavar="NAME|FILE",
        help=f"choose by the marks of this trial, where the choice has its prompts; {HELP}",
    )
    add("--labels", default="", metavar="WHOSE", help="whose marks: marks, or judge:NAME")
    add("--out", metavar="DIR", help="write the settings there, and the workflow")
    add(
        "--workflow",
        metavar="FILE",
        help="with --out: a workflow in API format, to be written with the advised settings",
    )
    shown.add_arguments(add)


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    if args.labels and not args.trial:
        raise EMoEError("--labels goes with --trial; say whose marks they are.")
    if args.workflow and not args.out:
        raise EMoEError("--workflow goes with --out; say where the new one goes.")
    path = Path(args.file)
    marks = Trial(trial_path(args.trial)).contents() if args.trial else None
    found = choose(read(path), args.most, args.loss, marks, args.labels)
    graph = load_workflow(args.workflow) if args.workflow else None
    return shown.show(args, found, path.name.removesuffix(ENDING), Path(args.out) if args.out else None, graph)
