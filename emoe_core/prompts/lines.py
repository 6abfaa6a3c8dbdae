"""Numbered lines of a text file; what is not UTF-8 is named with the encoding that it looks like."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import EMoEError

NOT_UTF8 = "not UTF-8 text"


@dataclass(frozen=True)
class Undecoded:
    """A line that is not UTF-8, and why it cannot be read."""

    reason: str


Line = str | Undecoded
Lines = Iterator[tuple[int, Line]]

#: Byte order marks of what is not read; UTF-32 before UTF-16, whose mark it begins with.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def lines(path: Path) -> Lines:
    """Lines without their ends, numbered from 1.

    Raises:
        EMoEError: the file is UTF-16 or UTF-32.
    """
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            if number == 1:
                check_start(path, raw)
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
    """The reason, with the encoding that the bytes look like."""
    guess = _guess(raw.rstrip(b"\r\n"))
    return f"{NOT_UTF8}{f', it looks like {guess}' if guess else ''}; save the file as UTF-8"


def _guess(raw: bytes) -> str | None:
    """The most likely old encoding: each leaves letters of its own script when it is the right one."""
    for codec, name, letters in (
        ("shift_jis", "Shift_JIS", ("HIRAGANA", "KATAKANA LETTER", "CJK")),
        ("euc_jp", "EUC-JP", ("HIRAGANA", "KATAKANA LETTER")),
        ("euc_kr", "EUC-KR", ("HANGUL",)),
        ("gb18030", "GB18030", ("CJK",)),
        ("big5", "Big5", ("CJK",)),
        ("cp1251", "Windows-1251", ("CYRILLIC SMALL",)),
        ("cp1252", "Windows-1252", ("LATIN SMALL", "LATIN CAPITAL")),
    ):
        try:
            high = [letter for letter in raw.decode(codec) if ord(letter) > 127]
        except UnicodeDecodeError:
            continue
        fitting = sum(unicodedata.name(letter, "").startswith(letters) for letter in high)
        half_width = any("\uff61" <= letter <= "\uff9f" for letter in high)  # what Shift_JIS makes of foreign bytes
        if high and fitting >= 0.7 * len(high) and not half_width:
            return name
    return None
