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

import emoe_core.gating.curves
import emoe_core.stats.evaluation
from emoe_core.scoring.presets import DEFAULT

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


def table_of(rows: list[Any], columns: Any, quality: Any, rounds: int) -> Any:
    core = SimpleNamespace(
        stats=SimpleNamespace(evaluation=emoe_core.stats.evaluation),
        gating=SimpleNamespace(curves=emoe_core.gating.curves),
    )
    return importlib.import_module("known_truth.figures").Figures(core, rows, columns, quality, rounds)


def figures(scores: list[float], quality: list[float]) -> Any:
    columns = {"mid_out.relative": np.array(scores), "response": np.array(scores[::-1])}
    return table_of(rows(), columns, {"top1": np.array(quality)}, rounds=4000)


SCORES, QUALITY = [0.1, 0.3, 0.2, 0.5, 0.9, 0.5, 0.8], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, np.nan]


def test_auroc_and_its_interval_are_those_of_the_plain_road() -> None:
    table = figures(SCORES, QUALITY)
    known, unknown = table.where("fresh"), table.where("zh", "nonsense")
    fast = table.auroc_of("mid_out.relative", known, unknown)
    column = table.columns["mid_out.relative"]
    slow = table.interval(lambda s: emoe_core.stats.evaluation.auroc(column[s[0]], column[s[1]]), (known, unknown))
    assert fast["value"] == pytest.approx(slow["value"])
    assert (fast["low"], fast["high"]) == pytest.approx((slow["low"], slow["high"]), abs=0.02)
    difference = table.auroc_of("mid_out.relative", known, unknown, minus="response")
    other = emoe_core.stats.evaluation.auroc(table.columns["response"][known], table.columns["response"][unknown])
    assert difference["value"] == pytest.approx(slow["value"] - other)


def test_one_set_of_experts_over_another_is_the_difference_task_by_task() -> None:
    table = figures(SCORES, QUALITY)
    found = table.over("mid_out.relative", "response")
    plain = {
        task: emoe_core.stats.evaluation.auroc(
            table.columns["mid_out.relative"][known], table.columns["mid_out.relative"][u]
        )
        - emoe_core.stats.evaluation.auroc(table.columns["response"][known], table.columns["response"][u])
        for task, (known, u) in table.tasks().items()
    }
    assert {task: found[task]["value"] for task in plain} == pytest.approx(plain) and len(plain) == 2
    assert found["mean"]["value"] == pytest.approx(np.mean(list(plain.values())))
    assert found["mean"]["low"] <= found["mean"]["value"] <= found["mean"]["high"]


def test_the_order_of_languages_is_told_apart_from_where_it_ends() -> None:
    """Two languages shown well, in order; a third hardly shown, and one never, both as high as can be."""
    truth = {
        "languages": {code: {"share": share} for code, share in (("en", 0.8), ("fr", 0.19), ("de", 0.01), ("zh", 0.0))},
        "concepts": [],
    }
    lists = {group: [f"{group} {n}" for n in range(4)] for group in ("fresh", "fr", "de", "zh")}
    every = importlib.import_module("known_truth.prompts").collect(truth, lists, len, 10)
    level = {"fresh": 0.1, "fr": 0.2, "de": 0.6, "zh": 0.6}
    columns = {"mid_out.relative": np.array([level[row.group] for row in every])}
    table = table_of(every, columns, {}, rounds=50)
    assert table.spearman_share()["mid_out.relative"]["value"] == pytest.approx(-1.0)
    found = table.order_of_languages()["fast"]
    assert {key: one["value"] for key, one in found.items()} == pytest.approx(
        {"order_well_shown": -1.0, "never_against_well": 1.0, "never_against_seldom": 0.5}
    )


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


def test_gain_is_over_the_best_number_of_one_model() -> None:
    table = figures(SCORES, QUALITY)
    flat = np.zeros(len(SCORES))
    table.columns |= {name: flat for name in ("guidance", "seed_variance", "denoiser_norm", "guidance_mean")}
    table.columns |= {"characters": np.arange(7.0), "tokens": flat}
    gain = table.gain()["nonsense"]
    auroc = emoe_core.stats.evaluation.auroc
    known, unknown = table.where("fresh"), table.where("nonsense")
    own = auroc(table.columns["mid_out.relative"][known], table.columns["mid_out.relative"][unknown])
    assert gain["best_rival"] == "guidance" and auroc(table.columns["response"][known], [SCORES[0]]) < 0.5
    assert gain["fast"]["value"] == pytest.approx(own - 0.5) == gain["over_mean_guidance"]["fast"]["value"]
    assert gain["longer"] == "characters" and gain["over_length"]["fast"]["value"] == pytest.approx(own - 1.0)


