"""Verdicts as a Gate makes them, from scores chosen by a test."""

from __future__ import annotations

from typing import Any

from emoe_core.gating.gate import Verdict, decide
from emoe_core.records.report import ItemScore, Report
from emoe_core.records.settings import Settings

SETTINGS = Settings(
    experts=("a" * 64, "b" * 64),
    text_encoders=("shared",),
    tap="mid_out",
    estimator="relative",
    sigma=14.6146,
    noise_seed=0,
    noise_samples=2,
    latent_shape=(4, 16, 16),
    latent="empty",
    dtype="float32",
)


def verdict(prompt: str, *scores: float, limit: float = 0.5, settings: Settings = SETTINGS, **how: Any) -> Verdict:
    """One item per score; with a raw threshold unless `how` says otherwise."""
    items = tuple(ItemScore(score, None, score, None, 1.0, None) for score in scores)
    report = Report(settings, items, ("x", "y"), ("", ""), ((0.0, 1.0), (1.0, 0.0)), prompt=prompt)
    return decide(report, **{"policy": "raw_threshold", "threshold": limit, **how})
