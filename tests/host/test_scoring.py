"""Scores through ComfyUI's own sampling entry: right numbers, nothing touched, every bad input said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.checkpoints import make_sd15
from emoe_testing.scoring import latent, options, score_prompt

Loaded = dict[str, Any]


@pytest.fixture(scope="module")
def files(comfy_base: Path) -> dict[str, Path]:
    """Three descendants of one base, one stranger, one SD1.5-like net of another shape."""
    folder = comfy_base / "models" / "checkpoints"
    base = make_sd15(folder / "base.safetensors", 0)
    return {
        "base": base,
        "one": make_sd15(folder / "one.safetensors", 1, base=base, delta=0.1),
        "two": make_sd15(folder / "two.safetensors", 2, base=base, delta=0.1),
        "stranger": make_sd15(folder / "stranger.safetensors", 9),
        "wide": make_sd15(folder / "wide.safetensors", 3, channel_mult=(1, 1)),
    }


@pytest.fixture(scope="module")
def expert(pack: ModuleType, files: dict[str, Path]) -> Callable[[str], Any]:
    """`expert(name)`: loaded once."""
    made: Loaded = {}

    def get(name: str) -> Any:
        if name not in made:
            made[name] = pack.emoe_core.hosts.comfyui.experts.load.load_expert(f"{name}.safetensors")
        return made[name]

    return get


@pytest.fixture
def experts(pack: ModuleType, expert: Callable[[str], Any]) -> Callable[..., Any]:
    def build(*names: str) -> Any:
        made = pack.emoe_core.experts.sets.ExpertSet()
        for name in names:
            made = made.add(expert(name))
        return made

    return build


def prompt(seed: int = 0, width: int = 768, **options: Any) -> list[list[Any]]:
    return [[torch.randn(1, 77, width, generator=torch.Generator().manual_seed(seed)), dict(options)]]


@pytest.fixture
def score(pack: ModuleType, experts: Callable[..., Any]) -> Callable[..., Any]:
    """`score(names, **changes)` with the settings of preset fast."""

    def run(
        names: tuple[str, ...] | Any = ("one", "two"), positive: Any = None, where: Any = None, **changes: Any
    ) -> Any:
        plain = {"tap": "mid_out", "estimator": "relative", "noise_seed": 5}
        made = experts(*names) if isinstance(names, tuple) else names
        scored = score_prompt(
            pack.emoe_core.hosts.comfyui, made, positive or prompt(), where or latent(), **{**plain, **changes}
        )
        return scored

    return run


def middle_by_hand(model: Any, context: torch.Tensor, seed: int, size: int = 8) -> tuple[torch.Tensor, ...]:
    """The middle block's output and input, and the prediction, by calling the network's modules without the host."""
    import comfy.model_management
    import comfy.sample
    from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed
    from comfy.ldm.modules.diffusionmodules.util import timestep_embedding

    comfy.model_management.load_models_gpu([model])
    net, sampling = model.model.diffusion_model, model.get_model_object("model_sampling")
    noise = comfy.sample.prepare_noise(torch.zeros(1, 4, size, size), seed)
    sigma = sampling.sigma_max
    x = noise * torch.sqrt(1 + sigma**2)  # ComfyUI's start at the highest noise level
    scaled = (x / (sigma**2 + 1) ** 0.5).to(model.model_dtype())
    context = context.to(scaled.dtype)
    with torch.no_grad():
        emb = net.time_embed(timestep_embedding(torch.tensor([999.0]), net.model_channels).to(scaled.dtype))
        h, skips = scaled, []
        for module in net.input_blocks:
            h = forward_timestep_embed(module, h, emb, context, {})
            skips.append(h)
        before = h
        middle = h = forward_timestep_embed(net.middle_block, h, emb, context, {})
        for module in net.output_blocks:
            h = forward_timestep_embed(module, torch.cat([h, skips.pop()], 1), emb, context, {})
        return middle.float(), before.float(), net.out(h).float()


def test_the_latents_are_the_networks_own(
    pack: ModuleType, experts: Callable[..., Any], score: Callable[..., Any]
) -> None:
    """Variance before and behind the middle block and at the prediction, against the modules called one by one."""
    made, context = experts("one", "two"), prompt()[0][0]
    by_hand = [[middle_by_hand(e.model, context, 5 + k) for k in range(2)] for e in made.experts]
    for tap, place, tolerance in (("mid_out", 0, 1e-4), ("mid_in", 1, 1e-4), ("noise_pred", 2, 1e-3)):
        m = torch.stack([torch.stack([taken[place] for taken in row]) for row in by_hand]).flatten(3).double()
        expected = float(m.var(dim=0, correction=1).mean())
        got = score(made, tap=tap, estimator="variance").report.score
        assert got == pytest.approx(expected, rel=tolerance)


def test_bit_for_bit_the_same_twice_for_every_preset(pack: ModuleType, score: Callable[..., Any]) -> None:
    for preset in pack.emoe_core.scoring.presets.PRESETS.values():
        options = {"tap": preset.tap, "estimator": preset.estimator, "empty_prompt": prompt(1)}
        first, second = score(**options), score(**options)
        assert first.report == second.report and torch.equal(first.maps.disagreement, second.maps.disagreement)


def test_the_same_model_twice_is_exactly_zero_and_named(
    pack: ModuleType, expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    host = pack.emoe_core.hosts.comfyui.experts.load
    for count in (2, 3):
        made = pack.emoe_core.experts.sets.ExpertSet()
        for i in range(count):
            made = made.add(host.expert_from_model(expert("one").model, None, f"copy {i}"))
        report = score(made).report
        assert report.score == 0.0
        assert "'copy 1' and 'copy 0'" in report.warnings[0]


def test_the_users_model_is_untouched(expert: Callable[[str], Any], score: Callable[..., Any]) -> None:
    """Same picture from KSampler's own function before and after, no patch left, no wrapper left."""
    import comfy.sample

    model = expert("one").model

    def sample() -> torch.Tensor:
        noise = comfy.sample.prepare_noise(latent()["samples"], 3)
        return comfy.sample.sample(
            model, noise, 3, 5.0, "euler", "normal", prompt(), prompt(1), latent()["samples"], disable_pbar=True, seed=3
        )

    before, options = sample(), str(model.model_options)
    score()
    score(tap="noise_pred")
    assert torch.equal(before, sample())
    assert str(model.model_options) == options
    assert not model.patches and not model.object_patches and not any(model.wrappers.values())


