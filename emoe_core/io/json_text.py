"""JSON of others: what is nested too deeply to be copied, shown or written again is refused where it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

#: Lists and objects within each other. Python's own limits differ from version to version, and from reading to writing.
DEEPEST = 100
TOO_DEEP = "nested too deeply"


def parse(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of a text.

    Args:
        pairs: makes an object of its names and values.

    Raises:
        ValueError: it is no JSON, or is nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if is_too_deep(value):
        raise ValueError(TOO_DEEP)
    return value


def is_too_deep(value: Any) -> bool:
    """Whether there are more levels than `DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in inner if isinstance(one, (dict, list))]
