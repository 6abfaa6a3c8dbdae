"""Prompt files: .txt, .csv, .tsv, .jsonl, .json and .parquet, read row by row.

The text is UTF-8, with or without a byte order mark. A .txt holds one prompt per line; lines that start with `#` are
comments. The other kinds have a column named `prompt`, `prompts`, `caption`, `best_caption` or `text` in any case, and the
first of these holds the prompt; every other column is kept as text under its own name. Three more shapes are read: XM3600's
.jsonl (one object per image, captions by language), a .json list or COCO's .json (`annotations`), and a .tsv of captions
and URLs without a header. The name of a built-in set (`sets`) stands for its prompts where no file has it.

A row that cannot be read is collected with its line and the reason; the rows around it are kept.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import EMoEError
from ..io.files import explained
from . import jsonfile, table
from .rows import ALIASES, BadRow, PromptRow, Rows, Undecoded, check_text, checked, lines
from .sets import SETS, Choice
from .table import read_table

__all__ = ["ALIASES", "KINDS", "BadRow", "PromptRow", "check_text", "load_prompts", "read_prompts", "read_table"]


def _txt(path: Path) -> Rows:
    for number, line in lines(path):
        if isinstance(line, Undecoded):
            yield number, line.reason
        elif line.strip() and not line.lstrip().startswith("#"):
            yield number, checked(line, {})


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".txt": _txt,
    ".csv": table.read,
    ".tsv": table.read,
    ".jsonl": jsonfile.read_lines,
    ".json": jsonfile.read,
    ".parquet": table.read_parquet,
}
KINDS = tuple(_READERS)


def read_prompts(path: str | Path, bad: list[BadRow] | None = None) -> Iterator[PromptRow]:
    """Yields the prompts of a file, or of a built-in set by its name; rows that cannot be read are appended to `bad`.

    Raises:
        EMoEError: the file is missing, is of an unknown kind, has no prompt column, or holds no usable prompt.
    """
    path = Path(path)
    if str(path) in SETS and not path.exists():
        for number, row in enumerate(Choice(str(path)).rows(), start=1):
            yield PromptRow(number, number, row.pop("prompt"), row)
        return
    bad = [] if bad is None else bad
    found, before = 0, len(bad)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise EMoEError(
            f"The prompt file '{path}' is of a kind that is not read; use one of {', '.join(KINDS)}, "
            f"or a built-in set ({', '.join(SETS)})."
        )
    with explained(f"The prompt file '{path}' cannot be read", "check the path"):
        for number, (line, parsed) in enumerate(reader(path), start=1):
            if isinstance(parsed, str):
                bad.append(BadRow(number, line, parsed))
            else:
                found += 1
                yield PromptRow(number, line, parsed.prompt, parsed.columns, parsed.note)
    if not found:
        first = f" (the first row that cannot be used, {bad[before]})" if len(bad) > before else ""
        raise EMoEError(f"The prompt file '{path}' holds no prompt{first}; put in at least one.")


def load_prompts(path: str | Path) -> tuple[list[PromptRow], list[BadRow]]:
    """All prompts of a file, and the rows that could not be read."""
    bad: list[BadRow] = []
    return list(read_prompts(path, bad)), bad
