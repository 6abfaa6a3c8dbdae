"""One CONDITIONING for all experts, or one an expert, each through its own text encoder.

A CONDITIONING from Encode for Experts is an ordinary one: its entries hold the first expert's encoding, so it can go to
a KSampler with the first expert's MODEL. Each entry's options carry the encodings of all experts beside it, and what
other nodes add to the options later (areas, masks, ControlNet, timestep ranges) holds for every expert.
"""

from __future__ import annotations

from typing import Any

import torch

from ...errors import EMoEError
from ...experts import Expert, ExpertSet

PER_EXPERT = "emoe_per_expert"
PROMPT = "emoe_prompt"
#: Written into the options by text encoders; everything else was added by other nodes.
_FROM_ENCODER = frozenset({"pooled_output", "attention_mask", PER_EXPERT, PROMPT})
#: Plain image sizes (SDXL): they belong to the empty prompt as much as to the prompt.
_SIZES = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")
#: Relative difference of two encodings of one text, at most; in half precision, too.
_ROUNDING = 2e-3

Conditioning = list[list[Any]]


def encode(clip: Any, text: str) -> Conditioning:
    """The host's own encoding of a text, as CLIPTextEncode makes it."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))  # type: ignore[no-any-return]


def encode_for_experts(experts: ExpertSet, text: str) -> Conditioning:
    """Encode a text for every expert with its own text encoder, or the first one there is where an expert has none.

    Raises:
        EMoEError: no expert brings a text encoder, or their encodings cannot stand beside each other.
    """
    return merged([encode(clip, text) for clip in _clips(experts)], text)


def merged(encodings: list[Conditioning], text: str) -> Conditioning:
    """One CONDITIONING of the text's encodings, one an expert; an `EMoEError` where they cannot be aligned."""
    if len({len(encoding) for encoding in encodings}) > 1:
        raise EMoEError(
            "The experts' text encoders have different hook schedules, so their prompts cannot be aligned; give every "
            "expert's CLIP the same hooks."
        )
    entries: Conditioning = []
    for index, (tensor, options) in enumerate(encodings[0]):
        own = tuple((encoding[index][0], encoding[index][1]) for encoding in encodings)
        entries.append([tensor, {**options, PER_EXPERT: own, PROMPT: text}])
    return entries


def _clips(experts: ExpertSet) -> list[Any]:
    spare = next((expert.clip for expert in experts.experts if expert.clip is not None), None)
    if spare is None:
        raise EMoEError(
            "None of the experts has a text encoder, so the text cannot be encoded for them; connect a CLIP to Add "
            "Expert, or encode with CLIPTextEncode and connect that to Uncertainty Score."
        )
    return [spare if expert.clip is None else expert.clip for expert in experts.experts]


def is_per_expert(conditioning: Conditioning) -> bool:
    """Whether every entry carries one encoding an expert; an `EMoEError` when only some do."""
    tagged = [PER_EXPERT in entry[1] for entry in conditioning]
    if any(tagged) and not all(tagged):
        raise EMoEError(
            "Uncertainty Score's conditioning mixes parts from Encode for Experts with parts from "
            "CLIPTextEncode; encode all parts "
            "with the same node."
        )
    return bool(tagged) and all(tagged)


def split(conditioning: Conditioning, count: int) -> list[Conditioning]:
    """One CONDITIONING for each of `count` experts.

    Raises:
        EMoEError: the conditioning is empty or was encoded for another number of experts.
    """
    if not conditioning:
        raise EMoEError("Uncertainty Score's conditioning is empty; connect a prompt to the input 'positive'.")
    if not is_per_expert(conditioning):
        return [conditioning] * count
    for _, options in conditioning:
        if len(options[PER_EXPERT]) != count:
            raise EMoEError(
                f"The prompt was encoded for {len(options[PER_EXPERT])} experts and Uncertainty Score has "
                f"{count}; connect the same "
                "EXPERTS to Encode for Experts and to Uncertainty Score."
            )
    return [[_own_part(options, index) for _, options in conditioning] for index in range(count)]


