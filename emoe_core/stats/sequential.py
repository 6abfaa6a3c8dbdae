"""AUROC while labels still come in: an interval that may be looked at after every label, and be acted on.

A usual 95 % interval holds for one look, planned beforehand. Whoever looks again and again, and stops when it pleases, is
wrong far more often. The intervals here are a confidence sequence: with a chance of about 95 % they hold the true value at
all looks together. (Asymptotically: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy and A. Ramdas, "Time-uniform central
limit theory and asymptotic confidence sequences", arXiv 2103.06476, theorem 2.2, whose boundary is Robbins' normal mixture:
H. Robbins, Annals of Mathematical Statistics 41, 1970.) What that comes to with few labels was simulated:
`benchmarks/prove.py`, docs/prove.md.

With m bad and n good pictures, A = P(bad scores higher) + P(equal) / 2. A value theta is left out of the interval where

    |A - theta| > b(t) sqrt(r V(theta)),    b(t)^2 = (1 + 1 / (t c)) (ln(t c + 1) + 2 ln(1 / 0.05))

- b is the boundary at the time t = m n / ((m + n) r). For standard errors of independent labels, t is what the number of labels
  is for a mean. c = 0.8 makes b nearly smallest at 50 to 100 labels of which 30 % are bad.
- V(theta) is the variance that A would have if theta were true (Newcombe's, see `compare`). It does not vanish where bad and
  good are perfectly apart, as the estimated one does.
- r is the estimated variance over V(A): how far from Newcombe's shape the scores are, and how much the pictures of one prompt
  repeat each other. The estimate is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), with the prompts as
  clusters (N. A. Obuchowski, Biometrics 53, 1997): each picture's part in A is summed within its prompt, and the squares are
  summed over prompts. Each picture counts, so a second one of a prompt is not wasted, but two that repeat each other count as
  one. With few labels r is drawn towards what it is if all pictures of a prompt repeat each other (1 with one picture per
  prompt), and it is never below 0.8.

Nothing is said before `LEAST` prompts have a good picture and as many have a bad one: with fewer, the normal limit is too far.
The order of the labels must not depend on the scores; a shuffled order does not.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .compare import newcombe_variance
from .evaluation import Floats

ALPHA = 0.05
#: Prompts with a good picture, and with a bad one, before anything is said.
LEAST = 8
#: Where the boundary is tight.
TUNING = 0.8
#: How many labels' weight the assumed variance has, and the least part of it that is believed.
_WEIGHT, _FLOOR = 5.0, 0.8


@dataclass(frozen=True)
class Placed:
    """A score's AUROC on labelled pictures, and each prompt's part in it.

    Attributes:
        value: the AUROC A.
        bad, good: numbers of pictures, m and n.
        enough: whether there are `LEAST` prompts of each kind.
        parts: by how much each prompt moves A: the sum over its pictures of (placement - A) / (m or n), [prompts]. The
            placement of a bad picture is the share of good ones below it, of a good one the share of bad ones above it.
        ratio: the variance over Newcombe's, r above.
    """

    value: float
    bad: int
    good: int
    enough: bool
    parts: Floats
    ratio: float

    @property
    def time(self) -> float:
        """t of the boundary."""
        return self.bad * self.good / (self.bad + self.good) / self.ratio

    def excludes(self, theta: float, more: float = 1.0) -> bool:
        """Whether the interval leaves a value out; with `more`, as if there were so many times as many pictures."""
        if not self.enough:
            return False
        variance = self.ratio * newcombe_variance(theta, self.bad, self.good) / more
        return abs(self.value - theta) > boundary(more * self.time) * math.sqrt(max(variance, 0.0))

    def interval(self) -> tuple[float, float]:
        """Lowest and highest value that is not left out."""
        if not self.enough:
            return 0.0, 1.0
        return self._end(0.0), self._end(1.0)

    def _end(self, end: float) -> float:
        inside, out = self.value, abs(end - 1e-12)
        if abs(inside - out) <= 1e-12 or not self.excludes(out):
            return end
        while abs(out - inside) > 1e-9:
            middle = (inside + out) / 2
            inside, out = (inside, middle) if self.excludes(middle) else (middle, out)
        return inside


def place(
    scores: Sequence[float] | Floats, bad: Sequence[bool] | NDArray[np.bool_], prompts: Sequence[Hashable]
) -> Placed:
    """A score's AUROC on pictures: score [n], whether each picture is bad [n], and its prompt [n]."""
    values, is_bad = np.asarray(scores, dtype=np.float64), np.asarray(bad, dtype=bool)
    _, owner = np.unique(np.asarray(prompts), return_inverse=True)
    count = int(owner.max()) + 1 if len(owner) else 0
    above, below = values[is_bad], values[~is_bad]
    m, n = len(above), len(below)
    if not m or not n:
        return Placed(0.5, m, n, False, np.zeros(count), 1.0)
    sizes = np.bincount(owner)
    placements = np.empty(len(values))
    placements[is_bad] = _share_below(below, above)
    placements[~is_bad] = 1 - _share_below(above, below)
    value = float(placements[is_bad].mean())
    parts: Floats = np.bincount(owner, (placements - value) / np.where(is_bad, m, n), count).astype(np.float64)
    enough = min(len(np.unique(owner[is_bad])), len(np.unique(owner[~is_bad]))) >= LEAST
    alike = float((sizes**2).sum() / sizes.sum())  # the ratio if all pictures of a prompt repeat each other
    time = m * n / (m + n)
    assumed = newcombe_variance(min(max(value, 1e-3), 1 - 1e-3), m, n)
    ratio = (_WEIGHT * alike + time * variance_of(parts) / assumed) / (_WEIGHT + time)
    return Placed(value, m, n, enough, parts, max(_FLOOR, ratio))


