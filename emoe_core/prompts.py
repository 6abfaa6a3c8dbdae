"""Prompt files: .txt, .csv, .tsv, .jsonl and .parquet, read a row at a time.

The text is UTF-8, with or without a byte order mark. A .txt holds a prompt a line; lines that start with `#` are
comments. The other kinds have a column named `prompt`, `prompts`, `caption`, `best_caption` or `text` in any case (the
first of these that is there is the prompt); every other column is kept as text under its own name. A row that cannot
be read is collected with its line and the reason, and the rows around it are kept.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import EMoEError

ALIASES = ("prompt", "prompts", "caption", "best_caption", "text")
KINDS = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")
LONGEST_RECORD = 500  # lines that a quoted field may span; a quote that nobody closed must not swallow the file


@dataclass(frozen=True)
class PromptRow:
    """One prompt. `row` counts rows from 1, bad ones included; `line` is where it starts in the file."""

    row: int
    line: int
    prompt: str
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read, and why."""

    row: int
    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class _Unreadable(Exception):
    """Why one row cannot be used."""


Parsed = tuple[int, "tuple[str, dict[str, str]] | str"]  # line, and prompt with columns, or the reason why not
Lines = Iterator[tuple[int, "str | None"]]


def read_prompts(path: str | Path, bad: list[BadRow] | None = None) -> Iterator[PromptRow]:
    """The file's prompts one by one; rows that cannot be read are appended to `bad`.

    Raises:
        EMoEError: the file is missing, of an unknown kind, has no prompt column, or holds not one usable prompt.
    """
    path = Path(path)
    bad = [] if bad is None else bad
    found, before = 0, len(bad)
    try:
        for number, (line, parsed) in enumerate(_reader(path), start=1):
            if isinstance(parsed, str):
                bad.append(BadRow(number, line, parsed))
            else:
                found += 1
                yield PromptRow(number, line, *parsed)
    except OSError as error:
        raise EMoEError(f"The prompt file '{path}' cannot be read ({error.strerror}); check the path.") from error
    if not found:
        first = f" (the first row that cannot be used, {bad[before]})" if len(bad) > before else ""
        raise EMoEError(f"The prompt file '{path}' holds no prompt{first}; put in at least one.")


def load_prompts(path: str | Path) -> tuple[list[PromptRow], list[BadRow]]:
    """All prompts of a file, and the rows that could not be read."""
    bad: list[BadRow] = []
    return list(read_prompts(path, bad)), bad


def _reader(path: Path) -> Iterator[Parsed]:
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise EMoEError(f"The prompt file '{path}' is of a kind that is not read; use one of {', '.join(KINDS)}.")
    if kind == ".parquet":
        return _parquet(path)
    return {".txt": _txt, ".csv": _table, ".tsv": _table, ".jsonl": _jsonl}[kind](path, _lines(path))


