"""What a set of experts gets wrong, in plain words: disagreement that is no knowledge, and experts that add none.

The weights show copies and merges. What else sets experts apart shows in their answers: a model that was distilled to a few
steps commits to a layout in the first one, just where the score is taken, so it disagrees with its base about every prompt.
"""

import re
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..experts.kin import Kin
from ..experts.sets import Expert
from ..records.message import Code, Message
from ..stats.evaluation import Floats, spearman
from .products import Products

#: How many times the others' squared distance an expert's must be, and how many times their effect of the prompt.
_FAR = 3.0
_STRONG = 3.0
#: In so many of the prompts.
_USUALLY = 0.75
#: The prompt's effect on a prediction, in mean squares, below which an expert hardly reads prompts.
_DEAF = 1e-7
#: Fewer prompts have no ranking.
FEWEST_RANKED = 8
#: Fewer pairs of a sentence and the same as tags say nothing about wording.
FEWEST_PAIRS = 8
#: Words in a tag, at most, on average.
_TAG_WORDS = 3
#: What the wording must change between two groups of experts: the share of the disagreement that lies between them, or how many
#: times as much the prompt moves one of them; and how surely, in standard errors.
_SHARE = 0.15
_WORDING = 1.5
_ERRORS = 4.0
#: What the experts' answers show, and their weights do not.
BY_ANSWERS = frozenset({Code.STANDS_ALONE, Code.STRONG, Code.WEAK, Code.WORDING, Code.SPLIT})
_WORD = re.compile(r"[^\W\d_]{2,}")


def findings(
    experts: Sequence[Expert],
    kin: Kin,
    layout: Products | None = None,
    shift: Products | None = None,
    prompt: Products | None = None,
    texts: Sequence[str] = (),
) -> tuple[Message, ...]:
    """Everything that is found.

    Args:
        layout, shift, prompt: products of the answers to `texts`, by feature (see `products`); None where nothing was asked.
    """
    found = [*_by_weights(kin), *_guided(experts)]
    deaf: list[int] = []
    if shift is not None and prompt is not None:
        deaf = _deaf(shift, prompt)
        found += [Message.of(Code.DEAF, experts=_named(kin, deaf))] if deaf else []
    if layout is not None:
        alive = _alive(layout)
        told = layout.at(alive)
        found += _odd(kin, told, deaf)
        found += _wording(kin, told, [texts[place] for place in alive])
        found += _split(told)
    return tuple(found)


def _named(kin: Kin, places: Sequence[int]) -> list[Message]:
    return [Message.of(Code.EXPERT, name=kin.names[place]) for place in places]


def _alive(layout: Products) -> list[int]:
    """The prompts that change something in every expert's answer."""
    return [int(place) for place in np.flatnonzero((layout.square > 0).all(axis=(1, 2)))]


# --- from the weights -------------------------------------------------------------------------------------------------


def _by_weights(kin: Kin) -> list[Message]:
    found = []
    if same := _pairs(kin, "same"):
        found.append(Message.of(Code.COPIES, pairs=same))
    if near := _pairs(kin, "near"):
        found.append(Message.of(Code.NEAR_COPIES, pairs=near))
    for one in kin.copies:
        if one.kind == "rounding":
            names = kin.names[one.one], kin.names[one.other]
            found.append(Message.of(Code.ROUNDED_COPY, one=names[0], other=names[1], stored=one.stored))
    if len(kin.names) > 1 and len(kin.same()) == 1:
        found.append(Message.of(Code.ONE_MODEL))
    for merge in kin.merges:
        parents = [
            Message.of(Code.SHARE, name=kin.names[parent], share=weight)
            for parent, weight in zip(merge.parents, merge.weights, strict=True)
        ]
        name = kin.names[merge.child]
        if not merge.decided:
            found.append(Message.of(Code.EXACT_SUM, name=name, parents=parents))
        elif merge.blocks:
            found.append(Message.of(Code.MERGED_BLOCKS, name=name, parents=parents, explained=merge.explained))
        else:
            found.append(Message.of(Code.MERGED, name=name, parents=parents, explained=merge.explained))
    if kin.unsure:
        found.append(Message.of(Code.UNSURE_MERGE, experts=_named(kin, kin.unsure)))
    return found


