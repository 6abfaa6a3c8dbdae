"""Scoring without ComfyUI: every road to an expert, one score; nothing of the caller's is changed; bad input is said."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from emoe_testing import unet as plans
from emoe_testing.checkpoints import make_sd15_inpainting
from emoe_testing.folders import make_folder
from safetensors.torch import load_file, save_file

from emoe_core import demo
from emoe_core.errors import EMoEError
from emoe_core.experts.sets import ExpertSet
from emoe_core.hosts import diffusers as host

PROMPT = "Japanese castle"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is loaded is loaded from the disk."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"the network was asked: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def experts() -> ExpertSet:
    return host.demo_experts()


@pytest.fixture(scope="module")
def expected(experts: ExpertSet) -> float:
    return host.score(experts, PROMPT).score


@pytest.fixture(scope="module")
def folders(experts: ExpertSet, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of the demo experts as folders that diffusers' own save_pretrained wrote."""
    base = tmp_path_factory.mktemp("pipelines")
    for expert in experts.experts[:2]:
        expert.clip.pipeline.save_pretrained(base / expert.name)
    return [base / expert.name for expert in experts.experts[:2]]


@pytest.fixture
def pipeline() -> Any:
    """A pipeline of the first demo expert that a test may change."""
    return host.demo_experts().experts[0].clip.pipeline


def two(experts: ExpertSet) -> ExpertSet:
    return ExpertSet(experts.experts[:2])


# --- roads to an expert -----------------------------------------------------------------------------------------------


def test_folders_give_the_same_experts(experts: ExpertSet, folders: list[Path]) -> None:
    loaded = host.load_experts(folders)
    assert host.score(loaded, PROMPT).score == pytest.approx(host.score(two(experts), PROMPT).score, rel=1e-6)
    for mine, theirs in zip(loaded.experts, experts.experts, strict=False):
        assert mine.identity == theirs.identity
        assert mine.file.startswith(f"{mine.name}/unet/diffusion_pytorch_model.safetensors sha256:")


def test_single_files_need_only_a_folder_of_configurations(
    experts: ExpertSet, expected: float, folders: list[Path], tmp_path: Path
) -> None:
    """U-Net and text encoder come from the file, through diffusers' own converter."""
    config = tmp_path / "config"
    shutil.copytree(folders[0], config, ignore=shutil.ignore_patterns("*.safetensors"))
    loaded = host.load_experts(demo.expert_files(), config=config)
    assert host.score(loaded, PROMPT).score == pytest.approx(expected, rel=1e-5)
    assert [e.identity for e in loaded.experts] == [e.identity for e in experts.experts]
    assert [e.file for e in loaded.experts] == [e.file for e in experts.experts]


def test_a_single_file_takes_its_configuration_from_a_folder_beside_it(folders: list[Path]) -> None:
    mixed = host.load_experts([folders[0], demo.expert_files()[1]])
    whole = host.load_experts(folders)
    assert host.score(mixed, PROMPT).score == pytest.approx(host.score(whole, PROMPT).score, rel=1e-5)


def test_pipelines_and_bare_networks_of_the_caller(experts: ExpertSet) -> None:
    expected = host.score(two(experts), PROMPT).score
    pipelines = {e.name: e.clip.pipeline for e in experts.experts[:2]}
    assert host.score(host.experts_from_pipelines(pipelines), PROMPT).score == expected
    bare = ExpertSet()
    for name, pipe in pipelines.items():
        bare = bare.add(host.expert_from_network(pipe.unet, pipe.tokenizer, pipe.text_encoder, name=name))
    assert host.score(bare, PROMPT).score == expected


def test_half_precision_is_another_setting_and_nearly_the_same_score(experts: ExpertSet, folders: list[Path]) -> None:
    half = host.load_experts(folders, dtype=torch.bfloat16)
    report = host.score(half, PROMPT)
    assert report.settings.dtype == "bfloat16"
    assert report.score == pytest.approx(host.score(two(experts), PROMPT).score, rel=0.1)


def test_fp16_variants_of_a_folder_are_found(experts: ExpertSet, tmp_path: Path) -> None:
    experts.experts[0].clip.pipeline.save_pretrained(tmp_path / "one", variant="fp16")
    loaded = host.load_expert(tmp_path / "one")
    assert loaded.identity == experts.experts[0].identity and ".fp16." in loaded.file