def test_the_decoder_is_skipped_and_only_at_hidden_taps(
    expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    calls: list[str] = []
    net = expert("one").model.model.diffusion_model
    hooks = [
        net.middle_block[0].register_forward_hook(lambda *_: calls.append("middle")),
        net.output_blocks[0][0].register_forward_hook(lambda *_: calls.append("decoder")),
    ]
    try:
        score(noise_samples=1)
        assert calls == ["middle"]  # the conditional branch alone, once
        calls.clear()
        score(noise_samples=1, tap="noise_pred")
        assert calls == ["middle", "decoder"]
    finally:
        for hook in hooks:
            hook.remove()


def test_every_item_of_a_batch_is_scored_with_its_own_noise(score: Callable[..., Any]) -> None:
    report = score(where=latent(3), estimator="variance").report
    assert len(report.items) == 3 and len({item.score for item in report.items}) == 3
    alone = score(estimator="variance").report
    assert report.items[0].score == pytest.approx(alone.score, rel=1e-4)  # the first item's noise is the single one's


def test_noise_sample_k_is_the_noise_of_seed_plus_k(score: Callable[..., Any]) -> None:
    both = score(noise_samples=2).report.score
    one, two = (score(noise_samples=1, noise_seed=5 + k).report.score for k in (0, 1))
    assert both == pytest.approx((one + two) / 2, rel=1e-5)


def test_prompt_seed_step_and_size_all_matter(score: Callable[..., Any]) -> None:
    scores = [
        score().report.score,
        score(positive=prompt(7)).report.score,
        score(noise_seed=6).report.score,
        score(at_step=10).report.score,
        score(where=latent(size=16)).report.score,
    ]
    assert len(set(scores)) == len(scores)


def test_in_mid_generation_no_noise_is_added_and_the_seed_is_not_used(score: Callable[..., Any]) -> None:
    half = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))}
    options: dict[str, Any] = {"where": half, "add_noise": False, "at_step": 8}
    first, second = score(**options, noise_seed=1).report, score(**options, noise_seed=2).report
    assert first == second
    assert first.settings.noise_seed is None and first.settings.noise_samples == 1
    assert first.settings.latent == "given" and first.settings.sigma < 14


