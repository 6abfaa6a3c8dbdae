"""Whole audits of small tables, scored by a rule in place of models: the engine and the statistics are the real ones."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from emoe_core.audit.analysis import Options, analyse
from emoe_core.audit.engine import run
from emoe_core.audit.plan import read_plan
from emoe_core.audit.result import AuditResult
from emoe_core.audit.scorer import About, ScoredRow
from emoe_core.records.message import Message

EVIL = "<script>alert(1)</script>\"'>&\u202etxt.exe\u2028"
TERRITORIES = {"FI": 0.9, "JP": 0.3, "United States": 0.2, "BRA": 0.6, "Singapore": 0.8, "TV": 0.5, "Atlantis": 0.4}


class RuleScorer:
    """Scores a prompt by the number in brackets at its end, with a little of its own digest beside it."""

    batch_size = 64

    def about(self) -> About:
        settings = {"tap": "mid_out", "estimator": "relative", "experts": ["0" * 64, "1" * 64]}
        experts = (
            {"name": "one", "identity": "0" * 64, "file": "one.safetensors"},
            {"name": EVIL, "identity": "1" * 64},
        )
        return About(settings, experts, Message.load("Calibration 'rule': 10 prompts."))

    def score(self, prompts: Sequence[str]) -> list[ScoredRow]:
        return [self._row(text) for text in prompts]

    def _row(self, text: str) -> ScoredRow:
        if "unscorable" in text:
            return ScoredRow(None, error=f"There is no score for {text}")
        digest = int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6], 16) / 0xFFFFFF
        score = float(text.rsplit("[", 1)[1].rstrip("]")) + 0.2 * digest
        tokens = len(text.split())
        return ScoredRow(score, response=1 - score, p_value=1 - min(score, 1.0), tokens=tokens, truncated=tokens > 75)


def audit(
    folder: Path,
    rows: Sequence[Mapping[str, str]],
    options: Options | None = None,
    scorer: RuleScorer | None = None,
) -> AuditResult:
    """The result of an audit of these rows (all with the same columns), kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "prompts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    with run(read_plan(path), scorer or RuleScorer(), folder / "out") as store:
        return analyse(store, options)


def mixed_rows(each: int = 12) -> list[dict[str, str]]:
    """Parallel prompts in five languages, and territories by code and by name; hostile, long, right-to-left, emoji."""
    levels = {"en": 0.2, "fi": 0.8, "ar": 0.6, "zh-Hans": 0.5, "xx-unknown": 0.2}
    texts = {"ar": "حصان {} في الشارع", "zh-Hans": "一匹马 {}", "fi": "hevonen {} 🐴👩‍👩‍👧", "xx-unknown": EVIL + " {}"}
    rows = []
    for number in range(each):
        for language, level in levels.items():
            text = texts.get(language, "a horse {}").format(number)
            text += " word" * (10_000 if number == 3 and language == "fi" else 0)
            rows.append({"prompt": f"{text} [{level}]", "language": language, "territory": "", "id": f"{number}{EVIL}"})
        for name, level in TERRITORIES.items():
            text = f"a street {number} in {name} [{level}]"
            rows.append({"prompt": text, "language": "", "territory": name, "id": f"street {number}"})
    rows.append({"prompt": f"unscorable {EVIL}", "language": "en", "territory": "", "id": "none"})
    return rows
