"""One CONDITIONING for all experts, or one per expert, each through its own text encoder.

A CONDITIONING from Encode for Experts is an ordinary one: its entries hold the first expert's encoding, so it can go to
a KSampler with the first expert's MODEL. Each entry's options also carry the encodings of all experts. Options that other
nodes add later (areas, masks, ControlNet, timestep ranges) hold for every expert. Their changes to the encoding itself
would reach only the first expert, and are refused.
"""

import hashlib
import weakref
from typing import Any

import torch
from comfy.sd import CLIP

from ....errors import EMoEError
from ....experts.sets import Expert, ExpertSet
from ..experts.content import content
from .checks import check_embeddings, check_values

PER_EXPERT = "emoe_per_expert"
PROMPT = "emoe_prompt"
ENCODERS = "emoe_encoders"
_OWN = frozenset({PER_EXPERT, PROMPT, ENCODERS})
#: Options that text encoders write; all others were added by other nodes.
_FROM_ENCODER = _OWN | {"pooled_output", "attention_mask"}
#: Options that hold words, so the empty prompt does not take them over. Some encoders add others that begin with conditioning_.
_WORDS = _FROM_ENCODER | {
    "attention_mask_mt5xl", "clip_start_percent", "clip_end_percent", "cross_attn_controlnet", "gligen",
}  # fmt: skip
#: Highest relative difference of two encodings of one text, also in half precision.
_ROUNDING = 2e-3

Conditioning = list[list[Any]]


def encode(clip: CLIP, text: str) -> Conditioning:
    """The host's own encoding of a text, as CLIPTextEncode makes it; an `EMoEError` for an embedding that is not there."""
    check_embeddings(clip, text)
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def encoded(experts: ExpertSet, text: str, clip: CLIP | None) -> Conditioning:
    """A text through one text encoder, or with None through each expert's own."""
    return encode_for_experts(experts, text) if clip is None else encode(clip, text)


def encode_for_experts(experts: ExpertSet, text: str) -> Conditioning:
    """Encodes a text for every expert with its own text encoder; an expert without one uses the first that there is.

    Raises:
        EMoEError: no expert brings a text encoder, or their encodings cannot be aligned.
    """
    return merged([encode(clip, text) for clip in _clips(experts)], text, encoders(experts))


def encoders(experts: ExpertSet) -> tuple[str, ...]:
    """Identity of the text encoder that each expert's prompts go through, "" without one."""
    own = [expert.text_encoder_identity() if expert.clip is not None else None for expert in experts.experts]
    spare = next((one for one in own if one is not None), "")
    return tuple(spare if one is None else one for one in own)


def merged(encodings: list[Conditioning], text: str, by: tuple[str, ...]) -> Conditioning:
    """One CONDITIONING from a text's encodings, one per expert, made by the encoders `by`.

    Raises:
        EMoEError: they cannot be aligned.
    """
    if len({len(encoding) for encoding in encodings}) > 1:
        raise EMoEError(
            "The experts' text encoders have different hook schedules, so their prompts cannot be aligned; give every "
            "expert's CLIP the same hooks."
        )
    entries: Conditioning = []
    for index, (tensor, options) in enumerate(encodings[0]):
        own = tuple((encoding[index][0], encoding[index][1]) for encoding in encodings)
        entries.append([tensor, {**options, PER_EXPERT: own, PROMPT: text, ENCODERS: by}])
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
    """Whether every entry carries one encoding per expert; an `EMoEError` when only some do."""
    tagged = [PER_EXPERT in entry[1] for entry in conditioning]
    if any(tagged) and not all(tagged):
        raise EMoEError(
            "Uncertainty Score's conditioning mixes parts from Encode for Experts with parts from "
            "CLIPTextEncode; encode all parts "
            "with the same node."
        )
    return bool(tagged) and all(tagged)


def split(conditioning: Conditioning, experts: ExpertSet) -> list[Conditioning]:
    """One CONDITIONING for each expert.

    Raises:
        EMoEError: the conditioning was encoded for other experts, or was changed afterwards.
    """
    count = len(experts)
    if not is_per_expert(conditioning):
        return [conditioning] * count
    wanted = encoders(experts)
    for entry in conditioning:
        many = len(entry[1][PER_EXPERT])
        if many != count or entry[1][ENCODERS] != wanted:
            for_whom = f"{many} experts and Uncertainty Score has {count}" if many != count else "other experts"
            raise EMoEError(
                f"The prompt was encoded for {for_whom}; connect the same EXPERTS to Encode for Experts and to "
                "Uncertainty Score."
            )
        if _was_changed(entry):
            raise EMoEError(
                "Another node (Conditioning Concat, Average, Zero Out or the like) changed the prompt after Encode for "
                "Experts, and only the first expert's; write the whole text into Encode for Experts, or connect the result "
                "of CLIPTextEncode to Uncertainty Score's input 'positive'."
            )
    return [[_own_part(options, index) for _, options in conditioning] for index in range(count)]


def _was_changed(entry: list[Any]) -> bool:
    """Whether an entry's own encoding, which is used to draw, differs from the first expert's."""
    tensor, options = entry[1][PER_EXPERT][0]
    words = [key for key in options if _is_words(key)]
    return not (_same(entry[0], tensor) and all(_same(entry[1].get(key), options[key]) for key in words))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a is b or (a.shape == b.shape and bool(torch.equal(a, b.to(a))))
    return type(a) is type(b) and (a is b or isinstance(a, torch.Tensor) or bool(a == b))


def _is_words(key: str) -> bool:
    return key in _WORDS or key.startswith("conditioning_")


def _own_part(options: dict[str, Any], index: int) -> list[Any]:
    tensor, own = options[PER_EXPERT][index]
    shared = {key: value for key, value in options.items() if key not in _OWN}
    return [tensor, {**shared, **own}]