def _pairs(kin: Kin, kind: str) -> list[Message]:
    return [
        Message.of(Code.PAIR, one=kin.names[one.one], other=kin.names[one.other])
        for one in kin.copies
        if one.kind == kind
    ]


def _guided(experts: Sequence[Expert]) -> list[Message]:
    """Networks that take the guidance as an input were distilled for it, and never learned an empty prompt's part in it."""
    with_input = [
        Message.of(Code.EXPERT, name=one.name)
        for one in experts
        if any(".guidance_in." in f".{name}" for name in one.signature.names)
    ]
    return [Message.of(Code.GUIDANCE_INPUT, experts=with_input)] if with_input else []


# --- from the answers -------------------------------------------------------------------------------------------------


def _deaf(shift: Products, prompt: Products) -> list[int]:
    """Experts whose answer to a prompt is their answer to none."""
    share = shift.square.mean(axis=(0, 1)) / np.maximum(prompt.square.mean(axis=(0, 1)), 1e-300)
    return [int(place) for place in np.flatnonzero(share < _DEAF)]


def _odd(kin: Kin, layout: Products, deaf: Sequence[int]) -> list[Message]:
    """Experts that stand alone among their relatives, or that the prompt moves far more or less than the others."""
    if not layout.prompts:
        return []
    found = []
    copies = {*deaf, *(one for group in kin.same() for one in group[1:])}
    apart, square = layout.apart.mean(axis=1), layout.square.mean(axis=1)
    for group in kin.groups:
        members = [place for place in group if place not in copies]
        for place in members:
            others = [one for one in members if one != place]
            if len(others) < 2:
                continue
            pairs = np.array(list(combinations(others, 2)))
            rest = apart[:, pairs[:, 0], pairs[:, 1]].max(axis=1)
            ratio = apart[:, place, others].min(axis=1) / np.maximum(rest, 1e-300)
            if float(np.mean(ratio > _FAR)) >= _USUALLY:
                times = float(np.sqrt(np.median(ratio)))
                sure = float(np.mean(ratio > _FAR))
                found.append(Message.of(Code.STANDS_ALONE, name=kin.names[place], times=times, sure=sure))
    everyone = [place for place in range(layout.experts) if place not in copies]
    for place in everyone:
        others = [one for one in everyone if one != place]
        if not others:
            continue
        ratio = square[:, place] / np.median(square[:, others], axis=1)
        strong, weak = float(np.mean(ratio > _STRONG)), float(np.mean(ratio < 1 / _STRONG))
        times = float(np.sqrt(np.median(ratio)))
        if strong >= _USUALLY:
            found.append(Message.of(Code.STRONG, name=kin.names[place], times=times, sure=strong))
        elif weak >= _USUALLY and len(everyone) > 2:  # of two, the stronger one is named
            found.append(Message.of(Code.WEAK, name=kin.names[place], times=times, sure=weak))
    return found


