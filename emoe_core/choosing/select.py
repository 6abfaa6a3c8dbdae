"""Which experts to take: the best pair of all, then one after the other, and no more than pay for themselves.

Sets are chosen on one half of the prompts and reported on the other. Copies and merges are left out first: the experts that they
are made of say the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from ..errors import EMoEError
from ..stats.evaluation import Floats
from .kin import Redundant
from .tasks import Interval, Split

#: A further expert must add at least this much, and its interval must be above 0: small sets win ties.
GAIN_AT_LEAST = 0.005
MOST = 4
#: Scores of a set of experts, [prompts].
Scorer = Callable[[Sequence[int]], Floats]


@dataclass(frozen=True)
class Step:
    """The best set of one size.

    Attributes:
        experts: in the order in which they are worth taking.
        chosen: the value on the half of the prompts that chose it.
        value: on the other half.
        gain: over the set before, on that half; None for the first.
        kept: whether it pays, and so do all sets before it.
    """

    experts: tuple[int, ...]
    chosen: float
    value: Interval
    gain: Interval | None
    kept: bool


@dataclass(frozen=True)
class Selection:
    """What was chosen, and why no more.

    Attributes:
        steps: the best sets of two, three, ... experts.
        all_experts: the value of all candidates together.
    """

    steps: tuple[Step, ...]
    redundant: tuple[Redundant, ...]
    all_experts: Interval
    tasks: tuple[str, ...]

    @property
    def chosen(self) -> tuple[int, ...]:
        """The largest set that pays."""
        return [one for one in self.steps if one.kept][-1].experts

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "chosen": list(self.chosen)}


def select(
    scorer: Scorer, split: Split, experts: int, most: int = MOST, redundant: Sequence[Redundant] = ()
) -> Selection:
    """Chooses among experts 0, 1, ...

    Args:
        scorer: the scores of any two or more of them.
        most: how many to take at most.
        redundant: those that are not taken, as long as two others are there.

    Raises:
        EMoEError: fewer than two experts, or fewer are wanted.
    """
    if experts < 2 or most < 2:
        raise EMoEError(f"A choice takes at least two experts; there are {experts}, and at most {most} are wanted.")
    pool = pool_of(experts, redundant)
    if len(pool) == experts:
        redundant = ()
    known: dict[tuple[int, ...], float] = {}

    def value(chosen: Sequence[int]) -> float:
        key = tuple(sorted(chosen))
        if key not in known:
            known[key] = split.choose.value(scorer(key))
        return known[key]

    sets: list[tuple[int, ...]] = [max(combinations(pool, 2), key=value)]
    while len(sets[-1]) < min(most, len(pool)):
        before = sets[-1]
        grown = max(((*before, one) for one in pool if one not in before), key=value)
        sets.append(_ordered(_exchanged(grown, pool, value), grown, value))
    return Selection(
        _steps(sets, scorer, split, value),
        tuple(redundant),
        _interval(split, scorer(range(experts))),
        split.report.names,
    )


def pool_of(experts: int, redundant: Sequence[Redundant]) -> list[int]:
    """Those that are chosen from: without the redundant ones, unless hardly any other is left."""
    out = {one.expert for one in redundant}
    pool = [one for one in range(experts) if one not in out]
    return pool if len(pool) >= 2 else list(range(experts))


def _exchanged(
    chosen: tuple[int, ...], pool: Sequence[int], value: Callable[[Sequence[int]], float]
) -> tuple[int, ...]:
    """The set after exchanging single experts as long as that is worth it: what was best in a pair may be in the way of four."""
    while True:
        others = [
            tuple(new if one == old else one for one in chosen) for old in chosen for new in pool if new not in chosen
        ]
        best = max(others, key=value, default=chosen)
        if value(best) <= value(chosen) + GAIN_AT_LEAST / 2:
            return chosen
        chosen = best


def _ordered(
    chosen: tuple[int, ...], grown: tuple[int, ...], value: Callable[[Sequence[int]], float]
) -> tuple[int, ...]:
    """The experts of a set in the order in which they are worth taking."""
    if chosen == grown:
        return chosen
    found: tuple[int, ...] = max(combinations(sorted(chosen), 2), key=value)
    while len(found) < len(chosen):
        found = max(((*found, one) for one in sorted(chosen) if one not in found), key=value)
    return found


def _steps(
    sets: Sequence[tuple[int, ...]], scorer: Scorer, split: Split, value: Callable[[Sequence[int]], float]
) -> tuple[Step, ...]:
    found: list[Step] = []
    before: tuple[float, Floats] | None = None
    for chosen in sets:
        scores = scorer(sorted(chosen))
        here, draws = split.report.value(scores), split.report.draws(scores)
        gain = None if before is None else split.report.interval(here - before[0], draws - before[1])
        pays = gain is None or (gain.low > 0 and gain.value >= GAIN_AT_LEAST)
        kept = pays and (not found or found[-1].kept)
        found.append(Step(chosen, value(chosen), split.report.interval(here, draws).within(0, 1), gain, kept))
        before = here, draws
    return tuple(found)


def _interval(split: Split, scores: Floats) -> Interval:
    return split.report.interval(split.report.value(scores), split.report.draws(scores)).within(0, 1)
