"""Numbers of the decision report: areas with their intervals, and what the chosen threshold does."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EMoEError
from ..records.calibration import Calibration, Part
from ..stats.evaluation import auroc
from .curves import Curve, at_random, by_oracle, by_score
from .policies import ALPHA, DELTA, POLICIES

DECISIONS_SCHEMA = 1
ROUNDS = 1000
Interval = tuple[float, float]
_GRID = 101  # number of coverages in the bands


@dataclass(frozen=True)
class Choice:
    """The question: how the threshold is chosen, and what a generation and a score cost.

    Attributes:
        seconds_generation, seconds_score: time of one image, and of one score, in seconds.
        group: `label` or `column=label` of the calibration; "" for all prompts.
    """

    policy: str = "false_block_rate"
    alpha: float = ALPHA
    delta: float = DELTA
    threshold: float = 0.0
    seconds_generation: float = 10.0
    seconds_score: float = 0.5
    group: str = ""


@dataclass(frozen=True)
class Decisions:
    """The report on a labelled calibration.

    Attributes:
        title: the calibration, and the part of it.
        scores, bad: its prompts.
        curve, random, oracle: passing by score, in random order, and the good ones first.
        areas: aurc, augrc and auarc by name, each with value, 95 % interval, and its value in random and oracle order.
        coverage, risk_band, joint_band: 95 % bootstrap bands of risk and joint risk, shape [2, len(coverage)].
        threshold: the highest score that passes; None where the policy finds none, and `why` gives the reason.
    """

    choice: Choice
    title: str
    scores: NDArray[np.float64]
    bad: NDArray[np.bool_]
    curve: Curve
    random: Curve
    oracle: Curve
    auroc: float
    areas: dict[str, dict[str, Any]]
    coverage: NDArray[np.float64]
    risk_band: NDArray[np.float64]
    joint_band: NDArray[np.float64]
    threshold: float | None
    why: str

    @property
    def passed(self) -> NDArray[np.bool_]:
        """Which prompts pass the chosen threshold; all without one."""
        return self.scores <= (math.inf if self.threshold is None else self.threshold)

    def seconds_saved(self, blocked_share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds saved per 100 prompts when this share is blocked: blocked x generation - all x score."""
        return 100 * (blocked_share * self.choice.seconds_generation - self.choice.seconds_score)

    def at_threshold(self) -> dict[str, float] | None:
        """What the chosen threshold does to the calibration's own prompts; None without one."""
        if self.threshold is None:
            return None
        passed, count = self.passed, len(self.scores)
        bad_passed = int((self.bad & passed).sum())
        blocked = 1 - float(passed.mean())
        return {
            "blocked": blocked,
            "good_blocked": float((~passed)[~self.bad].mean()) if (~self.bad).any() else 0.0,
            "bad_blocked": float((~passed)[self.bad].mean()),
            "bad_and_passed": bad_passed / count,
            "bad_among_passed": bad_passed / int(passed.sum()) if passed.any() else 0.0,
            "quality_kept": float(passed[~self.bad].mean()) if (~self.bad).any() else 0.0,
            "seconds_saved_per_100": float(self.seconds_saved(np.array(blocked))),
        }

    def as_dict(self) -> dict[str, Any]:
        """All numbers, ready for JSON; curves as lists over the passed prompts."""
        return {
            "emoe_decisions": DECISIONS_SCHEMA,
            "calibration": self.title,
            "prompts": len(self.scores),
            "bad": int(self.bad.sum()),
            "policy": self.choice.policy,
            "alpha": self.choice.alpha,
            "delta": self.choice.delta if POLICIES[self.choice.policy].uses_delta else None,
            "threshold": self.threshold,
            "why_no_threshold": self.why,
            "seconds_generation": self.choice.seconds_generation,
            "seconds_score": self.choice.seconds_score,
            "auroc": self.auroc,
            **self.areas,
            "at_threshold": self.at_threshold(),
            "curve": {
                "coverage": self.curve.coverage.tolist(),
                "risk": self.curve.risk.tolist(),
                "bad_and_passed": self.curve.joint.tolist(),
                "quality_kept": self.curve.kept.tolist(),
                "seconds_saved_per_100": self.seconds_saved(1 - self.curve.coverage).tolist(),
            },
        }

    def lines(self) -> list[str]:
        """For a person."""
        found = [f"{self.title}: {len(self.scores)} prompts, {int(self.bad.sum())} of them bad, AUROC {self.auroc:.3f}"]
        for name, area in self.areas.items():
            low, high = area["interval"]
            found.append(
                f"{name.upper()} {area['value']:.4f} ({low:.4f} to {high:.4f}), random order {area['random']:.4f}, best "
                f"possible {area['oracle']:.4f}"
            )
        there = self.at_threshold()
        if there is None:
            return [*found, f"no threshold: {self.why}"]
        return [
            *found,
            f"threshold {self.threshold:.4g} ({self.choice.policy}): blocks {there['blocked']:.1%}, of the good "
            f"{there['good_blocked']:.1%}, of the bad {there['bad_blocked']:.1%}; bad among the passed "
            f"{there['bad_among_passed']:.1%}",
            f"saves {there['seconds_saved_per_100']:.0f} s per 100 prompts at {self.choice.seconds_generation:g} s an image and "
            f"{self.choice.seconds_score:g} s a score, and keeps {there['quality_kept']:.1%} of the good ones",
        ]


