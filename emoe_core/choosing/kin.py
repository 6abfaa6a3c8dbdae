"""Copies and merges among candidates, from how far they are from each other: they say what the experts they are made of say."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..stats.evaluation import Floats
from .products import Products

#: By answers: squared distance of a copy, over the median of all pairs; and what a mean of two others leaves of a merge, over
#: its squared distance to the nearer one. Independent fine-tunes of one base leave three quarters, and their base a half.
COPY_BELOW, MERGE_BELOW = 0.1, 0.35
#: The same by weights, where a merge is one exactly. Answers of a merge of distant relatives are no mean of theirs.
SAME_WEIGHTS, MERGED_WEIGHTS = 0.05, 0.2


@dataclass(frozen=True)
class Redundant:
    """An expert that says what others say.

    Attributes:
        of: the expert that it copies, or the two that it is a mean of.
        weight: the share of the first of them; 1 for a copy.
        left: what they leave of it, see `COPY_BELOW` and `MERGE_BELOW`.
    """

    expert: int
    of: tuple[int, ...]
    weight: float
    left: float


def by_answers(products: Products) -> tuple[Redundant, ...]:
    """Those whose answers are another's, or a mean of two others' with the same share for all prompts.

    Squared distances over all prompts say it, each in units of its own mean square.
    """
    if products.experts < 3:
        return ()
    with np.errstate(divide="ignore", invalid="ignore"):
        far = products.apart / products.denominator()[..., None, None]
    far = far[np.isfinite(far).all(axis=(1, 2, 3))]
    return _found(far.mean(axis=(0, 1)), COPY_BELOW, MERGE_BELOW) if len(far) else ()


def by_weights(rows: Floats) -> tuple[Redundant, ...]:
    """The same from sampled weights, [experts, tensors, values]; each tensor counts alike."""
    if len(rows) < 2 or not rows.shape[1]:
        return ()
    apart = np.stack([np.square(rows - one).mean(axis=2) for one in rows])  # [experts, experts, tensors]
    if len(rows) == 2:
        return (Redundant(1, (0,), 1.0, 0.0),) if not apart.any() else ()
    usual = apart.mean(axis=(0, 1))
    if not (usual > 0).any():
        return tuple(Redundant(number, (0,), 1.0, 0.0) for number in range(1, len(rows)))
    return _found((apart[..., usual > 0] / usual[usual > 0]).mean(axis=2), SAME_WEIGHTS, MERGED_WEIGHTS)


def joined(*parts: tuple[Redundant, ...]) -> tuple[Redundant, ...]:
    """What several ways found, each expert once. Of two that would replace each other, the later one goes."""
    found: dict[int, Redundant] = {}
    for one in (each for part in parts for each in part):
        if one.expert not in found and not any(one.expert in other.of for other in found.values()):
            found[one.expert] = one
    return tuple(found[number] for number in sorted(found))


def _found(far: Floats, copy: float, merge: float) -> tuple[Redundant, ...]:
    """Of a copy and its original the one that comes later; of three on a line the one between.

    What is left of x beside a y + (1 - a) z is a |x-y|^2 + (1-a) |x-z|^2 - a (1-a) |y-z|^2.
    """
    count = len(far)
    usual = float(np.median(far[np.triu_indices(count, 1)]))
    found: dict[int, Redundant] = {}
    for one in range(1, count):
        nearest = min((other for other in range(one) if other not in found), key=lambda other: float(far[one, other]))
        if far[one, nearest] < copy * usual:
            found[one] = Redundant(one, (nearest,), 1.0, float(far[one, nearest] / usual))
    left = [one for one in range(count) if one not in found]
    merges = [_merge(far, one, *two) for one in left for two in combinations(left, 2) if one not in two]
    for each in sorted(merges, key=lambda each: each.left):
        if each.left < merge and each.expert not in found and not set(each.of) & found.keys():
            found[each.expert] = each
    return tuple(found[one] for one in sorted(found))


def _merge(far: Floats, x: int, y: int, z: int) -> Redundant:
    apart = float(far[y, z])
    weight = float(np.clip((apart - far[x, y] + far[x, z]) / (2 * apart), 0, 1)) if apart > 0 else 1.0
    left = weight * far[x, y] + (1 - weight) * far[x, z] - weight * (1 - weight) * apart
    nearer = float(min(far[x, y], far[x, z]))
    return Redundant(x, (y, z), weight, max(0.0, float(left)) / nearer if nearer > 0 else 0.0)
