"""What a trial leaves: a labelled calibration of every preset that was read, and its workflow with the advised settings."""

import copy
import re
from dataclasses import dataclass
from typing import Any

from ..errors import EMoEError
from ..records.calibration import Calibration
from ..scoring.presets import PRESETS
from .evidence import Advice, calibration
from .store import Contents

SCORE, GATE, LOAD = "EMoE_Score", "EMoE_Gate", "EMoE_LoadCalibration"
#: What cannot be in a calibration's file name: Load Calibration takes plain names only.
_UNFIT = re.compile(r"[^\w .,()+-]")
_LONGEST = 60


@dataclass(frozen=True)
class Left:
    """The calibrations by preset, and why there is none for the others."""

    calibrations: dict[str, Calibration]
    missing: dict[str, str]


def calibrations(contents: Contents, labels: str, name: str) -> Left:
    """A calibration for every reading that has settings.

    Raises:
        EMoEError: there are no labels, or no reading can become a calibration.
    """
    left = Left({}, {})
    for reading in contents.readings:
        if reading.settings is None:
            continue
        try:
            left.calibrations[reading.name] = calibration(contents, labels, reading, file_name(name, reading.name))
        except EMoEError as error:
            left.missing[reading.name] = str(error)
    if not left.calibrations:
        raise EMoEError(next(iter(left.missing.values()), "The trial has no reading that can become a calibration."))
    return left


def file_name(trial: str, preset: str) -> str:
    """What a preset's calibration is called, such as "mine layout"."""
    return f"{_UNFIT.sub('-', trial)[:_LONGEST].strip(' .-') or 'trial'} {_UNFIT.sub('-', preset)}"


def workflow(contents: Contents, advice: Advice, calibration_name: str) -> dict[str, Any]:
    """The trial's workflow in API format, with the advised settings and a Load Calibration node.

    Raises:
        EMoEError: the trial has no workflow, or that has no Score or no Gate.
    """
    graph = contents.facts.get("workflow")
    if not isinstance(graph, dict):
        raise EMoEError("The trial does not hold its workflow, so none can be written; set your own by the page.")
    made: dict[str, Any] = copy.deepcopy(graph)
    scores, gates = _nodes(made, SCORE), _nodes(made, GATE)
    if not scores or not gates:
        what = "Uncertainty Score" if not scores else "Confidence Gate"
        raise EMoEError(f"The trial's workflow has no {what}, so it cannot be set; set your own by the page.")
    new = str(max((int(name) for name in made if name.isdigit()), default=0) + 1)
    made[new] = {"class_type": LOAD, "inputs": {"name": calibration_name}, "_meta": {"title": "Load Calibration"}}
    for inputs in scores:
        if advice.preset in PRESETS:
            inputs["preset"] = advice.preset
        inputs["calibration"] = [new, 0]
    for inputs in gates:
        inputs.update(policy=advice.policy, alpha=advice.alpha, mode=advice.mode)
        if advice.threshold is not None:
            inputs["threshold"] = advice.threshold
        inputs.pop("calibration", None)  # the report brings the one that Score is connected to
    return made


def _nodes(graph: dict[str, Any], class_type: str) -> list[dict[str, Any]]:
    """The inputs of the nodes of a class."""
    return [
        node["inputs"]
        for node in graph.values()
        if isinstance(node, dict) and node.get("class_type") == class_type and isinstance(node.get("inputs"), dict)
    ]
