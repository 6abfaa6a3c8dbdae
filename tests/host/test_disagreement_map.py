"""Disagreement Map: the estimate it decodes is the stock sampler's own, and bad input is said."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import WIDGETS
from PIL import Image


@pytest.fixture(scope="module")
def demo(node_classes: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """EXPERTS, MODEL, CLIP and VAE of Demo Experts."""
    return tuple(node_classes["EMoE_DemoExperts"].execute().args)


@pytest.fixture(scope="module")
def scored(node_classes: dict[str, Any], demo: tuple[Any, ...]) -> Any:
    """`scored(text, **changes)`: the report that Uncertainty Score gives."""

    def run(text: str = "sunflower", experts: Any = None, batch: int = 1, latent: Any = None, **changes: Any) -> Any:
        plain = {**WIDGETS, "preset": "thorough", "noise_seed": 3}
        chosen = experts or demo[0]
        positive = node_classes["EMoE_EncodeForExperts"].execute(experts=chosen, text=text).args[0]
        where = latent or {"samples": torch.zeros(batch, 4, 16, 16)}
        return (
            node_classes["EMoE_Score"]
            .execute(experts=chosen, positive=positive, latent_image=where, **{**plain, **changes})
            .args[1]
        )

    return run


@pytest.fixture
def drawn(node_classes: dict[str, Any]) -> Any:
    """`drawn(report, **changes)`: what Disagreement Map gives, with its defaults."""

    def run(report: Any, **changes: Any) -> Any:
        plain = {"size": 512, "strength": 0.85, "maximum": 0.0, "legend": True, "beside": True}
        return node_classes["EMoE_DisagreementMap"].execute(report, **{**plain, **changes})

    return run


def first_estimate(model: Any, clip: Any, text: str, seed: int, start: int, latent: Any, noise: bool) -> torch.Tensor:
    """The denoised estimate that a stock sampler hands to its previewer at the first step, in a LATENT's scale."""
    import comfy.sample

    import nodes

    (yes,) = nodes.CLIPTextEncode().encode(clip, text)
    taken: list[torch.Tensor] = []
    samples = latent["samples"]
    made = comfy.sample.prepare_noise(samples, seed) if noise else torch.zeros_like(samples)
    comfy.sample.sample(
        model,
        made,
        20,
        1.0,
        "euler",
        "normal",
        yes,
        yes,
        samples,
        disable_noise=not noise,
        start_step=start,
        last_step=20,
        callback=lambda step, denoised, x, total: taken.append(denoised.clone()),
        disable_pbar=True,
        seed=seed,
    )
    return model.model.process_latent_out(taken[0].float()).cpu()


def test_the_estimate_is_what_the_stock_sampler_previews(scored: Any, demo: tuple[Any, ...]) -> None:
    """At pure noise and in mid-generation, on the first expert and the first noise sample."""
    import nodes

    experts, _, clip, _ = demo
    model = experts.experts[0].model
    empty = {"samples": torch.zeros(1, 4, 16, 16)}
    report = scored()
    by_sampler = first_estimate(model, clip, "sunflower", 3, 0, empty, True)
    assert torch.allclose(report.maps.denoised, by_sampler, atol=2e-3 * float(by_sampler.abs().max()))
    (yes,), (no,) = (nodes.CLIPTextEncode().encode(clip, text) for text in ("sunflower", ""))
    with torch.no_grad():
        (half,) = nodes.KSamplerAdvanced().sample(
            model, "enable", 3, 20, 4.0, "euler", "normal", yes, no, empty, 0, 8, "enable"
        )
    report = scored(latent=half, add_noise="disable", at_step=8)
    by_sampler = first_estimate(model, clip, "sunflower", 3, 8, half, False)
    assert torch.allclose(report.maps.denoised, by_sampler, atol=2e-3 * float(by_sampler.abs().max()))


