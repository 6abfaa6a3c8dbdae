"""Learn then Test: a threshold that lets few bad prompts pass, with a stated confidence.

The goal is the highest threshold whose selective risk r(t) = P(bad | score <= t) is at most alpha, and that is wrong for at
most a share delta of all calibrations. Angelopoulos, Bates, Candes, Jordan and Lei, arXiv 2110.01052, turn this into
tests: each threshold is a null hypothesis "r(t) > alpha" with a p-value, and family-wise error control over the
thresholds gives the guarantee.

The p-value is exact: with m prompts below t, k of them bad, p = P(Binomial(m, alpha) <= k), because given m each of them is
bad with probability r(t), independently of the others.

The sequence: thresholds lie just below the (m + 1)-th lowest score, in the order m = m1, m1 + 1, ..., n, and testing stops
at the first p > delta. Every test gets all of delta, because in a fixed sequence only the first true null can be rejected
wrongly. m1 is fixed before the labels are seen: a quarter of the prompts, but not fewer than a perfect record needs to
reach delta. (Nothing can be certified below that; starting right there lets one bad prompt among the first few end the
search. Simulations compared starts at the smallest m and at 1/4, 1/2 and 7/10 of n, and 2 to 10 starts that share delta,
with n from 100 to 500, bad shares from 5 to 30 % and weak and good scores. A quarter passed the most prompts or close to it.)

Why it holds although the thresholds come from the same scores (scores without ties, r continuous, nothing assumed of its
shape): let t1 be the first threshold. If r(t1) > alpha, the m1 prompts below it are a sample of that risk, so its own test
fails to reject with probability at least 1 - delta. Else let (b, c) be the stretch of thresholds with r <= alpha that t1
lies in, N(c) the number of prompts up to c. Certifying anything beyond c takes a rejection at m = N(c). Since r(b) = r(c) =
alpha, the prompts up to b and those between b and c are both bad with probability alpha, so their number of bad ones is
Binomial(N(c), alpha) given both counts, and p <= delta has probability at most delta. The cases exclude each other.

The argument covers every threshold from t1 to the last certified one. That includes a threshold between two different scores
where equal scores make a step, and the highest reference score in place of infinity. t1 itself is never chosen.

Ties: equal scores pass or stay together, so a threshold is only ever chosen between different scores. Within a tie the bad
prompts are counted first, which is the hardest order. Whatever passes in that order would pass in a random order, in which
the scores are as good as continuous and the argument holds.
"""

import math
from collections.abc import Sequence


def fewest(alpha: float, delta: float) -> int:
    """How many prompts without a bad one it takes to reject r > alpha at level delta: (1 - alpha)^m <= delta.

    A calibration needs one prompt more, because the first threshold of the sequence is not chosen.
    """
    return math.ceil(math.log(delta) / math.log1p(-alpha) - 1e-9)


def first_tested(count: int, alpha: float, delta: float) -> int:
    """The m at which the sequence of `count` prompts starts."""
    return max(fewest(alpha, delta), math.ceil(count / 4))


def highest_certified(scores: Sequence[float], bad: Sequence[bool], alpha: float, delta: float) -> float | None:
    """The highest score that passes with at most alpha bad among the passed, or None where nothing can be certified.

    It never exceeds the highest reference score: nothing is known about higher scores.
    """
    from scipy.special import bdtr  # here, so that the command line starts without it

    pairs = sorted(zip(scores, bad, strict=True), key=lambda pair: (pair[0], not pair[1]))
    start = first_tested(len(pairs), alpha, delta)
    seen_bad = 0
    best: float | None = None
    for m, (score, is_bad) in enumerate(pairs, start=1):
        seen_bad += is_bad
        if m < start:
            continue
        if bdtr(seen_bad, m, alpha) > delta:
            break
        if m == start:
            continue
        if m == len(pairs):
            best = score
        elif pairs[m][0] > score:
            best = math.nextafter(pairs[m][0], -math.inf)
    return best
