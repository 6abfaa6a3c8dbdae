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
        reference: one sentence that says what the reference prompts are.
    """

    name: str
    settings: Settings
    scores: tuple[float, ...]
    prompts: tuple[str, ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        if not self.scores:
            raise EMoEError(f"The calibration '{self.name}' has no scores; make it from at least one prompt.")
        if not all(math.isfinite(score) for score in self.scores):
            raise EMoEError(f"The calibration '{self.name}' has a score that is not a finite number; make it again.")
        if self.prompts and len(self.prompts) != len(self.scores):
            raise EMoEError(
                f"The calibration '{self.name}' has {len(self.prompts)} prompts for {len(self.scores)} scores."
            )

    def line(self) -> str:
        """One sentence for a person."""
        ordered = sorted(self.scores)
        least = 1 / (len(ordered) + 1)
        return (
            f"Calibration '{self.name}': {len(ordered)} prompts, scores {ordered[0]:.4g} to {ordered[-1]:.4g}, "
            f"smallest alpha {least:.2g}."
        )

    def p_value(self, score: float) -> float:
        """Conformal p-value: small means less certain than nearly all reference prompts. In (0, 1]."""
        return (1 + sum(other >= score for other in self.scores)) / (len(self.scores) + 1)

    def percentile(self, score: float) -> float:
        """Share of reference prompts with a lower score, ties counted half, in [0, 100]."""
        below = sum(other < score for other in self.scores)
        equal = sum(other == score for other in self.scores)
        return 100.0 * (below + 0.5 * equal) / len(self.scores)

    def threshold(self, alpha: float) -> float:
        """The score above which the p-value is at most alpha.

        An `EMoEError` where alpha is smaller than 1 / (n + 1): no score could ever be blocked then.
        """
        if not 0 < alpha < 1:
            raise EMoEError(f"alpha is {alpha:g}, but it is a share of prompts: choose a number between 0 and 1.")
        # p <= alpha iff at most `allowed` reference scores reach s; the small term forgives 0.1 * 10 = 0.999...
        allowed = math.floor(alpha * (len(self.scores) + 1) + 1e-9) - 1
        if allowed < 0:
            raise EMoEError(
                f"The calibration '{self.name}' has {len(self.scores)} prompts, too few for alpha {alpha:g}: it needs at "
                f"least {math.ceil(1 / alpha - 1e-9) - 1}, or choose alpha {1 / (len(self.scores) + 1):.3g} or more."
            )
        # At most `allowed` scores may reach s: s must be above the (allowed + 1)-th highest.
        return sorted(self.scores, reverse=True)[allowed]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, with a digest of the content that `from_dict` checks."""
        body = {
            "emoe_calibration": CALIBRATION_SCHEMA,
            "name": self.name,
            "reference": self.reference,
            "settings": asdict(self.settings),
            "scores": list(self.scores),
            "prompts": list(self.prompts),
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
            return cls(data["name"], settings, tuple(data["scores"]), tuple(data["prompts"]), data.get("reference", ""))
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
