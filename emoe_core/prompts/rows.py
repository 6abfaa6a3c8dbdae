"""What every kind of file gives per row: a line, and either a prompt with its other columns or the reason why not.

A line that is not UTF-8 is reported with the encoding it looks like.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BRIEF, EMoEError, plain

NOT_UTF8 = "not UTF-8 text"


@dataclass(frozen=True)
class Undecoded:
    """A line that is not UTF-8, and why it cannot be read."""

    reason: str


Line = str | Undecoded
Lines = Iterator[tuple[int, Line]]

#: Byte order marks of unsupported encodings; UTF-32 first, because its mark starts with UTF-16's.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def lines(path: Path) -> Lines:
    """Lines without their ends, numbered from 1. They end with LF, CRLF or, as on a classic Macintosh, CR.

    Raises:
        EMoEError: the file is UTF-16 or UTF-32.
    """
    with open(path, "rb") as file:
        check_start(path, file.read(200))
        file.seek(0)
        for number, raw in enumerate((one for line in file for one in line.splitlines(keepends=True)), start=1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            try:
                yield number, raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, Undecoded(not_utf8(raw))


def check_start(path: Path, start: bytes) -> None:
    """An `EMoEError` for a file whose first bytes are those of UTF-16 or UTF-32."""
    name = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if name is None and 0 < start[:200].count(0) >= len(start[:200]) // 3:
        name = "UTF-16"
    if name is not None:
        raise EMoEError(f"The prompt file '{path}' is {name} (line 1); save it as UTF-8.")


def not_utf8(raw: bytes) -> str:
    """The reason, with the encoding that the bytes suggest."""
    guess = _guess(raw.rstrip(b"\r\n"))
    return f"{NOT_UTF8}{f', it looks like {guess}' if guess else ''}; save the file as UTF-8"


_KANA = ("HIRAGANA", "KATAKANA LETTER")
#: Codec, name, the script that must occur, scripts that may occur, and the share of letters beyond ASCII.
_OLD: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[float, float]], ...] = (
    ("shift_jis", "Shift_JIS", _KANA, ("CJK",), (0, 1)),
    ("euc_jp", "EUC-JP", _KANA, ("CJK",), (0, 1)),
    ("euc_kr", "EUC-KR", ("HANGUL",), (), (0, 1)),
    ("gb18030", "GB18030", ("CJK",), (), (0, 1)),
    ("big5", "Big5", ("CJK",), (), (0, 1)),
    ("cp1251", "Windows-1251", ("CYRILLIC SMALL",), ("CYRILLIC CAPITAL",), (0.51, 1)),
    ("cp1252", "Windows-1252", ("LATIN SMALL", "LATIN CAPITAL"), (), (0, 0.5)),
)


def _guess(raw: bytes) -> str | None:
    """The most likely old encoding: the right one gives letters of its own script, about as many as usual.

    chardet and similar libraries need a whole page to guess from; a prompt is one line.
    """
    for codec, name, needed, allowed, (least, most) in _OLD:
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError:
            continue
        high = [unicodedata.name(letter, "") for letter in text if ord(letter) > 127]
        letters = sum(letter.isalpha() for letter in text)
        own = sum(title.startswith(needed) for title in high)
        fitting = own + sum(title.startswith(allowed) for title in high if allowed)
        half_width = any(title.startswith("HALFWIDTH") for title in high)  # Shift_JIS reads foreign bytes as these
        share = len(high) / letters if letters else 0.0
        if own and fitting >= 0.7 * len(high) and least <= share <= most and not half_width:
            return name
    return None


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
        return plain(f"line {self.line}: {self.reason}", BRIEF)  # the reason may name a column


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
