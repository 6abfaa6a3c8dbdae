"""How well a score separates two groups of prompts. Only ranks count, so any estimators can be compared."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import EMoEError

Floats = NDArray[np.float64]


def ranks(values: Sequence[float] | Floats) -> Floats:
    """Ranks from 1, ties sharing their mean rank, shape [n]."""
    from scipy.stats import rankdata  # here, so that loading the pack does not wait for scipy

    found: Floats = rankdata(np.asarray(values, dtype=np.float64))
    return found


def auroc(known: Sequence[float] | Floats, unknown: Sequence[float] | Floats) -> float:
    """P(unknown > known), ties counted half: U / (m n), from [m] and [n] (Hanley and McNeil 1982). 0.5 is chance.

    Raises:
        EMoEError: one of the groups is empty.
    """
    if len(known) == 0 or len(unknown) == 0:
        raise EMoEError("AUROC compares two groups of prompts, and one of them is empty.")
    both = ranks(np.concatenate([np.asarray(known, dtype=np.float64), np.asarray(unknown, dtype=np.float64)]))
    above = both[len(known) :].sum() - len(unknown) * (len(unknown) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def spearman(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Spearman's rho, the correlation of the ranks of x [n] and y [n], in [-1, 1]; NaN where one side is constant."""
    a, b = ranks(x), ranks(y)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def partial_spearman(x: Sequence[float] | Floats, y: Sequence[float] | Floats, held: Sequence[float] | Floats) -> float:
    """Spearman's rho of x [n] and y [n] with `held` [n] held constant, in [-1, 1].

    (r_xy - r_xh r_yh) / sqrt((1 - r_xh^2) (1 - r_yh^2)), the partial correlation of ranks (Kendall 1942). It is rho itself
    where `held` is constant, and NaN where x or y is constant or `held` says all of one of them.
    """
    plain, a, b = spearman(x, y), spearman(x, held), spearman(y, held)
    if np.isnan(a) or np.isnan(b):
        return plain
    left = (1 - a * a) * (1 - b * b)
    return float((plain - a * b) / np.sqrt(left)) if left > 1e-12 else float("nan")
