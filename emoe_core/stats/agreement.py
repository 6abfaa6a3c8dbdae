"""How far two who sort the same pictures into good and bad agree, beyond what chance alone would do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL = 1.959963984540054  # the two-sided 95 % point of the normal distribution


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa with its 95 % interval.

    Attributes:
        value: 1 where both always agree, 0 where they agree as often as chance; NaN where neither ever tells a good one from a
            bad one, since chance then explains everything.
        pictures: how many both have sorted.
    """

    value: float
    low: float
    high: float
    pictures: int


def kappa(first: Sequence[bool], second: Sequence[bool]) -> Agreement:
    """Cohen's kappa (1960) of two equally long lists: (p_o - p_e) / (1 - p_e).

    The interval is kappa plus and minus 1.96 standard errors of Fleiss, Cohen and Everitt (1969, Psychological Bulletin 72,
    323-327), which hold for any true kappa. Where that error is 0, as with a perfect agreement, the interval is that of the
    table with half a picture more in each cell: ten pictures that agree do not prove that all will.

    Raises:
        ValueError: the lists differ in length.
    """
    table = np.zeros((2, 2))
    for one, other in zip(first, second, strict=True):
        table[int(one), int(other)] += 1
    count = len(first)
    value, error = _kappa(table)
    if math.isnan(value):
        return Agreement(math.nan, math.nan, math.nan, count)
    middle = value
    if error == 0:
        middle, error = _kappa(table + 0.5)
    low, high = middle - NORMAL * error, middle + NORMAL * error
    return Agreement(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), count)


def _kappa(table: NDArray[np.float64]) -> tuple[float, float]:
    """Kappa and its standard error; NaN where chance alone agrees always, or there is nothing."""
    total = float(table.sum())
    if total == 0:
        return math.nan, math.nan
    p = table / total
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    chance = float(rows @ columns)
    if chance >= 1:
        return math.nan, math.nan
    value = (float(np.trace(p)) - chance) / (1 - chance)
    same = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - value)) ** 2 for i in range(2))
    apart = sum(p[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in range(2)) * (1 - value) ** 2
    spread = float(same + apart - (value - chance * (1 - value)) ** 2)
    spread = 0.0 if spread < 1e-15 else spread  # what rounding leaves of nothing
    return value, math.sqrt(spread / total) / (1 - chance)
