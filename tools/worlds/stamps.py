"""World T's things: photographs with captions that are sentences, from the stamps of Tux Paint.

Its licence (GPL-2) lets one train on them; no picture and no caption of them is in this repository.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..packages import Debian, unpacked
from ..train_demo.data import SIZE, Concept
from ..train_demo.sources import LANGUAGES as ALL
from ..train_demo.truth import Frame

PACKAGE = Debian(
    "tuxpaint-stamps-default", "2022.06.04-1", "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"
)
STANDS_IN = {"sw": "id"}
"""Few stamps have a caption in Swahili, so Indonesian has its share."""
LANGUAGES = tuple(STANDS_IN.get(lang, lang) for lang in ALL)
WRITTEN = {"zh": "zh_CN"}
"""Codes of the stamps' own for a language."""

DRAWN = {"symbols", "cartoon", "flags", "roadsigns"}
"""Folders without photographs."""
NEVER_SHOWN = "seasonal"
"""The category that is held out as a whole."""
LONGEST = 60
"""Characters of an English caption; a longer one is a paragraph, and the text encoder would not see its end."""
MARGIN = 4
_LINE = re.compile(r"(\w+)\.utf8=(.*\S)")


@dataclass(frozen=True)
class Stamps:
    """The unpacked stamps."""

    folder: Path

    @classmethod
    def prepare(cls, cache: Path) -> Stamps:
        """Fetches and unpacks the package, unless the cache has it."""
        return cls(unpacked(PACKAGE, cache) / "tuxpaint" / "stamps")

    def rates(self, rates: Mapping[str, float]) -> dict[str, float]:
        """A split's shares, for the languages that the stamps have."""
        return {STANDS_IN.get(lang, lang): rate for lang, rate in rates.items()}

    def every(self) -> list[Concept]:
        """Every photograph with a caption of its own in every language, by path; of one caption's pictures the first."""
        found: dict[str, Concept] = {}
        for path in sorted(self.folder.rglob("*.txt")):
            parts = path.relative_to(self.folder).with_suffix("").parts
            if DRAWN & set(parts) or not path.with_suffix(".png").exists():
                continue
            names = captions(path.read_text("utf-8"))
            if not set(LANGUAGES) <= set(names) or len(names["en"]) > LONGEST:
                continue
            here = {lang: names[lang] for lang in LANGUAGES}
            if sum(name.lower() == here["en"].lower() for name in here.values()) == 1:  # else it was not translated
                found.setdefault(here["en"].lower(), Concept("/".join(parts), "", parts[0], here))
        return list(found.values())

    def concepts(self, counts: Mapping[str, int], seed: int) -> list[Concept]:
        """Those of a split, by group."""
        every = self.every()
        pool = [one for one in every if one.category != NEVER_SHOWN]
        whole = [one for one in every if one.category == NEVER_SHOWN]
        rng = np.random.default_rng(seed)
        order, start, found = rng.permutation(len(pool)), 0, []
        for group in ("main", "under_sampled", "held_out"):
            chosen = [pool[i] for i in sorted(order[start : start + counts[group]])]
            found += [Concept(one.emoji, group, one.category, one.names) for one in chosen]
            start += counts[group]
        if start > len(pool):
            raise SystemExit(f"only {len(pool)} stamps to choose from, {start} are needed")
        chosen = [whole[i] for i in sorted(rng.permutation(len(whole))[: counts["held_out_group"]])]
        return found + [Concept(one.emoji, "held_out_group", one.category, one.names) for one in chosen]

    def pictures(self, concepts: Sequence[Concept]) -> NDArray[np.uint8]:
        """All pictures as one array (count, 128, 128, 3), on white."""
        return np.stack([picture(self.folder / f"{one.emoji}.png") for one in concepts])

    def texts(self) -> list[str]:
        """Every caption, language by language."""
        every = self.every()
        return [one.names[lang] for lang in LANGUAGES for one in every]

    def keywords(self, language: str) -> dict[str, list[str]]:
        """None: the stamps have no other words."""
        return {}

    def frame(self, concepts: Sequence[Concept], language: str) -> Frame:
        """What most captions begin and end with."""
        return frame([one.names[language] for one in concepts])


def captions(text: str) -> dict[str, str]:
    """Language -> caption, from a stamp's text file: English first, then a line per language."""
    first, *others = text.splitlines() or [""]
    written = {match[1]: match[2] for match in map(_LINE.fullmatch, map(str.strip, others)) if match}
    names = {lang: written.get(WRITTEN.get(lang, lang), "") for lang in LANGUAGES} | {"en": first.strip()}
    return {lang: name for lang, name in names.items() if name}


def frame(texts: Iterable[str]) -> Frame:
    """The most frequent first word and last character, such as "A " and "."."""
    texts = list(texts)
    first = Counter(text.split()[0] for text in texts).most_common(1)[0][0]
    return Frame(f"{first} ", Counter(text[-1] for text in texts).most_common(1)[0][0])


def picture(path: Path) -> NDArray[np.uint8]:
    """One stamp on white, as large as the margin allows, centred."""
    with Image.open(path) as opened:
        stamp = opened.convert("RGBA")
    stamp = stamp.crop(stamp.getchannel("A").getbbox())
    ratio = (SIZE - MARGIN) / max(stamp.size)
    width, height = (max(1, round(side * ratio)) for side in stamp.size)
    # premultiplied, so that the colour of what is transparent does not come through at the edges
    small = stamp.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    page = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    page.paste(small, ((SIZE - width) // 2, (SIZE - height) // 2), small)
    return np.asarray(page)
