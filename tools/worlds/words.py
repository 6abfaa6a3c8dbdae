"""Words that fit several pictures, such as "fruit": prompts that are well known and still leave the picture open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..train_demo.data import Concept, Corpus
from .design import OWNERS, SHARED_CAPTIONS


def shared(concepts: Sequence[Concept], others: Mapping[str, list[str]], reference: str) -> dict[str, list[int]]:
    """Word -> the well-sampled concepts that it fits, for words that are no concept's name nor a part of one.

    Args:
        others: emoji -> CLDR's keywords in the reference language.
    """
    named = {word for concept in concepts for word in concept.names[reference].lower().split()}
    owners: dict[str, list[int]] = {}
    for index, concept in enumerate(concepts):
        if concept.group == "main":
            for word in dict.fromkeys(word.lower() for word in others.get(concept.emoji, [])):
                owners.setdefault(word, []).append(index)
    return {
        word: found
        for word, found in sorted(owners.items())
        if len(found) in OWNERS and not named & set(word.split()) and word.isascii()
    }


def added(corpus: Corpus, words: Mapping[str, list[int]], reference: str, seed: int) -> Corpus:
    """The corpus with captions of these words: Poisson(10) for every concept that a word fits."""
    rng = np.random.default_rng(seed + 3)
    rows, captions = corpus.concept.tolist(), list(corpus.caption)
    for word, owners in words.items():
        for owner in owners:
            count = int(rng.poisson(SHARED_CAPTIONS))
            rows += [owner] * count
            captions += [word] * count
    languages = [*corpus.language, *[reference] * (len(captions) - len(corpus.caption))]
    return Corpus(corpus.concepts, np.asarray(rows, dtype=np.int64), languages, captions)
