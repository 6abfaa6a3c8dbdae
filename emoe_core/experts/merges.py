"""Which relatives are merges of others, with which shares.

A merge C = a A + b B with a + b = 1 lies on the line through A and B, so C - B is a multiple of A - B up to rounding. The
differences of two independent fine-tunes from a third lie at an angle, because of what the third learned alone: no point of
their line is much nearer to it than they are. The explained share is how much of the squared distance between C and its
nearest parent disappears in the nearest point of the parents' line or plane. It is 1 for a merge. For fine-tunes of one base
it is about a quarter, and at most two thirds, which is what three parents explain of their own base.

Merges are fitted once for all weights, then with other shares for each block of the network, then for each tensor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..stats.evaluation import Floats
from .family import Family
from .kin import LEAST, Merge

#: Share of the squared distance to the nearest parent from which on an expert is a merge.
MERGED = 0.9
#: For relations that may be a merge in either direction, or a sum and a difference.
_EXACT = 0.97
MOST_PARENTS = 3
#: What three parents must explain with one share for all weights: they explain that much of nearly any merge by blocks.
_THREE = 0.5
#: Of the residue of fewer parents or of one share for all blocks: what more of them must leave at most.
_BETTER = 0.2
#: How far rounding may move a share, times the root of what the distances are over rounding.
_PULL = 0.3
#: The error of a share that rounding nearly hides.
_MOST_ERROR = 0.25
#: What may be left for rounding, and for shares that differ by no more than a hundredth or two from block to block.
_WHOLE = 0.002
#: Share of the tensors that a merge must differ in from its nearest parent, by more than rounding.
_TOUCHED = 0.1
#: Share of the tensors whose shares must be those of a mean, twice `LEAST` aside.
_INSIDE = 0.95


def merges_of(family: Family) -> list[Merge]:
    """What is made of what. Children whose parents are made of others themselves are told by those others."""
    places = range(len(family.experts))
    if len(places) < 3 or not family.scales.any():
        return []
    search = _Search(family)
    candidates = {child: list(search.candidates(child)) for child in places}
    children = {child for child, found in candidates.items() if any(one.decided for one in found)}
    merges: list[Merge] = []
    for child in sorted(children):
        own = [one for one in candidates[child] if one.decided]
        original = [one for one in own if not children & set(one.parents)]
        merges.append(_best(original or own))
    told = [{one.child, *one.parents} for one in merges]
    for child in places:
        for one in candidates[child]:
            members = {one.child, *one.parents}
            if child not in children and not one.decided and not children & members and members not in told:
                told.append(members)
                merges.append(one)
    return merges


def _best(merges: Sequence[Merge]) -> Merge:
    """With the fewest parents, unless more of them leave much less unexplained."""
    chosen = max((one for one in merges if len(one.parents) == len(merges[0].parents)), key=lambda m: m.explained)
    for one in merges:
        if len(one.parents) > len(chosen.parents) and 1 - one.explained < _BETTER * (1 - chosen.explained):
            chosen = one
    return chosen


@dataclass(frozen=True, eq=False)
class _Parts:
    """The network in parts that have shares of their own: itself, its blocks, or its tensors.

    Attributes:
        of: the part of each tensor, [tensors].
        grams: inner products in each part, [parts, M, M].
        rounding: what rounding adds to them, [parts, M].
    """

    of: NDArray[np.intp]
    grams: Floats
    rounding: Floats

    @classmethod
    def made(cls, family: Family, of: NDArray[np.intp]) -> "_Parts":
        count, experts = int(of.max()) + 1, len(family.experts)
        grams, rounding = np.zeros((count, experts, experts)), np.zeros((count, experts))
        np.add.at(grams, of, family.grams * family.scales[:, None, None])
        np.add.at(rounding, of, family.rounding * family.scales[:, None])
        return cls(of, grams, rounding)


@dataclass(frozen=True, eq=False)
class _Fit:
    """The parents' shares that fit best.

    Attributes:
        parts: where they are.
        weights: in each part, [parts, parents].
        explained: how much they explain of the squared distance to the nearest parent.
    """

    parts: _Parts
    weights: Floats
    explained: float

    @property
    def left(self) -> float:
        return 1 - self.explained


class _Search:
    """Looks for merges in a family."""

    def __init__(self, family: Family) -> None:
        self._family = family
        tensors = np.arange(len(family.scales))
        self._whole = _Parts.made(family, np.zeros_like(tensors))
        self._blocks = _Parts.made(family, np.unique(family.blocks, return_inverse=True)[1])
        self._tensors = _Parts.made(family, tensors)

    def candidates(self, child: int) -> Iterator[Merge]:
        """Everything that one expert may be made of, the fewest parents first."""
        others = [place for place in range(len(self._family.experts)) if place != child]
        if self._fit(self._tensors, child, others).explained < MERGED:
            return  # nor do a few of them explain it
        for count in range(2, MOST_PARENTS + 1):
            exact = False
            for parents in combinations(others, count):
                found = self._merge(child, parents)
                if found is not None:
                    exact |= 1 - found.explained < _WHOLE
                    if found.decided or count > 2:  # of three on a line, the one between is found as a child itself
                        yield found
            if exact:
                return

    def _merge(self, child: int, parents: tuple[int, ...]) -> Merge | None:
        """The child as a merge of just these parents; None where it is none."""
        over = self._over_rounding(child, parents)
        if over < 1:
            return None  # rounding hides it
        fit = self._fitted(child, parents)
        if fit is None:
            return None
        by_tensor = fit.weights[fit.parts.of][self._family.scales > 0]
        weights = by_tensor.mean(axis=0)
        if bool((np.abs(weights) < LEAST).any()):
            return None  # fewer parents do
        is_mean = (by_tensor > -2 * LEAST) & (by_tensor < 1 + 2 * LEAST)
        decided = float(np.mean(is_mean)) > _INSIDE and bool((weights > -LEAST).all())
        if not decided and fit.explained < _EXACT:
            return None
        # Rounding to the grid that the parents are on too pulls each number to the nearer of them.
        is_coarse = bool(self._family.coarse[child])
        return Merge(
            child,
            parents,
            tuple(float(w) for w in weights),
            float(fit.explained),
            () if fit.parts is self._whole else self._by_block(by_tensor),
            decided,
            LEAST if is_coarse else max(LEAST, min(_MOST_ERROR, _PULL / over**0.5)),
        )

    def _over_rounding(self, child: int, parents: Sequence[int]) -> float:
        """The squared distance to the nearest parent over what the child's rounding adds to it.

        The median of the tensors where it is more, since a merge by blocks may have whole blocks of a parent; 0 where hardly
        any tensor has more.
        """
        family = self._family
        nearest = min(parents, key=lambda parent: float(family.apart[child, parent]))
        noise = family.rounding[:, child]
        alive = (family.scales > 0) & (noise > 0)
        if not alive.any():
            return float("inf")
        ratio = family.distances[alive, child, nearest] / noise[alive]
        far = ratio[ratio >= 1]
        return float(np.median(far)) if len(far) >= _TOUCHED * len(ratio) else 0.0

    def _fitted(self, child: int, parents: Sequence[int]) -> _Fit | None:
        """The coarsest shares that are as good as finer ones; None where even those for each tensor explain too little."""
        whole = self._fit(self._whole, child, parents)
        if len(parents) > 2 and whole.explained < _THREE:
            return None
        near = whole.weights[0]
        tensors = self._fit(self._tensors, child, parents, near)
        if tensors.explained < MERGED:
            return None
        chosen = whole
        for finer in (self._fit(self._blocks, child, parents, near), tensors):
            is_better = chosen.left > _WHOLE and finer.left < _BETTER * chosen.left
            if is_better and np.ptp(finer.weights, axis=0).max() > LEAST:
                chosen = finer
        return chosen if chosen.explained >= MERGED else None

    def _fit(self, parts: _Parts, child: int, parents: Sequence[int], near: Floats | None = None) -> _Fit:
        """Least squares with shares that sum to 1, in each part of the network.

        Rounding of coarse parents is taken off, because merges are made from what they were before.

        Args:
            near: the shares of parts that do not tell.
        """
        chosen, last = [*parents, child], len(parents) - 1
        noise = parts.rounding[:, chosen]
        noise[:, [place for place, one in enumerate(parents) if not self._family.coarse[one]]] = 0
        grams = parts.grams[:, chosen][:, :, chosen] - noise[:, :, None] * np.eye(len(chosen))
        # Seen from the last parent, the others' shares are free: what they leave to 1 is its own.
        seen = grams - grams[:, last : last + 1] - grams[:, :, last : last + 1]
        seen = seen + grams[:, last, last][:, None, None]
        of_parents, with_child, of_child = seen[:, :last, :last], seen[:, :last, -1], seen[:, -1, -1]
        start = np.zeros(last) if near is None else near[:-1]
        ridge = 1e-9 * max(float(np.trace(grams.sum(axis=0))), 1e-300) * np.eye(last)
        free = start + np.linalg.solve(of_parents + ridge, (with_child - of_parents @ start)[:, :, None])[:, :, 0]
        left = of_child - 2 * np.einsum("pk,pk->p", free, with_child)
        left = left + np.einsum("pk,pkl,pl->p", free, of_parents, free)
        to_parents = [float((grams[:, k, k] + grams[:, -1, -1] - 2 * grams[:, k, -1]).sum()) for k in range(last + 1)]
        nearest = min(to_parents)
        explained = 1 - float(left.clip(min=0).sum()) / nearest if nearest > 0 else 0.0
        return _Fit(parts, np.concatenate([free, 1 - free.sum(axis=1, keepdims=True)], axis=1), explained)

    def _by_block(self, by_tensor: Floats) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """The mean shares of each block's trained tensors."""
        family = self._family
        trained = [name for name, scale in zip(family.blocks, family.scales, strict=True) if scale > 0]
        found = []
        for block in sorted(set(trained), key=_in_order):
            own = [place for place, name in enumerate(trained) if name == block]
            found.append((block, tuple(float(w) for w in by_tensor[own].mean(axis=0))))
        return tuple(found)


def _in_order(block: str) -> tuple[str, int]:
    name, _, number = block.partition(".")
    return name, int(number or -1)
