"""A LATENT in the shape that the host's samplers give it."""

import inspect
from typing import Any

import comfy.sample
from comfy.model_patcher import ModelPatcher
from torch import Tensor

#: Newer releases make an empty latent of another family's size: the LATENT says of which.
_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def sampled_shape(model: ModelPatcher, samples: Tensor, latent: dict[str, Any]) -> Tensor:
    """An empty latent with the model's channels, size and time; any other as it is but for time."""
    fix = comfy.sample.fix_empty_latent_channels
    ratios = {name: latent.get(name) for name in _RATIOS if name in inspect.signature(fix).parameters}
    return fix(model, samples, **ratios)
