"""How much a figure changes when the whole pipeline runs again from scratch, and whether a new run is within that range.

The bootstrap intervals of the other tables are over prompts. They say nothing about another training of the same experts,
although rounding alone makes two trainings drift apart. `trainings.json` keeps the figures of whole trainings.
Worlds that were trained more than once show how far apart two trainings are, number by number and task by task, and
that gives an interval for a further training.

A training that is older than a number has no figures of it: every comparison takes the trainings that have.

AUROCs are compared on the scale asin(sqrt(x)), on which differences near 1 count as much as those in the middle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .columns import PRESETS

FILE = Path(__file__).with_name("trainings.json")
NUMBERS = ("fast", "thorough", "layout", "paper", "response", "guidance", "guidance_mean")
TASKS = ("unseen_language", "held_out_concept", "under_sampled", "nonsense", "word_salad", "typo")
RANK, BAD = "rank_correlation", "bad_picture"
SET = "base_4"
COVERAGE = 0.95

#: number -> task -> figure, for one world
Training = dict[str, dict[str, float]]


def of_run(found: dict[str, Any]) -> dict[str, Training]:
    """World -> its figures in this run, in the form of `trainings.json`."""
    return {name: _figures(world[SET]) for name, world in found.get("worlds", {}).items() if SET in world}


def _figures(figures: dict[str, Any]) -> Training:
    told: Training = {}
    for number in NUMBERS:
        column = PRESETS.get(number, number)
        mine = {task: figures["auroc"][task][column]["value"] for task in TASKS}
        mine[RANK] = figures["spearman_share_score"][column]["value"]
        mine[BAD] = figures["fail_auroc"][column]["value"]
        told[number] = {task: round(value, 4) for task, value in mine.items()}
    return told


def kept(path: Path = FILE) -> dict[str, dict[str, Training]]:
    """Label of a training -> world -> figures."""
    found: dict[str, dict[str, Training]] = json.loads(path.read_text("utf-8"))
    return found


def keep(label: str, run: dict[str, Training], path: Path = FILE) -> None:
    """Adds a training, or replaces the one with the same label."""
    path.write_text(json.dumps(kept(path) | {label: run}, indent=1, ensure_ascii=False) + "\n", "utf-8")


@dataclass(frozen=True)
class Stated:
    """What earlier trainings predict for a further one."""

    world: str
    number: str
    task: str
    value: float
    low: float
    high: float


def stated(trainings: dict[str, dict[str, Training]]) -> Iterator[Stated]:
    """Mean over the trainings of a world, with the interval for a further one.

    The spread is pooled over all worlds that were trained more than once; the interval is Student's, with as many degrees
    of freedom as there are trainings beyond each world's first. Yields nothing if no world was trained twice.
    """
    worlds = _by_world(trainings)
    for number in NUMBERS:
        for task in (*TASKS, RANK, BAD):
            series = {world: _series(runs, number, task) for world, runs in worlds.items()}
            reach = _reach(list(series.values()))
            if reach is None:
                continue
            for world, values in series.items():
                if not values:
                    continue
                middle = sum(values) / len(values)
                half = reach * math.sqrt(1 + 1 / len(values))
                ends = (_back(task, x) for x in (middle, middle - half, middle + half))
                yield Stated(world, number, task, *ends)


def _reach(series: list[list[float]]) -> float | None:
    """How far a value is from its own mean at most, with the chance `COVERAGE`; None if no series has two values."""
    from scipy.stats import t

    series = [values for values in series if values]
    freedom = sum(len(values) - 1 for values in series)
    if not freedom:
        return None
    squares = sum((v - sum(values) / len(values)) ** 2 for values in series for v in values)
    return float(t.ppf((1 + COVERAGE) / 2, freedom)) * math.sqrt(squares / freedom)


def within(run: dict[str, Training], trainings: dict[str, dict[str, Training]]) -> dict[str, list[int]]:
    """Number -> how many of a run's figures are within the trainings' intervals, and how many there are."""
    count: dict[str, list[int]] = {}
    for one in stated(trainings):
        if one.number in run.get(one.world, {}):
            value = run[one.world][one.number][one.task]
            mine = count.setdefault(one.number, [0, 0])
            mine[0] += one.low - 5e-3 <= value <= one.high + 5e-3  # kept figures may be rounded to two digits
            mine[1] += 1
    return count


def left_out(trainings: dict[str, dict[str, Training]]) -> dict[str, list[int]]:
    """`within` for the last training of each world, with a spread from the other worlds alone."""
    total: dict[str, list[int]] = {}
    for world, runs in _by_world(trainings).items():
        if len(runs) < 2:
            continue
        others = {
            label: {name: figures for name, figures in one.items() if name != world or figures is not runs[-1]}
            for label, one in trainings.items()
        }
        for number, (inside, all_) in within({world: runs[-1]}, others).items():
            mine = total.setdefault(number, [0, 0])
            mine[0] += inside
            mine[1] += all_
    return total


def summary(trainings: dict[str, dict[str, Training]]) -> dict[str, Any]:
    """For the tables: mean AUROC of every training, how far apart two are, and how many figures a new one would keep.

    `reach`: number -> where an AUROC of 0.9 in one training lies in another, with the chance `COVERAGE`, tasks together.
    """
    again = {world: runs for world, runs in _by_world(trainings).items() if len(runs) > 1}
    if not again:
        return {}
    means = {
        world: {
            number: [sum(one[number][task] for task in TASKS) / len(TASKS) for one in runs if number in one]
            for number in NUMBERS
        }
        for world, runs in again.items()
    }
    reach: dict[str, list[float]] = {}
    for number in NUMBERS:
        half = _reach([_series(runs, number, task) for runs in again.values() for task in TASKS])
        if half is None:  # no world was trained twice since this number exists
            continue
        reach[number] = [_back("", _flat("", 0.9) + side * half * math.sqrt(2)) for side in (-1, 1)]
    return {"mean_auroc": means, "reach": reach, "left_out": left_out(trainings)}


def _by_world(trainings: dict[str, dict[str, Training]]) -> dict[str, list[Training]]:
    found: dict[str, list[Training]] = {}
    for one in trainings.values():
        for world, figures in one.items():
            found.setdefault(world, []).append(figures)
    return found


def _series(runs: list[Training], number: str, task: str) -> list[float]:
    """The figure in every training that has it, on the scale for comparisons."""
    return [_flat(task, one[number][task]) for one in runs if number in one]


def _flat(task: str, value: float) -> float:
    return value if task == RANK else math.asin(math.sqrt(min(max(value, 0.0), 1.0)))


def _back(task: str, value: float) -> float:
    if task == RANK:
        return min(max(value, -1.0), 1.0)
    return math.sin(min(max(value, 0.0), math.pi / 2)) ** 2
