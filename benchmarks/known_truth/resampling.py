"""Intervals of a statistic that is sometimes undefined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


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
