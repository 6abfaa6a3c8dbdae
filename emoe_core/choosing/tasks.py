"""What a good set of experts must tell apart: known prompts from each kind of unknown ones, group by group; or good from bad.

Half of the prompts choose and the other half report, so that no figure flatters what was chosen by it. A known prompt and its
unknown twins stay together, in the halves and in the bootstrap.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import EMoEError
from ..prompts import PromptRow
from ..stats.evaluation import Floats
from ..trial.labels import MARKS, labelled, sources
from ..trial.look import NONSENSE, REFERENCE, SHUFFLED, nonsense, shuffled
from ..trial.store import Contents
from .record import Asked

#: A task with fewer prompts on either side in a half is left out.
FEWEST = 4
MARKED = "marked"
DRAWS = 1000
#: How often a larger difference than the interval's end may stay unseen.
_UNSEEN = 0.025
Places = NDArray[np.intp]


def twins(known: Sequence[str], groups: Sequence[dict[str, str]] | None = None) -> list[Asked]:
    """Known prompts, each with its words in another order and with made-up words of the same length.

    Args:
        groups: of each, by column.
    """
    found = []
    for number, text in enumerate(known):
        chance = random.Random(text)  # so that a prompt has the same twins in any company
        own = {} if groups is None else groups[number]
        made = {REFERENCE: text, SHUFFLED: shuffled(chance, text), NONSENSE: nonsense(chance, text)}
        found += [Asked(kind, text, one, own) for kind, one in made.items() if kind == REFERENCE or one != text]
    return found


def of_rows(rows: Iterable[PromptRow], columns: Sequence[str], most: int = 0) -> list[Asked]:
    """The known prompts of a file with their groups, and their twins; at most `most` known ones (0: all), evenly spaced."""
    unique = {row.prompt: row for row in rows}
    kept = list(unique.values())
    if most and most < len(kept):
        kept = [kept[place * len(kept) // most] for place in range(most)]
    groups = [{name: value for name in columns if (value := row.columns.get(name, "").strip())} for row in kept]
    return twins([row.prompt for row in kept], groups)


def of_trial(contents: Contents, labels: str = "") -> list[Asked]:
    """The prompts of a trial whose pictures were marked.

    Args:
        labels: whose; "" takes the marks, or else the only judge.

    Raises:
        EMoEError: there are no such labels.
    """
    known = sources(contents)
    whose = labels or (known[0] if known and (known[0] == MARKS or len(known) == 1) else MARKS)
    rows = {row.prompt.prompt: row.bad for row in labelled(contents, whose)}
    return [Asked(MARKED, text, text, {}, bad) for text, bad in rows.items()]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval, from a bootstrap over pairs of prompts."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, draws: Floats, prompts: float) -> "Interval":
        """From the bootstrap's draws; where none differs, from what so many prompts could have missed."""
        draws = draws[np.isfinite(draws)]
        if not differ(draws):
            return cls(value, value - missed(prompts), value + missed(prompts))
        low, high = np.quantile(draws, (0.025, 0.975))
        return cls(value, float(low), float(high))

    def within(self, low: float, high: float) -> "Interval":
        """The interval cut to what the figure can be."""
        return Interval(self.value, max(low, self.low), min(high, self.high))

    def text(self, sign: bool = False) -> str:
        """For a table."""
        form = "+.3f" if sign else ".3f"
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


def differ(draws: Floats) -> bool:
    """Whether the bootstrap's draws tell how sure a figure is."""
    return len(draws) > 0 and float(np.ptp(draws)) >= 1e-12


def missed(prompts: float) -> float:
    """The largest loss of AUROC that so many prompts of a kind miss in one of forty cases.

    A way of scoring may fail at a share p of all prompts. None of n prompts is one of them with probability (1 - p)^n. A prompt
    at which it fails scores like one of the other kind, so it loses half of its comparisons, and the loss is p / 2.
    """
    return float(1 - _UNSEEN ** (1 / max(1.0, prompts))) / 2


def prompts_for(loss: float) -> float:
    """How many prompts of a kind do not miss a larger loss than this one: the inverse of `missed`."""
    return math.log(_UNSEEN) / math.log(1 - 2 * loss) if 0 < loss < 0.5 else math.inf if loss <= 0 else 1.0


@dataclass(frozen=True, eq=False)
class Task:
    """Two kinds of prompts to be told apart; the second should score higher.

    Attributes:
        low, high: places of the prompts.
    """

    name: str
    low: Places
    high: Places


