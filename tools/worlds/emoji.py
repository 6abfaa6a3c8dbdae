"""The things of every world but T: emoji, with CLDR's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..train_demo import data
from ..train_demo.sources import LANGUAGES, Sources, prepare
from ..train_demo.truth import Frame


@dataclass(frozen=True)
class Emoji:
    """The demo's raw material."""

    sources: Sources

    @classmethod
    def prepare(cls, cache: Path) -> Emoji:
        """Fetches and unpacks the packages, unless the cache has them."""
        return cls(prepare(cache))

    def rates(self, rates: Mapping[str, float]) -> dict[str, float]:
        """A split's shares, as they are."""
        return dict(rates)

    def concepts(self, counts: Mapping[str, int], seed: int) -> list[data.Concept]:
        """Those of a split, by group."""
        return data.select_concepts(self.sources, counts, seed)

    def pictures(self, concepts: Sequence[data.Concept]) -> NDArray[np.uint8]:
        """All pictures as one array (count, 128, 128, 3), on white."""
        return data.pictures(self.sources, (one.emoji for one in concepts))

    def texts(self) -> list[str]:
        """Every name, language by language."""
        table = data.names(self.sources)
        return [name for lang in LANGUAGES for name in table[lang].values()]

    def keywords(self, language: str) -> dict[str, list[str]]:
        """Emoji -> CLDR's other words in a language."""
        return data.keywords(self.sources, language)

    def frame(self, concepts: Sequence[data.Concept], language: str) -> Frame:
        """Nothing: a name is no sentence."""
        return Frame()
