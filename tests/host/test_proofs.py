"""Calibrations of other digests on the demo experts: proved where the models answer as they did, else refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import WIDGETS, latent, options, score_prompt

LATENT = latent(size=16)
Set = Callable[..., Any]


@pytest.fixture
def fresh(host: Any) -> Any:
    """No proof of an earlier test is known."""
    host.scoring.proving.kept_proofs.clear()
    return host.scoring.proving


@pytest.fixture(scope="module")
def made(pack: ModuleType, host: Any, demo: Any) -> Set:
    """The demo experts with some models or text encoders changed, without calibrations."""

    def build(models: dict[int, Any] | None = None, clips: dict[int, Any] | None = None) -> Any:
        found = pack.emoe_core.experts.sets.ExpertSet()
        for place, expert in enumerate(demo.experts):
            model = (models or {}).get(place, expert.model)
            clip = (clips or {}).get(place, expert.clip)
            found = found.add(host.experts.load.expert_from_model(model, clip, expert.name))
        return found

    return build


@pytest.fixture(scope="module")
def fast(demo: Any) -> Any:
    return next(one for one in demo.calibrations if one.settings.estimator == "relative")


def backend(model: Any) -> Any:
    """The same numbers by other kernels: another digest, and no other model."""
    import comfy.ldm.modules.attention as attention

    made = model.clone()
    made.model_options["transformer_options"]["optimized_attention_override"] = lambda function, *args, **kwargs: (
        attention.attention_basic(*args, **kwargs)
    )
    return made


def lora(demo: Any, place: int, strength: float) -> tuple[Any, Any]:
    import comfy.sd
    import comfy.utils

    path = next(Path(__file__).resolve().parents[2].glob("emoe_core/demo/loras/lora_4.safetensors"))
    state = comfy.utils.load_torch_file(str(path), safe_load=True)
    expert = demo.experts[place]
    pair: tuple[Any, Any] = comfy.sd.load_lora_for_models(expert.model, expert.clip, state, strength, strength)
    return pair


def run(node_classes: dict[str, Any], host: Any, experts: Any, calibration: Any, **widgets: Any) -> Any:
    """What Uncertainty Score gives, with its calibration connected."""
    positive = host.prompts.conditioning.encode_for_experts(experts, "red horse")
    return node_classes["EMoE_Score"].execute(
        experts=experts, positive=positive, latent_image=LATENT, calibration=calibration, **{**WIDGETS, **widgets}
    )


def gate(node_classes: dict[str, Any], report: Any, calibration: Any = None) -> dict[str, Any]:
    shown = node_classes["EMoE_Gate"].execute(
        report=report,
        policy="false_block_rate",
        alpha=0.05,
        threshold=0.0,
        mode="decide",
        filename_prefix="proofs",
        calibration=calibration,
    )
    verdict: dict[str, Any] = shown.ui["emoe"][0]
    return verdict


def test_the_same_models_with_other_digests_are_proved(
    host: Any, demo: Any, made: Set, fast: Any, node_classes: dict[str, Any], fresh: Any
) -> None:
    experts = made({place: backend(expert.model) for place, expert in enumerate(demo.experts)})
    assert not set(e.identity for e in experts.experts) & set(fast.settings.experts)
    shown = run(node_classes, host, experts, fast)
    report = shown.args[1]
    (proof,) = report.proofs
    assert proof.holds and proof.prompts == 16 and proof.largest < 1e-4
    assert any("proved on 16 of its prompts" in line for line in shown.ui["text"])
    assert shown.ui["emoe_report"][0]["proofs"][0]["holds"] is True
    verdict = gate(node_classes, report)  # the calibration is in the report
    plain = gate(node_classes, run(node_classes, host, demo, None).args[1])
    assert verdict["proof"]["prompts"] == 16 and "calibration proved" in verdict["reason"]
    assert (verdict["verdict"], verdict["p_value"]) == (plain["verdict"], plain["p_value"]) and plain["proof"] is None


@pytest.mark.parametrize("change", ["LoRA at 0.1", "clip skip", "a copy of another", "FreeU"])
def test_other_models_are_refused_with_the_figures(
    host: Any, demo: Any, made: Set, fast: Any, node_classes: dict[str, Any], pack: ModuleType, change: str, fresh: Any
) -> None:
    from emoe_testing.patches import freeu

    clip = demo.experts[1].clip.clone()
    clip.clip_layer(-2)
    model, text = lora(demo, 0, 0.1)
    experts = {
        "LoRA at 0.1": lambda: made({0: model}, {0: text}),
        "clip skip": lambda: made(clips={1: clip}),
        "a copy of another": lambda: made({2: demo.experts[3].model}, {2: demo.experts[3].clip}),
        "FreeU": lambda: made({0: freeu(demo.experts[0].model, b2=1.2)}),
    }[change]()
    layout = next(one for one in demo.calibrations if one.settings.estimator == "centred_layout")
    report = run(node_classes, host, experts, layout).args[1]
    (proof,) = report.proofs
    assert not proof.holds and proof.difference > proof.allowed
    with pytest.raises(
        pack.emoe_core.errors.SettingsMismatch, match="was made with other models: on 16 of its prompts"
    ):
        gate(node_classes, report)


def test_freeu_of_another_strength_is_refused(
    host: Any, demo: Any, made: Set, node_classes: dict[str, Any], fresh: Any
) -> None:
    """A calibration made with 1.2 at 1.1, and at 1.2."""
    from emoe_testing.patches import freeu

    def at(b2: float) -> Any:
        return made({place: freeu(expert.model, b2=b2) for place, expert in enumerate(demo.experts)})

    given = ["horse", "rainbow", "tiger", "pizza", "bell", "cat", "ant", "candle", "hammer", "bridge"]
    arguments = {"tap": "noise_pred", "estimator": "centred_layout", "noise_samples": 1}
    references = host.calibrating.reference_prompts("\n".join(given), "", 0.0)
    kept = host.calibrating.calibrate(at(1.2), references, LATENT, "freeu", None, options(host, **arguments))
    same = run(node_classes, host, at(1.2), kept).args[1]
    other = run(node_classes, host, at(1.1), kept).args[1]
    assert same.proofs == () and same.settings == kept.settings
    assert not other.proofs[0].holds


def test_the_calibrations_settings_are_used_whatever_the_widgets_say(
    host: Any, demo: Any, fast: Any, node_classes: dict[str, Any]
) -> None:
    widgets = {"preset": "paper", "noise_seed": 7, "noise_samples": 1, "at_step": 9, "steps": 31, "scheduler": "karras"}
    shown = run(node_classes, host, demo, fast, **widgets)
    report = shown.args[1]
    assert report.settings == fast.settings
    assert report.score == pytest.approx(run(node_classes, host, demo, None).args[0], rel=2e-5)
    assert shown.ui["text"][-1] == (
        "settings of the calibration 'demo experts, fast': preset fast, noise_seed 0, noise_samples 2, noise level 14.6146, "
        "float32"
    )
    assert gate(node_classes, report, fast)["p_value"] == gate(node_classes, report)["p_value"]


def test_it_computes_in_the_calibrations_precision(
    host: Any, demo: Any, made: Set, fast: Any, node_classes: dict[str, Any], fresh: Any
) -> None:
    """Half precision alone would move the scores; the user's models stay as they are."""
    from comfy_extras.nodes_model_advanced import ModelComputeDtype

    models = {place: ModelComputeDtype().patch(e.model, "bf16")[0] for place, e in enumerate(demo.experts)}
    experts = made(models)
    assert {expert.dtype for expert in experts.experts} == {"bfloat16"}
    report = run(node_classes, host, experts, fast).args[1]
    assert report.settings.dtype == "float32" and report.proofs[0].holds and report.proofs[0].largest < 1e-5
    assert run(node_classes, host, experts, None).args[1].settings.dtype == "bfloat16"
    assert all(model.object_patches["manual_cast_dtype"] is torch.bfloat16 for model in models.values())