def test_a_lora_is_another_expert_of_the_same_lineage(experts: ExpertSet, pipeline: Any) -> None:
    from peft import LoraConfig

    plain = experts.experts[0]
    pipeline.unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights=False), "ink")
    with_lora = host.expert_from_pipeline(pipeline, "ink")
    assert with_lora.signature.digest == plain.signature.digest and with_lora.identity != plain.identity
    assert host.score(ExpertSet((plain, with_lora)), PROMPT).score > 1e-4
    for name, module in pipeline.unet.named_modules():
        if hasattr(module, "scaling") and name:
            module.scaling["ink"] *= 0.5
    assert host.expert_from_pipeline(pipeline, "weaker").identity not in (plain.identity, with_lora.identity)
    pipeline.unet.disable_adapters()
    assert host.expert_from_pipeline(pipeline, "off").identity == plain.identity


def test_a_compiled_network_is_scored_as_the_one_inside(experts: ExpertSet, pipeline: Any) -> None:
    expected = host.score(two(experts), PROMPT).score
    pipeline.unet = torch.compile(pipeline.unet, backend="eager")
    made = ExpertSet((host.expert_from_pipeline(pipeline, "one"), experts.experts[1]))
    assert host.score(made, PROMPT).score == expected


def test_an_offloaded_network_is_left_to_its_library(experts: ExpertSet, pipeline: Any) -> None:
    """Offloading as a whole works; where the weights themselves are away, the sentence says so."""
    import accelerate

    expected = host.score(two(experts), PROMPT).score
    accelerate.cpu_offload_with_hook(pipeline.unet, torch.device("cpu"))
    made = ExpertSet((host.expert_from_pipeline(pipeline, "one"), experts.experts[1]))
    before = state_of(pipeline)
    assert host.score(made, PROMPT, computing=host.Computing(device="cpu:0")).score == expected
    assert_untouched(before, state_of(pipeline))
    accelerate.cpu_offload(pipeline.unet, torch.device("cpu"))
    with pytest.raises(EMoEError, match="load it without sequential offloading"):
        host.expert_from_pipeline(pipeline, "one")


def test_clip_skip_is_another_encoding(experts: ExpertSet, folders: list[Path]) -> None:
    skipped = host.load_experts(folders, clip_skip=1)
    assert [e.identity for e in skipped.experts] == [e.identity for e in experts.experts[:2]]
    assert not {e.clip_identity for e in skipped.experts} & {e.clip_identity for e in experts.experts}
    encoder, rows = skipped.experts[0].clip.pipeline.text_encoder, skipped.experts[0].clip.encode([PROMPT], 64, 64)
    ids = skipped.experts[0].clip.pipeline.tokenizer(PROMPT, padding="max_length", max_length=32, return_tensors="pt")
    layers = encoder(ids.input_ids, output_hidden_states=True).hidden_states
    norm = [part for name, part in encoder.named_modules() if name.endswith("final_layer_norm")][0]
    assert len(layers) == 3 and torch.allclose(rows["prompt_embeds"], norm(layers[1]), atol=1e-6)
    assert host.score(skipped, PROMPT).score != host.score(two(experts), PROMPT).score
    with pytest.raises(EMoEError, match="clip_skip is 9; this text encoder has 2 layers"):
        host.score(host.load_experts(folders, clip_skip=9), PROMPT)


# --- what a score does and does not do --------------------------------------------------------------------------------


def state_of(pipe: Any) -> dict[str, Any]:
    """All that scoring could leave behind in a pipeline."""
    found: dict[str, Any] = {"scheduler": dict(pipe.scheduler.config), "unet config": dict(pipe.unet.config)}
    found["attributes"] = sorted(vars(pipe))
    for name in ("unet", "text_encoder"):
        module = getattr(pipe, name)
        found[name] = {key: (value.dtype, value.device, value.clone()) for key, value in module.state_dict().items()}
        found[f"{name} modes"] = [part.training for part in module.modules()]
        found[f"{name} hooks"] = [
            (len(part._forward_hooks), len(part._forward_pre_hooks), "forward" in vars(part))
            for part in module.modules()
        ]
        found[f"{name} gradients"] = [(p.requires_grad, p.grad is None) for p in module.parameters()]
    return found


