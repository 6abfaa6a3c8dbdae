"""Writes the trained nets as half-precision safetensors in Stable Diffusion 1's layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from .train import Net, Plan
from .vae import Autoencoder

LICENCE = "MIT; trained on Noto Emoji pictures (OFL-1.1) and Unicode CLDR names (Unicode-3.0): see NOTICE"


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(torch.float16).contiguous() for key, value in state.items()}


def export_expert(net: Net, plan: Plan, steps: int, path: Path) -> None:
    """U-Net and text encoder in one file."""
    state = {f"model.diffusion_model.{k}": v for k, v in net.unet.state_dict().items()}
    state |= {f"cond_stage_model.transformer.{k}": v for k, v in net.text.state_dict().items()}
    metadata = {
        "format": "pt", "name": path.stem, "seed": str(plan.seed), "steps": str(steps),
        "bootstrap": str(1000 + plan.seed) if plan.bootstrap else "none", "licence": LICENCE,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(_half(state), path, metadata=metadata)


def preview_map(latents: Tensor, pictures: Tensor) -> tuple[list[list[float]], list[float]]:
    """Least squares from scaled latents to the mean colour of their 8x8 pixels (-1..1): factors and bias."""
    colours = F.avg_pool2d(pictures, pictures.shape[2] // latents.shape[2]).permute(0, 2, 3, 1).reshape(-1, 3)
    inputs = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    answer = torch.linalg.lstsq(inputs.double(), colours.double()).solution
    rows = [[round(v, 4) for v in row] for row in answer.tolist()]
    return rows[:-1], rows[-1]


def export_vae(net: Autoencoder, steps: tuple[int, int], preview: tuple[list[list[float]], list[float]],
               path: Path) -> None:  # fmt: skip
    """The autoencoder, with plain keys like those of a VAE file."""
    metadata = {
        "format": "pt", "name": path.stem, "seed": "11, 12, 13", "steps": f"{steps[0]} whole, {steps[1]} decoder",
        "latent_rgb_factors": json.dumps(preview[0]), "latent_rgb_bias": json.dumps(preview[1]), "licence": LICENCE,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(_half(net.state_dict()), path, metadata=metadata)
