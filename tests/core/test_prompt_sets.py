"""The built-in prompt sets: what is in them, and how a part is chosen."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from emoe_core.__main__ import main
from emoe_core.audit.plan import read_plan
from emoe_core.errors import EMoEError
from emoe_core.prompts import load_prompts
from emoe_core.prompts.sets import Choice, write


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


def test_everyday_is_plain_english_over_many_topics(tmp_path: Path) -> None:
    choice = Choice("everyday")
    rows = list(choice.rows())
    assert len(rows) == choice.count() == len({row["prompt"].casefold() for row in rows}) == 160
    assert choice.columns() == ("prompt", "topic", "kind") and choice.tags() == ["en"]
    assert set(Counter(row["topic"] for row in rows).values()) == {10} and len(choice.all_topics()) == 16
    assert Counter(row["kind"] for row in rows) == {"thing": 80, "scene": 80}
    assert not any(mark in row["prompt"] for row in rows for mark in '()[]{}:,;"\n\t')
    assert len({row["topic"] for row in Choice("everyday", things=16).rows()}) == 16
    assert load_prompts(write(choice, tmp_path / "kept.csv"))[0][5].columns == {"topic": "people", "kind": "scene"}


def test_a_sets_name_stands_for_its_prompts_where_no_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, bad = load_prompts("everyday")
    assert [row.prompt for row in found] == [row["prompt"] for row in Choice("everyday").rows()] and not bad
    assert [row.row for row in found[:2]] == [1, 2] and found[0].columns == {"topic": "people", "kind": "thing"}
    assert load_prompts("regions")[0][0].prompt == "a street, Andorra"
    Path("everyday").write_text("a prompt")
    with pytest.raises(EMoEError, match="of a kind that is not read"):
        load_prompts("everyday")


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
        ({"name": "regions", "things": 3}, "can be chosen of 'concepts' and 'everyday' only"),
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
