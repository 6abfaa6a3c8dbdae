"""Reference prompts for a calibration: from a text box, from a prompt file, from a built-in set, or from several of these.

A file is read as `prompts` reads it. Its column `bad` (yes or no) or `quality` (good or bad, or a number) says which
prompts come out wrong; every other column with recurring labels, such as `language`, is a column of groups.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EMoEError
from ..prompts import BadRow, PromptRow, check_text, load_prompts
from ..prompts.sets import Choice

BAD_BELOW = 0.5
_YES = frozenset({"1", "true", "yes", "y", "bad", "x", "!"})
_NO = frozenset({"0", "false", "no", "n", "good", "ok"})
_MARKS = ("bad", "quality")


@dataclass(frozen=True)
class _Row:
    prompt: str
    bad: bool | None
    labels: Mapping[str, str] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True)
class ReferencePrompts:
    """Prompts and what is known about them.

    Attributes:
        prompts: the texts; a text may occur several times under different labels.
        bad: whether each comes out wrong; empty when nobody said.
        groups: labels by column, "" where a prompt has none.
        skipped: rows of the file that could not be read.
        places: where each prompt stands, for messages, which must not repeat what is in a file.
    """

    prompts: tuple[str, ...] = ()
    bad: tuple[bool, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[BadRow, ...] = ()
    places: tuple[str, ...] = field(default=(), compare=False)

    def __add__(self, other: "ReferencePrompts") -> "ReferencePrompts":
        """Both together; prompts without marks count as good where the others have marks."""
        return _gathered([*self._rows(), *other._rows()], (*self.skipped, *other.skipped))

    def where(self, wanted: Callable[[str], bool]) -> "ReferencePrompts":
        """Only the prompts that are wanted, with their marks and groups."""
        kept = [i for i, prompt in enumerate(self.prompts) if wanted(prompt)]
        return ReferencePrompts(
            tuple(self.prompts[i] for i in kept),
            tuple(self.bad[i] for i in kept) if self.bad else (),
            {column: tuple(labels[i] for i in kept) for column, labels in self.groups.items()},
            self.skipped,
            tuple(self.places[i] for i in kept) if self.places else (),
        )

    def _rows(self) -> list[_Row]:
        marks: Sequence[bool | None] = self.bad or [None] * len(self.prompts)
        places = self.places or [""] * len(self.prompts)
        return [
            _Row(
                prompt, marks[i], {column: labels[i] for column, labels in self.groups.items() if labels[i]}, places[i]
            )
            for i, prompt in enumerate(self.prompts)
        ]


def _gathered(rows: Sequence[_Row], skipped: tuple[BadRow, ...] = ()) -> ReferencePrompts:
    """The rows without duplicates.

    Raises:
        EMoEError: a prompt is good in one row and bad in another.
    """
    kept: dict[tuple[str, frozenset[tuple[str, str]]], _Row] = {}
    marks: dict[str, _Row] = {}
    for row in rows:
        first = marks.setdefault(row.prompt, row)
        if bool(first.bad) != bool(row.bad):
            raise EMoEError(
                f"One of Calibrate Gate's prompts is there as good and as bad ({first.where} and {row.where}); leave one of "
                "the two out."
            )
        kept.setdefault((row.prompt, frozenset(row.labels.items())), row)
    columns = dict.fromkeys(column for row in kept.values() for column in row.labels)
    return ReferencePrompts(
        tuple(row.prompt for row in kept.values()),
        tuple(map(bool, (row.bad for row in kept.values()))) if any(row.bad is not None for row in rows) else (),
        {column: tuple(row.labels.get(column, "") for row in kept.values()) for column in columns},
        skipped,
        tuple(row.where for row in kept.values()),
    )


def from_text(text: str) -> ReferencePrompts:
    """The prompts of a text box, one per line, without blank lines and lines that start with #; ! marks a bad one."""
    check_text(text, "Calibrate Gate's prompts")
    return _gathered(_marked((line, f"line {number} of prompts") for number, line in enumerate(text.splitlines(), 1)))


def _marked(lines: Iterable[tuple[str, str]]) -> list[_Row]:
    """Lines and where they stand, as rows: a leading ! marks a bad one, and then all others are good."""
    told = [(line.strip().removeprefix("!").strip(), line.strip().startswith("!"), where) for line, where in lines]
    kept = [one for one in told if one[0] and not one[0].startswith("#")]
    marked = any(bad for _, bad, _ in kept)
    return [_Row(prompt, bad if marked else None, where=where) for prompt, bad, where in kept]


def from_file(path: str | Path, bad_below: float = BAD_BELOW) -> ReferencePrompts:
    """The prompts of a file; in a .txt a leading ! marks a bad one.

    Args:
        bad_below: where `quality` is a number, prompts below this value are bad.

    Raises:
        EMoEError: the file cannot be read or holds no usable prompt.
    """
    if Path(path).suffix.lower() == ".txt":
        rows, skipped = load_prompts(path)
        return _gathered(_marked((row.prompt, f"line {row.line} of the file") for row in rows), tuple(skipped))
    if not math.isfinite(bad_below):
        raise EMoEError(f"Calibrate Gate's bad_below is {bad_below}; give a finite number.")
    rows, skipped = load_prompts(path)
    columns = _group_columns(rows)
    kept: list[_Row] = []
    for row in rows:
        try:
            labels = {column: row.columns[column].strip() for column in columns if row.columns.get(column, "").strip()}
            kept.append(_Row(row.prompt, _mark(row, bad_below), labels, f"line {row.line} of the file"))
        except ValueError as reason:
            skipped.append(BadRow(row.row, row.line, str(reason)))
    if not kept:
        raise EMoEError(
            f"The prompt file '{path}' has no usable row (the first one, {skipped[0]}); look at its columns."
        )
    return _gathered(kept, tuple(sorted(skipped, key=lambda bad: bad.row)))


def from_set(name: str) -> ReferencePrompts:
    """The prompts of a built-in set, such as `everyday`; an `EMoEError` where there is none of that name."""
    columns = [column for column in Choice(name).columns() if column != "prompt"]
    return _gathered(
        [
            _Row(row["prompt"], None, {column: row[column] for column in columns}, f"row {number} of '{name}'")
            for number, row in enumerate(Choice(name).rows(), start=1)
        ]
    )


def _mark(row: PromptRow, bad_below: float) -> bool | None:
    """Whether a row is marked as bad, None without such a column; a ValueError says why a mark is unclear."""
    given = {column.strip().lower(): value.strip().lower() for column, value in row.columns.items()}
    if "bad" in given:
        if given["bad"] in _YES or given["bad"] in _NO or not given["bad"]:
            return given["bad"] in _YES
        raise ValueError("bad is neither yes nor no; write one of them")
    if "quality" not in given:
        return None
    if given["quality"] in ("good", "ok", "bad"):
        return given["quality"] == "bad"
    try:
        number = float(given["quality"])
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError("quality is neither good nor bad nor a number; write one of them")
    return number < bad_below


def _group_columns(rows: Sequence[PromptRow]) -> list[str]:
    """Columns whose labels cover two prompts or more on average: neither row numbers nor free text."""
    names = dict.fromkeys(column for row in rows for column in row.columns)
    found = []
    for name in names:
        labels = [row.columns[name].strip() for row in rows if row.columns.get(name, "").strip()]
        if name.strip().lower() not in _MARKS and labels and 2 * len(set(labels)) <= len(labels):
            found.append(name)
    return found