def test_a_proof_is_made_once_and_counted_in_the_progress(
    host: Any, demo: Any, made: Set, fast: Any, fresh: Any
) -> None:
    experts = made({0: backend(demo.experts[0].model)})
    positive = host.prompts.conditioning.encode_for_experts(experts, "red horse")
    how = {"tap": "mid_out", "estimator": "relative"}

    def told() -> list[float]:
        seen: list[float] = []
        report = score_prompt(
            host,
            experts,
            positive,
            LATENT,
            calibration=fast,
            progress=lambda done, total, _: seen.append(done / total),
            **how,
        ).report
        assert len(report.proofs) == 1
        return seen

    first, again = told(), told()
    assert first == sorted(first) and first[0] == 0 and first[-1] == 1
    assert max(share for share in first if share < 16 / 17 + 1e-9) == pytest.approx(16 / 17)
    assert len(first) >= 2 * len(again) and again[-1] == 1


def test_an_interrupted_proof_is_made_the_next_time(
    host: Any, demo: Any, made: Set, fast: Any, node_classes: dict[str, Any], fresh: Any
) -> None:
    import comfy.model_management

    experts = made({1: backend(demo.experts[1].model)})
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(node_classes, host, experts, fast)
    assert run(node_classes, host, experts, fast).args[1].proofs[0].holds


