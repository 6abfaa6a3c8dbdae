"""Experts that cannot disagree are told by what they answer; experts that can are never called one model."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import score_prompt

LATENT = {"samples": torch.zeros(1, 4, 16, 16)}
READINGS = [
    {"tap": "mid_out", "estimator": "relative"},
    {"tap": "noise_pred", "estimator": "centred_layout"},
    {"tap": "noise_pred", "estimator": "relative"},
]


@pytest.fixture
def report_of(host: Any) -> Callable[..., Any]:
    def run(experts: Any, **how: Any) -> Any:
        positive = host.prompts.conditioning.encode_for_experts(experts, "xchtgg")
        return score_prompt(host, experts, positive, LATENT, **how).report

    return run


def sampling(model: Any, zsnr: bool) -> Any:
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    return ModelSamplingDiscrete().patch(model, "v_prediction", zsnr)[0]


@pytest.mark.parametrize("how", READINGS, ids=lambda how: f"{how['tap']} {how['estimator']}")
def test_a_patch_that_does_nothing_does_not_open_the_gate(
    pack: ModuleType, host: Any, demo: Any, report_of: Any, how: dict[str, Any]
) -> None:
    """LoRAs at a strength of 0 beside the base: three identities, one model."""
    first = demo.experts[0]
    made = pack.emoe_core.experts.sets.ExpertSet().add(first)
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    width = first.model.get_model_object(key).shape
    for number in (1, 2):
        model = first.model.clone()
        model.add_patches({key: ("diff", (torch.randn(width, generator=torch.Generator().manual_seed(number)),))}, 0.0)
        made = made.add(host.experts.load.expert_from_model(model, first.clip, f"lora {number}"))
    assert len({expert.identity for expert in made.experts}) == 3
    report = report_of(made, **how)
    decide, wrong = pack.emoe_core.gating.gate.decide, pack.emoe_core.errors.EMoEError
    for policy in ("raw_threshold", "false_block_rate"):
        with pytest.raises(wrong, match="All 3 experts give the same latents"):
            decide(report, policy, threshold=1.0)


@pytest.mark.parametrize("how", READINGS, ids=lambda how: f"{how['tap']} {how['estimator']}")
@pytest.mark.parametrize("zsnr", [False, True])
def test_other_models_are_other_models_at_any_noise_level(
    pack: ModuleType, host: Any, demo: Any, report_of: Any, how: dict[str, Any], zsnr: bool
) -> None:
    """At terminal SNR zero nearly all of a prediction is the noise that every expert was given."""
    made = pack.emoe_core.experts.sets.ExpertSet()
    for expert in demo.experts[:3]:
        model = sampling(expert.model, zsnr)
        made = made.add(host.experts.load.expert_from_model(model, expert.clip, expert.name))
    report = report_of(made, **how)
    assert report.alike == () and not [m for m in report.messages if "same model" in str(m)]
    assert report.score > 0 and report.settings.sigma > (4000 if zsnr else 10)
    assert all(torch.isfinite(torch.tensor(one.score)) for tap in report.items[0].all.values() for one in tap.values())
    pack.emoe_core.gating.gate.decide(report, "raw_threshold", threshold=1.0)
