"""Mixtures inside ComfyUI: what they compute, what they leave alone, and every bad input said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.checkpoints import make_sd15, make_sdxl
from emoe_testing.scoring import score_prompt

SIZE = 16
PROMPTS = "sunflower\ndog\ncar\nhouse"
#: A mixture's model as an expert of an ensemble, and the mixture's own network.
MIXTURE = (
    "fe9b2cad326b1208f21011654ca02b517b28fae90627cd6d2d36b824f4cbe495",
    "9c5bc80786f26c211562bbeed4f3e11148d9f7833613e3f5545a59096f23f12f",
)
GATES = {"layers": "attn", "top_k": 2, "steps": 2, "cfg": 4.0, "seed": 0}


def latent(batch: int = 1, size: int = SIZE) -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(batch, 4, size, size)}


@pytest.fixture(scope="module")
def build(host: Any, demo: Any) -> Callable[..., Any]:
    """`build(experts, prompts, **changes)`; the demo experts when none are given."""

    def run(experts: Any = None, prompts: str = PROMPTS, **changes: Any) -> Any:
        return host.mixture.build.build_mixture(
            demo if experts is None else experts, prompts, "", latent(), **GATES | changes
        )

    return run


@pytest.fixture(scope="module")
def mixture(build: Callable[..., Any]) -> Any:
    return build()


@pytest.fixture(scope="module")
def score(host: Any) -> Callable[..., Any]:
    def run(experts: Any, text: str = "sunflower", positive: Any = None, where: Any = None, **changes: Any) -> Any:
        plain = {"tap": "mid_out", "estimator": "variance", "noise_seed": 5}
        positive = positive or host.prompts.conditioning.encode_for_experts(experts, text)
        return score_prompt(host, experts, positive, where or latent(), **plain | changes)

    return run


def draw(model: Any, clip: Any, batch: int = 1, text: str = "sunflower") -> torch.Tensor:
    """What stock KSampler makes."""
    import nodes

    (yes,), (no,) = nodes.CLIPTextEncode().encode(clip, text), nodes.CLIPTextEncode().encode(clip, "")
    return nodes.KSampler().sample(model, 5, 3, 4.0, "euler", "normal", yes, no, latent(batch))[0]["samples"]


def copies(pack: ModuleType, expert: Any, count: int) -> Any:
    made = pack.emoe_core.experts.sets.ExpertSet()
    for _ in range(count):
        made = made.add(expert)
    return made


@pytest.mark.parametrize("layers", ["attn", "ff", "all"])
def test_identical_experts_are_the_base_model(
    pack: ModuleType, demo: Any, build: Callable[..., Any], score: Callable[..., Any], layers: str
) -> None:
    first = demo.experts[0]
    for top_k in (1, 2):
        mixed = build(copies(pack, first, 3), "dog\ncar\nhouse", layers=layers, top_k=top_k)
        expected, got = draw(first.model, first.clip), draw(mixed.network.model, first.clip)
        assert float((got - expected).abs().max()) < 1e-5 * float(expected.abs().max())
        report = score(mixed).report
        assert report.score < 1e-10 and "same model" in report.warnings[0]


def test_nothing_of_the_experts_is_touched(host: Any, demo: Any, build: Callable[..., Any]) -> None:
    """Not their weights, modules, patches or identities, and not what they draw, also while the mixture is loaded."""
    first = demo.experts[0]
    before, modules = draw(first.model, first.clip), set(map(id, first.model.model.modules()))
    mixed = build()
    assert first.model.object_patches == {} and first.model.patches == {} and first.model.wrappers == {}
    drawn = draw(mixed.network.model, first.clip)
    assert float((drawn - before).abs().max()) > 1e-3
    assert set(map(id, first.model.model.modules())) != modules  # the host has the mixture's layers in it now
    again = host.experts.load.expert_from_model(first.model, first.clip, "again")
    assert again.identity == first.identity and again.signature.layout == first.signature.layout
    assert torch.equal(draw(first.model, first.clip), before)
    assert set(map(id, first.model.model.modules())) == modules
    assert torch.equal(draw(mixed.network.model, first.clip), drawn)


def paths_by_hand(pack: ModuleType, host: Any, mixture: Any, text: str, tap: str, seed: int) -> torch.Tensor:
    """Each path as a model of its own: expert i's plain layers where the paths separate, scored as a single expert."""
    found = []
    for index in range(len(mixture)):
        model = mixture.network.model.clone()
        for name in mixture.separating:
            key = f"diffusion_model.{name}"
            model.add_object_patch(key, model.object_patches[key].experts[index])
        model.patches_uuid = object()
        one = pack.emoe_core.experts.sets.ExpertSet((replace(mixture.network, model=model),))
        scored = score_prompt(
            host,
            one,
            host.prompts.conditioning.encode_for_experts(one, text),
            latent(),
            tap=tap,
            estimator="response",
            add_noise=True,
            noise_seed=seed,
            steps=20,
            scheduler="normal",
            at_step=0,
            noise_samples=1,
        )
        found.append(1 / scored.report.score)
    return torch.tensor(found)


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("layers", ["attn", "ff"])
def test_each_path_is_the_mixture_with_its_own_experts_first_cross_attention(
    pack: ModuleType, host: Any, build: Callable[..., Any], layers: str, top_k: int
) -> None:
    """The mean square of every path's latent, all paths in one batch, against a network an expert."""
    mixed = build(layers=layers, top_k=top_k)
    expected_place = {"attn": "attn2", "ff": "ff"}[layers]
    assert mixed.separated_at == f"input_blocks.3.1.transformer_blocks.0.{expected_place}"
    for tap in ("mid_out", "noise_pred"):
        by_hand = paths_by_hand(pack, host, mixed, "sunflower", tap, 7)
        got = path_squares(host, mixed, "sunflower", tap, 7)
        assert torch.allclose(got, by_hand, rtol=1e-4)
        assert len({f"{float(value):.6g}" for value in got}) == len(mixed)