def empty_for_experts(experts: ExpertSet, given: Conditioning | None, prompt: Conditioning) -> list[Conditioning]:
    """The empty prompt for each expert: the given one, or "" through each expert's own text encoder.

    It has one entry per entry of the prompt, with everything that other nodes added to that entry (guidance, pictures,
    areas, masks, timestep ranges), so that prompt and empty prompt differ only in their text.
    """
    if given is None:
        if all(expert.clip is None for expert in experts.experts):
            raise EMoEError(
                "This preset compares the prompt with the empty prompt, and no expert has a text encoder to make one; "
                "connect an empty CLIPTextEncode to Uncertainty Score's input 'empty_prompt', or choose the preset fast."
            )
        given = merged([_encoded_empty(clip) for clip in _clips(experts)], "", encoders(experts))
    return [with_beside(one, prompt) for one in split(given, experts)]


#: The empty prompt's encoding, as long as its text encoder lives: nodes that change a CLIP change a clone of it.
_empty: weakref.WeakKeyDictionary[Any, Conditioning] = weakref.WeakKeyDictionary()


def _encoded_empty(clip: CLIP) -> Conditioning:
    """The empty prompt through a text encoder, which is loaded only the first time."""
    if clip not in _empty:
        _empty[clip] = encode(clip, "")
    return [[tensor, dict(options)] for tensor, options in _empty[clip]]


def same_words(a: Conditioning, b: Conditioning) -> bool:
    """Whether two conditionings say the same: one text, with the same kinds of options around it."""
    return len(a) == len(b) and all(map(_same_entry, a, b))


def _same_entry(a: list[Any], b: list[Any]) -> bool:
    around = [{key for key, value in one[1].items() if value is not None} - _FROM_ENCODER for one in (a, b)]
    if around[0] != around[1]:
        return False
    pooled = [one[1].get("pooled_output") for one in (a, b)]
    told = all(isinstance(one, torch.Tensor) for one in pooled)
    return _close(a[0], b[0]) and (not told or _close(*pooled))


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to the rounding of encoders that got other texts beside; one word more changes a hundred times as much."""
    if a.shape != b.shape:
        return False
    apart = (a.float() - b.to(a.device).float()).square().mean()
    return bool(apart <= _ROUNDING**2 * a.float().square().mean())


def beside_words(prompt: Conditioning) -> list[dict[str, Any]]:
    """Everything beside the words in each entry of a prompt, for the empty prompt."""
    return [{key: value for key, value in options.items() if not _is_words(key)} for _, options in prompt]


def with_beside(conditioning: Conditioning, prompt: Conditioning | None) -> Conditioning:
    """A CONDITIONING with everything that other nodes added to a prompt; unchanged if that is nothing."""
    around = [] if prompt is None else beside_words(prompt)
    if not any(around):
        return conditioning
    return [
        [tensor, {**options, **added}]
        for place, added in enumerate(around)
        for tensor, options in [conditioning[place % len(conditioning)]]
    ]


def digest(conditioning: Conditioning) -> str | None:
    """A digest of everything in a CONDITIONING; None where a part has no cheap identity (ControlNet, hooks)."""
    found = hashlib.sha256()
    for tensor, options in conditioning:
        for key, value in [("", tensor), *sorted(options.items())]:
            if isinstance(value, torch.Tensor):
                kept = value.detach().cpu().float().contiguous()  # numpy has no bfloat16
                found.update(f"{key}:{tuple(kept.shape)}:".encode())
                found.update(kept.numpy().tobytes())
            elif _is_plain(value):
                found.update(f"{key}={value!r};".encode())
            else:
                return None
    return found.hexdigest()


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None)))


def extras(conditioning: Conditioning) -> tuple[str, ...]:
    """What the conditioning carries beside text, sorted: plain values as name=value, others by their content.

    What an encoder writes of a text differs from prompt to prompt, and counts by its name. Where there is more than one entry,
    their number stands last.
    """
    found = {
        _extra(key, value, key in _written_by_encoder(options))
        for _, options in conditioning
        for key, value in options.items()
        if value is not None and key not in _FROM_ENCODER
    }
    return (*sorted(found), f"{len(conditioning)} entries") if len(conditioning) > 1 else tuple(sorted(found))


def _extra(key: str, value: Any, of_encoder: bool) -> str:
    if isinstance(value, (bool, int, float, str, tuple)) and _is_plain(value):
        return f"{key}={value}"
    return key if of_encoder or _is_words(key) else f"{key}={content(value)}"


def _written_by_encoder(options: dict[str, Any]) -> set[str]:
    """Hooks that an encoder hands on are a user's choice all the same."""
    return {*options[PER_EXPERT][0][1]} - {"hooks"} if PER_EXPERT in options else set()


def prompt_text(conditioning: Conditioning) -> str:
    """The prompt's text if Encode for Experts noted it, else ""."""
    return " | ".join(dict.fromkeys(options[PROMPT] for _, options in conditioning if PROMPT in options))


def check_width(conditioning: Conditioning, expert: Expert) -> None:
    """An `EMoEError` when the encoding does not fit the expert's network."""
    config = getattr(getattr(expert.model.model, "model_config", None), "unet_config", {})
    expected = config.get("context_dim") if isinstance(config, dict) else None
    for tensor, _ in conditioning:
        if isinstance(tensor, torch.Tensor):
            check_values(tensor)
        if expected and isinstance(tensor, torch.Tensor) and tensor.shape[-1] != expected:
            raise EMoEError(
                f"The conditioning has {tensor.shape[-1]} numbers per token and expert '{expert.name}' wants {expected}: it "
                "was made by the text encoder of another model family; encode it with the experts' own CLIP."
            )
