"""The numbers of an audit as arrays: about a hundred bytes per prompt; the texts stay on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stats.evaluation import Floats
from .store import Store

Indices = NDArray[np.int64]
_NAMES = ("score", "response", "guidance", "p_value", "tokens", "truncated", "unknown", "words", "shared_english")
_CHUNK = 4096


@dataclass
class Numbers:
    """Scored prompts only, in the file's order.

    Attributes:
        rows: their rows in the prompt file, [n].
        values: by name one array [n], NaN where unknown. `tokens_per_word` is tokens over words.
        ids: number of each prompt's id, -1 without an id, [n].
        id_texts: how many different ids there are.
    """

    store: Store
    rows: Indices
    values: dict[str, Floats]
    ids: Indices
    id_count: int
    _members: dict[int, Indices] = field(default_factory=dict)

    @classmethod
    def load(cls, store: Store) -> "Numbers":
        """Reads all scores of the audit."""
        n = int(next(store.query("SELECT COUNT(*) FROM prompts WHERE score IS NOT NULL"))[0])
        rows, ids = np.empty(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        values = {name: np.full(n, np.nan) for name in _NAMES}
        found = store.query(f"SELECT row, {', '.join(_NAMES)} FROM prompts WHERE score IS NOT NULL ORDER BY row")
        for start, chunk in _chunks(found):
            stop = start + len(chunk)
            rows[start:stop] = [entry[0] for entry in chunk]
            for place, name in enumerate(_NAMES, start=1):
                values[name][start:stop] = [np.nan if entry[place] is None else entry[place] for entry in chunk]
        with np.errstate(divide="ignore", invalid="ignore"):
            values["tokens_per_word"] = np.where(values["words"] > 0, values["tokens"] / values["words"], np.nan)
        count, before = 0, None
        pairs = store.query("SELECT id, row FROM prompts WHERE score IS NOT NULL AND id <> '' ORDER BY id, row")
        for _, chunk in _chunks(pairs):
            numbers = []
            for text, _row in chunk:
                if text != before:
                    before, count = text, count + 1
                numbers.append(count - 1)
            ids[np.searchsorted(rows, [row for _, row in chunk])] = numbers
        return cls(store, rows, values, ids, count)

    @property
    def scores(self) -> Floats:
        return self.values["score"]

    def members(self, group: int) -> Indices:
        """Indices, in the arrays, of the group's scored prompts, ascending."""
        if group not in self._members:
            found = self.store.query("SELECT row FROM members WHERE group_id = ? ORDER BY row", (group,))
            member_rows = np.fromiter((row for (row,) in found), dtype=np.int64)
            places = np.searchsorted(self.rows, member_rows)
            places = places[places < len(self.rows)]
            known = np.isin(self.rows[places], member_rows)
            self._members[group] = places[known]
        return self._members[group]

    def _with_id(self, group: int) -> Indices:
        places = self.members(group)
        return places[self.ids[places] >= 0]

    def table(self, groups: list[int]) -> tuple[Indices, int]:
        """For parallel prompts: indices in the arrays, [ids, groups], -1 where a group lacks the id.

        Where several prompts of a group share an id, the index is the first one's, and the second value counts the others.
        Their scores are averaged (`means`).
        """
        found, repeated = np.full((self.id_count, len(groups)), -1, dtype=np.int64), 0
        for column, group in enumerate(groups):
            places = self._with_id(group)
            own, first = np.unique(self.ids[places], return_index=True)
            repeated += len(places) - len(own)
            found[own, column] = places[first]
        return found, repeated

    def means(self, name: str, groups: list[int]) -> Floats:
        """One value per id and group, [ids, groups]: the mean over the group's prompts with the id, NaN without any."""
        found = np.full((self.id_count, len(groups)), np.nan)
        for column, group in enumerate(groups):
            places = self._with_id(group)
            own, inverse = np.unique(self.ids[places], return_inverse=True)
            found[own, column] = np.bincount(inverse, self.values[name][places]) / np.bincount(inverse)
        return found


def _chunks(found: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    start, chunk = 0, []
    for entry in found:
        chunk.append(entry)
        if len(chunk) == _CHUNK:
            yield start, chunk
            start, chunk = start + _CHUNK, []
    if chunk:
        yield start, chunk
