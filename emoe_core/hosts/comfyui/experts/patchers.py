"""Handing a model to the host as its own loaders do, on every release.

Newer releases page weights into a graphics card when a layer is called (`ModelPatcherDynamic`; `CoreModelPatcher` names the
kind in use). Three things follow for code that builds a model. A layer may have no weights before a file is read into it.
Weights stay in the file's number format, and are converted to the model's when they are paged in. Code that needs a model
loaded the old way asks for a function that loads it again.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

try:
    from comfy import model_prefetch
except ImportError:  # older releases
    model_prefetch = None  # type: ignore[assignment]  # a module's name cannot be declared as a module or None


def new_patcher(
    model: Any, load_device: torch.device, offload_device: torch.device, disable_dynamic: bool = False
) -> ModelPatcher:
    """The ModelPatcher that the host's checkpoint loader makes for a network.

    Args:
        disable_dynamic: the old kind, where the host has another.
    """
    plain = comfy.model_patcher.ModelPatcher
    kind = plain if disable_dynamic else getattr(comfy.model_patcher, "CoreModelPatcher", plain)
    return kind(model, load_device=load_device, offload_device=offload_device)


def keeps_the_files_types(patcher: ModelPatcher) -> bool:
    """Whether the host leaves this model's weights in the types of their file."""
    return bool(getattr(patcher, "is_dynamic", bool)())


def loads_again_by(patcher: ModelPatcher, function: Callable[..., Any], *args: Any) -> None:
    """Tells the host how to load a model again, for nodes that compile it and for prompts with hooks.

    Args:
        function: gives a ModelPatcher; takes `args`, and `disable_dynamic`.
    """
    patcher.cached_patcher_init = (function, args)


def not_dynamic(disable_dynamic: bool) -> dict[str, Any]:
    """The argument for the host's loaders; empty for releases that know only one kind of loading."""
    return {"disable_dynamic": True} if disable_dynamic and hasattr(comfy.model_patcher, "CoreModelPatcher") else {}


def give_weights(module: torch.nn.Module) -> None:
    """Gives weights without memory to linear layers that the host has made without any, in its own types."""
    for layer in module.modules():
        if not isinstance(layer, torch.nn.Linear) or layer.weight is not None:
            continue
        dtype, shape = layer.weight_comfy_model_dtype, (layer.out_features, layer.in_features)
        layer.weight = torch.nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"), requires_grad=False)
        if layer.comfy_need_lazy_init_bias:
            layer.bias = torch.nn.Parameter(torch.empty(shape[:1], dtype=dtype, device="meta"), requires_grad=False)


def forget_prefetched() -> None:
    """Drops the weights that a pass prefetched and did not use, as the host does after a node.

    Newer releases copy a block's weights to the card while the block before it computes. The next pass would mistake them
    for its own.
    """
    if model_prefetch is not None:
        model_prefetch.cleanup_prefetch_queues()


#: Newer releases make an empty latent of another family's size: the LATENT says of which.
_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def sampled_shape(model: ModelPatcher, samples: Tensor, latent: dict[str, Any]) -> Tensor:
    """An empty latent with the model's channels, size and time; any other as it is but for time."""
    fix = comfy.sample.fix_empty_latent_channels
    ratios = {name: latent.get(name) for name in _RATIOS if name in inspect.signature(fix).parameters}
    return fix(model, samples, **ratios)


def on_processor(model: ModelPatcher) -> ModelPatcher:
    """The model with its noise levels on the processor, whether it was loaded before or not.

    A card's exponential differs in the last digit. With it, a prompt's score would depend on whether the model was on the
    card already, and the empty prompt's pass would be made again.
    """
    sampling = model.get_model_object("model_sampling")
    if all(levels.device.type == "cpu" for levels in sampling.buffers()):
        return model
    clone = model.clone()
    clone.add_object_patch("model_sampling", copy.deepcopy(sampling).to("cpu"))
    return clone
