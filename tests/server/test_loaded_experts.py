"""Experts from files on a live server: part of a file or all of it, several sets in one graph, and a run that is cancelled."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emoe_host.client import Result
from emoe_testing.checkpoints import make_sd15

Graph = dict[str, dict[str, Any]]
Run = Callable[..., Result]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="module")
def names(models: Path) -> list[str]:
    """Three fine-tunes of one base."""
    folder = models / "checkpoints"
    base = make_sd15(folder / "parts_0.safetensors", 0)
    made = [base, *(make_sd15(folder / f"parts_{seed}.safetensors", seed, base=base, delta=0.1) for seed in (1, 2))]
    return [path.name for path in made]


def scored(tag: str, seed: int = 0, samples: int = 1, **sets: tuple[Graph, str]) -> Graph:
    """One Score and one Gate for each set of experts: (a node that makes the set, preset) by name."""
    graph: Graph = {
        "prompt": node("RecorderConditioning", tag=tag, seed=seed, width=768),
        "empty": node("RecorderConditioning", tag=tag, seed=99, width=768),
        "latent": node("EmptyLatentImage", width=64, height=64, batch_size=1),
    }
    settings = {"add_noise": "enable", "noise_seed": seed, "steps": 20, "scheduler": "normal", "at_step": 0}
    for name, (experts, preset) in sets.items():
        graph[name] = experts
        graph[f"score_{name}"] = node(
            "EMoE_Score",
            experts=[name, 0],
            positive=["prompt", 0],
            latent_image=["latent", 0],
            empty_prompt=["empty", 0],
            preset=preset,
            noise_samples=samples,
            tap="mid_out",
            estimator="relative",
            **settings,
        )
        gate = {"policy": "raw_threshold", "alpha": 0.05, "mode": "decide", "filename_prefix": "emoe/parts"}
        graph[f"gate_{name}"] = node("EMoE_Gate", report=[f"score_{name}", 1], threshold=1e12, **gate)
    return graph


def verdicts(result: Result) -> dict[str, dict[str, Any]]:
    assert result.ok, result.error
    return {name.removeprefix("gate_"): out["emoe"][0] for name, out in result.outputs.items() if "gate_" in name}


def test_two_scores_with_different_experts_in_one_graph(run: Run, names: list[str], tag: str) -> None:
    """Encoder only, whole and slim, fast and thorough, two sets of files: each score as if it were alone."""

    def load(first: int, second: int, **how: str) -> Any:
        return node("EMoE_LoadExperts", expert_1=names[first], expert_2=names[second], **how)

    sets = {
        "near": (load(0, 1), "fast"),
        "far": (load(1, 2, load="encoder only"), "fast"),
        "whole": (load(0, 1, load="whole"), "fast"),
        "deep": (load(0, 1, load="encoder only"), "thorough"),
        "deep_whole": (load(0, 1, load="whole"), "thorough"),
        "slim": (load(0, 1, load="slim"), "fast"),
        "deep_slim": (load(0, 1, load="slim"), "thorough"),
    }
    together = verdicts(run(scored(tag, **sets)))
    assert set(together) == set(sets)
    for one, other in (("near", "whole"), ("deep", "deep_whole")):
        assert together[one]["score"] == together[other]["score"] > 0
        assert together[one]["fingerprint"] == together[other]["fingerprint"]
    for one, other in (("slim", "whole"), ("deep_slim", "deep_whole")):
        assert together[one]["score"] == pytest.approx(together[other]["score"], rel=0.15)
        assert together[one]["fingerprint"] != together[other]["fingerprint"]
    assert together["far"]["score"] not in (together["near"]["score"], 0)
    alone = verdicts(run(scored(f"{tag} alone", **{name: sets[name] for name in ("far", "deep_slim")})))
    assert all(alone[name]["score"] == together[name]["score"] for name in alone)


def test_an_unknown_way_to_load_is_refused(default_server: Any, names: list[str], tag: str) -> None:
    experts = node("EMoE_LoadExperts", expert_1=names[0], expert_2=names[1], load="decoder only")
    error = default_server.run(scored(tag, own=(experts, "fast"))).error
    assert error is not None and "'load' is 'decoder only'; choose encoder only, whole or slim" in error


def test_a_cancelled_run_leaves_the_next_one_right(default_server: Any, names: list[str], tag: str) -> None:
    """The interrupt comes while experts are asked; the same experts then score as if nothing had been."""

    def graph(samples: int, tag: str) -> Graph:
        experts = node("EMoE_LoadExperts", expert_1=names[0], expert_2=names[1])
        return scored(tag, samples=samples, own=(experts, "thorough"))

    expected = verdicts(default_server.run(graph(2, f"{tag} before")))["own"]["score"]
    sent: list[str] = []

    def cancel(event: str, data: dict[str, Any]) -> None:
        if event == "progress" and not sent and data.get("node") == "score_own" and data["value"] >= 1:
            sent.append(event)
            urllib.request.urlopen(urllib.request.Request(f"{default_server.url}/interrupt", b"{}", method="POST"))

    stopped = default_server.run(graph(64, f"{tag} cancelled"), on_event=cancel)
    assert sent and not stopped.ok and "gate_own" not in stopped.outputs
    assert verdicts(default_server.run(graph(2, f"{tag} after")))["own"]["score"] == expected
