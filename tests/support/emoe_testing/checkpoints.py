"""Stand-in Stable Diffusion checkpoints with random weights from a seed, small enough to write in a test.

ComfyUI recognises a checkpoint by its keys and shapes. These have the families' own (see `unet`) with fewer blocks.
Weights are scaled by their fan-in, so that what flows through stays finite. A checkpoint has no VAE, and a text encoder
only when asked for: CLIP-L cannot be cut, its file is 246 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import unet
from .unet import Shapes, UNet, linear, norm

UNET_PREFIX = "model.diffusion_model."
TEXT_PREFIX = "cond_stage_model.transformer."


def clip_l_shapes() -> Shapes:
    """Keys and shapes of the CLIP-L text encoder, whole: ComfyUI builds it in one size only."""
    width = 768
    yield "text_model.embeddings.token_embedding.weight", (49408, width)
    yield "text_model.embeddings.position_embedding.weight", (77, width)
    for number in range(12):
        layer = f"text_model.encoder.layers.{number}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{layer}.self_attn.{projection}", width, width)
        yield from norm(f"{layer}.layer_norm1", width)
        yield from linear(f"{layer}.mlp.fc1", width * 4, width)
        yield from linear(f"{layer}.mlp.fc2", width, width * 4)
        yield from norm(f"{layer}.layer_norm2", width)
    yield from norm("text_model.final_layer_norm", width)


def random_weights(shapes: Shapes, seed: int) -> dict[str, torch.Tensor]:
    """Norms start as the identity, biases at zero, the rest is normal over the fan-in."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes:
        if len(shape) == 1:
            is_scale = name.endswith(".weight")
            tensor = torch.ones(shape) if is_scale else torch.zeros(shape)
        else:
            fan_in = int(torch.tensor(shape[1:]).prod())
            tensor = torch.randn(shape, generator=generator) / fan_in**0.5
        weights[name] = tensor.half()
    return weights


def descend(base: dict[str, torch.Tensor], seed: int, delta: float) -> dict[str, torch.Tensor]:
    """A fine-tune's likeness: every weight moved by `delta` of its tensor's own spread."""
    generator = torch.Generator().manual_seed(seed)
    moved = {}
    for name, weight in base.items():
        value = weight.float()
        spread = value.std() if value.dim() > 1 else torch.tensor(1.0)
        moved[name] = (value + delta * spread * torch.randn(value.shape, generator=generator)).half()
    return moved


def make_unet(
    path: Path,
    plan: UNet,
    seed: int,
    base: Path | None = None,
    delta: float = 0.05,
    *,
    prefix: str = UNET_PREFIX,
    dtype: torch.dtype = torch.float16,
    extra: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Writes a file with a U-Net of this plan, and returns its path.

    Args:
        base: a file this module wrote; the weights descend from its. Without, they are unrelated to any other seed's.
        prefix: "" for a file of the diffusion_models folder.
        extra: more tensors, by their whole name.
    """
    if base is None:
        weights = random_weights(((prefix + name, shape) for name, shape in plan.shapes()), seed)
    else:
        kept = {name: weight for name, weight in load_file(base).items() if name.startswith(UNET_PREFIX)}
        moved = descend(kept, seed, delta)
        weights = {prefix + name.removeprefix(UNET_PREFIX): weight for name, weight in moved.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.to(dtype) for name, weight in weights.items()} | (extra or {}), path)
    return path


def make_sd15(
    path: Path,
    seed: int,
    base: Path | None = None,
    delta: float = 0.05,
    *,
    channel_mult: Sequence[int] = (1,),
    num_res_blocks: int = 1,
    text_encoder: bool = False,
    prefix: str = UNET_PREFIX,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes a checkpoint that CheckpointLoaderSimple loads as SD1.5, 48 MB, and returns its path. See `make_unet`.

    The text encoder, when wanted, is the same for every seed, as it mostly is among fine-tunes.
    """
    plan = unet.sd15(tuple(channel_mult), num_res_blocks)
    text = random_weights(clip_l_shapes(), 0) if text_encoder else {}
    extra = {TEXT_PREFIX + name: weight for name, weight in text.items()}
    return make_unet(path, plan, seed, base, delta, prefix=prefix, dtype=dtype, extra=extra)


def make_sd15_inpainting(path: Path, seed: int, base: Path | None = None, delta: float = 0.05) -> Path:
    """As `make_sd15`, with the nine input channels of an inpainting model (`base` must have them too)."""
    return make_unet(path, unet.sd15(in_channels=9), seed, base, delta)


def make_sd2(
    path: Path, seed: int, base: Path | None = None, delta: float = 0.05, *, v_prediction: bool = False
) -> Path:
    """Writes a checkpoint that loads as SD2, 49 MB (eps) or 160 MB (v-prediction), and returns its path."""
    if not v_prediction:
        return make_unet(path, unet.SD2_TINY, seed, base, delta)
    # ComfyUI looks at the spread of this bias: it is wide in the v-predicting models.
    mark = torch.randn(unet.MODEL_CHANNELS, generator=torch.Generator().manual_seed(seed)).half()
    name = f"{UNET_PREFIX}output_blocks.11.1.transformer_blocks.0.norm1.bias"
    return make_unet(path, unet.SD2_V_TINY, seed, base, delta, extra={name: mark})


def make_sdxl(
    path: Path,
    seed: int,
    base: Path | None = None,
    delta: float = 0.05,
    *,
    v_prediction: bool = False,
    prefix: str = UNET_PREFIX,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes a checkpoint that loads as SDXL's kind (pooled text and image sizes as conditions), 162 MB.

    It has no text encoder: its conditioning is 77 x 2048 numbers with a `pooled_output` of 1280.
    """
    extra = {"v_pred": torch.tensor([])} if v_prediction else {}
    return make_unet(path, unet.SDXL_TINY, seed, base, delta, prefix=prefix, dtype=dtype, extra=extra)


def make_quantised(
    path: Path,
    base: Path,
    quantise: Callable[[str, torch.Tensor], dict[str, torch.Tensor]],
    *,
    prefix: str = UNET_PREFIX,
    extra: dict[str, torch.Tensor] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Writes a file with the U-Net of another whose linear layers are quantised, and returns its path.

    Args:
        base: a file this module wrote.
        quantise: gives what stands in the file for a layer's weight, by its name behind that of the layer, from the layer's
            name and the weight (float32).
        prefix: "" for a file of the diffusion_models folder.
        extra: more tensors, by their whole name.
        metadata: the file's remarks.
    """
    made = {}
    for name, weight in load_file(base).items():
        if not name.startswith(UNET_PREFIX):
            continue
        layer, _, last = (prefix + name.removeprefix(UNET_PREFIX)).rpartition(".")
        stored = quantise(layer, weight.float()) if last == "weight" and weight.dim() == 2 else {last: weight}
        made |= {f"{layer}.{part}": tensor.contiguous() for part, tensor in stored.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(made | (extra or {}), path, metadata)
    return path


def scaled_fp8(layer: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """A weight in 8-bit floats with one scale, as older files have it. They have an empty `scaled_fp8` too."""
    scale = weight.abs().max() / 448
    return {"weight": (weight / scale).to(torch.float8_e4m3fn), "scale_weight": scale}
