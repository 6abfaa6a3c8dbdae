"""What a trial shows prompt by prompt: quarters of the score, groups, and what came out otherwise than the score says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .foresight import placed
from .labels import Labelled, group_columns, share
from .store import Picture

_SHOWN = 8  # pictures in each list of surprises
_MOST_GROUPS = 40  # of a column


@dataclass(frozen=True)
class Quarter:
    """A quarter of the prompts by the main reading, the most certain first; `share` is their mean share of bad pictures."""

    low_score: float
    high_score: float
    prompts: int
    pictures: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """The prompts with one label of a column; `auroc` within it is None where there are too few of them to say anything."""

    column: str
    value: str
    prompts: int
    share: float
    low: float
    high: float
    auroc: float | None
    auroc_low: float
    auroc_high: float


@dataclass(frozen=True)
class Surprise:
    """A picture that came out otherwise than its score says.

    Attributes:
        above, below: share of the labelled prompts with a higher and with a lower score.
    """

    picture: Picture
    prompt: str
    score: float
    above: float
    below: float


def quarters(rows: Sequence[Labelled], reading: str) -> tuple[Quarter, ...]:
    """Four parts of the prompts in the order of their scores; equal scores stay together in the lower one."""
    if len(rows) < 4:
        return ()
    scores = np.array([one.prompt.scores[reading] for one in rows])
    edges = np.quantile(scores, (0.25, 0.5, 0.75), method="inverted_cdf")
    part = np.searchsorted(edges, scores, side="left")
    made = []
    for number in range(4):
        own = [one for one, p in zip(rows, part, strict=True) if p == number]
        if own:
            inside = scores[part == number]
            count = sum(len(one.pictures) for one in own)
            made.append(Quarter(float(inside.min()), float(inside.max()), len(own), count, *share(own)))
    return tuple(made)


def groups(rows: Sequence[Labelled], reading: str) -> tuple[Group, ...]:
    """The labels of each column of groups that has two or more, the most frequent first."""
    made = []
    for column in group_columns(rows):
        values: dict[str, list[Labelled]] = {}
        for one in rows:
            if label := one.prompt.columns.get(column, "").strip():
                values.setdefault(label, []).append(one)
        if len(values) < 2:
            continue
        for value, own in sorted(values.items(), key=lambda pair: -len(pair[1]))[:_MOST_GROUPS]:
            found = placed(own, reading) if reading else None
            low, high = found.interval() if found else (0.0, 1.0)
            auroc = found.value if found is not None and found.enough else None
            made.append(Group(column, value, len(own), *share(own), auroc, low, high))
    return tuple(made)


def surprises(rows: Sequence[Labelled], reading: str, bad: bool) -> tuple[Surprise, ...]:
    """Pictures that are bad though the score is in the lower half, or good though it is in the upper; one of each prompt."""
    scores = np.sort([one.prompt.scores[reading] for one in rows])
    made: list[Surprise] = []
    for one in sorted(rows, key=lambda one: one.prompt.scores[reading], reverse=not bad):
        score = one.prompt.scores[reading]
        below, upto = (float(np.searchsorted(scores, score, side)) / len(scores) for side in ("left", "right"))
        if len(made) == _SHOWN or (1 - upto if bad else below) < 0.5:
            break
        fitting = [picture for picture, is_bad in one.pictures if is_bad == bad]
        if fitting:
            made.append(Surprise(fitting[0], one.prompt.prompt, score, 1 - upto, below))
    return tuple(made)