def path_squares(host: Any, mixture: Any, text: str, tap: str, seed: int) -> torch.Tensor:
    """Mean square of each path's latent, from the probe."""
    import comfy.sample
    import comfy.samplers

    sampling = mixture.network.model.get_model_object("model_sampling")
    prompt = host.prompts.conditioning.split(host.prompts.conditioning.encode_for_experts(mixture, text), mixture)
    samples = latent()["samples"]
    probe = host.scoring.mixture_probe.MixtureProbe(
        mixture,
        prompt,
        None,
        samples,
        [comfy.sample.prepare_noise(samples, seed)],
        [seed],
        comfy.samplers.calculate_sigmas(sampling, "normal", 20),
        None,
    )
    request = host.scoring.probe.Request
    with torch.no_grad():
        found = [
            probe.latents(request(i, False, (tap,)), lambda _: None).latents[0][tap][0] for i in range(len(mixture))
        ]
    return torch.stack([one.square().mean() for one in found])


def test_items_and_noise_samples_do_not_depend_on_each_other(mixture: Any, score: Callable[..., Any]) -> None:
    """A batch of different latents, scored together and one by one."""
    torch.manual_seed(3)
    given = torch.randn(3, 4, SIZE, SIZE)
    how = {"add_noise": False, "at_step": 5, "tap": "noise_pred"}
    together = score(mixture, where={"samples": given}, **how).report
    for index in range(3):
        alone = score(mixture, where={"samples": given[index : index + 1]}, **how).report
        assert together.items[index].score == pytest.approx(alone.score, rel=1e-4)
        assert together.routing.items[index] == pytest.approx(alone.routing.entropy, rel=1e-5)
        beside = together.items[index].all["routing"]["routing_entropy"]
        assert beside.score == together.routing.items[index]


def test_an_image_does_not_depend_on_its_batch(mixture: Any) -> None:
    clip = mixture.network.clip
    pair = draw(mixture.network.model, clip, batch=2)  # the first image's noise is that of the image alone
    assert torch.allclose(pair[:1], draw(mixture.network.model, clip), atol=1e-4)


def test_bit_for_bit_the_same_twice(build: Callable[..., Any], mixture: Any, score: Callable[..., Any]) -> None:
    again = build()
    for tap, name in (("mid_out", "relative"), ("noise_pred", "centred_relative")):
        first = score(mixture, tap=tap, estimator=name)
        assert first.report == score(again, tap=tap, estimator=name).report


def test_the_report_says_it_all(mixture: Any, score: Callable[..., Any]) -> None:
    report = score(mixture).report
    assert report.settings.mode == "mixture" and len(report.settings.experts) == len(report.experts) == 4
    routing = json.loads(json.dumps(report.as_dict()))["routing"]
    assert routing["separated_at"].endswith("attn2") and routing["top_k"] == 2
    assert len(routing["layers"]) == 2 * 6  # two transformer blocks before the middle block
    assert [layer["separated"] for layer in routing["layers"]] == [False, False, False, True, True, True] + [False] * 6
    for layer in routing["layers"]:
        assert sum(layer["load"]) == pytest.approx(1, abs=1e-5) and 0 <= layer["entropy"] <= 1
    assert any("routing over 12 layers" in line for line in report.lines())
    whole = score(mixture, tap="noise_pred").report.as_dict()["routing"]
    assert len(whole["layers"]) == len(mixture.names) == 36


