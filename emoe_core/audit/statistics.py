"""Statistics of an audit: how groups differ, how sure that is, and whether length or wording explains it.

Only ranks are used, so nothing is assumed about the shape of the scores. Tests are scipy's. What scipy lacks
(Hodges-Lehmann intervals for any size, Newcombe's interval, Holm) is checked against statsmodels and by brute force.
"""

from collections.abc import Mapping

import numpy as np

from ..stats.compare import Z95, ridits
from ..stats.evaluation import Floats, spearman
from .result import NOTES, Adjusted, Distribution

BINS = 40
FEWEST = 10
#: When the controls explain this share of the group's indicator, they alone identify the group.
INSEPARABLE = 0.95
#: A control that alone explains this share is a mark of the group: holding it equal would remove the group itself.
MARK = 0.5


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


def adjusted_delta(group: Floats, others: Floats, controls: Mapping[str, tuple[Floats, Floats]]) -> Adjusted:
    """The adjusted delta with its 95 % interval: Cliff's delta with other properties of the text held equal.

    The pooled scores become ridits (ranks in (0, 1)) and are regressed on the group and the controls. Without controls the
    group's coefficient is exactly half of Cliff's delta; with controls it is what remains of it. Standard errors are HC3
    (MacKinnon and White 1985), which are valid for unequal variances. This is a linear correction, not a proof of a cause.

    Args:
        controls: by name the property for the group's prompts and for the others', NaN where it is unknown; a control
            that is unknown for any prompt, does not vary, or alone tells the two sides apart (`MARK`) is left out.
    """
    kept = {
        name: np.concatenate(pair)
        for name, pair in controls.items()
        if all(np.isfinite(side).all() for side in pair) and np.ptp(np.concatenate(pair)) > 0
    }
    indicator = np.r_[np.ones(len(group)), np.zeros(len(others))]
    marks = [name for name, values in kept.items() if _explained(indicator, [np.ones_like(indicator), values]) > MARK]
    kept = {name: values for name, values in kept.items() if name not in marks}
    said = f"not held equal, as the group is told by it: {', '.join(marks)}" if marks else ""
    overlap = _overlap([np.split(values, [len(group)]) for values in kept.values()], len(group))
    names = tuple(kept)

    def without(why: str, note: str = "") -> Adjusted:
        return Adjusted(None, None, None, names, overlap, note or NOTES[why], tuple(marks), why)

    if not kept:
        return without("", said) if said else without("constant")
    if min(len(group), len(others)) < FEWEST + len(kept):
        return without("few")
    columns = [np.ones_like(indicator)]
    for values in kept.values():
        candidate = ridits(values) if len(np.unique(values)) > 2 else values
        candidate = candidate - candidate.mean()
        if _explained(candidate, columns) < 1 - 1e-9:
            columns.append(candidate)
    if _explained(indicator, columns) > INSEPARABLE:
        return without("together")
    coefficient, error = _ols(ridits(np.concatenate([group, others])), indicator, columns)
    delta = 2 * coefficient
    return Adjusted(delta, delta - 2 * Z95 * error, delta + 2 * Z95 * error, names, overlap, said, tuple(marks))


def _explained(target: Floats, columns: list[Floats]) -> float:
    """R squared of a regression on the columns, the first of which is the constant."""
    x = np.column_stack(columns)
    fitted = x @ np.linalg.lstsq(x, target, rcond=None)[0]
    total = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - fitted) ** 2).sum()) / total if total > 0 else 1.0


def _ols(y: Floats, indicator: Floats, columns: list[Floats]) -> tuple[float, float]:
    """The indicator's coefficient and its HC3 standard error."""
    x = np.column_stack([indicator, *columns])
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    scaled = (y - x @ beta) / np.maximum(1 - leverage, 1e-9)
    spread = inverse @ (x.T * scaled**2) @ x @ inverse
    return float(beta[0]), float(np.sqrt(spread[0, 0]))


def _overlap(pairs: list[list[Floats]], n: int) -> float:
    within = np.ones(n, dtype=bool)
    for mine, theirs in pairs:
        within &= (mine >= theirs.min()) & (mine <= theirs.max())
    return float(within.mean()) if n else 0.0
