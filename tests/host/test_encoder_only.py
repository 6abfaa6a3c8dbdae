"""Experts without a decoder: the same numbers and the same identity as whole ones, from a part of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.cards import Device, plugged, unplugged
from emoe_testing.checkpoints import make_sd15
from emoe_testing.scoring import latent, prompt, score_prompt

FAMILIES = ("sd15", "bf16", "fp8", "fp32", "xl", "sd2", "sd2_v", "inpainting")


@pytest.fixture(scope="module")
def load(host: Any, stand_in: Callable[[str], str]) -> Callable[..., Any]:
    def one(name: str, part: bool = True) -> Any:
        return host.experts.load.load_expert(stand_in(name), part)

    return one


@pytest.fixture
def score(pack: ModuleType, host: Any) -> Callable[..., Any]:
    """`score(experts, preset)`: scored by a prompt made for the first expert's family."""

    def run(experts: list[Any], preset: str = "fast", positive: Any = None, **changes: Any) -> Any:
        chosen = pack.emoe_core.scoring.presets.PRESETS[preset]
        plain: dict[str, Any] = {"tap": chosen.tap, "estimator": chosen.estimator, "noise_seed": 5}
        made = pack.emoe_core.experts.sets.ExpertSet()
        for expert in experts:
            made = made.add(expert)
        width = experts[0].model.model.model_config.unet_config["context_dim"]
        positive = positive or prompt(width)
        if chosen.estimator.startswith("centred"):
            plain["empty_prompt"] = prompt(width, 1)
        return score_prompt(host, made, positive, latent(), **plain, **changes).report

    return run


@pytest.fixture
def bytes_read() -> Callable[[], int]:
    """Bytes that this process asked the system for so far, by any means but memory maps (Linux)."""
    return lambda: int(Path("/proc/self/io").read_text().split()[1])


def stock(path: str, host: Any) -> Any:
    """CheckpointLoaderSimple's road, then Add Expert's."""
    import comfy.sd
    import folder_paths

    whole = folder_paths.get_full_path_or_raise("checkpoints", path)
    model = comfy.sd.load_checkpoint_guess_config(whole, output_vae=False, output_clip=False)[0]
    return host.experts.load.expert_from_model(model, None, "stock")


@pytest.mark.parametrize("name", FAMILIES)
def test_one_identity_by_every_road_and_no_decoder_in_memory(
    name: str, host: Any, load: Callable[..., Any], stand_in: Callable[[str], str]
) -> None:
    part, whole, by_stock = load(name), load(name, False), stock(stand_in(name), host)
    assert host.experts.partial.decoder_of(part.model) and not host.experts.partial.decoder_of(whole.model)
    assert part.identity == whole.identity == by_stock.identity
    assert part.signature.digest == whole.signature.digest and part.signature.layout == whole.signature.layout
    assert (part.signature.rows == whole.signature.rows).all()
    assert (part.family, part.prediction, part.dtype) == (whole.family, whole.prediction, whole.dtype)
    weights, all_weights = (dict(e.model.model.diffusion_model.named_parameters()) for e in (part, whole))
    left_out = {n for n in all_weights if n.startswith(("output_blocks.", "out."))}
    assert left_out and set(weights) == set(all_weights) - left_out
    assert all(torch.equal(weights[n], all_weights[n]) for n in weights)
    # what the host believes the model to weigh is what it weighs
    in_memory = sum(t.numel() * t.element_size() for t in part.model.model.state_dict().values())
    missing = sum(all_weights[n].numel() * all_weights[n].element_size() for n in left_out)
    assert part.model.model_size() == in_memory == whole.model.model_size() - missing


def test_the_diffusion_models_folder(host: Any, load: Callable[..., Any]) -> None:
    part, whole = load("bare"), load("bare", False)
    assert host.experts.partial.decoder_of(part.model) and part.clip is None
    assert part.identity == whole.identity == load("sd15").identity  # the same weights under other names


