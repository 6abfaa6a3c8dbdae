"""Is the picture right? Every caption has one true picture, so alignment needs no judge from outside.

Three measures, which may disagree: whether the true picture is the nearest of all concepts' (`top1`), how far up it is in the
list of the nearest (`rank`), and how near the picture is to it at all (`likeness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STEPS = 20
MEASURES = ("top1", "rank", "likeness")


@dataclass(frozen=True)
class Drawn:
    """Quality per prompt, higher is better, NaN where no picture is the right one; the mean over seeds.

    Nothing is drawn for a prompt without a right picture.
    """

    top1: Any
    rank: Any
    likeness: Any

    @classmethod
    def mean(cls, parts: Sequence[dict[str, Any]]) -> Drawn:
        """Over the seeds."""
        return cls(**{name: np.mean([part[name] for part in parts], axis=0) for name in MEASURES})

    def among(self, prompts: Sequence[Any]) -> Drawn:
        """For all `prompts`, from the qualities of those with a right picture: the others were not drawn."""
        drawn = np.array([bool(prompt.concepts) for prompt in prompts])
        every = {name: np.full(len(prompts), np.nan) for name in MEASURES}
        for name in MEASURES:
            every[name][drawn] = getattr(self, name)
        return Drawn(**every)

    def as_dict(self) -> dict[str, list[float | None]]:
        """For JSON, where NaN does not exist."""
        return {name: [None if np.isnan(x) else float(x) for x in getattr(self, name)] for name in MEASURES}


def judge(pictures: Any, true: Any, concepts: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """The three measures of every picture.

    Args:
        pictures: [P, 3, h, w] in 0..1.
        true: [N, 3, 32, 32] in 0..1, one picture per concept.
        concepts: the right concepts of each picture; the best one counts.
    """
    import torch
    import torch.nn.functional as F

    small = F.adaptive_avg_pool2d(pictures.float().clamp(0, 1), true.shape[-1]).flatten(1)
    known = true.flatten(1)
    distance = torch.cdist(small, known).square().detach().numpy() / known.shape[1]
    spread = float(known.var(dim=0).mean())
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for row, right in zip(distance, concepts, strict=True):
        if not right:
            for name in MEASURES:
                found[name].append(np.nan)
            continue
        best = min(row[i] for i in right)
        place = int((row < best).sum())
        found["top1"].append(float(place == 0))
        found["rank"].append(1 - place / (len(row) - 1))
        found["likeness"].append(1 - best / (2 * spread))
    return {name: np.array(values) for name, values in found.items()}
