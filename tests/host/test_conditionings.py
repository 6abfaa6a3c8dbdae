"""Scores with what artists put around a prompt, and many prompts at once: shared calls give what single ones give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.checkpoints import make_sd15
from emoe_testing.scoring import latent, score_prompt, score_prompts

KEY = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k"
HOW: dict[str, Any] = {"tap": "mid_out", "estimator": "relative", "noise_seed": 5}


def prompt(seed: int = 0, tokens: int = 77, **options: Any) -> list[list[Any]]:
    return [[torch.randn(1, tokens, 768, generator=torch.Generator().manual_seed(seed)), dict(options)]]


@pytest.fixture(scope="module")
def experts(pack: ModuleType, host: Any, comfy_base: Path) -> Any:
    folder = comfy_base / "models" / "checkpoints"
    base = make_sd15(folder / "around_base.safetensors", 0)
    made = pack.emoe_core.experts.sets.ExpertSet()
    for seed in (1, 2):
        make_sd15(folder / f"around_{seed}.safetensors", seed, base=base, delta=0.1)
        made = made.add(host.experts.load.load_expert(f"around_{seed}.safetensors"))
    return made


@pytest.fixture
def score(host: Any, experts: Any) -> Callable[..., Any]:
    def run(positive: Any, where: Any = None, made: Any = None, **changes: Any) -> Any:
        return score_prompt(host, made or experts, positive, where or latent(), **{**HOW, **changes}).report

    return run


@pytest.fixture
def many(host: Any, experts: Any) -> Callable[..., list[Any]]:
    def run(prompts: list[Any], where: Any = None, **changes: Any) -> list[Any]:
        found = score_prompts(host, experts, prompts, where or latent(), **{**HOW, **changes})
        return [scored.report for scored in found]

    return run


@pytest.fixture
def rows(experts: Any) -> Iterator[list[int]]:
    """Rows of each call of the first expert's network."""
    seen: list[int] = []
    middle = experts.experts[0].model.model.diffusion_model.middle_block[0]
    hook = middle.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    yield seen
    hook.remove()


def close(one: Any, other: Any) -> None:
    assert one.settings == other.settings and len(one.items) == len(other.items)
    for a, b in zip(one.items, other.items, strict=True):
        assert a.score == pytest.approx(b.score, rel=2e-3)  # the stand-in computes in half precision


def test_prompts_of_one_shape_share_a_call(many: Any, score: Any, rows: list[int]) -> None:
    prompts = [prompt(seed) for seed in range(6)]
    together = many(prompts)
    assert rows == [12]  # six prompts on two noise samples
    for positive, report in zip(prompts, together, strict=True):
        close(report, score(positive))
    assert len({report.score for report in together}) == 6


def test_on_a_processor_calls_stay_small(many: Any, rows: list[int]) -> None:
    """Each prompt on two noise samples: latents of 16 x 16 go by fours, of 32 x 32 alone."""
    for prompts, size, expected in ((3, 16, [4, 2]), (1, 32, [1, 1])):
        rows.clear()
        many([prompt(seed) for seed in range(prompts)], latent(size=size))
        assert rows == expected


def test_prompts_that_cannot_share_keep_their_order(many: Any, score: Any, rows: list[int]) -> None:
    mask = torch.zeros(1, 8, 8)
    mask[:, :4] = 1
    prompts = [
        prompt(0),
        prompt(1, tokens=154),
        prompt(2) + prompt(3, area=(4, 4, 0, 0), strength=1.0),
        prompt(4),
        prompt(5, mask=mask, mask_strength=1.0),
    ]
    together = many(prompts)
    assert len(rows) >= 5
    for positive, report in zip(prompts, together, strict=True):
        close(report, score(positive))


@pytest.mark.parametrize("tap", ["mid_out", "mid_in", "noise_pred"])
def test_a_batch_of_four_with_its_own_text_for_each_item(score: Any, tap: str) -> None:
    """Row i of the conditioning belongs to item i, on every noise sample."""
    own = [prompt(seed) for seed in range(4)]
    joined = [[torch.cat([one[0][0] for one in own]), {}]]
    report = score(joined, latent(4), tap=tap)
    for place, positive in enumerate(own):
        alone = score(positive, latent(4), tap=tap)
        assert report.items[place].score == pytest.approx(alone.items[place].score, rel=2e-3)


