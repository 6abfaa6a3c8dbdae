"""Many prompts through the experts' text encoders at once.

The host's encoders take one prompt, cut into windows that go through the network together. Windows of many prompts can do
the same, and are separated afterwards. But the pooled output, which the host makes from all windows together, is then that
of one prompt only. So this works only for models that do not use it (Stable Diffusion 1).
"""

from collections.abc import Sequence
from typing import Any

import comfy.model_base

from ....experts.sets import ExpertSet
from . import conditioning as cond
from .checks import check_embeddings


def encode_many(experts: ExpertSet, texts: Sequence[str], clip: Any = None) -> list[cond.Conditioning]:
    """One CONDITIONING per text: through `clip`, or with None through each expert's own, like `encode_for_experts`."""
    plain = all(type(expert.model.model) is comfy.model_base.BaseModel for expert in experts.experts)
    if clip is not None:
        return _encode(clip, texts) if plain else [cond.encode(clip, text) for text in texts]
    spare = next((expert.clip for expert in experts.experts if expert.clip is not None), None)
    if not plain or spare is None:
        return [cond.encode_for_experts(experts, text) for text in texts]
    own = [_encode(spare if expert.clip is None else expert.clip, texts) for expert in experts.experts]
    by = cond.encoders(experts)
    return [cond.merged([encodings[place] for encodings in own], text, by) for place, text in enumerate(texts)]


def _encode(clip: Any, texts: Sequence[str]) -> list[cond.Conditioning]:
    for text in texts:
        check_embeddings(clip, text)
    tokens = [clip.tokenize(text) for text in texts]
    windows = {place: known for place, entry in enumerate(tokens) if (known := _windows(entry))}
    length = max((len(known[0]) for known in windows.values()), default=0)
    together = [place for place, known in windows.items() if all(len(window) == length for window in known)]
    found: dict[int, cond.Conditioning] = {}
    if len(together) > 1 and getattr(clip.patcher, "forced_hooks", None) is None:
        (name,) = tokens[together[0]]
        encoding = clip.encode_from_tokens_scheduled(
            {name: [window for place in together for window in windows[place]]}
        )
        tensor, options = encoding[0]
        long = [length * len(windows[place]) for place in together]
        whole = len(encoding) == 1 and set(options) <= {"pooled_output"}
        if whole and tensor.shape[0] == 1 and tensor.shape[1] == sum(long):
            parts = tensor.split(long, dim=1)
            found = {place: [[part, dict(options)]] for place, part in zip(together, parts, strict=True)}
    return [found.get(place) or clip.encode_from_tokens_scheduled(entry) for place, entry in enumerate(tokens)]


def _windows(tokens: dict[str, list[Any]]) -> list[Any]:
    """The prompt's windows, if there is one encoder; none for textual inversions, which change their length."""
    if len(tokens) != 1:
        return []
    (windows,) = tokens.values()
    return windows if all(isinstance(entry[0], int) for window in windows for entry in window) else []
