"""Which rows of a ledger may be compared with a calibration, or become one."""

from __future__ import annotations

from collections.abc import Iterable

from ..calibration import Calibration
from .store import BAD, Row


def different(rows: Iterable[Row]) -> list[Row]:
    """Rows of single prompts, each prompt once: the first time it got its score.

    A prompt that is scored again gets the same score to the last bit, which is no new observation. The score of a batch
    is the highest of its items, which is not comparable with that of a single one. A later mark counts for the row kept.
    """
    found: dict[tuple[str, float], Row] = {}
    for row in rows:
        if len(row.items) == 1:
            key = (row.prompt, row.score)
            kept = found.setdefault(key, row)
            if row.quality is not None and kept is not row:
                found[key] = row
    return sorted(found.values(), key=lambda row: row.id)


def comparable(rows: Iterable[Row], calibration: Calibration) -> list[Row]:
    """Different prompts that should look like the calibration's good ones: not marked as bad, and not among them."""
    known = set(zip(calibration.prompts, calibration.scores, strict=False))
    return [row for row in different(rows) if row.quality != BAD and (row.prompt, row.score) not in known]
