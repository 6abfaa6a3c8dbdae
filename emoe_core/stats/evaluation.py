"""How well a score separates two groups of prompts. Only ranks count, so any estimators can be compared."""

from collections.abc import Callable, Sequence

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


def bootstrap(
    statistic: Callable[[list[NDArray[np.intp]]], float], sizes: Sequence[int], rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of a statistic under resampling (Efron and Tibshirani 1993, chapter 13).

    scipy's bootstrap takes no statistic that is sometimes undefined (NaN), and it passes values instead of indices, which
    can draw several columns at once.

    Args:
        statistic: gets one array of drawn indices per group, in the order of `sizes`, each drawn with replacement.
    """
    rng = np.random.default_rng(seed)
    values = [statistic([rng.integers(0, size, size) for size in sizes]) for _ in range(rounds)]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)
