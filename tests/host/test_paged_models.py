"""Models as newer hosts load them on a graphics card: layers without weights until a file is read into them, weights in
the file's types, and pages of the card that a layer's weights are copied to when it is called.

The host's own loaders and its `ModelPatcherDynamic` run here, on the CPU under another name. What they ask of a graphics
card's driver is stood in for: pages are numbers that nothing is copied to, so a layer computes with its weights where they
lie, and of weight patches only those of small layers, which the host loads whole, are seen. On a host that knows one kind of
loading the same must hold for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.scoring import score_prompt

CARD = torch.device("cpu", 0)
SIZE = 16
HOW: dict[str, Any] = {"estimator": "variance", "noise_seed": 5}


class Pages:
    """Stands for the pages of a graphics card (`ModelVBAR`): gives each layer a place of its own."""

    def __init__(self, *_: Any) -> None:
        self.given = 0

    def alloc(self, size: int) -> tuple[Pages, int, int]:
        place = (self, self.given, size)
        self.given += size
        return place

    def prioritize(self) -> None:
        pass

    def unpin(self, *_: Any) -> None:
        pass

    def loaded_size(self) -> int:
        return 0

    def free_memory(self, _: int) -> int:
        return 0


class Pinned:
    """Stands for pinned memory (`HostBuffer`), of which nothing is used."""

    def __init__(self, *_: Any) -> None:
        self.size = 0

    def truncate(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture
def card(host: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """From now on models are loaded to a graphics card; whether the host pages their weights there."""
    import comfy.model_management as management
    import comfy.model_patcher as patchers
    import comfy.utils

    management.unload_all_models()

    def plenty(device: Any = None, torch_free_too: bool = False) -> Any:
        return (1 << 40, 0) if torch_free_too else 1 << 40

    for name in ("get_torch_device", "text_encoder_device"):
        monkeypatch.setattr(management, name, lambda: CARD)
    monkeypatch.setattr(management, "is_device_cpu", lambda device: device == torch.device("cpu"))
    monkeypatch.setattr(management, "get_free_memory", plenty)
    monkeypatch.setattr(management, "vram_state", management.VRAMState.NORMAL_VRAM)
    paged = getattr(patchers, "ModelPatcherDynamic", None)
    if paged is not None:  # what the host's main.py sets when it finds a card, and what it calls in the card's driver
        import comfy.memory_management as memory
        import comfy_aimdo.host_buffer
        import comfy_aimdo.model_vbar

        monkeypatch.setattr(patchers, "CoreModelPatcher", paged)
        monkeypatch.setattr(memory, "aimdo_enabled", True)
        monkeypatch.setattr(comfy_aimdo.host_buffer, "HostBuffer", Pinned)
        monkeypatch.setattr(comfy_aimdo.model_vbar, "ModelVBAR", Pages)
        monkeypatch.setattr(comfy.utils, "load_safetensors", mapped)
    yield paged is not None
    for loaded in list(management.current_loaded_models):
        if loaded.model is not None:  # the model itself may be gone by now
            loaded.model_unload()
    management.current_loaded_models.clear()


def mapped(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A file's tensors and its metadata, as the host's own reading of mapped files gives them."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def draw(model: Any, clip: Any) -> torch.Tensor:
    """What stock KSampler makes of a sunflower."""
    import nodes

    (yes,), (no,) = (nodes.CLIPTextEncode().encode(clip, text) for text in ("sunflower", ""))
    latent = {"samples": torch.zeros(1, 4, SIZE, SIZE)}
    return nodes.KSampler().sample(model, 5, 2, 4.0, "euler", "normal", yes, no, latent)[0]["samples"]


def score(host: Any, experts: Any, positive: Any = None, size: int = SIZE, **changes: Any) -> Any:
    positive = positive or host.prompts.conditioning.encode_for_experts(experts, "sunflower")
    latent = {"samples": torch.zeros(1, 4, size, size)}
    return score_prompt(host, experts, positive, latent, **HOW | changes).report


def is_paged(patcher: Any) -> bool:
    return bool(getattr(patcher, "is_dynamic", bool)())


def weights_of(module: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def test_demo_experts_are_the_same_on_a_card(host: Any, card: bool) -> None:
    """Identity, pictures and scores, from a host that has loaded them the ordinary way, and from one that pages them."""
    experts = host.experts.demo_set.embedded_experts()
    first = experts.experts[0]
    assert is_paged(first.model) == is_paged(first.clip.patcher) == card
    assert first.model.load_device == first.clip.patcher.load_device == CARD
    assert not any(weight.is_meta for weight in first.clip.cond_stage_model.parameters())
    assert len(experts.calibrations) > 0  # those that were made for just these weights
    function, arguments = first.model.cached_patcher_init[:2]
    ordinary = function(*arguments, disable_dynamic=True)
    assert not is_paged(ordinary)
    assert torch.equal(draw(first.model, first.clip), draw(ordinary, first.clip))
    function, arguments = first.clip.patcher.cached_patcher_init[:2]
    text = function(*arguments, disable_dynamic=True)
    assert not is_paged(text)
    own = weights_of(first.clip.cond_stage_model)
    assert own.keys() == weights_of(text.model).keys()
    assert all(torch.equal(own[name], weight) for name, weight in text.model.named_parameters())
    report = score(host, experts, tap="mid_out")
    assert report.score > 0 and score(host, experts, tap="mid_out") == report


def test_a_torn_demo_file_is_refused_on_a_card(pack: ModuleType, host: Any, card: bool, tmp_path: Any) -> None:
    """A host that pages fills what a file lacks with zeros, without a word."""
    from safetensors.torch import load_file, save_file

    path = pack.emoe_core.demo.expert_files()[0]
    whole, (_, about) = load_file(path), mapped(str(path))
    for lacking in (
        "model.diffusion_model.out.2.bias",
        "model.diffusion_model.time_embed.0.weight",
        next(name for name in whole if name.endswith("token_embedding.weight")),
        next(name for name in whole if name.endswith("mlp.fc1.bias")),
    ):
        save_file({name: value for name, value in whole.items() if name != lacking}, tmp_path / path.name, about)
        with pytest.raises(pack.emoe_core.errors.EMoEError, match="lacks 1 weights"):
            host.experts.demo.load_demo_expert(tmp_path / path.name)


@pytest.mark.parametrize("name", ["sd15", "bf16", "fp32", "xl"])
def test_an_encoder_alone_is_the_whole_expert_on_a_card(
    name: str, host: Any, card: bool, stand_in: Callable[[str], str]
) -> None:
    """Types, weights and identity, before and after the decoder came; and the model that the host loads once more."""
    part, whole = (host.experts.load.load_expert(stand_in(name), only) for only in (True, False))
    assert is_paged(part.model) == is_paged(whole.model) == card
    assert part.identity == whole.identity and part.signature.digest == whole.signature.digest
    own, every = (expert.model.model.diffusion_model for expert in (part, whole))
    assert 0 < len(weights_of(own)) < len(weights_of(every))
    function, arguments = part.model.cached_patcher_init[:2]

    def same(network: Any) -> bool:
        theirs = dict(every.named_parameters())
        return all(w.dtype == theirs[n].dtype and torch.equal(w, theirs[n]) for n, w in network.named_parameters())

    assert same(own)
    again = function(*arguments, disable_dynamic=True)
    assert not is_paged(again) and host.experts.partial.decoder_of(again)
    host.experts.partial.complete(part.model)
    assert len(weights_of(own)) == len(weights_of(every)) and same(own)
    assert part.model.model_size() == whole.model.model_size()
    again = function(*arguments, disable_dynamic=True)
    assert len(weights_of(again.model.diffusion_model)) == len(weights_of(every))


def prompt(width: int = 768) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(1, 77, width, generator=generator), {"pooled_output": torch.zeros(1, 1280)}]]


def test_a_decoder_comes_into_a_loaded_model(
    pack: ModuleType, host: Any, card: bool, stand_in: Callable[[str], str]
) -> None:
    """The preset that needs it after the one that does not: the scores of whole experts."""
    scores = []
    for part in (True, False):
        experts = host.experts.load.ExpertSet()
        for name in ("sd15", "other"):
            experts = experts.add(host.experts.load.load_expert(stand_in(name), part))
        scores.append(
            [score(host, experts, prompt(), 8, tap=tap).score for tap in ("mid_out", "noise_pred", "mid_out")]
        )
        assert scores[-1][0] == scores[-1][2] > 0
    assert scores[0] == scores[1]


def test_a_prompt_with_hooks_is_scored_on_a_card(host: Any, card: bool, stand_in: Callable[[str], str]) -> None:
    """A host that pages asks for the model once more, loaded the ordinary way, with or without its decoder."""
    import comfy.hooks

    plain = prompt()
    hooked = [[tensor, {**options, "hooks": comfy.hooks.HookGroup()}] for tensor, options in plain]
    experts = host.experts.load.ExpertSet()
    for name in ("sd15", "other"):
        experts = experts.add(host.experts.load.load_expert(stand_in(name), True))
    for tap in ("mid_out", "noise_pred"):
        first, second = (score(host, experts, positive, 8, tap=tap) for positive in (plain, hooked))
        assert first.items[0].score == pytest.approx(second.items[0].score, rel=1e-6)


def test_what_was_fetched_ahead_is_forgotten_where_the_network_is_left_early(host: Any, card: bool) -> None:
    """A layer that was fetched and not called would be taken for fetched by the next call, with whatever lies there then."""
    experts = host.experts.demo_set.embedded_experts()
    layer = experts.experts[0].model.get_model_object("diffusion_model.output_blocks.0.0.in_layers.2")
    ahead = getattr(host.experts.patchers.model_prefetch, "PREFETCH_QUEUES", [])
    for tap, left in (("noise_pred", False), ("mid_out", True)):
        layer._prefetch = {"signature": None}  # as the host's queue leaves it
        ahead.append([(None, (None, [layer]))])
        expected = score(host, experts, tap=tap)
        assert hasattr(layer, "_prefetch") is not (left and host.experts.patchers.model_prefetch is not None)
        vars(layer).pop("_prefetch", None)
        ahead.clear()
        ahead = getattr(host.experts.patchers.model_prefetch, "PREFETCH_QUEUES", [])
        assert score(host, experts, tap=tap) == expected


def mixture_of(host: Any, experts: Any) -> Any:
    prompts = "\n".join(["sunflower", "dog", "car", "house"][: len(experts)])
    latent = {"samples": torch.zeros(1, 4, SIZE, SIZE)}
    how = {"layers": "all", "top_k": 2, "steps": 2, "cfg": 4.0, "seed": 0}
    return host.mixture.build.build_mixture(experts, prompts, "", latent, **how)


def test_a_mixture_and_its_base_take_turns_on_a_card(host: Any, card: bool) -> None:
    """Each draws what it drew, and no weight of the base is lost or moved to another layer's name."""
    import comfy.model_management as management

    experts = host.experts.demo_set.embedded_experts()
    base, clip = experts.experts[0].model, experts.experts[0].clip
    before = weights_of(base.model.diffusion_model)
    patched = base.clone()
    places = [name for name in before if name.endswith(("attn1.to_q.weight", "time_embed.0.bias"))]
    patched.add_patches({f"diffusion_model.{n}": ("diff", (torch.full_like(before[n], 0.2),)) for n in places})
    mixed = mixture_of(host, experts)
    network = mixed.network.model
    first = [draw(model, clip) for model in (base, patched, network)]
    assert all(float((first[0] - other).abs().max()) > 1e-3 for other in first[1:])
    for order in ((0, 2, 1, 2), (1, 2, 0), (2, 1, 0)):
        for which in order:
            assert torch.equal(draw((base, patched, network)[which], clip), first[which])
    management.unload_all_models()
    after = weights_of(base.model.diffusion_model)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert base.backup == {}
    assert mixed.experts[0].identity == mixture_of(host, experts).experts[0].identity


