"""Several prompts and noise samples in one network call: which may share a call, and how their rows are laid out.

A row is one latent in the network's batch. A unit is one prompt on one noise sample, with one row for each of the B items of
the user's batch; the rows of a unit are adjacent. If a tensor in a CONDITIONING has n rows, the host gives row r its
row r modulo n, so n must divide B for the units of a call to get the same rows as alone.
"""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..prompts.conditioning import Conditioning
from .patches import hooks_may_mix_rows, may_mix_rows

#: Latent places per call: rows times height times width. The value is KSampler's with guidance on a 1024 x 1024 image: if
#: such an image can be made, no call is too large. It must not depend on free memory, or equal inputs would round differently.
PLACES_A_CALL = 2 * 128 * 128
#: The same on a processor, for a U-Net of Stable Diffusion's 320 channels that does not widen: a single latent of 32 x 32.
#: With more, a layer's data no longer fits into the processor's caches, and every large intermediate is memory newly taken
#: from the system: measured up to a tenth slower than one by one. A U-Net that widens fourfold towards its middle, like
#: Stable Diffusion's, gets four latents: its cost is bringing its weights into the processor's order once per call.
PLACES_ON_A_PROCESSOR, _CHANNELS = 32 * 32, 320
#: What encoders write for each prompt, which may therefore differ between prompts in one call.
_A_PROMPT = "pooled_output"


def units_a_call(latent: Tensor, model: ModelPatcher | None = None) -> int:
    """How many units of a latent [B, C, ...] share one call of a MODEL's network; at least one.

    Without a MODEL: the highest possible number, on any device.
    """
    if model is not None and may_mix_rows(model):
        return 1
    places = latent.shape[0] * latent[0, 0].numel()
    most = PLACES_A_CALL
    if model is not None and model.load_device.type == "cpu":
        network = model.get_model_object("diffusion_model")
        channels, widening = getattr(network, "model_channels", _CHANNELS), getattr(network, "channel_mult", (1,))
        most = min(most, PLACES_ON_A_PROCESSOR * _CHANNELS * int(max(widening)) // channels)
    return max(1, most // places)


def noise_stacks(prompt: Conditioning, items: int) -> bool:
    """Whether several noise samples of a batch of `items` may share a call under this conditioning."""
    if hooks_may_mix_rows(prompt):
        return False
    return all(items % rows == 0 for tensor, options in prompt for rows in (tensor.shape[0], *_rows_of(options)))


def same_shape(a: Conditioning, b: Conditioning) -> bool:
    """Whether two prompts differ only in the values of their encodings, so that they may share a call."""
    if len(a) != len(b):
        return False
    for (tensor, options), (other, others) in zip(a, b, strict=True):
        if tensor.shape != other.shape or options.keys() != others.keys():
            return False
        for key, value in options.items():
            if key == _A_PROMPT and isinstance(value, Tensor) and isinstance(others[key], Tensor):
                if value.shape != others[key].shape:
                    return False
            elif not _same(value, others[key]):
                return False
    return True


def stack(prompts: list[Conditioning], units: list[int], items: int) -> Conditioning:
    """One CONDITIONING for a call.

    Args:
        prompts: prompts that may share a call.
        units: for each unit of the call, the index of its prompt.
        items: rows per unit.
    """
    if len(set(units)) == 1:
        return prompts[units[0]]  # the host repeats it over the rows
    stacked: Conditioning = []
    for place, (_, options) in enumerate(prompts[units[0]]):
        entries = [prompts[number][place] for number in units]
        changed = dict(options)
        if isinstance(options.get(_A_PROMPT), Tensor):
            changed[_A_PROMPT] = torch.cat([_over_items(entry[1][_A_PROMPT], items) for entry in entries])
        stacked.append([torch.cat([_over_items(entry[0], items) for entry in entries]), changed])
    return stacked


def _over_items(tensor: Tensor, items: int) -> Tensor:
    return tensor[torch.arange(items) % tensor.shape[0]]


def _rows_of(options: dict[str, Any]) -> list[int]:
    """Batch sizes of everything that other nodes put into an entry, ControlNet images included."""
    rows = [value.shape[0] for value in options.values() if isinstance(value, Tensor) and value.ndim > 1]
    control = options.get("control")
    while control is not None:
        hint = getattr(control, "cond_hint_original", None)
        if isinstance(hint, Tensor):
            rows.append(hint.shape[0])
        control = getattr(control, "previous_controlnet", None)
    return rows


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(torch.equal(a, b))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    plain = (bool, int, float, str, type(None))
    return isinstance(a, plain) and isinstance(b, plain) and bool(a == b)
