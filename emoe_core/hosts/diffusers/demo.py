"""The embedded experts as diffusers' own objects: a UNet2DConditionModel and a CLIPTextModel in a pipeline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import load_file
from torch import Tensor, nn

from ... import demo
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...io.files import file_sha256
from ...records.calibration import Calibration
from .experts import expert_from_network, text_identity

_TEXT = "cond_stage_model.transformer."
_TOKENS = 32
_UNET_CONFIG = {
    "sample_size": demo.SIZE // 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (32, 64, 96),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 96,
    "attention_head_dim": 4,  # the number of heads: diffusers keeps the name for compatibility
}
_TEXT_CONFIG: dict[str, Any] = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": _TOKENS,
    "vocab_size": 2048,
    "bos_token_id": 2046,
    "eos_token_id": 2047,
    "pad_token_id": 2047,
}


def demo_experts() -> ExpertSet:
    """The four embedded experts, always in float32, with the calibrations made for them.

    Raises:
        EMoEError: a file of the pack is missing or damaged.
    """
    # transformers 4 has a second, slow CLIPTokenizer that splits Chinese characters; both 4 and 5 have the fast one.
    reader = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
    tokenizer = reader.from_pretrained(str(demo.tokenizer_dir()), model_max_length=_TOKENS, local_files_only=True)
    experts = ExpertSet()
    for path in demo.expert_files():
        unet, encoder = _load(path)
        one = expert_from_network(
            unet, tokenizer, encoder, name=path.stem, file=f"{path.name} sha256:{file_sha256(path)}"
        )
        # Their projection is defined, as the identity, although nothing here uses it.
        identity = text_identity(one.clip, path.name, torch.eye(_TEXT_CONFIG["hidden_size"]))
        experts = experts.add(replace(one, clip_identity=identity))
    identities = tuple(expert.identity for expert in experts.experts)
    shipped = [Calibration.load(path) for path in demo.calibration_files()]
    return ExpertSet(experts.experts, tuple(c for c in shipped if c.settings.experts == identities))


def _load(path: Path) -> tuple[Any, Any]:
    demo.metadata(path)  # its errors are meant for a person
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    unet = diffusers.UNet2DConditionModel(**_UNET_CONFIG)
    _fill(unet, convert_ldm_unet_checkpoint(state, unet.config), path)
    encoder = transformers.CLIPTextModel(transformers.CLIPTextConfig(**_TEXT_CONFIG))
    text = {name.removeprefix(_TEXT): tensor for name, tensor in state.items() if name.startswith(_TEXT)}
    if not any(name.startswith("text_model.") for name in encoder.state_dict()):  # transformers 5 dropped the prefix
        text = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    _fill(encoder, text, path)
    return unet.eval().requires_grad_(False), encoder.eval().requires_grad_(False)


def _fill(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    missing = set(module.state_dict()) - state.keys()
    missing -= {name for name in missing if name.endswith("position_ids")}  # a constant, in older releases
    if missing:
        raise EMoEError(f"{path} lacks {len(missing)} weights, {min(missing)} among them; install the node pack again.")
    with torch.no_grad():
        module.load_state_dict(state, strict=False)
