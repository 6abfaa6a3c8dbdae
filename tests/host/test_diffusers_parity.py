"""One set of weights through both hosts gives one score: ComfyUI's code and diffusers' share none of it.

The networks are converted by diffusers' own converter. Text encoders are compared with the demo experts; the larger
families get one conditioning in both hosts.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing import unet
from emoe_testing.checkpoints import make_sdxl
from emoe_testing.folders import make_folder
from emoe_testing.scoring import score_prompt

PROMPT = "a lighthouse, 山から日の出"
PRESETS = ("fast", "thorough", "layout", "paper")
SIGMA_STEPS = [("normal", 20, 0), ("karras", 30, 7), ("sgm_uniform", 25, 11)]


@pytest.fixture(scope="module")
def host(pack: ModuleType) -> Any:
    """The diffusers host, in the same pack as ComfyUI's."""
    return importlib.import_module(f"{pack.__name__}.emoe_core.hosts.diffusers")


@pytest.fixture(scope="module")
def schedules(pack: ModuleType, host: Any) -> Any:
    return importlib.import_module(f"{pack.__name__}.emoe_core.hosts.diffusers.schedules")


def in_comfyui(
    pack: ModuleType,
    experts: Any,
    positive: Any,
    sides: int | tuple[int, int],
    preset: str,
    empty: Any = None,
    **changes: Any,
) -> Any:
    tap, estimator = pack.emoe_core.scoring.presets.resolve(preset, "mid_out", "relative")
    return score_prompt(
        pack.emoe_core.hosts.comfyui,
        experts,
        positive,
        {"samples": torch.zeros(1, 4, *((sides, sides) if isinstance(sides, int) else sides))},
        tap=tap,
        estimator=estimator,
        empty_prompt=empty,
        **changes,
    ).report


def assert_same(one: Any, other: Any, rel: float = 1e-4) -> None:
    """The same score, and everything beside it."""
    for mine, theirs in zip(one.items, other.items, strict=True):
        for name in ("score", "stderr", "epistemic", "seed_variance", "response", "guidance"):
            one_value, other_value = getattr(mine, name), getattr(theirs, name)
            assert (one_value is None) == (other_value is None), name
            assert one_value is None or one_value == pytest.approx(other_value, rel=rel), name
    assert torch.allclose(torch.tensor(one.pairwise), torch.tensor(other.pairwise), rtol=rel)


# --- the demo experts: text encoder, network and score, whole ----------------------------------------------------------


@pytest.fixture(scope="module")
def demo_sets(pack: ModuleType, host: Any) -> tuple[Any, Any]:
    return pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts(), host.demo_experts()


@pytest.mark.parametrize("preset", PRESETS)
def test_whole_scores_of_the_demo_experts_are_equal(
    pack: ModuleType, host: Any, demo_sets: tuple[Any, Any], preset: str
) -> None:
    comfy_set, diffusers_set = demo_sets
    encode = pack.emoe_core.hosts.comfyui.prompts.conditioning.encode_for_experts
    for prompt in ("sunflower", "xchtgg", PROMPT):
        theirs = in_comfyui(pack, comfy_set, encode(comfy_set, prompt), 16, preset)
        mine = host.score(diffusers_set, prompt, host.ScoreOptions(preset=preset))
        assert_same(mine, theirs)
        assert mine.settings == theirs.settings and mine.prompt == prompt
        assert mine.experts == theirs.experts and mine.files == theirs.files


def test_the_shipped_calibrations_hold_in_both_hosts(pack: ModuleType, host: Any, demo_sets: tuple[Any, Any]) -> None:
    """Experts are known by one identity, so a verdict is the same verdict."""
    assert (
        len(demo_sets[1].calibrations) == len(demo_sets[0].calibrations) == len(pack.emoe_core.scoring.presets.PRESETS)
    )
    decide = pack.emoe_core.gating.gate.decide
    verdicts = {
        prompt: decide(host.score(demo_sets[1], prompt), "false_block_rate", alpha=0.1).verdict
        for prompt in ("candle", "xchtgg")
    }
    assert verdicts == {"candle": "pass", "xchtgg": "block"}


