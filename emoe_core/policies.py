"""Policies: from a calibration and a rate to the threshold that keeps it.

Every guarantee is for prompts exchangeable with the calibration's: drawn from the same hat, in any order.
To add a policy, write its function and one line in `POLICIES`.

Sources: split conformal p-values, Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005),
proposition 2.8; conformal risk control, Angelopoulos, Bates, Fisch, Lei and Schuster, arXiv 2208.02814, theorem 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .calibration import Calibration
from .errors import EMoEError


@dataclass(frozen=True)
class Policy:
    """One way to choose a threshold.

    Attributes:
        summary: one clause for tooltips.
        threshold: `(calibration, alpha) -> highest score that passes`; None where the user gives the number.
        alpha_is: what alpha is the share of, for messages.
    """

    name: str
    summary: str
    threshold: Callable[[Calibration, float], float] | None
    alpha_is: str = ""


def false_block_rate(calibration: Calibration, alpha: float) -> float:
    """Highest score that passes when at most the share alpha of good prompts may be blocked: P(block | good) <= alpha."""
    return _conformal(calibration.good_scores, alpha, calibration.name, "good prompts")


def block_share(calibration: Calibration, alpha: float) -> float:
    """Highest score that passes when at most the share alpha of all prompts, good and bad, may be blocked."""
    return _conformal(calibration.scores, alpha, calibration.name, "prompts")


def bad_pass_rate(calibration: Calibration, alpha: float) -> float:
    """Highest score that passes when P(prompt is bad and passes) <= alpha: conformal risk control.

    The loss 1{bad and score <= t} does not fall as t rises and is at most 1, so the largest t with
    (n R(t) + 1) / (n + 1) <= alpha keeps the bound. Never beyond the highest reference score, of which nothing is known.

    Raises:
        EMoEError: no prompt is marked as bad, alpha is no share, or there are too few prompts for it.
    """
    _check_share(alpha)
    bad = sorted(score for score, is_bad in zip(calibration.scores, calibration.bad, strict=False) if is_bad)
    if not bad:
        raise EMoEError(
            f"The calibration '{calibration.name}' has no prompt marked as bad, so the policy bad_pass_rate has nothing to "
            "learn from: mark the prompts that come out wrong with ! in Calibrate, or choose false_block_rate."
        )
    count = len(calibration.scores)
    allowed = math.floor(alpha * (count + 1) + 1e-9) - 1
    if allowed < 0:
        raise _too_few(calibration.name, count, alpha, "prompts")
    highest = max(calibration.scores)
    return highest if allowed >= len(bad) else math.nextafter(bad[allowed], -math.inf)


def _conformal(scores: tuple[float, ...], alpha: float, name: str, what: str) -> float:
    """The score above which the conformal p-value against `scores` is at most alpha."""
    _check_share(alpha)
    # p <= alpha iff at most `allowed` scores reach s; the small term forgives 0.1 * 10 = 0.999...
    allowed = math.floor(alpha * (len(scores) + 1) + 1e-9) - 1
    if allowed < 0:
        raise _too_few(name, len(scores), alpha, what)
    # At most `allowed` scores may reach s: s must be above the (allowed + 1)-th highest.
    return sorted(scores, reverse=True)[allowed]


def _check_share(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise EMoEError(f"alpha is {alpha:g}, but it is a share of prompts: choose a number between 0 and 1.")


def _too_few(name: str, count: int, alpha: float, what: str) -> EMoEError:
    return EMoEError(
        f"The calibration '{name}' has {count} {what}, too few for alpha {alpha:g}: it needs at least "
        f"{math.ceil(1 / alpha - 1e-9) - 1}, or choose alpha {1 / (count + 1):.3g} or more."
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
            "block the most uncertain share alpha of all prompts, good and bad",
            block_share,
            "prompts like the calibration's that are blocked",
        ),
    )
}
