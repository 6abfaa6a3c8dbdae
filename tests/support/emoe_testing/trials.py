"""Trials made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from emoe_core.trial.store import BAD, GOOD, Contents, Judgement, Picture, Prompt, Reading
from emoe_testing.verdicts import SETTINGS

LAYOUT = Reading("layout", replace(SETTINGS, tap="noise_pred", estimator="centred_layout"))
FAST = Reading("fast", SETTINGS)
ONE_MODEL = Reading("one_model", replace(SETTINGS, tap="noise_pred", estimator="guidance"))
RESPONSE = Reading("response", None)
READINGS = (FAST, LAYOUT, ONE_MODEL, RESPONSE)
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EMoE_DemoExperts", "inputs": {}},
    "5": {"class_type": "EMoE_Score", "inputs": {"experts": ["1", 0], "preset": "layout"}},
    "6": {
        "class_type": "EMoE_Gate",
        "inputs": {"report": ["5", 1], "policy": "raw_threshold", "alpha": 0.1, "threshold": 0.5, "mode": "observe"},
    },
}
FACTS: dict[str, Any] = {"workflow": GRAPH, "experts": ["one", "two", "three"], "pictures": 1}


def picture(number: int, prompt: int, quality: str | None, place: int = 0, **values: Any) -> Picture:
    """A picture whose id and mark's place are `number`."""
    base = Picture(number, prompt, place, "", f"p_{number}.png", "emoe", "output", 1, 2.0, 0.0)
    marked = {} if quality is None else {"quality": quality, "marked": 0.0, "order": number}
    return replace(base, **marked, **values)


def prompt(
    number: int,
    scores: dict[str, float],
    qualities: Sequence[str | None],
    text: str = "",
    columns: dict[str, str] | None = None,
) -> Prompt:
    """A prompt with a picture per quality; its pictures' ids are 10 times its own and up."""
    made = tuple(picture(10 * number + place, number, quality, place) for place, quality in enumerate(qualities))
    return Prompt(number, f"{number}-k", number, text or f"prompt {number}", columns or {}, scores, made)


def contents(
    count: int = 120,
    strength: dict[str, float] | None = None,
    *,
    share: float = 0.3,
    seed: int = 0,
    each: int = 1,
    facts: dict[str, Any] | None = None,
    text: Callable[[int], str] = lambda number: f"prompt {number:04d}",
    judge: float | None = None,
) -> Contents:
    """A trial of marked pictures.

    Args:
        strength: by reading, how far the scores of bad prompts are moved up, in standard deviations.
        judge: the share of pictures in which the judge "clip" agrees with the marks; None for no judge.
    """
    moved = {"layout": 1.5, "fast": 1.0, "one_model": 0.8, "response": 0.3, **(strength or {})}
    rng = np.random.default_rng(seed)
    prompts, judgements = [], []
    for number in range(1, count + 1):
        bad = bool(rng.random() < share)
        scores = {one.name: float(rng.normal() + moved[one.name] * bad) for one in READINGS}
        columns = {"language": "de" if number % 3 else "fi", "note": f"n{number}"}
        made = prompt(number, scores, [BAD if bad else GOOD] * each, text(number), columns)
        prompts.append(made)
        if judge is not None:
            for one in made.pictures:
                said = bad == bool(rng.random() < judge)
                judgements.append(Judgement(one.id, "clip", 0.5, said))
    return Contents(FACTS if facts is None else facts, READINGS, tuple(prompts), tuple(judgements))
