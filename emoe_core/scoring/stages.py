"""Scoring in two stages: half of the experts first, on half of the noise samples; the other half only where that is not enough.

The halves share nothing: the first experts run on the first noise samples, the others on the rest. So both stages together make
half of the full score's network calls, and their mean is nearly as good as the full score: two small ensembles on noise of
their own tell more than one of them twice (docs/models.md has the figures).

The score is one fixed function of the prompt, so a calibration of such scores promises what any calibration promises. What is
learnt, `low` and `high`, is learnt from reference prompts that the calibration then leaves out.
"""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import EMoEError
from ..records.report import Estimate, ItemScore, Report, StageCalls

if TYPE_CHECKING:
    from .score import Scored

_MODE = "staged"
#: The share of known prompts that is taken for known after the first stage.
PLAINLY_KNOWN = 0.05
#: A prompt is plainly unknown from this multiple of the highest score of a known one.
PLAINLY_UNKNOWN = 2.0
#: One reference prompt in so many is learnt from, and left out of the calibration.
LEARNT_FROM = 3
#: With fewer good prompts to learn from, their highest score says little.
FEWEST = 10
#: Fewer experts or noise samples have no halves that can be compared.
FEWEST_EXPERTS, FEWEST_SAMPLES = 4, 2


def has_halves(experts: int, samples: int) -> bool:
    """Whether so many experts and noise samples can be scored in two stages."""
    return experts >= FEWEST_EXPERTS and samples >= FEWEST_SAMPLES


def halves(experts: int, samples: int) -> tuple[int, int]:
    """How many experts and noise samples the first stage has. The second has the others."""
    return experts // 2, samples // 2


def stage_calls(experts: int, samples: int) -> tuple[int, int]:
    """Network calls per prompt if the first stage decides, and if both are needed."""
    middle, early = halves(experts, samples)
    first = middle * early
    return first, first + (experts - middle) * (samples - early)


@dataclass(frozen=True)
class Stages:
    """The rule: the first stage decides where its score is at most `low` or at least `high`.

    Raises:
        EMoEError: the two are no range.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise EMoEError(
                f"The stages end at {self.low} and {self.high}, which is no range; make the calibration anew."
            )

    def decides(self, score: float) -> bool:
        """Whether the first stage's score is the score."""
        return score <= self.low or score >= self.high

    @property
    def mode(self) -> str:
        """What `Settings.mode` says of such scores: scores under different rules are never compared."""
        return f"{_MODE} {self.low!r} {self.high!r}"

    @classmethod
    def of_mode(cls, mode: str) -> "Stages | None":
        """The rule in a `Settings.mode`; None where it is another mode.

        Raises:
            EMoEError: it begins like such a rule and is none.
        """
        name, _, rest = mode.partition(" ")
        if name != _MODE:
            return None
        try:
            low, high = map(float, rest.split(" "))
        except ValueError:
            raise EMoEError("This calibration's stages cannot be read; make it anew with Calibrate Gate.") from None
        return cls(low, high)

    @staticmethod
    def check(known: int) -> None:
        """Raises an error where so many known prompts are too few to learn from."""
        if known < FEWEST:
            raise EMoEError(
                f"Calibrate Gate's staged learns from every third good prompt, and here these are {known}; give at least "
                f"{2 * FEWEST * LEARNT_FROM} good prompts, or switch staged off."
            )

    @classmethod
    def learn(cls, scores: Sequence[float]) -> "Stages":
        """The rule from the first stage's scores of known prompts.

        Raises:
            EMoEError: too few prompts.
        """
        cls.check(len(scores))
        ranked = sorted(scores)
        return cls(_rounded(ranked[math.ceil(PLAINLY_KNOWN * len(ranked)) - 1]), _rounded(PLAINLY_UNKNOWN * ranked[-1]))


#: Under this rule the first stage decides always; what rules are learnt from is scored under it.
FIRST_STAGE = Stages(math.inf, math.inf)


def _rounded(score: float) -> float:
    return float(f"{score:.6g}")


def is_learnt_from(prompt: str) -> bool:
    """Whether a reference prompt is one to learn the rule from. By its text alone, so that no order or choice has a say."""
    return (
        int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()[:8], "big") % LEARNT_FROM == 0
    )


def joined(first: "Scored", second: "Scored | None", stages: Stages, whole: Report, calls: StageCalls) -> "Scored":
    """The staged score.

    Args:
        first, second: the stages' scores; None where the first decided for all items.
        whole: has the settings, names and files of all experts.
    """
    from .score import BASELINES, Scored

    told = first.report
    if second is None:
        report = replace(whole, items=told.items, pairwise=told.pairwise, alike=told.alike, messages=told.messages)
        return Scored(replace(report, prompt=told.prompt, stage=calls), first.maps)
    pairs = zip(told.items, second.report.items, strict=True)
    items = tuple(one if stages.decides(one.score) else _mean_item(one, other, BASELINES) for one, other in pairs)
    before = len(told.pairwise)
    alike = (*told.alike, *((i + before, j + before) for i, j in second.report.alike))
    messages = tuple(dict.fromkeys((*told.messages, *second.report.messages)))
    maps = replace(first.maps, disagreement=(first.maps.disagreement + second.maps.disagreement) / 2)
    report = replace(whole, items=items, pairwise=told.pairwise, alike=alike, messages=messages)
    return Scored(replace(report, prompt=told.prompt, stage=calls), maps)


def _mean_item(one: ItemScore, other: ItemScore, baselines: Collection[str]) -> ItemScore:
    """Both stages' item. The baselines are of the first expert, and stay as they are."""
    every = {
        tap: {
            name: estimate if name in baselines else _mean_estimate(estimate, other.all[tap][name])
            for name, estimate in found.items()
            if name in baselines or name in other.all.get(tap, {})
        }
        for tap, found in one.all.items()
    }
    seeds = (one.seed_variance, other.seed_variance)
    return replace(
        one,
        score=(one.score + other.score) / 2,
        stderr=abs(one.score - other.score) / 2,
        epistemic=(one.epistemic + other.epistemic) / 2,
        seed_variance=None if None in seeds else sum(filter(None, seeds)) / 2,
        all=every,
    )


def _mean_estimate(one: Estimate, other: Estimate) -> Estimate:
    return Estimate((one.score + other.score) / 2, abs(one.score - other.score) / 2, None)
