"""The host tier: the pack inside the real ComfyUI's modules, in this process, without a server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get("COMFYUI_PATH"):
        raise pytest.UsageError(
            "the host tier needs a ComfyUI: run `bash scripts/test.sh host`, or set COMFYUI_PATH and use its Python"
        )


@pytest.fixture(scope="session")
def comfy_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ComfyUI's base folder for this run: models, input, output and user lie in it, and are thrown away."""
    base = tmp_path_factory.mktemp("comfyui")
    for name in ("custom_nodes", "input", "output", "user", "models/checkpoints", "models/text_encoders"):
        (base / name).mkdir(parents=True)
    return base


@pytest.fixture(scope="session")
def comfyui(comfy_base: Path) -> Path:
    """ComfyUI's modules are importable and set up for the CPU. Ask for this (or `pack`) before importing any of them."""
    tree = Path(os.environ["COMFYUI_PATH"])
    sys.path.insert(0, str(tree))
    argv = sys.argv
    sys.argv = [str(tree / "main.py"), "--cpu", "--disable-api-nodes", "--base-directory", str(comfy_base)]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.cli_args
        import folder_paths  # noqa: F401
    finally:
        sys.argv = argv
    import nodes

    assert Path(nodes.__file__).resolve().parent == tree.resolve(), "ComfyUI's `nodes` is hidden by another module"
    return tree


@pytest.fixture(scope="session")
def pack(comfyui: Path, comfy_base: Path) -> Iterator[ModuleType]:
    """The pack as ComfyUI loads it: `pack.nodes.score`, `pack.emoe_core` and so on; its classes are in
    `nodes.NODE_CLASS_MAPPINGS`.
    """
    import nodes

    link = comfy_base / "custom_nodes" / "emoe"
    link.symlink_to(ROOT, target_is_directory=True)
    assert asyncio.run(nodes.load_custom_node(str(link))), "ComfyUI could not load the pack; its log above says why"
    yield sys.modules[str(link).replace(".", "_x_")]


@pytest.fixture(scope="session")
def node_classes(pack: ModuleType) -> dict[str, type]:
    """This pack's node classes by id."""
    import nodes

    return {
        name: cls
        for name, cls in nodes.NODE_CLASS_MAPPINGS.items()
        if getattr(cls, "RELATIVE_PYTHON_MODULE", "") == "custom_nodes.emoe"
    }
