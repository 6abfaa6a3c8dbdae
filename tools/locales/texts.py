"""Reading, comparing and writing the locale files; flat keys such as `EMoE_Gate.inputs.alpha.tooltip`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCALES = ROOT / "locales"
SOURCES = Path(__file__).with_name("translated_from.json")
TRANSLATED = ("ja", "zh")
#: Letters with a special meaning to the frontend's translator.
SPECIAL = "{}@|$"


def english(schemas: dict[str, Any]) -> dict[str, str]:
    """Every text of every node, by flat key, from the output of `GET_NODE_INFO_V1`."""
    found: dict[str, str] = {}
    for node, info in schemas.items():
        found[f"{node}.display_name"] = info["display_name"]
        found[f"{node}.description"] = info["description"]
        for group in ("required", "optional"):
            for name, (_, *options) in info["input"].get(group, {}).items():
                found[f"{node}.inputs.{name}.name"] = name
                found[f"{node}.inputs.{name}.tooltip"] = options[0].get("tooltip", "") if options else ""
        for place, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True)):
            found[f"{node}.outputs.{place}.name"] = name
            found[f"{node}.outputs.{place}.tooltip"] = tooltip or ""
    return found


def path_of(language: str) -> Path:
    return LOCALES / language / "nodeDefs.json"


def read(language: str) -> dict[str, str]:
    """A language's texts by flat key."""
    found: dict[str, str] = {}

    def walk(part: dict[str, Any], prefix: str) -> None:
        for key, value in part.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = value

    if path_of(language).is_file():
        walk(json.loads(path_of(language).read_text("utf-8")), "")
    return found


def write(language: str, found: dict[str, str]) -> None:
    nested: dict[str, Any] = {}
    for key, text in found.items():
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = text
    path_of(language).parent.mkdir(parents=True, exist_ok=True)
    path_of(language).write_text(json.dumps(nested, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def sources() -> dict[str, dict[str, str]]:
    """By language and key, the digest of the English that was translated."""
    return dict(json.loads(SOURCES.read_text("utf-8"))) if SOURCES.is_file() else {}


def missing(language: str, source: dict[str, str]) -> dict[str, str]:
    """The English texts that a language lacks, or has only as a translation of an older wording."""
    have, made_from = read(language), sources().get(language, {})
    return {k: text for k, text in source.items() if not have.get(k) or made_from.get(k) != digest(text)}


def take(language: str, found: dict[str, str], source: dict[str, str]) -> None:
    """Adds translations and records their sources, in the order of the English."""
    if unknown := found.keys() - source.keys():
        raise SystemExit(f"error: {language}: no node has the text {', '.join(sorted(unknown))}")
    have = read(language) | found
    write(language, {key: have[key] for key in source if key in have})
    all_sources = sources()
    mine = all_sources.get(language, {}) | {key: digest(source[key]) for key in found}
    all_sources[language] = {key: mine[key] for key in source if key in mine}
    _write_sources(all_sources)


def drop_unknown(language: str, source: dict[str, str]) -> None:
    """Leaves out the texts of nodes and sockets that no longer exist."""
    have, all_sources = read(language), sources()
    write(language, {key: have[key] for key in source if key in have})
    all_sources[language] = {k: v for k, v in all_sources.get(language, {}).items() if k in source}
    _write_sources(all_sources)


def _write_sources(found: dict[str, dict[str, str]]) -> None:
    SOURCES.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
