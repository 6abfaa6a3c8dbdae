"""One group alone: quantiles, histogram, block rate."""

import numpy as np
from numpy.typing import NDArray

from ...stats.evaluation import spearman
from ..result import Distribution

Floats = NDArray[np.float64]
BINS = 40


def edges(scores: Floats, bins: int = BINS) -> tuple[float, ...]:
    """Edges of histogram bins over the middle 99 %, stretched to the ends, so that one odd score cannot flatten the rest."""
    if len(scores) == 0:
        return ()
    low, high = (float(q) for q in np.quantile(scores, [0.005, 0.995]))
    if not low < high:
        low, high = float(scores.min()), float(scores.max())
    if not low < high:
        low, high = low - 0.5, high + 0.5
    inner = np.linspace(low, high, bins + 1)
    inner[0], inner[-1] = min(inner[0], scores.min()), max(inner[-1], scores.max())
    return tuple(float(edge) for edge in inner)


def describe(scores: Floats, bins: tuple[float, ...]) -> Distribution:
    """Quantiles (linear interpolation, numpy's default) and counts per bin; `scores` must not be empty."""
    q05, q25, median, q75, q95 = (float(q) for q in np.quantile(scores, [0.05, 0.25, 0.5, 0.75, 0.95]))
    counts = np.histogram(scores, bins)[0].tolist() if len(bins) > 1 else list[int]()
    return Distribution(
        n=len(scores),
        mean=float(scores.mean()),
        minimum=float(scores.min()),
        q05=q05,
        q25=q25,
        median=median,
        q75=q75,
        q95=q95,
        maximum=float(scores.max()),
        histogram=tuple(int(count) for count in counts),
    )


def exact_share(hits: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """A share and its interval (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(level, method="exact")
    return hits / n, float(found.low), float(found.high)


def rank_correlation(x: Floats, y: Floats) -> float | None:
    """Spearman's rho over the pairs where both are known; None with fewer than three, or where one side is constant."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3:
        return None
    rho = spearman(x[known], y[known])
    return rho if np.isfinite(rho) else None
