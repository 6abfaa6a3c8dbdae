"""Uncertainty Score with every_preset: the same score, and what each preset reads alone, in one report."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.checkpoints import make_sd15
from emoe_testing.scoring import WIDGETS, latent

PRESETS = ("fast", "thorough", "paper", "one_model", "layout")


@pytest.fixture
def report(node_classes: dict[str, Any]) -> Any:
    """`report(experts, positive, preset, **more)`: the report of Uncertainty Score."""

    def run(experts: Any, positive: Any, preset: str, size: int = 16, **more: Any) -> Any:
        widgets = {**WIDGETS, "preset": preset}
        node = node_classes["EMoE_Score"]
        return node.execute(experts=experts, positive=positive, latent_image=latent(size=size), **widgets, **more).args[
            1
        ]

    return run


def module(pack: Any) -> Any:
    return importlib.import_module(f"{pack.__name__}.emoe_core.trial.readings")


def read(pack: Any, report: Any) -> dict[str, float]:
    found = module(pack).readings(report.as_dict())
    assert all((one.settings is None) == (one.name == "response") for one in found)
    return {one.name: score for one, score in found.items()}


def test_the_score_stays_and_every_presets_is_what_it_is_alone(pack: Any, host: Any, demo: Any, report: Any) -> None:
    encoded = host.prompts.conditioning.encode_for_experts(demo, "sunflower")
    alone = {preset: report(demo, encoded, preset) for preset in PRESETS}
    for preset in PRESETS:
        full = report(demo, encoded, preset, every_preset=True)
        assert full.score == alone[preset].score and full.settings == alone[preset].settings  # bit for bit
        assert full.messages == alone[preset].messages
        scores = read(pack, full)
        assert list(scores) == [*PRESETS, "response"]
        assert {name: scores[name] for name in PRESETS} == pytest.approx(
            {name: one.score for name, one in alone.items()}, rel=1e-5
        )
        for one in module(pack).readings(full.as_dict()):
            assert one.settings is None or one.settings == alone[one.name].settings


def test_switched_off_nothing_changes(host: Any, demo: Any, report: Any) -> None:
    encoded = host.prompts.conditioning.encode_for_experts(demo, "sunflower")
    for preset in PRESETS:
        assert report(demo, encoded, preset, every_preset=False).as_dict() == report(demo, encoded, preset).as_dict()


def test_presets_that_cannot_be_are_left_out(pack: Any, host: Any, demo: Any, report: Any) -> None:
    one = pack.emoe_core.experts.sets.ExpertSet(demo.experts[:1])
    encoded = host.prompts.conditioning.encode_for_experts(one, "sunflower")
    assert set(read(pack, report(one, encoded, "one_model", every_preset=True))) == {"one_model", "response"}
    nothing = host.prompts.conditioning.encode_for_experts(demo, "")  # it cannot be compared with the empty prompt
    assert set(read(pack, report(demo, nothing, "fast", every_preset=True))) == {"fast", "paper", "response"}


def test_unrelated_experts_have_no_middle_in_common(pack: Any, host: Any, comfy_base: Path, report: Any) -> None:
    experts = pack.emoe_core.experts.sets.ExpertSet()
    for seed in (0, 1):
        file = make_sd15(
            comfy_base / "models" / "checkpoints" / f"stranger_{seed}.safetensors", seed, text_encoder=True
        )
        experts = experts.add(host.experts.load.load_expert(file.name))
    encoded = host.prompts.conditioning.encode_for_experts(experts, "sunflower")
    scores = read(pack, report(experts, encoded, "layout", size=8, every_preset=True))
    assert set(scores) == {"thorough", "one_model", "layout", "response"}


def test_a_report_that_is_no_report_or_a_batchs_is_refused(pack: Any, host: Any, demo: Any, report: Any) -> None:
    read_all, wrong = module(pack).readings, pack.emoe_core.errors.EMoEError
    encoded = host.prompts.conditioning.encode_for_experts(demo, "sunflower")
    made = report(demo, encoded, "fast").as_dict()
    with pytest.raises(wrong, match="batch of 2.* batch_size to 1"):
        read_all({**made, "items": made["items"] * 2})
    for broken in ({}, {"items": []}, {**made, "items": [{}]}, {**made, "settings": 3}, {**made, "items": 7}):
        with pytest.raises(wrong, match="not one of this node pack"):
            read_all(broken)


def test_a_score_of_no_preset_is_a_reading_too(pack: Any, host: Any, demo: Any, report: Any) -> None:
    encoded = host.prompts.conditioning.encode_for_experts(demo, "sunflower")
    widgets = {**WIDGETS, "preset": "custom", "tap": "mid_in", "estimator": "cosine"}
    made = host.scoring.score.score_prompt(
        demo,
        encoded,
        latent(size=16),
        pack.nodes.settings.options("Uncertainty Score", **widgets),
        also=host.scoring.score.every_preset(demo, encoded),
    ).report
    assert read(pack, made)["custom"] == made.score


def test_transformers_are_read_at_the_block_in_the_middle_whatever_block_was_chosen(pack: Any) -> None:
    tap = module(pack)._tap
    assert tap("middle", "block:3", ["block:3", "noise_pred", "block:12"]) == "block:12"
    assert tap("middle", "block:12", ["block:12", "noise_pred"]) == "block:12"
    assert tap("mid_out", "block:12", ["block:12", "noise_pred"]) == ""
