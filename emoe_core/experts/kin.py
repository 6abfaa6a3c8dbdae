"""What is known of the kinship of a set's experts: copies, merges, and the tree of relatives."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..stats.effective import Interval

#: A parent's smallest share, and how far outside of 0 to 1 a fitted share may lie.
LEAST = 0.02


@dataclass(frozen=True)
class Copy:
    """Two experts that hardly differ, by their places.

    Attributes:
        kind: "same" model; the same weights with other "patches"; "rounding" as all that sets them apart; or "near".
        stored: with "rounding", the coarser one's type.
    """

    one: int
    other: int
    kind: str
    stored: str = ""


@dataclass(frozen=True)
class Merge:
    """One expert as a mixture of others.

    Attributes:
        child, parents: places of the experts.
        weights: the parents' shares; they sum to 1. Of a merge by blocks, the shares that fit the whole network best.
        explained: share of the squared distance to the nearest parent.
        blocks: (name of the block, the parents' shares) where the shares differ from block to block.
        decided: whether the child is known. If not, the weights only say that these experts are exactly related.
        error: how far the shares may be off; more where the parents differ by little more than rounding.
    """

    child: int
    parents: tuple[int, ...]
    weights: tuple[float, ...]
    explained: float
    blocks: tuple[tuple[str, tuple[float, ...]], ...] = ()
    decided: bool = True
    error: float = 0.02


@dataclass(frozen=True)
class Branch:
    """An edge of the tree of relatives.

    Attributes:
        one, other: places of the experts.
        distance: root mean square of their weights' difference, over the weights' size; mean over tensors.
    """

    one: int
    other: int
    distance: float


@dataclass(frozen=True)
class Kin:
    """How the experts of a set are related.

    Attributes:
        names: the experts' names.
        copies, merges: what adds little to the set.
        tree: each group's shortest tree, without merges, which hang on their parents.
        groups: experts of one base each; unrelated to those of other groups.
        between: experts that changed nothing of their own: others descend from them, or they lie on the way.
        unread: experts whose kinship is unknown.
        unsure: experts that are coarse or packed in a way that would hide a merge.
        effective: the effective number of experts by their weights; None where it is unknown.
    """

    names: tuple[str, ...]
    copies: tuple[Copy, ...]
    merges: tuple[Merge, ...]
    tree: tuple[Branch, ...]
    groups: tuple[tuple[int, ...], ...]
    between: tuple[int, ...]
    unread: tuple[int, ...]
    unsure: tuple[int, ...]
    effective: Interval | None

    def same(self) -> tuple[tuple[int, ...], ...]:
        """The experts in groups of copies. Patches make experts of their own."""
        return joined(len(self.names), [(one.one, one.other) for one in self.copies if one.kind != "patches"])

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The tree, one line for each expert."""
        if len(self.names) < 2:
            return []
        return [f"- {name}: {', '.join(self._of(place))}" for place, name in enumerate(self.names)]

    def _of(self, place: int) -> Iterator[str]:
        if place in self.unread:
            yield "kinship unknown"
            return
        if len(self.groups) > 1:
            yield f"group {next(n for n, group in enumerate(self.groups, 1) if place in group)}"
        for copy in self.copies:
            if place == copy.other:
                yield _COPY[copy.kind].format(name=self.names[copy.one], stored=copy.stored)
                return
        merge = next((one for one in self.merges if one.child == place and one.decided), None)
        if merge is not None:
            yield f"merge of {self.parents(merge)}"
            return
        own = [one for one in self.tree if place in (one.one, one.other)]
        if not own:
            yield "no relatives"
            return
        nearest = min(own, key=lambda one: one.distance)
        yield f"nearest '{self.names[nearest.one if nearest.other == place else nearest.other]}'"
        yield f"the weights differ by {100 * nearest.distance:.3g} %"
        if place in self.between:
            yield "no change of its own: others descend from it, or it lies on the way between them"

    def parents(self, merge: Merge) -> str:
        """The parents with their shares, for a person."""
        ends = [[shares[k] for _, shares in merge.blocks] for k in range(len(merge.parents))]
        found = []
        for parent, weight, span in zip(merge.parents, merge.weights, ends, strict=True):
            more = f", {min(span):.2f} to {max(span):.2f} by blocks" if span else ""
            share = f"{weight:.2f}" if merge.error <= LEAST else f"about {weight:.1f}"
            found.append(f"'{self.names[parent]}' ({share}{more})")
        return " and ".join(found)


_COPY = {
    "same": "the same model as '{name}'",
    "patches": "the weights of '{name}' with other patches",
    "rounding": "'{name}' but for rounding ({stored})",
    "near": "nearly '{name}'",
}


def joined(count: int, pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """The places 0 to count - 1 in groups that the pairs connect."""
    group = list(range(count))
    for i, j in pairs:
        old, new = group[j], group[i]
        group = [new if one == old else one for one in group]
    return tuple(tuple(i for i in range(count) if group[i] == one) for one in dict.fromkeys(group))
