"""Expert Diagnostics in ComfyUI: what the experts are, and how far apart their latents are for some prompts."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...charts import as_array, matrix, stack
from ...choosing.effective import effective_number
from ...choosing.findings import findings
from ...choosing.products import LAYOUT, PROMPT, SHIFT, Products, joined, measured_products
from ...errors import EMoEError
from ...experts.kinship import kinship
from ...experts.sets import ExpertSet
from ...mixture.experts import MixtureSet
from ...prompts import check_text
from ...records.message import Code, Message
from ...scoring.collect import measured_of
from ...scoring.comparable import check_comparable
from ...scoring.diagnostics import Diagnosis, diagnose, suitable_preset
from ...scoring.presets import CUSTOM, DEFAULT, NOISE_PRED, PRESETS, ScoreOptions
from .experts.slim import with_difference
from .prompts.conditioning import encoded
from .scoring.prices import price
from .scoring.probe import common_taps
from .scoring.score import Run, score_prompts

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
    # A mixture's experts are paths through one network.
    read = experts if isinstance(experts, MixtureSet) else ExpertSet(tuple(map(with_difference, experts.experts)))
    kin = kinship(read.experts)
    if not texts or len(experts) == 0:
        return diagnose(read, taps, kin=kin, findings=findings(read.experts, kin))
    if latent is None:
        raise EMoEError("Expert Diagnostics has prompts and no size; connect an Empty Latent Image to latent_image.")
    if len(texts) > MOST_PROMPTS:
        raise EMoEError(
            f"Expert Diagnostics takes at most {MOST_PROMPTS} prompts and got {len(texts)}; use Uncertainty Audit for more."
        )
    # At the middle of the network if possible: the experts' predictions are nearly all noise, on which they agree.
    name = suitable_preset(experts, taps, ("fast", DEFAULT))
    if name is None:
        return diagnose(read, taps, kin=kin, findings=findings(read.experts, kin))
    # The plain relative score at the preset's tap: the distances need no empty prompt.
    options = ScoreOptions(preset=CUSTOM, tap=PRESETS[name].tap, estimator="relative")
    reports = [
        one.report for one in score_prompts(experts, (encoded(experts, t, clip) for t in texts), latent, options)
    ]
    try:
        told = _answers(experts, texts, latent, clip)
    except EMoEError as error:
        said = Message.of(Code.SENTENCE, text=f"What the experts predict could not be compared. {error}")
        return diagnose(read, taps, reports, kin, findings=(*findings(read.experts, kin), said))
    if told is None:
        return diagnose(read, taps, reports, kin, findings=findings(read.experts, kin))
    found = findings(read.experts, kin, told[LAYOUT], told[SHIFT], told[PROMPT], texts)
    return diagnose(read, taps, reports, kin, effective_number(told[LAYOUT].values, kin.same()), found)


def _answers(experts: ExpertSet, texts: Sequence[str], latent: dict[str, Any], clip: Any) -> dict[str, Products] | None:
    """Products of what the experts predict for the prompts, by feature; None where nothing can disagree.

    Raises:
        EMoEError: the predictions cannot be compared, or there is no empty prompt to compare with.
    """
    if len(experts) < 2 or isinstance(experts, MixtureSet):
        return None
    check_comparable(experts.experts, NOISE_PRED)
    empty = encoded(experts, "", clip)
    features = (PROMPT, SHIFT, LAYOUT)
    run = Run.of(experts, latent, ScoreOptions()).alone()
    waiting = iter(texts)
    parts: list[dict[str, Products]] = []
    while block := list(itertools.islice(waiting, run.prompts_a_block())):
        prompts = [encoded(experts, text, clip) for text in block]
        taken = run.answers(prompts, (run.tap, run.estimator), lambda *_: None, empty)
        for one in taken.prompts:
            measured = measured_of(one[run.tap], taken.empty[run.tap], experts, run.tap)
            parts.append(measured_products(measured, features))
    return {feature: joined(part[feature] for part in parts) for feature in features}


def picture(found: Diagnosis) -> Tensor:
    """The matrices as a ComfyUI image [1, height, width, 3]."""
    names = list(found.names)
    kinship = [[math.nan if one is None else one for one in row] for row in found.kinship]
    charts = [matrix(kinship, names, names, title="correlation of weights", value_range=(0.0, 1.0))]
    if found.distance is not None:
        charts.append(matrix(found.distance, names, names, title="distance of latents"))
    made = [merge for merge in found.kin.merges if merge.decided]
    if made:
        shares = [dict(zip(merge.parents, merge.weights, strict=True)) for merge in made]
        rows = [[share.get(place, math.nan) for place in range(len(names))] for share in shares]
        charts.append(matrix(rows, [names[m.child] for m in made], names, title="merges", value_range=(0.0, 1.0)))
    return torch.from_numpy(as_array(stack(charts)))
