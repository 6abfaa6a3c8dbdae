"""The gate: from a report, and the calibration that it may be compared with, to a decision whose error rate is known."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import BRIEF, EMoEError, SettingsMismatch, plain
from ..records.calibration import Calibration, Part
from ..records.proof import Proof
from ..records.report import Report
from .policies import ALPHA, DELTA, POLICIES, Policy, TooFewPrompts


def fitting(report: Report, calibrations: tuple[Calibration, ...]) -> Calibration | None:
    """The calibration that a report's score may be compared with: made under its settings, or proved for its models."""
    for calibration in calibrations:
        if calibration.settings == report.settings:
            return calibration
    for calibration in calibrations:
        proof = report.proof_of(calibration)
        if proof is not None and proof.holds and calibration.settings.question() == report.settings.question():
            return calibration
    return None


def matching(report: Report, calibrations: tuple[Calibration, ...]) -> Calibration:
    """Like `fitting`, for callers that need one.

    Raises:
        SettingsMismatch: there is no calibration, or the nearest one does not hold; the message says why.
    """
    if not calibrations:
        raise SettingsMismatch(
            "This report has no calibration for its experts, so a false-block rate cannot be kept: connect a calibration "
            "made with the same experts and settings, or set the Gate's policy to raw_threshold."
        )
    found = fitting(report, calibrations)
    if found is not None:
        return found
    asked = [one for one in calibrations if one.settings.question() == report.settings.question()]
    nearest = min(asked or calibrations, key=lambda c: len(c.settings.differences(report.settings)))
    listed = "; ".join(nearest.settings.differences(report.settings, question=True))
    proof = report.proof_of(nearest)
    if not asked:
        raise SettingsMismatch(
            f"The score was made under other settings than the calibration '{nearest.name}': {listed}. Connect the "
            "calibration to Uncertainty Score, which then uses its settings, or connect a calibration made with these."
        )
    if proof is None:
        raise SettingsMismatch(
            f"The calibration '{nearest.name}' names other models than the score: {listed}. Connect it to Uncertainty Score's "
            "input calibration too: some of its prompts are scored again there, which tells whether it still holds."
        )
    raise SettingsMismatch(
        f"{proof.line()} Load the models that it was made with, or make it again with Calibrate Gate."
    )


VERDICT_SCHEMA = 1
PASS, BLOCK = "pass", "block"
DECIDE, OBSERVE = "decide", "observe"
#: What a stored verdict begins with.
_NUMBERS = (
    *("verdict", "passed", "mode", "policy", "reason"),
    *("score", "threshold", "alpha", "p_value", "percentile"),
)


@dataclass(frozen=True)
class ItemVerdict:
    """The decision on one batch item; `p_value` and `percentile` are None without a calibration."""

    verdict: str
    score: float
    p_value: float | None
    percentile: float | None


@dataclass(frozen=True)
class Verdict:
    """The decision on a prompt. A batch passes only when every item passes, since it cannot be split.

    Attributes:
        group: the requested group, "" for none.
        group_threshold: whether the threshold is the group's own, instead of that of all reference prompts.
        delta: with bad_among_passed, 1 - the confidence; None for other policies.
        proof: the proof of the deciding calibration, if other digests made it.
        calibration: the one that gave the threshold, or with raw_threshold the p-values; None without one.
    """

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
    group: str = ""
    group_threshold: bool = False
    delta: float | None = None
    proof: Proof | None = None
    calibration: Calibration | None = None

    def line(self) -> str:
        """One line for a person: the verdict, its reason, and the prompt."""
        head = f"{self.verdict}: {self.reason}"
        if self.mode == OBSERVE:
            head = f"observed {head}"
        return f'{head} — "{plain(self.report.prompt, BRIEF)}"' if self.report.prompt else head

    def as_dict(self) -> dict[str, Any]:
        """The verdict for history and files, ready for JSON."""
        return {
            "schema": VERDICT_SCHEMA,
            **{name: getattr(self, name) for name in _NUMBERS},
            "prompt": self.report.prompt,
            "fingerprint": self.report.settings.fingerprint(),
            "warnings": list(self.report.warnings),
            "items": [asdict(item) for item in self.items],
            "group": self.group,
            "group_threshold": self.group_threshold,
            "delta": self.delta,
            "proof": None if self.proof is None else self.proof.as_dict(),
        }