@pytest.mark.parametrize(("scheduler", "steps", "at_step"), SIGMA_STEPS)
def test_a_later_step_is_the_same_step(
    pack: ModuleType, host: Any, demo_sets: tuple[Any, Any], scheduler: str, steps: int, at_step: int
) -> None:
    comfy_set, diffusers_set = demo_sets
    words = {"scheduler": scheduler, "steps": steps, "at_step": at_step, "noise_seed": 2**64 - 1}
    positive = pack.emoe_core.hosts.comfyui.prompts.conditioning.encode_for_experts(comfy_set, "ant")
    theirs = in_comfyui(pack, comfy_set, positive, 16, "fast", **words)
    mine = host.score(diffusers_set, "ant", host.ScoreOptions(preset="fast", **words))
    assert mine.settings == theirs.settings
    assert_same(mine, theirs)


# --- SD1.5's and SDXL's kinds -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def family(
    pack: ModuleType,
    host: Any,
    comfyui: Path,
    comfy_base: Path,
    stand_in: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Any]:
    """`family(name)`: two descendants of one base in both hosts, loaded once: (ComfyUI's set, diffusers' set).

    SD1.5's first has its own text encoder, at full size; SDXL's have none, and diffusers gets tiny ones from the folder.
    """
    made: dict[str, Any] = {}
    checkpoints = comfy_base / "models" / "checkpoints"

    def second_xl() -> str:
        make_sdxl(checkpoints / "stand_in" / "xl_2.safetensors", 2, base=checkpoints / stand_in("xl"), delta=0.1)
        return "stand_in/xl_2.safetensors"

    def get(name: str) -> Any:
        if name not in made:
            folder = tmp_path_factory.mktemp("config") / name
            if name == "sd15":
                names = [stand_in("sd15"), stand_in("other")]
                make_folder(folder, unet.sd15(), comfyui / "comfy" / "sd1_tokenizer", whole_file=True)
            else:
                names = [stand_in("xl"), second_xl()]
                make_folder(folder, unet.SDXL_TINY, Path(pack.emoe_core.demo.tokenizer_dir()))
            comfy_set = pack.emoe_core.experts.sets.ExpertSet()
            for file in names:
                comfy_set = comfy_set.add(pack.emoe_core.hosts.comfyui.experts.load.load_expert(file))
            made[name] = comfy_set, host.load_experts([checkpoints / file for file in names], config=folder)
        return made[name]

    return get


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_latents_and_predictions_of_the_families_are_equal(pack: ModuleType, family: Any, name: str) -> None:
    """One conditioning, one noise: what the networks give at each tap, before any maths of ours."""
    comfy_set, diffusers_set = family(name)
    width, side = (768, 8) if name == "sd15" else (2048, 16)
    generator = torch.Generator().manual_seed(4)
    text, pooled = torch.randn(1, 77, width, generator=generator), torch.randn(1, 1280, generator=generator)
    sizes = {"width": 640, "height": 512, "crop_w": 8, "crop_h": 24, "target_width": 768, "target_height": 1024}
    options = {} if name == "sd15" else {"pooled_output": pooled, **sizes}
    rows = {"prompt_embeds": text}
    if name == "sdxl":
        rows |= {"text_embeds": pooled, "time_ids": torch.tensor([[512.0, 640, 24, 8, 1024, 768]])}
    import comfy.sample

    noise = comfy.sample.prepare_noise(torch.zeros(1, 4, side, side), 3)
    for theirs, mine in zip(comfy_set.experts, diffusers_set.experts, strict=True):
        assert theirs.dtype == mine.dtype == "float32"
        sigma = float(theirs.model.get_model_object("model_sampling").sigma_max)
        taken = mine.model.measure(noise, sigma, rows, ("mid_in", "mid_out", "noise_pred"))
        expected = middle_and_prediction(theirs.model, [[text, options]], noise, sigma)
        for tap in ("mid_out", "noise_pred"):
            scale = expected[tap].abs().max()
            assert float((taken[tap] - expected[tap]).abs().max() / scale) < 1e-4, tap
            assert float(expected[tap].std()) > 1e-2  # something is compared


