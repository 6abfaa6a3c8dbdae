"""The demo's promise, on its own prompts: a blocked prompt costs no sampling and leaves no image, a passed one is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from emoe_host import demo, graphs
from emoe_host.client import Graph, Result

UNKNOWN = ("held-out concept", "held-out face", "nonsense", "unseen script")
DRAWING = {"KSampler", "VAEDecode", "SaveImage"}


@dataclass
class Seen:
    """One prompt's run: what the demo would print, and all that the client saw."""

    run: demo.Run
    result: Result


def ancestors(graph: Graph, node: str, skip: frozenset[str] = frozenset()) -> set[str]:
    """Every node that `node` needs, itself included; its inputs named in `skip` are not followed."""
    found = {node}
    for name, value in graph[node]["inputs"].items():
        if isinstance(value, list) and name not in skip:
            found |= ancestors(graph, value[0])
    return found


@pytest.fixture(scope="module")
def seen(servers: Callable) -> dict[str, list[Seen]]:
    """Every demo prompt through every demo workflow, once."""
    live = servers("default")
    found: dict[str, list[Seen]] = {}
    for workflow in demo.WORKFLOWS:
        graph = graphs.load(workflow)
        for node in graph.values():  # what it draws is looked at nowhere here
            if node["class_type"] == "KSampler":
                node["inputs"]["steps"] = 2
        for group, prompt in demo.choose_prompts():
            run = demo.Run(workflow, prompt, group)
            prefix = f"{workflow}/{graphs.file_safe(group)}-{graphs.file_safe(prompt)}"
            result = live.run(graphs.filled(graph, prompt, prefix))
            demo.read_result(run, result, live.output)
            found.setdefault(workflow, []).append(Seen(run, result))
    return found


def test_every_prompt_gets_a_verdict_and_figures(seen: dict[str, list[Seen]]) -> None:
    for entry in (entry for entries in seen.values() for entry in entries):
        assert entry.run.error is None and entry.run.verdict in ("pass", "block")
        assert entry.run.score is not None and entry.run.score > 0
        assert entry.run.p_value is not None and 0 < entry.run.p_value <= 1
        assert entry.run.percentile is not None and 0 <= entry.run.percentile <= 100


def test_both_verdicts_occur_and_known_prompts_pass_more_often(seen: dict[str, list[Seen]]) -> None:
    runs = [entry.run for entry in seen["gate_before_generation"]]
    english = [run.verdict for run in runs if run.group == "English"]
    unknown = [run.verdict for run in runs if run.group in UNKNOWN]
    assert english.count("pass") > len(english) / 2
    assert unknown.count("block") > len(unknown) / 2


def test_a_blocked_prompt_costs_no_sampling_and_leaves_no_image(seen: dict[str, list[Seen]]) -> None:
    blocked = [entry for entry in seen["gate_before_generation"] if entry.run.verdict == "block"]
    assert blocked
    for entry in blocked:
        assert entry.run.images == [] and not DRAWING & set(entry.run.nodes_run)
        announced = {entry.result.class_of(node) for node in entry.result.announced}
        assert not {"KSampler", "VAEDecode"} & announced, "the branch was looked at, not only left out"


def test_a_passed_prompt_is_drawn(seen: dict[str, list[Seen]]) -> None:
    passed = [entry for entry in seen["gate_before_generation"] if entry.run.verdict == "pass"]
    assert passed
    for entry in passed:
        assert set(entry.run.nodes_run) >= DRAWING
        assert len(entry.run.images) == 1 and Path(entry.run.images[0]).stat().st_size > 0


def test_a_rerouted_prompt_touches_one_branch_only(seen: dict[str, list[Seen]]) -> None:
    for entry in seen["reroute_blocked_prompt"]:
        graph = entry.result.graph
        route = graphs.only(graph, "EMoE_Route")
        taken, left = ("on_pass", "on_block") if entry.run.verdict == "pass" else ("on_block", "on_pass")
        needed = ancestors(graph, route, frozenset({left}))
        never = ancestors(graph, graph[route]["inputs"][left][0]) - needed
        assert any(graph[node]["class_type"] == "KSampler" for node in never)
        assert not never & set(entry.result.announced)
        assert len(entry.run.images) == 1, f"{taken} should have been drawn"


def test_the_verdict_is_also_a_file(seen: dict[str, list[Seen]], servers: Callable) -> None:
    entry = seen["gate_before_generation"][0]
    (file,) = entry.result.files("files")
    written = json.loads((servers("default").output / file["subfolder"] / file["filename"]).read_text("utf-8"))
    assert (written["verdict"], written["score"]) == (entry.run.verdict, entry.run.score)
