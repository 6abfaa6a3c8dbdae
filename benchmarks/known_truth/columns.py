"""The numbers in the table: every estimator at every tap, and cheaper numbers than an ensemble's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

TAPS = ("mid_in", "mid_out", "noise_pred")
#: The presets, by the names in reports.
PRESETS = {
    "fast": "mid_out.relative",
    "thorough": "noise_pred.centred_relative",
    "layout": "noise_pred.centred_layout",
    "paper": "mid_out.variance",
}
#: The default: figures for a single preset are for this one.
TOLD = "layout"
#: Known before any network runs.
TEXT = ("characters", "tokens", "unseen_words")
#: From one expert alone.
SINGLE = ("response", "guidance", "seed_variance", "denoiser_norm")
#: From all experts, but without their disagreement: the fair rival of a score that is divided by size.
MEAN = "guidance_mean"
#: Mixture mode: how undecided the router is. It has no direction of its own; more counts as less certain.
ROUTING = "routing_entropy"
BASELINES = (*TEXT, *SINGLE, MEAN, ROUTING)
#: Known from a text before any network runs. Not `unseen_words`: that needs the training captions, which nobody
#: has for a public model.
LENGTHS = ("characters", "tokens")

#: The columns of a measurement; stored measurements with other columns are not used again.
MEASURED = (*TAPS, *SINGLE, MEAN, ROUTING, PRESETS["layout"])

Columns = dict[str, "np.ndarray[Any, np.dtype[np.float64]]"]


def of_ensemble(reports: Iterable[Any]) -> dict[str, list[float]]:
    """Every `tap.estimator` in the reports, with one list each."""
    found: dict[str, list[float]] = {}
    for report in reports:
        for tap, estimates in report.items[0].all.items():
            for name, estimate in estimates.items():
                if name not in ("response", "guidance"):
                    found.setdefault(f"{tap}.{name}", []).append(estimate.score)
    return found


def of_singles(reports: Sequence[Sequence[Any]]) -> dict[str, list[float]]:
    """Columns of one expert and of their mean, from `reports[expert][prompt]` read at the noise prediction.

    All are higher for less certain prompts: sizes are inverted.
    """
    first = reports[0]
    hidden = "mid_out" if "mid_out" in first[0].items[0].all else "noise_pred"
    sizes = np.array([[1 / r.items[0].all["noise_pred"]["guidance"].score for r in expert] for expert in reports])
    return {
        "response": [r.items[0].all[hidden]["response"].score for r in first],
        "guidance": [r.items[0].all["noise_pred"]["guidance"].score for r in first],
        "seed_variance": [float(r.items[0].seed_variance) for r in first],
        "denoiser_norm": [r.items[0].all["noise_pred"]["response"].score for r in first],
        MEAN: (1 / sizes.mean(axis=0)).tolist(),
    }


def readings(hidden: bool) -> list[tuple[str, str]]:
    """What to measure beside the noise prediction's `centred_relative`; hidden taps need experts of one base."""
    wanted = [("noise_pred", "guidance"), ("noise_pred", "centred_layout")]
    return wanted + [(tap, "centred_relative") for tap in TAPS[:2]] if hidden else wanted
