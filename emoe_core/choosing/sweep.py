"""Which settings: every preset, number of noise samples, step, size and set of experts, beside the dearest of them.

The cheapest setting whose loss is small enough is chosen on one half of the prompts, and its loss is reported on the other.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scoring.presets import PRESETS
from ..scoring.stages import has_halves, stage_calls
from ..stats.evaluation import Floats, spearman
from .products import FEATURES, PROMPT
from .record import Record, alone
from .tasks import Interval, Split, differ, prompts_for

#: What the cheapest setting may lose of the value, unless another figure is given.
LOSS = 0.02
#: What a pass to the middle of the network takes of a whole one, where that was not measured.
_MIDDLE_SHARE = 0.5


@dataclass(frozen=True)
class Setting:
    """One way to score.

    Attributes:
        level: its number among the record's levels.
        experts: in the order in which they were chosen.
        calls: calls of a network per prompt, the empty prompt's left out, which are made once; a pass to the middle counts as its
            share of a whole one, and a size as its share of the first level's.
        seconds: the same as measured, without loading.
        agreement: rank correlation with the dearest setting over all prompts; None where one of them ranks nothing, as the
            scores of copies.
        value: mean AUROC of the tasks, on the half of the prompts that reports.
        chosen: on the half that chooses.
        at_most: the upper end of its loss on that half: what it may lose is judged by that.
        loss: the dearest setting's value minus this one's, on the half that reports.
        staged: each half of the experts on its half of the noise samples, as Calibrate Gate's `staged` has it. Calls and loss are
            those of prompts that need both stages.
    """

    level: int
    preset: str
    samples: int
    experts: tuple[int, ...]
    calls: float
    seconds: float
    agreement: float | None
    chosen: float
    at_most: float
    value: float
    loss: Interval
    staged: bool = False


@dataclass(frozen=True)
class Sweep:
    """All settings from the cheapest to the dearest.

    Attributes:
        dearest: what all others are compared with: all chosen experts on all noise samples at the largest size.
        advised: the cheapest one of all chosen experts that loses at most `allowed`. A preset that takes as many calls as the
            dearest one's is not advised in its place.
        cheapest: the cheapest one that does, with fewer experts too.
        staged: the dearest one in two stages; None where the experts or noise samples are too few for that.
        doubtful: a cheaper one of all chosen experts than `advised`: the half that chooses shows no loss, but has too few prompts
            to be sure. None if there is none.
        more: how many times as many prompts would be sure of it.
    """

    settings: tuple[Setting, ...]
    dearest: Setting
    advised: Setting
    cheapest: Setting
    allowed: float
    staged: Setting | None = None
    doubtful: Setting | None = None
    more: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @property
    def better_alone(self) -> Setting | None:
        """One expert's guidance, where it surely does better than the chosen experts together.

        Experts of different styles do that, and a distilled model beside its base: they disagree most about what they know
        (docs/validity.md, realistic sets).
        """
        better = [one for one in self.settings if alone(one.preset) and one.loss.high < 0]
        return min(better, key=lambda one: one.loss.value, default=None)

    def shown(self) -> tuple[Setting, ...]:
        """Those worth showing: each is the best for its price, or dearest or advised."""
        found: list[Setting] = []
        for one in self.settings:
            if (
                not found
                or one.chosen > max(other.chosen for other in found)
                or one in (self.advised, self.cheapest, self.dearest, self.better_alone)
            ):
                found.append(one)
        if self.staged is not None:
            found.append(self.staged)
        return tuple(sorted(found, key=lambda one: one.calls))


def sweep(
    record: Record, split: Split, sets: Sequence[tuple[int, ...]], usable: NDArray[np.bool_], allowed: float = LOSS
) -> Sweep:
    """Compares the settings.

    Args:
        sets: sets of experts; the last was chosen.
        usable: the prompts that have a score.
        allowed: what the advised setting may lose.
    """
    about, chosen = record.about, tuple(sets[-1])
    # At equal sizes the first level; and the preset that was asked for, where it can be read there.
    level = max(
        range(len(about.levels)),
        key=lambda number: (about.levels[number].size[0] * about.levels[number].size[1], -number),
    )
    preset = about.preset if about.preset in record.presets(level) else "layout"
    top = (level, preset, about.samples, chosen)
    ways = [
        (number, name, samples, experts)
        for number in range(len(about.levels))
        for name in record.presets(number)
        for samples in range(1, about.samples + 1)
        for experts in dict.fromkeys(one[:1] if alone(name) else tuple(one) for one in sets)
    ]
    scores = {way: record.scores(way[0], way[1], way[3], way[2]) for way in ways}
    value, draws = split.report.value(scores[top]), split.report.draws(scores[top])
    best, best_draws = split.choose.value(scores[top]), split.choose.draws(scores[top])

    def setting(way: tuple[int, str, int, tuple[int, ...]], own: Floats, share: float = 1.0) -> tuple[Setting, bool]:
        number, name, samples, experts = way
        here, chooses = split.report.value(own), split.choose.value(own)
        lost, rank = best_draws - split.choose.draws(own), spearman(own[usable], scores[top][usable])
        made = Setting(
            number,
            name,
            samples,
            experts,
            share * calls(record, number, name, samples, experts),
            share * record.seconds(number, name, experts, samples),
            rank if math.isfinite(rank) else None,
            chooses,
            0.0 if own is scores[top] else split.choose.interval(best - chooses, lost).high,
            here,
            split.report.interval(value - here, draws - split.report.draws(own)),
            share != 1,
        )
        return made, best == chooses and not differ(lost[np.isfinite(lost)])

    made = {way: setting(way, own) for way, own in scores.items() if np.isfinite(own[usable]).all()}
    unseen = {one for one, same in made.values() if same}
    dearest, staged = made[top][0], None
    if has_halves(len(chosen), about.samples):
        share = stage_calls(len(chosen), about.samples)[1] / (len(chosen) * about.samples)
        own = record.scores_in_halves(level, preset, chosen)
        staged = setting(top, own, share)[0] if np.isfinite(own[usable]).all() else None
    found = sorted((one for one, _ in made.values()), key=lambda one: (one.calls, -one.chosen, one.level, one.preset))
    cheap = [one for one in found if one.calls < dearest.calls and _saves(record, one, preset)]
    good = [*(one for one in cheap if one.at_most <= allowed), dearest]
    advised = next(one for one in good if one.experts == chosen)
    doubtful = next(
        (one for one in cheap if one in unseen and one.experts == chosen and one.calls < advised.calls), None
    )
    more = prompts_for(allowed) / split.choose.prompts
    if not math.isfinite(more):  # no number of prompts shows that nothing at all is lost
        doubtful, more = None, 1.0
    return Sweep(tuple(found), dearest, advised, good[0], allowed, staged, doubtful, more)


def _saves(record: Record, one: Setting, preset: str) -> bool:
    """Whether another preset than the dearest setting's takes fewer calls than that one would, all else equal.

    Where it takes as many, only these prompts speak for it. Such presets, chosen on one set of experts, lost more on others.
    """
    same = calls(record, one.level, preset, one.samples, one.experts)
    return one.preset == preset or alone(one.preset) or one.calls < same


def calls(record: Record, level: int, preset: str, samples: int, experts: Sequence[int]) -> float:
    """See `Setting.calls`."""
    share = (record.share or _MIDDLE_SHARE) if FEATURES[PRESETS[preset].estimator] == PROMPT else 1.0
    here, first = (record.about.levels[number].size for number in (level, 0))
    return share * samples * len(experts) * (here[0] * here[1]) / (first[0] * first[1])
