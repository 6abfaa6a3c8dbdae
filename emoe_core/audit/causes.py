"""What raises a group's score: its worst prompts, the words in them, and the concepts it lacks."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .numbers import Floats, Indices, Numbers
from .result import Cause, PromptScore
from .store import Store
from .text import words

SHOWN = 10
_SHRINK = 2.0  # this many neutral prompts are added: a word seen once counts a third of its effect
_PROMPT = "p.row, p.line, p.id, p.prompt, p.score, p.p_value, p.response"
_EXAMPLE = 120


def extremes(store: Store, group: int | None, most: int = SHOWN) -> tuple[tuple[PromptScore, ...], ...]:
    """The prompts with the highest and with the lowest scores, of one group or of all."""
    inside = "" if group is None else "JOIN members m ON m.row = p.row AND m.group_id = ?"
    values: tuple[Any, ...] = (most,) if group is None else (group, most)

    def ordered(direction: str) -> tuple[PromptScore, ...]:
        sql = f"SELECT {_PROMPT} FROM prompts p {inside} WHERE p.score IS NOT NULL ORDER BY p.score {direction}, p.row"
        return tuple(PromptScore(*found) for found in store.query(f"{sql} LIMIT ?", values))

    return ordered("DESC"), ordered("ASC")


def raising_words(prompts: Iterable[tuple[str, float]], fewest: int = 2, most: int = SHOWN) -> tuple[Cause, ...]:
    """Words whose prompts score highest above the group's other prompts.

    Args:
        prompts: text and score of the group's prompts.
        fewest: a word must be in at least this many prompts.
    """
    seen: dict[str, list[Any]] = {}
    count, total = 0, 0.0
    for text, score in prompts:
        count, total = count + 1, total + score
        for word in set(words(text)):
            if len(word) > 1 or not word.isascii():
                entry = seen.setdefault(word, [0, 0.0, text[:_EXAMPLE], score])
                entry[0] += 1
                entry[1] += score
                if score > entry[3]:
                    entry[2:] = [text[:_EXAMPLE], score]
    causes = []
    for word, (n, points, example, _) in seen.items():
        if fewest <= n < count:
            lift = (points / n - (total - points) / (count - n)) * n / (n + _SHRINK)
            if lift > 0:
                causes.append(Cause(word, n, lift, example))
    return tuple(sorted(causes, key=lambda cause: (-cause.lift, cause.text))[:most])


def lacking_concepts(
    numbers: Numbers, table: Indices, scores: Floats, column: int, first: int, most: int = SHOWN
) -> tuple[Cause, ...]:
    """Parallel prompts whose score in this group is highest above their median score in the others.

    Args:
        table: indices of the prompts, [ids, groups]; `scores` has the same shape, with NaN for a missing prompt.
        column: the group; `first`: the group whose prompts name the concepts.
    """
    gaps = np.nan_to_num(above_others(scores, column), nan=-np.inf)
    top = [int(i) for i in np.argsort(-gaps, kind="stable")[:most] if gaps[i] > 0]
    causes = []
    for index in top:
        own = _prompt(numbers, int(table[index, column]))
        place = int(table[index, first])
        name = _prompt(numbers, place) if place >= 0 else own
        causes.append(Cause(name, 1, float(gaps[index]) / (1 + _SHRINK), own))
    return tuple(causes)


def above_others(scores: Floats, column: int) -> Floats:
    """How much higher each prompt scores in a group than its median in the other groups, NaN where one side lacks it, [ids]."""
    others = np.delete(scores, column, axis=1)
    usable = np.isfinite(others).any(axis=1)
    gaps = np.full(len(scores), np.nan)
    gaps[usable] = scores[usable, column] - np.nanmedian(others[usable], axis=1)
    return gaps


def _prompt(numbers: Numbers, place: int) -> str:
    (text,) = next(numbers.store.query("SELECT prompt FROM prompts WHERE row = ?", (int(numbers.rows[place]),)))
    return str(text)[:_EXAMPLE]
