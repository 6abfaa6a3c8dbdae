"""How many independent voices there are among several that partly say the same.

A score is the variance across experts. Were the experts independent and equally far from what they share, the sample variance
of M of them would have M - 1 degrees of freedom. For any others, Welch and Satterthwaite's formula gives the degrees of freedom
as (sum l)^2 / sum l^2, where l are the eigenvalues of the centred covariance of the experts. One more than that is the number
of independent experts whose variance would be as steady: M for M independent ones, 2 for any number of copies of A beside B,
and a merge of A and B adds no direction of its own.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .evaluation import Floats

DRAWS = 400
#: Disagreement below this share of the mean square is what rounding in single precision leaves.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A number and its 95 % interval; no interval where a single unit was seen.

    Attributes:
        units: how many prompts or tensors it was taken from.
    """

    value: float
    low: float | None
    high: float | None
    units: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def effective(grams: Floats, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The effective number of experts, from their inner products in each unit (a prompt, a tensor), [units, M, M].

    Every unit counts by its size, so scale them first. The interval is from resampling the units.
    """
    units, experts = grams.shape[:2]
    if experts < 2 or units == 0:
        return Interval(float(min(experts, 1)), None, None, units)
    centred = _centred(grams)
    value = float(_number(centred.mean(axis=0)))
    if units < 2:
        return Interval(value, None, None, units)
    shares = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=draws) / units
    found = _number(np.einsum("du,uij->dij", shares, centred))
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(value, float(min(low, value)), float(max(high, value)), units)


def _centred(grams: Floats) -> Floats:
    """Inner products of what sets each expert apart from the mean of all."""
    off = grams.mean(axis=1, keepdims=True) + grams.mean(axis=2, keepdims=True) - grams.mean(axis=(1, 2), keepdims=True)
    found: Floats = grams - off
    return found


def _number(centred: Floats) -> Floats:
    """[..., M, M] -> [...]. The sum of squared eigenvalues is that of the squared entries."""
    total = np.trace(centred, axis1=-2, axis2=-1)
    squares = np.square(centred).sum(axis=(-2, -1))
    alive = total > _ROUNDING
    found: Floats = 1 + np.where(alive, total**2 / np.where(alive, squares, 1.0), 0.0)
    return found.clip(max=centred.shape[-1])
