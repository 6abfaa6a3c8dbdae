"""Concepts, captions and pictures: what the demo experts see, and exactly how often.

The corpus is finite: for every emoji and language a Poisson number of captions is drawn once. So the exposure of each
caption string is known, and an expert's own data is an honest bootstrap resample of the corpus.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .sources import LANGUAGES, Sources

RATES = {"en": 0.50, "fr": 0.20, "de": 0.12, "es": 0.08, "it": 0.05, "fi": 0.025, "pl": 0.015, "sw": 0.007, "ja": 0.003}
CONCEPT_RATES = {"main": 1.0, "under_sampled": 0.05, "held_out": 0.0, "held_out_group": 0.0}
CAPTIONS_PER_EMOJI = 40
COUNTS = {"main": 200, "under_sampled": 50, "held_out": 50, "held_out_group": 50}
SEED = 7
SIZE = 128

CATEGORIES = {3: "animals-nature", 4: "food-drink", 5: "travel-places", 6: "activities", 7: "objects"}
FACES = range(0, 11)  # emojibase subgroups of the yellow faces: the held-out group
# Look-alikes and things without a picture of their own: whole subgroups, then English names.
SKIPPED_SUBGROUPS = {49, 66, 69, 72, 74}
SKIPPED = re.compile(
    r" face|o’clock|thirty|moon|sun behind|cloud with|oncoming|mountain railway|light rail|^train$|bullet|railway car"
    r"|tram car|mailbox|banknote|chart|calendar|notepad|folder|place medal|locked with|suit$|closed umbrella"
    r"|umbrella on ground|hourglass not|office|department|convenience|love hotel|house with|houses|derelict|sunset"
    r"|at dusk|foggy|^fog$|night|front-facing|^dog$|^cat$|tiger$|^ox$|water buffalo|^rabbit$|^pig$|^mouse$"
    r"|disguised|green apple|small airplane|departure|arrival|minibus|trolleybus|^metro$|station|monorail"
    r"|suspension|tramway|motor boat|passenger ship|sandal|flat shoe|woman’s hat|woman’s clothes|briefs|shorts"
    r"|clutch|level slider|control knobs|musical notes|camera with flash|tilted right|dvd|optical disk|low battery"
    r"|linked paperclips|triangular|card file|file cabinet|card index|hammer and|snowman without|glowing star"
    r"|milky way|high-speed|clinking beer|fork and knife$|construction$|tear-off|motorized|spider web|leaf fluttering"
    r"|fallen leaf|empty nest|cooked rice|bowl with|shallow pan|fish cake|playing cards|viewing|tanabata|rescue"
    r"|sparkles|confetti|sports medal|softball|rugby|purse|gun|pistol|cigarette|coffin|funeral|kaaba|speaker"
)


@dataclass(frozen=True)
class Concept:
    """One emoji: its group, its category, and its name in every language."""

    emoji: str
    group: str
    category: str
    names: dict[str, str]


def names(sources: Sources) -> dict[str, dict[str, str]]:
    """CLDR short names: language -> emoji -> name."""
    table: dict[str, dict[str, str]] = {}
    for lang in LANGUAGES:
        raw = json.loads((sources.annotations / lang / "annotations.json").read_text("utf-8"))
        notes = raw["annotations"]["annotations"]
        table[lang] = {e: v["tts"][0] for e, v in notes.items() if v.get("tts")}
    return table


def keywords(sources: Sources, language: str) -> dict[str, list[str]]:
    """CLDR's other words for each emoji in one language: emoji -> keywords, without its name."""
    raw = json.loads((sources.annotations / language / "annotations.json").read_text("utf-8"))
    notes = raw["annotations"]["annotations"]
    return {e: [w for w in v.get("default", []) if w not in v.get("tts", [])] for e, v in notes.items()}