def assert_untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in ("unet", "text_encoder"):
        assert before[name].keys() == after[name].keys()
        for key, (dtype, device, value) in before[name].items():
            assert (dtype, device) == after[name][key][:2] and torch.equal(value, after[name][key][2]), key
    plain = [key for key in before if key not in ("unet", "text_encoder")]
    assert {key: before[key] for key in plain} == {key: after[key] for key in plain}


@pytest.mark.parametrize("preset", ["fast", "thorough"])
def test_the_callers_pipeline_and_the_random_state_are_left_as_they_were(pipeline: Any, preset: str) -> None:
    pipeline.unet.requires_grad_(True)
    pipeline.unet.train()
    pipeline.unet.mid_block.eval()
    calls: list[int] = []
    hook = pipeline.unet.mid_block.register_forward_hook(lambda *_: calls.append(1))
    random = torch.get_rng_state()
    before = state_of(pipeline)
    host.score(
        host.experts_from_pipelines([pipeline, pipeline]),
        PROMPT,
        host.ScoreOptions(preset=preset),
        host.Computing(device="cpu:0"),
    )
    assert_untouched(before, state_of(pipeline))
    assert torch.equal(random, torch.get_rng_state())
    assert calls  # the caller's own hook is still there and was called
    hook.remove()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_the_network_leaves_no_hook(pipeline: Any, error: type[BaseException]) -> None:
    def fail(*_: Any) -> None:
        raise error

    experts = host.experts_from_pipelines([pipeline, pipeline])
    broken = pipeline.unet.up_blocks[0].register_forward_hook(fail)
    before = state_of(pipeline)
    with pytest.raises(error):
        host.score(experts, PROMPT, host.ScoreOptions(preset="thorough"))
    assert_untouched(before, state_of(pipeline))
    broken.remove()


def test_the_decoder_is_skipped_and_only_at_hidden_taps(pipeline: Any) -> None:
    calls: list[str] = []
    hooks = [
        pipeline.unet.mid_block.register_forward_hook(lambda *_: calls.append("middle")),
        pipeline.unet.up_blocks[0].register_forward_hook(lambda *_: calls.append("decoder")),
    ]
    experts = host.experts_from_pipelines({"one": pipeline})
    options = host.ScoreOptions(preset="custom", estimator="response", noise_samples=3)
    host.score(experts, PROMPT, options)
    assert calls == ["middle"]  # three noise samples in one call
    calls.clear()
    host.score(experts, PROMPT, replace(options, tap="noise_pred"), host.Computing(2))
    assert calls == ["middle", "decoder"] * 2
    for hook in hooks:
        hook.remove()


def test_batches_change_nothing_but_rounding(experts: ExpertSet) -> None:
    prompts = ["ant", PROMPT, "xchtgg", "candle", "ant"]
    for preset in ("fast", "thorough"):
        alone = [
            host.score(experts, prompt, host.ScoreOptions(preset=preset), host.Computing(batch=1)) for prompt in prompts
        ]
        for batch in (3, 64):
            many = list(
                host.score_many(experts, prompts, host.ScoreOptions(preset=preset), host.Computing(batch=batch))
            )
            assert [one.report.prompt for one in many] == prompts
            for one, other in zip(alone, many, strict=True):
                assert other.report.score == pytest.approx(one.score, rel=1e-4)
                guidance = one.items[0].guidance
                assert (guidance is not None) == (preset == "thorough")
                assert guidance is None or other.report.items[0].guidance == pytest.approx(guidance, rel=1e-4)
                assert other.maps.disagreement.shape[0] == 1 and torch.isfinite(other.maps.disagreement).all()


def test_the_same_call_gives_the_same_score_to_the_bit(experts: ExpertSet, expected: float) -> None:
    assert host.score(experts, PROMPT).score == expected
    assert host.score(host.demo_experts(), PROMPT).score == expected


def test_seed_step_and_size_all_matter(experts: ExpertSet, expected: float) -> None:
    changes: list[dict[str, Any]] = [
        {"noise_seed": 1},
        {"at_step": 10},
        {"size": (192, 128)},
        {"scheduler": "simple", "steps": 5, "at_step": 1},
    ]
    reports = [host.score(experts, PROMPT, host.ScoreOptions(**change)) for change in changes]
    assert len({expected, *(report.score for report in reports)}) == 1 + len(changes)
    assert reports[2].settings.latent_shape == (4, 16, 24)
    assert len({report.settings.fingerprint() for report in reports}) == len(changes)


