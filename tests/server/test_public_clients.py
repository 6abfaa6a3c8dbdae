"""Clients that others wrote, as they come from their registries: what each gives of a pass, a block, a reroute, an error.

What is asserted here is what docs/batch.md says of them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from comfy_api_simplified.exceptions import ComfyApiError
from emoe_testing.graphs import BLOCK, PASS, Graph, gated, node, rerouted
from emoe_testing.packages import NODE, node_modules, python_packages

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
    """The graph of an outcome as a file in API format, with node titles.

    The run takes a moment before the Gate: some clients listen only when it has begun, and a real one takes longer.
    """

    def save(outcome: str) -> Path:
        graph = MADE[outcome](f"{tag} {outcome}")
        graph["score"]["inputs"]["positive"] = ["moment", 0]
        graph["moment"] = node("RecorderWait", anything=["text", 0], seconds=0.5)
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
    assert "images" not in gate


# --- comfyapi ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packages() -> Path:
    return python_packages(CLIENTS / "requirements.txt")


@pytest.fixture
def comfyapi(packages: Path, monkeypatch: pytest.MonkeyPatch, default_server: Any) -> Any:
    """The client as its README has it: a manager that knows the server."""
    monkeypatch.syspath_prepend(packages)
    manager = importlib.import_module("comfyapi").ComfyAPIManager()
    manager.set_base_url(default_server.url)
    return manager


@pytest.mark.parametrize("outcome", list(SIZES))
def test_comfyapi(comfyapi: Any, saved: Callable[[str], Path], tmp_path: Path, outcome: str) -> None:
    """It leaves the subfolder out of the address, so that Save Image may have none."""
    comfyapi.load_workflow(str(saved(outcome)))
    in_folder = comfyapi.wait_for_finish(comfyapi.submit_workflow(), poll_interval=0.1)
    with pytest.raises(Exception, match="404"):
        comfyapi.download_output(in_folder[1], str(tmp_path))
    comfyapi.edit_workflow(["save", "inputs", "filename_prefix"], "image")
    _, url = comfyapi.wait_for_finish(comfyapi.submit_workflow(), poll_interval=0.1)
    assert size(Path(comfyapi.download_output(url, str(tmp_path))).read_bytes()) == SIZES[outcome]


def test_comfyapi_waits_for_an_image_that_a_block_does_not_make(
    default_server: Any, comfyapi: Any, saved: Callable[[str], Path]
) -> None:
    """Whatever the history holds: only a saved image or an error ends its wait."""
    comfyapi.load_workflow(str(saved("block")))
    job = comfyapi.submit_workflow()
    entry = history_of(default_server, job)
    with pytest.raises(Exception, match="timed out"):
        comfyapi.wait_for_finish(job, poll_interval=0.1, max_wait_time=1)
    assert comfyapi.check_queue(job) is False and comfyapi.find_output(job) is None
    assert entry["outputs"]["gate"]["emoe"][0]["verdict"] == "block"


def test_comfyapi_ends_with_an_error(comfyapi: Any, saved: Callable[[str], Path]) -> None:
    comfyapi.load_workflow(str(saved("error")))
    with pytest.raises(Exception, match="Execution failed"):
        comfyapi.wait_for_finish(comfyapi.submit_workflow(), poll_interval=0.1)


def history_of(server: Any, job: str) -> dict[str, Any]:
    """A run's entry in the history, once it has ended."""
    for _ in range(3000):
        if found := json.loads(fetched(server, f"{server.url}/history/{job}")):
            return dict(found[job])
        time.sleep(0.02)
    raise AssertionError("the run did not end")


# --- comfy-toolkit ----------------------------------------------------------------------------------------------------


@pytest.fixture
def toolkit(packages: Path, monkeypatch: pytest.MonkeyPatch, default_server: Any) -> Any:
    monkeypatch.syspath_prepend(packages)
    return importlib.import_module("comfy_toolkit").ComfyClient(default_server.url)


@pytest.mark.parametrize("how", ["wait", "track"])
@pytest.mark.parametrize("outcome", list(SIZES))
def test_comfy_toolkit(toolkit: Any, saved: Callable[[str], Path], outcome: str, how: str) -> None:
    """It takes every picture of the history for a result, previews too, and there is one."""
    graph = toolkit.load_workflow(saved(outcome))
    if how == "wait":
        result = toolkit.wait(toolkit.submit(graph), poll_interval=0.1)
    else:
        result = toolkit.submit_and_track(graph)
    (image,) = result["images"]
    assert size(toolkit.download(image)) == SIZES[outcome]


def test_comfy_toolkit_finds_no_image_of_a_block(toolkit: Any, saved: Callable[[str], Path]) -> None:
    graph = toolkit.load_workflow(saved("block"))
    job = toolkit.submit(graph)
    result = toolkit.wait(job, poll_interval=0.1, empty_grace=0.5)
    assert (result["status"], result["images"], result["filenames"]) == ("completed", [], [])
    assert toolkit.history(job)["outputs"]["gate"]["emoe"][0]["verdict"] == "block"
    with pytest.raises(Exception, match="never returned images"):
        toolkit.submit_and_track(graph, history_retries=2, history_retry_delay=0.1)
    with pytest.raises(Exception, match="timed out"):
        toolkit.wait_for_images(job, poll_interval=0.1, max_wait=1)