def decide(
    report: Report,
    policy: str,
    *,
    alpha: float = ALPHA,
    threshold: float = 0.0,
    mode: str = DECIDE,
    calibrations: tuple[Calibration, ...] | None = None,
    delta: float = DELTA,
    group: str = "",
) -> Verdict:
    """Decides on a report.

    Args:
        policy: a key of `POLICIES`.
        alpha: the rate that the policy keeps (see `policies`).
        threshold: with raw_threshold, the highest score that passes.
        mode: 'decide', or 'observe' to record the verdict and let everything pass.
        calibrations: candidates; the report's own ones when None.
        delta: with bad_among_passed, the share of calibrations for which the rate may be missed.
        group: `label` or `column=label`; the reference prompts of this group judge the prompt if there are enough of them
            for the rate. Otherwise all of them do, and the reason says so.

    Raises:
        EMoEError: all experts are the same model; an unknown policy or mode; alpha outside (0, 1) or too small for the
            calibration; no threshold keeps the rate; a label is in several columns; a threshold or a score is not finite.
        SettingsMismatch: no calibration fits a policy that needs one.
    """
    if mode not in (DECIDE, OBSERVE):
        raise EMoEError(f"There is no gate mode '{mode}'; choose {DECIDE} or {OBSERVE}.")
    if not all(math.isfinite(item.score) for item in report.items):
        raise EMoEError("The report holds a score that is not a finite number; score the prompt again.")
    _check_experts(report)
    candidates = report.calibrations if calibrations is None else calibrations
    if policy not in POLICIES:
        raise EMoEError(f"There is no gate policy '{policy}'; the known ones are {', '.join(POLICIES)}.")
    chosen = POLICIES[policy]
    judge: _Judge
    found: Calibration | None
    if chosen.threshold is not None:
        found = matching(report, candidates)
        judge = _judge_by(chosen, found, alpha, delta, group.strip())
    elif math.isfinite(threshold):
        found = fitting(report, candidates)
        judge = _Judge(threshold, None if found is None else found.whole)
    else:
        raise EMoEError(f"The Gate's threshold is {threshold}; give a finite number.")

    items = tuple(judge.item(item.score) for item in report.items)
    worst = max(items, key=lambda item: item.score)
    proof = None if found is None or found.settings == report.settings else report.proof_of(found)
    return Verdict(
        verdict=worst.verdict,
        passed=mode == OBSERVE or worst.verdict == PASS,
        mode=mode,
        policy=policy,
        reason=_reason(worst, len(items), chosen, alpha, delta, judge, proof),
        score=worst.score,
        threshold=judge.limit,
        alpha=None if chosen.threshold is None else alpha,
        p_value=worst.p_value,
        percentile=worst.percentile,
        items=items,
        report=report,
        group=group.strip(),
        group_threshold=judge.own,
        delta=delta if chosen.uses_delta else None,
        proof=proof,
        calibration=found,
    )


def _check_experts(report: Report) -> None:
    """Copies of one model agree on everything, whatever their digests say, so every prompt would pass."""
    count, same = len(report.settings.experts), len(set(report.settings.experts)) == 1
    if count < 2 or not (same or len(report.alike) == count * (count - 1) // 2):
        return
    from ..scoring.estimators import estimator  # here, so that code that only reads verdicts does not wait for torch

    if estimator(report.settings.estimator).minimum_experts > 1:
        what = "are the same model" if same else "give the same latents (copies, or patches that change nothing)"
        raise EMoEError(
            f"All {count} experts {what} and cannot disagree, so the Gate has nothing to judge by; load different checkpoints, "
            "or choose the preset one_model on Uncertainty Score."
        )


@dataclass(frozen=True)
class _Judge:
    """A threshold, the reference prompts it was learnt from, and a phrase that names them."""

    limit: float
    part: Part | None
    own: bool = False
    note: str = ""

    def item(self, score: float) -> ItemVerdict:
        verdict = BLOCK if score > self.limit else PASS
        if self.part is None:
            return ItemVerdict(verdict, score, None, None)
        return ItemVerdict(verdict, score, self.part.p_value(score), self.part.percentile(score))


def _judge_by(policy: Policy, calibration: Calibration, alpha: float, delta: float, group: str) -> _Judge:
    """The group's own threshold if it has enough reference prompts, else that of all of them."""
    assert policy.threshold is not None
    note, named = "", plain(group, BRIEF)
    if group:
        found = calibration.find_group(group)
        if found is None:
            note = f"the group '{named}' is not in the calibration, so this is the threshold of all its prompts"
        else:
            part = calibration.part(*found)
            try:
                limit = policy.threshold(part, alpha, delta)
                return _Judge(limit, part, True, f"threshold of the group {found[0]}={found[1]}")
            except TooFewPrompts as error:
                note = (
                    f"the group '{named}' has {error.have}, too few for a threshold of its own, so this is that of all"
                )
    return _Judge(policy.threshold(calibration.whole, alpha, delta), calibration.whole, False, note)


def _reason(
    worst: ItemVerdict, count: int, policy: Policy, alpha: float, delta: float, judge: _Judge, proof: Proof | None
) -> str:
    side = "above" if worst.verdict == BLOCK else "at or below"
    reason = f"score {worst.score:.4g} is {side} the threshold {judge.limit:.4g}"
    if policy.name == "false_block_rate" and worst.p_value is not None:
        compare = "at most" if worst.verdict == BLOCK else "more than"
        reason = f"p = {worst.p_value:.3g} is {compare} alpha {alpha:g} ({reason})"
    elif policy.threshold is not None:
        reason = f"{reason} for at most {alpha:g} of {policy.alpha_is}"
        if policy.uses_delta:
            reason = f"{reason}, with confidence {1 - delta:g}"
    notes = [reason, judge.note]
    if count > 1:
        notes.insert(1, f"worst of {count} images")
        if policy.threshold is not None:
            notes[1] += f", each judged by that rate, so a good prompt is blocked up to {count} times as often"
    if proof is not None:
        notes.append(f"calibration proved on {proof.prompts} of its prompts, largest difference {proof.largest:.2g}")
    return "; ".join(filter(None, notes))