def decisions(calibration: Calibration, choice: Choice, rounds: int = ROUNDS, seed: int = 0) -> Decisions:
    """Everything that a labelled calibration says about passing and blocking.

    Args:
        rounds: how often the prompts are resampled for the intervals (Efron and Tibshirani 1993, percentile intervals).

    Raises:
        EMoEError: no prompt or every prompt is marked as bad, an unknown policy or group, or an impossible time.
    """
    part = _part(calibration, choice.group)
    _check(choice, part)
    scores, bad = np.array(part.scores, dtype=np.float64), np.array(part.bad, dtype=bool)
    curve, random, oracle = by_score(scores, bad), at_random(bad), by_oracle(bad)
    threshold, why = _threshold(part, choice)
    coverage = np.linspace(0, 1, _GRID)[1:]
    areas, risks, joints = _bootstrap(scores, bad, coverage, rounds, seed)
    return Decisions(
        choice,
        part.name,
        scores,
        bad,
        curve,
        random,
        oracle,
        auroc(scores[~bad], scores[bad]),
        {
            name: {
                "value": getattr(curve, name),
                "interval": interval(areas[:, column]),
                "random": getattr(random, name),
                "oracle": getattr(oracle, name),
                "better_than_random": interval(areas[:, column + 3]),
            }
            for column, name in enumerate(_AREAS)
        },
        coverage,
        np.quantile(risks, [0.025, 0.975], axis=0),
        np.quantile(joints, [0.025, 0.975], axis=0),
        threshold,
        why,
    )


_AREAS = ("aurc", "augrc", "auarc")


def interval(values: NDArray[np.float64]) -> Interval:
    """The middle 95 %."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _bootstrap(
    scores: NDArray[np.float64], bad: NDArray[np.bool_], coverage: NDArray[np.float64], rounds: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per resampled set of prompts: the three areas, each area's gain over random order, and two curves."""
    rng, count = np.random.default_rng(seed), len(scores)
    areas, risks, joints = np.empty((rounds, 6)), np.empty((rounds, len(coverage))), np.empty((rounds, len(coverage)))
    for place in range(rounds):
        drawn = rng.integers(0, count, count)
        curve, random = by_score(scores[drawn], bad[drawn]), at_random(bad[drawn])
        areas[place, :3] = [getattr(curve, name) for name in _AREAS]
        gains = (random.aurc - curve.aurc, random.augrc - curve.augrc, curve.auarc - random.auarc)
        areas[place, 3:] = gains
        risks[place] = curve.risk_at(coverage)
        joints[place] = curve.joint_at(coverage)
    return areas, risks, joints


def _part(calibration: Calibration, group: str) -> Part:
    if not group.strip():
        return calibration.whole
    found = calibration.find_group(group)
    if found is None:
        raise EMoEError(
            f"The group '{group.strip()}' is not in the calibration '{calibration.name}'; leave it empty for all."
        )
    return calibration.part(*found)


def _check(choice: Choice, part: Part) -> None:
    if choice.policy not in POLICIES:
        raise EMoEError(f"There is no gate policy '{choice.policy}'; the known ones are {', '.join(POLICIES)}.")
    if not part.bad or not any(part.bad):
        raise EMoEError(
            f"The calibration '{part.name}' has no prompt marked as bad, so there is nothing to report on: mark the prompts "
            "that come out wrong with ! in Calibrate Gate, or in the column bad of its prompt_file."
        )
    if all(part.bad):
        raise EMoEError(f"All prompts of '{part.name}' are marked as bad; add some that your models draw well.")
    for name in ("alpha", "delta"):
        if not math.isfinite(getattr(choice, name)):
            raise EMoEError(
                f"The decision report's {name} is {getattr(choice, name)}; choose a number between 0 and 1."
            )
    for name in ("seconds_generation", "seconds_score"):
        value = getattr(choice, name)
        if not (math.isfinite(value) and value >= 0):
            raise EMoEError(f"The decision report's {name} is {value}; give the seconds it takes, 0 or more.")


def _threshold(part: Part, choice: Choice) -> tuple[float | None, str]:
    """The policy's threshold, or why there is none."""
    policy = POLICIES[choice.policy]
    if policy.threshold is None:
        if not math.isfinite(choice.threshold):
            raise EMoEError(f"The decision report's threshold is {choice.threshold}; give a finite number.")
        return choice.threshold, ""
    try:
        return policy.threshold(part, choice.alpha, choice.delta), ""
    except EMoEError as error:
        return None, str(error)
