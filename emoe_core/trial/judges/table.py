"""The judge `csv`: a column of a table that any other tool has made."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import BRIEF, EMoEError, plain
from ...prompts import read_table
from ..store import Judgement
from . import Asked, LeftOut

#: A table under the name of one of these would take the place of what it said.
OWN = ("clip", "clip_score", "question", "demo")
KEYS = ("filename", "picture", "prompt")
GOOD = ("good", "ok", "yes", "true")
BAD = ("bad", "no", "false")
#: In a column of this name, yes means that a picture is bad.
_TURNED = "bad"
_NO_ROW = "the table has no row for them"
_UNCLEAR = "their filename is that of several pictures or rows; give the table their folders, or a column picture with their ids"


@dataclass(frozen=True)
class _Word:
    value: float
    bad: bool | None


class TableJudge:
    """Takes its word from a column: numbers, of which higher is better, or words such as good and bad.

    Attributes:
        name: what its judgements are stored under.
        notes: what is to be said of the table's rows.
    """

    def __init__(
        self, path: Path, column: str, name: str = "", key: str | None = None, bad_below: float | None = None
    ) -> None:
        """
        Args:
            key: the column by which a row finds its picture: one of KEYS; None takes the first of them that the table has.
            bad_below: numbers below it are bad; without it they are no verdict.

        Raises:
            EMoEError: the name is taken, or the table cannot be read, lacks a column, or has no row that can be used.
        """
        self.name, self.notes = name.strip() or column, list[str]()
        if self.name in OWN:
            raise EMoEError(
                f"'{self.name}' is the name of one of the pack's own judges; give this one another with --name."
            )
        if bad_below is not None and not math.isfinite(bad_below):
            raise EMoEError(f"--bad-below is {bad_below}; give a finite number.")
        rows = list(read_table(path))
        if not rows:
            raise EMoEError(f"The table '{path}' has no rows below its header; give it one for each picture.")
        columns = list(rows[0][1])
        self._key = key or next((one for one in KEYS if one in columns), "")
        for wanted in (column, self._key):
            if wanted not in columns:
                missing = f"no column '{wanted}'" if wanted else f"none of the columns {', '.join(KEYS)}"
                raise EMoEError(f"The table '{path}' has {missing}; its columns are {', '.join(columns)}.")
        self._bad_below, self._turned = bad_below, column.strip().lower() == _TURNED
        self._words: dict[str, _Word] = {}
        self._by_file: dict[str, list[str]] = {}  # the last part of a path -> the paths in the table
        bad: list[str] = []
        empty = 0
        for line, cells in rows:
            word, place = self._word(cells[column].strip()), self._place(cells[self._key])
            if not cells[column].strip():
                empty += 1
            elif word is None:
                bad.append(
                    f"line {line} has '{plain(cells[column], BRIEF)}', which is neither a number nor good or bad"
                )
            elif self._words.setdefault(place, word) != word:
                raise EMoEError(
                    f"The table '{path}' says two things of '{plain(place, BRIEF)}', the second in line {line}; keep one of "
                    "these rows."
                )
        for place in self._words:
            self._by_file.setdefault(place.rpartition("/")[2], []).append(place)
        if not self._words:
            first = f" ({bad[0]})" if bad else ""
            raise EMoEError(f"The column '{column}' of '{path}' has no word on any picture{first}.")
        if bad:
            self.notes.append(f"Rows that were left out: {len(bad)}; the first: {bad[0]}.")
        if empty:
            self.notes.append(f"Rows that are empty in this column: {empty}.")

    def about(self, asked: Asked) -> str:
        """See `Judge.about`."""
        return ""

    def judge(self, asked: Sequence[Asked]) -> Iterable[Judgement | LeftOut]:
        """See `Judge.judge`. Rows that are no picture's are told in `notes`."""
        found = {one.picture.id: self._found(one) for one in asked}
        times = Counter(place for places in found.values() for place in places)
        for one in asked:
            places = found[one.picture.id]
            if not places:
                yield LeftOut(one.picture.id, _NO_ROW)
            elif len(places) > 1 or (self._key == "filename" and times[places[0]] > 1):
                yield LeftOut(one.picture.id, _UNCLEAR)
            else:
                word = self._words[places[0]]
                yield Judgement(one.picture.id, self.name, word.value, word.bad)
        if unknown := sorted(self._words.keys() - times.keys()):
            self.notes.append(
                f"Rows that match no picture of the trial: {len(unknown)}, such as '{plain(unknown[0], BRIEF)}'."
            )

    def _place(self, cell: str) -> str:
        """A cell of the key column in the form in which pictures are looked up."""
        if self._key == "prompt":
            return _prompt(cell)
        return cell.strip().replace("\\", "/") if self._key == "filename" else cell.strip()

    def _found(self, asked: Asked) -> list[str]:
        """The rows that may mean the picture. A path and a picture agree where the shorter of both is the end of the longer."""
        if self._key != "filename":
            place = str(asked.picture.id) if self._key == "picture" else _prompt(asked.prompt.prompt)
            return [place] if place in self._words else []
        own = (*PurePosixPath(asked.picture.subfolder.replace("\\", "/")).parts, asked.picture.filename)
        fitting = []
        for place in self._by_file.get(asked.picture.filename, []):
            parts = PurePosixPath(place).parts
            shared = min(len(parts), len(own))
            if parts[-shared:] == own[-shared:]:
                fitting.append(place)
        return fitting

    def _word(self, cell: str) -> _Word | None:
        """What a cell says; None where it says nothing."""
        word = cell.lower()
        if self._turned and word in ("1", "0"):
            word = "yes" if word == "1" else "no"
        if word in GOOD or word in BAD:
            bad = word in BAD
            if self._turned and word not in ("good", "bad"):
                bad = not bad
            return _Word(0.0 if bad else 1.0, bad)
        try:
            number = float(cell)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        return _Word(number, None if self._bad_below is None else number < self._bad_below)


def _prompt(text: str) -> str:
    """Tools change the white space of a prompt and nothing else."""
    return " ".join(text.split())