def test_one_text_encoder_for_all_is_found_among_the_experts(
    host: Any, demo: Any, made: Set, node_classes: dict[str, Any], fresh: Any
) -> None:
    """A calibration of prompts that went through the second expert's encoder, which the settings only call shared."""
    clip = demo.experts[1].clip
    how = {"tap": "mid_out", "estimator": "relative", "noise_samples": 1}
    references = host.calibrating.reference_prompts("horse\nrainbow\ntiger\npizza\nbell\nxchtgg", "", 0.0)
    kept = host.calibrating.calibrate(made(), references, LATENT, "shared", clip, options(host, **how))
    experts = made({0: backend(demo.experts[0].model)})
    shown = node_classes["EMoE_Score"].execute(
        experts=experts,
        positive=host.prompts.conditioning.encode(clip, "horse"),
        latent_image=LATENT,
        calibration=kept,
        **WIDGETS,
    )
    assert shown.args[1].proofs[0].holds
    without = replace(experts, experts=tuple(replace(one, clip=None) for one in experts.experts))
    shown = node_classes["EMoE_Score"].execute(
        experts=without,
        positive=host.prompts.conditioning.encode(clip, "horse"),
        latent_image=LATENT,
        calibration=kept,
        **WIDGETS,
    )
    assert "none of the experts brings a text encoder" in shown.args[1].proofs[0].line()


def test_a_calibration_of_another_size_is_left_to_the_gate(
    host: Any, demo: Any, fast: Any, node_classes: dict[str, Any], pack: ModuleType
) -> None:
    positive = host.prompts.conditioning.encode_for_experts(demo, "red horse")
    shown = node_classes["EMoE_Score"].execute(
        experts=demo,
        positive=positive,
        latent_image={"samples": torch.zeros(1, 4, 16, 24)},
        calibration=fast,
        **WIDGETS,
    )
    assert shown.args[1].proofs == () and math.isfinite(shown.args[0])
    with pytest.raises(pack.emoe_core.errors.SettingsMismatch, match=r"latent_shape is \(4, 16, 24\) instead of"):
        gate(node_classes, shown.args[1])


def test_word_attribution_and_audit_take_the_settings_too(
    demo: Any, fast: Any, node_classes: dict[str, Any], host: Any
) -> None:
    words = node_classes["EMoE_WordAttribution"]
    theirs = words.execute(
        experts=demo, text="red horse", latent_image=LATENT, calibration=fast, **{**WIDGETS, "preset": "paper"}
    )
    mine = words.execute(experts=demo, text="red horse", latent_image=LATENT, **WIDGETS)
    assert theirs.args[0] == mine.args[0] and "demo experts, fast" in theirs.ui["text"][-1]


def test_each_prompt_of_a_list_is_proved_as_it_would_be_alone(
    fresh: None, node_classes: dict[str, Any], host: Any, demo: Any, made: Set, fast: Any
) -> None:
    """The first prompt has an area, which the calibration does not know; the proof is the second one's."""
    experts = made({place: backend(expert.model) for place, expert in enumerate(demo.experts)})
    plain = host.prompts.conditioning.encode_for_experts(experts, "red horse")
    placed = [[tensor, {**options, "area": (8, 8, 0, 0), "strength": 1.0}] for tensor, options in plain]
    given = {**WIDGETS, "experts": experts, "latent_image": LATENT, "calibration": fast}
    lists = {name: [value] for name, value in given.items()} | {"positive": [placed, plain]}
    _, reports, _ = node_classes["EMoE_ScoreList"].execute(**lists).result
    for positive, report in zip((placed, plain), reports, strict=True):
        alone = node_classes["EMoE_Score"].execute(positive=positive, **given).result[1]
        assert [proof.line() for proof in report.proofs] == [proof.line() for proof in alone.proofs]
    assert [len(report.proofs) for report in reports] == [0, 1] and reports[1].proofs[0].holds
