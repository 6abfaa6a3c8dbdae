"""`python -m emoe_core decisions`: the decision report of a labelled calibration file."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from ..gating.decision_report import Choice, decisions
from ..gating.policies import ALPHA, DELTA, POLICIES
from ..io.console import out
from ..io.files import explained
from ..records.calibration import Calibration
from ..show.decisions import picture

DESCRIPTION = (
    "Reads a calibration whose bad prompts are marked and reports the risk-coverage curve, AURC, AUGRC and AUARC with "
    "intervals, and the seconds saved against the quality kept, at the threshold that a policy chooses."
)
EPILOG = "exit codes: 0 done; 2 the calibration cannot be read or has no marks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("calibration", metavar="CALIBRATION.json", help="a file that Save Calibration wrote")
    add("--policy", choices=list(POLICIES), default="false_block_rate", help="how the threshold is chosen")
    add("--alpha", type=float, default=ALPHA, help=f"the rate that the policy keeps (default {ALPHA})")
    add("--delta", type=float, default=DELTA, help=f"with bad_among_passed: 1 - confidence (default {DELTA:g})")
    add("--threshold", type=float, default=0.0, help="with raw_threshold: the highest score that passes")
    add("--group", default="", help="only the prompts of a group: LABEL or COLUMN=LABEL")
    add("--seconds-generation", type=float, default=10.0, metavar="S", help="time of one image (default 10)")
    add("--seconds-score", type=float, default=0.5, metavar="S", help="time of one score (default 0.5)")
    add("--png", metavar="FILE", help="draw the curves to FILE")
    add("--theme", choices=["light", "dark"], default="light", help="look of the picture")
    add("--json", action="store_true", help="print every number as JSON")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""

    choice = Choice(**{one.name: getattr(args, one.name) for one in fields(Choice)})
    report = decisions(Calibration.load(args.calibration), choice)
    if args.png:
        with explained(f"The picture '{args.png}' cannot be written", "choose another place"):
            picture(report, args.theme).save(Path(args.png), format="PNG")
    lines = [json.dumps(report.as_dict(), allow_nan=False)] if args.json else report.lines()
    out("\n".join(lines))
    return 0