def pairs_of_wording(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Places of prompts that say the same in a sentence and in tags: (sentence, tags).

    A prompt is made of tags if commas cut it into three pieces or more of three words or fewer on average. It belongs to the
    sentence that has most of its words, and at least half of them.
    """
    tags = [place for place, text in enumerate(texts) if _is_tags(text)]
    sentences = [place for place in range(len(texts)) if place not in tags]
    words = [set(_WORD.findall(text.lower())) for text in texts]
    found: dict[int, tuple[int, int]] = {}
    for place in tags:
        best = max(sentences, key=lambda one: len(words[place] & words[one]), default=None)
        if best is not None and 2 * len(words[place] & words[best]) >= len(words[place]) > 0:
            found.setdefault(best, (best, place))
    return sorted(found.values())


def _is_tags(text: str) -> bool:
    pieces = [piece for piece in re.split(r"[,\u3001]", text) if piece.strip()]
    return len(pieces) >= 3 and sum(len(piece.split()) for piece in pieces) <= _TAG_WORDS * len(pieces)


def _wording(kin: Kin, layout: Products, texts: Sequence[str]) -> list[Message]:
    """Experts that were trained on tags beside others that were trained on sentences: each half follows its own wording."""
    pairs = pairs_of_wording(texts)
    copies = {one for group in kin.same() for one in group[1:]}
    places = [place for place in range(layout.experts) if place not in copies]
    if len(places) < 2:
        return []
    if len(pairs) < FEWEST_PAIRS:
        return [Message.of(Code.WORDING_UNKNOWN, fewest=FEWEST_PAIRS)]
    chosen = layout.of(places)
    sentences, tags = (chosen.at([pair[side] for pair in pairs]) for side in (0, 1))
    gain = np.log(tags.square.mean(axis=1) / sentences.square.mean(axis=1))  # [pairs, experts]
    gain -= gain.mean(axis=1, keepdims=True)  # some prompts are longer in tags
    orders = [gain.mean(axis=0), *(_direction(one.values) for one in (sentences, tags))]
    tried = dict.fromkeys(tuple(sorted(side)) for order in orders for side in _cuts(order))
    found = max((_Wording(sentences, tags, gain, side) for side in tried), key=lambda one: one.strength)
    if found.strength < 1:
        return []
    own = [places[one] for one in found.side]
    return [
        Message.of(
            Code.WORDING,
            experts=_named(kin, own),
            others=_named(kin, [one for one in places if one not in own]),
            sentences=float(found.shares[0].mean()),
            tags=float(found.shares[1].mean()),
        )
    ]


def _direction(values: Floats) -> Floats:
    """Where each expert lies on the line along which they differ most, [experts]."""
    grams = values.mean(axis=(0, 1))
    off = np.eye(len(grams)) - 1 / len(grams)
    found: Floats = np.linalg.eigh(off @ grams @ off)[1][:, -1]
    return found


def _cuts(order: Floats) -> list[list[int]]:
    """Every way to cut a line of experts in two, by the half with the first expert."""
    line = [int(place) for place in np.argsort(order)]
    halves = [(line[:cut], line[cut:]) for cut in range(1, len(line))]
    return [low if 0 in low else high for low, high in halves]


class _Wording:
    """Two groups of experts, and how surely the wording tells them apart.

    Attributes:
        side: the experts of one group.
        shares: how much of the experts' variance lies between the groups, for sentences and for tags, [2, pairs].
        strength: 1 or more where the wording changes that share, or how strongly the groups answer, in nearly every pair.
    """

    def __init__(self, sentences: Products, tags: Products, gain: Floats, side: tuple[int, ...]) -> None:
        others = [place for place in range(gain.shape[1]) if place not in side]
        self.side = side
        self.shares = np.stack([_between(one.values, (side, others)) for one in (sentences, tags)])
        answers = gain[:, list(side)].mean(axis=1) - gain[:, others].mean(axis=1)
        self.strength = max(
            _surely(self.shares[0] - self.shares[1], _SHARE), _surely(answers, 2 * float(np.log(_WORDING)))
        )


def _surely(differences: Floats, least: float) -> float:
    """1 or more where the mean of paired differences is this large, and `_ERRORS` of its standard errors away from 0."""
    mean = abs(float(differences.mean()))
    error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    return float(min(mean / least, mean / max(_ERRORS * error, 1e-12)))


def _between(values: Floats, sides: Sequence[Sequence[int]]) -> Floats:
    """The share of the experts' variance that lies between two groups of them, [prompts]."""
    grams = values.mean(axis=1)
    count = grams.shape[1]
    total = np.trace(grams, axis1=1, axis2=2) - grams.sum(axis=(1, 2)) / count
    own = [grams[:, list(side)][:, :, list(side)].sum(axis=(1, 2)) / len(side) for side in sides]
    between = own[0] + own[1] - grams.sum(axis=(1, 2)) / count
    found: Floats = between / np.maximum(total, 1e-300)
    return found


def _split(layout: Products) -> list[Message]:
    """How much of the score's ranking comes from the experts' disagreement, and how much from the size of the guidance."""
    if layout.prompts < FEWEST_RANKED or layout.experts < 2:
        return []
    score = layout.scores("centred_layout")
    top = spearman(score, layout.numerator().mean(axis=1))
    bottom = spearman(score, 1 / layout.denominator().mean(axis=1))
    if not np.isfinite([top, bottom]).all():
        return []  # copies all score 0
    return [Message.of(Code.SPLIT, count=layout.prompts, top=top, bottom=bottom)]
