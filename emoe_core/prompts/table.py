"""Tables: comma, semicolon and tab separated files, and Parquet files through pyarrow where it is installed."""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ..errors import EMoEError
from ..io.files import explained
from .rows import NAMES, Line, Lines, Rows, Undecoded, as_text, checked, lines, prompt_column

LONGEST_RECORD = 500  # lines that a quoted field may span; an unclosed quote must not swallow the file


def read(path: Path) -> Rows:
    """The prompts of a table with a header line (a .tsv of captions and URLs may lack it)."""
    source = lines(path)
    first = _first(path, source)
    if first is None:
        return
    if _is_caption_and_url(path, first[1]):
        delimiter, header = "\t", ["caption", "url"]
        source = _chain(first, source)
    else:
        delimiter, header = _header(path, first[1])
    column = prompt_column(header)
    assert column is not None
    for number, record in _records(source, delimiter, len(header)):
        if isinstance(record, Undecoded):
            yield number, record.reason
            continue
        values = _fields(record, delimiter, header)
        if isinstance(values, str):
            yield number, values
        else:
            prompt = values.pop(column)
            yield number, checked(prompt, {name: value for name, value in values.items() if name})


def read_table(path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells of a small table without prompts; an `EMoEError` at the first bad row."""
    path = Path(path)
    with explained(f"The table '{path}' cannot be read", "check the path"):
        source = lines(path)
        first = _first(path, source)
        if first is None:
            raise EMoEError(f"The table '{path}' is empty; give it a header line and rows.")
        delimiter = max(",;\t", key=first[1].count)
        header = [name.strip() for name in _split(first[1], delimiter)]
        for number, record in _records(source, delimiter, len(header)):
            if isinstance(record, Undecoded):
                raise EMoEError(f"Line {number} of '{path}' is {record.reason}.")
            values = _fields(record, delimiter, header)
            if isinstance(values, str):
                raise EMoEError(f"Line {number} of '{path}' cannot be read: {values}.")
            yield number, values


def _first(path: Path, source: Lines) -> tuple[int, str] | None:
    """The first line that is not empty."""
    for number, line in source:
        if isinstance(line, Undecoded):
            raise EMoEError(f"Line {number}, the header of '{path}', is {line.reason}.")
        if line.strip():
            return number, line
    return None


def _chain(first: tuple[int, str], source: Lines) -> Lines:
    yield first
    yield from source


def _is_caption_and_url(path: Path, line: str) -> bool:
    """CC3M's shape: no header, one caption and the picture's URL per line."""
    cells = line.split("\t")
    return path.suffix.lower() == ".tsv" and len(cells) == 2 and cells[1].strip().startswith(("http://", "https://"))


def _header(path: Path, line: str) -> tuple[str, list[str]]:
    """The delimiter and the column names; a .csv may also use semicolons or tabs, as spreadsheets do."""
    for delimiter in ("\t",) if path.suffix.lower() == ".tsv" else (",", ";", "\t"):
        names = [name.strip() for name in _split(line, delimiter)]
        if prompt_column(names) is not None:
            return delimiter, names
    raise EMoEError(f"The prompt file '{path}' has no prompt column in its first line; name one {NAMES}.")


def _split(record: str, delimiter: str) -> list[str]:
    limit = csv.field_size_limit()
    try:
        csv.field_size_limit(max(limit, len(record) + 1))
        return next(csv.reader([record.replace("\0", " ").replace("\r", " ")], delimiter=delimiter), [])
    finally:
        csv.field_size_limit(limit)


def _fields(record: str, delimiter: str, header: list[str]) -> dict[str, str] | str:
    """The cells by their columns' names, or the reason why there are none."""
    if _quotes(record, delimiter) == "open":
        return 'a quote (") is opened and never closed'
    fields = _split(record, delimiter)
    if len(fields) != len(header):
        return f"{len(fields)} columns instead of {len(header)}; quote a field that holds a '{delimiter}'"
    return dict(zip(header, fields, strict=True))


def _records(source: Lines, delimiter: str, width: int) -> Iterator[tuple[int, Line]]:
    """Joins lines while a quoted field is open. If they make no row, only the first line is bad."""
    put_back: deque[tuple[int, Line]] = deque()

    def following() -> tuple[int, Line] | None:
        return put_back.popleft() if put_back else next(source, None)

    while (start := following()) is not None:
        number, line = start
        if isinstance(line, str) and not line.strip():
            continue
        record: Line = line
        taken = list[tuple[int, Line]]()
        while isinstance(record, str) and _quotes(record, delimiter) == "open" and len(taken) < LONGEST_RECORD:
            if (more := following()) is None:
                break
            taken.append(more)
            record = more[1] if isinstance(more[1], Undecoded) else f"{record}\n{more[1]}"
        if taken and (
            isinstance(record, Undecoded)
            or _quotes(record, delimiter) != "closed"
            or len(_split(record, delimiter)) != width
        ):
            put_back.extendleft(reversed(taken))
            record = line
        yield number, record


def _quotes(record: str, delimiter: str) -> str:
    """'open' when a field that starts with a quote has no end, 'odd' when text follows its end, else 'closed'.

    A quote inside a field that does not start with one is an ordinary letter.
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


_BATCH = 4096


def read_parquet(path: Path) -> Rows:
    """The prompts of a .parquet file; the number of a row serves as its line."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise EMoEError(
            f"The prompt file '{path}' needs pyarrow, which is not installed; install it or save the prompts as .csv."
        ) from error
    if not path.is_file():
        raise EMoEError(f"The prompt file '{path}' is not there; check the path.")
    try:
        with parquet.ParquetFile(path) as table:
            column = prompt_column(table.schema_arrow.names)
            if column is None:
                raise EMoEError(f"The prompt file '{path}' has no prompt column; name one {NAMES}.")
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH):
                for entry in batch.to_pylist():
                    number += 1
                    prompt = entry.pop(column)
                    rest = {name: as_text(value) for name, value in entry.items() if value is not None}
                    yield number, checked(prompt, rest, column)
    except ArrowException as error:
        raise EMoEError(f"The prompt file '{path}' is not a readable .parquet ({error}).") from error
