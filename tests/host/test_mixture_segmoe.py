"""The mixture is SegMoE's: layers, routing, gates and whole networks against PyPI's `segmoe` 0.0.4 itself, on small nets.

Two Stable Diffusion pipelines with random weights, a fine-tune's distance apart, are mixed by segmoe. segmoe draws its
experts' prompts with unseeded noise in 25 steps; the pipelines here take the noise that ComfyUI would make and fewer steps,
and nothing else of segmoe or diffusers is changed. The texts' encodings come from the pipelines' own text encoder on both sides.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

POSITIVE, NEGATIVE = ["a red car", "a green tree"], ["blurred", "dark"]
STEPS, CFG = 5, 7.5  # segmoe asks for 25 steps; both sides take fewer here
CHANNELS, CONTEXT, SIZE = 320, 768, 8


@pytest.fixture(scope="module")
def segmoe(comfyui: Path) -> Any:
    """The package; an error, not a skip, where it is missing."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import segmoe.main

    return segmoe.main


def sigmas() -> torch.Tensor:
    """ComfyUI's schedule with the timesteps that diffusers takes: 801, 601, ..., 1."""
    import comfy.model_sampling
    import comfy.samplers

    return comfy.samplers.calculate_sigmas(comfy.model_sampling.ModelSamplingDiscrete(), "ddim_uniform", STEPS)


def unet(base: Any = None) -> Any:
    """A U-Net that ComfyUI takes for SD1.5; with `base`, one that descends from it."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0 if base is None else 1)
    made = UNet2DConditionModel(
        sample_size=SIZE,
        block_out_channels=(CHANNELS, CHANNELS),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=CONTEXT,
        attention_head_dim=8,
    ).eval()
    if base is not None:
        with torch.no_grad():
            for own, old in zip(made.parameters(), base.parameters(), strict=True):
                own.copy_(old + 0.3 * (own - old) if own.ndim > 1 else old)
    return made


@pytest.fixture(scope="module")
def pipelines(segmoe: Any, tmp_path_factory: pytest.TempPathFactory, pack: ModuleType) -> list[Path]:
    """Two pipelines as folders, as segmoe wants its experts."""
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("pipelines")
    torch.manual_seed(5)
    text = CLIPTextConfig(
        vocab_size=2048,
        hidden_size=CONTEXT,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=12,
        bos_token_id=2046,
        eos_token_id=2047,
        pad_token_id=2047,
    )
    shared = {
        "vae": AutoencoderKL(block_out_channels=(32,), latent_channels=4, norm_num_groups=8, sample_size=SIZE),
        "text_encoder": CLIPTextModel(text).eval(),
        "tokenizer": CLIPTokenizer.from_pretrained(str(pack.emoe_core.demo.tokenizer_dir()), model_max_length=77),
        "scheduler": DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    base = unet()
    for name, net in (("one", base), ("two", unet(base))):
        StableDiffusionPipeline(unet=net, **shared).save_pretrained(folder / name)
    return [folder / "one", folder / "two"]


@pytest.fixture(scope="module")
def mixtures(segmoe: Any, pipelines: list[Path], comfy_base: Path) -> dict[str, Any]:
    """segmoe's own mixtures for attn, ff and all, saved by it into ComfyUI's diffusers folder under these names.

    The gates of `all` are made of the prompts, those of the other two are segmoe's random ones (its `init: random`).
    """
    import comfy.sample
    import yaml
    from diffusers import StableDiffusionPipeline

    class Seeded(StableDiffusionPipeline):
        """Fewer steps, and the noise that ComfyUI's KSampler makes from seed 0."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            first = sigmas()[0]
            noise = comfy.sample.prepare_noise(torch.zeros(1, 4, SIZE, SIZE), 0) * first / torch.sqrt(1 + first**2)
            self.set_progress_bar_config(disable=True)
            kwargs["num_inference_steps"] = STEPS
            generator = torch.Generator().manual_seed(0)
            return super().__call__(*args, **kwargs, latents=noise, generator=generator, output_type="latent")

    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmoe, "StableDiffusionPipeline", Seeded)
        for layers in ("attn", "ff", "all"):
            experts = [
                {"source_model": str(path), "positive_prompt": yes, "negative_prompt": no}
                for path, yes, no in zip(pipelines, POSITIVE, NEGATIVE, strict=True)
            ]
            config = {
                "base_model": str(pipelines[0]),
                "num_experts": 2,
                "num_experts_per_tok": 2,
                "moe_layers": layers,
                "type": "sd",
                "init": "hidden" if layers == "all" else "random",
                "experts": experts,
            }
            file = pipelines[0].parent / f"{layers}.yaml"
            file.write_text(yaml.safe_dump(config), encoding="utf-8")
            torch.manual_seed(11)
            made[layers] = segmoe.SegMoEPipeline(str(file), torch_dtype=torch.float32, variant=None, device="cpu")
            folder = comfy_base / "models" / "diffusers" / layers
            made[layers].save_pretrained(str(folder))
            shutil.rmtree(folder / "vae")  # ComfyUI builds text encoder and VAE at full size only
            if layers != "ff":
                shutil.rmtree(folder / "text_encoder")
    return made