def test_pictures_that_nobody_drew_have_no_quality() -> None:
    drawn = importlib.import_module("known_truth.pictures").Drawn
    part = drawn(top1=np.array([1.0, 0.0]), rank=np.array([0.9, 0.1]), likeness=np.array([0.5, 0.2]))
    prompts = [SimpleNamespace(concepts=concepts) for concepts in ((0,), (), (3, 4))]
    found = part.among(prompts)
    assert found.top1.tolist()[::2] == [1.0, 0.0] and np.isnan(found.likeness[1])


def test_agreed_size_is_that_of_the_mean_over_experts() -> None:
    candidates = importlib.import_module("known_truth.candidates")
    shifts = torch.randn(4, 6, 50, generator=torch.Generator().manual_seed(0)) + 1.0  # experts, prompts, dimensions
    variance, size = shifts.var(dim=0).mean(dim=1), shifts.square().mean(dim=(0, 2))
    columns = {"noise_pred.centred": variance.numpy(), "noise_pred.centred_relative": (variance / size).numpy()}
    found = candidates.add(columns, np.arange(6), experts=4)
    agreed = -np.log(shifts.mean(dim=0).square().mean(dim=1).numpy())
    assert found["noise_pred, agreed size"] == pytest.approx(agreed, rel=1e-4)
    assert "mid_out, agreed size" not in found


def test_what_every_preset_reads_is_measured_for_experts_of_one_base_and_of_their_own_seeds() -> None:
    columns, candidates = (importlib.import_module(f"known_truth.{name}") for name in ("columns", "candidates"))
    for hidden in (True, False):
        assert ("noise_pred", "centred_layout") in columns.readings(hidden)
    assert columns.TOLD == DEFAULT  # what plots and tables tell of one preset they tell of the default
    assert columns.PRESETS["layout"] in columns.MEASURED  # what was measured before it is measured anew
    values = {name: np.arange(1.0, 7.0) for name in (*columns.PRESETS.values(), "guidance")}
    found = candidates.add(values, np.arange(6), experts=4)
    assert {"layout + fast", "layout + guidance"} <= found.keys()


def test_the_choice_never_looks_at_the_reported_splits() -> None:
    choose = importlib.import_module("known_truth.candidates").choose
    names = (
        "guidance",
        "response",
        "seed_variance",
        "denoiser_norm",
        *importlib.import_module("known_truth.columns").PRESETS.values(),
    )

    def world(best: str) -> dict[str, dict[str, float]]:
        return {name: {"nonsense": 0.9 if name == best else 0.6} for name in names}

    found = choose({0: [world("response")], 1: [world("guidance")], 2: [world("guidance")]})
    assert found["candidate"] == found["single_model"] == "response"
    assert found["mean_auroc"]["reported_on"]["response"] == pytest.approx(0.6)
    assert found["reported"]["guidance"]["nonsense"] == {"value": pytest.approx(0.9), "low": 0.9, "high": 0.9}
    assert choose({0: [world("response")]}) == {}


def training(thorough: float, rank: float) -> dict[str, dict[str, float]]:
    """A world's figures: one value for every number and task."""
    trainings = importlib.import_module("known_truth.trainings")
    one = dict.fromkeys((*trainings.TASKS, trainings.BAD), thorough) | {trainings.RANK: rank}
    return dict.fromkeys(trainings.NUMBERS, one)


def test_what_two_trainings_state_of_a_third_one() -> None:
    """Three worlds, each trained twice; by hand on the scale asin(sqrt(x))."""
    trainings = importlib.import_module("known_truth.trainings")
    ranks = [(-1.0, -0.9), (-0.9, -0.9), (-0.8, -0.9)]
    values = [(0.95, 0.92), (0.9, 0.9), (0.85, 0.88)]
    both = {
        label: {f"w{i}": training(values[i][at], ranks[i][at]) for i in range(3)}
        for at, label in enumerate(("first", "second"))
    }
    found = {(one.world, one.number, one.task): one for one in trainings.stated(both)}
    assert len(found) == 3 * len(trainings.NUMBERS) * 8
    rank = found["w1", "thorough", "rank_correlation"]
    # squares of the deviations: 2 * 0.05^2 + 0 + 2 * 0.05^2, over 3 degrees of freedom; t(0.975, 3) = 3.1824
    half = 3.1824 * np.sqrt(4 * 0.05**2 / 3) * np.sqrt(1.5)
    assert (rank.value, rank.high - rank.value) == (pytest.approx(-0.9), pytest.approx(half, rel=1e-3))
    assert rank.low == -1.0  # and no further
    auroc = found["w0", "fast", "typo"]
    flat = np.arcsin(np.sqrt(values))
    spread = np.sqrt(((flat - flat.mean(axis=1, keepdims=True)) ** 2).sum() / 3)
    ends = flat[0].mean() + np.array([-1, 1]) * 3.1824 * spread * np.sqrt(1.5)
    assert (auroc.low, auroc.high) == (
        pytest.approx(np.sin(ends[0]) ** 2, rel=1e-3),
        pytest.approx(np.sin(ends[1]) ** 2, rel=1e-3),
    )


