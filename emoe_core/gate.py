"""The gate: from a report to a decision whose error rate is known."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .calibration import Calibration, matching
from .errors import EMoEError, SettingsMismatch
from .policies import POLICIES, Policy
from .report import Report

VERDICT_SCHEMA = 1
PASS, BLOCK = "pass", "block"
DECIDE, OBSERVE = "decide", "observe"


@dataclass(frozen=True)
class ItemVerdict:
    """The decision on one batch item; `p_value` and `percentile` are None without a calibration."""

    verdict: str
    score: float
    p_value: float | None
    percentile: float | None


@dataclass(frozen=True)
class Verdict:
    """The decision on a prompt. A batch passes only when every item passes, since its items cannot be split."""

    verdict: str
    passed: bool
    mode: str
    policy: str
    reason: str
    score: float
    threshold: float
    alpha: float | None
    p_value: float | None
    percentile: float | None
    items: tuple[ItemVerdict, ...]
    report: Report

    def line(self) -> str:
        """One line for a person: the verdict, why, and the prompt."""
        head = f"{self.verdict}: {self.reason}"
        if self.mode == OBSERVE:
            head = f"observed {head}"
        return f'{head} — "{self.report.prompt}"' if self.report.prompt else head

    def as_dict(self) -> dict[str, Any]:
        """What history and file get, ready for JSON."""
        return {
            "schema": VERDICT_SCHEMA,
            "verdict": self.verdict,
            "passed": self.passed,
            "mode": self.mode,
            "policy": self.policy,
            "reason": self.reason,
            "score": self.score,
            "threshold": self.threshold,
            "alpha": self.alpha,
            "p_value": self.p_value,
            "percentile": self.percentile,
            "prompt": self.report.prompt,
            "fingerprint": self.report.settings.fingerprint(),
            "warnings": list(self.report.warnings),
            "items": [asdict(item) for item in self.items],
        }


def decide(
    report: Report,
    policy: str,
    *,
    alpha: float = 0.05,
    threshold: float = 0.0,
    mode: str = DECIDE,
    calibrations: tuple[Calibration, ...] | None = None,
) -> Verdict:
    """Decide on a report.

    Args:
        policy: a key of `POLICIES`.
        alpha: the rate that the policy keeps (see `policies`).
        threshold: with raw_threshold, the highest score that passes.
        mode: 'decide', or 'observe' to record the verdict and let everything pass.
        calibrations: candidates; the report's own ones when None.

    Raises:
        EMoEError: unknown policy or mode, alpha outside (0, 1) or too small for the calibration, a threshold or a score
            that is not finite.
        SettingsMismatch: no calibration fits a policy that needs one.
    """
    if mode not in (DECIDE, OBSERVE):
        raise EMoEError(f"There is no gate mode '{mode}'; choose {DECIDE} or {OBSERVE}.")
    if not all(math.isfinite(item.score) for item in report.items):
        raise EMoEError("The report holds a score that is not a finite number; score the prompt again.")
    candidates = report.calibrations if calibrations is None else calibrations
    if policy not in POLICIES:
        raise EMoEError(f"There is no gate policy '{policy}'; the known ones are {', '.join(POLICIES)}.")
    chosen = POLICIES[policy]
    calibration: Calibration | None
    if chosen.threshold is not None:
        calibration = matching(report, candidates)
        limit = chosen.threshold(calibration, alpha)
    elif math.isfinite(threshold):
        limit, calibration = threshold, _matching_or_none(report, candidates)
    else:
        raise EMoEError(f"The Gate's threshold is {threshold}; give a finite number.")

    items = tuple(_judge(item.score, limit, calibration) for item in report.items)
    worst = max(items, key=lambda item: item.score)
    return Verdict(
        verdict=worst.verdict,
        passed=mode == OBSERVE or worst.verdict == PASS,
        mode=mode,
        policy=policy,
        reason=_reason(worst, chosen, alpha, limit),
        score=worst.score,
        threshold=limit,
        alpha=None if chosen.threshold is None else alpha,
        p_value=worst.p_value,
        percentile=worst.percentile,
        items=items,
        report=report,
    )


def _matching_or_none(report: Report, calibrations: tuple[Calibration, ...]) -> Calibration | None:
    try:
        return matching(report, calibrations)
    except SettingsMismatch:
        return None


def _judge(score: float, limit: float, calibration: Calibration | None) -> ItemVerdict:
    verdict = BLOCK if score > limit else PASS
    if calibration is None:
        return ItemVerdict(verdict, score, None, None)
    return ItemVerdict(verdict, score, calibration.p_value(score), calibration.percentile(score))


def _reason(worst: ItemVerdict, policy: Policy, alpha: float, limit: float) -> str:
    side = "above" if worst.verdict == BLOCK else "at or below"
    scores = f"score {worst.score:.4g} is {side} the threshold {limit:.4g}"
    if policy.name == "false_block_rate" and worst.p_value is not None:
        compare = "at most" if worst.verdict == BLOCK else "more than"
        return f"p = {worst.p_value:.3g} is {compare} alpha {alpha:g} ({scores})"
    if policy.threshold is not None:
        return f"{scores} for at most {alpha:g} of {policy.alpha_is}"
    return scores
