"""The built-in prompt sets: what is in them, how a part is chosen, and the rules by which they are made."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emoe_core.__main__ import main
from emoe_core.audit.plan import read_plan
from emoe_core.errors import EMoEError
from emoe_core.prompts import load_prompts
from emoe_core.prompts.sets import Choice, write
from emoe_core.prompts.sets.tables import DATA, table

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    """A module of tools/, which is no package of an installed pack."""
    if "emoe_tools" not in sys.modules:
        package = sys.modules["emoe_tools"] = ModuleType("emoe_tools")
        package.__path__ = [str(ROOT / "tools")]
    return importlib.import_module(f"emoe_tools.prompt_sets.{name}")


concepts, regions, making = tool("concepts"), tool("regions"), tool("__main__")


def test_concepts_are_many_and_parallel_in_many_languages() -> None:
    rows = list(Choice("concepts").rows())
    tags, ids = Choice("concepts").tags(), {row["id"] for row in rows}
    assert len(ids) >= 300 and len(set(tags)) == len(tags) >= 60
    assert len(rows) == Choice("concepts").count() == len(ids) * len(tags)
    assert len({(row["id"], row["language"]) for row in rows}) == len(rows)
    # No prompt stands for two concepts of its language, none is empty or holds what ComfyUI reads as a weight.
    assert len({(row["prompt"].casefold(), row["language"]) for row in rows}) == len(rows)
    assert all(value for row in rows for value in row.values())
    assert not any(mark in row["prompt"] for row in rows for mark in "()[]{}:\n\t")
    assert min(Counter(row["topic"] for row in rows if row["language"] == "en").values()) >= 10


def test_no_language_repeats_english_or_another_one() -> None:
    names: dict[str, list[str]] = table("concepts")["names"]
    folded = {tag: [name.casefold() for name in listed] for tag, listed in names.items()}
    for number, one in enumerate(folded):
        for other in list(folded)[number + 1 :]:
            same = sum(a == b for a, b in zip(folded[one], folded[other], strict=True)) / len(folded[one])
            assert same <= (concepts.COPIES if "en" in (one, other) else 0.6), (one, other, same)
    assert len({tag.partition("-")[0] for tag in names}) >= 60
    assert {"fi", "ja", "sw", "ar", "hi", "zh", "zh-Hant", "th", "am"} <= set(names)


def test_regions_are_every_territory_in_many_languages() -> None:
    choice = Choice("regions", ("all",))
    rows, tags = list(choice.rows()), choice.tags()
    codes = {row["territory"] for row in rows}
    assert len(codes) == 250 and {"FI", "XK", "TW", "AQ"} <= codes and len(set(tags)) == len(tags) >= 15
    assert len(rows) == choice.count() == len(codes) * len(tags) * 20
    assert len({(row["id"], row["territory"], row["language"]) for row in rows}) == len(rows)
    assert len({(row["prompt"], row["language"]) for row in rows}) == len(rows)
    assert all(value for row in rows for value in row.values()) and not any("(" in row["prompt"] for row in rows)
    assert {row["continent"] for row in rows} == {"Africa", "Americas", "Antarctica", "Asia", "Europe", "Oceania"}
    japanese = {(row["territory"], row["id"]): row["prompt"] for row in rows if row["language"] == "ja"}
    assert japanese["FI", "wedding"] == "結婚式、フィンランド"
    assert next(Choice("regions").rows())["prompt"] == "a street, Andorra" and Choice("regions").tags() == ["en"]


def test_a_part_is_chosen_by_tags_and_names() -> None:
    choice = Choice("concepts", ("Finnish", "zh_hant", "EN"), ("Food", "animals"), things=6)
    rows = list(choice.rows())
    assert choice.tags() == ["fi", "zh-Hant", "en"] and len(rows) == choice.count() == 18
    assert [row["language"] for row in rows[:3]] == ["fi", "zh-Hant", "en"] and len(
        {row["id"] for row in rows[:3]}
    ) == 1
    assert {row["topic"] for row in rows} == {"food", "animals"}
    world = Choice("regions", ("fr",), ("home",), ("Western Africa", "japan", "FI", "Africa"))
    rows = list(world.rows())
    assert {row["continent"] for row in rows} == {"Africa", "Asia", "Europe"} and len(rows) == world.count()
    assert {row["territory"] for row in rows if row["continent"] != "Africa"} == {"JP", "FI"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "words"}, "no built-in prompt set 'words'; choose one of concepts, regions"),
        ({"name": "concepts", "languages": ("klingon",)}, "no language 'klingon'; choose among af, ak, am"),
        (
            {"name": "regions", "topics": ("food", "war")},
            "no topic 'war'; choose among outdoors, home, food, services, people",
        ),
        ({"name": "regions", "territories": ("Narnia",)}, "no territory 'Narnia'; choose among AD, AE"),
        ({"name": "concepts", "territories": ("FI",)}, "Only the prompt set 'regions' has territories"),
        ({"name": "regions", "things": 3}, "can be chosen of 'concepts' only"),
        ({"name": "concepts", "things": -1}, "-1 things cannot be chosen"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(given: dict[str, object], said: str) -> None:
    with pytest.raises(EMoEError, match=said):
        Choice(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "txt"])
def test_a_written_set_is_read_as_it_is(tmp_path: Path, kind: str) -> None:
    choice = Choice("concepts", ("en", "ar", "th"), things=10)
    path = write(choice, tmp_path / "new" / f"p.{kind}")
    rows, bad = load_prompts(path)
    assert not bad and [row.prompt for row in rows] == [row["prompt"] for row in choice.rows()]
    assert kind == "txt" or {"prompt": rows[7].prompt, **rows[7].columns} == list(choice.rows())[7]
    assert path.read_bytes() == write(choice, path).read_bytes() and [f.name for f in path.parent.iterdir()] == [
        path.name
    ]


def test_an_audits_groups_are_found_in_both(tmp_path: Path) -> None:
    plan = read_plan(write(Choice("concepts", ("en", "fi", "ja", "ru")), tmp_path / "c.csv"))
    assert plan.groups == ("language", "script", "topic") and plan.id_column == "id"
    plan = read_plan(write(Choice("regions"), tmp_path / "r.csv"))
    assert plan.groups == ("territory", "region", "continent", "topic") and plan.id_column == "id"


def test_the_command_lists_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts"]) == 0
    said = capsys.readouterr().out
    assert "concepts: " in said and "regions: 130000 prompts" in said and " zh-Hant" in said
    out = tmp_path / "p.csv"
    arguments = ["prompts", "regions", "--languages", "en,sw", "ja", "--territories", "KE", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prompts"] == 60 and found["file"] == str(out)
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert [row["prompt"] for row in csv.DictReader(file)][:3] == [
            "a street, Kenya",
            "barabara, Kenya",
            "通り、ケニア",
        ]
    for wrong, text in (
        (["concepts", "--out", "p.xlsx"], "of a kind that is not written"),
        (["--languages", "fi"], "choose a part of a built-in prompt set"),
        (["nothing"], "no built-in prompt set 'nothing'"),
    ):
        assert main(["prompts", *wrong]) == 2
        assert text in capsys.readouterr().err


def test_only_built_in_sets_are_filtered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a horse\n", encoding="utf-8")
    common = ["--out", str(tmp_path / "out"), "--experts", "demo", "--host", "diffusers"]
    for name in (str(path), "demo"):
        assert main(["audit", name, "--topics", "food", *common]) == 2
        assert "--topics choose a part of a built-in prompt set" in capsys.readouterr().err
    assert main(["audit", "concepts", "--languages", "xx", *common]) == 2
    assert "no language 'xx'" in capsys.readouterr().err


# --- how they are made ------------------------------------------------------------------------------------------------

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
