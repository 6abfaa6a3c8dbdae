"""Other nodes' patches inside the probe: left out where they have no part, run alone where rows may mix, and drawn alike.

A probe asks for the conditional prediction of several noise samples at once. Three kinds of patches do not bear that.
Guidance patches act on the result of the conditional and the unconditional branch together, of which there is one here.
Patches inside the network may let the rows of a call see each other. And some draw random numbers.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ....experts.sets import ExpertSet
from ....mixture.sparse import SparseMoE
from ....records.message import Code, Message
from ..experts.identity import ROUNDING_ONLY, is_ours
from ..prompts.conditioning import Conditioning

#: Options of a model that only act on a guided result.
_GUIDANCE = ("sampler_pre_cfg_function", "sampler_cfg_function", "sampler_post_cfg_function")
#: Makes the host call the network for the unconditional branch too; guidance patches set it.
_BOTH_BRANCHES = "disable_cfg1_optimization"
#: Options of a model that take the network's call over.
_CALLS = ("model_function_wrapper", "sampler_calc_cond_batch_function")
_WEIGHTS = "weight"


def guidance_of(model: Any) -> tuple[str, ...]:
    """The guidance patches of a ModelPatcher, by the host's names."""
    return tuple(name for name in _GUIDANCE if model.model_options.get(name))


def without_guidance(model: Any) -> None:
    """Takes the guidance patches off a private clone."""
    for name in (*_GUIDANCE, _BOTH_BRANCHES):
        model.model_options.pop(name, None)


def may_mix_rows(model: Any) -> bool:
    """Whether something in a ModelPatcher could let the rows of one call see each other."""
    options = model.model_options.get("transformer_options", {})
    if any(options.get(name) for name in ("patches", "patches_replace")) or any(map(model.model_options.get, _CALLS)):
        return True
    held = (model.wrappers, {"": model.injections}, {"": options.get("wrappers", {})})
    for kinds in held:
        for keys in kinds.values():
            if any(value and not is_ours(str(key)) and key not in ROUNDING_ONLY for key, value in keys.items()):
                return True
    return any(
        key.startswith("diffusion_model") and not isinstance(patch, SparseMoE)
        for key, patch in model.object_patches.items()
    )


def hooks_may_mix_rows(prompt: Conditioning) -> bool:
    """The same of the hooks in a CONDITIONING; hooks on weights do not."""
    groups = (options.get("hooks") for _, options in prompt)
    hooks = (hook for group in groups if group is not None for hook in group.hooks)
    return any(getattr(hook.hook_type, "value", "") != _WEIGHTS for hook in hooks)


def messages(experts: ExpertSet) -> tuple[Message, ...]:
    """What a report says of the experts' patches."""
    found = []
    if guided := [Message.of(Code.EXPERT, name=one.name) for one in experts.experts if guidance_of(one.model)]:
        found.append(Message.of(Code.GUIDANCE, experts=guided))
    if mixing := [Message.of(Code.EXPERT, name=one.name) for one in experts.experts if may_mix_rows(one.model)]:
        found.append(Message.of(Code.ALONE, experts=mixing))
    return tuple(found)


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Random numbers that are drawn inside come from this seed; the state outside is as if none had been drawn."""
    kept = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if in_use else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed % 2**63)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
