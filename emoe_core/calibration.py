"""Calibration: reference scores that give a raw score a unit.

The conformal p-value of a score s against n reference scores is p = (1 + #{j : s_j >= s}) / (n + 1). If the prompt is
exchangeable with the reference prompts, P(p <= alpha) <= alpha for every n and every model (Vovk et al., "Algorithmic
Learning in a Random World", 2005, proposition 2.8).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import EMoEError, SettingsMismatch
from .report import Report, Settings

CALIBRATION_SCHEMA = 1


@dataclass(frozen=True)
class Calibration:
    """Scores of reference prompts under fixed settings.

    Attributes:
        name: what the user calls it.
        settings: everything the scores depend on.
        scores: one score a reference prompt.
        prompts: the prompts, in the same order; may be empty.
        bad: for each prompt whether the models draw it badly; empty when all are good.
        reference: one sentence that says what the reference prompts are.
    """

    name: str
    settings: Settings
    scores: tuple[float, ...]
    prompts: tuple[str, ...] = ()
    reference: str = ""
    bad: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.scores:
            raise EMoEError(f"The calibration '{self.name}' has no scores; make it from at least one prompt.")
        if not all(math.isfinite(score) for score in self.scores):
            raise EMoEError(f"The calibration '{self.name}' has a score that is not a finite number; make it again.")
        if self.prompts and len(self.prompts) != len(self.scores):
            raise EMoEError(
                f"The calibration '{self.name}' has {len(self.prompts)} prompts for {len(self.scores)} scores."
            )

        if self.bad and len(self.bad) != len(self.scores):
            raise EMoEError(
                f"The calibration '{self.name}' has {len(self.bad)} marks for {len(self.scores)} scores; make it again."
            )
        if not self.good_scores:
            raise EMoEError(f"The calibration '{self.name}' has only bad prompts; add some that your models draw well.")

    @property
    def good_scores(self) -> tuple[float, ...]:
        """Scores of the prompts that are not marked as bad: what a new prompt is compared with."""
        if not self.bad:
            return self.scores
        return tuple(score for score, is_bad in zip(self.scores, self.bad, strict=True) if not is_bad)

    def line(self) -> str:
        """One sentence for a person."""
        ordered = sorted(self.scores)
        marked = f" ({sum(self.bad)} of them bad)" if any(self.bad) else ""
        return (
            f"Calibration '{self.name}': {len(ordered)} prompts{marked}, scores {ordered[0]:.4g} to {ordered[-1]:.4g}, "
            f"smallest alpha {1 / (len(self.good_scores) + 1):.2g}."
        )

    def p_value(self, score: float) -> float:
        """Conformal p-value against the good prompts: small means less certain than nearly all of them. In (0, 1]."""
        good = self.good_scores
        return (1 + sum(other >= score for other in good)) / (len(good) + 1)

    def percentile(self, score: float) -> float:
        """Share of the good prompts with a lower score, ties counted half, in [0, 100]."""
        good = self.good_scores
        below = sum(other < score for other in good)
        equal = sum(other == score for other in good)
        return 100.0 * (below + 0.5 * equal) / len(good)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, with a digest of the content that `from_dict` checks."""
        body = {
            "emoe_calibration": CALIBRATION_SCHEMA,
            "name": self.name,
            "reference": self.reference,
            "settings": asdict(self.settings),
            "scores": list(self.scores),
            "prompts": list(self.prompts),
            "bad": list(self.bad),
        }
        return {**body, "digest": _digest(body)}

    @classmethod
    def from_dict(cls, data: Any, where: str = "this file") -> Calibration:
        """A calibration from JSON; an `EMoEError` that says why when it is none, newer, damaged or edited."""
        if not isinstance(data, dict) or "emoe_calibration" not in data:
            raise EMoEError(f"{where} is not an EMoE calibration; choose a file that Save Calibration wrote.")
        if data["emoe_calibration"] != CALIBRATION_SCHEMA:
            raise EMoEError(
                f"{where} is a calibration of version {data['emoe_calibration']}, and this node pack reads version "
                f"{CALIBRATION_SCHEMA}; update the node pack or make the calibration again."
            )
        body = {key: value for key, value in data.items() if key != "digest"}
        if data.get("digest") != _digest(body):
            raise EMoEError(
                f"{where} was changed after it was saved (its digest does not fit); make the calibration again."
            )
        try:
            settings = Settings.from_dict(data["settings"])
            scores, prompts, bad = (tuple(data[key]) for key in ("scores", "prompts", "bad"))
            return cls(data["name"], settings, scores, prompts, data["reference"], bad)
        except (KeyError, TypeError) as error:
            raise EMoEError(f"{where} is a damaged calibration ({error}); make the calibration again.") from error

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a calibration file; an `EMoEError` when it is missing or not whole."""
        where = f"'{Path(path).name}'"
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise EMoEError(
                f"The calibration {where} cannot be read ({error.strerror}); check that it exists."
            ) from error
        except ValueError as error:
            raise EMoEError(f"The calibration {where} is not whole JSON; it is damaged, make it again.") from error
        return cls.from_dict(data, where)

    def save(self, path: str | Path) -> None:
        """Write the calibration so that a reader never sees half a file."""
        target = Path(path)
        part = target.with_name(target.name + ".part")
        part.write_text(json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        part.replace(target)


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def matching(report: Report, calibrations: tuple[Calibration, ...]) -> Calibration:
    """The calibration made under the report's own settings.

    Raises:
        SettingsMismatch: no calibration is there, or the nearest one differs; the message names each difference.
    """
    if not calibrations:
        raise SettingsMismatch(
            "This report has no calibration for its experts, so a false-block rate cannot be kept: connect a calibration "
            "made with the same experts and settings, or set the Gate's policy to raw_threshold."
        )
    for calibration in calibrations:
        if calibration.settings == report.settings:
            return calibration
    nearest = min(calibrations, key=lambda c: len(c.settings.differences(report.settings)))
    listed = "; ".join(nearest.settings.differences(report.settings))
    raise SettingsMismatch(
        f"The score was made under other settings than the calibration '{nearest.name}': {listed}. Set Score back to "
        "the calibration's settings, or connect a calibration made with these."
    )
