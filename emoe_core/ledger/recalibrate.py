"""Makes a calibration from the rows of a ledger."""

from datetime import datetime, timezone

from ..errors import EMoEError
from ..gating.gate import DECIDE
from ..records.calibration import Calibration
from .comparable import different
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
