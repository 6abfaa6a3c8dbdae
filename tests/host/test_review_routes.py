"""The routes of the tab Review are added once, where a server is about to start, and nowhere else."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp import web


def load(pack: ModuleType) -> None:
    """What ComfyUI does with the pack."""
    extension: Any = asyncio.run(pack.comfy_entrypoint())
    assert asyncio.run(extension.get_node_list())


@pytest.mark.parametrize(
    "module", [None, SimpleNamespace(), SimpleNamespace(PromptServer=SimpleNamespace(instance=None))]
)
def test_without_a_server_the_nodes_are_there_all_the_same(
    pack: ModuleType, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "server", module)
    load(pack)


def test_a_server_gets_each_route_once(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = web.RouteTableDef()
    routes.static("/somewhere", "/")  # other packs add what is no plain route
    monkeypatch.setitem(
        sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=SimpleNamespace(routes=routes)))
    )
    for _ in range(2):
        load(pack)
    added = [(one.method, one.path) for one in routes if isinstance(one, web.RouteDef)]
    assert sorted(added) == [
        ("GET", "/emoe/review/next"),
        ("GET", "/emoe/review/picture"),
        ("GET", "/emoe/review/sources"),
        ("POST", "/emoe/review/mark"),
    ]