def with_top_k(comfy_base: Path, layers: str, top_k: int, theirs: Any) -> str:
    """The folder of a mixture with another top-k, and the same in segmoe's own layers."""
    for module in theirs.pipe.unet.modules():
        if hasattr(module, "top_k"):
            module.top_k = top_k
    file = comfy_base / "models" / "diffusers" / layers / "unet" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["segmoe_config"]["num_experts_per_tok"] = top_k
    file.write_text(json.dumps(config), encoding="utf-8")
    return layers


@pytest.mark.parametrize("kind", ["linear", "feed forward"])
@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_layer_is_segmoes_layer(segmoe: Any, pack: ModuleType, kind: str, top_k: int, batch: int) -> None:
    from diffusers.models.attention import FeedForward

    torch.manual_seed(3)
    width, out = 24, 24 if kind == "feed forward" else 40
    experts = [FeedForward(width) if out == width else torch.nn.Linear(width, out, bias=False) for _ in range(4)]
    config = {"hidden_size": width, "out_dim": out, "num_experts_per_tok": top_k, "num_local_experts": 4}
    theirs = segmoe.SparseMoeBlock(config, experts).eval()
    mine = pack.emoe_core.mixture.sparse.SparseMoE("layer", theirs.gate, list(theirs.experts), top_k)
    x = torch.randn(batch, 50, width)
    with torch.no_grad():
        assert float((mine(x) - theirs(x)).abs().max()) < 1e-5


@pytest.mark.parametrize("layers", ["attn", "ff", "all"])
@pytest.mark.parametrize("top_k", [1, 2])
def test_a_loaded_folder_computes_what_segmoe_computes(
    pack: ModuleType, mixtures: dict[str, Any], comfy_base: Path, layers: str, top_k: int
) -> None:
    """The whole network, and one image with guidance through ComfyUI's sampling: both branches route together there."""
    import comfy.model_management
    import comfy.samplers

    theirs = mixtures[layers]
    loaded = pack.emoe_core.hosts.comfyui.mixture.segmoe.load(with_top_k(comfy_base, layers, top_k, theirs))
    generator = torch.Generator().manual_seed(2)
    context = torch.randn(2, 77, CONTEXT, generator=generator)
    x = torch.randn(2, 4, SIZE, SIZE, generator=generator)
    mixture = loaded.experts
    assert (mixture.layers, mixture.top_k, len(mixture)) == (layers, top_k, 2)
    model = mixture.network.model
    comfy.model_management.load_models_gpu([model])
    with torch.no_grad():
        expected = theirs.pipe.unet(x, 500, encoder_hidden_states=context).sample
        got = model.model.diffusion_model(x, timesteps=torch.tensor([500.0, 500.0]), context=context)
    assert float((got - expected).abs().max()) < 1e-5 * float(expected.abs().max())

    sigma = model.get_model_object("model_sampling").sigma(torch.tensor(500.0))
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds([[context[:1], {}]], [[context[1:], {}]])
    guider.set_cfg(CFG)
    noise = x[:1]
    steps = torch.stack([sigma, torch.tensor(0.0)])
    drawn = guider.sample(noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), steps)
    with torch.no_grad():
        scaled = (noise * sigma / torch.sqrt(1 + sigma**2)).repeat(2, 1, 1, 1)
        yes, no = theirs.pipe.unet(scaled, 500, encoder_hidden_states=context).sample.chunk(2)
    by_hand = noise * sigma - sigma * (no + CFG * (yes - no))
    by_hand = model.get_model_object("latent_format").process_out(by_hand)
    assert float((drawn - by_hand).abs().max()) < 1e-4 * float(by_hand.abs().max())


