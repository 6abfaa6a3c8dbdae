"""A message of every code, for whoever must be able to show them all."""

from __future__ import annotations

import string

from emoe_core.records.message import Code, Message

_PARTS = [code for code in Code if code.value.startswith("part_")]
_LISTS = {"experts": Code.EXPERT_IS, "pairs": Code.PAIR, "parts": Code.PROMPTS_BAD, "parents": Code.SHARE}


def holes(text: str) -> dict[str, str]:
    """The names that a text leaves open, and how each is written."""
    return {name: form or "" for _, name, form, _ in string.Formatter().parse(text) if name is not None}


def sample(code: Code) -> Message:
    """The message with the same name for every text, a fraction where a number is asked for, and lists of two."""
    values = {}
    for name, form in holes(code.words("en")).items():
        part = [sample(_LISTS[name])] * 2 if name in _LISTS else None
        values[name] = part or (0.25 if form else "Tuvalu")
    return Message.of(code, **values)


def every_message() -> list[Message]:
    """One of each; the parts come inside the others."""
    return [sample(code) for code in Code if code not in (*_PARTS, Code.SENTENCE)]
