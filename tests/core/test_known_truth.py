"""The parts of the validity benchmark: what is counted, and that the fast intervals measure what the slow ones do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import emoe_core.decisions.curves
import emoe_core.evaluation

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TRUTH = {
    "languages": {"en": {"share": 0.8}, "fr": {"share": 0.2}, "zh": {"share": 0.0}},
    "concepts": [
        {"names": {"en": "red fox", "fr": "renard", "zh": "狐狸"}, "exposure": {"red fox": 9, "renard": 2}},
        {"names": {"en": "owl", "fr": "hibou", "zh": "猫头鹰"}, "exposure": {"owl": 4}},
    ],
}
LISTS = {"fresh": ["red fox", "owl"], "fr": ["renard", "hibou"], "zh": ["狐狸", "猫头鹰"], "nonsense": ["qzx fox"]}


@pytest.fixture(scope="module", autouse=True)
def benchmarks() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def rows(most: int = 10) -> list[Any]:
    return importlib.import_module("known_truth.prompts").collect(TRUTH, LISTS, len, most)


def test_every_prompt_carries_its_history() -> None:
    by_text = {row.text: row for row in rows()}
    fox = by_text["red fox"]
    assert (fox.group, fox.language, fox.concepts, fox.exposure, fox.share) == ("fresh", "en", (0,), 9, 0.8)
    assert (by_text["hibou"].concepts, by_text["hibou"].exposure, by_text["hibou"].unseen_words) == ((1,), 0, 1.0)
    nonsense = by_text["qzx fox"]
    assert (nonsense.concepts, nonsense.language, nonsense.unseen_words) == ((), "en", 0.5)
    assert [row.text for row in rows(1)] == ["red fox", "renard", "狐狸", "qzx fox"]


def figures(scores: list[float], quality: list[float]) -> Any:
    core = SimpleNamespace(
        evaluation=emoe_core.evaluation, decisions=SimpleNamespace(curves=emoe_core.decisions.curves)
    )
    make = importlib.import_module("known_truth.figures").Figures
    columns = {"mid_out.relative": np.array(scores), "response": np.array(scores[::-1])}
    return make(core, rows(), columns, {"top1": np.array(quality)}, rounds=4000)


SCORES, QUALITY = [0.1, 0.3, 0.2, 0.5, 0.9, 0.5, 0.8], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, np.nan]


def test_auroc_and_its_interval_are_those_of_the_plain_road() -> None:
    table = figures(SCORES, QUALITY)
    known, unknown = table.where("fresh"), table.where("zh", "nonsense")
    fast = table._auroc("mid_out.relative", known, unknown)
    column = table.columns["mid_out.relative"]
    slow = table._interval(lambda s: emoe_core.evaluation.auroc(column[s[0]], column[s[1]]), (known, unknown))
    assert fast["value"] == pytest.approx(slow["value"])
    assert (fast["low"], fast["high"]) == pytest.approx((slow["low"], slow["high"]), abs=0.02)
    difference = table._auroc("mid_out.relative", known, unknown, minus="response")
    other = emoe_core.evaluation.auroc(table.columns["response"][known], table.columns["response"][unknown])
    assert difference["value"] == pytest.approx(slow["value"] - other)


def test_failures_count_only_prompts_with_a_true_picture() -> None:
    found = figures(SCORES, QUALITY).failures()["all"]
    assert (found["prompts"], found["failed"]) == (6, 0.5)
    measured = found["columns"]["mid_out.relative"]
    assert measured["fail_auroc"]["value"] == 1.0
    assert measured["aurc"]["value"] == pytest.approx(found["columns"]["oracle"]["aurc"]["value"])
    assert found["columns"]["random"]["aurc"]["value"] == pytest.approx(0.5)


def test_pictures_are_judged_against_all_true_ones() -> None:
    judge = importlib.import_module("known_truth.pictures").judge
    true = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32), torch.full((3, 32, 32), 0.5)])
    drawn = torch.stack([torch.full((3, 64, 64), 0.1), torch.full((3, 64, 64), 0.9), torch.ones(3, 64, 64)])
    found = judge(drawn, true, [(0,), (0,), ()])
    assert found["top1"][:2].tolist() == [1.0, 0.0] and found["rank"][:2].tolist() == [1.0, 0.0]
    assert found["likeness"][0] > found["likeness"][1] and np.isnan(found["top1"][2])


def test_worlds_differ_as_they_say() -> None:
    sys.path.insert(0, str(BENCHMARKS.parent))
    try:
        design = importlib.import_module("tools.worlds.design")
    finally:
        sys.path.remove(str(BENCHMARKS.parent))
    first, second = design.Split(0), design.Split(1)
    assert first.reference == "en" and second.reference == "fr"
    for split in (first, second):
        assert sum(split.rates.values()) == pytest.approx(1.0) and len(set(split.rates)) == 9
        assert list(split.rates.values()) == sorted(split.rates.values(), reverse=True)
    assert len(design.EXPERTS) == 8 and len({plan.seed for plan in (*design.EXPERTS, *design.INDEPENDENT)}) == 12
