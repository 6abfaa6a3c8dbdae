"""Does the recommended setting lose no more than it may, on other prompts and in other worlds?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .pools import prompts_to_choose
from .sets import SCORE, Measured

#: What the recommended setting may lose.
ALLOWED = (0.005, 0.02)


def record(measured: Measured, samples: int, timesteps: Sequence[int]) -> Any:
    """What Choose Experts would have kept of the first four experts at these noise levels."""
    from known_truth.pools import products

    choosing, source = measured.core.choosing, measured.source
    kind, kept = choosing.products.Products, choosing.record
    experts = list(source.experts.items())[:4]
    settings = measured.core.records.settings.Settings(
        experts=tuple(name for name, _ in experts), text_encoders=("own",), tap="noise_pred", estimator=SCORE, sigma=14.6146,
        noise_seed=0, noise_samples=samples, latent_shape=(4, source.side, source.side), latent="empty", dtype="float32",
    )  # fmt: skip
    found, levels = {}, []
    for number, timestep in enumerate(timesteps):
        answers = [source.answers(weights, tuple(range(samples)), timestep) for _, weights in experts]
        found[number, choosing.products.LAYOUT] = products(kind, [one.layout for one in answers])
        found[number, choosing.products.SHIFT] = products(kind, [one.shift.flatten(2) for one in answers])
        found[number, choosing.products.PROMPT] = products(kind, [one.middle for one in answers])
        side = 8 * source.side
        levels.append(kept.Level(round((999 - timestep) / 50), 20, (side, side), "mid_out", settings))
    candidates = tuple(kept.Candidate(name, "", name, "own", "float32", 0) for name, _ in experts)
    prompts = tuple(kept.Asked("", text, text) for text in source.texts)
    about = kept.About(candidates, tuple(levels), prompts, samples, "layout")
    spent = tuple(tuple(kept.Spent(1, 1.0) for _ in experts) for _ in levels)
    return kept.Record(about, len(prompts), found, spent, None)


def settings(every: Sequence[Measured], quick: bool) -> list[dict[str, Any]]:
    """What is recommended on some prompts, on others: of a world's split 0 on the same world's splits 1 and 2."""
    samples, timesteps = (2, (999,)) if quick else (4, (999, 749))
    records = {one.source.name: record(one, samples, timesteps) for one in every}
    found = []
    for measured in every:
        name, choosing = measured.source.name, measured.core.choosing
        world, _, split = name.partition(", ")
        if split not in ("", "split 0"):
            continue
        judges = [one for one in every if split and one is not measured and one.source.name.startswith(world)]
        halves = choosing.tasks.split(prompts_to_choose(measured, False))
        usable = np.ones(records[name].done, dtype=bool)
        for allowed in ALLOWED:
            told = choosing.sweep.sweep(records[name], halves, [tuple(range(4))], usable, allowed)
            for other in judges or [measured]:
                found.append(kept_promise(told, other, records[other.source.name], not judges, name))
                print(f"  settings: {found[-1]}", flush=True)
    return found


def kept_promise(told: Any, other: Measured, its: Any, unseen: bool, name: str) -> dict[str, Any]:
    """What the recommended setting loses elsewhere."""
    advised, dearest = told.advised, told.dearest
    scores = [its.scores(one.level, one.preset, one.experts, one.samples) for one in (dearest, advised)]
    best, own = (other.auroc(one, unseen) for one in scores)
    return {
        "chosen_on": name,
        "measured_on": other.source.name,
        "allowed": told.allowed,
        "preset": advised.preset,
        "samples": advised.samples,
        "level": its.about.levels[advised.level].name(),
        "cost_share": advised.calls / dearest.calls,
        "loss": best - own,
        "holds": bool(best - own <= told.allowed),
    }
