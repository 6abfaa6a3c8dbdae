"""Wilcoxon's signed-rank test, exact with ties as well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXACT = 50  # differences up to which the exact distribution is used, as in scipy


def signed_rank_p(differences: Floats) -> float:
    """Two-sided p-value; differences of 0 are left out (Wilcoxon's own way), and 1 is the answer when none is left.

    Up to `EXACT` differences: each rank, ties sharing their mean, has either sign with the same chance; the sums'
    distribution is built up rank by rank. scipy goes through all 2^n signs instead where there are ties, which takes
    a second for twelve prompts; beyond that both use the normal limit.
    """
    from scipy.stats import rankdata, wilcoxon

    values = differences[differences != 0]
    if len(values) == 0:
        return 1.0
    if len(values) > EXACT:
        return float(wilcoxon(values, zero_method="wilcox", method="asymptotic").pvalue)
    doubled = np.rint(2 * rankdata(np.abs(values))).astype(int)  # mean ranks are whole or half
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled:
        chances[rank:] += chances[: len(chances) - rank].copy()
        chances /= 2
    found = int(doubled[values > 0].sum())
    return float(min(1.0, 2 * min(chances[: found + 1].sum(), chances[found:].sum())))
