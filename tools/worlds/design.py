"""The worlds, the splits, and the experts of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..train_demo.data import RATES
from ..train_demo.data import SEED as DEMO_SEED
from ..train_demo.sources import LANGUAGES
from ..train_demo.train import Plan

COUNTS = {"main": 120, "under_sampled": 30, "held_out": 50, "held_out_group": 50}
CALIBRATION = 60
MULT = (1, 3)
ATTENTION = (False, True)
SIZE = 64
"""Side of the pictures in pixels; the latents are an eighth of it."""

BEST_SAMPLED = ("en", "fr", "de", "es", "it", "fi", "pl")
"""Languages that may have the largest share; typos and nonsense are written in its letters."""


@dataclass(frozen=True)
class World:
    """How text enters a world.

    Attributes:
        balanced: the tokenizer weighs all languages alike, so that a rare language has no longer token rows.
        frozen: the text encoder is trained on text alone, in all languages, and shared; else it learns with each U-Net.
        shared_words: words that fit several pictures are captions too.
        stamps: its things are photographs, and its captions sentences, in place of emoji and names.
    """

    name: str
    summary: str
    balanced: bool
    frozen: bool
    shared_words: bool = False
    stamps: bool = False


WORLDS = {
    world.name: world
    for world in (
        World("A", "text encoder trained with each U-Net; tokenizer at the training shares", False, False),
        World("B", "text encoder trained on text alone in all languages, frozen and shared", True, True),
        World("C", "as A, with a tokenizer that weighs all languages alike", True, False),
    )
}
#: For questions that the three worlds cannot answer; trained only when asked for.
MORE = {
    world.name: world
    for world in (
        World("D", "as C; words that fit several pictures are captions too", True, False, shared_words=True),
        World("T", "as C, on photographs whose captions are sentences", True, False, stamps=True),
    )
}
OWNERS = range(2, 41)
"""How many well-sampled things a shared word fits."""
SHARED_CAPTIONS = 10
"""Mean number of captions with a shared word, per thing and word."""


@dataclass(frozen=True)
class Split:
    """One draw of how often each thing is seen."""

    index: int

    @property
    def seed(self) -> int:
        """Seed of the concepts' groups and of the captions."""
        return DEMO_SEED + 100 * self.index

    @property
    def rates(self) -> dict[str, float]:
        """Language to share of the captions, largest first. Split 0 is the demo's; others permute the languages."""
        if self.index == 0:
            return dict(RATES)
        rng = np.random.default_rng(self.seed)
        first = BEST_SAMPLED[self.index % len(BEST_SAMPLED)]
        rest = [lang for lang in LANGUAGES if lang != first]
        order = [first, *(rest[i] for i in rng.permutation(len(rest)))]
        return dict(zip(order, RATES.values(), strict=False))

    @property
    def reference(self) -> str:
        """The best sampled language."""
        return next(iter(self.rates))


BASE = Plan("base", 3, 1900, 1.0e-3, 0.998, bootstrap=False)
EXPERTS = tuple(
    Plan(f"expert_{i}", 100 + i, 800, 1.5e-3, 0.995, bootstrap=True, kept=(100, 200, 400)) for i in range(1, 9)
)
INDEPENDENT = tuple(Plan(f"independent_{i}", 200 + i, 1900, 1.0e-3, 0.998, bootstrap=True) for i in range(1, 5))
COPY = Plan("near_copy", 301, 10, 1.0e-4, 0.5, bootstrap=True, warm_up=1)
"""Expert 1, trained ten steps further: a near-identical pair."""
