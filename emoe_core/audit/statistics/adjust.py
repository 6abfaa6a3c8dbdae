"""A group's difference at equal length and wording: Cliff's delta with other properties of the text held equal.

The pooled scores become ridits (ranks in (0, 1)) and are regressed on the group and the controls. Without controls the
group's coefficient is exactly half of Cliff's delta; with controls it is what remains of it. Standard errors are HC3
(MacKinnon and White 1985), which are valid for unequal variances. This is a linear correction, not a proof of a cause.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...stats.compare import Z95, ridits
from ..result import NOTES, Adjusted

Floats = NDArray[np.float64]
FEWEST = 10
#: When the controls explain this share of the group's indicator, they alone identify the group.
INSEPARABLE = 0.95
#: A control that alone explains this share is a mark of the group: holding it equal would remove the group itself.
MARK = 0.5


def adjusted_delta(group: Floats, others: Floats, controls: Mapping[str, tuple[Floats, Floats]]) -> Adjusted:
    """The adjusted delta with its 95 % interval.

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
