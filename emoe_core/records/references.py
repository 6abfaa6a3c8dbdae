"""Reference scores: thresholds are learnt from them, and new scores are compared with them."""

from dataclasses import dataclass


def smallest_alpha(count: int) -> float:
    """The smallest alpha that `count` prompts can keep, 1 / (count + 1), rounded up to the Gate's four decimals, because a
    number that is shown must also work when it is typed in."""
    return -(-10_000 // (count + 1)) / 10_000


@dataclass(frozen=True)
class Part:
    """Scores that a new one is compared with: all of a calibration, or those of one group.

    Attributes:
        name: its name in messages.
        scores: one score per reference prompt.
        bad: for each prompt whether the models draw it badly; empty when nobody said.
    """

    name: str
    scores: tuple[float, ...]
    bad: tuple[bool, ...] = ()

    @property
    def good_scores(self) -> tuple[float, ...]:
        """Scores of the prompts that are not marked as bad, with which a new prompt is compared."""
        if not self.bad:
            return self.scores
        return tuple(score for score, is_bad in zip(self.scores, self.bad, strict=True) if not is_bad)

    def p_value(self, score: float) -> float:
        """Conformal p-value against the good prompts, in (0, 1]. Small: less certain than nearly all of them."""
        good = self.good_scores
        return (1 + sum(other >= score for other in good)) / (len(good) + 1)

    def percentile(self, score: float) -> float | None:
        """Share of the good prompts with a lower score, ties counted half, in [0, 100]; None when none is good."""
        good = self.good_scores
        if not good:
            return None
        below = sum(other < score for other in good)
        equal = sum(other == score for other in good)
        return 100.0 * (below + 0.5 * equal) / len(good)
