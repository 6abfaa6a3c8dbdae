"""Diffusion transformers of the host's own classes with random weights, small enough for a test.

ComfyUI must be importable. SD3 reads its width and depth from the weights, so its file goes through the stock loader.
The width of Flux and Z-Image is fixed there, so small ones are built as the loader builds its models.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SD3_DEPTH, SD3_CONTEXT = 4, 64
FLUX_CONTEXT = 48
_FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 32,
    "context_in_dim": FLUX_CONTEXT,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 3,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
}
Z_IMAGE_CONTEXT = 40
_Z_IMAGE = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 256,
    "n_layers": 3,
    "n_refiner_layers": 1,
    "n_heads": 4,
    "n_kv_heads": 4,
    "multiple_of": 16,
    "qk_norm": True,
    "cap_feat_dim": Z_IMAGE_CONTEXT,
    "axes_dims": [16, 24, 24],
    "axes_lens": [64, 64, 64],
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}


def _random(network: torch.nn.Module, base_seed: int, seed: int | None, delta: float) -> dict[str, torch.Tensor]:
    """Weights of a base, moved by `delta` of their spread where there is a second seed."""
    generator = torch.Generator().manual_seed(base_seed)
    other = None if seed is None else torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in ((name, weight.shape) for name, weight in network.state_dict().items()):
        spread = 1 / shape[-1] ** 0.5 if len(shape) > 1 else 0.1
        weights[name] = torch.randn(shape, generator=generator) * spread
        if other is not None:
            weights[name] += delta * spread * torch.randn(shape, generator=other)
    return weights


def make_sd3(path: Path, seed: int | None = None, delta: float = 0.1) -> Path:
    """Writes a checkpoint that CheckpointLoaderSimple loads as SD3; those of different seeds descend from one base."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper

    width = 64 * SD3_DEPTH
    network = OpenAISignatureMMDITWrapper(
        input_size=None,
        in_channels=16,
        depth=SD3_DEPTH,
        adm_in_channels=2048,
        context_embedder_config={
            "target": "torch.nn.Linear",
            "params": {"in_features": SD3_CONTEXT, "out_features": width},
        },
        num_patches=64,
        pos_embed_max_size=8,
        operations=comfy.ops.disable_weight_init,
    )
    weights = {f"model.diffusion_model.{name}": value for name, value in _random(network, 0, seed, delta).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)
    return path


def make_flux(seed: int | None = None, delta: float = 0.1) -> Any:
    """A MODEL of a small Flux; those of different seeds descend from one base."""
    import comfy.supported_models

    return _model(comfy.supported_models.Flux(flux_parameters(**_FLUX)), seed, delta)


def flux_parameters(**chosen: Any) -> dict[str, Any]:
    """What the host's detection gives for a Flux beside what its weights say: newer hosts ask for one thing more."""
    from comfy.ldm.flux.model import FluxParams

    more = {"txt_ids_dims": []}
    return chosen | {field.name: more[field.name] for field in fields(FluxParams) if field.name in more}


def make_z_image(seed: int | None = None, delta: float = 0.1) -> Any:
    """A MODEL of a small Z-Image, which is a Lumina 2; those of different seeds descend from one base."""
    import comfy.supported_models

    return _model(comfy.supported_models.ZImage(dict(_Z_IMAGE)), seed, delta)


def _model(config: Any, seed: int | None, delta: float) -> Any:
    """A MODEL as the loader builds it, where the weights in a file would not say that it is small."""
    import comfy.model_management
    import comfy.model_patcher

    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({})
    model.diffusion_model.load_state_dict(_random(model.diffusion_model, 0, seed, delta))
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(), offload_device=cpu
    )