def test_a_mixtures_layers_are_loaded_for_themselves(host: Any, card: bool) -> None:
    """No layer has the place of another on the card, or anything else from the loading of the layer it was made like."""
    import comfy.model_management as management

    def places(model: Any) -> list[tuple[int, int]]:
        found = [vars(module)["_v"] for module in model.model.modules() if "_v" in vars(module)]
        return [(id(pages), start) for pages, start, _ in found]

    experts = host.experts.demo_set.embedded_experts()
    fresh = host.experts.demo_set.embedded_experts().experts[0].model
    for expert in experts.experts:
        management.load_models_gpu([expert.model])
    assert bool(places(experts.experts[0].model)) == card
    mixed = mixture_of(host, experts)
    network = mixed.network.model
    (weights,) = network.get_nested_additional_models()
    assert is_paged(weights) == card
    for name in mixed.names:
        plain = fresh.get_model_object(f"diffusion_model.{name}")
        for layer in network.object_patches[f"diffusion_model.{name}"].experts:
            for part, like in zip(layer.modules(), plain.modules(), strict=True):
                assert set(vars(part)) - {"comfy_cast_weights"} == set(vars(like)) - {"comfy_cast_weights"}
    management.load_models_gpu([network, weights])
    taken = [*places(weights), *places(experts.experts[0].model)]
    assert len(set(taken)) == len(taken) and bool(places(weights)) == card


