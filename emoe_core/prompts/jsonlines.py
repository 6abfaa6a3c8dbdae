"""JSON lines: one object per line, flat or like XM3600's (one object per image, its captions by language)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .rows import NAMES, Good, Rows, Undecoded, as_text, checked, lines, prompt_column


def read(path: Path) -> Rows:
    """The prompts of a .jsonl file; a line of XM3600 gives several rows."""
    for number, line in lines(path):
        if isinstance(line, Undecoded):
            yield number, line.reason
        elif line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON ({getattr(error, 'msg', 'nested too deeply')})"
                continue
            for found in rows_of(entry):
                yield number, found


def rows_of(entry: Any) -> Iterator[Good | str]:
    """The rows of one JSON value: one for an object with a prompt, several for XM3600's, or a reason."""
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
