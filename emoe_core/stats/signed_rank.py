"""Wilcoxon's signed-rank test, exact with ties as well."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXACT = 50  # differences up to which the exact distribution is used, as in scipy


def signed_rank_p(differences: Floats) -> float:
    """Two-sided p-value of the differences [n] (Wilcoxon 1945). Differences of 0 are left out; without any other it is 1.

    p = 2 min(P(W <= w), P(W >= w)), at most 1, where w is the sum of the positive differences' ranks and ties share their
    mean. Up to `EXACT` differences the distribution of W, with each sign equally likely, is built up rank by rank. scipy
    goes through all 2^n signs where there are ties, which takes a second for twelve prompts. Beyond `EXACT` both use the
    normal limit.
    """
    from scipy.stats import rankdata, wilcoxon

    values = differences[differences != 0]
    if len(values) == 0:
        return 1.0
    if len(values) > EXACT:
        return float(wilcoxon(values, zero_method="wilcox", method="asymptotic").pvalue)
    doubled = np.rint(2 * rankdata(np.abs(values))).astype(int)  # a mean rank is a multiple of one half
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled:
        chances[rank:] += chances[: len(chances) - rank].copy()
        chances /= 2
    found = int(doubled[values > 0].sum())
    return float(min(1.0, 2 * min(chances[: found + 1].sum(), chances[found:].sum())))