@dataclass(frozen=True, eq=False)
class Tasks:
    """All tasks on some prompts.

    Attributes:
        cluster: for each prompt of the record the number of its pair.
    """

    each: tuple[Task, ...]
    cluster: Places

    def aurocs(self, scores: Floats) -> Floats:
        """AUROC of each task, [tasks]."""
        return np.array([_compared(scores, one).mean() for one in self.each])

    def value(self, scores: Floats) -> float:
        """The mean of the tasks' AUROCs: what is made as large as possible."""
        return float(self.aurocs(scores).mean())

    @cached_property
    def _pairs(self) -> Places:
        return np.unique(self.cluster[np.concatenate([np.concatenate([one.low, one.high]) for one in self.each])])

    @cached_property
    def prompts(self) -> float:
        """How many prompts of a kind the value rests on: one over the largest share that a single prompt has in it.

        With four bad prompts among a hundred good ones it is four.
        """
        share = np.zeros(len(self.cluster))
        for one in self.each:
            for side in (one.low, one.high):
                share[side] += 1 / (len(side) * len(self.each))
        return float(1 / share.max())

    def interval(self, value: float, draws: Floats) -> Interval:
        """A figure with its interval, from draws of these tasks."""
        return Interval.of(value, draws, self.prompts)

    @cached_property
    def _weights(self) -> Floats:
        """How often each pair is drawn, [draws, pairs]: the same draws for all sets, so that differences are paired."""
        chance = np.random.default_rng(0)
        here = self._pairs
        weights = np.zeros((DRAWS, int(self.cluster.max()) + 1))
        weights[:, here] = chance.multinomial(len(here), np.full(len(here), 1 / len(here)), size=DRAWS)
        return weights

    def draws(self, scores: Floats) -> Floats:
        """The value on bootstrapped pairs of prompts, [draws]; NaN where a draw leaves a side of a task empty."""
        total = np.zeros(DRAWS)
        for one in self.each:
            low, high = self._weights[:, self.cluster[one.low]], self._weights[:, self.cluster[one.high]]
            won = np.einsum("bi,ij,bj->b", low, _compared(scores, one), high, optimize=True)
            with np.errstate(invalid="ignore", divide="ignore"):
                total += won / (low.sum(axis=1) * high.sum(axis=1))
        found: Floats = total / len(self.each)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.each)


def _compared(scores: Floats, task: Task) -> Floats:
    low, high = scores[task.low][:, None], scores[task.high][None]
    found: Floats = (high > low) + 0.5 * (high == low)
    return found


@dataclass(frozen=True, eq=False)
class Split:
    """The tasks on the half of the prompts that chooses, and on the one that reports."""

    choose: Tasks
    report: Tasks


def split(prompts: Sequence[Asked], usable: NDArray[np.bool_] | None = None) -> Split:
    """Halves the prompts and lists the tasks that both halves can do.

    Where there are marks, good and bad prompts are the task. Otherwise each group has one for each kind of unknown prompts;
    groups that are too small, and prompts without a group, are taken together.

    Args:
        usable: the prompts that have a score.

    Raises:
        EMoEError: too few prompts.
    """
    pairs = {name: number for number, name in enumerate(dict.fromkeys(one.pair for one in prompts))}
    cluster = np.array([pairs[one.pair] for one in prompts], dtype=np.intp)
    usable = np.ones(len(prompts), dtype=bool) if usable is None else usable
    marked = any(one.bad is not None for one in prompts)
    sides = _marked(prompts) if marked else _by_group(prompts)
    halves = _halves(prompts, cluster, marked)
    found: tuple[list[Task], list[Task]] = ([], [])
    for name, low, high in _worth(sides, halves, usable):
        for half in (0, 1):
            found[half].append(
                Task(
                    name,
                    *(
                        np.array([i for i in side if halves[i] == half and usable[i]], dtype=np.intp)
                        for side in (low, high)
                    ),
                )
            )
    if not found[0]:
        needed = 2 * FEWEST
        raise EMoEError(
            f"There are too few prompts to choose by: a task needs {needed} known prompts and {needed} unknown ones (or good and "
            "bad ones); give more prompts."
        )
    return Split(Tasks(tuple(found[0]), cluster), Tasks(tuple(found[1]), cluster))


_Sides = dict[str, tuple[list[int], list[int]]]


def _marked(prompts: Sequence[Asked]) -> _Sides:
    good = [place for place, one in enumerate(prompts) if one.bad is False]
    return {"bad against good": (good, [place for place, one in enumerate(prompts) if one.bad])}


def _by_group(prompts: Sequence[Asked]) -> _Sides:
    found: _Sides = {}
    for kind in (SHUFFLED, NONSENSE):
        for place, one in enumerate(prompts):
            for group in [f"{column}={value}: " for column, value in one.groups.items()] or [""]:
                low, high = found.setdefault(f"{group}{kind}", ([], []))
                if one.kind == REFERENCE:
                    low.append(place)
                elif one.kind == kind:
                    high.append(place)
    return found


def _worth(sides: _Sides, halves: Places, usable: NDArray[np.bool_]) -> list[tuple[str, list[int], list[int]]]:
    def enough(places: Sequence[int]) -> bool:
        return all(sum(1 for place in places if halves[place] == half and usable[place]) >= FEWEST for half in (0, 1))

    found, small = [], dict[str, tuple[set[int], set[int]]]()
    for name, (low, high) in sides.items():
        if enough(low) and enough(high):
            found.append((name, low, high))
        else:
            rest = small.setdefault(name.rsplit(": ", 1)[-1], (set(), set()))
            rest[0].update(low)
            rest[1].update(high)
    for name, both in small.items():
        others, unknown = (sorted(side) for side in both)
        if enough(others) and enough(unknown):
            found.append((name if name not in sides else f"others: {name}", others, unknown))
    return found


def _halves(prompts: Sequence[Asked], cluster: Places, marked: bool) -> Places:
    """For each prompt which half it is in: every second pair, going through them group by group."""
    group: dict[int, str] = {}
    for place, one in enumerate(prompts):
        group.setdefault(int(cluster[place]), str(one.bad if marked else sorted(one.groups.items())))
    half = {number: place % 2 for place, number in enumerate(sorted(group, key=lambda number: (group[number], number)))}
    return np.array([half[int(number)] for number in cluster], dtype=np.intp)
