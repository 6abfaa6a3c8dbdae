"""The rule of two stages: what it decides, what it is learnt from, and that the calibration's promise stays exact."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoe_core.errors import EMoEError
from emoe_core.records.calibration import Calibration
from emoe_core.records.report import Estimate, ItemScore, Maps, Report, StageCalls
from emoe_core.records.settings import Settings
from emoe_core.scoring.presets import ScoreOptions
from emoe_core.scoring.score import Scored
from emoe_core.scoring.stages import FEWEST, FIRST_STAGE, LEARNT_FROM, Stages, is_learnt_from, joined

SETTINGS = Settings(
    ("a" * 64, "b" * 64, "c" * 64, "d" * 64),
    ("shared",),
    "noise_pred",
    "centred_layout",
    14.6146,
    0,
    2,
    (4, 16, 16),
    "empty",
    "float32",
)


def test_the_ends_belong_to_the_first_stage() -> None:
    rule = Stages(0.1, 0.4)
    assert [rule.decides(score) for score in (0.0, 0.1, 0.11, 0.39, 0.4, 9.0)] == [True, True, False, False, True, True]
    assert FIRST_STAGE.decides(-1e300) and FIRST_STAGE.decides(1e300)
    with pytest.raises(EMoEError, match="no range"):
        Stages(0.4, 0.1)
    with pytest.raises(EMoEError, match="no range"):
        Stages(math.nan, 0.1)


@pytest.mark.parametrize("rule", [Stages(0.1, 0.4), Stages(1 / 3, 1e300), FIRST_STAGE, Stages(-1.0, 5e-324)])
def test_a_mode_holds_the_rule(rule: Stages) -> None:
    assert Stages.of_mode(rule.mode) == rule


@pytest.mark.parametrize("mode", ["ensemble", "mixture", "", "stagedness 1 2"])
def test_other_modes_have_none(mode: str) -> None:
    assert Stages.of_mode(mode) is None


@pytest.mark.parametrize("mode", ["staged", "staged 1", "staged a b", "staged 1 2 3", "staged 2 1", "staged nan nan"])
def test_a_mode_that_is_no_rule_is_refused(mode: str) -> None:
    with pytest.raises(EMoEError, match="make (it|the calibration) anew"):
        ScoreOptions.of(Calibration("odd", replace(SETTINGS, mode=mode), (0.1, 0.2)))


def test_a_staged_calibrations_file_is_one_that_older_packs_read_and_never_mistake(tmp_path: Path) -> None:
    made = Calibration("mine", replace(SETTINGS, mode=Stages(0.125, 0.5).mode), (0.1, 0.2))
    made.save(tmp_path / "c.json")
    loaded = Calibration.load(tmp_path / "c.json")
    assert loaded == made and ScoreOptions.of(loaded).stages == Stages(0.125, 0.5)
    assert loaded.settings.differences(SETTINGS) == ["mode is ensemble instead of staged 0.125 0.5"]
    assert ScoreOptions.of(Calibration("full", SETTINGS, (0.1,))).stages is None


def test_the_rule_is_a_quantile_and_a_margin() -> None:
    scores = [float(number) for number in range(1, 21)]
    random.Random(0).shuffle(scores)
    assert Stages.learn(scores) == Stages(1.0, 40.0)
    assert Stages.learn([1 / 3] * FEWEST) == Stages(0.333333, 0.666667)
    with pytest.raises(EMoEError, match=f"here these are {FEWEST - 1}; give at least 60"):
        Stages.learn(scores[: FEWEST - 1])


def test_a_third_of_all_texts_is_learnt_from() -> None:
    texts = [f"a prompt {number}" for number in range(3000)]
    learnt = sum(map(is_learnt_from, texts))
    assert abs(learnt - len(texts) / LEARNT_FROM) < 100
    assert is_learnt_from("a\ud800b") in (True, False)


def staged(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Both stages' scores of known prompts, with many ties."""
    known = rng.exponential(size=count)
    return tuple(np.round(known + 0.5 * rng.exponential(size=count), 1) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_promise_is_exact_whatever_was_learnt(alpha: float) -> None:
    """Blocked known prompts over 3,000 calibrations of 60 prompts, each with a rule of its own."""
    rng, trials, blocked = np.random.default_rng(1), 3000, 0
    for _ in range(trials):
        rule = Stages.learn(staged(rng, 30)[0].tolist())
        first, second = staged(rng, 61)
        scores = [a if rule.decides(a) else (a + b) / 2 for a, b in zip(first.tolist(), second.tolist(), strict=True)]
        blocked += Calibration("c", SETTINGS, tuple(scores[:60])).whole.p_value(scores[60]) <= alpha
    assert blocked / trials <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / trials)
    assert blocked / trials >= 0.5 * alpha  # ties cost some, not all


def scored(*scores: float) -> Scored:
    import torch

    items = tuple(
        ItemScore(
            score, None, score, None, 7.0, 8.0,
            {"noise_pred": {"centred_layout": Estimate(score, None, None), "response": Estimate(7.0, None, None)}},
        )
        for score in scores
    )  # fmt: skip
    report = Report(SETTINGS, items, ("a", "b"), ("", ""), ((0.0, 1.0), (1.0, 0.0)), alike=((1, 0),), prompt="cat")
    return Scored(report, Maps(torch.full((len(scores), 2, 2), scores[0])))


def test_the_joined_report_is_of_all_experts() -> None:
    whole = Report(SETTINGS, (), ("a", "b", "c", "d"), ("", "", "", ""), ())
    calls = StageCalls(2, 4, 8)
    found = joined(scored(0.1, 0.3), scored(0.7, 0.5), Stages(0.1, 9.0), whole, calls)
    assert [item.score for item in found.report.items] == [0.1, 0.4]
    decided, both = found.report.items
    assert decided.stderr is None and both.stderr == pytest.approx(0.1) and both.epistemic == pytest.approx(0.4)
    assert both.all["noise_pred"]["centred_layout"].score == pytest.approx(0.4)
    assert both.all["noise_pred"]["response"].score == both.response == 7.0 and both.guidance == 8.0
    assert found.report.alike == ((1, 0), (3, 2)) and found.report.prompt == "cat"
    assert found.report.experts == ("a", "b", "c", "d") and found.report.stage == calls
    assert float(found.maps.disagreement.mean()) == pytest.approx(0.4)


def test_where_the_first_stage_decides_its_report_stays() -> None:
    whole = Report(SETTINGS, (), ("a", "b", "c", "d"), ("", "", "", ""), ())
    first = scored(0.1)
    found = joined(first, None, Stages(0.1, 9.0), whole, StageCalls(1, 2, 8))
    assert found.report.items == first.report.items and found.maps is first.maps
    assert "stage 1 of 2 decided: 2 of 8 network calls" in found.report.lines()
    assert first.report.stage is None and found.report.as_dict()["stage"] == {"stage": 1, "calls": 2, "full": 8}
