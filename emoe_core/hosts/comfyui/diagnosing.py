"""Expert Diagnostics in ComfyUI: what the experts are, and how far apart their latents are for some prompts."""

import math
from typing import Any

import torch
from torch import Tensor

from ...charts import as_array, matrix, stack
from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...mixture.experts import MixtureSet
from ...prompts import check_text
from ...scoring.diagnostics import Diagnosis, diagnose, suitable_preset
from ...scoring.presets import CUSTOM, DEFAULT, PRESETS, ScoreOptions
from .prompts.conditioning import encoded
from .scoring.prices import price
from .scoring.probe import common_taps
from .scoring.score import score_prompts

MOST_PROMPTS = 64


def look_at(experts: ExpertSet, prompts: str, latent: dict[str, Any] | None, clip: Any) -> Diagnosis:
    """Diagnoses a set.

    Args:
        prompts: one per line; may be empty.
        latent: gives the size for the prompts' scores; needed with prompts.
        clip: one text encoder for all, or None for each expert's own.

    Raises:
        EMoEError: no experts, prompts without a latent, too many prompts, or bad input to the score.
    """
    found = _look_at(experts, prompts, latent, clip)
    # A mixture is one network, whose passes cannot be left out one by one.
    return found if isinstance(experts, MixtureSet) else found.with_price(price(experts, found.preset))


def _look_at(experts: ExpertSet, prompts: str, latent: dict[str, Any] | None, clip: Any) -> Diagnosis:
    check_text(prompts, "Expert Diagnostics' prompts")
    texts = list(dict.fromkeys(line.strip() for line in prompts.splitlines() if line.strip()))
    taps = common_taps(experts) if len(experts) else ()
    if not texts or len(experts) == 0:
        return diagnose(experts, taps)
    if latent is None:
        raise EMoEError("Expert Diagnostics has prompts and no size; connect an Empty Latent Image to latent_image.")
    if len(texts) > MOST_PROMPTS:
        raise EMoEError(
            f"Expert Diagnostics takes at most {MOST_PROMPTS} prompts and got {len(texts)}; use Uncertainty Audit for more."
        )
    # At the middle of the network if possible: the experts' predictions are nearly all noise, on which they agree.
    name = suitable_preset(experts, taps, ("fast", DEFAULT))
    if name is None:
        return diagnose(experts, taps)
    # The plain relative score at the preset's tap: the distances need no empty prompt.
    options = ScoreOptions(preset=CUSTOM, tap=PRESETS[name].tap, estimator="relative")
    scored = score_prompts(experts, (encoded(experts, text, clip) for text in texts), latent, options)
    return diagnose(experts, taps, [one.report for one in scored])


def picture(found: Diagnosis) -> Tensor:
    """The matrices as a ComfyUI image [1, height, width, 3]."""
    names = list(found.names)
    kinship = [[math.nan if one is None else one for one in row] for row in found.kinship]
    charts = [matrix(kinship, names, names, title="correlation of weights", value_range=(0.0, 1.0))]
    if found.distance is not None:
        charts.append(matrix(found.distance, names, names, title="distance of latents"))
    return torch.from_numpy(as_array(stack(charts)))
