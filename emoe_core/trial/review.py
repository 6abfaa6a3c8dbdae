"""What a person still has to look at, in a trial or in the ledger, and how far the marks have come.

A source gives its unmarked pictures in an order that looks random and stays the same, so that neither the order of the prompt
file nor the score can sway the eye. What it gives holds no score.
"""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..ledger.store import Ledger, LedgerRow, Saved
from .foresight import main_reading
from .store import BAD, GOOD, Trial


@dataclass(frozen=True)
class Item:
    """What one mark is about.

    Attributes:
        id: of the picture in a trial, of the verdict in a ledger.
        files: its pictures; a trial's item has one.
        quality: 'good' or 'bad' as it is marked, None where it is not.
    """

    id: int
    prompt: str
    files: tuple[Saved, ...]
    quality: str | None


@dataclass(frozen=True)
class Progress:
    """How far a source is marked.

    Attributes:
        good, bad, left: items marked so, and those without a mark.
        auroc, low, high: the chance that a bad one has a higher score than a good one; None until there is one of each. Its
            95 % interval may be looked at after every mark, and is None until there are enough of each (`stats.sequential`).
    """

    good: int
    bad: int
    left: int
    auroc: float | None = None
    low: float | None = None
    high: float | None = None


class Source(Protocol):
    """Something whose pictures can be marked."""

    def items(self) -> list[Item]:
        """Everything that has a picture, marked or not."""

    def mark(self, number: int, quality: str | None, token: str) -> None:
        """Marks an item; None takes its mark away, and the same token again changes nothing."""

    def progress(self) -> Progress:
        """How far the marks have come."""


class TrialSource:
    """A trial's pictures, each marked on its own."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def items(self) -> list[Item]:
        return [
            Item(one.id, prompt.prompt, (Saved(one.server, one.filename, one.subfolder, one.type),), one.quality)
            for prompt in self.trial.contents().pictured
            for one in prompt.pictures
        ]

    def mark(self, number: int, quality: str | None, token: str) -> None:
        self.trial.mark(number, quality, token)

    def progress(self) -> Progress:
        return progress(self.trial)


class LedgerSource:
    """The ledger's verdicts whose pictures are known; a mark is the verdict's quality."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)

    def items(self) -> list[Item]:
        return [Item(row.id, row.prompt, tuple(files), row.quality) for row, files in self._rows()]

    def _rows(self) -> list[tuple[LedgerRow, list[Saved]]]:
        pictures = self.ledger.pictures()
        return [(row, pictures[row.id]) for row in self.ledger.rows() if row.id in pictures] if pictures else []

    def mark(self, number: int, quality: str | None, token: str) -> None:
        self.ledger.mark_once(number, quality, token)

    def progress(self) -> Progress:
        """Scores under different settings are not comparable, so the interval is that of the settings with the most marks."""
        rows = [row for row, _ in self._rows()]
        by_settings: dict[str, list[Marked]] = {}
        for row in rows:
            if row.quality is not None:
                by_settings.setdefault(row.fingerprint, []).append((row.score, row.quality == BAD, row.prompt))
        return _progress([row.quality for row in rows], max(by_settings.values(), key=len, default=[]))


#: A marked picture: its prompt's score, whether it is bad, and which prompt it is of.
Marked = tuple[float, bool, Hashable]


def progress(trial: Trial) -> Progress:
    """How far a trial is marked, and what its marks say so far of the reading that its page is about."""
    contents = trial.contents()
    prompts, reading = contents.pictured, main_reading(contents)
    marked: list[Marked] = [
        (prompt.scores[reading], picture.quality == BAD, prompt.id)
        for prompt in prompts
        for picture in prompt.pictures
        if picture.quality is not None and reading in prompt.scores
    ]
    return _progress([picture.quality for prompt in prompts for picture in prompt.pictures], marked)


def _progress(qualities: Sequence[str | None], marked: Sequence[Marked]) -> Progress:
    """Counts, and the AUROC with the interval that may be looked at after every mark (`stats.sequential`)."""
    good, bad = qualities.count(GOOD), qualities.count(BAD)
    counts = Progress(good, bad, len(qualities) - good - bad)
    if not marked:
        return counts
    from ..stats.sequential import place

    placed = place(*map(list, zip(*marked, strict=True)))
    if not placed.good or not placed.bad:
        return counts
    low, high = placed.interval() if placed.enough else (None, None)
    return Progress(counts.good, counts.bad, counts.left, placed.value, low, high)


def unmarked(items: Iterable[Item], name: str, without: Iterable[int] = ()) -> list[Item]:
    """The items that have no mark, in the source's own random order.

    Args:
        name: the source's; the order depends on it and on the ids alone.
        without: ids to leave out, such as those that were skipped.
    """
    left = set(without)
    waiting = [item for item in items if item.quality is None and item.id not in left]
    return sorted(waiting, key=lambda item: hashlib.sha256(f"{name}:{item.id}".encode()).digest())
