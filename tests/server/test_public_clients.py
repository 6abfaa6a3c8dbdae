"""Clients that others wrote, as they come from their registries: what each gives of a pass, a block, a reroute, an error.

What is asserted here is what docs/batch.md says of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from comfy_api_simplified.exceptions import ComfyApiError
from emoe_testing.graphs import BLOCK, PASS, Graph, gated, node, rerouted
from emoe_testing.node_packages import NODE, node_modules

CLIENTS = Path(__file__).parent / "clients"
BLOCKED_ERROR = "EMoE: the Gate blocked this prompt, and Stop or Skip by Gate was set to end the run with an error."


def stopped(tag: str) -> Graph:
    graph = gated(BLOCK, tag)
    graph["route"] = node("EMoE_Stop", value=["picture", 0], passed=["gate", 0], on_block="error")
    return graph


MADE: dict[str, Callable[[str], Graph]] = {
    "pass": lambda tag: gated(PASS, tag),
    "block": lambda tag: gated(BLOCK, tag),
    "reroute": lambda tag: rerouted(BLOCK, tag),
    "error": stopped,
}
VERDICTS = {"pass": "pass", "block": "block", "reroute": "block", "error": "block"}
SIZES = {"pass": (128, 128), "reroute": (16, 16)}  # a fallback is told from a picture by its size


@pytest.fixture
def saved(tmp_path: Path, tag: str) -> Callable[[str], Path]:
    """The graph of an outcome as a file in API format, with node titles."""

    def save(outcome: str) -> Path:
        graph = MADE[outcome](f"{tag} {outcome}")
        for name, entry in graph.items():
            entry["_meta"] = {"title": name.capitalize()}
        path = tmp_path / f"{outcome}.json"
        path.write_text(json.dumps(graph))
        return path

    return save


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG: they stand in its header."""
    assert png.startswith(b"\x89PNG")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


# --- comfy-api-simplified ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(SIZES))
def test_comfy_api_simplified(default_server: Any, saved: Callable[[str], Path], outcome: str) -> None:
    """A title's images: with a fallback there are always some."""
    api, workflow = ComfyApiWrapper(default_server.url), ComfyWorkflowWrapper(str(saved(outcome)))
    (image,) = api.queue_and_wait_images(workflow, "Save").values()
    assert size(image) == SIZES[outcome]


class LateListener(ComfyApiWrapper):
    """This client opens its socket only after it has queued; here the run is over by then, as a short one can be."""

    def queue_prompt(self, prompt: dict[str, Any], client_id: str | None = None) -> dict[str, Any]:
        queued: dict[str, Any] = super().queue_prompt(prompt, client_id)
        for _ in range(3000):
            if self.get_history(queued["prompt_id"]):
                break
            time.sleep(0.02)
        return queued


@pytest.mark.parametrize("listens", ["in time", "late"])
@pytest.mark.parametrize("outcome", ["block", "error"])
def test_comfy_api_simplified_without_an_image(
    default_server: Any, saved: Callable[[str], Path], outcome: str, listens: str
) -> None:
    """A block is a KeyError; an error is the client's own only if its socket was open when the run ended."""
    workflow = ComfyWorkflowWrapper(str(saved(outcome)))
    if listens == "in time":
        workflow["held"] = node("RecorderListened", anything=workflow["gate"]["inputs"]["report"])
        workflow["gate"]["inputs"]["report"] = ["held", 0]
    api = (ComfyApiWrapper if listens == "in time" else LateListener)(default_server.url)
    told = (
        (ComfyApiError, "Execution error occurred")
        if (outcome, listens) == ("error", "in time")
        else (KeyError, "save")
    )
    with pytest.raises(told[0], match=told[1]):
        api.queue_and_wait_images(workflow, "Save")


@pytest.mark.parametrize("outcome", ["block", "error"])
def test_comfy_api_simplified_tells_an_error_from_a_block_by_the_history(
    default_server: Any, saved: Callable[[str], Path], outcome: str
) -> None:
    """What is left to a client that listened too late: the run's status."""
    api, workflow = LateListener(default_server.url), ComfyWorkflowWrapper(str(saved(outcome)))
    prompt_id, _ = asyncio.run(api.queue_prompt_and_wait(workflow))
    status = api.get_history(prompt_id)[prompt_id]["status"]["status_str"]
    assert status == {"block": "success", "error": "error"}[outcome]


