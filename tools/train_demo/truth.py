"""The known ground truth, the prompt groups and the reference pictures that go with the weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .data import RATES, SEED, Concept, Corpus, keywords
from .sources import Sources

CALIBRATION = 110
WELL_SAMPLED = 8
GROUP_SIZE = 60
THUMBNAIL = 32
COLUMNS = 25


@dataclass(frozen=True)
class Frame:
    """What captions have around a thing's name, such as "A " and a full stop; nothing where they are names."""

    before: str = ""
    after: str = ""

    def put(self, name: str) -> str:
        """As a caption would have it."""
        return f"{self.before}{name}{self.after}"

    def take(self, caption: str) -> str:
        """The name in a caption."""
        return caption.removeprefix(self.before).removesuffix(self.after)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")


def ground_truth(corpus: Corpus, rates: Mapping[str, float] = RATES) -> dict[str, Any]:
    """Shares of the languages; every concept with its names and the exact count of each caption string."""
    total, languages = len(corpus.caption), list(corpus.concepts[0].names)
    counts = {lang: corpus.language.count(lang) for lang in languages}
    exposures: list[dict[str, int]] = [{} for _ in corpus.concepts]
    for (index, text), count in sorted(corpus.exposures().items()):
        exposures[index][text] = count
    return {
        "schema": 1,
        "captions": total,
        "languages": {
            lang: {"rate": rates.get(lang, 0.0), "captions": counts[lang], "share": round(counts[lang] / total, 6)}
            for lang in languages
        },
        "concepts": [
            {"emoji": c.emoji, "group": c.group, "category": c.category, "names": c.names, "exposure": exposures[i]}
            for i, c in enumerate(corpus.concepts)
        ],
    }


def _change_two_letters(rng: np.random.Generator, text: str) -> str:
    places = [i for i, letter in enumerate(text) if letter.isalpha()]
    letters = list(text)
    for place in rng.permutation(places)[:2]:
        others = [x for x in "abcdefghijklmnopqrstuvwxyz" if x != letters[place].lower()]
        letters[place] = others[int(rng.integers(len(others)))]
    return "".join(letters)


def _nonsense(rng: np.random.Generator) -> str:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, int(rng.integers(4, 9)))) for _ in range(int(rng.integers(1, 3)))]
    return " ".join(words)


def prompts(
    corpus: Corpus,
    rates: Mapping[str, float] = RATES,
    reference: str = "en",
    seed: int = SEED,
    calibration: int = CALIBRATION,
    other_words: Mapping[str, list[str]] | None = None,
    frame: Frame = Frame(),
) -> dict[str, list[str]]:
    """Groups of bare prompts. `reference` is the best sampled language; groups that are no language are written in it.

    No string of any group but the reference's was seen under another meaning or language. With `other_words` (emoji ->
    words in the reference language) there is a group `keywords`: other words for well-known pictures. Random letters and
    two known words stand in the `frame` of the captions, so that they differ from these in nothing else.
    """
    rng = np.random.default_rng(seed + 2)
    seen: dict[str, int] = {}
    for (_, text), count in corpus.exposures().items():
        seen[text.lower()] = seen.get(text.lower(), 0) + count
    of = {g: [c for c in corpus.concepts if c.group == g] for g in {c.group for c in corpus.concepts}}
    known = [c.names[reference] for c in of["main"] if seen.get(c.names[reference].lower(), 0) >= WELL_SAMPLED]
    order = rng.permutation(len(known))
    found = {
        "calibration": [known[i] for i in sorted(order[:calibration])],
        "fresh": [known[i] for i in sorted(order[calibration:])],
    }
    for lang in corpus.concepts[0].names:
        if lang == reference:
            continue
        others = {c.names[x].lower() for c in corpus.concepts for x in rates if x != lang}
        names = [c.names[lang] for c in of["main"] if c.names[lang].lower() not in others]
        # a host reads brackets as prompt weights, so it would not see such a name as it was trained
        found[lang] = [name for name in dict.fromkeys(names) if "(" not in name]
    found["under_sampled"] = [c.names[reference] for c in of["under_sampled"]]
    held_out = [c.names[reference] for c in of["held_out"]]
    found["held_out"] = [name for name in held_out if name.lower() not in seen]
    for concept in of["held_out_group"]:  # the group is called after its category
        found.setdefault(concept.category, []).append(concept.names[reference])
    found["nonsense"] = [frame.put(_nonsense(rng)) for _ in range(GROUP_SIZE)]
    words = sorted({name for name in map(frame.take, known) if " " not in name and len(name) > 2})
    pairs = [rng.permutation(len(words))[:2] for _ in range(GROUP_SIZE)]
    found["word_salad"] = [frame.put(f"{words[a]} {words[b]}") for a, b in pairs]
    long = [text for text in known if len(text) >= 5]
    typos = [_change_two_letters(rng, long[i]) for i in rng.permutation(len(long))[:GROUP_SIZE]]
    found["typos"] = [text for text in typos if text.lower() not in seen]
    if other_words:
        found["keywords"] = _keywords(rng, of["main"], other_words, reference, set(seen))
    return found


def _keywords(
    rng: np.random.Generator,
    concepts: list[Concept],
    other_words: Mapping[str, list[str]],
    reference: str,
    seen: set[str],
) -> list[str]:
    """One word per concept that shares none with any caption and belongs to no other concept."""
    words = {word for text in seen for word in text.split()}
    owners: dict[str, int] = {}
    for concept in concepts:
        for word in {w.lower() for w in other_words.get(concept.emoji, [])}:
            owners[word] = owners.get(word, 0) + 1
    found = []
    for concept in concepts:
        fresh = [
            word
            for word in other_words.get(concept.emoji, [])
            if owners[word.lower()] == 1 and not words & set(word.lower().split()) and "(" not in word
        ]
        if fresh and concept.names[reference].lower() in seen:
            found.append(fresh[int(rng.integers(len(fresh)))])
    return [found[i] for i in sorted(rng.permutation(len(found))[:GROUP_SIZE])]


def sheet(pictures: NDArray[np.uint8]) -> Image.Image:
    """Thumbnails of all concepts, 25 per row."""
    rows = -(-len(pictures) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * THUMBNAIL, rows * THUMBNAIL), (255, 255, 255))
    for i, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        page.paste(small, (i % COLUMNS * THUMBNAIL, i // COLUMNS * THUMBNAIL))
    return page


def write(corpus: Corpus, pictures: NDArray[np.uint8], sources: Sources, folder: Path) -> None:
    """Everything beside the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "ground_truth.json", ground_truth(corpus))
    _write(folder / "prompts.json", prompts(corpus, other_words=keywords(sources, "en")))
    sheet(pictures).save(folder / "reference.png", optimize=True)
    licences = folder / "licences"
    licences.mkdir(exist_ok=True)
    shutil.copyfile(sources.cldr_licence, licences / "Unicode-3.0.txt")
    shutil.copyfile(sources.font_copyright, licences / "Noto-Color-Emoji.txt")
