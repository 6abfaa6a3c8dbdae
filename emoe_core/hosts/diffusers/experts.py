"""Experts from diffusers' objects: pipelines, or a bare network with its text encoder."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from ...errors import EMoEError, first_line
from ...experts.sets import Expert, ExpertSet
from ...experts.signature import DIGEST_VALUES, Signature, sample_values, signature
from .networks import SD3, Flux, Network, UNet, block_places, place_of, unet_places
from .prompts import TextEncoders
from .schedules import STABLE_DIFFUSION, NoiseLevels, discrete, exponential_flow, shifted_flow

_LORA = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector")
#: A temperature that is in every CLIP but affects no encoding; it counts in the other host's identity.
_LOGIT_SCALE = 4.6055


def expert_from_pipeline(pipeline: Any, name: str = "", *, clip_skip: int | None = None, file: str = "") -> Expert:
    """An expert from a pipeline that the caller has loaded, including its LoRA. The pipeline does not change.

    Args:
        pipeline: StableDiffusionPipeline, StableDiffusionXLPipeline, StableDiffusion3Pipeline or FluxPipeline.
        clip_skip: as in the pipeline's own call.
        file: the file it was read from, for reports.

    Raises:
        EMoEError: another kind of pipeline, an inpainting network, an unsupported scheduler, or unreadable weights.
    """
    where = f"expert '{name}'" if name else f"the {type(pipeline).__name__}"
    network = _network(pipeline, where)
    encoders = TextEncoders(pipeline, clip_skip)
    weights = _signature(network.module, where)
    has_text = bool(encoders.modules)
    return Expert(
        name=name,
        model=network,
        clip=encoders if has_text else None,
        signature=weights,
        identity=_identity(network.module, weights),
        clip_identity=text_identity(encoders, where) if has_text else "",
        family=_family(network),
        prediction=network.levels.prediction,
        dtype=str(place_of(network.module)[1]).removeprefix("torch."),
        file=file,
        weights=str(next(network.module.parameters()).dtype).removeprefix("torch."),
    )


def expert_from_network(
    unet: Any,
    tokenizer: Any,
    text_encoder: Any,
    scheduler: Any = None,
    name: str = "",
    *,
    tokenizer_2: Any = None,
    text_encoder_2: Any = None,
    clip_skip: int | None = None,
    file: str = "",
) -> Expert:
    """An expert from a bare UNet2DConditionModel with its tokenizer and text encoder (two of each for SDXL).

    Args:
        scheduler: any scheduler with the configuration of the network's training; None for Stable Diffusion's own.
    """
    parts = {"vae": None, "tokenizer": tokenizer, "text_encoder": text_encoder, "unet": unet, "scheduler": scheduler}
    if scheduler is None:
        parts["scheduler"] = diffusers.DDIMScheduler(**STABLE_DIFFUSION, clip_sample=False, steps_offset=1)
    try:
        if text_encoder_2 is not None:
            second = {"tokenizer_2": tokenizer_2, "text_encoder_2": text_encoder_2}
            pipeline = diffusers.StableDiffusionXLPipeline(**parts, **second, add_watermarker=False)
        else:
            pipeline = diffusers.StableDiffusionPipeline(
                **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            )
    except (TypeError, ValueError, AttributeError) as error:
        raise EMoEError(f"These parts make no pipeline ({first_line(error)}); give a UNet2DConditionModel.") from error
    return expert_from_pipeline(pipeline, name, clip_skip=clip_skip, file=file)


def experts_from_pipelines(pipelines: Mapping[str, Any] | Sequence[Any]) -> ExpertSet:
    """A set from pipelines, by name or in order."""
    if not isinstance(pipelines, Mapping):
        pipelines = {f"expert {i}": pipeline for i, pipeline in enumerate(pipelines, start=1)}
    experts = ExpertSet()
    for name, pipeline in pipelines.items():
        experts = experts.add(expert_from_pipeline(pipeline, name))
    return experts


def _network(pipeline: Any, where: str) -> Network:
    # A compiled module wraps the real one, which has the parts to tap.
    given = getattr(pipeline, "unet", None)
    given = getattr(pipeline, "transformer", None) if given is None else given
    module: Any = getattr(given, "_orig_mod", given)
    kind = type(module).__name__
    config: Mapping[str, Any] = getattr(module, "config", {})
    if kind == "UNet2DConditionModel":
        if config["in_channels"] != config["out_channels"]:
            raise EMoEError(
                f"The network of {where} takes {config['in_channels']} channels and gives {config['out_channels']}: it is "
                "for inpainting or editing and wants a picture beside the prompt; use a text-to-image model."
            )
        levels = _levels(pipeline, where)
        multiple = 2 ** (len(config["block_out_channels"]) - 1)
        return UNet(module, levels, int(config["in_channels"]), multiple, unet_places(module))
    if kind == "SD3Transformer2DModel":
        patch = int(config["patch_size"])
        return SD3(module, _levels(pipeline, where), int(config["in_channels"]), patch, block_places(module))
    if kind == "FluxTransformer2DModel":
        return Flux(module, _levels(pipeline, where), int(config["in_channels"]) // 4, 2, block_places(module))
    raise EMoEError(
        f"The network of {where} is a {kind}, which is not known here; use a pipeline of Stable Diffusion 1, 2, XL or 3, or "
        "of Flux."
    )


def _levels(pipeline: Any, where: str) -> NoiseLevels:
    scheduler = getattr(pipeline, "scheduler", None)
    if scheduler is None:
        return discrete(STABLE_DIFFUSION, "the network")
    config = dict(scheduler.config)
    kind = type(scheduler).__name__
    if kind.startswith("FlowMatch"):
        if config.get("use_dynamic_shifting"):
            return exponential_flow(float(config.get("max_shift") or 1.15))
        return shifted_flow(float(config.get("shift") or 1.0))
    if "EDM" in kind or "beta_schedule" not in config:
        raise EMoEError(
            f"The scheduler of {where} is a {kind}, whose noise levels are not known here; give the pipeline one with betas "
            "(DDIMScheduler, EulerDiscreteScheduler, ...) or a FlowMatchEulerDiscreteScheduler."
        )
    return discrete(config, where)


def _family(network: Network) -> str:
    config: Mapping[str, Any] = getattr(network.module, "config", {})
    text = config.get("cross_attention_dim") or config.get("joint_attention_dim")
    return f"{type(network.module).__name__} with {network.channels}-channel latents and {text}-wide text"


# --- identity ---------------------------------------------------------------------------------------------------------


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The module's own weights, by the names they have without LoRA."""
    for name, tensor in module.state_dict().items():
        parts = name.split(".")
        if not any(part in _LORA for part in parts):
            yield ".".join(part for part in parts if part != "base_layer"), tensor


