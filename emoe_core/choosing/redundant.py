"""Copies and merges among candidates: what they say is said by the experts that they are made of.

The weights tell with certainty and name the shares. Where they cannot be read, or were changed by patches, the answers tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..experts.kinship import Kin
from ..stats.evaluation import Floats
from .products import Products

#: Mean squared distance of a copy, over the median of all pairs.
COPY_BELOW = 0.1
#: What a mean of two others leaves of a merge, over its squared distance to the nearer one. Independent fine-tunes of one base
#: leave three quarters, and their base beside two of them a half.
MERGE_BELOW = 0.35


@dataclass(frozen=True)
class Redundant:
    """An expert that says what others say.

    Attributes:
        of: the expert that it copies, or the two that it is a mean of.
        weight: the share of the first of them; 1 for a copy.
        left: what they leave of it, over its distance (see `COPY_BELOW` and `MERGE_BELOW`).
        by_weights: whether the weights say so; else the answers do.
    """

    expert: int
    of: tuple[int, ...]
    weight: float
    left: float
    by_weights: bool = False


def by_weights(kin: Kin) -> tuple[Redundant, ...]:
    """The copies and merges that the weights show. Experts that differ in patches only are none."""
    found = {one.other: Redundant(one.other, (one.one,), 1.0, 0.0, True) for one in kin.copies if one.kind != "patches"}
    for merge in kin.merges:
        if merge.decided:
            found[merge.child] = Redundant(merge.child, merge.parents, merge.weights[0], 1 - merge.explained, True)
    return tuple(found[one] for one in sorted(found))


def left_out(by_weights: Sequence[Redundant], products: Products) -> tuple[Redundant, ...]:
    """Those that the weights show, and of the others those that the answers show."""
    out = {one.expert for one in by_weights}
    rest = [one for one in range(products.experts) if one not in out]
    more = by_answers(products.of(rest))
    told = [Redundant(rest[one.expert], tuple(rest[parent] for parent in one.of), one.weight, one.left) for one in more]
    return tuple(sorted([*by_weights, *told], key=lambda one: one.expert))


def by_answers(products: Products) -> tuple[Redundant, ...]:
    """The copies and merges among experts that their answers show (see `COPY_BELOW` and `MERGE_BELOW`).

    The weights of a merge are the same for every prompt, so the mean squared distances over all prompts, each in units of its
    own mean square, say what is left: of x beside a y + (1 - a) z that is a |x-y|^2 + (1-a) |x-z|^2 - a (1-a) |y-z|^2.
    Of a copy and its original the one that comes later is left out; of three on a line, the one between.
    """
    if products.experts < 3:
        return ()
    scale = products.denominator()[..., None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        far = products.apart / scale
    far = far[np.isfinite(far).all(axis=(1, 2, 3))].mean(axis=(0, 1))
    count = products.experts
    usual = float(np.median(far[np.triu_indices(count, 1)]))
    found: dict[int, Redundant] = {}
    for one in range(1, count):
        nearest = min((other for other in range(one) if other not in found), key=lambda other: float(far[one, other]))
        if far[one, nearest] < COPY_BELOW * usual:
            found[one] = Redundant(one, (nearest,), 1.0, float(far[one, nearest] / usual) if usual > 0 else 0.0)
    merges = sorted(
        (
            _merge(far, one, other, third)
            for one in range(count)
            for other, third in combinations(range(count), 2)
            if one not in (other, third) and not {one, other, third} & found.keys()
        ),
        key=lambda merge: merge.left,
    )
    for merge in merges:
        if merge.left < MERGE_BELOW and merge.expert not in found and not set(merge.of) & found.keys():
            found[merge.expert] = merge
    return tuple(found[one] for one in sorted(found))


def _merge(far: Floats, x: int, y: int, z: int) -> Redundant:
    apart = float(far[y, z])
    weight = float(np.clip((apart - far[x, y] + far[x, z]) / (2 * apart), 0, 1)) if apart > 0 else 1.0
    left = weight * far[x, y] + (1 - weight) * far[x, z] - weight * (1 - weight) * apart
    nearer = float(min(far[x, y], far[x, z]))
    return Redundant(x, (y, z), weight, max(0.0, float(left)) / nearer if nearer > 0 else 0.0)
