"""Who descends from whom, which experts are merges of others, and how many experts that leaves, from the sampled weights."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from ..stats.effective import Interval
from .family import Family
from .kin import Branch, Copy, Kin, Merge, joined
from .merges import merges_of
from .sets import Expert
from .signature import RELATED, Signature, relatedness


def kinship(experts: Sequence[Expert]) -> Kin:
    """How these experts are related. It reads the signatures only, so it takes no time to speak of."""
    count = len(experts)
    known = _readable([one.signature for one in experts])
    unread = [place for place in range(count) if place not in known]
    copies = [
        Copy(i, j, "same" if experts[i].identity == experts[j].identity else "patches")
        for i, j in combinations(range(count), 2)
        if experts[i].signature.digest == experts[j].signature.digest
    ]
    patched = any(one.kind == "patches" for one in copies)
    pairs = [
        (i, j)
        for i, j in combinations(known, 2)
        if (relatedness(experts[i].signature, experts[j].signature) or 0.0) >= RELATED
    ]
    groups = [group for group in joined(count, pairs) if group[0] not in unread]
    merges: list[Merge] = []
    tree: list[Branch] = []
    between: list[int] = []
    unsure: set[int] = set()
    parts: list[Interval] = []
    is_blurred = False
    for group in groups:
        twins = {one.other: one.one for one in reversed(copies) if one.one in group}
        apart = [place for place in group if place not in twins]
        family = Family([experts[place] for place in apart])
        found = family.copies()
        copies += [replace(one, one=apart[one.one], other=apart[one.other]) for one in found]
        alone = [place for place in range(len(apart)) if place not in {one.other for one in found}]
        family = family.of(alone)
        places = [apart[place] for place in alone]
        made = merges_of(family)
        merges += [replace(one, child=places[one.child], parents=tuple(places[p] for p in one.parents)) for one in made]
        children = {one.child for one in made if one.decided}
        own = [place for place in range(len(places)) if place not in children]
        tree += [replace(one, one=places[one.one], other=places[one.other]) for one in family.tree(own)]
        between += [places[place] for place in family.between(own)]
        unsure |= {places[place] for place in family.unsure() if place not in children}
        is_blurred |= any(family.is_blurred(place) for place in range(len(places)))
        parts.append(family.effective())
    number = None if unread or patched or is_blurred or not parts else _summed(parts)
    order = sorted(copies, key=lambda one: (one.one, one.other))
    names = tuple(one.name for one in experts)
    return Kin(
        names,
        tuple(order),
        tuple(sorted(merges, key=lambda one: one.child)),
        tuple(tree),
        tuple(groups),
        tuple(sorted(between)),
        tuple(unread),
        tuple(sorted(unsure)) if count > 2 else (),
        number,
    )


def _readable(signatures: Sequence[Signature]) -> list[int]:
    """Those that can be compared: at least half of their tensors can be read in all others of their architecture as well.

    Those that most can be read of come first.
    """
    found: list[int] = []
    unread: dict[str, set[int]] = {}
    for place in sorted(range(len(signatures)), key=lambda place: len(signatures[place].unread)):
        one = signatures[place]
        together = unread.get(one.layout, set()) | set(one.unread)
        if len(one.rows) > 0 and 2 * len(together) <= len(one.rows):
            unread[one.layout] = together
            found.append(place)
    return sorted(found)


def _summed(parts: Sequence[Interval]) -> Interval:
    """Unrelated groups share nothing, so their numbers add up; so do, on the safe side, the ends of their intervals."""
    if len(parts) == 1:
        return parts[0]
    low = [part.value if part.low is None else part.low for part in parts]
    high = [part.value if part.high is None else part.high for part in parts]
    return Interval(sum(part.value for part in parts), sum(low), sum(high), max(part.units for part in parts))