def _own_part(options: dict[str, Any], index: int) -> list[Any]:
    tensor, own = options[PER_EXPERT][index]
    shared = {key: value for key, value in options.items() if key not in (PER_EXPERT, PROMPT)}
    return [tensor, {**shared, **own}]


def empty_for_experts(experts: ExpertSet, given: Conditioning | None, prompt: Conditioning) -> list[Conditioning]:
    """The empty prompt for each expert: the given one, or "" through each expert's own text encoder.

    It gets what other nodes added to the prompt's first entry (areas excepted: the empty prompt is everywhere), so
    that prompt and empty prompt differ in their text only.
    """
    if given is None:
        if all(expert.clip is None for expert in experts.experts):
            raise EMoEError(
                "This preset compares the prompt with the empty prompt, and no expert has a text encoder to make one; "
                "connect an empty CLIPTextEncode to Uncertainty Score's input 'empty_prompt', or choose the preset fast."
            )
        given = encode_for_experts(experts, "")
    added = shared_options(prompt)
    return [[[tensor, {**options, **added}] for tensor, options in one] for one in split(given, len(experts))]


def same_words(a: Conditioning, b: Conditioning) -> bool:
    """Whether two conditionings say the same: one text, with the same kinds of things around it."""
    return len(a) == len(b) and all(map(_same_entry, a, b))


def _same_entry(a: list[Any], b: list[Any]) -> bool:
    around = [{key for key, value in one[1].items() if value is not None} - _FROM_ENCODER for one in (a, b)]
    if around[0] != around[1]:
        return False
    pooled = [one[1].get("pooled_output") for one in (a, b)]
    told = all(isinstance(one, torch.Tensor) for one in pooled)
    return _close(a[0], b[0]) and (not told or _close(*pooled))


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal but for the rounding of encoders that were given other texts beside; a word more is a hundred times that."""
    if a.shape != b.shape:
        return False
    apart = (a.float() - b.to(a.device).float()).square().mean()
    return bool(apart <= _ROUNDING**2 * a.float().square().mean())


def shared_options(prompt: Conditioning) -> dict[str, Any]:
    """What the empty prompt takes over from the prompt."""
    shared = (*_SIZES, "control", "control_apply_to_uncond", "hooks")
    return {key: value for key, value in prompt[0][1].items() if key in shared}


def extras(conditioning: Conditioning) -> tuple[str, ...]:
    """What the conditioning carries beside text, sorted: plain values as name=value, the rest by name.

    Where it is not one entry, their number stands last.
    """
    found = {
        f"{key}={value}" if isinstance(value, (bool, int, float, str, tuple)) else key
        for _, options in conditioning
        for key, value in options.items()
        if value is not None and key not in _FROM_ENCODER
    }
    return (*sorted(found), f"{len(conditioning)} entries") if len(conditioning) > 1 else tuple(sorted(found))


def prompt_text(conditioning: Conditioning) -> str:
    """The prompt's text where Encode for Experts noted it, else ""."""
    return " | ".join(dict.fromkeys(options[PROMPT] for _, options in conditioning if PROMPT in options))


def check_width(conditioning: Conditioning, expert: Expert) -> None:
    """An `EMoEError` when the encoding does not fit the expert's network."""
    config = getattr(getattr(expert.model.model, "model_config", None), "unet_config", {})
    expected = config.get("context_dim") if isinstance(config, dict) else None
    for tensor, _ in conditioning:
        if expected and isinstance(tensor, torch.Tensor) and tensor.shape[-1] != expected:
            raise EMoEError(
                f"The conditioning has {tensor.shape[-1]} numbers a token and expert '{expert.name}' wants {expected}: it "
                "was made by the text encoder of another model family; encode it with the experts' own CLIP."
            )
