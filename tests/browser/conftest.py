"""The browser tier: ComfyUI's own frontend in a real Chromium, with a live server behind it. One server, one browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from emoe_host import HostError
from emoe_host.browser import SETTINGS, change_settings, chromium, open_browser, open_page
from emoe_host.prepare import Host, comfyui_version
from emoe_host.server import Server
from emoe_testing.frontend import RENDERERS, Frontend
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
    tree = Path(os.environ["COMFYUI_PATH"])
    return Host(tree, Path(sys.executable), comfyui_version(tree), "the tests' own")


@pytest.fixture(scope="session")
def server(host: Host) -> Iterator[Server]:
    with Server(host) as running:
        change_settings(running.url, SETTINGS)
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="session", params=list(RENDERERS))
def frontend(request: pytest.FixtureRequest, server: Server, browser: Browser) -> Iterator[Frontend]:
    """One page a renderer, kept for all tests: loading it takes seconds."""
    change_settings(server.url, {"Comfy.VueNodes.Enabled": RENDERERS[request.param]})
    with open_page(browser, server.url) as page:
        yield Frontend(page, request.param)