class PipelineText:
    """A CLIP for the host with the pipeline's tokenizer and text encoder."""

    def __init__(self, pipeline: Any) -> None:
        self.tokenizer, self.encoder = pipeline.tokenizer, pipeline.text_encoder

    def tokenize(self, text: str) -> torch.Tensor:
        return self.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids

    def encode_from_tokens_scheduled(self, tokens: torch.Tensor) -> list[list[Any]]:
        with torch.no_grad():
            return [[self.encoder(tokens)[0], {}]]


def test_the_gates_are_segmoes(pack: ModuleType, mixtures: dict[str, Any], pipelines: list[Path]) -> None:
    """Guided DDPM steps of every expert on both sides, then the gate of each of the layers, and the mixture's output."""
    import comfy.model_management
    import comfy.sd
    import comfy.utils
    from safetensors.torch import load_file

    host = pack.emoe_core.hosts.comfyui
    theirs = mixtures["all"]
    shape = {
        "num_res_blocks": [1, 1],
        "channel_mult": [1, 1],
        "transformer_depth": [1, 0],
        "transformer_depth_output": [1, 1, 0, 0],
        "transformer_depth_middle": 1,
    }
    names = comfy.utils.unet_to_diffusers(shape)
    text, experts = PipelineText(theirs.pipe), pack.emoe_core.experts.sets.ExpertSet()
    for path in pipelines:
        state = load_file(path / "unet" / "diffusion_pytorch_model.safetensors")
        model = comfy.sd.load_diffusion_model_state_dict({names[key]: weight for key, weight in state.items()})
        expert = host.experts.load.expert_from_model(model, None, path.name)
        experts = experts.add(replace(expert, clip=text, clip_identity="pipeline"))
    mixture = host.mixture.build.build_mixture(
        experts,
        "\n".join(POSITIVE),
        "\n".join(NEGATIVE),
        {"samples": torch.zeros(1, 4, SIZE, SIZE)},
        layers="all",
        top_k=2,
        steps=STEPS,
        cfg=CFG,
        seed=0,
    )
    sparse = {name: mixture.network.model.get_model_object(f"diffusion_model.{name}") for name in mixture.names}
    routed = [module for module in theirs.pipe.unet.modules() if hasattr(module, "gate")]
    assert len(sparse) == len(routed) == 3 * 7  # three transformer blocks of six maps and a feed-forward layer
    worst = 0.0
    for name, layer in sparse.items():
        gate = theirs_router(theirs, names, name)
        assert float(gate.norm(dim=1).sub(1).abs().max()) < 1e-5
        worst = max(worst, float((layer.gate.weight - gate).abs().max()))
    assert worst < 1e-5, worst

    comfy.model_management.load_models_gpu([mixture.network.model])
    for module in theirs.pipe.unet.modules():
        if hasattr(module, "top_k"):
            module.top_k = 2
    x = torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    context = text.encode_from_tokens_scheduled(text.tokenize("a red tree"))[0][0]
    with torch.no_grad():
        expected = theirs.pipe.unet(x, 900, encoder_hidden_states=context).sample
        got = mixture.network.model.model.diffusion_model(x, timesteps=torch.tensor([900.0]), context=context)
    assert float((got - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def theirs_router(theirs: Any, names: dict[str, str], mine: str) -> torch.Tensor:
    """segmoe's gate of the layer that ComfyUI calls `mine`."""
    back = {comfy: theirs_name for theirs_name, comfy in names.items()}
    weight = "net.2.weight" if mine.endswith(".ff") else "weight"
    layer = back[f"{mine}.{weight}"].removesuffix(f".{weight}")
    return theirs.pipe.unet.get_submodule(layer).gate.weight.detach()


def test_what_is_no_segmoe_is_said(pack: ModuleType, mixtures: dict[str, Any], comfy_base: Path) -> None:
    host, error = pack.emoe_core.hosts.comfyui.mixture.segmoe, pack.emoe_core.errors.EMoEError
    root = comfy_base / "models" / "diffusers"
    assert {"attn", "ff", "all"} <= set(host.folders())
    with pytest.raises(error, match="not in ComfyUI's models/diffusers"):
        host.load("elsewhere")
    with pytest.raises(error, match="not in ComfyUI's models/diffusers"):
        host.load("../checkpoints")

    def copy(name: str, **changes: Any) -> Path:
        folder = root / name
        (folder / "unet").mkdir(parents=True)
        config = json.loads((root / "ff" / "unet" / "config.json").read_text(encoding="utf-8"))
        config["segmoe_config"] = {**config["segmoe_config"], **changes}
        (folder / "unet" / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    plain = copy("plain")
    (plain / "unet" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(error, match="is no SegMoE"):
        host.load("plain")
    copy("empty")
    with pytest.raises(error, match="missing or damaged"):
        host.load("empty")
    for changes, said in (
        ({"moe_layers": "every"}, "incomplete or unknown"),
        ({"num_experts": 1}, "two or more"),
        ({"num_experts_per_tok": 3}, "at most all"),
        ({"num_experts": 3}, "lacks gates or experts"),
        ({"moe_layers": "attn"}, "its weights have others"),
    ):
        name = f"wrong_{next(iter(changes))}_{next(iter(changes.values()))}"
        folder = copy(name, **changes)
        os.link(root / "ff" / host.WEIGHTS, folder / host.WEIGHTS)
        with pytest.raises(error, match=said):
            host.load(name)


def test_a_vae_that_does_not_fit_is_said(
    pack: ModuleType, mixtures: dict[str, Any], pipelines: list[Path], comfy_base: Path
) -> None:
    folder = comfy_base / "models" / "diffusers" / "attn"
    shutil.copytree(pipelines[0] / "vae", folder / "vae")  # a real one, of a size that ComfyUI does not build
    try:
        with pytest.raises(
            pack.emoe_core.errors.EMoEError, match="The vae of the SegMoE folder 'attn' cannot be loaded"
        ):
            pack.emoe_core.hosts.comfyui.mixture.segmoe.load("attn")
    finally:
        shutil.rmtree(folder / "vae")


def test_load_segmoe_is_a_node(node_classes: dict[str, Any], mixtures: dict[str, Any]) -> None:
    node = node_classes["EMoE_LoadSegMoE"]
    assert "attn" in node.GET_NODE_INFO_V1()["input"]["required"]["folder"][1]["options"]
    assert node.validate_inputs(folder="attn") is True
    assert "not in ComfyUI" in node.validate_inputs(folder="elsewhere")
    assert node.execute(folder="ff").args[2] is not None
    experts, model, clip, vae = node.execute(folder="attn").args
    assert model is experts.network.model and [e.name for e in experts.experts] == ["1 one", "2 two"]
    assert vae is None and clip is None
    assert node.fingerprint_inputs(folder="attn") != node.fingerprint_inputs(folder="ff")
    assert isinstance(node.fingerprint_inputs(folder="gone"), str)
