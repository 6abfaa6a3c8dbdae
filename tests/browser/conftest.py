"""The browser tier: ComfyUI's own frontend in a real Chromium, with a live server behind it. One server, one browser."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from emoe_host import HostError
from emoe_host.browser import SETTINGS, change_settings, chromium, open_browser, open_page
from emoe_host.prepare import Host, newer_frontend
from emoe_host.server import Server
from emoe_testing.frontend import NEWER, RENDERERS, Frontend
from emoe_testing.host import tested
from playwright.sync_api import Browser, expect

expect.set_options(timeout=30_000)  # other tiers may have the rest of the machine


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("COMFYUI_PATH"):
        raise pytest.UsageError(
            "the browser tier needs a ComfyUI: run `bash scripts/test.sh browser`, or set COMFYUI_PATH and use its Python"
        )
    try:
        chromium()
    except HostError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def host() -> Host:
    return tested()


@pytest.fixture(scope="session")
def server(host: Host) -> Iterator[Server]:
    with Server(host) as running:
        change_settings(running.url, SETTINGS)
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="session")
def newer(host: Host) -> Iterator[Server]:
    """With a frontend that is much newer than the host."""
    with Server(host, ["--front-end-root", str(newer_frontend(host.python))]) as running:
        change_settings(running.url, SETTINGS)
        yield running


@pytest.fixture(scope="session", params=[*RENDERERS, *NEWER])
def frontend(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Frontend]:
    """The host's frontend and a newer one, each in both renderers. One page each, kept for all tests."""
    renderer = request.param.removeprefix("newer-")
    server: Server = request.getfixturevalue("newer" if request.param in NEWER else "server")
    change_settings(server.url, {"Comfy.VueNodes.Enabled": RENDERERS[renderer]})
    with open_page(browser, server.url) as page:
        yield Frontend(page, renderer, server)
