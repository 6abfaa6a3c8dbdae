"""The host tier: the pack inside the real ComfyUI's modules, in this process, without a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_host.inprocess import import_comfyui, load_pack
from emoe_testing.checkpoints import make_sd2, make_sd15, make_sd15_inpainting, make_sdxl

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
def host(pack: ModuleType) -> Any:
    """The pack's own part for ComfyUI."""
    return pack.emoe_core.hosts.comfyui


@pytest.fixture(scope="session")
def demo(host: Any) -> Any:
    """The four embedded experts, loaded once; a test that changes a model changes a clone."""
    return host.experts.demo_set.embedded_experts()


@pytest.fixture(scope="session")
def node_classes(pack: ModuleType) -> dict[str, type]:
    """This pack's node classes by id."""
    import nodes

    return {
        name: cls
        for name, cls in nodes.NODE_CLASS_MAPPINGS.items()
        if getattr(cls, "RELATIVE_PYTHON_MODULE", "") == "custom_nodes.emoe"
    }


@pytest.fixture(scope="session")
def stand_in(comfy_base: Path) -> Callable[[str], str]:
    """`stand_in(name)`: a small model of a family, written when first asked for; gives its name in ComfyUI's menus.

    `sd15`, `other`, `bf16`, `fp8` and `fp32` descend from one base, as do `xl` and `xl_v`. `sd15` has a text encoder, `bare`
    lies in the diffusion_models folder and holds the weights of `sd15`.
    """
    models, made = comfy_base / "models", {}
    folder = models / "checkpoints" / "stand_in"

    def path(name: str) -> Path:
        return folder / f"{name}.safetensors"

    def base(name: str) -> Path:
        get(name)
        return path(name)

    makers: dict[str, Callable[[], Any]] = {
        "sd15": lambda: make_sd15(path("sd15"), 0, text_encoder=True),
        "other": lambda: make_sd15(path("other"), 1, base=base("sd15")),
        "bf16": lambda: make_sd15(path("bf16"), 2, base=base("sd15"), dtype=torch.bfloat16),
        "fp8": lambda: make_sd15(path("fp8"), 3, base=base("sd15"), dtype=torch.float8_e4m3fn),
        "fp32": lambda: make_sd15(path("fp32"), 4, base=base("sd15"), dtype=torch.float32),
        "bare": lambda: make_sd15(models / "diffusion_models" / "bare.safetensors", 0, prefix=""),
        "xl": lambda: make_sdxl(path("xl"), 0),
        "xl_v": lambda: make_sdxl(path("xl_v"), 1, base=base("xl"), v_prediction=True),
        "sd2": lambda: make_sd2(path("sd2"), 0),
        "sd2_v": lambda: make_sd2(path("sd2_v"), 0, v_prediction=True),
        "inpainting": lambda: make_sd15_inpainting(path("inpainting"), 0),
        "inpainting_2": lambda: make_sd15_inpainting(path("inpainting_2"), 1, base=base("inpainting")),
    }

    def get(name: str) -> str:
        if name not in made:
            makers[name]()
            made[name] = f"diffusion_models/{name}.safetensors" if name == "bare" else f"stand_in/{name}.safetensors"
        return made[name]

    return get
