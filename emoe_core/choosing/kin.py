"""Copies and merges among candidates: the experts that they are made of say the same.

The weights tell with certainty. Where they cannot be read, or patches change them, the answers tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..stats.evaluation import Floats
from .products import Products

if TYPE_CHECKING:
    from ..experts.kin import Kin

#: Squared distance of a copy, over the median of the pairs that differ at all; and what a mean of two others leaves of a merge,
#: over its squared distance to the nearer one. Independent fine-tunes of one base leave three quarters, and their base a half.
COPY_BELOW, MERGE_BELOW = 0.1, 0.35


@dataclass(frozen=True)
class Redundant:
    """An expert that says what others say.

    Attributes:
        of: the expert that it copies, or those that it is a mean of.
        weight: the share of the first of them; 1 for a copy.
        left: what they leave of its squared distance to the nearest of them.
    """

    expert: int
    of: tuple[int, ...]
    weight: float
    left: float


def by_answers(products: Products) -> tuple[Redundant, ...]:
    """Those whose answers are another's, or a mean of two others' with the same share for all prompts.

    Squared distances over all prompts say it, each in units of its own mean square: of x beside a y + (1 - a) z,
    a |x-y|^2 + (1-a) |x-z|^2 - a (1-a) |y-z|^2 is left. Of a copy and its original the one that comes later is redundant, and
    of three on a line the one between.
    """
    if products.experts < 3:
        return ()
    with np.errstate(divide="ignore", invalid="ignore"):
        far = products.apart / products.denominator()[..., None, None]
    every = far[np.isfinite(far).all(axis=(1, 2, 3))]
    if not len(every):
        return ()
    far, count = every.mean(axis=(0, 1)), products.experts
    pairs = far[np.triu_indices(count, 1)]
    usual = float(np.median(pairs[pairs > 0])) if pairs.any() else 1.0  # many copies of one are not the usual
    found: dict[int, Redundant] = {}
    for one in range(1, count):
        nearest = min((other for other in range(one) if other not in found), key=lambda other: float(far[one, other]))
        if far[one, nearest] < COPY_BELOW * usual:
            found[one] = Redundant(one, (nearest,), 1.0, float(far[one, nearest] / usual))
    left = [one for one in range(count) if one not in found]
    merges = [_merge(far, one, *two) for one in left for two in combinations(left, 2) if one not in two]
    for each in sorted(merges, key=lambda each: each.left):
        if each.left < MERGE_BELOW and each.expert not in found and not set(each.of) & found.keys():
            found[each.expert] = each
    return tuple(found[one] for one in sorted(found))


def by_weights(kin: "Kin") -> tuple[Redundant, ...]:
    """Those that the weights show. Experts that differ in patches only are none of them."""
    found = {one.other: Redundant(one.other, (one.one,), 1.0, 0.0) for one in kin.copies if one.kind != "patches"}
    for merge in kin.merges:
        if merge.decided:
            found[merge.child] = Redundant(merge.child, merge.parents, merge.weights[0], 1 - merge.explained)
    return tuple(found[number] for number in sorted(found))


def left_out(by_weights: Sequence[Redundant], products: Products) -> tuple[Redundant, ...]:
    """Those that the weights show, and of the others those that the answers show."""
    out = {one.expert for one in by_weights}
    rest = [one for one in range(products.experts) if one not in out]
    more = [
        replace(one, expert=rest[one.expert], of=tuple(rest[parent] for parent in one.of))
        for one in by_answers(products.of(rest))
    ]
    return tuple(sorted([*by_weights, *more], key=lambda one: one.expert))


def _merge(far: Floats, x: int, y: int, z: int) -> Redundant:
    apart = float(far[y, z])
    weight = float(np.clip((apart - far[x, y] + far[x, z]) / (2 * apart), 0, 1)) if apart > 0 else 1.0
    left = weight * far[x, y] + (1 - weight) * far[x, z] - weight * (1 - weight) * apart
    nearer = float(min(far[x, y], far[x, z]))
    return Redundant(x, (y, z), weight, max(0.0, float(left)) / nearer if nearer > 0 else 0.0)
