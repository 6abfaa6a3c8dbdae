"""What a trial leaves works: the advised workflow runs, and its Gate decides with the calibration that was written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from emoe_host.graphs import load

from emoe_core.cli.main import main
from emoe_core.cli.prove import finish as command
from emoe_core.records.calibration import Calibration
from emoe_core.trial.readings import readings
from emoe_core.trial.store import Drawn, Trial

KNOWN, UNKNOWN = "cat", "\u98db\u3073\u8df3\u306d\u308b\u98df\u3079\u7269"


def scored(server: Any, graph: dict[str, Any], prompt: str) -> Any:
    """The run of the graph for a prompt, which must not fail."""
    asked = copy.deepcopy(graph)
    asked["1"]["inputs"]["value"] = prompt
    result = server.run(asked)
    assert result.ok, result.errors
    return result


def test_the_workflow_that_a_trial_leaves_decides(
    default_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = load("gate_before_generation")
    graph["6"]["inputs"]["mode"] = "observe"
    graph["8"]["inputs"]["steps"] = 2
    watched = copy.deepcopy(graph)
    watched["5"]["inputs"]["every_preset"] = True
    found = [
        readings(_report(scored(default_server, watched, prompt))) for prompt in (KNOWN, UNKNOWN)
    ]  # of a prompt that the experts know, and of one that they do not
    trial = Trial(tmp_path / "left.sqlite3")
    trial.begin({"workflow": graph, "experts": ["a", "b", "c", "d"], "pictures": 1})
    for number in range(60):
        bad = number % 3 == 0
        scores = {reading: score * (1 + number / 1000) for reading, score in found[bad].items()}
        trial.add(f"{number}-k", number, f"prompt {number}", {}, scores, [Drawn(0, "", f"{number}.png", "", "output")])
    for place, prompt in enumerate(trial.contents().prompts):
        trial.mark(prompt.pictures[0].id, "bad" if place % 3 == 0 else "good")
    monkeypatch.setattr(command, "comfyui", lambda: default_server.user.parent)
    assert main(["prove", "finish", "--trial", str(trial.path), "--install", "--out", str(tmp_path)]) == 0

    left = json.loads((tmp_path / "left.workflow.json").read_text("utf-8"))
    assert (left["6"]["inputs"]["mode"], left["5"]["inputs"]["preset"]) == ("decide", "layout")
    made = Calibration.load(default_server.user / "emoe" / "calibrations" / "left layout.json")
    for prompt, verdict in ((KNOWN, "pass"), (UNKNOWN, "block")):
        result = scored(default_server, left, prompt)
        said = result.outputs["6"]["emoe"][0]
        assert (said["verdict"], said["policy"], said["proof"]) == (verdict, "false_block_rate", None)
        assert said["threshold"] == pytest.approx(left["6"]["inputs"]["threshold"])
        assert said["fingerprint"] == made.settings.fingerprint()
        assert said["p_value"] == made.p_value(said["score"])


def _report(result: Any) -> dict[str, Any]:
    """The Score's report, which it may leave to its Gate."""
    shown = [out["emoe_report"] for out in result.outputs.values() if "emoe_report" in out]
    report: dict[str, Any] = shown[0][0]
    return report