def test_ensembles_have_no_routing(demo: Any, score: Callable[..., Any]) -> None:
    report = score(demo).report
    assert "routing" not in report.as_dict() and report.settings.mode == "ensemble"


def test_identity_follows_layers_top_k_gates_and_order(
    pack: ModuleType, demo: Any, build: Callable[..., Any], mixture: Any, score: Callable[..., Any]
) -> None:
    turned = pack.emoe_core.experts.sets.ExpertSet(demo.experts[::-1])
    changed = [
        build(top_k=1),
        build(layers="all"),
        build(seed=1),
        build(prompts=PROMPTS.replace("dog", "cat")),
        build(turned, "\n".join(PROMPTS.splitlines()[::-1])),
    ]
    seen = {expert.identity for mixed in (mixture, *changed) for expert in mixed.experts}
    assert len(seen) == 4 * 6
    first = score(mixture).report.settings
    assert "experts is" in first.differences(score(changed[0]).report.settings)[0]
    assert build().experts[2].identity == mixture.experts[2].identity


def test_two_mixtures_models_have_two_identities(host: Any, build: Callable[..., Any], mixture: Any) -> None:
    """As experts of an ensemble, say."""
    other = build(seed=1)
    models = (mixture.network.model, other.network.model, mixture.network.model.clone())
    a, b, c = (host.experts.load.expert_from_model(model, None, "").identity for model in models)
    assert a == c != b


def test_a_mixtures_digests_are_those_of_saved_calibrations(host: Any, demo: Any) -> None:
    """Frozen, of gates that no processor rounds differently: as a set of its own, and as an expert of an ensemble."""
    experts, first = demo.experts, demo.experts[0].model
    gates = {
        name: torch.arange(4.0).reshape(4, 1).expand(4, first.get_model_object(f"diffusion_model.{name}").in_features)
        for name in host.mixture.layers.sparse_layer_names(first, "attn")
    }
    mixed = host.mixture.build.assemble(
        experts,
        gates,
        lambda index, name: host.mixture.layers.expert_layer(experts[index], first, name),
        layers="attn",
        top_k=2,
        clip=(experts[0].clip, experts[0].text_encoder_identity()),
    )
    of_an_ensemble = host.experts.load.expert_from_model(mixed.network.model, None, "")
    assert (of_an_ensemble.identity, mixed.network.identity) == MIXTURE


def test_memory_is_shared_and_accounted_for(demo: Any, mixture: Any) -> None:
    import comfy.model_management

    model, base = mixture.network.model, demo.experts[0].model
    name = mixture.names[0]
    sparse = model.object_patches[f"diffusion_model.{name}"]
    for expert, layer in zip(demo.experts, sparse.experts, strict=True):
        own = expert.model.get_model_object(f"diffusion_model.{name}")
        assert layer.weight is not own.weight and layer.weight.data_ptr() == own.weight.data_ptr()
    (weights,) = model.get_nested_additional_models()
    comfy.model_management.load_models_gpu([model, weights])
    for one in (model, weights):
        tensors = (*one.model.parameters(), *one.model.buffers())
        assert one.model_size() == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert (
        model.clone().model_size() == model.model_size() < base.model_size() < model.model_size() + weights.model_size()
    )
    held = {id(part) for part in weights.model.modules()}
    for layer in (model.object_patches[f"diffusion_model.{name}"] for name in mixture.names):
        assert {id(layer.gate), *map(id, layer.experts)} <= held
    comfy.model_management.load_models_gpu([base])
    assert base.model_size() == comfy.model_management.module_size(base.model)


def test_the_host_may_offload_any_part_of_it(mixture: Any) -> None:
    """Loaded in part, every layer casts its weights when it is called; and it can be unloaded and loaded again."""
    import comfy.model_management

    model, clip = mixture.network.model, mixture.network.clip
    expected = draw(model, clip)
    device = torch.device("cpu")
    both = [model, *model.get_nested_additional_models()]
    for one in both:
        one.detach()
        one.patch_model(device, lowvram_model_memory=1)
    sparse = model.object_patches[f"diffusion_model.{mixture.names[0]}"]
    assert all(layer.comfy_cast_weights for layer in (*sparse.experts, sparse.gate))
    context = clip.encode_from_tokens(clip.tokenize("sunflower"))
    x, t = torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(1)), torch.tensor([900.0])
    with torch.no_grad():
        cast = model.model.diffusion_model(x, timesteps=t, context=context)
    for one in both:
        one.detach()
    assert not any(hasattr(layer, "prev_comfy_cast_weights") for layer in sparse.experts)
    comfy.model_management.load_models_gpu(both)
    with torch.no_grad():
        assert torch.equal(model.model.diffusion_model(x, timesteps=t, context=context), cast)
    assert torch.equal(draw(model, clip), expected)


