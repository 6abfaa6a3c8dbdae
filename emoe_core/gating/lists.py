"""Splitting aligned lists by one decision per item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import EMoEError
from ..prompts import check_text


@dataclass(frozen=True)
class Partition:
    """The same lists in two parts, and the places that the items had."""

    accepted: dict[str, list[Any]]
    rejected: dict[str, list[Any]]
    kept: list[int]
    dropped: list[int]


def partition(passed: Sequence[bool], lists: Mapping[str, Sequence[Any]]) -> Partition:
    """Splits every list by `passed`, one decision per item.

    A list of one item stands for all of them, as everywhere in the host.

    Raises:
        EMoEError: a list's length differs from the number of decisions. The host would silently repeat its last item, and
            prompts and pictures would no longer match.
    """
    count = len(passed)
    whole: dict[str, list[Any]] = {}
    for name, items in lists.items():
        if len(items) not in (1, count):
            raise EMoEError(
                f"Filter List by Gate's {name} has {len(items)} items and there are {count} decisions; connect lists that come "
                "from the same prompts."
            )
        whole[name] = list(items) * count if len(items) == 1 else list(items)
    kept = [i for i in range(count) if passed[i]]
    dropped = [i for i in range(count) if not passed[i]]
    return Partition(
        {name: [items[i] for i in kept] for name, items in whole.items()},
        {name: [items[i] for i in dropped] for name, items in whole.items()},
        kept,
        dropped,
    )


def prompt_lines(text: str) -> list[str]:
    """One prompt per line, without blank lines and lines that start with #; an `EMoEError` when there is none."""
    check_text(text, "Prompt List's prompts")
    found = [line.strip() for line in text.splitlines()]
    found = [line for line in found if line and not line.startswith("#")]
    if not found:
        raise EMoEError("Prompt List has no prompts; write at least one, one per line.")
    return found
