"""Queues a graph over HTTP, follows it over the WebSocket, and reports what ran.

**Which nodes ran.** ComfyUI announces a node by an `executing` message *before* it looks at the node's inputs. A node
with an `ExecutionBlocker` among its inputs is announced like any other, but its function is never called
(`_async_map_node_over_list` in execution.py). The messages after it tell the cases apart:

* a node served from the cache sends no `executing` at all, and is listed in `execution_cached`;
* an output node that was really called sends `executed` with its output to show (SaveImage and PreviewImage always
  have some), a blocked one sends nothing more;
* a node blocked with a message sends `execution_error` of type `ExecutionBlocked`.

So `nodes_run` is: announced, minus the output nodes that had nothing to show and raised no error of their own, minus
those blocked with a message. Two errors remain. A node that is *not* an output node and comes after a silent blocker
counts as run although it was not, because nothing on the socket shows it. If that matters, a graph can put the gate on a
lazy input, where the branch is not even announced. An output node that never shows anything (such as ModelSave) is left
out although it ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from . import HostError

Graph = dict[str, dict[str, Any]]
Event = tuple[str, dict[str, Any]]


class GraphRefused(HostError):
    """ComfyUI would not queue the graph."""


@dataclass
class Result:
    """What one queued graph did. Node ids are the graph's own; ComfyUI makes up ids for nodes of an expanded subgraph."""

    prompt_id: str
    graph: Graph
    output_classes: frozenset[str] = frozenset()
    announced: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    executed: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def class_of(self, node_id: str) -> str:
        return str(self.graph.get(node_id, {}).get("class_type", node_id))

    @property
    def nodes_run(self) -> list[str]:
        """Ids of the nodes that ran, in order; the module's text defines which count."""
        blocked = {e["node_id"] for e in self.errors if e.get("exception_type") == "ExecutionBlocked"}
        failed = {e["node_id"] for e in self.errors} - blocked

        def ran(node: str) -> bool:
            if node in failed or self.executed.get(node):
                return True
            return node not in blocked and self.class_of(node) not in self.output_classes

        return [node for node in self.announced if ran(node)]

    @property
    def classes_run(self) -> list[str]:
        return [self.class_of(node) for node in self.nodes_run]

    @property
    def titles_run(self) -> list[str]:
        """Like `classes_run`, by the titles people gave the nodes, which tell two nodes of one class apart."""
        return [str(self.graph.get(node, {}).get("_meta", {}).get("title", node)) for node in self.nodes_run]

    def did_run(self, node_id: str) -> bool:
        return node_id in self.nodes_run

    def was_announced(self, node_id: str) -> bool:
        return node_id in self.announced

    @property
    def status(self) -> str:
        """`success` or `error`, as the history says."""
        return str(self.history.get("status", {}).get("status_str", ""))

    @property
    def ok(self) -> bool:
        return self.status == "success" and not self.errors

    @property
    def error(self) -> str | None:
        """The first error's message, stripped; None without one."""
        return str(self.errors[0].get("exception_message", "")).strip() if self.errors else None

    @property
    def error_line(self) -> str | None:
        """The first error in one line, with the node and the kind of error where the message alone says little."""
        if not self.errors:
            return None
        first, message = self.errors[0], (self.error or "").splitlines()
        kind = str(first.get("exception_type", "")).rsplit(".", 1)[-1]
        return f"{first.get('node_type', 'node')}: {message[0] if message and ' ' in message[0] else f'{kind} {self.error}'}"

    @property
    def outputs(self) -> dict[str, Any]:
        """The history's outputs, by node id, as a polling client gets them."""
        return dict(self.history.get("outputs", {}))

    def files(self, kind: str = "images") -> list[dict[str, str]]:
        return [entry for output in self.outputs.values() for entry in output.get(kind) or [] if "filename" in entry]

    @property
    def images(self) -> list[dict[str, str]]:
        """Every kept image as ComfyUI names it: filename, subfolder, type."""
        return [image for image in self.files() if image.get("type") == "output"]

    def image_paths(self, output: Path) -> list[Path]:
        return [output / image.get("subfolder", "") / image["filename"] for image in self.images]


