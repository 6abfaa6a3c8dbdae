"""Model families as ComfyUI's own loader sees them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emoe_testing.checkpoints import make_sd2, make_sd15_inpainting, make_sdxl


@pytest.fixture(scope="module")
def folder(comfy_base: Path) -> Path:
    return comfy_base / "models" / "checkpoints"


@pytest.fixture(scope="module")
def stock(comfyui: Path) -> Any:
    """A checkpoint through ComfyUI's loader, as its own node does it."""
    import comfy.sd

    def load(path: Path) -> Any:
        return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=False, output_clip=False)[0]

    return load


def test_stand_ins_are_what_they_stand_for(pack: ModuleType, stock: Any, folder: Path) -> None:
    import comfy.model_base
    import comfy.supported_models

    identity = pack.emoe_core.hosts.comfyui.identity
    expected = {
        make_sdxl(folder / "xl.safetensors", 0): (comfy.supported_models.SDXL, "EPS", 4),
        make_sdxl(folder / "xl_v.safetensors", 1, v_prediction=True): (comfy.supported_models.SDXL, "V_PREDICTION", 4),
        make_sd2(folder / "sd2.safetensors", 0): (comfy.supported_models.SD20, "EPS", 4),
        make_sd2(folder / "sd2_v.safetensors", 0, v_prediction=True): (
            comfy.supported_models.SD20,
            "V_PREDICTION",
            4,
        ),
        make_sd15_inpainting(folder / "inpaint.safetensors", 0): (comfy.supported_models.SD15, "EPS", 9),
    }
    for path, (config, prediction, channels) in expected.items():
        model = stock(path)
        assert isinstance(model.model.model_config, config), path.name
        assert identity.prediction(model) == prediction, path.name
        assert model.model.diffusion_model.in_channels == channels, path.name
        assert (type(model.model) is comfy.model_base.SDXL) == path.name.startswith("xl")
