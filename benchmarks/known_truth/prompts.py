"""Prompts with a known history: how often the experts saw the string, its language and its concept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

#: Languages of the experts that come with the pack, best sampled first after English; the last five were never shown.
LANGUAGES = ("fr", "de", "es", "it", "fi", "pl", "sw", "ja", "tr", "vi", "hu", "ru", "zh")
UNSEEN = LANGUAGES[-5:]
#: How they are scored.
HOW = {"add_noise": True, "noise_seed": 0, "steps": 20, "scheduler": "normal", "at_step": 0, "noise_samples": 2}

REFERENCE = "fresh"
WITHOUT_CONCEPT = ("nonsense", "word_salad", "typos")
#: Held out as a whole, of which a source has one: among emoji, and among photographs.
WHOLE_GROUPS = ("faces", "seasonal")
GROUPS = ("under_sampled", "held_out", *WHOLE_GROUPS, "keywords", *WITHOUT_CONCEPT)


@dataclass(frozen=True)
class Prompt:
    """One prompt and its history.

    Attributes:
        group: 'fresh' for well-sampled names in the best sampled language, a language's code, or one of `GROUPS`.
        language: code of the language it is written in, the best sampled one for groups that are no language.
        concepts: indices of the concepts with this name; empty where no picture is the right one.
        exposure: captions of the training corpus that are exactly this string.
        share: the language's share of the training captions.
        tokens: tokens of the text encoder, without start and end.
        characters: length of the text.
        unseen_words: share of its words that no training caption has.
    """

    text: str
    group: str
    language: str
    concepts: tuple[int, ...]
    exposure: int
    share: float
    tokens: int
    characters: int
    unseen_words: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def collect(
    truth: dict[str, Any],
    lists: dict[str, list[str]],
    count: Callable[[str], int],
    most: int,
) -> list[Prompt]:
    """At most `most` prompts of every group, spread over its list.

    Args:
        truth: `ground_truth.json` of the experts.
        lists: their `prompts.json`.
        count: tokens of a text, without start and end.
    """
    reference = str(truth.get("reference", "en"))
    shares = {code: float(entry["share"]) for code, entry in truth["languages"].items()}
    exposure: dict[str, int] = {}
    named: dict[str, list[int]] = {}
    words: set[str] = set()
    for index, concept in enumerate(truth["concepts"]):
        for text, times in concept["exposure"].items():
            exposure[text.lower()] = exposure.get(text.lower(), 0) + times
            words.update(text.lower().split())
        for name in concept["names"].values():
            named.setdefault(name.lower(), []).append(index)
    found = []
    for group in (REFERENCE, *(code for code in shares if code != reference), *GROUPS):
        language = group if group in shares else reference
        for text in spread(lists.get(group, []), most):
            parts = text.lower().split()
            found.append(
                Prompt(
                    text=text,
                    group=group,
                    language=language,
                    concepts=() if group in WITHOUT_CONCEPT else tuple(dict.fromkeys(named.get(text.lower(), ()))),
                    exposure=exposure.get(text.lower(), 0),
                    share=shares[language],
                    tokens=count(text),
                    characters=len(text),
                    unseen_words=sum(part not in words for part in parts) / max(1, len(parts)),
                )
            )
    return found


def spread(prompts: list[str], count: int) -> list[str]:
    """At most `count` prompts, evenly spaced through the list."""
    return prompts if len(prompts) <= count else [prompts[i * len(prompts) // count] for i in range(count)]
