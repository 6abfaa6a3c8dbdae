"""`prove finish`: the calibrations that a trial leaves, and its workflow with the advised settings."""

import argparse
import json
from pathlib import Path

from ...errors import EMoEError
from ...io.console import out
from ...io.files import explained, write_whole
from ...trial.evidence import evidence
from ...trial.finish import calibrations, workflow
from .place import add_trial, comfyui, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_trial(parser)
    add = parser.add_argument
    add("--install", action="store_true", help="put the calibrations where Load Calibration finds them")
    add("--out", metavar="DIR", help="where the workflow goes, and without --install the calibrations too")
    add("--overwrite", action="store_true", help="replace calibrations that are there")


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    if not args.install and not args.out:
        raise EMoEError("Where the calibrations go is not said; give --install, or --out DIR.")
    path, contents, labels = read(args)
    shown = evidence(contents, labels, path.stem)
    left = calibrations(contents, labels, path.stem)
    folder = Path(args.out) if args.out else path.parent
    kept = comfyui() / "user" / "emoe" / "calibrations" if args.install else folder
    files = {preset: kept / f"{made.name}.json" for preset, made in left.calibrations.items()}
    if not args.overwrite:
        for preset, file in files.items():
            if file.exists() and not left.calibrations[preset].is_kept_in(file):
                raise EMoEError(
                    f"There is another calibration '{file}'; give --overwrite to replace it, or copy the trial under another "
                    "name."
                )
    with explained(f"The calibrations cannot be written to '{kept}'", "choose another folder"):
        kept.mkdir(parents=True, exist_ok=True)
        for preset, file in files.items():
            left.calibrations[preset].save(file)
    for preset, file in files.items():
        out(f"{left.calibrations[preset].line()} Written to '{file}'.")
    for preset, why in left.missing.items():
        out(f"No calibration of {preset}: {why}")
    advice = shown.advice
    if advice is None or advice.preset not in files:
        out("No preset can be advised, so no workflow is written.")
        return 0
    try:
        graph = workflow(contents, advice, files[advice.preset].stem)
    except EMoEError as error:
        out(f"No workflow is written. {error}")
        return 0
    target = folder / f"{path.stem}.workflow.json"
    with explained(f"The workflow '{target}' cannot be written", "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(target, json.dumps(graph, ensure_ascii=False, indent=1) + "\n")
    out(
        f"The workflow with preset {advice.preset}, policy {advice.policy}, alpha {advice.alpha:g} and mode {advice.mode} is "
        f"'{target}' (API format)."
    )
    return 0
