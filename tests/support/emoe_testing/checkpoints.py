"""Stand-in Stable Diffusion 1.5 checkpoints with random weights from a seed, small enough to write in a test.

ComfyUI recognises a checkpoint by its keys and shapes. These have SD1.5's own (model_channels 320, context_dim 768)
with fewer blocks: one level and one residual block make 24 M parameters, 48 MB in fp16. Weights are scaled by their
fan-in, so that what flows through stays finite. A checkpoint has no VAE, and a text encoder only when asked for: CLIP-L
cannot be cut, its file is 246 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

MODEL_CHANNELS, CONTEXT, TIME = 320, 768, 1280
UNET_PREFIX = "model.diffusion_model."
TEXT_PREFIX = "cond_stage_model.transformer."
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def _linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (out, into)
    if bias:
        yield f"{name}.bias", (out,)


def _conv(name: str, out: int, into: int, size: int) -> Shapes:
    yield f"{name}.weight", (out, into, size, size)
    yield f"{name}.bias", (out,)


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _residual(name: str, into: int, out: int) -> Shapes:
    yield from _norm(f"{name}.in_layers.0", into)
    yield from _conv(f"{name}.in_layers.2", out, into, 3)
    yield from _linear(f"{name}.emb_layers.1", out, TIME)
    yield from _norm(f"{name}.out_layers.0", out)
    yield from _conv(f"{name}.out_layers.3", out, out, 3)
    if into != out:
        yield from _conv(f"{name}.skip_connection", out, into, 1)


def _transformer(name: str, width: int) -> Shapes:
    yield from _norm(f"{name}.norm", width)
    yield from _conv(f"{name}.proj_in", width, width, 1)
    block = f"{name}.transformer_blocks.0"
    for attention, context in (("attn1", width), ("attn2", CONTEXT)):
        yield from _linear(f"{block}.{attention}.to_q", width, width, bias=False)
        yield from _linear(f"{block}.{attention}.to_k", width, context, bias=False)
        yield from _linear(f"{block}.{attention}.to_v", width, context, bias=False)
        yield from _linear(f"{block}.{attention}.to_out.0", width, width)
    yield from _linear(f"{block}.ff.net.0.proj", width * 8, width)
    yield from _linear(f"{block}.ff.net.2", width, width * 4)
    for number in (1, 2, 3):
        yield from _norm(f"{block}.norm{number}", width)
    yield from _conv(f"{name}.proj_out", width, width, 1)


def unet_shapes(channel_mult: Sequence[int] = (1,), num_res_blocks: int = 1) -> Shapes:
    """Keys and shapes of a U-Net of SD1.5's kind, a transformer after every residual block."""
    yield from _linear("time_embed.0", TIME, MODEL_CHANNELS)
    yield from _linear("time_embed.2", TIME, TIME)
    yield from _conv("input_blocks.0.0", MODEL_CHANNELS, 4, 3)
    number, width, skips = 1, MODEL_CHANNELS, [MODEL_CHANNELS]
    for level, mult in enumerate(channel_mult):
        for _ in range(num_res_blocks):
            yield from _residual(f"input_blocks.{number}.0", width, mult * MODEL_CHANNELS)
            width = mult * MODEL_CHANNELS
            yield from _transformer(f"input_blocks.{number}.1", width)
            skips.append(width)
            number += 1
        if level < len(channel_mult) - 1:
            yield from _conv(f"input_blocks.{number}.0.op", width, width, 3)
            skips.append(width)
            number += 1
    yield from _residual("middle_block.0", width, width)
    yield from _transformer("middle_block.1", width)
    yield from _residual("middle_block.2", width, width)
    number = 0
    for level, mult in reversed(list(enumerate(channel_mult))):
        for index in range(num_res_blocks + 1):
            yield from _residual(f"output_blocks.{number}.0", width + skips.pop(), mult * MODEL_CHANNELS)
            width = mult * MODEL_CHANNELS
            yield from _transformer(f"output_blocks.{number}.1", width)
            if level > 0 and index == num_res_blocks:
                yield from _conv(f"output_blocks.{number}.2.conv", width, width, 3)
            number += 1
    yield from _norm("out.0", width)
    yield from _conv("out.2", 4, width, 3)


def clip_l_shapes() -> Shapes:
    """Keys and shapes of the CLIP-L text encoder, whole: ComfyUI builds it in one size only."""
    width = 768
    yield "text_model.embeddings.token_embedding.weight", (49408, width)
    yield "text_model.embeddings.position_embedding.weight", (77, width)
    for number in range(12):
        layer = f"text_model.encoder.layers.{number}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{projection}", width, width)
        yield from _norm(f"{layer}.layer_norm1", width)
        yield from _linear(f"{layer}.mlp.fc1", width * 4, width)
        yield from _linear(f"{layer}.mlp.fc2", width, width * 4)
        yield from _norm(f"{layer}.layer_norm2", width)
    yield from _norm("text_model.final_layer_norm", width)


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


def make_sd15(
    path: Path,
    seed: int,
    base: Path | None = None,
    delta: float = 0.05,
    *,
    channel_mult: Sequence[int] = (1,),
    num_res_blocks: int = 1,
    text_encoder: bool = False,
) -> Path:
    """Writes a checkpoint that CheckpointLoaderSimple loads as SD1.5, and returns its path.

    With `base` (a file this function wrote) its weights descend from that one's; without, they are unrelated to any
    other seed's. The text encoder, when wanted, is the same for every seed, as it mostly is among fine-tunes.
    """
    if base is None:
        shapes = ((UNET_PREFIX + name, shape) for name, shape in unet_shapes(channel_mult, num_res_blocks))
        weights = random_weights(shapes, seed)
    else:
        kept = {k: v for k, v in load_file(base).items() if k.startswith(UNET_PREFIX)}
        weights = descend(kept, seed, delta)
    if text_encoder:
        weights |= {TEXT_PREFIX + name: weight for name, weight in random_weights(clip_l_shapes(), 0).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)
    return path


def make_clip_l(path: Path, seed: int = 0) -> Path:
    """Writes a CLIP-L text encoder for CLIPLoader (type stable_diffusion): one file serves every checkpoint without
    one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(random_weights(clip_l_shapes(), seed), path)
    return path
