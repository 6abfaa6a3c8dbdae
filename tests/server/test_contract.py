"""What a client sees of every kind of run: the table of docs/batch.md, line by line, first and cached, with and without
a client_id, for single prompts and for lists of three.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.graphs import BLOCK, PASS, Graph, gate, node, save, scored

from emoe_core.__main__ import main

KEEPS_CACHED_OUTPUTS = (0, 28)  # from this release on, a cached run without a client_id has its outputs too
PICTURE, FALLBACK = (16, 16), (8, 8)


@dataclass(frozen=True)
class Kind:
    """How a graph treats a block, and what is promised of it when the gate blocks.

    Attributes:
        status: of a run with a blocked item.
        image: what a blocked item leaves in the output folder.
        passed: the verdict's field `passed`.
        ends_all: one blocked item keeps the others from being saved too.
        codes: exit codes of the batch command, without and with --fail-on-reject.
        row: the row's status in the batch's results.
    """

    status: str
    image: tuple[int, int] | None
    passed: bool
    ends_all: bool
    codes: tuple[int, int]
    row: str


KINDS = {
    "block": Kind("success", None, False, False, (0, 1), "blocked"),
    "stop": Kind("success", None, False, False, (0, 1), "blocked"),
    "reroute": Kind("success", FALLBACK, False, False, (0, 1), "blocked"),
    "observe": Kind("success", PICTURE, True, False, (0, 0), "ok"),
    "error": Kind("error", None, False, True, (0, 1), "blocked"),
}


def graph_of(kind: str, limit: float, tag: str, prompts: str | None = None) -> Graph:
    """A recorder stands for the generation. With `prompts`, they are a list, one per line."""
    graph = {
        **scored(prompt="rainbow"),
        "gate": gate(limit, filename_prefix=f"{tag}/verdict", mode="observe" if kind == "observe" else "decide"),
        "picture": node("RecorderImage", tag=tag, value=0.5),
        "road": node("EMoE_Route", passed=["gate", 0], on_pass=["picture", 0]),
        "save": save("road", f"{tag}/image"),
    }
    if kind == "reroute":
        graph["other"] = node("EmptyImage", width=FALLBACK[0], height=FALLBACK[1], batch_size=1, color=0)
        graph["road"]["inputs"]["on_block"] = ["other", 0]
    if kind in ("stop", "error"):
        how = "error" if kind == "error" else "silent"
        graph["road"] = node("EMoE_Stop", value=["picture", 0], passed=["gate", 0], on_block=how)
    if prompts is not None:
        graph["prompts"] = node("RecorderStrings", tag=f"{tag} prompts", lines=prompts)
        graph["text"]["inputs"]["text"] = ["prompts", 0]
    return graph


class Seen:
    """The output folder of one tag, and what a history entry names in it."""

    def __init__(self, server: Any, tag: str) -> None:
        self.server, self.folder = server, Path(server.output) / tag

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*")) if self.folder.exists() else []

    def sizes(self, result: Any) -> list[tuple[int, int]]:
        """Width and height of the images that the history names, in its order."""
        heads = [path.read_bytes()[16:24] for path in result.image_paths(Path(self.server.output))]
        return [(int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")) for head in heads]

    def verdicts(self, result: Any) -> list[str]:
        """The verdicts in the history, after a look whether text and files say the same."""
        entry = result.outputs.get("gate", {"emoe": [], "text": [], "files": []})
        said = [verdict["verdict"] for verdict in entry["emoe"]]
        for verdict, text, file in zip(entry["emoe"], entry["text"], entry["files"], strict=True):
            kept = json.loads((Path(self.server.output) / file["subfolder"] / file["filename"]).read_text("utf-8"))
            assert {name: kept[name] for name in verdict} == verdict and file["type"] == "output"
            assert verdict["verdict"] in text and "\n" not in text
        return said


def runs(server: Any, graph: Graph, first_has_client: bool) -> list[tuple[Any, bool]]:
    """The first run and two cached ones, with and without a client_id, and whether each has its cached outputs."""
    numbers = tuple(int(part) for part in server.server.host.version.split(".")[:2])
    silent = numbers < KEEPS_CACHED_OUTPUTS
    ways = [(first_has_client, True), (True, True), (False, not silent)]
    return [(server.run(graph, client_id=client, follow=False), whole) for client, whole in ways]


@pytest.mark.parametrize("first_has_client", [True, False], ids=["client_id", "no client_id"])
@pytest.mark.parametrize("blocked", [False, True], ids=["passes", "blocked"])
@pytest.mark.parametrize("name", list(KINDS))
def test_a_single_prompt(default_server: Any, tag: str, name: str, blocked: bool, first_has_client: bool) -> None:
    kind, seen = KINDS[name], Seen(default_server, tag)
    sizes = [PICTURE] if not blocked else [] if kind.image is None else [kind.image]
    graph = graph_of(name, BLOCK if blocked else PASS, tag)
    for number, (result, whole) in enumerate(runs(default_server, graph, first_has_client)):
        assert result.status == (kind.status if blocked else "success")
        assert ("PromptBlocked" in json.dumps(result.history)) == (blocked and name == "error")
        if whole:
            assert seen.verdicts(result) == ["block" if blocked else "pass"] and seen.sizes(result) == sizes
            assert result.outputs["gate"]["emoe"][0]["passed"] is (kind.passed if blocked else True)
            assert ("save" in result.outputs) == bool(sizes)
        else:
            assert result.outputs == {}
        # The first run wrote one verdict file and its images; the cached ones wrote nothing, and took nothing away.
        assert seen.files() == [*["image_00001_.png"][: len(sizes)], "verdict_00001_.json"], f"run {number}"
    drawn = ["RecorderImage"] if not blocked or kind.passed else []
    assert default_server.called(tag) == drawn


@pytest.mark.parametrize("kind", ["block", "stop"])
def test_a_page_is_shown_cards_and_an_api_client_gets_no_picture(default_server: Any, tag: str, kind: str) -> None:
    """A client that takes every picture for a result, or the first output for the last, then takes the verdict."""
    graphs = [graph_of(kind, BLOCK, tag), graph_of(kind, BLOCK, f"{tag} again")]
    for number, graph in enumerate(graphs):
        graph["text"]["inputs"]["text"] = f"{tag} {number}"
    page, client = default_server.run(graphs[0], workflow={"id": tag}), default_server.run(graphs[1])
    assert {name: "images" in output for name, output in page.outputs.items()} == {"score": True, "gate": True}
    assert list(client.executed) == ["gate", "road"] and "images" not in client.outputs["gate"]
    name = {"block": "Reroute by Gate", "stop": "Stop or Skip by Gate"}[kind]
    assert client.outputs["road"] == {"text": [f"The Gate blocked this prompt: nothing after {name} ran."]}
    told, shown = client.outputs["gate"]["emoe_report"][0], page.outputs["score"]["emoe_report"][0]
    assert told.keys() == shown.keys() and told["fingerprint"] == shown["fingerprint"]
    assert "emoe_report" not in page.outputs["gate"]


def test_a_score_without_a_gate_tells_its_report_to_all(default_server: Any, tag: str) -> None:
    graph = {**scored(prompt=tag), "gate": gate(PASS)}
    graph["other"] = node("EMoE_Score", **{**graph["score"]["inputs"], "noise_seed": 1})
    graph["seen"] = node("PreviewAny", source=["other", 0])
    result = default_server.run(graph)
    assert result.ok and not any("images" in result.outputs[name] for name in ("gate", "score", "other"))
    reports = [result.outputs[name]["emoe_report"][0] for name in ("score", "other")]
    assert [report["prompt"] for report in reports] == [tag, tag]


def test_a_cached_score_is_told_where_the_host_can(default_server: Any, tag: str) -> None:
    """A Score that nobody gates; what else shows something here is no node of the pack."""
    can = default_server.server.object_info()["EMoE_Score"].get("has_intermediate_output", False)
    graph = {**scored(prompt=tag), "seen": node("PreviewAny", source=["score", 0])}
    first, again = (default_server.run(graph) for _ in range(2))
    assert first.ok and again.ok and not again.did_run("score")
    assert ("score" in again.outputs) == can
    if can:
        assert again.outputs["score"]["emoe_report"] == first.outputs["score"]["emoe_report"]


def test_a_second_score_of_the_same_costs_nothing(default_server: Any, tag: str) -> None:
    """ComfyUI keeps results by what went in: a measured time that comes twice was taken once."""
    graph = scored(prompt=tag)
    graph["twin"] = node("EMoE_Score", **graph["score"]["inputs"])
    for name in ("score", "twin"):
        graph[f"seen {name}"] = node("PreviewAny", source=[name, 0])
    result = default_server.run(graph)
    one, other = (result.outputs[name]["emoe_report"][0] for name in ("score", "twin"))
    assert one == other and one["took"]["seconds"] > 0


@pytest.fixture(scope="module")
def three(servers: Callable[[str], Any]) -> tuple[str, float]:
    """Three prompts, the middle one with the highest score, and a limit that blocks it alone."""
    lines = "rainbow\nhorse\nxchtgg"
    graph = graph_of("block", PASS, "scores", lines)
    found = {v["prompt"]: v["score"] for v in servers("default").run(graph).outputs["gate"]["emoe"]}
    low, middle, high = sorted(found, key=lambda prompt: float(found[prompt]))
    return "\n".join([low, high, middle]), (found[middle] + found[high]) / 2


@pytest.mark.parametrize("first_has_client", [True, False], ids=["client_id", "no client_id"])
@pytest.mark.parametrize("blocked", ["none", "middle", "all"])
@pytest.mark.parametrize("name", [name for name in KINDS if name != "stop"])
def test_a_list_of_three(
    default_server: Any, tag: str, three: tuple[str, float], name: str, blocked: str, first_has_client: bool
) -> None:
    kind, seen, (prompts, limit) = KINDS[name], Seen(default_server, tag), three
    stops = {"none": [False] * 3, "middle": [False, True, False], "all": [True] * 3}[blocked]
    items = [PICTURE if not stop else kind.image for stop in stops]
    sizes = [] if kind.ends_all and any(stops) else [size for size in items if size is not None]
    graph = graph_of(name, {"none": PASS, "middle": limit, "all": BLOCK}[blocked], tag, prompts)
    for result, whole in runs(default_server, graph, first_has_client):
        assert result.status == (kind.status if any(stops) else "success")
        if whole:
            assert seen.verdicts(result) == ["block" if stop else "pass" for stop in stops]
            assert [verdict["prompt"] for verdict in result.outputs["gate"]["emoe"]] == prompts.split("\n")
            assert [v["passed"] for v in result.outputs["gate"]["emoe"]] == [not stop or kind.passed for stop in stops]
            assert seen.sizes(result) == sizes
        else:
            assert result.outputs == {}
        verdicts = [f"verdict_{number:05}_.json" for number in (1, 2, 3)]
        assert seen.files() == [f"image_{number + 1:05}_.png" for number in range(len(sizes))] + verdicts


# --- exit codes of the batch command ----------------------------------------------------------------------------------


@dataclass
class Batch:
    """The batch command on one graph and one row, its own results file each time."""

    url: str
    folder: Path

    def run(self, graph: Graph, prompt: str, *more: str) -> tuple[int, dict[str, Any]]:
        out = self.folder / f"out{len(list(self.folder.glob('out*')))}.jsonl"
        (self.folder / "graph.json").write_text(json.dumps(graph))
        (self.folder / "rows.jsonl").write_text(json.dumps({"prompt": prompt}))
        files = ["--workflow", str(self.folder / "graph.json"), "--prompts", str(self.folder / "rows.jsonl")]
        code = main(["batch", "--server", self.url, *files, "--out", str(out), *more])
        return code, json.loads(out.read_text("utf-8"))


@pytest.fixture
def batch(default_server: Any, tmp_path: Path) -> Batch:
    return Batch(default_server.url, tmp_path)


@pytest.mark.parametrize("blocked", [False, True], ids=["passes", "blocked"])
@pytest.mark.parametrize("name", list(KINDS))
def test_exit_codes_and_rows_first_and_cached(batch: Batch, tag: str, name: str, blocked: bool) -> None:
    kind, graph = KINDS[name], graph_of(name, BLOCK if blocked else PASS, tag)
    codes, status = (kind.codes, kind.row) if blocked else ((0, 0), "ok")
    for code, more in zip(codes, ([], ["--fail-on-reject"]), strict=True):
        found, row = batch.run(graph, "rainbow", *more)
        assert (found, row["status"], row["verdict"]) == (code, status, "block" if blocked else "pass")
        assert len(row["images"]) == (not blocked or kind.image is not None) and row["error"] is None


@pytest.mark.parametrize(("blocked", "images"), [("none", 3), ("middle", 2), ("all", 0)])
def test_a_list_is_one_row(batch: Batch, tag: str, three: tuple[str, float], blocked: str, images: int) -> None:
    prompts, limit = three
    graph = graph_of("block", {"none": PASS, "middle": limit, "all": BLOCK}[blocked], tag, "x")
    code, row = batch.run(graph, prompts, "--set", "prompt=prompts.lines", "--fail-on-reject")
    assert (code, row["status"]) == ((0, "ok") if blocked == "none" else (1, "blocked"))
    assert len(row["images"]) == images and [item["prompt"] for item in row["items"]] == prompts.split("\n")


def test_what_cannot_be_scored_is_exit_code_2(default_server: Any, batch: Batch, tag: str) -> None:
    graph = graph_of("block", PASS, tag)
    graph["score"]["inputs"]["at_step"] = 20
    for client in (True, False):
        result = default_server.run(graph, client_id=client, follow=False)
        assert result.status == "error" and "gate" not in result.outputs
        assert result.error is not None and result.error.startswith(
            "Uncertainty Score's at_step is 20, beyond the last of 20 steps"
        )
    code, row = batch.run(graph, "rainbow")
    assert (code, row["status"], row["verdict"], row["images"]) == (2, "error", None, [])
    assert Seen(default_server, tag).files() == [] and default_server.called(tag) == []
