"""Prompts for an audit of the demo experts, whose training shares are known: the same things in every language, and
English prompts of kinds that training showed often, seldom and never."""

import csv
from pathlib import Path
from typing import TypeVar

from . import ground_truth, prompts

Item = TypeVar("Item")
THINGS = 40
KINDS = {
    "fresh": "well known",
    "under_sampled": "shown seldom",
    "held_out": "never shown",
    "faces": "unseen faces",
}


def write_audit_prompts(path: str | Path, things: int = THINGS, languages: tuple[str, ...] | None = None) -> Path:
    """Writes the table: `prompt`, `language`, `kind`, `id`. A prompt has either a language and an id, or a kind.

    Args:
        things: how many things each language names, and the limit of prompts per kind.
        languages: a selection of the fourteen; None for all.
    """
    truth, groups, path = ground_truth(), prompts(), Path(path)
    known = [concept["names"] for concept in truth["concepts"] if concept["group"] == "main"]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "language", "kind", "id"])
        for names in _spread(known, things):
            for language in languages or tuple(truth["languages"]):
                table.writerow([names[language], language, "", names["en"]])
        for group, kind in KINDS.items():
            for prompt in _spread(groups[group], things):
                table.writerow([prompt, "", kind, ""])
    return path


def _spread(items: list[Item], count: int) -> list[Item]:
    """At most `count` items, evenly spaced through the list."""
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]
