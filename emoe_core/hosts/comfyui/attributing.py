"""Word attribution in ComfyUI: the shortened prompts are scored as Score scores them, many per network call."""

from collections.abc import Iterator, Sequence
from typing import Any

import comfy.model_management
import comfy.utils

from ...experts.sets import ExpertSet
from ...scoring.attribution import Attribution, attribute
from ...scoring.presets import ScoreOptions
from .prompts.encoding import encode_many
from .scoring.score import score_prompts


def attribute_words(
    experts: ExpertSet, text: str, latent: dict[str, Any], clip: Any, options: ScoreOptions
) -> Attribution:
    """Finds the words of a text that raise its score.

    Args:
        clip: one text encoder for all experts, or None for each expert's own.

    Raises:
        EMoEError: no words, too many words, or bad input to the score.
    """

    def score(prompts: Sequence[str]) -> Iterator[float]:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar = comfy.utils.ProgressBar(len(prompts))
        for scored in score_prompts(experts, encode_many(experts, prompts, clip), latent, options):
            bar.update(1)
            yield scored.report.score

    return attribute(text, score)
