"""What every kind of file gives per row: a line, and either a prompt with its other columns or the reason why not."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import EMoEError

ALIASES = ("prompt", "prompts", "caption", "best_caption", "text")
NAMES = f"{', '.join(ALIASES[:-1])} or {ALIASES[-1]}"
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Letters of no shape: C0 and C1 control characters except tab and line ends, and byte order marks inside the text.
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True)
class PromptRow:
    """One prompt. `row` counts rows from 1, bad ones included; `line` is the line where it starts in the file.

    `note` says what was changed to make it usable, or is "".
    """

    row: int
    line: int
    prompt: str
    columns: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read, and why."""

    row: int
    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True)
class Good:
    """A row that can be used."""

    prompt: str
    columns: dict[str, str]
    note: str = ""


Parsed = tuple[int, "Good | str"]  # the line, and the row or the reason why it cannot be used
Rows = Iterator[Parsed]


def checked(prompt: Any, columns: dict[str, str], name: str = "prompt") -> Good | str:
    """The row; a reason when the prompt is no text, is empty, or holds what no tokenizer can take."""
    if not isinstance(prompt, str):
        return f"'{name}' is not text"
    if "\0" in prompt:
        return "the prompt holds a NUL character"
    cleaned, count = _CONTROL.subn(" ", prompt)
    if _SURROGATE.search(cleaned):
        return "the prompt holds half a surrogate pair, which is no character; write it anew"
    if not cleaned.strip():
        return "the prompt is empty"
    note = f"{count} control character{'s' if count > 1 else ''} became spaces" if count else ""
    return Good(cleaned.strip(), columns, note)


def check_text(text: str, what: str) -> None:
    """An `EMoEError` for half a surrogate pair, of which a tokenizer says something that nobody understands."""
    if _SURROGATE.search(text):
        raise EMoEError(f"{what} holds half a surrogate pair, which is no character; write it anew.")


def as_text(value: Any) -> str:
    """A cell as text; numbers, lists and other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def prompt_column(names: Sequence[str]) -> str | None:
    """The column with the prompt, found by its usual names in any case."""
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[alias] for alias in ALIASES if alias in lowered), None)