def test_an_active_area_and_a_second_prompt_are_part_of_the_latent(score: Callable[..., Any]) -> None:
    """Two entries: their latents stand side by side, so the score is neither of the single ones."""
    two = prompt(0) + prompt(7)
    together = score(positive=two).report
    assert together.settings.conditioning == ("2 entries",)
    singles = [score(positive=prompt(seed)).report.score for seed in (0, 7)]
    assert min(singles) < together.score < max(singles)
    area = [*prompt(0), [prompt(7)[0][0], {"area": (4, 4, 0, 0), "strength": 1.0, "set_area_to_bounds": False}]]
    assert score(positive=area).report.settings.conditioning == (
        "area=(4, 4, 0, 0)",
        "set_area_to_bounds=False",
        "strength=1.0",
        "2 entries",
    )


def test_image_sizes_in_the_conditioning_are_settings(score: Callable[..., Any]) -> None:
    """SDXL's size conditioning: another size is another setting, which a calibration must refuse."""

    def sized(side: int) -> list[list[Any]]:
        return [[prompt()[0][0], {"width": side, "height": side}]]

    small, large = (score(positive=sized(side)).report.settings for side in (512, 1024))
    assert small.differences(large) == ["conditioning is (height=1024, width=1024) instead of (height=512, width=512)"]