def select_concepts(sources: Sources, counts: Mapping[str, int] = COUNTS, seed: int = SEED) -> list[Concept]:
    """The concepts of the benchmark, in a fixed order, split by the seed; `counts` is the size of each group."""
    table = names(sources)
    pool: list[Concept] = []
    faces: list[Concept] = []
    for entry in json.loads(sources.emojibase.read_text("utf-8")):
        emoji = entry["emoji"].replace("\ufe0f", "").replace("\ufe0e", "")
        if len(emoji) != 1 or entry.get("version", 99) > 15 or any(emoji not in table[x] for x in LANGUAGES):
            continue
        group, subgroup = entry.get("group"), entry.get("subgroup")
        here = {lang: table[lang][emoji] for lang in LANGUAGES}
        if group == 0 and subgroup in FACES and "face" in here["en"]:
            faces.append(Concept(emoji, "held_out_group", "faces", here))
        elif group in CATEGORIES and subgroup not in SKIPPED_SUBGROUPS and not SKIPPED.search(here["en"]):
            pool.append(Concept(emoji, "", CATEGORIES[group], here))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    chosen: list[Concept] = []
    start = 0
    for group in ("main", "under_sampled", "held_out"):
        for i in sorted(order[start : start + counts[group]]):
            chosen.append(Concept(pool[i].emoji, group, pool[i].category, pool[i].names))
        start += counts[group]
    if start > len(pool):
        raise SystemExit(f"only {len(pool)} concepts to choose from, {start} are needed")
    chosen += [faces[i] for i in sorted(rng.permutation(len(faces))[: counts["held_out_group"]])]
    return chosen


@dataclass(frozen=True)
class Corpus:
    """The finite training corpus: one row per caption."""

    concepts: list[Concept]
    concept: NDArray[np.int64]
    language: list[str]
    caption: list[str]

    def exposures(self) -> dict[tuple[int, str], int]:
        """How often each caption string of each concept is in the corpus."""
        found: dict[tuple[int, str], int] = {}
        for index, text in zip(self.concept.tolist(), self.caption, strict=True):
            found[index, text] = found.get((index, text), 0) + 1
        return found

    def bootstrap(self, seed: int) -> NDArray[np.int64]:
        """Rows of an expert's own resample, with replacement."""
        return np.random.default_rng(1000 + seed).integers(0, len(self.caption), len(self.caption))


def build_corpus(concepts: list[Concept], rates: Mapping[str, float] = RATES, seed: int = SEED) -> Corpus:
    """Draws the captions: Poisson(40 * language rate * concept rate) for every emoji and language."""
    rng = np.random.default_rng(seed + 1)
    rows: list[int] = []
    languages: list[str] = []
    captions: list[str] = []
    for index, concept in enumerate(concepts):
        for lang, rate in rates.items():
            count = int(rng.poisson(CAPTIONS_PER_EMOJI * rate * CONCEPT_RATES[concept.group]))
            rows += [index] * count
            languages += [lang] * count
            captions += [concept.names[lang]] * count
    return Corpus(concepts, np.asarray(rows, dtype=np.int64), languages, captions)


def draw(font: ImageFont.FreeTypeFont, emoji: str) -> Image.Image:
    """One emoji on white, 128x128, centred."""
    canvas = Image.new("RGBA", (180, 180), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text((12, 12), emoji, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"the font has no picture of {emoji!r}")
    glyph = canvas.crop(box)
    if max(glyph.size) > SIZE - 4:
        ratio = (SIZE - 4) / max(glyph.size)
        size = (max(1, round(glyph.width * ratio)), max(1, round(glyph.height * ratio)))
        glyph = glyph.resize(size, Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    picture.paste(glyph, ((SIZE - glyph.width) // 2, (SIZE - glyph.height) // 2), glyph)
    return picture


def pictures(sources: Sources, emoji: Iterable[str]) -> NDArray[np.uint8]:
    """All pictures as one array (count, 128, 128, 3)."""
    font = ImageFont.truetype(str(sources.font), 109)
    return np.stack([np.asarray(draw(font, e)) for e in emoji])
