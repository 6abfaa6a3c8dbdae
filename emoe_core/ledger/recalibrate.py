"""Which rows of a ledger can be compared with a calibration or become one, and the calibration made of them."""

from collections.abc import Iterable
from datetime import datetime, timezone

from ..errors import EMoEError
from ..gating.gate import DECIDE
from ..records.calibration import Calibration, Part
from .store import BAD, GOOD, Ledger, LedgerRow

GROUP = "group"  # the column for labels without a column name


def calibrate(
    ledger: Ledger, fingerprint: str, name: str, *, unmarked_as_good: bool = False
) -> tuple[Calibration, list[str]]:
    """A calibration of one fingerprint's rows, and what a user should know about it.

    If some rows are marked, only these are used, good and bad; if none is, all rows are reference prompts.

    Args:
        fingerprint: the settings' fingerprint, or its beginning.
        unmarked_as_good: also use the rows without a mark, as good ones.

    Raises:
        EMoEError: no such rows, or only bad ones.
    """
    settings = ledger.settings()
    found = [known for known in settings if known.startswith(fingerprint)]
    if len(found) != 1:
        said = "fits no verdicts" if not found else f"may be {' or '.join(sorted(found))}"
        raise EMoEError(
            f"The settings' fingerprint '{fingerprint}' {said} in '{ledger.path}'; `python -m emoe_core ledger summary` "
            "lists them."
        )
    everything = ledger.rows(found[0])
    rows = different(everything)
    marked = [row for row in rows if row.quality is not None]
    chosen = marked if marked and not unmarked_as_good else rows
    if not chosen:
        raise EMoEError(f"'{ledger.path}' has no single prompts under '{found[0]}'; batches cannot be used.")
    bad = tuple(row.quality == BAD for row in chosen)
    made = Calibration(
        name,
        settings[found[0]][0],
        tuple(row.score for row in chosen),
        tuple(row.prompt for row in chosen),
        reference=f"{len(chosen)} prompts of the ledger, {day(chosen[0].time)} to {day(chosen[-1].time)}"
        + (", marked by a person" if marked and not unmarked_as_good else ""),
        bad=bad if any(bad) else (),
        groups=_groups(chosen),
    )
    return made, _notes(everything, rows, marked, unmarked_as_good)


def _groups(rows: list[LedgerRow]) -> dict[str, tuple[str, ...]]:
    """The columns of labels that the Gate's input group named: `column=label`, or a label alone."""
    named = [(row.group or "").partition("=") for row in rows]
    pairs = [(column, label) if equals else (GROUP, column) for column, equals, label in named]
    columns = sorted({column for column, label in pairs if label})
    return {name: tuple(label if column == name else "" for column, label in pairs) for name in columns}


def _notes(
    everything: list[LedgerRow], rows: list[LedgerRow], marked: list[LedgerRow], unmarked_as_good: bool
) -> list[str]:
    notes = []
    if not marked:
        notes.append(
            "No row is marked, so all prompts of the ledger are the reference: false_block_rate then keeps its share of "
            "prompts like these, whether their images are good or not."
        )
    elif unmarked_as_good:
        notes.append(f"{len(rows) - len(marked)} rows without a mark are taken as good.")
    elif len(marked) < len(rows):
        notes.append(f"{len(rows) - len(marked)} rows without a mark are left out.")
    unseen = sum(row.verdict == "block" and row.mode == DECIDE and row.quality is None for row in rows)
    if marked and unseen:
        notes.append(
            f"{unseen} blocked prompts have no mark, since nobody saw their images. The marked prompts are not like all "
            "prompts then; collect marks in the Gate's mode observe."
        )
    if any(len(row.items) > 1 for row in everything):
        notes.append("Batches of several images are left out; their score is the highest of their items.")
    good = sum(row.quality == GOOD for row in marked)
    if marked:
        notes.append(f"{good} prompts are marked as good, {len(marked) - good} as bad.")
    return notes


def day(seconds: float) -> str:
    """A time as its day, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).date().isoformat()


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