def test_loras_of_the_experts_are_in_the_mixture(
    pack: ModuleType, host: Any, demo: Any, build: Callable[..., Any]
) -> None:
    """Weight patches on the experts, merged right now or not, are merged into their layers and no others."""
    import comfy.model_management

    base = demo.experts[0]
    sparse = host.mixture.build.sparse_layer_names(base.model, "attn")
    key = f"diffusion_model.{sparse[3]}.weight"
    delta = torch.full_like(base.model.model.state_dict()[key], 0.5)
    for merged in (False, True):
        patched = base.model.clone()
        patched.add_patches({key: ("diff", (delta,))}, 2.0)
        if merged:
            comfy.model_management.load_models_gpu([patched])
        experts = copies(pack, base, 1).add(host.experts.load.expert_from_model(patched, base.clip, "lora"))
        turned = pack.emoe_core.experts.sets.ExpertSet(experts.experts[::-1])
        own = base.model.backup[key].weight if merged else base.model.model.state_dict()[key]
        for made, place in ((experts, 1), (turned, 0)):
            mixed = build(made, "dog\ncar")
            assert key not in mixed.network.model.patches
            layers = [mixed.network.model.object_patches[f"diffusion_model.{n}"].experts for n in sparse]
            assert torch.allclose(layers[3][place].weight, own + 1.0, atol=1e-6)
            assert torch.equal(layers[3][1 - place].weight, own)
            assert torch.equal(layers[2][0].weight, layers[2][1].weight)


def test_a_lora_finds_its_layers_while_the_mixture_is_loaded(demo: Any, mixture: Any) -> None:
    """Clones share one network, and the mixture's layers are in it: the base's weights must keep their names."""
    import comfy.lora
    import comfy.model_management

    base = demo.experts[0].model
    comfy.model_management.load_models_gpu([base])
    names, keys = list(base.model.state_dict()), comfy.lora.model_lora_keys_unet(base.model, {})
    comfy.model_management.load_models_gpu([mixture.network.model])
    assert list(base.model.state_dict()) == names
    assert comfy.lora.model_lora_keys_unet(base.model, {}) == keys
    feed_forward = [name for name in names if ".ff." in name]
    patches = {
        name: ("diff", (torch.ones(1),)) for name in (*feed_forward, f"diffusion_model.{mixture.names[0]}.weight")
    }
    assert sorted(base.clone().add_patches(patches)) == sorted(patches)
    assert base.get_key_patches().keys() == set(names)


