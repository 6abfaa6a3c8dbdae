"""Policies: from a calibration and a rate to the threshold that keeps it.

Every guarantee is for prompts exchangeable with the calibration's: drawn from one distribution, in any order.
To add a policy, write its function and one line in `POLICIES`.

Sources: split conformal p-values, Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005),
proposition 2.8; conformal risk control, Angelopoulos, Bates, Fisch, Lei and Schuster, arXiv 2208.02814, theorem 1;
Learn then Test, see `learn_then_test`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import EMoEError
from ..records.calibration import Part, smallest_alpha
from ..stats.learn_then_test import fewest, first_tested, highest_certified

DELTA = 0.1
#: The rate that a policy keeps unless a user says otherwise.
ALPHA = 0.05


class TooFewPrompts(EMoEError):
    """There are too few reference prompts for the rate, whatever their scores; `have` says how many."""

    def __init__(self, message: str, have: str) -> None:
        super().__init__(message)
        self.have = have


@dataclass(frozen=True)
class Policy:
    """One way to choose a threshold.

    Attributes:
        summary: one clause for tooltips.
        threshold: `(references, alpha, delta) -> highest score that passes`; None where the user gives the number.
        alpha_is: what alpha is the share of, for messages.
        uses_delta: whether the guarantee has a confidence 1 - delta.
    """

    name: str
    summary: str
    threshold: Callable[[Part, float, float], float] | None
    alpha_is: str = ""
    uses_delta: bool = False


def false_block_rate(references: Part, alpha: float, delta: float = DELTA) -> float:
    """Highest score that passes when at most a share alpha of good prompts may be blocked: P(block | good) <= alpha."""
    return _conformal(references.good_scores, alpha, references.name, "good prompts")


def block_share(references: Part, alpha: float, delta: float = DELTA) -> float:
    """Highest score that passes when at most a share alpha of all prompts, good and bad, may be blocked.

    In other words, the most certain share 1 - alpha of prompts is kept.
    """
    return _conformal(references.scores, alpha, references.name, "prompts")


def bad_pass_rate(references: Part, alpha: float, delta: float = DELTA) -> float:
    """Highest score that passes when P(prompt is bad and passes) <= alpha: conformal risk control.

    The loss 1{bad and score <= t} does not fall as t rises and is at most 1, so the largest t with
    (n R(t) + 1) / (n + 1) <= alpha keeps the bound. It never exceeds the highest reference score: nothing is known beyond.

    Raises:
        EMoEError: no prompt is marked as bad, or alpha is no share.
        TooFewPrompts: there are too few prompts for alpha.
    """
    _check_share("alpha", alpha)
    _check_marks(references, "bad_pass_rate")
    bad = sorted(score for score, is_bad in zip(references.scores, references.bad, strict=True) if is_bad)
    count = len(references.scores)
    allowed = math.floor(alpha * (count + 1) + 1e-9) - 1
    if allowed < 0:
        raise _too_few(references.name, count, alpha, "prompts")
    highest = max(references.scores)
    return highest if allowed >= len(bad) else math.nextafter(bad[allowed], -math.inf)


def bad_among_passed(references: Part, alpha: float, delta: float = DELTA) -> float:
    """Highest score that passes when P(bad | passes) <= alpha, with confidence 1 - delta over calibrations: Learn then Test.

    Raises:
        EMoEError: no prompt is marked as bad, alpha or delta is no share, or no threshold can be certified.
        TooFewPrompts: even without a bad prompt nothing could be certified.
    """
    _check_share("alpha", alpha)
    _check_share("delta", delta)
    _check_marks(references, "bad_among_passed")
    count, needed = len(references.scores), fewest(alpha, delta) + 1
    if count < needed:
        raise TooFewPrompts(
            f"The calibration '{references.name}' has {count} prompts, too few to say with confidence {1 - delta:g} that at "
            f"most {alpha:g} of those that pass are bad: it needs at least {needed}, or a larger alpha or delta.",
            f"{count} prompts",
        )
    found = highest_certified(references.scores, references.bad, alpha, delta)
    if found is None:
        start = first_tested(count, alpha, delta)
        bad = sum(b for _, b in sorted(zip(references.scores, references.bad, strict=True))[:start])
        raise EMoEError(
            f"No threshold of the calibration '{references.name}' keeps the bad among the passed at most {alpha:g} with "
            f"confidence {1 - delta:g} (of its {start} most certain prompts {bad} are bad); add more marked prompts, or choose "
            "a larger alpha or delta."
        )
    return found


def _conformal(scores: tuple[float, ...], alpha: float, name: str, what: str) -> float:
    """The score above which the conformal p-value against `scores` is at most alpha."""
    _check_share("alpha", alpha)
    # p <= alpha iff at most `allowed` scores reach s; the small term forgives 0.1 * 10 = 0.999...
    allowed = math.floor(alpha * (len(scores) + 1) + 1e-9) - 1
    if allowed < 0:
        raise _too_few(name, len(scores), alpha, what)
    # At most `allowed` scores may reach s, so s must be above the (allowed + 1)-th highest. All of them may reach s only if
    # alpha is 1 up to the small term; even then the lowest passes.
    return sorted(scores, reverse=True)[min(allowed, len(scores) - 1)]


def _check_share(what: str, value: float) -> None:
    if not 0 < value < 1:
        raise EMoEError(f"{what} is {value:g}, but it is a share: choose a number between 0 and 1.")


def _check_marks(references: Part, policy: str) -> None:
    if not references.bad:
        raise EMoEError(
            f"The calibration '{references.name}' has no prompt marked as bad, so the policy {policy} has nothing to "
            "learn from: mark the prompts that come out wrong with ! in Calibrate Gate, or choose false_block_rate."
        )


def _too_few(name: str, count: int, alpha: float, what: str) -> TooFewPrompts:
    return TooFewPrompts(
        f"The calibration '{name}' has {count} {what}, too few for alpha {alpha:g}: it needs at least "
        f"{math.ceil(1 / alpha - 1e-9) - 1}, or choose alpha {smallest_alpha(count):g} or more.",
        f"{count} {what}",
    )


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "false_block_rate",
            "block at most the share alpha of good prompts",
            false_block_rate,
            "good prompts like the calibration's that are blocked",
        ),
        Policy("raw_threshold", "block every score above the number you give", None),
        Policy(
            "bad_pass_rate",
            "let through at most the share alpha that is bad; needs prompts marked as bad in the calibration",
            bad_pass_rate,
            "prompts like the calibration's that are bad and pass",
        ),
        Policy(
            "block_share",
            "keep the most certain share 1 - alpha of all prompts, good and bad, and block the rest (alpha 0.2 keeps the best "
            "80 percent)",
            block_share,
            "prompts like the calibration's that are blocked",
        ),
        Policy(
            "bad_among_passed",
            "of the prompts that pass, at most the share alpha is bad, with confidence 1 - delta; needs prompts marked as bad",
            bad_among_passed,
            "passed prompts like the calibration's that are bad",
            uses_delta=True,
        ),
    )
}
