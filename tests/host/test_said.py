"""What the host drops or stumbles over is counted, refused or said, in one sentence each."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import options, score_prompt

LATENT = {"samples": torch.zeros(1, 4, 16, 16)}
FAST = {"tap": "mid_out", "estimator": "relative", "noise_samples": 1}


@pytest.fixture
def wrong(pack: ModuleType) -> type[Exception]:
    found: type[Exception] = pack.emoe_core.errors.EMoEError
    return found


def test_an_embedding_that_is_not_there_is_refused(host: Any, demo: Any, wrong: type[Exception]) -> None:
    for text in ("a cat, embedding:nowhere, red", "(embedding:nowhere:1.2)"):
        with pytest.raises(wrong, match="the embedding 'nowhere', which is not in ComfyUI's embeddings folder"):
            host.prompts.conditioning.encode_for_experts(demo, text)
        with pytest.raises(wrong, match="the embedding 'nowhere'"):
            host.prompts.encoding.encode_many(demo, ["a cat", text])


def test_an_embedding_that_is_there_is_used(host: Any, stand_in: Any, pack: ModuleType) -> None:
    import folder_paths
    from safetensors.torch import save_file

    folder = Path(folder_paths.get_folder_paths("embeddings")[0])
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": torch.randn(2, 768)}, folder / "mine.safetensors")
    save_file({"emb_params": torch.randn(2, 1280)}, folder / "other.safetensors")
    clip = host.experts.load.load_expert(stand_in("sd15")).clip
    plain, used = (host.prompts.conditioning.encode(clip, text)[0][0] for text in ("a cat", "a cat embedding:mine"))
    assert not torch.equal(plain, used)
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="the embedding 'other'"):
        host.prompts.conditioning.encode(clip, "a cat embedding:other")


@pytest.mark.parametrize("area", [(8, 8, 16, 0), (8, 8, 0, 20)])
def test_an_area_outside_of_the_picture_is_refused(host: Any, demo: Any, wrong: type[Exception], area: Any) -> None:
    ((tensor, given),) = host.prompts.conditioning.encode_for_experts(demo, "cat")
    with pytest.raises(wrong, match="An area of the prompt begins at .* outside of the picture of 128x128"):
        score_prompt(host, demo, [[tensor, {**given, "area": area}]], LATENT, **FAST)
    score_prompt(host, demo, [[tensor, {**given, "area": (8, 8, 12, 0)}]], LATENT, **FAST)  # cut at the edge


@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan")])
def test_a_weight_beyond_all_measure_is_no_damaged_model(
    host: Any, demo: Any, wrong: type[Exception], value: float
) -> None:
    encoded = host.prompts.conditioning.encode(demo.experts[0].clip, "cat")
    encoded[0][0] = encoded[0][0].clone()
    encoded[0][0][0, 1] = value
    with pytest.raises(wrong, match="look for a weight that is too large"):
        score_prompt(host, demo, encoded, LATENT, **FAST)


def test_a_noise_mask_is_said(host: Any, demo: Any) -> None:
    positive = host.prompts.conditioning.encode_for_experts(demo, "cat")
    masked = score_prompt(host, demo, positive, {**LATENT, "noise_mask": torch.ones(1, 1, 128, 128)}, **FAST).report
    plain = score_prompt(host, demo, positive, LATENT, **FAST).report
    assert masked.score == plain.score and "noise mask" in masked.warnings[-1] and not plain.warnings


def test_an_empty_latent_of_another_ratio_is_scored_at_the_size_that_is_drawn(host: Any, demo: Any) -> None:
    """An Empty Latent Image counts places of 8 pixels. A family with places of 16 draws a quarter of them."""
    import comfy.sample

    import nodes

    model = demo.experts[0].model.clone()
    wider = copy.copy(model.get_model_object("latent_format"))
    wider.spacial_downscale_ratio = 16
    model.add_object_patch("latent_format", wider)
    expert = host.experts.load.expert_from_model(model, demo.experts[0].clip, "wide")
    experts = type(demo)((expert, expert))
    latent = {"samples": torch.zeros(1, 4, 32, 32), "downscale_ratio_spacial": 8}
    words = nodes.CLIPTextEncode().encode(expert.clip, "cat")[0]
    drawn = nodes.common_ksampler(model, 0, 1, 1.0, "euler", "normal", words, words, latent)[0]["samples"]
    run = host.scoring.score.Run.of(experts, latent, options(host, **FAST))
    assert run.samples.shape == drawn.shape
    knows = "downscale_ratio_spacial" in inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
    assert drawn.shape[-1] == (16 if knows else 32)
