"""How well a score decides which prompts to pass: curves over every threshold, and their areas.

Prompts pass in the order of their scores, the most certain first. Given n prompts, where e_i in {0, 1} says whether the i-th
is bad, coverage k / n is the share that passes, and

* selective risk R(k) = (1 / k) sum_{i<=k} e_i, the share of bad among the passed. AURC = (1 / n) sum_k R(k): Geifman, Uziel
  and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019, section 2.
* accuracy 1 - R(k) by rejected share: the accuracy-rejection curve of Nadeem, Zucker and Hanczar, MLSB 2009. AUARC = 1 - AURC.
* generalised risk G(k) = (1 / n) sum_{i<=k} e_i, the share of all prompts that is bad and passes. AUGRC is its area over
  coverage, straight lines from G(0) = 0: Traub et al., "Overcoming Common Flaws in the Evaluation of Selective
  Classification Systems", arXiv 2407.01032, section 3. With A the AUROC of bad against good and q the share of good ones,
  AUGRC = (1 - A) q (1 - q) + (1 - q)^2 / 2 (equation 6 there).

Equal scores count as their average over all orders: each prompt of a tie carries the tie's share of bad ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import EMoEError
from ..stats.evaluation import Floats


@dataclass(frozen=True)
class Curve:
    """Decisions over every threshold, for k = 1 ... n passed prompts; arrays of shape [n].

    Attributes:
        coverage: share of prompts that pass.
        risk: share of bad among them.
        joint: share of all prompts that are bad and pass.
        kept: share of the good prompts that pass.
    """

    coverage: Floats
    risk: Floats
    joint: Floats
    kept: Floats

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve: lower is better."""
        return float(self.risk.mean())

    @property
    def auarc(self) -> float:
        """Area under the accuracy-rejection curve: higher is better."""
        return 1.0 - self.aurc

    @property
    def augrc(self) -> float:
        """Area under the generalised risk curve: lower is better."""
        before = np.concatenate([[0.0], self.joint[:-1]])
        return float(((before + self.joint) / 2).mean())

    def risk_at(self, coverage: Floats) -> Floats:
        """The risk at other coverages, interpolated linearly between the prompts."""
        return np.asarray(np.interp(coverage, self.coverage, self.risk), dtype=np.float64)

    def joint_at(self, coverage: Floats) -> Floats:
        """The joint risk at other coverages, interpolated linearly between the prompts and from 0."""
        places, risks = np.concatenate([[0.0], self.coverage]), np.concatenate([[0.0], self.joint])
        return np.asarray(np.interp(coverage, places, risks), dtype=np.float64)


def _curve(errors: Floats) -> Curve:
    """The curve of errors in passing order, shape [n]; within a tie an error is the tie's mean."""
    count = len(errors)
    passed = np.arange(1, count + 1, dtype=np.float64)
    bad = np.cumsum(errors)
    good = count - bad[-1]
    kept = (passed - bad) / good if good > 0 else np.full(count, np.nan)
    return Curve(passed / count, bad / passed, bad / count, kept)


def by_score(scores: Floats, bad: NDArray[np.bool_]) -> Curve:
    """Prompts pass in the order of the scores.

    Raises:
        EMoEError: no prompts, or not one mark per score.
    """
    if len(scores) == 0 or len(scores) != len(bad):
        raise EMoEError("A curve of decisions needs prompts, and a mark good or bad for each.")
    order = np.argsort(scores, kind="stable")
    _, tie, sizes = np.unique(scores[order], return_inverse=True, return_counts=True)
    return _curve((np.bincount(tie, weights=bad[order]) / sizes)[tie])


def at_random(bad: NDArray[np.bool_]) -> Curve:
    """Prompts pass in random order, on average: the risk is the same everywhere."""
    return _curve(np.full(len(bad), bad.mean()))


def by_oracle(bad: NDArray[np.bool_]) -> Curve:
    """All good prompts pass before the first bad one: no score can beat this."""
    return _curve(np.sort(bad).astype(np.float64))