def test_the_size_of_calls_changes_rounding_only(
    host: Any, many: Any, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [prompt(seed) for seed in range(4)]
    large = many(prompts, noise_samples=3)
    monkeypatch.setattr(host.scoring.batching, "PLACES_A_CALL", 5 * 64)
    rows.clear()
    small = many(prompts, noise_samples=3)
    assert max(rows) <= 5 and sum(rows) == 12
    for one, other in zip(large, small, strict=True):
        close(one, other)


def test_a_call_that_does_not_fit_is_halved(
    host: Any, experts: Any, many: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management

    expected = many([prompt(0), prompt(1)])
    network = experts.experts[0].model.model.diffusion_model
    sizes: list[int] = []

    def short_of_memory(_: Any, inputs: Any) -> None:
        sizes.append(inputs[0].shape[0])
        if inputs[0].shape[0] > 1:
            raise comfy.model_management.OOM_EXCEPTION("out of memory")

    hook = network.middle_block[0].register_forward_pre_hook(short_of_memory)
    try:
        found = many([prompt(0), prompt(1)])
    finally:
        hook.remove()
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    for one, other in zip(expected, found, strict=True):
        close(one, other)


def controlled(positive: list[list[Any]], images: int = 1, seed: int = 0) -> list[list[Any]]:
    """The conditioning with a small ControlNet of the host's own class."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    torch.manual_seed(7)
    network = comfy.cldm.cldm.ControlNet(
        image_size=32,
        in_channels=4,
        model_channels=320,
        hint_channels=3,
        num_res_blocks=[1],
        channel_mult=[1],
        transformer_depth=[1],
        transformer_depth_middle=1,
        context_dim=768,
        num_heads=8,
        use_spatial_transformer=True,
        legacy=False,
        dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    net = comfy.controlnet.ControlNet(network)
    hint = torch.rand(images, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    net = net.copy().set_cond_hint(hint, 1.0, (0.0, 1.0))
    return [[tensor, {**options, "control": net, "control_apply_to_uncond": True}] for tensor, options in positive]


def test_a_controlnet_and_an_area_mask(score: Any, many: Any, rows: list[int]) -> None:
    plain = score(prompt(0))
    rows.clear()
    guided = score(controlled(prompt(0)))
    assert rows == [2]  # one picture for all: both noise samples in one call
    assert guided.score != plain.score
    assert guided.settings.conditioning[0].startswith("control=") and guided.settings.conditioning[1:] == (
        "control_apply_to_uncond=True",
    )
    one, two = (score(controlled(prompt(0)), noise_samples=1, noise_seed=seed) for seed in (5, 6))
    assert guided.score == pytest.approx((one.score + two.score) / 2, rel=2e-3)
    masked = controlled(prompt(0, mask=torch.ones(1, 8, 8), mask_strength=0.5))
    close(score(masked), many([masked])[0])


@pytest.mark.parametrize("images", [2, 3])
def test_a_controlnet_with_a_picture_for_each_item(score: Any, images: int) -> None:
    """Pictures keep to their items on every noise sample, also where their number forbids sharing a call."""
    positive = controlled(prompt(0), images)
    together = score(positive, latent(2))
    alone = [score(positive, latent(2), noise_samples=1, noise_seed=seed) for seed in (5, 6)]
    for place, item in enumerate(together.items):
        assert item.score == pytest.approx(sum(one.items[place].score for one in alone) / 2, rel=2e-3)


def hooked(positive: list[list[Any]], start: float) -> list[list[Any]]:
    """The conditioning with a LoRA hook that sets in at a share of the schedule."""
    import comfy.hooks

    lora = {f"{KEY}.diff": torch.ones(320, 768) * 0.05}
    group = comfy.hooks.create_hook_lora(lora=lora, strength_model=1.0, strength_clip=0.0)
    frames = comfy.hooks.HookKeyframeGroup()
    if start > 0:
        frames.add(comfy.hooks.HookKeyframe(strength=0.0, start_percent=0.0))
    frames.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=start))
    group.set_keyframes_on_hooks(frames)
    return comfy.hooks.set_hooks_for_conditioning(positive, hooks=group)


def test_a_hook_schedule_counts_from_where_it_sets_in(pack: ModuleType, host: Any, experts: Any, score: Any) -> None:
    plain = score(prompt(0)).score
    assert score(hooked(prompt(0), start=0.5)).score == pytest.approx(plain, rel=1e-6)  # not yet at step 0
    active = score(hooked(prompt(0), start=0.0)).score
    patched = pack.emoe_core.experts.sets.ExpertSet()
    for expert in experts.experts:
        model = expert.model.clone()
        model.add_patches({f"{KEY}.weight": ("diff", (torch.ones(320, 768) * 0.05,))}, 1.0)
        patched = patched.add(host.experts.load.expert_from_model(model, None, expert.name))
    assert active != pytest.approx(plain, rel=1e-3)
    assert active == pytest.approx(score(prompt(0), made=patched).score, rel=2e-3)
    assert score(prompt(0)).score == plain  # and nothing of it is left


def test_a_latent_in_mid_generation_for_many_prompts(many: Any, score: Any) -> None:
    half = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))}
    how: dict[str, Any] = {"add_noise": False, "at_step": 8}
    for seed, report in enumerate(many([prompt(0), prompt(1)], half, **how)):
        close(report, score(prompt(seed), half, **how))
        assert report.settings.latent == "given" and report.settings.noise_samples == 1


def test_cancelled_in_the_middle_of_many_the_next_score_is_right(
    host: Any, experts: Any, many: Any, score: Any
) -> None:
    import comfy.model_management as management

    expected = score(prompt(0))
    found = score_prompts(host, experts, (prompt(s) for s in range(80)), latent(), **{**HOW, "noise_samples": 1})
    next(found)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        list(found)
    assert score(prompt(0)) == expected


def test_what_the_experts_are_is_told_in_the_graph(node_classes: dict[str, type], experts: Any, host: Any) -> None:
    demo = host.experts.demo_set.embedded_experts()
    where = {"samples": torch.zeros(1, 4, 16, 16)}
    output = node_classes["EMoE_ExpertDiagnostics"].execute(demo, "rainbow\nhorse", where)
    text, picture = output.result
    assert "lineage: all descend from one base" in text and "advice: preset layout" in text
    assert "farthest pair" in text and "- 'horse': " in text and "relative at mid_out" in text
    assert "near-identical" not in text
    assert picture.ndim == 4 and picture.shape[-1] == 3 and float(picture.std()) > 0
    assert output.ui["emoe_diagnosis"][0]["distance"][0][1] > 0
    text, picture = node_classes["EMoE_ExpertDiagnostics"].execute(experts).result
    assert "2 experts of family SD15" in text and picture.shape[0] == 1
