"""Mixtures on a live server: the template's graph, its report in the history, its errors, both modes side by side."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from emoe_host.client import Graph, GraphRefused
from PIL import Image

TEMPLATE = Path(__file__).resolve().parents[2] / "example_workflows" / "api" / "the_papers_mixture.json"


@pytest.fixture
def graph() -> Graph:
    found: Graph = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    found["12"]["inputs"]["gate_steps"] = 3
    found["8"]["inputs"]["steps"] = 4
    return found


def test_a_mixture_is_scored_and_drawn_beside_its_experts(default_server: Any, graph: Graph) -> None:
    """One graph scores the experts and their mixture, draws with both, and does so again in another order."""
    graph["20"] = deepcopy(graph["5"])
    graph["20"]["inputs"] |= {"experts": ["2", 0], "positive": ["21", 0]}
    graph["21"] = deepcopy(graph["3"])
    graph["21"]["inputs"]["experts"] = ["2", 0]
    graph["22"] = deepcopy(graph["8"])
    graph["22"]["inputs"] |= {"model": ["2", 1], "positive": ["21", 0]}
    graph["23"] = {"class_type": "VAEDecode", "inputs": {"samples": ["22", 0], "vae": ["2", 3]}}
    graph["24"] = {"class_type": "SaveImage", "inputs": {"images": ["23", 0], "filename_prefix": "base"}}
    graph["25"] = {"class_type": "PreviewAny", "inputs": {"source": ["20", 0]}}
    first = default_server.run(graph)
    assert first.ok, first.error
    mixture, ensemble = (first.outputs[node]["emoe_report"][0] for node in ("5", "20"))
    assert (mixture["settings"]["mode"], ensemble["settings"]["mode"]) == ("mixture", "ensemble")
    assert len(mixture["routing"]["layers"]) == 12 and "routing" not in ensemble
    assert any(line.startswith("routing over 12 layers") for line in first.outputs["5"]["text"])
    pictures = drawn(first, default_server)
    assert len(pictures) == 2

    graph["20"]["inputs"]["noise_seed"] = graph["5"]["inputs"]["noise_seed"] = 1
    for node in ("8", "22"):  # what was drawn before is drawn again, now with the other model loaded
        graph[node]["inputs"]["steps"] = 3
    assert default_server.run(graph).ok
    graph["20"]["inputs"]["noise_seed"] = graph["5"]["inputs"]["noise_seed"] = 0
    for node in ("8", "22"):
        graph[node]["inputs"]["steps"] = 4
    again = default_server.run(graph)
    assert again.ok
    for node, report in (("5", mixture), ("20", ensemble)):
        assert again.outputs[node]["emoe_report"][0]["items"] == report["items"]
    assert drawn(again, default_server) == pictures


def drawn(result: Any, server: Any) -> dict[str, bytes]:
    """Pixels by the beginning of the file's name."""
    found = {}
    for path in result.image_paths(server.output):
        with Image.open(path) as picture:
            found[path.name.partition("_")[0]] = picture.tobytes()
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"top_k": 5}, "Build Mixture's top_k is 5 and there are 4 experts; choose 1 to 4."),
        ({"positive_prompts": "one\ntwo"}, "Build Mixture's positive_prompts has 2 lines and there are 4 experts"),
        ({"layers": "every"}, "There are no mixture layers 'every'; choose attn, ff, all."),
    ],
)
def test_bad_input_is_one_sentence(default_server: Any, graph: Graph, change: dict[str, Any], said: str) -> None:
    graph["12"]["inputs"] |= change
    try:
        result = default_server.run(graph)
    except GraphRefused as refused:  # newer hosts look at the list themselves
        assert "layers" in change and "every" in str(refused)
        return
    assert result.status == "error" and result.error is not None and result.error.startswith(said)
    assert not result.did_run("8")


def test_a_folder_that_is_not_there_is_refused_when_queued(default_server: Any) -> None:
    graph: Graph = {
        "1": {"class_type": "EMoE_LoadSegMoE", "inputs": {"folder": "nowhere"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    with pytest.raises(GraphRefused, match="nowhere"):
        default_server.run(graph)
