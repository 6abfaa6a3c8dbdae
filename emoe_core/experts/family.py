"""The sampled weights of relatives: how far apart they are, which are copies, and the tree of them.

Rounding is no kinship. The grid of a tensor shows in its values, and what rounding to it adds to a squared distance is known.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..stats.effective import Interval, effective
from ..stats.evaluation import Floats
from .kin import Branch, Copy
from .rounding import rounding_of, share_of_rounding
from .sets import Expert
from .signature import Signature, relatedness

#: Weights that correlate more than this were hardly fine-tuned apart.
NEARLY_SAME_WEIGHTS = 0.9999
#: Largest squared distance of a near copy, over that of the set's most distant relatives: a merge with 95 % of one parent.
_NEAR = 0.05**2
#: How far an expert may lie from the place where others' paths meet and still be that place, in squared distances.
_BETWEEN = 0.1
#: Tensors whose squared distances are less than this many times their rounding count for less.
_PRECISE = 100
#: How the remark on an expert's file ends if only its difference from the first one is held.
SLIM = ", slim"


class Family:
    """The sampled weights of relatives, without two of the same weights.

    Squared distances are counted in each tensor's mean squared distance between two relatives, so that every tensor that was
    trained has its say.

    Attributes:
        blocks: the block of the network of each tensor that can be read in all of them, such as "input_blocks.4".
        size: mean of the tensor's sum of squares, [tensors].
        grams: inner products of the differences from the first of them, [tensors, M, M].
        rounding: what each one's rounding adds to a squared distance, [tensors, M].
        coarse: the type that each one was coarsely rounded to, "" for none.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        self.experts = tuple(experts)
        self.blocks, rows = _read_of_all([one.signature for one in experts])
        values = rows.astype(np.float64)
        self.size = np.square(values).sum(axis=2).mean(axis=0)
        apart = values - values[:1]
        self.grams: Floats = np.einsum("itv,jtv->tij", apart, apart)
        rounded = [rounding_of(one, own) for one, own in zip(experts, rows, strict=True)]
        self.coarse = [kind for kind, _ in rounded]
        self.rounding: Floats = np.stack([added for _, added in rounded], axis=1)

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


def _read_of_all(signatures: Sequence[Signature]) -> tuple[list[str], NDArray[np.float32]]:
    """The blocks and the sampled values of the tensors that can be read in all of them, [M, tensors, values]."""
    first = signatures[0]
    unread = {place for one in signatures for place in one.unread}
    read = [place for place in range(len(first.rows)) if place not in unread]
    rows = np.nan_to_num(np.stack([one.rows[read] for one in signatures]), posinf=0.0, neginf=0.0)
    return [_block(first.names[place] if first.names else str(place)) for place in read], rows


_NUMBERED = re.compile(r"(?:diffusion_model\.|model\.)*([^.]+)(\.\d+)?")


def _block(name: str) -> str:
    """The part of the network that a tensor belongs to, such as "input_blocks.4" or "middle_block"."""
    found = _NUMBERED.match(name)
    return "".join(part or "" for part in found.groups()) if found else name