def test_what_the_text_encoder_does_not_see_is_said(experts: ExpertSet) -> None:
    long = " ".join(["castle"] * 60)
    assert "what is beyond does not count" in " ".join(host.score(experts, long).warnings)
    assert not host.score(experts, PROMPT).warnings


def test_the_empty_prompts_pass_is_made_once(pipeline: Any) -> None:
    experts = host.experts_from_pipelines({"one": pipeline})
    rows: list[int] = []
    hook = pipeline.unet.mid_block.register_forward_hook(lambda _, __, out: rows.append(out.shape[0]))
    how: dict[str, Any] = {"preset": "custom", "tap": "noise_pred", "estimator": "guidance"}
    for _ in range(2):
        host.score(experts, PROMPT, host.ScoreOptions(**how))
    assert rows == [2, 2, 2]  # prompt and empty prompt, then the prompt alone
    host.score(experts, PROMPT, host.ScoreOptions(**how, noise_seed=9))
    assert rows == [2, 2, 2, 2, 2]
    hook.remove()


@pytest.mark.parametrize("batch", [1, 8])
def test_a_prompt_that_says_nothing_cannot_be_compared_with_the_empty_one(experts: ExpertSet, batch: int) -> None:
    """In a call of its own the difference would be zero, beside other prompts it would be rounding: an error in both."""
    for text in ("", "  "):
        with pytest.raises(EMoEError, match="The prompt says no more than the empty prompt.*preset fast"):
            list(
                host.score_many(
                    experts, ["ant", text], host.ScoreOptions(preset="thorough"), host.Computing(batch=batch)
                )
            )
        assert host.score(experts, text, host.ScoreOptions(preset="fast")).score > 0


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(folders: list[Path], tmp_path: Path) -> Callable[[str], Any]:
    """Files and folders that are wrong in one way each."""

    def folder(name: str, **index: Any) -> Path:
        made = tmp_path / name
        shutil.copytree(folders[0], made)
        path = made / "model_index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **index}))
        return made

    def make(kind: str) -> Any:
        whole = demo.expert_files()[0]
        target = tmp_path / f"{kind}.safetensors"
        if kind == "mixture":
            made = folder(kind)
            config = made / "unet" / "config.json"
            config.write_text(json.dumps({**json.loads(config.read_text()), "segmoe_config": {"num_experts": 4}}))
            return made
        if kind == "foreign":
            return folder(kind, _class_name="StableCascadeDecoderPipeline")
        if kind == "pickled":
            made = folder(kind)
            (made / "unet" / "diffusion_pytorch_model.safetensors").rename(
                made / "unet" / "diffusion_pytorch_model.bin"
            )
            return made
        if kind == "short folder":
            made = folder("short_folder")
            path = made / "unet" / "diffusion_pytorch_model.safetensors"
            save_file({k: v for k, v in load_file(path).items() if not k.startswith("conv_out")}, path)
            return made
        if kind == "no text":
            return folder("no_text", text_encoder=[None, None], tokenizer=[None, None])
        if kind == "empty":
            (tmp_path / "empty").mkdir()
            return tmp_path / "empty"
        if kind == "ckpt":
            (tmp_path / "model.ckpt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
            return tmp_path / "model.ckpt"
        if kind == "torn":
            target.write_bytes(whole.read_bytes()[:100_000])
        if kind == "short":
            save_file({k: v for k, v in load_file(whole).items() if "output_blocks.5" not in k}, target)
        if kind == "strange":
            save_file({"a": torch.zeros(2)}, target)
        return target

    return make


BAD = [
    ("missing", "There is no file or folder"),
    ("torn", "damaged"),
    ("short", "cannot be loaded|it is not whole"),
    ("strange", "cannot be loaded"),
    ("ckpt", "not a safetensors file, and other formats can run code"),
    ("empty", "no readable model_index.json"),
    ("mixture", "SegMoE mixture.*give the checkpoints"),
    ("foreign", "is a StableCascadeDecoderPipeline, which is not known here"),
    ("pickled", "no safetensors weights"),
    ("short folder", "it is not whole"),
]


@pytest.mark.parametrize(("kind", "said"), BAD, ids=[kind for kind, _ in BAD])
def test_a_wrong_file_gets_one_sentence(bad: Callable[[str], Any], folders: list[Path], kind: str, said: str) -> None:
    with pytest.raises(EMoEError, match=said) as error:
        host.load_expert(bad(kind), config=folders[0])
    assert "\n" not in str(error.value)


def test_a_single_file_without_a_configuration_says_what_to_give() -> None:
    with pytest.raises(EMoEError, match="brings no tokenizer and no configuration; give config"):
        host.load_expert(demo.expert_files()[0])


def test_an_inpainting_network_is_refused(tmp_path: Path) -> None:
    plan = plans.sd15(in_channels=9)
    config = make_folder(tmp_path / "config", plan, demo.tokenizer_dir())
    with pytest.raises(EMoEError, match="takes 9 channels and gives 4: it is for inpainting"):
        host.load_expert(make_sd15_inpainting(tmp_path / "fill.safetensors", 0), config=config)


def test_an_expert_without_a_text_encoder_uses_the_first_ones(experts: ExpertSet, bad: Callable[[str], Any]) -> None:
    loaded = host.load_expert(bad("no text"))
    assert loaded.clip is None and loaded.identity == experts.experts[0].identity
    with pytest.raises(EMoEError, match="None of the experts has a text encoder"):
        host.score(ExpertSet((loaded, loaded)), PROMPT)
    report = host.score(ExpertSet((experts.experts[1], loaded)), PROMPT)
    assert report.settings.text_encoders == (experts.experts[1].clip_identity, "")
    assert report.score != host.score(ExpertSet((experts.experts[1], experts.experts[0])), PROMPT).score


def test_a_scheduler_of_another_world_is_refused(pipeline: Any) -> None:
    import diffusers

    pipeline.scheduler = diffusers.EDMEulerScheduler()
    with pytest.raises(EMoEError, match="is a EDMEulerScheduler, whose noise levels are not known"):
        host.expert_from_pipeline(pipeline, "one")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"preset": "best"}, "There is no preset 'best'"),
    ({"preset": "custom", "tap": "nowhere"}, "no tap 'nowhere'"),
    ({"preset": "custom", "estimator": "guess"}, "There is no estimator 'guess'"),
    ({"size": (100, 128)}, "The size is 100x128; these experts want multiples of 32"),
    ({"noise_samples": 0}, "noise_samples is 0"),
    ({"at_step": 20}, "at_step is 20, beyond the last of 20 steps"),
    ({"scheduler": "ddim"}, "There is no scheduler 'ddim'"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said[:24] for _, said in WRONG])