def test_comfy_toolkit_raises_an_error(toolkit: Any, saved: Callable[[str], Path]) -> None:
    graph = toolkit.load_workflow(saved("error"))
    for attempt in (
        lambda: toolkit.wait(toolkit.submit(graph), poll_interval=0.1),
        lambda: toolkit.submit_and_track(graph),
    ):
        with pytest.raises(Exception, match=r"generation failed|execution error") as raised:
            attempt()
        assert BLOCKED_ERROR in raised.value.detail  # type: ignore[attr-defined]


# --- ComfyScript ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(MADE))
def test_comfy_script(default_server: Any, saved: Callable[[str], Path], packages: Path, outcome: str) -> None:
    """An error raises nothing: Save Image has no result, as after a block, and the Gate's has the verdict."""
    command = [sys.executable, str(CLIENTS / "run_comfy_script.py"), str(packages), default_server.url]
    done = subprocess.run([*command, str(saved(outcome))], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    drawn = [list(SIZES[outcome])] if outcome in SIZES else []
    assert (said["images"], said["verdict"]) == (drawn, VERDICTS[outcome])
    assert said["results"].count("ImageBatchResult") == len(drawn)


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
    (verdict,) = found.pop("gate")
    assert json.loads(fetched(default_server, verdict))["verdict"] == VERDICTS[outcome]
    pictures = [size(fetched(default_server, url)) for urls in found.values() for url in urls]
    assert pictures == ([SIZES[outcome]] if outcome in SIZES else [])
    assert ("save" in found) == (outcome in SIZES)


def fetched(server: Any, url: str) -> bytes:
    assert url.startswith(f"{server.url}/")
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
    pictures = [size(fetched(default_server, url)) for url in said["images"]]
    assert pictures == ([SIZES[outcome]] if outcome in SIZES else [])


@pytest.mark.parametrize("outcome", ["pass", "block"])
def test_stable_canvas_enqueue_ends_with_the_first_output_of_any_graph(
    default_server: Any, saved: Callable[[str], Path], modules: Path, outcome: str
) -> None:
    """Not the gate's doing: this call gives what the first node shows, here the Gate's verdict, and waits for no image."""
    code, said = stable_canvas(modules, default_server, "enqueue", saved(outcome))
    assert (code, said["images"], said["verdicts"][0]["verdict"]) == (0, [], VERDICTS[outcome])


# --- @saintno/comfyui-sdk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", ["save", "save,gate"])
@pytest.mark.parametrize("outcome", list(MADE))
def test_saintno_sdk(
    default_server: Any, saved: Callable[[str], Path], modules: Path, outcome: str, mapped: str
) -> None:
    """A block is a failure unless the Gate is mapped beside Save Image."""
    line = [str(NODE), str(CLIENTS / "saintno.mjs"), str(modules), default_server.url, mapped, str(saved(outcome))]
    done = subprocess.run(line, capture_output=True, text=True, timeout=240)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    if outcome == "error":
        assert said == {"error": "CustomEventError", "said": "emoe_core.errors.PromptBlocked"} and done.returncode == 1
        return
    if (outcome, mapped) == ("block", "save"):
        assert said == {"error": "ExecutionFailedError", "said": "Execution failed"} and done.returncode == 1
        return
    outputs = said["outputs"]
    files = [file for output in outputs.values() for file in output.get("images", [])]
    found = [fetched(default_server, f"{default_server.url}/view?{urlencode(file)}") for file in files]
    assert list(map(size, found)) == ([SIZES[outcome]] if outcome in SIZES else [])
    if mapped == "save,gate":
        assert outputs["gate"]["emoe"][0]["verdict"] == VERDICTS[outcome]


@pytest.mark.parametrize("outcome", list(MADE))
def test_saintno_command_ends_with_the_verdict(
    default_server: Any, saved: Callable[[str], Path], modules: Path, outcome: str
) -> None:
    """It ends with the first output of any graph, an error's too: that is the Gate's, and no picture is taken for a result."""
    path = saved(outcome)
    path.write_text(json.dumps(numbered(json.loads(path.read_text()))))
    command = [str(NODE), str(modules / "@saintno" / "comfyui-sdk" / "dist" / "cli.js"), "--json"]
    done = subprocess.run(
        [*command, "-H", default_server.url, "-f", str(path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    (gate,) = said["outputs"]["_raw"].values()
    assert gate["emoe"][0]["verdict"] == VERDICTS[outcome] and said["_media"] == {}


def numbered(graph: Graph) -> Graph:
    """The graph as ComfyUI exports it, with numbers as ids: the command takes no others."""
    ids = {name: str(number) for number, name in enumerate(graph, 1)}

    def linked(value: Any) -> Any:
        return [ids[value[0]], value[1]] if isinstance(value, list) else value

    return {
        ids[name]: {**entry, "inputs": {key: linked(value) for key, value in entry["inputs"].items()}}
        for name, entry in graph.items()
    }
