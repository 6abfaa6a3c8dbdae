"""Who descends from whom, which experts are merges of others, and how many experts that leaves, from the sampled weights.

A merge C = a A + b B with a + b = 1 lies on the line through A and B, so C - B is a multiple of A - B up to rounding. The
differences of two independent fine-tunes from a third lie at an angle, because of what the third learned alone: no point of
their line is much nearer to it than they are. The explained share is how much of the squared distance between C and its
nearest parent disappears in the nearest point of the parents' line or plane. It is 1 for a merge. For fine-tunes of one base
it is about a quarter, and at most two thirds, which is what three parents explain of their own base.

Merges are fitted once for all weights, then with other shares for each block of the network, then for each tensor.

Rounding is no kinship. The grid of a tensor shows in its values, and what rounding to it adds to a squared distance is known.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..stats.effective import Interval, effective
from ..stats.evaluation import Floats
from .kin import LEAST, Branch, Copy, Merge
from .rounding import coarse_type, grids_of, is_on_grid, rounding_of, share_of_rounding
from .sets import Expert
from .signature import relatedness

#: Weights that correlate more than this were hardly fine-tuned apart.
NEARLY_SAME_WEIGHTS = 0.9999
#: Share of the squared distance to the nearest parent from which on an expert is a merge.
MERGED = 0.9
#: For relations that may be a merge in either direction, or a sum and a difference.
_EXACT = 0.97
MOST_PARENTS = 3
#: Of the residue of fewer parents or of one share for all blocks: what more of them must leave at most.
_BETTER = 0.2
#: How far rounding may move a share, times the root of what the distances are over rounding.
_PULL = 0.3
#: What may be left for rounding, and for shares that differ by no more than a hundredth or two from block to block.
_WHOLE = 0.002
#: Largest squared distance of a near copy, over that of the set's most distant relatives: a merge with 95 % of one parent.
_NEAR = 0.05**2
#: How far an expert may lie from the place where others' paths meet and still be that place, in squared distances.
_BETWEEN = 0.1
#: Share of the tensors that a merge must differ in from its nearest parent, by more than rounding.
_TOUCHED = 0.1
#: Tensors whose squared distances are less than this many times their rounding count for less.
_PRECISE = 100
#: How the remark on an expert's file ends if only its difference from the first one is held.
SLIM = ", slim"


@dataclass(frozen=True, eq=False)
class _Fit:
    """Shares of the parents in each part of the network, [parts, parents], and how much they explain."""

    weights: Floats
    explained: float


class Family:
    """The sampled weights of relatives, without two of the same weights.

    Squared distances are counted in each tensor's mean squared distance between two relatives, so that every tensor that was
    trained has its say.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        self.experts = tuple(experts)
        signatures = [one.signature for one in experts]
        read = np.setdiff1d(np.arange(len(signatures[0].rows)), np.concatenate([[], *(s.unread for s in signatures)]))
        rows = np.stack([s.rows[read.astype(int)] for s in signatures])
        rows = np.nan_to_num(rows, posinf=0.0, neginf=0.0)
        names = signatures[0].names or tuple(map(str, range(len(signatures[0].rows))))
        self.blocks = [_block(names[int(place)]) for place in read]
        values = rows.astype(np.float64)
        self.size = np.square(values).sum(axis=2).mean(axis=0)  # [tensors]
        apart = values - values[:1]
        self.grams: Floats = np.einsum("itv,jtv->tij", apart, apart)
        grids = [grids_of(one) for one in rows]
        self.rounding: Floats = np.stack(
            [rounding_of(one, grid) for one, grid in zip(rows, grids, strict=True)], axis=1
        )
        #: By expert: the type that it was coarsely rounded to, "" for none.
        self.coarse = [coarse_type(one, grid) for one, grid in zip(experts, grids, strict=True)]
        for place, one in enumerate(experts):
            if self.coarse[place] and not is_on_grid(grids[place]):  # scales hide the grid
                is_float = "float8" in one.weights or "mxfp8" in one.weights
                share = share_of_rounding(one.weights) if is_float else None
                self.rounding[:, place] = (share or 0.0) ** 2 * np.square(values[place]).sum(axis=1)

    def of(self, places: Sequence[int]) -> "Family":
        """Some of the relatives."""
        return self if len(places) == len(self.experts) else Family([self.experts[place] for place in places])

    @cached_property
    def distances(self) -> Floats:
        """Squared distances less rounding, [tensors, M, M]."""
        square = np.einsum("tii->ti", self.grams)
        raw = square[:, :, None] + square[:, None, :] - 2 * self.grams
        found: Floats = raw - self.rounding[:, :, None] - self.rounding[:, None, :]
        found[:, np.arange(len(self.experts)), np.arange(len(self.experts))] = 0
        return np.asarray(found)

    @cached_property
    def scales(self) -> Floats:
        """One over the mean squared distance in each tensor, [tensors]; 0 where it is no more than rounding."""
        count = len(self.experts)
        mean = self.distances.sum(axis=(1, 2)) / max(count * (count - 1), 1)
        trained = mean > 2 * self.rounding.mean(axis=1)
        scale = mean + _PRECISE * self.rounding.mean(axis=1)
        return np.where(trained & (mean > 0), 1 / np.where(scale > 0, scale, 1.0), 0.0)

    @cached_property
    def apart(self) -> Floats:
        """Squared distances in units of the mean one, [M, M]."""
        found: Floats = np.einsum("t,tij->ij", self.scales, self.distances) / max(np.count_nonzero(self.scales), 1)
        return np.maximum(found, 0)

    # --- copies -------------------------------------------------------------------------------------------------------

    def copies(self) -> list[Copy]:
        """Pairs of one expert and a near copy of it. The finer one comes first; each is a copy once."""
        count = len(self.experts) if self.size.any() else 0
        order = sorted(range(count), key=lambda place: (bool(self.coarse[place]), place))
        found: list[Copy] = []
        for place, j in enumerate(order):
            for i in order[:place]:
                kind = None if any(one.other == i for one in found) else self._copy(i, j)
                if kind is not None:
                    found.append(Copy(i, j, kind, self.coarse[j] if kind == "rounding" else ""))
                    break
        return found

    def _copy(self, i: int, j: int) -> str | None:
        noise = self.rounding[:, i] + self.rounding[:, j]
        raw = np.maximum(self.distances[:, i, j] + noise, 0)
        alive = self.size > 0
        relative = raw[alive] / self.size[alive]
        # in most tensors, because those that no fine-tune changes are equal but for rounding in any two
        if self.coarse[j] and float(np.mean(raw <= 1.5 * noise)) > 0.9:
            return "rounding"
        # One model in one format is the same file twice, so two of one format that differ are two models.
        about = None if self.coarse[i] == self.coarse[j] else share_of_rounding(self.experts[j].weights)
        if about is not None and float(np.median(relative)) <= (1.5 * about) ** 2 and not self._leans(i, j):
            return "rounding"
        alike = relatedness(self.experts[i].signature, self.experts[j].signature) or 0.0
        pairs = list(combinations(range(len(self.experts)), 2))
        far = max(float(self.apart[pair]) for pair in pairs)
        if alike >= NEARLY_SAME_WEIGHTS and (len(pairs) == 1 or self.apart[i, j] <= 4 * _NEAR * far):
            return "near"
        if len(pairs) > 1 and self.apart[i, j] <= _NEAR * far:
            return "near"
        return None

    def _leans(self, i: int, j: int) -> bool:
        """Whether j lies off i towards another relative: rounding has no direction, and a sibling always does."""
        grams = np.einsum("t,tij->ij", self.scales, self.grams)
        for k in range(len(self.experts)):
            if k in (i, j) or self.coarse[k]:
                continue
            across = grams[j, k] - grams[j, i] - grams[i, k] + grams[i, i]
            along = grams[k, k] - 2 * grams[i, k] + grams[i, i]
            if along > 0 and abs(across) > 0.1 * along:
                return True
        return False

    # --- merges -------------------------------------------------------------------------------------------------------

    def merges(self) -> list[Merge]:
        """What is made of what. Children whose parents are made of others themselves are told by those others."""
        places = range(len(self.experts))
        if len(places) < 3 or not self.scales.any():
            return []
        candidates = {child: list(self._candidates(child)) for child in places}
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

    def _candidates(self, child: int) -> Iterator[Merge]:
        others = [place for place in range(len(self.experts)) if place != child]
        if self._fit(child, tuple(others), "tensors").explained < MERGED:
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

    def _over_rounding(self, child: int, parents: tuple[int, ...]) -> float:
        """The squared distance to the nearest parent over what the child's rounding adds to it.

        The median of the tensors where it is more, since a merge by blocks may have whole blocks of a parent; 0 where hardly
        any tensor has more.
        """
        nearest = min(parents, key=lambda parent: float(self.apart[child, parent]))
        noise = self.rounding[:, child]
        alive = (self.scales > 0) & (noise > 0)
        if not alive.any():
            return float("inf")
        ratio = self.distances[alive, child, nearest] / noise[alive]
        far = ratio[ratio >= 1]
        return float(np.median(far)) if len(far) >= _TOUCHED * len(ratio) else 0.0

    def _merge(self, child: int, parents: tuple[int, ...]) -> Merge | None:
        over = self._over_rounding(child, parents)
        if over < 1:
            return None  # hidden by rounding
        whole = self._fit(child, parents, "whole")
        # shares for each tensor explain the most; three parents explain half of nearly any merge by blocks
        if len(parents) > 2 and whole.explained < 0.5:
            return None
        fine = self._fit(child, parents, "tensors", whole.weights[0])
        if fine.explained < MERGED:
            return None
        chosen, level = whole, "whole"
        for finer, fit in (("blocks", self._fit(child, parents, "blocks", whole.weights[0])), ("tensors", fine)):
            left = 1 - chosen.explained
            better = left > _WHOLE and 1 - fit.explained < _BETTER * left
            if better and np.ptp(fit.weights, axis=0).max() > LEAST:
                chosen, level = fit, finer
        if chosen.explained < MERGED:
            return None
        trained = self.scales > 0
        by_tensor = chosen.weights[self._levels[level][0]][trained]
        weights = by_tensor.mean(axis=0)
        inside = float(np.mean((by_tensor > -2 * LEAST) & (by_tensor < 1 + 2 * LEAST))) > 0.95
        decided = inside and bool((weights > -LEAST).all())
        if bool((np.abs(weights) < LEAST).any()):
            return None  # fewer parents do
        if not decided and chosen.explained < _EXACT:
            return None
        # Rounding to the grid that the parents are on too pulls each number to the nearer of them.
        error = LEAST if self.coarse[child] else max(LEAST, min(0.25, _PULL / over**0.5))
        return Merge(
            child,
            parents,
            tuple(float(w) for w in weights),
            float(chosen.explained),
            () if level == "whole" else self._by_block(by_tensor),
            decided,
            error,
        )

    def _by_block(self, by_tensor: Floats) -> tuple[tuple[str, tuple[float, ...]], ...]:
        trained = [name for name, scale in zip(self.blocks, self.scales, strict=True) if scale > 0]
        found = []
        for block in sorted(set(trained), key=_in_order):
            own = [place for place, name in enumerate(trained) if name == block]
            found.append((block, tuple(float(w) for w in by_tensor[own].mean(axis=0))))
        return tuple(found)

    def _fit(self, child: int, parents: tuple[int, ...], level: str, near: Floats | None = None) -> _Fit:
        """Least squares with shares that sum to 1, in each part of the network.

        Rounding of coarse parents is taken off, because merges are made from what they were before.

        Args:
            near: the shares of parts that do not tell.
        """
        *first, last = parents
        chosen = [*first, last, child]
        _, all_grams, rounding = self._levels[level]
        grams, noise = all_grams[:, chosen][:, :, chosen], rounding[:, chosen]
        for place, one in enumerate(chosen[:-1]):
            if not self.coarse[one]:
                noise[:, place] = 0
        grams = grams - noise[:, :, None] * np.eye(len(chosen))
        origin = len(first)
        shifted = grams - grams[:, origin : origin + 1] - grams[:, :, origin : origin + 1]
        shifted = shifted + grams[:, origin, origin][:, None, None]
        free = list(range(origin))
        a, b, c = shifted[:, free][:, :, free], shifted[:, free, -1], shifted[:, -1, -1]
        start = np.zeros(origin) if near is None else near[:-1]
        ridge = 1e-9 * max(float(np.trace(grams.sum(axis=0))), 1e-300) * np.eye(origin)
        found = start + np.linalg.solve(a + ridge, (b - a @ start)[:, :, None])[:, :, 0]
        left = c - 2 * np.einsum("pk,pk->p", found, b) + np.einsum("pk,pkl,pl->p", found, a, found)
        nearest = min(
            float((grams[:, k, k] + grams[:, -1, -1] - 2 * grams[:, k, -1]).sum()) for k in range(len(parents))
        )
        explained = 1 - float(left.clip(min=0).sum()) / nearest if nearest > 0 else 0.0
        return _Fit(np.concatenate([found, 1 - found.sum(axis=1, keepdims=True)], axis=1), explained)

    @cached_property
    def _levels(self) -> dict[str, tuple[NDArray[np.intp], Floats, Floats]]:
        """Coarse to fine: each tensor's part of the network, and the parts' inner products and rounding."""
        found = {}
        for level, parts in (
            ("whole", np.zeros(len(self.scales), dtype=np.intp)),
            ("blocks", np.unique(self.blocks, return_inverse=True)[1]),
            ("tensors", np.arange(len(self.scales))),
        ):
            count = int(parts.max()) + 1
            grams, rounding = np.zeros((count, *self.grams.shape[1:])), np.zeros((count, len(self.experts)))
            np.add.at(grams, parts, self.grams * self.scales[:, None, None])
            np.add.at(rounding, parts, self.rounding * self.scales[:, None])
            found[level] = (parts, grams, rounding)
        return found

    # --- the tree -----------------------------------------------------------------------------------------------------

    def tree(self, places: Sequence[int]) -> list[Branch]:
        """The shortest tree that connects these relatives (Prim 1957)."""
        inside, found = list(places[:1]), []
        while len(inside) < len(places):
            i, j = min(
                ((i, j) for i in inside for j in places if j not in inside), key=lambda pair: float(self.apart[pair])
            )
            inside.append(j)
            found.append(Branch(i, j, self._relative(i, j)))
        return found

    def _relative(self, i: int, j: int) -> float:
        alive = self.size > 0
        share = np.maximum(self.distances[alive, i, j], 0) / self.size[alive]
        return float(np.sqrt(share).mean()) if alive.any() else 0.0

    def between(self, places: Sequence[int]) -> list[int]:
        """Those that lie where the paths between others meet: what each of two others changed from there is unrelated."""
        return [i for i in places if self._is_between(i, [place for place in places if place != i])]

    def _is_between(self, i: int, others: Sequence[int]) -> bool:
        for j, k in combinations(others, 2):
            to_j, to_k, past = (float(self.apart[pair]) for pair in ((i, j), (i, k), (j, k)))
            if (to_j + to_k - past) / 2 < _BETWEEN * min(to_j, to_k):
                return True
        return False

    def unsure(self) -> list[int]:
        """Those that were rounded in a way that is not known well enough to see a merge."""
        return [place for place, one in enumerate(self.experts) if self.is_blurred(place) or one.file.endswith(SLIM)]

    def is_blurred(self, place: int) -> bool:
        """Whether an expert was rounded coarsely, and by how much is unknown."""
        return len(self.experts) > 1 and bool(self.coarse[place]) and not self.rounding[:, place].any()

    def effective(self) -> Interval:
        """The effective number of these experts; each trained tensor is a unit."""
        count = len(self.experts)
        trained = self.scales > 0
        if count < 2 or not trained.any():
            return Interval(1.0, None, None, int(np.count_nonzero(trained)))
        grams = self.grams - self.rounding[:, :, None] * np.eye(count)
        return effective(grams[trained] * self.scales[trained, None, None])


def _best(merges: Sequence[Merge]) -> Merge:
    """With the fewest parents, unless more of them leave much less unexplained."""
    chosen = max((one for one in merges if len(one.parents) == len(merges[0].parents)), key=lambda m: m.explained)
    for one in merges:
        if len(one.parents) > len(chosen.parents) and 1 - one.explained < _BETTER * (1 - chosen.explained):
            chosen = one
    return chosen


_NUMBERED = re.compile(r"(?:diffusion_model\.|model\.)*([^.]+)(\.\d+)?")


def _block(name: str) -> str:
    """The part of the network that a tensor belongs to, such as "input_blocks.4" or "middle_block"."""
    found = _NUMBERED.match(name)
    return "".join(part or "" for part in found.groups()) if found else name


def _in_order(block: str) -> tuple[str, int]:
    name, _, number = block.partition(".")
    return name, int(number or -1)
