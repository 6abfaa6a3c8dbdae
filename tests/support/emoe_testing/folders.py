"""Stand-in folders in diffusers' layout: tiny text encoders with the demo's tokenizer, and a U-Net's configuration.

The weights of the network itself come from the single files of `checkpoints`, through diffusers' own converter.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from .unet import MODEL_CHANNELS, UNet

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}
TOKENS = 32


def unet_config(plan: UNet, sample_size: int = 8) -> dict[str, Any]:
    """The configuration of a UNet2DConditionModel of this plan."""
    layers = plan.num_res_blocks[0]
    deep_in = [plan.depth_in[level * layers] for level in range(len(plan.channel_mult))]
    deep_out = [plan.depth_out[level * (layers + 1)] for level in range(len(plan.channel_mult))]
    config: dict[str, Any] = {
        "sample_size": sample_size,
        "in_channels": plan.in_channels,
        "out_channels": 4,
        "layers_per_block": layers,
        "block_out_channels": [mult * MODEL_CHANNELS for mult in plan.channel_mult],
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in deep_in],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in deep_out],
        "transformer_layers_per_block": [max(1, depth) for depth in deep_in],
        "cross_attention_dim": plan.context,
        "use_linear_projection": plan.linear,
        # diffusers keeps the number of heads under this name; SD2 and SDXL have heads of 64 numbers instead
        "attention_head_dim": [mult * MODEL_CHANNELS // 64 for mult in plan.channel_mult] if plan.linear else 8,
    }
    if plan.adm is not None:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": plan.adm,
        }
    return config


def text_encoder(width: int, projection: bool = False, seed: int = 0) -> Any:
    """A CLIP text encoder of one layer with random weights."""
    import torch
    import transformers

    config = transformers.CLIPTextConfig(
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=width,
        max_position_embeddings=TOKENS,
        vocab_size=2048,
        bos_token_id=2046,
        eos_token_id=2047,
        pad_token_id=2047,
        projection_dim=width,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = (transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel)(config)
    return made.eval()


def make_clip_l_config(folder: Path) -> None:
    """The configuration of CLIP-L, whose weights are in the single file."""
    import transformers

    config = transformers.CLIPTextConfig(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="quick_gelu",
        max_position_embeddings=77,
        vocab_size=49408,
        architectures=["CLIPTextModel"],
    )
    config.save_pretrained(folder)


def make_folder(folder: Path, plan: UNet, tokenizer: Path, whole_file: bool = False) -> Path:
    """Writes a pipeline's folder without the network's weights: the `config` of single files of this plan.

    With `whole_file` without the text encoder's weights too: SD1.5's stand-ins bring them, CLIP-L at its full size.
    """
    double = plan.adm is not None
    tokens = 77 if whole_file else TOKENS
    encoders = {} if whole_file else {"text_encoder": text_encoder(768 if double else plan.context)}
    if double:
        encoders["text_encoder_2"] = text_encoder(plan.context - 768, projection=True, seed=1)
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionXLPipeline" if double else "StableDiffusionPipeline",
        "_diffusers_version": "0.30.0",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if whole_file:
        make_clip_l_config(folder / "text_encoder")
    for name, encoder in encoders.items():
        encoder.save_pretrained(folder / name)
    for name in ["text_encoder", *encoders]:
        words = name.replace("text_encoder", "tokenizer")
        shutil.copytree(tokenizer, folder / words, dirs_exist_ok=True)
        config = json.loads((folder / words / "tokenizer_config.json").read_text("utf-8"))
        (folder / words / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": tokens}))
        kind = "CLIPTextModelWithProjection" if name.endswith("_2") else "CLIPTextModel"
        index |= {name: ["transformers", kind], words: ["transformers", "CLIPTokenizer"]}
    if not double:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    parts = {
        "model_index.json": index,
        "unet/config.json": {"_class_name": "UNet2DConditionModel", **unet_config(plan)},
        "scheduler/scheduler_config.json": {"_class_name": "DDIMScheduler", **SCHEDULER},
    }
    for name, content in parts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
