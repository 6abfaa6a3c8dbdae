"""The server tier: graphs posted to a live ComfyUI, under three ways of caching."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emoe_host import HostError
from emoe_host.client import Client, Graph, Result
from emoe_host.prepare import Host
from emoe_host.server import Server
from emoe_testing.host import tested

CACHE_MODES = {"default": [], "lru": ["--cache-lru", "10"], "none": ["--cache-none"]}
RECORDER = Path(__file__).parent / "recorder_nodes"


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("COMFYUI_PATH"):
        raise pytest.UsageError(
            "the server tier needs a ComfyUI: run `bash scripts/test.sh server`, or set COMFYUI_PATH and use its Python"
        )


class LiveServer:
    """A running server and what tests ask of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = Client(server.url)
        self.url = server.url
        self.output = server.output
        self.models = server.models
        self.user = server.base / "user"

    def run(self, graph: Graph, **options: Any) -> Result:
        """Queues a graph and waits: `result.did_run(node_id)`, `.outputs`, `.images`, `.history`, `.error`, `.cached`."""
        return self.client.run(graph, **options)

    def called(self, tag: str) -> list[str]:
        """Class names of the recorder nodes whose function was really called with this tag, in order."""
        log = self.user / "recorder.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
        return [line["class"] for line in lines if line["tag"] == tag]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder that all servers share: write checkpoints to `models / "checkpoints"`."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def host() -> Host:
    return tested()


@pytest.fixture(scope="session")
def servers(host: Host, models: Path) -> Iterator[Callable[[str], LiveServer]]:
    """Gives the server of a cache mode, started when first asked for and stopped at the session's end."""
    running: dict[str, LiveServer] = {}
    failed: dict[str, HostError] = {}

    def get(mode: str) -> LiveServer:
        if mode in failed:  # one start that fails is enough: the other tests say the same at once
            raise failed[mode]
        if mode not in running:
            server = Server(host, CACHE_MODES[mode], packs={"recorder": RECORDER}, models=models)
            try:
                running[mode] = LiveServer(server.__enter__())
            except HostError as error:
                failed[mode] = error
                raise
        return running[mode]

    try:
        yield get
    finally:
        for live in running.values():
            live.server.stop()


@pytest.fixture(params=list(CACHE_MODES))
def server(request: pytest.FixtureRequest, servers: Callable[[str], LiveServer]) -> LiveServer:
    """A live server, for tests in whose outcome caching has a part: they run once per cache mode (default, LRU, none)."""
    return servers(request.param)


@pytest.fixture
def default_server(servers: Callable[[str], LiveServer]) -> LiveServer:
    """The live server with ComfyUI's default caching only, for tests that caching cannot touch."""
    return servers("default")


@pytest.fixture(scope="session")
def own(host: Host) -> Iterator[LiveServer]:
    """A server for the tests that kill one (`own.server.kill()`) and start it again (`own.server.again()`)."""
    with Server(host, packs={"recorder": RECORDER}) as server:
        yield LiveServer(server)


@pytest.fixture
def run(server: LiveServer) -> Callable[..., Result]:
    """`run(graph) -> Result` on `server`."""
    return server.run


@pytest.fixture
def tag() -> str:
    """A word no other test uses: it keeps graphs apart in the cache and in the recorder's log."""
    return uuid.uuid4().hex[:12]
