"""JSON prompt files: lines with one object each, or one document.

A line is flat or like XM3600's (one object per image, its captions by language). A document holds COCO captions
(`annotations`) or a list of prompts, and is read item by item, never as a whole.
"""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.json_text import TOO_DEEP, is_too_deep
from .rows import NAMES, Good, Rows, Undecoded, as_text, check_start, checked, lines, not_utf8, prompt_column

_CHUNK = 1 << 16
_LONGEST = 1 << 24  # letters per item, so that a broken document is not read to its end in search of a bracket
_SPACE = " \t\r\n"
#: Names under which a document may keep its prompts; COCO's comes first.
LISTS = ("annotations", "prompts", "captions", "data", "rows")


def read(path: Path) -> Rows:
    """The prompts of a .json file: a list, or an object with one of `LISTS`.

    Raises:
        EMoEError: it is no JSON, or has no such list; the message names the line.
    """
    with open(path, "rb") as file:
        check_start(path, file.read(200))
    stream = _Stream(path)
    start = stream.peek()
    if start == "[":
        yield from _rows(stream)
    elif start == "{":
        found = False
        for name in stream.names():
            if name in LISTS and stream.peek() == "[" and not found:
                found = True
                yield from _rows(stream)
            else:
                stream.skip()
        if not found:
            raise EMoEError(
                f"The prompt file '{path}' has no list of prompts; a COCO file has one named 'annotations'."
            )
    elif start:
        raise stream.error("a list or an object must come first")


def _rows(stream: "_Stream") -> Rows:
    for line, item in stream.items():
        if isinstance(item, str):
            yield line, checked(item, {})
        else:
            for found in rows_of(item):
                yield line, found


class _Stream:
    """A JSON document of which only the current item is in memory.

    The standard library reads documents whole, and COCO's captions take some hundred megabytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chunks = self._read()
        self._text, self._at, self._line, self._ended = "", 0, 1, False
        self._decoder = json.JSONDecoder()

    def _read(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        line = 1
        with open(self._path, "rb") as file:
            while True:
                raw = file.read(_CHUNK)
                try:
                    text = decoder.decode(raw, final=not raw)
                except UnicodeDecodeError as error:
                    where = line + raw[: error.start].count(b"\n")
                    bad = raw[max(0, error.start - 20) : error.start + 40]
                    raise EMoEError(f"Line {where} of the prompt file '{self._path}' is {not_utf8(bad)}.") from error
                line += text.count("\n")
                if text:
                    yield text
                if not raw:
                    return

    def _more(self) -> bool:
        """Reads on, and drops what has been used."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
            return False
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return True

    def error(self, why: str) -> EMoEError:
        return EMoEError(f"The prompt file '{self._path}' is not whole JSON: line {self._line_now()}, {why}.")

    def _line_now(self) -> int:
        return self._line + self._text.count("\n", 0, self._at)

    def peek(self) -> str:
        """The next letter that is no space; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _take(self, letter: str) -> None:
        if self.peek() != letter:
            raise self.error(f"'{letter}' is missing")
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
                why = "it ends in the middle"
            except (ValueError, RecursionError) as error:
                why = str(getattr(error, "msg", "it is nested too deeply"))
            size = max(_CHUNK, len(self._text) - self._at)  # doubles each time, so that little is parsed twice
            if size > _LONGEST:
                raise self.error(why)
            before = len(self._text) - self._at
            while len(self._text) - self._at < before + size and self._more():
                pass
            if self._ended and len(self._text) - self._at == before:
                try:
                    value, self._at = self._decoder.raw_decode(self._text, self._at)
                    return value
                except (ValueError, RecursionError):
                    raise self.error(why) from None

    def items(self) -> Iterator[tuple[int, Any]]:
        """Line and value of each item of the list that comes next."""
        for _ in self._between("[", "]"):
            self.peek()
            yield self._line_now(), self.value()

    def names(self) -> Iterator[str]:
        """Names of the object that comes next; the value after each must be read or skipped."""
        for _ in self._between("{", "}"):
            name = self.value()
            if not isinstance(name, str):
                raise self.error("a name must be text")
            self._take(":")
            yield name

    def _between(self, opening: str, closing: str) -> Iterator[None]:
        """Stops at each part between two brackets; the part must be read before the next."""
        self._take(opening)
        more = self.peek() != closing
        while more:
            yield
            more = self.peek() != closing
            if more:
                self._take(",")
        self._take(closing)

    def skip(self) -> None:
        """Skips the next value; a list is skipped item by item."""
        if self.peek() == "[":
            for _ in self.items():
                pass
        else:
            self.value()


def read_lines(path: Path) -> Rows:
    """The prompts of a .jsonl file; a line of XM3600 gives several rows."""
    for number, line in lines(path):
        if isinstance(line, Undecoded):
            yield number, line.reason
        elif line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                said = TOO_DEEP if isinstance(error, RecursionError) else "a number has too many digits"
                yield number, f"not JSON ({getattr(error, 'msg', said)})"
                continue
            for found in rows_of(entry):
                yield number, found


def rows_of(entry: Any) -> Iterator[Good | str]:
    """The rows of one JSON value: one for an object with a prompt, several for XM3600's, or a reason."""
    if is_too_deep(entry):
        yield TOO_DEEP
        return
    if not isinstance(entry, dict):
        yield "not a JSON object; write one object per line"
        return
    column = prompt_column(list(entry))
    if column is not None:
        rest = {name: as_text(value) for name, value in entry.items() if name != column and value is not None}
        yield checked(entry[column], rest, column)
        return
    by_language = {name: value["caption"] for name, value in entry.items() if _has_captions(value)}
    if not by_language:
        yield f"no prompt; name it {NAMES}"
    yield from _by_language(entry, by_language)


def _has_captions(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("caption"), (str, list))


def _by_language(entry: dict[str, Any], by_language: dict[str, Any]) -> Iterator[Good | str]:
    """XM3600: the image's key is the id of its parallel captions; second captions pair with second captions."""
    flat = {name: as_text(value) for name, value in entry.items() if value is not None and not isinstance(value, dict)}
    key = flat.pop("image/key", flat.pop("id", ""))
    rest = {name.replace("/", "_"): value for name, value in flat.items()}
    for language, captions in by_language.items():
        for number, caption in enumerate([captions] if isinstance(captions, str) else captions, start=1):
            own = f"{key}#{number}" if key and number > 1 else key
            found = checked(caption, {**({"id": own} if own else {}), "language": language, **rest}, language)
            yield f"{language}: {found}" if isinstance(found, str) else found