def test_the_maps_mean_is_the_score(scored: Any) -> None:
    for preset in ("thorough", "layout", "fast"):
        report = scored("red apple", preset=preset)
        assert float(report.maps.disagreement.mean()) == pytest.approx(report.score, rel=1e-4)
    batch = scored(batch=2)
    assert batch.maps.denoised.shape == (2, 4, 16, 16)
    means = batch.maps.disagreement.mean(dim=(1, 2)).tolist()
    assert means == pytest.approx([item.score for item in batch.items], rel=1e-4)


def test_the_map_is_no_part_of_what_a_report_says(scored: Any) -> None:
    first, second = scored(), scored()
    assert first == second and "maps" not in first.as_dict() and "maps" not in repr(first)


def test_the_node_shows_what_it_gives(scored: Any, drawn: Any, demo: tuple[Any, ...]) -> None:
    import folder_paths

    output = drawn(scored(batch=2), vae=demo[3])
    picture, mask = output.args
    assert picture.shape[:1] == (2,) and picture.shape[2:] == (1024, 3) and picture.shape[1] > 580
    assert mask.shape == (2, 128, 128)
    shown = output.ui.as_dict()["images"] if hasattr(output.ui, "as_dict") else output.ui["images"]
    kept = [Path(folder_paths.get_temp_directory()) / entry["subfolder"] / entry["filename"] for entry in shown]
    sizes = []
    for path in kept:
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes == [(1024, picture.shape[1])] * 2


def test_the_preview_is_the_decoded_estimate(scored: Any, drawn: Any, demo: tuple[Any, ...]) -> None:
    report, vae = scored(), demo[3]
    with torch.no_grad():
        decoded = vae.decode(report.maps.denoised)
    by_vae = drawn(report, vae=vae, strength=0.2).args
    by_image = drawn(report, image=decoded, strength=0.2).args
    assert torch.equal(by_vae[0], by_image[0]) and torch.equal(by_vae[1], by_image[1])
    alone = drawn(report, vae=vae, strength=1.0, beside=False).args[0]
    assert alone.shape[2] == 512 and not torch.allclose(alone, drawn(report).args[0], atol=0.05)
    # a picture that is given goes before the preview
    other = torch.rand(1, 64, 64, 3)
    assert torch.equal(drawn(report, vae=vae, image=other).args[0], drawn(report, image=other).args[0])


def test_a_mixtures_first_path_is_decoded(
    node_classes: dict[str, Any], scored: Any, drawn: Any, demo: tuple[Any, ...]
) -> None:
    schema = node_classes["EMoE_BuildMixture"].define_schema()
    defaults = {i.id: i.default for i in schema.inputs if getattr(i, "default", None) is not None}
    given = {"positive_prompts": "dog\ncat\ntree\ncar", "negative_prompts": "", "gate_steps": 2}
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    build = node_classes["EMoE_BuildMixture"].execute
    mixture = build(experts=demo[0], latent_image=latent, **{**defaults, **given}).args[0]
    report = scored(experts=mixture)
    assert report.maps.denoised.shape == (1, 4, 16, 16)
    assert drawn(report, vae=demo[3]).args[0].shape[2] == 1024


def test_bad_input_is_said(pack: ModuleType, scored: Any, drawn: Any, demo: tuple[Any, ...]) -> None:
    from dataclasses import replace

    error = pack.emoe_core.errors.EMoEError
    fast = scored(preset="fast")
    assert fast.maps.denoised is None and drawn(fast).args[0].shape[2] == 512
    with pytest.raises(error, match=r"vae and nothing to decode: the score stopped at 'mid_out'.*preset layout"):
        drawn(fast, vae=demo[3])
    with pytest.raises(error, match=r"report holds no map"):
        drawn(replace(fast, maps=None))
    with pytest.raises(error, match=r"is of one alone"):
        drawn(scored(preset="one_model", experts=pack.emoe_core.experts.sets.ExpertSet(demo[0].experts[:1])))

    class Sixteen:
        latent_channels = 16

    with pytest.raises(error, match=r"vae decodes latents of 16 channels and the experts' have 4"):
        drawn(scored(), vae=Sixteen())
