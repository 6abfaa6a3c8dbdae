"""Whether new scores still look like draws from the distribution of the calibration's scores.

This is a conformal test martingale. The calibration and the ledger form one growing bag of scores, and every ledger score
gets its smoothed rank in the bag so far: p = (#higher + theta #equal) / size, theta uniform. While all scores are
exchangeable, these p are independent and uniform, whatever the distribution (Vovk, Nouretdinov and Gammerman, "Testing
exchangeability on-line", ICML 2003). A capital that bets against uniformity is then a test martingale: by Ville's inequality
it ever reaches L with probability at most 1 / L, however often one looks.

The bets are the Simple Jumper's (Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, "Retrain or not retrain:
conformal test martingales for change-point detection", PMLR 152, 2021, arXiv 2102.10439). It bets on ranks that are too
low or too high. Its capital melts over a long quiet time, so it would see a late change late. Therefore the
share 1 / (k (k + 1)) of the capital waits until row k. A mixture of martingales is a martingale.
"""

import bisect
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ALARM_AT = 100.0
JUMP = 0.01
BETS = (-1.0, 0.0, 1.0)
RECENT = 50


@dataclass(frozen=True)
class Drift:
    """What the new scores say.

    Attributes:
        count: number of new scores.
        evidence: the capital now; 1 at the start.
        highest: its highest value so far.
        alarm: index of the first new score at which it reached `level`; None when it never did.
        level: the capital at which the alarm goes off; its false alarm rate over all time is 1 / level.
        recent_rank: mean rank of the latest `RECENT` scores in the bag, 0 strangest to 1 most ordinary; None without any.
    """

    count: int
    evidence: float
    highest: float
    alarm: int | None
    level: float
    recent_rank: float | None

    @property
    def direction(self) -> str:
        """In which direction the latest scores lean."""
        return "higher" if (self.recent_rank or 0.0) < 0.5 else "lower"


def ranks(reference: Sequence[float], scores: Sequence[float], seed: int = 0) -> Iterator[float]:
    """Smoothed conformal p-values of `scores` [n], each against the reference and all scores before it; n values in [0, 1].

    The same sequence gives the same p-values, and more scores at its end do not change the earlier ones.
    """
    chance, bag = random.Random(seed), sorted(reference)
    for score in scores:
        bisect.insort(bag, score)
        last = bisect.bisect_right(bag, score)
        higher, equal = len(bag) - last, last - bisect.bisect_left(bag, score)
        yield (higher + chance.random() * equal) / len(bag)


def capital(p_values: Sequence[float]) -> Iterator[float]:
    """The martingale's value after each p-value."""
    stakes, asleep = [0.0] * len(BETS), 1.0
    for k, p in enumerate(p_values, start=1):
        woken = 1.0 / (k * (k + 1))
        asleep -= woken
        total = sum(stakes)
        for i, bet in enumerate(BETS):
            stake = (1 - JUMP) * stakes[i] + (JUMP * total + woken) / len(BETS)
            stakes[i] = stake * (1 + bet * (p - 0.5))
        yield max(asleep, 0.0) + sum(stakes)


def drift(reference: Sequence[float], scores: Sequence[float], level: float = ALARM_AT) -> Drift:
    """Test new scores, in the order in which they came, against reference scores.

    Args:
        reference: scores of the calibration.
        scores: new scores; they must not be among the reference ones.
        level: the capital that raises the alarm; false alarms have probability at most 1 / level.
    """
    p_values = list(ranks(reference, scores))
    course = list(capital(p_values))
    recent = p_values[-RECENT:]
    return Drift(
        count=len(course),
        evidence=course[-1] if course else 1.0,
        highest=max(course, default=1.0),
        alarm=next((i for i, value in enumerate(course) if value >= level), None),
        level=level,
        recent_rank=math.fsum(recent) / len(recent) if recent else None,
    )
