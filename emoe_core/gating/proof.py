"""Proof that a calibration still holds: some of its reference prompts are scored again and compared with its scores.

A calibration names the models it was made with by digests. An update of the host, of Python or of a node pack can change a
digest although the models answer as before, and the digest of a patch does not cover its code. Only the answer counts. So
where the question is the same (`Settings.question`) and a digest differs, the models at hand are asked.

**Which prompts.** `PROMPTS` of them, evenly spaced over the ranks of the scores, including both ends: differences are
largest at the uncertain end, and most prompts are elsewhere.

**How close.** The root mean square difference may be `TOLERANCE` of the standard deviation of the good scores. A score that
moves by t standard deviations changes the share of good prompts above a threshold by t times the density there, which is
about 0.1 for a share of 0.05 (normal scores): 0.006 moves a rate of 0.05 by 0.0006 at most, a thirtieth of the effect of the
choice of 110 reference prompts. Half precision instead of single moves scores by 0.002, weights stored as bfloat16 by 0.005,
a LoRA at a strength of 0.1 on one of four experts by 0.009 and more (docs/hosts.md). The mean square is used because the
largest difference of a few prompts varies too much to separate these cases.
"""

import math
import statistics
from collections.abc import Callable, Sequence

from ..errors import EMoEError
from ..records.calibration import Calibration
from ..records.proof import Proof
from ..records.settings import Settings

#: How many reference prompts are scored again; all of them if a calibration has fewer.
PROMPTS = 16
#: Allowed root mean square difference, in standard deviations of the good scores.
TOLERANCE = 0.006
#: Differences below single precision, relative to the largest score: models that know nothing give scores so close together.
ROUNDING = 2e-6


def needs_proof(calibration: Calibration, settings: Settings) -> bool:
    """Whether the question is the calibration's while the models may differ."""
    return calibration.settings != settings and calibration.settings.question() == settings.question()


def chosen(calibration: Calibration) -> list[int]:
    """The indices of the prompts to score again, evenly spaced over the ranks of the scores."""
    first: dict[str, int] = {}
    for place, prompt in enumerate(calibration.prompts):
        first.setdefault(prompt, place)
    ranked = sorted(first.values(), key=lambda place: (calibration.scores[place], place))
    if len(ranked) <= PROMPTS:
        return ranked
    return [ranked[round(k * (len(ranked) - 1) / (PROMPTS - 1))] for k in range(PROMPTS)]


def prove(calibration: Calibration, score: Callable[[Sequence[str]], Sequence[float]]) -> Proof:
    """Scores some of the calibration's prompts again.

    Args:
        score: gives a score for each prompt, under the calibration's own question.
    """
    places = chosen(calibration)
    if not places:
        return unproved(calibration, "it keeps none of its prompts, so make it again with Calibrate Gate")
    try:
        again = score([calibration.prompts[place] for place in places])
    except EMoEError as error:
        return unproved(calibration, f"its prompts cannot be scored here ({str(error).rstrip('.')})")
    apart = [abs(new - calibration.scores[place]) for new, place in zip(again, places, strict=True)]
    spread = statistics.pstdev(calibration.good_scores)
    return Proof(
        calibration.digest,
        calibration.name,
        len(places),
        math.sqrt(statistics.fmean(one * one for one in apart)),
        max(apart),
        max(TOLERANCE * spread, ROUNDING * max(map(abs, calibration.scores))),
    )


def unproved(calibration: Calibration, why: str) -> Proof:
    """The result for a calibration that cannot be tested."""
    return Proof(calibration.digest, calibration.name, why_not=why)
