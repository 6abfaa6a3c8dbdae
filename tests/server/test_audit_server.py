"""The audit of a running server: a saved workflow's Score node, asked for every prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emoe_host.client import GraphRefused

from emoe_core.audit.analysis import analyse
from emoe_core.audit.engine import run
from emoe_core.audit.plan import read_plan
from emoe_core.audit.server import ServerScorer, score_only
from emoe_core.errors import EMoEError
from emoe_core.remote.workflow import load_workflow

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "example_workflows" / "api" / "gate_before_generation.json"
PROMPTS = ("horse", "traktori", "rainbow", "horse", "xchtgg")


def test_only_what_score_needs_is_queued() -> None:
    graph, score, gate = score_only(load_workflow(WORKFLOW))
    classes = {node["class_type"] for node in graph.values()}
    assert classes == {
        "PrimitiveStringMultiline",
        "EMoE_DemoExperts",
        "EMoE_EncodeForExperts",
        "EmptyLatentImage",
        "EMoE_Score",
        "EMoE_Gate",
        "PreviewAny",
    }
    assert gate and graph[gate]["inputs"]["mode"] == "observe" and graph[score]["class_type"] == "EMoE_Score"
    without = {name: node for name, node in load_workflow(WORKFLOW).items() if name != score}
    with pytest.raises(EMoEError, match="has 0 Uncertainty Score nodes"):
        score_only(without)


def test_the_servers_audit_has_every_score_and_makes_no_image(default_server: Any, tmp_path: Path) -> None:
    """Doubled prompts included, which the server answers from its cache."""
    (tmp_path / "p.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    images = len(list(default_server.output.rglob("*.png")))
    scorer = ServerScorer([default_server.url], load_workflow(WORKFLOW))
    with run(read_plan(tmp_path / "p.txt"), scorer, tmp_path / "out") as store:
        result = analyse(store)
        rows = {entry["row"]: entry for entry in store.prompts()}
    assert result.prompts == 5 and not result.failed and len(result.experts) == 4
    assert result.settings["tap"] == "noise_pred" and result.calibration
    assert rows[1]["score"] == rows[4]["score"] < rows[2]["score"] < rows[5]["score"]
    assert rows[1]["p_value"] > 0.1 > rows[5]["p_value"] and rows[1]["response"] is not None
    assert len(list(default_server.output.rglob("*.png"))) == images


def test_a_server_that_cannot_score_says_why(default_server: Any) -> None:
    graph = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    score = next(node for node in graph.values() if node["class_type"] == "EMoE_Score")
    score["inputs"]["at_step"] = 500
    with pytest.raises(EMoEError, match="cannot score with this workflow: .*at_step is 500"):
        ServerScorer([default_server.url], graph).about()
    with pytest.raises(EMoEError, match="has not answered"):
        ServerScorer(["http://127.0.0.1:9"], load_workflow(WORKFLOW), give_up=0).about()


def test_the_audit_node_runs_alone_and_its_summary_stays_in_the_history(default_server: Any, tag: str) -> None:
    table = f"prompt,language\nhorse {tag},en\nhevonen {tag},fi\n"
    inputs = {"experts": ["1", 0], "latent_image": ["2", 0], "file": "none", "prompts": table, "name": "over http"}
    inputs |= {"groups": "language", "id_column": "", "reference": "", "weight_column": "", "alpha": 0.05}
    inputs |= {"preset": "fast", "add_noise": "enable", "noise_seed": 0, "steps": 20, "scheduler": "normal"}
    inputs |= {"at_step": 0, "noise_samples": 1, "tap": "mid_out", "estimator": "relative"}
    graph = {
        "1": {"class_type": "EMoE_DemoExperts", "inputs": {}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
        "3": {"class_type": "EMoE_Audit", "inputs": inputs},
    }
    first, again = default_server.run(graph), default_server.run(graph)
    for result in (first, again):
        assert result.error is None
        assert "2 prompts of" in result.outputs["3"]["text"][0]
    folders = [
        path.name for path in (default_server.output / "emoe_audits").iterdir() if path.name.startswith("over http")
    ]
    assert len(folders) == 1
    missing = {**graph, "3": {"class_type": "EMoE_Audit", "inputs": {**inputs, "file": "nowhere.csv"}}}
    with pytest.raises(GraphRefused, match="nowhere.csv"):
        default_server.run(missing)
