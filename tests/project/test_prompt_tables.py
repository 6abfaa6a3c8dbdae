"""The tables of the built-in prompt sets keep the rules by which `tools/prompt_sets` makes them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from emoe_core.prompts.sets.choice import DATA, table

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    """A module of tools/, which is no package of an installed pack."""
    if "emoe_tools" not in sys.modules:
        package = sys.modules["emoe_tools"] = ModuleType("emoe_tools")
        package.__path__ = [str(ROOT / "tools")]
    return importlib.import_module(f"emoe_tools.prompt_sets.{name}")


concepts, regions, making = tool("concepts"), tool("regions"), tool("__main__")


def test_no_language_repeats_english_or_another_one() -> None:
    names: dict[str, list[str]] = table("concepts")["names"]
    folded = {tag: [name.casefold() for name in listed] for tag, listed in names.items()}
    for number, one in enumerate(folded):
        for other in list(folded)[number + 1 :]:
            same = sum(a == b for a, b in zip(folded[one], folded[other], strict=True)) / len(folded[one])
            assert same <= (concepts.COPIES if "en" in (one, other) else 0.6), (one, other, same)
    assert len({tag.partition("-")[0] for tag in names}) >= 60
    assert {"fi", "ja", "sw", "ar", "hi", "zh", "zh-Hant", "th", "am"} <= set(names)


EMOJI = [{"emoji": emoji, "subgroup": 1} for emoji in "abcdefgh"]
ENGLISH = dict(zip("abcdefgh", ("horse", "cow face", "bee", "ant", "piñata", "owl", "bat", "cat"), strict=True))


def made(**names: dict[str, str]) -> Any:
    table = {language: {**ENGLISH, **found} for language, found in names.items()}
    return concepts.build(EMOJI, {"1": "animal-bug"}, {"en": ENGLISH, **table}, {"en", *names} - {"old"})


def test_languages_and_concepts_are_chosen_by_the_rules() -> None:
    own = {emoji: f"{name}o" for emoji, name in ENGLISH.items()}
    found = made(
        aa={**own, "c": "beeo (insect)", "d": "anto: one"},  # a gloss is cut, a colon costs the concept
        bb={**own, "g": "Owlo"},  # said twice: the second one is no name
        old=own,  # not of the level
        copy={"a": "hevonen", "c": "Bee"},  # mostly English
        part={**own, "a": ""},  # lacks a name: with so few concepts that costs the concept
    )
    kept = [concept["id"] for concept in found["concepts"]]
    assert list(found["names"]) == ["aa", "bb", "en", "part"] and kept == ["bee", "pinata", "owl", "cat"]
    assert found["names"]["aa"] == ["beeo", "piñatao", "owlo", "cato"]


def test_a_language_that_lacks_names_is_left_out() -> None:
    names = {"en": ENGLISH, "short": {"a": "hevonen"}}
    assert list(concepts.build(EMOJI, {"1": "animal-bug"}, names, {"en", "short"})["names"]) == ["en"]


def test_brackets_leave_a_territorys_name() -> None:
    names = {
        "A": "Myanmar (Burma)",
        "B": "Cocos (Keeling) Islands",
        "C": "刚果（金）",
        "D": "刚果（布）",
        "E": "ココス(キ)諸島",
    }
    assert regions.plain(names, list("ABCDE")) == ["Myanmar", "Cocos Islands", "刚果金", "刚果布", "ココス諸島"]
    assert regions.plain({"HK": "Hong Kong SAR", "HK-alt-short": "Hong Kong"}, ["HK"]) == ["Hong Kong"]


def test_the_same_tables_are_the_same_bytes_and_the_licence_lies_beside_them() -> None:
    for name in ("concepts", "regions"):
        found = table(name)
        assert making.packed(found) == making.packed(json.loads(json.dumps(found)))
        assert (DATA / f"{name}.json.gz").stat().st_size < 600_000 and found["source"] == "Unicode CLDR 48.2.0"
    assert "UNICODE LICENSE V3" in (DATA / "licences" / "Unicode-3.0.txt").read_text(encoding="utf-8")
    assert "48.2" in (DATA / "NOTICE").read_text(encoding="utf-8")
