"""The browser tier: ComfyUI's own frontend in a real Chromium, with a live server behind it.

One browser, one server and one page for all tests; a second server and three more pages for what differs elsewhere. A test
runs in the host's own frontend, in the renderer that it starts with: what the server tells, and what the pack's code makes of
it, is the same everywhere. Where a frontend or a renderer has a part in the outcome, the mark `run_in` names the places and,
in a sentence, that part.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from emoe_host import HostError
from emoe_host.browser import SETTINGS, change_settings, chromium, open_browser, open_page
from emoe_host.prepare import Host, newer_frontend
from emoe_host.server import Server
from emoe_testing.frontend import HOME, NEWER, RENDERERS, Frontend
from emoe_testing.host import tested
from playwright.sync_api import Browser, expect

expect.set_options(timeout=30_000)  # other tiers may have the rest of the machine
#: The processor draws every frame of the canvas, and what is looked at is the last one.
FRAMES = {"LiteGraph.Canvas.MaximumFps": 20}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "run_in(places, why): the frontends and renderers that have a part in the outcome"
    )
    if not os.environ.get("COMFYUI_PATH"):
        raise pytest.UsageError(
            "the browser tier needs a ComfyUI: run `bash scripts/test.sh browser`, or set COMFYUI_PATH and use its Python"
        )
    try:
        chromium()
    except HostError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "frontend" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("run_in")
    places, _why = mark.args if mark else ([HOME], "")
    metafunc.parametrize("frontend", places, indirect=True, scope="session")


@pytest.fixture(scope="session")
def host() -> Host:
    return tested()


@pytest.fixture(scope="session")
def server(host: Host) -> Iterator[Server]:
    with Server(host) as running:
        change_settings(running.url, SETTINGS | FRAMES)
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="session")
def newer(host: Host) -> Iterator[Server]:
    """With a frontend that is much newer than the host. A server has one frontend, so this is a second one."""
    with Server(host, ["--front-end-root", str(newer_frontend(host.python))]) as running:
        change_settings(running.url, SETTINGS | FRAMES)
        yield running


@pytest.fixture(scope="session")
def frontend(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Frontend]:
    """A place to run in: the host's frontend or a newer one, in one renderer. One page, kept for all tests there."""
    renderer = request.param.removeprefix("newer-")
    server: Server = request.getfixturevalue("newer" if request.param in NEWER else "server")
    change_settings(server.url, {"Comfy.VueNodes.Enabled": RENDERERS[renderer]})
    server.post(
        "/history", {"clear": True}
    )  # every page asks for all of it at each run: what other places did is only time
    with open_page(browser, server.url) as page:
        yield Frontend(page, renderer, server)
