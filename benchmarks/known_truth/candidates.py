"""Estimators that might be better than the pack's: made from measured columns, chosen only on some splits.

Every candidate is computed from numbers that one thorough pass gives anyway, so none costs more than that pass:

- how much the size of the response counts beside the disagreement, `log variance - k log size`;
- the size of what the experts agree on, 1 over the squared norm of their mean guidance: small where one of them is small
  and where they point in different directions;
- means of several scores, each in units of its spread over known prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .columns import PRESETS, SINGLE, Columns
from .figures import Figures

CHOOSE_ON = (0,)
"""Splits on which the choice is made; the figures are reported on the others."""

POWERS = (0.5, 1.5, 2.0, 3.0)
MEANS = {
    "fast + thorough": ("mid_out.relative", "noise_pred.centred_relative"),
    "fast + guidance": ("mid_out.relative", "guidance"),
    "thorough + guidance": ("noise_pred.centred_relative", "guidance"),
    "thorough + mean guidance": ("noise_pred.centred_relative", "guidance_mean"),
    "thorough + middle, centred": ("noise_pred.centred_relative", "mid_out.centred_relative"),
    "fast + thorough + guidance": ("mid_out.relative", "noise_pred.centred_relative", "guidance"),
    "layout + fast": ("noise_pred.centred_layout", "mid_out.relative"),
    "layout + guidance": ("noise_pred.centred_layout", "guidance"),
    "every tap, centred": ("mid_in.centred_relative", "mid_out.centred_relative", "noise_pred.centred_relative"),
}


def add(columns: Columns, known: Any, experts: int) -> Columns:
    """The candidates and the columns they are made from.

    Args:
        known: indices of well-sampled prompts, like a calibration's.
        experts: number of experts in the measurement.
    """
    found: Columns = {}
    for tap, plain in (("noise_pred", "centred"), ("mid_out", "variance"), ("mid_out", "centred")):
        variance, relative = columns.get(f"{tap}.{plain}"), columns.get(f"{tap}.{RELATIVE[plain]}")
        if variance is None or relative is None:
            continue
        size = variance / relative
        for power in POWERS:
            found[f"{tap}.{plain} / size^{power:g}"] = _log(variance) - power * _log(size)
        if plain == "centred":
            found[f"{tap}, agreed size"] = -_log(size - (experts - 1) / experts * variance)
    every = columns | found
    for name, parts in MEANS.items():
        if all(part in every for part in parts):
            found[name] = np.mean([_in_spreads(every[part], known) for part in parts], axis=0)
    return found


RELATIVE = {"centred": "centred_relative", "variance": "relative"}


def _log(values: Any) -> Any:
    return np.log(np.maximum(values, 1e-30))


def _in_spreads(values: Any, known: Any) -> Any:
    logs = _log(values)
    return (logs - logs[known].mean()) / logs[known].std()


def merit(table: Figures) -> dict[str, dict[str, float]]:
    """Column -> task -> AUROC, with failed pictures among the tasks; the choice is made by these."""
    sets = dict(table.tasks()) | {f"failure_{name}": pair for name, pair in table.failed().items()}
    auroc: Callable[..., float] = table.evaluation.auroc
    return {
        name: {task: auroc(column[known], column[unknown]) for task, (known, unknown) in sets.items()}
        for name, column in table.columns.items()
    }


def choose(merits: dict[int, list[dict[str, dict[str, float]]]]) -> dict[str, Any]:
    """The column with the best mean AUROC over tasks and worlds of `CHOOSE_ON`, and every column's means on both sides.

    Args:
        merits: split -> `merit` of each world.
    """
    sides = {
        "chosen_on": [m for split, found in merits.items() if split in CHOOSE_ON for m in found],
        "reported_on": [m for split, found in merits.items() if split not in CHOOSE_ON for m in found],
    }
    if not all(sides.values()):
        return {}
    names = [name for name in sides["chosen_on"][0] if all(name in m for side in sides.values() for m in side)]
    means = {
        side: {name: float(np.mean([list(m[name].values()) for m in found])) for name in names}
        for side, found in sides.items()
    }
    by_task = {
        name: {
            task: _range([m[name][task] for m in sides["reported_on"] if task in m[name]])
            for task in sides["reported_on"][0][name]
        }
        for name in names
    }
    best = max(means["chosen_on"], key=lambda name: means["chosen_on"][name])
    against = max((n for n in SINGLE if n in names), key=lambda name: means["chosen_on"][name])
    return {
        "candidate": best,
        "single_model": against,
        "mean_auroc": means,
        "reported": {name: by_task[name] for name in dict.fromkeys((best, against, *PRESETS.values(), *SINGLE))},
    }


def _range(values: Sequence[float]) -> dict[str, float]:
    """Mean over worlds, lowest and highest."""
    return {"value": float(np.mean(values)), "low": float(min(values)), "high": float(max(values))}
