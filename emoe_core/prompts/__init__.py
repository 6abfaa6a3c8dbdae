"""Prompt files: .txt, .csv, .tsv, .jsonl, .json and .parquet, read a row at a time.

The text is UTF-8, with or without a byte order mark. A .txt holds a prompt a line; lines that start with `#` are
comments. The other kinds have a column named `prompt`, `prompts`, `caption`, `best_caption` or `text` in any case (the
first of these that is there is the prompt); every other column is kept as text under its own name. A .jsonl may also
be XM3600's (an object an image, captions by language), a .json COCO's (`annotations`) or a list, and a .tsv without
a header a list of captions and URLs. A row that cannot be read is collected with its line and the reason, and the rows
around it are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import EMoEError
from . import jsonfile, jsonlines, parquet, table
from .lines import Undecoded, lines
from .rows import ALIASES, BadRow, PromptRow, Rows, Unreadable, check_text, checked
from .table import read_table

__all__ = ["ALIASES", "KINDS", "BadRow", "PromptRow", "check_text", "load_prompts", "read_prompts", "read_table"]


def _txt(path: Path) -> Rows:
    for number, line in lines(path):
        if isinstance(line, Undecoded):
            yield number, line.reason
        elif line.strip() and not line.lstrip().startswith("#"):
            try:
                yield number, checked(line, {})
            except Unreadable as reason:
                yield number, str(reason)


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".txt": _txt,
    ".csv": table.read,
    ".tsv": table.read,
    ".jsonl": jsonlines.read,
    ".json": jsonfile.read,
    ".parquet": parquet.read,
}
KINDS = tuple(_READERS)


def read_prompts(path: str | Path, bad: list[BadRow] | None = None) -> Iterator[PromptRow]:
    """The file's prompts one by one; rows that cannot be read are appended to `bad`.

    Raises:
        EMoEError: the file is missing, of an unknown kind, has no prompt column, or holds not one usable prompt.
    """
    path = Path(path)
    bad = [] if bad is None else bad
    found, before = 0, len(bad)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise EMoEError(f"The prompt file '{path}' is of a kind that is not read; use one of {', '.join(KINDS)}.")
    try:
        for number, (line, parsed) in enumerate(reader(path), start=1):
            if isinstance(parsed, str):
                bad.append(BadRow(number, line, parsed))
            else:
                found += 1
                yield PromptRow(number, line, parsed.prompt, parsed.columns, parsed.note)
    except OSError as error:
        raise EMoEError(f"The prompt file '{path}' cannot be read ({error.strerror}); check the path.") from error
    if not found:
        first = f" (the first row that cannot be used, {bad[before]})" if len(bad) > before else ""
        raise EMoEError(f"The prompt file '{path}' holds no prompt{first}; put in at least one.")


def load_prompts(path: str | Path) -> tuple[list[PromptRow], list[BadRow]]:
    """All prompts of a file, and the rows that could not be read."""
    bad: list[BadRow] = []
    return list(read_prompts(path, bad)), bad