def test_top_k_draws_no_gate_again_and_a_cancelled_build_goes_on(
    host: Any, build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management
    import comfy.samplers

    drawn: list[int] = []
    real = comfy.samplers.CFGGuider.sample

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 3 and "stop" in stop:
            comfy.model_management.interrupt_current_processing()
        return real(self, *args, **kwargs)

    stop = {"stop"}
    monkeypatch.setattr(comfy.samplers.CFGGuider, "sample", counted)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        build(seed=77)
    stop.clear()
    build(seed=77)
    assert len(drawn) == 3 + 2  # the two that were whole are not drawn again
    build(seed=77, top_k=3)
    assert len(drawn) == 5


def test_one_prompt_for_all_paths(host: Any, demo: Any, mixture: Any, score: Callable[..., Any]) -> None:
    """The mixture's own text encoder, by either node; each expert's own is another thing and refused."""
    own = score(mixture).report.score
    shared = host.prompts.conditioning.encode(mixture.network.clip, "sunflower")
    assert score(mixture, positive=shared).report.score == own
    with pytest.raises(Exception, match="encoded for other experts; connect the same EXPERTS"):
        score(mixture, positive=host.prompts.conditioning.encode_for_experts(demo, "sunflower"))


def test_a_node_that_replaces_the_networks_call_is_not_scored_as_agreement(
    mixture: Any, score: Callable[..., Any]
) -> None:
    """Without the separation all paths are the same and the score would be 0: an error instead."""
    model = mixture.network.model.clone()
    model.remove_wrappers_with_key("diffusion_model", "emoe_mixture")
    without = replace(mixture, network=replace(mixture.network, model=model))
    with pytest.raises(Exception, match="paths were not separated"):
        score(without)


def test_what_cannot_be_mixed_is_said(
    pack: ModuleType, host: Any, demo: Any, build: Callable[..., Any], mixture: Any, comfy_base: Path
) -> None:
    error = pack.emoe_core.errors.EMoEError
    one = pack.emoe_core.experts.sets.ExpertSet(demo.experts[:1])
    with pytest.raises(error, match="has 1 expert and a mixture needs two"):
        build(one, "a")
    with pytest.raises(error, match="top_k is 5 and there are 4"):
        build(top_k=5)
    with pytest.raises(error, match="positive_prompts has 2 lines and there are 4"):
        build(prompts="a\nb")
    with pytest.raises(error, match="choose attn, ff, all"):
        build(layers="most")
    with pytest.raises(error, match="gate_steps is 0"):
        build(steps=0)
    with pytest.raises(error, match="a mixture already"):
        build(mixture)
    with pytest.raises(error, match="cannot be added to a mixture"):
        mixture.add(demo.experts[0])
    folder = comfy_base / "models" / "checkpoints"
    files = [make_sd15(folder / f"mix_{seed}.safetensors", seed) for seed in (1, 2)]
    strangers = host.experts.load.load_experts([file.name for file in files])
    with pytest.raises(error, match="do not descend from one base"):
        build(strangers, "a\nb")
    with pytest.raises(error, match="of one model family"):
        pack.emoe_core.experts.sets.ExpertSet(demo.experts[:1]).add(strangers.experts[0])
    related = copies(pack, strangers.experts[0], 2)
    with pytest.raises(error, match="no text encoder for the gates"):
        build(related, "a\nb")
    v = replace(demo.experts[1], prediction="V_PREDICTION")
    with pytest.raises(error, match="predict different things"):
        build(pack.emoe_core.experts.sets.ExpertSet((demo.experts[0], v)), "a\nb")


class Text:
    """A CLIP that gives random encodings of SDXL's sizes."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list[list[Any]]:
        generator = torch.Generator().manual_seed(len(text))
        pooled = torch.randn(1, 1280, generator=generator)
        return [[torch.randn(1, 77, 2048, generator=generator), {"pooled_output": pooled}]]


@pytest.fixture
def sdxl(host: Any, comfy_base: Path) -> Iterator[Any]:
    folder = comfy_base / "models" / "checkpoints"
    base = make_sdxl(folder / "xl.safetensors", 0)
    other = make_sdxl(folder / "xl2.safetensors", 1, base=base, delta=0.2)
    loaded = host.experts.load.load_experts([base.name, other.name])
    made = replace(
        loaded, experts=tuple(replace(expert, clip=Text(), clip_identity="stub") for expert in loaded.experts)
    )
    yield made
    base.unlink()
    other.unlink()


def test_sdxl_mixes_too(sdxl: Any, build: Callable[..., Any], score: Callable[..., Any]) -> None:
    mixed = build(sdxl, "a\nbc", layers="all", steps=1)
    assert all("transformer_blocks" in name and "middle" not in name for name in mixed.names)
    report = score(mixed, positive=Text().encode_from_tokens_scheduled("prompt")).report
    assert report.score > 0 and sum(report.routing.load) == pytest.approx(1, abs=1e-4)


def test_the_node_builds_and_gives_the_model(node_classes: dict[str, Any], demo: Any) -> None:
    inputs = {
        "experts": demo,
        "positive_prompts": PROMPTS,
        "negative_prompts": "blurred",
        "latent_image": latent(),
        "layers": "attn",
        "top_k": 1,
        "gate_steps": 2,
        "gate_cfg": 4.0,
        "gate_seed": 0,
        "clip": demo.experts[1].clip,
    }
    experts, model = node_classes["EMoE_BuildMixture"].execute(**inputs).args
    assert model is experts.network.model and experts.network.clip is demo.experts[1].clip
    assert [expert.name for expert in experts.experts] == [expert.name for expert in demo.experts]
    assert experts.top_k == 1


def test_diagnostics_know_the_experts_of_a_mixture(host: Any, mixture: Any) -> None:
    found = host.diagnosing.look_at(mixture, "sunflower", latent(), None)
    assert found.kin.effective.value > 3.9 and not found.kin.copies and found.distance is not None
    assert found.answers is None and found.findings == ()  # the paths answer together
