"""The host tier: the pack inside the real ComfyUI's modules, in this process, without a server."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest
from emoe_host.inprocess import import_comfyui, load_pack

ROOT = Path(__file__).resolve().parents[2]


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("COMFYUI_PATH"):
        raise pytest.UsageError(
            "the host tier needs a ComfyUI: run `bash scripts/test.sh host`, or set COMFYUI_PATH and use its Python"
        )


@pytest.fixture(scope="session")
def comfy_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ComfyUI's base folder for this run: models, input, output and user lie in it, and are thrown away."""
    return tmp_path_factory.mktemp("comfyui")


@pytest.fixture(scope="session")
def comfyui(comfy_base: Path) -> Path:
    """ComfyUI's modules are importable and set up for the CPU. Ask for this (or `pack`) before importing any of them."""
    tree = Path(os.environ["COMFYUI_PATH"])
    import_comfyui(tree, comfy_base)
    return tree


@pytest.fixture(scope="session")
def pack(comfyui: Path, comfy_base: Path) -> ModuleType:
    """The pack as ComfyUI loads it: `pack.nodes.score`, `pack.emoe_core` and so on; its classes are in
    `nodes.NODE_CLASS_MAPPINGS`.
    """
    return load_pack(comfy_base)


@pytest.fixture(scope="session")
def node_classes(pack: ModuleType) -> dict[str, type]:
    """This pack's node classes by id."""
    import nodes

    return {
        name: cls
        for name, cls in nodes.NODE_CLASS_MAPPINGS.items()
        if getattr(cls, "RELATIVE_PYTHON_MODULE", "") == "custom_nodes.emoe"
    }