@pytest.mark.parametrize("outcome", ["pass", "block", "reroute"])
def test_comfy_api_simplified_asked_for_the_verdict(
    default_server: Any, saved: Callable[[str], Path], outcome: str
) -> None:
    """The road that works for every outcome: queue and wait, then the history, then the Gate's file."""
    api, workflow = ComfyApiWrapper(default_server.url), ComfyWorkflowWrapper(str(saved(outcome)))
    prompt_id, _ = asyncio.run(api.queue_prompt_and_wait(workflow))
    outputs = api.get_history(prompt_id)[prompt_id]["outputs"]
    gate = outputs[workflow.get_node_id("Gate")]
    assert gate["emoe"][0]["verdict"] == VERDICTS[outcome]
    (file,) = gate["files"]
    kept = json.loads(api.get_image(file["filename"], file["subfolder"], file["type"]))
    assert kept["verdict"] == VERDICTS[outcome] and kept["score"] == gate["emoe"][0]["score"]
    assert ("images" in outputs.get(workflow.get_node_id("Save"), {})) == (outcome != "block")
    (shown,) = api.queue_and_wait_images(workflow, "Gate").values()  # cached by now; the Gate always has its score card
    assert size(shown)[0] > 128


# --- comfy-cli --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(MADE))
def test_comfy_cli(default_server: Any, saved: Callable[[str], Path], tmp_path: Path, outcome: str) -> None:
    host, _, port = default_server.url.removeprefix("http://").partition(":")
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    alone = {"DO_NOT_TRACK": "1", "COMFY_CLI_NO_REMOTE_REFRESH": "1"}
    command = [sys.executable, "-m", "comfy_cli", "--skip-prompt", "run", "--workflow", str(saved(outcome))]
    command += ["--where", "local", "--host", host, "--port", port, "--wait", "--json"]
    done = subprocess.run(
        command, env={**os.environ, **home, **alone}, stdin=subprocess.DEVNULL, capture_output=True, timeout=240
    )
    said = json.loads(done.stdout.decode().splitlines()[-1])
    if outcome == "error":
        assert (done.returncode, said["ok"]) == (1, False)
        assert said["error"]["code"] == "execution_error" and BLOCKED_ERROR in said["error"]["message"]
        return
    assert (done.returncode, said["ok"], said["data"]["status"]) == (0, True, "completed"), said
    found = said["data"]["outputs_by_node"]
    (verdict,) = kept(found.pop("gate"))
    assert json.loads(fetched(default_server, verdict))["verdict"] == VERDICTS[outcome]
    pictures = [size(fetched(default_server, url)) for urls in found.values() for url in kept(urls)]
    assert pictures == ([SIZES[outcome]] if outcome in SIZES else [])
    assert ("save" in found) == (outcome in SIZES)


def kept(urls: list[str]) -> list[str]:
    """What lies in the output folder; the score cards are previews, of type temp."""
    return [url for url in urls if parse_qs(urlsplit(url).query)["type"] == ["output"]]


def fetched(server: Any, url: str) -> bytes:
    assert url.startswith(f"{server.url}/view?")
    with build_opener(ProxyHandler({})).open(url, timeout=60) as answer:
        return bytes(answer.read())


# --- @stable-canvas/comfyui-client ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules() -> Path:
    return node_modules(CLIENTS)


def stable_canvas(modules: Path, server: Any, how: str, graph: Path) -> tuple[int, dict[str, Any]]:
    line = [str(NODE), str(CLIENTS / "stable_canvas.cjs"), str(modules), server.url.removeprefix("http://"), how]
    done = subprocess.run([*line, str(graph)], capture_output=True, text=True, timeout=240)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("how", ["polling", "invoke"])
@pytest.mark.parametrize("outcome", list(MADE))
def test_stable_canvas_client(
    default_server: Any, saved: Callable[[str], Path], modules: Path, outcome: str, how: str
) -> None:
    code, said = stable_canvas(modules, default_server, how, saved(outcome))
    if outcome == "error":
        kinds = {"polling": "PromptExecutionFailedError", "invoke": "WorkflowExecutionError"}
        assert (code, said["error"]) == (1, kinds[how])
        assert ("failed with status: error" if how == "polling" else BLOCKED_ERROR) in said["said"]
        return
    assert code == 0 and [verdict["verdict"] for verdict in said["verdicts"]] == [VERDICTS[outcome]]
    assert [file["filename"].endswith(".json") for file in said["files"]] == [True]
    pictures = [size(fetched(default_server, url)) for url in kept(said["images"])]
    assert pictures == ([SIZES[outcome]] if outcome in SIZES else [])


def test_stable_canvas_enqueue_ends_with_the_first_output_of_any_graph(
    default_server: Any, saved: Callable[[str], Path], modules: Path
) -> None:
    """Not the gate's doing: this call gives what the first node shows, here Score's card, and waits for no image."""
    code, said = stable_canvas(modules, default_server, "enqueue", saved("pass"))
    assert (code, kept(said["images"]), said["verdicts"]) == (0, [], [])
