"""The embedded experts inside ComfyUI: stock nodes work on them, and what they draw is what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from emoe_testing.scoring import score_prompt
from safetensors.torch import load_file, save_file

PROMPTS = ["strawberry", "snowflake", "eggplant", "rainbow", "trophy", "grapes"]


@pytest.fixture(scope="module")
def edge(pack: ModuleType) -> Any:
    return pack.emoe_core.hosts.comfyui.experts.demo


@pytest.fixture(scope="module")
def files(pack: ModuleType) -> Any:
    return pack.emoe_core.demo


@pytest.fixture(scope="module")
def loaded(edge: Any, files: Any) -> Iterator[tuple[Any, Any, Any]]:
    """MODEL, CLIP and VAE of the first expert."""
    yield *edge.load_demo_expert(files.expert_files()[0]), edge.load_demo_vae()


@pytest.fixture(scope="module")
def reference(files: Any) -> torch.Tensor:
    """The thumbnails of all 350 concepts."""
    import numpy as np
    from PIL import Image

    with Image.open(files.FOLDER / "reference.png") as picture:
        sheet = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).float() / 255
    rows, columns = sheet.shape[0] // 32, sheet.shape[1] // 32
    return sheet.view(rows, 32, columns, 32, 3).permute(0, 2, 1, 3, 4).reshape(rows * columns, -1)


def draw(model: Any, clip: Any, vae: Any, prompt: str, seed: int = 5) -> torch.Tensor:
    """CLIPTextEncode, EmptyLatentImage, KSampler, VAEDecode: the stock nodes themselves."""
    import nodes

    encode = nodes.CLIPTextEncode().encode
    (yes,), (no,) = encode(clip, prompt), encode(clip, "")
    (latent,) = nodes.EmptyLatentImage().generate(128, 128, 1)
    (latent,) = nodes.KSampler().sample(model, seed, 20, 4.0, "euler", "normal", yes, no, latent)
    (image,) = nodes.VAEDecode().decode(vae, latent)
    return image


def test_stock_nodes_draw_what_was_asked_for(loaded: tuple[Any, Any, Any], files: Any, reference: torch.Tensor) -> None:
    names = [concept["names"]["en"] for concept in files.ground_truth()["concepts"]]
    right = 0
    for prompt in PROMPTS:
        image = draw(*loaded, prompt)
        assert image.shape == (1, 128, 128, 3) and torch.isfinite(image).all()
        small = F.avg_pool2d(image.movedim(-1, 1), 4).movedim(1, -1).reshape(1, -1)
        right += names[int(torch.cdist(small, reference).argmin())] == prompt
    assert right >= len(PROMPTS) - 1


def test_the_same_seed_draws_the_same_picture(loaded: tuple[Any, Any, Any]) -> None:
    assert torch.equal(draw(*loaded, "panda"), draw(*loaded, "panda"))


def test_every_weight_is_loaded_and_nothing_is_missing(edge: Any, files: Any) -> None:
    for path in files.expert_files():
        model, clip = edge.load_demo_expert(path)
        state = load_file(path)
        unet = model.model.diffusion_model.state_dict()
        prefix = "model.diffusion_model."
        assert {prefix + key for key in unet} == {key for key in state if key.startswith(prefix)}
        assert all(torch.equal(value.float(), state[prefix + key].float()) for key, value in unet.items())
        text = clip.cond_stage_model.state_dict()
        for key in (k for k in state if k.startswith("cond_stage_model.")):
            mine = text[key.replace("cond_stage_model.", "clip_l.")]
            assert torch.equal(mine.float(), state[key].float())


def test_the_tokenizers_agree(loaded: tuple[Any, Any, Any], files: Any) -> None:
    import transformers

    stock = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
    tokenizer = stock.from_pretrained(str(files.tokenizer_dir()))
    for text in ("strawberry", "Japanese castle", "Schloss", "日本の城", "xqzw", "яблоко", ""):
        ids = tokenizer(text)["input_ids"]
        rows = [[token for token, _ in row] for row in loaded[1].tokenize(text)["l"]]
        assert rows == [ids + [2047] * (32 - len(ids))]


def test_a_latent_survives_the_autoencoder(loaded: tuple[Any, Any, Any]) -> None:
    vae = loaded[2]
    picture = draw(*loaded, "frog")
    latent = vae.encode(picture).detach()
    assert latent.shape == (1, 4, 16, 16)
    assert (vae.decode(latent) - picture).square().mean() < 0.02
    scale = loaded[0].model.latent_format.scale_factor
    assert 0.5 < float((latent * scale).std()) < 2.0


def test_previews_have_the_right_colours(loaded: tuple[Any, Any, Any]) -> None:
    import latent_preview
    import numpy as np

    model, vae = loaded[0], loaded[2]
    picture = draw(*loaded, "frog")
    latent = model.model.latent_format.process_in(vae.encode(picture).detach())
    fmt = model.model.latent_format
    previewer = latent_preview.Latent2RGBPreviewer(fmt.latent_rgb_factors, fmt.latent_rgb_factors_bias)
    preview = torch.from_numpy(np.asarray(previewer.decode_latent_to_preview(latent)).copy()).float() / 255
    small = F.avg_pool2d(picture.movedim(-1, 1), 8)[0].movedim(0, -1)
    assert (preview - small).abs().mean() < 0.08


def test_a_lora_changes_model_and_clip(loaded: tuple[Any, Any, Any]) -> None:
    import comfy.sd

    lora = {}
    for name, wide in (
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_q", 64),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", 96),
    ):
        high = 384 if "te_text" in name else wide
        generator = torch.Generator().manual_seed(1)
        lora[f"{name}.lora_down.weight"] = torch.randn(4, wide, generator=generator)
        lora[f"{name}.lora_up.weight"] = torch.randn(high, 4, generator=generator)
        lora[f"{name}.alpha"] = torch.tensor(4.0)
    model, clip = comfy.sd.load_lora_for_models(loaded[0], loaded[1], lora, 1.0, 1.0)
    assert len(model.patches) == 1 and len(clip.patcher.patches) == 1
    plain = draw(*loaded, "frog")
    assert not torch.equal(draw(model, clip, loaded[2], "frog"), plain)
    assert torch.equal(draw(*loaded, "frog"), plain)


def test_comfyui_itself_is_left_as_it_was(edge: Any, loaded: tuple[Any, Any, Any]) -> None:
    import comfy.supported_models

    assert edge.DemoModel not in comfy.supported_models.models
    assert comfy.supported_models.SD15.unet_config["model_channels"] == 320


def test_a_wrong_file_is_refused_in_one_sentence(pack: ModuleType, edge: Any, files: Any, tmp_path: Path) -> None:
    error = pack.emoe_core.errors.EMoEError
    with pytest.raises(error, match="missing"):
        edge.load_demo_expert(tmp_path / "none.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(files.expert_files()[0].read_bytes()[:100_000])
    with pytest.raises(error, match="damaged"):
        edge.load_demo_expert(torn)
    state = load_file(files.expert_files()[0])
    state.pop("model.diffusion_model.out.2.weight")
    save_file(state, tmp_path / "short.safetensors")
    with pytest.raises(error):
        edge.load_demo_expert(tmp_path / "short.safetensors")


def make_stranger(path: Path, like: Path, seed: int) -> Path:
    """A file of the same shapes and of no relation: every weight at random."""
    generator = torch.Generator().manual_seed(seed)
    state = load_file(like)
    save_file(
        {
            key: (torch.randn(value.shape, generator=generator) * float(value.float().std().nan_to_num())).half()
            for key, value in state.items()
        },
        path,
    )
    return path


def test_an_expert_of_another_lineage_is_refused_at_the_middle_block(
    pack: ModuleType, edge: Any, files: Any, tmp_path: Path
) -> None:
    host = pack.emoe_core.hosts.comfyui
    first = files.expert_files()[0]
    experts = pack.emoe_core.experts.sets.ExpertSet()
    for path in (first, make_stranger(tmp_path / "stranger.safetensors", first, 1)):
        model, clip = edge.load_demo_expert(path)
        experts = experts.add(host.experts.load.expert_from_model(model, clip, path.stem, path.name))
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="do not descend from one base"):
        score_prompt(
            host,
            experts,
            host.prompts.conditioning.encode_for_experts(experts, "frog"),
            {"samples": torch.zeros(1, 4, 16, 16)},
            tap="mid_out",
            estimator="relative",
            add_noise=True,
            noise_seed=0,
            steps=20,
            scheduler="normal",
            at_step=0,
            noise_samples=1,
        )
