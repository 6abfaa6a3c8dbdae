"""The workflows that a user opens from Templates: known nodes, equal to their API twins, and they do what their notes say."""

from __future__ import annotations

import contextlib
import io
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "example_workflows"
WORKFLOWS = sorted(FOLDER.glob("*.json"))
TWINS = sorted((FOLDER / "api").glob("*.json"))
#: Notes are the canvas's own. Display nodes show something to a person; an API client reads the history instead.
NOTES = {"Note", "MarkdownNote"}
DISPLAYS = {"PreviewAny", "PreviewImage", "EMoE_DisagreementMap"}
#: What the Gates say and how many pictures are kept, where it is not one prompt that passes and is drawn.
EXPECTED: dict[str, tuple[list[str], int]] = {
    "gate_a_list_of_prompts": (["pass", "block", "pass", "block", "pass"], 3),
    "calibrate_and_save": (["pass"], 0),
    "which_word_is_unknown": ([], 0),
    "prove_your_checkpoints": ([], 5),
}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


@pytest.fixture(scope="module")
def object_info(servers: Any) -> dict[str, Any]:
    return dict(servers("default").server.object_info())


def flattened(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The API graph of a workflow in UI format, from the server's own account of its nodes.

    Widget values are positional: the n-th value belongs to the n-th input that has a widget, and seeds have one more
    value after theirs, what to do with them after a run.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        info = object_info[node["type"]]
        linked = {i["name"]: sources[i["link"]] for i in node.get("inputs", []) if i.get("link") is not None}
        values = list(node.get("widgets_values") or [])
        inputs: dict[str, Any] = {}
        specs = [item for group in ("required", "optional") for item in info["input"].get(group, {}).items()]
        for name, (kind, *options) in specs:
            option = options[0] if options else {}
            if (isinstance(kind, list) or kind in WIDGETS) and not option.get("forceInput"):
                inputs[name] = values.pop(0)
                if option.get("control_after_generate", name in ("seed", "noise_seed")):
                    values.pop(0)
            if name in linked:
                inputs[name] = linked.pop(name)
        assert not linked and not values, (
            f"node {node['id']} ({node['type']}) has more than its schema: {linked} {values}"
        )
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph


def test_every_workflow_has_a_twin_and_a_picture() -> None:
    assert len(WORKFLOWS) >= 3
    assert [p.name for p in WORKFLOWS] == [p.name for p in TWINS]
    for path in WORKFLOWS:
        picture = path.with_suffix(".jpg").read_bytes()
        assert picture.startswith(b"\xff\xd8\xff") and len(picture) < 60_000


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_the_server_knows_every_node(path: Path, object_info: dict[str, Any]) -> None:
    unknown = {node["type"] for node in read(path)["nodes"]} - set(object_info) - NOTES
    assert not unknown


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_workflow_is_its_api_twin_with_displays_added(path: Path, object_info: dict[str, Any]) -> None:
    graph = flattened(read(path), object_info)
    shown = {key for key, node in graph.items() if node["class_type"] in DISPLAYS}
    twin = read(FOLDER / "api" / path.name)
    assert {key: node for key, node in graph.items() if key not in shown} == {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in twin.items()
    }
    read_from = [value[0] for node in graph.values() for value in node["inputs"].values() if isinstance(value, list)]
    assert shown and not shown & set(read_from)  # nothing hangs on a display


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_nothing_lies_on_anything(path: Path) -> None:
    """Boxes of the nodes with their title bars; every node but the note lies in a group."""
    workflow = read(path)
    boxes = {n["id"]: (n["pos"][0], n["pos"][1] - 30, n["size"][0], n["size"][1] + 30) for n in workflow["nodes"]}
    ids = sorted(boxes)
    for i, a in enumerate(ids):
        for b in ids[:i]:
            (ax, ay, aw, ah), (bx, by, bw, bh) = boxes[a], boxes[b]
            assert ax >= bx + bw or bx >= ax + aw or ay >= by + bh or by >= ay + ah, f"{a} lies on {b}"
    for node in workflow["nodes"]:
        x, y, w, h = boxes[node["id"]]
        inside = [
            g["title"]
            for g in workflow["groups"]
            if g["bounding"][0] <= x
            and g["bounding"][1] <= y
            and x + w <= g["bounding"][0] + g["bounding"][2]
            and y + h <= g["bounding"][1] + g["bounding"][3]
        ]
        assert len(inside) == (0 if node["type"] in NOTES else 1), f"{node['type']} is in {inside}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_seeds_stay_as_they_are(path: Path) -> None:
    """A second run must show the same image: no seed may change after a run."""
    assert not re.search(r'"(randomize|increment|decrement)"', path.read_text("utf-8"))


@pytest.mark.parametrize("path", TWINS, ids=lambda p: p.stem)
def test_as_opened_it_does_what_it_is_for(path: Path, default_server: Any) -> None:
    result = default_server.run(read(path))
    assert result.ok, result.error
    verdicts = [entry for output in result.outputs.values() for entry in output.get("emoe") or []]
    said, pictures = EXPECTED.get(path.stem, (["pass"], 1))
    assert [verdict["verdict"] for verdict in verdicts] == said
    assert len(result.images) == pictures
    assert all(file.is_file() for file in result.image_paths(default_server.output))


def noted_prompts(path: Path) -> list[str]:
    """Prompts that the workflow's note says are blocked."""
    note = next(node for node in read(path)["nodes"] if node["type"] in NOTES)
    return re.findall(r"Change the prompt to `([^`]+)`", note["widgets_values"][0])


@pytest.mark.parametrize("path", [p for p in WORKFLOWS if noted_prompts(p)], ids=lambda p: p.stem)
def test_the_notes_unknown_prompt_is_blocked(path: Path, default_server: Any) -> None:
    graph = read(FOLDER / "api" / path.name)
    (unknown,) = noted_prompts(path)
    graph["1"]["inputs"]["value"] = unknown
    result = default_server.run(graph)
    assert result.ok, result.error
    assert [e["verdict"] for output in result.outputs.values() for e in output.get("emoe") or []] == ["block"]
    assert len(result.images) == ("on_block" in graph["10"]["inputs"])
    assert not result.did_run("9")
    assert not result.did_run(graph["9"]["inputs"]["samples"][0])


@pytest.mark.parametrize("readme", ["README.md", "README.ja.md"])
def test_the_readmes_python_example_works(readme: str, default_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person copies it: from the pack's folder, against a server on the usual port."""
    code = re.search(r"^```python\n(.*?)^```", (ROOT / readme).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert code is not None and "http://127.0.0.1:8188" in code[1]
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code[1].replace("http://127.0.0.1:8188", default_server.url), {})  # noqa: S102
    lines = said.getvalue().splitlines()
    assert len(lines) == 2
    assert " pass " in lines[0] and ".png" in lines[0]
    assert " block " in lines[1] and ".png" not in lines[1]


def test_the_server_offers_the_workflows_as_templates(default_server: Any) -> None:
    assert set(default_server.server.get("/workflow_templates")["emoe"]) == {path.stem for path in WORKFLOWS}


def test_the_help_pages_are_served_where_the_frontend_asks(default_server: Any, object_info: dict[str, Any]) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    mine = [name for name, info in object_info.items() if info["python_module"] == "custom_nodes.emoe"]
    for name in mine:
        with direct.open(f"{default_server.url}/extensions/emoe/docs/{name}.md") as answer:
            assert answer.read().startswith(b"# "), name
    assert len(mine) >= 8