def _signature(module: nn.Module, where: str) -> Signature:
    config: Mapping[str, Any] = getattr(module, "config", {})
    rename = type(module).__name__ == "UNet2DConditionModel"
    try:
        return signature(
            (f"diffusion_model.{original_name(name, config) if rename else name}", tensor)
            for name, tensor in _weights(module)
        )
    except (RuntimeError, NotImplementedError) as error:
        raise EMoEError(
            f"The weights of {where} cannot be read ({first_line(error)}); load it without sequential offloading."
        ) from error


def _identity(module: nn.Module, weights: Signature) -> str:
    """Digest of weights and LoRA; without LoRA it equals the other host's."""
    digest = hashlib.sha256(weights.digest.encode())
    for name, part in sorted(module.named_modules(), key=lambda item: item[0]):
        if not (hasattr(part, "lora_A") and hasattr(part, "scaling")):
            continue
        off = bool(getattr(part, "disable_adapters", False))
        for adapter in sorted(getattr(part, "active_adapters", ()) if not off else ()):
            digest.update(f"{name}:{adapter}={part.scaling.get(adapter)};".encode())
            for side in _LORA:
                held = getattr(part, side, {})
                if adapter in held:
                    matrix = getattr(held[adapter], "weight", held[adapter])
                    digest.update(sample_values(matrix, DIGEST_VALUES).astype("<f4").tobytes())
    return digest.hexdigest()


def text_identity(encoders: TextEncoders, where: str, projection: Tensor | None = None) -> str:
    """Digest of the text encoders with their LoRA and clip-skip; for CLIP it equals the other host's.

    Args:
        projection: the pooled text's projection, if it counts and the encoder has none.
    """
    try:
        whole = signature(_text_weights(encoders.modules, projection))
    except (RuntimeError, NotImplementedError) as error:
        raise EMoEError(f"The text encoder of {where} cannot be read ({first_line(error)}).") from error
    plain = hashlib.sha256(whole.digest.encode()).hexdigest()
    digest = plain
    for name, module in encoders.modules.items():
        own = _identity(module, whole)
        if own != plain:
            digest = hashlib.sha256(f"{digest}{name}{own}".encode()).hexdigest()
    return hashlib.sha256(f"{digest}{encoders.clip_skip}".encode()).hexdigest()


def _text_weights(modules: Mapping[str, nn.Module], projection: Tensor | None) -> Iterable[tuple[str, Tensor]]:
    """Weights by the other host's names. There every CLIP has a temperature, and only the second one's projection counts."""
    for name, module in modules.items():
        if not type(module).__name__.startswith("CLIPText"):
            yield from ((f"{name}.{key}", tensor) for key, tensor in _weights(module))
            continue
        prefix = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}[name]
        found = {key.removeprefix("text_model."): t for key, t in _weights(module) if not key.endswith("position_ids")}
        own = found.pop("text_projection.weight", None)
        counts = projection if name == "text_encoder" else own
        yield f"{prefix}.logit_scale", torch.tensor(_LOGIT_SCALE)
        if counts is not None:
            yield f"{prefix}.transformer.text_projection.weight", counts
        yield from ((f"{prefix}.transformer.text_model.{key}", tensor) for key, tensor in found.items())


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
    """Stable Diffusion's original name of a U-Net's weight; unchanged if the original network has no such part.

    Checkpoints and ComfyUI use the original names. A model's identity and the lineage check read names and values. With
    one naming, an expert is the same expert in both hosts, and a calibration made in one holds in the other.

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
