"""How well each reading foresees bad pictures, and the rule that is fixed before anybody looks.

*Proved*: the lower bound of the AUROC's interval is above `EDGE`, and the score is not clearly behind the best number of one
model. *Refuted*: the upper bound is below `EDGE`. Otherwise *undecided*. The intervals may be looked at after every mark
(`emoe_core.stats.sequential`). AUROC counts pictures, with the prompts as clusters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..stats.sequential import Difference, Placed, difference, pictures_for, place
from .labels import Labelled
from .store import Contents, Prompt

#: The AUROC that the score must be surely above; 0.5 would be chance.
EDGE = 0.55
PROVED, REFUTED, UNDECIDED = "proved", "refuted", "undecided"
#: Readings of one model, and the text's length in letters.
ONE_MODEL, RESPONSE, LENGTH = "one_model", "response", "length"
SINGLE = (ONE_MODEL, RESPONSE)
ENSEMBLE, ALONE, TEXT = "ensemble", "one model", "text"


@dataclass(frozen=True)
class Found:
    """How well one reading or baseline foresees bad pictures.

    Attributes:
        kind: "ensemble", "one model" or "text".
        value, low, high: AUROC and its interval, on all labelled pictures that have this reading.
        against: this one's AUROC minus the main reading's on the pictures that have both; None for the main one itself.
    """

    name: str
    kind: str
    value: float
    low: float
    high: float
    pictures: int
    bad: int
    against: Difference | None


def main_reading(contents: Contents, excluded: Sequence[str] = ()) -> str:
    """The reading that the rule is about: the workflow's preset, else layout, else the first of several models; "" for none."""
    names = [one.name for one in contents.readings if one.settings is not None and one.name not in excluded]
    own = [str(node["inputs"].get("preset")) for node in _score_nodes(contents)]
    several = [one for one in names if one not in SINGLE]
    for wanted in (*own, "layout", *several, *names):
        if wanted in names:
            return wanted
    return ""


def _score_nodes(contents: Contents) -> list[Mapping[str, Any]]:
    """The workflow's Score nodes, whatever the facts hold."""
    graph = contents.facts.get("workflow")
    nodes = graph.values() if isinstance(graph, dict) else ()
    return [
        node
        for node in nodes
        if isinstance(node, dict) and node.get("class_type") == "EMoE_Score" and isinstance(node.get("inputs"), dict)
    ]


def _score(prompt: Prompt, reading: str) -> float | None:
    return float(len(prompt.prompt)) if reading == LENGTH else prompt.scores.get(reading)


def placed(rows: Sequence[Labelled], reading: str, needs: str = "") -> Placed:
    """A reading's AUROC on the pictures of the prompts that have it, and another one that is compared with it."""
    used = [
        (_score(one.prompt, reading) or 0.0, bad, one.prompt.id)
        for one in rows
        for _, bad in one.pictures
        if _score(one.prompt, reading) is not None and (not needs or _score(one.prompt, needs) is not None)
    ]
    return place([one[0] for one in used], [one[1] for one in used], [one[2] for one in used])


def foresights(contents: Contents, rows: Sequence[Labelled], main: str, excluded: Sequence[str]) -> tuple[Found, ...]:
    """Every reading but the excluded ones, and the text's length."""
    kinds = {
        one.name: ALONE if one.name in SINGLE else ENSEMBLE for one in contents.readings if one.name not in excluded
    }
    made = []
    for name, kind in {**kinds, LENGTH: TEXT}.items():
        own = placed(rows, name)
        if not own.bad + own.good:
            continue
        low, high = own.interval()
        against = None
        if main and name != main:
            against = difference(placed(rows, name, main), placed(rows, main, name))
        made.append(Found(name, kind, own.value, low, high, own.bad + own.good, own.bad, against))
    return tuple(made)


def turned(one: Difference) -> Difference:
    """The difference the other way round."""
    return Difference(-one.value, -one.high, -one.low)


def ruled(main: Found | None, gap: Difference | None, placed: Placed | None) -> tuple[str, str, int | None]:
    """The rule's word, what the first sentence says, and how many more pictures would decide."""
    if main is None or placed is None:
        return UNDECIDED, "no_reading", None
    if not placed.enough:
        toward = pictures_for(placed, EDGE)
        return UNDECIDED, "few", toward if placed.bad and placed.good else None
    if main.low > EDGE:
        if gap is None:
            return PROVED, "proved_alone", None
        if gap.high < 0:
            return UNDECIDED, "behind", None
        return PROVED, "proved_better" if gap.low > 0 else "proved_alike", None
    if main.high < EDGE:
        return REFUTED, "refuted", None
    needed = pictures_for(placed, EDGE)
    return UNDECIDED, "open" if needed is not None else "open_far", needed