@pytest.mark.parametrize("name", ["sd15", "xl", "inpainting"])
def test_the_same_score_for_every_preset(
    name: str, pack: ModuleType, host: Any, load: Callable[..., Any], score: Callable[..., Any]
) -> None:
    """Two experts: this one, and a copy with one weight of the middle block moved, so that there is a score at all."""

    def two(part: bool) -> list[Any]:
        first, second = load(name, part), load(name, part)
        key = "diffusion_model.middle_block.2.out_layers.3.bias"
        moved = second.model.clone()
        moved.add_patches({key: (torch.linspace(-1, 1, 320),)}, 1.0)
        return [first, host.experts.load.expert_from_model(moved, None, "moved")]

    parts, wholes = two(True), two(False)
    for preset in ("fast", "thorough", "layout", "paper"):
        a, b = (score(experts, preset, noise_samples=1) for experts in (parts, wholes))
        assert a.settings == b.settings  # what a calibration is held against, identities included
        assert a.items == b.items and a.score > 0
        # the decoder comes for the preset that needs it, and stays
        assert [host.experts.partial.decoder_of(e.model) is not None for e in parts] == [preset == "fast"] * 2
    sizes = [e.model.model_size() for e in (*parts, *wholes)]
    assert len(set(sizes)) == 1


def test_only_the_bytes_that_are_needed_are_read(
    load: Callable[..., Any], score: Callable[..., Any], stand_in: Callable[[str], str], bytes_read: Callable[[], int]
) -> None:
    import folder_paths

    load("sd15")  # whatever is read once per process is read now
    size = Path(folder_paths.get_full_path_or_raise("checkpoints", stand_in("sd15"))).stat().st_size
    before = bytes_read()
    part = load("sd15")
    encoder = 2 * sum(p.numel() for p in part.model.model.parameters())  # fp16 in the file
    assert encoder < bytes_read() - before < 0.4 * size
    experts = [part, load("other")]
    first = score(experts)
    before = bytes_read()
    assert score(experts) == first and bytes_read() - before < encoder / 100
    assert part.clip.get_models() == []  # the text encoder was never asked for


def test_the_text_encoder_is_read_when_a_text_is_encoded(
    host: Any, load: Callable[..., Any], score: Callable[..., Any]
) -> None:
    part, whole = load("sd15"), load("sd15", False)
    texts = [host.prompts.conditioning.encode(expert.clip, "a red fox") for expert in (part, whole)]
    assert torch.equal(texts[0][0][0], texts[1][0][0])
    assert part.text_encoder_identity() == whole.text_encoder_identity() == whole.clip_identity
    parts, wholes = [part, load("other")], [whole, load("other", False)]
    reports = [
        score(e, positive=host.prompts.conditioning.encode_for_experts(_as_set(host, e), "a red fox"))
        for e in (parts, wholes)
    ]
    assert reports[0].settings == reports[1].settings and reports[0].items == reports[1].items


def _as_set(host: Any, experts: list[Any]) -> Any:
    made = host.experts.load.ExpertSet()
    for expert in experts:
        made = made.add(expert)
    return made


def test_running_past_the_tap_says_what_to_do(pack: ModuleType, load: Callable[..., Any]) -> None:
    import comfy.sample

    latent = torch.zeros(1, 4, 8, 8)
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="loaded encoder only.*set 'load' of Load Experts"):
        comfy.sample.sample(
            load("sd15").model, latent, 1, 1.0, "euler", "normal", prompt(768), prompt(768), latent, disable_pbar=True
        )


def test_a_file_that_changed_or_went_is_said_when_the_decoder_is_wanted(
    pack: ModuleType, host: Any, comfy_base: Path, score: Callable[..., Any]
) -> None:
    path = make_sd15(comfy_base / "models" / "checkpoints" / "passing.safetensors", 7)
    wrong = pack.emoe_core.errors.EMoEError
    experts = [host.experts.load.load_expert(path.name, True) for _ in range(2)]
    make_sd15(path, 8)
    with pytest.raises(wrong, match="'passing.safetensors' was changed since its encoder was read; run Load Experts"):
        score(experts, "thorough")
    path.unlink()
    with pytest.raises(wrong, match="'passing.safetensors' cannot be read, since the file is gone"):
        score(experts, "thorough")
    assert score(experts).score == 0  # the encoders are still there


