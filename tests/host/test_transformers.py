"""Diffusion transformers: taps on their blocks through the host's patch points, and the prediction where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import score_prompt, score_prompts
from emoe_testing.transformers import (
    FLUX_CONTEXT,
    SD3_CONTEXT,
    SD3_DEPTH,
    Z_IMAGE_CONTEXT,
    make_flux,
    make_sd3,
    make_z_image,
)

SEED, SIZE = 3, 8
HOW: dict[str, Any] = {"estimator": "variance", "noise_seed": SEED}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sd3_prompt(seed: int = 0) -> list[list[Any]]:
    return [[draw(1, 20, SD3_CONTEXT, seed=seed), {"pooled_output": draw(1, 2048, seed=seed + 100)}]]


def flux_prompt(seed: int = 0) -> list[list[Any]]:
    return [[draw(1, 12, FLUX_CONTEXT, seed=seed), {"pooled_output": draw(1, 32, seed=seed + 100), "guidance": 3.5}]]


def latent(batch: int = 1) -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(batch, 16, SIZE, SIZE)}


@pytest.fixture(scope="module")
def sd3(pack: ModuleType, comfy_base: Path) -> Any:
    """Two descendants of one base, through the stock loader."""
    made = pack.emoe_core.experts.sets.ExpertSet()
    for seed in (1, 2):
        make_sd3(comfy_base / "models" / "checkpoints" / f"sd3_{seed}.safetensors", seed)
        made = made.add(pack.emoe_core.hosts.comfyui.experts.load.load_expert(f"sd3_{seed}.safetensors"))
    return made


@pytest.fixture(scope="module")
def flux(pack: ModuleType) -> Any:
    made = pack.emoe_core.experts.sets.ExpertSet()
    for seed in (1, 2):
        expert = pack.emoe_core.hosts.comfyui.experts.load.expert_from_model(make_flux(seed), None, f"flux {seed}")
        made = made.add(expert)
    return made


@pytest.fixture
def score(pack: ModuleType) -> Callable[..., Any]:
    def run(experts: Any, positive: Any, tap: str, where: Any = None, **changes: Any) -> Any:
        host = pack.emoe_core.hosts.comfyui
        return score_prompt(host, experts, positive, where or latent(), **{**HOW, "tap": tap, **changes})

    return run


def seen_by_the_host(expert: Any, positive: Any, module: str, take: Callable[[Any], torch.Tensor], seed: int) -> Any:
    """What a module of the network gives in the first step of the host's own sampler."""
    import comfy.sample

    part = expert.model.model.diffusion_model.get_submodule(module)
    found: list[torch.Tensor] = []
    hook = part.register_forward_hook(lambda _, __, output: found.append(take(output).detach().float().clone()))
    try:
        comfy.sample.sample(
            expert.model,
            comfy.sample.prepare_noise(latent()["samples"], seed),
            1,
            1.0,
            "euler",
            "normal",
            positive,
            [],
            latent()["samples"],
            disable_pbar=True,
        )
    finally:
        hook.remove()
    return found[0]


def variance(experts: Any, positive: Any, module: str, take: Callable[[Any], torch.Tensor]) -> float:
    """Mean variance across experts of a module's output, in double precision."""
    seen = [
        torch.stack([seen_by_the_host(e, positive, module, take, SEED + k) for k in range(2)]) for e in experts.experts
    ]
    return float(torch.stack(seen).double().var(dim=0, correction=1).mean())


@pytest.mark.parametrize("block", range(SD3_DEPTH))
def test_sd3_taps_are_the_image_tokens_of_each_block(sd3: Any, score: Callable[..., Any], block: int) -> None:
    report = score(sd3, sd3_prompt(), f"block:{block}").report
    expected = variance(sd3, sd3_prompt(), f"joint_blocks.{block}", lambda output: output[1])
    assert report.score == pytest.approx(expected, rel=1e-4) and report.settings.tap == f"block:{block}"


@pytest.mark.parametrize(
    ("tap", "module", "take"),
    [
        ("block:1", "double_blocks.1", lambda output: output[0]),
        ("block:2", "single_blocks.0", lambda output: output[:, 12:]),  # behind the text's twelve tokens
        ("block:4", "single_blocks.2", lambda output: output[:, 12:]),
    ],
)
def test_flux_taps_are_the_image_tokens_alone(
    flux: Any, score: Callable[..., Any], tap: str, module: str, take: Callable[[Any], torch.Tensor]
) -> None:
    scored = score(flux, flux_prompt(), tap)
    assert scored.report.score == pytest.approx(variance(flux, flux_prompt(), module, take), rel=1e-4)
    assert scored.maps.disagreement.shape == (1, SIZE // 2, SIZE // 2)  # tokens are patches of two by two


def test_fast_takes_the_middle_of_the_stack_and_the_report_says_which(
    pack: ModuleType, sd3: Any, flux: Any, score: Callable[..., Any]
) -> None:
    fast = pack.emoe_core.scoring.presets.PRESETS["fast"]
    for experts, positive, meant in ((sd3, sd3_prompt(), "block:1"), (flux, flux_prompt(), "block:2")):
        report = score(experts, positive, fast.tap, estimator=fast.estimator).report
        assert report.settings.tap == meant and f"relative at {meant}" in report.line()
        assert score(experts, positive, "block", estimator=fast.estimator).report.score == report.score


def test_what_comes_after_the_tap_is_not_computed(sd3: Any, score: Callable[..., Any]) -> None:
    calls: list[str] = []
    network = sd3.experts[0].model.model.diffusion_model
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
        for name in ("joint_blocks.1", "joint_blocks.2", "final_layer")
    ]
    try:
        score(sd3, sd3_prompt(), "block:1")
        assert calls == ["joint_blocks.1"]  # both noise samples in one call
        calls.clear()
        score(sd3, sd3_prompt(), "noise_pred")
        assert calls == ["joint_blocks.1", "joint_blocks.2", "final_layer"]
    finally:
        for hook in hooks:
            hook.remove()


