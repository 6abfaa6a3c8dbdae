"""Two groups: tests, Cliff's delta, Hodges-Lehmann shift, and Holm's correction for many groups."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .evaluation import Floats, ranks

Z95 = NormalDist().inv_cdf(0.975)
#: Up to this many differences are made and sorted.
FEW = 20_000
EXACT = 50  # differences up to which the exact distribution is used, as in scipy


@dataclass(frozen=True)
class Comparison:
    """How a group differs from others, and how sure that is. Intervals are 95 %.

    Attributes:
        test: the name of the test.
        n, n_against: number of prompts in the group and in the others; if paired, both are the number of pairs.
        delta: Cliff's delta in [-1, 1]: share of pairs where the group is higher, minus share where it is lower.
        shift: Hodges-Lehmann estimate of the difference, in the score's own unit.
        p: two-sided p-value.
    """

    test: str
    n: int
    n_against: int
    delta: float
    delta_low: float
    delta_high: float
    shift: float
    shift_low: float
    shift_high: float
    p: float


def between(group: Floats, others: Floats, *, few: int = FEW) -> Comparison:
    """A group [m] against others [n], not paired, by Mann and Whitney's test (1947).

    Delta is 2 U / (m n) - 1 = P(x > y) - P(x < y) (Cliff 1993), with Newcombe's interval (Statistics in Medicine 25, 2006,
    method 5). The shift is the median of all x - y; its interval inverts the test (Hodges and Lehmann 1963).
    """
    from scipy.stats import mannwhitneyu

    x, y = np.sort(np.asarray(group, dtype=np.float64)), np.sort(np.asarray(others, dtype=np.float64))
    tested = mannwhitneyu(x, y, alternative="two-sided", method="auto")
    theta = float(tested.statistic) / (len(x) * len(y))
    low, high = _newcombe(theta, len(x), len(y))
    half = Z95 * math.sqrt(len(x) * len(y) * (len(x) + len(y) + 1) / 12)

    def at_most(t: float) -> int:  # how many differences x_i - y_j are <= t
        return int(np.searchsorted(x, y + t, side="right").sum())

    made = np.subtract.outer(x, y).ravel() if len(x) * len(y) <= few else None
    shift, shift_low, shift_high = _centre(at_most, len(x) * len(y), half, x[0] - y[-1], x[-1] - y[0], made)
    delta = 2 * theta - 1
    return Comparison(
        "Mann-Whitney", len(x), len(y), delta, 2 * low - 1, 2 * high - 1, shift, shift_low, shift_high, _p(tested)
    )


def paired(differences: Floats, tested: Floats | None = None, *, few: int = FEW) -> Comparison:
    """A group against a reference on parallel prompts, by Wilcoxon's signed-rank test (1945).

    Delta is the share of prompts where the group is higher minus the share where it is lower (Wilson's interval, 1927).
    The shift is the median of the Walsh averages (d_i + d_j) / 2, i <= j (Hodges and Lehmann 1963).

    Args:
        differences: group minus reference per prompt, [n].
        tested: the values to test instead of the differences, [n] (see `within_ranks`).
    """
    d = np.sort(np.asarray(differences, dtype=np.float64))
    n = len(d)
    values = d if tested is None else np.asarray(tested, dtype=np.float64)
    p = signed_rank_p(values)
    wins = float((d > 0).sum() + 0.5 * (d == 0).sum())
    low, high = wilson(wins / n, n)
    pairs = n * (n + 1) // 2
    half = Z95 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    own = np.arange(n)

    def at_most(t: float) -> int:  # how many pairs i <= j have (d_i + d_j) / 2 <= t
        upto = np.searchsorted(d, 2 * t - d, side="right")
        return int(np.maximum(upto - own, 0).sum())

    made = (np.add.outer(d, d) / 2)[np.triu_indices(n)] if pairs <= few else None
    shift, shift_low, shift_high = _centre(at_most, pairs, half, d[0], d[-1], made)
    name = "Wilcoxon signed-rank" if tested is None else "Wilcoxon signed-rank on ranks within each prompt"
    delta = 2 * wins / n - 1
    return Comparison(name, n, n, delta, 2 * low - 1, 2 * high - 1, shift, shift_low, shift_high, p)


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


def within_ranks(table: Floats, column: int) -> Floats:
    """Per prompt (row) the group's rank among all groups: (#lower - #higher) / #others, in [-1, 1] with mean 0, [rows].

    Ours: a difference from the mean or median of several others is skewed even where nothing differs, and the signed-rank
    test would be wrong. NaN cells are left out; a row where the group is missing or alone gives NaN.

    Args:
        table: scores by prompt and group, [rows, groups].
    """
    own = table[:, column : column + 1]
    with np.errstate(invalid="ignore"):
        below = (table < own).sum(axis=1)
        above = (table > own).sum(axis=1)
    others = np.isfinite(table).sum(axis=1) - 1
    alone = (others < 1) | ~np.isfinite(own[:, 0])
    centred: Floats = np.where(alone, np.nan, (below - above) / np.maximum(others, 1))
    return centred


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (1979), in the order given: the running maximum of (n - i) p_(i), i from 0, cut at 1."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, highest = [0.0] * len(p), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = highest
    return adjusted


def ridits(values: Floats) -> Floats:
    """Per value the share of values below it, ties counted half: (rank - 1/2) / n, in (0, 1), [n] (Bross 1958)."""
    found: Floats = (ranks(values) - 0.5) / len(values)
    return found


def _p(tested: object) -> float:
    p = float(tested.pvalue)  # type: ignore[attr-defined]
    return p if math.isfinite(p) else 1.0


def _centre(
    at_most: Callable[[float], int], pairs: int, half: float, low: float, high: float, made: Floats | None
) -> tuple[float, float, float]:
    """Median of `pairs` differences, and the interval that inverts the test (normal limits).

    Args:
        at_most: counts the differences up to a value, so that a very long list of them is never made.
        made: the differences themselves, where there are few.
    """
    below = max(1, math.floor(pairs / 2 - half))
    ordered = None if made is None else np.sort(made)

    def nth(k: int) -> float:
        return _smallest(lambda t: at_most(t) >= k, low, high) if ordered is None else float(ordered[k - 1])

    middle = (nth((pairs + 1) // 2) + nth(pairs // 2 + 1)) / 2
    return middle, nth(below), nth(pairs + 1 - below)


def _smallest(enough: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest t in [low, high] where `enough(t)` holds, to the last digits of a float."""
    low, high = float(low), float(high)
    span = max(abs(low), abs(high), np.finfo(np.float64).tiny)
    low -= 1e-12 * span
    high += 1e-12 * span
    while high - low > 1e-10 * span:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval. scipy's takes whole numbers of wins only, but a tie is half a win."""
    z2 = Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe_variance(theta: float, m: int, n: int) -> float:
    """Variance of U / (m n) where P(X > Y) + P(X = Y) / 2 is theta (Newcombe 2006, method 5)."""
    extra = (m + n) / 2 - 1
    return theta * (1 - theta) * (1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n)


def _newcombe(theta: float, m: int, n: int) -> tuple[float, float]:
    """Newcombe's interval of P(X > Y) + P(X = Y) / 2: the values whose own variance leaves `theta` within 1.96 deviations."""

    def outside(t: float) -> bool:
        return abs(t - theta) > Z95 * math.sqrt(max(newcombe_variance(t, m, n), 0.0))

    def limit(end: float) -> float:
        inside, out = theta, end
        if not outside(end):
            return end
        for _ in range(60):
            middle = (inside + out) / 2
            inside, out = (inside, middle) if outside(middle) else (middle, out)
        return (inside + out) / 2

    # At theta 0 or 1 the variance is 0, so step inside first.
    return limit(1e-12) if theta > 0 else 0.0, limit(1 - 1e-12) if theta < 1 else 1.0
