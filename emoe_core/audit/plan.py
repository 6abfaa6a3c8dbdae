"""The first pass over a prompt file: what it holds, before a model is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.files import file_sha256
from ..prompts import BadRow, PromptRow, read_prompts
from ..records.message import Code, Message, dump_all
from .text import LANGUAGE_COLUMNS, is_english, words

#: Names that the column of the prompts' ids may have, in any case; the first one found is used.
ID_COLUMNS = ("id", "prompt_id", "image/key", "image_id", "caption_id", "concept", "key")
#: Columns that are never groups.
NOT_GROUPS = (
    *(*ID_COLUMNS, "quality", "score", "weight", "seed", "url", "file", "filename", "emoji", "note", "source"),
    *("language_name", "territory_name"),  # these repeat the column beside them
)
MOST_GROUPS = 400
ENOUGH = 3  # a column with fewer prompts per group, on average, is free text
_MOST_VALUES = 2000
_MOST_ENGLISH = 200_000


@dataclass
class AuditPlan:
    """What a prompt file holds.

    Attributes:
        sha256: of the file's bytes.
        total: number of usable prompts; `bad` counts the others.
        columns: all columns beside the prompt, in the order in which they occur.
        groups: the columns whose values are groups.
        id_column: the column that pairs parallel prompts, or "".
        values: by group column its values and the number of prompts with each.
        english: words of the file's English prompts, for the share of words shared with English.
        messages: what was changed or left out.
    """

    path: Path
    sha256: str
    total: int = 0
    bad: list[BadRow] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    id_column: str = ""
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    english: set[str] = field(default_factory=set)
    messages: list[Message] = field(default_factory=list)

    def rows(self) -> Iterator[PromptRow]:
        """The file's good rows, read anew."""
        return read_prompts(self.path)

    def as_dict(self) -> dict[str, Any]:
        """The part that is stored with the audit."""
        return {
            "name": self.path.name,
            "sha256": self.sha256,
            "total": self.total,
            "bad": len(self.bad),
            "columns": list(self.columns),
            "groups": list(self.groups),
            "id_column": self.id_column,
            **dump_all(self.messages),
        }


def read_plan(
    path: str | Path, groups: Sequence[str] | None = None, id_column: str | None = None, english: Sequence[str] = ()
) -> AuditPlan:
    """Reads the file once.

    Args:
        groups: the group columns; None takes every column whose values repeat (see `MOST_GROUPS`, `ENOUGH`).
        id_column: the column that pairs parallel prompts; None takes one of the usual names, "" none.
        english: further words that count as English, beside those of the file's own English prompts.

    Raises:
        EMoEError: the file cannot be used, or lacks a given column.
    """
    path = Path(path)
    plan = AuditPlan(path, "", english=set(english))
    counts: dict[str, dict[str, int]] = {}
    free: set[str] = set()
    seen: dict[str, int] = {}
    language: str | None = None
    changed = 0
    for row in read_prompts(path, plan.bad):
        plan.total += 1
        changed += bool(row.note)
        for name, value in row.columns.items():
            if name not in seen:
                seen[name] = 0
                if language is None and name.strip().lower() in LANGUAGE_COLUMNS:
                    language = name
            seen[name] += 1
            if name not in free or name in (groups or ()):
                found = counts.setdefault(name, {})
                found[value.strip()] = found.get(value.strip(), 0) + 1
                if len(found) > _MOST_VALUES:
                    free.add(name)
        if language and is_english(row.columns.get(language, "")) and len(plan.english) < _MOST_ENGLISH:
            plan.english.update(words(row.prompt))
    plan.sha256 = file_sha256(path)
    plan.columns = tuple(seen)
    plan.id_column = _id_column(plan, id_column)
    plan.groups = _groups(plan, groups, counts, free)
    plan.values = {name: counts[name] for name in plan.groups}
    if changed:
        plan.messages.append(Message.of(Code.CONTROL, count=changed))
    if plan.bad:
        plan.messages.append(Message.of(Code.BAD_ROWS, count=len(plan.bad)))
    for name in plan.groups:
        lacking = plan.total - sum(plan.values[name].values()) + plan.values[name].get("", 0)
        plan.values[name].pop("", None)
        if lacking:
            plan.messages.append(Message.of(Code.NO_GROUP, count=lacking, column=name))
    return plan


def _id_column(plan: AuditPlan, wanted: str | None) -> str:
    if wanted:
        return _named(plan, wanted, "--id")
    if wanted == "":
        return ""
    lowered = {name.strip().lower(): name for name in reversed(plan.columns)}
    return next((lowered[name] for name in ID_COLUMNS if name in lowered), "")


def _named(plan: AuditPlan, wanted: str, option: str) -> str:
    for name in plan.columns:
        if name == wanted or name.strip().lower() == wanted.strip().lower():
            return name
    known = ", ".join(plan.columns) or "none beside the prompt"
    raise EMoEError(f"The prompt file '{plan.path}' has no column '{wanted}' ({option}); its columns are {known}.")


def _groups(
    plan: AuditPlan, wanted: Sequence[str] | None, counts: dict[str, dict[str, int]], free: set[str]
) -> tuple[str, ...]:
    if wanted is not None:
        return tuple(dict.fromkeys(_named(plan, name, "--group") for name in wanted))
    found = []
    for name in plan.columns:
        values = [value for value in counts.get(name, {}) if value]
        prompts = sum(counts[name][value] for value in values) if values else 0
        repeated = 2 <= len(values) <= MOST_GROUPS and prompts >= ENOUGH * len(values) and name not in free
        numbers = all(_is_number(value) for value in values)
        if repeated and not numbers and name != plan.id_column and name.strip().lower() not in NOT_GROUPS:
            found.append(name)
    return tuple(found)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
