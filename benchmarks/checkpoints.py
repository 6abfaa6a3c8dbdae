"""Full-size checkpoints of Stable Diffusion with random weights, in the stock layout: U-Net, text encoders, VAE."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from common import Family
from emoe_testing.checkpoints import clip_l_shapes
from emoe_testing.unet import linear, norm

Shapes = Iterator[tuple[str, tuple[int, ...]]]
STRETCH = 1_000_003  # a prime, so that no two rows of a weight repeat each other


def vae_shapes() -> Shapes:
    """Stable Diffusion's autoencoder, as ComfyUI itself builds it."""
    import torch
    from comfy.ldm.models.autoencoder import AutoencoderKL

    sizes = {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128}
    levels = {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    with torch.device("meta"):
        made = AutoencoderKL(ddconfig={**sizes, **levels}, embed_dim=4)
    for name, weight in made.state_dict().items():
        yield f"first_stage_model.{name}", tuple(weight.shape)


def clip_g_shapes(prefix: str) -> Shapes:
    """SDXL's larger text encoder, in its checkpoints' naming."""
    width = 1280
    yield f"{prefix}token_embedding.weight", (49408, width)
    yield f"{prefix}positional_embedding", (77, width)
    for number in range(32):
        block = f"{prefix}transformer.resblocks.{number}"
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        yield from linear(f"{block}.attn.out_proj", width, width)
        yield from norm(f"{block}.ln_1", width)
        yield from norm(f"{block}.ln_2", width)
        yield from linear(f"{block}.mlp.c_fc", 4 * width, width)
        yield from linear(f"{block}.mlp.c_proj", width, 4 * width)
    yield from norm(f"{prefix}ln_final", width)
    yield f"{prefix}text_projection", (width, width)


def checkpoint_shapes(family: Family, vae: bool = True) -> Shapes:
    """A checkpoint's names and shapes; without a VAE it serves where nothing is decoded."""
    for name, shape in family.plan.shapes():
        yield f"model.diffusion_model.{name}", shape
    text = "conditioner.embedders.0.transformer." if family.plan.adm else "cond_stage_model.transformer."
    for name, shape in clip_l_shapes():
        yield text + name, shape
    if family.plan.adm:
        yield from clip_g_shapes("conditioner.embedders.1.model.")
    if vae:
        yield from vae_shapes()


def write_checkpoint(path: Path, shapes: dict[str, tuple[int, ...]], number: int = 0) -> None:
    """A checkpoint in fp16, written tensor by tensor: one stretch of random numbers repeated, scaled by the fan-in.

    Args:
        shapes: `checkpoint_shapes` of a family.
        number: 0 is the base; the others descend from it, each by weights moved by 0.1 of their spread.
    """
    import torch

    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    stretch = torch.randn(STRETCH, generator=torch.Generator().manual_seed(0))
    if number:
        stretch += 0.1 * torch.randn(STRETCH, generator=torch.Generator().manual_seed(number))
    with open(path, "wb") as file:
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            count = math.prod(shape)
            constant = torch.full_like(stretch, float(not name.endswith("bias")))
            scaled = (stretch / math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else constant).half()
            whole, rest = divmod(count, len(stretch))
            block = scaled.numpy().tobytes()
            for _ in range(whole):
                file.write(block)
            file.write(block[: 2 * rest])
        file.flush()
        os.fsync(file.fileno())