def test_the_prediction_of_a_flow_model_is_its_velocity(sd3: Any, score: Callable[..., Any]) -> None:
    """The network's own output is what noise_pred is made of; the centred estimator works on it."""
    report = score(sd3, sd3_prompt(), "noise_pred").report
    assert report.score == pytest.approx(variance(sd3, sd3_prompt(), "", lambda output: output), rel=1e-3)
    thorough = score(sd3, sd3_prompt(), "noise_pred", estimator="centred_relative", empty_prompt=sd3_prompt(9))
    assert thorough.report.score > 0 and thorough.report.items[0].guidance is not None


def test_a_tap_that_is_not_there_is_an_error_that_lists_those_that_are(
    pack: ModuleType, sd3: Any, score: Callable[..., Any]
) -> None:
    wrong = pack.emoe_core.errors.EMoEError
    with pytest.raises(
        wrong, match=r"no tap 'mid_out'; they have block:0 to block:3, noise_pred. Choose the preset fast"
    ):
        score(sd3, sd3_prompt(), "mid_out")
    with pytest.raises(wrong, match="no tap 'block:4'"):
        score(sd3, sd3_prompt(), "block:4")


def test_another_nodes_replacement_of_the_same_block_still_runs(pack: ModuleType, sd3: Any, score: Any) -> None:
    """As attention guidance and caching nodes do it; the latent is what they make of it."""
    host = pack.emoe_core.hosts.comfyui.experts.load
    made = pack.emoe_core.experts.sets.ExpertSet()
    for expert in sd3.experts:
        patched = expert.model.clone()

        def doubled(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            out = extra["original_block"](args)
            return {**out, "img": out["img"] * 2}

        patched.set_model_patch_replace(doubled, "dit", "double_block", 1)
        made = made.add(host.expert_from_model(patched, None, expert.name))
    plain, changed = (score(experts, sd3_prompt(), "block:1").report.score for experts in (sd3, made))
    assert changed == pytest.approx(4 * plain, rel=1e-5)


def test_z_image_has_no_patch_points_and_says_what_it_has(pack: ModuleType, score: Callable[..., Any]) -> None:
    """ComfyUI's code of Lumina 2 and Z-Image looks for no block patches: a tap there would never be reached."""
    made = pack.emoe_core.experts.sets.ExpertSet()
    for seed in (1, 2):
        model = make_z_image(seed)
        made = made.add(pack.emoe_core.hosts.comfyui.experts.load.expert_from_model(model, None, f"z {seed}"))
    positive = [[draw(1, 12, Z_IMAGE_CONTEXT), {}]]
    for tap in ("middle", "block", "block:1", "mid_out"):
        with pytest.raises(pack.emoe_core.errors.EMoEError, match="they have noise_pred. Choose the preset layout"):
            score(made, positive, tap)
    report = score(made, positive, "noise_pred").report
    assert report.score == pytest.approx(variance(made, positive, "", lambda output: output), rel=1e-3)


def test_prompts_share_calls_and_items_of_a_batch_have_their_own_scores(
    pack: ModuleType, sd3: Any, flux: Any, score: Callable[..., Any]
) -> None:
    host = pack.emoe_core.hosts.comfyui
    for experts, prompt in ((sd3, sd3_prompt), (flux, flux_prompt)):
        prompts = [prompt(seed) for seed in range(3)]
        where = latent(4)
        together = [
            scored.report for scored in score_prompts(host, experts, prompts, where, **{**HOW, "tap": "middle"})
        ]
        for positive, report in zip(prompts, together, strict=True):
            alone = score(experts, positive, "middle", where).report
            assert report.settings == alone.settings and len(report.items) == 4
            for one, other in zip(report.items, alone.items, strict=True):
                assert one.score == pytest.approx(other.score, rel=1e-4)
        assert len({item.score for report in together for item in report.items}) == 12


def test_diagnostics_name_models_that_take_the_guidance_as_an_input(pack: ModuleType, sd3: Any, flux: Any) -> None:
    look = pack.emoe_core.hosts.comfyui.diagnosing.look_at
    assert [one.code.value for one in look(flux, "", None, None).findings] == ["guidance_input"]
    assert look(sd3, "", None, None).findings == () and look(sd3, "", None, None).kin.groups == ((0, 1),)
