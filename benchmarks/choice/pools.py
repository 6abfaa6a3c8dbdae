"""Does `choose` find the good ones among planted copies and merges?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .sets import SCORE, Measured, expert, is_kept_back

POOL = 8
#: What a user can make of known prompts, without knowing what the experts were shown.
MADE = ("nonsense", "word_salad", "typos")


class Library:
    """A source's fine-tunes and what is made of them: the pools are drawn from here.

    Attributes:
        made_of: name of a planted expert -> those that it was made from.
        copies: the planted near copies; the other planted ones are merges.
    """

    def __init__(self, measured: Measured, quick: bool) -> None:
        from known_truth import variants

        self.measured = measured
        own = measured.source.experts
        self.weights = dict(own)
        self.made_of: dict[str, tuple[str, ...]] = {}
        names = list(own)
        copied = names[:2] if quick else names
        for name in copied:
            self._plant(f"{name} in fp8", variants.rounded(own[name], variants.fp8), name)
            self._plant(f"{name}, a little further", variants.noisy(own[name], 0.02, names.index(name)), name)
        self.copies = frozenset(self.made_of)
        pairs = list(combinations(names[:4], 2))
        for one, other in pairs[:2] if quick else pairs:
            self._plant(f"half {one}, half {other}", variants.merge(own[one], own[other]), one, other)
            blocks = variants.by_block(own[one], own[other], variants.ENCODER_AND_DECODER)
            self._plant(f"{one} and {other} by block", blocks, one, other)
            if not quick:
                self._plant(f"{one} and a fifth {other}", variants.merge(own[one], own[other], 0.2), one, other)
        self.names = list(self.weights)
        self.products = measured.layout(list(self.weights.values()))
        self.experts = [expert(measured.core, name, weights) for name, weights in self.weights.items()]
        self._values: dict[Any, float] = {}

    def _plant(self, name: str, weights: Any, *made_of: str) -> None:
        self.weights[name], self.made_of[name] = weights, made_of

    def draw(self, rng: Any) -> list[int]:
        """A pool of `POOL`: four fine-tunes, and planted ones of which at least two are copies and one is a merge of them."""
        own = rng.permutation(len(self.measured.source.experts))[:4].tolist()
        here = {self.names[place] for place in own}
        planted = [place for place, name in enumerate(self.names) if here.issuperset(self.made_of.get(name, ("",)))]
        copies = [place for place in planted if self.names[place] in self.copies]
        merges = [place for place in planted if place not in copies]
        count = min(int(rng.integers(1, POOL - 4)), len(merges), POOL - 5)
        chosen = rng.permutation(merges)[:count].tolist()
        chosen += rng.permutation(copies)[: POOL - 4 - count].tolist()
        return [int(place) for place in rng.permutation([*own, *chosen])]

    def value(self, experts: Sequence[int]) -> float:
        """The mean AUROC over the unknown groups, on the prompts that no choice has seen."""
        key = frozenset(experts)
        if key not in self._values:
            self._values[key] = self.measured.auroc(self.products.of(sorted(experts)).scores(SCORE), unseen=True)
        return self._values[key]


def prompts_to_choose(measured: Measured, labels: bool) -> list[Any]:
    """Half of the prompts. Without labels, known prompts and what can be made of them; the other prompts are of no kind."""
    asked, look = measured.core.choosing.record.Asked, measured.core.trial.look
    kinds = {
        "calibration": look.REFERENCE,
        "nonsense": look.NONSENSE,
        "typos": look.NONSENSE,
        "word_salad": look.SHUFFLED,
    }
    wanted = measured.source.unknown if labels else tuple(kinds)
    found = []
    for group, texts in measured.source.groups.items():
        for place, text in enumerate(texts):
            chooses = group == "calibration" or (group in wanted and not is_kept_back(place))
            kind = kinds.get(group, "") if chooses and not labels else ""
            bad = group != "calibration" if chooses and labels else None
            found.append(asked(kind, f"{group} {text}", text, {}, bad))
    return found


def pools(library: Library, draws: int, labels: bool) -> dict[str, float]:
    """`choose` on random pools."""
    choosing = library.measured.core.choosing
    halves = choosing.tasks.split(prompts_to_choose(library.measured, labels))
    rng, kept, below, sizes = np.random.default_rng(0), 0, [], []
    for _ in range(draws):
        pool = library.draw(rng)
        part = library.products.of(pool)
        scorer = lambda chosen, part=part: part.of(list(chosen)).scores(SCORE)  # noqa: E731
        kin = library.measured.core.experts.kinship.kinship([library.experts[place] for place in pool])
        out = choosing.kin.left_out(choosing.kin.by_weights(kin), part)
        found = choosing.select.select(scorer, halves, len(pool), 4, out)
        four = [pool[place] for place in found.steps[-1].experts]
        names = {library.names[place] for place in four}
        kept += any(names & set(made_of) for name, made_of in library.made_of.items() if name in names)
        best = max(library.value(four_of) for four_of in combinations(pool, 4))
        below.append(best - library.value(four))
        sizes.append(len(found.chosen))
    return {
        "planted_kept_share": kept / draws,
        "auroc_below_best_four": float(np.mean(below)),
        "worst": float(np.max(below)),
        "chosen": float(np.mean(sizes)),
    }
