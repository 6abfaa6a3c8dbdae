"""Word attribution in ComfyUI: every shortened prompt is scored as Score would do it."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils

from ...attribution import Attribution, attribute, split_words
from ...experts import ExpertSet
from .conditioning import encode, encode_for_experts
from .scoring import score_prompt


def attribute_words(experts: ExpertSet, text: str, latent: dict[str, Any], clip: Any, **how: Any) -> Attribution:
    """Which words of a text raise its score.

    Args:
        clip: one text encoder for all experts, or None for each expert's own.
        how: the settings of `score_prompt`.

    Raises:
        EMoEError: no words, too many, or bad input to the score.
    """
    count = len(split_words(text))
    bar = comfy.utils.ProgressBar(count + 1 if count > 1 else 1)

    def score(prompt: str) -> float:
        comfy.model_management.throw_exception_if_processing_interrupted()
        positive = encode_for_experts(experts, prompt) if clip is None else encode(clip, prompt)
        found = score_prompt(experts, positive, latent, progress=lambda *_: None, **how).report.score
        bar.update(1)
        return found

    return attribute(text, score)
