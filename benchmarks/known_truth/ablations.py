"""What the score loses with fewer experts, fewer noise samples or a later step."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .columns import PRESETS, Columns
from .figures import Figures
from .prompts import Prompt

#: label -> experts (None: all), noise samples, the scored step of 20.
CASES: dict[str, tuple[int | None, int, int]] = {
    "as shipped": (None, 2, 0),
    "2 experts": (2, 2, 0),
    "3 experts": (3, 2, 0),
    "1 noise sample": (None, 1, 0),
    "4 noise samples": (None, 4, 0),
    "step 5 of 20": (None, 2, 5),
    "step 10 of 20": (None, 2, 10),
}


def figures(core: ModuleType, rows: Sequence[Prompt], measured: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Case -> preset -> mean AUROC over the tasks, and the rank correlation with the case as shipped."""
    found: dict[str, Any] = {}
    for case, columns in measured.items():
        arrays: Columns = {name: np.array(values) for name, values in columns.items()}
        table = Figures(core, rows, arrays, {"top1": np.full(len(rows), np.nan)})
        pairs = table.tasks().values()
        found[case] = {
            preset: {
                "mean_auroc": float(
                    np.mean([core.stats.evaluation.auroc(arrays[name][a], arrays[name][b]) for a, b in pairs])
                ),
                "rank_correlation": core.stats.evaluation.spearman(arrays[name], measured["as shipped"][name]),
            }
            for preset, name in PRESETS.items()
        }
    return found