def test_a_wrong_setting_gets_one_sentence(experts: ExpertSet, change: dict[str, Any], said: str) -> None:
    with pytest.raises(EMoEError, match=said) as error:
        host.score(experts, PROMPT, host.ScoreOptions(**change))
    assert "\n" not in str(error.value)


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(EMoEError, match="batch is 0"):
        host.Computing(batch=0)


def test_too_few_experts_and_none(experts: ExpertSet) -> None:
    with pytest.raises(EMoEError, match="There are no experts"):
        host.score(ExpertSet(), PROMPT)
    with pytest.raises(EMoEError, match="the set has 1"):
        host.score(ExpertSet(experts.experts[:1]), PROMPT)


def test_damaged_weights_are_an_error_that_names_the_expert(experts: ExpertSet, pipeline: Any) -> None:
    with torch.no_grad():
        pipeline.unet.mid_block.resnets[1].conv2.bias.fill_(torch.nan)
    broken = host.expert_from_pipeline(pipeline, "broken")
    with pytest.raises(EMoEError, match="do not descend|Expert 'broken' gives NaN"):
        host.score(ExpertSet((experts.experts[0], broken)), PROMPT)


@pytest.fixture
def without_diffusers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in an environment without the extra."""
    held = {name: module for name, module in sys.modules.items() if name.startswith("emoe_core.hosts.diffusers")}
    for name in held:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffusers", None)  # type: ignore[arg-type]
    yield
    for name in [name for name in sys.modules if name.startswith("emoe_core.hosts.diffusers")]:
        sys.modules.pop(name)


@pytest.mark.usefixtures("without_diffusers")
def test_without_the_extra_one_sentence_says_how_to_get_it() -> None:
    import importlib

    with pytest.raises(EMoEError, match=r'install them in the pack.s folder with: pip install "\.\[diffusers\]"'):
        importlib.import_module("emoe_core.hosts.diffusers")
