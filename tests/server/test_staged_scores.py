"""Scores in two stages on a live server: a staged calibration made, used and told in one graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emoe_testing.graphs import PASS, Graph, gate, node, save, scored

from emoe_core.scoring.stages import is_learnt_from

KNOWN = json.loads((Path(__file__).parents[2] / "emoe_core/demo/prompts.json").read_text("utf-8"))["calibration"]
#: The least uncertain of those that the rule was learnt from are decided by the first stage, and most are not.
LEARNT = [prompt for prompt in KNOWN if is_learnt_from(prompt)]
WORDS = ["horse", "rainbow", "candle", "xchtgg", "qwrtz plmk vbn", "red apple"]


def graph(tag: str, kind: str, words: list[str]) -> Graph:
    """Several prompts, each scored with a calibration that is made in the first graph and comes from the cache in the others."""
    made = scored(noise_samples=2)
    settings = {name: value for name, value in made["score"]["inputs"].items() if name not in ("positive",)}
    made["calibration"] = node("EMoE_Calibrate", prompts="\n".join(KNOWN), name="staged", staged=True, **settings)
    made["words"] = node("RecorderStrings", tag=tag, lines="\n".join([*words, tag]))
    made["text"]["inputs"]["text"] = ["words", 0]
    made["score"]["inputs"]["calibration"] = ["calibration", 0]
    made["score"]["class_type"] = kind
    return made


def test_a_prompt_takes_a_quarter_or_half_of_the_calls_alone_and_in_a_list(default_server: Any, tag: str) -> None:
    told: list[Any] = []
    for kind in ("EMoE_Score", "EMoE_ScoreList"):
        made = {**graph(tag, kind, LEARNT), "save": node("SaveImage", images=["score", 2], filename_prefix=tag)}
        result = default_server.run(made)
        assert result.ok, result.errors
        reports = result.outputs["score"]["emoe_report"]
        assert [one["prompt"] for one in reports] == [*LEARNT, tag]
        stages = [one["stage"] for one in reports]
        assert all(one == {"stage": one["stage"], "calls": 2 * one["stage"], "full": 8} for one in stages)
        assert {one["stage"] for one in stages} == {1, 2}
        lines = "\n".join(result.outputs["score"]["text"])
        assert "stage 1 of 2 decided: 2 of 8 network calls" in lines
        assert "stage 2 of 2 decided: 4 of 8 network calls" in lines
        told.append([(one["score"], one["stage"]["stage"]) for one in reports])
    assert told[0] == told[1]


def test_the_gate_decides_by_the_staged_calibration(default_server: Any, tag: str) -> None:
    made = graph(tag, "EMoE_Score", WORDS)
    made |= {"gate": gate(PASS, policy="false_block_rate", alpha=0.1), "route": node("EMoE_Route", passed=["gate", 0])}
    made["route"]["inputs"]["on_pass"] = ["score", 2]
    made["save"] = save("route", tag)
    result = default_server.run(made)
    assert result.ok, result.errors
    verdicts = result.outputs["gate"]["emoe"]
    assert [one["prompt"] for one in verdicts] == [*WORDS, tag]
    assert all(0 < one["p_value"] <= 1 for one in verdicts)
    assert {one["verdict"] for one in verdicts} == {"pass", "block"}