def test_the_order_of_entries_does_not_depend_on_how_the_host_batches_them(
    monkeypatch: pytest.MonkeyPatch, expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    two = prompt(0) + prompt(7)
    together = score(positive=two).report.score
    monkeypatch.setattr(expert("two").model.model, "memory_required", lambda *a, **k: 1e18)  # one entry at a time
    assert score(positive=two).report.score == pytest.approx(together, rel=1e-5)


def test_the_empty_prompts_pass_is_made_once(expert: Callable[[str], Any], score: Callable[..., Any]) -> None:
    class Clip:
        """Encodes every text to one fixed tensor, and counts."""

        def tokenize(self, text: str) -> str:
            return text

        def encode_from_tokens_scheduled(self, tokens: str) -> list[list[Any]]:
            return prompt(len(tokens) + 1)

    import importlib
    from dataclasses import replace

    module = importlib.import_module(type(expert("one")).__module__)
    own = [replace(expert(name), model=expert(name).model.clone(), clip=Clip()) for name in ("one", "two")]
    made = module.ExpertSet(tuple(own))  # no other test has asked these models
    calls: list[int] = []
    net = expert("one").model.model.diffusion_model
    hook = net.middle_block[0].register_forward_hook(lambda *_: calls.append(1))
    options = {"tap": "noise_pred", "estimator": "centred_relative", "noise_samples": 2}
    try:
        first = score(made, **options).report
        assert len(calls) == 2  # with and without the prompt, both noise samples in one call
        calls.clear()
        assert score(made, **options).report == first and len(calls) == 1
        calls.clear()
        score(made, **{**options, "noise_seed": 77})
        assert len(calls) == 2  # other noise, other pass
        calls.clear()
        score(made, positive=prompt(3), **options)
        assert len(calls) == 1
    finally:
        hook.remove()


def test_noise_levels_do_not_depend_on_where_the_model_is(
    expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    """A card's exponential differs in its last digit; without this, the second score of a prompt would be another one."""
    model = expert("one").model

    class OnACard(type(model.get_model_object("model_sampling"))):  # type: ignore[misc]
        """Says that it is on a card and computes as one, until it is moved."""

        away = True

        def buffers(self, recurse: bool = True) -> Any:
            yield from (torch.empty(0, device="meta") if self.away else level for level in super().buffers(recurse))

        def to(self, device: str) -> Any:
            self.away = device != "cpu"
            return self

        def sigma(self, timestep: torch.Tensor) -> torch.Tensor:
            return super().sigma(timestep) * (1 + 1e-3 * self.away)

    sampling = model.get_model_object("model_sampling")
    made = OnACard.__new__(OnACard)
    made.__dict__.update(sampling.__dict__)
    expected = score(tap="noise_pred").report
    model.add_object_patch("model_sampling", made)
    try:
        found = score(tap="noise_pred").report
    finally:
        model.object_patches.pop("model_sampling")
    assert found.settings.sigma == expected.settings.sigma and found.score == expected.score
    assert made.away  # the user's own is not moved


def test_a_prompt_that_says_nothing_cannot_be_compared_with_the_empty_one(
    pack: ModuleType, expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    """Also where its encoding differs from the empty prompt's by rounding, as in a batch of other texts."""
    how = {"tap": "noise_pred", "estimator": "centred_relative"}
    nearly = [[prompt(1)[0][0] * (1 + 1e-4), {}]]
    for positive in (prompt(1), nearly):
        with pytest.raises(pack.emoe_core.errors.EMoEError, match="says no more than the empty prompt"):
            score(positive=positive, empty_prompt=prompt(1), **how)
    assert score(positive=nearly, empty_prompt=prompt(2), **how).report.score > 0


def test_guidance_and_response_stand_beside_a_thorough_score(score: Callable[..., Any]) -> None:
    item = score(tap="noise_pred", estimator="centred_relative", empty_prompt=prompt(1)).report.items[0]
    assert item.guidance is not None and item.guidance > 0 and item.response > 0
    assert item.response == score().report.items[0].response


def test_a_lora_makes_another_expert_of_the_same_lineage(
    pack: ModuleType, expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    """Patches on a clone of one model: own identity, same weights, and a disagreement where the plain clone has none."""
    host = pack.emoe_core.hosts.comfyui.experts.load
    base = expert("one").model
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    sets = []
    for strength in (0.5, 1.0):
        patched = base.clone()
        shape = base.model.state_dict()[key].shape
        patched.add_patches({key: (torch.ones(shape) * 0.05,)}, strength)
        with_lora = host.expert_from_model(patched, None, f"lora {strength}")
        assert with_lora.signature.digest == expert("one").signature.digest
        assert with_lora.identity != expert("one").identity
        sets.append(with_lora)
    assert sets[0].identity != sets[1].identity
    made = pack.emoe_core.experts.sets.ExpertSet().add(expert("one")).add(sets[0])
    assert score(made).report.score > 0
    # The identity is the same while the patch is merged into the loaded weights, as it is now.
    assert host.expert_from_model(sets[0].model, None, "again").identity == sets[0].identity
    assert host.expert_from_model(base, None, "plain").identity == expert("one").identity


def test_another_nodes_patch_on_the_decoder_does_not_reach_the_middle_block(
    pack: ModuleType, expert: Callable[[str], Any], score: Callable[..., Any]
) -> None:
    """FreeU-like patches change the decoder's input at the very place where the tap sits."""
    host = pack.emoe_core.hosts.comfyui.experts.load
    made = pack.emoe_core.experts.sets.ExpertSet()
    for name in ("one", "two"):
        patched = expert(name).model.clone()
        patched.set_model_output_block_patch(lambda h, skip, options: (h * 2, skip))
        made = made.add(host.expert_from_model(patched, None, name))
    assert score(made, noise_samples=1).report.score == score(noise_samples=1).report.score
    assert made.experts[0].identity != expert("one").identity


def test_an_interrupt_ends_the_score_and_the_next_one_is_right(score: Callable[..., Any]) -> None:
    import comfy.model_management as management

    expected = score().report
    told: list[tuple[int, str]] = []

    def stop_at_the_second(done: int, total: int, name: str) -> None:
        told.append((done, name))
        if name == "two":
            management.interrupt_current_processing()

    with pytest.raises(management.InterruptProcessingException):
        score(progress=stop_at_the_second)
    assert told == [(0, "one"), (2, "one"), (2, "two")]
    assert score().report == expected


BAD: list[tuple[dict[str, Any], str]] = [
    ({"names": ("one",)}, "the set has 1: add at least 1 more"),
    ({"names": ()}, "no experts"),
    ({"names": ("one", "stranger")}, "do not descend from one base model"),
    ({"names": ("one", "wide")}, "networks of different shape"),
    ({"at_step": 20}, "at_step is 20, beyond the last of 20 steps; choose 0 to 19"),
    ({"at_step": -1}, "at_step is -1"),
    ({"steps": 1000, "at_step": 999, "scheduler": "beta"}, "at_step is 999, beyond the last of the "),
    (
        {"steps": 1500, "at_step": 1400, "scheduler": "ddim_uniform"},
        "beyond the last of the 999 steps that scheduler 'ddim_uniform' makes of 1500; choose 0 to 998",
    ),
    ({"noise_samples": 0}, "noise_samples is 0"),
    ({"where": {"samples": torch.zeros(0, 4, 8, 8)}}, "batch of zero"),
    (
        {"where": {"samples": torch.zeros(1, 4, 1, 8, 8)}},
        "latent_image has 5 dimensions and the experts want 4; connect a",
    ),
    ({"where": {"samples": torch.zeros(1, 16, 3, 8, 8)}}, "has 5 dimensions"),
    ({"where": {"samples": torch.zeros(1, 64, 100)}}, "has 3 dimensions and the experts want 4"),
    ({"where": {"samples": torch.zeros(4)}}, "has 1 dimensions"),
    ({"where": {"samples": torch.ones(1, 16, 8, 8)}}, "has 16 channels and the experts want 4"),
    ({"where": {"samples": torch.full((1, 4, 8, 8), torch.nan)}}, "NaN or infinite"),
    ({"positive": prompt(width=1024)}, "1024 numbers per token and expert 'one' wants 768"),
    ({"tap": "noise_pred", "estimator": "centred_relative"}, "no expert has a text encoder"),
    ({"positive": prompt(0, start_percent=0.5, end_percent=1.0)}, "No part of the conditioning is active"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=[said[:30] for _, said in BAD])
def test_bad_input_gets_one_sentence(
    pack: ModuleType, score: Callable[..., Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError) as error:
        score(**change)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_each_familys_latents_have_its_own_dimensions(pack: ModuleType) -> None:
    """Latents with time take a picture's too, as ComfyUI does; what is missing or too much is said."""
    import comfy.latent_formats

    class Model:
        def __init__(self, latent_format: Any) -> None:
            self.format = latent_format

        def get_model_object(self, name: str) -> Any:
            assert name == "latent_format"
            return self.format

    def shape(latent_format: Any, *given: int) -> tuple[int, ...]:
        read = pack.emoe_core.hosts.comfyui.scoring.score.latent_samples
        return tuple(read(Model(latent_format), {"samples": torch.zeros(given)}).shape)

    video, audio = comfy.latent_formats.Wan21(), comfy.latent_formats.StableAudio1()
    assert shape(video, 1, 16, 3, 8, 8) == (1, 16, 3, 8, 8)
    assert shape(video, 1, 16, 8, 8) == shape(video, 1, 4, 8, 8) == (1, 16, 1, 8, 8)
    assert shape(audio, 1, 64, 100) == (1, 64, 100)
    for latent_format, given, said in (
        (video, (1, 64, 100), "has 3 dimensions and the experts want 5; connect .* empty video latent"),
        (audio, (1, 4, 8, 8), "has 4 dimensions and the experts want 3; connect .* empty audio latent"),
    ):
        with pytest.raises(pack.emoe_core.errors.EMoEError, match=said):
            shape(latent_format, *given)


def test_another_family_cannot_be_added(pack: ModuleType, experts: Callable[..., Any]) -> None:
    """A demo expert has SD1.5's topology and latent size, and its latents mean something else."""
    first = pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts().experts[0]
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="'expert_1' is DemoModel.*but 'one' is SD15"):
        experts("one").add(first)


def test_the_report_names_each_experts_file(files: dict[str, Path], score: Callable[..., Any]) -> None:
    import hashlib

    listed = score().report.as_dict()["experts"]
    assert [entry["name"] for entry in listed] == ["one", "two"]
    for entry in listed:
        digest = hashlib.sha256(files[entry["name"]].read_bytes()).hexdigest()
        assert entry["file"] == f"{entry['name']}.safetensors sha256:{digest}" and len(entry["identity"]) == 64


def test_unrelated_experts_can_still_be_scored_by_their_predictions(score: Callable[..., Any]) -> None:
    assert (
        score(("one", "stranger"), tap="noise_pred", estimator="centred_relative", empty_prompt=prompt(1)).report.score
        > 0
    )


def test_nan_weights_are_an_error_that_names_the_expert(
    pack: ModuleType, comfy_base: Path, files: dict[str, Path], experts: Callable[..., Any], score: Callable[..., Any]
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(files["one"])
    weights["model.diffusion_model.middle_block.2.out_layers.3.bias"][:] = torch.nan
    save_file(weights, comfy_base / "models" / "checkpoints" / "broken.safetensors")
    made = experts("one", "two").add(pack.emoe_core.hosts.comfyui.experts.load.load_expert("broken.safetensors"))
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="Expert 'broken' gives NaN"):
        score(made)


def test_files_that_are_missing_cut_short_or_no_models(
    pack: ModuleType, comfy_base: Path, files: dict[str, Path]
) -> None:
    load, wrong = pack.emoe_core.hosts.comfyui.experts.load.load_expert, pack.emoe_core.errors.EMoEError
    folder = comfy_base / "models" / "checkpoints"
    (folder / "cut.safetensors").write_bytes(files["one"].read_bytes()[:100_000])
    (folder / "text.safetensors").write_text("not a model at all")
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "pickle.ckpt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, folder / "other.safetensors")
    for name in ("missing", "cut", "text", "empty", "other"):
        with pytest.raises(wrong) as error:
            load(f"{name}.safetensors")
        assert f"'{name}.safetensors'" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(wrong, match="'pickle.ckpt'"):
        load("pickle.ckpt")


def test_experts_from_loras(
    pack: ModuleType, expert: Callable[[str], Any], comfy_base: Path, score: Callable[..., Any]
) -> None:
    """Real LoRA files on one model: own experts of one lineage, weights shared, foreign and damaged files refused."""
    from safetensors.torch import save_file

    loras, wrong = pack.emoe_core.hosts.comfyui.experts.loras, pack.emoe_core.errors.EMoEError
    folder = comfy_base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    for seed, name in enumerate(("ink", "clay")):
        generator = torch.Generator().manual_seed(seed)
        save_file(
            {
                f"{layer}.lora_up.weight": torch.randn(320, 4, generator=generator) / 4,
                f"{layer}.lora_down.weight": torch.randn(4, 768, generator=generator) / 8,
                f"{layer}.alpha": torch.tensor(4.0),
            },
            folder / f"{name}.safetensors",
        )
    save_file({"lora_unet_nowhere.lora_up.weight": torch.zeros(2, 2)}, folder / "foreign.safetensors")
    (folder / "cut.safetensors").write_bytes(b"123")
    model = expert("one").model
    made = loras.experts_from_loras(model, None, [("ink.safetensors", 1.0), ("clay.safetensors", 0.5)])
    assert [e.name for e in made.experts] == ["ink 1", "clay 0.5"]
    assert made.experts[0].model.model is model.model and not model.patches
    assert len({e.identity for e in made.experts}) == 2 and len({e.signature.digest for e in made.experts}) == 1
    assert score(made).report.score > 0
    for name, said in (("foreign", "changes nothing"), ("cut", "damaged"), ("gone", "not in ComfyUI's loras folder")):
        with pytest.raises(wrong, match=f"'{name}.safetensors'.*{said}|{said}"):
            loras.experts_from_loras(model, None, [(f"{name}.safetensors", 1.0)])


@pytest.mark.parametrize("sampler", ["euler", "dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2", "dpmpp_2m"])
def test_a_latent_in_mid_generation_is_scored_at_its_own_noise_level(pack: ModuleType, sampler: str) -> None:
    """What KSamplerAdvanced hands on after some steps of 20, and what is scored at that step."""
    import nodes

    host = pack.emoe_core.hosts.comfyui
    experts = host.experts.demo_set.embedded_experts()
    first = experts.experts[0]
    words = nodes.CLIPTextEncode().encode(first.clip, "cat")[0]
    seen: list[float] = []
    for at_step in (2, 15):
        import comfy.samplers

        real = comfy.samplers.CFGGuider.sample

        def look(self: Any, *args: Any, real: Any = real, **kwargs: Any) -> Any:
            seen.append(float((kwargs.get("sigmas") if "sigmas" in kwargs else args[3])[-1]))
            return real(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(comfy.samplers.CFGGuider, "sample", look)
            half = nodes.KSamplerAdvanced().sample(
                first.model, "enable", 0, 20, 4.0, sampler, "normal", words, words,
                {"samples": torch.zeros(1, 4, 16, 16)}, 0, at_step, "enable",
            )[0]  # fmt: skip
        said = options(host, preset="fast", add_noise=False, at_step=at_step, sampler=sampler)
        run = host.scoring.score.Run.of(experts, half, said)
        assert float(run.sigmas[0]) == pytest.approx(seen[-1], rel=1e-6)