def test_a_training_is_within_what_the_others_state_or_not() -> None:
    trainings = importlib.import_module("known_truth.trainings")
    both = {
        label: {f"w{i}": training(0.9 + sign * 0.01, -0.9) for i in range(4)}
        for label, sign in (("first", -1), ("second", 1))
    }
    assert trainings.within({"w0": training(0.9, -0.9)}, both) == dict.fromkeys(trainings.NUMBERS, [8, 8])
    assert trainings.within({"w0": training(0.7, -0.9)}, both) == dict.fromkeys(trainings.NUMBERS, [1, 8])
    assert trainings.within({"other": training(0.7, -0.9)}, both) == {}
    assert trainings.within({"w0": training(0.9, -0.9)}, {"first": both["first"]}) == {}
    assert trainings.left_out(both) == dict.fromkeys(trainings.NUMBERS, [32, 32])
    apart = both | {"second": both["second"] | {"w0": training(0.6, -0.9)}}
    assert trainings.left_out(apart)["fast"] == [25, 32]  # the world's own spread does not excuse it
    told = trainings.summary(both)
    assert told["mean_auroc"]["w2"]["paper"] == pytest.approx([0.89, 0.91])
    low, high = told["reach"]["paper"]
    assert 0.85 < low < 0.89 and 0.91 < high < 0.94


def test_a_number_that_earlier_trainings_lack_is_compared_among_those_that_have_it() -> None:
    trainings = importlib.import_module("known_truth.trainings")

    def before(one: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        return {number: figures for number, figures in one.items() if number != "layout"}

    worlds = [f"w{i}" for i in range(3)]
    old = {
        "first": {w: before(training(0.89, -0.9)) for w in worlds},
        "second": {w: before(training(0.91, -0.9)) for w in worlds},
    }
    new = {"third": {w: training(0.9, -0.9) for w in worlds}}
    assert "layout" not in trainings.within(new["third"], old) and trainings.within(new["third"], old)["fast"] == [
        24,
        24,
    ]
    told = trainings.summary(old | new)
    assert told["mean_auroc"]["w0"]["layout"] == pytest.approx([0.9]) and "layout" not in told["reach"]
    assert "layout" not in told["left_out"] and told["left_out"]["fast"] == [24, 24]
    rows = importlib.import_module("known_truth.document").again({"again": told})
    assert "`thorough`" in rows[0] and "`layout`" not in rows[0]

    both = old | new | {"fourth": {"w0": training(0.92, -0.9), "w1": training(0.9, -0.9)}}
    whole = trainings.summary(both)
    low, high = whole["reach"]["layout"]
    assert low < 0.9 < high and whole["left_out"]["layout"][1] == 16
    assert [one.world for one in trainings.stated(both) if (one.number, one.task) == ("layout", "typo")] == worlds
    assert "`layout`" in importlib.import_module("known_truth.document").again({"again": whole})[0]
    assert trainings.within({"w0": before(training(0.9, -0.9))}, both).keys() == set(trainings.NUMBERS) - {"layout"}


def test_trainings_are_kept_as_the_run_tells_them(tmp_path: Path) -> None:
    trainings = importlib.import_module("known_truth.trainings")
    figure = {"value": 0.123456, "low": 0.1, "high": 0.2}
    columns = dict.fromkeys((*trainings.PRESETS.values(), *trainings.NUMBERS), figure)
    whole = {
        "auroc": dict.fromkeys(trainings.TASKS, columns),
        "spearman_share_score": columns,
        "fail_auroc": columns,
    }
    run = trainings.of_run({"worlds": {"w0": {"base_4": whole, "reference": "en"}, "w1": {"base_2": whole}}})
    assert list(run) == ["w0"] and run["w0"] == training(0.1235, 0.1235)
    path = tmp_path / "trainings.json"
    path.write_text("{}\n")
    trainings.keep("first", run, path)
    trainings.keep("second", run, path)
    trainings.keep("first", run, path)
    assert trainings.kept(path) == {"first": run, "second": run}
    assert set(trainings.kept()["first"]) >= {"world A, split 0", "world B, split 2"}


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Means of 30 normal numbers: the 95 % interval covers 0 in 85 to 99 of 100 tries."""
    draw = importlib.import_module("known_truth.resampling").bootstrap
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        data = rng.normal(size=30)
        low, high = draw(lambda drawn, data=data: float(data[drawn[0]].mean()), [30], rounds=200, seed=seed)
        hits += low <= 0 <= high
    assert 85 <= hits <= 99