@dataclass(frozen=True)
class Difference:
    """One score's AUROC minus another's on the same pictures, with an interval that may be looked at any time."""

    value: float
    low: float
    high: float


def difference(one: Placed, other: Placed) -> Difference:
    """Two scores of the same pictures. The variance is that of the prompts' differences of parts, so what both share is out.

    With few labels it is drawn towards the sum of both variances, which it is for scores that have nothing in common.
    """
    value = one.value - other.value
    if not (one.enough and other.enough):
        return Difference(value, -1.0, 1.0)
    apart = variance_of(one.parts) + variance_of(other.parts)
    time = one.bad * one.good / (one.bad + one.good)
    variance = (_WEIGHT * apart + time * variance_of(one.parts - other.parts)) / (_WEIGHT + time)
    half = boundary(min(one.time, other.time)) * math.sqrt(variance)
    return Difference(value, max(-1.0, value - half), min(1.0, value + half))


def boundary(time: float) -> float:
    """How many standard errors wide half of the interval is at a time t: b(t) above."""
    scaled = time * TUNING
    return math.sqrt((1 + 1 / scaled) * (math.log1p(scaled) + 2 * math.log(1 / ALPHA)))


def variance_of(parts: Floats) -> float:
    """Variance of a sum of independent parts with mean 0, [prompts]: the sum of squares, times C / (C - 1)."""
    return float((parts**2).sum() * len(parts) / max(len(parts) - 1, 1))


def pictures_for(placed: Placed, theta: float, most: int = 10_000) -> int | None:
    """How many more pictures it would take to leave `theta` out, if the AUROC stays as it is; None for more than `most`."""
    have = placed.bad + placed.good
    if not placed.bad or not placed.good:
        return None
    settled = Placed(placed.value, placed.bad, placed.good, True, placed.parts, placed.ratio)
    low, high = 0, most
    if not settled.excludes(theta, (have + high) / have):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if settled.excludes(theta, (have + middle) / have) else (middle + 1, high)
    return max(low, missing(placed))


def missing(placed: Placed) -> int:
    """About how many more pictures it takes until `LEAST` of each kind are there, at the present shares."""
    have, fewer = placed.bad + placed.good, min(placed.bad, placed.good)
    return 0 if placed.enough or not fewer else max(0, math.ceil(have * LEAST / fewer) - have)


def _share_below(others: Floats, values: Floats) -> Floats:
    """For each value the share of `others` that is lower, ties counted half."""
    ordered = np.sort(others)
    found: Floats = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (
        2 * len(ordered)
    )
    return found