class Client:
    """Talks to one server, one graph at a time."""

    def __init__(self, url: str, timeout: float = 600.0) -> None:
        self.url = url
        self.timeout = timeout
        self._output_classes: frozenset[str] | None = None

    def run(
        self,
        graph: Graph,
        *,
        follow: bool = True,
        client_id: bool = False,
        workflow: dict[str, Any] | None = None,
        on_event: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> Result:
        """Queues `graph` and returns when it has ended. `follow=False` only polls the history, like a client without a
        socket; it names itself only with `client_id`. A page sends its `workflow` along.
        """
        body: dict[str, Any] = {"prompt": graph}
        if workflow is not None:
            body["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        return asyncio.run(asyncio.wait_for(self._run(body, follow, client_id, on_event), self.timeout))

    async def _run(
        self,
        body: dict[str, Any],
        follow: bool,
        named: bool,
        on_event: Callable[[str, dict[str, Any]], None] | None,
    ) -> Result:
        graph = body["prompt"]
        started = time.monotonic()
        async with aiohttp.ClientSession(self.url) as session:
            if self._output_classes is None:
                self._output_classes = await _output_classes(session)
            if not follow:
                name = uuid.uuid4().hex if named else None
                result = Result(await _queue(session, body, name), graph, self._output_classes)
                while not (history := await _history(session, result.prompt_id)):
                    await asyncio.sleep(0.1)
            else:
                client_id = uuid.uuid4().hex
                async with session.ws_connect(f"/ws?clientId={client_id}", max_msg_size=0) as socket:
                    result = Result(await _queue(session, body, client_id), graph, self._output_classes)
                    history = await _follow(session, socket, result, on_event)
            result.history = history
            _errors_of_history(result)
        result.seconds = time.monotonic() - started
        return result


async def _output_classes(session: aiohttp.ClientSession) -> frozenset[str]:
    async with session.get("/object_info") as answer:
        return frozenset(name for name, info in (await answer.json()).items() if info.get("output_node"))


async def _queue(session: aiohttp.ClientSession, body: dict[str, Any], client_id: str | None) -> str:
    async with session.post("/prompt", json=body | ({"client_id": client_id} if client_id else {})) as answer:
        reply = await answer.json()
        if answer.status != 200 or reply.get("node_errors"):
            raise GraphRefused(f"ComfyUI refused the graph: {refusal(body['prompt'], reply)}")
        return str(reply["prompt_id"])


def refusal(graph: Graph, reply: dict[str, Any]) -> str:
    """Every node error in one line, or else the general message."""
    parts = [
        f"node {node} ({graph.get(node, {}).get('class_type', '?')}): {error.get('message')} ({error.get('details')})"
        for node, info in (reply.get("node_errors") or {}).items()
        for error in info.get("errors", [])
    ]
    general = reply.get("error")
    return "; ".join(parts) or (general.get("message", "") if isinstance(general, dict) else str(general))


async def _history(session: aiohttp.ClientSession, prompt_id: str) -> dict[str, Any]:
    """The prompt's history entry; empty until it has ended."""
    async with session.get(f"/history/{prompt_id}") as answer:
        return dict((await answer.json()).get(prompt_id, {}))


async def _follow(
    session: aiohttp.ClientSession,
    socket: aiohttp.ClientWebSocketResponse,
    result: Result,
    on_event: Callable[[str, dict[str, Any]], None] | None,
) -> dict[str, Any]:
    """Collects messages until the prompt's last one. A socket that falls silent or closes does not end it: the history
    decides.
    """
    while True:
        message = None
        with contextlib.suppress(asyncio.TimeoutError):
            message = await socket.receive(timeout=5)
        if message is not None and message.type == aiohttp.WSMsgType.TEXT:
            event, data = _event(message.data)
            if data.get("prompt_id") == result.prompt_id:
                record(result, event, data)
                if on_event is not None:
                    on_event(event, data)
            if not (event == "executing" and data.get("node") is None and data.get("prompt_id") == result.prompt_id):
                continue
        elif message is not None and message.type == aiohttp.WSMsgType.BINARY:
            continue  # previews
        elif message is not None:
            await asyncio.sleep(0.2)  # the socket is closed: poll
        if history := await _history(session, result.prompt_id):
            return history


def _event(text: str) -> Event:
    message = json.loads(text)
    return str(message.get("type")), dict(message.get("data") or {})


def record(result: Result, event: str, data: dict[str, Any]) -> None:
    """Stores one socket message of the result's prompt in the right place."""
    node = data.get("node")
    if event == "executing" and node is not None:
        if node not in result.announced:  # a node with lazy inputs is announced again once they are there
            result.announced.append(node)
    elif event == "execution_cached":
        result.cached.extend(n for n in data.get("nodes", []) if n not in result.cached)
    elif event == "executed":
        result.executed[str(node)] = data.get("output") or {}
    elif event == "progress":
        result.progress.append(data)
    elif event == "execution_error":
        result.errors.append(data)


def _errors_of_history(result: Result) -> None:
    """Takes an error from the history, for a polling client; a following one has it already."""
    known = {(e.get("node_id"), e.get("exception_type")) for e in result.errors}
    for event, data in result.history.get("status", {}).get("messages", []):
        if event == "execution_error" and (data.get("node_id"), data.get("exception_type")) not in known:
            result.errors.append(data)
