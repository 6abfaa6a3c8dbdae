"""From diffusers' names of a U-Net's weights to Stable Diffusion's original names.

Checkpoints and ComfyUI use the original names. A model's identity and the lineage check read names and values. With
one naming, an expert is the same expert in both hosts, and a calibration made in one holds in the other.
"""

import re
from collections.abc import Mapping
from typing import Any

_TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def original_name(name: str, config: Mapping[str, Any]) -> str:
    """The original name of one weight; unchanged if the original network has no such part.

    Args:
        name: as in the state dict of a UNet2DConditionModel.
        config: the model's own; `layers_per_block` and `up_block_types` are read.
    """
    head, _, tail = name.rpartition(".")
    if head in _TOP:
        return f"{_TOP[head]}.{tail}"
    if match := _MIDDLE.fullmatch(name):
        kind, number, rest = match.groups()
        place = 2 * int(number) + (kind == "attentions")
        return f"middle_block.{place}.{_inner(kind, rest)}"
    if not (match := _BLOCK.fullmatch(name)):
        return name
    side, block, kind, number, rest = match.groups()
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        return name
    level, place = int(block), int(number)
    if side == "down":
        if kind == "downsamplers":
            return f"input_blocks.{(level + 1) * (layers + 1)}.0.op.{tail}"
        return f"input_blocks.{1 + level * (layers + 1) + place}.{int(kind == 'attentions')}.{_inner(kind, rest)}"
    if kind == "upsamplers":
        after = 2 if "CrossAttn" in config["up_block_types"][level] else 1
        return f"output_blocks.{level * (layers + 1) + layers}.{after}.conv.{tail}"
    return f"output_blocks.{level * (layers + 1) + place}.{int(kind == 'attentions')}.{_inner(kind, rest)}"


def _inner(kind: str, rest: str) -> str:
    if kind == "attentions":
        return rest
    part, _, tail = rest.partition(".")
    return f"{_RESIDUAL.get(part, part)}.{tail}"
