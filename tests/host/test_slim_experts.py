"""Slim experts: the first file whole, of the others the difference in two bits per number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing.checkpoints import make_sd15
from emoe_testing.scoring import latent, prompt, score_prompt, score_prompts
from safetensors.torch import load_file, save_file

KEY = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
NORM = "diffusion_model.middle_block.0.in_layers.0.weight"
FILE = "model."
TEXT = "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def folder(comfyui: Path) -> Path:
    import folder_paths

    return Path(folder_paths.get_folder_paths("checkpoints")[0]) / "slim"


@pytest.fixture(scope="module")
def names(folder: Path) -> list[str]:
    """Three fine-tunes of one base; the second one's text encoder differs from the others'."""
    base = make_sd15(folder / "a.safetensors", 0, text_encoder=True)
    for seed, name in enumerate("bc", 1):
        make_sd15(folder / f"{name}.safetensors", seed, base=base, delta=0.1, text_encoder=True)
    changed(folder, "b", "b", {TEXT: 0.1, FILE + NORM: 0.1})
    return [f"slim/{name}.safetensors" for name in "abc"]


def changed(folder: Path, source: str, target: str, by: dict[str, float]) -> str:
    """A copy of a file with some weights moved by a multiple of their spread, or made NaN."""
    weights = load_file(folder / f"{source}.safetensors")
    for name, amount in by.items():
        noise = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(1))
        weights[name] = (weights[name] + amount * noise * max(0.1, float(weights[name].float().std()))).half()
    save_file(weights, folder / f"{target}.safetensors")
    return f"slim/{target}.safetensors"


@pytest.fixture(scope="module")
def load(host: Any) -> Callable[..., Any]:
    return lambda names, how="slim": host.experts.load.load_experts(list(names), how)


@pytest.fixture(scope="module")
def slim(names: list[str], load: Callable[..., Any]) -> Any:
    return load(names)


@pytest.fixture(scope="module")
def whole(names: list[str], load: Callable[..., Any]) -> Any:
    return load(names, "whole")


def merged(expert: Any, key: str) -> torch.Tensor:
    """A weight as the host makes it for a run."""
    import comfy.lora
    import comfy.model_management

    comfy.model_management.unload_all_models()  # of the clones that share this weight, one may be merged into it
    weight = expert.model.model.state_dict()[key].float()
    patches = expert.model.patches.get(key, [])
    return comfy.lora.calculate_weight(patches, weight.clone(), key) if patches else weight


def scores(host: Any, experts: Any, seeds: range, tap: str, estimator: str) -> list[float]:
    encoded = [prompt(768, seed) for seed in seeds]
    how = {"tap": tap, "estimator": estimator, "noise_samples": 1, "empty_prompt": prompt(768, 99)}
    return [one.report.score for one in score_prompts(host, experts, encoded, latent(), **how)]


def test_one_network_and_a_share_of_each_difference(slim: Any, folder: Path, host: Any) -> None:
    first, *others = slim.experts
    assert all(expert.model.model is first.model.model for expert in others) and not first.model.patches
    before = load_file(folder / "a.safetensors")[FILE + KEY].float()
    for name, expert in zip("bc", others, strict=True):
        true = load_file(folder / f"{name}.safetensors")
        left = (merged(expert, KEY) - true[FILE + KEY].float()).square().sum()
        assert left / (true[FILE + KEY].float() - before).square().sum() < 0.13
        assert torch.allclose(merged(expert, NORM), true[FILE + NORM].float(), atol=1e-6)  # what is few stays exact
        held = host.experts.slim.held({key: patches[0][1] for key, patches in expert.model.patches.items()})
        assert held < 0.14 * first.model.model_size()


def test_the_score_is_nearly_that_of_whole_experts(slim: Any, whole: Any, host: Any) -> None:
    for tap, estimator in (("mid_out", "relative"), ("noise_pred", "centred_layout")):
        near, full = (scores(host, experts, range(4), tap, estimator) for experts in (slim, whole))
        assert near == pytest.approx(full, rel=0.15)
        assert near != full
        assert [near.index(one) for one in sorted(near)] == [full.index(one) for one in sorted(full)]


def test_alone_in_a_list_again_and_loaded_again(slim: Any, names: list[str], load: Any, host: Any) -> None:
    listed = scores(host, slim, range(2), "mid_out", "relative")
    how = {"tap": "mid_out", "estimator": "relative", "noise_samples": 1}
    assert score_prompt(host, slim, prompt(768, 1), latent(), **how).report.score == listed[1]
    again = load(names)
    assert scores(host, again, range(2), "mid_out", "relative") == listed
    assert [one.identity for one in again.experts] == [one.identity for one in slim.experts]


def test_another_setting_to_a_calibration(slim: Any, whole: Any) -> None:
    assert slim.experts[0].identity == whole.experts[0].identity
    assert len({one.identity for one in (*slim.experts, *whole.experts)}) == 5
    assert [one.name for one in slim.experts] == [one.name for one in whole.experts]
    assert all("slim" in one.file for one in slim.experts[1:])


def test_the_first_expert_draws_as_before(slim: Any, host: Any) -> None:
    import comfy.model_management

    comfy.model_management.unload_all_models()
    model = slim.experts[0].model
    before = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    scores(host, slim, range(1), "noise_pred", "centred_layout")
    comfy.model_management.unload_all_models()
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.state_dict().items())


def test_text_encoders_differ_where_the_files_do(names: list[str], load: Any, host: Any) -> None:
    experts = load(names).experts
    assert [expert.clip.get_models() for expert in experts[1:]] == [[], []]  # not read before they are used
    encoded = [expert.clip.encode_from_tokens_scheduled(expert.clip.tokenize("cat"))[0][0] for expert in experts]
    true = [
        expert.clip.encode_from_tokens_scheduled(expert.clip.tokenize("cat"))[0][0]
        for expert in load(names, "whole").experts
    ]
    assert not torch.equal(encoded[0], encoded[1]) and torch.equal(encoded[0], encoded[2])
    moved = (true[1] - true[0]).square().mean()
    assert (encoded[1] - true[1]).square().mean() < 0.3 * moved
    assert len(experts[1].clip.patcher.patches) == 1 and not experts[2].clip.patcher.patches
    assert experts[2].text_encoder_identity() == experts[0].text_encoder_identity()


@pytest.mark.parametrize("kind", ["bf16", "fp32", "fp8"])
def test_files_of_other_precision(kind: str, stand_in: Callable[[str], str], load: Any, host: Any) -> None:
    found, full = (load([stand_in("sd15"), stand_in(kind)], how) for how in ("slim", "whole"))
    near, true = (scores(host, experts, range(2), "mid_out", "relative") for experts in (found, full))
    assert near == pytest.approx(true, rel=0.2)


def test_a_file_beside_itself_holds_nothing(names: list[str], load: Any) -> None:
    first, second = load([names[0], names[0]]).experts
    assert not second.model.patches and second.identity == first.identity


def test_files_of_the_diffusion_models_folder(stand_in: Callable[[str], str], load: Any) -> None:
    first, bare = load([stand_in("sd15"), stand_in("bare")]).experts
    assert not bare.model.patches and bare.clip is None


def test_through_the_node(names: list[str], pack: ModuleType) -> None:
    node = pack.nodes.experts.LoadExperts
    (experts,) = node.execute(load="slim", expert_1=names[0], expert_2=names[1], expert_3="none").args
    assert len(experts) == 2 and experts.experts[1].model.model is experts.experts[0].model.model


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("sd15", "xl", "another network"),
        ("sd15", "inpainting", "another network"),
        ("xl", "xl_v", "predicts something else"),
    ],
)
def test_what_is_no_relative_is_refused(first: str, second: str, says: str, stand_in: Any, load: Any) -> None:
    with pytest.raises(Exception, match=says) as caught:
        load([stand_in(first), stand_in(second)])
    assert type(caught.value).__name__ == "EMoEError" and str(caught.value).count(". ") == 0


def test_other_bad_files(names: list[str], folder: Path, load: Any) -> None:
    make_sd15(folder / "stranger.safetensors", 77)
    (folder / "damaged.safetensors").write_bytes((folder / "b.safetensors").read_bytes()[:5000])
    torch.save({"x": torch.zeros(2)}, folder / "old.ckpt")
    changed(folder, "b", "nan", {FILE + KEY: float("nan")})
    said = {
        "stranger.safetensors": "descend from one model",
        "damaged.safetensors": "damaged",
        "old.ckpt": "no safetensors file",
        "nan.safetensors": "no finite numbers",
        "missing.safetensors": "is not in ComfyUI's checkpoints folder",
    }
    for name, words in said.items():
        with pytest.raises(Exception, match=words) as caught:
            load([names[0], f"slim/{name}"])
        assert type(caught.value).__name__ == "EMoEError"


def test_quantised_files_are_refused(names: list[str], folder: Path, load: Any) -> None:
    from emoe_testing.checkpoints import make_quantised, scaled_fp8

    make_quantised(folder / "scaled.safetensors", folder / "b.safetensors", scaled_fp8)
    with pytest.raises(Exception, match="quantised"):
        load([names[0], "slim/scaled.safetensors"])
    with pytest.raises(Exception, match="quantised"):
        load(["slim/scaled.safetensors", names[0]])


def test_an_interrupt_is_heard(names: list[str], load: Any) -> None:
    import comfy.model_management as management

    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        load(names)
    management.interrupt_current_processing(False)


def test_a_host_makes_a_patch_again_on_another_device(slim: Any) -> None:
    """Newer hosts copy what a patch holds to the card ahead of its use, and build the patch anew around the copies."""
    import comfy.lora

    expert = slim.experts[1]
    ((_, adapter, *_),) = expert.model.patches[KEY]
    again = type(adapter)(adapter.loaded_keys, tuple(adapter.weights))
    if hasattr(comfy.lora, "prefetch_prepared_value"):
        again = comfy.lora.prefetch_prepared_value(adapter, [0], None, None, False)
    weight = expert.model.model.state_dict()[KEY].float()
    merge = comfy.lora.calculate_weight
    one, other = (merge([(1.0, patch, 1.0, None, None)], weight.clone(), KEY) for patch in (adapter, again))
    assert torch.equal(one, other) and not torch.equal(one, weight)
    half = merge([(0.5, adapter, 1.0, None, None)], weight.clone(), KEY)
    assert torch.allclose(half - weight, (one - weight) / 2, atol=1e-6)


def test_a_lora_that_the_host_extracts_makes_an_expert(whole: Any, folder: Path, host: Any) -> None:
    """The other road to less memory, without this pack: ModelMergeSubtract, Extract and Save Lora, Experts from LoRAs."""
    import folder_paths
    from comfy_extras.nodes_lora_extract import LoraSave
    from comfy_extras.nodes_model_merging import ModelSubtract

    first, second, _ = whole.experts
    (difference,) = ModelSubtract().merge(second.model, first.model, 1.0)
    LoraSave.execute("loras/slim", 64, "standard", True, model_diff=difference)
    (made,) = (Path(folder_paths.get_output_directory()) / "loras").glob("slim*.safetensors")
    target = Path(folder_paths.get_folder_paths("loras")[0]) / "slim.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    made.rename(target)
    (patched,) = host.experts.loras.experts_from_loras(first.model, None, [("slim.safetensors", 1.0)]).experts
    before, true = (load_file(folder / f"{name}.safetensors") for name in "ab")
    apart = true[FILE + KEY].float() - before[FILE + KEY].float()
    assert 0 < (merged(patched, KEY) - true[FILE + KEY].float()).square().sum() / apart.square().sum() < 0.7
    assert torch.allclose(merged(patched, NORM), true[FILE + NORM].float(), atol=1e-3)


def test_a_mixtures_layer_has_the_difference(slim: Any, host: Any) -> None:
    layer, part, _ = KEY.removeprefix("diffusion_model.").rsplit(".", 2)
    base, expert = slim.experts[0].model, slim.experts[1]
    made = host.mixture.layers.expert_layer(expert, base, layer).get_parameter(f"{part}.weight")
    assert torch.allclose(made, merged(expert, KEY), atol=1e-6)
    assert not torch.allclose(made, base.model.state_dict()[KEY], atol=1e-6)


def test_kinship_reads_the_differences(
    names: list[str], folder: Path, load: Callable[..., Any], whole: Any, slim: Any, host: Any
) -> None:
    one, other = (load_file(folder / f"{name}.safetensors") for name in "ab")
    save_file({k: (0.4 * one[k].float() + 0.6 * other[k].float()).half() for k in one}, folder / "merge.safetensors")
    experts = load([*names, "slim/merge.safetensors"])
    found = host.diagnosing.look_at(experts, "", None, None)
    (merge,) = found.kin.merges
    assert merge.child == 3 and merge.parents == (0, 1) and merge.weights == pytest.approx((0.4, 0.6), abs=0.02)
    assert not found.kin.copies and found.kin.effective is not None
    # the first is the base of the others; merges between them would not show in two bits
    assert found.kin.between == (0,) and found.kin.unsure == (1, 2)
    exact = host.diagnosing.look_at(whole, "", None, None)
    assert exact.kin.unsure == () and exact.kin.tree[0].distance == pytest.approx(found.kin.tree[0].distance, rel=0.1)
    assert [e.signature.digest for e in slim.experts] == [slim.experts[0].signature.digest] * 3  # scores know no other
