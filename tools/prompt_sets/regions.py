"""The set `regions`: everyday things in every territory. See `templates` for the sentences.

Territories are those of ISO 3166-1 that CLDR has, and XK (Kosovo), a code that ISO leaves to its users. Their names are
CLDR's, in the short form if the usual one is a formula of state or two names at once (Hong Kong, Macao, Myanmar,
Palestine). A gloss in brackets is cut if the name stays unique; otherwise only its brackets go.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .templates import COMMAS, IDS, THINGS, TOPIC_OF

SHORT = ("HK", "MO", "MM", "PS")
BEYOND_ISO = ("XK",)
_GLOSS = re.compile(r"\s*[(（]([^()（）]*)[)）]\s*")
_UNSPACED = 0x2E80  # Chinese and Japanese characters, and those beyond them


def build(
    names: Mapping[str, Mapping[str, str]],
    containment: Mapping[str, Mapping[str, Any]],
    codes: Mapping[str, Mapping[str, str]],
    populations: Mapping[str, int],
) -> dict[str, Any]:
    """Territories with their place in the world, and the words of each language.

    Args:
        names: language -> code -> CLDR's name of a territory or region.
        containment: CLDR's UN M49 containment.
        codes: CLDR's mappings between territory codes.
        populations: people by territory.
    """
    placed = _placed(containment)
    territories = sorted(code for code in placed if "_numeric" in codes.get(code, {}) or code in BEYOND_ISO)
    world = []
    for code in territories:
        continent, region = placed[code]
        world.append(
            {
                "territory": code,
                "continent": names["en"][continent] if continent != "QO" else "Antarctica",
                "region": names["en"][region] if region != "QO" else "Antarctica",
                "population": populations.get(code, 0),
            }
        )
    return {
        "ids": IDS,
        "topics": [TOPIC_OF[thing] for thing in IDS],
        "territories": world,
        "names": {language: plain(names[language], territories) for language in sorted(THINGS)},
        "things": {language: [THINGS[language][thing] for thing in IDS] for language in sorted(THINGS)},
        "commas": {language: COMMAS.get(language, ", ") for language in sorted(THINGS)},
    }


def _placed(containment: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Continent and region (M49 codes) of every territory; Antarctica, which M49 does not place, is its own."""
    placed = {}
    for continent in containment["001"]["_contains"]:
        for region in containment[continent]["_contains"]:
            for code in containment[region]["_contains"]:
                placed[code] = ("QO", "QO") if region == "QO" else (continent, region)
    return placed


def plain(names: Mapping[str, str], territories: list[str]) -> list[str]:
    """The territories' names as a user would write them, in their order; all different."""
    full = [names.get(f"{code}-alt-short", names[code]) if code in SHORT else names[code] for code in territories]
    cut = [_without(name, "") for name in full]
    times = Counter(cut)
    return [_without(name, r"\1") if times[short] > 1 else short for name, short in zip(full, cut, strict=True)]


def _without(name: str, inside: str) -> str:
    """The name without brackets, with or without their content; scripts without spaces get none."""
    space = "" if ord(name[0]) >= _UNSPACED else " "
    return " ".join(_GLOSS.sub(f"{space}{inside}{space}", name).split())