def test_damaged_files_are_refused_as_for_whole_ones(pack: ModuleType, host: Any, comfy_base: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, wrong = comfy_base / "models" / "checkpoints", pack.emoe_core.errors.EMoEError
    good = make_sd15(folder / "good.safetensors", 0)
    (folder / "part_cut.safetensors").write_bytes(good.read_bytes()[:100_000])
    (folder / "part_short.safetensors").write_bytes(good.read_bytes()[:-1])
    (folder / "part_text.safetensors").write_text("not a model at all")
    (folder / "part_empty.safetensors").write_bytes(b"")
    (folder / "part_pickle.ckpt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    save_file({"a": torch.zeros(2)}, folder / "part_other.safetensors")
    narrow = load_file(good)
    narrow["model.diffusion_model.middle_block.0.in_layers.2.weight"] = torch.zeros(320, 8, 3, 3)
    save_file(narrow, folder / "part_narrow.safetensors")
    names = ("cut.safetensors", "short.safetensors", "text.safetensors", "empty.safetensors", "pickle.ckpt")
    for name in (*names, "other.safetensors", "narrow.safetensors", "missing.safetensors"):
        with pytest.raises(wrong) as error:
            host.experts.load.load_expert(f"part_{name}", True)
        assert f"'part_{name}'" in str(error.value) and "\n" not in str(error.value)


def test_what_cannot_be_split_is_loaded_whole(
    host: Any, comfy_base: Path, load: Callable[..., Any], stand_in: Callable[[str], str]
) -> None:
    """A pickle with nothing but tensors in it."""
    from safetensors.torch import load_file

    folder = comfy_base / "models" / "checkpoints"
    torch.save({"state_dict": load_file(folder / stand_in("other"))}, folder / "tensors.ckpt")
    made = host.experts.load.load_expert("tensors.ckpt", True)
    assert not host.experts.partial.decoder_of(made.model)
    assert made.identity == load("other").identity


def test_an_interrupt_while_reading_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch, host: Any, load: Callable[..., Any], score: Callable[..., Any]
) -> None:
    import comfy.model_management as management

    expected = score([load("sd15", False), load("other", False)], "thorough")
    experts = [load("sd15"), load("other")]
    read, counted = host.experts.partial.WeightsFile.read, []

    def stop_at_fifth(file: Any, name: str) -> Any:
        counted.append(name)
        if len(counted) == 5:
            management.interrupt_current_processing()
        return read(file, name)

    with monkeypatch.context() as patch, pytest.raises(management.InterruptProcessingException):
        patch.setattr(host.experts.partial.WeightsFile, "read", stop_at_fifth)
        score(experts, "thorough")
    assert all(host.experts.partial.decoder_of(expert.model) for expert in experts)
    assert score(experts, "thorough").items == expected.items
    counted.clear()
    with monkeypatch.context() as patch, pytest.raises(management.InterruptProcessingException):
        patch.setattr(host.experts.partial.WeightsFile, "read", stop_at_fifth)
        load("sd15")
    assert score([load("sd15"), load("other")], "thorough").items == expected.items


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Any], Device]]:
    """`card(size, vram_state)`: from now on models are loaded to it."""
    yield lambda size, state: plugged(monkeypatch, size, state)
    unplugged()


@pytest.mark.parametrize("state", ["LOW_VRAM", "NO_VRAM"])
def test_eight_experts_with_memory_for_two(
    state: str,
    monkeypatch: pytest.MonkeyPatch,
    card: Callable[[int, Any], Device],
    load: Callable[..., Any],
    score: Callable[..., Any],
) -> None:
    """Without the limit and with it: the same numbers, and never more loaded than there is room for."""
    import comfy.model_management as management

    names = ("sd15", "other", "bf16", "fp32") * 2
    free = score([load(name) for name in names])
    size = load("sd15").model.model_size()
    made = card(int(size * 2.5), management.VRAMState[state])
    experts = [load(name) for name in names]
    assert {expert.model.load_device for expert in experts} == {made.device}
    limited = score(experts)
    assert limited.settings == free.settings and limited.items == free.items
    loaded = [m for m in management.current_loaded_models if m.device == made.device]
    assert made.most <= made.size and sum(m.model_loaded_memory() for m in loaded) <= made.size
    assert made.most < size / 10 if state == "NO_VRAM" else made.most >= size