def _lines(path: Path) -> Lines:
    """Numbered lines without their ends; None for one that is not UTF-8."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            if number == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise EMoEError(f"The prompt file '{path}' is UTF-16; save it as UTF-8.")
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            try:
                yield number, raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, None


NOT_UTF8 = "not UTF-8 text; save the file as UTF-8"


def _txt(_: Path, lines: Lines) -> Iterator[Parsed]:
    for number, line in lines:
        if line is None:
            yield number, NOT_UTF8
        elif line.strip() and not line.lstrip().startswith("#"):
            yield number, (line.strip(), {})


def _jsonl(_: Path, lines: Lines) -> Iterator[Parsed]:
    for number, line in lines:
        if line is None:
            yield number, NOT_UTF8
        elif line.strip():
            try:
                yield number, _json_row(line)
            except _Unreadable as reason:
                yield number, str(reason)


def _json_row(line: str) -> tuple[str, dict[str, str]]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"not JSON ({getattr(error, 'msg', error)})") from error
    if not isinstance(entry, dict):
        raise _Unreadable("not a JSON object; write one object a line")
    column = _prompt_column(list(entry))
    if column is None:
        raise _Unreadable(f"no prompt; name it {', '.join(ALIASES[:-1])} or {ALIASES[-1]}")
    if not isinstance(entry[column], str):
        raise _Unreadable(f"'{column}' is not text")
    return _checked(entry[column], {k: _as_text(v) for k, v in entry.items() if k != column and v is not None})


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _checked(prompt: str, columns: dict[str, str]) -> tuple[str, dict[str, str]]:
    if not prompt.strip():
        raise _Unreadable("the prompt is empty")
    if "\0" in prompt:
        raise _Unreadable("the prompt holds a NUL character")
    return prompt.strip(), columns


def _prompt_column(names: Sequence[str]) -> str | None:
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[alias] for alias in ALIASES if alias in lowered), None)


# --- .csv and .tsv ----------------------------------------------------------------------------------------------------


def _table(path: Path, lines: Lines) -> Iterator[Parsed]:
    first = next(((n, line) for n, line in lines if line is None or line.strip()), None)
    if first is None:
        return
    if first[1] is None:
        raise EMoEError(f"The first line of the prompt file '{path}' is {NOT_UTF8}.")
    delimiter, header = _header(path, first[1])
    column = _prompt_column(header)
    assert column is not None
    for number, record in _records(lines, delimiter, len(header)):
        if record is None:
            yield number, NOT_UTF8
            continue
        try:
            yield number, _table_row(record, delimiter, header, column)
        except _Unreadable as reason:
            yield number, str(reason)


def _header(path: Path, line: str) -> tuple[str, list[str]]:
    """The delimiter and the column names; a .csv may also use semicolons or tabs, as spreadsheets write it."""
    for delimiter in ("\t",) if path.suffix.lower() == ".tsv" else (",", ";", "\t"):
        names = [name.strip() for name in _split(line, delimiter)]
        if _prompt_column(names) is not None:
            return delimiter, names
    raise EMoEError(
        f"The prompt file '{path}' has no prompt column in its first line; name one {', '.join(ALIASES[:-1])} or "
        f"{ALIASES[-1]}."
    )


def _split(record: str, delimiter: str) -> list[str]:
    limit = csv.field_size_limit()
    try:
        csv.field_size_limit(max(limit, len(record) + 1))
        return next(csv.reader([record.replace("\0", " ").replace("\r", " ")], delimiter=delimiter), [])
    finally:
        csv.field_size_limit(limit)


def _table_row(record: str, delimiter: str, header: list[str], column: str) -> tuple[str, dict[str, str]]:
    if _quotes(record, delimiter) == "open":
        raise _Unreadable('a quote (") is opened and never closed')
    fields = _split(record, delimiter)
    if len(fields) != len(header):
        raise _Unreadable(f"{len(fields)} columns instead of {len(header)}; quote a field that holds a '{delimiter}'")
    values = dict(zip(header, fields, strict=True))
    return _checked(values.pop(column), {name: value for name, value in values.items() if name})


def _records(lines: Lines, delimiter: str, width: int) -> Iterator[tuple[int, str | None]]:
    """Joins lines while a quoted field is open. Where that makes no row, the first line alone is the bad one."""
    put_back: deque[tuple[int, str | None]] = deque()

    def following() -> tuple[int, str | None] | None:
        return put_back.popleft() if put_back else next(lines, None)

    while (start := following()) is not None:
        number, line = start
        if line is not None and not line.strip():
            continue
        record, taken = line, list[tuple[int, str | None]]()
        while record is not None and _quotes(record, delimiter) == "open" and len(taken) < LONGEST_RECORD:
            if (more := following()) is None:
                break
            taken.append(more)
            record = None if more[1] is None else f"{record}\n{more[1]}"
        if taken and (
            record is None or _quotes(record, delimiter) != "closed" or len(_split(record, delimiter)) != width
        ):
            put_back.extendleft(reversed(taken))
            record = line
        yield number, record


def _quotes(record: str, delimiter: str) -> str:
    """'open' when a field that starts with a quote has no end, 'odd' when text follows an end, else 'closed'.

    A quote inside a field that does not start with one is a letter like any other.
    """
    if '"' not in record:
        return "closed"
    quoted, fresh, odd, position = False, True, False, 0
    while position < len(record):
        letter, after = record[position], record[position + 1 : position + 2]
        if quoted:
            if letter == '"' and after == '"':
                position += 1
            elif letter == '"':
                quoted = False
                odd = odd or after not in ("", delimiter)
        else:
            quoted, fresh = fresh and letter == '"', letter == delimiter
        position += 1
    return "open" if quoted else "odd" if odd else "closed"


# --- .parquet ---------------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Iterator[Parsed]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise EMoEError(
            f"The prompt file '{path}' needs pyarrow, which is not installed; install it or save the prompts as .csv."
        ) from error
    if not path.is_file():
        raise EMoEError(f"The prompt file '{path}' is not there; check the path.")
    try:
        with parquet.ParquetFile(path) as table:
            column = _prompt_column(table.schema_arrow.names)
            if column is None:
                raise EMoEError(f"The prompt file '{path}' has no prompt column; name one {' or '.join(ALIASES)}.")
            number = 0
            for batch in table.iter_batches():
                for entry in batch.to_pylist():
                    number += 1
                    prompt = entry.pop(column)
                    try:
                        if not isinstance(prompt, str):
                            raise _Unreadable(f"'{column}' is not text")
                        yield number, _checked(prompt, {k: _as_text(v) for k, v in entry.items() if v is not None})
                    except _Unreadable as reason:
                        yield number, str(reason)
    except ArrowException as error:
        raise EMoEError(f"The prompt file '{path}' is not a readable .parquet ({error}).") from error
