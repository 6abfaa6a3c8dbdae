"""What the page shows, as JSON."""

import html
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from ..evidence import COVERAGES, EDGE, Evidence
from .wording import first

PAGE_SCHEMA = 1
#: Too long for a record, or told in another form.
_LEFT = ("labelled", "report", "oracle", "name", "main")


def record(shown: Evidence) -> dict[str, Any]:
    """Everything that the page shows, ready for JSON."""
    sentence, main = first(shown), shown.main
    return {
        "emoe_trial_page": PAGE_SCHEMA,
        "trial": shown.name,
        "sentence": html.unescape(sentence.en),
        "sentence_ja": html.unescape(sentence.ja),
        "auroc": None if main is None else {"value": main.value, "low": main.low, "high": main.high},
        "pictures": shown.pictures,
        "rule": shown.rule,
        "main": None if main is None else main.name,
        "edge": EDGE,
        "bad": shown.bad,
        "prompts": len(shown.labelled),
        "coverage": coverage(shown),
        "decisions": None if shown.report is None else shown.report.as_dict(),
        **{one.name: _plain(getattr(shown, one.name)) for one in fields(shown) if one.name not in _LEFT},
    }


def coverage(shown: Evidence) -> list[dict[str, Any]]:
    """What blocking the least certain does: rows by the share that passes."""
    if shown.report is None:
        return []
    curve, rows = shown.report.curve, []
    for share in COVERAGES:
        place = max(0, round(share * len(curve.coverage)) - 1)
        passes = float(curve.coverage[place])
        rows.append(
            {
                "pass": passes,
                "bad_among_passed": float(curve.risk[place]),
                "good_lost": float(1 - curve.kept[place]),
                "seconds_saved_per_100": shown.saved(1 - passes),
            }
        )
    return rows


def _plain(value: Any) -> Any:
    """A value as JSON has it; what is no finite number is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value
