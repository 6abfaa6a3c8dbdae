"""Scores rows of prompts and makes the result line of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..batch.journal import row_key
from ..errors import EMoEError
from ..experts.sets import ExpertSet
from ..gating.gate import Verdict, decide
from ..prompts import PromptRow
from ..records.calibration import Calibration
from ..records.proof import Proof
from ..records.report import ItemScore, Report
from ..records.settings import Settings
from ..scoring.comparable import check_comparable
from ..scoring.presets import ScoreOptions

if TYPE_CHECKING:
    from ..hosts.diffusers import Computing

OK, BLOCKED, ERROR = "ok", "blocked", "error"


@dataclass(frozen=True)
class GateWords:
    """How prompts are gated.

    Attributes:
        policy: a key of `policies.POLICIES`.
        calibrations: candidates; those that come with the experts when None.
        group: a column of the prompt file; the reference prompts of its own group judge each prompt.
        proofs: proofs of calibrations made by other digests.
    """

    policy: str
    alpha: float
    threshold: float
    delta: float
    calibrations: tuple[Calibration, ...] | None
    group: str = ""
    proofs: tuple[Proof, ...] = ()

    def digest(self) -> str:
        """Changes when verdicts can change."""
        found = None if self.calibrations is None else [c.digest for c in self.calibrations]
        text = json.dumps([self.policy, self.alpha, self.threshold, self.delta, self.group, found])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def verdict(self, report: Report, columns: Mapping[str, str]) -> Verdict:
        """The decision; an `EMoEError` when no calibration fits."""
        label = columns.get(self.group, "").strip() if self.group else ""
        return decide(
            replace(report, proofs=self.proofs),
            self.policy,
            alpha=self.alpha,
            threshold=self.threshold,
            delta=self.delta,
            calibrations=self.calibrations,
            group=f"{self.group}={label}" if label else "",
        )


def check(experts: ExpertSet, settings: Settings, gate: GateWords | None) -> None:
    """Finds everything that would fail for every prompt, before the first one is scored.

    Raises:
        EMoEError: the experts cannot be compared at the tap, or the gate cannot decide on scores with these settings.
    """
    check_comparable(experts.experts, settings.tap)
    if gate is not None:
        nothing = ItemScore(0.0, None, 0.0, None, 0.0, None)
        names = tuple(expert.name for expert in experts.experts)
        gate.verdict(Report(settings, (nothing,), names, ("",) * len(names), (), calibrations=experts.calibrations), {})


def score_rows(
    experts: ExpertSet,
    rows: Sequence[PromptRow],
    options: ScoreOptions,
    computing: Computing,
    gate: GateWords | None,
    settings: Settings,
) -> Iterator[dict[str, Any]]:
    """One line per row, in order; a row that cannot be scored gets a line with the reason, and the next rows continue."""
    from ..hosts.diffusers import score_many

    left = list(rows)
    while left:
        try:
            for scored in score_many(experts, [row.prompt for row in left], options, computing):
                line = _line(left[0], settings, gate, scored.report)
                del left[0]
                yield line
        except EMoEError:  # from one of the prompts that went together, so each is tried alone
            row = left.pop(0)
            try:
                yield _line(row, settings, gate, next(score_many(experts, [row.prompt], options, computing)).report)
            except EMoEError as error:
                yield _failed(row, settings, gate, str(error))


def _line(row: PromptRow, settings: Settings, gate: GateWords | None, report: Report) -> dict[str, Any]:
    item = report.items[0]
    line = {**_head(row, settings, gate), "status": OK, **item.numbers(), "said": report.line()}
    line["warnings"] = list(report.warnings)
    if gate is not None:
        verdict = gate.verdict(report, row.columns).as_dict()
        line["status"] = OK if verdict["passed"] else BLOCKED
        line |= {name: verdict[name] for name in ("verdict", "passed", "p_value", "percentile", "threshold", "reason")}
    return line


def _failed(row: PromptRow, settings: Settings, gate: GateWords | None, error: str) -> dict[str, Any]:
    return {**_head(row, settings, gate), "status": ERROR, "score": None, "error": error}


def _head(row: PromptRow, settings: Settings, gate: GateWords | None) -> dict[str, Any]:
    return {
        "row": row.row,
        "key": row_key(row),
        "prompt": row.prompt,
        "columns": row.columns,
        "fingerprint": settings.fingerprint(),
        "gate": "" if gate is None else gate.digest(),
    }
