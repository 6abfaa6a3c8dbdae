"""The embedded experts' files, without a host: whole, of the right shapes, and the ground truth adds up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from emoe_core import demo
from emoe_core.errors import EMoEError

LANGUAGES = {"en", "fr", "de", "es", "it", "fi", "pl", "sw", "ja", "tr", "vi", "hu", "ru", "zh"}
UNSEEN = {"tr", "vi", "hu", "ru", "zh"}


def test_four_experts_of_one_layout() -> None:
    states = [load_file(path) for path in demo.expert_files()]
    assert len(states) == demo.EXPERTS == 4
    shapes = [{key: tuple(value.shape) for key, value in state.items()} for state in states]
    assert all(other == shapes[0] for other in shapes)
    unet = sum(v.numel() for k, v in states[0].items() if k.startswith("model.diffusion_model."))
    text = sum(v.numel() for k, v in states[0].items() if k.startswith("cond_stage_model.transformer.text_model."))
    assert (unet, text) == (2_762_820, 423_552)
    assert unet + text == sum(v.numel() for v in states[0].values())
    for state in states:
        assert all(v.dtype == torch.float16 and torch.isfinite(v).all() for v in state.values())


def test_the_experts_differ_and_share_a_lineage() -> None:
    key = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    weights = [load_file(path)[key].float().flatten() for path in demo.expert_files()]
    for i, one in enumerate(weights):
        for other in weights[i + 1 :]:
            assert not torch.equal(one, other)
            assert torch.cosine_similarity(one, other, dim=0) > 0.3


def test_every_weight_file_says_what_it_is() -> None:
    for path in [*demo.expert_files(), demo.vae_file()]:
        known = demo.metadata(path)
        assert known["name"] == path.stem and known["seed"] and known["steps"]
        assert "OFL-1.1" in known["licence"] and "Unicode-3.0" in known["licence"]
    factors, bias = demo.latent_rgb()
    assert [len(row) for row in factors] == [3, 3, 3, 3] and len(bias) == 3


def test_the_loras_lead_from_the_first_expert_towards_the_others() -> None:
    """Adding one brings expert 1 nearer to the expert that it was made from, by what the model card says."""
    first, *others = (load_file(path) for path in demo.expert_files())
    files = demo.lora_files()
    assert [path.stem for path in files] == ["lora_2", "lora_3", "lora_4"]
    for path, other in zip(files, others, strict=True):
        assert path.stat().st_size < 500_000 and "OFL-1.1" in demo.metadata(path)["licence"]
        lora = load_file(path)
        before = after = 0.0
        for key, weight in first.items():
            stem = key.removesuffix(".weight").removeprefix("cond_stage_model.transformer.")
            prefix = "lora_unet_" if "diffusion_model" in stem else "lora_te_"
            name = prefix + stem.removeprefix("model.diffusion_model.").replace(".", "_")
            if f"{name}.lora_up.weight" not in lora:
                continue
            up, down = lora.pop(f"{name}.lora_up.weight").float(), lora.pop(f"{name}.lora_down.weight").float()
            assert float(lora.pop(f"{name}.alpha")) == up.shape[1] <= 4
            change = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
            difference = other[key].float() - weight.float()
            before += float(difference.square().sum())
            after += float((difference - change).square().sum())
        assert not lora and 0.15 < 1 - after / before < 0.25


def test_the_tokenizer_is_complete() -> None:
    folder = demo.tokenizer_dir()
    table = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert sorted(table.values()) == list(range(2048))
    assert (table["<|startoftext|>"], table["<|endoftext|>"]) == (2046, 2047)
    merges = (folder / "merges.txt").read_text("utf-8").splitlines()[1:]
    assert all(left in table and right in table and left + right in table for left, right in map(str.split, merges))


def test_the_ground_truth_adds_up() -> None:
    truth = demo.ground_truth()
    assert set(truth["languages"]) == LANGUAGES
    total = sum(language["captions"] for language in truth["languages"].values())
    assert total == truth["captions"]
    assert total == sum(sum(concept["exposure"].values()) for concept in truth["concepts"])
    for name, language in truth["languages"].items():
        assert language["share"] == pytest.approx(language["captions"] / total, abs=1e-5)
        assert (language["captions"] == 0) == (name in UNSEEN)
    groups = [concept["group"] for concept in truth["concepts"]]
    assert {g: groups.count(g) for g in set(groups)} == {
        "main": 200,
        "under_sampled": 50,
        "held_out": 50,
        "held_out_group": 50,
    }
    for concept in truth["concepts"]:
        assert set(concept["names"]) == LANGUAGES
        assert set(concept["exposure"]) <= set(concept["names"].values())
        assert not (concept["group"].startswith("held_out") and concept["exposure"])


def test_prompt_groups_are_what_they_claim() -> None:
    groups, truth = demo.prompts(), demo.ground_truth()
    assert not set(groups["calibration"]) & set(groups["fresh"])
    assert len(groups["calibration"]) >= 100 and len(groups["fresh"]) >= 50
    seen = {text.lower() for concept in truth["concepts"] for text in concept["exposure"]}
    for name in ("held_out", "faces", "nonsense", "typos", *UNSEEN):
        assert groups[name] and not {text.lower() for text in groups[name]} & seen, name
    exposure = {concept["names"]["en"]: concept["exposure"] for concept in truth["concepts"]}
    assert all(exposure[text][text] >= 5 for name in ("calibration", "fresh") for text in groups[name])
    assert LANGUAGES - {"en"} <= set(groups)


def test_notices_and_reference_pictures() -> None:
    folder = demo.FOLDER
    assert "UNICODE LICENSE V3" in (folder / "licences" / "Unicode-3.0.txt").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE" in (folder / "licences" / "Noto-Color-Emoji.txt").read_text("utf-8")
    assert "Noto Color Emoji" in (folder / "NOTICE").read_text("utf-8")
    assert (folder / "MODEL_CARD.md").stat().st_size > 2000
    with Image.open(demo.FOLDER / "reference.png") as sheet:
        assert sheet.size == (25 * 32, 14 * 32)
    assert (demo.FOLDER / "reference.png").stat().st_size < 500_000


def test_missing_and_damaged_files_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(demo.vae_file().read_bytes()[:1000])
    with pytest.raises(EMoEError, match="damaged"):
        demo.metadata(torn)
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    for ask in (demo.expert_files, demo.vae_file, demo.tokenizer_dir, demo.ground_truth, demo.prompts):
        with pytest.raises(EMoEError, match="missing"):
            ask()
    (tmp_path / "prompts.json").write_text("{", "utf-8")
    with pytest.raises(EMoEError, match="damaged"):
        demo.prompts()
    assert demo.calibration_files() == []