def test_the_host_finds_every_model_of_the_experts(host: Any, card: bool, stand_in: Callable[[str], str]) -> None:
    """Its tracker of what the running prompt has in use, where there is one, and its question that it is asked by."""
    import comfy.model_patcher

    demo = host.experts.demo_set.embedded_experts()
    mixed = mixture_of(host, demo)
    lazy = host.experts.load.ExpertSet().add(host.experts.load.load_expert(stand_in("sd15"), True))
    every = [part for expert in demo.experts for part in (expert.model, expert.clip.patcher)]
    (weights,) = mixed.network.model.get_nested_additional_models()
    wanted = {
        demo: every,
        mixed: [mixed.network.model, weights, mixed.network.clip.patcher],
        lazy: [lazy.experts[0].model],
        host.experts.load.ExpertSet(): [],
    }
    for experts, models in wanted.items():
        assert set(map(id, experts.get_models())) == set(map(id, models))
        assert len(experts.get_models()) == len(models)
        assert experts.patcher is (models[0] if models else None)
    assert lazy.experts[0].clip.get_models() == []  # asking reads no text encoder
    text = lazy.experts[0].clip.patcher
    assert lazy.get_models()[-1] is text
    tracker = getattr(comfy.model_patcher, "PromptModelTracker", None)
    if tracker is not None:
        running = tracker()
        running.add([demo])  # as the executor gives it what comes along a link
        assert {id(model.model) for model in running.models.values()} == {id(model.model) for model in every}
        assert all(model.model.dynamic_pins[CARD]["current_prompt"] for model in every)
        running.end()
        assert not any(model.model.dynamic_pins[CARD]["current_prompt"] for model in every)
        running.add([mixed])
        assert id(weights.model) in {id(model.model) for model in running.models.values()}
        running.end()


def test_the_contract_holds_on_a_card(host: Any, card: bool) -> None:
    """Also where linear layers have no weights before a file is read into them."""
    import os
    from importlib import import_module
    from pathlib import Path

    contract = import_module(f"{host.__name__}.contract.entries")
    assert contract.broken(contract.Host(Path(os.environ["COMFYUI_PATH"]))) == {}
