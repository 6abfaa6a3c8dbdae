"""What stands beside the words of a prompt, or is hooked onto a text encoder, by its content.

ControlNets and hooks keep what a run needs among what a user chose, so what counts of them is listed here. Everything else
is read by `emoe_core.experts.contents`.
"""

import hashlib
import weakref
from typing import Any

from comfy.model_patcher import ModelPatcher
from torch import nn

from ....experts.contents import Contents
from ....experts.signature import signature

_CONTROL = (
    *("cond_hint_original", "strength", "timestep_percent_range", "strength_type", "extra_args", "extra_concat_orig"),
    *("global_average_pooling", "control_weights", "control_model", "t2i_model", "previous_controlnet", "extra_hooks"),
)
_HOOK_STRENGTHS = ("_strength_model", "_strength_clip")
_HOOK_WEIGHTS = ("weights", "weights_clip", "object_patches", "models", "transformers_dict")
_KEYFRAME = ("strength", "start_percent", "guarantee_steps")
#: Digests that cost something, by what they are of.
_networks: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
_weights: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def content(value: Any) -> str:
    """Digest (hex) of an object or a tensor: equal for what a user chose alike, before and after a run."""
    return Contents(_known).digest(_chosen(value))[:16]


def _chosen(value: Any) -> Any:
    """The choices in a value, as plain values and tensors."""
    if hasattr(value, "cond_hint_original"):
        return [type(value).__name__, *(_chosen(getattr(value, name, None)) for name in _CONTROL)]
    if hasattr(value, "hook_keyframe"):
        return _hook(value)
    if hasattr(value, "get_type") and isinstance(getattr(value, "hooks", None), list):
        return [_hook(hook) for hook in value.hooks]
    if isinstance(value, (list, tuple)):
        return [_chosen(one) for one in value]
    return value


def _hook(hook: Any) -> Any:
    """A hook; its weights are read once, by the reference that its clones share."""
    if hook.hook_ref not in _weights:
        held = [getattr(hook, name, None) for name in _HOOK_WEIGHTS]
        _weights[hook.hook_ref] = Contents(_known).digest(held)
    frames = [[getattr(frame, name) for name in _KEYFRAME] for frame in hook.hook_keyframe.keyframes]
    strengths = [getattr(hook, name, None) for name in _HOOK_STRENGTHS]
    return [type(hook).__name__, strengths, _weights[hook.hook_ref], frames]


def _known(value: Any) -> str | None:
    """Networks by their weights, which are read once."""
    network = value.model if isinstance(value, ModelPatcher) else value
    if not isinstance(network, nn.Module):
        return None
    if network not in _networks:
        _networks[network] = signature(network.state_dict().items()).digest
    patches = sorted(value.patches) if isinstance(value, ModelPatcher) else []
    return hashlib.sha256(f"{_networks[network]}:{patches}".encode()).hexdigest()
