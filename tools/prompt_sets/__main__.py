"""The built-in prompt sets, from Unicode CLDR's npm packages to the files of the node pack.

    python -m tools.prompt_sets --cache DIR            makes emoe_core/prompts/sets/data
    python -m tools.prompt_sets --cache DIR --check    makes it in memory, and exits with 1 if it differs

The packages are fetched by name and version with npm, and checked against the digests in tools/packages.py; packages that
are in DIR are not fetched. The same packages give the same tables, and the same Python the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from ..packages import ANNOTATIONS, CORE, EMOJIBASE, LOCALE_NAMES, Package, members
from . import concepts, regions
from .templates import THINGS

DATA = Path(__file__).resolve().parents[2] / "emoe_core" / "prompts" / "sets" / "data"
VERSION = 1


class Cldr:
    """The needed parts of the packages."""

    def __init__(self, downloads: Path) -> None:
        core = members(CORE, downloads, lambda name: name.endswith(".json"))
        local = members(
            LOCALE_NAMES,
            downloads,
            lambda name: name.endswith(("/territories.json", "/languages.json", "/scripts.json")),
        )
        noted = members(ANNOTATIONS, downloads, lambda name: name.startswith("annotations/") or name == "LICENSE")
        base = members(EMOJIBASE, downloads, lambda name: name in ("en/data.json", "meta/groups.json"))
        self.licence = noted.pop("LICENSE")
        self.emoji = json.loads(base["en/data.json"])
        self.subgroups = json.loads(base["meta/groups.json"])["subgroups"]
        self.modern = {
            language
            for language, level in json.loads(core["coverageLevels.json"])["coverageLevels"].items()
            if level == "modern"
        }
        self._core, self._local = core, local
        self.names = {}
        for path, content in noted.items():
            entries = json.loads(content)["annotations"].get("annotations", {})
            named = {symbol: entry["tts"][0] for symbol, entry in entries.items() if entry.get("tts")}
            self.names[path.split("/")[1]] = named

    def supplemental(self, file: str, key: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._core[f"supplemental/{file}.json"])["supplemental"][key]
        return found

    def local(self, language: str, what: str) -> dict[str, str]:
        """CLDR's names of territories, languages or scripts in a language."""
        found: dict[str, str] = json.loads(self._local[f"main/{language}/{what}.json"])["main"][language][
            "localeDisplayNames"
        ][what]
        return found


def languages(cldr: Cldr, chosen: list[str]) -> dict[str, dict[str, Any]]:
    """English name, script and speakers of each language."""
    named, scripts = cldr.local("en", "languages"), cldr.local("en", "scripts")
    likely = cldr.supplemental("likelySubtags", "likelySubtags")
    spoken = speakers(cldr.supplemental("territoryInfo", "territoryInfo"))
    found = {}
    for tag in chosen:
        base, _, own = tag.partition("-")
        code = own or likely[base].split("-")[1]
        script = scripts.get(f"{code}-alt-stand-alone", scripts[code])
        name = named.get(tag) or f"{named[base]} ({script})"
        found[tag] = {"name": name, "script": script, "speakers": round(spoken.get(tag.replace("-", "_"), 0))}
    return found


def speakers(territories: dict[str, Any]) -> dict[str, float]:
    """CLDR's estimate of how many people use a language, summed over territories."""
    total: dict[str, float] = {}
    for entry in territories.values():
        for tag, share in entry.get("languagePopulation", {}).items():
            people = float(entry["_population"]) * float(share["_populationPercent"]) / 100
            total[tag] = total.get(tag, 0.0) + people
    return total


def build(cldr: Cldr) -> dict[str, dict[str, Any]]:
    """Both sets, ready for JSON."""
    things = concepts.build(cldr.emoji, cldr.subgroups, cldr.names, cldr.modern)
    populations = {
        code: int(entry["_population"]) for code, entry in cldr.supplemental("territoryInfo", "territoryInfo").items()
    }
    places = regions.build(
        {language: cldr.local(language, "territories") for language in THINGS},
        cldr.supplemental("territoryContainment", "territoryContainment"),
        cldr.supplemental("codeMappings", "codeMappings"),
        populations,
    )
    return {
        "concepts": {**_head(ANNOTATIONS), "languages": languages(cldr, list(things["names"])), **things},
        "regions": {**_head(LOCALE_NAMES), "languages": languages(cldr, list(places["names"])), **places},
    }


def _head(package: Package) -> dict[str, Any]:
    return {"version": VERSION, "source": f"Unicode CLDR {package.version}"}


def packed(table: dict[str, Any]) -> bytes:
    """The file's bytes, without a time of day."""
    return gzip.compress(json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="where the packages are or go")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the pack's files differ")
    options = parser.parse_args()
    cldr = Cldr(options.cache / "downloads")
    differs = False
    for name, table in build(cldr).items():
        path = DATA / f"{name}.json.gz"
        if options.check:
            same = json.loads(gzip.decompress(path.read_bytes())) == table
            differs |= not same
            print(f"{path.name}: {'as made' if same else 'DIFFERS'}")
        else:
            DATA.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed(table))
            print(f"{path.name}: {path.stat().st_size} bytes, {len(table['languages'])} languages")
    if not options.check:
        (DATA / "licences").mkdir(exist_ok=True)
        (DATA / "licences" / "Unicode-3.0.txt").write_bytes(cldr.licence)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
