"""Which rows of a ledger can be compared with a calibration, or become one."""

from collections.abc import Iterable

from ..errors import EMoEError
from ..records.calibration import Calibration
from ..records.references import Part
from .store import BAD, LedgerRow


def different(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Rows of single prompts, each prompt once: its first row.

    A prompt that is scored again gets the same score to the last bit, which is no new observation. The score of a batch
    is the highest of its items, which is not comparable with a single prompt's score. The kept row also gets a later mark.
    """
    found: dict[tuple[str, float], LedgerRow] = {}
    for row in rows:
        if len(row.items) == 1:
            key = (row.prompt, row.score)
            kept = found.setdefault(key, row)
            if row.quality is not None and kept is not row:
                found[key] = row
    return sorted(found.values(), key=lambda row: row.id)


def comparable(rows: Iterable[LedgerRow], calibration: Calibration) -> list[LedgerRow]:
    """Different prompts that should look like the calibration's good ones: not marked as bad, and not part of it."""
    known = set(zip(calibration.prompts, calibration.scores, strict=False))
    return [row for row in different(rows) if row.quality != BAD and (row.prompt, row.score) not in known]


def by_part(rows: Iterable[LedgerRow], calibration: Calibration) -> list[tuple[Part, list[LedgerRow]]]:
    """Reference prompts, and the rows that should look like them: those of the same group, else all of them."""
    found: dict[Part, list[LedgerRow]] = {}
    for row in rows:
        found.setdefault(_part(row, calibration), []).append(row)
    return list(found.items())


def parts(calibration: Calibration) -> int:
    """How many parts rows can be compared with at most: every group, and the whole."""
    return 1 + sum(len({*labels} - {""}) for labels in calibration.groups.values())


def _part(row: LedgerRow, calibration: Calibration) -> Part:
    try:
        group = calibration.find_group(row.group or "")
    except EMoEError:  # a label in several columns, which the Gate would have refused with this calibration
        group = None
    own = None if group is None else calibration.part(*group)
    return own if own is not None and own.good_scores else calibration.whole