def middle_and_prediction(model: Any, positive: Any, noise: torch.Tensor, sigma: float) -> dict[str, torch.Tensor]:
    """Both from ComfyUI's own sampling, taken with plain hooks of torch instead of the pack's taps."""
    import comfy.sample
    import comfy.samplers

    found: dict[str, torch.Tensor] = {}

    class Once(comfy.samplers.Sampler):
        def sample(self, wrap: Any, sigmas: Any, extra: Any, callback: Any, noise: Any, *_: Any, **__: Any) -> Any:
            x = noise * (1 + sigmas[0] ** 2) ** 0.5
            found["noise_pred"] = ((x - wrap(x, sigmas[:1], **extra)) / sigmas[0]).detach()
            return x

    last = model.model.diffusion_model.middle_block[-1]
    hook = last.register_forward_hook(lambda _, __, out: found.__setitem__("mid_out", out.detach().clone()))
    try:
        sigmas = torch.tensor([sigma, 0.0])
        comfy.sample.sample_custom(
            model, noise, 1.0, Once(), sigmas, positive, positive, torch.zeros_like(noise), disable_pbar=True
        )
    finally:
        hook.remove()
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_whole_scores_of_sd15_checkpoints_are_equal(pack: ModuleType, host: Any, family: Any, preset: str) -> None:
    """From the text on: ComfyUI's CLIP and transformers' read the same file, and the second expert uses the first's."""
    comfy_set, diffusers_set = family("sd15")
    encode = pack.emoe_core.hosts.comfyui.prompts.conditioning.encode_for_experts
    prompt = "a photo of a lighthouse at night, 灯台, oil on canvas"
    theirs = in_comfyui(pack, comfy_set, encode(comfy_set, prompt), 8, preset)
    mine = host.score(diffusers_set, prompt, host.ScoreOptions(preset=preset, size=(64, 64)))
    assert_same(mine, theirs)
    assert mine.settings == theirs.settings


@pytest.mark.parametrize("preset", PRESETS)
def test_whole_scores_of_sdxl_networks_are_equal(pack: ModuleType, host: Any, family: Any, preset: str) -> None:
    """From the pipeline's own encoding of a prompt on; ComfyUI is given that encoding as CONDITIONING."""
    comfy_set, diffusers_set = family("sdxl")
    encoders = diffusers_set.experts[0].clip

    def conditioning(text: str) -> Any:
        rows = encoders.encode([text], 192, 128)
        return [[rows["prompt_embeds"], {"pooled_output": rows["text_embeds"]}]]

    theirs = in_comfyui(pack, comfy_set, conditioning(PROMPT), (16, 24), preset, conditioning(""))
    mine = host.score(diffusers_set, PROMPT, host.ScoreOptions(preset=preset, size=(192, 128)))
    assert_same(mine, theirs)
    differing = {text.split()[0] for text in theirs.settings.differences(mine.settings)}
    assert differing == {"text_encoders"}


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_an_expert_has_one_identity_in_both_hosts(family: Any, name: str) -> None:
    for theirs, mine in zip(*(one.experts for one in family(name)), strict=True):
        assert mine.identity == theirs.identity and mine.signature.layout == theirs.signature.layout
        assert mine.prediction == theirs.prediction


# --- noise levels -----------------------------------------------------------------------------------------------------


def comfy_sampling(kind: str) -> Any:
    import types

    import comfy.model_sampling as sampling

    return {
        "sd": lambda: sampling.ModelSamplingDiscrete(),
        "zsnr": lambda: sampling.ModelSamplingDiscrete(types.SimpleNamespace(sampling_settings={"zsnr": True})),
        "sd3": lambda: sampling.ModelSamplingDiscreteFlow(types.SimpleNamespace(sampling_settings={"shift": 3.0})),
        "flux": lambda: sampling.ModelSamplingFlux(),
    }[kind]()


@pytest.mark.parametrize("kind", ["sd", "zsnr", "sd3", "flux"])
def test_every_schedulers_noise_levels_are_the_other_hosts(comfyui: Path, schedules: Any, kind: str) -> None:
    import comfy.samplers

    theirs = comfy_sampling(kind)
    mine = {
        "sd": lambda: schedules.discrete(schedules.STABLE_DIFFUSION, "the network"),
        "zsnr": lambda: schedules.discrete(
            {
                "beta_schedule": "scaled_linear",
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "rescale_betas_zero_snr": True,
                "prediction_type": "v_prediction",
            },
            "the test",
        ),
        "sd3": lambda: schedules.shifted_flow(3.0),
        "flux": lambda: schedules.exponential_flow(1.15),
    }[kind]()
    assert torch.equal(mine.sigmas, theirs.sigmas)
    assert set(schedules.SCHEDULERS) == set(comfy.samplers.SCHEDULER_NAMES)
    for name in schedules.SCHEDULERS:
        for steps in (2, 3, 20, 25, 999):
            expected = comfy.samplers.calculate_sigmas(theirs, name, steps)
            given = torch.tensor(schedules.SCHEDULERS[name](mine, steps))
            assert torch.allclose(given, expected, rtol=1e-6, atol=1e-7), (name, steps)
            for sigma in expected[:-1][:: max(1, steps // 5)]:
                if float(sigma) > 0:
                    assert float(mine.time(float(sigma))) == pytest.approx(float(theirs.timestep(sigma)), rel=1e-6)
