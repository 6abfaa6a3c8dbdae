"""`prove judge`: what a table, or the demo experts' known pictures, say of a trial's pictures."""

import argparse
import json
from pathlib import Path

from ...errors import EMoEError
from ...io.console import Line, out
from ...trial.judges import Judge, work
from ...trial.judges.demo import NAME as DEMO
from ...trial.judges.demo import DemoJudge
from ...trial.judges.table import KEYS, TableJudge
from ...trial.store import Trial
from .place import HELP, open_picture, trial_path

CSV = "csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--trial", required=True, metavar="NAME", help=HELP)
    add(
        "--judge",
        choices=[CSV, DEMO],
        help=f"{CSV} (when --csv is given): a column of a table; {DEMO}: the demo experts' right pictures",
    )
    add("--csv", metavar="FILE", help="a table with a row per picture, from any tool")
    add("--column", metavar="NAME", help="its column to take: numbers (higher is better), or good and bad")
    add("--key", choices=KEYS, help="its column that says which picture a row means; the first of these when not given")
    add("--bad-below", type=float, metavar="X", help="numbers below X are bad; without it, numbers are no verdict")
    add("--name", default="", help="what to call the judge; the column when not given")
    add(
        "--pictures",
        metavar="FOLDER",
        help="the pictures' folder; ComfyUI's own, then the server that drew them, when not given",
    )
    add("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    trial = Trial(trial_path(args.trial))
    judge = _judge(args)
    line = Line()
    try:
        found = work(trial, judge, lambda done, total: line.show(f"{done} of {total} pictures", last=done == total))
    finally:
        line.finish()
    if args.json:
        numbers = {"judge": found.judge, "now": found.now, "before": found.before, "good": found.good, "bad": found.bad}
        out(json.dumps({**numbers, "left_out": dict(found.left_out), "notes": found.notes}, indent=2))
    else:
        out("\n".join(found.lines()))
    return 0


def _judge(args: argparse.Namespace) -> Judge:
    chosen = args.judge or (CSV if args.csv else None)
    if chosen is None:
        raise EMoEError(f"No judge is named; give --csv FILE with --column NAME, or --judge {DEMO}.")
    if chosen == DEMO:
        return DemoJudge(lambda picture: open_picture(picture, args.pictures))
    if not args.csv or not args.column:
        raise EMoEError("The judge csv needs a table and its column; give --csv FILE and --column NAME.")
    return TableJudge(Path(args.csv), args.column, args.name, args.key, args.bad_below)
